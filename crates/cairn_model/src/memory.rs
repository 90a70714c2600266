//! What may be remembered for a visitor: kinds with their purpose and lifetime, names and values that are taken, and how
//! two memories become one.
//!
//! Guarantees: pure functions of their arguments. A fault names the field and never repeats what was sent. What looks like
//! a password is refused, as far as looks can tell: the module knows names and shapes, not what a text opens.

use serde_json::Value;

use crate::Purpose;
use crate::limits::{
    ID_SIZE_BYTES_MAX, ITEMS_MAX, MEMORY_NAME_SIZE_BYTES_MAX, MEMORY_VALUE_SIZE_BYTES_MAX,
    RECENTLY_SEEN_MAX,
};

/// How an older and a newer value of one name become one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Union {
    /// The newer one stays.
    Newest,
    /// The articles of both; of one that both have, the newer quantity.
    Cart,
    /// What both saw, the newer first.
    Recent,
}

/// A kind of thing that is remembered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Kind {
    /// The name that is of this kind; `*`: every other one.
    pub name: &'static str,
    /// What it is for: without this permission nothing is kept.
    pub purpose: Purpose,
    /// Days after the last change.
    pub lifetime_days: u32,
    /// What becomes of two values.
    pub union: Union,
    /// It stays in the browser when its person signs out.
    pub stays: bool,
    /// What it holds, for people.
    pub holds: &'static str,
}

/// Every kind. The last one is that of all other names.
pub const KINDS: [Kind; 6] = [
    Kind {
        name: "preferences",
        purpose: Purpose::Functional,
        lifetime_days: 395,
        union: Union::Newest,
        stays: false,
        holds: "an object of settings that the visitor chose",
    },
    Kind {
        name: "language",
        purpose: Purpose::Functional,
        lifetime_days: 395,
        union: Union::Newest,
        stays: false,
        holds: "a language tag such as de-AT",
    },
    Kind {
        name: "cart",
        purpose: Purpose::Functional,
        lifetime_days: 90,
        union: Union::Cart,
        stays: false,
        holds: "a list of articles, each with item_id and quantity",
    },
    Kind {
        name: "recently_seen",
        purpose: Purpose::Functional,
        lifetime_days: 90,
        union: Union::Recent,
        stays: false,
        holds: "a list of article ids, or of articles with item_id, the newest first",
    },
    Kind {
        name: "email",
        purpose: Purpose::Functional,
        lifetime_days: 180,
        union: Union::Newest,
        stays: true,
        holds: "the e-mail address for the log-in form",
    },
    Kind {
        name: "*",
        purpose: Purpose::Functional,
        lifetime_days: 395,
        union: Union::Newest,
        stays: false,
        holds: "any JSON value under a name of the site's own",
    },
];

/// The kind of a name.
pub fn kind_of(name: &str) -> &'static Kind {
    let [named @ .., other] = &KINDS;
    named.iter().find(|kind| kind.name == name).unwrap_or(other)
}

/// Why a name or a value is not remembered.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum MemoryFault {
    /// The name has a form that is not taken; it is not repeated, since it may be anything.
    #[error("A name has 1 to 64 letters, digits and -_.: (ASCII).")]
    Name,
    /// It looks like a password.
    #[error("This looks like a password or a card's secret; these are never remembered.")]
    Secret,
    /// Too long.
    #[error("The value is longer than 8 KiB of JSON.")]
    TooLarge,
    /// The value is not of the kind that goes by this name.
    #[error("The value is not what goes by this name: {holds}.")]
    Kind {
        /// What would be.
        holds: &'static str,
    },
}

/// Refuses names of another form, and those of secrets.
pub fn check_name(name: &str) -> Result<(), MemoryFault> {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
    if name.is_empty() || name.len() > MEMORY_NAME_SIZE_BYTES_MAX || !name.bytes().all(known) {
        return Err(MemoryFault::Name);
    }
    if names_secret(name) { Err(MemoryFault::Secret) } else { Ok(()) }
}

