use std::time::Duration;

use hyperscale_codec::ErrorCode;
use proptest::prelude::*;

use super::*;

const PEER: NodeId = NodeId(7);
const LINK: LinkId = LinkId(1);
const T0: Instant = Instant(1_000_000_000);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Ask(u32);

impl CallKey for Ask {
    fn name(&self) -> &'static str {
        "ask"
    }
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn overloaded() -> CallError {
    CallError::refused(ErrorCode::Overloaded.to_wire(), 1_000)
}

fn begin(calls: &mut Calls<Ask>, key: u32, policy: Policy) -> Asking {
    calls.begin(T0, Ask(key), (PEER, LINK), policy).unwrap()
}

/// Lets time pass up to what is due next.
fn next(calls: &mut Calls<Ask>) -> (Instant, Due<Ask>) {
    loop {
        let at = calls.next_deadline().expect("something is due");
        if let Some(due) = calls.due(at) {
            return (at, due);
        }
    }
}

fn said(due: Due<Ask>) -> Asking {
    let Due::Say(_, LINK, asking) = due else { panic!("{due:?}") };
    asking
}

#[test]
fn an_answer_ends_a_call_and_comes_back_with_its_key() {
    let mut calls = Calls::new(1);
    let first = begin(&mut calls, 1, Policy::within(secs(30)));
    let other = begin(&mut calls, 2, Policy::within(secs(30)));
    assert_ne!(first.number, other.number);
    assert_eq!(calls.on_answer(T0, LinkId(2), first.number), None, "on another link it answers nothing");
    assert_eq!(calls.on_answer(T0, LINK, first.number), Some(Ask(1)));
    assert_eq!(calls.on_answer(T0, LINK, first.number), None);
    assert!(!calls.has(&Ask(1)) && calls.has(&Ask(2)));
}

#[test]
fn every_attempt_carries_what_is_left_of_its_time_its_count_and_the_same_id() {
    let mut calls = Calls::new(1);
    let first = begin(&mut calls, 1, Policy::within(secs(30)));
    assert_eq!((first.extensions.deadline_ms, first.extensions.attempt), (Some(30_000), Some(1)));
    let (key, fate) = calls.on_refused(T0, LINK, first.number, overloaded()).unwrap();
    let Fate::Again(at) = fate else { panic!("{fate:?}") };
    assert!(key == Ask(1) && at.since(T0) >= secs(1));
    let (now, due) = next(&mut calls);
    let second = said(due);
    assert_eq!(now, at);
    let left = 30_000 - u32::try_from(at.since(T0).as_nanos().div_ceil(1_000_000)).unwrap();
    assert_eq!((second.extensions.deadline_ms, second.extensions.attempt), (Some(left), Some(2)));
    assert_eq!(second.extensions.idempotency, first.extensions.idempotency);
    assert_ne!(second.number, first.number);
    // The answer to the first comes late, and is an answer.
    assert_eq!(calls.on_answer(now, LINK, first.number), Some(Ask(1)));
    assert_eq!(calls.on_answer(now, LINK, second.number), None);
    assert_eq!(calls.next_deadline(), None);
}

#[test]
fn a_call_that_nobody_answers_is_made_three_times_and_given_up() {
    let mut calls = Calls::new(1);
    begin(&mut calls, 1, Policy::within(secs(300)));
    for attempt in [2, 3] {
        let (_, due) = next(&mut calls);
        assert_eq!(said(due).extensions.attempt, Some(attempt));
    }
    let (_, due) = next(&mut calls);
    assert_eq!(due, Due::Over(Ask(1), LINK, GiveUp::Attempts));
    assert!(!calls.has(&Ask(1)) && calls.next_deadline().is_none());
}

#[test]
fn a_refusal_of_an_earlier_attempt_says_nothing_about_the_present_one() {
    let mut calls = Calls::new(1);
    let first = begin(&mut calls, 1, Policy::within(secs(300)));
    let (now, due) = next(&mut calls);
    let second = said(due);
    let invalid = CallError::refused(ErrorCode::Invalid.to_wire(), 0);
    assert_eq!(calls.on_refused(now, LINK, first.number, invalid), None);
    let over = calls.on_refused(now, LINK, second.number, invalid);
    assert_eq!(over, Some((Ask(1), Fate::Over(GiveUp::NotRetryable))));
}

#[test]
fn a_newer_call_of_the_same_key_replaces_the_older_one() {
    let mut calls = Calls::new(1);
    let older = begin(&mut calls, 1, Policy::registration());
    let newer = begin(&mut calls, 1, Policy::registration());
    assert_eq!(calls.on_answer(T0, LINK, older.number), None, "what it said is out of date");
    assert_eq!(calls.on_answer(T0, LINK, newer.number), Some(Ask(1)));
}

