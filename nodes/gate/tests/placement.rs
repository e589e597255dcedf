//! Where a job's load comes from: two datacenters, and plans that name them.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on shall fail where it stands"
)]

mod driven;

use hyperscale_codec::messages::{
    DcFinalResult, JobDispatchAck, JobProgress, JobProgressAck, JobState, StatsAck, StatsFinal, StatsUpdate,
    WorkerOutcome, WorkerState, WorkflowOutcome, WorkflowState,
};
use hyperscale_codec::{Epoch, JobId, Kind, NodeId, Sequence, ShardId, WorkflowId};
use hyperscale_core::{Core, Effects, Event, LinkId};
use hyperscale_gate::Local;
use hyperscale_stats::{CellSet, ColumnsBuilder, Source};

use driven::{Driven, WAIT};

fn part(link: u64, datacenter: &str, units: [u32; 3], attempt: u32) -> (u64, String, [u32; 3], u32) {
    (link, datacenter.to_owned(), units, attempt)
}

const BOTH: &str = "placement.datacenters = { dc-1 = \"60%\", dc-2 = \"40%\" }";

#[test]
fn named_datacenters_get_their_shares_and_all_others_by_their_workers() {
    let mut gate = Driven::with(&[(100, 1), (200, 4), (300, 2)]);
    gate.submit(BOTH);
    assert_eq!(gate.dispatched(), [part(100, "dc-1", [0, 6, 10], 1), part(200, "dc-2", [6, 4, 10], 1)]);

    let mut gate = Driven::with(&[(100, 1), (200, 4)]);
    gate.submit("");
    assert_eq!(gate.dispatched(), [part(100, "dc-1", [0, 1, 5], 1), part(200, "dc-2", [1, 4, 5], 1)]);

    let mut gate = Driven::with(&[(100, 1), (200, 4)]);
    gate.submit("placement.count = 1");
    assert_eq!(gate.dispatched(), [part(200, "dc-2", [0, 4, 4], 1)]);
}

#[test]
fn a_job_waits_for_a_datacenter_that_it_names() {
    let mut gate = Driven::with(&[(100, 1)]);
    gate.submit(BOTH);
    assert_eq!(gate.dispatched(), []);
    gate.wait(WAIT / 2);
    gate.manager(200, 1);
    assert_eq!(gate.dispatched(), [part(100, "dc-1", [0, 3, 5], 1), part(200, "dc-2", [3, 2, 5], 1)]);
}

#[test]
fn a_datacenter_that_stays_away_fails_the_job_by_its_name() {
    let mut gate = Driven::with(&[(100, 1), (200, 2)]);
    gate.submit("placement.datacenters = [\"dc-1\", \"dc-3\"]");
    gate.wait_with(&[(100, 1), (200, 2)]);
    let summary = gate.result().unwrap();
    assert_eq!(summary.status, "failed");
    assert_eq!(summary.error, "no_datacenter: dc-3 has no worker (known: dc-1, dc-2)");
}

#[test]
fn without_any_worker_a_job_fails_as_well() {
    let mut gate = Driven::with(&[(100, 0)]);
    gate.submit("");
    gate.wait(WAIT);
    assert_eq!(gate.result().unwrap().error, "no_datacenter: none has a worker");
}

#[test]
fn with_fallback_another_takes_the_part_of_who_stays_away() {
    let mut gate = Driven::with(&[(100, 1), (200, 1)]);
    gate.submit("[placement]\ndatacenters = { dc-1 = 3, dc-3 = 2 }\nfallback = true");
    assert_eq!(gate.dispatched(), []);
    gate.wait_with(&[(100, 1), (200, 1)]);
    assert_eq!(gate.dispatched(), [part(100, "dc-1", [0, 3, 5], 1), part(200, "dc-2", [3, 2, 5], 1)]);
}

#[test]
fn a_refused_part_goes_to_the_next_manager_and_then_to_the_next_datacenter() {
    let mut gate = Driven::with(&[(100, 4), (101, 2), (102, 1), (200, 1)]);
    let job = gate.submit("placement.count = 1");
    assert_eq!(gate.dispatched(), [part(100, "dc-1", [0, 4, 4], 1)]);
    gate.refuse(100, job);
    assert_eq!(gate.dispatched(), [part(101, "dc-1", [0, 4, 4], 1)]);
    gate.refuse(101, job);
    assert_eq!(gate.dispatched(), [part(200, "dc-2", [0, 4, 4], 2)]);
    // Nobody is left; what happened is in the report.
    gate.refuse(200, job);
    let summary = gate.result().unwrap();
    assert_eq!(
        (summary.status.as_str(), summary.error.as_str()),
        ("failed", "datacenter dc-2 refused the job: no room")
    );
    let [event] = &summary.events[..] else { panic!("{:?}", summary.events) };
    assert_eq!(event.kind, "datacenter_fallback");
    assert_eq!(event.detail, "datacenter dc-1 refused the job: no room; dc-2 takes its part");
}

#[test]
fn a_plan_that_names_its_datacenters_goes_nowhere_else_when_one_refuses() {
    let mut gate = Driven::with(&[(100, 1), (200, 1), (300, 1)]);
    let job = gate.submit("placement.datacenters = [\"dc-1\"]");
    gate.refuse(100, job);
    assert_eq!(gate.dispatched(), []);
    assert_eq!(gate.result().unwrap().error, "datacenter dc-1 refused the job: no room");
}

/// Cells of one worker: so many answers, each later than the one before.
fn cells(answers: u64) -> CellSet {
    let mut cells = CellSet::new(1);
    let cell = cells.step_mut(0);
    for at in 0..answers {
        cell.count += 1;
        cell.latency.record(1_000_000 * (at + 1));
        cell.record_status(200);
    }
    cells.workflow_mut().count = answers;
    cells
}

