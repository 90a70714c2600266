//! What values are called: the edge where stored values become words.

use std::borrow::Cow;

use crate::answer::Key;
use crate::event::PAGE_VIEW;
use crate::question::countries::country_name;
use crate::question::filters::PAGE_VIEW_ASKED;
use crate::question::{Asked, Dimension, Field};

/// What a stored text is called in a row.
pub fn text_label<'a>(dimension: &Dimension, text: &'a str) -> Cow<'a, str> {
    if text.is_empty() {
        return Cow::Borrowed(dimension.missing_label());
    }
    match dimension {
        Dimension::EventName if text == PAGE_VIEW => Cow::Borrowed(PAGE_VIEW_ASKED),
        Dimension::Visit(Field::CountryName) => Cow::Borrowed(country_name(text)),
        _ => Cow::Borrowed(text),
    }
}

impl Asked {
    /// What the value of the dimension at `position` is called. Empty when there is no such dimension, goal or bucket.
    pub fn label(&self, position: usize, key: &Key) -> String {
        match (self.dimensions.get(position), key) {
            (Some(dimension), Key::Text(text)) => text_label(dimension, text).into_owned(),
            (_, Key::Bucket(index)) => {
                self.buckets.as_ref().map_or_else(String::new, |buckets| buckets.label(*index))
            }
            (_, Key::Goal(index)) => {
                self.goals.get(*index).map_or_else(String::new, |goal| goal.name.clone())
            }
            (None, Key::Text(_)) => String::new(),
        }
    }
}
