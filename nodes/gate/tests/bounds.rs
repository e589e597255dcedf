//! What a gate has no room for is refused in words, and counted.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on shall fail where it stands"
)]

mod driven;

use std::time::Duration;

use hyperscale_codec::messages::{
    DcFinalResult, ErrorReply, JobDispatchAck, JobState, JobSubmit, StatsSnapshot,
};
use hyperscale_codec::{Epoch, ErrorCode, JobId, Kind, NodeId, Sequence, ShardId, WorkflowId};
use hyperscale_core::LinkId;
use hyperscale_plan::PlanText;
use hyperscale_stats::{CellSet, ColumnsBuilder, Source};

use driven::{CLIENT, Driven};

const MANAGER: LinkId = LinkId(100);
const BOUND: usize = 16 << 10;

fn submit(gate: &mut Driven, key: u8) -> Option<(ErrorCode, String)> {
    let plan = "[workflows.w]\nvus = 10\nduration = \"9s\"\nsteps = [{ get = \"http://h/\" }]\n";
    let PlanText { text: plan, sha256: plan_sha256 } = PlanText::new(plan.to_owned());
    let submit = JobSubmit { plan, plan_sha256, idempotency: [key; 16], follow: false, histograms: false };
    gate.tell(CLIENT, &submit);
    let refused = gate.frames(Kind::ErrorReply);
    let reply = refused.first()?.1.to_owned::<ErrorReply>(&mut Vec::new()).unwrap();
    Some((ErrorCode::from_wire(reply.code).unwrap(), reply.message))
}

/// Snapshots of a hundred shards.
fn snapshots(job: JobId) -> StatsSnapshot {
    let mut cells = CellSet::new(1);
    (1..50).for_each(|ms| cells.step_mut(0).latency.record(ms * 1_000_000));
    cells.step_mut(0).count = 49;
    let mut builder = ColumnsBuilder::new(job, 1, 0, 0, 1000);
    for shard in 0..100 {
        let source = Source { worker: NodeId(110), shard: ShardId(shard), epoch: Epoch(1) };
        builder.push(source, Sequence(1), WorkflowId(0), &cells);
    }
    StatsSnapshot(builder.build().pop().unwrap())
}

fn gauge(gate: &Driven, name: &str, what: Option<&str>) -> f64 {
    let view = gate.core.view(gate.now);
    let named = view.gauges.iter().filter(|gauge| gauge.name == name);
    let mut found =
        named.filter(|gauge| what.is_none_or(|what| gauge.labels.iter().any(|label| label.1 == what)));
    found.next().unwrap().value
}

#[test]
fn a_job_more_is_refused_while_the_snapshots_of_others_take_all_there_is_for_them() {
    let mut gate = Driven::bounded(&[(100, 1)], BOUND);
    assert_eq!(submit(&mut gate, 1), None);
    let id = [1; 16];
    let (attempt, error) = (1, String::new());
    gate.tell(
        MANAGER,
        &JobDispatchAck { job: id, attempt, accepted: true, dc_token: 1, error: error.clone() },
    );
    gate.tell(MANAGER, &snapshots(JobId::from_bytes(id)));
    gate.wait(Duration::from_secs(1));
    assert!(gauge(&gate, "hyperscale_stats_snapshot_bytes", None) > 16_384.0);

    let (code, why) = submit(&mut gate, 2).unwrap();
    assert_eq!(code, ErrorCode::Capacity);
    assert!(why.contains("figures of this gate's live jobs") && why.contains("try again when"), "{why}");
    assert_eq!(gauge(&gate, "hyperscale_bound_hits_total", Some("snapshots")), 1.0);
    assert_eq!(gauge(&gate, "hyperscale_bound_hits_total", Some("jobs")), 0.0);
    // What is known already is answered.
    assert_eq!(submit(&mut gate, 1), None);

    let (workflows, workers, events) = (Vec::new(), Vec::new(), Vec::new());
    gate.tell(
        MANAGER,
        &DcFinalResult {
            job: id,
            fence_token: 1,
            datacenter: "dc-1".into(),
            attempt,
            outcome: JobState::Completed.to_wire(),
            error,
            workflows,
            workers,
            events,
            duration_us: 9_000_000,
            started_unix_ms: 1,
        },
    );
    gate.manager(100, 1);
    gate.wait(Duration::from_secs(1));
    assert_eq!(gauge(&gate, "hyperscale_stats_snapshot_bytes", None), 0.0);
    assert_eq!(submit(&mut gate, 2), None);
}
