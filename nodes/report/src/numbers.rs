//! Numbers as people read them: three significant digits, units that fit, digits in groups.

use std::time::Duration;

/// `2412345` as `2,412,345`.
#[must_use]
pub fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Three significant digits below 1000; groups above.
pub(crate) fn significant(value: f64) -> String {
    if value < 0.000_5 {
        "0".to_owned()
    } else if value < 9.995 {
        format!("{value:.2}")
    } else if value < 99.95 {
        format!("{value:.1}")
    } else {
        grouped(whole(value))
    }
}

/// A time given in ms: `812ns`, `41.2us`, `8.10ms`, `1.20s`.
#[must_use]
pub fn time(ms: f64) -> String {
    // The limits are where three digits would round up to 1000 of the smaller unit.
    if ms < 0.000_000_5 {
        "0".to_owned()
    } else if ms < 0.000_999_5 {
        format!("{:.0}ns", ms * 1e6)
    } else if ms < 0.999_5 {
        format!("{}us", significant(ms * 1e3))
    } else if ms < 999.5 {
        format!("{}ms", significant(ms))
    } else {
        format!("{}s", significant(ms / 1e3))
    }
}

/// A time that may have no samples.
pub(crate) fn time_or_none(ms: Option<f64>) -> String {
    ms.map_or_else(|| "n/a".to_owned(), time)
}

/// A time without digits that say nothing: `200us`, `1.25ms`, `2ms`.
pub(crate) fn short_time(ms: f64) -> String {
    let text = time(ms);
    let Some(unit) = text.find(|c: char| c.is_ascii_alphabetic()) else { return text };
    let (number, unit) = text.split_at(unit);
    if !number.contains('.') {
        return text;
    }
    format!("{}{unit}", number.trim_end_matches('0').trim_end_matches('.'))
}

/// How long a run took: `10.0s`, `2m00s`, `1h02m`.
pub(crate) fn length(seconds: f64) -> String {
    if seconds < 59.95 {
        return format!("{seconds:.1}s");
    }
    let whole = whole(seconds);
    match whole {
        0..3_600 => format!("{}m{:02}s", whole / 60, whole % 60),
        _ => format!("{}h{:02}m", whole / 3_600, whole / 60 % 60),
    }
}

/// Per second: `4,031`, `12.5`, `0.33`.
#[must_use]
pub fn rate(per_s: f64) -> String {
    significant(per_s)
}

/// A rate as it was asked for: `4,000`, `0.5`.
pub(crate) fn asked(per_s: f64) -> String {
    if per_s.fract() == 0.0 { grouped(whole(per_s)) } else { significant(per_s) }
}

/// Decimal units, as networks are sold.
#[allow(clippy::cast_precision_loss, reason = "three digits are shown")]
pub(crate) fn bytes(n: u64) -> String {
    byte_size(n as f64)
}

pub(crate) fn byte_size(n: f64) -> String {
    if n < 999.5 {
        return format!("{n:.0} B");
    }
    let units = [(1e3, "kB"), (1e6, "MB"), (1e9, "GB"), (1e12, "TB")];
    let (size, unit) = units.into_iter().find(|(size, _)| n < 999.5 * size).unwrap_or((1e12, "TB"));
    format!("{} {unit}", significant(n / size))
}

/// A part of a whole: `0%`, `<0.01%`, `0.12%`, `12.5%`; `100%` only when it is all.
#[allow(clippy::cast_precision_loss, reason = "three digits are shown")]
pub(crate) fn share(part: u64, whole: u64) -> String {
    if whole == 0 || part == whole {
        return if part == 0 { "0%" } else { "100%" }.to_owned();
    }
    percent(part as f64 / whole as f64)
}

/// As [`share`], of a number from 0 to 1.
pub(crate) fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if percent <= 0.0 {
        "0%".to_owned()
    } else if percent < 0.01 {
        "<0.01%".to_owned()
    } else if percent < 1.0 {
        format!("{percent:.2}%")
    } else if percent < 99.95 {
        format!("{percent:.1}%")
    } else if percent < 100.0 {
        ">99.9%".to_owned()
    } else {
        format!("{percent:.0}%")
    }
}

/// `1 request`, `2 requests`.
pub(crate) fn counted(n: u64, noun: &str) -> String {
    let plural = if n == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", grouped(n))
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float cast saturates; no sign is shown"
)]
fn whole(value: f64) -> u64 {
    value.round() as u64
}

/// Nanoseconds as milliseconds.
#[allow(clippy::cast_precision_loss, reason = "2^53 ns are 104 days; a latency is shorter")]
pub(crate) fn ms(ns: u64) -> f64 {
    ns as f64 / 1e6
}

/// Seconds, to the microsecond.
pub(crate) fn seconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_keep_three_significant_digits_and_never_show_a_thousand_of_a_unit() {
        let cases = [
            (0.0, "0"),
            (0.000_812, "812ns"),
            (0.000_999_6, "1.00us"),
            (0.041_24, "41.2us"),
            (0.999_6, "1.00ms"),
            (8.1, "8.10ms"),
            (9.996, "10.0ms"),
            (99.96, "100ms"),
            (999.6, "1.00s"),
            (12_345.0, "12.3s"),
            (17_592_186.0, "17,592s"),
        ];
        for (ms, text) in cases {
            assert_eq!(time(ms), text, "{ms} ms");
        }
    }

    #[test]
    fn digits_come_in_groups_of_three() {
        let cases = [(0, "0"), (999, "999"), (1_000, "1,000"), (2_412_345, "2,412,345")];
        for (n, text) in cases {
            assert_eq!(grouped(n), text);
        }
    }

    #[test]
    fn only_all_is_100_percent_and_only_none_is_0() {
        let cases = [
            (0, 10, "0%"),
            (1, 1_000_000, "<0.01%"),
            (97, 479_842, "0.02%"),
            (18, 100, "18.0%"),
            (999_999, 1_000_000, ">99.9%"),
            (3, 3, "100%"),
            (0, 0, "0%"),
        ];
        for (part, whole, text) in cases {
            assert_eq!(share(part, whole), text, "{part} of {whole}");
        }
    }

    #[test]
    fn short_times_show_no_empty_digits() {
        let cases = [(0.2, "200us"), (1.25, "1.25ms"), (2.0, "2ms"), (12.5, "12.5ms"), (10_000.0, "10s")];
        for (ms, text) in cases {
            assert_eq!(short_time(ms), text);
        }
    }

    #[test]
    fn lengths_and_sizes_change_unit_before_they_get_long() {
        let lengths = [(1.0, "1.0s"), (59.96, "1m00s"), (120.0, "2m00s"), (3_725.0, "1h02m")];
        for (seconds, text) in lengths {
            assert_eq!(length(seconds), text);
        }
        let sizes = [(0, "0 B"), (999, "999 B"), (1_000, "1.00 kB"), (118_000_000, "118 MB")];
        for (n, text) in sizes {
            assert_eq!(bytes(n), text);
        }
    }
}
