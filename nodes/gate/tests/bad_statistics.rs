//! Statistics that cannot be: refused with the reason, told in the job's report, and the job goes on as if they had
//! not come.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on shall fail where it stands"
)]

mod driven;

use std::time::Duration;

use hyperscale_codec::messages::{
    DcFinalResult, ErrorReply, JobDispatchAck, JobState, JobStatusPush, StatsColumns, StatsFinal,
    StatsSnapshot, StatsUpdate, WorkerOutcome, WorkerState, WorkflowOutcome, WorkflowState,
};
use hyperscale_codec::{
    Encode, Epoch, ErrorCode, JobId, Kind, NodeId, Role, Sequence, ShardId, SparseHist, WorkflowId,
};
use hyperscale_core::LinkId;
use hyperscale_report::Summary;
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
    let cell = cells.step_mut(0);
    cell.count = requests;
    for ns in (1_000_000..).take(usize::try_from(requests.min(1_000)).unwrap()) {
        cell.latency.record(ns);
    }
    cells
}

/// Window `k`, or all up to it, of one source.
fn columns(job: JobId, k: u32, (epoch, sequence): (u64, u64), cells: &CellSet) -> StatsColumns {
    let mut builder = ColumnsBuilder::new(job, 1, k, k, 1000);
    let source = Source { worker: NodeId(110), shard: ShardId(0), epoch: Epoch(epoch) };
    builder.push(source, Sequence(sequence), WorkflowId(0), cells);
    builder.build().pop().unwrap()
}

/// What the sender is answered, if it is refused.
fn refused<M: Encode>(gate: &mut Driven, link: LinkId, message: &M) -> Option<(ErrorCode, String)> {
    gate.tell(link, message);
    let (to, frame) = gate.frames(Kind::ErrorReply).into_iter().next()?;
    assert_eq!(to, link);
    let reply = frame.to_owned::<ErrorReply>(&mut Vec::new()).unwrap();
    Some((ErrorCode::from_wire(reply.code).unwrap(), reply.message))
}

/// What a window of ten requests, told now, comes to for the client.
fn pushed(gate: &mut Driven, job: JobId, k: u32) -> JobStatusPush {
    gate.wait(Duration::from_secs(1));
    gate.manager(100, 1);
    gate.tell(MANAGER, &StatsUpdate(columns(job, k, (1, u64::from(k) + 1), &cells(10))));
    if gate.frames(Kind::JobStatusPush).is_empty() {
        gate.wait(Duration::from_millis(600));
    }
    let (_, frame) = gate.frames(Kind::JobStatusPush)[0];
    frame.to_owned::<JobStatusPush>(&mut Vec::new()).unwrap()
}

/// The part ends; these epochs were held in full.
fn end(gate: &mut Driven, job: JobId, epochs: u32) -> Summary {
    let outcome = WorkerOutcome {
        worker: NodeId(110).to_bytes(),
        name: "w".to_owned(),
        shards: 1,
        state: WorkerState::Ok.to_wire(),
        gap_ms: 0,
        generator_ok: true,
        clock_offset_us: 0,
        clock_error_us: u64::MAX,
        epochs,
    };
    let (state, error) = (WorkflowState::Completed.to_wire(), String::new());
    let workflow = WorkflowOutcome { workflow: 0, state, duration_us: 9_000_000, error: error.clone() };
    gate.tell(
        MANAGER,
        &DcFinalResult {
            job: job.to_bytes(),
            attempt: 1,
            datacenter: "dc-1".to_owned(),
            outcome: JobState::Completed.to_wire(),
            duration_us: 9_000_000,
            started_unix_ms: 1_790_000_000_000,
            workflows: vec![workflow],
            workers: vec![outcome],
            error,
            fence_token: 1,
            events: Vec::new(),
        },
    );
    gate.result().unwrap()
}

