//! The attempts of one call, the first to the last.

use std::time::Duration;

use hyperscale_core::Instant;
use rand::Rng;

use super::{CallError, Deadline, RetryBudget, RetryConfig};

/// The longest wait of what must arrive.
const MUST_ARRIVE_CAP: Duration = Duration::from_secs(5);
/// What a peer tells to wait is stretched by up to so much, for it told others the same.
const STRETCH: f64 = 1.1;

/// What follows a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// Another one, then.
    At(Instant),
    /// None.
    GiveUp(GiveUp),
}

/// Why a call is not made again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum GiveUp {
    /// Another attempt would come to the same.
    NotRetryable,
    /// Another attempt could do what the first did, twice.
    NotIdempotent,
    /// As many attempts as it may have are made.
    Attempts,
    /// Retries to this peer are too many of its calls already.
    Budget,
    /// The answer would come when nobody waits for it.
    Deadline,
}

impl GiveUp {
    /// Its word in metrics and messages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotRetryable => "not_retryable",
            Self::NotIdempotent => "not_idempotent",
            Self::Attempts => "attempts",
            Self::Budget => "budget",
            Self::Deadline => "deadline",
        }
    }
}

/// What became of a call with the outcome of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step<T> {
    /// It has its answer.
    Done(T),
    /// It is made again, then.
    Retry(Instant),
    /// It has none and gets none.
    GiveUp(GiveUp, CallError),
}

/// The attempts of one call.
#[derive(Debug, Clone)]
pub struct RetryExecutor {
    config: RetryConfig,
    deadline: Option<Deadline>,
    idempotent: bool,
    must_arrive: bool,
    /// Attempts made, the present one included.
    attempt: u32,
    /// The last wait that was drawn.
    previous: Duration,
}

impl RetryExecutor {
    /// A call whose first attempt is made now, and that may be repeated without harm.
    #[must_use]
    pub const fn new(config: RetryConfig, deadline: Option<Deadline>) -> Self {
        let previous = config.base;
        Self { config, deadline, idempotent: true, must_arrive: false, attempt: 1, previous }
    }

    /// A call that does a thing twice when it is made twice: it is made once.
    #[must_use]
    pub const fn once(mut self) -> Self {
        self.idempotent = false;
        self
    }

    /// A delivery that must arrive: neither attempts nor budget end it, and it waits at most 5 s.
    #[must_use]
    pub fn must_arrive(mut self) -> Self {
        self.must_arrive = true;
        self.config.cap = self.config.cap.min(MUST_ARRIVE_CAP);
        self
    }

    /// Which attempt is under way, from 1.
    #[must_use]
    pub const fn attempt(&self) -> u32 {
        self.attempt
    }

    /// When nobody waits for the answer any more.
    #[must_use]
    pub const fn deadline(&self) -> Option<Deadline> {
        self.deadline
    }

    /// The wait before retry `n`, 0 for the first.
    pub fn calculate_delay(&mut self, n: u32, rng: &mut impl Rng) -> Duration {
        let RetryConfig { base, cap, jitter, .. } = self.config;
        self.previous = jitter.delay((base, cap), n, self.previous, rng);
        self.previous
    }

    /// What follows an attempt that failed. A retry is taken from the budget.
    pub fn next(
        &mut self,
        now: Instant,
        error: &CallError,
        budget: &mut RetryBudget,
        rng: &mut impl Rng,
    ) -> Retry {
        if !(self.config.retryable)(error) {
            return Retry::GiveUp(GiveUp::NotRetryable);
        }
        if !self.idempotent {
            return Retry::GiveUp(GiveUp::NotIdempotent);
        }
        if !self.must_arrive {
            if self.attempt >= self.config.max_attempts {
                return Retry::GiveUp(GiveUp::Attempts);
            }
            if !budget.allows() {
                return Retry::GiveUp(GiveUp::Budget);
            }
        }
        let drawn = self.calculate_delay(self.attempt.saturating_sub(1), rng);
        let told = error.retry_after().mul_f64(rng.random_range(1.0..STRETCH));
        let at = now + drawn.max(told);
        if self.deadline.is_some_and(|deadline| deadline.is_over(at)) {
            return Retry::GiveUp(GiveUp::Deadline);
        }
        if !self.must_arrive {
            budget.withdraw();
        }
        self.attempt = self.attempt.saturating_add(1);
        Retry::At(at)
    }

    /// Takes the outcome of an attempt in.
    pub fn execute<T>(
        &mut self,
        now: Instant,
        outcome: Result<T, CallError>,
        budget: &mut RetryBudget,
        rng: &mut impl Rng,
    ) -> Step<T> {
        match outcome {
            Ok(answer) => Step::Done(answer),
            Err(error) => match self.next(now, &error, budget, rng) {
                Retry::At(at) => Step::Retry(at),
                Retry::GiveUp(why) => Step::GiveUp(why, error),
            },
        }
    }
}

#[cfg(test)]
mod tests;
