//! Percentages of a whole, exactly: `60%`, `33.333%`.

use super::UnitError;
use super::decimal::Decimal;
use crate::words::quote;

/// Reads a percentage of at most 100% as thousandths of a percent.
///
/// # Errors
/// [`UnitError`] with what would be right: no percent sign, over 100%, or with more than three decimals.
pub fn parse_percent(text: &str) -> Result<u32, UnitError> {
    let not_a_percentage =
        || UnitError(format!("{} is not a percentage; write \"60%\" or \"12.5%\"", quote(text)));
    let (number, suffix) = Decimal::take(text).ok_or_else(not_a_percentage)?;
    if suffix != "%" {
        return Err(not_a_percentage());
    }
    let thousandths = number.times(1_000).ok_or_else(|| {
        UnitError(format!("{} is too fine; a percentage has at most three decimals", quote(text)))
    })?;
    let within = u32::try_from(thousandths).ok().filter(|&thousandths| thousandths <= 100_000);
    within
        .filter(|_| !number.negative)
        .ok_or_else(|| UnitError(format!("{} is outside of 0% to 100%", quote(text))))
}

/// Thousandths of a percent as [`parse_percent`] reads them.
#[must_use]
pub fn render_percent(thousandths: u32) -> String {
    let (whole, rest) = (thousandths / 1_000, thousandths % 1_000);
    if rest == 0 {
        return format!("{whole}%");
    }
    let fraction = format!("{rest:03}");
    format!("{whole}.{}%", fraction.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_refusal_says_what_would_be_right() {
        for text in ["", "%", "60", "0.6", "60 %", "half", "60%%"] {
            let message = format!("\"{text}\" is not a percentage; write \"60%\" or \"12.5%\"");
            assert_eq!(parse_percent(text).unwrap_err().to_string(), message);
        }
        for (text, message) in [
            ("100.001%", r#""100.001%" is outside of 0% to 100%"#),
            ("-1%", r#""-1%" is outside of 0% to 100%"#),
            ("99999999999%", r#""99999999999%" is outside of 0% to 100%"#),
            ("33.3333%", r#""33.3333%" is too fine; a percentage has at most three decimals"#),
        ] {
            assert_eq!(parse_percent(text).unwrap_err().to_string(), message);
        }
    }

    proptest! {
        #[test]
        fn what_is_displayed_reads_back_the_same(thousandths in 0..=100_000_u32) {
            prop_assert_eq!(parse_percent(&render_percent(thousandths)), Ok(thousandths));
        }

        #[test]
        fn no_text_panics(text in ".*") {
            let _ = parse_percent(&text);
        }
    }
}
