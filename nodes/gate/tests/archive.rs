//! Jobs that have ended, and a gate that starts again on the disk that kept them.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::arithmetic_side_effects,
    reason = "a test that cannot go on shall fail where it stands"
)]

mod driven;

use std::sync::Arc;
use std::time::Duration;

use hyperscale_codec::messages::{
    DcFinalResult, ErrorReply, JobAck, JobCancelRequest, JobCancelResponse, JobDispatchAck, JobFinalResult,
    JobListRequest, JobListResponse, JobState, JobStatusRequest, JobStatusResponse, RegisterCallback,
    RegisterCallbackResponse, StatsFinal, StatsQuery, StatsResponse, StatsUpdate,
};
use hyperscale_codec::{
    Encode, Epoch, ErrorCode, JobId, Kind, Message, NodeId, Sequence, ShardId, WorkflowId,
};
use hyperscale_core::LinkId;
use hyperscale_gate::{ARCHIVE_AGE, ArchiveConfig, ArchiveOrder, ArchiveRecord, ArchiveTold, Local};
use hyperscale_stats::{CellSet, ColumnsBuilder, Source};

use driven::{CLIENT, Driven};

const MANAGER: LinkId = LinkId(100);
const DAY: Duration = Duration::from_secs(86_400);

fn empty() -> ArchiveConfig {
    ArchiveConfig { entries: Vec::new(), unreadable: 0, jobs_max: 3, age_max: ARCHIVE_AGE }
}

