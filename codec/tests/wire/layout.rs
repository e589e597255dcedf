//! Where every field of every archived root lies. The table is `tests/golden/tables/roots.txt`: a row that changes
//! breaks the wire; a minor only appends rows.

use std::fmt::Write as _;
use std::mem::offset_of;

use hyperscale_codec::messages::*;
use hyperscale_codec::{Archived, SparseHist};

use crate::golden;

fn size_of_field<T, F>(_field: fn(&T) -> &F) -> usize {
    size_of::<F>()
}

macro_rules! layout {
    ($($name:ident { $($(#[$when:meta])* $field:ident),* $(,)? })+) => {
        /// A field that is missing below does not compile.
        #[allow(dead_code, reason = "compiled, never called")]
        mod complete {
            use super::*;
            $(#[allow(non_snake_case, reason = "named by its struct")]
            fn $name(all: $name) {
                let $name { $($(#[$when])* $field: _),* } = all;
            })+
        }

        fn table() -> String {
            let mut text = String::new();
            $(
                writeln!(text, "{} {}", stringify!($name), size_of::<Archived<$name>>()).unwrap();
                $($(#[$when])* writeln!(text, "  {:>4} {:>4}  {}",
                    offset_of!(Archived<$name>, $field),
                    size_of_field(|all: &Archived<$name>| &all.$field),
                    stringify!($field)).unwrap();)*
            )+
            for (name, size) in [
                ("StatsUpdate", size_of::<Archived<StatsUpdate>>()),
                ("StatsSnapshot", size_of::<Archived<StatsSnapshot>>()),
                ("StatsFinal", size_of::<Archived<StatsFinal>>()),
            ] {
                writeln!(text, "{name} {size} = StatsColumns").unwrap();
            }
            text
        }
    };
}

layout! {
    SparseHist { count, over, min, max, sum, index, lo, hi }
    StatsColumns { job, token, k_from, k_to, window_ms, end_us, more, source_worker, source_shard, source_epoch, source_sequence, source_cells, cell_source, cell_workflow, cell_step, count, errors, cancelled, dropped, due, started, late, bytes_in, bytes_out, in_flight, latency, service, lateness, connect, status_cell, status_code, status_count, error_cell, error_kind, error_count, #[cfg(feature = "next-minor")] reused }
    Share { unit_from, unit_count, units, iterations }
    WorkerOutcome { worker, name, shards, state, gap_ms, generator_ok, clock_offset_us, clock_error_us, epochs }
    WorkflowOutcome { workflow, state, duration_us, error }
    JobEvent { at_ms, kind, detail }
    DcCancel { datacenter, success, count, error }
    HealthPiggyback { node_id, node_type, boot, incarnation, seq, accepting_work, capacity, throughput, expected_throughput, overload_state, lhm }
    ClockReading { sent_ns, echo_ns, held_ns }
    NodeEntry { node, role, name, datacenter, addr, admin, protocol_version, node_version, state, shards, accepting, overload_state, jobs, since_ms, clock_known, clock_offset_us, clock_error_us }
    Goodbye { code, text, retry_after_ms }
    WorkerHeartbeat { health, clock, shares, #[cfg(feature = "next-minor")] uptime_ms }
    ManagerHeartbeat { health, clock, has_quorum, accepting_jobs, is_leader, workers_live, workers_known, jobs, #[cfg(feature = "next-minor")] uptime_ms }
    GateHeartbeat { health, clock, is_leader, jobs, #[cfg(feature = "next-minor")] uptime_ms }
    GatePeerRegistration { node, name, node_version, protocol_version, features, boot, incarnation, shards, addr, admin }
    GatePeerRegistrationResponse { accepted, error, protocol_version, features, peers }
    JobStatusRequest { job }
    JobStatusResponse { job, name, state, error, owner, owner_name, owner_addr, fence_token, accepted_unix_ms, elapsed_ms, requests, errors, dropped, datacenters }
    RegisterCallback { job, last_seq, follow, histograms, #[cfg(feature = "next-minor")] view_ms }
    RegisterCallbackResponse { job, success, owner_addr, state, requests, errors, elapsed_ms, seq, error }
    JobListRequest { after, limit }
    JobEntry { job, name, state, owner, fence_token, accepted_unix_ms, requests, errors }
    JobListResponse { jobs, next, missing }
    NodesRequest { cursor, limit }
    NodesResponse { nodes, next, missing }
    NodeVerdict { observer, node, role, datacenter, decision, signals }
    NodeSignal { name, value, ok }
    NodeWhyRequest { name }
    NodeWhyResponse { verdicts, missing }
    StatsQuery { job, tier, from, to, by_workflow, limit }
    StatsEntry { tier, from, to, workflow, requests, errors, cancelled, late, bytes_in, bytes_out, iterations, dropped, timed, mean_ns, min_ns, p50_ns, p90_ns, p99_ns, p99_9_ns, max_ns, service_p99_ns, lateness_p99_ns }
    StatsResponse { job, state, window_ms, end_ms, workflows, entries, next }
    PushPull { group, list }
    JobCancelRequest { job_id, requester_id, timestamp, fence_token, reason, #[cfg(feature = "next-minor")] origin }
    JobCancelResponse { job_id, success, cancelled_workflow_count, error, state, per_dc }
    WorkflowCancelRequest { job_id, workflow_id, attempt, revision, dc_token, cut_after_ms }
    WorkflowCancelResponse { job_id, workflow_id, attempt, revision, outcome, in_flight_ended, in_flight_cut, never_started }
    WorkflowFinalResult { job, workflow, attempt, revision, dc_token, outcome, error, shards, epochs, generator_ok, started_unix_ms, duration_us, iterations_left, #[cfg(feature = "next-minor")] restarts }
    WorkflowFinalResultAck { job, workflow, attempt, revision }
    DcFinalResult { job, fence_token, datacenter, attempt, outcome, error, workflows, workers, events, duration_us, started_unix_ms }
    DcFinalResultAck { job, attempt }
    JobFinalResult { job, fence_token, seq, outcome, partial, summary, latency }
    JobFinalResultAck { job }
    StatsFinalAck { job, source_worker, source_shard, source_epoch }
    HealthcheckExtensionRequest { worker_id, reason, current_progress, estimated_completion_ms, active_workflow_count, completed_items }
    HealthcheckExtensionResponse { granted, extension_ms, new_deadline_ms, remaining_extensions, denial_reason, warning }
    ErrorReply { code, message, retry_after_ms, holder, holder_addr, seen }
    RateLimitResponse { operation, retry_after_ms, limit, remaining }
    JobSubmit { plan, plan_sha256, idempotency, follow, histograms }
    JobAck { job, fence_token, owner, owner_addr, state, following }
    JobDispatch { job, fence_token, attempt, datacenter, plan, plan_sha256, unit_from, unit_count, units, #[cfg(feature = "next-minor")] weight }
    JobDispatchAck { job, attempt, accepted, dc_token, error }
    WorkflowDispatch { job, workflow, attempt, revision, fence_token, dc_token, plan, plan_sha256, share, from_us, seed }
    WorkflowDispatchAck { job, workflow, attempt, revision, ready, error }
    WorkflowStart { job, workflow, attempt, revision, dc_token, start_in_us, elapsed_us, job_elapsed_us }
    ShareRevision { job, workflow, attempt, revision, dc_token, until_us }
    WorkflowStatus { job, workflow, attempt, revision, dc_token, state, reason }
    ShareRevisionAck { job, workflow, attempt, revision, in_force, until_us, error }
    WorkerRegistration { node, name, node_version, protocol_version, features, boot, incarnation, shards, capacity_vus, addr, admin, #[cfg(feature = "next-minor")] labels }
    RegistrationResponse { accepted, error, protocol_version, features, heartbeat_ms, managers }
    ManagerPeerRegistration { node, name, datacenter, node_version, protocol_version, features, boot, incarnation, shards, worker_shards, addr, admin }
    ManagerPeerRegistrationResponse { accepted, error, protocol_version, features, peers }
    JobProgress { job, fence_token, datacenter, workflows, states, units_live, units_planned }
    JobProgressAck { job, level, delay_ms }
    JobStatusPush { job, fence_token, seq, state, from_ms, to_ms, requests, errors, dropped, bytes_in, p50_ns, p99_ns, max_ns, lateness_p99_ns, total_requests, total_errors, in_flight, events, latency }
    StatsAck { job, token, source_worker, source_shard, source_epoch, source_sequence, level, delay_ms, want_snapshot, #[cfg(feature = "next-minor")] credit }
}

const TABLE: &str = if cfg!(feature = "next-minor") { "tables/roots-next.txt" } else { "tables/roots.txt" };

#[test]
fn no_field_of_a_released_root_moves() {
    let made = table();
    assert_eq!(made, golden::text(TABLE, &made));
}
