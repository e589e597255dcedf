//! How long, how often and how stubbornly a call is made.

use std::time::Duration;

use hyperscale_reliability::{Deadline, GiveUp, RetryConfig, RetryExecutor};
use rand::Rng;

/// An answer is due within so long, unless the call says otherwise.
const TIME_OUT: Duration = Duration::from_secs(2);

/// The longest wait between registrations, unless the peer asks for it.
const REGISTRATION_CAP: Duration = Duration::from_secs(5);

/// What happens when a call would be given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Insists {
    /// It is.
    No,
    /// It pauses and begins anew, for what it wants will be wanted still. The new round counts as a call.
    Patiently,
    /// It is made again until it is answered or not wanted, past an open circuit and without budget.
    Must,
}

/// The rules of one kind of call.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    pub retry: RetryConfig,
    /// For the answer to one attempt.
    pub time_out: Duration,
    /// For the whole call; `None`: it is wanted until the core says otherwise.
    pub deadline: Option<Duration>,
    pub insists: Insists,
    /// Nothing else tells whether the peer is well, so it neither waits for the circuit nor counts for it.
    pub is_first_word: bool,
}

impl Policy {
    fn new(insists: Insists, deadline: Option<Duration>) -> Self {
        Self { retry: RetryConfig::default(), time_out: TIME_OUT, deadline, insists, is_first_word: false }
    }

    /// Given up after three attempts, or when so long has passed.
    #[must_use]
    pub fn within(deadline: Duration) -> Self {
        Self::new(Insists::No, Some(deadline))
    }

    /// Three attempts, a pause, three attempts, for as long as it is wanted.
    #[must_use]
    pub fn patient() -> Self {
        Self::new(Insists::Patiently, None)
    }

    /// Made until it is answered or not wanted.
    #[must_use]
    pub fn must_arrive() -> Self {
        Self::new(Insists::Must, None)
    }

    /// A registration: the first word on a connection. Until it is taken, what runs on the other side of the connection
    /// is nobody's; so no wait is long.
    #[must_use]
    pub fn registration() -> Self {
        let retry = RetryConfig { max_attempts: u32::MAX, cap: REGISTRATION_CAP, ..RetryConfig::default() };
        Self { retry, is_first_word: true, ..Self::patient() }
    }

    /// With so many attempts in a round.
    #[must_use]
    pub const fn attempts(mut self, most: u32) -> Self {
        self.retry.max_attempts = most;
        self
    }

    /// With another time for the answer to one attempt.
    #[must_use]
    pub const fn time_out(mut self, each: Duration) -> Self {
        self.time_out = each;
        self
    }

    pub(super) fn executor(&self, deadline: Option<Deadline>) -> RetryExecutor {
        let executor = RetryExecutor::new(self.retry, deadline);
        if self.insists == Insists::Must { executor.must_arrive() } else { executor }
    }

    pub(super) fn heeds_circuit(&self) -> bool {
        self.insists != Insists::Must && !self.is_first_word
    }

    /// How long a patient call rests before it begins anew.
    pub(super) fn pause_after(&self, why: GiveUp, rng: &mut impl Rng) -> Option<Duration> {
        let tired = matches!(why, GiveUp::Attempts | GiveUp::Budget);
        let half = self.retry.cap / 2;
        (self.insists == Insists::Patiently && tired).then(|| half + half.mul_f64(rng.random_range(0.0..1.0)))
    }
}
