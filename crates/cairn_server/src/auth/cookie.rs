//! The dashboard's session cookie.

use cairn_catalog::{BROWSER_SESSION_AGE_MS_MAX, Token};
use http::{HeaderMap, HeaderValue, header};

/// Name of the cookie.
pub const SESSION_COOKIE: &str = "cairn_session";

/// `Set-Cookie` that begins a session.
pub fn session_cookie(token: &Token, https: bool) -> Option<HeaderValue> {
    set_cookie(token.reveal(), BROWSER_SESSION_AGE_MS_MAX / 1000, https)
}

/// `Set-Cookie` that ends a session.
pub fn ended_session_cookie(https: bool) -> Option<HeaderValue> {
    set_cookie("", 0, https)
}

fn set_cookie(value: &str, age_s: i64, https: bool) -> Option<HeaderValue> {
    let secure = if https { "; Secure" } else { "" };
    let text = format!(
        "{SESSION_COOKIE}={value}; Path=/; Max-Age={age_s}; HttpOnly; SameSite=Lax{secure}"
    );
    let mut header = HeaderValue::from_str(&text).ok()?;
    header.set_sensitive(true);
    Some(header)
}

/// The token in a request's cookies.
pub(crate) fn session_token(headers: &HeaderMap) -> Option<&str> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(';')).find_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        (name == SESSION_COOKIE && !value.is_empty()).then_some(value)
    })
}
