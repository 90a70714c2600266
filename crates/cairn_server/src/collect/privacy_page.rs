//! The HTML of `/privacy`: what is known, and the forms.
//!
//! Guarantees: every value is escaped; every heading, list and field has a name; nothing needs a script.

use std::fmt::Write;

use cairn_catalog::{ErasureState, PixelEntry, RightsRequest};
use cairn_engine::ingest::consent::RecordedConsent;
use cairn_model::event::PAGE_VIEW;
use cairn_model::notice::Language;
use cairn_model::{Choice, Purpose};
use cairn_store::StoredEvent;

use super::page::{STYLE, languages};
use crate::rights::html::{day, escaped, terms, time};
use crate::rights::{Held, receipts_table};

/// Pages that are listed.
const PAGES_SHOWN: usize = 10;
/// Receipts that are listed; all are in what is taken along.
const RECEIPTS_SHOWN: usize = 20;

/// What every view of the page knows.
pub(super) struct View<'a> {
    pub(super) entry: &'a PixelEntry,
    pub(super) language: &'static Language,
    pub(super) recorded: &'a RecordedConsent,
    pub(super) is_opted_out: bool,
    pub(super) sees_cookies: bool,
    pub(super) is_framed: bool,
}

/// What is held of the browser.
pub(super) struct Shown<'a> {
    pub(super) held: &'a Held,
    pub(super) latest: &'a [StoredEvent],
}

impl View<'_> {
    fn text(&self, name: &str) -> &'static str {
        self.language.page_text(name)
    }

    /// A text that the owner may have replaced.
    fn noticed(&self, name: &str) -> String {
        escaped(self.language.text(&self.entry.site.site.asking.notice, name))
    }

    fn frame(&self, title: &str, nonce: &str, content: &str) -> String {
        let tag = self.language.tag;
        let key = self.entry.pixel.key.as_str();
        let mut html = format!(
            "<!doctype html><html lang=\"{tag}\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width\">\
             <meta name=\"robots\" content=\"noindex\"><title>{title}</title>\
             <style nonce=\"{nonce}\">{STYLE}</style></head><body><main>\
             <h1>{title}</h1><p>{}</p>{content}",
            escaped(&self.entry.site.site.name)
        );
        let policy = &self.entry.site.site.asking.notice.policy_url;
        if !policy.is_empty() {
            // Writing to a String cannot fail.
            let _ = write!(
                html,
                "<p><a href=\"{}\" target=\"_top\">{}</a></p>",
                escaped(policy),
                self.noticed("policy")
            );
        }
        let framed = if self.is_framed { "1" } else { "" };
        let parameters = [("key", key), ("framed", framed)];
        let parameters = if self.is_framed { &parameters[..] } else { &parameters[..1] };
        html.push_str(&languages(self.language, parameters));
        html.push_str("</main></body></html>");
        html
    }

    /// A form that posts these fields and what `content` has.
    fn form(&self, content: &str) -> String {
        let framed =
            if self.is_framed { "<input type=\"hidden\" name=\"framed\" value=\"1\">" } else { "" };
        format!(
            "<form method=\"post\"><input type=\"hidden\" name=\"key\" value=\"{}\">\
             <input type=\"hidden\" name=\"language\" value=\"{}\">{framed}{content}</form>",
            escaped(&self.entry.pixel.key),
            self.language.tag,
        )
    }

    fn button(&self, action: &str, text: &str) -> String {
        format!("<button name=\"action\" value=\"{action}\">{}</button>", self.text(text))
    }

    fn address(&self, more: &[(&str, &str)]) -> String {
        let query = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs([("key", self.entry.pixel.key.as_str()), ("language", self.language.tag)])
            .extend_pairs(self.is_framed.then_some(("framed", "1")))
            .extend_pairs(more)
            .finish();
        escaped(&format!("?{query}"))
    }

    fn link(&self, more: &[(&str, &str)], attributes: &str, text: &str) -> String {
        format!("<a href=\"{}\"{attributes}>{}</a>", self.address(more), self.text(text))
    }

    fn section(&self, title: &str, content: &str) -> String {
        format!("<section><h2>{}</h2>{content}</section>", self.text(title))
    }
}

