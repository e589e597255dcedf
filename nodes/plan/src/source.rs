//! A plan's text and where each of its bytes stands in what the user wrote.
//!
//! Substitution moves bytes, so spans of the parsed text are mapped back before they become line and column.

use std::ops::Range;

use crate::error::PlanError;
use crate::words::is_unsafe_to_show;

/// A part of the text after substitution, and where it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) text: Range<usize>,
    pub(crate) written: Range<usize>,
    /// Byte for byte; else the whole of `written` stands for the whole of `text`.
    pub(crate) verbatim: bool,
}

/// What the user wrote, what is parsed, and the way between them.
#[derive(Debug)]
pub(crate) struct Source<'a> {
    written: &'a str,
    /// Sorted by `text`. Empty: the parsed text is what was written.
    pieces: &'a [Piece],
}

/// Columns of a source line that are shown; longer ones are cut around the place.
const SHOWN_COLUMNS: usize = 100;

impl<'a> Source<'a> {
    /// A text that is parsed as it was written.
    pub(crate) fn plain(written: &'a str) -> Self {
        Self { written, pieces: &[] }
    }

    /// A text after substitution.
    pub(crate) fn substituted(written: &'a str, pieces: &'a [Piece]) -> Self {
        Self { written, pieces }
    }

    /// An error at a span of the parsed text.
    pub(crate) fn error_at(&self, span: Range<usize>, message: String, note: Option<String>) -> PlanError {
        self.error_at_written(self.to_written(span), message, note)
    }

    /// An error at a span of what was written. Any span will do; it is cut to the text and to characters.
    pub(crate) fn error_at_written(
        &self,
        span: Range<usize>,
        message: String,
        note: Option<String>,
    ) -> PlanError {
        let start = floor_char_boundary(self.written, span.start);
        let (before, after) = self.written.split_at_checked(start).unwrap_or((self.written, ""));
        let before = before.strip_prefix('\u{feff}').unwrap_or(before);
        let line_start = before.rfind('\n').map_or(0, |at| at.saturating_add(1));
        let head = before.get(line_start..).unwrap_or("");
        let tail = after.split('\n').next().unwrap_or("");
        let tail = tail.strip_suffix('\r').unwrap_or(tail);
        let length = span.end.saturating_sub(start).min(tail.len());
        let under = tail.get(..floor_char_boundary(tail, length)).unwrap_or("");
        let (shown, indent) = cut_line(head, tail);
        PlanError {
            line: before.matches('\n').count().saturating_add(1),
            column: head.chars().count().saturating_add(1),
            message,
            note,
            source: shown.trim_end().to_owned(),
            indent,
            carets: under.chars().count().clamp(1, SHOWN_COLUMNS),
        }
    }

    fn to_written(&self, span: Range<usize>) -> Range<usize> {
        if self.pieces.is_empty() {
            return span;
        }
        let start = self.place(span.start).map_or(span.start, |piece| piece.written_start(span.start));
        let last = span.end.saturating_sub(1).max(span.start);
        let end = self.place(last).map_or(start, |piece| piece.written_end(last));
        start..end.max(start)
    }

    fn place(&self, at: usize) -> Option<&Piece> {
        let index = self.pieces.partition_point(|piece| piece.text.end <= at);
        self.pieces.get(index).or_else(|| self.pieces.last())
    }
}

impl Piece {
    fn written_start(&self, at: usize) -> usize {
        if !self.verbatim {
            return self.written.start;
        }
        self.written.start.saturating_add(at.saturating_sub(self.text.start)).min(self.written.end)
    }

    fn written_end(&self, last: usize) -> usize {
        if !self.verbatim {
            return self.written.end;
        }
        self.written_start(last).saturating_add(1).min(self.written.end)
    }
}

/// The line with nothing that moves a cursor, cut around the column after `head`; and the columns before it.
fn cut_line(head: &str, tail: &str) -> (String, usize) {
    let visible = |c: char| match c {
        '\t' => ' ',
        c if is_unsafe_to_show(c) => '\u{fffd}',
        c => c,
    };
    let before = head.chars().count();
    let (skip, mut shown) = match before.checked_sub(SHOWN_COLUMNS.saturating_sub(40)) {
        Some(skip) if skip > 0 => (skip, String::from("…")),
        _ => (0, String::new()),
    };
    let indent = before.saturating_sub(skip).saturating_add(shown.chars().count());
    let room = SHOWN_COLUMNS.saturating_sub(indent);
    shown.extend(head.chars().skip(skip).map(visible));
    shown.extend(tail.chars().take(room).map(visible));
    if tail.chars().nth(room).is_some() {
        shown.push('…');
    }
    (shown, indent)
}

fn floor_char_boundary(text: &str, at: usize) -> usize {
    text.floor_char_boundary(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str, span: Range<usize>) -> (usize, usize, String, usize, usize) {
        let error = Source::plain(text).error_at(span, String::new(), None);
        (error.line, error.column, error.source, error.indent, error.carets)
    }

    #[test]
    fn columns_count_characters_not_bytes() {
        assert_eq!(at("a\nüü = x\n", 9..10), (2, 6, "üü = x".to_owned(), 5, 1));
    }

    #[test]
    fn a_byte_order_mark_takes_no_column() {
        assert_eq!(at("\u{feff}vus = 0", 3..6), (1, 1, "vus = 0".to_owned(), 0, 3));
    }

    #[test]
    fn a_span_past_the_end_or_inside_a_character_is_cut() {
        assert_eq!(at("ab", 7..90), (1, 3, "ab".to_owned(), 2, 1));
        assert_eq!(at("", 0..0), (1, 1, String::new(), 0, 1));
        assert_eq!(at("ü", 1..2).1, 1);
    }

    #[test]
    fn a_long_line_is_cut_around_the_place() {
        let text = "x".repeat(1000) + "HERE" + &"y".repeat(1000);
        let (_, column, shown, indent, carets) = at(&text, 1000..1004);
        assert_eq!((column, indent, carets), (1001, 61, 4));
        assert!(shown.chars().count() <= SHOWN_COLUMNS + 2, "{shown}");
        assert_eq!(shown.chars().skip(indent).take(4).collect::<String>(), "HERE");
    }

    #[test]
    fn tabs_and_escapes_keep_the_carets_under_the_text() {
        assert_eq!(at("\t\u{1b}x = 1", 2..3), (1, 3, " \u{fffd}x = 1".to_owned(), 2, 1));
    }

    #[test]
    fn a_place_in_substituted_text_is_the_variable_that_was_written() {
        // written: a = "${X}b" ; parsed: a = "long value" + b"
        let pieces = [
            Piece { text: 0..5, written: 0..5, verbatim: true },
            Piece { text: 5..15, written: 5..9, verbatim: false },
            Piece { text: 15..17, written: 9..11, verbatim: true },
        ];
        let source = Source::substituted("a = \"${X}b\"", &pieces);
        let error = source.error_at(7..9, String::new(), None);
        assert_eq!((error.column, error.carets), (6, 4));
        let error = source.error_at(4..17, String::new(), None);
        assert_eq!((error.column, error.carets), (5, 7));
        let error = source.error_at(15..16, String::new(), None);
        assert_eq!((error.column, error.carets), (10, 1));
    }
}
