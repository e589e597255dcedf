//! One gate, one manager, some workers and a client, joined by queues in virtual time.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use hyperscale_client::{ClientConfig, ClientCore, Notice};
use hyperscale_codec::messages::JobSubmit;
use hyperscale_codec::{FrameReader, Kind, Limits};
use hyperscale_codec::{Hello, NodeId, ProtocolVersion, RawFrame, Role, ShardId, Verdict};
use hyperscale_core::{Core, DialId, Effect, Effects, Event, Instant, LinkDown, LinkId, Peer, WallClock};
use hyperscale_engine::orders::Origin;
use hyperscale_fleet::Identity;
use hyperscale_gate::{GateConfig, GateCore};
use hyperscale_ledger::MemoryLedger;
use hyperscale_manager::{ManagerConfig, ManagerCore};
use hyperscale_plan::PlanText;
use hyperscale_worker::{WorkerConfig, WorkerCore};

use crate::engines::Engine;
use crate::shards::{FakeShard, LoadShard};

const DELAY: Duration = Duration::from_micros(200);
const GATE: usize = 0;
const MANAGER: usize = 1;
const CLIENT: usize = 2;
const FIRST_WORKER: usize = 3;

enum Mail {
    Frame { link: LinkId, bytes: Vec<u8> },
    Up { link: LinkId, from: usize, dial: Option<DialId> },
    Down { link: LinkId },
}

/// A fleet.
pub(crate) struct Fleet {
    now: Instant,
    pub(crate) gate: GateCore,
    pub(crate) manager: ManagerCore,
    pub(crate) client: ClientCore,
    pub(crate) workers: Vec<Option<WorkerCore>>,
    shards: BTreeMap<(usize, u16), LoadShard>,
    gate_ledger: MemoryLedger,
    manager_ledger: MemoryLedger,
    mail: BTreeMap<(Instant, u64), (usize, Mail)>,
    order: u64,
    /// Both ends of each link: node, and the other node's link id.
    links: BTreeMap<LinkId, (usize, LinkId, usize)>,
    next_link: u64,
    pub(crate) notices: Vec<Notice>,
    /// A worker whose windows are lost on their way; everything else of it arrives.
    pub(crate) windows_lost_of: Option<usize>,
    /// Whether finals are lost between the manager and the gate; everything else arrives.
    pub(crate) finals_lost: bool,
    /// Everything delivered, in order: when, to whom, how many bytes.
    pub(crate) trace: Vec<(u64, usize, usize)>,
}

fn addr(node: usize) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], u16::try_from(node).unwrap() + 1))
}

fn role(node: usize) -> Role {
    match node {
        GATE => Role::Gate,
        MANAGER => Role::Manager,
        CLIENT => Role::Client,
        _ => Role::Worker,
    }
}

impl Fleet {
    /// Workers have `shards`, `shards + 1`, ... shards, so that no two are alike.
    pub(crate) fn new(workers: usize, shards: u16) -> Self {
        Self::of(workers, shards, |_| LoadShard::Fake(FakeShard::default()))
    }

    /// The same with the production engine on each shard, before a target in virtual time.
    pub(crate) fn with_engines(workers: usize, shards: u16) -> Self {
        Self::of(workers, shards, |shard| LoadShard::Engine(Box::new(Engine::new(shard))))
    }

