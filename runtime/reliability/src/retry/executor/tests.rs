use hyperscale_codec::ErrorCode;
use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::SmallRng;

use super::*;
use crate::retry::JitterStrategy;

const T0: Instant = Instant(1_000_000_000);
const LATE: CallError = CallError::TimedOut;

fn rng() -> SmallRng {
    SmallRng::seed_from_u64(5)
}

fn plain() -> RetryExecutor {
    RetryExecutor::new(RetryConfig::default(), None)
}

/// The answers of `next` to the same error until it gives up, each taken at the time of the one before.
fn all(mut call: RetryExecutor, error: CallError, budget: &mut RetryBudget) -> (Vec<Duration>, GiveUp) {
    let (mut now, mut waits, mut rng) = (T0, Vec::new(), rng());
    loop {
        match call.next(now, &error, budget, &mut rng) {
            Retry::At(at) => {
                waits.push(at.since(now));
                now = at;
            }
            Retry::GiveUp(why) => return (waits, why),
        }
        assert!(waits.len() < 1_000);
    }
}

#[test]
fn three_attempts_are_made_by_default() {
    let (waits, why) = all(plain(), LATE, &mut RetryBudget::default());
    assert_eq!((waits.len(), why), (2, GiveUp::Attempts));
    assert!(waits[0] < Duration::from_millis(500) && waits[1] < Duration::from_secs(1));
}

#[test]
fn an_error_that_stays_is_not_tried_again() {
    let refused = CallError::refused(ErrorCode::Invalid.to_wire(), 0);
    assert_eq!(all(plain(), refused, &mut RetryBudget::default()), (Vec::new(), GiveUp::NotRetryable));
}

#[test]
fn what_would_be_done_twice_is_not_tried_again() {
    assert_eq!(all(plain().once(), LATE, &mut RetryBudget::default()), (Vec::new(), GiveUp::NotIdempotent));
}

#[test]
fn an_empty_budget_ends_a_call_before_its_attempts_do() {
    let mut budget = RetryBudget::default();
    while budget.withdraw() {}
    assert_eq!(all(plain(), LATE, &mut budget), (Vec::new(), GiveUp::Budget));
}

#[test]
fn a_peer_is_not_asked_before_it_said() {
    let refused = CallError::refused(ErrorCode::Overloaded.to_wire(), 3_000);
    for seed in 0..1_000 {
        let mut rng = SmallRng::seed_from_u64(seed);
        let Retry::At(at) = plain().next(T0, &refused, &mut RetryBudget::default(), &mut rng) else {
            panic!("given up");
        };
        let wait = at.since(T0);
        assert!((Duration::from_secs(3)..Duration::from_millis(3_300)).contains(&wait), "{wait:?}");
    }
}

#[test]
fn what_must_arrive_goes_on_without_budget_and_waits_five_seconds_at_most() {
    let (mut budget, mut call, mut rng) = (RetryBudget::default(), plain().must_arrive(), rng());
    while budget.withdraw() {}
    for n in 1..500 {
        let Retry::At(at) = call.next(T0, &LATE, &mut budget, &mut rng) else { panic!("given up after {n}") };
        assert!(at.since(T0) < Duration::from_secs(5));
        assert_eq!(call.attempt(), n + 1);
    }
    let gone = CallError::refused(ErrorCode::UnknownJob.to_wire(), 0);
    assert_eq!(call.next(T0, &gone, &mut budget, &mut rng), Retry::GiveUp(GiveUp::NotRetryable));
}

#[test]
fn the_executor_is_fed_with_each_attempts_result() {
    let (mut call, mut budget, mut rng) = (plain(), RetryBudget::default(), rng());
    assert!(matches!(call.execute::<u8>(T0, Err(LATE), &mut budget, &mut rng), Step::Retry(_)));
    assert_eq!(call.execute(T0, Ok(7), &mut budget, &mut rng), Step::Done(7));
    let refused = CallError::refused(ErrorCode::Conflict.to_wire(), 0);
    let over = call.execute::<u8>(T0, Err(refused), &mut budget, &mut rng);
    assert_eq!(over, Step::GiveUp(GiveUp::NotRetryable, refused));
}

#[test]
fn a_call_that_is_refused_for_its_deadline_costs_no_budget() {
    let mut call = RetryExecutor::new(RetryConfig::default(), Some(Deadline(T0)));
    let (mut budget, mut rng) = (RetryBudget::default(), rng());
    assert_eq!(call.next(T0, &LATE, &mut budget, &mut rng), Retry::GiveUp(GiveUp::Deadline));
    assert_eq!(budget, RetryBudget::default());
}

fn any_error() -> impl Strategy<Value = CallError> {
    let refused = (prop::sample::select(ErrorCode::ALL), 0..4_000_u32);
    prop_oneof![
        Just(CallError::Gone),
        Just(CallError::TimedOut),
        refused.prop_map(|(code, ms)| CallError::refused(code.to_wire(), ms)),
    ]
}

proptest! {
    /// Whatever the errors are, each attempt has at least a millisecond left that the receiver can see.
    #[test]
    fn no_attempt_is_made_past_the_deadline(
        left_ms in 0..10_000_u32,
        errors in prop::collection::vec((any_error(), 0..500_u64), 1..20),
        seed in any::<u64>(),
        strategy in prop::sample::select(vec![
            JitterStrategy::Full, JitterStrategy::Equal, JitterStrategy::Decorrelated,
        ]),
    ) {
        let deadline = Deadline::after(T0, Duration::from_millis(left_ms.into()));
        let config = RetryConfig { max_attempts: 20, jitter: strategy, ..RetryConfig::default() };
        let mut call = RetryExecutor::new(config, Some(deadline));
        let (mut now, mut budget) = (T0, RetryBudget::default());
        let mut rng = SmallRng::seed_from_u64(seed);
        for (error, took_ms) in errors {
            now = now + Duration::from_millis(took_ms);
            match call.next(now, &error, &mut budget, &mut rng) {
                Retry::At(at) => {
                    prop_assert!(at.since(now) >= error.retry_after());
                    prop_assert!(deadline.left_ms(at) >= 1);
                    prop_assert!(at.since(T0) <= Duration::from_millis(left_ms.into()));
                    now = at;
                }
                Retry::GiveUp(_) => break,
            }
        }
    }

    /// Many calls through one budget: all attempts together are the calls, and a tenth of them more, and ten.
    #[test]
    fn load_is_never_multiplied(calls in 1..400_u32, wished in 1..10_u32, seed in any::<u64>()) {
        let config = RetryConfig { max_attempts: wished + 1, ..RetryConfig::default() };
        let (mut budget, mut rng) = (RetryBudget::default(), SmallRng::seed_from_u64(seed));
        let mut attempts = 0_u32;
        for _ in 0..calls {
            budget.on_call();
            let mut call = RetryExecutor::new(config, None);
            attempts += 1;
            while matches!(call.next(T0, &LATE, &mut budget, &mut rng), Retry::At(_)) {
                attempts += 1;
            }
        }
        prop_assert!(attempts * 10 <= calls * 11 + 100, "{attempts} attempts of {calls} calls");
    }
}
