//! How a site's visitors are asked: rules by place, and the words. And the table of places that the rules refer to.

use std::collections::BTreeMap;

use axum::Json;
use cairn_model::jurisdiction::{PLACE_RULES_MAX, place_code, rows};
use cairn_model::notice::{LANGUAGES, NOTICE_TEXT_SIZE_BYTES_MAX, names};
use cairn_model::{Asking, PlaceRule};
use serde::Serialize;
use utoipa::ToSchema;

use super::body::Fields;
use super::sites::{POLICIES, named};
use crate::auth::Caller;
use crate::error::ApiError;

/// How visitors are asked; what is as the product has it is left out.
#[derive(Serialize, ToSchema)]
pub struct AskingBody {
    /// Place → policy that holds there instead of `policy`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(required = false, example = json!({"DE": "opt_in_strict"}))]
    pub places: BTreeMap<String, String>,
    /// Own words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notice: Option<NoticeBody>,
}

/// The owner's words in banner, preference centre and opt-out page.
#[derive(Serialize, ToSchema)]
#[schema(as = Notice)]
pub struct NoticeBody {
    /// Address of the site's privacy policy; empty: none is linked.
    pub policy_url: String,
    /// Language → name of the text → text. What is left out is the product's own.
    #[schema(example = json!({"de": {"title": "Ihre Wahl"}}))]
    pub texts: BTreeMap<String, BTreeMap<String, String>>,
}

/// Words to be set; what is left out stays.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a body that `Fields` reads")]
pub struct NoticePatch {
    /// An address with `http://` or `https://`; empty: none.
    pub policy_url: Option<String>,
    /// Replaces all own words. Languages: `en`, `de`, `fr`, `es`.
    pub texts: Option<BTreeMap<String, BTreeMap<String, String>>>,
}

/// A place with a law of its own on asking, as this version of Cairn reads it. Not legal advice.
#[derive(Serialize, ToSchema)]
#[schema(as = Place)]
pub struct PlaceBody {
    /// The code that rules name it by.
    #[schema(example = "CA-QC")]
    pub code: &'static str,
    /// Its name.
    pub name: &'static str,
    /// Codes of its countries, for a group.
    pub members: &'static [&'static str],
    /// What `regional` does where nothing was said.
    #[schema(example = "opt_out")]
    pub silence: String,
    /// What its law asks for, as we read it.
    #[schema(example = "opt_in")]
    pub advised: String,
    /// The law gives Global Privacy Control force.
    pub gpc: bool,
    /// In force since; empty: no law of its own.
    pub since: &'static str,
    /// The law with its article.
    pub law: &'static str,
    /// Where it is published.
    pub source: &'static str,
}

/// The table of places.
#[derive(Serialize, ToSchema)]
pub struct PlacesBody {
    /// The places; the first row that names a visitor's place counts.
    pub items: Vec<PlaceBody>,
}

/// Lists the places that have a law of their own on asking, with the law and what follows from it.
#[utoipa::path(get, path = "/api/v1/places", tag = "sites",
    responses((status = 200, body = PlacesBody)))]
pub async fn places(_: Caller) -> Json<PlacesBody> {
    let items = rows()
        .map(|row| PlaceBody {
            code: row.code,
            name: row.name,
            members: row.members,
            silence: named(&POLICIES, row.silence),
            advised: named(&POLICIES, row.advised),
            gpc: row.gpc,
            since: row.since,
            law: row.law,
            source: row.source,
        })
        .collect();
    Json(PlacesBody { items })
}

impl From<&Asking> for AskingBody {
    fn from(asking: &Asking) -> Self {
        let rules = asking.places.iter();
        let notice = &asking.notice;
        let is_own = !notice.policy_url.is_empty() || !notice.texts.is_empty();
        AskingBody {
            places: rules.map(|rule| (rule.code.clone(), named(&POLICIES, rule.policy))).collect(),
            notice: is_own.then(|| NoticeBody {
                policy_url: notice.policy_url.clone(),
                texts: notice.texts.clone(),
            }),
        }
    }
}

