//! Mails: any HTML is rewritten or refused, any text is a token or none, and a target that is given a parameter stays where
//! it was.
#![no_main]

use std::sync::LazyLock;

use cairn_catalog::Catalog;
use cairn_engine::ingest::mail::rewrite::{Additions, checked_target, rewrite};
use cairn_engine::ingest::page::Page;
use cairn_engine::token::click::{CLICK_PARAMETER, ClickClaims, with_parameter};
use cairn_engine::token::{Claims, Link, TokenFault, TokenKeys, TokenKind};
use cairn_model::SiteId;
use libfuzzer_sys::fuzz_target;

static KEYS: LazyLock<TokenKeys> = LazyLock::new(|| {
    let directory = tempfile::TempDir::new().unwrap();
    let catalog = Catalog::open(&directory.path().join("catalog.sqlite")).unwrap();
    TokenKeys::new(catalog.master_secret())
});
const SITE: SiteId = SiteId(7);
const ORIGIN: &str = "https://t.example";

fuzz_target!(|data: &str| {
    for kind in [TokenKind::Open, TokenKind::Click, TokenKind::Impression] {
        assert_eq!(KEYS.open(kind, data, 0), Err(TokenFault::Foreign));
    }
    assert!(KEYS.open_click(SITE, data).is_none());
    if let Ok(target) = checked_target(data) {
        lands(&target);
    }
    let additions = Additions {
        origin: ORIGIN,
        untracked: &[],
        pixel: Some("https://t.example/o/PIXEL.gif"),
        honeypot: Some("https://t.example/l/TRAP"),
    };
    let sign = |_: &str, number: u16| Some(format!("{ORIGIN}/l/T{number}"));
    let Ok(made) = rewrite(data, &additions, sign) else { return };
    for link in &made.links {
        assert!(link.target.starts_with("http") && made.html.contains(&link.address));
        assert!(!link.target.bytes().any(|byte| byte.is_ascii_control()));
    }
    assert!(made.html.len() >= data.len().min(1), "nothing is lost as a whole");
});

/// What is sealed is read again, and the landing page is the target with one parameter more.
fn lands(target: &str) {
    let link = Link { target: target.to_owned(), number: 1 };
    let claims = Claims { expires_at_ms: 1, link: Some(link), ..Claims::default() };
    if let Ok(sealed) = KEYS.seal(TokenKind::Click, SITE, &claims) {
        assert!(KEYS.open(TokenKind::Click, &sealed, 0).unwrap().claims == claims);
    }
    let sealed = KEYS.seal_click(SITE, &ClickClaims::default()).unwrap();
    let address = with_parameter(target, CLICK_PARAMETER, &sealed);
    let place = |text: &str| {
        let end = text.find(['?', '#']).unwrap_or(text.len());
        (text[..end].to_owned(), text.split_once('#').map(|(_, part)| part.to_owned()))
    };
    assert_eq!(place(&address), place(target));
    let Ok(page) = Page::parse("url", address.clone().into()) else { return };
    let found = page.click_token().expect("the parameter is there");
    assert!(found == sealed || target.contains(CLICK_PARAMETER));
    assert!(page.as_sent().len() >= target.len());
}
