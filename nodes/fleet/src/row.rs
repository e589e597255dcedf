//! From what travels to what people see.

use hyperscale_codec::messages::{
    JobEntry, JobState as WireJobState, NodeEntry, NodeState as WireState, NodeVerdict,
};
use hyperscale_codec::{JobId, NodeId, ProtocolVersion, Role};
use hyperscale_view::{
    JobRow, JobState, NodeRow, NodeState, Overload, Progress, Reason, SignalRow, VerdictRow,
};

/// A node as tables and JSON show it.
#[must_use]
pub fn node_row(entry: &NodeEntry) -> NodeRow {
    let state = match WireState::from_wire(entry.state) {
        WireState::Alive => NodeState::Alive,
        WireState::Suspect => NodeState::Suspect,
        WireState::Dead => NodeState::Dead,
        WireState::Left => NodeState::Left,
        WireState::Draining => NodeState::Draining,
    };
    // A number of a newer version is read as the careful one.
    let overload = match entry.overload_state {
        0 => Overload::Healthy,
        1 => Overload::Busy,
        3 => Overload::Overloaded,
        _ => Overload::Stressed,
    };
    NodeRow {
        name: entry.name.clone(),
        role: Role::from_wire(entry.role).map_or("unknown", Role::as_str).to_owned(),
        datacenter: entry.datacenter.clone(),
        node_id: NodeId::from_bytes(entry.node).to_string(),
        addr: entry.addr.clone(),
        admin: Some(entry.admin.clone()).filter(|admin| !admin.is_empty()),
        version: ProtocolVersion::from_wire(entry.protocol_version).to_string(),
        build: entry.node_version.clone(),
        state,
        shards: u16::try_from(entry.shards).unwrap_or(u16::MAX),
        accepting: entry.accepting,
        overload,
        progress: if entry.jobs > 0 { Progress::Normal } else { Progress::Idle },
        jobs: entry.jobs,
        since_s: seconds(entry.since_ms),
        clock_offset_ms: entry.clock_known.then(|| milliseconds(entry.clock_offset_us)),
        clock_error_ms: entry
            .clock_known
            .then(|| milliseconds(i64::try_from(entry.clock_error_us).unwrap_or(i64::MAX))),
    }
}

/// How far a job is, as people are told.
pub(crate) fn job_state(number: u8) -> JobState {
    match WireJobState::from_wire(number) {
        WireJobState::Accepted => JobState::Accepted,
        WireJobState::Queued => JobState::Queued,
        WireJobState::Dispatching
        | WireJobState::Running
        | WireJobState::Completing
        | WireJobState::Cancelling => JobState::Running,
        WireJobState::Completed => JobState::Completed,
        WireJobState::Failed => JobState::Failed,
        WireJobState::Cancelled => JobState::Cancelled,
    }
}

/// A job as tables and JSON show it.
#[must_use]
pub fn job_row(entry: JobEntry) -> JobRow {
    JobRow {
        job_id: JobId::from_bytes(entry.job).to_string(),
        name: entry.name,
        state: job_state(entry.state),
        owner: entry.owner,
        fence_token: entry.fence_token,
        accepted_unix_ms: entry.accepted_unix_ms,
        requests: entry.requests,
        errors: entry.errors,
    }
}

/// How work gets on, by the word of a health state.
#[must_use]
pub fn progress(word: &str) -> Progress {
    let all = [Progress::Idle, Progress::Normal, Progress::Slow, Progress::Degraded];
    all.into_iter().find(|known| known.word() == word).unwrap_or(Progress::Stuck)
}

/// How loaded a node is, as a condition of its readiness: it holds below overloaded.
#[must_use]
pub fn load_reason(overload: u8) -> Reason {
    let word = ["healthy", "busy", "stressed"].get(usize::from(overload)).copied();
    Reason::new("load", word.is_some(), word.unwrap_or("overloaded"))
}

/// A judgement as people and JSON see it.
#[must_use]
pub fn verdict_row(verdict: &NodeVerdict) -> VerdictRow {
    let signal = |signal: &hyperscale_codec::messages::NodeSignal| SignalRow {
        name: signal.name.clone(),
        value: signal.value.clone(),
        ok: signal.ok,
    };
    VerdictRow {
        observer: verdict.observer.clone(),
        role: Role::from_wire(verdict.role).map_or("unknown", Role::as_str).to_owned(),
        datacenter: verdict.datacenter.clone(),
        node_id: NodeId::from_bytes(verdict.node).to_string(),
        decision: verdict.decision.clone(),
        signals: verdict.signals.iter().map(signal).collect(),
    }
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people; ages stay below 2^53 ms")]
fn seconds(ms: u64) -> f64 {
    ms as f64 / 1e3
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn milliseconds(us: i64) -> f64 {
    us as f64 / 1e3
}
