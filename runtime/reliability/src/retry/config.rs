//! How often and how fast a call is made again.

use std::time::Duration;

use hyperscale_codec::ErrorCode;

use super::{CallError, JitterStrategy};

/// Rules for retries of one kind of call.
#[derive(Debug, Clone, Copy)]
pub struct RetryConfig {
    /// Attempts at most, the first call included.
    pub max_attempts: u32,
    /// The wait before the first retry, at most; doubles with each.
    pub base: Duration,
    /// No wait is longer, unless the peer asks for it.
    pub cap: Duration,
    pub jitter: JitterStrategy,
    /// Which errors another attempt may help against.
    pub retryable: fn(&CallError) -> bool,
}

impl Default for RetryConfig {
    fn default() -> Self {
        Self {
            max_attempts: 3,
            base: Duration::from_millis(500),
            cap: Duration::from_secs(30),
            jitter: JitterStrategy::Full,
            retryable,
        }
    }
}

/// The errors of `spec.md` 1 that another attempt may help against. `deadline_exceeded` tells of one attempt's deadline;
/// the call's own decides whether there is time for another.
#[must_use]
pub fn retryable(error: &CallError) -> bool {
    match error {
        CallError::Refused { code: Some(code), .. } => {
            code.retryable() || *code == ErrorCode::DeadlineExceeded
        }
        // What cannot be read cannot be judged: a newer minor's reason is rather one that stays.
        CallError::Refused { code: None, .. } => false,
        CallError::Gone | CallError::TimedOut => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_pass_is_tried_again() {
        let tried = |code: &ErrorCode| retryable(&CallError::refused(code.to_wire(), 0));
        let codes: Vec<&str> =
            ErrorCode::ALL.iter().filter(|code| tried(code)).map(|code| code.as_str()).collect();
        assert_eq!(
            codes,
            [
                "overloaded",
                "rate_limited",
                "not_leader",
                "unavailable",
                "deadline_exceeded",
                "not_owner",
                "capacity"
            ]
        );
        assert!(retryable(&CallError::Gone) && retryable(&CallError::TimedOut));
        assert!(!retryable(&CallError::refused(999, 0)));
    }

    #[test]
    fn only_a_peer_that_does_not_answer_may_be_unwell() {
        let failures =
            ErrorCode::ALL.iter().filter(|code| CallError::refused(code.to_wire(), 0).is_failure());
        assert_eq!(failures.collect::<Vec<_>>(), [&ErrorCode::Unavailable]);
        assert!(CallError::Gone.is_failure() && CallError::TimedOut.is_failure());
        assert!(!CallError::limited(100).is_failure());
    }
}
