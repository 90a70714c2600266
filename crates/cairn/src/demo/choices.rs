//! What the invented visitors of the demonstration allowed: receipts of sixty days, in which a new wording of the banner
//! changed something.
//!
//! Guarantees: the same seed and the same end give the same choices, in order of time. A refusal names nobody.

use cairn_engine::ingest::statement::Signal;
use cairn_model::receipt::ChoiceMade;
use cairn_model::{Choice, SiteId, VisitorId};

use super::history::{DAY_MS, DAYS};
use super::random::Random;

/// Choices of a day.
const PER_DAY: u64 = 60;
/// Days after which the banner had other words.
const REWORDED_AFTER_DAYS: i64 = 34;
/// Version of the banner, with how many allow analytics and, of those, advertising.
const WORDINGS: [(&str, f64, f64); 2] = [("2026-09", 0.54, 0.48), ("2026-10", 0.66, 0.52)];

/// Where visitors are as the policy sees it, and the language in which they are asked.
const PLACES: &[(u32, (&str, &str))] = &[
    (48, ("eea", "de")),
    (9, ("eea", "fr")),
    (8, ("eea", "es")),
    (14, ("eea", "en")),
    (8, ("switzerland", "de")),
    (7, ("uk", "en")),
    (6, ("US", "en")),
];

const SIGNALS: &[(u32, Signal)] =
    &[(88, Signal::Banner), (9, Signal::PreferenceCentre), (3, Signal::Page)];

/// The choices of the history that ends at `end_ms`.
pub fn choices(seed: u64, site_id: SiteId, end_ms: i64) -> Vec<ChoiceMade<'static>> {
    let mut random = Random::new(seed);
    let mut made = Vec::new();
    for day in 0..DAYS {
        let from_ms = end_ms - (DAYS - day) * DAY_MS;
        let (version, allow, allow_ads) = WORDINGS[usize::from(day >= REWORDED_AFTER_DAYS)];
        for _ in 0..PER_DAY / 2 + random.below(PER_DAY) {
            let (region, language) = *random.choose(PLACES);
            let answers = answers(&mut random, allow, allow_ads);
            let is_yes = answers.contains(&Some(Choice::Granted));
            made.push(ChoiceMade {
                site_id,
                at_ms: from_ms + random.below(DAY_MS.unsigned_abs()).cast_signed(),
                subject: VisitorId(if is_yes { random.number() | 1 } else { 0 }),
                answers,
                version: version.into(),
                language: language.into(),
                signal: random.choose(SIGNALS).name().into(),
                region: region.into(),
                policy: "regional".into(),
                gpc: random.chance(0.04),
            });
        }
    }
    made.sort_by_key(|choice| choice.at_ms);
    made
}

fn answers(random: &mut Random, allow: f64, allow_ads: f64) -> [Option<Choice>; 4] {
    let said = |yes| Some(if yes { Choice::Granted } else { Choice::Denied });
    let analytics = random.chance(allow);
    let ads = analytics && random.chance(allow_ads);
    [said(analytics), said(ads), said(ads), said(analytics || random.chance(0.2))]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_wording_is_allowed_more_often_and_a_refusal_names_nobody() {
        let end_ms = 1_795_341_600_000;
        let made = choices(7, SiteId(1), end_ms);
        let rate = |version: &str| {
            let of: Vec<_> = made.iter().filter(|choice| choice.version == version).collect();
            let yes = of.iter().filter(|choice| choice.answers[0] == Some(Choice::Granted)).count();
            yes as f64 / of.len() as f64
        };
        assert!(rate("2026-10") > rate("2026-09") + 0.05);
        assert!(made.iter().all(|choice| choice.at_ms < end_ms));
        assert!(made.is_sorted_by_key(|choice| choice.at_ms));
        for choice in &made {
            let is_yes = choice.answers.contains(&Some(Choice::Granted));
            assert_eq!(is_yes, choice.subject != VisitorId(0));
        }
    }
}