/// The load that one patient call makes: ten minutes of an overloaded peer.
#[test]
fn a_patient_call_never_ends_and_never_asks_fast() {
    let mut calls = Calls::new(1);
    let mut number = begin(&mut calls, 1, Policy::patient()).number;
    let (mut now, mut attempts) = (T0, 1);
    while now.since(T0) < secs(600) {
        let refused = calls.on_refused(now, LINK, number, overloaded());
        assert!(matches!(refused, Some((_, Fate::Again(_)))));
        let (at, due) = next(&mut calls);
        (now, number, attempts) = (at, said(due).number, attempts + 1);
    }
    assert!((30..120).contains(&attempts), "{attempts}");
    assert!(calls.on_answer(now, LINK, number).is_some());
}

#[test]
fn what_must_arrive_is_said_again_within_seven_seconds_for_ever() {
    let mut calls = Calls::new(1);
    begin(&mut calls, 1, Policy::must_arrive());
    let mut before = T0;
    for _ in 0..1_000 {
        let (now, due) = next(&mut calls);
        assert!(now.since(before) <= secs(7));
        assert_eq!(said(due).extensions.deadline_ms, None);
        before = now;
    }
    calls.forget(&Ask(1));
    assert_eq!(calls.next_deadline(), None);
}

#[test]
fn a_peer_that_answers_nobody_is_left_alone_but_for_what_must_arrive() {
    let mut calls = Calls::new(1);
    for key in 0..5 {
        begin(&mut calls, key, Policy::within(secs(3)));
    }
    let now = T0 + secs(2);
    assert_eq!(calls.due(now), None);
    assert!(calls.is_left_alone(PEER));
    let open = |calls: &Calls<Ask>| calls.gauges().iter().any(|it| it.name == "hyperscale_circuit_open");
    assert!(open(&calls));
    assert_eq!(calls.begin(now, Ask(8), (PEER, LINK), Policy::patient()), None);
    let critical = calls.begin(now, Ask(9), (PEER, LINK), Policy::must_arrive());
    assert!(critical.is_some());
    assert_eq!(calls.on_answer(now, LINK, critical.unwrap().number), Some(Ask(9)));
    assert!(!calls.is_left_alone(PEER) && !open(&calls), "it answered");
}

#[test]
fn with_a_link_go_the_calls_on_it() {
    let mut calls = Calls::new(1);
    begin(&mut calls, 1, Policy::patient());
    calls.begin(T0, Ask(2), (PEER, LinkId(2)), Policy::patient()).unwrap();
    calls.on_link_down(T0, LINK);
    assert!(!calls.has(&Ask(1)) && calls.has(&Ask(2)));
}

proptest! {
    /// Whatever happens, what the table holds agrees with itself, and nothing is said past its deadline.
    #[test]
    fn the_table_agrees_with_itself(
        moves in prop::collection::vec((0..6_u8, 0..8_u32, 0..3_000_u64), 1..200),
        seed in any::<u64>(),
    ) {
        let (mut calls, mut now, mut numbers) = (Calls::new(seed), T0, Vec::new());
        for (what, key, ms) in moves {
            now = now + Duration::from_millis(ms);
            let link = LinkId(u64::from(key % 2) + 1);
            let node = NodeId(u128::from(key % 3));
            let number = usize::try_from(key).ok().and_then(|at| numbers.get(at)).copied().unwrap_or(0);
            match what {
                0 => numbers.extend(calls.begin(now, Ask(key), (node, link), Policy::patient()).map(|it| it.number)),
                1 => {
                    let policy = Policy::within(Duration::from_secs(4));
                    numbers.extend(calls.begin(now, Ask(key), (node, link), policy).map(|it| it.number));
                }
                2 => drop(calls.on_answer(now, link, number)),
                3 => drop(calls.on_refused(now, link, number, overloaded())),
                4 => calls.on_link_down(now, link),
                _ => calls.forget(&Ask(key)),
            }
            while let Some(due) = calls.due(now) {
                if let Due::Say(_, _, asking) = due {
                    prop_assert_ne!(asking.extensions.deadline_ms, Some(0));
                    numbers.push(asking.number);
                }
            }
            prop_assert_eq!(calls.open.len(), calls.dues.len());
            prop_assert!(calls.next_deadline().is_none_or(|at| at > now));
            prop_assert!(calls.numbers.values().all(|key| calls.open.contains_key(key)));
            prop_assert!(calls.numbers.len() <= calls.open.len() * ATTEMPTS_KNOWN);
        }
    }
}
