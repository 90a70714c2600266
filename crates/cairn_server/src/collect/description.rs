//! The paths of memory, postbacks and other products' formats, for the OpenAPI document. They are answered by
//! [`super::memory`], [`super::postback`] and [`super::formats`], before any router; the functions here exist for their descriptions.
#![expect(dead_code, reason = "describes what a decoder reads and a report writes")]

use serde_json::Value;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{IntoParams, Modify, OpenApi, ToSchema};

use crate::memory::MemoryBody;

/// One message of Segment's API. Other fields are ignored.
#[derive(ToSchema)]
struct SegmentMessage {
    /// `track` `page` `screen` `identify` `group` `alias`: in a batch only, elsewhere the path says it.
    #[schema(rename = "type")]
    kind: Option<String>,
    /// Name of the event (`track`); Segment's e-commerce names become GA4's.
    #[schema(example = "Order Completed")]
    event: Option<String>,
    /// The owner's id of the person. One of `userId` and `anonymousId` is needed.
    #[schema(rename = "userId")]
    user_id: Option<String>,
    /// The SDK's id of the browser or device.
    #[schema(rename = "anonymousId")]
    anonymous_id: Option<String>,
    /// Becomes `event_id`: at most 256 bytes, repetitions are recognised for 7 days.
    #[schema(rename = "messageId")]
    message_id: Option<String>,
    /// What happened (`track`, `page`, `screen`); at most 64.
    #[schema(value_type = Option<Object>)]
    properties: Option<Value>,
    /// Who it is (`identify`, `group`).
    #[schema(value_type = Option<Object>)]
    traits: Option<Value>,
    /// `page` `ip` `userAgent` `locale` `screen` `campaign` `os` `device` `app` `library` `consent`.
    #[schema(value_type = Option<Object>)]
    context: Option<Value>,
    /// Company (`group`).
    #[schema(rename = "groupId")]
    group_id: Option<String>,
    /// Former id (`alias`).
    #[schema(rename = "previousId")]
    previous_id: Option<String>,
    /// When it happened by the sender's clock (RFC 3339 or Unix milliseconds).
    timestamp: Option<String>,
    /// What the sender's clock showed when it was sent: sets `timestamp` right.
    #[schema(rename = "sentAt")]
    sent_at: Option<String>,
    /// The pixel's key, where basic authentication does not give it.
    #[schema(rename = "writeKey")]
    write_key: Option<String>,
}

/// Many messages.
#[derive(ToSchema)]
struct SegmentBatch {
    /// 1 to 2,500 messages of at most 32 KiB.
    batch: Vec<SegmentMessage>,
    /// Holds for every message that does not say otherwise.
    #[schema(value_type = Option<Object>)]
    context: Option<Value>,
    /// What the sender's clock showed when it was sent.
    #[schema(rename = "sentAt")]
    sent_at: Option<String>,
    /// The pixel's key, where basic authentication does not give it.
    #[schema(rename = "writeKey")]
    write_key: Option<String>,
}

/// What became of the messages; the header `Cairn-Outcome` says it in one word.
#[derive(ToSchema)]
struct SegmentReport {
    /// Nothing was rejected.
    success: bool,
    /// Events that are on disk.
    accepted: u32,
    /// Repetitions that are known at once.
    duplicate: u32,
    /// The others.
    rejected: Vec<SegmentRejected>,
}

/// A message that was not taken.
#[derive(ToSchema)]
struct SegmentRejected {
    /// Its place in the batch, from 0.
    index: u32,
    /// Its outcome.
    #[schema(example = "rejected:malformed")]
    reason: String,
    /// What is wrong.
    message: String,
    /// The field at fault, as it was sent.
    #[schema(example = "properties.revenue")]
    field: Option<String>,
}

macro_rules! message_path {
    ($name:ident, $path:literal, $summary:literal) => {
        #[doc = $summary]
        #[utoipa::path(post, path = $path, tag = "formats", request_body = SegmentMessage,
                    security(("write_key" = [])), responses((status = 200, body = SegmentReport)))]
        fn $name() {}
    };
}

message_path!(track, "/v1/track", "Segment's API: something that somebody did. Also `/v1/t`.");
message_path!(page, "/v1/page", "Segment's API: a page was seen. Also `/v1/p`.");
message_path!(screen, "/v1/screen", "Segment's API: a screen of an app was seen. Also `/v1/s`.");
message_path!(identify, "/v1/identify", "Segment's API: who somebody is. Also `/v1/i`.");
message_path!(group, "/v1/group", "Segment's API: whom somebody belongs to. Also `/v1/g`.");
message_path!(alias, "/v1/alias", "Segment's API: two ids of one person. Also `/v1/a`.");

/// Segment's API: many messages, at most 512 KiB, plain or gzip. Also `/v1/b`, `/v1/import` and RudderStack's
/// `/beacon/v1/batch?writeKey=KEY`.
#[utoipa::path(post, path = "/v1/batch", tag = "formats", request_body = SegmentBatch,
    security(("write_key" = [])), responses((status = 200, body = SegmentReport)))]
fn batch() {}

/// What Segment's browser library asks before it sends: it is told to send here and to nobody else.
#[utoipa::path(get, path = "/v1/projects/{key}/settings", tag = "formats", security(()),
    params(("key" = String, Path, description = "Key of the pixel")),
    responses((status = 200, body = Object)))]
