//! The driver that saturates a gate, and the production gate's core, wired to each other in virtual time: what the gate
//! reports is what it was sent, whatever the mix.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use hyperscale_codec::{
    Features, FrameReader, Hello, Limits, NodeId, ProtocolVersion, Role, ShardId, Verdict,
};
use hyperscale_core::{Core, Effect, Effects, Event, Instant, LinkDown, LinkId, Peer, WallClock};
use hyperscale_fleet::{Identity, MembershipConfig};
use hyperscale_gate::{Command as GateCommand, GateConfig, GateCore, Local as GateLocal};
use hyperscale_ledger::MemoryLedger;
use hyperscale_saturate::{
    Bound, Command, KneeConfig, Load, Local, Mix, Report, SaturateConfig, SaturateCore, StepRow,
};

const WALL: WallClock = WallClock { unix_ms: 1_790_000_000_000, at: Instant::ZERO };
/// From one end to the other.
const LATENCY: Duration = Duration::from_micros(100);

/// A gate that answers so many frames a second, and a driver.
struct Pair {
    now: Instant,
    gate: GateCore,
    ledger: MemoryLedger,
    driver: SaturateCore,
    /// What is on its way, in order: to the gate or not, on which link.
    wire: VecDeque<(Instant, bool, LinkId, Vec<u8>)>,
    /// The gate works until then.
    busy: Instant,
    takes: Duration,
    dials: Vec<(LinkId, Identity)>,
    report: Option<Report>,
    steps: Vec<StepRow>,
    /// A link that is cut once so many frames went.
    cut: Option<(LinkId, u32)>,
}

fn config(load: Load, mix: &str) -> SaturateConfig {
    SaturateConfig {
        gate: SocketAddr::from(([127, 0, 0, 1], 7001)),
        wall: WALL,
        seed: 11,
        managers: 3,
        clients: 2,
        jobs: 2,
        workers: 2,
        worker_shards: 2,
        steps: 2,
        buckets: 10,
        subscribers: 1,
        mix: Mix::parse(mix).unwrap(),
        load,
        step: Duration::from_secs(1),
        warm_up: Duration::from_millis(100),
        bound: Bound { p99: Duration::from_millis(5), goodput: 0.99 },
        obeys: true,
        patience: Duration::from_secs(2),
    }
}

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

impl Pair {
    fn new(config: SaturateConfig, takes: Duration) -> Self {
        let gate = GateCore::new(GateConfig {
            identity: Identity::new(Role::Gate, NodeId(1), "gate"),
            shard: ShardId(0),
            addr: "127.0.0.1:7001".to_owned(),
            seed: 7,
            wall: WALL,
            dispatch_wait: Duration::from_secs(30),
            manager_wait: Duration::from_secs(10),
            snapshots_max: hyperscale_gate::SNAPSHOTS_MAX,
            archive: None,
            membership: MembershipConfig::new("default", 1),
        });
        let identities = config.identities();
        Self {
            now: Instant(1),
            gate,
            ledger: MemoryLedger::default(),
            driver: SaturateCore::new(config),
            wire: VecDeque::new(),
            busy: Instant::ZERO,
            takes,
            dials: (1..).map(LinkId).zip(identities).collect(),
            report: None,
            steps: Vec::new(),
            cut: None,
        }
    }

