//! The one table from Segment's names of events to Cairn's, and from its products to GA4's items.

use cairn_model::question::money::CANCELLATION;

use super::{Field, named};

/// How one of Segment's events is called here.
#[derive(Debug)]
pub struct Called {
    /// Segment's name, and those of its first specification; compared without case.
    pub segment: &'static [&'static str],
    /// GA4's name.
    pub event: &'static str,
    /// Properties that the amount is taken from: the first that is there.
    pub amounts: &'static [&'static str],
    /// The properties themselves describe a product.
    pub is_product: bool,
    /// Properties that have another name in GA4.
    pub renames: &'static [(&'static str, &'static str)],
}

const VALUE: &[&str] = &["value"];
/// Income without shipping and tax comes first, as GA4 has it; what the customer paid comes last.
const INCOME: &[&str] = &["revenue", "value", "subtotal", "total"];
/// What goes back to the customer.
const REPAID: &[&str] = &["total", "revenue", "value"];
const PROMOTION: &[(&str, &str)] =
    &[("name", "promotion_name"), ("creative", "creative_name"), ("position", "creative_slot")];

const fn called(
    segment: &'static [&'static str],
    event: &'static str,
    amounts: &'static [&'static str],
) -> Called {
    Called { segment, event, amounts, is_product: false, renames: &[] }
}

const fn product(segment: &'static [&'static str], event: &'static str) -> Called {
    Called { segment, event, amounts: VALUE, is_product: true, renames: &[] }
}

const fn renaming(called: Called, renames: &'static [(&'static str, &'static str)]) -> Called {
    Called { renames, ..called }
}

/// The table. Events that are not in it keep the name that was sent.
#[rustfmt::skip]
pub static CALLED: &[Called] = &[
    renaming(called(&["Products Searched"], "search", VALUE), &[("query", "search_term")]),
    renaming(called(&["Product List Viewed", "Viewed Product Category"], "view_item_list", VALUE),
        &[("list_id", "item_list_id"), ("category", "item_list_name")]),
    renaming(called(&["Promotion Viewed", "Viewed Promotion"], "view_promotion", VALUE), PROMOTION),
    renaming(called(&["Promotion Clicked", "Clicked Promotion"], "select_promotion", VALUE), PROMOTION),
    product(&["Product Clicked", "Clicked Product"], "select_item"),
    product(&["Product Viewed", "Viewed Product"], "view_item"),
    product(&["Product Added", "Added Product"], "add_to_cart"),
    product(&["Wishlist Product Added to Cart"], "add_to_cart"),
    product(&["Product Removed", "Removed Product"], "remove_from_cart"),
    product(&["Product Added to Wishlist", "Added Product to Wishlist"], "add_to_wishlist"),
    renaming(product(&["Product Shared", "Shared Product"], "share"), &[("share_via", "method")]),
    renaming(called(&["Cart Shared"], "share", VALUE), &[("share_via", "method")]),
    called(&["Cart Viewed", "Viewed Cart"], "view_cart", &["value", "revenue", "total"]),
    called(&["Checkout Started", "Started Checkout"], "begin_checkout", INCOME),
    renaming(called(&["Payment Info Entered"], "add_payment_info", INCOME), &[("payment_method", "payment_type")]),
    called(&["Order Completed", "Completed Order"], "purchase", INCOME),
    called(&["Order Refunded", "Refunded Order"], "refund", REPAID),
    called(&["Order Cancelled", "Cancelled Order"], CANCELLATION, REPAID),
    called(&["Signed Up"], "sign_up", VALUE),
    called(&["Signed In"], "login", VALUE),
];

/// The row of an event.
pub(super) fn row(name: &str) -> Option<&'static Called> {
    let name = name.trim();
    CALLED.iter().find(|row| row.segment.iter().any(|known| known.eq_ignore_ascii_case(name)))
}

/// Properties that describe a product.
pub(super) const PRODUCT_FIELDS: [&str; 13] = [
    "product_id",
    "sku",
    "id",
    "category",
    "name",
    "brand",
    "variant",
    "price",
    "quantity",
    "coupon",
    "position",
    "url",
    "image_url",
];

/// Fields of products by their names in GA4.
const ITEM_FIELDS: [(&str, &str); 6] = [
    ("product_id", "item_id"),
    ("name", "item_name"),
    ("brand", "item_brand"),
    ("category", "item_category"),
    ("variant", "item_variant"),
    ("position", "index"),
];

/// What names a product, best first.
const IDS: [&str; 4] = ["product_id", "item_id", "sku", "id"];

/// Whether anything tells which product it is.
pub(super) fn is_product(fields: &[Field<'_>]) -> bool {
    IDS.iter().chain(&["name", "item_name"]).any(|name| named(fields, name).is_some())
}

/// What a product's field is called in an item.
pub(super) fn item_field<'n>(product: &[Field<'_>], name: &'n str) -> &'n str {
    let id = IDS.iter().find(|id| named(product, id).is_some());
    if id.is_some_and(|id| *id == name) {
        return "item_id";
    }
    ITEM_FIELDS.iter().find(|(known, _)| *known == name).map_or(name, |(_, field)| field)
}
