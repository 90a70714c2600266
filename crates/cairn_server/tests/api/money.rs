//! Orders, refunds, currencies and costs: from events and files to what advertising returned.

use serde_json::{Value, json};

use crate::rig::{Answer, Rig};

/// One visitor's page view with this query, and what he did then.
fn visit(visitor: &str, at: &str, query: &str, then: Value) -> Vec<Value> {
    let line = |event: &str, more: &Value| {
        let mut line = json!({"event": event, "timestamp": at, "visitor_id": visitor,
            "url": format!("https://shop.example/{query}")});
        for (name, value) in more.as_object().into_iter().flatten() {
            line[name] = value.clone();
        }
        line
    };
    let mut lines = vec![line("page_view", &json!({}))];
    for done in then.as_array().into_iter().flatten() {
        lines.push(line(done["event"].as_str().unwrap(), done));
    }
    lines
}

fn purchase(order: &str, value: Value, currency: &str) -> Value {
    json!({"event": "purchase", "order_id": order, "value": value, "currency": currency})
}

fn refund(order: &str, value: Value, currency: &str) -> Value {
    json!({"event": "refund", "order_id": order, "value": value, "currency": currency})
}

async fn import(rig: &Rig, site: &str, lines: Vec<Value>) {
    let body = lines.iter().map(Value::to_string).collect::<Vec<_>>().join("\n");
    let path = format!("/api/v1/sites/{site}/import");
    let done = rig.call("POST", &path).owner().body(body).send().await.ok(200);
    assert_eq!(done["rejected"], json!([]), "{done}");
}

async fn ask(rig: &Rig, metrics: &[&str], dimensions: &[&str], more: Value) -> Value {
    let mut body = json!({"site_id": "shop.example", "metrics": metrics, "dimensions": dimensions,
        "date_range": ["2026-11-10", "2026-11-20"]});
    for (name, value) in more.as_object().into_iter().flatten() {
        body[name] = value.clone();
    }
    rig.post("/api/v2/query", &body).owner().send().await.ok(200)
}

