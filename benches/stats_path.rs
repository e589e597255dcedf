//! What statistics cost each node on their way at each level: the production cores of a manager and a gate, driven frame by frame, with
//! what a worker does before them and a client behind. A message stands for 1, 2, 5 or 10 seconds of one job on one
//! source, 120 buckets a second: divide by them. At each level a total goes the way of the last row every 10 s besides.
//!
//! How old what is shown gets meanwhile: `cargo test -p hyperscale-tests --test sim as_old_as -- --nocapture`, and
//! `benches/ages.sh` through processes.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs, reason = "a benchmark")]

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use hyperscale_codec::messages::{
    JobDispatch, JobDispatchAck, JobStatusPush, JobSubmit, StatsSnapshot, StatsUpdate, WorkflowDispatchAck,
};
use hyperscale_codec::{
    Encode, Encoder, Epoch, Features, FrameReader, Head, Hello, JobId, Kind, Limits, NodeId, ProtocolVersion,
    RawFrame, Role, Sequence, ShardId, Verdict, WorkflowId,
};
use hyperscale_core::{Core, DialId, Effect, Effects, Event, Instant, LinkId, Peer, WallClock};
use hyperscale_fleet::{Identity, MembershipConfig};
use hyperscale_gate::{GateConfig, GateCore};
use hyperscale_ledger::MemoryLedger;
use hyperscale_manager::{ManagerConfig, ManagerCore};
use hyperscale_plan::PlanText;
use hyperscale_reliability::BackpressureLevel;
use hyperscale_stats::{CellSet, ColumnsBuilder, Source};

const CLIENT: LinkId = LinkId(1);
const GATE: LinkId = LinkId(2);
const MANAGER: LinkId = LinkId(3);
const WORKER: LinkId = LinkId(4);
const NODE: NodeId = NodeId(100);
const JOB: JobId = JobId(0x0909_0909_0909_0909_0909_0909_0909_0909);
const PLAN: &str = r#"
target = "http://127.0.0.1:1"
[workflows.home]
vus = 4
duration = "600s"
steps = [{ get = "/" }]
"#;
/// After so many all begins anew.
const MESSAGES: u64 = 500;
const HOPS: [&str; 4] = ["worker", "manager", "gate", "client"];

/// A core as its driver has it: effects and a reader, used again and again.
struct Driven<C: Core> {
    core: C,
    effects: Effects<C::Command>,
    reader: FrameReader,
    now: Instant,
}

impl<C: Core> Driven<C> {
    fn new(core: C) -> Self {
        Self { core, effects: Effects::default(), reader: FrameReader::new(), now: Instant(1) }
    }

    /// Takes the bytes of one frame; what comes of it stays in `effects`.
    fn take(&mut self, link: LinkId, bytes: &[u8]) {
        self.reader.feed(bytes);
        let frame = self.reader.next(&Limits::default()).unwrap().unwrap();
        self.core.handle(self.now, Event::Frame { link, frame }, &mut self.effects);
    }

    fn tell<M: Encode>(&mut self, link: LinkId, message: &M) {
        let mut bytes = Vec::new();
        Encoder::default().append(&mut bytes, Head::request(1), message).unwrap();
        self.take(link, &bytes);
    }

    /// Takes out the frames for a link, with all else that was asked for.
    fn sent(&mut self, to: LinkId, kind: Kind, out: &mut Vec<u8>) -> bool {
        out.clear();
        for effect in self.effects.list() {
            if let Effect::Send { link, range } = effect
                && *link == to
            {
                let bytes = self.effects.frame(range.clone());
                if RawFrame::read(bytes, &Limits::default()).unwrap().kind() == Some(kind) {
                    out.extend_from_slice(bytes);
                }
            }
        }
        !out.is_empty()
    }
}

fn membership() -> MembershipConfig {
    MembershipConfig::new("default", 1)
}

fn wall() -> WallClock {
    WallClock { unix_ms: 1_790_000_000_000, at: Instant::ZERO }
}

fn manager_identity() -> Identity {
    Identity { datacenter: "local".to_owned(), ..Identity::new(Role::Manager, NodeId(2), "manager") }
}

/// Commits what a core proposes until it proposes nothing.
macro_rules! settle {
    ($driven:expr, $ledger:expr, $command:path, $local:path) => {
        loop {
            let mut list = Vec::new();
            $driven.effects.take(&mut list);
            let proposed: Vec<_> = list
                .into_iter()
                .filter_map(|effect| match effect {
                    Effect::Command($command(entry)) => Some(entry),
                    _ => None,
                })
                .collect();
            $driven.effects.clear();
            if proposed.is_empty() {
                break;
            }
            for entry in proposed {
                let committed = $local($ledger.commit(entry));
                $driven.core.handle($driven.now, Event::Local(committed), &mut $driven.effects);
            }
        }
    };
}

