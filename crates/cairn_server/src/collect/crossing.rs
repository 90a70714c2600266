//! Links between a site's own domains. `POST /link.json`: a word for one link that this browser is about to follow (a browser
//! names its page with a POST only, where the collector is on the page's own host). And the
//! arrival with it: a browser that is nobody yet on the other domain becomes the same visitor there.
//!
//! Guarantees: a word is given to a browser that is known by permission for analytics, on a page of the site, for another
//! listed host. On arrival it gives a new browser its id and does nothing else: whoever has an identity there keeps it, no
//! two known visitors are joined, and permission there is not touched. The first who comes uses the word up, whoever he is;
//! who does not come from the page of the link gets nothing by it.

use std::net::IpAddr;

use cairn_engine::ingest::consent::SentConsent;
use cairn_engine::ingest::page::{normal_host, origin_host};
use cairn_engine::ingest::{Admission, ParsedEvent, Telling, is_listed};
use cairn_engine::token::crossing::CrossingClaims;
use cairn_enrich::RequestKind;
use cairn_model::Purpose;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::json;

use super::answer::{Answer, Cors, add_cors, refusal, whole};
use super::delivery::cors_of;
use super::request::Head;
use super::{Collector, rate_limited, unknown_key};

impl Collector {
    /// Answers with a word for a link, or with none.
    pub fn link(&self, request: &Parts, peer: IpAddr) -> Answer {
        let head = Head::read(&request.headers);
        let (mut key, mut to) = (String::new(), String::new());
        let query = request.uri.query().unwrap_or("").as_bytes();
        for (name, value) in url::form_urlencoded::parse(query) {
            match name.as_ref() {
                "key" => key = value.into_owned(),
                "to" => to = value.into_owned(),
                _ => {}
            }
        }
        let Some(entry) = self.asking_entry(&key) else {
            return refusal(StatusCode::NOT_FOUND, &unknown_key(), Cors::Any);
        };
        let now_ms = self.edge.app.now_ms(&request.headers);
        let hit = head.hit(peer, &self.edge.trusted_proxies, RequestKind::Script, now_ms);
        let cors = cors_of(&head, &entry);
        if !self.edge.limiter.allows(&key, hit.address.ip()) {
            return refusal(StatusCode::TOO_MANY_REQUESTS, &rate_limited(), cors);
        }
        let said = SentConsent::Nothing;
        let admission = self.edge.app.ingest.admit(&hit, &entry, said, Telling::default());
        let body = json!({"link": self.crossing(&admission, &to, now_ms)});
        let mut headers = HeaderMap::with_capacity(8);
        for (name, value) in [
            (header::CONTENT_TYPE, "application/json"),
            (header::CACHE_CONTROL, "no-store"),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        add_cors(&mut headers, cors);
        whole(StatusCode::OK, headers, body.to_string().into())
    }

    /// The word, if this browser may have one.
    fn crossing(&self, admission: &Admission<'_>, to: &str, now_ms: i64) -> Option<String> {
        let entry = admission.entry();
        let site = &entry.site.site;
        let host = normal_host(to).filter(|host| is_listed(site, host))?;
        let from = origin_host(admission.hit().origin)?.into_owned();
        let is_elsewhere = from != host;
        let is_known = admission.known_visitor().is_some() && !admission.is_new();
        let may = entry.pixel.settings.links
            && admission.has_listed_origin()
            && is_elsewhere
            && is_known
            && admission.decision().grants(Purpose::Analytics);
        let id = admission.cookie_id().filter(|_| may)?;
        let mut crossing = [0; 16];
        getrandom::fill(&mut crossing).ok()?;
        let claims = CrossingClaims { made_at_ms: now_ms, crossing, id, from, host };
        self.edge.tokens.seal_crossing(site.id, &claims).ok()
    }

    /// Takes the word of a page's address, if there is one: it is used up, and a browser that is nobody yet gets its id. It
    /// must come from the page whose link it was: whoever has the address by mail or from elsewhere was led there by
    /// somebody else, perhaps to be taken for him.
    pub(super) fn arrive(
        &self,
        admission: &mut Admission<'_>,
        event: &ParsedEvent<'_>,
        now_ms: i64,
    ) {
        let page = &event.page;
        let Some(word) = page.link_token() else { return };
        let entry = admission.entry();
        let site = &entry.site.site;
        let Some(claims) = self.edge.tokens.open_crossing(site.id, word) else { return };
        let leads_here = claims.host == page.hostname()
            && origin_host(admission.hit().origin).is_none_or(|host| host == page.hostname());
        let comes_from_there =
            origin_host(&event.referrer).is_some_and(|host| host == claims.from.as_str());
        if leads_here
            && self.edge.crossings.arrives(&claims, now_ms)
            && comes_from_there
            && entry.pixel.settings.links
        {
            admission.adopt(claims.id);
        }
    }
}
