//! The driver and the production core that it loads, wired to each other in virtual time. The node answers so many frames
//! a second.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use hyperscale_codec::{
    Features, FrameReader, Hello, Limits, NodeId, ProtocolVersion, RawFrame, Role, ShardId, Verdict,
};
use hyperscale_core::{Core, Effect, Effects, Event, Instant, LinkDown, LinkId, Peer, WallClock};
use hyperscale_fleet::{Identity, MembershipConfig};
use hyperscale_gate::{Command as GateCommand, GateConfig, GateCore, Local as GateLocal};
use hyperscale_ledger::MemoryLedger;
use hyperscale_manager::{Command as ManagerCommand, Local as ManagerLocal, ManagerConfig, ManagerCore};
use hyperscale_saturate::{Command, Local, Report, SaturateConfig, SaturateCore, StepRow};

pub(crate) const WALL: WallClock = WallClock { unix_ms: 1_790_000_000_000, at: Instant::ZERO };
const ADDR: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 7001);
/// From one end to the other.
const LATENCY: Duration = Duration::from_micros(100);

fn hello(identity: &Identity) -> Hello {
    Hello {
        verdict: Verdict::Welcome,
        role: identity.role,
        version: ProtocolVersion::CURRENT,
        shards: 1,
        shard: ShardId(0),
        in_flight_max: 64,
        features: Features(ProtocolVersion::CURRENT.features().0),
        node: identity.node,
        boot: identity.boot,
        core_max: Limits::default().core_max,
        idle_timeout_ms: 0,
        retry_after_ms: 0,
        node_version: String::new(),
        fleet: "default".to_owned(),
        text: String::new(),
        name: identity.name.clone(),
        ports: Vec::new(),
        swim_port: 0,
        oob_port: 0,
    }
}

/// What can be loaded.
pub(crate) trait Node: Core {
    /// Who it is.
    fn identity() -> Identity;

    /// What comes of what it asks its driver: an entry that is proposed is committed.
    fn carry_out(ledger: &mut MemoryLedger, command: Self::Command) -> Option<Self::Local>;
}

impl Node for GateCore {
    fn identity() -> Identity {
        Identity::new(Role::Gate, NodeId(1), "gate")
    }

    fn carry_out(ledger: &mut MemoryLedger, command: GateCommand) -> Option<GateLocal> {
        let GateCommand::Propose(entry) = command else { return None };
        Some(GateLocal::Committed(ledger.commit(entry)))
    }
}

impl Node for ManagerCore {
    fn identity() -> Identity {
        let identity = Identity::new(Role::Manager, NodeId(1), "manager");
        Identity { datacenter: "east".to_owned(), ..identity }
    }

    fn carry_out(ledger: &mut MemoryLedger, command: ManagerCommand) -> Option<ManagerLocal> {
        let ManagerCommand::Propose(entry) = command else { return None };
        Some(ManagerLocal::Committed(ledger.commit(entry)))
    }
}

/// A gate.
pub(crate) fn gate() -> GateCore {
    GateCore::new(GateConfig {
        identity: GateCore::identity(),
        shard: ShardId(0),
        addr: "127.0.0.1:7001".to_owned(),
        seed: 7,
        wall: WALL,
        dispatch_wait: Duration::from_secs(30),
        manager_wait: Duration::from_secs(10),
        snapshots_max: hyperscale_gate::SNAPSHOTS_MAX,
        archive: None,
        membership: MembershipConfig::new("default", 1),
    })
}

/// A manager.
pub(crate) fn manager() -> ManagerCore {
    ManagerCore::new(ManagerConfig {
        identity: ManagerCore::identity(),
        seed: 7,
        wall: WALL,
        gate_wait: Duration::from_secs(10),
        membership: MembershipConfig::new("default", 1),
    })
}

