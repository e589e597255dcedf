//! What an attempt came to, if not to its answer.

use std::time::Duration;

use hyperscale_codec::ErrorCode;

/// Why an attempt of a call failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The peer answered that it will not, or not now.
    #[error("refused: {code}", code = code.map_or("a code of a newer minor", ErrorCode::as_str))]
    Refused {
        /// `None`: of a newer minor.
        code: Option<ErrorCode>,
        /// When to come back at the earliest, or zero.
        retry_after: Duration,
    },
    /// The connection went before the answer came, or could not be made.
    #[error("the connection is gone")]
    Gone,
    /// No answer came in time: the request, the answer or the peer is lost.
    #[error("no answer came in time")]
    TimedOut,
}

impl CallError {
    /// As an answer told it: the code's number and the milliseconds after which to come back.
    #[must_use]
    pub fn refused(code: u16, retry_after_ms: u32) -> Self {
        let retry_after = Duration::from_millis(retry_after_ms.into());
        Self::Refused { code: ErrorCode::from_wire(code), retry_after }
    }

    /// Beyond the caller's rate.
    #[must_use]
    pub fn limited(retry_after_ms: u32) -> Self {
        Self::refused(ErrorCode::RateLimited.to_wire(), retry_after_ms)
    }

    /// What the peer told to wait at least.
    #[must_use]
    pub const fn retry_after(self) -> Duration {
        match self {
            Self::Refused { retry_after, .. } => retry_after,
            Self::Gone | Self::TimedOut => Duration::ZERO,
        }
    }

    /// Whether the peer may be unwell. One that answers is alive, however loaded it is.
    #[must_use]
    pub const fn is_failure(self) -> bool {
        match self {
            Self::Refused { code, .. } => matches!(code, Some(ErrorCode::Unavailable)),
            Self::Gone | Self::TimedOut => true,
        }
    }

    /// Its word in metrics and logs.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Refused { code: Some(code), .. } => code.as_str(),
            Self::Refused { code: None, .. } => "unknown_code",
            Self::Gone => "connection",
            Self::TimedOut => "time_out",
        }
    }
}
