//! A gate whose managers refuse for a while, or do not answer; and requests whose time is over.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on shall fail where it stands"
)]

mod driven;

use std::time::Duration;

use hyperscale_codec::messages::{
    ErrorReply, JobCancelRequest, JobCancelResponse, JobDispatchAck, JobStatusRequest, RateLimitResponse,
};
use hyperscale_codec::{Encode, ErrorCode, Extensions, Head, JobId, Kind, RawFrame};
use hyperscale_core::{Core, LinkId};

use driven::{CLIENT, Driven};

const MANAGERS: [(u64, u32); 2] = [(100, 2), (101, 2)];

fn refusal(code: ErrorCode, retry_after_ms: u32) -> ErrorReply {
    let message = format!("it is {}", code.as_str());
    ErrorReply {
        code: code.to_wire(),
        message,
        retry_after_ms,
        holder: [0; 16],
        holder_addr: String::new(),
        seen: 0,
    }
}

/// The only frame of a kind that was sent: over which link, its number, its extensions.
fn only(gate: &Driven, kind: Kind) -> Option<(u64, u32, Extensions)> {
    let frames = gate.frames(kind);
    assert!(frames.len() <= 1, "{kind:?}");
    let told = |(link, frame): &(LinkId, RawFrame<'_>)| {
        (link.0, frame.header.correlation, frame.extensions().unwrap())
    };
    frames.first().map(told)
}

/// Answers a dispatch or cancel of the gate's.
fn answer<M: Encode>(gate: &mut Driven, (link, number, _): (u64, u32, Extensions), message: &M) {
    gate.tell_with(LinkId(link), Head::reply(number), &Extensions::default(), message);
}

fn taken(job: JobId) -> JobDispatchAck {
    JobDispatchAck { job: job.to_bytes(), attempt: 1, accepted: true, dc_token: 1, error: String::new() }
}

/// Time passes, while the managers say that they live, until a frame of this kind is sent.
fn next(gate: &mut Driven, managers: &[(u64, u32)], kind: Kind) -> Option<(u64, u32, Extensions)> {
    let end = gate.now + Duration::from_secs(120);
    let mut alive_at = gate.now;
    while gate.now < end {
        let due = gate.core.next_deadline().unwrap_or(end).max(gate.now);
        gate.wait(due.since(gate.now));
        if let Some(sent) = only(gate, kind) {
            return Some(sent);
        }
        if gate.now.since(alive_at) > Duration::from_secs(5) {
            alive_at = gate.now;
            managers.iter().for_each(|(number, worker_shards)| gate.manager(*number, *worker_shards));
            if let Some(sent) = only(gate, kind) {
                return Some(sent);
            }
        }
    }
    None
}

#[test]
fn a_loaded_manager_is_offered_the_part_again_as_it_told() {
    let mut gate = Driven::with(&MANAGERS[..1]);
    let job = gate.submit("");
    let first = only(&gate, Kind::JobDispatch).unwrap();
    assert_eq!((first.0, first.2.attempt), (100, Some(1)));
    let before = gate.now;
    answer(&mut gate, first, &refusal(ErrorCode::Overloaded, 3_000));
    let second = next(&mut gate, &MANAGERS[..1], Kind::JobDispatch).unwrap();
    let wait = gate.now.since(before);
    assert!((Duration::from_secs(3)..Duration::from_millis(3_300)).contains(&wait), "{wait:?}");
    assert_eq!((second.2.attempt, second.2.idempotency), (Some(2), first.2.idempotency));
    // The same, in the words of another limit.
    let limited = RateLimitResponse { operation: 1, retry_after_ms: 5_000, limit: 1, remaining: 0 };
    let before = gate.now;
    answer(&mut gate, second, &limited);
    let third = next(&mut gate, &MANAGERS[..1], Kind::JobDispatch).unwrap();
    assert!(gate.now.since(before) >= Duration::from_secs(5));
    answer(&mut gate, third, &taken(job));
    assert_eq!(next(&mut gate, &MANAGERS[..1], Kind::JobDispatch), None, "it has it");
    assert!(gate.result().is_none());
}

#[test]
fn a_lost_dispatch_or_answer_is_said_again() {
    let mut gate = Driven::with(&MANAGERS[..1]);
    let job = gate.submit("");
    let first = only(&gate, Kind::JobDispatch).unwrap();
    let before = gate.now;
    let second = next(&mut gate, &MANAGERS[..1], Kind::JobDispatch).unwrap();
    assert!((2_000..2_500).contains(&gate.now.since(before).as_millis()));
    // The answer to the first comes late.
    answer(&mut gate, (100, first.1, first.2), &taken(job));
    assert_eq!(next(&mut gate, &MANAGERS[..1], Kind::JobDispatch), None);
    assert_ne!(first.1, second.1);
}

#[test]
fn after_three_refusals_another_manager_of_the_datacenter_is_asked() {
    let mut gate = Driven::with(&MANAGERS);
    gate.submit("");
    let mut asked = only(&gate, Kind::JobDispatch).unwrap();
    let first = asked.0;
    for attempt in 1..=3 {
        assert_eq!((asked.0, asked.2.attempt), (first, Some(attempt)));
        answer(&mut gate, asked, &refusal(ErrorCode::Overloaded, 250));
        asked = match only(&gate, Kind::JobDispatch) {
            Some(sent) => sent,
            None => next(&mut gate, &MANAGERS, Kind::JobDispatch).unwrap(),
        };
    }
    assert_eq!((asked.0, asked.2.attempt), (201 - first, Some(1)));
}