/// The page itself.
pub(super) fn overview(view: &View<'_>, shown: &Shown<'_>, nonce: &str) -> String {
    let mut content = format!("<p>{}</p>", view.text("lead"));
    if view.is_opted_out {
        let _ =
            write!(content, "<p class=\"state\" role=\"status\">{}</p>", view.text("opted_out"));
    }
    if !view.sees_cookies {
        let link = view.link(&[], " target=\"_blank\"", "open");
        let _ = write!(content, "<p class=\"state\">{} {link}</p>", view.text("framed"));
    } else if shown.held.is_empty() {
        let nothing = format!("<p>{}</p>", view.text("nothing"));
        content.push_str(&view.section("known", &nothing));
    } else {
        content.push_str(&view.section("known", &known(view, shown)));
    }
    content.push_str(&choice(view, shown));
    if !shown.held.is_empty() {
        let files = format!(
            "<p>{}</p><p class=\"links\">{}{}</p>",
            view.text("take_text"),
            view.link(&[("download", "html")], " download", "take_html"),
            view.link(&[("download", "json")], " download", "take_json"),
        );
        content.push_str(&view.section("take", &files));
        let erase = format!(
            "<p>{}</p>{}",
            view.text("erase_text"),
            view.form(&view.button("erase", "erase_button"))
        );
        content.push_str(&view.section("erase", &erase));
    }
    view.frame(view.text("title"), nonce, &content)
}

fn known(view: &View<'_>, shown: &Shown<'_>) -> String {
    let (held, zone) = (shown.held, &view.entry.site.zone);
    let at = |ms: Option<i64>| ms.map_or_else(String::new, |ms| time(ms, zone));
    let latest = shown.latest.first().map(|stored| &stored.event);
    let joined = |parts: [&str; 3]| {
        let parts = parts.into_iter().filter(|part| !part.is_empty());
        escaped(&parts.collect::<Vec<_>>().join(", "))
    };
    let people: Vec<_> = held.people.iter().map(|person| escaped(&person.user_id)).collect();
    let mut html = terms(&[
        (view.text("since"), at(held.summary.first_ms)),
        (view.text("latest"), at(held.summary.last_ms)),
        (view.text("visits"), held.summary.visits.to_string()),
        (view.text("events"), held.summary.events.to_string()),
        (
            view.text("place"),
            latest.map_or_else(String::new, |it| joined([&it.city, &it.region, &it.country])),
        ),
        (
            view.text("device"),
            latest.map_or_else(String::new, |it| joined([&it.browser, &it.os, &it.device])),
        ),
        (
            view.text("source"),
            latest.map_or_else(String::new, |it| joined([&it.source, &it.utm_campaign, ""])),
        ),
        (view.text("person"), people.join(", ")),
    ]);
    if held.hides_person {
        let _ = write!(html, "<p>{}</p>", view.text("unsigned"));
    }
    let pages = shown.latest.iter().filter(|stored| stored.event.name == PAGE_VIEW);
    let pages: String = pages
        .take(PAGES_SHOWN)
        .map(|stored| {
            let at = time(stored.event.timestamp_ms, zone);
            let (host, path) = (&stored.event.hostname, &stored.event.path);
            format!("<li>{at} {}</li>", escaped(&format!("{host}{path}")))
        })
        .collect();
    if !pages.is_empty() {
        let _ = write!(html, "<h3>{}</h3><ul>{pages}</ul>", view.text("pages"));
    }
    let memory: String = held
        .memory
        .iter()
        .map(|row| {
            let until = view.text("until").replace("{day}", &day(row.expires_at_ms, zone));
            let (name, value) = (escaped(&row.name), escaped(&row.value));
            format!("<li>{name}: <code>{value}</code> ({until})</li>")
        })
        .collect();
    if !memory.is_empty() {
        let _ = write!(html, "<h3>{}</h3><ul>{memory}</ul>", view.text("remembered"));
    }
    html
}