/// A gate that starts on the disk of another.
fn again(before: &Driven) -> Driven {
    let read = |bytes: &Vec<u8>| Arc::new(ArchiveRecord::decode(bytes).unwrap().entry);
    let entries = before.disk.values().map(read).collect();
    let mut gate = Driven::kept(&[(100, 1)], ArchiveConfig { entries, ..empty() });
    gate.disk.clone_from(&before.disk);
    gate.now = before.now;
    gate
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

fn builder(job: JobId, window: u32, requests: u64) -> ColumnsBuilder {
    let mut builder = ColumnsBuilder::new(job, 1, window, window, 1000);
    let source = Source { worker: NodeId(110), shard: ShardId(0), epoch: Epoch(1) };
    builder.push(source, Sequence(u64::from(window) + 1), WorkflowId(0), &cells(requests));
    builder
}

/// Runs a job to its last message; its result is with the disk then.
fn run(gate: &mut Driven, key: u8) -> JobId {
    let job = gate.submit_as(CLIENT, "", key);
    let (id, error) = (job.to_bytes(), String::new());
    gate.tell(MANAGER, &JobDispatchAck { job: id, attempt: 1, accepted: true, dc_token: 1, error });
    for window in 0..2 {
        gate.tell(MANAGER, &StatsUpdate(builder(job, window, 10).build().pop().unwrap()));
    }
    gate.tell(MANAGER, &StatsFinal(builder(job, 1, 20).build().pop().unwrap()));
    gate.tell(
        MANAGER,
        &DcFinalResult {
            job: id,
            fence_token: 1,
            datacenter: "dc-1".into(),
            attempt: 1,
            outcome: JobState::Completed.to_wire(),
            error: String::new(),
            workflows: Vec::new(),
            workers: Vec::new(),
            events: Vec::new(),
            duration_us: 2_000_000,
            started_unix_ms: 1,
        },
    );
    job
}

fn answer<M: Message>(gate: &Driven) -> M {
    let frames = gate.frames(M::KIND);
    let [(CLIENT, frame)] = frames.as_slice() else {
        panic!("{} answers of {:?}, {:?}", frames.len(), M::KIND, refusal(gate));
    };
    frame.to_owned::<M>(&mut Vec::new()).unwrap()
}

fn ask<Q: Encode, M: Message>(gate: &mut Driven, question: &Q) -> M {
    gate.tell(CLIENT, question);
    answer(gate)
}

fn refusal(gate: &Driven) -> Option<(ErrorCode, String)> {
    let reply = gate.frames(Kind::ErrorReply).first()?.1.to_owned::<ErrorReply>(&mut Vec::new()).unwrap();
    Some((ErrorCode::from_wire(reply.code).unwrap(), reply.message))
}

fn status(gate: &mut Driven, job: JobId) -> JobStatusResponse {
    ask(gate, &JobStatusRequest { job: job.to_bytes() })
}

fn listed(gate: &mut Driven) -> Vec<u8> {
    let told: JobListResponse = ask(gate, &JobListRequest { after: [0; 16], limit: 0 });
    told.jobs.iter().map(|row| row.job[0]).collect()
}

fn query(job: JobId) -> StatsQuery {
    StatsQuery { job: job.to_bytes(), tier: 0, from: 0, to: u32::MAX, by_workflow: false, limit: 0 }
}

fn failures(gate: &Driven, what: &str) -> f64 {
    let view = gate.core.view(gate.now);
    let mut named = view.gauges.iter().filter(|gauge| gauge.name == "hyperscale_archive_failures_total");
    named.find(|gauge| gauge.labels.iter().any(|label| label.1 == what)).unwrap().value
}

#[test]
fn an_end_is_told_when_it_is_kept_and_not_before() {
    let mut gate = Driven::kept(&[(100, 1)], empty());
    gate.hung = Some(Vec::new());
    let job = run(&mut gate, 1);
    assert!(gate.result().is_none());
    let mut orders = gate.hung.take().unwrap();
    let Some(ArchiveOrder::Put { bytes, .. }) = orders.pop() else { panic!("{orders:?}") };
    assert!(!JobState::from_wire(status(&mut gate, job).state).is_final());
    // Nothing is to be stopped any more; who asks is told with the end.
    gate.tell(CLIENT, &JobCancelRequest { job_id: job.to_bytes(), ..JobCancelRequest::default() });
    assert_eq!(gate.frames(Kind::JobCancelRequest).len(), 0);
    let record = ArchiveRecord::decode(&bytes).unwrap();
    gate.local(Local::Archive(ArchiveTold::Kept(Arc::new(record.entry))));
    let told: JobFinalResult = answer(&gate);
    assert_eq!(told, record.result);
    assert!(answer::<JobCancelResponse>(&gate).success);
    assert_eq!(status(&mut gate, job).state, JobState::Completed.to_wire());
}

#[test]
fn a_disk_that_cannot_keep_it_or_does_not_answer_holds_no_end_up() {
    let mut gate = Driven::kept(&[(100, 1)], empty());
    gate.hung = Some(Vec::new());
    let job = run(&mut gate, 1);
    gate.local(Local::Archive(ArchiveTold::NotKept { job, why: "the disk is full".to_owned() }));
    assert!(gate.result().is_some());
    assert_eq!(failures(&gate, "put"), 1.0);
    run(&mut gate, 2);
    assert!(gate.result().is_none());
    gate.manager(100, 1);
    gate.wait(Duration::from_secs(9));
    assert!(gate.result().is_none());
    gate.manager(100, 1);
    gate.wait(Duration::from_secs(1));
    assert!(gate.result().is_some());
    assert_eq!(failures(&gate, "put"), 2.0);
}

#[test]
fn a_gate_that_starts_again_answers_for_the_jobs_that_ended_before() {
    let mut gate = Driven::kept(&[(100, 1)], empty());
    let job = run(&mut gate, 1);
    let (live, result) = (status(&mut gate, job), gate.core.jobs().count());
    assert_eq!((live.state, result), (JobState::Completed.to_wire(), 1));
    gate.now = gate.now + DAY;
    let mut gate = again(&gate);
    assert_eq!(status(&mut gate, job), live);
    assert_eq!(listed(&mut gate), [1]);

    gate.come(CLIENT);
    let back: RegisterCallbackResponse = ask(
        &mut gate,
        &RegisterCallback { job: job.to_bytes(), follow: true, ..RegisterCallback::default() },
    );
    let result: JobFinalResult = answer(&gate);
    assert!(back.success && back.state == JobState::Completed.to_wire() && back.seq == result.seq);
    assert_eq!(gate.result().unwrap().totals.requests, 20);

    let all: StatsResponse = ask(&mut gate, &query(job));
    let rows: Vec<_> = all
        .entries
        .iter()
        .map(|row| (row.tier, row.from, row.to, row.workflow, row.requests, row.iterations))
        .collect();
    assert_eq!(rows, [(4, 0, 1, u32::MAX, 20, 20)]);
    assert_eq!((all.next, all.end_ms, all.workflows), (0, 2_000, vec!["w".to_owned()]));
    let split: StatsResponse = ask(&mut gate, &StatsQuery { by_workflow: true, ..query(job) });
    assert_eq!(split.entries.iter().map(|row| (row.workflow, row.requests)).collect::<Vec<_>>(), [(0, 20)]);
    for none in [StatsQuery { tier: 1, ..query(job) }, StatsQuery { from: 2, ..query(job) }] {
        assert_eq!(ask::<_, StatsResponse>(&mut gate, &none).entries, []);
    }

    let cancel = JobCancelRequest { job_id: job.to_bytes(), ..JobCancelRequest::default() };
    let cancelled: JobCancelResponse = ask(&mut gate, &cancel);
    assert_eq!((cancelled.success, cancelled.state), (true, JobState::Completed.to_wire()));
    // Its key does not make another job.
    gate.submit_as(CLIENT, "", 1);
    let ack: JobAck = answer(&gate);
    assert_eq!((ack.state, ack.fence_token), (JobState::Completed.to_wire(), live.fence_token));
    assert!(gate.dispatched().is_empty());
    gate.submit_as(CLIENT, "[placement]\ndatacenters = [\"dc-1\"]\n", 1);
    assert_eq!(refusal(&gate).unwrap().0, ErrorCode::Conflict);
}

#[test]
fn the_oldest_are_dropped_where_there_are_too_many_and_all_that_are_too_old() {
    let mut gate = Driven::kept(&[(100, 1)], empty());
    let mut ended = 0;
    for key in 1..=5 {
        run(&mut gate, key);
        gate.now = gate.now + DAY;
        gate.wait(Duration::ZERO);
        gate.manager(100, 1);
        ended += 1;
        assert_eq!(gate.disk.len(), ended.min(3), "{key}");
    }
    assert_eq!(listed(&mut gate), [3, 4, 5]);
    // Job 3 ended three days ago.
    gate.now = gate.now + DAY * 27 + Duration::from_secs(60);
    gate.wait(Duration::ZERO);
    gate.wait(Duration::from_secs(1));
    assert_eq!(gate.disk.keys().map(|job| job.to_bytes()[0]).collect::<Vec<_>>(), [4, 5]);
    let mut gate = again(&gate);
    gate.now = gate.now + DAY * 30;
    gate.manager(100, 1);
    gate.wait(Duration::from_secs(1));
    assert!(gate.disk.is_empty());
    assert!(listed(&mut gate).is_empty());
}

#[test]
fn a_record_that_cannot_be_read_any_more_is_refused_in_words_and_its_status_is_told() {
    let mut gate = Driven::kept(&[(100, 1)], empty());
    let job = run(&mut gate, 1);
    let mut gate = again(&gate);
    gate.disk.get_mut(&job).unwrap()[100] ^= 1;
    gate.tell(CLIENT, &query(job));
    let (code, why) = refusal(&gate).unwrap();
    assert!(code == ErrorCode::Unavailable && why.contains("its checksum does not fit"), "{why}");
    assert_eq!(failures(&gate, "read"), 1.0);
    assert_eq!(status(&mut gate, job).state, JobState::Completed.to_wire());
}

#[test]
fn who_waits_for_a_disk_that_does_not_answer_is_told_so_and_no_more_than_256_wait() {
    let mut gate = Driven::kept(&[(100, 1)], empty());
    let job = run(&mut gate, 1);
    let mut gate = again(&gate);
    gate.hung = Some(Vec::new());
    for _ in 0..256 {
        gate.tell(CLIENT, &query(job));
        assert_eq!(refusal(&gate), None);
    }
    gate.tell(CLIENT, &query(job));
    assert_eq!(refusal(&gate).unwrap().0, ErrorCode::Overloaded);
    assert_eq!(gate.hung.as_ref().map(Vec::len), Some(1), "the disk is asked once");
    gate.wait(Duration::from_secs(5));
    assert_eq!(gate.frames(Kind::ErrorReply).len(), 256);
    assert_eq!(refusal(&gate).unwrap().0, ErrorCode::Unavailable);
    gate.hung = None;
    let told: StatsResponse = ask(&mut gate, &query(job));
    assert_eq!(told.entries.len(), 1);
}
