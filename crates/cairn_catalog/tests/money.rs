//! Rates and costs in the catalog: replaced, not doubled; bounded by their base and their site.

#![allow(clippy::unwrap_used)]

use cairn_catalog::{Catalog, CatalogError, CostRange, NewSite, Stored};
use cairn_model::rates::Day;
use cairn_model::{Cost, PrivacySettings, Rate, SiteId};

const NOW_MS: i64 = 1_795_341_600_000;
const ALL: CostRange<'static> = CostRange { first: Day::MIN, last: Day::MAX, source: None };

fn catalog() -> (tempfile::TempDir, Catalog) {
    let directory = tempfile::tempdir().unwrap();
    let catalog = Catalog::open(&directory.path().join("catalog.sqlite")).unwrap();
    (directory, catalog)
}

fn site(catalog: &Catalog, domain: &str) -> SiteId {
    let new = NewSite {
        asking: Default::default(),
        name: domain.to_owned(),
        domain: domain.to_owned(),
        hosts: Vec::new(),
        timezone: "Etc/UTC".to_owned(),
        currency: "EUR".to_owned(),
        privacy: PrivacySettings::default(),
    };
    catalog.add_site(&new, None, NOW_MS).unwrap().id
}

fn rate(day: Day, currency: &str, units: i64) -> Rate {
    Rate { day, currency: currency.to_owned(), units }
}

fn cost(day: Day, source: &str, campaign: &str, micros: i64) -> Cost {
    Cost {
        day,
        source: source.to_owned(),
        campaign: campaign.to_owned(),
        currency: "EUR".to_owned(),
        micros,
        ..Cost::default()
    }
}

#[test]
fn rates_of_a_day_replace_one_another_and_have_one_base() {
    let (_directory, catalog) = catalog();
    assert_eq!(catalog.rates_base().unwrap(), None);
    let first = [rate(1, "USD", 10), rate(2, "USD", 11), rate(2, "JPY", 12)];
    let stored = |rates: &[Rate]| catalog.put_rates("EUR", rates).unwrap();
    assert_eq!(stored(&first), Stored { added: 3, replaced: 0 });
    assert_eq!(stored(&first), Stored { added: 0, replaced: 3 });
    assert_eq!(stored(&[rate(2, "USD", 13)]), Stored { added: 0, replaced: 1 });
    let read = catalog.rates(&["USD", "CHF"], 2, 9).unwrap();
    assert_eq!(read, [rate(2, "USD", 13)]);
    let known = catalog.known_rates().unwrap();
    let known: Vec<_> =
        known.iter().map(|one| (one.currency.as_str(), one.days, one.first, one.last)).collect();
    assert_eq!(known, [("JPY", 1, 2, 2), ("USD", 2, 1, 2)]);
    let refused = catalog.put_rates("USD", &[rate(1, "EUR", 1)]);
    assert!(matches!(refused, Err(CatalogError::Conflict { .. })), "{refused:?}");
    assert_eq!(catalog.rates_base().unwrap().as_deref(), Some("EUR"));
    assert_eq!(catalog.delete_rates().unwrap(), 3);
    catalog.put_rates("USD", &[rate(1, "EUR", 1)]).unwrap();
    assert_eq!(catalog.rates_base().unwrap().as_deref(), Some("USD"));
}

#[test]
fn costs_about_the_same_replace_one_another_and_go_with_their_site() {
    let (_directory, catalog) = catalog();
    let (shop, other) = (site(&catalog, "shop.example"), site(&catalog, "other.example"));
    let first = [cost(1, "google", "a", 5), cost(1, "google", "b", 6), cost(2, "bing", "a", 7)];
    let stored = |costs: &[Cost]| catalog.put_costs(shop, costs).unwrap();
    assert_eq!(stored(&first), Stored { added: 3, replaced: 0 });
    let dearer = Cost { currency: "USD".to_owned(), clicks: 3, ..cost(1, "google", "a", 9) };
    assert_eq!(
        stored(&[dearer.clone(), cost(3, "google", "a", 1)]),
        Stored { added: 1, replaced: 1 }
    );
    catalog.put_costs(other, &first[..1]).unwrap();
    let read = |site: SiteId, range: CostRange<'_>| {
        let mut found = Vec::new();
        catalog.each_cost(site, range, &mut |cost| found.push(cost)).unwrap();
        found
    };
    let google = CostRange { first: 1, last: 2, source: Some("google") };
    assert_eq!(read(shop, google), [dearer.clone(), first[1].clone()]);
    assert_eq!(catalog.cost_currencies(shop, google).unwrap(), ["USD", "EUR"]);
    let page = catalog.costs(shop, ALL, 1, 2).unwrap();
    assert_eq!(page, [first[2].clone(), dearer]);
    assert_eq!(catalog.delete_costs(shop, google).unwrap(), 2);
    assert_eq!(read(shop, ALL).len(), 2);
    assert!(catalog.delete_site(shop, NOW_MS).unwrap());
    assert_eq!((read(shop, ALL).len(), read(other, ALL).len()), (0, 1));
}
