//! Tracked links and the open image, put into the HTML of a mail.
//!
//! Guarantees: only addresses of links change, and the image (and the honeypot, where it was asked for) is added; every
//! other byte stays. A link is left alone unless every one of the rules of [`LeftAlone`] lets it through. What is inside
//! of HTML comments (Outlook's conditional ones too) is not looked at.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use cairn_model::limits::TEXT_SIZE_BYTES_MAX;
use lol_html::html_content::{ContentType, Element};
use lol_html::{RewriteStrSettings, element, end, end_tag, rewrite_str};
use url::Url;

/// HTML of one mail, before and after (Gmail shows 102 KiB).
pub const HTML_SIZE_BYTES_MAX: usize = 512 * 1024;
/// Tracked links of one mail.
pub const LINKS_MAX: u16 = 500;

/// The attribute by which a link says that it is not to be tracked.
const UNTRACKED: &str = "data-cairn-untracked";
/// Parts of addresses that unsubscribe: following them must work without us, and a scanner must not matter.
const UNSUBSCRIBING: [&str; 6] =
    ["unsubscribe", "unsub/", "opt-out", "optout", "opt_out", "abmelde"];
/// How mail programs' placeholders begin: their address is not known yet.
const PLACEHOLDERS: [&str; 7] = ["{{", "{%", "${", "*|", "[[", "<%", "%%"];

/// Why a link stays as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeftAlone {
    /// It says so itself (`data-cairn-untracked`), or the request names its address.
    AsAsked,
    /// `mailto:`, `tel:`, `#part`, relative, or otherwise no absolute `http` or `https` address.
    NotWeb,
    /// Its address holds a placeholder.
    Placeholder,
    /// Its address unsubscribes.
    Unsubscribes,
    /// It is tracked already, or leads to this server.
    Own,
    /// Its address names a user or password, is longer than 2,048 bytes or cannot be read exactly.
    Unreadable,
}

/// What to put into a mail.
pub struct Additions<'a> {
    /// Origin of this server: links to it are left alone.
    pub origin: &'a str,
    /// Addresses that are left alone.
    pub untracked: &'a [String],
    /// Address of the open image.
    pub pixel: Option<&'a str>,
    /// Address of the link that no person sees.
    pub honeypot: Option<&'a str>,
}

/// A link that is tracked now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackedLink {
    /// Where it leads.
    pub target: String,
    /// What is in the mail.
    pub address: String,
}

/// A mail, ready to be sent.
#[derive(Debug)]
pub struct Rewritten {
    /// The HTML.
    pub html: String,
    /// Its tracked links, the first having number 1.
    pub links: Vec<TrackedLink>,
    /// The links that stayed, with the reason, in order.
    pub left_alone: Vec<LeftAlone>,
}

/// Why a mail cannot be prepared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RewriteFault {
    /// Over [`HTML_SIZE_BYTES_MAX`].
    #[error("the HTML is over 512 KiB")]
    TooLarge,
    /// Over [`LINKS_MAX`].
    #[error("the mail has more than 500 links")]
    TooManyLinks,
    /// The markup cannot be followed, or no address could be made for a link.
    #[error("the HTML cannot be read")]
    Unreadable,
}

