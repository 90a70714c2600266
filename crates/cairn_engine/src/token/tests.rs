//! What an attacker would try with a token.

use std::sync::OnceLock;

use cairn_catalog::Catalog;
use proptest::prelude::*;

use super::click::ClickClaims;
use super::*;

const NOW_MS: i64 = 1_795_341_600_000;
const SITE: SiteId = SiteId(4_711);

/// Two instances' keys: the second's tokens are forgeries here.
fn keys() -> &'static [TokenKeys; 2] {
    static KEYS: OnceLock<[TokenKeys; 2]> = OnceLock::new();
    KEYS.get_or_init(|| {
        [(), ()].map(|()| {
            let directory = tempfile::TempDir::new().unwrap();
            let catalog = Catalog::open(&directory.path().join("catalog.sqlite")).unwrap();
            TokenKeys::new(catalog.master_secret())
        })
    })
}

fn claims(campaign: &str, recipient: u64, target: Option<&str>) -> Claims {
    Claims {
        issued_at_ms: NOW_MS,
        expires_at_ms: NOW_MS + 1_000,
        pixel_id: PixelId(3),
        message: [7; 16],
        shared: false,
        mail: true,
        recipient: recipient.to_le_bytes(),
        campaign: campaign.to_owned(),
        template: "spring".to_owned(),
        link: target.map(|target| Link { target: target.to_owned(), number: 1 }),
        ..Claims::default()
    }
}

fn click() -> String {
    let claims = claims("sale", 9, Some("https://shop.example/p?a=1"));
    keys()[0].seal(TokenKind::Click, SITE, &claims).unwrap()
}

#[test]
fn what_was_sealed_is_read() {
    let said = claims("sale", 9, Some("https://shop.example/p?a=1"));
    let text = keys()[0].seal(TokenKind::Click, SITE, &said).unwrap();
    let token = keys()[0].open(TokenKind::Click, &text, NOW_MS).unwrap();
    assert_eq!((token.site_id, token.claims.user_key()), (SITE, 9));
    assert!(token.claims == said);
    assert_eq!(format!("{token:?}"), "Token { site_id: SiteId(4711), claims: Claims(hidden) }");
}

#[test]
fn a_token_of_another_kind_or_instance_is_foreign() {
    let text = click();
    assert_eq!(keys()[0].open(TokenKind::Open, &text, NOW_MS), Err(TokenFault::Foreign));
    assert_eq!(keys()[1].open(TokenKind::Click, &text, NOW_MS), Err(TokenFault::Foreign));
    let open = keys()[0].seal(TokenKind::Open, SITE, &claims("sale", 9, None)).unwrap();
    assert_eq!(keys()[0].open(TokenKind::Click, &open, NOW_MS), Err(TokenFault::Foreign));
}

#[test]
fn no_kind_is_taken_for_another() {
    let keys = &keys()[0];
    let ad = Some(Box::new(AdClaims::default()));
    let target = Some("https://shop.example/");
    let of_ad = |target| Claims { ad: ad.clone(), ..claims("sale", 0, target) };
    let sealed = [
        (TokenKind::Open, keys.seal(TokenKind::Open, SITE, &claims("sale", 9, None)).unwrap()),
        (TokenKind::Click, keys.seal(TokenKind::Click, SITE, &of_ad(target)).unwrap()),
        (TokenKind::Impression, keys.seal(TokenKind::Impression, SITE, &of_ad(None)).unwrap()),
        (TokenKind::Landing, keys.seal_click(SITE, &ClickClaims::default()).unwrap()),
    ];
    for (kind, text) in &sealed {
        for other in [TokenKind::Open, TokenKind::Click, TokenKind::Impression, TokenKind::Landing]
        {
            let read = keys.open(other, text, NOW_MS);
            let is_its_own = *kind == other && other != TokenKind::Landing;
            assert_eq!(read.is_ok(), is_its_own, "{kind:?} as {other:?}");
        }
        assert_eq!(keys.open_click(SITE, text).is_some(), *kind == TokenKind::Landing);
        assert!(keys.open_click(SiteId(SITE.0 + 1), text).is_none());
    }
    // What belongs to another kind is not taken even where the seal is whole.
    let no_ad = keys.seal(TokenKind::Impression, SITE, &claims("sale", 0, None)).unwrap();
    assert_eq!(keys.open(TokenKind::Impression, &no_ad, NOW_MS), Err(TokenFault::Foreign));
}

#[test]
fn a_clicks_token_shows_nothing_and_ends() {
    let keys = &keys()[0];
    let click = |recipient: u64, clicked_at_ms| ClickClaims {
        clicked_at_ms,
        recipient: recipient.to_le_bytes(),
        utm: ["a", "b", "sale", "", ""].map(str::to_owned),
        ..ClickClaims::default()
    };
    let [nobody, anna] = [0, u64::MAX].map(|recipient| {
        let text = keys.seal_click(SITE, &click(recipient, NOW_MS)).unwrap();
        URL_SAFE_NO_PAD.decode(text).unwrap()
    });
    assert_eq!(nobody.len(), anna.len());
    assert!(!anna.windows(4).any(|part| part == b"sale"));
    let claims = click(1, NOW_MS);
    assert!(claims.may_land(NOW_MS + click::TIE_MS_MAX - 1));
    assert!(!claims.may_land(NOW_MS + click::TIE_MS_MAX));
    assert!(claims.may_convert(NOW_MS + click::CLICK_ID_MS_MAX - 1));
    assert!(!claims.may_convert(NOW_MS + click::CLICK_ID_MS_MAX));
    assert_eq!(format!("{claims:?}"), "ClickClaims(hidden)");
}

