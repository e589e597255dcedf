//! A bucket of tokens as one number: when it is full again (the generic cell rate algorithm of ATM Forum TM 4.0).
//!
//! A full bucket that gives `n` tokens is full again `n` token times later; it may give while that is at most a bucket's
//! worth of time ahead. The same law as counting tokens, without a fraction to keep, and one word that can be swapped.

use std::time::Duration;

/// Clocks beyond this (73 years) stand still, so that no sum below can overflow.
pub(super) const TIME_MAX_NS: u64 = 1 << 61;

/// A size and a speed, in whole nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rate {
    size: u32,
    /// Time of one token, rounded up: never too many. 0: none ever comes back.
    token_ns: u64,
    /// Time of a whole bucket.
    full_ns: u64,
}

/// Why tokens are not given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Short {
    /// They will be there in so many nanoseconds.
    Wait(u64),
    /// They will never be there.
    Never,
}

impl Rate {
    /// A speed that is no positive number, or so low that a bucket would not fill within a lifetime, is none.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "saturates; checked right below"
    )]
    pub(super) fn new(size: u32, per_second: f64) -> Self {
        let token_ns = if per_second > 0.0 { (1e9 / per_second).ceil().max(1.0) as u64 } else { 0 };
        match token_ns.checked_mul(u64::from(size)).filter(|full_ns| *full_ns <= TIME_MAX_NS) {
            Some(full_ns) => Self { size, token_ns, full_ns },
            None => Self { size, token_ns: 0, full_ns: 0 },
        }
    }

    pub(super) const fn size(&self) -> u32 {
        self.size
    }

    /// Takes `n` at `now` out of a bucket that is full again at `full_at`; when it is then. Of a bucket that never
    /// refills that number is what was taken.
    pub(super) fn take(&self, full_at: u64, n: u32, now: u64) -> Result<u64, Short> {
        if n > self.size {
            return Err(Short::Never);
        }
        if self.token_ns == 0 {
            let taken = full_at.saturating_add(n.into());
            return if taken <= u64::from(self.size) { Ok(taken) } else { Err(Short::Never) };
        }
        let now = now.min(TIME_MAX_NS);
        let then = full_at.max(now).saturating_add(self.token_ns.saturating_mul(n.into()));
        match then.checked_sub(now.saturating_add(self.full_ns)) {
            None | Some(0) => Ok(then),
            Some(short_ns) => Err(Short::Wait(short_ns)),
        }
    }

    /// Whole tokens in it.
    pub(super) fn tokens(&self, full_at: u64, now: u64) -> u32 {
        let missing = match self.token_ns {
            0 => full_at,
            token_ns => full_at.saturating_sub(now.min(TIME_MAX_NS)).div_ceil(token_ns),
        };
        self.size.saturating_sub(u32::try_from(missing).unwrap_or(u32::MAX))
    }

    pub(super) fn is_full(&self, full_at: u64, now: u64) -> bool {
        full_at <= if self.token_ns == 0 { 0 } else { now.min(TIME_MAX_NS) }
    }
}

/// Waits are told in whole milliseconds, rounded up: who comes then is not too early.
pub(super) const fn rounded_up(wait_ns: u64) -> Duration {
    Duration::from_millis(wait_ns.div_ceil(1_000_000))
}
