//! One shard of a node: a production core, and what its driver would do around it.

use std::convert::Infallible;
use std::net::SocketAddr;

use hyperscale_client::{ClientCore, Notice};
use hyperscale_codec::{ErrorCode, Hello, NodeId, ProtocolVersion, RawFrame, Role, ShardId, Verdict};
use hyperscale_core::{Core, DatagramPort, DialId, Effect, Effects, Event, Instant, LinkId};
use hyperscale_fleet::Identity;
use hyperscale_gate::GateCore;
use hyperscale_ledger::MemoryLedger;
use hyperscale_manager::ManagerCore;
use hyperscale_worker::WorkerCore;

use super::crowd::Crowd;
use super::door::Door;
use super::life::Life;
use super::monitor::Monitor;
use super::weather::Host;
use crate::shards::LoadShard;

/// A core of any role.
pub(crate) enum Brain {
    Gate(Box<GateCore>),
    Manager(Box<ManagerCore>),
    Worker(Box<WorkerCore>),
    Client(Box<ClientCore>),
    /// No production core: many clients that only ask.
    Crowd(Box<Crowd>),
}

/// What its driver tells a core.
pub(crate) enum Local {
    Gate(hyperscale_gate::Local),
    Manager(hyperscale_manager::Local),
    Worker(hyperscale_worker::Local),
    Client(hyperscale_client::Local),
}

/// What a core asks of its driver.
#[derive(Debug)]
pub(crate) enum Asked {
    Gate(hyperscale_gate::Command),
    Manager(hyperscale_manager::Command),
    Worker(hyperscale_worker::Command),
    Client(hyperscale_client::Command),
}

/// What a core wants done.
#[derive(Debug)]
pub(crate) enum Wish {
    Send(LinkId, Vec<u8>),
    Datagram(DatagramPort, SocketAddr, Vec<u8>),
    Dial(DialId, SocketAddr),
    Close(LinkId),
    /// A frame was refused; its driver counts it.
    Refused(ErrorCode),
    Asked(Asked),
}

/// One shard of a node.
pub(crate) struct Node {
    pub(crate) identity: Identity,
    pub(crate) shard: ShardId,
    /// Of this very shard; a node of one shard has no other.
    pub(crate) addr: SocketAddr,
    /// Of every shard of the node.
    pub(crate) ports: Vec<u16>,
    /// Of its health probes; 0 if it has no datagram ports. Membership has the number of the frame port.
    pub(crate) oob_port: u16,
    pub(crate) host: Host,
    pub(crate) life: Life,
    /// Whom it dials when it starts.
    pub(crate) join: Vec<SocketAddr>,
    /// `None`: it does not run.
    pub(crate) brain: Option<Brain>,
    /// What stands before its core while it runs, made with it.
    pub(crate) door: Option<Door>,
    /// Of the whole node, if its load is measured; the first shard has it.
    pub(crate) monitor: Option<Monitor>,
    pub(crate) ledger: MemoryLedger,
    pub(crate) load: Vec<LoadShard>,
    /// Requests that its load shards recorded before it started anew.
    pub(crate) recorded_before: u64,
    /// What a client was told.
    pub(crate) notices: Vec<Notice>,
    pub(crate) drained: bool,
    pub(crate) refused: Option<String>,
}

/// Events that mean the same to every role.
pub(crate) type Bare<'a> = Event<'a, Infallible>;