/// A gate that runs the job, with a client that follows.
fn gate() -> Driven<GateCore> {
    let mut ledger = MemoryLedger::default();
    let mut gate = Driven::new(GateCore::new(GateConfig {
        identity: Identity::new(Role::Gate, NodeId(1), "gate"),
        shard: ShardId(0),
        addr: "127.0.0.1:1".to_owned(),
        seed: 7,
        wall: wall(),
        dispatch_wait: Duration::from_secs(30),
        manager_wait: Duration::from_secs(10),
        membership: membership(),
        snapshots_max: usize::MAX,
        archive: None,
    }));
    gate.tell(MANAGER, &manager_identity().manager_registration(2));
    let plan = PlanText::new(PLAN.to_owned());
    let (plan, plan_sha256) = (plan.text, plan.sha256);
    let submit =
        JobSubmit { plan, plan_sha256, idempotency: JOB.to_bytes(), follow: true, histograms: false };
    gate.tell(CLIENT, &submit);
    settle!(gate, ledger, hyperscale_gate::Command::Propose, hyperscale_gate::Local::Committed);
    let ack =
        JobDispatchAck { job: JOB.to_bytes(), attempt: 1, accepted: true, dc_token: 1, error: String::new() };
    gate.tell(MANAGER, &ack);
    settle!(gate, ledger, hyperscale_gate::Command::Propose, hyperscale_gate::Local::Committed);
    gate
}

fn peer(role: Role, node: NodeId) -> Peer {
    let hello = Hello {
        verdict: Verdict::Welcome,
        role,
        version: ProtocolVersion::CURRENT,
        shards: 1,
        shard: ShardId(0),
        in_flight_max: 64,
        features: Features(0),
        node,
        boot: 1,
        core_max: 4 << 20,
        idle_timeout_ms: 0,
        retry_after_ms: 0,
        node_version: String::new(),
        fleet: "default".to_owned(),
        text: String::new(),
        name: "peer".to_owned(),
        ports: Vec::new(),
        swim_port: 0,
        oob_port: 0,
    };
    Peer { addr: ([127, 0, 0, 1], 1).into(), hello }
}

/// A manager that runs the job on one worker.
fn manager() -> Driven<ManagerCore> {
    let mut ledger = MemoryLedger::default();
    let mut manager = Driven::new(ManagerCore::new(ManagerConfig {
        identity: manager_identity(),
        seed: 8,
        wall: wall(),
        gate_wait: Duration::from_secs(10),
        membership: membership(),
    }));
    let gate = peer(Role::Gate, NodeId(1));
    let join = hyperscale_manager::Local::Join(vec![gate.addr]);
    manager.core.handle(manager.now, Event::Local(join), &mut manager.effects);
    let up = Event::LinkUp { link: GATE, peer: &gate, dial: Some(DialId(1)) };
    manager.core.handle(manager.now, up, &mut manager.effects);
    let up = Event::LinkUp { link: WORKER, peer: &peer(Role::Worker, NODE), dial: None };
    manager.core.handle(manager.now, up, &mut manager.effects);
    manager.tell(WORKER, &Identity::new(Role::Worker, NODE, "worker").worker_registration(100));
    let plan = PlanText::new(PLAN.to_owned());
    let dispatch = JobDispatch {
        job: JOB.to_bytes(),
        fence_token: 1,
        attempt: 1,
        datacenter: "local".to_owned(),
        plan: plan.text,
        plan_sha256: plan.sha256,
        unit_from: 0,
        unit_count: 1,
        units: 1,
        ..JobDispatch::default()
    };
    manager.tell(GATE, &dispatch);
    settle!(manager, ledger, hyperscale_manager::Command::Propose, hyperscale_manager::Local::Committed);
    let ready = WorkflowDispatchAck {
        job: JOB.to_bytes(),
        workflow: 0,
        attempt: 1,
        revision: 1,
        ready: true,
        error: String::new(),
    };
    manager.tell(WORKER, &ready);
    settle!(manager, ledger, hyperscale_manager::Command::Propose, hyperscale_manager::Local::Committed);
    manager
}

fn window(salt: u64) -> CellSet {
    let mut cells = CellSet::new(1);
    for i in 0..120 {
        let cell = cells.step_mut(0);
        cell.count += 1;
        cell.latency.record(50_000 + ((i + salt) * 7_919) % 3_000_000);
        cell.record_status(200);
    }
    cells
}

/// The whole way.
struct Way {
    level: BackpressureLevel,
    recorded: Vec<CellSet>,
    pending: CellSet,
    total: CellSet,
    next_window: u32,
    sequence: u64,
    encoder: Encoder,
    manager: Driven<ManagerCore>,
    gate: Driven<GateCore>,
    frames: [Vec<u8>; 4],
    scratch: Vec<u8>,
}

