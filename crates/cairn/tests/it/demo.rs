//! The demonstration: its first screen is full, and its reports tell the truth that was invented.

use serde_json::{Value, json};

use crate::server::Server;

/// A number of the history's truth, which the program says while it starts.
fn told(line: &str, name: &str) -> i64 {
    let (_, rest) = line.split_once(&format!("{name}: ")).unwrap();
    rest.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap()
}

#[test]
fn the_reports_tell_the_truth_of_the_history() {
    let server = Server::demo();
    let line = server.line_with("truth=Truth");
    let sites = server.api("GET", "/api/v1/sites", &Value::Null).json();
    let site = sites["items"][0]["id"].as_str().unwrap().to_owned();
    let metrics = ["visitors", "visits", "pageviews", "events"];
    let question = json!({"site_id": site, "metrics": metrics, "date_range": "all"});
    let answer = server.api("POST", "/api/v2/query", &question).json();
    let truth: Vec<i64> = metrics.iter().map(|name| told(&line, name)).collect();
    assert_eq!(answer["results"][0]["metrics"], json!(truth));
    let question = json!({"site_id": site, "metrics": ["visits"], "date_range": "all",
                          "filters": [["is", "visit:bot", ["true"]]]});
    let answer = server.api("POST", "/api/v2/query", &question).json();
    assert_eq!(answer["results"][0]["metrics"], json!([told(&line, "bot_visits")]));
    let question = json!({"site_id": site, "metrics": ["events"], "date_range": "all",
                          "filters": [["is", "event:name", ["purchase"]]]});
    let answer = server.api("POST", "/api/v2/query", &question).json();
    assert_eq!(answer["results"][0]["metrics"], json!([told(&line, "purchases")]));
    // Every day of the sixty has visits.
    let question = json!({"site_id": site, "metrics": ["visits"], "date_range": "60d",
                          "dimensions": ["time:day"]});
    let answer = server.api("POST", "/api/v2/query", &question).json();
    assert_eq!(answer["results"].as_array().unwrap().len(), 60);
    let cents = [told(&line, "revenue_cents"), told(&line, "refunded_cents")];
    campaigns_have_costs_and_sales(&server, &site, cents);
    what_visitors_allowed_can_be_seen_and_proven(&server, &site);
    the_shop_carries_the_key_of_its_pixel(&server);
}

fn campaigns_have_costs_and_sales(server: &Server, site: &str, cents: [i64; 2]) {
    let metrics = ["cost", "conversions", "revenue", "refunds"];
    let mut question = json!({"site_id": site, "metrics": metrics, "date_range": "all"});
    let answer = server.api("POST", "/api/v2/query", &question).json();
    let found = [2, 3].map(|index| {
        let value = answer["results"][0]["metrics"][index]["value"].as_f64().unwrap();
        (value * 100.0).round() as i64
    });
    assert_eq!(found, cents);
    assert!(cents[1] > 10_000, "something was given back");
    assert_eq!(answer["meta"]["money"], json!({"currency": "EUR"}), "all of it is converted");
    question["dimensions"] = json!(["visit:utm_campaign"]);
    let answer = server.api("POST", "/api/v2/query", &question).json();
    for campaign in ["tents", "ridge-film", "autumn-sale"] {
        let rows = answer["results"].as_array().unwrap();
        let row = rows.iter().find(|row| row["dimensions"][0] == campaign).unwrap();
        let amount = |index: usize| row["metrics"][index]["value"].as_f64().unwrap();
        assert!(amount(0) > 50.0 && amount(2) > 500.0, "{campaign} costs and sells: {row}");
    }
}

fn what_visitors_allowed_can_be_seen_and_proven(server: &Server, site: &str) {
    let get = |path: &str| {
        server.api("GET", &format!("/api/v1/sites/{site}/{path}"), &Value::Null).json()
    };
    let permission = get("permission?date_range=91d");
    assert!(permission["total"]["choices"].as_u64().unwrap() > 2_000, "{permission}");
    assert_eq!(permission["by_day"].as_array().unwrap().len(), 91);
    assert!(permission["by_version"].as_array().unwrap().len() >= 2, "{permission}");
    assert_eq!(get("receipts/verification")["sound"], true);
}

fn the_shop_carries_the_key_of_its_pixel(server: &Server) {
    let page = server.client().send("GET", "/demo/", &[], b"").unwrap();
    assert_eq!(page.status, 200);
    let page = page.text();
    let (_, rest) = page.split_once("/cairn.js?key=").unwrap();
    let key: String = rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
    let hit = format!("/p.gif?key={key}&url=http://127.0.0.1/demo/");
    assert_eq!(server.client().send("GET", &hit, &[], b"").unwrap().outcome(), "accepted");
}
