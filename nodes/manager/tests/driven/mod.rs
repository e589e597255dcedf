//! A manager that a test drives frame by frame: with its ledger, its gate and its one worker.
#![allow(dead_code, reason = "each test uses a part of it")]

use std::time::Duration;

use hyperscale_codec::messages::{JobDispatch, StatsUpdate, WorkflowDispatchAck};
use hyperscale_codec::{
    Encode, Encoder, Epoch, Features, FrameReader, Head, Hello, JobId, Kind, Limits, NodeId, ProtocolVersion,
    RawFrame, Role, Sequence, ShardId, Verdict, WorkflowId,
};
use hyperscale_core::{Core, DialId, Effect, Effects, Event, Instant, LinkDown, LinkId, Peer, WallClock};
use hyperscale_fleet::Identity;
use hyperscale_ledger::MemoryLedger;
use hyperscale_manager::{Command, Local, ManagerConfig, ManagerCore};
use hyperscale_plan::PlanText;
use hyperscale_stats::{CellSet, ColumnsBuilder, Source};

pub(crate) const GATE: LinkId = LinkId(1);
pub(crate) const WORKER: LinkId = LinkId(2);
pub(crate) const NODE: NodeId = NodeId(100);
pub(crate) const JOB: JobId = JobId(77);
const PLAN: &str = r#"
target = "http://127.0.0.1:1"
[workflows.home]
vus = 4
duration = "60s"
steps = [{ get = "/" }]
"#;

/// A manager, its ledger, its clock, and what it sent.
pub(crate) struct Driven {
    pub(crate) core: ManagerCore,
    ledger: MemoryLedger,
    pub(crate) now: Instant,
    /// Frames to the gate.
    pub(crate) up: Vec<Vec<u8>>,
    /// Frames to the worker.
    pub(crate) down: Vec<Vec<u8>>,
    pub(crate) closed: Vec<LinkId>,
    /// Bytes that wait on the gate's connection.
    pub(crate) unsent: usize,
    dialled: Option<DialId>,
}

impl Driven {
    pub(crate) fn handle(&mut self, event: Event<'_, Local>) {
        let mut effects = Effects::default();
        effects.set_unsent(GATE, self.unsent);
        self.core.handle(self.now, event, &mut effects);
        let mut list = Vec::new();
        effects.take(&mut list);
        let mut proposed = Vec::new();
        for effect in list {
            match effect {
                Effect::Send { link: GATE, range } => self.up.push(effects.frame(range).to_vec()),
                Effect::Send { link: WORKER, range } => self.down.push(effects.frame(range).to_vec()),
                Effect::Command(Command::Propose(entry)) => proposed.push(entry),
                Effect::Close { link } => self.closed.push(link),
                Effect::Dial { dial, .. } => self.dialled = Some(dial),
                Effect::Send { .. }
                | Effect::Datagram { .. }
                | Effect::Refused { .. }
                | Effect::Command(_) => {}
            }
        }
        for entry in proposed {
            let committed = self.ledger.commit(entry);
            self.handle(Event::Local(Local::Committed(committed)));
        }
    }

    /// The gate's connection ends, and another one comes.
    pub(crate) fn comes_back(&mut self) {
        self.dialled = None;
        self.handle(Event::LinkDown { link: GATE, why: LinkDown::Closed });
        while self.dialled.is_none() {
            self.now = self.core.next_deadline().unwrap().max(self.now);
            self.handle(Event::Timer);
        }
        let gate = peer(Role::Gate, NodeId(1));
        self.handle(Event::LinkUp { link: GATE, peer: &gate, dial: self.dialled });
    }

    pub(crate) fn tell<M: Encode>(&mut self, link: LinkId, message: &M) {
        let mut bytes = Vec::new();
        Encoder::default().append(&mut bytes, Head::request(1), message).unwrap();
        let mut reader = FrameReader::new();
        reader.feed(&bytes);
        let frame = reader.next(&Limits::default()).unwrap().unwrap();
        self.handle(Event::Frame { link, frame });
    }

    /// The last frame of a kind that went up.
    pub(crate) fn told(&self, kind: Kind) -> RawFrame<'_> {
        let mut frames = self.up.iter().map(|bytes| RawFrame::read(bytes, &Limits::default()).unwrap());
        frames.rfind(|frame| frame.kind() == Some(kind)).unwrap()
    }

    pub(crate) fn window(&mut self, k: u32, sequence: u64, requests: u64) {
        let mut cells = CellSet::new(1);
        cells.step_mut(0).count = requests;
        let mut builder = ColumnsBuilder::new(JOB, 1, k, k, 1000);
        let source = Source { worker: NODE, shard: ShardId(0), epoch: Epoch(5) };
        builder.push(source, Sequence(sequence), WorkflowId(0), &cells);
        let columns = builder.build().pop().unwrap();
        self.tell(WORKER, &StatsUpdate(columns));
    }
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
        name: "gate".to_owned(),
        ports: Vec::new(),
        swim_port: 0,
        oob_port: 0,
    };
    Peer { addr: ([127, 0, 0, 1], 1).into(), hello }
}

/// A manager whose one worker has started at 5 ms.
pub(crate) fn running() -> Driven {
    let identity =
        Identity { datacenter: "local".to_owned(), ..Identity::new(Role::Manager, NodeId(2), "manager") };
    let core = ManagerCore::new(ManagerConfig {
        identity,
        seed: 8,
        wall: WallClock { unix_ms: 1_790_000_000_000, at: Instant::ZERO },
        gate_wait: Duration::from_secs(10),
        membership: hyperscale_fleet::MembershipConfig::new("default", 1),
    });
    let mut manager = Driven {
        core,
        ledger: MemoryLedger::default(),
        now: Instant::ZERO,
        up: Vec::new(),
        down: Vec::new(),
        closed: Vec::new(),
        unsent: 0,
        dialled: None,
    };
    let gate = peer(Role::Gate, NodeId(1));
    manager.handle(Event::Local(Local::Join(vec![gate.addr])));
    manager.handle(Event::LinkUp { link: GATE, peer: &gate, dial: Some(DialId(1)) });
    let worker = Identity::new(Role::Worker, NODE, "worker");
    manager.handle(Event::LinkUp { link: WORKER, peer: &peer(Role::Worker, NODE), dial: None });
    manager.tell(WORKER, &worker.worker_registration(100));
    let plan = PlanText::new(PLAN.to_owned());
    manager.tell(
        GATE,
        &JobDispatch {
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
        },
    );
    let ready = WorkflowDispatchAck {
        job: JOB.to_bytes(),
        workflow: 0,
        attempt: 1,
        revision: 1,
        ready: true,
        error: String::new(),
    };
    manager.tell(WORKER, &ready);
    manager
}
