//! What one of our callers does when it is told that it asks too often: it waits as told, a few times, and keeps all
//! calls of that operation back meanwhile.

use std::time::Duration;

use hyperscale_core::Instant;
use rand::Rng;
use rand::rngs::SmallRng;

use super::Operation;

/// How patient a limited caller is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimitRetryConfig {
    /// Waits for one call at most.
    pub waits_max: u32,
    /// From the first refusal to the last call at most.
    pub total_max: Duration,
}

impl Default for RateLimitRetryConfig {
    fn default() -> Self {
        Self { waits_max: 3, total_max: Duration::from_secs(60) }
    }
}

/// What became of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallOutcome {
    /// Anything but a refusal over the rate.
    Answered,
    /// The rate is used up; a request will be taken after this.
    Limited { retry_after: Duration },
}

/// What is next for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextCall {
    /// Nothing: it was answered.
    Done,
    /// Call again then.
    At(Instant),
    /// It has been refused for too long.
    GiveUp(StillLimited),
}

/// A caller that waited as it was told and is still refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "rate limited: this client asks for {} too often; it waited {waits} times, {:.1} s in all, and would have to wait \
     another {:.1} s; ask less often, or have [limits] raised in the gate's node file",
    .operation.as_str(), .waited.as_secs_f64(), .retry_after.as_secs_f64()
)]
pub struct StillLimited {
    /// What there is too much of.
    pub operation: Operation,
    /// How often it waited.
    pub waits: u32,
    /// Since the first refusal.
    pub waited: Duration,
    /// What it was told last.
    pub retry_after: Duration,
}

#[derive(Debug, Clone, Copy, Default)]
struct Row {
    waits: u32,
    /// The first refusal.
    since: Option<Instant>,
    /// Calls are held back until then.
    until: Option<Instant>,
}

/// One caller's waits, by operation.
#[derive(Debug)]
pub struct RateLimitRetry {
    config: RateLimitRetryConfig,
    rng: SmallRng,
    rows: [Row; Operation::COUNT],
}

impl RateLimitRetry {
    /// Nothing was refused yet.
    #[must_use]
    pub fn new(config: RateLimitRetryConfig, rng: SmallRng) -> Self {
        Self { config, rng, rows: [Row::default(); Operation::COUNT] }
    }

    /// A call of this operation came to this: what is next for it. A refusal has it wait for `retry_after` and up to a
    /// tenth more, so that callers who were refused together do not come back together.
    pub fn execute_with_rate_limit_retry(
        &mut self,
        now: Instant,
        operation: Operation,
        outcome: CallOutcome,
    ) -> NextCall {
        let Some(row) = self.rows.get_mut(operation.index()) else { return NextCall::Done };
        let CallOutcome::Limited { retry_after } = outcome else {
            *row = Row::default();
            return NextCall::Done;
        };
        let since = *row.since.get_or_insert(now);
        let wait = Duration::try_from_secs_f64(retry_after.as_secs_f64() * self.rng.random_range(1.0..1.1));
        let at = now + wait.unwrap_or(Duration::MAX);
        // Another call that was under way when the wait began is no further try.
        let is_another = row.until.is_some_and(|until| now < until);
        if !is_another && row.waits >= self.config.waits_max || at.since(since) > self.config.total_max {
            let (waits, waited) = (row.waits, now.since(since));
            *row = Row::default();
            return NextCall::GiveUp(StillLimited { operation, waits, waited, retry_after });
        }
        if !is_another {
            row.waits = row.waits.saturating_add(1);
        }
        let at = row.until.map_or(at, |until| until.max(at));
        row.until = Some(at);
        NextCall::At(at)
    }

