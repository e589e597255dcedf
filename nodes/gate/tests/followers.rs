//! Clients that follow a job: one that does not read costs nobody anything, and misses nothing but resolution.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on shall fail where it stands"
)]

mod driven;

use std::time::Duration;

use hyperscale_codec::messages::{
    Goodbye, JobAck, JobDispatchAck, JobStatusPush, StatsSnapshot, StatsUpdate,
};
use hyperscale_codec::{Epoch, JobId, Kind, NodeId, Sequence, ShardId, WorkflowId};
use hyperscale_core::LinkId;
use hyperscale_stats::{CellSet, ColumnsBuilder, Source};

use driven::{CLIENT, Driven};

const MANAGER: LinkId = LinkId(100);

fn running() -> (Driven, JobId) {
    let mut gate = Driven::with(&[(100, 1)]);
    let job = gate.submit("");
    let (id, error) = (job.to_bytes(), String::new());
    gate.tell(MANAGER, &JobDispatchAck { job: id, attempt: 1, accepted: true, dc_token: 1, error });
    (gate, job)
}

fn cells(requests: u64) -> CellSet {
    let mut cells = CellSet::new(1);
    for ms in 1..=requests {
        let cell = cells.step_mut(0);
        cell.count += 1;
        cell.latency.record(ms * 1_000_000);
    }
    cells
}

fn builder(job: JobId, (from, to): (u32, u32), sequence: u64, requests: u64) -> ColumnsBuilder {
    let mut builder = ColumnsBuilder::new(job, 1, from, to, 1000);
    let source = Source { worker: NodeId(110), shard: ShardId(0), epoch: Epoch(1) };
    builder.push(source, Sequence(sequence), WorkflowId(0), &cells(requests));
    builder
}

/// A window of so many requests; what the client was told because of it.
fn window(gate: &mut Driven, job: JobId, k: u32, requests: u64) -> Vec<JobStatusPush> {
    gate.wait(Duration::from_secs(1));
    gate.manager(100, 1);
    let columns = builder(job, (k, k), u64::from(k) + 1, requests).build().pop().unwrap();
    gate.tell(MANAGER, &StatsUpdate(columns));
    pushes(gate)
}

fn pushes(gate: &Driven) -> Vec<JobStatusPush> {
    let frames = gate.frames(Kind::JobStatusPush);
    frames.iter().map(|(_, frame)| frame.to_owned::<JobStatusPush>(&mut Vec::new()).unwrap()).collect()
}

#[test]
fn one_that_does_not_read_gets_one_line_of_all_that_it_missed() {
    let (mut gate, job) = running();
    assert_eq!(window(&mut gate, job, 0, 10).len(), 1);
    gate.unsent = 70_000;
    for k in 1..6 {
        assert_eq!(window(&mut gate, job, k, 10), []);
    }
    gate.unsent = 0;
    let told = window(&mut gate, job, 6, 40);
    let [push] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!((push.from_ms, push.to_ms, push.requests, push.total_requests), (1_000, 7_000, 90, 100));
    assert_eq!(push.max_ns, 40_000_000);
    let next = window(&mut gate, job, 7, 10);
    assert_eq!((next[0].from_ms, next[0].requests), (7_000, 10));
    assert!(gate.closed.is_empty());
}

#[test]
fn one_that_does_not_read_for_half_a_minute_is_let_go() {
    let (mut gate, job) = running();
    gate.unsent = 70_000;
    for k in 0..30 {
        window(&mut gate, job, k, 1);
        assert!(gate.closed.is_empty(), "{k}");
    }
    gate.wait(Duration::from_secs(1));
    assert_eq!(gate.closed, [CLIENT]);
    let goodbye = gate.frames(Kind::Goodbye)[0].1.to_owned::<Goodbye>(&mut Vec::new()).unwrap();
    assert!(goodbye.text.starts_with("slow_subscriber"), "{}", goodbye.text);
    gate.unsent = 0;
    assert_eq!(window(&mut gate, job, 30, 1), []);
}

#[test]
fn a_thousand_may_follow_a_job() {
    let (mut gate, _) = running();
    let mut follows = |client: u64| {
        gate.submit_over(LinkId(client), "");
        let (_, frame) = gate.frames(Kind::JobAck)[0];
        frame.to_owned::<JobAck>(&mut Vec::new()).unwrap().following
    };
    assert!((1_001..2_000).all(&mut follows));
    assert!(!follows(2_000));
    // Who follows already may say so again.
    assert!(follows(1_500));
}

#[test]
fn where_no_windows_come_a_line_shows_what_totals_gained() {
    let (mut gate, job) = running();
    window(&mut gate, job, 0, 10);
    window(&mut gate, job, 1, 10);
    let mut snapshot = |range, sequence, requests| {
        gate.tell(MANAGER, &StatsSnapshot(builder(job, range, sequence, requests).build().pop().unwrap()));
        gate.wait(Duration::from_millis(600));
        pushes(&gate)
    };
    // The first holds what was shown; the next stands for windows that were not sent.
    assert_eq!(snapshot((1, 1), 3, 20), []);
    let told = snapshot((1, 11), 4, 130);
    let [push] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!((push.from_ms, push.to_ms, push.requests, push.total_requests), (2_000, 12_000, 110, 130));
    // One before it was lost, and whether its windows were shown is not known: they are not shown twice.
    assert_eq!(snapshot((21, 31), 6, 330), []);
}
