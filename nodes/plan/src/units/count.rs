//! Counts: `200`, `10k`, `1.5m`.

use super::UnitError;
use super::decimal::Decimal;
use crate::words::{grouped, quote};

/// Reads a whole number; `k` is a thousand, `m` a million.
///
/// # Errors
/// [`UnitError`] with what would be right: not a number, negative, not whole, or beyond 64 bits.
pub fn parse_count(text: &str) -> Result<u64, UnitError> {
    let not_a_count = || UnitError(format!("{} is not a count; write 200, \"10k\" or \"1.5m\"", quote(text)));
    let (number, suffix) = Decimal::take(text).ok_or_else(not_a_count)?;
    let factor = match suffix {
        "" => 1,
        "k" | "K" => 1_000,
        "m" | "M" => 1_000_000,
        _ => return Err(not_a_count()),
    };
    if number.negative {
        return Err(UnitError(format!("{} is negative; a count starts at 0", quote(text))));
    }
    let whole = number.times(factor).ok_or_else(|| {
        UnitError(format!("{} is not a whole number; write 200, \"10k\" or \"1.5m\"", quote(text)))
    })?;
    u64::try_from(whole).map_err(|_| {
        UnitError(format!("{} is too large; a count ends at {}", quote(text), grouped(u64::MAX)))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn plain_thousands_and_millions_are_read() {
        for (text, count) in [
            ("0", 0),
            ("200", 200),
            ("10k", 10_000),
            ("10K", 10_000),
            ("1.5m", 1_500_000),
            ("2M", 2_000_000),
            ("1.0", 1),
            ("0.001k", 1),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(parse_count(text), Ok(count), "{text}");
        }
    }

    #[test]
    fn a_refusal_says_what_would_be_right() {
        for text in ["", "many", "10 users", "10g", "1e6", "0x10", "1_000", "1,000", "k"] {
            let message = format!("\"{text}\" is not a count; write 200, \"10k\" or \"1.5m\"");
            assert_eq!(parse_count(text).unwrap_err().to_string(), message);
        }
        for (text, message) in [
            ("-1", r#""-1" is negative; a count starts at 0"#),
            ("1.5", r#""1.5" is not a whole number; write 200, "10k" or "1.5m""#),
            (
                "18446744073709551616",
                r#""18446744073709551616" is too large; a count ends at 18,446,744,073,709,551,615"#,
            ),
        ] {
            assert_eq!(parse_count(text).unwrap_err().to_string(), message);
        }
    }

    proptest! {
        #[test]
        fn what_is_displayed_reads_back_the_same(count in any::<u64>()) {
            prop_assert_eq!(parse_count(&count.to_string()), Ok(count));
        }

        #[test]
        fn no_text_panics(text in ".*") {
            let _ = parse_count(&text);
        }
    }
}