#[test]
fn of_a_job_that_nobody_knows_they_are_refused_and_leave_nothing() {
    let (mut gate, job) = running();
    let unknown = columns(JobId(5), 0, (1, 1), &cells(10));
    for refused in [
        refused(&mut gate, MANAGER, &StatsUpdate(unknown.clone())),
        refused(&mut gate, MANAGER, &StatsSnapshot(unknown.clone())),
        refused(&mut gate, MANAGER, &StatsFinal(unknown)),
    ] {
        let (code, why) = refused.unwrap();
        assert_eq!(code, ErrorCode::UnknownJob);
        assert!(why.contains(&JobId(5).to_string()), "{why}");
    }
    assert_eq!(pushed(&mut gate, job, 0).total_requests, 10);
}

#[test]
fn from_who_runs_no_part_of_the_job_they_are_refused() {
    let (mut gate, job) = running();
    // One that registered and has nothing to do with the job, one that never did, and the client.
    gate.manager(200, 1);
    let strange = columns(job, 0, (1, 9), &cells(1_000));
    for stranger in [LinkId(200), LinkId(300), CLIENT] {
        let (code, _) = refused(&mut gate, stranger, &StatsUpdate(strange.clone())).unwrap();
        assert_eq!(code, ErrorCode::UnknownJob);
        let (code, _) = refused(&mut gate, stranger, &StatsFinal(strange.clone())).unwrap();
        assert_eq!(code, ErrorCode::UnknownJob);
    }
    assert_eq!(pushed(&mut gate, job, 0).total_requests, 10);
    assert_eq!(refused(&mut gate, MANAGER, &StatsFinal(columns(job, 0, (1, 1), &cells(10)))), None);
    let summary = end(&mut gate, job, 1);
    assert_eq!((summary.totals.requests, summary.partial), (10, false), "{:?}", summary.events);
}

#[test]
fn a_client_or_a_gate_is_not_even_heard_out() {
    for kind in [Kind::StatsUpdate, Kind::StatsSnapshot, Kind::StatsFinal] {
        for role in [Role::Client, Role::Gate] {
            assert!(!kind.senders().contains(role), "{kind:?} from a {role}");
        }
    }
}

#[test]
fn lists_of_buckets_that_are_too_long_or_lie_are_refused_and_the_report_says_so() {
    let (mut gate, job) = running();
    let hist = |index: Vec<u16>| {
        let count = u64::try_from(index.len()).unwrap();
        let lo = vec![1; index.len()];
        SparseHist { count, over: 0, min: 1, max: 1, sum: count.into(), index, lo, hi: Vec::new() }
    };
    let lies = [
        // More than there are, each named again and again.
        hist(vec![1; 60_000]),
        // Beyond the last.
        hist(vec![0, u16::MAX]),
        // More in all than in each.
        SparseHist { count: 7, ..hist(vec![1]) },
        // As many as fit, and columns that do not.
        SparseHist { lo: vec![1; 3], ..hist(vec![1]) },
    ];
    for lie in lies {
        let mut told = columns(job, 0, (1, 1), &cells(10));
        told.latency[0] = lie;
        let (code, why) = refused(&mut gate, MANAGER, &StatsSnapshot(told.clone())).unwrap();
        assert_eq!(code, ErrorCode::Invalid);
        assert!(why.starts_with("workflow 0, step 0, latency: "), "{why}");
        assert!(refused(&mut gate, MANAGER, &StatsUpdate(told)).is_some());
    }
    assert_eq!(refused(&mut gate, MANAGER, &StatsFinal(columns(job, 0, (1, 2), &cells(10)))), None);
    let summary = end(&mut gate, job, 1);
    // Of eight, the first is told.
    let told = summary.events.iter().filter(|event| event.kind == "statistics_refused").count();
    assert_eq!((summary.totals.requests, told), (10, 1), "{:?}", summary.events);
}

