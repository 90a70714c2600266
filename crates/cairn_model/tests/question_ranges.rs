//! Ranges and buckets in real zones: changes of the clock, half hours, midnights that are skipped or repeated.

use cairn_model::SiteId;
use cairn_model::question::{Asking, Question, Range, TimeUnit};
use serde_json::{Value, json};

const NOW: &str = "2024-05-15T12:00:00Z";

fn seconds(text: &str) -> i64 {
    text.parse::<jiff::Timestamp>().expect("an instant").as_second()
}

fn ask_at(zone: &str, now: &str, first: Option<&str>, body: Value) -> Question {
    let asking = Asking {
        site_id: SiteId(1),
        timezone: zone,
        now_ms: seconds(now) * 1000,
        first_event_ms: first.map(|first| seconds(first) * 1000),
        goals: &[],
    };
    Question::parse(&body, &asking).expect("a question")
}

fn ask(zone: &str, range: Value, dimensions: Value) -> Question {
    ask_at(
        zone,
        NOW,
        None,
        json!({"site_id": "s", "metrics": ["visitors"], "date_range": range, "dimensions": dimensions}),
    )
}

fn range(zone: &str, range: Value) -> Range {
    ask(zone, range, json!([])).range
}

fn instants(from: &str, to: &str) -> Range {
    Range { from_s: seconds(from), to_s: seconds(to) }
}

fn labels(zone: &str, range: Value, dimension: &str) -> Vec<String> {
    let question = ask(zone, range, json!([dimension]));
    question.buckets.as_ref().expect("buckets").labels()
}

#[test]
fn shorthands_cover_whole_days_before_today() {
    let utc = |word: &str| range("Etc/UTC", json!(word));
    assert_eq!(utc("day"), instants("2024-05-15T00:00:00Z", "2024-05-15T23:59:59Z"));
    assert_eq!(utc("7d"), instants("2024-05-08T00:00:00Z", "2024-05-14T23:59:59Z"));
    assert_eq!(utc("5000d").to_s, seconds("2024-05-14T23:59:59Z"));
    assert_eq!(utc("month"), instants("2024-05-01T00:00:00Z", "2024-05-31T23:59:59Z"));
    assert_eq!(utc("1mo"), instants("2024-04-01T00:00:00Z", "2024-04-30T23:59:59Z"));
    assert_eq!(utc("12mo"), instants("2023-05-01T00:00:00Z", "2024-04-30T23:59:59Z"));
    assert_eq!(utc("year"), instants("2024-01-01T00:00:00Z", "2024-12-31T23:59:59Z"));
    assert_eq!(utc("all"), instants("2024-05-15T00:00:00Z", "2024-05-15T23:59:59Z"));
}

#[test]
fn all_begins_on_the_local_day_of_the_first_event() {
    let body = json!({"site_id": "s", "metrics": ["visitors"], "date_range": "all"});
    let question = ask_at("Asia/Tokyo", NOW, Some("2024-05-01T20:00:00Z"), body);
    assert_eq!(question.range, instants("2024-05-01T15:00:00Z", "2024-05-15T14:59:59Z"));
}

#[test]
fn today_is_taken_in_the_zone_of_the_site() {
    let day = |zone: &str, now: &str| {
        ask_at(zone, now, None, json!({"site_id": "s", "metrics": ["visits"], "date_range": "day"}))
            .range
    };
    assert_eq!(
        day("America/New_York", "2024-01-02T02:00:00Z"),
        instants("2024-01-01T05:00:00Z", "2024-01-02T04:59:59Z")
    );
    assert_eq!(
        day("Asia/Kathmandu", "2024-01-01T18:30:00Z"),
        instants("2024-01-01T18:15:00Z", "2024-01-02T18:14:59Z")
    );
}

#[test]
fn a_day_without_midnight_starts_when_the_clock_does() {
    // Brazil gave up summer time in 2019; in 2018 it began by skipping midnight.
    assert_eq!(
        range("America/Sao_Paulo", json!(["2018-11-04", "2018-11-04"])),
        instants("2018-11-04T03:00:00Z", "2018-11-05T01:59:59Z")
    );
    assert_eq!(
        range("America/Santiago", json!(["2022-09-11", "2022-09-11"])),
        instants("2022-09-11T04:00:00Z", "2022-09-12T02:59:59Z")
    );
}