/// Changes what the fields of `privacy` say of it.
pub(super) fn change(privacy: &mut Fields, asking: &mut Asking) -> Result<(), ApiError> {
    if privacy.has("places") {
        let path = privacy.path("places");
        let places = privacy.text_map("places", PLACE_RULES_MAX)?;
        let mut rules: Vec<PlaceRule> = places
            .iter()
            .map(|(code, policy)| rule(&path, code, policy))
            .collect::<Result<_, _>>()?;
        rules.sort_unstable_by(|one, other| one.code.cmp(&other.code));
        if let Some(twice) = rules.windows(2).find(|pair| pair[0].code == pair[1].code) {
            let path = format!("{path}.{}", twice[0].code);
            return Err(ApiError::invalid(path, "The place is named twice."));
        }
        asking.places = rules;
    }
    let Some(mut notice) = privacy.object("notice")? else { return Ok(()) };
    if let Some(address) = notice.text("policy_url")? {
        let is_web = |address: &str| {
            url::Url::parse(address).is_ok_and(|url| matches!(url.scheme(), "http" | "https"))
        };
        if !address.is_empty() && !is_web(&address) {
            let message = "The address must begin with https:// or http://.";
            return Err(ApiError::invalid(notice.path("policy_url"), message));
        }
        asking.notice.policy_url = address;
    }
    if let Some(mut texts) = notice.object("texts")? {
        asking.notice.texts = own_words(&mut texts)?;
        texts.finish()?;
    }
    notice.finish()
}

fn rule(path: &str, code: &str, policy: &str) -> Result<PlaceRule, ApiError> {
    let shown: String = code.chars().take(64).collect();
    let path = format!("{path}.{shown}");
    let Some(code) = place_code(code) else {
        let message =
            "A place is a country (DE), a part of one (US-CA), EEA, UK, other or unknown.";
        return Err(ApiError::invalid(path, message));
    };
    let policy = POLICIES.iter().find(|(name, _)| *name == policy).map(|(_, policy)| *policy);
    let policy = policy.ok_or_else(|| {
        let known: Vec<_> = POLICIES.iter().map(|(name, _)| *name).collect();
        ApiError::invalid(path, format!("The value must be one of: {}.", known.join(", ")))
    })?;
    Ok(PlaceRule { code, policy })
}

fn own_words(texts: &mut Fields) -> Result<BTreeMap<String, BTreeMap<String, String>>, ApiError> {
    let mut own = BTreeMap::new();
    for language in &LANGUAGES {
        let path = texts.path(language.tag);
        let words = texts.text_map(language.tag, names().count())?;
        for (name, text) in &words {
            let shown: String = name.chars().take(64).collect();
            let path = format!("{path}.{shown}");
            if !names().any(|known| known == name) {
                let known: Vec<_> = names().collect();
                let error = ApiError::invalid(path, "There is no text of this name.");
                return Err(error.helped_by(format!("Known texts: {}.", known.join(", "))));
            }
            if text.is_empty() || text.len() > NOTICE_TEXT_SIZE_BYTES_MAX {
                let message = format!("A text has 1 to {NOTICE_TEXT_SIZE_BYTES_MAX} bytes.");
                return Err(ApiError::invalid(path, message));
            }
        }
        if !words.is_empty() {
            own.insert(language.tag.to_owned(), words);
        }
    }
    Ok(own)
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use super::*;

    /// The committed page about the table.
    fn documentation() -> String {
        let mut page = String::from(
            "# Places and their laws\n\n\
             What Cairn does where a visitor said nothing, under the policy `regional`, and what the law of his place asks for \
             as we read it in November 2026. It is no legal advice: it knows neither whether a law reaches your site (many have \
             thresholds) nor what your other contracts say. The first row that names a visitor's place counts; parts of \
             countries come before countries, countries before groups. Place means the place of the network that the visitor \
             uses; parts of countries need a database that knows them.\n\n\
             Where *law asks* differs from *silence*, the default of Cairn does less than the law may want: set a rule \
             (`privacy.places`, or **Other rules for single places** in the settings of a site). `docs/consent.md` says how.\n\n\
             This page is generated from `crates/cairn_model/src/jurisdiction.rs`.\n\n\
             | code | place | silence | law asks | GPC binds | since | law |\n|---|---|---|---|---|---|---|\n",
        );
        for row in rows() {
            let law = match row.source {
                "" => row.law.to_owned(),
                source => format!("[{}]({source})", row.law),
            };
            let (silence, advised) = (named(&POLICIES, row.silence), named(&POLICIES, row.advised));
            let gpc = if row.gpc { "yes" } else { "" };
            let (code, name, since) = (row.code, row.name, row.since);
            let _ = writeln!(
                page,
                "| `{code}` | {name} | `{silence}` | `{advised}` | {gpc} | {since} | {law} |"
            );
        }
        for row in rows().filter(|row| !row.members.is_empty()) {
            let _ = write!(page, "\n`{}` is {}.\n", row.code, row.members.join(", "));
        }
        page
    }

    #[test]
    fn the_committed_page_has_every_place() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/regions.md");
        crate::openapi::assert_committed(path, &documentation());
    }
}
