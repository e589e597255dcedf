//! One message of every kind, filled so that every field shows in the bytes: numbers that differ, texts within and
//! beyond the eight inline bytes, empty and full columns, options present.

use std::fmt::Debug;

use hyperscale_codec::messages::*;
use hyperscale_codec::{Hist, Message, SparseHist};

/// Something done with a message of each kind.
pub(crate) trait Visitor {
    fn visit<M: Message + Debug + Clone + PartialEq>(&mut self, sample: &M);
}

#[cfg(feature = "next-minor")]
thread_local! {
    static ABSENT: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// A field that the next minor appended: filled, or as it reads where an older sender did not tell it.
#[cfg(feature = "next-minor")]
fn appended<T: Default>(value: T) -> T {
    if ABSENT.get() { T::default() } else { value }
}

/// Shows every kind's sample as an older sender's message reads.
#[cfg(feature = "next-minor")]
pub(crate) fn each_of_an_older_sender(visitor: &mut impl Visitor) {
    ABSENT.set(true);
    each(visitor);
    ABSENT.set(false);
}

/// Shows every kind's sample to `visitor`, in the order of the table.
pub(crate) fn each(visitor: &mut impl Visitor) {
    each_critical(visitor);
    each_high(visitor);
    each_normal(visitor);
}

const JOB: [u8; 16] =
    [0x0f, 0x1e, 0x2d, 0x3c, 0x4b, 0x5a, 0x69, 0x78, 0x87, 0x96, 0xa5, 0xb4, 0xc3, 0xd2, 0xe1, 0xf0];
const NODE: [u8; 16] = *b"node id, 16 byte";
const HASH: [u8; 32] = [0xab; 32];
const PLAN: &str = "[[workflow]]\nname = \"browse\"\nvus = 10\n";

fn each_critical(visitor: &mut impl Visitor) {
    visitor.visit(&Goodbye { code: 4, text: "draining for an upgrade".into(), retry_after_ms: 1500 });
    each_heartbeat(visitor);
    visitor.visit(&JobCancelRequest {
        job_id: JOB,
        requester_id: NODE,
        timestamp: 1_700_000_000_123,
        fence_token: 41,
        reason: "ctrl-c".into(),
        #[cfg(feature = "next-minor")]
        origin: appended(Some("a terminal at host-7".into())),
    });
    visitor.visit(&JobCancelResponse {
        job_id: JOB,
        success: true,
        cancelled_workflow_count: 3,
        error: String::new(),
        state: JobState::Cancelling.to_wire(),
        per_dc: vec![
            DcCancel { datacenter: "eu-west".into(), success: true, count: 3, error: String::new() },
            DcCancel {
                datacenter: "us".into(),
                success: false,
                count: 0,
                error: "no majority of managers".into(),
            },
        ],
    });
    visitor.visit(&WorkflowCancelRequest {
        job_id: JOB,
        workflow_id: 2,
        attempt: 1,
        revision: 3,
        dc_token: 9,
        cut_after_ms: 5000,
    });
    visitor.visit(&WorkflowCancelResponse {
        job_id: JOB,
        workflow_id: 2,
        attempt: 1,
        revision: 3,
        outcome: CancelOutcome::Cancelled.to_wire(),
        in_flight_ended: 60,
        in_flight_cut: 4,
        never_started: 1_000_000_007,
    });
    visitor.visit(&WorkflowFinalResult {
        job: JOB,
        workflow: 2,
        attempt: 1,
        revision: 3,
        dc_token: 9,
        outcome: WorkflowState::Completed.to_wire(),
        error: String::new(),
        shards: 2,
        epochs: vec![(3 << 32) | 1, (3 << 32) | 2],
        generator_ok: true,
        started_unix_ms: 1_700_000_000_123,
        duration_us: 10_000_321,
        iterations_left: 77,
        #[cfg(feature = "next-minor")]
        restarts: appended(2),
    });
    visitor.visit(&WorkflowFinalResultAck { job: JOB, workflow: 2, attempt: 1, revision: 3 });
    visitor.visit(&dc_final_result());
    visitor.visit(&DcFinalResultAck { job: JOB, attempt: 1 });
    visitor.visit(&JobFinalResult {
        job: JOB,
        fence_token: 41,
        seq: 12,
        outcome: JobState::Completed.to_wire(),
        partial: true,
        summary: "{\"schema\":\"hyperscale.summary/1\"}".into(),
        latency: wide_hist(),
    });
    visitor.visit(&JobFinalResultAck { job: JOB });
    visitor.visit(&StatsFinal(columns(70)));
    visitor.visit(&StatsFinalAck {
        job: JOB,
        source_worker: vec![NODE, JOB],
        source_shard: vec![0, 1],
        source_epoch: vec![7, 8],
    });
    visitor.visit(&ErrorReply {
        code: 9,
        message: "job 0f1e is owned by gate-2, shard 1".into(),
        retry_after_ms: 20,
        holder: NODE,
        holder_addr: "10.0.0.2:7001".into(),
        seen: 41,
    });
    visitor.visit(&RateLimitResponse { operation: 2, retry_after_ms: 150, limit: 100, remaining: 0 });
    visitor.visit(&HealthcheckExtensionRequest {
        worker_id: NODE,
        reason: 1,
        current_progress: 0.25,
        estimated_completion_ms: 45_000,
        active_workflow_count: 3,
        completed_items: Some(1_000_000_007),
    });
    visitor.visit(&HealthcheckExtensionResponse {
        granted: true,
        extension_ms: 3_750,
        new_deadline_ms: 41_250,
        remaining_extensions: 1,
        denial_reason: String::new(),
        warning: "one extension is left".into(),
    });
}

fn dc_final_result() -> DcFinalResult {
    DcFinalResult {
        job: JOB,
        fence_token: 41,
        datacenter: "eu-west".into(),
        attempt: 1,
        outcome: JobState::Failed.to_wire(),
        error: "workflow checkout: all workers lost".into(),
        workflows: vec![WorkflowOutcome {
            workflow: 1,
            state: WorkflowState::Failed.to_wire(),
            duration_us: 900_001,
            error: "all workers lost".into(),
        }],
        workers: vec![WorkerOutcome {
            worker: NODE,
            name: "worker-1".into(),
            shards: 2,
            state: WorkerState::Lost.to_wire(),
            gap_ms: 750,
            generator_ok: false,
            clock_offset_us: -1_250,
            clock_error_us: 90,
            epochs: 6,
        }],
        events: vec![JobEvent {
            at_ms: 900,
            kind: "worker_lost".into(),
            detail: "worker-1 of eu-west".into(),
        }],
        duration_us: 2_000_002,
        started_unix_ms: 1_700_000_000_123,
    }
}

fn each_high(visitor: &mut impl Visitor) {
    let share = Share { unit_from: 4, unit_count: 3, units: 10, iterations: 1_000_000 };
    visitor.visit(&JobSubmit {
        plan: PLAN.into(),
        plan_sha256: HASH,
        idempotency: NODE,
        follow: true,
        histograms: true,
    });
    visitor.visit(&JobAck {
        job: JOB,
        fence_token: 41,
        owner: NODE,
        owner_addr: "[fd00::2]:7001".into(),
        state: JobState::Accepted.to_wire(),
        following: true,
    });
    visitor.visit(&JobDispatch {
        job: JOB,
        fence_token: 41,
        attempt: 1,
        datacenter: "eu-west".into(),
        plan: PLAN.into(),
        plan_sha256: HASH,
        unit_from: 0,
        unit_count: 7,
        units: 10,
        #[cfg(feature = "next-minor")]
        weight: appended(Some(3)),
    });
    visitor.visit(&JobDispatchAck {
        job: JOB,
        attempt: 1,
        accepted: true,
        dc_token: 9,
        error: String::new(),
    });
    visitor.visit(&WorkflowDispatch {
        job: JOB,
        workflow: 2,
        attempt: 1,
        revision: 3,
        fence_token: 41,
        dc_token: 9,
        plan: PLAN.into(),
        plan_sha256: HASH,
        share,
        from_us: 12_500_750,
        seed: 0x0123_4567_89ab_cdef,
    });
    visitor.visit(&WorkflowDispatchAck {
        job: JOB,
        workflow: 2,
        attempt: 1,
        revision: 3,
        ready: false,
        error: "key `pacing` is unknown".into(),
    });
    visitor.visit(&WorkflowStart {
        job: JOB,
        workflow: 2,
        attempt: 1,
        revision: 3,
        dc_token: 9,
        start_in_us: 100_000,
        elapsed_us: 12_250_000,
        job_elapsed_us: 2_500_000,
    });
    visitor.visit(&ShareRevision {
        job: JOB,
        workflow: 2,
        attempt: 1,
        revision: 3,
        dc_token: 9,
        until_us: 12_500_750,
    });
    visitor.visit(&WorkflowStatus {
        job: JOB,
        workflow: 2,
        attempt: 1,
        revision: 3,
        dc_token: 9,
        state: WorkflowState::Running.to_wire(),
        reason: "started".into(),
    });
    visitor.visit(&ShareRevisionAck {
        job: JOB,
        workflow: 2,
        attempt: 1,
        revision: 3,
        in_force: true,
        until_us: 12_500_751,
        error: "this share is not known here".into(),
    });
    each_registration(visitor);
}

fn each_registration(visitor: &mut impl Visitor) {
    visitor.visit(&WorkerRegistration {
        node: NODE,
        name: "worker-1".into(),
        node_version: "0.1.0+abcdef".into(),
        protocol_version: (1 << 16) | 4,
        features: 0x3f,
        boot: 3,
        incarnation: 2,
        shards: 8,
        capacity_vus: 80_000,
        addr: "10.0.0.4:7003".into(),
        admin: "w4:9003".into(),
        #[cfg(feature = "next-minor")]
        labels: appended(Some(vec!["rack 4".into(), "spot".into()])),
    });
    visitor.visit(&RegistrationResponse {
        accepted: true,
        error: String::new(),
        protocol_version: (1 << 16) | 4,
        features: 0x3f,
        heartbeat_ms: 500,
        managers: vec!["10.0.0.1:7002".into(), "m2:7002".into()],
    });
    visitor.visit(&ManagerPeerRegistration {
        node: NODE,
        name: "m1".into(),
        datacenter: "eu-west".into(),
        node_version: "0.1.0".into(),
        protocol_version: (1 << 16) | 4,
        features: 0x3f,
        boot: 3,
        incarnation: 2,
        shards: 1,
        worker_shards: 16,
        addr: "10.0.0.1:7002".into(),
        admin: "m1:9002".into(),
    });
    visitor.visit(&ManagerPeerRegistrationResponse {
        accepted: false,
        error: "name m1 is in use by 10.0.0.9:7002".into(),
        protocol_version: (1 << 16) | 4,
        features: 0x1f,
        peers: vec![],
    });
    visitor.visit(&GatePeerRegistration {
        node: NODE,
        name: "gate-1".into(),
        node_version: "0.1.0".into(),
        protocol_version: (1 << 16) | 4,
        features: 0x3f,
        boot: 3,
        incarnation: 2,
        shards: 4,
        addr: "10.0.0.1:7001".into(),
        admin: "g1:9001".into(),
    });
    visitor.visit(&GatePeerRegistrationResponse {
        accepted: true,
        error: String::new(),
        protocol_version: (1 << 16) | 3,
        features: 0x1f,
        peers: vec!["10.0.0.1:7001".into()],
    });
}

fn health(node_type: u8) -> HealthPiggyback {
    HealthPiggyback {
        node_id: NODE,
        node_type,
        boot: 3,
        incarnation: 2,
        seq: 77,
        accepting_work: true,
        capacity: 12,
        throughput: 1.5,
        expected_throughput: 2.25,
        overload_state: 1,
        lhm: 2,
    }
}

fn each_heartbeat(visitor: &mut impl Visitor) {
    let clock =
        ClockReading { sent_ns: 1_790_000_000_000_000_001, echo_ns: 1_789_999_999_999_999_999, held_ns: 5 };
    visitor.visit(&WorkerHeartbeat {
        health: health(3),
        clock,
        shares: 4,
        #[cfg(feature = "next-minor")]
        uptime_ms: appended(86_400_000),
    });
    visitor.visit(&ManagerHeartbeat {
        health: health(2),
        clock,
        has_quorum: true,
        accepting_jobs: true,
        is_leader: false,
        workers_live: 5,
        workers_known: 6,
        jobs: 2,
        #[cfg(feature = "next-minor")]
        uptime_ms: appended(86_400_001),
    });
    visitor.visit(&GateHeartbeat {
        health: health(1),
        clock,
        is_leader: true,
        jobs: 9,
        #[cfg(feature = "next-minor")]
        uptime_ms: appended(86_400_002),
    });
    visitor.visit(&PushPull { group: 0x0123_4567_89ab_cdef, list: vec![1, 0, 255, 7] });
}

fn each_question(visitor: &mut impl Visitor) {
    visitor.visit(&JobStatusRequest { job: JOB });
    visitor.visit(&JobStatusResponse {
        job: JOB,
        name: "checkout".into(),
        state: JobState::Failed.to_wire(),
        error: "all_workers_lost".into(),
        owner: NODE,
        owner_name: "gate-2".into(),
        owner_addr: "10.0.0.2:7001".into(),
        fence_token: 41,
        accepted_unix_ms: 1_700_000_000_123,
        elapsed_ms: 12_345,
        requests: 12_012,
        errors: 21,
        dropped: 3,
        datacenters: vec!["dc-1".into(), "dc-2".into()],
    });
    visitor.visit(&RegisterCallback {
        job: JOB,
        last_seq: 12,
        follow: true,
        histograms: false,
        #[cfg(feature = "next-minor")]
        view_ms: appended(Some(250)),
    });
    visitor.visit(&RegisterCallbackResponse {
        job: JOB,
        success: false,
        owner_addr: "10.0.0.2:7001".into(),
        state: JobState::Running.to_wire(),
        requests: 12_012,
        errors: 21,
        elapsed_ms: 12_345,
        seq: 13,
        error: "ask the owner".into(),
    });
    visitor.visit(&NodesRequest { cursor: "2/worker-7".into(), limit: 100 });
    visitor.visit(&NodesResponse {
        nodes: vec![NodeEntry {
            node: NODE,
            role: 3,
            name: "worker-8".into(),
            datacenter: "dc-1".into(),
            addr: "10.0.0.4:7003".into(),
            admin: "w4:9003".into(),
            protocol_version: (1 << 16) | 4,
            node_version: "0.1.0".into(),
            state: NodeState::Draining.to_wire(),
            shards: 2,
            accepting: true,
            overload_state: 1,
            jobs: 3,
            since_ms: 62_000,
            clock_known: true,
            clock_offset_us: -1_250,
            clock_error_us: 90,
        }],
        next: "3/worker-8".into(),
        missing: vec!["manager-2".into()],
    });
    visitor.visit(&NodeWhyRequest { name: "worker-8".into() });
    visitor.visit(&NodeWhyResponse {
        verdicts: vec![NodeVerdict {
            observer: "manager-1".into(),
            node: NODE,
            role: 3,
            datacenter: "dc-1".into(),
            decision: "investigate".into(),
            signals: vec![NodeSignal {
                name: "progress".into(),
                value: "slow: 0.4 of what was expected".into(),
                ok: false,
            }],
        }],
        missing: vec!["manager-2".into()],
    });
    visitor.visit(&StatsQuery { job: JOB, tier: 2, from: 60, to: 3_599, by_workflow: true, limit: 100 });
    visitor.visit(&StatsResponse {
        job: JOB,
        state: JobState::Running.to_wire(),
        window_ms: 1_000,
        end_ms: 3_599_250,
        workflows: vec!["browse".into(), "check out the basket".into()],
        entries: vec![
            StatsEntry {
                tier: 2,
                from: 60,
                to: 69,
                workflow: 1,
                requests: 12_345,
                errors: 6,
                cancelled: 7,
                late: 8,
                bytes_in: 1 << 33,
                bytes_out: 9_876_543,
                iterations: 4_115,
                dropped: 10,
                timed: 12_340,
                mean_ns: 1_111_111,
                min_ns: 90_000,
                p50_ns: 1_000_000,
                p90_ns: 2_000_000,
                p99_ns: 3_000_000,
                p99_9_ns: 4_000_000,
                max_ns: 5_000_000_000,
                service_p99_ns: 2_900_000,
                lateness_p99_ns: 12_000,
            },
            StatsEntry { tier: 1, from: 70, to: 70, workflow: u32::MAX, ..StatsEntry::default() },
        ],
        next: 71,
    });
}

fn each_normal(visitor: &mut impl Visitor) {
    visitor.visit(&JobProgress {
        job: JOB,
        fence_token: 41,
        datacenter: "eu-west".into(),
        workflows: vec![0, 1, 2],
        states: vec![4, 3, 1],
        units_live: 7,
        units_planned: 10,
    });
    visitor.visit(&JobProgressAck { job: JOB, level: 1, delay_ms: 250 });
    visitor.visit(&JobStatusPush {
        job: JOB,
        fence_token: 41,
        seq: 12,
        state: JobState::Running.to_wire(),
        from_ms: 11_000,
        to_ms: 12_000,
        requests: 1001,
        errors: 2,
        dropped: 3,
        bytes_in: 256_256,
        p50_ns: 812_345,
        p99_ns: 4_812_345,
        max_ns: 90_812_345,
        lateness_p99_ns: 51_234,
        total_requests: 12_012,
        total_errors: 21,
        in_flight: 64,
        events: vec![JobEvent { at_ms: 11_500, kind: "note".into(), detail: "stage 2 of 3 begins".into() }],
        latency: Some(hist(300)),
    });
    each_question(visitor);
    visitor.visit(&StatsUpdate(columns(5)));
    visitor.visit(&StatsAck {
        job: JOB,
        token: 9,
        source_worker: vec![NODE],
        source_shard: vec![1],
        source_epoch: vec![7],
        source_sequence: vec![20],
        level: 2,
        delay_ms: 400,
        want_snapshot: true,
        #[cfg(feature = "next-minor")]
        credit: appended(64),
    });
    visitor.visit(&StatsSnapshot(columns(40)));
    visitor.visit(&JobListRequest { after: JOB, limit: 100 });
    visitor.visit(&JobListResponse {
        jobs: vec![JobEntry {
            job: JOB,
            name: "checkout".into(),
            state: JobState::Running.to_wire(),
            owner: "gate-2".into(),
            fence_token: 41,
            accepted_unix_ms: 1_800_000_000_000,
            requests: 1_234_567,
            errors: 12,
        }],
        next: JOB,
        missing: vec!["gate-3".into()],
    });
}

/// A histogram of `n` values spread over the range.
pub(crate) fn hist(n: u64) -> SparseHist {
    let mut hist = Hist::new();
    for i in 0..n {
        hist.record(i * i * 1000 + i);
    }
    hist.to_sparse()
}

/// One with a count beyond 32 bits and a value beyond the range.
fn wide_hist() -> SparseHist {
    SparseHist {
        count: (7 << 32) + 2,
        over: 1,
        min: 5,
        max: 1 << 45,
        sum: (7 << 32) * 5 + 300 + (1 << 45),
        index: vec![5, 278, 4863],
        lo: vec![0, 1, 1],
        hi: vec![7, 0, 0],
    }
}

/// Two sources with a cell each, and one workflow row.
pub(crate) fn columns(values: u64) -> StatsColumns {
    StatsColumns {
        job: JOB,
        token: 9,
        k_from: 10,
        k_to: 12,
        window_ms: 1000,
        end_us: 12_750_003,
        more: true,
        source_worker: vec![NODE, JOB],
        source_shard: vec![0, 1],
        source_epoch: vec![(3 << 32) | 1, (3 << 32) | 2],
        source_sequence: vec![20, 21],
        source_cells: vec![2, 5],
        cell_source: vec![0, 0, 1],
        cell_workflow: vec![0, 0, 0],
        cell_step: vec![0, u32::MAX, 0],
        count: vec![values, 2, 1 << 40],
        errors: vec![1, 0, 3],
        cancelled: vec![0, 1, 0],
        dropped: vec![0, 4, 0],
        due: vec![0, 7, 0],
        started: vec![0, 3, 0],
        late: vec![2, 0, 1],
        bytes_in: vec![25_600, 0, 512],
        bytes_out: vec![6_400, 0, 128],
        in_flight: vec![3, 1, 0],
        latency: vec![hist(values), hist(2), wide_hist()],
        service: vec![hist(values), hist(0), hist(1)],
        lateness: vec![hist(values / 2), hist(0), hist(1)],
        connect: vec![hist(1), hist(0), hist(0)],
        status_cell: vec![0, 0, 2],
        status_code: vec![200, 503, 200],
        status_count: vec![values, 1, 1 << 33],
        error_cell: vec![0, 2],
        error_kind: vec![ErrorKind::Http5xx.to_wire(), ErrorKind::Timeout.to_wire()],
        error_count: vec![1, 3],
        #[cfg(feature = "next-minor")]
        reused: appended(Some(vec![values, 0, 1 << 35])),
    }
}
