//! The `properties` of a message: what Cairn has fields for, and the owner's own.

use std::borrow::Cow;

use cairn_model::Currency;
use cairn_model::limits::{ITEMS_MAX, PROPS_MAX};
use cairn_model::question::money::{CANCELLATION, REFUND};

use super::super::Terms;
use super::commerce::{self, Called, PRODUCT_FIELDS};
use super::context::real_referrer;
use super::{Field, Fields, named};
use crate::ingest::fields::{id, items, not_a, props_json, text};
use crate::ingest::json::{Kind, Raw, push_text};
use crate::ingest::money;
use crate::ingest::page::Page;
use crate::ingest::parsed::ParsedEvent;
use crate::ingest::rejection::Rejection;
use crate::ingest::text::bounded;

/// What a page says of itself: fields of the event, or parts of its address.
const OF_A_PAGE: [&str; 10] = [
    "url",
    "path",
    "search",
    "referrer",
    "title",
    "referring_domain",
    "tab_url",
    "initial_referrer",
    "initial_referring_domain",
    "hash",
];

/// Properties that are looked at: those that are kept, and those that become fields of the event.
const READ_MAX: usize = 2 * PROPS_MAX;

/// Properties that were not used up yet.
#[derive(Default)]
pub(super) struct Properties<'a> {
    given: Fields<'a>,
    /// Properties that are not the sender's own.
    added: Vec<(&'static str, Cow<'a, str>)>,
}

impl<'a> Properties<'a> {
    /// Takes the fields over; `null` is absence.
    pub fn read(mut given: Fields<'a>) -> Result<Self, Rejection> {
        given.retain(|(_, value)| value.kind() != Kind::Null);
        if given.len() > READ_MAX {
            return Err(too_many());
        }
        for (at, (name, _)) in given.iter().enumerate() {
            if given[..at].iter().any(|(earlier, _)| earlier == name) {
                return Err(Rejection::malformed("", "given twice").at("properties", name));
            }
        }
        Ok(Properties { given, added: Vec::new() })
    }

