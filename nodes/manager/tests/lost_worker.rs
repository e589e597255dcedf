//! What a manager tells of a worker that is gone: the windows that follow each other without a gap, and how much is
//! missing behind the last of them. And what it tells of one whose figures it could not take.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall fail where it stands")]

mod driven;

use std::time::Duration;

use hyperscale_codec::messages::{
    DcFinalResult, StatsAck, StatsFinal, StatsSnapshot, WorkerState, WorkflowFinalResult, WorkflowState,
};
use hyperscale_codec::{Epoch, Kind, Limits, RawFrame, Sequence, ShardId, WorkflowId};
use hyperscale_core::{Event, Instant, LinkDown};
use hyperscale_manager::Local;
use hyperscale_stats::{CellSet, ColumnsBuilder, Source, Totals};

use driven::{Driven, JOB, NODE, WORKER, running};

/// The worker goes at `ms` after the start: requests that were told of it, and its gap.
fn lose(manager: &mut Driven, ms: u64) -> (u64, u64) {
    manager.now = Instant::ZERO + Duration::from_millis(5 + ms);
    manager.handle(Event::LinkDown { link: WORKER, why: LinkDown::Closed });
    let mut totals = Totals::new(vec![1]);
    let mut scratch = Vec::new();
    let snapshot = &manager.told(Kind::StatsSnapshot).decode::<StatsSnapshot>(&mut scratch).unwrap().0;
    totals.take_snapshot(snapshot, false, |_, _, _| {}).unwrap();
    let result = manager.told(Kind::DcFinalResult).to_owned::<DcFinalResult>(&mut Vec::new()).unwrap();
    let worker = result.workers.first().unwrap();
    assert_eq!(WorkerState::from_wire(worker.state), WorkerState::Lost);
    (totals.requests_of(NODE), worker.gap_ms)
}

#[test]
fn the_gap_begins_with_the_end_of_the_last_window() {
    let mut manager = running();
    (0..3).for_each(|k| manager.window(k, u64::from(k) + 1, 10));
    assert_eq!(lose(&mut manager, 3_250), (30, 250));
}

#[test]
fn windows_behind_a_lost_one_do_not_count_and_the_gap_begins_before_it() {
    let mut manager = running();
    manager.window(0, 1, 10);
    manager.window(2, 3, 10);
    manager.window(3, 4, 10);
    assert_eq!(lose(&mut manager, 4_100), (10, 3_100));
}

#[test]
fn a_repeated_window_counts_once() {
    let mut manager = running();
    manager.window(0, 1, 10);
    manager.window(0, 1, 10);
    manager.window(1, 2, 10);
    assert_eq!(lose(&mut manager, 2_000), (20, 0));
}

/// The worker's only share ends; its finals have `steps` steps, of which the plan has one. What the gate is told.
fn end(manager: &mut Driven, steps: usize) -> DcFinalResult {
    let mut cells = CellSet::new(steps);
    (0..steps).for_each(|step| cells.step_mut(step).count = 30);
    let mut builder = ColumnsBuilder::new(JOB, 1, 0, 2, 1000);
    let source = Source { worker: NODE, shard: ShardId(0), epoch: Epoch(5) };
    builder.push(source, Sequence(9), WorkflowId(0), &cells);
    manager.now = Instant::ZERO + Duration::from_millis(3_005);
    manager.tell(WORKER, &StatsFinal(builder.build().pop().unwrap()));
    let result = WorkflowFinalResult {
        job: JOB.to_bytes(),
        workflow: 0,
        attempt: 1,
        revision: 1,
        iterations_left: 0,
        dc_token: 1,
        outcome: WorkflowState::Completed.to_wire(),
        error: String::new(),
        shards: 1,
        epochs: vec![5],
        generator_ok: true,
        started_unix_ms: 0,
        duration_us: 3_000_000,
    };
    manager.tell(WORKER, &result);
    manager.told(Kind::DcFinalResult).to_owned::<DcFinalResult>(&mut Vec::new()).unwrap()
}

#[test]
fn finals_that_are_taken_are_counted_by_their_epochs() {
    let mut manager = running();
    let result = end(&mut manager, 1);
    let worker = result.workers.first().unwrap();
    assert_eq!((WorkerState::from_wire(worker.state), worker.epochs), (WorkerState::Ok, 1));
    assert!(result.events.is_empty(), "{:?}", result.events);
}

#[test]
fn finals_that_are_refused_make_the_worker_partial_and_the_result_says_why() {
    let mut manager = running();
    manager.window(0, 1, 10);
    let result = end(&mut manager, 2);
    let worker = result.workers.first().unwrap();
    assert_eq!((WorkerState::from_wire(worker.state), worker.gap_ms), (WorkerState::Partial, 2_000));
    let kinds: Vec<&str> = result.events.iter().map(|event| event.kind.as_str()).collect();
    assert_eq!(kinds, ["statistics_refused", "statistics_missing"]);
    let why = &result.events.first().unwrap().detail;
    assert!(why.contains("worker worker") && why.contains("step 1: the plan has no such row"), "{why}");
}

#[test]
fn a_worker_that_is_silent_for_thirty_seconds_is_lost_and_evicted_though_its_link_is_up() {
    let mut manager = running();
    manager.window(0, 1, 10);
    for (ms, closed) in [(29_999, 0), (30_500, 1), (31_000, 1)] {
        manager.now = Instant::ZERO + Duration::from_millis(ms);
        manager.handle(Event::Timer);
        assert_eq!(manager.closed, vec![WORKER; closed], "{ms} ms");
    }
    let result = manager.told(Kind::DcFinalResult).to_owned::<DcFinalResult>(&mut Vec::new()).unwrap();
    let events: Vec<&str> = result.events.iter().map(|event| event.detail.as_str()).collect();
    assert_eq!(events, ["worker worker is silent; its share ended"]);
    let rows = manager.core.explain(NODE, manager.now);
    assert!(rows.iter().any(|row| row.name == "decision" && row.value == "evict"), "{rows:?}");
}

#[test]
fn a_loaded_manager_asks_in_its_receipts_for_statistics_that_are_fewer_and_later() {
    let mut manager = running();
    let states = [(0, 0, 0), (1, 1, 100), (2, 2, 500), (3, 3, 1_000)];
    for ((state, level, delay_ms), k) in states.into_iter().zip(0..) {
        manager.handle(Event::Local(Local::Overload(state)));
        manager.window(k, u64::from(k) + 1, 10);
        let mut frames = manager.down.iter().map(|bytes| RawFrame::read(bytes, &Limits::default()).unwrap());
        let receipt = frames.rfind(|frame| frame.kind() == Some(Kind::StatsAck)).unwrap();
        let receipt = receipt.to_owned::<StatsAck>(&mut Vec::new()).unwrap();
        assert_eq!((receipt.level, receipt.delay_ms), (level, delay_ms));
    }
}
