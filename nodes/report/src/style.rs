//! How figures are written: digits, units, colour. Decided once, from what the terminal can show.

/// What the terminal can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    /// Colour as a second sign; never the only one.
    pub color: bool,
    /// Eighth blocks and ticks; else `#` and words.
    pub unicode: bool,
    /// Columns, 40 to 120.
    pub width: usize,
}

impl Default for Style {
    fn default() -> Self {
        Self { color: false, unicode: true, width: 80 }
    }
}

impl Style {
    pub(crate) fn green(self, text: &str) -> String {
        self.paint("32", text)
    }

    pub(crate) fn red(self, text: &str) -> String {
        self.paint("31", text)
    }

    pub(crate) fn yellow(self, text: &str) -> String {
        self.paint("33", text)
    }

    pub(crate) fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }

    pub(crate) fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.color { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// A bar of `share` of `width` columns, to an eighth of a column; something is never nothing.
    pub(crate) fn bar(self, share: f64, width: usize) -> String {
        const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a bar has at most 120 columns"
        )]
        let eighths = (share.clamp(0.0, 1.0) * width as f64 * 8.0).ceil() as usize;
        if self.unicode {
            let tip = EIGHTHS.get(eighths % 8).copied().unwrap_or_default();
            format!("{}{tip}", "█".repeat(eighths / 8))
        } else {
            "#".repeat(eighths.div_ceil(8))
        }
    }
}

/// `1234567` as `1,234,567`.
pub(crate) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A rate: whole numbers with separators from 100 on, one decimal below.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate is positive and below 2^64")]
pub(crate) fn rate(per_s: f64) -> String {
    if per_s >= 100.0 { thousands(per_s.round() as u64) } else { format!("{per_s:.1}") }
}

/// Milliseconds in the unit people read, three significant digits: `412us`, `1.04ms`, `12.3s`.
pub(crate) fn time(ms: f64) -> String {
    let (value, unit) = if ms < 0.001 {
        (ms * 1e6, "ns")
    } else if ms < 1.0 {
        (ms * 1e3, "us")
    } else if ms < 1000.0 {
        (ms, "ms")
    } else {
        (ms / 1e3, "s")
    };
    let digits = if value >= 100.0 {
        0
    } else if value >= 10.0 {
        1
    } else {
        2
    };
    format!("{value:.digits$}{unit}")
}

/// Bytes with a decimal unit: `12.3 MB`.
#[allow(clippy::cast_precision_loss, reason = "three digits are shown")]
pub(crate) fn bytes(count: f64) -> String {
    let mut value = count;
    for unit in ["B", "kB", "MB", "GB", "TB"] {
        if value < 1000.0 || unit == "TB" {
            return if unit == "B" { format!("{value:.0} B") } else { format!("{value:.1} {unit}") };
        }
        value /= 1000.0;
    }
    format!("{count:.0} B")
}

/// A share as a percentage that does not hide what is rare.
pub(crate) fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if percent == 0.0 {
        "0%".to_owned()
    } else if percent < 0.01 {
        "<0.01%".to_owned()
    } else if percent < 10.0 {
        format!("{percent:.2}%")
    } else {
        format!("{percent:.1}%")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_three_digits_and_the_unit_people_read() {
        let vectors = [
            (0.000_5, "500ns"),
            (0.041_2, "41.2us"),
            (0.999, "999us"),
            (1.0, "1.00ms"),
            (38.04, "38.0ms"),
            (840.0, "840ms"),
            (1000.0, "1.00s"),
            (61_500.0, "61.5s"),
        ];
        for (ms, text) in vectors {
            assert_eq!(time(ms), text);
        }
    }

    #[test]
    fn numbers_are_grouped_by_thousands() {
        assert_eq!(thousands(0), "0");
        assert_eq!(thousands(999), "999");
        assert_eq!(thousands(1_000), "1,000");
        assert_eq!(thousands(2_412_345), "2,412,345");
    }

    #[test]
    fn a_bar_of_something_is_never_empty() {
        let style = Style::default();
        assert_eq!(style.bar(0.000_1, 20), "▏");
        assert_eq!(style.bar(1.0, 3), "███");
        assert_eq!(style.bar(0.0, 3), "");
        assert_eq!(Style { unicode: false, ..style }.bar(0.5, 4), "##");
    }

    #[test]
    fn what_is_rare_is_not_hidden() {
        assert_eq!(percent(0.000_001), "<0.01%");
        assert_eq!(percent(0.0), "0%");
        assert_eq!(percent(0.182), "18.2%");
    }
}
