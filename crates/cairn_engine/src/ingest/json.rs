//! Reading JSON value by value, so that one bad field names itself and spoils nothing else.
//!
//! Guarantees: no recursion on the sender's nesting; texts are borrowed where they have no escapes.
//! The caller hands in text that a JSON scanner has accepted (`RawValue`).

use std::borrow::Cow;

use cairn_model::limits::{JSON_DEPTH_MAX, TEXT_SIZE_BYTES_MAX};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::rejection::Rejection;
use super::text::cut;

/// One JSON value as its source text.
#[derive(Clone, Copy, Debug)]
pub struct Raw<'a>(pub &'a str);

/// What a value is, seen from its first character.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// `null`
    Null,
    /// `true` or `false`
    Bool,
    /// A number.
    Number,
    /// A text.
    Text,
    /// `[…]`
    List,
    /// `{…}`
    Object,
}

impl<'a> Raw<'a> {
    /// What it is.
    pub fn kind(self) -> Kind {
        match self.0.as_bytes().first() {
            Some(b'"') => Kind::Text,
            Some(b'{') => Kind::Object,
            Some(b'[') => Kind::List,
            Some(b't' | b'f') => Kind::Bool,
            Some(b'n') | None => Kind::Null,
            Some(_) => Kind::Number,
        }
    }

    /// The text of a JSON string; `None` for another kind or a lone surrogate.
    pub fn text(self) -> Option<Cow<'a, str>> {
        if self.kind() != Kind::Text {
            return None;
        }
        let inner = self.0.get(1..self.0.len() - 1)?;
        if !inner.contains('\\') {
            return Some(Cow::Borrowed(inner));
        }
        serde_json::from_str::<String>(self.0).ok().map(Cow::Owned)
    }

    /// A text, a number or a truth value as text.
    pub fn scalar(self) -> Option<Cow<'a, str>> {
        match self.kind() {
            Kind::Text => self.text(),
            Kind::Number | Kind::Bool => Some(Cow::Borrowed(self.0)),
            Kind::Null | Kind::List | Kind::Object => None,
        }
    }

    /// The source text of a number, or of a text that holds one.
    pub fn number(self) -> Option<Cow<'a, str>> {
        match self.kind() {
            Kind::Number => Some(Cow::Borrowed(self.0)),
            Kind::Text => self.text(),
            _ => None,
        }
    }

    /// The fields of an object in their order; `None` for another kind.
    pub fn fields(self) -> Option<Vec<(Cow<'a, str>, Raw<'a>)>> {
        if self.kind() != Kind::Object {
            return None;
        }
        serde_json::from_str::<Fields<'a>>(self.0).ok().map(|fields| fields.0)
    }

    /// The elements of a list; `None` for another kind.
    pub fn elements(self) -> Option<Vec<Raw<'a>>> {
        if self.kind() != Kind::List {
            return None;
        }
        serde_json::from_str::<Elements<'a>>(self.0).ok().map(|elements| elements.0)
    }

    /// Whether lists and objects are nested no deeper than allowed.
    pub fn is_shallow(self) -> bool {
        let (mut depth, mut in_text, mut escaped) = (0_usize, false, false);
        for byte in self.0.bytes() {
            match byte {
                _ if escaped => escaped = false,
                b'\\' if in_text => escaped = true,
                b'"' => in_text = !in_text,
                b'[' | b'{' if !in_text => {
                    depth += 1;
                    if depth > JSON_DEPTH_MAX {
                        return false;
                    }
                }
                b']' | b'}' if !in_text => depth -= 1,
                _ => {}
            }
        }
        true
    }
}

/// The fields of an object, values unread.
pub struct Fields<'a>(pub Vec<(Cow<'a, str>, Raw<'a>)>);
struct Elements<'a>(Vec<Raw<'a>>);
struct Name<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameVisitor;
        impl<'de> Visitor<'de> for NameVisitor {
            type Value = Name<'de>;
            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("a field name")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Name(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Name(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(NameVisitor)
    }
}

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FieldsVisitor;
        impl<'de> Visitor<'de> for FieldsVisitor {
            type Value = Fields<'de>;
            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("an object")
            }
            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
                let mut fields = Vec::with_capacity(12);
                while let Some((Name(name), value)) = map.next_entry::<_, &'de RawValue>()? {
                    fields.push((name, Raw(value.get())));
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(FieldsVisitor)
    }
}

impl<'de> Deserialize<'de> for Elements<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ElementsVisitor;
        impl<'de> Visitor<'de> for ElementsVisitor {
            type Value = Elements<'de>;
            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("a list")
            }
            fn visit_seq<S: SeqAccess<'de>>(self, mut list: S) -> Result<Self::Value, S::Error> {
                let mut elements = Vec::new();
                while let Some(value) = list.next_element::<&'de RawValue>()? {
                    elements.push(Raw(value.get()));
                }
                Ok(Elements(elements))
            }
        }
        deserializer.deserialize_seq(ElementsVisitor)
    }
}

