//! Text to a TOML document, or everything that is not TOML in it.
//!
//! `toml_edit` names one error; the events of `toml_parser` below it give all of them.

use std::ops::Range;

use toml_edit::Document;
use toml_parser::parser::{Event, EventKind, RecursionGuard, ValidateWhitespace, parse_document};
use toml_parser::{Expected, ParseError};

use crate::limits::FINDINGS_MAX;
use crate::words::quote;

/// Deeper than any plan needs; `toml_edit` has the same bound.
const DEPTH_MAX: u32 = 80;

/// A span of the text and what is wrong there.
pub(crate) type SyntaxError = (Range<usize>, String);

/// The document with its spans, or what is not TOML, in the order of the text.
pub(crate) fn parse_toml(text: &str) -> Result<Document<&str>, Vec<SyntaxError>> {
    Document::parse(text).map_err(|first| {
        let mut errors = all_errors(text);
        if errors.is_empty() {
            let span = first.span().unwrap_or(0..0);
            let message = describe(text, &span, first.message());
            errors.push((span, message));
        }
        errors
    })
}

fn all_errors(text: &str) -> Vec<SyntaxError> {
    let source = toml_parser::Source::new(text);
    let tokens = source.lex().into_vec();
    let mut errors: Vec<ParseError> = Vec::new();
    let mut events: Vec<Event> = Vec::new();
    let mut receiver = ValidateWhitespace::new(&mut events, source);
    let mut receiver = RecursionGuard::new(&mut receiver, DEPTH_MAX);
    parse_document(&tokens, &mut receiver, &mut errors);
    for event in &events {
        let Some(raw) = source.get(event) else { continue };
        match event.kind() {
            EventKind::Scalar => {
                let mut scratch = String::new();
                let _ = raw.decode_scalar(&mut scratch, &mut errors);
            }
            EventKind::SimpleKey => {
                let mut scratch = String::new();
                raw.decode_key(&mut scratch, &mut errors);
            }
            EventKind::Comment => raw.decode_comment(&mut errors),
            EventKind::StdTableOpen
            | EventKind::StdTableClose
            | EventKind::ArrayTableOpen
            | EventKind::ArrayTableClose
            | EventKind::InlineTableOpen
            | EventKind::InlineTableClose
            | EventKind::ArrayOpen
            | EventKind::ArrayClose
            | EventKind::KeySep
            | EventKind::KeyValSep
            | EventKind::ValueSep
            | EventKind::Whitespace
            | EventKind::Newline
            | EventKind::Error => {}
        }
    }
    errors.sort_by_key(|error| place_of(error).start);
    // A cause on each line is enough to show; looking at every place of a long line is not affordable.
    errors.truncate(FINDINGS_MAX);
    let mut found: Vec<SyntaxError> = errors.iter().map(|error| convert(text, error)).collect();
    // One cause often gives several errors at one place; the first one names it.
    found.dedup_by_key(|(span, _)| line_of(text, span.start));
    found
}

fn place_of(error: &ParseError) -> Range<usize> {
    error.unexpected().or(error.context()).map_or(0..0, |span| span.start()..span.end())
}

fn convert(text: &str, error: &ParseError) -> SyntaxError {
    let span = place_of(error);
    let mut message = error.description().to_owned();
    if let Some(expected) = error.expected().filter(|expected| !expected.is_empty()) {
        let names: Vec<String> = expected.iter().filter_map(expected_name).collect();
        message.push_str(", expected ");
        message.push_str(&names.join(" or "));
    }
    let message = describe(text, &span, &message);
    (span, message)
}

fn expected_name(expected: &Expected) -> Option<String> {
    match expected {
        Expected::Literal("\n") => Some("a new line".to_owned()),
        Expected::Literal(literal) => Some(format!("`{literal}`")),
        Expected::Description(words) => Some((*words).to_owned()),
        _ => None,
    }
}

fn describe(text: &str, span: &Range<usize>, message: &str) -> String {
    let found = text.get(span.clone()).unwrap_or("");
    if found.contains('\0') {
        return "not TOML: a NUL byte; is this a binary file?".to_owned();
    }
    if message.starts_with("string values must be quoted") {
        let found = found.trim();
        return if found.is_empty() {
            "not TOML: no value after \"=\"".to_owned()
        } else {
            format!("not TOML: {} must be in double quotes here", quote(found))
        };
    }
    if message == "duplicate key" {
        return format!("{} is set twice; keep one", quote(found));
    }
    if message.contains("recurs") {
        return format!("not TOML that a plan needs: nested deeper than {DEPTH_MAX}");
    }
    format!("not TOML: {}", message.replace('\n', "; "))
}

fn line_of(text: &str, at: usize) -> usize {
    let end = text.floor_char_boundary(at);
    text.get(..end).unwrap_or("").rfind('\n').unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(text: &str) -> Vec<String> {
        parse_toml(text).unwrap_err().into_iter().map(|(_, message)| message).collect()
    }

    #[test]
    fn every_line_that_is_not_toml_is_named() {
        let found = messages("a = \"x\nb = 3\nc = = 4\nd = 30s\n");
        assert_eq!(found.len(), 3, "{found:?}");
        assert_eq!(found.last().unwrap(), "not TOML: \"30s\" must be in double quotes here");
    }

    #[test]
    fn a_key_set_twice_is_named() {
        assert_eq!(messages("a = 1\na = 2\n"), ["\"a\" is set twice; keep one"]);
    }

    #[test]
    fn deep_nesting_is_refused_not_followed() {
        for text in [
            format!("a = {}", "[".repeat(300_000)),
            format!("a = {}1", "{a=".repeat(100_000)),
            format!("[{}a]", "a.".repeat(100_000)),
            format!("{}a = 1", "a.".repeat(100_000)),
        ] {
            assert!(!messages(&text).is_empty());
        }
    }

    #[test]
    fn a_nul_byte_is_called_one() {
        assert_eq!(messages("a = \0"), ["not TOML: a NUL byte; is this a binary file?"]);
    }
}
