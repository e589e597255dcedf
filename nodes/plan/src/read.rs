//! Typed reading of TOML tables. A value of another type is an error with its place; reading goes on.

use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use toml_edit::{Array, Item, TableLike, Value};

use crate::keys::Place;
use crate::limits::FINDINGS_MAX;
use crate::units::{parse_count, parse_duration, parse_rate, render_duration};
use crate::words::{grouped, quote};

/// A range of bytes of the parsed text.
pub(crate) type Span = Range<usize>;

/// Collects what is wrong, so that all of a file is told at once.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// At most [`FINDINGS_MAX`].
    pub(crate) found: Vec<Finding>,
    /// Found, but not kept.
    pub(crate) more: usize,
}

/// A place, the message there, and what else is worth saying.
pub(crate) type Finding = (Span, String, Option<String>);

impl Findings {
    pub(crate) fn error(&mut self, span: Span, message: impl Into<String>) {
        self.push((span, message.into(), None));
    }

    pub(crate) fn noted(&mut self, span: Span, message: impl Into<String>, note: impl Into<String>) {
        self.push((span, message.into(), Some(note.into())));
    }

    /// Keeps the finding, or counts it where there are too many.
    pub(crate) fn push(&mut self, finding: Finding) {
        if self.found.len() < FINDINGS_MAX {
            self.found.push(finding);
        } else {
            self.more = self.more.saturating_add(1);
        }
    }
}

/// One table of the plan.
#[derive(Clone)]
pub(crate) struct Section<'a> {
    pub(crate) table: &'a dyn TableLike,
    /// As messages name it: `workflows.buy`.
    pub(crate) at: String,
    /// Where an error about the whole of it is shown.
    pub(crate) span: Span,
}

impl<'a> Section<'a> {
    /// The table in `item`, or an error.
    pub(crate) fn of(item: &'a Item, at: String, span: Span, findings: &mut Findings) -> Option<Self> {
        if let Some(table) = item.as_table_like() {
            return Some(Self { table, at, span });
        }
        findings.error(item.span().unwrap_or(span), format!("{at} must be a table, found {}", kind_of(item)));
        None
    }

    /// Reports every key that may not stand here.
    pub(crate) fn check_keys(&self, place: Place, findings: &mut Findings) {
        for (key, _) in self.table.iter() {
            if let Some(message) = place.refusal(key, &self.at) {
                findings.error(self.key_span(key), message);
            }
        }
    }

