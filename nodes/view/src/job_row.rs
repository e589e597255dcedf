//! One job, as its owner sees it.

use serde::Serialize;

use crate::table::{Align, Column, table};

/// How far a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum JobState {
    /// Durable, and nothing more.
    Accepted,
    /// Waits for room in a datacenter.
    Queued,
    /// Load is driven.
    Running,
    /// Ended as it should.
    Completed,
    /// Ended otherwise.
    Failed,
    /// Somebody ended it.
    Cancelled,
}

impl JobState {
    /// The word that JSON and tables use.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// One job; serializes as a row of `jobs --json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct JobRow {
    /// 32 hex digits.
    pub job_id: String,
    /// What its plan calls it.
    pub name: String,
    /// How far it is.
    pub state: JobState,
    /// The gate that owns it; empty while none does.
    pub owner: String,
    /// Grows with each change of its owner.
    pub fence_token: u64,
    /// When it became durable: milliseconds since 1970.
    pub accepted_unix_ms: u64,
    /// Requests so far, errors among them.
    pub requests: u64,
    /// Errors so far.
    pub errors: u64,
}

/// The document of `jobs --json` and of `/jobs`.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Jobs<'a> {
    /// Its rows.
    pub jobs: &'a [JobRow],
    /// Shards that did not answer, so that their rows may be missing. Left out when there are none.
    #[serde(skip_serializing_if = "<[u16]>::is_empty")]
    pub silent_shards: &'a [u16],
}

/// The rows for a terminal of 80 columns, under a header. Ids stand whole: they are there to be copied.
#[must_use]
pub fn jobs_table(rows: &[JobRow]) -> String {
    const COLUMNS: [Column; 6] = [
        Column::fixed("JOB", Align::Left),
        Column::shrinking("NAME", 6),
        Column::fixed("STATE", Align::Left),
        Column::shrinking("OWNER", 6),
        Column::fixed("REQUESTS", Align::Right),
        Column::fixed("ERRORS", Align::Right),
    ];
    let cells = rows.iter().map(|row| {
        [
            row.job_id.clone(),
            row.name.clone(),
            row.state.word().to_owned(),
            row.owner.clone(),
            count(row.requests),
            count(row.errors),
        ]
    });
    table(&COLUMNS, cells)
}

/// Whole up to 99,999, then in thousands, millions and so on, cut off: six columns at most.
fn count(mut n: u64) -> String {
    for unit in ["", "k", "M", "G", "T"] {
        if n < 100_000 {
            return format!("{n}{unit}");
        }
        n /= 1000;
    }
    format!("{n}P")
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn row(id: &str) -> JobRow {
        JobRow {
            job_id: format!("{id:0>32}"),
            name: "checkout".to_owned(),
            state: JobState::Running,
            owner: "gate-1".to_owned(),
            fence_token: 3,
            accepted_unix_ms: 1_800_000_000_000,
            requests: 1_234_567,
            errors: 12,
        }
    }

    #[test]
    fn the_json_has_the_keys_that_scripts_lean_on() {
        let json = serde_json::to_value(Jobs { jobs: &[row("7")], silent_shards: &[1] }).unwrap();
        let expected = serde_json::json!({
            "jobs": [{
                "job_id": "00000000000000000000000000000007", "name": "checkout", "state": "running",
                "owner": "gate-1", "fence_token": 3, "accepted_unix_ms": 1_800_000_000_000_u64,
                "requests": 1_234_567, "errors": 12,
            }],
            "silent_shards": [1],
        });
        assert_eq!(json, expected);
    }

    #[test]
    fn a_table_of_jobs_is_aligned() {
        let queued =
            JobRow { state: JobState::Queued, owner: String::new(), requests: 0, errors: 0, ..row("ab") };
        let expected = "\
JOB                               NAME      STATE    OWNER   REQUESTS  ERRORS
00000000000000000000000000000007  checkout  running  gate-1     1234k      12
000000000000000000000000000000ab  checkout  queued   -              0       0
";
        assert_eq!(jobs_table(&[row("7"), queued]), expected);
    }

    #[test]
    fn ids_stand_whole_whatever_else_is_long() {
        let long = JobRow {
            name: "a plan with a long name".to_owned(),
            state: JobState::Completed,
            owner: "gate-of-the-north".to_owned(),
            requests: u64::MAX,
            errors: u64::MAX,
            ..row("7")
        };
        let text = jobs_table(std::slice::from_ref(&long));
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        assert!(text.contains(&long.job_id));
    }
}