/// Rows as text and numbers: amounts by their value.
fn rows(answer: &Value) -> Vec<(String, Vec<Value>)> {
    let plain =
        |value: &Value| if value.is_object() { value["value"].clone() } else { value.clone() };
    let row = |row: &Value| {
        let labels: Vec<&str> =
            row["dimensions"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        (labels.join("/"), row["metrics"].as_array().unwrap().iter().map(plain).collect())
    };
    answer["results"].as_array().unwrap().iter().map(row).collect()
}

fn of(label: &str, values: Value) -> (String, Vec<Value>) {
    (label.to_owned(), values.as_array().unwrap().clone())
}

async fn rates(rig: &Rig, text: &str) -> Answer {
    let call = rig.call("POST", "/api/v1/instance/rates").owner();
    call.header("content-type", "text/csv").body(text).send().await
}

const SPRING: &str =
    "?utm_source=google&utm_medium=cpc&utm_campaign=Spring&utm_content=a&utm_term=tent";
const MAIL: &str = "?utm_source=newsletter&utm_medium=email&utm_campaign=News";

/// Orders of two campaigns and of nobody, with all that can happen to an order.
async fn shop() -> (Rig, String) {
    let rig = Rig::new();
    let site = rig.site("shop.example").await;
    // A refund that comes before its order.
    let early = refund("o1", json!(20), "EUR");
    import(&rig, &site, visit("s", "2026-11-09T09:00:00Z", "", json!([early]))).await;
    let mut lines = visit(
        "v1",
        "2026-11-11T09:00:00Z",
        SPRING,
        json!([purchase("o1", json!(100), "EUR"), purchase("o1", json!(100), "EUR")]),
    );
    lines.extend(visit(
        "v2",
        "2026-11-12T09:00:00Z",
        SPRING,
        json!([purchase("o2", json!("50.00"), "USD"), {"event": "sign_up"}]),
    ));
    lines.extend(visit(
        "v3",
        "2026-11-12T10:00:00Z",
        MAIL,
        json!([purchase("o3", json!(30), "EUR"), purchase("o4", json!(9), "CHF")]),
    ));
    lines.extend(visit("v4", "2026-11-13T10:00:00Z", "", json!([{"event": "purchase"}])));
    // Long after: a part of one order, more than there was of another, the whole of a third; and the thanks page again.
    lines.extend(visit(
        "s",
        "2026-11-19T09:00:00Z",
        "",
        json!([
            refund("o1", json!(5.5), "EUR"),
            refund("o2", json!(40), "USD"),
            refund("o2", json!(40), "USD"),
            refund("o3", json!(1), "USD"),
            refund("unknown", json!(1), "EUR"),
            {"event": "order_cancelled", "order_id": "o3"},
            purchase("o2", json!("50.00"), "USD"),
        ]),
    ));
    import(&rig, &site, lines).await;
    let history = "Date,USD,JPY,CYP,\n2026-11-12,1.25,180,N/A,\n2026-11-10,1.20,N/A,N/A,\n";
    let stored = rates(&rig, history).await.ok(200);
    assert_eq!(stored, json!({"added": 3, "replaced": 0, "skipped": ["CYP"]}));
    (rig, site)
}

const ORDERS: [&str; 5] = ["orders", "revenue", "refunds", "net_revenue", "average_order_value"];

#[tokio::test]
async fn orders_count_once_and_refunds_correct_them_on_the_orders_day() {
    let (rig, _) = shop().await;
    let answer = ask(&rig, &ORDERS, &["visit:utm_campaign"], json!({})).await;
    // o1: 100.00 less 25.50; o2: 50 dollars at 1.25, all given back; o3 cancelled; o4 in francs, without a rate.
    assert_eq!(
        rows(&answer),
        [
            of("News", json!([2, 30.0, 30.0, 0.0, 30.0])),
            of("Spring", json!([2, 140.0, 65.5, 74.5, 70.0])),
            of("(not set)", json!([1, 0.0, 0.0, 0.0, null])),
        ]
    );
    let money = &answer["meta"]["money"];
    assert_eq!((&money["currency"], &money["repeated_orders"]), (&json!("EUR"), &json!(2)));
    assert_eq!(money["unmatched_refunds"], 2, "of nothing, and in another currency than its order");
    let apart = &money["orders_not_converted"][0];
    assert_eq!((&apart["orders"], &apart["revenue"]["long"]), (&json!(1), &json!("CHF 9.00")));
    let by_day = ask(&rig, &["net_revenue"], &["time:day"], json!({})).await;
    assert_eq!(
        rows(&by_day),
        [
            of("2026-11-11", json!([74.5])),
            of("2026-11-12", json!([0.0])),
            of("2026-11-13", json!([0.0])),
        ],
        "nothing on the days of the refunds"
    );
    let later = json!({"date_range": ["2026-11-15", "2026-11-20"]});
    let later = ask(&rig, &["orders", "revenue"], &[], later).await;
    assert_eq!(rows(&later), [of("", json!([0, 0.0]))], "a repetition is no order of its day");
    assert_eq!(later["meta"]["money"]["repeated_orders"], 1);
}

#[tokio::test]
async fn a_rate_is_that_of_the_orders_day_and_not_older_than_allowed() {
    let (rig, site) = shop().await;
    let dollars = |at: &'static str, order: &'static str| {
        visit(order, at, "", json!([purchase(order, json!(12), "USD")]))
    };
    let mut lines = dollars("2026-11-11T12:00:00Z", "d1");
    lines.extend(dollars("2026-11-19T12:00:00Z", "d2"));
    lines.extend(dollars("2026-11-20T12:00:00Z", "d3"));
    lines.extend(dollars("2026-11-09T12:00:00Z", "d4"));
    import(&rig, &site, lines).await;
    let all = json!({"date_range": ["2026-11-01", "2026-11-20"],
        "filters": [["is", "visit:utm_campaign", ["(not set)"]]]});
    let answer = ask(&rig, &["revenue"], &["time:day"], all).await;
    let told = rows(&answer);
    let day = |day: &str| {
        told.iter().find(|(label, _)| label == day).map(|(_, values)| values[0].clone())
    };
    assert_eq!(day("2026-11-11"), Some(json!(10.0)), "at 1.20, of the day before");
    assert_eq!(day("2026-11-19"), Some(json!(9.6)), "at 1.25, seven days old");
    assert_eq!(day("2026-11-20"), Some(json!(0.0)), "eight days old: none");
    assert_eq!(day("2026-11-09"), Some(json!(0.0)), "none yet");
    let apart = &answer["meta"]["money"]["orders_not_converted"];
    assert_eq!((&apart[0]["orders"], &apart[0]["revenue"]["value"]), (&json!(2), &json!(24.0)));
    // Another base needs another table; without rates nothing is converted.
    let other = rig
        .call("POST", "/api/v1/instance/rates?base=USD")
        .owner()
        .body("date,EUR\n2026-11-12,0.8\n");
    other.send().await.is(409, "conflict");
    rig.call("DELETE", "/api/v1/instance/rates").owner().send().await.ok(204);
    let none = rig.get("/api/v1/instance/rates").owner().send().await.ok(200);
    assert_eq!((&none["base"], &none["currencies"]), (&Value::Null, &json!([])));
    let answer = ask(&rig, &["revenue"], &[], json!({})).await;
    assert_eq!(rows(&answer), [of("", json!([130.0]))]);
    let faulty = rates(&rig, "Date,USD\n2026-11-12,1.x\n").await;
    faulty.is(422, "invalid_value");
    assert!(faulty.text.contains("line 2, column \\\"USD\\\""), "{}", faulty.text);
}

fn cost(date: &str, cost: Value, texts: [&str; 5]) -> Value {
    let [source, medium, campaign, content, term] = texts;
    json!({"date": date, "cost": cost, "source": source, "medium": medium, "campaign": campaign,
        "content": content, "term": term, "clicks": 8, "impressions": 1000})
}

async fn costs(rig: &Rig, site: &str, costs: Value) -> Answer {
    let path = format!("/api/v1/sites/{site}/costs");
    rig.post(&path, &json!({"costs": costs})).owner().send().await
}

const RETURN: [&str; 6] = ["cost", "conversions", "revenue", "roas", "roi", "cost_per_conversion"];

/// The shop with costs: of the campaign that sold, in other capitals; of one that nobody came from; in another currency.
async fn shop_with_costs() -> (Rig, String) {
    let (rig, site) = shop().await;
    let google = |campaign| ["google", "cpc", campaign, "a", "tent"];
    let put = json!([
        cost("2026-11-11", json!(20), google("spring")),
        cost("2026-11-12", json!("10.000001"), google("spring")),
        cost("2026-11-12", json!(5), google("Nobody")),
        cost("2026-11-09", json!(1000), google("spring")),
    ]);
    assert_eq!(costs(&rig, &site, put.clone()).await.ok(200), json!({"added": 4, "replaced": 0}));
    assert_eq!(costs(&rig, &site, put).await.ok(200), json!({"added": 0, "replaced": 4}));
    (rig, site)
}

#[tokio::test]
async fn costs_stand_beside_what_their_campaign_sold() {
    let (rig, site) = shop_with_costs().await;
    let answer = ask(&rig, &RETURN, &["visit:utm_campaign"], json!({})).await;
    let spring = json!([30.0, 2, 140.0, 4.6667, 1.4833, 15.0]);
    assert_eq!(
        rows(&answer),
        [
            of("Spring", spring.clone()),
            of("Nobody", json!([5.0, 0, 0.0, 0.0, -1.0, null])),
            of("(not set)", json!([0.0, 1, 0.0, null, null, 0.0])),
            of("News", json!([0.0, 2, 30.0, null, null, 0.0])),
        ]
    );
    assert_eq!(answer["results"][0]["metrics"][0]["long"], "€30.00");
    // Source and channel are those that visits of such links have.
    for (dimension, label) in [("visit:source", "Google"), ("visit:channel", "Paid Search")] {
        let answer = ask(&rig, &["cost", "revenue"], &[dimension], json!({})).await;
        assert_eq!(rows(&answer)[0], of(label, json!([35.0, 140.0])), "{dimension}");
    }
    for (dimension, label) in [("visit:utm_content", "a"), ("visit:utm_term", "tent")] {
        let answer = ask(&rig, &["cost", "cost_clicks"], &[dimension], json!({})).await;
        assert_eq!(rows(&answer), [of(label, json!([35.0, 24]))], "{dimension}");
    }
    let weeks = ask(&rig, &["cost", "cost_per_click"], &["time:week"], json!({})).await;
    assert_eq!(rows(&weeks), [of("2026-11-10", json!([35.0, 1.4583]))]);
    // Pages, order and totals are of the whole, rows of costs alone among them.
    let page = json!({"order_by": [["cost", "asc"]], "pagination": {"limit": 1, "offset": 2},
        "include": {"total_rows": true}});
    let page = ask(&rig, &["cost", "orders"], &["visit:utm_campaign"], page).await;
    assert_eq!(
        (rows(&page), &page["meta"]["total_rows"]),
        (vec![of("Nobody", json!([5.0, 0]))], &json!(4))
    );
    // Filters on campaigns are of costs, too; a goal says what a conversion is.
    let only = json!({"filters": [["is", "visit:utm_campaign", ["Spring"]]]});
    let only = ask(&rig, &RETURN, &[], only).await;
    assert_eq!(rows(&only), [of("", spring)]);
    let goal = json!({"event_name": "sign_up"});
    rig.post(&format!("/api/v1/sites/{site}/goals"), &goal).owner().send().await.ok(201);
    let goal = json!({"filters": [["is", "event:goal", ["sign_up"]]]});
    let goal = ask(&rig, &["cost", "conversions", "cost_per_conversion"], &[], goal).await;
    assert_eq!(rows(&goal), [of("", json!([35.0, 1, 35.0]))]);
}

#[tokio::test]
async fn what_costs_cannot_answer_is_told_and_not_guessed() {
    let (rig, site) = shop_with_costs().await;
    for (dimensions, more, code) in [
        (vec![], json!({"filters": [["is", "visit:country", ["DE"]]]}), "costs_cannot_be_filtered"),
        (vec!["visit:country"], json!({}), "costs_cannot_be_grouped"),
        (vec!["time:hour"], json!({}), "costs_cannot_be_grouped"),
        (
            vec![],
            json!({"date_range": ["2026-11-10T00:00:00Z", "2026-11-20T12:00:00Z"]}),
            "costs_are_of_whole_days",
        ),
    ] {
        let answer = ask(&rig, &["roas", "revenue", "cost"], &dimensions, more.clone()).await;
        let warnings = &answer["meta"]["metric_warnings"];
        assert_eq!(
            (&warnings["roas"]["code"], &warnings["cost"]["code"]),
            (&json!(code), &json!(code))
        );
        assert_eq!(warnings["revenue"], Value::Null);
        for (_, values) in rows(&answer) {
            assert_eq!((&values[0], &values[2]), (&Value::Null, &Value::Null), "{more}");
        }
    }
    // A text that visits write in two ways is neither: it keeps its own row.
    let other = "?utm_source=google&utm_campaign=SPRING";
    import(&rig, &site, visit("v9", "2026-11-12T09:00:00Z", other, json!([]))).await;
    let answer = ask(&rig, &["cost", "visitors"], &["visit:utm_campaign"], json!({})).await;
    let told = rows(&answer);
    assert!(told.contains(&of("spring", json!([30.0, 0]))), "{told:?}");
    assert!(told.contains(&of("Spring", json!([0.0, 2]))), "{told:?}");
    // Costs without a rate are told apart.
    let francs =
        json!([{"date": "2026-11-12", "cost": 7.5, "currency": "CHF", "source": "google"}]);
    costs(&rig, &site, francs).await.ok(200);
    let answer = ask(&rig, &["cost"], &[], json!({})).await;
    assert_eq!(rows(&answer), [of("", json!([35.0]))]);
    assert_eq!(answer["meta"]["money"]["costs_not_converted"][0]["long"], "CHF 7.50");
    // Compared with the days before, where one campaign cost more than it does now.
    let compared = json!({"include": {"comparisons": {"mode": "custom", "date_range": ["2026-11-01", "2026-11-09"]}}});
    let compared = ask(&rig, &["cost"], &[], compared).await;
    let row = &compared["results"][0]["comparison"];
    assert_eq!((&row["metrics"][0]["value"], &row["change"][0]), (&json!(1000.0), &json!(-97)));
}

#[tokio::test]
async fn a_file_of_costs_is_looked_at_and_taken_whole() {
    let (rig, site) = shop().await;
    let path = format!("/api/v1/sites/{site}/costs/import");
    let csv = "Report\nTag;Kampagne;Ausgaben;Klicks\n11.11.2026;Spring;1.020,5;7\n11.11.2026;Spring;0,25;1\n";
    let mut body = json!({"csv": csv, "columns": {"cost": "Ausgaben"}, "fixed": {"source": "google", "medium": "cpc"},
        "decimal_mark": ",", "date_order": "day_first", "preview": true});
    let send = async |body: &Value| rig.post(&path, body).owner().send().await;
    let look = send(&body).await.ok(200);
    assert_eq!(
        (&look["stored"], &look["rows"], &look["costs"]),
        (&json!(false), &json!(2), &json!(1))
    );
    assert_eq!(look["totals"], json!({"EUR": 1020.75}));
    assert_eq!(
        look["columns"],
        json!({"campaign": "Kampagne", "clicks": "Klicks", "cost": "Ausgaben", "date": "Tag"})
    );
    assert_eq!(
        (&look["first"][0]["campaign"], &look["first"][0]["clicks"]),
        (&json!("Spring"), &json!(8))
    );
    let list = format!("/api/v1/sites/{site}/costs");
    let stored =
        async || rig.get(&list).owner().send().await.ok(200)["items"].as_array().unwrap().len();
    assert_eq!(stored().await, 0, "a look stores nothing");
    body["preview"] = json!(false);
    for (added, replaced) in [(1, 0), (0, 1)] {
        let done = send(&body).await.ok(200);
        assert_eq!((&done["added"], &done["replaced"]), (&json!(added), &json!(replaced)));
    }
    assert_eq!(stored().await, 1);
    body["csv"] = json!("Tag;Ausgaben\n12.11.2026;1\n31.2.2026;x\n");
    let faulty = send(&body).await.ok(200);
    assert_eq!((&faulty["stored"], &faulty["fault_count"]), (&json!(false), &json!(2)));
    let place =
        |index: usize| (&faulty["faults"][index]["line"], &faulty["faults"][index]["column"]);
    assert_eq!((place(0), place(1)), ((&json!(3), &json!("Tag")), (&json!(3), &json!("Ausgaben"))));
    assert_eq!(stored().await, 1, "nothing of a file with faults");
    body["columns"] = json!({"price": "Ausgaben"});
    send(&body).await.is(422, "invalid_value");
    // Removed by day and source; another tenant sees and changes nothing.
    let (_, token) = rig.tenant("other@example.com");
    for (method, path) in [("GET", &list), ("DELETE", &list), ("POST", &path)] {
        rig.call(method, path)
            .bearer(token.reveal())
            .json(&json!({"csv": ""}))
            .send()
            .await
            .is(404, "not_found");
    }
    rig.call("POST", "/api/v1/instance/rates")
        .bearer(token.reveal())
        .body("")
        .send()
        .await
        .is(403, "forbidden");
    let none = format!("{list}?from=2026-11-12&source=google");
    rig.call("DELETE", &none).owner().send().await.ok(204);
    assert_eq!(stored().await, 1);
    rig.call("DELETE", &format!("{list}?to=2026-11-11&source=google")).owner().send().await.ok(204);
    assert_eq!(stored().await, 0);
    for (bad, field) in [
        (json!([{"date": "2026-11-12", "cost": -1}]), "costs[0].cost"),
        (json!([{"date": "12.11.2026", "cost": 1}]), "costs[0].date"),
        (json!([{"date": "2026-11-12", "cost": 1, "currency": "EURO"}]), "costs[0].currency"),
        (json!([{"date": "2026-11-12", "cost": 1, "clicks": -1}]), "costs[0].clicks"),
        (json!([{"date": "2026-11-12", "cost": 1, "colour": "red"}]), "costs[0]"),
    ] {
        let answer = costs(&rig, &site, bad).await;
        assert_eq!(answer.json()["error"]["field"], field, "{}", answer.text);
    }
}