    fn of(workers: usize, shards: u16, load: impl Fn(ShardId) -> LoadShard) -> Self {
        let wall = WallClock { unix_ms: 1_790_000_000_000, at: Instant::ZERO };
        let gate = GateCore::new(GateConfig {
            identity: identity(GATE),
            shard: ShardId(0),
            addr: addr(GATE).to_string(),
            seed: 7,
            wall,
            dispatch_wait: Duration::from_secs(30),
            manager_wait: Duration::from_secs(10),
        });
        let manager = ManagerCore::new(ManagerConfig {
            identity: Identity { datacenter: "local".to_owned(), ..identity(MANAGER) },
            seed: 8,
            wall,
            gate_wait: Duration::from_secs(10),
        });
        let client = ClientCore::new(ClientConfig {
            identity: identity(CLIENT),
            gates: vec![addr(GATE)],
            wall,
            patience: Duration::from_secs(10),
        });
        let mut fleet = Self {
            now: Instant(1),
            gate,
            manager,
            client,
            workers: Vec::new(),
            shards: BTreeMap::new(),
            gate_ledger: MemoryLedger::default(),
            manager_ledger: MemoryLedger::default(),
            mail: BTreeMap::new(),
            order: 0,
            links: BTreeMap::new(),
            next_link: 1,
            notices: Vec::new(),
            windows_lost_of: None,
            finals_lost: false,
            trace: Vec::new(),
        };
        for at in 0..workers {
            let count = shards + u16::try_from(at).unwrap();
            fleet.workers.push(Some(WorkerCore::new(WorkerConfig {
                identity: Identity {
                    shards: count,
                    name: format!("worker-{at}"),
                    ..identity(FIRST_WORKER + at)
                },
                capacity_vus: 1000,
                seed: 9 + at as u64,
                wall,
            })));
            for shard in 0..count {
                fleet.shards.insert((at, shard), load(ShardId(shard)));
            }
        }
        fleet.manager_event(Event::Local(hyperscale_manager::Local::Join(vec![addr(GATE)])));
        for at in 0..workers {
            fleet.worker_event(at, Event::Local(hyperscale_worker::Local::Join(vec![addr(MANAGER)])));
        }
        fleet.run_for_ms(100);
        fleet
    }

    pub(crate) fn submit(&mut self, plan: &str) {
        let text = PlanText::new(plan.to_owned());
        let submit = JobSubmit {
            plan: text.text,
            plan_sha256: text.sha256,
            idempotency: [9; 16],
            follow: true,
            histograms: true,
        };
        self.client_event(Event::Local(hyperscale_client::Local::Submit(Box::new(submit))));
    }

    pub(crate) fn cancel(&mut self) {
        let reason = "the test says so".to_owned();
        self.client_event(Event::Local(hyperscale_client::Local::Cancel { reason }));
    }

    /// From now on every shard's times fill its histograms.
    pub(crate) fn spread_times(&mut self) {
        for shard in self.shards.values_mut() {
            if let LoadShard::Fake(fake) = shard {
                fake.spread = true;
            }
        }
    }

    /// From now on nothing of a share is recorded in its first window.
    pub(crate) fn come_late(&mut self) {
        for shard in self.shards.values_mut() {
            if let LoadShard::Fake(fake) = shard {
                fake.comes_late = true;
            }
        }
    }

    /// Requests that one worker's shards recorded.
    pub(crate) fn recorded_by(&self, worker: usize) -> u64 {
        self.shards.iter().filter(|((of, _), _)| *of == worker).map(|(_, shard)| shard.recorded()).sum()
    }

    /// Requests that all shards recorded.
    pub(crate) fn recorded(&self) -> u64 {
        self.shards.values().map(LoadShard::recorded).sum()
    }

    /// A worker takes no more work, and says so.
    pub(crate) fn drain_worker(&mut self, worker: usize) {
        self.worker_event(worker, Event::Local(hyperscale_worker::Local::Drain));
    }

    /// The manager knows at once that a worker takes no more work.
    pub(crate) fn move_shares_of(&mut self, worker: usize) {
        self.manager_does(|manager, effects| manager.move_shares_of(NodeId(100 + worker as u128), effects));
    }

    pub(crate) fn crash_worker(&mut self, worker: usize) {
        self.workers[worker] = None;
        let node = FIRST_WORKER + worker;
        let cut: Vec<LinkId> =
            self.links.iter().filter(|(_, end)| end.0 == node).map(|(link, _)| *link).collect();
        for link in cut {
            let (_, other, peer) = self.links[&link];
            self.post(peer, Mail::Down { link: other });
        }
    }

