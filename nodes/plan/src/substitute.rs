//! `${X}` and `${X:-default}`, filled in once when a plan is loaded; `$$` is a dollar sign.
//!
//! Only inside TOML strings (a value is escaped there, so it cannot end the string) and, where a number or `true`
//! stands, bare. Comments are left alone. Bounds: the result is at most 1 MiB.

use std::collections::BTreeMap;

use crate::limits::TEXT_BYTES_MAX;
use crate::read::Span;
use crate::source::Piece;
use crate::words::quote;

/// A text with its variables filled in, and the way back to what was written.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Substituted {
    pub(crate) text: String,
    pub(crate) pieces: Vec<Piece>,
}

/// Fills in the variables. Errors carry spans of `written`.
pub(crate) fn substitute(
    written: &str,
    variables: &BTreeMap<String, String>,
) -> Result<Substituted, Vec<(Span, String)>> {
    let mut scanner = Scanner {
        written,
        variables,
        at: 0,
        run_start: 0,
        context: Context::Bare,
        text: String::with_capacity(written.len()),
        pieces: Vec::new(),
        errors: Vec::new(),
    };
    while scanner.at < written.len() && scanner.text.len() <= TEXT_BYTES_MAX {
        scanner.step();
    }
    scanner.end_run(written.len());
    if scanner.text.len() > TEXT_BYTES_MAX && scanner.errors.is_empty() {
        scanner.errors.push((0..0, "the plan with its variables filled in is over 1 MiB".to_owned()));
    }
    if scanner.errors.is_empty() {
        Ok(Substituted { text: scanner.text, pieces: scanner.pieces })
    } else {
        Err(scanner.errors)
    }
}

/// `text` as a TOML basic string.
pub(crate) fn toml_string(text: &str) -> String {
    format!("\"{}\"", escape(text))
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out
}

/// Where in TOML the scanner is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Context {
    Bare,
    Comment,
    Basic,
    BasicLines,
    Literal,
    LiteralLines,
}

struct Scanner<'a> {
    written: &'a str,
    variables: &'a BTreeMap<String, String>,
    at: usize,
    /// Start of what was read but not yet copied.
    run_start: usize,
    context: Context,
    text: String,
    pieces: Vec<Piece>,
    errors: Vec<(Span, String)>,
}

