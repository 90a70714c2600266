//! Every bound of the product's input, with its unit in the name.

/// Body of `POST /e`, after decompression.
pub const BODY_SIZE_BYTES_MAX: usize = 64 * 1024;
/// Events in one body.
pub const EVENTS_PER_BODY_MAX: usize = 100;
/// Request line and headers of a hit.
pub const HEAD_SIZE_BYTES_MAX: usize = 128 * 1024;
/// Ids (`event_id`, `user_id`, `visitor_id`, `order_id`) and e-mail: longer ones are rejected, never cut.
pub const ID_SIZE_BYTES_MAX: usize = 256;
/// Event names: longer ones are rejected.
pub const EVENT_NAME_SIZE_BYTES_MAX: usize = 64;
/// Any other text: cut at a character, the event marked `truncated`.
pub const TEXT_SIZE_BYTES_MAX: usize = 2048;
/// Properties of an event.
pub const PROPS_MAX: usize = 64;
/// Items of an event (GA4 allows 200).
pub const ITEMS_MAX: usize = 200;
/// Depth of nested JSON.
pub const JSON_DEPTH_MAX: usize = 16;
/// Oldest timestamp of a hit: also how long repetitions are recognised.
pub const AGE_MS_MAX: i64 = 7 * 24 * 60 * 60 * 1000;
/// Furthest timestamp ahead of the server's clock.
pub const FUTURE_MS_MAX: i64 = 5 * 60 * 1000;
/// Body of one import call.
pub const IMPORT_SIZE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// One line of an import.
pub const IMPORT_LINE_SIZE_BYTES_MAX: usize = 64 * 1024;
/// Body of any other API call.
pub const API_BODY_SIZE_BYTES_MAX: usize = 1024 * 1024;
/// Waiting for a body of an API call that is free at any size, seconds.
pub const UPLOAD_PATIENCE_S: u64 = 15;
/// Slowest rate of a body of an API call, once that waiting is used up.
pub const UPLOAD_RATE_BYTES_PER_S_MIN: u64 = 64 * 1024;
/// Inactivity that ends a visit, unless configured: 30 whole minutes still join.
pub const SESSION_TIMEOUT_MINUTES: i64 = 30;
/// Life of `cairn_id` and `cairn_consent`: browsers cap at 400 days (RFC 6265bis), the contract says 395.
pub const COOKIE_AGE_DAYS_MAX: u32 = 395;
/// Body of a request in another product's format, after decompression (Segment documents 500 KB).
pub const FORMAT_BODY_SIZE_BYTES_MAX: usize = 512 * 1024;
/// Events in one such body (Segment documents 2,500).
pub const FORMAT_EVENTS_PER_BODY_MAX: usize = 2_500;
/// One event of such a body (Segment documents 32 KB).
pub const FORMAT_EVENT_SIZE_BYTES_MAX: usize = 32 * 1024;
/// Names that one browser or person may have remembered.
pub const MEMORY_NAMES_MAX: usize = 64;
/// One such name.
pub const MEMORY_NAME_SIZE_BYTES_MAX: usize = 64;
/// One remembered value, as JSON.
pub const MEMORY_VALUE_SIZE_BYTES_MAX: usize = 8 * 1024;
/// Names and values of one browser or person together.
pub const MEMORY_SIZE_BYTES_MAX: usize = 64 * 1024;
/// Articles or pages in `recently_seen`.
pub const RECENTLY_SEEN_MAX: usize = 50;
/// Days for which a browser stays with the person of its last signed identification.
pub const MEMORY_TIE_AGE_DAYS_MAX: u32 = 30;
/// Furthest expiry of an identity token ahead of the server's clock, seconds; five minutes of it are for clocks that differ.
pub const IDENTITY_TOKEN_AGE_S_MAX: i64 = 65 * 60;