    /// When the next call of this operation may be made, if not now.
    #[must_use]
    pub fn held_until(&self, now: Instant, operation: Operation) -> Option<Instant> {
        self.rows.get(operation.index()).and_then(|row| row.until).filter(|until| *until > now)
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    const fn limited(ms: u64) -> CallOutcome {
        CallOutcome::Limited { retry_after: Duration::from_millis(ms) }
    }

    fn caller(seed: u64) -> RateLimitRetry {
        RateLimitRetry::new(RateLimitRetryConfig::default(), SmallRng::seed_from_u64(seed))
    }

    #[test]
    fn it_waits_as_told_and_a_little_more_three_times() {
        for seed in 0..200 {
            let (mut caller, mut now) = (caller(seed), Instant(7));
            for _ in 0..3 {
                let next = caller.execute_with_rate_limit_retry(now, Operation::JobStatus, limited(1_000));
                let NextCall::At(at) = next else { panic!("{next:?}") };
                assert!((1_000..1_100).contains(&at.since(now).as_millis()), "{:?}", at.since(now));
                now = at;
            }
            let next = caller.execute_with_rate_limit_retry(now, Operation::JobStatus, limited(1_000));
            let NextCall::GiveUp(why) = next else { panic!("{next:?}") };
            assert_eq!((why.operation, why.waits), (Operation::JobStatus, 3));
            assert!(why.to_string().contains("rate limited: this client asks for job_status too often"));
        }
    }

    #[test]
    fn it_never_waits_for_more_than_a_minute_in_all() {
        let mut one = caller(1);
        let next = one.execute_with_rate_limit_retry(Instant(0), Operation::JobSubmit, limited(61_000));
        assert!(matches!(next, NextCall::GiveUp(StillLimited { waits: 0, .. })), "{next:?}");
        let next = one.execute_with_rate_limit_retry(Instant(0), Operation::JobSubmit, limited(40_000));
        let NextCall::At(at) = next else { panic!("{next:?}") };
        let next = one.execute_with_rate_limit_retry(at, Operation::JobSubmit, limited(30_000));
        assert!(matches!(next, NextCall::GiveUp(StillLimited { waits: 1, .. })), "{next:?}");
        // "Never", as it travels.
        let never = limited(u32::MAX.into());
        let next = one.execute_with_rate_limit_retry(at, Operation::Cancel, never);
        assert!(matches!(next, NextCall::GiveUp(_)), "{next:?}");
        let never = CallOutcome::Limited { retry_after: Duration::MAX };
        assert!(matches!(
            one.execute_with_rate_limit_retry(at, Operation::Cancel, never),
            NextCall::GiveUp(_)
        ));
    }

    #[test]
    fn other_calls_of_the_operation_are_held_back_and_those_of_others_are_not() {
        let mut caller = caller(3);
        let next = caller.execute_with_rate_limit_retry(Instant(5), Operation::Nodes, limited(100));
        let NextCall::At(at) = next else { panic!("{next:?}") };
        assert_eq!(caller.held_until(Instant(6), Operation::Nodes), Some(at));
        assert_eq!(caller.held_until(Instant(6), Operation::Cancel), None);
        assert_eq!(caller.held_until(at, Operation::Nodes), None);
        // Calls that were under way already do not use up the waits.
        for _ in 0..10 {
            let next = caller.execute_with_rate_limit_retry(Instant(6), Operation::Nodes, limited(100));
            assert!(matches!(next, NextCall::At(later) if later >= at), "{next:?}");
        }
    }

    #[test]
    fn an_answer_forgets_all_refusals() {
        let (mut caller, mut now) = (caller(4), Instant(0));
        for _ in 0..10 {
            let next = caller.execute_with_rate_limit_retry(now, Operation::Reconnect, limited(10));
            let NextCall::At(at) = next else { panic!("{next:?}") };
            let answered = CallOutcome::Answered;
            let next = caller.execute_with_rate_limit_retry(at, Operation::Reconnect, answered);
            assert_eq!((next, caller.held_until(at, Operation::Reconnect)), (NextCall::Done, None));
            now = at + Duration::from_secs(20);
        }
    }
}
