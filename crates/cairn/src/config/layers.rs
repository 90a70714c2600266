//! Where each value comes from: defaults, file, environment, command line, the later over the earlier.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use toml::{Table, Value};

/// Prefix of the environment's keys.
const PREFIX: &str = "CAIRN_";

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("the configuration file {} cannot be read: {cause}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// The file is not TOML.
    #[error("the configuration file {} is not valid: {cause}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where and why.
        cause: Box<toml::de::Error>,
    },
    /// There is no such key.
    #[error("unknown setting `{key}` ({origin}){}", nearest.as_ref().map(|key| format!("; did you mean `{key}`?")).unwrap_or_default())]
    UnknownKey {
        /// The key.
        key: String,
        /// Where it was set.
        origin: Origin,
        /// The nearest key that exists.
        nearest: Option<String>,
    },
    /// The value has the wrong type or is out of its range.
    #[error("setting `{key}` ({origin}): {problem}")]
    Impossible {
        /// The key.
        key: String,
        /// Where it was set.
        origin: Origin,
        /// What is wrong with it.
        problem: String,
    },
}

/// Where a value was set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// `config.default.toml`.
    Default,
    /// The file given with `--config`.
    File(PathBuf),
    /// An environment variable.
    Environment(String),
    /// A flag of the command line.
    CommandLine(&'static str),
}

impl std::fmt::Display for Origin {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Origin::Default => formatter.write_str("default"),
            Origin::File(path) => write!(formatter, "file {}", path.display()),
            Origin::Environment(name) => write!(formatter, "environment {name}"),
            Origin::CommandLine(flag) => write!(formatter, "command line {flag}"),
        }
    }
}

/// Every key with its value and where that came from.
#[derive(Clone, Debug)]
pub struct Layers {
    values: BTreeMap<String, (Value, Origin)>,
}

impl Layers {
    /// The defaults alone.
    pub fn new(defaults: &str) -> Result<Layers, ConfigError> {
        let table = parse(defaults, Path::new("config.default.toml"))?;
        let mut values = BTreeMap::new();
        for (key, value) in flatten(table) {
            values.insert(key, (value, Origin::Default));
        }
        Ok(Layers { values })
    }

    /// Lays a file over what is there.
    pub fn add_file(&mut self, path: &Path) -> Result<(), ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|cause| ConfigError::Unreadable { path: path.to_owned(), cause })?;
        for (key, value) in flatten(parse(&text, path)?) {
            self.set(&key, value, Origin::File(path.to_owned()))?;
        }
        Ok(())
    }

    /// Lays `CAIRN_SECTION__KEY` variables over what is there. Names without `__` belong to somebody else.
    pub fn add_environment(
        &mut self,
        variables: impl Iterator<Item = (String, String)>,
    ) -> Result<(), ConfigError> {
        for (name, text) in variables {
            let Some(rest) = name.strip_prefix(PREFIX) else { continue };
            let Some((section, key)) = rest.split_once("__") else { continue };
            let key = format!("{}.{}", section.to_lowercase(), key.to_lowercase());
            let origin = Origin::Environment(name);
            let value = match self.values.get(&key) {
                Some((known, _)) => typed(known, &text).map_err(|problem| {
                    let (key, origin) = (key.clone(), origin.clone());
                    ConfigError::Impossible { key, origin, problem }
                })?,
                None => Value::String(text),
            };
            self.set(&key, value, origin)?;
        }
        Ok(())
    }

    /// Lays a flag of the command line over what is there.
    pub fn add_flag(
        &mut self,
        flag: &'static str,
        key: &str,
        value: String,
    ) -> Result<(), ConfigError> {
        self.set(key, Value::String(value), Origin::CommandLine(flag))
    }

    /// Every key, value and origin, by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value, &Origin)> {
        self.values.iter().map(|(key, (value, origin))| (key.as_str(), value, origin))
    }

    /// The typed configuration.
    pub fn decide<T: DeserializeOwned>(&self) -> Result<T, ConfigError> {
        let mut sections = Table::new();
        for (key, (value, _)) in &self.values {
            let (section, name) = key.split_once('.').unwrap_or(("", key));
            let section = sections.entry(section).or_insert_with(|| Value::Table(Table::new()));
            if let Value::Table(section) = section {
                section.insert(name.to_owned(), value.clone());
            }
        }
        Value::Table(sections).try_into().map_err(|cause: toml::de::Error| {
            // `set` has checked kinds; what is left is a word that is none of the possible ones.
            let text = cause.message().to_owned();
            let guilty = self.values.iter().find(|(_, (value, origin))| {
                *origin != Origin::Default
                    && value.as_str().is_some_and(|word| text.contains(&format!("`{word}`")))
            });
            match guilty {
                Some((key, _)) => self.impossible(key, text),
                None => self.impossible("", text),
            }
        })
    }

    /// An error about a key's value.
    pub fn impossible(&self, key: &str, problem: String) -> ConfigError {
        let origin = self.values.get(key).map_or(Origin::Default, |(_, origin)| origin.clone());
        ConfigError::Impossible { key: key.to_owned(), origin, problem }
    }

    fn set(&mut self, key: &str, value: Value, origin: Origin) -> Result<(), ConfigError> {
        let Some((known, _)) = self.values.get(key) else {
            return Err(ConfigError::UnknownKey {
                key: key.to_owned(),
                origin,
                nearest: self.nearest(key),
            });
        };
        if !same_kind(known, &value) {
            let problem = format!("expected {}, found {}", kind(known), kind(&value));
            return Err(ConfigError::Impossible { key: key.to_owned(), origin, problem });
        }
        self.values.insert(key.to_owned(), (value, origin));
        Ok(())
    }

    fn nearest(&self, key: &str) -> Option<String> {
        self.values
            .keys()
            .map(|known| (strsim::jaro_winkler(known, key), known))
            .filter(|(likeness, _)| *likeness > 0.75)
            .max_by(|(left, _), (right, _)| left.total_cmp(right))
            .map(|(_, known)| known.clone())
    }
}

