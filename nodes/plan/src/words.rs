//! How values of the user are shown inside a message: quoted, short, with nothing that moves a terminal's cursor.

/// Characters of a value that a message shows.
const SHOWN_CHARS_MAX: usize = 60;

/// `text` in double quotes; control characters escaped, cut at 60 characters.
pub(crate) fn quote(text: &str) -> String {
    let mut shown = String::from("\"");
    for (i, c) in text.chars().enumerate() {
        if i == SHOWN_CHARS_MAX {
            shown.push('…');
            break;
        }
        if is_unsafe_to_show(c) { shown.extend(c.escape_debug()) } else { shown.push(c) }
    }
    shown.push('"');
    shown
}

/// Control characters, and those that change the direction of what follows.
pub(crate) fn is_unsafe_to_show(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// `1234567` is `1,234,567`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut shown = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && digits.len().saturating_sub(i).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

/// `1 step`, `2 steps`.
pub(crate) fn plural(count: usize, noun: &str) -> String {
    let ending = if count == 1 { "" } else { "s" };
    format!("{} {noun}{ending}", grouped(u64::try_from(count).unwrap_or(u64::MAX)))
}

/// `a, b and c`.
pub(crate) fn listed(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quoted_value_is_short_and_moves_no_cursor() {
        assert_eq!(quote("30 sec"), "\"30 sec\"");
        assert_eq!(quote("a\u{1b}[2Jb\n\0"), "\"a\\u{1b}[2Jb\\n\\0\"");
        assert_eq!(quote(&"x".repeat(100)).chars().count(), 63);
    }

    #[test]
    fn numbers_are_grouped_and_lists_read_as_a_sentence() {
        assert_eq!([grouped(7), grouped(1_000), grouped(1_234_567)], ["7", "1,000", "1,234,567"]);
        assert_eq!(listed(&["a", "b", "c"]), "a, b and c");
        assert_eq!([plural(1, "step"), plural(1024, "step")], ["1 step", "1,024 steps"]);
    }
}