/// The fields of a whole document, or where and why it is not JSON. The text names a position and
/// what was expected there, never what was found.
pub fn document(body: &[u8]) -> Result<Vec<(Cow<'_, str>, Raw<'_>)>, Rejection> {
    let text = std::str::from_utf8(body).map_err(|fault| {
        let good = &body[..fault.valid_up_to()];
        let line = good.iter().filter(|byte| **byte == b'\n').count() + 1;
        let line_start = good.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let column = good.len() - line_start + 1;
        Rejection::malformed("", format!("broken UTF-8 at line {line}, column {column}"))
    })?;
    match serde_json::from_str::<Fields<'_>>(text) {
        Ok(fields) => Ok(fields.0),
        Err(fault) if fault.is_data() => Err(Rejection::malformed("", "not a JSON object")),
        Err(fault) => {
            let what = fault.to_string();
            let what = what.split(" at line ").next().unwrap_or("");
            let (line, column) = (fault.line(), fault.column());
            Err(Rejection::malformed(
                "",
                format!("broken JSON at line {line}, column {column}: {what}"),
            ))
        }
    }
}

/// Appends a text as a JSON string.
pub fn push_text(json: &mut String, text: &str) {
    json.push('"');
    let mut clean = 0;
    for (at, byte) in text.bytes().enumerate() {
        if byte >= b' ' && byte != b'"' && byte != b'\\' {
            continue;
        }
        json.push_str(&text[clean..at]);
        clean = at + 1;
        match byte {
            b'"' => json.push_str("\\\""),
            b'\\' => json.push_str("\\\\"),
            b'\n' => json.push_str("\\n"),
            b'\r' => json.push_str("\\r"),
            b'\t' => json.push_str("\\t"),
            _ => {
                const HEX: &[u8; 16] = b"0123456789abcdef";
                json.push_str("\\u00");
                json.push(char::from(HEX[usize::from(byte >> 4)]));
                json.push(char::from(HEX[usize::from(byte & 15)]));
            }
        }
    }
    json.push_str(&text[clean..]);
    json.push('"');
}

/// An object or list with every text cut to its limit; `None` if nothing had to be cut.
pub fn with_texts_cut(raw: Raw<'_>) -> Option<String> {
    if raw.0.len() <= TEXT_SIZE_BYTES_MAX {
        return None;
    }
    let mut value: serde_json::Value = serde_json::from_str(raw.0).ok()?;
    cut_texts(&mut value).then(|| value.to_string())
}

/// Recursion is bounded: callers ask [`Raw::is_shallow`] first.
fn cut_texts(value: &mut serde_json::Value) -> bool {
    match value {
        serde_json::Value::String(text) => {
            let size = cut(text, TEXT_SIZE_BYTES_MAX).len();
            let longer = size < text.len();
            text.truncate(size);
            longer
        }
        serde_json::Value::Array(list) => {
            list.iter_mut().fold(false, |any, element| cut_texts(element) | any)
        }
        serde_json::Value::Object(map) => {
            map.values_mut().fold(false, |any, element| cut_texts(element) | any)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_the_position_of_a_break() {
        let fault = document(b"{\n  \"key\": \"a\",\n  \"events\": [,]\n}").err().unwrap();
        assert_eq!(fault.message, "broken JSON at line 3, column 14: expected value");
        let fault = document(b"{\"key\": \"\xff\"}").err().unwrap();
        assert_eq!(fault.message, "broken UTF-8 at line 1, column 10");
        assert_eq!(document(b"[1]").err().unwrap().message, "not a JSON object");
        assert!(document(b"{} x").err().unwrap().message.starts_with("broken JSON at line 1"));
        assert!(document(b"").err().unwrap().message.starts_with("broken JSON at line 1"));
    }

    #[test]
    fn deep_nesting_costs_no_stack() {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(30_000), "]".repeat(30_000));
        let fields = document(deep.as_bytes()).unwrap();
        assert!(!fields[0].1.is_shallow());
        assert!(Raw(r#"{"a":"[[[[[[[[[[[[[[[[[[[[[[\"[","b":[[]]}"#).is_shallow());
    }

    #[test]
    fn texts_are_cut_inside_objects() {
        let long = format!(r#"{{"a":{{"b":["{}"]}},"c":1.50}}"#, "ä".repeat(2_000));
        let cut = with_texts_cut(Raw(&long)).unwrap();
        assert!(cut.len() < 2_100 && cut.contains("äää"));
        assert_eq!(with_texts_cut(Raw("{}")), None);
    }

    proptest! {
        #[test]
        fn texts_survive_quoting(text in "\\PC*|[\\x00-\\x7f]*") {
            let mut json = String::new();
            push_text(&mut json, &text);
            prop_assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text.clone());
            prop_assert_eq!(Raw(&json).text().unwrap(), text);
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = document(&bytes);
        }
    }
}
