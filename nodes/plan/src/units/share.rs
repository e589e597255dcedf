//! Shares of a whole: `1%` or `0.01`.

use super::UnitError;
use super::decimal::Decimal;
use crate::words::quote;

/// Reads a share, 0 to 1.
///
/// # Errors
/// [`UnitError`] with what would be right: not a share, or outside of 0 to 1 (0 % to 100 %).
pub fn parse_share(text: &str) -> Result<f64, UnitError> {
    let not_a_share = || UnitError(format!("{} is not a share; write \"1%\" or \"0.01\"", quote(text)));
    let (number, suffix) = Decimal::take(text).ok_or_else(not_a_share)?;
    let value = match suffix {
        "" => number.times_f64(1),
        "%" => number.times_f64(1).map(|percent| percent / 100.0),
        _ => None,
    }
    .ok_or_else(not_a_share)?;
    if number.negative || value > 1.0 {
        let hint = if suffix.is_empty() { "; write 0 to 1, or a percentage such as \"5%\"" } else { "" };
        return Err(UnitError(format!("{} is outside of 0% to 100%{hint}", quote(text))));
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_percentage_and_a_fraction_are_the_same() {
        for (text, share) in [
            ("1%", 0.01),
            ("0.01", 0.01),
            ("0", 0.0),
            ("0%", 0.0),
            ("100%", 1.0),
            ("1", 1.0),
            ("12.5%", 0.125),
            ("0.1%", 0.001),
        ] {
            assert_eq!(parse_share(text), Ok(share), "{text}");
        }
    }

    #[test]
    fn a_refusal_says_what_would_be_right() {
        for text in ["", "%", "half", "1 %", "1%%", "1/2", "NaN"] {
            let message = format!("\"{text}\" is not a share; write \"1%\" or \"0.01\"");
            assert_eq!(parse_share(text).unwrap_err().to_string(), message);
        }
        for (text, message) in [
            ("150%", r#""150%" is outside of 0% to 100%"#),
            ("-1%", r#""-1%" is outside of 0% to 100%"#),
            ("5", r#""5" is outside of 0% to 100%; write 0 to 1, or a percentage such as "5%""#),
        ] {
            assert_eq!(parse_share(text).unwrap_err().to_string(), message);
        }
    }

    proptest! {
        #[test]
        fn what_is_displayed_reads_back_the_same(share in 0.0..=1.0_f64) {
            let text = format!("{share}");
            prop_assume!(text.len() <= 30);
            prop_assert_eq!(parse_share(&text), Ok(share));
        }

        #[test]
        fn no_text_panics(text in ".*") {
            let _ = parse_share(&text);
        }
    }
}