fn typed<L>(bare: Bare<'_>) -> Event<'_, L> {
    match bare {
        Event::Frame { link, frame } => Event::Frame { link, frame: RawFrame { ..frame } },
        Event::LinkDown { link, why } => Event::LinkDown { link, why },
        Event::LinkUp { link, peer, dial } => Event::LinkUp { link, peer, dial },
        Event::DialFailed { dial, error } => Event::DialFailed { dial, error },
        Event::Datagram { port, from, bytes } => Event::Datagram { port, from, bytes },
        Event::Timer => Event::Timer,
        Event::Local(never) => match never {},
    }
}

/// What `act` makes a core want.
pub(crate) fn wishes<C: Core>(
    core: &mut C,
    asked: fn(C::Command) -> Asked,
    act: impl FnOnce(&mut C, &mut Effects<C::Command>),
) -> Vec<Wish> {
    let (mut effects, mut list) = (Effects::default(), Vec::new());
    act(core, &mut effects);
    effects.take(&mut list);
    assert_eq!(effects.take_failure(), None);
    let wish = |effect| match effect {
        Effect::Send { link, range } => Wish::Send(link, effects.frame(range).to_vec()),
        Effect::Datagram { port, to, range } => Wish::Datagram(port, to, effects.frame(range).to_vec()),
        Effect::Dial { dial, addr } => Wish::Dial(dial, addr),
        Effect::Close { link } => Wish::Close(link),
        Effect::Command(command) => Wish::Asked(asked(command)),
        Effect::Refused { code, .. } => Wish::Refused(code),
    };
    list.into_iter().map(wish).collect()
}

impl Node {
    /// Something happens to it; what it wants done. Nothing, if it does not run.
    pub(crate) fn happen(&mut self, now: Instant, event: Bare<'_>) -> Vec<Wish> {
        match &mut self.brain {
            Some(Brain::Gate(core)) => {
                wishes(&mut **core, Asked::Gate, |core, out| core.handle(now, typed(event), out))
            }
            Some(Brain::Manager(core)) => {
                wishes(&mut **core, Asked::Manager, |core, out| core.handle(now, typed(event), out))
            }
            Some(Brain::Worker(core)) => {
                wishes(&mut **core, Asked::Worker, |core, out| core.handle(now, typed(event), out))
            }
            Some(Brain::Client(core)) => {
                wishes(&mut **core, Asked::Client, |core, out| core.handle(now, typed(event), out))
            }
            Some(Brain::Crowd(crowd)) => crowd.happen(now, event),
            None => Vec::new(),
        }
    }

    /// Its driver tells it something.
    pub(crate) fn tell(&mut self, now: Instant, local: Local) -> Vec<Wish> {
        match (&mut self.brain, local) {
            (Some(Brain::Gate(core)), Local::Gate(local)) => {
                wishes(&mut **core, Asked::Gate, |core, out| core.handle(now, Event::Local(local), out))
            }
            (Some(Brain::Manager(core)), Local::Manager(local)) => {
                wishes(&mut **core, Asked::Manager, |core, out| core.handle(now, Event::Local(local), out))
            }
            (Some(Brain::Worker(core)), Local::Worker(local)) => {
                wishes(&mut **core, Asked::Worker, |core, out| core.handle(now, Event::Local(local), out))
            }
            (Some(Brain::Client(core)), Local::Client(local)) => {
                wishes(&mut **core, Asked::Client, |core, out| core.handle(now, Event::Local(local), out))
            }
            (None, _) => Vec::new(),
            (Some(_), _) => panic!("{} is of another role", self.identity.name),
        }
    }

    /// How its role says that it joins others.
    pub(crate) fn joins(&self) -> Option<Local> {
        let join = self.join.clone();
        match self.identity.role {
            Role::Gate => Some(Local::Gate(hyperscale_gate::Local::Join(join))),
            Role::Manager => Some(Local::Manager(hyperscale_manager::Local::Join(join))),
            Role::Worker => Some(Local::Worker(hyperscale_worker::Local::Join(join))),
            Role::Client => None,
        }
    }

    /// How its role says that it takes no more work.
    pub(crate) fn drains(&self) -> Local {
        match self.identity.role {
            Role::Gate => Local::Gate(hyperscale_gate::Local::Drain),
            Role::Manager => Local::Manager(hyperscale_manager::Local::Drain),
            Role::Worker => Local::Worker(hyperscale_worker::Local::Drain),
            Role::Client => panic!("a client has nothing to drain"),
        }
    }

    /// When its core has something to do, by its own clock.
    pub(crate) fn core_due(&self) -> Option<Instant> {
        match self.brain.as_ref()? {
            Brain::Gate(core) => core.next_deadline(),
            Brain::Manager(core) => core.next_deadline(),
            Brain::Worker(core) => core.next_deadline(),
            Brain::Client(core) => core.next_deadline(),
            Brain::Crowd(crowd) => crowd.next_due(),
        }
    }

    /// When its core or one of its load shards has something to do and can do it, by the world's clock.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.brain.as_ref()?;
        let (life, free) = (&self.life, self.life.free_at());
        let core = self.core_due().map(|due| life.world(due).max(free));
        let mail = (!life.inbox.is_empty()).then_some(free);
        let loads = self.load.iter().filter_map(LoadShard::next_due);
        let loads = loads.map(|due| life.world(due).max(life.paused_until));
        loads.chain(core).chain(mail).min()
    }

    /// Its process is gone.
    pub(super) fn end(&mut self) {
        (self.brain, self.door, self.monitor) = (None, None, None);
        self.life.end();
    }

    /// Which start of which node it is.
    pub(crate) fn who(&self) -> (NodeId, u64) {
        (self.identity.node, self.identity.boot)
    }

    /// Where its datagrams come from, and go to.
    pub(crate) fn datagram_addr(&self, port: DatagramPort) -> Option<SocketAddr> {
        let frames = self.identity.addr.filter(|_| self.oob_port != 0)?;
        Some(match port {
            DatagramPort::Membership => frames,
            DatagramPort::Health => SocketAddr::new(frames.ip(), self.oob_port),
        })
    }

    pub(crate) fn recorded(&self) -> u64 {
        self.recorded_before + self.load.iter().map(LoadShard::recorded).sum::<u64>()
    }

    /// What it says of itself when it connects.
    pub(crate) fn hello(&self) -> Hello {
        let identity = &self.identity;
        Hello {
            verdict: Verdict::Welcome,
            role: identity.role,
            version: identity.version,
            shards: identity.shards,
            shard: self.shard,
            in_flight_max: 64,
            features: identity.features,
            node: identity.node,
            boot: identity.boot,
            core_max: 4 << 20,
            idle_timeout_ms: 0,
            retry_after_ms: 0,
            node_version: identity.node_version.clone(),
            fleet: "default".to_owned(),
            text: String::new(),
            name: identity.name.clone(),
            ports: self.ports.clone(),
            swim_port: self.datagram_addr(DatagramPort::Membership).map_or(0, |addr| addr.port()),
            oob_port: self.oob_port,
        }
    }

    /// The same for one dial: each of a crowd has an id of its own.
    pub(crate) fn hello_for(&self, dial: DialId) -> Hello {
        let hello = self.hello();
        match &self.brain {
            Some(Brain::Crowd(crowd)) => Hello { node: crowd.id(dial), ..hello },
            Some(_) | None => hello,
        }
    }

    pub(crate) fn is_crowd(&self) -> bool {
        matches!(self.brain, Some(Brain::Crowd(_)))
    }

    /// It speaks another version, with that version's features and these unknown ones.
    pub(crate) fn speak(&mut self, minor: u16, unknown: u64) {
        let version = ProtocolVersion { major: 1, minor };
        self.identity.version = version;
        self.identity.features = hyperscale_codec::Features(version.features().0 | unknown);
    }
}
