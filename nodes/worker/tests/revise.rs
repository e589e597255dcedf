//! A share that is withdrawn from a worker: its shards agree on when, and what moves between them goes back.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::net::SocketAddr;
use std::time::Duration;

use hyperscale_codec::messages::{
    Share, ShareRevision, ShareRevisionAck, WorkflowDispatch, WorkflowFinalResult, WorkflowStart,
    WorkflowState,
};
use hyperscale_codec::{
    Encoder, Epoch, Head, Hello, JobId, Limits, Message, NodeId, ProtocolVersion, RawFrame, Role, ShardId,
    Verdict,
};
use hyperscale_core::{Core, DialId, Effect, Effects, Event, Instant, LinkId, Peer, WallClock};
use hyperscale_engine::orders::{Ended, Order, Origin, Report, ShareKey};
use hyperscale_fleet::Identity;
use hyperscale_stats::CellSet;
use hyperscale_worker::{Command, Local, WorkerConfig, WorkerCore};

const MANAGER: LinkId = LinkId(1);
const JOB: JobId = JobId(7);
const SCHEDULED: &str = "target = \"http://127.0.0.1:1\"\n[workflows.home]\nrate = \"100/s\"\nmax_vus = 4\nduration = \"10s\"\nsteps = [{ get = \"/\" }]\n";
const PLAN: &str = "target = \"http://127.0.0.1:1\"\n[workflows.home]\nvus = 4\ntotal_iterations = 100\nsteps = [{ get = \"/\" }]\n";

/// A worker of two shards with one share, which runs.
struct Worker {
    core: WorkerCore,
    frames: Vec<Vec<u8>>,
    orders: Vec<(ShardId, Order)>,
    key: Option<ShareKey>,
    dialled: Option<DialId>,
}

fn manager() -> Peer {
    let version = ProtocolVersion::CURRENT;
    let hello = Hello {
        verdict: Verdict::Welcome,
        role: Role::Manager,
        version,
        shards: 1,
        shard: ShardId(0),
        in_flight_max: 64,
        features: version.features(),
        node: NodeId(2),
        boot: 1,
        core_max: 4 << 20,
        idle_timeout_ms: 0,
        retry_after_ms: 0,
        node_version: String::new(),
        fleet: "default".to_owned(),
        text: String::new(),
        name: "manager".to_owned(),
        ports: Vec::new(),
        swim_port: 0,
        oob_port: 0,
    };
    Peer { addr: ([127, 0, 0, 1], 2).into(), hello }
}

impl Worker {
    fn new() -> Self {
        Self::with(PLAN)
    }

    fn with(plan: &str) -> Self {
        let core = WorkerCore::new(WorkerConfig {
            identity: Identity { shards: 2, ..Identity::new(Role::Worker, NodeId(9), "worker") },
            capacity_vus: 100,
            membership: hyperscale_fleet::MembershipConfig::new("default", 1),
            seed: 1,
            wall: WallClock::default(),
        });
        let mut worker = Self { core, frames: Vec::new(), orders: Vec::new(), key: None, dialled: None };
        worker.handle(Event::Local(Local::Join(vec![([127, 0, 0, 1], 2).into()])));
        let dial = worker.dialled;
        worker.handle(Event::LinkUp { link: MANAGER, peer: &manager(), dial });
        worker.tell(&WorkflowDispatch {
            job: JOB.to_bytes(),
            workflow: 0,
            attempt: 1,
            revision: 3,
            fence_token: 1,
            dc_token: 5,
            plan: plan.to_owned(),
            plan_sha256: [0; 32],
            share: Share { unit_from: 0, unit_count: 2, units: 2, iterations: 100 },
            from_us: 0,
            seed: 1,
        });
        for shard in [0, 1] {
            worker.report(|key| Report::Ready { key, shard: ShardId(shard), result: Ok(()) });
        }
        worker.tell(&WorkflowStart {
            job: JOB.to_bytes(),
            workflow: 0,
            attempt: 1,
            revision: 3,
            dc_token: 5,
            start_in_us: 0,
            elapsed_us: 0,
            job_elapsed_us: 0,
        });
        worker.orders.clear();
        worker
    }