/// Whether a frame of the node is lost on its way.
pub(crate) type Meddle = fn(&RawFrame<'_>) -> bool;

/// A node, and a driver.
pub(crate) struct Pair<N: Node> {
    now: Instant,
    node: N,
    ledger: MemoryLedger,
    driver: SaturateCore,
    /// What is on its way, in order: to the node or not, on which link.
    wire: VecDeque<(Instant, bool, LinkId, Vec<u8>)>,
    /// The node works until then.
    busy: Instant,
    takes: Duration,
    dials: Vec<(LinkId, Identity)>,
    report: Option<Report>,
    steps: Vec<StepRow>,
    /// A link that is cut once so many frames went.
    pub(crate) cut: Option<(LinkId, u32)>,
    /// Frames of the node that never come.
    pub(crate) lost: Option<Meddle>,
}

impl<N: Node> Pair<N> {
    pub(crate) fn new(config: SaturateConfig, node: N, takes: Duration) -> Self {
        let identities = config.identities();
        Self {
            now: Instant(1),
            node,
            ledger: MemoryLedger::default(),
            driver: SaturateCore::new(config),
            wire: VecDeque::new(),
            busy: Instant::ZERO,
            takes,
            dials: (1..).map(LinkId).zip(identities).collect(),
            report: None,
            steps: Vec::new(),
            cut: None,
            lost: None,
        }
    }

    fn node_does(&mut self, event: Event<'_, N::Local>) {
        let mut effects = Effects::default();
        self.node.handle(self.now, event, &mut effects);
        loop {
            let (mut list, mut committed, mut dialled) = (Vec::new(), Vec::new(), Vec::new());
            effects.take(&mut list);
            for effect in list {
                match effect {
                    Effect::Send { link, range } => {
                        let at = self.busy.max(self.now) + LATENCY;
                        self.wire.push_back((at, false, link, effects.frame(range).to_vec()));
                    }
                    Effect::Command(command) => committed.extend(N::carry_out(&mut self.ledger, command)),
                    Effect::Dial { dial, .. } => dialled.push(dial),
                    Effect::Datagram { .. } | Effect::Close { .. } | Effect::Refused { .. } => {}
                }
            }
            effects.clear();
            // Only the gate that is played to a manager listens.
            for dial in dialled {
                let link = LinkId(1_000 + dial.0);
                let peer = Peer { addr: ADDR, hello: hello(&self.dials[0].1) };
                self.node.handle(
                    self.now,
                    Event::LinkUp { link, peer: &peer, dial: Some(dial) },
                    &mut effects,
                );
                let peer = Peer { addr: ADDR, hello: hello(&N::identity()) };
                self.driver_does(Event::LinkUp { link, peer: &peer, dial: None });
            }
            for local in committed {
                self.node.handle(self.now, Event::Local(local), &mut effects);
            }
            if effects.is_empty() {
                return;
            }
        }
    }

    fn driver_does(&mut self, event: Event<'_, Local>) {
        let mut effects = Effects::default();
        self.driver.handle(self.now, event, &mut effects);
        let mut list = Vec::new();
        effects.take(&mut list);
        for effect in list {
            match effect {
                Effect::Send { link, range } => {
                    self.wire.push_back((self.now + LATENCY, true, link, effects.frame(range).to_vec()));
                }
                Effect::Dial { dial, .. } => {
                    let (link, identity) = self.dials[usize::try_from(dial.0).unwrap()].clone();
                    let peer = Peer { addr: ADDR, hello: hello(&identity) };
                    self.node_does(Event::LinkUp { link, peer: &peer, dial: None });
                    let peer = Peer { addr: ADDR, hello: hello(&N::identity()) };
                    self.driver_does(Event::LinkUp { link, peer: &peer, dial: Some(dial) });
                }
                Effect::Command(Command::Done(report)) => self.report = Some(*report),
                Effect::Command(Command::Step(row)) => self.steps.push(*row),
                Effect::Close { link } => self.node_does(Event::LinkDown { link, why: LinkDown::Closed }),
                Effect::Command(Command::Ready | Command::Second(_) | Command::Ending)
                | Effect::Datagram { .. }
                | Effect::Refused { .. } => {}
            }
        }
    }

    /// Until the report is there.
    pub(crate) fn run(mut self) -> (Report, Vec<StepRow>) {
        self.driver_does(Event::Local(Local::Listening(ADDR)));
        self.driver_does(Event::Local(Local::Start));
        for _ in 0..20_000_000_u64 {
            if let Some(report) = self.report.take() {
                return (report, self.steps);
            }
            // The node takes one frame after the other; so what comes to it waits for the one before.
            let next = (0..self.wire.len()).min_by_key(|at| {
                let (due, to_node, ..) = self.wire[*at];
                if to_node { due.max(self.busy) } else { due }
            });
            let frame_at =
                next.map(|at| if self.wire[at].1 { self.wire[at].0.max(self.busy) } else { self.wire[at].0 });
            let timers = [self.node.next_deadline(), self.driver.next_deadline()];
            let timer = timers.into_iter().flatten().min();
            match (frame_at, timer) {
                (Some(at), timer) if timer.is_none_or(|timer| at <= timer) => {
                    self.now = self.now.max(at);
                    let (_, to_node, link, bytes) = self.wire.remove(next.unwrap()).unwrap();
                    self.deliver(to_node, link, &bytes);
                }
                (_, Some(at)) => {
                    self.now = self.now.max(at);
                    if timers[0].is_some_and(|due| due <= self.now) {
                        self.node_does(Event::Timer);
                    }
                    if timers[1].is_some_and(|due| due <= self.now) {
                        self.driver_does(Event::Timer);
                    }
                }
                (_, None) => panic!("nothing is left to happen"),
            }
        }
        panic!("it does not end");
    }

    fn deliver(&mut self, to_node: bool, link: LinkId, bytes: &[u8]) {
        let mut reader = FrameReader::new();
        reader.feed(bytes);
        let frame = reader.next(&Limits::default()).unwrap().unwrap();
        if to_node {
            self.busy = self.now + self.takes;
            self.node_does(Event::Frame { link, frame });
            if let Some((cut, left)) = &mut self.cut
                && *cut == link
            {
                *left = left.saturating_sub(1);
                if *left == 0 {
                    self.cut = None;
                    self.wire.retain(|(_, _, on, _)| *on != link);
                    self.node_does(Event::LinkDown { link, why: LinkDown::Closed });
                    self.driver_does(Event::LinkDown { link, why: LinkDown::Closed });
                }
            }
        } else if self.lost.is_none_or(|lost| !lost(&frame)) {
            self.driver_does(Event::Frame { link, frame });
        }
    }
}
