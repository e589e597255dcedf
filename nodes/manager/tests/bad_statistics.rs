//! Statistics that cannot be: refused with the reason, told in the report, and what comes later counts as ever.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall fail where it stands")]

mod driven;

use std::time::Duration;

use hyperscale_codec::messages::{
    ErrorReply, StatsAck, StatsColumns, StatsFinal, StatsSnapshot, StatsUpdate, WorkerState,
};
use hyperscale_codec::{
    Encode, Epoch, ErrorCode, JobId, Kind, Limits, NodeId, RawFrame, Sequence, ShardId, SparseHist,
    WorkflowId,
};
use hyperscale_core::{Event, Instant, LinkDown, LinkId};
use hyperscale_stats::{CellSet, ColumnsBuilder, Source};

use driven::{Driven, GATE, JOB, NODE, WORKER, running};

fn columns(job: JobId, worker: NodeId, k: u32, sequence: u64, requests: u64) -> StatsColumns {
    let mut cells = CellSet::new(1);
    cells.step_mut(0).count = requests;
    let mut builder = ColumnsBuilder::new(job, 1, k, k, 1000);
    let source = Source { worker, shard: ShardId(0), epoch: Epoch(5) };
    builder.push(source, Sequence(sequence), WorkflowId(0), &cells);
    builder.build().pop().unwrap()
}

/// The answers of a kind to what the worker, or the gate, is told.
fn answered<M: Encode>(manager: &mut Driven, link: LinkId, kind: Kind, message: &M) -> Vec<Vec<u8>> {
    let sent = |manager: &Driven| if link == GATE { manager.up.clone() } else { manager.down.clone() };
    let before = sent(manager).len();
    manager.tell(link, message);
    let of_kind = |bytes: &Vec<u8>| RawFrame::read(bytes, &Limits::default()).unwrap().kind() == Some(kind);
    sent(manager).into_iter().skip(before).filter(of_kind).collect()
}

fn refused<M: Encode>(manager: &mut Driven, link: LinkId, message: &M) -> Option<(ErrorCode, String)> {
    let answers = answered(manager, link, Kind::ErrorReply, message);
    let frame = RawFrame::read(answers.first()?, &Limits::default()).unwrap();
    let reply = frame.to_owned::<ErrorReply>(&mut Vec::new()).unwrap();
    Some((ErrorCode::from_wire(reply.code).unwrap(), reply.message))
}

fn receipt<M: Encode>(manager: &mut Driven, message: &M) -> StatsAck {
    let answers = answered(manager, WORKER, Kind::StatsAck, message);
    RawFrame::read(answers.first().unwrap(), &Limits::default()).unwrap().to_owned(&mut Vec::new()).unwrap()
}

/// The worker goes after ten seconds: requests that were told of it, and kinds of the report's events.
fn lose(manager: &mut Driven) -> (u64, Vec<String>) {
    use hyperscale_codec::messages::DcFinalResult;
    manager.now = Instant::ZERO + Duration::from_secs(10);
    manager.handle(Event::LinkDown { link: WORKER, why: LinkDown::Closed });
    let mut totals = hyperscale_stats::Totals::new(vec![1]);
    let mut scratch = Vec::new();
    let snapshot = &manager.told(Kind::StatsSnapshot).decode::<StatsSnapshot>(&mut scratch).unwrap().0;
    totals.take_snapshot(snapshot, false, |_, _, _| {}).unwrap();
    let result = manager.told(Kind::DcFinalResult).to_owned::<DcFinalResult>(&mut Vec::new()).unwrap();
    let state = result.workers.first().map(|worker| WorkerState::from_wire(worker.state));
    assert_eq!(state, Some(WorkerState::Lost));
    (totals.requests_of(NODE), result.events.into_iter().map(|event| event.kind).collect())
}

#[test]
fn of_a_job_that_nobody_knows_they_are_refused_and_leave_nothing() {
    let mut manager = running();
    let unknown = columns(JobId(5), NODE, 0, 1, 10);
    for refused in [
        refused(&mut manager, WORKER, &StatsUpdate(unknown.clone())),
        refused(&mut manager, WORKER, &StatsSnapshot(unknown.clone())),
        refused(&mut manager, WORKER, &StatsFinal(unknown)),
    ] {
        let (code, why) = refused.unwrap();
        assert_eq!(code, ErrorCode::UnknownJob);
        assert!(why.contains(&JobId(5).to_string()), "{why}");
    }
    manager.window(0, 1, 10);
    assert_eq!(lose(&mut manager).0, 10);
}