/// The end of one datacenter's part, run by one worker whose clock is `ahead` of its manager's.
fn end(gate: &mut Driven, job: JobId, number: u64, answers: u64, ahead: Option<(i64, u64)>) {
    let worker = NodeId(u128::from(number) + 10);
    let mut builder = ColumnsBuilder::new(job, 1, 0, 0, 1000);
    let source = Source { worker, shard: ShardId(0), epoch: Epoch(1) };
    builder.push(source, Sequence(1), WorkflowId(0), &cells(answers));
    gate.tell(LinkId(number), &StatsFinal(builder.build().pop().unwrap()));
    let (clock_offset_us, clock_error_us) = ahead.unwrap_or((0, u64::MAX));
    let outcome = WorkerOutcome {
        worker: worker.to_bytes(),
        name: format!("w-{number}"),
        shards: 1,
        state: WorkerState::Ok.to_wire(),
        gap_ms: 0,
        generator_ok: true,
        clock_offset_us,
        clock_error_us,
        epochs: 1,
    };
    let (state, error) = (WorkflowState::Completed.to_wire(), String::new());
    gate.tell(
        LinkId(number),
        &DcFinalResult {
            job: job.to_bytes(),
            attempt: 1,
            datacenter: format!("dc-{}", number / 100),
            outcome: JobState::Completed.to_wire(),
            duration_us: 9_000_000,
            started_unix_ms: 1_790_000_000_000,
            workflows: vec![WorkflowOutcome {
                workflow: 0,
                state,
                duration_us: 9_000_000,
                error: error.clone(),
            }],
            workers: vec![outcome],
            error,
            fence_token: 1,
            events: Vec::new(),
        },
    );
}

#[test]
fn the_summary_has_each_datacenter_and_worker_and_their_sum() {
    let mut gate = Driven::with(&[(100, 1), (200, 1)]);
    let job = gate.submit(BOTH);
    for link in [100, 200] {
        let (job, error) = (job.to_bytes(), String::new());
        gate.tell(LinkId(link), &JobDispatchAck { job, attempt: 1, accepted: true, dc_token: 1, error });
    }
    end(&mut gate, job, 100, 60, Some((-1_250, 80)));
    end(&mut gate, job, 200, 40, None);
    let summary = gate.result().unwrap();
    assert_eq!((summary.status.as_str(), summary.totals.requests), ("completed", 100));
    let datacenters: Vec<(&str, u64)> =
        summary.datacenters.iter().map(|it| (it.name.as_str(), it.totals.requests)).collect();
    assert_eq!(datacenters, [("dc-1", 60), ("dc-2", 40)]);
    let workers: Vec<(&str, &str, u64)> =
        summary.workers.iter().map(|it| (it.name.as_str(), it.datacenter.as_str(), it.requests)).collect();
    assert_eq!(workers, [("w-100", "dc-1", 60), ("w-200", "dc-2", 40)]);
    let clocks: Vec<_> = summary.workers.iter().map(|it| (it.clock_offset_ms, it.clock_error_ms)).collect();
    assert_eq!(clocks, [(Some(-1.25), Some(0.08)), (None, None)]);
    // The whole is the bucket-wise sum of its parts, not a mean of their percentiles.
    let mut all = cells(60).step_mut(0).latency.clone();
    all.merge(&cells(40).step_mut(0).latency);
    let ms = |ns: Option<u64>| ns.map(|ns| ns as f64 / 1e6);
    assert_eq!(summary.latency_ms.p50, ms(all.quantile_ppm(500_000)));
    assert_eq!(summary.latency_ms.max, Some(60.0));
    assert_eq!(summary.datacenters[1].latency_ms.max, Some(40.0));
}

#[test]
fn a_loaded_gate_asks_in_its_receipts_for_statistics_that_are_fewer_and_later() {
    for (state, level, delay_ms) in [(0, 0, 0), (1, 1, 100), (2, 2, 500), (3, 3, 1_000)] {
        let mut gate = Driven::with(&[(100, 1)]);
        let job = gate.submit("");
        let (id, error) = (job.to_bytes(), String::new());
        gate.tell(LinkId(100), &JobDispatchAck { job: id, attempt: 1, accepted: true, dc_token: 1, error });
        let mut effects = Effects::default();
        gate.core.handle(gate.now, Event::Local(Local::Overload(state)), &mut effects);
        let mut builder = ColumnsBuilder::new(job, 1, 0, 0, 1000);
        let source = Source { worker: NodeId(110), shard: ShardId(0), epoch: Epoch(1) };
        builder.push(source, Sequence(1), WorkflowId(0), &cells(5));
        gate.tell(LinkId(100), &StatsUpdate(builder.build().pop().unwrap()));
        let [(_, receipt)] = gate.frames(Kind::StatsAck)[..] else { panic!("no receipt") };
        let receipt = receipt.to_owned::<StatsAck>(&mut Vec::new()).unwrap();
        assert_eq!((receipt.level, receipt.delay_ms), (level, delay_ms));
        let progress = JobProgress {
            job: id,
            fence_token: 1,
            datacenter: "dc-1".to_owned(),
            workflows: Vec::new(),
            states: Vec::new(),
            units_live: 1,
            units_planned: 1,
        };
        gate.tell(LinkId(100), &progress);
        let [(_, receipt)] = gate.frames(Kind::JobProgressAck)[..] else { panic!("no receipt") };
        let receipt = receipt.to_owned::<JobProgressAck>(&mut Vec::new()).unwrap();
        assert_eq!((receipt.level, receipt.delay_ms), (level, delay_ms));
    }
}
