//! How to draw: decided once by the command line, from the terminal and the environment, then passed down.
//!
//! Colour is only ever a second sign: each coloured word says the same without it.

use std::borrow::Cow;

/// Columns where the terminal does not tell.
const WIDTH_DEFAULT: usize = 80;
const WIDTH_MIN: usize = 60;
const WIDTH_MAX: usize = 120;

/// What the terminal can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    pub color: bool,
    /// Eighth blocks, ticks and an ellipsis; else `#`, `ok` and `...`.
    pub unicode: bool,
    /// Columns, 60 to 120.
    pub width: usize,
}

/// What a word means; the colour follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// As everything else.
    Plain,
    /// Green: passed.
    Good,
    /// Red: failed.
    Bad,
    /// Yellow: look at this.
    Warn,
    /// What the eye shall find first.
    Strong,
    /// What it may skip.
    Faint,
}

impl Default for Style {
    fn default() -> Self {
        Self::plain()
    }
}

impl Style {
    /// No colour, no UTF-8, 80 columns.
    #[must_use]
    pub const fn plain() -> Self {
        Self { color: false, unicode: false, width: WIDTH_DEFAULT }
    }

    /// Decides from what the command line knows: whether the stream is a terminal, its columns, `--no-color`, and
    /// the environment (`NO_COLOR`, `TERM`, `LC_ALL`, `LC_CTYPE`, `LANG`).
    #[must_use]
    pub fn decide(
        terminal: bool,
        columns: Option<usize>,
        no_color_flag: bool,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Self {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let dumb = set("TERM").is_some_and(|term| term == "dumb");
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(set);
        // Containers often set none, and their terminals speak UTF-8 all the same.
        let utf8 = locale
            .map(|locale| locale.to_ascii_lowercase())
            .is_none_or(|locale| locale.contains("utf-8") || locale.contains("utf8"));
        Self {
            color: terminal && !no_color_flag && !dumb && set("NO_COLOR").is_none(),
            unicode: !dumb && utf8,
            width: columns.unwrap_or(WIDTH_DEFAULT).clamp(WIDTH_MIN, WIDTH_MAX),
        }
    }

    /// The text in the colour of its meaning, where the terminal has colours.
    #[must_use]
    pub fn paint<'t>(&self, tone: Tone, text: &'t str) -> Cow<'t, str> {
        let code = match tone {
            _ if !self.color || text.is_empty() => return Cow::Borrowed(text),
            Tone::Plain => return Cow::Borrowed(text),
            Tone::Good => "32",
            Tone::Bad => "1;31",
            Tone::Warn => "33",
            Tone::Strong => "1",
            Tone::Faint => "2",
        };
        Cow::Owned(format!("\x1b[{code}m{text}\x1b[0m"))
    }

    /// Text of a stranger, safe to print: without control characters, and ASCII where the terminal wants it.
    pub(crate) fn clean(&self, text: &str) -> String {
        let safe = |c: char| match c {
            c if c.is_control() => ' ',
            // Marks that turn the direction of writing could disguise what follows.
            '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '?',
            c if !self.unicode && !c.is_ascii() => '?',
            c => c,
        };
        text.chars().map(safe).collect()
    }

    /// At most `width` columns of a text; what was cut is marked.
    pub(crate) fn cut(&self, text: &str, width: usize) -> String {
        if columns(text) <= width {
            return text.to_owned();
        }
        let mark = if self.unicode { "…" } else { "..." };
        let kept: String = text.chars().take(width.saturating_sub(columns(mark))).collect();
        format!("{kept}{mark}")
    }
}

/// Columns of a text without colours. One a character: names in wide scripts come out too far right, no worse.
pub(crate) fn columns(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decide(terminal: bool, flag: bool, variables: &[(&str, &str)]) -> Style {
        let variable =
            |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        Style::decide(terminal, None, flag, variable)
    }

    #[test]
    fn colour_needs_a_terminal_that_nobody_asked_to_stay_plain() {
        let term = ("TERM", "xterm-256color");
        assert!(decide(true, false, &[term]).color);
        assert!(decide(true, false, &[term, ("NO_COLOR", "")]).color);
        assert!(!decide(false, false, &[term]).color);
        assert!(!decide(true, true, &[term]).color);
        assert!(!decide(true, false, &[term, ("NO_COLOR", "1")]).color);
        assert!(!decide(true, false, &[("TERM", "dumb")]).color);
    }

    #[test]
    fn the_first_locale_variable_that_is_set_decides_on_utf_8() {
        assert!(decide(false, false, &[("LANG", "en_US.UTF-8")]).unicode);
        assert!(decide(false, false, &[("LC_ALL", "C.utf8"), ("LANG", "C")]).unicode);
        assert!(!decide(false, false, &[("LC_ALL", "C"), ("LANG", "en_US.UTF-8")]).unicode);
        assert!(decide(false, false, &[("LC_ALL", "")]).unicode);
        assert!(!decide(true, false, &[("TERM", "dumb"), ("LANG", "en_US.UTF-8")]).unicode);
    }

    #[test]
    fn the_width_stays_within_60_and_120() {
        let width = |columns| Style::decide(true, columns, false, |_| None).width;
        assert_eq!([width(None), width(Some(20)), width(Some(100)), width(Some(400))], [80, 60, 100, 120]);
    }

    #[test]
    fn a_strangers_text_cannot_drive_the_terminal() {
        let style = Style { unicode: true, ..Style::plain() };
        assert_eq!(style.clean("a\x1b[31mred\r\n\u{202e}é"), "a [31mred  ?é");
        assert_eq!(Style::plain().clean("é"), "?");
    }
}
