//! Reading of JSON bodies and query strings, field by field.
//!
//! Guarantees: a body over its bound, too deep, broken or with a field that nobody asked for is refused with an error
//! that names place or field; values that were sent are never repeated in an error.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use cairn_model::limits::{
    API_BODY_SIZE_BYTES_MAX, JSON_DEPTH_MAX, TEXT_SIZE_BYTES_MAX, UPLOAD_PATIENCE_S,
};
use http::{HeaderMap, header};
use serde_json::{Map, Value};

use super::upload::Upload;
use crate::error::{ApiError, Code};

/// A JSON object, as sent.
pub struct JsonBody(pub Fields);

impl<S: Send + Sync> FromRequest<S> for JsonBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        require_json(request.headers())?;
        let bytes = read_body(request).await?;
        Ok(JsonBody(Fields::new(parse(&bytes)?)?))
    }
}

/// The whole body, at most [`API_BODY_SIZE_BYTES_MAX`].
pub async fn read_body(request: Request) -> Result<bytes::Bytes, ApiError> {
    let patience = Duration::from_secs(UPLOAD_PATIENCE_S);
    read_body_of(request.into_body(), API_BODY_SIZE_BYTES_MAX, patience).await
}

/// The whole body, at most `size_bytes_max`, waited for as long as [`Upload`] does.
pub async fn read_body_of(
    body: Body,
    size_bytes_max: usize,
    patience: Duration,
) -> Result<bytes::Bytes, ApiError> {
    let read = Upload::new(body, size_bytes_max, patience).whole().await;
    read.map_err(|fault| fault.told(size_bytes_max))
}

/// Refuses a body that says it is something other than JSON.
pub fn require_json(headers: &HeaderMap) -> Result<(), ApiError> {
    let told = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = told.unwrap_or("").split(';').next().unwrap_or("").trim();
    if essence.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    Err(ApiError::new(Code::UnsupportedMediaType, "The body must be application/json."))
}

/// Parses JSON of bounded depth.
pub fn parse(bytes: &[u8]) -> Result<Value, ApiError> {
    if let Some((line, column)) = too_deep_at(bytes) {
        return Err(ApiError::new(
            Code::MalformedJson,
            format!(
                "The JSON is nested deeper than {JSON_DEPTH_MAX} levels at line {line}, column {column}."
            ),
        ));
    }
    serde_json::from_slice(bytes).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        let what = if error.is_eof() { "ends early" } else { "is broken" };
        ApiError::new(
            Code::MalformedJson,
            format!("The JSON {what} at line {line}, column {column}."),
        )
    })
}

/// Where nesting passes its bound. Looks at brackets outside of strings only, so it also works on broken JSON.
fn too_deep_at(bytes: &[u8]) -> Option<(usize, usize)> {
    let (mut depth, mut in_string, mut escaped) = (0usize, false, false);
    let (mut line, mut line_start) = (1, 0);
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'\n' => (line, line_start) = (line + 1, at + 1),
            _ if in_string => {}
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > JSON_DEPTH_MAX {
            return Some((line, at + 1 - line_start));
        }
    }
    None
}

/// The fields of an object that were not read yet. `finish` refuses what is left.
#[derive(Debug)]
pub struct Fields {
    left: Map<String, Value>,
    path: String,
    known: Vec<&'static str>,
}

impl Fields {
    /// The fields of a JSON object.
    pub fn new(value: Value) -> Result<Self, ApiError> {
        Self::within(value, String::new())
    }

    fn within(value: Value, path: String) -> Result<Self, ApiError> {
        match value {
            Value::Object(left) => Ok(Fields { left, path, known: Vec::new() }),
            _ if path.is_empty() => {
                Err(ApiError::new(Code::MalformedRequest, "The body must be a JSON object."))
            }
            _ => Err(wrong_type(&path, "an object")),
        }
    }

    /// Full name of a field, as in errors.
    pub fn path(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// A value, whatever its type. JSON's null counts as missing.
    pub fn take(&mut self, name: &'static str) -> Option<Value> {
        self.known.push(name);
        self.left.remove(name).filter(|value| !value.is_null())
    }

    /// Whether the field is there at all, be it null.
    pub fn has(&self, name: &str) -> bool {
        self.left.contains_key(name)
    }

    /// A text of at most [`TEXT_SIZE_BYTES_MAX`], without control characters, its outer white space removed.
    pub fn text(&mut self, name: &'static str) -> Result<Option<String>, ApiError> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => clean_text(&self.path(name), &text).map(Some),
            Some(_) => Err(wrong_type(&self.path(name), "a text")),
        }
    }