/// The value as it is kept: JSON without white space. The name was checked.
pub fn checked_value(name: &str, value: &Value) -> Result<String, MemoryFault> {
    let kind = kind_of(name);
    if !is_of_kind(kind, value) {
        return Err(MemoryFault::Kind { holds: kind.holds });
    }
    if kind.name != "email" && holds_secret(value) {
        return Err(MemoryFault::Secret);
    }
    let text = value.to_string();
    if text.len() > MEMORY_VALUE_SIZE_BYTES_MAX {
        return Err(MemoryFault::TooLarge);
    }
    Ok(text)
}

fn is_of_kind(kind: &Kind, value: &Value) -> bool {
    match kind.name {
        "preferences" => value.is_object(),
        "language" => value.as_str().is_some_and(is_language),
        "cart" => value
            .as_array()
            .is_some_and(|lines| lines.len() <= ITEMS_MAX && lines.iter().all(is_line)),
        "recently_seen" => value.as_array().is_some_and(|seen| {
            seen.len() <= RECENTLY_SEEN_MAX && seen.iter().all(|entry| !item_id(entry).is_empty())
        }),
        "email" => value.as_str().is_some_and(is_address),
        _ => true,
    }
}

fn is_language(text: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    (2..=35).contains(&text.len()) && text.bytes().all(known)
}

fn is_line(line: &Value) -> bool {
    let has_quantity = match &line["quantity"] {
        Value::Null => true,
        quantity => quantity.as_u64().is_some(),
    };
    line.is_object() && !item_id(line).is_empty() && has_quantity
}

fn is_address(text: &str) -> bool {
    let Some((local, host)) = text.rsplit_once('@') else { return false };
    let is_sound = |part: &str| {
        !part.is_empty()
            && !part.chars().any(|letter| letter.is_whitespace() || letter.is_control())
    };
    text.len() <= ID_SIZE_BYTES_MAX && is_sound(local) && is_sound(host) && !local.contains('@')
}

/// Id of an article: the entry itself, or its `item_id`; empty where it has none.
fn item_id(entry: &Value) -> &str {
    entry.as_str().or_else(|| entry["item_id"].as_str()).unwrap_or("")
}

/// What tells the lines of a cart apart.
fn line_of(entry: &Value) -> (&str, &str) {
    (item_id(entry), entry["item_variant"].as_str().unwrap_or(""))
}

/// Two values of one name as one. A text that is no JSON, or of another shape, gives way to the newer one.
pub fn united(name: &str, older: &str, newer: &str) -> String {
    let union = kind_of(name).union;
    let lists = || {
        let list = |text| serde_json::from_str::<Vec<Value>>(text).ok();
        Some((list(older)?, list(newer)?))
    };
    let Some((older, mut united)) = (union != Union::Newest).then(lists).flatten() else {
        return newer.to_owned();
    };
    let most = if union == Union::Cart { ITEMS_MAX } else { RECENTLY_SEEN_MAX };
    for entry in older {
        let is_known = match union {
            Union::Cart => united.iter().any(|known| line_of(known) == line_of(&entry)),
            _ => united.iter().any(|known| item_id(known) == item_id(&entry)),
        };
        if !is_known && united.len() < most {
            united.push(entry);
        }
    }
    loop {
        let text = Value::Array(united.clone()).to_string();
        if text.len() <= MEMORY_VALUE_SIZE_BYTES_MAX || united.pop().is_none() {
            return text;
        }
    }
}

/// Words that name secrets wherever they stand in a name, without its separators.
const SECRET_WORDS: [&str; 16] = [
    "password",
    "passwd",
    "passphrase",
    "passcode",
    "passwort",
    "kennwort",
    "motdepasse",
    "contrasena",
    "contraseña",
    "wachtwoord",
    "parola",
    "creditcard",
    "cardnumber",
    "kreditkarte",
    "securitycode",
    "privatekey",
];
/// Words that do so only where they are a word of the name.
const SECRET_SYLLABLES: [&str; 8] = ["pass", "pwd", "pw", "pin", "cvv", "cvc", "otp", "mdp"];

