//! A peer that fails again and again is left alone for a while, then tried with one call.

use std::time::Duration;

use hyperscale_core::Instant;

/// Failures in a row that open the circuit.
const IN_A_ROW: u32 = 5;
/// Calls in the window before their share of failures counts.
const CALLS_MIN: u32 = 20;
/// The window: so many slots of a second.
const SLOTS: usize = 10;
const SLOT_NS: u64 = 1_000_000_000;
const OPEN_FIRST: Duration = Duration::from_secs(5);
const OPEN_MAX: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Slot {
    /// Which second it counts.
    second: u64,
    calls: u32,
    failures: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Closed,
    Open {
        until: Instant,
        wait: Duration,
    },
    /// One call is under way to see; without an outcome until then another one is.
    Trial {
        until: Instant,
        wait: Duration,
    },
}

/// Whether calls go to one peer. Only calls that nobody answers count against it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CircuitBreaker {
    state: State,
    in_a_row: u32,
    slots: [Slot; SLOTS],
}

impl Default for CircuitBreaker {
    fn default() -> Self {
        Self { state: State::Closed, in_a_row: 0, slots: [Slot::default(); SLOTS] }
    }
}

impl CircuitBreaker {
    /// Whether a call may go now, else when to ask again. After the wait the first who asks is the trial. What is critical
    /// goes without asking.
    ///
    /// # Errors
    /// When the next trial may be made.
    pub fn admit(&mut self, now: Instant) -> Result<(), Instant> {
        match self.state {
            State::Closed => Ok(()),
            State::Open { until, wait } | State::Trial { until, wait } if until <= now => {
                self.state = State::Trial { until: now + wait, wait };
                Ok(())
            }
            State::Open { until, .. } | State::Trial { until, .. } => Err(until),
        }
    }

    /// Whether calls are held back.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.state != State::Closed
    }

    /// The peer answered, whatever it said.
    pub fn on_answer(&mut self, now: Instant) {
        if self.is_open() {
            *self = Self::default();
        }
        self.in_a_row = 0;
        self.count(now, false);
    }

    /// A call got no answer.
    pub fn on_failure(&mut self, now: Instant) {
        match self.state {
            State::Closed => {
                self.in_a_row = self.in_a_row.saturating_add(1);
                self.count(now, true);
                if self.in_a_row >= IN_A_ROW || self.most_fail(now) {
                    self.state = State::Open { until: now + OPEN_FIRST, wait: OPEN_FIRST };
                }
            }
            State::Trial { wait, .. } => {
                let wait = wait.saturating_mul(2).min(OPEN_MAX);
                self.state = State::Open { until: now + wait, wait };
            }
            // Of a call made before, or of a critical one: nothing new.
            State::Open { .. } => {}
        }
    }

    fn count(&mut self, now: Instant, failed: bool) {
        let second = now.0 / SLOT_NS;
        let at = usize::try_from(second).unwrap_or(usize::MAX) % SLOTS;
        let Some(slot) = self.slots.get_mut(at) else { return };
        if slot.second != second {
            *slot = Slot { second, ..Slot::default() };
        }
        slot.calls = slot.calls.saturating_add(1);
        slot.failures = slot.failures.saturating_add(u32::from(failed));
    }

    fn most_fail(&self, now: Instant) -> bool {
        let second = now.0 / SLOT_NS;
        let recent = self.slots.iter().filter(|slot| second.saturating_sub(slot.second) < SLOTS as u64);
        let (calls, failures) = recent.fold((0_u32, 0_u32), |(calls, failures), slot| {
            (calls.saturating_add(slot.calls), failures.saturating_add(slot.failures))
        });
        calls >= CALLS_MIN && failures.saturating_mul(2) > calls
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant(100 * SLOT_NS + ms * 1_000_000)
    }

    #[test]
    fn five_failures_in_a_row_open_it_and_one_answer_between_keeps_it_closed() {
        let mut circuit = CircuitBreaker::default();
        (0..4).for_each(|n| circuit.on_failure(at(n)));
        circuit.on_answer(at(4));
        (5..9).for_each(|n| circuit.on_failure(at(n)));
        assert!(!circuit.is_open());
        circuit.on_failure(at(9));
        assert!(circuit.is_open());
        assert_eq!(circuit.admit(at(10)), Err(at(5_009)));
    }

    #[test]
    fn more_than_half_of_twenty_calls_in_ten_seconds_open_it() {
        let half = |calls: u64, gap_ms: u64| {
            let mut circuit = CircuitBreaker::default();
            for n in 0..calls {
                match n % 2 {
                    0 => circuit.on_failure(at(n * gap_ms)),
                    _ => circuit.on_answer(at(n * gap_ms)),
                }
            }
            circuit
        };
        // 10 of 20 are not more than half; 11 of 21 are.
        assert!(!half(20, 100).is_open());
        assert!(half(21, 100).is_open());
        assert!(!half(19, 100).is_open(), "10 of 19 are too few calls");
        assert!(!half(100, 600).is_open(), "spread so that no 10 s have 20 of them");
    }

    #[test]
    fn after_five_seconds_one_call_tries_and_each_failed_trial_doubles_the_wait_up_to_a_minute() {
        let mut circuit = CircuitBreaker::default();
        (0..5).for_each(|_| circuit.on_failure(at(0)));
        let mut now = 0;
        for wait in [5_000, 10_000, 20_000, 40_000, 60_000, 60_000] {
            assert_eq!(circuit.admit(at(now + wait - 1)), Err(at(now + wait)));
            now += wait;
            assert_eq!(circuit.admit(at(now)), Ok(()), "the trial");
            assert!(circuit.admit(at(now)).is_err(), "and nobody else");
            circuit.on_failure(at(now));
        }
        now += 60_000;
        assert_eq!(circuit.admit(at(now)), Ok(()));
        circuit.on_answer(at(now));
        assert!(!circuit.is_open() && circuit.admit(at(now)).is_ok());
        (0..5).for_each(|_| circuit.on_failure(at(now)));
        assert_eq!(circuit.admit(at(now)), Err(at(now + 5_000)), "all is forgotten");
    }

    #[test]
    fn a_trial_without_an_outcome_is_followed_by_another() {
        let mut circuit = CircuitBreaker::default();
        (0..5).for_each(|_| circuit.on_failure(at(0)));
        assert_eq!(circuit.admit(at(5_000)), Ok(()));
        assert_eq!(circuit.admit(at(9_999)), Err(at(10_000)));
        assert_eq!(circuit.admit(at(10_000)), Ok(()));
    }

    #[test]
    fn late_failures_of_earlier_calls_do_not_prolong_it() {
        let mut circuit = CircuitBreaker::default();
        (0..5).for_each(|_| circuit.on_failure(at(0)));
        circuit.on_failure(at(4_000));
        assert_eq!(circuit.admit(at(5_000)), Ok(()));
    }
}
