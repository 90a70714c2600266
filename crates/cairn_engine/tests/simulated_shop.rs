//! Shops whose causes are known: what each channel really adds, and how far each model of attribution errs.
//!
//! Guarantees: seeded, so the tables are the same on every machine; `docs/attribution.md` quotes them, and this test holds it
//! to them. `cargo test -p cairn_engine --test simulated_shop -- --nocapture` prints them.
//!
//! A person has an intention to buy. Every day something may happen: an advertisement, a mail, a search, a visit without a
//! source. What is done in a visit depends on the intention alone. A channel causes purchases by its push to the intention,
//! and by bringing somebody who would not have come; one that people use *because* they want to buy adds nothing. What a
//! channel truly adds is counted by running the same shop, with the same draws, without it.

use cairn_engine::attribution::{Journey, Journeys, Model};
use cairn_model::touches::decay_shares;

const DAY_MS: i64 = 86_400_000;
const DAYS: u64 = 30;
const PEOPLE: u64 = 60_000;
const SEED: u64 = 2026;
const DIRECT: usize = 0;

/// How people come by a channel.
#[derive(Clone, Copy)]
enum Reach {
    /// Anybody, with this chance a day.
    Anybody(f64),
    /// Whoever was there before, with this chance a day.
    Known(f64),
    /// Whoever wants to buy: so many times the intention. Without the channel such a person comes without a source.
    Seeking(f64),
}

/// A channel: how it is come by, and what it adds to the intention.
struct Channel {
    name: &'static str,
    reach: Reach,
    push: f64,
}

struct Shop {
    title: &'static str,
    channels: Vec<Channel>,
}

fn channel(name: &'static str, reach: Reach, push: f64) -> Channel {
    Channel { name, reach, push }
}

/// The number between 0 and 1 for this person, day and purpose: the same in every run (splitmix64's finish).
fn draw(person: u64, day: u64, purpose: u64) -> f64 {
    let mut bits =
        SEED ^ person.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (day << 40) ^ (purpose << 56);
    for factor in [0xbf58_476d_1ce4_e5b9_u64, 0x94d0_49bb_1331_11eb] {
        bits = (bits ^ (bits >> 30)).wrapping_mul(factor);
    }
    ((bits ^ (bits >> 31)) >> 11) as f64 / (1u64 << 53) as f64
}

/// Days and channels of one person's touches, and whether he bought at the last one.
fn life(shop: &Shop, person: u64, without: &[usize]) -> (Vec<(u64, usize)>, bool) {
    let mut intention = if draw(person, 0, 9) < 0.1 { 0.05 } else { 0.004 };
    let mut touches: Vec<(u64, usize)> = Vec::new();
    for day in 1..=DAYS {
        let mut came_by = None;
        for (number, channel) in shop.channels.iter().enumerate() {
            let chance = match channel.reach {
                Reach::Anybody(chance) => chance,
                Reach::Known(chance) if !touches.is_empty() => chance,
                Reach::Known(_) => 0.0,
                Reach::Seeking(times) => times * intention,
            };
            if draw(person, day, number as u64) < chance {
                came_by = Some(number);
                break;
            }
        }
        let Some(mut number) = came_by else { continue };
        if without.contains(&number) {
            match shop.channels[number].reach {
                Reach::Seeking(_) => number = DIRECT,
                _ => continue,
            }
        }
        intention += shop.channels[number].push;
        touches.push((day, number));
        if draw(person, day, 8) < intention {
            return (touches, true);
        }
    }
    (touches, false)
}

fn conversions(shop: &Shop, without: &[usize]) -> u64 {
    (0..PEOPLE).filter(|person| life(shop, *person, without).1).count() as u64
}

fn journeys(shop: &Shop) -> Journeys<f64> {
    let mut journeys = Vec::new();
    for person in 0..PEOPLE {
        let (touches, has_bought) = life(shop, person, &[]);
        let Some((last, _)) = touches.last() else { continue };
        let ages_ms: Vec<i64> =
            touches.iter().map(|(day, _)| (last - day) as i64 * DAY_MS).collect();
        let bought = if has_bought { 1.0 } else { 0.0 };
        let shares = decay_shares(&ages_ms, 7 * DAY_MS);
        journeys.push(Journey {
            touches: touches.iter().map(|(_, channel)| *channel).collect(),
            conversions: bought,
            value: bought,
            without: 1.0 - bought,
            decay: shares.iter().map(|share| share * bought).collect(),
            decay_value: shares.iter().map(|share| share * bought).collect(),
        });
    }
    let is_direct = (0..shop.channels.len()).map(|channel| channel == DIRECT).collect();
    Journeys { is_direct, journeys }
}