    pub(crate) fn item(&self, key: &str) -> Option<&'a Item> {
        self.table.get(key)
    }

    pub(crate) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    pub(crate) fn key_span(&self, key: &str) -> Span {
        self.table.key(key).and_then(toml_edit::Key::span).unwrap_or_else(|| self.span.clone())
    }

    pub(crate) fn value_span(&self, key: &str) -> Span {
        self.item(key).and_then(Item::span).unwrap_or_else(|| self.key_span(key))
    }

    /// `wanted`: `a text, such as "5s"`.
    pub(crate) fn wrong_type(&self, key: &str, wanted: &str, findings: &mut Findings) {
        if let Some(item) = self.item(key) {
            findings
                .error(self.value_span(key), format!("\"{key}\" must be {wanted}; found {}", kind_of(item)));
        }
    }

    pub(crate) fn text(&self, key: &str, example: &str, findings: &mut Findings) -> Option<&'a str> {
        let item = self.item(key)?;
        if item.as_str().is_none() {
            self.wrong_type(key, &format!("text in quotes, such as {example}"), findings);
        }
        item.as_str()
    }

    pub(crate) fn array(&self, key: &str, example: &str, findings: &mut Findings) -> Option<&'a Array> {
        let item = self.item(key)?;
        if item.as_array().is_none() {
            self.wrong_type(key, &format!("a list, such as {example}"), findings);
        }
        item.as_array()
    }

    pub(crate) fn duration(
        &self,
        key: &str,
        range: RangeInclusive<Duration>,
        findings: &mut Findings,
    ) -> Option<Duration> {
        let item = self.item(key)?;
        let span = self.value_span(key);
        let text = match item.as_value() {
            Some(Value::String(text)) => text.value(),
            Some(Value::Integer(number)) => {
                let number = number.value();
                findings.error(span, format!("\"{key}\" has no unit; write \"{number}s\" or \"{number}ms\""));
                return None;
            }
            Some(Value::Float(number)) => {
                let number = number.value();
                findings.error(span, format!("\"{key}\" has no unit; write \"{number}s\" or \"{number}ms\""));
                return None;
            }
            Some(Value::Boolean(_) | Value::Datetime(_) | Value::Array(_) | Value::InlineTable(_)) | None => {
                self.wrong_type(key, "a duration in quotes, such as \"30s\"", findings);
                return None;
            }
        };
        match parse_duration(text) {
            Ok(duration) if range.contains(&duration) => Some(duration),
            Ok(_) => {
                let (from, to) = (render_duration(*range.start()), render_duration(*range.end()));
                findings.error(span, format!("\"{key}\" must be {from} to {to}, found {}", quote(text)));
                None
            }
            Err(error) => {
                findings.error(span, error.to_string());
                None
            }
        }
    }

    /// A whole number, or a text such as `"10k"`.
    pub(crate) fn count(
        &self,
        key: &str,
        range: RangeInclusive<u64>,
        findings: &mut Findings,
    ) -> Option<u64> {
        let item = self.item(key)?;
        let span = self.value_span(key);
        let out_of_range = |found: String| {
            format!("{key} must be {} to {}, found {found}", grouped(*range.start()), grouped(*range.end()))
        };
        let result = match item.as_value() {
            Some(Value::Integer(number)) => match u64::try_from(*number.value()) {
                Ok(count) if range.contains(&count) => Ok(count),
                _ => Err(out_of_range(number.value().to_string())),
            },
            Some(Value::String(text)) => match parse_count(text.value()) {
                Ok(count) if range.contains(&count) => Ok(count),
                Ok(count) => Err(out_of_range(count.to_string())),
                Err(error) => Err(error.to_string()),
            },
            Some(
                Value::Float(_)
                | Value::Boolean(_)
                | Value::Datetime(_)
                | Value::Array(_)
                | Value::InlineTable(_),
            )
            | None => {
                self.wrong_type(key, "a whole number, such as 10 or \"10k\"", findings);
                return None;
            }
        };
        result.map_err(|message| findings.error(span, message)).ok()
    }

    /// A number per second, or a text such as `"500/s"`; unchecked but for being a number.
    pub(crate) fn rate(&self, key: &str, findings: &mut Findings) -> Option<(f64, String)> {
        let item = self.item(key)?;
        match item.as_value() {
            #[expect(clippy::cast_precision_loss, reason = "rates past 2^53 are out of range anyway")]
            Some(Value::Integer(number)) => Some((*number.value() as f64, number.value().to_string())),
            Some(Value::Float(number)) => Some((*number.value(), number.value().to_string())),
            Some(Value::String(text)) => match parse_rate(text.value()) {
                Ok(rate) => Some((rate, quote(text.value()))),
                Err(error) => {
                    findings.error(self.value_span(key), error.to_string());
                    None
                }
            },
            Some(Value::Boolean(_) | Value::Datetime(_) | Value::Array(_) | Value::InlineTable(_)) | None => {
                self.wrong_type(key, "a rate, such as 500 or \"500/s\"", findings);
                None
            }
        }
    }
}

/// The type of a value, in a sentence.
pub(crate) fn kind_of(item: &Item) -> &'static str {
    match item {
        Item::None => "nothing",
        Item::Table(_) => "a table",
        Item::ArrayOfTables(_) => "a list of tables",
        Item::Value(value) => kind_of_value(value),
    }
}

/// The type of a value, in a sentence.
pub(crate) fn kind_of_value(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "text",
        Value::Integer(_) => "a whole number",
        Value::Float(_) => "a number",
        Value::Boolean(_) => "true or false",
        Value::Datetime(_) => "a date",
        Value::Array(_) => "a list",
        Value::InlineTable(_) => "a table",
    }
}

/// The first `{{...}}` of a text: filled in per iteration one day, so it may not pass as plain text today.
pub(crate) fn placeholder(text: &str) -> Option<&str> {
    let start = text.find("{{")?;
    let rest = text.get(start..)?;
    let end = rest.find("}}")?;
    rest.get(..end.saturating_add(2))
}

/// Reports a `{{...}}` in `text`.
pub(crate) fn refuse_placeholder(text: &str, span: Span, findings: &mut Findings) {
    if let Some(found) = placeholder(text) {
        findings.error(
            span,
            format!(
                "{} is not supported yet: values per iteration; use ${{NAME}} for one value a run",
                quote(found)
            ),
        );
    }
}