#[test]
fn a_day_with_two_midnights_starts_at_the_later_one() {
    assert_eq!(
        range("America/Havana", json!(["2023-11-05", "2023-11-05"])),
        instants("2023-11-05T05:00:00Z", "2023-11-06T04:59:59Z")
    );
}

#[test]
fn a_day_whose_last_second_occurs_twice_ends_at_the_earlier_one() {
    // In Sao Paulo the clock went from midnight back to 23:00 on 17 February 2018.
    assert_eq!(
        range("America/Sao_Paulo", json!(["2018-02-17", "2018-02-17"])),
        instants("2018-02-17T02:00:00Z", "2018-02-18T01:59:59Z")
    );
}

#[test]
fn a_day_that_does_not_exist_is_empty() {
    // Samoa went from 29 to 31 December 2011.
    let missing = range("Pacific/Apia", json!(["2011-12-30", "2011-12-30"]));
    assert_eq!(missing.to_s, missing.from_s - 1);
    let both = range("Pacific/Apia", json!(["2011-12-29", "2011-12-31"]));
    assert_eq!(both.to_s - both.from_s + 1, 2 * 86_400);
}

#[test]
fn days_of_changing_clocks_have_23_and_25_hours() {
    let spring = labels("Europe/Berlin", json!(["2024-03-31", "2024-03-31"]), "time:hour");
    assert_eq!(spring.len(), 23);
    assert!(!spring.contains(&"2024-03-31 02:00:00".to_owned()));
    let autumn = labels("Europe/Berlin", json!(["2024-10-27", "2024-10-27"]), "time:hour");
    assert_eq!(autumn.len(), 25);
    assert_eq!(autumn.iter().filter(|label| *label == "2024-10-27 02:00:00").count(), 2);
    assert_eq!(autumn.last().map(String::as_str), Some("2024-10-27 23:00:00"));
}

#[test]
fn a_change_by_half_an_hour_gives_a_half_bucket() {
    // Lord Howe Island: at 02:00 back to 01:30.
    let hours = labels("Australia/Lord_Howe", json!(["2024-04-07", "2024-04-07"]), "time:hour");
    assert_eq!(hours.len(), 25);
    assert_eq!(hours.iter().filter(|label| *label == "2024-04-07 01:00:00").count(), 2);
    // And at 02:00 on to 02:30: every hour is there, one of them short.
    let forward = labels("Australia/Lord_Howe", json!(["2024-10-06", "2024-10-06"]), "time:hour");
    assert_eq!(forward.len(), 24);
}

#[test]
fn odd_offsets_cut_at_local_hours() {
    let question = ask("Asia/Kathmandu", json!(["2024-01-01", "2024-01-01"]), json!(["time:hour"]));
    let buckets = question.buckets.as_ref().expect("buckets");
    assert_eq!(buckets.count(), 24);
    let index = buckets.index_of(seconds("2024-01-01T05:15:00Z") * 1000);
    assert_eq!(buckets.label(index), "2024-01-01 11:00:00");
}

/// Every bucket's first and last instants agree with the calendar.
#[test]
fn buckets_agree_with_the_calendar() {
    let zones = [
        "Etc/UTC",
        "Europe/Berlin",
        "America/Havana",
        "Asia/Kathmandu",
        "Australia/Lord_Howe",
        "America/Sao_Paulo",
        "Pacific/Apia",
    ];
    for zone_name in zones {
        let zone = jiff::tz::TimeZone::get(zone_name).expect("a zone");
        let question = ask(zone_name, json!(["2011-09-05", "2012-04-20"]), json!(["time:hour"]));
        for unit in [TimeUnit::Hour, TimeUnit::Day, TimeUnit::Week, TimeUnit::Month] {
            let buckets =
                cairn_model::question::Buckets::cut(unit, question.range, &zone).expect("buckets");
            let mut last = 0;
            for step in 0..5500_i64 {
                let instant_s = question.range.from_s + step * 3600 + 1234;
                let local =
                    zone.to_datetime(jiff::Timestamp::from_second(instant_s).expect("instant"));
                let index = buckets.index_of(instant_s * 1000);
                assert!(index >= last || unit != TimeUnit::Hour, "{zone_name}: buckets go back");
                last = index;
                let expected = match unit {
                    TimeUnit::Hour => format!("{} {:02}:00:00", local.date(), local.hour()),
                    TimeUnit::Day => local.date().to_string(),
                    TimeUnit::Week => {
                        let monday =
                            local
                                .date()
                                .checked_sub(jiff::Span::new().days(i64::from(
                                    local.date().weekday().to_monday_zero_offset(),
                                )))
                                .expect("monday");
                        monday.max(jiff::civil::date(2011, 9, 5)).to_string()
                    }
                    TimeUnit::Month => local.date().first_of_month().to_string(),
                };
                if index < buckets.count() {
                    assert_eq!(buckets.label(index), expected, "{zone_name} {unit:?} {instant_s}");
                }
            }
        }
    }
}

