//! What a gate tells of a job's windows: page by page, while it runs and after its end.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::arithmetic_side_effects,
    reason = "a test that cannot go on shall fail where it stands"
)]

mod driven;

use std::time::Duration;

use hyperscale_codec::messages::{
    DcFinalResult, ErrorReply, JobDispatchAck, JobState, StatsEntry, StatsFinal, StatsQuery, StatsResponse,
    StatsUpdate,
};
use hyperscale_codec::{Epoch, ErrorCode, JobId, Kind, NodeId, Sequence, ShardId, WorkflowId};
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
    cells.workflow_mut().count = requests;
    cells
}

fn builder(job: JobId, (from, to): (u32, u32), requests: u64) -> ColumnsBuilder {
    let mut builder = ColumnsBuilder::new(job, 1, from, to, 1000);
    let source = Source { worker: NodeId(110), shard: ShardId(0), epoch: Epoch(1) };
    builder.push(source, Sequence(u64::from(to) + 1), WorkflowId(0), &cells(requests));
    builder
}

/// Windows of ten requests each.
fn windows(gate: &mut Driven, job: JobId, windows: std::ops::Range<u32>) {
    for k in windows {
        gate.wait(Duration::from_secs(1));
        gate.manager(100, 1);
        gate.tell(MANAGER, &StatsUpdate(builder(job, (k, k), 10).build().pop().unwrap()));
    }
}

fn all(job: JobId) -> StatsQuery {
    StatsQuery { job: job.to_bytes(), tier: 0, from: 0, to: u32::MAX, by_workflow: false, limit: 0 }
}

fn ask(gate: &mut Driven, query: &StatsQuery) -> StatsResponse {
    gate.tell(CLIENT, query);
    let (link, frame) = gate.frames(Kind::StatsResponse)[0];
    assert_eq!(link, CLIENT);
    frame.to_owned::<StatsResponse>(&mut Vec::new()).unwrap()
}

fn refused(gate: &mut Driven, query: &StatsQuery) -> (Option<ErrorCode>, String) {
    gate.tell(CLIENT, query);
    let (_, frame) = gate.frames(Kind::ErrorReply)[0];
    let reply = frame.to_owned::<ErrorReply>(&mut Vec::new()).unwrap();
    (ErrorCode::from_wire(reply.code), reply.message)
}

fn requests(entries: &[StatsEntry]) -> u64 {
    entries.iter().map(|entry| entry.requests).sum()
}

/// The end of the job, whose workers recorded so many requests.
fn end(gate: &mut Driven, job: JobId, (last, recorded): (u32, u64)) {
    gate.tell(MANAGER, &StatsFinal(builder(job, (last, last), recorded).build().pop().unwrap()));
    gate.tell(
        MANAGER,
        &DcFinalResult {
            job: job.to_bytes(),
            fence_token: 1,
            datacenter: "dc-1".into(),
            attempt: 1,
            outcome: JobState::Completed.to_wire(),
            error: String::new(),
            workflows: Vec::new(),
            workers: Vec::new(),
            events: Vec::new(),
            duration_us: 9_000_000,
            started_unix_ms: 1,
        },
    );
}

#[test]
fn each_window_is_told_once_with_its_figures() {
    let (mut gate, job) = running();
    windows(&mut gate, job, 0..5);
    let told = ask(&mut gate, &all(job));
    assert_eq!((told.window_ms, told.end_ms, told.next), (1_000, 5_000, 0));
    assert_eq!((told.state, told.workflows), (JobState::Running.to_wire(), vec!["w".to_owned()]));
    let spans: Vec<(u32, u32, u8)> = told.entries.iter().map(|it| (it.from, it.to, it.tier)).collect();
    assert_eq!(spans, [(0, 0, 1), (1, 1, 1), (2, 2, 1), (3, 3, 1), (4, 4, 1)]);
    let first = &told.entries[0];
    assert_eq!((first.requests, first.iterations, first.timed, first.workflow), (10, 10, 10, u32::MAX));
    assert_eq!((first.min_ns, first.mean_ns, first.max_ns), (1_000_000, 5_500_000, 10_000_000));
    let exact = |ns: u64, told: u64| (ns..ns + ns / 100).contains(&told);
    assert!(exact(5_000_000, first.p50_ns) && exact(9_000_000, first.p90_ns), "{first:?}");
    let by_workflow = ask(&mut gate, &StatsQuery { by_workflow: true, ..all(job) });
    assert!(by_workflow.entries.iter().all(|entry| entry.workflow == 0), "{:?}", by_workflow.entries);
    assert_eq!(requests(&by_workflow.entries), 50);
}

#[test]
fn pages_go_on_where_the_one_before_ended_although_windows_move_on() {
    let (mut gate, job) = running();
    windows(&mut gate, job, 0..150);
    let (mut told, mut query, mut pages) = (Vec::new(), StatsQuery { limit: 5, ..all(job) }, 0);
    loop {
        let page = ask(&mut gate, &query);
        assert!(page.entries.iter().all(|entry| entry.from >= query.from), "{:?}", page.entries);
        told.extend(page.entries);
        pages += 1;
        if page.next == 0 {
            break;
        }
        query.from = page.next;
        gate.wait(Duration::from_secs(3));
    }
    assert!(pages >= 4, "{pages}");
    assert_eq!(requests(&told), 1_500);
    let hot = ask(&mut gate, &StatsQuery { tier: 1, ..all(job) });
    assert!(hot.entries.iter().all(|entry| entry.tier == 1 && entry.from == entry.to));
    let some = ask(&mut gate, &StatsQuery { from: 15, to: 24, ..all(job) });
    let spans: Vec<(u32, u32)> = some.entries.iter().map(|entry| (entry.from, entry.to)).collect();
    assert_eq!(spans, [(10, 19), (20, 29)], "what is kept together is told together");
}

#[test]
fn after_the_end_rows_add_up_to_the_result_although_a_window_was_lost() {
    let (mut gate, job) = running();
    windows(&mut gate, job, 0..70);
    // Window 70 did not come.
    windows(&mut gate, job, 71..72);
    end(&mut gate, job, (72, 735));
    let result = gate.result().unwrap();
    assert_eq!((result.totals.requests, result.status.as_str()), (735, "completed"));
    let told = ask(&mut gate, &all(job));
    assert_eq!((requests(&told.entries), told.state), (735, JobState::Completed.to_wire()));
    assert_eq!(told.entries.iter().map(|entry| entry.timed).sum::<u64>(), 735);
    assert_eq!(told.entries.last().map(|entry| (entry.to, entry.requests)), Some((71, 35)));
}

#[test]
fn what_makes_no_sense_is_refused_in_words() {
    let (mut gate, job) = running();
    let (code, why) = refused(&mut gate, &StatsQuery { tier: 5, ..all(job) });
    assert!(code == Some(ErrorCode::Invalid) && why.starts_with("tier 5"), "{why}");
    let (code, why) = refused(&mut gate, &StatsQuery { from: 2, to: 1, ..all(job) });
    assert!(code == Some(ErrorCode::Invalid) && why.contains("from 2 is after to 1"), "{why}");
    let (code, _) = refused(&mut gate, &all(JobId(77)));
    assert_eq!(code, Some(ErrorCode::UnknownJob));
    assert_eq!(ask(&mut gate, &all(job)).entries, []);
}