    /// Cuts a worker's connections; it goes on, and dials again.
    pub(crate) fn cut_worker(&mut self, worker: usize) {
        let node = FIRST_WORKER + worker;
        let cut: Vec<LinkId> =
            self.links.iter().filter(|(_, end)| end.0 == node).map(|(link, _)| *link).collect();
        for link in cut {
            let (_, other, peer) = self.links[&link];
            self.post(peer, Mail::Down { link: other });
            self.post(node, Mail::Down { link });
        }
    }

    pub(crate) fn run_for_ms(&mut self, ms: u64) {
        let end = self.now + Duration::from_millis(ms);
        while self.step(end) {}
        self.now = end;
    }

    pub(crate) fn run_for_us(&mut self, us: u64) {
        let end = self.now + Duration::from_micros(us);
        while self.step(end) {}
        self.now = end;
    }

    /// Whether a worker's shards were told to prepare something.
    pub(crate) fn dispatched(&self, worker: usize) -> bool {
        self.shards.iter().any(|((of, _), shard)| {
            *of == worker && matches!(shard, LoadShard::Engine(engine) if engine.has_orders())
        })
    }

    pub(crate) fn run_until_finished(&mut self) {
        let end = self.now + Duration::from_secs(120);
        while !self.notices.iter().any(|notice| matches!(notice, Notice::Finished(_))) {
            assert!(
                self.step(end),
                "nothing is left to happen, and the job has not ended: {:?}",
                self.notices
            );
        }
        // Acknowledgements settle; nothing new is told.
        self.run_for_ms(1_000);
    }

    fn post(&mut self, to: usize, mail: Mail) {
        self.order += 1;
        self.mail.insert((self.now + DELAY, self.order), (to, mail));
    }

    /// The next thing that happens, if it happens before `end`.
    fn step(&mut self, end: Instant) -> bool {
        let mail = self.mail.first_key_value().map(|((at, _), _)| *at);
        let shard = self.live_shards().filter_map(|(_, shard)| shard.next_due()).min();
        let cores = [self.gate.next_deadline(), self.manager.next_deadline(), self.client.next_deadline()];
        let workers = self.workers.iter().flatten().map(Core::next_deadline);
        let timer = cores.into_iter().chain(workers).flatten().min();
        let Some(next) = [mail, shard, timer].into_iter().flatten().min().filter(|at| *at <= end) else {
            return false;
        };
        self.now = self.now.max(next);
        if mail == Some(next) {
            let (_, (to, mail)) = self.mail.pop_first().unwrap();
            self.deliver(to, mail);
        } else if shard == Some(next) {
            self.tick_shards();
        } else {
            self.fire_timers();
        }
        true
    }

    fn live_shards(&self) -> impl Iterator<Item = (&(usize, u16), &LoadShard)> {
        self.shards.iter().filter(|((worker, _), _)| self.workers[*worker].is_some())
    }

    fn tick_shards(&mut self) {
        let now = self.now;
        let due: Vec<(usize, u16)> = self
            .live_shards()
            .filter(|(_, shard)| shard.next_due().is_some_and(|due| due <= now))
            .map(|(key, _)| *key)
            .collect();
        for (worker, shard) in due {
            let reports = self.shards.get_mut(&(worker, shard)).unwrap().tick(ShardId(shard), now);
            for report in reports {
                self.worker_event(worker, Event::Local(hyperscale_worker::Local::Report(report)));
            }
        }
    }

    fn fire_timers(&mut self) {
        let now = self.now;
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if due(self.gate.next_deadline()) {
            self.gate_event(Event::Timer);
        }
        if due(self.manager.next_deadline()) {
            self.manager_event(Event::Timer);
        }
        if due(self.client.next_deadline()) {
            self.client_event(Event::Timer);
        }
        for worker in 0..self.workers.len() {
            if due(self.workers[worker].as_ref().and_then(Core::next_deadline)) {
                self.worker_event(worker, Event::Timer);
            }
        }
    }