fn parse(text: &str, path: &Path) -> Result<Table, ConfigError> {
    text.parse::<Table>()
        .map_err(|cause| ConfigError::Syntax { path: path.to_owned(), cause: Box::new(cause) })
}

/// `section.key` for every key of every section; a key outside sections keeps its name, and is unknown.
fn flatten(table: Table) -> Vec<(String, Value)> {
    let mut flat = Vec::new();
    for (section, value) in table {
        match value {
            Value::Table(keys) => flat
                .extend(keys.into_iter().map(|(key, value)| (format!("{section}.{key}"), value))),
            value => flat.push((section, value)),
        }
    }
    flat
}

/// Reads the text of an environment variable as the kind that the key has.
fn typed(known: &Value, text: &str) -> Result<Value, String> {
    let wrong = || format!("expected {}, found \"{text}\"", kind(known));
    Ok(match known {
        Value::Integer(_) => Value::Integer(text.trim().parse().map_err(|_| wrong())?),
        Value::Boolean(_) => Value::Boolean(text.trim().parse().map_err(|_| wrong())?),
        Value::Array(_) => Value::Array(
            text.split(',')
                .map(str::trim)
                .filter(|part| !part.is_empty())
                .map(|part| Value::String(part.to_owned()))
                .collect(),
        ),
        _ => Value::String(text.to_owned()),
    })
}

fn same_kind(left: &Value, right: &Value) -> bool {
    let texts = |value: &Value| {
        value.as_array().is_some_and(|items| items.iter().all(|item| item.is_str()))
    };
    left.same_type(right) && (!left.is_array() || texts(right))
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Integer(_) => "a whole number",
        Value::Boolean(_) => "true or false",
        Value::Array(_) => "a list of texts",
        Value::String(_) => "a text",
        Value::Float(_) => "a fraction",
        Value::Datetime(_) => "a date",
        Value::Table(_) => "a section",
    }
}

/// A value as it stands in a file.
pub fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => format!("{text:?}"),
        Value::Integer(number) => number.to_string(),
        Value::Boolean(truth) => truth.to_string(),
        Value::Array(items) => {
            format!("[{}]", items.iter().map(shown).collect::<Vec<_>>().join(", "))
        }
        Value::Float(number) => number.to_string(),
        Value::Datetime(instant) => instant.to_string(),
        Value::Table(_) => "{}".to_owned(),
    }
}