    fn handle(&mut self, event: Event<'_, Local>) {
        let mut effects = Effects::default();
        self.core.handle(Instant(1_000_000_000), event, &mut effects);
        let mut list = Vec::new();
        effects.take(&mut list);
        for effect in list {
            match effect {
                Effect::Send { range, .. } => self.frames.push(effects.frame(range).to_vec()),
                Effect::Command(Command::Order { shard, order }) => self.orders.push((shard, order)),
                Effect::Command(Command::Resolve { key, hosts }) => {
                    self.key = Some(key);
                    let addrs = vec![SocketAddr::from(([127, 0, 0, 1], 1))];
                    let origins = hosts.into_iter().map(|at| Origin {
                        host: at.host,
                        port: at.port,
                        addrs: addrs.clone(),
                    });
                    let result = Ok(origins.collect());
                    self.handle(Event::Local(Local::Resolved { key, result }));
                }
                Effect::Dial { dial, .. } => self.dialled = Some(dial),
                Effect::Datagram { .. } | Effect::Close { .. } | Effect::Refused { .. } => {}
                Effect::Command(Command::Drained | Command::Refused(_)) => {}
            }
        }
    }

    fn tell<M: Message>(&mut self, message: &M) {
        let mut bytes = Vec::new();
        Encoder::default().append(&mut bytes, Head::request(4).job(JOB), message).unwrap();
        let frame = RawFrame::read(&bytes, &Limits::default()).unwrap();
        self.handle(Event::Frame { link: MANAGER, frame });
    }

    fn report(&mut self, make: impl FnOnce(ShareKey) -> Report) {
        let report = make(self.key.unwrap());
        self.handle(Event::Local(Local::Report(report)));
    }

    fn withdraw(&mut self, dc_token: u64) {
        let (workflow, attempt, revision, until_us) = (0, 1, 3, 100_000);
        self.tell(&ShareRevision { job: JOB.to_bytes(), workflow, attempt, revision, dc_token, until_us });
    }

    fn withdrawn(&mut self, shard: u16, until_us: u64) {
        let until = Duration::from_micros(until_us);
        self.report(|key| Report::Withdrawn { key, shard: ShardId(shard), until });
    }

    fn ended(&mut self, shard: u16, iterations_left: u64) {
        self.report(|key| {
            Report::Ended(Box::new(Ended {
                key,
                shard: ShardId(shard),
                epoch: Epoch(1),
                k_from: 0,
                k_to: 0,
                delta: Box::new(CellSet::new(1)),
                outcome: WorkflowState::Completed,
                error: String::new(),
                in_flight_ended: 0,
                in_flight_cut: 0,
                never_started: 0,
                iterations_left,
                duration: Duration::ZERO,
                generator_ok: true,
            }))
        });
    }

    /// The orders since the last look, in few words.
    fn ordered(&mut self) -> Vec<(u16, &'static str, u128)> {
        let words = self.orders.drain(..).filter_map(|(shard, order)| match order {
            Order::Withdraw { until, settled: false, .. } => Some((shard.0, "withdraw", until.as_micros())),
            Order::Withdraw { until, settled: true, .. } => Some((shard.0, "settle", until.as_micros())),
            Order::Donate { to, .. } => Some((shard.0, "donate", to.0.into())),
            Order::Grant { iterations, .. } => Some((shard.0, "grant", iterations.into())),
            Order::Prepare(_)
            | Order::Start { .. }
            | Order::Cancel { .. }
            | Order::Recycle { .. }
            | Order::Release { .. }
            | Order::Stop => None,
        });
        words.collect()
    }

    /// What was told of one kind since the last look.
    fn told<M: Message>(&mut self) -> Vec<M> {
        let frames = std::mem::take(&mut self.frames);
        let of_kind = frames.iter().filter_map(|bytes| {
            let frame = RawFrame::read(bytes, &Limits::default()).unwrap();
            (frame.kind() == Some(M::KIND)).then(|| frame.to_owned::<M>(&mut Vec::new()).unwrap())
        });
        of_kind.collect()
    }
}

