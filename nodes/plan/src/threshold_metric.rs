//! The right part of a threshold's left side: `latency.p99`, `errors.rate`, `rate_per_s`.

use crate::model::{Metric, Statistic};
use crate::suggest::did_you_mean;
use crate::words::quote;

/// What a threshold may look at, for messages.
pub(crate) const METRICS: &str = "metrics: latency, service, lateness (each with .min .mean .max .p50 .p99 .p99.9), \
                                  errors, errors.rate, requests, dropped, rate_per_s";

const NAMES: [&str; 7] = ["latency", "service", "lateness", "errors", "requests", "dropped", "rate_per_s"];
const LATER: [&str; 9] = [
    "ttfb",
    "blocked",
    "connecting",
    "tls",
    "sending",
    "waiting",
    "receiving",
    "iteration_duration",
    "checks",
];
const STATISTICS: [&str; 6] = ["min", "mean", "max", "p50", "p95", "p99"];

/// Reads `latency.p99`; the message says what would be right.
pub(crate) fn parse_metric(text: &str) -> Result<Metric, String> {
    let (name, statistic) = text.split_once('.').map_or((text, None), |(name, rest)| (name, Some(rest)));
    match (name, statistic) {
        ("latency", _) => time_statistic(text, name, statistic).map(Metric::Latency),
        ("service", _) => time_statistic(text, name, statistic).map(Metric::Service),
        ("lateness", _) => time_statistic(text, name, statistic).map(Metric::Lateness),
        ("errors", None | Some("count")) => Ok(Metric::Errors),
        ("errors", Some("rate")) => Ok(Metric::ErrorRate),
        ("errors", Some(other)) => {
            Err(format!("{} has no statistic {}; write errors.rate or errors", quote(name), quote(other)))
        }
        ("requests", None) => Ok(Metric::Requests),
        ("dropped", None) => Ok(Metric::Dropped),
        ("rate_per_s", None) => Ok(Metric::RatePerS),
        ("requests" | "dropped" | "rate_per_s", Some(other)) => {
            Err(format!("{} has no statistic {}; write {name}", quote(name), quote(other)))
        }
        (later, _) if LATER.contains(&later) => Err(format!("metric \"{later}\" is not supported yet")),
        (other, _) => Err(format!("no metric {}{}", quote(other), did_you_mean(other, NAMES))),
    }
}

fn time_statistic(text: &str, name: &str, statistic: Option<&str>) -> Result<Statistic, String> {
    let Some(statistic) = statistic else {
        return Err(format!(
            "{} needs a statistic; write {name}.p99, {name}.mean or {name}.max",
            quote(text)
        ));
    };
    match statistic {
        "min" => return Ok(Statistic::Min),
        "mean" | "avg" => return Ok(Statistic::Mean),
        "max" => return Ok(Statistic::Max),
        _ => {}
    }
    if let Some(digits) = statistic.strip_prefix('p')
        && digits.starts_with(|c: char| c.is_ascii_digit())
    {
        return percentile_ppm(digits).map(Statistic::Percentile).ok_or_else(|| {
            format!(
                "{} is not a percentile; write p50, p99 or p99.9 (0 to 100, four decimals)",
                quote(statistic)
            )
        });
    }
    Err(format!(
        "{} has no statistic {}{}",
        quote(name),
        quote(statistic),
        did_you_mean(statistic, STATISTICS)
    ))
}

/// `99.9` is 999,000 parts per million; at most four decimals.
fn percentile_ppm(digits: &str) -> Option<u32> {
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let all_digits = |text: &str, most: usize| {
        !text.is_empty() && text.len() <= most && text.bytes().all(|b| b.is_ascii_digit())
    };
    if !all_digits(whole, 3) || !all_digits(fraction, 4) {
        return None;
    }
    let fraction: u32 = format!("{fraction:0<4}").parse().ok()?;
    let ppm = whole.parse::<u32>().ok()?.checked_mul(10_000)?.checked_add(fraction)?;
    (ppm <= 1_000_000).then_some(ppm)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_is_read() {
        for (text, metric) in [
            ("latency.p99", Metric::Latency(Statistic::Percentile(990_000))),
            ("latency.p99.9", Metric::Latency(Statistic::Percentile(999_000))),
            ("latency.p99.9999", Metric::Latency(Statistic::Percentile(999_999))),
            ("latency.p0", Metric::Latency(Statistic::Percentile(0))),
            ("service.p100", Metric::Service(Statistic::Percentile(1_000_000))),
            ("lateness.max", Metric::Lateness(Statistic::Max)),
            ("latency.mean", Metric::Latency(Statistic::Mean)),
            ("latency.min", Metric::Latency(Statistic::Min)),
            ("errors", Metric::Errors),
            ("errors.count", Metric::Errors),
            ("errors.rate", Metric::ErrorRate),
            ("requests", Metric::Requests),
            ("dropped", Metric::Dropped),
            ("rate_per_s", Metric::RatePerS),
        ] {
            assert_eq!(parse_metric(text), Ok(metric), "{text}");
        }
    }

    #[test]
    fn a_refusal_says_what_would_be_right() {
        for (text, message) in [
            ("latancy.p99", r#"no metric "latancy"; did you mean "latency"?"#),
            ("speed", r#"no metric "speed""#),
            ("", r#"no metric """#),
            ("latency", r#""latency" needs a statistic; write latency.p99, latency.mean or latency.max"#),
            (
                "latency.p101",
                r#""p101" is not a percentile; write p50, p99 or p99.9 (0 to 100, four decimals)"#,
            ),
            (
                "latency.p99.",
                r#""p99." is not a percentile; write p50, p99 or p99.9 (0 to 100, four decimals)"#,
            ),
            (
                "latency.p99.99999",
                r#""p99.99999" is not a percentile; write p50, p99 or p99.9 (0 to 100, four decimals)"#,
            ),
            ("latency.men", r#""latency" has no statistic "men"; did you mean "min"?"#),
            ("errors.p99", r#""errors" has no statistic "p99"; write errors.rate or errors"#),
            ("requests.rate", r#""requests" has no statistic "rate"; write requests"#),
            ("ttfb.p95", r#"metric "ttfb" is not supported yet"#),
        ] {
            assert_eq!(parse_metric(text).unwrap_err(), message, "{text}");
        }
    }
}
