//! What a summary comes to: one word for people, one number for scripts.

use crate::Summary;

/// How a job ended, as the first word of its report and the command's exit code have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Completed, at least one request was answered, all thresholds passed.
    Passed,
    /// The job failed.
    Failed,
    /// Completed, and no request was ever answered.
    NoAnswer,
    /// Cancelled, by whomever.
    Cancelled,
    /// Completed, and a threshold failed.
    ThresholdFailed,
}

impl Verdict {
    /// The exit code of a command that waited for this job. An interrupt by its own user is 130 instead, which only
    /// the command knows.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Passed => 0,
            Self::Failed | Self::NoAnswer | Self::Cancelled => 1,
            Self::ThresholdFailed => 99,
        }
    }

    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Passed => "ok",
            Self::Failed | Self::NoAnswer | Self::ThresholdFailed => "FAILED",
            Self::Cancelled => "cancelled",
        }
    }
}

impl Summary {
    /// What the job comes to. A target that never answered outranks its thresholds: they have nothing to judge.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        match self.status.as_str() {
            "completed" if self.status_codes.is_empty() => Verdict::NoAnswer,
            "completed" if self.thresholds.iter().any(|threshold| !threshold.passed) => {
                Verdict::ThresholdFailed
            }
            "completed" => Verdict::Passed,
            "cancelled" => Verdict::Cancelled,
            // A word of a newer writer is not taken for success.
            _ => Verdict::Failed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ThresholdSummary;
    use crate::summarize::tests::empty_summary;

    fn answered(status: &str, passed: bool) -> Summary {
        let mut summary = empty_summary();
        summary.status = status.to_owned();
        summary.status_codes.insert("500".to_owned(), 1);
        let threshold =
            ThresholdSummary { expression: "errors == 0".to_owned(), passed, observed: "1".to_owned() };
        summary.thresholds.push(threshold);
        summary
    }

    #[test]
    fn errors_in_some_requests_pass_unless_a_threshold_says_otherwise() {
        assert_eq!(answered("completed", true).verdict().exit_code(), 0);
        assert_eq!(answered("completed", false).verdict().exit_code(), 99);
    }

    #[test]
    fn a_target_that_never_answered_fails_the_job_before_its_thresholds() {
        let mut silent = answered("completed", false);
        silent.status_codes.clear();
        assert_eq!(silent.verdict(), Verdict::NoAnswer);
        assert_eq!(silent.verdict().exit_code(), 1);
    }

    #[test]
    fn only_completed_can_pass() {
        assert_eq!(answered("cancelled", true).verdict(), Verdict::Cancelled);
        assert_eq!(answered("failed", true).verdict(), Verdict::Failed);
        assert_eq!(answered("suspended", true).verdict(), Verdict::Failed);
    }
}