#[test]
fn expiry_is_the_first_moment_that_counts_no_more() {
    let text = click();
    assert!(keys()[0].open(TokenKind::Click, &text, NOW_MS + 999).is_ok());
    let expired = keys()[0].open(TokenKind::Click, &text, NOW_MS + 1_000).unwrap_err();
    let TokenFault::Expired(token) = expired else { panic!("{expired:?}") };
    assert_eq!(token.claims.link.unwrap().target, "https://shop.example/p?a=1");
}

#[test]
fn a_token_tells_nothing_about_its_recipient() {
    let sealed = |recipient| {
        let claims = claims("sale", recipient, None);
        keys()[0].seal(TokenKind::Open, SITE, &claims).unwrap()
    };
    let [nobody, anna, again, ben] = [0, u64::MAX, u64::MAX, 5].map(sealed);
    assert_eq!([nobody.len(), again.len(), ben.len()], [anna.len(); 3]);
    assert_ne!(anna, again, "the same mail twice");
    // Behind version and site, no two share more than chance gives.
    let start = (1 + SITE_SIZE_BYTES) * 8 / 6 + 1;
    assert_ne!(anna[start..start + 16], again[start..start + 16]);
    assert_ne!(anna[start..start + 16], ben[start..start + 16]);
}

#[test]
fn a_token_of_one_site_is_none_of_another() {
    let mut bytes = URL_SAFE_NO_PAD.decode(click()).unwrap();
    for other in [0, 1, SITE.0 + 1, u32::MAX] {
        bytes[1..1 + SITE_SIZE_BYTES].copy_from_slice(&other.to_be_bytes());
        let swapped = URL_SAFE_NO_PAD.encode(&bytes);
        assert_eq!(keys()[0].open(TokenKind::Click, &swapped, NOW_MS), Err(TokenFault::Foreign));
    }
}

#[test]
fn what_does_not_fit_is_not_made() {
    let long = format!("https://shop.example/{}", "x".repeat(TOKEN_SIZE_MAX));
    let claims = claims("sale", 0, Some(&long));
    assert_eq!(keys()[0].seal(TokenKind::Click, SITE, &claims), Err(TokenNotMade));
}

proptest! {
    #[test]
    fn any_claims_survive(
        campaign in "\\PC{0,40}", target in "https://[a-z]{1,20}/\\PC{0,60}",
        recipient: u64, site: u32, message: [u8; 16], number: u16,
    ) {
        let mut said = claims(&campaign, recipient, Some(&target));
        (said.message, said.link.as_mut().unwrap().number) = (message, number);
        let text = keys()[0].seal(TokenKind::Click, SiteId(site), &said).unwrap();
        prop_assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)));
        let token = keys()[0].open(TokenKind::Click, &text, NOW_MS).unwrap();
        prop_assert!(token.site_id == SiteId(site) && token.claims == said);
    }

    #[test]
    fn no_changed_byte_passes(at in any::<prop::sample::Index>(), change in 1_u8..) {
        let mut bytes = URL_SAFE_NO_PAD.decode(click()).unwrap();
        let at = at.index(bytes.len());
        bytes[at] ^= change;
        let forged = URL_SAFE_NO_PAD.encode(&bytes);
        prop_assert_eq!(keys()[0].open(TokenKind::Click, &forged, NOW_MS), Err(TokenFault::Foreign));
    }

    #[test]
    fn no_other_spelling_passes(at in any::<prop::sample::Index>(), letter in "[A-Za-z0-9_.=/+-]") {
        let text = click();
        let at = at.index(text.len());
        prop_assume!(text[at..=at] != letter);
        let forged = format!("{}{letter}{}", &text[..at], &text[at + 1..]);
        prop_assert_eq!(keys()[0].open(TokenKind::Click, &forged, NOW_MS), Err(TokenFault::Foreign));
    }

    #[test]
    fn no_part_passes(from in any::<prop::sample::Index>(), to in any::<prop::sample::Index>()) {
        let text = click();
        let (from, to) = (from.index(text.len()), to.index(text.len()));
        let part = &text[from.min(to)..from.max(to)];
        prop_assert_eq!(keys()[0].open(TokenKind::Click, part, NOW_MS), Err(TokenFault::Foreign));
        let longer = format!("{text}{part}");
        prop_assert!(part.is_empty() || keys()[0].open(TokenKind::Click, &longer, NOW_MS).is_err());
    }

    #[test]
    fn no_text_is_a_token(text in "[A-Za-z0-9_-]{0,300}") {
        prop_assert_eq!(keys()[0].open(TokenKind::Open, &text, NOW_MS), Err(TokenFault::Foreign));
    }
}