    /// A text that must be there and not be empty.
    pub fn required_text(&mut self, name: &'static str) -> Result<String, ApiError> {
        let text = self.text(name)?.ok_or_else(|| missing(&self.path(name)))?;
        if text.is_empty() {
            return Err(ApiError::invalid(self.path(name), "The field must not be empty."));
        }
        Ok(text)
    }

    /// A secret text, taken exactly as it was sent.
    pub fn required_secret(&mut self, name: &'static str) -> Result<String, ApiError> {
        self.secret(name)?.ok_or_else(|| missing(&self.path(name)))
    }

    /// The same, where it may be missing.
    pub fn secret(&mut self, name: &'static str) -> Result<Option<String>, ApiError> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) if text.len() <= TEXT_SIZE_BYTES_MAX => Ok(Some(text)),
            Some(Value::String(_)) => Err(too_long(&self.path(name))),
            Some(_) => Err(wrong_type(&self.path(name), "a text")),
        }
    }

    /// A truth value.
    pub fn boolean(&mut self, name: &'static str) -> Result<Option<bool>, ApiError> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Bool(value)) => Ok(Some(value)),
            Some(_) => Err(wrong_type(&self.path(name), "true or false")),
        }
    }

    /// A whole number between bounds.
    pub fn whole(
        &mut self,
        name: &'static str,
        bounds: std::ops::RangeInclusive<i64>,
    ) -> Result<Option<i64>, ApiError> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let number =
            value.as_i64().ok_or_else(|| wrong_type(&self.path(name), "a whole number"))?;
        if !bounds.contains(&number) {
            let (from, to) = (bounds.start(), bounds.end());
            return Err(ApiError::invalid(
                self.path(name),
                format!("The number must be from {from} to {to}."),
            ));
        }
        Ok(Some(number))
    }

    /// A list of texts.
    pub fn texts(
        &mut self,
        name: &'static str,
        items_max: usize,
    ) -> Result<Option<Vec<String>>, ApiError> {
        let path = self.path(name);
        let Some(value) = self.take(name) else { return Ok(None) };
        let Value::Array(values) = value else { return Err(wrong_type(&path, "a list of texts")) };
        if values.len() > items_max {
            return Err(ApiError::invalid(
                path,
                format!("There may be at most {items_max} entries."),
            ));
        }
        let texts = values.iter().enumerate().map(|(index, value)| {
            let path = format!("{path}[{index}]");
            let text = value.as_str().ok_or_else(|| wrong_type(&path, "a text"))?;
            clean_text(&path, text)
        });
        texts.collect::<Result<_, _>>().map(Some)
    }

    /// An object whose values are texts.
    pub fn text_map(
        &mut self,
        name: &'static str,
        entries_max: usize,
    ) -> Result<BTreeMap<String, String>, ApiError> {
        let path = self.path(name);
        let Some(value) = self.take(name) else { return Ok(BTreeMap::new()) };
        let Value::Object(entries) = value else { return Err(wrong_type(&path, "an object")) };
        if entries.len() > entries_max {
            return Err(ApiError::invalid(
                path,
                format!("There may be at most {entries_max} entries."),
            ));
        }
        let entries = entries.iter().map(|(name, value)| {
            let text = value.as_str().ok_or_else(|| wrong_type(&path, "an object of texts"))?;
            Ok((clean_text(&path, name)?, clean_text(&path, text)?))
        });
        entries.collect()
    }

    /// An object of its own.
    pub fn object(&mut self, name: &'static str) -> Result<Option<Fields>, ApiError> {
        let path = self.path(name);
        self.take(name).map(|value| Fields::within(value, path)).transpose()
    }

    /// A list of objects of their own.
    pub fn objects(
        &mut self,
        name: &'static str,
        items_max: usize,
    ) -> Result<Option<Vec<Fields>>, ApiError> {
        let path = self.path(name);
        let Some(value) = self.take(name) else { return Ok(None) };
        let Value::Array(values) = value else {
            return Err(wrong_type(&path, "a list of objects"));
        };
        if values.len() > items_max {
            let message = format!("There may be at most {items_max} entries.");
            return Err(ApiError::invalid(path, message));
        }
        let objects = values.into_iter().enumerate();
        let objects =
            objects.map(|(index, value)| Fields::within(value, format!("{path}[{index}]")));
        objects.collect::<Result<_, _>>().map(Some)
    }

    /// Refuses any field that was not asked for, and names those that exist.
    pub fn finish(self) -> Result<(), ApiError> {
        let Some(name) = self.left.keys().next() else { return Ok(()) };
        let shown: String = name.chars().filter(|letter| !letter.is_control()).take(64).collect();
        let path = self.path(&shown);
        Err(ApiError::new(Code::UnknownField, format!("There is no field {path}."))
            .on(path)
            .helped_by(format!("Known fields: {}.", self.known.join(", "))))
    }
}