    fn deliver(&mut self, to: usize, mail: Mail) {
        match mail {
            Mail::Frame { link, bytes } => {
                let mut reader = FrameReader::new();
                reader.feed(&bytes);
                let frame = reader.next(&Limits::default()).unwrap().unwrap();
                let kind = frame.kind().unwrap();
                let sender = self.links.get(&link).map(|(_, _, peer)| *peer).unwrap();
                if kind == Kind::StatsUpdate
                    && self.windows_lost_of.map(|at| FIRST_WORKER + at) == Some(sender)
                {
                    return;
                }
                if kind == Kind::StatsFinal && self.finals_lost && sender == MANAGER {
                    return;
                }
                self.trace.push((self.now.0, to, bytes.len()));
                let from = role(sender);
                assert!(kind.senders().contains(from), "a {from} may not send {kind:?}");
                self.event(to, |_| Event::Frame { link, frame });
            }
            Mail::Up { link, from, dial } => {
                let peer = Peer { addr: addr(from), hello: hello(from) };
                self.with_peer(to, link, &peer, dial);
            }
            Mail::Down { link } => {
                self.links.remove(&link);
                self.event(to, |_| Event::LinkDown { link, why: LinkDown::Closed });
            }
        }
    }

    fn with_peer(&mut self, to: usize, link: LinkId, peer: &Peer, dial: Option<DialId>) {
        match to {
            GATE => self.gate_event(Event::LinkUp { link, peer, dial }),
            MANAGER => self.manager_event(Event::LinkUp { link, peer, dial }),
            CLIENT => self.client_event(Event::LinkUp { link, peer, dial }),
            worker => self.worker_event(worker - FIRST_WORKER, Event::LinkUp { link, peer, dial }),
        }
    }

    fn event<'a>(&mut self, to: usize, make: impl Fn(()) -> Bare<'a>) {
        match to {
            GATE => self.gate_event(make(()).into_event()),
            MANAGER => self.manager_event(make(()).into_event()),
            CLIENT => self.client_event(make(()).into_event()),
            worker => self.worker_event(worker - FIRST_WORKER, make(()).into_event()),
        }
    }

    fn gate_event(&mut self, event: Event<'_, hyperscale_gate::Local>) {
        let mut effects = Effects::default();
        self.gate.handle(self.now, event, &mut effects);
        let mut decided = VecDeque::new();
        self.carry_out(GATE, &mut effects, |command| match command {
            hyperscale_gate::Command::Propose(entry) => decided.push_back(entry),
            other => panic!("{other:?}"),
        });
        for entry in decided {
            let committed = self.gate_ledger.commit(entry);
            self.gate_event(Event::Local(hyperscale_gate::Local::Committed(committed)));
        }
    }

    fn manager_event(&mut self, event: Event<'_, hyperscale_manager::Local>) {
        let now = self.now;
        self.manager_does(|manager, effects| manager.handle(now, event, effects));
    }

    fn manager_does(
        &mut self,
        act: impl FnOnce(&mut ManagerCore, &mut Effects<hyperscale_manager::Command>),
    ) {
        let mut effects = Effects::default();
        act(&mut self.manager, &mut effects);
        let mut decided = VecDeque::new();
        self.carry_out(MANAGER, &mut effects, |command| match command {
            hyperscale_manager::Command::Propose(entry) => decided.push_back(entry),
            other => panic!("{other:?}"),
        });
        for entry in decided {
            let committed = self.manager_ledger.commit(entry);
            self.manager_event(Event::Local(hyperscale_manager::Local::Committed(committed)));
        }
    }

    fn client_event(&mut self, event: Event<'_, hyperscale_client::Local>) {
        let mut effects = Effects::default();
        self.client.handle(self.now, event, &mut effects);
        let mut told = Vec::new();
        self.carry_out(CLIENT, &mut effects, |command| match command {
            hyperscale_client::Command::Notify(notice) => told.push(notice),
        });
        self.notices.append(&mut told);
    }

    fn worker_event(&mut self, worker: usize, event: Event<'_, hyperscale_worker::Local>) {
        let Some(core) = self.workers[worker].as_mut() else { return };
        let mut effects = Effects::default();
        core.handle(self.now, event, &mut effects);
        let mut commands = Vec::new();
        self.carry_out(FIRST_WORKER + worker, &mut effects, |command| commands.push(command));
        for command in commands {
            match command {
                hyperscale_worker::Command::Order { shard, order } => {
                    let reports =
                        self.shards.get_mut(&(worker, shard.0)).unwrap().order(shard, self.now, order);
                    for report in reports {
                        self.worker_event(worker, Event::Local(hyperscale_worker::Local::Report(report)));
                    }
                }
                hyperscale_worker::Command::Drained => {}
                hyperscale_worker::Command::Refused(why) => panic!("{why}"),
                hyperscale_worker::Command::Resolve { key, hosts } => {
                    let origins = hosts.into_iter().map(|at| Origin {
                        addrs: vec![SocketAddr::from(([127, 0, 0, 1], at.port))],
                        host: at.host,
                        port: at.port,
                    });
                    let result = Ok(origins.collect());
                    self.worker_event(
                        worker,
                        Event::Local(hyperscale_worker::Local::Resolved { key, result }),
                    );
                }
            }
        }
    }

    fn carry_out<C>(&mut self, node: usize, effects: &mut Effects<C>, mut command: impl FnMut(C)) {
        let mut list = Vec::new();
        effects.take(&mut list);
        for effect in list {
            match effect {
                Effect::Send { link, range } => {
                    let bytes = effects.frame(range).to_vec();
                    if let Some(&(_, other, peer)) = self.links.get(&link) {
                        self.post(peer, Mail::Frame { link: other, bytes });
                    }
                }
                Effect::Dial { dial, addr: to } => {
                    let peer = usize::from(to.port()) - 1;
                    let (mine, theirs) = (LinkId(self.next_link), LinkId(self.next_link + 1));
                    self.next_link += 2;
                    self.links.insert(mine, (node, theirs, peer));
                    self.links.insert(theirs, (peer, mine, node));
                    self.post(peer, Mail::Up { link: theirs, from: node, dial: None });
                    self.post(node, Mail::Up { link: mine, from: peer, dial: Some(dial) });
                }
                Effect::Close { link } => {
                    if let Some((_, other, peer)) = self.links.remove(&link) {
                        self.post(peer, Mail::Down { link: other });
                    }
                }
                Effect::Refused { .. } => {}
                Effect::Command(asked) => command(asked),
            }
        }
        assert_eq!(effects.take_failure(), None);
    }
}