fn names_secret(name: &str) -> bool {
    let joined: String = name
        .chars()
        .filter(|letter| letter.is_alphanumeric())
        .flat_map(char::to_lowercase)
        .collect();
    SECRET_WORDS.iter().any(|word| joined.contains(word))
        || words(name).iter().any(|word| SECRET_SYLLABLES.contains(&word.as_str()))
}

/// The words of a name: `userPin`, `user_pin` and `user-pin` have two.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut after_small = false;
    for letter in name.chars() {
        if !letter.is_alphanumeric() || (letter.is_uppercase() && after_small) {
            words.push(String::new());
        }
        after_small = letter.is_lowercase();
        if let Some(word) = words.last_mut().filter(|_| letter.is_alphanumeric()) {
            word.extend(letter.to_lowercase());
        }
    }
    words
}

/// Whether a value has a field that is named like a secret, or a text that has the shape of one.
fn holds_secret(value: &Value) -> bool {
    match value {
        Value::String(text) => is_secret_text(text),
        Value::Array(entries) => entries.iter().any(holds_secret),
        Value::Object(fields) => {
            fields.iter().any(|(name, value)| names_secret(name) || holds_secret(value))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// A made-up password is one word of 8 to 64 characters with small and capital letters, digits, and one of the signs that
/// people add to satisfy a rule. Addresses of pages and mails have these for other reasons. Stored forms of passwords
/// begin as their algorithms say.
fn is_secret_text(text: &str) -> bool {
    if text.split_once(['=', ':']).is_some_and(|(name, _)| names_secret(name.trim())) {
        return true;
    }
    if ["$argon2", "$2a$", "$2b$", "$2y$", "$scrypt", "$pbkdf2"]
        .iter()
        .any(|start| text.starts_with(start))
    {
        return true;
    }
    let is_place = text.contains("://") || text.starts_with(['/', '{', '[']) || is_address(text);
    let has = |wanted: fn(char) -> bool| text.chars().any(wanted);
    (8..=64).contains(&text.len())
        && !is_place
        && !has(char::is_whitespace)
        && has(|letter| letter.is_ascii_lowercase())
        && has(|letter| letter.is_ascii_uppercase())
        && has(|letter| letter.is_ascii_digit())
        && has(|letter| "!#$%^&*?@~".contains(letter))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_page_about_memory_has_every_kind() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/memory.md");
        let page = std::fs::read_to_string(path).unwrap();
        let mut rows = page.lines().filter(|line| line.starts_with("| `"));
        for kind in &KINDS {
            let union = match kind.union {
                Union::Newest => "the newest".to_owned(),
                Union::Cart => "all articles, the newest quantity of each".to_owned(),
                Union::Recent => format!("all, the newest first, at most {RECENTLY_SEEN_MAX}"),
            };
            let (name, holds, purpose) = (kind.name, kind.holds, kind.purpose.name());
            let days = kind.lifetime_days;
            let row = format!("| `{name}` | {holds} | `{purpose}` | {days} days | {union} |");
            assert_eq!(rows.next(), Some(row.as_str()));
        }
        assert_eq!(rows.next(), None);
    }

    #[test]
    fn passwords_are_refused_by_name() {
        for name in [
            "password",
            "userPassword",
            "PASSWORD_2",
            "my-passwort",
            "user.kennwort",
            "mot_de_passe",
            "pin",
            "userPin",
            "card_cvv",
            "pwd",
            "login:pass",
            "creditCardNumber",
        ] {
            assert_eq!(check_name(name), Err(MemoryFault::Secret), "{name}");
        }
        for name in ["size", "pinboard", "compass", "spinner", "passenger", "bypass", "tangerine"] {
            assert_eq!(check_name(name), Ok(()), "{name}");
        }
        for name in ["", "a b", "größe", &"x".repeat(65), "a/b", "a\"b"] {
            assert_eq!(check_name(name), Err(MemoryFault::Name), "{name}");
        }
    }

    #[test]
    fn passwords_are_refused_by_shape_and_by_the_names_inside() {
        for value in [
            json!("Tr0ub4dor&3"),
            json!("Summer2026!"),
            json!({"login": {"password": "x"}}),
            json!([{"pin": 1234}]),
            json!("password=hunter2"),
            json!("$argon2id$v=19$m=65536$x$y"),
        ] {
            assert_eq!(checked_value("note", &value), Err(MemoryFault::Secret), "{value}");
        }
        for value in [
            json!("M"),
            json!("https://Shop.example/p?x=1#Top"),
            json!("Ada.Lovelace1@shop.example"),
            json!("2026-11-22T10:00:00+01:00"),
            json!("Ask for Lily at 7 o'clock!"),
            json!({"size": "M", "colour": "Moss-7"}),
            json!("b3BlbiBzZXNhbWU9"),
            json!(17),
        ] {
            assert!(checked_value("note", &value).is_ok(), "{value}");
        }
    }

    #[test]
    fn a_known_name_takes_what_it_is_for() {
        let refused = |name, value: Value| {
            let fault = checked_value(name, &value);
            assert!(matches!(fault, Err(MemoryFault::Kind { .. })), "{name}: {value}");
        };
        refused("email", json!("Summer2026!"));
        refused("email", json!({"address": "ada@shop.example"}));
        refused("cart", json!({"a": 1}));
        refused("cart", json!([{"quantity": 1}]));
        refused("cart", json!([{"item_id": "a", "quantity": -1}]));
        refused("recently_seen", json!(["a", {}]));
        refused("language", json!("de_AT!"));
        refused("preferences", json!("dark"));
        for (name, value) in [
            ("email", json!("ada@shop.example")),
            ("cart", json!([{"item_id": "a", "quantity": 2}])),
            ("recently_seen", json!(["a", {"item_id": "b"}])),
            ("language", json!("de-AT")),
            ("preferences", json!({"theme": "dark"})),
        ] {
            assert!(checked_value(name, &value).is_ok(), "{name}");
        }
        let long = json!("x".repeat(MEMORY_VALUE_SIZE_BYTES_MAX));
        assert_eq!(checked_value("note", &long), Err(MemoryFault::TooLarge));
    }

    #[test]
    fn carts_are_united_with_the_quantities_of_the_newest() {
        let older = r#"[{"item_id":"a","quantity":5},{"item_id":"b","quantity":1}]"#;
        let newer = r#"[{"item_id":"a","quantity":2},{"item_id":"a","item_variant":"M"}]"#;
        let wanted = json!([{"item_id": "a", "quantity": 2}, {"item_id": "a", "item_variant": "M"},
                            {"item_id": "b", "quantity": 1}]);
        assert_eq!(united("cart", older, newer), wanted.to_string());
        assert_eq!(united("cart", "{", newer), newer);
    }

    #[test]
    fn what_was_seen_is_united_and_anything_else_is_the_newest() {
        assert_eq!(
            united("recently_seen", r#"["a","b"]"#, r#"[{"item_id":"b"},"c"]"#),
            r#"[{"item_id":"b"},"c","a"]"#
        );
        assert_eq!(united("size", r#"["M"]"#, r#"["L"]"#), r#"["L"]"#);
        let many = |letter: &str| {
            json!((0..RECENTLY_SEEN_MAX).map(|at| format!("{letter}{at}")).collect::<Vec<_>>())
        };
        let united = united("recently_seen", &many("a").to_string(), &many("b").to_string());
        assert_eq!(united, many("b").to_string());
    }

    #[test]
    fn a_united_cart_keeps_its_bound() {
        let cart = |letter: &str| {
            let line =
                |at| json!({"item_id": format!("{letter}{at}"), "item_name": "x".repeat(40)});
            Value::from((0..75).map(line).collect::<Vec<_>>()).to_string()
        };
        let (older, newer) = (cart("a"), cart("b"));
        assert!(newer.len() < MEMORY_VALUE_SIZE_BYTES_MAX);
        let both = united("cart", &older, &newer);
        assert!(
            both.len() <= MEMORY_VALUE_SIZE_BYTES_MAX
                && both.starts_with(&newer[..newer.len() - 1])
        );
    }
}
