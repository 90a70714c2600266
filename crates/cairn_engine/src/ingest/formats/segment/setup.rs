//! What the browser libraries ask before they send: where to send to, and that nobody else is told.
//!
//! Guarantees: the answer depends on the address and the server's origin only; it is the same for
//! every key, known or not.

use std::borrow::Cow;

use super::super::Request;
use crate::ingest::json::push_text;
use crate::ingest::text::percent_decoded;

/// Longest key that is answered.
const KEY_SIZE_BYTES_MAX: usize = 128;

enum Asker<'a> {
    /// `analytics.js`: `/v1/projects/KEY/settings`.
    Segment(Cow<'a, str>),
    /// RudderStack's: `/sourceConfig/?writeKey=KEY`.
    RudderStack(Cow<'a, str>),
}

fn asker<'a>(path: &'a str, query: &'a str) -> Option<Asker<'a>> {
    let key = path.strip_prefix("/v1/projects/").and_then(|rest| rest.strip_suffix("/settings"));
    if let Some(key) = key {
        return Some(Asker::Segment(percent_decoded(key)?));
    }
    if !matches!(path, "/sourceConfig" | "/sourceConfig/") {
        return None;
    }
    let key = query.split('&').find_map(|pair| pair.strip_prefix("writeKey=")).unwrap_or("");
    Some(Asker::RudderStack(percent_decoded(key)?))
}

/// Whether a path is one of those questions.
pub(super) fn takes(path: &str) -> bool {
    asker(path, "").is_some()
}

/// The settings as JSON, for a server that is reached at this origin.
pub(super) fn answer(request: &Request<'_>, origin: &str) -> Option<String> {
    match asker(request.path, request.query)? {
        Asker::Segment(key) => segment(&sound(key)?, origin),
        Asker::RudderStack(key) => {
            // Browsers send the key as basic authentication too.
            let key = if key.is_empty() { Cow::Borrowed(request.user_name) } else { key };
            Some(rudder_stack(&sound(key)?))
        }
    }
}

/// A key by its look: what else was written into an address is not repeated.
fn sound(key: Cow<'_, str>) -> Option<Cow<'_, str>> {
    let plain = key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    (plain && !key.is_empty() && key.len() <= KEY_SIZE_BYTES_MAX).then_some(key)
}

/// One integration only, whose messages come back here; performance figures are sent to nobody.
fn segment(key: &str, origin: &str) -> Option<String> {
    let (protocol, host) = origin.split_once("://")?;
    let mut json = String::from("{\"integrations\":{\"Segment.io\":{\"apiKey\":");
    push_text(&mut json, key);
    json.push_str(",\"unbundledIntegrations\":[],\"addBundledMetadata\":false,\"apiHost\":");
    push_text(&mut json, &format!("{host}/v1"));
    json.push_str(",\"protocol\":");
    push_text(&mut json, protocol);
    json.push_str("}},\"plan\":{\"track\":{\"__default\":{\"enabled\":true,\"integrations\":{}}},");
    json.push_str("\"identify\":{\"__default\":{\"enabled\":true}},");
    json.push_str("\"group\":{\"__default\":{\"enabled\":true}}},");
    json.push_str("\"edgeFunction\":{},\"analyticsNextEnabled\":true,\"middlewareSettings\":{},");
    json.push_str("\"enabledMiddleware\":{},\"metrics\":{\"sampleRate\":0},");
    json.push_str("\"legacyVideoPluginsEnabled\":false,\"remotePlugins\":[]}");
    Some(json)
}

/// A source without destinations; errors and figures of the library are sent to nobody.
fn rudder_stack(key: &str) -> String {
    let mut json = String::from("{\"source\":{\"id\":\"cairn\",\"name\":\"Cairn\",\"writeKey\":");
    push_text(&mut json, key);
    json.push_str(",\"enabled\":true,\"workspaceId\":\"cairn\",\"connections\":[],");
    json.push_str("\"destinations\":[],\"dataplanes\":{},\"config\":{\"statsCollection\":");
    json.push_str("{\"errors\":{\"enabled\":false},\"metrics\":{\"enabled\":false}}}}}");
    json
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(path: &str, query: &str, user_name: &str) -> Option<serde_json::Value> {
        let request = Request { path, query, user_name, body: b"" };
        let json = answer(&request, "https://stats.shop.example:8443")?;
        Some(serde_json::from_str(&json).unwrap())
    }

    #[test]
    fn libraries_are_sent_here_and_nowhere_else() {
        let settings = asked("/v1/projects/px_7/settings", "", "").unwrap();
        let integrations = settings["integrations"].as_object().unwrap();
        assert_eq!(integrations.keys().collect::<Vec<_>>(), ["Segment.io"]);
        let own = &integrations["Segment.io"];
        assert_eq!((&own["apiKey"], &own["protocol"]), (&"px_7".into(), &"https".into()));
        assert_eq!(own["apiHost"], "stats.shop.example:8443/v1");
        let source = asked("/sourceConfig/", "p=npm&writeKey=px_7&build=legacy", "").unwrap();
        assert_eq!(source["source"]["writeKey"], "px_7");
        assert_eq!(asked("/sourceConfig", "", "px_7"), Some(source));
    }

    #[test]
    fn what_is_no_key_is_not_repeated() {
        for path in ["/v1/projects/%22%3E/settings", "/v1/projects//settings", "/v1/projects/a/b"] {
            assert_eq!(asked(path, "", ""), None, "{path}");
        }
        let long = "k".repeat(KEY_SIZE_BYTES_MAX + 1);
        assert_eq!(asked("/sourceConfig/", &format!("writeKey={long}"), ""), None);
        assert_eq!(asked("/sourceConfig/", "writeKey=%FF", ""), None);
    }
}
