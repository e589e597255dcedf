//! Rates: `500/s`, `30/m`, `1.5k/s`; a bare number is per second.

use super::UnitError;
use super::decimal::Decimal;
use crate::words::quote;

/// Reads a rate, in 1/s.
///
/// `10` is 10/s, `1.5k` is 1,500/s, `30/m` is one every 2 s. `5m` alone is refused: it may mean 5/m or 5,000,000/s.
///
/// # Errors
/// [`UnitError`] with what would be right. A negative rate is an error; zero is not (a stage may pause).
pub fn parse_rate(text: &str) -> Result<f64, UnitError> {
    let not_a_rate =
        || UnitError(format!("{} is not a rate; write \"500/s\", \"30/m\" or \"1.5k/s\"", quote(text)));
    let (number, rest) = Decimal::take(text).ok_or_else(not_a_rate)?;
    if number.negative {
        return Err(UnitError(format!("{} is negative; a rate starts at \"0/s\"", quote(text))));
    }
    let (suffix, per) = rest.split_once('/').map_or((rest, None), |(suffix, per)| (suffix, Some(per)));
    let factor = match (suffix, per) {
        ("", _) => 1,
        ("k" | "K", _) => 1_000,
        ("m" | "M", Some(_)) => 1_000_000,
        ("m" | "M", None) => {
            let digits = text.trim_end_matches(['m', 'M']);
            return Err(UnitError(format!(
                "{} may mean two rates; write \"{digits}/m\" (a minute) or \"{digits}m/s\" (million a second)",
                quote(text)
            )));
        }
        _ => return Err(not_a_rate()),
    };
    let seconds = match per {
        None | Some("s") => 1.0,
        Some("m") => 60.0,
        Some("h") => 3600.0,
        Some(_) => return Err(not_a_rate()),
    };
    number.times_f64(factor).map(|rate| rate / seconds).ok_or_else(not_a_rate)
}

/// The text that [`parse_rate`] reads as `rate` (finite, not negative).
#[must_use]
pub fn render_rate(rate: f64) -> String {
    format!("{rate}/s")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_form_is_read_per_second() {
        for (text, rate) in [
            ("500/s", 500.0),
            ("500", 500.0),
            ("0/s", 0.0),
            ("0.1", 0.1),
            ("30/m", 0.5),
            ("36/h", 0.01),
            ("1.5k/s", 1500.0),
            ("1.5k", 1500.0),
            ("2K/s", 2000.0),
            ("6k/m", 100.0),
            ("1m/s", 1e6),
            ("0.25m/s", 250_000.0),
        ] {
            assert_eq!(parse_rate(text), Ok(rate), "{text}");
        }
    }

    #[test]
    fn a_refusal_says_what_would_be_right() {
        let not = |text: &str| format!("\"{text}\" is not a rate; write \"500/s\", \"30/m\" or \"1.5k/s\"");
        for text in
            ["", "fast", "/s", "5/", "5/d", "5 /s", "5/sec", "5x/s", "1e3", "5//s", "5/s/s", "inf", "NaN"]
        {
            assert_eq!(parse_rate(text).unwrap_err().to_string(), not(text));
        }
        assert_eq!(
            parse_rate("-5/s").unwrap_err().to_string(),
            r#""-5/s" is negative; a rate starts at "0/s""#
        );
        assert_eq!(
            parse_rate("5m").unwrap_err().to_string(),
            r#""5m" may mean two rates; write "5/m" (a minute) or "5m/s" (million a second)"#
        );
    }

    proptest! {
        #[test]
        fn what_is_rendered_reads_back_the_same(rate in 1e-9..1e7_f64) {
            prop_assert_eq!(parse_rate(&render_rate(rate)), Ok(rate));
        }

        #[test]
        fn no_text_panics(text in ".*") {
            let _ = parse_rate(&text);
        }
    }
}