#[test]
fn shards_that_could_not_stop_at_the_same_time_settle_on_the_latest() {
    let mut worker = Worker::new();
    worker.withdraw(5);
    assert_eq!(worker.ordered(), [(0, "withdraw", 100_000), (1, "withdraw", 100_000)]);
    worker.withdrawn(0, 100_000);
    assert_eq!(worker.ordered(), []);
    assert!(worker.told::<ShareRevisionAck>().is_empty(), "nothing is in force before all shards have told");
    worker.withdrawn(1, 100_345);
    assert_eq!(worker.ordered(), [(0, "settle", 100_345), (1, "settle", 100_345)]);
    let told = worker.told::<ShareRevisionAck>();
    assert_eq!(told.len(), 1);
    assert!(told[0].in_force && told[0].until_us == 100_345 && told[0].revision == 3, "{told:?}");
    // The shards' echo changes nothing; a repeat gets the same answer.
    worker.withdrawn(0, 100_345);
    worker.withdraw(5);
    assert_eq!(worker.ordered(), []);
    assert_eq!(worker.told::<ShareRevisionAck>(), told);
}

#[test]
fn iterations_on_their_way_between_shards_go_back_with_what_is_left() {
    let mut worker = Worker::new();
    worker.report(|key| Report::NeedIterations { key, shard: ShardId(0) });
    assert_eq!(worker.ordered(), [(1, "donate", 0)]);
    worker.withdraw(5);
    worker.report(|key| Report::Donated { key, shard: ShardId(1), to: ShardId(0), iterations: 11 });
    worker.report(|key| Report::NeedIterations { key, shard: ShardId(1) });
    let orders = worker.ordered();
    assert!(orders.contains(&(0, "grant", 0)) && orders.contains(&(1, "grant", 0)), "{orders:?}");
    worker.withdrawn(0, 100_000);
    worker.withdrawn(1, 100_000);
    worker.handle(Event::LinkUp { link: MANAGER, peer: &manager(), dial: None });
    worker.ended(0, 0);
    worker.ended(1, 20);
    let finals = worker.told::<WorkflowFinalResult>();
    assert_eq!(
        finals.iter().map(|told| (told.revision, told.iterations_left)).collect::<Vec<_>>(),
        [(3, 31)]
    );
    assert_eq!(WorkflowState::from_wire(finals[0].outcome), WorkflowState::Completed);
}

#[test]
fn an_old_token_and_an_unknown_or_ended_share_are_refused() {
    let mut worker = Worker::new();
    let why = |worker: &mut Worker| {
        let told = worker.told::<ShareRevisionAck>();
        assert!(told.len() == 1 && !told[0].in_force, "{told:?}");
        told[0].error.clone()
    };
    worker.withdraw(4);
    assert_eq!(why(&mut worker), "the token is older than the share's");
    let job = [1; 16];
    worker.tell(&ShareRevision { job, workflow: 0, attempt: 1, revision: 3, dc_token: 5, until_us: 0 });
    assert_eq!(why(&mut worker), "this share is not known here");
    worker.ended(0, 0);
    worker.ended(1, 0);
    worker.withdraw(5);
    assert_eq!(why(&mut worker), "this share has ended");
    assert_eq!(worker.ordered(), []);
}

#[test]
fn a_worker_that_was_overloaded_says_that_its_generator_was_the_limit_of_a_schedule() {
    let cases = [(SCHEDULED, 0, true), (SCHEDULED, 2, true), (SCHEDULED, 3, false), (PLAN, 3, true)];
    for (plan, overload, sound) in cases {
        let mut worker = Worker::with(plan);
        worker.handle(Event::Local(Local::Overload(overload)));
        // It is well again before its share ends.
        worker.handle(Event::Local(Local::Overload(0)));
        worker.ended(0, 0);
        worker.ended(1, 0);
        let finals = worker.told::<WorkflowFinalResult>();
        let told: Vec<bool> = finals.iter().map(|told| told.generator_ok).collect();
        assert_eq!(told, [sound], "{overload}");
    }
}
