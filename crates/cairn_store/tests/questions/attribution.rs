//! The same for the paths to conversions.

use cairn_model::question::AttributionQuestion;
use cairn_model::touches::{TouchPath, TouchPaths};

use super::*;

fn random_attribution(dice: &mut Dice, day: &str) -> Value {
    let fields = ["channel", "source", "utm_source", "utm_medium", "utm_campaign", "utm_term"];
    let mut body = json!({
        "date_range": random_body(dice, day)["date_range"],
        "dimension": format!("visit:{}", dice.pick(&fields)),
        "lookback_days": dice.roll(8) + 1,
        "half_life_days": dice.roll(8) + 1,
        "view_through": dice.chance(70).then(|| json!({"window_days": dice.roll(5) + 1})),
    });
    if dice.chance(50) {
        body["filters"] = random_body(dice, day)["filters"].clone();
    }
    match dice.roll(4) {
        0 => body["revenue"] = json!(true),
        _ => body["goal"] = json!(dice.pick(&["Signup", "Blog", "Deep", "Paid", "Opened", "Odd"])),
    }
    body
}

/// Both stores find the same paths; sums of fractions may differ in their last digits. Tells how many paths have several
/// touches or were cut.
fn paths_agree(
    duck: &DuckStore,
    reference: &ReferenceStore,
    asked: &AttributionQuestion,
    case: &str,
) -> usize {
    let mut found = duck.touch_paths(asked).unwrap_or_else(|error| panic!("{case}: {error}"));
    let mut expected = reference.touch_paths(asked).expect("an answer");
    let shares = |found: &mut TouchPaths| -> Vec<f64> {
        let taken = |path: &mut TouchPath| {
            let (shares, weighted) = (&mut path.decay, &mut path.decay_value);
            shares.drain(..).chain(weighted.drain(..)).collect::<Vec<f64>>()
        };
        found.paths.iter_mut().flat_map(taken).collect()
    };
    let (mine, theirs) = (shares(&mut found), shares(&mut expected));
    assert_eq!(found, expected, "{case}");
    assert_eq!(mine.len(), theirs.len(), "{case}");
    for (mine, theirs) in mine.iter().zip(&theirs) {
        assert!((mine - theirs).abs() <= 1e-9 * theirs.abs().max(1.0), "{case}: {mine} {theirs}");
    }
    let conversions: u64 = found.paths.iter().map(|path| path.conversions).sum();
    let is_cut = found.paths_total > found.paths.len() as u64;
    assert!(is_cut || conversions == found.conversions, "{case}");
    let several = found.paths.iter().filter(|path| path.touches.len() > 1).count();
    several + usize::from(is_cut) + usize::from(found.shortened > 0)
}

#[test]
fn random_attributions_get_equal_paths() {
    let goals = goals();
    let (mut asked, mut paths, mut filtered) = (0, 0, 0);
    for seed in 1_u64..13 {
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let day = DAYS[(seed % 6) as usize];
        let (around_ms, _directory, duck, reference) = stores(&mut dice, day);
        let first_event_ms = reference.first_event_ms(SiteId(1)).expect("an answer");
        for _ in 0..60 {
            let asking = asking(&mut dice, &goals, around_ms, first_event_ms);
            let mut body = random_attribution(&mut dice, day);
            let parsed = AttributionQuestion::parse(&body, &asking, "EUR");
            // Some random filters break a rule of the language.
            let mut attribution = parsed.unwrap_or_else(|_| {
                body["filters"] = json!([]);
                AttributionQuestion::parse(&body, &asking, "EUR")
                    .unwrap_or_else(|error| panic!("seed {seed}: {error}: {body}"))
            });
            filtered += usize::from(!attribution.question().filters.is_empty());
            if dice.chance(50) {
                let (paths_max, touches_max) = (dice.roll(9) as u32 + 1, dice.roll(4) as u32 + 1);
                attribution = attribution.bounded(paths_max, touches_max);
            }
            let case = format!("seed {seed}: {body}");
            paths += paths_agree(&duck, &reference, &attribution, &case);
            asked += 1;
        }
    }
    eprintln!("{asked} attributions agree, {filtered} of them with filters");
    assert!(filtered * 5 > asked, "too few had filters");
    assert!(paths > asked, "too few paths had several touches");
}
