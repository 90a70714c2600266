//! What the invented shop wants to reach: goals, one of them with a target, and its funnel.

use cairn_catalog::{Catalog, CatalogError, FunnelStep, GoalTarget, NewFunnel, NewGoal};
use cairn_model::SiteId;
use jiff::Timestamp;
use jiff::tz::TimeZone;

/// What the shop would like to take in a month, cents.
const TARGET_MINOR: i64 = 25_000_000;

fn goal(event_name: &str, display_name: &str) -> NewGoal {
    NewGoal {
        event_name: event_name.to_owned(),
        display_name: display_name.to_owned(),
        ..NewGoal::default()
    }
}

fn page(page_path: &str, display_name: &str) -> FunnelStep {
    FunnelStep::Condition(Box::new(NewGoal {
        page_path: page_path.to_owned(),
        display_name: display_name.to_owned(),
        ..NewGoal::default()
    }))
}

/// Saves goals and funnel.
pub(super) fn save(catalog: &Catalog, site_id: SiteId, now_ms: i64) -> Result<(), CatalogError> {
    let now = Timestamp::from_millisecond(now_ms).unwrap_or(Timestamp::UNIX_EPOCH);
    let month = now.to_zoned(TimeZone::UTC).date().first_of_month();
    let target = GoalTarget {
        conversions: None,
        amount_minor: Some(TARGET_MINOR),
        from: month.to_string(),
        until: month.last_of_month().to_string(),
    };
    let purchase = NewGoal {
        currency: "EUR".to_owned(),
        target: Some(target),
        ..goal("purchase", "Purchase")
    };
    let stayed = NewGoal {
        engaged_s: Some(120),
        display_name: "Two minutes in a visit".to_owned(),
        ..NewGoal::default()
    };
    let purchase = catalog.add_goal(site_id, purchase, now_ms)?;
    for other in [goal("add_to_cart", "Add to cart"), stayed] {
        catalog.add_goal(site_id, other, now_ms)?;
    }
    let product = FunnelStep::Condition(Box::new(goal("view_item", "Product")));
    let checkout = NewFunnel {
        name: "From product to purchase".to_owned(),
        steps: vec![
            product,
            page("/demo/cart.html", "Cart"),
            page("/demo/checkout.html", "Checkout"),
            FunnelStep::Goal(purchase.id),
        ],
        order: "ordered".to_owned(),
        window_minutes: None,
    };
    catalog.add_funnel(site_id, checkout, now_ms)?;
    Ok(())
}