    fn take(&mut self, name: &str) -> Option<Raw<'a>> {
        let at = self.given.iter().position(|(known, _)| known == name)?;
        Some(self.given.remove(at).1)
    }

    /// Adds a property unless it is empty or the sender has one of this name.
    pub fn add_own(&mut self, name: &'static str, value: Cow<'a, str>) {
        if !value.is_empty() && named(&self.given, name).is_none() {
            self.added.push((name, value));
        }
    }

    /// What a page or screen says of itself; `as_name` is the property for its name.
    pub fn add_page(
        &mut self,
        event: &mut ParsedEvent<'a>,
        fields: &[Field<'a>],
        as_name: &'static str,
    ) -> Result<(), Rejection> {
        if let Some(url) = self.take("url") {
            let url = bounded(text("properties.url", url)?, &mut event.truncated);
            event.page = Page::parse("properties.url", url)?;
        }
        if let Some(referrer) = self.take("referrer") {
            let referrer = text("properties.referrer", referrer)?;
            event.referrer = bounded(real_referrer(referrer), &mut event.truncated);
        }
        if let Some(title) = self.take("title") {
            event.title = bounded(text("properties.title", title)?, &mut event.truncated);
        }
        // The address holds these; left as properties they would outlive the gate.
        self.given.retain(|(name, _)| !OF_A_PAGE.contains(&name.as_ref()));
        for (field, name) in [("name", as_name), ("category", "category")] {
            let Some(value) = named(fields, field) else { continue };
            // Browser SDKs repeat both among the properties.
            let repeated = self.given.iter().position(|(known, own)| {
                known == field && own.scalar().is_some() && own.scalar() == value.scalar()
            });
            if let Some(at) = repeated {
                self.given.remove(at);
            }
            let value = value.scalar().ok_or_else(|| not_a(field, "text"))?;
            self.add_own(name, value);
        }
        Ok(())
    }

    /// Name, amount, order and items of something that somebody did.
    pub fn add_track(
        &mut self,
        event: &mut ParsedEvent<'a>,
        name: Cow<'a, str>,
        terms: &Terms<'_>,
    ) -> Result<(), Rejection> {
        let called = commerce::row(&name);
        self.add_amount(event, called, terms)?;
        if let Some(order_id) = self.take("order_id") {
            event.order_id = id("properties.order_id", order_id)?;
        }
        event.name = match called {
            // A refund that names no amount is one of the whole order.
            Some(called) if called.event == REFUND && event.value_minor.is_none() => {
                Cow::Borrowed(CANCELLATION)
            }
            Some(called) => Cow::Borrowed(called.event),
            None => name,
        };
        self.add_items(event, called)?;
        for (from, to) in called.map_or(&[][..], |called| called.renames) {
            if named(&self.given, to).is_some() {
                continue;
            }
            if let Some(place) = self.given.iter_mut().find(|(known, _)| known == from) {
                place.0 = Cow::Borrowed(to);
            }
        }
        Ok(())
    }

    /// The amount: from the properties that the table names; of other events from `revenue`, and
    /// from `value` or `total` where a currency says that it is money.
    fn add_amount(
        &mut self,
        event: &mut ParsedEvent<'a>,
        called: Option<&Called>,
        terms: &Terms<'_>,
    ) -> Result<(), Rejection> {
        const FIELDS: [(&str, &str); 4] = [
            ("revenue", "properties.revenue"),
            ("value", "properties.value"),
            ("subtotal", "properties.subtotal"),
            ("total", "properties.total"),
        ];
        let names = match called {
            Some(called) => called.amounts,
            None if named(&self.given, "currency").is_some() => &["revenue", "value", "total"],
            None => &["revenue"],
        };
        let sent = names.iter().find(|name| {
            let value = named(&self.given, name);
            value.is_some_and(|value| !matches!(value.0, "\"\""))
        });
        let Some(name) = sent else { return Ok(()) };
        let field = FIELDS.iter().find(|(known, _)| known == name).map_or("", |(_, field)| field);
        let digits = self.take(name).and_then(Raw::number).ok_or_else(|| not_a(field, "number"))?;
        let currency = match self.take("currency") {
            Some(code) => text("properties.currency", code)?,
            None => Cow::Borrowed(""),
        };
        let code = if currency.is_empty() { terms.currency } else { &currency };
        let currency = Currency::from_code(code.trim())
            .ok_or_else(|| Rejection::malformed("properties.currency", "not an ISO 4217 code"))?;
        event.value_minor = Some(money::rounded_minor_units(field, &digits, currency)?);
        event.currency = currency.code;
        Ok(())
    }

    /// `products`, or the one product that the properties are about, as GA4 items.
    fn add_items(
        &mut self,
        event: &mut ParsedEvent<'a>,
        called: Option<&Called>,
    ) -> Result<(), Rejection> {
        let mut json = String::new();
        // A list of something else is a property like any other.
        let products = named(&self.given, "products").and_then(Raw::elements).filter(|list| {
            list.is_empty() || list.iter().any(|product| product.kind() == Kind::Object)
        });
        if let Some(products) = products {
            if products.len() > ITEMS_MAX {
                return Err(Rejection::too_large("properties.products", "more than 200 products"));
            }
            self.take("products");
            for product in products {
                match product.fields() {
                    Some(product) if product.len() > PROPS_MAX => {
                        let message = "a product with more than 64 fields";
                        return Err(Rejection::too_large("properties.products", message));
                    }
                    Some(product) if commerce::is_product(&product) => {
                        push_item(&mut json, &product);
                    }
                    // Nothing tells which product it is.
                    _ => event.truncated = true,
                }
            }
        } else if called.is_some_and(|called| called.is_product)
            && commerce::is_product(&self.given)
        {
            let is_field = |(name, _): &Field<'_>| PRODUCT_FIELDS.contains(&name.as_ref());
            let product: Fields<'a> = self.given.extract_if(.., |field| is_field(field)).collect();
            push_item(&mut json, &product);
        }
        if json.is_empty() {
            return Ok(());
        }
        json.push(']');
        let read = items(Raw(&json), &mut event.truncated).map_err(|mut fault| {
            let field = fault.field.strip_prefix("items").unwrap_or("");
            fault.field = Cow::Owned(format!("properties.products{field}"));
            fault
        });
        event.items = Cow::Owned(read?.into_owned());
        Ok(())
    }

    /// What is left becomes the event's own properties.
    pub fn finish(self, event: &mut ParsedEvent<'a>) -> Result<(), Rejection> {
        if self.given.len() > PROPS_MAX {
            return Err(too_many());
        }
        let mut pairs: Vec<(&str, Cow<'_, str>)> = Vec::with_capacity(self.given.len() + 4);
        for (name, value) in &self.given {
            // Lists and objects are kept as their JSON text.
            let nested = || matches!(value.kind(), Kind::List | Kind::Object);
            let text = value.scalar().or_else(|| nested().then_some(Cow::Borrowed(value.0)));
            let text = text.ok_or_else(|| {
                Rejection::malformed("", "not valid Unicode").at("properties", name)
            })?;
            pairs.push((name, text));
        }
        for (name, value) in &self.added {
            pairs.push((name, value.clone()));
        }
        event.props = Cow::Owned(props_json(pairs.into_iter(), &mut event.truncated));
        Ok(())
    }
}

fn too_many() -> Rejection {
    Rejection::too_large("properties", "more than 64 properties")
}

/// Appends a product as an item; numbers and texts stay as they are, other kinds become texts.
fn push_item(json: &mut String, product: &[Field<'_>]) {
    json.push(if json.is_empty() { '[' } else { ',' });
    let mut opener = '{';
    let mut named_already: Vec<&str> = Vec::new();
    for (name, value) in product {
        let item_field = commerce::item_field(product, name);
        if value.kind() == Kind::Null || named_already.contains(&item_field) {
            continue;
        }
        named_already.push(item_field);
        json.push(opener);
        opener = ',';
        push_text(json, item_field);
        json.push(':');
        match value.kind() {
            Kind::List | Kind::Object => push_text(json, value.0),
            _ => json.push_str(value.0),
        }
    }
    json.push('}');
}