/// A field must be there.
pub fn missing(path: &str) -> ApiError {
    ApiError::new(Code::MissingField, format!("The field {path} is missing.")).on(path)
}

/// A field has the wrong type.
pub fn wrong_type(path: &str, wanted: &str) -> ApiError {
    ApiError::new(Code::MalformedRequest, format!("The field {path} must be {wanted}.")).on(path)
}

fn too_long(path: &str) -> ApiError {
    ApiError::invalid(path, format!("The text is longer than {TEXT_SIZE_BYTES_MAX} bytes."))
}

fn clean_text(path: &str, text: &str) -> Result<String, ApiError> {
    let text = text.trim();
    if text.len() > TEXT_SIZE_BYTES_MAX {
        return Err(too_long(path));
    }
    if text.chars().any(char::is_control) {
        return Err(ApiError::invalid(path, "The text must not hold control characters."));
    }
    Ok(text.to_owned())
}

/// The pairs of a query string. A name that comes twice, or that nobody asks for, is refused.
pub struct Parameters(Fields);

impl Parameters {
    /// Reads the query string.
    pub fn new(query: Option<&str>) -> Result<Self, ApiError> {
        let mut left = Map::new();
        for (name, value) in url::form_urlencoded::parse(query.unwrap_or("").as_bytes()) {
            if left.insert(name.to_string(), Value::String(value.into_owned())).is_some() {
                let message = "A parameter was given twice.";
                return Err(ApiError::new(Code::MalformedRequest, message).on(name));
            }
        }
        Ok(Parameters(Fields { left, path: String::new(), known: Vec::new() }))
    }

    /// A parameter's text.
    pub fn text(&mut self, name: &'static str) -> Result<Option<String>, ApiError> {
        self.0.text(name)
    }

    /// A whole number between bounds.
    pub fn whole(
        &mut self,
        name: &'static str,
        bounds: std::ops::RangeInclusive<i64>,
    ) -> Result<Option<i64>, ApiError> {
        let Some(text) = self.0.text(name)? else { return Ok(None) };
        let number = text.parse().map_err(|_| malformed(name, "a whole number"))?;
        if !bounds.contains(&number) {
            return Err(malformed(name, &format!("from {} to {}", bounds.start(), bounds.end())));
        }
        Ok(Some(number))
    }

    /// An instant: RFC 3339 or Unix milliseconds.
    pub fn instant_ms(&mut self, name: &'static str) -> Result<Option<i64>, ApiError> {
        let Some(text) = self.0.text(name)? else { return Ok(None) };
        if let Ok(number) = text.parse::<i64>() {
            let known = jiff::Timestamp::from_millisecond(number).is_ok();
            return known.then_some(Some(number)).ok_or_else(|| malformed(name, "an instant"));
        }
        let instant: Result<jiff::Timestamp, _> = text.parse();
        let wanted = "an instant such as 2026-11-22T10:00:00Z, or Unix milliseconds";
        instant.map(|at| Some(at.as_millisecond())).map_err(|_| malformed(name, wanted))
    }

    /// Refuses what was not asked for.
    pub fn finish(self) -> Result<(), ApiError> {
        self.0.finish().map_err(|mut error| {
            error.message = error.message.replace("field", "parameter");
            error.help = error.help.map(|help| help.replace("fields", "parameters"));
            error
        })
    }
}

fn malformed(name: &str, wanted: &str) -> ApiError {
    ApiError::new(Code::MalformedRequest, format!("The parameter {name} must be {wanted}."))
        .on(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_counts_brackets_outside_of_strings() {
        let deep = format!("\n{}{}", "[".repeat(17), "]".repeat(17));
        assert_eq!(too_deep_at(deep.as_bytes()), Some((2, 17)));
        assert_eq!(too_deep_at(br#"{"a":"[[[[[[[[[[[[[[[[[[[[[[\"{{{{{{"}"#), None);
    }

    #[test]
    fn broken_json_is_told_with_its_place() {
        let error = parse(b"{\n \"a\": x}").unwrap_err();
        assert_eq!(error.code, Code::MalformedJson);
        assert!(error.message.contains("line 2, column 7"), "{}", error.message);
    }

    #[test]
    fn what_is_left_is_named_with_its_path() {
        let mut fields = Fields::new(serde_json::json!({"a": {"b": "x", "c": 1}})).unwrap();
        let mut inner = fields.object("a").unwrap().unwrap();
        assert_eq!(inner.text("b").unwrap().as_deref(), Some("x"));
        let error = inner.finish().unwrap_err();
        assert_eq!((error.code, error.field.as_deref()), (Code::UnknownField, Some("a.c")));
        assert_eq!(error.help.as_deref(), Some("Known fields: b."));
        fields.finish().unwrap();
    }
}