/// Gives every link of `html` the address that `sign` makes of its target and number.
pub fn rewrite(
    html: &str,
    additions: &Additions<'_>,
    mut sign: impl FnMut(&str, u16) -> Option<String>,
) -> Result<Rewritten, RewriteFault> {
    if html.len() > HTML_SIZE_BYTES_MAX {
        return Err(RewriteFault::TooLarge);
    }
    let links = RefCell::new(Vec::new());
    let left_alone = RefCell::new(Vec::new());
    let fault = Cell::new(None);
    let link = |element: &mut Element<'_, '_>| {
        let href = element.get_attribute("href").unwrap_or_default();
        match target(&href, element.has_attribute(UNTRACKED), additions) {
            Err(reason) => left_alone.borrow_mut().push(reason),
            Ok(target) => {
                let number = u16::try_from(links.borrow().len() + 1).unwrap_or(u16::MAX);
                if number > LINKS_MAX {
                    fault.set(Some(RewriteFault::TooManyLinks));
                    return Err("too many links".into());
                }
                let address = sign(&target, number).ok_or("no token")?;
                element.set_attribute("href", &address)?;
                links.borrow_mut().push(TrackedLink { target, address });
            }
        }
        Ok(())
    };
    let pixel = additions.pixel.map(image).unwrap_or_default();
    let honeypot = additions.honeypot.map(hidden_link).unwrap_or_default();
    let pixel_is_in = Rc::new(Cell::new(false));
    let honeypot_is_in = Cell::new(false);
    let body = |element: &mut Element<'_, '_>| {
        if !honeypot_is_in.replace(true) {
            element.prepend(&honeypot, ContentType::Html);
        }
        let (pixel, is_in) = (pixel.clone(), Rc::clone(&pixel_is_in));
        element.on_end_tag(end_tag!(move |end| {
            if !is_in.replace(true) {
                end.before(&pixel, ContentType::Html);
            }
            Ok(())
        }))
    };
    let settings = RewriteStrSettings::new()
        .with_strict(false)
        .append_element_content_handler(element!("a[href], area[href]", link))
        .append_element_content_handler(element!("body", body))
        .append_document_content_handler(end!(|end| {
            if !honeypot_is_in.replace(true) {
                end.append(&honeypot, ContentType::Html);
            }
            if !pixel_is_in.replace(true) {
                end.append(&pixel, ContentType::Html);
            }
            Ok(())
        }));
    let html =
        rewrite_str(html, settings).map_err(|_| fault.get().unwrap_or(RewriteFault::Unreadable))?;
    Ok(Rewritten { html, links: links.into_inner(), left_alone: left_alone.into_inner() })
}

/// The address of a link that may be followed through us, in its normal form: without control characters, its host in
/// ASCII.
pub fn checked_target(address: &str) -> Result<String, LeftAlone> {
    let url = Url::parse(address).map_err(|_| LeftAlone::NotWeb)?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(LeftAlone::NotWeb);
    }
    let url = match (url.username(), url.password()) {
        ("", None) => String::from(url),
        _ => return Err(LeftAlone::Unreadable),
    };
    let is_plain = url.bytes().all(|byte| (b'!'..=b'~').contains(&byte));
    if is_plain && url.len() <= TEXT_SIZE_BYTES_MAX { Ok(url) } else { Err(LeftAlone::Unreadable) }
}

fn target(href: &str, is_untracked: bool, additions: &Additions<'_>) -> Result<String, LeftAlone> {
    if is_untracked {
        return Err(LeftAlone::AsAsked);
    }
    if PLACEHOLDERS.iter().any(|start| href.contains(start)) {
        return Err(LeftAlone::Placeholder);
    }
    let address = decoded(href.trim()).ok_or(LeftAlone::Unreadable)?;
    let target = checked_target(&address)?;
    if additions.untracked.iter().any(|known| *known == address || *known == target) {
        return Err(LeftAlone::AsAsked);
    }
    let lower = target.to_ascii_lowercase();
    if UNSUBSCRIBING.iter().any(|part| lower.contains(part)) {
        return Err(LeftAlone::Unsubscribes);
    }
    let rest = target.strip_prefix(additions.origin);
    if rest.is_some_and(|rest| rest.starts_with('/')) {
        return Err(LeftAlone::Own);
    }
    Ok(target)
}

