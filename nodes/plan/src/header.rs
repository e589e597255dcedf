//! Request headers: names are tokens (RFC 9110, 5.6.2), values hold no CR, LF or NUL.

use crate::words::quote;

/// A header that may not be sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// `-H` without a colon.
    #[error("{0} is not a header; write \"Name: value\"")]
    NoColon(String),
    /// A name with a character that ends or splits a header.
    #[error("{0} is not a header name; use letters, digits and any of !#$%&'*+-.^_`|~")]
    Name(String),
    /// Would start another header.
    #[error("the value of header \"{name}\" holds {what}; remove it")]
    Value {
        /// The header's name.
        name: String,
        /// Which character.
        what: &'static str,
    },
}

/// Reads `Name: value`, as of `-H`. Spaces around the value are dropped.
///
/// # Errors
/// [`HeaderError`], with what would be right.
pub fn parse_header(text: &str) -> Result<(String, String), HeaderError> {
    let (name, value) = text.split_once(':').ok_or_else(|| HeaderError::NoColon(quote(text)))?;
    let value = value.trim_matches([' ', '\t']);
    check_header_name(name)?;
    check_header_value(name, value)?;
    Ok((name.to_owned(), value.to_owned()))
}

/// Is `name` a token?
///
/// # Errors
/// [`HeaderError::Name`].
pub fn check_header_name(name: &str) -> Result<(), HeaderError> {
    if is_token(name) { Ok(()) } else { Err(HeaderError::Name(quote(name))) }
}

/// May `value` be sent?
///
/// # Errors
/// [`HeaderError::Value`] for control characters other than tab.
pub fn check_header_value(name: &str, value: &str) -> Result<(), HeaderError> {
    let what = value.chars().find_map(|c| match c {
        '\r' => Some("a carriage return"),
        '\n' => Some("a line break"),
        '\0' => Some("a NUL"),
        '\t' => None,
        c if c.is_ascii_control() => Some("a control character"),
        _ => None,
    });
    match what {
        Some(what) => Err(HeaderError::Value { name: name.to_owned(), what }),
        None => Ok(()),
    }
}

pub(crate) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_a_name_and_what_follows_the_first_colon() {
        for (text, name, value) in [
            ("Accept: text/html", "Accept", "text/html"),
            ("X:  a:b \t", "X", "a:b"),
            ("X-Empty:", "X-Empty", ""),
            ("x-tab: a\tb", "x-tab", "a\tb"),
            ("x-utf8: ü", "x-utf8", "ü"),
        ] {
            assert_eq!(parse_header(text), Ok((name.to_owned(), value.to_owned())));
        }
    }

    #[test]
    fn a_refusal_says_what_would_be_right() {
        for (text, message) in [
            ("Accept", r#""Accept" is not a header; write "Name: value""#),
            ("", r#""" is not a header; write "Name: value""#),
            (": x", r#""" is not a header name; use letters, digits and any of !#$%&'*+-.^_`|~"#),
            ("a b: x", r#""a b" is not a header name; use letters, digits and any of !#$%&'*+-.^_`|~"#),
            ("a\r\nb: x", r#""a\r\nb" is not a header name; use letters, digits and any of !#$%&'*+-.^_`|~"#),
            ("a: x\r\nb: y", r#"the value of header "a" holds a carriage return; remove it"#),
            ("a: x\nb: y", r#"the value of header "a" holds a line break; remove it"#),
            ("a: \0", r#"the value of header "a" holds a NUL; remove it"#),
            ("a: \u{1b}", r#"the value of header "a" holds a control character; remove it"#),
        ] {
            assert_eq!(parse_header(text).unwrap_err().to_string(), message);
        }
    }
}
