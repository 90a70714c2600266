//! What happens beside the visits of the invented shop: how pages were read, what was clicked, filled in and searched for,
//! mails that were opened and ads that were shown.
//!
//! Guarantees: bounded by the visits told, and a few thousand events of mails and ads. What counts as an event is counted
//! in the truth as everything else.

use serde_json::{Value, json};

use super::history::{DAY_MS, MINUTE_MS, Story, Visit};

/// Share of the visits of which it is told how their pages were read.
pub(super) const DETAILED: f64 = 0.3;

/// A form of the shop, as the tracker names it.
pub(super) struct Form {
    id: &'static str,
    destination: &'static str,
    fields: &'static [(u32, &'static str)],
}

/// The order.
pub(super) const CHECKOUT: Form = Form {
    id: "checkout",
    destination: "/demo/checkout.html",
    fields: &[(5, "email"), (3, "name"), (2, "delivery")],
};
const NEWSLETTER: Form = Form { id: "newsletter", destination: "/demo/", fields: &[(1, "email")] };

/// A section of a page: who comes so far of a hundred, how many of those read it, milliseconds in view.
type Section = (&'static str, u32, u32, f64);

const HOME: &[Section] = &[
    ("hero", 100, 62, 4_200.0),
    ("catalogue", 81, 71, 21_000.0),
    ("promises", 43, 38, 6_500.0),
    ("newsletter", 29, 30, 3_100.0),
];
const ARTICLE: &[Section] = &[("description", 97, 66, 17_500.0), ("beside", 52, 41, 5_200.0)];
const ORDER: &[Section] = &[("checkout", 100, 88, 41_000.0)];

const CLICKS: &[(u32, [&str; 3])] = &[
    (22, ["a", "", "See all eight"]),
    (20, ["button", "", "Add to cart"]),
    (14, ["a", "cart-link", ""]),
    (12, ["summary", "", "Delivery and returns"]),
    (9, ["button", "", "Add"]),
    (6, ["a", "", "Go to the cart"]),
];
const OUTBOUND: &[(u32, (&str, &str))] = &[
    (5, ("https://hikers-notebook.example/ten-light-tents", "Ten light tents, compared")),
    (4, ("https://repair-guild.example/find", "Find a mender near you")),
    (2, ("https://parcels.example/track", "Follow a parcel")),
];
const DOWNLOADS: &[(u32, &str)] =
    &[(6, "tarn-2-setup.pdf"), (3, "cairn-38-fitting.pdf"), (2, "ember-safety.pdf")];
const SEARCHES: &[(u32, &str)] = &[
    (9, "tent"),
    (6, "kettle"),
    (5, "sleeping bag"),
    (4, "boots size 47"),
    (3, "gas cartridge"),
    (2, "rain jacket"),
    (1, "gift card"),
];
const GONE: &[(u32, &str)] =
    &[(6, "/demo/tarn-1.html"), (3, "/demo/sale.html"), (2, "/demo/jobs.html"), (1, "/demo/.env")];

/// Day of the history on which a mail goes out, its campaign, its template, to how many.
const MAILINGS: [(i64, &str, &str, u64); 3] = [
    (12, "field-notes-spring", "letter", 420),
    (40, "autumn-sale", "offer", 560),
    (54, "autumn-sale-last-days", "offer", 540),
];
const MAIL_LINKS: &[(u32, &str)] =
    &[(5, "/demo/"), (4, "/demo/tarn-2.html"), (2, "/demo/dusk.html"), (1, "/demo/glow.html")];
/// What opens a mail: share, verdict, reasons.
const READERS: &[(u32, (&str, &str))] = &[
    (46, ("human", "gmail_proxy")),
    (18, ("human", "mail_program")),
    (25, ("unknown", "apple_relay")),
    (7, ("machine", "security_scanner")),
    (4, ("machine", "too_soon")),
];

/// An ad: share, creative, placement, how many of a hundred are viewable, clicks of a thousand.
type Ad = (u32, (&'static str, &'static str, u32, u32));
const ADS: &[Ad] = &[
    (5, ("reel-1", "mountain-weekly.example/top", 71, 9)),
    (4, ("reel-2", "mountain-weekly.example/side", 48, 5)),
    (3, ("banner-wide", "weather-peak.example/home", 62, 4)),
    (2, ("banner-tall", "weather-peak.example/map", 33, 2)),
];
const AD_QUERY: &str = "utm_source=summit-network&utm_medium=display&utm_campaign=ridge-film";
/// First and last day of the ads, people they reach on each.
const AD_DAYS: (i64, i64, u64) = (30, 58, 22);

impl Story<'_> {
    /// Stays on the page for a while and leaves it.
    pub(super) fn leave(&mut self, visit: &mut Visit, stay_ms: i64) {
        if visit.is_detailed {
            self.act(visit);
        }
        visit.at_ms += stay_ms;
        if !visit.is_detailed {
            return;
        }
        let share = 0.55 + 0.4 * self.aside.fraction();
        let mut report = json!({
            "engagement_ms": (stay_ms as f64 * share) as i64,
            "scroll_percent": 20 + self.aside.below(81),
        });
        if !visit.told_vitals {
            visit.told_vitals = true;
            report["props"] = self.vitals(visit);
        }
        self.tell(visit, "engagement", report);
        self.sections(visit, stay_ms);
    }

    /// Leaves the last page.
    pub(super) fn end(&mut self, visit: &mut Visit) {
        let stay_ms = (self.aside.wait(30.0, 3.0).min(120.0) * 1_000.0) as i64;
        self.leave(visit, stay_ms);
    }

    fn vitals(&mut self, visit: &Visit) -> Value {
        let is_mobile = visit.base["device"]["type"] == "mobile";
        let slow = if is_mobile { 1.5 } else { 1.0 };
        let mut about = |least: f64, mean: f64| (least + self.aside.wait(mean, 0.0)) * slow;
        let (ttfb_ms, lcp_ms) = (about(90.0, 210.0), about(700.0, 750.0));
        let (inp_ms, cls) = (about(24.0, 90.0), about(0.0, 0.045));
        json!({
            "ttfb_ms": ttfb_ms as i64,
            "lcp_ms": lcp_ms as i64,
            "inp_ms": inp_ms as i64,
            "cls": (cls * 10_000.0).round() / 10_000.0,
        })
    }

    fn sections(&mut self, visit: &Visit, stay_ms: i64) {
        let sections = match visit.path.as_str() {
            "/demo/" => HOME,
            "/demo/checkout.html" => ORDER,
            "/demo/cart.html" | "/demo/thanks.html" => return,
            path if GONE.iter().any(|(_, gone)| *gone == path) => return,
            _ => ARTICLE,
        };
        for (id, seen, read, mean_ms) in sections {
            if self.aside.below(100) >= u64::from(*seen) {
                break;
            }
            let visible_ms = self.aside.wait(*mean_ms, 250.0).min(stay_ms as f64) as i64;
            let is_read = self.aside.below(100) < u64::from(*read);
            let visible_percent = if is_read { 100 } else { 30 + self.aside.below(71) };
            let section =
                json!({"id": id, "visible_ms": visible_ms, "visible_percent": visible_percent});
            let reading = if is_read { "read" } else { "skimmed" };
            let report = json!({"section": section, "props": {"reading": reading}});
            self.tell(visit, "engagement", report);
        }
    }

    /// Clicks, searches, fills in, or runs into a page that is gone.
    fn act(&mut self, visit: &mut Visit) {
        if self.aside.chance(0.35) {
            let [element, id, text] = *self.aside.choose(CLICKS);
            let mut props = json!({"element": element});
            for (name, value) in [("element_id", id), ("element_text", text)] {
                if !value.is_empty() {
                    props[name] = json!(value);
                }
            }
            self.line(visit, "click", json!({ "props": props }));
        }
        if self.aside.chance(0.03) {
            let (url, text) = *self.aside.choose(OUTBOUND);
            let domain = url.split('/').nth(2).unwrap_or_default();
            let props = json!({"element": "a", "element_text": text, "link_type": "outbound",
                               "link_url": url, "link_domain": domain});
            self.line(visit, "click", json!({ "props": props }));
        }
        if self.aside.chance(0.025) {
            let name = *self.aside.choose(DOWNLOADS);
            let props = json!({"element": "a", "element_text": "Manual", "file_name": name,
                               "file_extension": "pdf"});
            self.line(visit, "file_download", json!({ "props": props }));
        }
        if self.aside.chance(0.05) {
            let term = *self.aside.choose(SEARCHES);
            self.line(visit, "view_search_results", json!({"props": {"search_term": term}}));
        }
        if self.aside.chance(0.012) {
            let path = *self.aside.choose(GONE);
            self.page(visit, path, "");
            self.line(visit, "page_not_found", json!({}));
        }
        if visit.path == "/demo/" && self.aside.chance(0.07) {
            let submits = self.aside.chance(0.58);
            self.fill_in(visit, &NEWSLETTER, submits);
        }
    }

    /// Begins a form, and submits it or leaves it at one of its fields.
    pub(super) fn fill_in(&mut self, visit: &mut Visit, form: &Form, submits: bool) {
        let mut props = json!({"form_id": form.id, "form_destination": form.destination});
        self.line(visit, "form_start", json!({ "props": props }));
        visit.at_ms += 9_000;
        if submits {
            self.line(visit, "form_submit", json!({ "props": props }));
        } else {
            props["field"] = json!(self.aside.choose(form.fields));
            self.line(visit, "form_leave", json!({ "props": props }));
        }
    }

    /// Comes to the site by a link of a mail or an ad: somebody new, for whom it is one visit with one page.
    fn land(&mut self, from: &Visit, path: &str, query: &str) {
        let mut visit = from.on_site();
        self.page(&mut visit, path, query);
        self.end(&mut visit);
        self.truth.visitors += 1;
        self.truth.visits += 1;
        self.truth.events += visit.events;
        self.truth.bounces += u64::from(visit.events == 1);
    }

    /// The mails that went out, and who opened them.
    pub(super) fn mails(&mut self, first_ms: i64) {
        for (day, campaign, template, recipients) in MAILINGS {
            let sent_ms = first_ms + day * DAY_MS + 8 * 60 * MINUTE_MS;
            for recipient in 0..recipients {
                if self.aside.chance(0.44) {
                    self.mail(&format!("{campaign}-{recipient}"), sent_ms, campaign, template);
                }
            }
        }
    }

    fn mail(&mut self, id: &str, sent_ms: i64, campaign: &str, template: &str) {
        let (verdict, reasons) = *self.aside.choose(READERS);
        let is_machine = verdict == "machine";
        let hours = if is_machine { 0.01 } else { 14.0 };
        let at_ms = sent_ms + (self.aside.wait(hours, 0.005) * 60.0 * MINUTE_MS as f64) as i64;
        if at_ms + 60 * MINUTE_MS >= self.end_ms {
            return;
        }
        let mut visit = self.stranger(&format!("recipient-{id}"), at_ms, is_machine);
        visit.base.insert("source".to_owned(), json!("email"));
        visit.base.insert("utm".to_owned(), json!({"medium": "email", "campaign": campaign}));
        let mut props = json!({"campaign": campaign, "template": template,
                               "verdict": verdict, "reasons": reasons});
        self.line(&mut visit, "email_open", json!({ "props": props }));
        let clicks = match verdict {
            "machine" => reasons == "security_scanner",
            "human" => self.aside.chance(0.24),
            _ => self.aside.chance(0.1),
        };
        if clicks {
            visit.at_ms += if is_machine { 900 } else { MINUTE_MS };
            let link = *self.aside.choose(MAIL_LINKS);
            props["link"] = json!(format!("https://shop.example{link}"));
            if !is_machine {
                props["verdict"] = json!("human");
                props["reasons"] = json!("browser");
            }
            self.line(&mut visit, "email_click", json!({ "props": props }));
            if !is_machine {
                let query = format!("utm_source=email&utm_medium=email&utm_campaign={campaign}");
                self.land(&visit, link, &query);
            }
        }
    }

    /// The ads that were shown, and to how many.
    pub(super) fn advertisements(&mut self, first_ms: i64) {
        let (first, last, people) = AD_DAYS;
        for day in first..=last {
            for person in 0..people {
                let minutes = 6 * 60 + self.aside.below(16 * 60) as i64;
                let at_ms = first_ms + day * DAY_MS + minutes * MINUTE_MS;
                if at_ms + 60 * MINUTE_MS < self.end_ms {
                    self.advertisement(&format!("{day}-{person}"), at_ms);
                }
            }
        }
    }

    fn advertisement(&mut self, id: &str, at_ms: i64) {
        let is_machine = self.aside.chance(0.08);
        let mut visit = self.stranger(&format!("reader-{id}"), at_ms, is_machine);
        let utm =
            json!({"source": "summit-network", "medium": "display", "campaign": "ridge-film"});
        visit.base.insert("source".to_owned(), json!("summit-network"));
        visit.base.insert("utm".to_owned(), utm);
        for _ in 0..=self.aside.below(5) {
            let (creative, placement, viewable, clicked) = *self.aside.choose(ADS);
            let verdict = if is_machine { "machine" } else { "human" };
            let props = json!({"campaign": "ridge-film", "creative": creative,
                               "placement": placement, "verdict": verdict,
                               "cost": "0.0042", "cost_currency": "EUR"});
            self.line(&mut visit, "ad_impression", json!({ "props": props }));
            visit.at_ms += 1_200;
            if self.aside.below(100) < u64::from(viewable) {
                self.line(&mut visit, "ad_viewable", json!({ "props": props }));
            }
            visit.at_ms += 4_000;
            let clicks = if is_machine { 60 } else { clicked };
            if self.aside.below(1_000) < u64::from(clicks) {
                self.line(&mut visit, "ad_click", json!({ "props": props }));
                if !is_machine {
                    self.land(&visit, "/demo/tarn-2.html", AD_QUERY);
                    return;
                }
            }
            visit.at_ms += 20_000;
        }
    }
}
