//! The demonstration: an owner, a site, a pixel in the shop under `/demo/`, goals with a funnel, and sixty days of history.
//!
//! Guarantees: everything goes the way of real traffic (the import, the log, the apply loop). A directory that holds
//! a demonstration already is used as it is.

mod choices;
mod costs;
mod details;
mod history;
mod objectives;
mod owned;
mod prepare;
mod random;

pub use history::{Article, Truth, write};
pub use prepare::{Parts, log_in_link, pixel_key, prepare};

/// The same history at every first start on the same day.
pub const SEED: u64 = 0x00C4_112A;
/// Name of the demonstration's site.
pub const SITE_NAME: &str = "Cairn Outdoor";

/// What the shop sells, as in `demo/site/catalogue.js`.
pub const ARTICLES: &[Article] = &[
    Article { id: "tarn-2", name: "Tarn 2", cents: 34_900, category: "Shelter" },
    Article { id: "cairn-38", name: "Cairn 38", cents: 15_900, category: "Packs" },
    Article { id: "ember", name: "Ember", cents: 5_990, category: "Kitchen" },
    Article { id: "brook", name: "Brook", cents: 3_450, category: "Kitchen" },
    Article { id: "glow", name: "Glow", cents: 4_200, category: "Light" },
    Article { id: "dusk", name: "Dusk", cents: 21_900, category: "Sleep" },
    Article { id: "scree", name: "Scree", cents: 18_900, category: "Footwear" },
    Article { id: "dawn", name: "Dawn", cents: 1_490, category: "Kitchen" },
];

#[cfg(test)]
mod tests {
    use super::{ARTICLES, SEED, write};

    #[test]
    fn the_articles_are_those_of_the_shop() {
        let shop = include_str!("../../../../demo/site/catalogue.js");
        for article in ARTICLES {
            for field in [
                format!("id: \"{}\"", article.id),
                format!("name: \"{}\"", article.name),
                format!("cents: {}", article.cents),
                format!("category: \"{}\"", article.category),
            ] {
                assert!(shop.contains(&field), "{field} is not in the shop");
            }
        }
        assert_eq!(shop.matches("    id: \"").count(), ARTICLES.len());
    }

    #[test]
    fn the_same_seed_tells_the_same_story() {
        let end_ms = 1_763_000_000_000;
        let (first, truth) = write(SEED, end_ms, "http://shop.test", ARTICLES);
        let (second, same) = write(SEED, end_ms, "http://shop.test", ARTICLES);
        assert!(first == second && truth == same);
        assert!(first.windows(2).all(|pair| pair[0].0 <= pair[1].0), "in order of time");
        assert!(first.iter().all(|(at_ms, _)| *at_ms < end_ms), "the history is the past");
        assert!(truth.visitors < truth.visits && truth.visits < truth.pageviews);
        assert!(truth.purchases > 100 && truth.bot_visits > 100, "{truth:?}");
    }
}