/// Each channel's part of all.
fn parts(numbers: &[f64]) -> Vec<f64> {
    let sum: f64 = numbers.iter().sum();
    numbers.iter().map(|number| number / sum).collect()
}

/// Part of the credit that is with the wrong channel.
fn misplaced(parts: &[f64], truth: &[f64]) -> f64 {
    parts.iter().zip(truth).map(|(part, true_part)| (part - true_part).abs()).sum::<f64>() / 2.0
}

/// What each channel adds, and the share of the credit that each model misplaces.
struct Judged {
    table: String,
    misplaced: Vec<(Model, f64)>,
    /// Part of the conversions that there would not be without all channels.
    caused: f64,
}

fn judge(shop: &Shop) -> Judged {
    let all = conversions(shop, &[]);
    let channels = 0..shop.channels.len();
    let added: Vec<f64> = channels
        .map(|channel| match channel {
            DIRECT => 0.0,
            _ => all as f64 - conversions(shop, &[channel]) as f64,
        })
        .collect();
    let channels: Vec<usize> = (0..shop.channels.len()).filter(|one| *one != DIRECT).collect();
    let caused = 1.0 - conversions(shop, &channels) as f64 / all as f64;
    let truth = parts(&added);
    let journeys = journeys(shop);
    let percent = |part: f64| format!("{:.1}", part * 100.0);
    let names: Vec<&str> = shop.channels.iter().map(|channel| channel.name).collect();
    let mut table = format!("| {} | {} | misplaced |\n", shop.title, names.join(" | "));
    table.push_str(&format!("|---|{}\n", "--:|".repeat(names.len() + 1)));
    let mut row = |name: &str, parts: &[f64], misplaced: String| {
        let cells: Vec<String> = parts.iter().map(|part| percent(*part)).collect();
        table.push_str(&format!("| {name} | {} | {misplaced} |\n", cells.join(" | ")));
    };
    row("**truth**", &truth, String::new());
    let mut errors = Vec::new();
    for model in Model::ALL {
        let credits: Vec<f64> =
            journeys.credit(model).iter().map(|credit| credit.conversions).collect();
        let parts = parts(&credits);
        let error = misplaced(&parts, &truth);
        row(&format!("`{}`", model.name()), &parts, percent(error));
        errors.push((model, error));
    }
    Judged { table, misplaced: errors, caused }
}

/// Pushes come early and from channels that seldom close; search, retargeting and direct visits reap.
fn reaping() -> Shop {
    let channels = vec![
        channel("direct", Reach::Seeking(1.0), 0.0),
        channel("search", Reach::Seeking(4.0), 0.0),
        channel("retargeting", Reach::Known(0.08), 0.0),
        channel("social", Reach::Anybody(0.03), 0.03),
        channel("display", Reach::Anybody(0.05), 0.01),
        channel("email", Reach::Known(0.04), 0.02),
    ];
    Shop { title: "shop with reapers", channels }
}

/// Every channel reaches anybody; pushes differ.
fn pushing() -> Shop {
    let channels = vec![
        channel("direct", Reach::Seeking(1.0), 0.0),
        channel("social", Reach::Anybody(0.04), 0.03),
        channel("display", Reach::Anybody(0.04), 0.01),
        channel("video", Reach::Anybody(0.04), 0.02),
        channel("podcast", Reach::Anybody(0.02), 0.02),
    ];
    Shop { title: "shop without reapers", channels }
}

fn error_of(judged: &Judged, model: Model) -> f64 {
    judged.misplaced.iter().find(|(known, _)| *known == model).expect("every model is judged").1
}

#[test]
fn the_documentation_quotes_what_models_make_of_known_causes() {
    let (reaping, pushing) = (judge(&reaping()), judge(&pushing()));
    let share = |judged: &Judged| format!("{:.0} %", judged.caused * 100.0);
    eprintln!("{}\n{}", reaping.table, pushing.table);
    eprintln!("caused: {} and {}", share(&reaping), share(&pushing));
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/attribution.md");
    let page = std::fs::read_to_string(page).expect("the page is there");
    for judged in [&reaping, &pushing] {
        assert!(
            page.contains(&judged.table),
            "docs/attribution.md quotes another table than\n{}",
            judged.table
        );
        let caused = format!("{} of its purchases", share(judged));
        assert!(page.contains(&caused), "docs/attribution.md does not say: {caused}");
    }
    // Where channels reap what others sowed, no model sees it; where none does, models are much nearer.
    assert!(Model::ALL.iter().all(|model| error_of(&reaping, *model) > 0.1));
    let best = |judged: &Judged| {
        judged.misplaced.iter().map(|(_, error)| *error).fold(f64::INFINITY, f64::min)
    };
    assert!(best(&pushing) < best(&reaping) / 2.0);
}
