//! What was recorded in some windows of a job, for whoever draws its time line.

use serde::Serialize;

use crate::table::{Align, Column, age, table};

/// Times of requests, in ms; the percentiles of none are left open.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Times {
    /// Of so many requests.
    pub count: u64,
    /// The shortest.
    pub min: Option<f64>,
    /// The mean, exact.
    pub mean: Option<f64>,
    /// Half took no longer.
    pub p50: Option<f64>,
    /// Nine of ten.
    pub p90: Option<f64>,
    /// All but one in a hundred.
    pub p99: Option<f64>,
    /// All but one in a thousand.
    pub p99_9: Option<f64>,
    /// The longest.
    pub max: Option<f64>,
}

/// Windows that are kept together; serializes as a row of `stats --json`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WindowRow {
    /// Where they are kept: `hot`, `warm`, `cold` or `archive`.
    pub tier: &'static str,
    /// First window.
    pub from: u32,
    /// Last window.
    pub to: u32,
    /// Where the first begins, in seconds since the job's start.
    pub from_s: f64,
    /// Where the last one ends; or the job, if it ended in it.
    pub to_s: f64,
    /// Name of the workflow; none: all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workflow: Option<String>,
    /// Responses and errors.
    pub requests: u64,
    /// Of these, errors.
    pub errors: u64,
    /// Cut off at the end; not among the requests.
    pub cancelled: u64,
    /// Sent more than 1 ms after they were due.
    pub late: u64,
    /// Iterations that were completed.
    pub iterations: u64,
    /// Iterations that were due and not started.
    pub dropped: u64,
    /// Received.
    pub bytes_in: u64,
    /// Sent.
    pub bytes_out: u64,
    /// Requests a second.
    pub rate_per_s: f64,
    /// From due to the end of the answer.
    pub latency_ms: Times,
    /// From the first byte sent to the end of the answer.
    pub service_p99_ms: Option<f64>,
    /// From due to the first byte sent.
    pub lateness_p99_ms: Option<f64>,
}

/// The document of `stats --json`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Windows {
    /// `hyperscale.stats/1`.
    pub schema: &'static str,
    /// 32 hex digits.
    pub job_id: String,
    /// How far the job is.
    pub state: crate::JobState,
    /// Length of one window in seconds.
    pub window_s: f64,
    /// The workflows, in the order of the plan.
    pub workflows: Vec<String>,
    /// From the oldest.
    pub windows: Vec<WindowRow>,
}

impl Windows {
    /// The name of the document's shape.
    pub const SCHEMA: &'static str = "hyperscale.stats/1";
}

/// The rows as a table. Where each is about all workflows, it does not say so.
#[must_use]
pub fn windows_table(rows: &[WindowRow]) -> String {
    let right = |title| Column::fixed(title, Align::Right);
    let (windows, at, length_of) = (right("WINDOWS"), right("AT"), right("LENGTH"));
    let tier = Column::fixed("TIER", Align::Left);
    let [requests, rate, errors] = ["REQUESTS", "RATE", "ERRORS"].map(right);
    let [p50, p99, max] = ["P50", "P99", "MAX"].map(right);
    let figures = |row: &WindowRow| {
        [
            if row.from == row.to { row.from.to_string() } else { format!("{}-{}", row.from, row.to) },
            age(row.from_s),
            length(row.to_s - row.from_s),
            row.tier.to_owned(),
            row.requests.to_string(),
            short(row.rate_per_s),
            row.errors.to_string(),
            time(row.latency_ms.p50),
            time(row.latency_ms.p99),
            time(row.latency_ms.max),
        ]
    };
    if rows.iter().all(|row| row.workflow.is_none()) {
        let columns = [windows, at, length_of, tier, requests, rate, errors, p50, p99, max];
        return table(&columns, rows.iter().map(figures));
    }
    let workflow = Column::shrinking("WORKFLOW", 4);
    let columns = [windows, at, length_of, tier, workflow, requests, rate, errors, p50, p99, max];
    let named = rows.iter().map(|row| {
        let [windows, at, length_of, tier, requests, rate, errors, p50, p99, max] = figures(row);
        let workflow = row.workflow.clone().unwrap_or_else(|| "all".to_owned());
        [windows, at, length_of, tier, workflow, requests, rate, errors, p50, p99, max]
    });
    table(&columns, named)
}

/// Below a minute to the tenth: windows are as short as that.
fn length(seconds: f64) -> String {
    if seconds < 60.0 { format!("{}s", short(seconds)) } else { age(seconds) }
}

/// Three digits below 1000, without zeros that say nothing.
fn short(value: f64) -> String {
    if value >= 99.95 {
        return format!("{value:.0}");
    }
    let text = if value < 9.995 { format!("{value:.2}") } else { format!("{value:.1}") };
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A time given in ms.
fn time(ms: Option<f64>) -> String {
    match ms {
        None => String::new(),
        Some(ms) if ms < 0.999_5 => format!("{}us", short(ms * 1e3)),
        Some(ms) if ms < 999.5 => format!("{}ms", short(ms)),
        Some(ms) => format!("{}s", short(ms / 1e3)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(from: u32, to: u32, end_s: f64, p99: Option<f64>) -> WindowRow {
        WindowRow {
            tier: "warm",
            from,
            to,
            from_s: from.into(),
            to_s: end_s,
            workflow: None,
            requests: 12_345,
            errors: 6,
            cancelled: 0,
            late: 0,
            iterations: 12_345,
            dropped: 0,
            bytes_in: 1,
            bytes_out: 2,
            rate_per_s: 1_234.5,
            latency_ms: Times {
                count: 1,
                min: p99,
                mean: p99,
                p50: p99,
                p90: p99,
                p99,
                p99_9: p99,
                max: p99,
            },
            service_p99_ms: None,
            lateness_p99_ms: None,
        }
    }

    #[test]
    fn a_table_says_how_long_what_is_kept_together_is() {
        let text = windows_table(&[row(60, 69, 70.0, Some(0.25)), row(70, 70, 70.25, None)]);
        let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        let [head, warm, last] = lines.as_slice() else { panic!("{text}") };
        assert_eq!(head.len(), 10);
        assert_eq!(warm.join(" "), "60-69 1m00s 10s warm 12345 1234 6 250us 250us 250us", "{text}");
        assert_eq!(last.join(" "), "70 1m10s 0.25s warm 12345 1234 6 - - -", "{text}");
    }

    #[test]
    fn rows_of_workflows_name_them() {
        let named = WindowRow { workflow: Some("browse".to_owned()), ..row(0, 0, 1.0, None) };
        let text = windows_table(&[named, row(1, 1, 2.0, None)]);
        assert!(text.lines().next().unwrap().contains(" WORKFLOW "), "{text}");
        assert!(text.contains(" browse ") && text.contains(" all "), "{text}");
    }

    #[test]
    fn without_a_sample_a_percentile_is_null_and_a_row_of_all_names_no_workflow() {
        let json = serde_json::to_value(row(0, 0, 1.0, None)).unwrap();
        assert!(json["latency_ms"]["p99"].is_null() && json.get("workflow").is_none(), "{json}");
    }
}