impl Scanner<'_> {
    fn rest(&self) -> &str {
        self.written.get(self.at..).unwrap_or("")
    }

    fn skip(&mut self, bytes: usize) {
        self.at = self.at.saturating_add(bytes).min(self.written.len());
    }

    fn skip_char(&mut self) {
        self.skip(self.rest().chars().next().map_or(1, char::len_utf8));
    }

    fn enter(&mut self, context: Context, bytes: usize) {
        self.context = context;
        self.skip(bytes);
    }

    fn step(&mut self) {
        if self.context != Context::Comment && self.rest().starts_with("${") {
            return self.variable();
        }
        if !matches!(self.context, Context::Comment | Context::Bare) && self.rest().starts_with("$$") {
            return self.replace(2, "$");
        }
        let rest = self.rest();
        let first = rest.as_bytes().first().copied().unwrap_or(0);
        match (self.context, first) {
            (Context::Bare, b'#') => self.enter(Context::Comment, 1),
            (Context::Bare, b'"') if rest.starts_with("\"\"\"") => self.enter(Context::BasicLines, 3),
            (Context::Bare, b'"') => self.enter(Context::Basic, 1),
            (Context::Bare, b'\'') if rest.starts_with("'''") => self.enter(Context::LiteralLines, 3),
            (Context::Bare, b'\'') => self.enter(Context::Literal, 1),
            (Context::Basic | Context::BasicLines, b'\\') => {
                self.skip(1);
                self.skip_char();
            }
            // A line ends a string of one line: TOML will say that it is not closed.
            (Context::Comment | Context::Basic | Context::Literal, b'\n')
            | (Context::Basic, b'"')
            | (Context::Literal, b'\'') => self.enter(Context::Bare, 1),
            (Context::BasicLines, b'"') if rest.starts_with("\"\"\"") => self.leave_lines('"'),
            (Context::LiteralLines, b'\'') if rest.starts_with("'''") => self.leave_lines('\''),
            _ => self.skip_char(),
        }
    }

    /// Up to two more quotes before the closing three belong to the string.
    fn leave_lines(&mut self, mark: char) {
        let quotes = self.rest().chars().take(5).take_while(|c| *c == mark).count();
        self.enter(Context::Bare, quotes);
    }

    fn variable(&mut self) {
        let start = self.at;
        match read_variable(self.rest(), self.context) {
            Err((length, message)) => {
                self.errors.push((start..start.saturating_add(length), message));
                self.skip(length.max(2));
            }
            Ok(variable) => {
                let length = variable.length;
                match self.value_of(&variable) {
                    Ok(value) => self.replace(length, &value),
                    Err(message) => {
                        self.errors.push((start..start.saturating_add(length), message));
                        self.skip(length);
                    }
                }
            }
        }
    }

    /// The TOML text that stands for the variable here.
    fn value_of(&self, variable: &Variable<'_>) -> Result<String, String> {
        let name = variable.name;
        let given = self.variables.get(name).filter(|value| variable.default.is_none() || !value.is_empty());
        match (given, variable.default) {
            (Some(value), _) => match self.context {
                Context::Bare => bare(name, value),
                Context::Basic | Context::BasicLines => Ok(escape(value)),
                Context::Literal | Context::LiteralLines | Context::Comment
                    if value.contains('\'') || value.chars().any(char::is_control) =>
                {
                    Err(format!("the value of ${{{name}}} cannot stand in single quotes; use double quotes"))
                }
                Context::Literal | Context::LiteralLines | Context::Comment => Ok(value.clone()),
            },
            (None, Some(default)) if self.context == Context::Bare => bare(name, default),
            (None, Some(default)) => Ok(default.replace("$$", "$")),
            (None, None) => Err(format!(
                "${{{name}}} is not set; give --set {name}=VALUE, set it in the environment, or write \
                 ${{{name}:-DEFAULT}}"
            )),
        }
    }

    fn replace(&mut self, length: usize, with: &str) {
        self.end_run(self.at);
        let end = self.at.saturating_add(length);
        self.push(with, self.at..end, false);
        self.skip(length);
        self.run_start = self.at;
    }

    fn end_run(&mut self, end: usize) {
        let run = self.written.get(self.run_start..end).unwrap_or("");
        if !run.is_empty() {
            self.push(run, self.run_start..end, true);
        }
    }

    fn push(&mut self, text: &str, written: Span, verbatim: bool) {
        let start = self.text.len();
        self.text.push_str(text);
        // An empty value has no place in the text that an error could point to.
        if !text.is_empty() {
            self.pieces.push(Piece { text: start..self.text.len(), written, verbatim });
        }
    }
}

/// `value` outside of quotes: only what cannot start another key.
fn bare(name: &str, value: &str) -> Result<String, String> {
    let number = value.strip_prefix(['-', '+']).unwrap_or(value);
    let is_number = number.starts_with(|c: char| c.is_ascii_digit())
        && number.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | '_'));
    if is_number || matches!(value, "true" | "false") {
        return Ok(value.to_owned());
    }
    Err(format!(
        "${{{name}}} is {} and stands outside of quotes, where only a number, true or false may; \
         write \"${{{name}}}\"",
        quote(value)
    ))
}

struct Variable<'a> {
    name: &'a str,
    default: Option<&'a str>,
    /// Bytes, with `${` and `}`.
    length: usize,
}

/// The variable at the start of `text`, which starts with `${`; or the bytes to mark, and why.
fn read_variable(text: &str, context: Context) -> Result<Variable<'_>, (usize, String)> {
    let body = text.get(2..).unwrap_or("");
    let Some(end) = closing_brace(body, context) else {
        return Err((2, "\"${\" is not closed; write \"${NAME}\", or \"$$\" for a dollar sign".to_owned()));
    };
    let inner = body.get(..end).unwrap_or("");
    let length = end.saturating_add(3);
    if inner.contains("${") {
        return Err((length, "a default cannot hold another variable; write its text".to_owned()));
    }
    let (name, default) =
        inner.split_once(":-").map_or((inner, None), |(name, default)| (name, Some(default)));
    let starts_well = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if !starts_well || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Err((
            length,
            format!(
                "{} is not a variable's name; write \"${{NAME}}\" or \"${{NAME:-default}}\"",
                quote(name)
            ),
        ));
    }
    Ok(Variable { name, default, length })
}

fn closing_brace(body: &str, context: Context) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in body.char_indices() {
        match (context, c) {
            _ if escaped => escaped = false,
            (Context::Basic | Context::BasicLines, '\\') => escaped = true,
            (_, '}') => return Some(at),
            (_, '\n') | (Context::Basic | Context::Bare | Context::BasicLines, '"') => return None,
            (Context::Literal | Context::Bare | Context::LiteralLines, '\'') => return None,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
#[path = "substitute/tests.rs"]
mod tests;