/// An attribute's text with its character references resolved; `None` for one that is not known here, since a link must
/// lead where it led.
fn decoded(text: &str) -> Option<String> {
    let mut decoded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        decoded.push_str(&rest[..at]);
        rest = &rest[at..];
        let name_size = rest[1..]
            .find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '#')
            .map_or(rest.len(), |size| size + 1);
        if !rest[name_size..].starts_with(';') {
            // `&copy=1` and `&x` are plain text; numbers count without their end, which is too odd to follow.
            if rest[1..].starts_with('#') {
                return None;
            }
            decoded.push_str(&rest[..name_size]);
            rest = &rest[name_size..];
            continue;
        }
        decoded.push(reference(&rest[1..name_size])?);
        rest = &rest[name_size + 1..];
    }
    decoded.push_str(rest);
    Some(decoded)
}

fn reference(name: &str) -> Option<char> {
    let number = match name.strip_prefix('#') {
        Some(digits) => match digits.strip_prefix(['x', 'X']) {
            Some(digits) => u32::from_str_radix(digits, 16).ok()?,
            None => digits.parse().ok()?,
        },
        None => {
            return match name {
                "amp" | "AMP" => Some('&'),
                "quot" | "QUOT" => Some('"'),
                "lt" | "LT" => Some('<'),
                "gt" | "GT" => Some('>'),
                "apos" => Some('\''),
                "equals" => Some('='),
                "sol" => Some('/'),
                "colon" => Some(':'),
                "quest" => Some('?'),
                "num" => Some('#'),
                "percnt" => Some('%'),
                _ => None,
            };
        }
    };
    char::from_u32(number).filter(|letter| *letter > ' ')
}

fn image(address: &str) -> String {
    format!(
        r#"<img src="{address}" width="1" height="1" alt="" style="display:block;border:0;width:1px;height:1px">"#
    )
}