    fn gate_does(&mut self, event: Event<'_, GateLocal>) {
        let mut effects = Effects::default();
        self.gate.handle(self.now, event, &mut effects);
        loop {
            let (mut list, mut committed) = (Vec::new(), Vec::new());
            effects.take(&mut list);
            for effect in list {
                match effect {
                    Effect::Send { link, range } => {
                        let at = self.busy.max(self.now) + LATENCY;
                        self.wire.push_back((at, false, link, effects.frame(range).to_vec()));
                    }
                    Effect::Command(GateCommand::Propose(entry)) => committed.push(self.ledger.commit(entry)),
                    Effect::Command(_)
                    | Effect::Datagram { .. }
                    | Effect::Dial { .. }
                    | Effect::Close { .. }
                    | Effect::Refused { .. } => {}
                }
            }
            effects.clear();
            if committed.is_empty() {
                return;
            }
            for entry in committed {
                self.gate.handle(self.now, Event::Local(GateLocal::Committed(entry)), &mut effects);
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
                    let addr = SocketAddr::from(([127, 0, 0, 1], 7001));
                    let peer = Peer { addr, hello: hello(&identity) };
                    self.gate_does(Event::LinkUp { link, peer: &peer, dial: None });
                    let gate = Identity::new(Role::Gate, NodeId(1), "gate");
                    let peer = Peer { addr, hello: hello(&gate) };
                    self.driver_does(Event::LinkUp { link, peer: &peer, dial: Some(dial) });
                }
                Effect::Command(Command::Done(report)) => self.report = Some(*report),
                Effect::Command(Command::Step(row)) => self.steps.push(*row),
                Effect::Command(Command::Ready | Command::Second(_) | Command::Ending)
                | Effect::Datagram { .. }
                | Effect::Close { .. }
                | Effect::Refused { .. } => {}
            }
        }
    }

    /// Until the report is there.
    fn run(mut self) -> (Report, Vec<StepRow>) {
        self.driver_does(Event::Local(Local::Start));
        for _ in 0..20_000_000_u64 {
            if let Some(report) = self.report.take() {
                return (report, self.steps);
            }
            // The gate takes one frame after the other; so what comes to it waits for the one before.
            let next = (0..self.wire.len()).min_by_key(|at| {
                let (due, to_gate, ..) = self.wire[*at];
                if to_gate { due.max(self.busy) } else { due }
            });
            let frame_at =
                next.map(|at| if self.wire[at].1 { self.wire[at].0.max(self.busy) } else { self.wire[at].0 });
            let timers = [self.gate.next_deadline(), self.driver.next_deadline()];
            let timer = timers.into_iter().flatten().min();
            match (frame_at, timer) {
                (Some(at), timer) if timer.is_none_or(|timer| at <= timer) => {
                    self.now = self.now.max(at);
                    let (_, to_gate, link, bytes) = self.wire.remove(next.unwrap()).unwrap();
                    self.deliver(to_gate, link, &bytes);
                }
                (_, Some(at)) => {
                    self.now = self.now.max(at);
                    if timers[0].is_some_and(|due| due <= self.now) {
                        self.gate_does(Event::Timer);
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

    fn deliver(&mut self, to_gate: bool, link: LinkId, bytes: &[u8]) {
        let mut reader = FrameReader::new();
        reader.feed(bytes);
        let frame = reader.next(&Limits::default()).unwrap().unwrap();
        if to_gate {
            self.busy = self.now + self.takes;
            self.gate_does(Event::Frame { link, frame });
            if let Some((cut, left)) = &mut self.cut
                && *cut == link
            {
                *left = left.saturating_sub(1);
                if *left == 0 {
                    self.cut = None;
                    self.driver_does(Event::LinkDown { link, why: LinkDown::Closed });
                }
            }
        } else {
            self.driver_does(Event::Frame { link, frame });
        }
    }
}

#[test]
fn a_gate_reports_exactly_what_a_mixed_load_told_it() {
    let loads = [
        (Load::Closed { open_requests: 1 }, Duration::from_millis(4), "not_held"),
        (Load::Open { rate: 200.0 }, Duration::from_micros(50), "held"),
    ];
    for (load, takes, verdict) in loads {
        let mix = "stats=60,snapshot=10,heartbeat=5,status=5,nodes=2,list=2,reconnect=2,submit=8,cancel=6";
        let (report, _) = Pair::new(config(load, mix), takes).run();
        assert!(report.exactness.exact, "{:?}", report.exactness);
        assert_eq!(report.exactness.requests_viewed, report.exactness.requests_in_windows);
        assert!(
            report.exactness.jobs > 10 && report.exactness.requests_sent > 5_000,
            "{:?}",
            report.exactness
        );
        assert!(report.kinds.len() >= 8, "{:?}", report.kinds);
        for kind in &report.kinds {
            assert_eq!((kind.due, kind.sent), (kind.answered, kind.answered), "{kind:?}");
        }
        assert_eq!(report.verdict, verdict, "{:?}", report.steps);
    }
}

#[test]
fn the_knee_of_a_gate_of_known_speed_is_found_within_five_percent() {
    let ramp = KneeConfig { from: 200.0, max: 100_000.0, precision: 0.05, repeats: 3 };
    let config = SaturateConfig {
        step: Duration::from_secs(1),
        subscribers: 0,
        ..config(Load::Ramp(ramp), "stats=1")
    };
    // One frame takes 1 ms: 1,000 a second, of which heartbeats take 6.
    let (report, steps) = Pair::new(config, Duration::from_millis(1)).run();
    let knee = report.knee.clone().unwrap();
    assert!((950.0..=1_050.0).contains(&knee.rate_per_s), "{knee:?} {steps:?}");
    assert_eq!((report.verdict, knee.held, knee.of), ("knee", 3, 3), "{report:?}");
    assert!(report.exactness.exact, "{:?}", report.exactness);
}

#[test]
fn a_lost_connection_ends_it_with_the_reason_and_without_the_word_exact() {
    let mut pair = Pair::new(config(Load::Open { rate: 500.0 }, "stats=1"), Duration::from_micros(50));
    pair.cut = Some((LinkId(1), 50));
    let (report, _) = pair.run();
    assert_eq!(report.verdict, "failed");
    assert!(report.error.contains("is lost") && !report.exactness.exact, "{report:?}");
    assert_eq!(report.exactness.missing, 6);
}

#[test]
fn every_run_of_one_seed_is_the_same() {
    let told = || {
        Pair::new(config(Load::Open { rate: 100.0 }, "mixed"), Duration::from_micros(50)).run().0.to_json()
    };
    assert_eq!(told(), told());
}