/// Events that mean the same to every role.
type Bare<'a> = Event<'a, std::convert::Infallible>;

trait IntoEvent<'a> {
    fn into_event<L>(self) -> Event<'a, L>;
}

impl<'a> IntoEvent<'a> for Bare<'a> {
    fn into_event<L>(self) -> Event<'a, L> {
        match self {
            Event::Frame { link, frame } => Event::Frame { link, frame: RawFrame { ..frame } },
            Event::LinkDown { link, why } => Event::LinkDown { link, why },
            Event::LinkUp { link, peer, dial } => Event::LinkUp { link, peer, dial },
            Event::DialFailed { dial, error } => Event::DialFailed { dial, error },
            Event::Timer => Event::Timer,
            Event::Local(never) => match never {},
        }
    }
}

fn identity(node: usize) -> Identity {
    Identity::new(role(node), node_id(node), format!("node-{node}"))
}

fn node_id(node: usize) -> NodeId {
    NodeId(match node {
        GATE => 1,
        MANAGER => 2,
        CLIENT => 3,
        worker => 100 + (worker - FIRST_WORKER) as u128,
    })
}

fn hello(node: usize) -> Hello {
    Hello {
        verdict: Verdict::Welcome,
        role: role(node),
        version: ProtocolVersion::CURRENT,
        shards: 1,
        shard: ShardId(0),
        in_flight_max: 64,
        features: ProtocolVersion::CURRENT.features(),
        node: node_id(node),
        boot: 1,
        core_max: 4 << 20,
        idle_timeout_ms: 0,
        retry_after_ms: 0,
        node_version: String::new(),
        fleet: "default".to_owned(),
        text: String::new(),
        name: format!("node-{node}"),
        ports: Vec::new(),
        swim_port: 0,
        oob_port: 0,
    }
}
