//! Sizes in bytes: `512`, `4KiB` (1,024), `1MB` (1,000,000).

use super::UnitError;
use super::decimal::Decimal;
use crate::words::quote;

const UNITS: [(&str, u128); 8] = [
    ("", 1),
    ("b", 1),
    ("kb", 1_000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
];

/// Reads a size; the case of the unit does not matter.
///
/// # Errors
/// [`UnitError`] with what would be right. `4K` is refused: it may mean `4KB` or `4KiB`.
pub fn parse_size(text: &str) -> Result<u64, UnitError> {
    let not_a_size =
        || UnitError(format!("{} is not a size; write \"512\", \"4KiB\" or \"1MB\"", quote(text)));
    let (number, suffix) = Decimal::take(text).ok_or_else(not_a_size)?;
    let unit = suffix.to_ascii_lowercase();
    if let "k" | "m" | "g" = unit.as_str() {
        let shown = unit.to_ascii_uppercase();
        let digits = text.strip_suffix(suffix).unwrap_or(text);
        return Err(UnitError(format!(
            "{} may mean two sizes; write \"{digits}{shown}iB\" (of 1024) or \"{digits}{shown}B\" (of 1000)",
            quote(text)
        )));
    }
    let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(not_a_size)?;
    if number.negative {
        return Err(UnitError(format!("{} is negative; a size starts at 0", quote(text))));
    }
    let bytes = number
        .times(*factor)
        .ok_or_else(|| UnitError(format!("{} is not a whole number of bytes", quote(text))))?;
    u64::try_from(bytes)
        .map_err(|_| UnitError(format!("{} is too large; write \"512\", \"4KiB\" or \"1MB\"", quote(text))))
}

/// For people: three digits at most, in units of 1,024. Not exact.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "shown with three digits")]
pub fn render_size(bytes: u64) -> String {
    for (unit, factor) in [("GiB", 1_u64 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)] {
        if bytes >= factor {
            return format!("{:.1} {unit}", bytes as f64 / factor as f64);
        }
    }
    format!("{bytes} B")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_unit_is_read() {
        for (text, bytes) in [
            ("0", 0),
            ("512", 512),
            ("512B", 512),
            ("4KiB", 4096),
            ("4kib", 4096),
            ("1KB", 1000),
            ("1MB", 1_000_000),
            ("1MiB", 1 << 20),
            ("1.5KiB", 1536),
            ("2GB", 2_000_000_000),
            ("2GiB", 2 << 30),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn a_refusal_says_what_would_be_right() {
        for text in ["", "big", "4 KiB", "4KiBs", "KiB", "1e3"] {
            let message = format!("\"{text}\" is not a size; write \"512\", \"4KiB\" or \"1MB\"");
            assert_eq!(parse_size(text).unwrap_err().to_string(), message);
        }
        for (text, message) in [
            ("4K", r#""4K" may mean two sizes; write "4KiB" (of 1024) or "4KB" (of 1000)"#),
            ("1.5m", r#""1.5m" may mean two sizes; write "1.5MiB" (of 1024) or "1.5MB" (of 1000)"#),
            ("-1", r#""-1" is negative; a size starts at 0"#),
            ("0.5", r#""0.5" is not a whole number of bytes"#),
            ("99999999999999GiB", r#""99999999999999GiB" is too large; write "512", "4KiB" or "1MB""#),
        ] {
            assert_eq!(parse_size(text).unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn a_size_is_shown_in_its_largest_unit() {
        assert_eq!(render_size(1023), "1023 B");
        assert_eq!(render_size(1536), "1.5 KiB");
        assert_eq!(render_size(3 << 20), "3.0 MiB");
    }

    proptest! {
        #[test]
        fn what_is_displayed_reads_back_the_same(bytes in any::<u64>()) {
            prop_assert_eq!(parse_size(&format!("{bytes}B")), Ok(bytes));
        }

        #[test]
        fn no_text_panics(text in ".*") {
            let _ = parse_size(&text);
        }
    }
}