impl Way {
    fn at(level: BackpressureLevel) -> Self {
        Self {
            level,
            recorded: (0..u64::from(level.windows())).map(window).collect(),
            pending: CellSet::new(1),
            total: CellSet::new(1),
            next_window: 0,
            sequence: 0,
            encoder: Encoder::default(),
            manager: manager(),
            gate: gate(),
            frames: Default::default(),
            scratch: Vec::new(),
        }
    }

    /// One message from the worker to the client. What each hop took.
    fn go(&mut self) -> [Duration; 4] {
        let rejects = self.level == BackpressureLevel::Reject;
        let kind = if rejects { Kind::StatsSnapshot } else { Kind::StatsUpdate };
        let [up, onward, line, receipt] = &mut self.frames;
        let (from, to) = (self.next_window, self.next_window + self.level.windows() - 1);
        self.next_window = to + 1;
        self.sequence += 1;
        let passes = Duration::from_secs(self.level.windows().into()) + Duration::from_secs(1);
        (self.manager.now, self.gate.now) = (self.manager.now + passes, self.gate.now + passes);

        let begun = std::time::Instant::now();
        up.clear();
        let held = if rejects { &mut self.total } else { &mut self.pending };
        if !rejects {
            held.clear();
        }
        self.recorded.iter().for_each(|window| held.advance(black_box(window)));
        // A total says after which window none was sent.
        let after = if rejects { from.saturating_sub(1) } else { from };
        let mut columns = ColumnsBuilder::new(JOB, 1, after, to, 1000);
        let source = Source { worker: NODE, shard: ShardId(0), epoch: Epoch(1) };
        columns.push(source, Sequence(self.sequence), WorkflowId(0), held);
        for columns in columns.build() {
            let head = Head::request(7).job(JOB);
            if rejects {
                self.encoder.append(up, head, &StatsSnapshot(columns)).unwrap();
            } else {
                self.encoder.append(up, head, &StatsUpdate(columns)).unwrap();
            }
        }
        let by_worker = begun.elapsed();

        self.manager.effects.clear();
        let begun = std::time::Instant::now();
        self.manager.take(WORKER, up);
        let by_manager = begun.elapsed();
        assert!(self.manager.sent(GATE, kind, onward), "nothing is passed on at {:?}", self.level);

        // Heartbeats go their own way.
        self.gate.tell(MANAGER, &manager_identity().manager_registration(2));
        self.gate.effects.clear();
        let begun = std::time::Instant::now();
        self.gate.take(MANAGER, onward);
        let mut by_gate = begun.elapsed();
        self.gate.sent(MANAGER, Kind::StatsAck, receipt);
        if !self.gate.sent(CLIENT, Kind::JobStatusPush, line) {
            // What was drawn from a total waits for that of others.
            self.gate.now = self.gate.now + Duration::from_millis(500);
            let begun = std::time::Instant::now();
            self.gate.core.handle(self.gate.now, Event::Timer, &mut self.gate.effects);
            by_gate += begun.elapsed();
            let shown = self.gate.sent(CLIENT, Kind::JobStatusPush, line);
            // The first total is not known to follow on what was shown.
            assert!(shown || self.sequence == 1, "nothing is shown at {:?}", self.level);
        }

        let begun = std::time::Instant::now();
        if !receipt.is_empty() {
            self.manager.take(GATE, receipt);
        }
        let by_manager = by_manager + begun.elapsed();

        let begun = std::time::Instant::now();
        if !line.is_empty() {
            let frame = RawFrame::read(line, &Limits::default()).unwrap();
            black_box(frame.to_owned::<JobStatusPush>(&mut self.scratch).unwrap());
        }
        [by_worker, by_manager, by_gate, begun.elapsed()]
    }
}

fn path(c: &mut Criterion) {
    for level in BackpressureLevel::ALL {
        let mut group = c.benchmark_group(format!("stats path/{}, a message", level.as_str()));
        let mut way = Way::at(level);
        for (at, hop) in HOPS.into_iter().enumerate() {
            group.bench_function(BenchmarkId::from_parameter(hop), |b| {
                b.iter_custom(|n| {
                    let mut took = Duration::ZERO;
                    for _ in 0..n {
                        // Nobody's timers run here, so what nodes keep grows.
                        if way.sequence == MESSAGES {
                            way = Way::at(level);
                            (0..3).for_each(|_| {
                                let _warm = way.go();
                            });
                        }
                        took += way.go().into_iter().nth(at).unwrap_or_default();
                    }
                    took
                });
            });
        }
        group.finish();
    }
}

criterion_group!(benches, path);
criterion_main!(benches);
