//! Durations: `30s`, `1m30s`, `1.5s`, `500ms`; units `ns us ms s m h d`. A bare number is refused.

use std::time::Duration;

use super::UnitError;
use super::decimal::Decimal;
use crate::words::quote;

/// Largest first: sums are written in this order.
const UNITS: [(&str, u128); 7] = [
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

/// What people write instead of a unit's symbol.
const LONG_NAMES: [(&str, &[&str]); 7] = [
    ("d", &["day", "days"]),
    ("h", &["hr", "hrs", "hour", "hours"]),
    ("m", &["min", "mins", "minute", "minutes"]),
    ("s", &["sec", "secs", "second", "seconds"]),
    ("ms", &["msec", "msecs", "millis", "millisecond", "milliseconds"]),
    ("us", &["µs", "μs", "usec", "micros", "microsecond", "microseconds"]),
    ("ns", &["nsec", "nanos", "nanosecond", "nanoseconds"]),
];

/// Reads a duration: sums of decimals with units, the largest unit first.
///
/// ```
/// use std::time::Duration;
/// assert_eq!(hyperscale_plan::units::parse_duration("1m30s"), Ok(Duration::from_secs(90)));
/// ```
///
/// # Errors
/// [`UnitError`] with what would be right: a bare number, an unknown unit, a negative or too long duration, or one
/// finer than a nanosecond.
pub fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    if text.starts_with('-') {
        return Err(UnitError(format!("{} is negative; a duration starts at \"0s\"", quote(text))));
    }
    if let Some((_, "")) = Decimal::take(text) {
        return Err(UnitError(format!("{} has no unit; write \"{text}s\" or \"{text}ms\"", quote(text))));
    }
    let mut rest = text;
    let mut nanos = 0_u128;
    let mut smaller_than = u128::MAX;
    loop {
        let (number, after) = Decimal::take(rest).ok_or_else(|| not_a_duration(text))?;
        let end = after.find(|c: char| !c.is_alphabetic()).unwrap_or(after.len());
        let (symbol, tail) = after.split_at_checked(end).ok_or_else(|| not_a_duration(text))?;
        let (_, factor) =
            UNITS.iter().find(|(unit, _)| *unit == symbol).ok_or_else(|| not_a_duration(text))?;
        if number.negative {
            return Err(not_a_duration(text));
        }
        if *factor >= smaller_than {
            return Err(UnitError(format!(
                "{} names its units out of order; write the largest first, each once, as in \"1m30s\"",
                quote(text)
            )));
        }
        smaller_than = *factor;
        let part = number
            .times(*factor)
            .ok_or_else(|| UnitError(format!("{} is finer than a nanosecond", quote(text))))?;
        nanos = nanos.checked_add(part).ok_or_else(|| too_long(text))?;
        if tail.is_empty() {
            break;
        }
        rest = tail;
    }
    u64::try_from(nanos).map(Duration::from_nanos).map_err(|_| too_long(text))
}

/// The shortest text that [`parse_duration`] reads as `duration`, but for durations beyond 584 years.
#[must_use]
pub fn render_duration(duration: Duration) -> String {
    let mut rest = duration.as_nanos();
    let mut text = String::new();
    for (unit, factor) in UNITS {
        let whole = rest.checked_div(factor).unwrap_or(0);
        if whole > 0 {
            text.push_str(&format!("{whole}{unit}"));
            rest = rest.checked_rem(factor).unwrap_or(0);
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

fn too_long(text: &str) -> UnitError {
    UnitError(format!("{} is too long; \"30d\" is the longest", quote(text)))
}

fn not_a_duration(text: &str) -> UnitError {
    let first = meant(text).unwrap_or_else(|| "30s".to_owned());
    UnitError(format!("{} is not a duration; write \"{first}\", \"1m30s\" or \"500ms\"", quote(text)))
}

/// `10 minutes` is `10m`.
fn meant(text: &str) -> Option<String> {
    let (_, unit) = Decimal::take(text.trim())?;
    let number = text.trim().strip_suffix(unit)?;
    let word = unit.trim().to_lowercase();
    let (symbol, _) =
        LONG_NAMES.iter().find(|(symbol, names)| *symbol == word || names.contains(&word.as_str()))?;
    Some(format!("{number}{symbol}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn refusal(text: &str) -> String {
        parse_duration(text).unwrap_err().to_string()
    }

    #[test]
    fn every_unit_sum_and_decimal_is_read() {
        for (text, nanos) in [
            ("1ns", 1),
            ("2us", 2_000),
            ("3ms", 3_000_000),
            ("4s", 4_000_000_000),
            ("5m", 300_000_000_000),
            ("6h", 21_600_000_000_000),
            ("7d", 604_800_000_000_000),
            ("0s", 0),
            ("1m30s", 90_000_000_000),
            ("1d2h3m4s5ms6us7ns", 93_784_005_006_007),
            ("1.5s", 1_500_000_000),
            ("0.001ms", 1_000),
            ("1.5m30s", 120_000_000_000),
            ("90s", 90_000_000_000),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_nanos(nanos)), "{text}");
        }
    }

    #[test]
    fn a_refusal_says_what_would_be_right() {
        for (text, message) in [
            ("30 sec", r#""30 sec" is not a duration; write "30s", "1m30s" or "500ms""#),
            ("10 minutes", r#""10 minutes" is not a duration; write "10m", "1m30s" or "500ms""#),
            ("5 µs", r#""5 µs" is not a duration; write "5us", "1m30s" or "500ms""#),
            ("10S", r#""10S" is not a duration; write "10s", "1m30s" or "500ms""#),
            ("", r#""" is not a duration; write "30s", "1m30s" or "500ms""#),
            ("soon", r#""soon" is not a duration; write "30s", "1m30s" or "500ms""#),
            ("1.s", r#""1.s" is not a duration; write "30s", "1m30s" or "500ms""#),
            ("1m-30s", r#""1m-30s" is not a duration; write "30s", "1m30s" or "500ms""#),
            ("30", r#""30" has no unit; write "30s" or "30ms""#),
            ("1.5", r#""1.5" has no unit; write "1.5s" or "1.5ms""#),
            ("-5s", r#""-5s" is negative; a duration starts at "0s""#),
            (
                "30s1m",
                r#""30s1m" names its units out of order; write the largest first, each once, as in "1m30s""#,
            ),
            (
                "1s1s",
                r#""1s1s" names its units out of order; write the largest first, each once, as in "1m30s""#,
            ),
            ("0.5ns", r#""0.5ns" is finer than a nanosecond"#),
            ("99999999999d", r#""99999999999d" is too long; "30d" is the longest"#),
        ] {
            assert_eq!(refusal(text), message);
        }
    }

    proptest! {
        #[test]
        fn what_is_rendered_reads_back_the_same(nanos in any::<u64>()) {
            let duration = Duration::from_nanos(nanos);
            prop_assert_eq!(parse_duration(&render_duration(duration)), Ok(duration));
        }

        #[test]
        fn no_text_panics(text in ".*") {
            let _ = parse_duration(&text);
        }
    }
}