#[test]
fn the_first_week_is_named_after_the_first_day() {
    assert_eq!(
        labels("Etc/UTC", json!(["2020-12-20", "2021-01-07"]), "time:week"),
        ["2020-12-20", "2020-12-21", "2020-12-28", "2021-01-04"]
    );
    assert_eq!(
        labels("Europe/Copenhagen", json!(["2023-03-01", "2023-03-31"]), "time:week")
            .first()
            .map(String::as_str),
        Some("2023-03-01")
    );
}

#[test]
fn time_fits_the_length_of_the_range() {
    let unit = |from: &str, to: &str| {
        ask("Etc/UTC", json!([from, to]), json!(["time"])).buckets.as_ref().expect("buckets").unit()
    };
    assert_eq!(unit("2022-01-01", "2022-01-02"), TimeUnit::Hour);
    assert_eq!(unit("2022-01-01", "2022-01-03"), TimeUnit::Day);
    assert_eq!(unit("2022-01-01", "2022-02-10"), TimeUnit::Day);
    assert_eq!(unit("2022-01-01", "2022-02-11"), TimeUnit::Week);
    assert_eq!(unit("2022-01-01", "2022-12-31"), TimeUnit::Week);
    assert_eq!(unit("2022-01-01", "2023-11-16"), TimeUnit::Month);
}

#[test]
fn comparisons_go_back_by_days_and_stop_at_today() {
    let compared = |zone: &str, range: Value, comparison: Value| {
        let body = json!({"site_id": "s", "metrics": ["visitors"], "date_range": range, "include": {"comparisons": comparison}});
        let question = ask_at(zone, NOW, None, body);
        question.include.comparison.clone().expect("a comparison").range
    };
    let previous = json!({"mode": "previous_period"});
    assert_eq!(
        compared("Etc/UTC", json!(["2021-01-07", "2021-01-13"]), previous.clone()),
        instants("2020-12-31T00:00:00Z", "2021-01-06T23:59:59Z")
    );
    // Half of May has passed: 15 days, compared with the 15 days before.
    assert_eq!(
        compared("Etc/UTC", json!("month"), previous.clone()),
        instants("2024-04-16T00:00:00Z", "2024-04-30T23:59:59Z")
    );
    // Days, not hours: the earlier one had a change of the clock.
    assert_eq!(
        compared("Europe/Berlin", json!(["2024-04-01", "2024-04-01"]), previous),
        instants("2024-03-30T23:00:00Z", "2024-03-31T21:59:59Z")
    );
    assert_eq!(
        compared("Etc/UTC", json!(["2024-02-29", "2024-03-01"]), json!({"mode": "year_over_year"})),
        instants("2023-02-28T00:00:00Z", "2023-03-01T23:59:59Z")
    );
    assert_eq!(
        compared(
            "Etc/UTC",
            json!(["2024-03-04", "2024-03-05"]),
            json!({"mode": "year_over_year", "match_day_of_week": true})
        ),
        instants("2023-03-06T00:00:00Z", "2023-03-07T23:59:59Z")
    );
}

#[test]
fn the_echo_asks_the_same_question_again() {
    for (zone, range) in [
        ("Europe/Berlin", json!("month")),
        ("America/Havana", json!(["2023-11-05", "2023-11-05"])),
        ("Africa/Monrovia", json!(["1960-05-05", "1960-05-08"])),
        ("Asia/Kathmandu", json!("12mo")),
    ] {
        for dimension in ["time", "time:week", "event:page"] {
            let body = json!({"site_id": "s", "metrics": ["visitors", "visits"], "date_range": range, "dimensions": [dimension],
                "filters": [["is", "event:page", ["/a"]]], "order_by": [["visits", "asc"]], "include": {"comparisons": {"mode": "previous_period"}}});
            let first = ask_at(zone, NOW, None, body);
            let second = ask_at(zone, NOW, None, first.echo.clone());
            assert_eq!(first, second, "{zone} {range} {dimension}");
        }
    }
}