fn settings() {}

/// What RudderStack's browser library asks before it sends.
#[utoipa::path(get, path = "/sourceConfig/", tag = "formats", security(()),
    params(("writeKey" = String, Query, description = "Key of the pixel")),
    responses((status = 200, body = Object)))]
fn source_config() {}

/// A conversion. Names have synonyms, and case, `_` and `-` in them make no difference: docs/postbacks.md.
#[derive(ToSchema, IntoParams)]
#[into_params(parameter_in = Query)]
struct PostbackFields {
    /// Secret key of a pixel of kind `server`; or as bearer token or user name in `Authorization`.
    key: Option<String>,
    /// Name of the event; default: `purchase`.
    event: Option<String>,
    /// The order, at most 256 bytes. Without `event_id`, it converts once for each name.
    order_id: Option<String>,
    /// Decimal number, at most the currency's decimals.
    #[schema(example = "59.90")]
    value: Option<String>,
    /// ISO 4217 code; default: the site's.
    currency: Option<String>,
    /// The id that a click was given.
    click_id: Option<String>,
    /// The sender's id of the conversion: repetitions are recognised for 7 days.
    event_id: Option<String>,
    /// RFC 3339, Unix seconds or milliseconds.
    timestamp: Option<String>,
    /// The owner's id of the person.
    user_id: Option<String>,
    /// `analytics:granted,ads:denied`, or a TC, GPP or US Privacy string.
    consent: Option<String>,
    /// The page that it belongs to.
    url: Option<String>,
}

/// What became of a conversion; the header `Cairn-Outcome` says the same.
#[derive(ToSchema)]
struct PostbackReport {
    /// `accepted`, `duplicate`, `dropped:opted_out` or `dropped:policy`.
    outcome: String,
    /// `known`, `expired`, or null: no click was named.
    #[schema(required)]
    click: Option<String>,
}

/// Takes a conversion from a server, in the address.
#[utoipa::path(get, path = "/postback", tag = "postbacks", params(PostbackFields), security(()),
    responses((status = 200, body = PostbackReport)))]
fn postback_get() {}

/// Takes a conversion from a server, as a form or as JSON of at most 64 KiB.
#[utoipa::path(post, path = "/postback", tag = "postbacks", security((), ("write_key" = [])),
    request_body(content((PostbackFields = "application/json"), (PostbackFields = "application/x-www-form-urlencoded"))),
    responses((status = 200, body = PostbackReport)))]
fn postback_post() {}

/// Who the visitor is, as the site's server signed it.
#[derive(ToSchema)]
struct SignedIdentity {
    /// The owner's id of the person, at most 256 bytes.
    user_id: String,
    /// `v1.EXPIRY.SIGNATURE`: docs/memory.md.
    token: String,
}

/// What is to be remembered, forgotten and recalled. In this order: `identify` or `sign_out`, forgetting, remembering,
/// recalling. A fault in any part refuses the whole call.
#[derive(ToSchema)]
struct MemoryCall {
    /// Key of the pixel; that of a `server` pixel may stand as bearer token in `Authorization`.
    key: Option<String>,
    /// What the visitor said, as in `POST /e`; without it, `cairn_consent` and the site's policy decide on `functional`.
    #[schema(value_type = Option<String>, example = "functional:granted")]
    consent: Option<String>,
    /// Browsers only: makes this browser the person's, for 30 days; the two memories become one.
    identify: Option<SignedIdentity>,
    /// Browsers only: takes the browser from its person again.
    sign_out: Option<bool>,
    /// Servers only, with a secret key: whose memory.
    user_id: Option<String>,
    /// Values by name; null forgets. At most 64 names of 64 bytes, 8 KiB of JSON a value, 64 KiB together.
    #[schema(value_type = Option<Object>, example = json!({"size": "M"}))]
    remember: Option<Value>,
    /// Names to be forgotten.
    forget: Option<Vec<String>>,
    /// Forgets everything; of a signed person, on all browsers.
    forget_all: Option<bool>,
    /// Names to be answered; `*` for all.
    #[schema(example = json!(["size", "cart"]))]
    recall: Option<Vec<String>>,
}

/// Remembers and recalls, for a browser by its cookie `cairn_memory` on the site's own origins, or for a person with the
/// secret key of a `server` pixel. It is on disk before it is answered.
#[utoipa::path(post, path = "/m", tag = "memory", request_body = MemoryCall, security((), ("write_key" = [])),
    responses((status = 200, body = MemoryBody)))]
fn memory() {}

struct WriteKey;

impl Modify for WriteKey {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Basic)
            .description(Some("The pixel's key as user name, without a password."))
            .build();
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("write_key", SecurityScheme::Http(scheme));
    }
}

/// The description of every path of another product's format.
#[derive(OpenApi)]
#[openapi(
    paths(
        track, page, screen, identify, group, alias, batch, settings, source_config, postback_get, postback_post,
        memory
    ),
    modifiers(&WriteKey),
    tags(
        (name = "postbacks", description = "Postbacks: conversions from servers"),
        (name = "formats", description = "Other products' formats: what their SDKs send"),
    )
)]
pub(crate) struct Formats;
