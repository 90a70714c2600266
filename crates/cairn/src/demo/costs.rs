//! What the invented shop paid for its campaigns, a day at a time, in two currencies, with invented rates between them.

use cairn_model::Cost;
use cairn_model::rates::{Day, RATE_ONE, Rate};

use super::history::{DAY_MS, DAYS};
use super::random::Random;

/// Source, medium, campaign, content, term, currency, cents a click, clicks a day.
type Campaign = ([&'static str; 5], &'static str, u64, u64);

/// As the links of the history carry them, one in other capitals as advertisers' tables have it; and one that nobody followed.
const CAMPAIGNS: [Campaign; 4] = [
    (["google", "cpc", "Tents", "", "light tent"], "EUR", 340, 28),
    (["instagram", "paid_social", "ridge-film", "reel-2", ""], "USD", 610, 20),
    (["newsletter", "email", "autumn-sale", "", ""], "EUR", 35, 30),
    (["bing", "cpc", "stoves", "", "gas stove"], "EUR", 190, 3),
];

/// Costs of the days that the history has, and the rates that they need.
pub fn costs(seed: u64, end_ms: i64) -> (Vec<Cost>, Vec<Rate>) {
    let mut random = Random::new(seed ^ 0x00C0_57C0_57C0_57C0);
    let (mut costs, mut rates) = (Vec::new(), Vec::new());
    let last = Day::try_from(end_ms.div_euclid(DAY_MS)).unwrap_or_default();
    let first = last - Day::try_from(DAYS).unwrap_or_default();
    let mut units = RATE_ONE / 100 * 116;
    for day in first..=last {
        for ([source, medium, campaign, content, term], currency, cents, clicks) in CAMPAIGNS {
            let clicks = clicks * (70 + random.below(60)) / 100 + 1;
            let cents = clicks * cents * (90 + random.below(20)) / 100;
            let amount = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
            costs.push(Cost {
                day,
                source: source.to_owned(),
                medium: medium.to_owned(),
                campaign: campaign.to_owned(),
                content: content.to_owned(),
                term: term.to_owned(),
                currency: currency.to_owned(),
                micros: amount(cents * 10_000),
                impressions: amount(clicks * (25 + random.below(20))),
                clicks: amount(clicks),
            });
        }
        // 1 January 1970 was a Thursday; banks publish no rates on Saturdays and Sundays.
        if (day + 3).rem_euclid(7) < 5 {
            let change = i64::try_from(random.below(101)).unwrap_or(50) - 50;
            units += change * RATE_ONE / 10_000;
            rates.push(Rate { day, currency: "USD".to_owned(), units });
        }
    }
    (costs, rates)
}
