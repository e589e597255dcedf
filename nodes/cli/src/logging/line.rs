//! One log line, for people or as JSON. Control characters that strangers put into a text are escaped, so that they can
//! neither drive the terminal nor begin a line of their own.

use std::fmt::{self, Write as _};

use serde_json::{Map, Value, json};
use tracing::field::{Field, Visit};
use tracing::{Event, Level};

use super::Identity;
use super::repeats::Suppressed;

#[derive(Debug)]
pub(super) struct Line {
    level: Level,
    target: &'static str,
    message: String,
    fields: Vec<(&'static str, Value)>,
}

impl Line {
    pub(super) fn of(event: &Event<'_>) -> Self {
        let metadata = event.metadata();
        let mut line = Self {
            level: *metadata.level(),
            target: metadata.target(),
            message: String::new(),
            fields: Vec::new(),
        };
        event.record(&mut line);
        line
    }

    pub(super) fn suppressed(suppressed: &Suppressed) -> Self {
        Self {
            level: suppressed.level,
            target: suppressed.target,
            message: "repeated lines were left out".to_owned(),
            fields: vec![("suppressed", suppressed.lines.into()), ("callsite", suppressed.callsite.into())],
        }
    }

    /// `2026-11-24T16:14:31.123Z WARN gate-1 gate/0 hyperscale_gate: message key=value`
    pub(super) fn human(&self, identity: &Identity, shard: Option<u16>, unix_ms: u64) -> String {
        let Identity { node, role } = identity;
        let shard = shard.map(|shard| format!("/{shard}")).unwrap_or_default();
        let (time, level, target) = (time(unix_ms), self.level, self.target);
        let mut text =
            format!("{time} {level:>5} {} {role}{shard} {target}: {}", clean(node), clean(&self.message));
        for (name, value) in &self.fields {
            // Texts in quotes, so that one with spaces stays one.
            let _a_string_grows = match value {
                Value::String(value) => write!(text, " {name}={value:?}"),
                other @ (Value::Null
                | Value::Bool(_)
                | Value::Number(_)
                | Value::Array(_)
                | Value::Object(_)) => {
                    write!(text, " {name}={other}")
                }
            };
        }
        text.push('\n');
        text
    }

    /// One object; the event's own fields are kept apart, as they may be called anything.
    pub(super) fn json(&self, identity: &Identity, shard: Option<u16>, unix_ms: u64) -> String {
        let fields: Map<String, Value> =
            self.fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        let line = json!({
            "time": time(unix_ms),
            "level": self.level.as_str().to_ascii_lowercase(),
            "node": identity.node,
            "role": identity.role,
            "shard": shard,
            "target": self.target,
            "message": self.message,
            "fields": fields,
        });
        format!("{line}\n")
    }

    fn put(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", Value::String(text)) => self.message = text,
            (name, value) => self.fields.push((name, value)),
        }
    }
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}").into());
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.into());
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value.into());
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }
}

fn clean(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() { clean.extend(c.escape_default()) } else { clean.push(c) }
    }
    clean
}

/// RFC 3339 with milliseconds; empty for a time beyond the year 9999.
fn time(unix_ms: u64) -> String {
    let time = i64::try_from(unix_ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    time.map(|time| format!("{time:.3}")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line() -> Line {
        Line {
            level: Level::WARN,
            target: "hyperscale_gate",
            message: "refused\n\u{1b}[2Ja caller".to_owned(),
            fields: vec![("peer", "10.0.0.1:7 \"x\"".into()), ("shard", 9.into())],
        }
    }

    fn identity() -> Identity {
        Identity { node: "gate-1".to_owned(), role: "gate" }
    }

    #[test]
    fn a_line_for_people_says_whose_it_is_and_cannot_be_broken() {
        let text = line().human(&identity(), Some(3), 1_800_000_000_123);
        let expected = "2027-01-15T08:00:00.123Z  WARN gate-1 gate/3 hyperscale_gate: \
                        refused\\n\\u{1b}[2Ja caller peer=\"10.0.0.1:7 \\\"x\\\"\" shard=9\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_line_of_json_keeps_its_own_fields_apart() {
        let text = line().json(&identity(), Some(3), 1_800_000_000_123);
        assert_eq!(text.matches('\n').count(), 1);
        let json: Value = serde_json::from_str(&text).unwrap();
        let of = |key: &str| json[key].clone();
        assert_eq!(of("time"), "2027-01-15T08:00:00.123Z");
        assert_eq!((of("node"), of("role"), of("shard")), ("gate-1".into(), "gate".into(), 3.into()));
        assert_eq!((of("level"), json["fields"]["shard"].clone()), ("warn".into(), 9.into()));
    }

    #[test]
    fn a_thread_that_is_no_shard_says_none() {
        let text = line().json(&identity(), None, 0);
        let json: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(json["shard"], Value::Null);
        assert!(line().human(&identity(), None, 0).contains(" gate-1 gate hyperscale_gate: "));
    }
}