#[test]
fn a_manager_that_may_have_taken_the_part_is_asked_until_it_says() {
    let mut gate = Driven::with(&MANAGERS);
    gate.submit("");
    let first = only(&gate, Kind::JobDispatch).unwrap().0;
    // The first answer is lost; only then it refuses.
    for _ in 0..8 {
        let asked = next(&mut gate, &MANAGERS, Kind::JobDispatch).unwrap();
        assert_eq!(asked.0, first, "another one would run it twice");
        answer(&mut gate, asked, &refusal(ErrorCode::Overloaded, 250));
        assert_eq!(only(&gate, Kind::JobDispatch), None);
    }
}

#[test]
fn a_job_that_no_manager_takes_in_twenty_attempts_fails_and_says_so() {
    let mut gate = Driven::with(&MANAGERS[..1]);
    gate.submit("");
    let mut asked = only(&gate, Kind::JobDispatch);
    let (mut attempts, began) = (0, gate.now);
    while let Some(dispatch) = asked {
        attempts += 1;
        answer(&mut gate, dispatch, &refusal(ErrorCode::Overloaded, 1_000));
        if let Some(result) = gate.result() {
            assert!(result.error.contains("dispatch_retries_exhausted"), "{}", result.error);
            assert!(result.error.contains("it is overloaded"), "{}", result.error);
            break;
        }
        asked = next(&mut gate, &MANAGERS[..1], Kind::JobDispatch);
    }
    assert_eq!(attempts, 20);
    assert!(gate.now.since(began) > Duration::from_secs(90), "{:?}", gate.now.since(began));
}

#[test]
fn a_refusal_that_stays_ends_the_part_at_once() {
    let mut gate = Driven::with(&MANAGERS[..1]);
    gate.submit("");
    let asked = only(&gate, Kind::JobDispatch).unwrap();
    answer(&mut gate, asked, &refusal(ErrorCode::Invalid, 0));
    let result = gate.result().unwrap();
    assert!(result.status == "failed" && result.error.contains("it is invalid"), "{}", result.error);
}

fn cancel(gate: &mut Driven, job: JobId) {
    gate.tell(CLIENT, &JobCancelRequest { job_id: job.to_bytes(), ..JobCancelRequest::default() });
}

#[test]
fn a_cancel_is_said_until_the_manager_has_it() {
    let mut gate = Driven::with(&MANAGERS[..1]);
    let job = gate.submit("");
    let dispatch = only(&gate, Kind::JobDispatch).unwrap();
    answer(&mut gate, dispatch, &taken(job));
    cancel(&mut gate, job);
    assert!(only(&gate, Kind::JobCancelRequest).is_some());
    for _ in 0..3 {
        let asked = next(&mut gate, &MANAGERS[..1], Kind::JobCancelRequest).unwrap();
        assert_eq!(asked.2.deadline_ms, None);
    }
    let asked = next(&mut gate, &MANAGERS[..1], Kind::JobCancelRequest).unwrap();
    answer(&mut gate, asked, &cancelled(job, ""));
    assert_eq!(next(&mut gate, &MANAGERS[..1], Kind::JobCancelRequest), None);
}

fn cancelled(job: JobId, error: &str) -> JobCancelResponse {
    JobCancelResponse {
        job_id: job.to_bytes(),
        success: error.is_empty(),
        cancelled_workflow_count: 0,
        error: error.to_owned(),
        state: 0,
        per_dc: Vec::new(),
    }
}

#[test]
fn a_part_that_no_manager_took_is_cancelled_at_once_and_not_given_any_more() {
    let mut gate = Driven::with(&MANAGERS[..1]);
    let job = gate.submit("");
    let dispatch = only(&gate, Kind::JobDispatch).unwrap();
    answer(&mut gate, dispatch, &refusal(ErrorCode::Overloaded, 3_000));
    cancel(&mut gate, job);
    let asked = only(&gate, Kind::JobCancelRequest).unwrap();
    answer(&mut gate, asked, &cancelled(job, "unknown_job"));
    assert_eq!(gate.result().unwrap().status, "cancelled");
    assert_eq!(next(&mut gate, &MANAGERS[..1], Kind::JobDispatch), None);
}

#[test]
fn a_request_whose_time_is_over_is_not_met() {
    let mut gate = Driven::with(&MANAGERS[..1]);
    let job = gate.submit("");
    let ask = |gate: &mut Driven, deadline_ms| {
        let extensions = Extensions { deadline_ms, ..Extensions::default() };
        let question = JobStatusRequest { job: job.to_bytes() };
        gate.tell_with(CLIENT, Head::request(5), &extensions, &question);
        let frames = gate.frames(Kind::ErrorReply);
        frames.first().map(|(_, frame)| frame.to_owned::<ErrorReply>(&mut Vec::new()).unwrap().code)
    };
    assert_eq!(ask(&mut gate, Some(0)), Some(ErrorCode::DeadlineExceeded.to_wire()));
    assert_eq!((ask(&mut gate, Some(1)), ask(&mut gate, None)), (None, None));
}