#[test]
fn from_who_never_registered_they_are_refused() {
    let mut manager = running();
    let (code, _) = refused(&mut manager, GATE, &StatsUpdate(columns(JOB, NODE, 0, 1, 99))).unwrap();
    assert_eq!(code, ErrorCode::Unavailable);
    let (code, _) = refused(&mut manager, GATE, &StatsFinal(columns(JOB, NODE, 0, 9, 99))).unwrap();
    assert_eq!(code, ErrorCode::Unavailable);
    manager.window(0, 1, 10);
    assert_eq!(lose(&mut manager).0, 10);
}

#[test]
fn a_worker_speaks_for_itself_alone() {
    let mut manager = running();
    let another = columns(JOB, NodeId(NODE.0 + 1), 0, u64::MAX, 99);
    for refused in [
        refused(&mut manager, WORKER, &StatsUpdate(another.clone())),
        refused(&mut manager, WORKER, &StatsSnapshot(another.clone())),
        refused(&mut manager, WORKER, &StatsFinal(another)),
    ] {
        let (code, why) = refused.unwrap();
        assert_eq!(code, ErrorCode::Invalid);
        assert!(why.contains("its own shards alone"), "{why}");
    }
    manager.window(0, 1, 10);
    let (requests, events) = lose(&mut manager);
    assert_eq!(requests, 10);
    // Of three, the first is told.
    assert_eq!(events.iter().filter(|kind| *kind == "statistics_refused").count(), 1, "{events:?}");
}

#[test]
fn a_window_of_the_far_future_is_refused_and_those_of_a_clock_that_is_a_little_ahead_are_not() {
    let mut manager = running();
    for k in [61, 3_600, u32::MAX] {
        let mut far = columns(JOB, NODE, k, 1, 10);
        far.end_us = u64::MAX;
        let (code, why) = refused(&mut manager, WORKER, &StatsUpdate(far)).unwrap();
        assert_eq!(code, ErrorCode::Invalid);
        assert!(why.starts_with(&format!("window {k} begins in ")), "{why}");
    }
    assert_eq!(refused(&mut manager, WORKER, &StatsUpdate(columns(JOB, NODE, 59, 1, 10))), None);
    // A total is the truth, whatever its clock says.
    assert_eq!(refused(&mut manager, WORKER, &StatsSnapshot(columns(JOB, NODE, u32::MAX, 2, 25))), None);
    assert_eq!(lose(&mut manager).0, 25);
}

#[test]
fn after_a_sequence_that_jumps_the_whole_is_asked_for_and_then_counts() {
    let mut manager = running();
    assert!(!receipt(&mut manager, &StatsUpdate(columns(JOB, NODE, 0, 1, 10))).want_snapshot);
    for (k, sequence) in [(1, 3), (2, u64::MAX)] {
        assert!(receipt(&mut manager, &StatsUpdate(columns(JOB, NODE, k, sequence, 10))).want_snapshot);
    }
    assert!(!receipt(&mut manager, &StatsSnapshot(columns(JOB, NODE, 2, 4, 30))).want_snapshot);
    assert!(!receipt(&mut manager, &StatsUpdate(columns(JOB, NODE, 3, 5, 10))).want_snapshot);
    assert_eq!(lose(&mut manager).0, 40);
}

#[test]
fn lists_of_buckets_that_are_too_long_are_refused() {
    let mut manager = running();
    let (index, lo) = (vec![1; 60_000], vec![1; 60_000]);
    let hist = SparseHist { count: 60_000, over: 0, min: 1, max: 1, sum: 60_000, index, lo, hi: Vec::new() };
    let mut told = columns(JOB, NODE, 0, 1, 10);
    told.latency = vec![hist];
    let (code, why) = refused(&mut manager, WORKER, &StatsUpdate(told.clone())).unwrap();
    assert_eq!(code, ErrorCode::Invalid);
    assert!(why.starts_with("workflow 0, step 0, latency: "), "{why}");
    assert!(refused(&mut manager, WORKER, &StatsSnapshot(told)).is_some());
    manager.window(0, 1, 10);
    let (requests, events) = lose(&mut manager);
    assert_eq!(requests, 10);
    assert_eq!(events.iter().filter(|kind| *kind == "statistics_refused").count(), 1, "{events:?}");
}

#[test]
fn counts_near_two_to_the_64th_stay_at_their_largest() {
    let mut manager = running();
    for (k, sequence) in [(0, 1), (1, 2)] {
        assert_eq!(
            refused(&mut manager, WORKER, &StatsUpdate(columns(JOB, NODE, k, sequence, u64::MAX))),
            None
        );
    }
    assert_eq!(lose(&mut manager).0, u64::MAX);
}