fn hidden_link(address: &str) -> String {
    format!(
        r#"<a href="{address}" style="display:none" tabindex="-1" aria-hidden="true" rel="nofollow"></a>"#
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOTHING: Additions<'_> =
        Additions { origin: "https://t.example", untracked: &[], pixel: None, honeypot: None };

    fn with(html: &str, additions: &Additions<'_>) -> Rewritten {
        rewrite(html, additions, |_, number| Some(format!("https://t.example/l/T{number}")))
            .unwrap()
    }

    #[test]
    fn links_are_signed_and_nothing_else_changes() {
        let html = "<!DOCTYPE html>\r\n<BODY bgcolor=red><p>Grüße &amp; mehr<A class=x \
                    HREF='https://shop.example/p?a=1&amp;b=2#c' >x</A><br/>\
                    <a href=\"HTTPS://bücher.example\">y</a><map><area href=https://a.example/></map>";
        let made = with(html, &NOTHING);
        let wanted = html
            .replace(
                "HREF='https://shop.example/p?a=1&amp;b=2#c'",
                "HREF=\"https://t.example/l/T1\"",
            )
            .replace("HTTPS://bücher.example", "https://t.example/l/T2")
            .replace("href=https://a.example/", "href=\"https://t.example/l/T3\"");
        let plain = |html: &str| html.replace(" >", ">");
        assert_eq!(plain(&made.html), plain(&wanted));
        let targets: Vec<_> = made.links.iter().map(|link| link.target.as_str()).collect();
        let expected = [
            "https://shop.example/p?a=1&b=2#c",
            "https://xn--bcher-kva.example/",
            "https://a.example/",
        ];
        assert_eq!(targets, expected);
        assert!(made.left_alone.is_empty());
    }

    #[test]
    fn what_must_not_be_tracked_is_left_alone() {
        use LeftAlone::*;
        let untracked = ["https://shop.example/imprint".to_owned()];
        let additions = Additions { untracked: &untracked, ..NOTHING };
        for (href, reason) in [
            ("mailto:anna@mail.example", NotWeb),
            ("tel:+491234", NotWeb),
            ("#top", NotWeb),
            ("/relative", NotWeb),
            ("", NotWeb),
            ("javascript:alert(1)", NotWeb),
            ("ftp://shop.example/", NotWeb),
            ("https://", NotWeb),
            ("{{unsubscribe_url}}", Placeholder),
            ("https://shop.example/?u=*|EMAIL|*", Placeholder),
            ("https://shop.example/Unsubscribe?id=7", Unsubscribes),
            ("https://shop.example/newsletter?action=opt-out", Unsubscribes),
            ("https://shop.example/abmelden", Unsubscribes),
            ("https://shop.example/imprint", AsAsked),
            ("https://t.example/l/TOKEN", Own),
            ("https://anna:secret@shop.example/", Unreadable),
            ("https://shop.example/caf&eacute;", Unreadable),
            ("https://shop.example/&#10;x", Unreadable),
        ] {
            let html = format!("<a href=\"{href}\">x</a>");
            let made = with(&html, &additions);
            assert_eq!((made.html.as_str(), made.left_alone.as_slice()), (&*html, &[reason][..]));
            assert!(made.links.is_empty());
        }
        let html = "<a data-cairn-untracked href=\"https://shop.example/\">x</a>";
        let made = with(html, &additions);
        assert_eq!((made.html.as_str(), made.left_alone.as_slice()), (html, &[AsAsked][..]));
    }

    #[test]
    fn the_image_comes_last_and_the_honeypot_first() {
        let additions = Additions {
            pixel: Some("https://t.example/o/T.gif"),
            honeypot: Some("https://t.example/l/H"),
            ..NOTHING
        };
        let (pixel, honeypot) =
            (image("https://t.example/o/T.gif"), hidden_link("https://t.example/l/H"));
        let made = with("<html><body><p>x</p></body></html>", &additions);
        assert_eq!(made.html, format!("<html><body>{honeypot}<p>x</p>{pixel}</body></html>"));
        assert!(made.links.is_empty() && made.left_alone.is_empty());
        assert_eq!(with("<p>x", &additions).html, format!("<p>x{honeypot}{pixel}"));
        let unended = with("<body><p>x", &additions).html;
        assert_eq!(unended, format!("<body>{honeypot}<p>x{pixel}"));
        let twice = with("<body>a</body><body>b</body>", &additions).html;
        assert_eq!((twice.matches(&pixel).count(), twice.matches(&honeypot).count()), (1, 1));
    }

    #[test]
    fn what_is_over_a_bound_is_refused() {
        let large = "x".repeat(HTML_SIZE_BYTES_MAX + 1);
        assert_eq!(rewrite(&large, &NOTHING, |_, _| None).unwrap_err(), RewriteFault::TooLarge);
        let links = |count| "<a href=\"https://a.example\">x</a>".repeat(count);
        assert_eq!(with(&links(LINKS_MAX.into()), &NOTHING).links.len(), usize::from(LINKS_MAX));
        let many = links(usize::from(LINKS_MAX) + 1);
        let refused = rewrite(&many, &NOTHING, |_, _| Some(String::new()));
        assert_eq!(refused.unwrap_err(), RewriteFault::TooManyLinks);
        let html = links(1);
        let unsigned = rewrite(&html, &NOTHING, |_, _| None);
        assert_eq!(unsigned.unwrap_err(), RewriteFault::Unreadable);
    }

    proptest! {
        #[test]
        fn any_text_without_links_stays_as_it_is(html in "[<>/a-z \"'=&;!#-]{0,200}") {
            prop_assume!(!html.contains("<a") && !html.contains("<body"));
            prop_assert_eq!(with(&html, &NOTHING).html, html);
        }

        #[test]
        fn a_target_is_what_the_browser_would_have_followed(
            path in "[a-zA-Z0-9/_.~-]{0,30}", query in "[a-zA-Z0-9=_.-]{0,20}",
        ) {
            let url = format!("https://shop.example/{path}?{query}&x=1");
            let expected = Url::parse(&url).unwrap();
            let made = with(&format!("<a href=\"{}\">x</a>", url.replace('&', "&amp;")), &NOTHING);
            if let Some(link) = made.links.first() {
                prop_assert_eq!(link.target.as_str(), expected.as_str());
            }
        }
    }
}