fn choice(view: &View<'_>, shown: &Shown<'_>) -> String {
    if !view.sees_cookies {
        return String::new();
    }
    let mut html = String::new();
    if view.is_opted_out {
        if view.recorded.opted_out {
            html.push_str(&view.form(&view.button("opt_in", "back_button")));
        }
    } else {
        html.push_str(&purposes(view));
    }
    let zone = &view.entry.site.zone;
    let receipts = &shown.held.receipts[..shown.held.receipts.len().min(RECEIPTS_SHOWN)];
    let table = receipts_table(receipts, view.language, zone);
    let table = table.unwrap_or_else(|| format!("<p>{}</p>", view.text("no_receipts")));
    let _ = write!(html, "<h3>{}</h3>{table}", view.text("receipts"));
    let mut html = view.section("choice", &html);
    if !view.is_opted_out {
        let button = view.form(&view.button("opt_out", "out_button"));
        let out = format!("<p>{}</p>{button}", view.text("out_text"));
        html.push_str(&view.section("out", &out));
    }
    html
}

/// One box for each purpose, as in the preference centre.
fn purposes(view: &View<'_>) -> String {
    let choices = view.recorded.choices;
    let said = match choices.iter().flatten().map(|recorded| recorded.at_ms).max() {
        Some(at_ms) => view.text("chosen").replace("{day}", &day(at_ms, &view.entry.site.zone)),
        None => view.text("silent").to_owned(),
    };
    let mut boxes = String::new();
    for (purpose, recorded) in Purpose::ALL.iter().zip(choices) {
        let name = purpose.name();
        let granted = recorded.is_some_and(|it| it.choice == Choice::Granted);
        let checked = if granted { " checked" } else { "" };
        let _ = write!(
            boxes,
            "<p class=\"box\"><input type=\"checkbox\" id=\"{name}\" name=\"{name}\" \
             value=\"granted\"{checked} aria-describedby=\"{name}-text\">\
             <label for=\"{name}\">{}</label><span id=\"{name}-text\">{}</span></p>",
            view.noticed(name),
            view.noticed(&format!("{name}_text")),
        );
    }
    let button =
        format!("<button name=\"action\" value=\"choose\">{}</button>", view.noticed("save"));
    let fields =
        format!("<fieldset><legend>{}</legend>{boxes}</fieldset>{button}", view.noticed("centre"));
    format!("<p role=\"status\">{said}</p>{}", view.form(&fields))
}

/// Asks once more.
pub(super) fn confirmation(view: &View<'_>, shown: &Shown<'_>, nonce: &str) -> String {
    let summary = &shown.held.summary;
    let counts = view
        .text("confirm_text")
        .replace("{events}", &summary.events.to_string())
        .replace("{visits}", &summary.visits.to_string());
    let content = format!(
        "<p>{counts}</p><p>{}</p>{}<p>{}</p>",
        view.text("erase_text"),
        view.form(&view.button("erase_now", "confirm_button")),
        view.link(&[], "", "cancel"),
    );
    view.frame(view.text("confirm"), nonce, &content)
}

/// How far an erasure is.
pub(super) fn progress(
    view: &View<'_>,
    request: &RightsRequest,
    state: ErasureState,
    nonce: &str,
) -> String {
    let zone = &view.entry.site.zone;
    let said = match (state, request.closed_at_ms) {
        (_, Some(at_ms)) => view.text("erased").replace("{day}", &day(at_ms, zone)),
        (ErasureState::Waiting | ErasureState::Held, None) => view.text("waiting").to_owned(),
        (_, None) => view.text("erasing").to_owned(),
    };
    let reference = format!("<strong>{}</strong>", escaped(&request.reference));
    let mut content = format!(
        "<p class=\"state\" role=\"status\">{said}</p><p>{}</p><p>{}</p>",
        view.text("reference").replace("{reference}", &reference),
        view.text("remains"),
    );
    if request.closed_at_ms.is_none() {
        let again = view.link(&[("reference", &request.reference)], "", "again");
        let _ = write!(content, "<p>{again}</p>");
    }
    let _ = write!(content, "<p>{}</p>", view.link(&[], "", "back"));
    view.frame(view.text("erase"), nonce, &content)
}