#[test]
fn counts_near_two_to_the_64th_stay_at_their_largest() {
    let (mut gate, job) = running();
    let mut most = cells(0);
    let cell = most.step_mut(0);
    (cell.count, cell.errors, cell.bytes_in, cell.in_flight) = (u64::MAX, u64::MAX, u64::MAX - 1, u64::MAX);
    for epoch in [1, 2] {
        let told = columns(job, 0, (epoch, 1), &most);
        assert_eq!(refused(&mut gate, MANAGER, &StatsUpdate(told.clone())), None);
        assert_eq!(refused(&mut gate, MANAGER, &StatsFinal(told)), None);
    }
    gate.wait(Duration::from_millis(600));
    assert_eq!(pushed(&mut gate, job, 1).total_requests, u64::MAX);
    let summary = end(&mut gate, job, 2);
    let totals = &summary.totals;
    assert_eq!([totals.requests, totals.errors, totals.bytes_in], [u64::MAX; 3]);
}

#[test]
fn a_histogram_that_would_overflow_its_sum_is_refused_and_the_one_before_stays() {
    let (mut gate, job) = running();
    let (lo, hi) = (vec![u32::MAX], vec![u32::MAX]);
    let sum = u128::from(u64::MAX);
    let full = SparseHist { count: u64::MAX, over: 0, min: 1, max: 1, sum, index: vec![1], lo, hi };
    let mut told = columns(job, 0, (1, 1), &cells(10));
    told.latency[0] = full;
    // Not all of its window, so that the next one is added to it.
    told.more = true;
    assert_eq!(refused(&mut gate, MANAGER, &StatsUpdate(told.clone())), None);
    let (code, why) = refused(&mut gate, MANAGER, &StatsUpdate(told)).unwrap();
    assert_eq!(code, ErrorCode::Invalid);
    assert!(why.ends_with("adding it would overflow a count"), "{why}");
    gate.wait(Duration::from_millis(600));
    assert_eq!(gate.frames(Kind::JobStatusPush).len(), 1);
    assert_eq!(pushed(&mut gate, job, 1).requests, 10);
}

#[test]
fn windows_that_cannot_be_are_refused() {
    let (mut gate, job) = running();
    let told = || columns(job, 3, (1, 1), &cells(10));
    let cases = [
        StatsColumns { k_to: 2, ..told() },
        StatsColumns { window_ms: 0, ..told() },
        StatsColumns { window_ms: u32::MAX, ..told() },
    ];
    for case in cases {
        let (code, _) = refused(&mut gate, MANAGER, &StatsUpdate(case.clone())).unwrap();
        assert_eq!(code, ErrorCode::Invalid);
        assert!(refused(&mut gate, MANAGER, &StatsSnapshot(case)).is_some());
    }
}

/// A clock may be anything; what it stamps is shown, and costs neither memory nor what comes later.
#[test]
fn a_window_of_the_far_future_hides_none_that_comes_in_its_time() {
    let (mut gate, job) = running();
    let mut far = columns(job, u32::MAX, (1, 1), &cells(3));
    far.end_us = u64::MAX;
    assert_eq!(refused(&mut gate, MANAGER, &StatsUpdate(far)), None);
    gate.wait(Duration::from_millis(600));
    for k in 0..100 {
        let push = pushed(&mut gate, job, k);
        assert_eq!((push.requests, push.total_requests), (10, 3 + 10 * (u64::from(k) + 1)), "window {k}");
    }
}

#[test]
fn a_sequence_that_jumps_is_the_newest_and_what_is_older_changes_nothing() {
    let (mut gate, job) = running();
    for (sequence, requests) in [(1, 10), (u64::MAX, 30), (2, 20), (u64::MAX, 40), (0, 50)] {
        let told = StatsSnapshot(columns(job, 0, (1, sequence), &cells(requests)));
        assert_eq!(refused(&mut gate, MANAGER, &told), None, "{sequence}");
    }
    // The final is the last word, whatever it is numbered.
    assert_eq!(refused(&mut gate, MANAGER, &StatsFinal(columns(job, 1, (1, 3), &cells(35)))), None);
    assert_eq!(refused(&mut gate, MANAGER, &StatsFinal(columns(job, 1, (1, u64::MAX), &cells(60)))), None);
    let summary = end(&mut gate, job, 1);
    assert_eq!((summary.totals.requests, summary.partial), (35, false));
}
