//! Runs the manager's core on the runtime: carries bytes, decides nothing. Its ledger is a group of one, in memory.
#![forbid(unsafe_code)]

use std::time::Duration;

use hyperscale_codec::Role;
use hyperscale_core::WallClock;
use hyperscale_fleet::{Identity, MembershipConfig, SwimConfig};
use hyperscale_ledger::MemoryLedger;
use hyperscale_manager::{Command, Local, ManagerConfig, ManagerCore};
use hyperscale_runtime::join::{JoinAddr, keep_resolving};
use hyperscale_runtime::tcp::BoundListener;
use hyperscale_runtime::udp::DatagramPorts;
use hyperscale_runtime::{Guard, LinkLimits, NodeConfig, NodeDriver, NodeHandle, Receiver, Shard, TaskKind};

/// A manager, before it starts.
#[derive(Debug, Clone)]
pub struct Manager {
    pub identity: Identity,
    pub fleet: String,
    /// Gates, and other managers of the datacenter, by name or address.
    pub join: Vec<JoinAddr>,
    pub wall: WallClock,
    /// Wait for a gate that lost its connection.
    pub gate_wait: Duration,
    pub limits: LinkLimits,
    /// Parameters of the membership.
    pub swim: SwimConfig,
}

/// What a manager tells its process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// No job is left, and none will come.
    Drained,
    /// The fleet does not take this node.
    Refused(String),
}

/// What the manager's shard takes with it.
#[derive(Debug)]
pub struct ManagerEnds {
    pub listener: BoundListener,
    pub datagrams: DatagramPorts,
    /// What stands between its links and its core.
    pub guard: Guard,
    /// Brings what the process wants of it.
    pub orders: Option<Receiver<Local>>,
}

/// Starts a manager on this shard.
#[must_use]
pub fn start(
    shard: &Shard,
    manager: &Manager,
    ends: ManagerEnds,
    seed: u64,
    told: impl Fn(Told) + 'static,
) -> NodeHandle<ManagerCore> {
    let ManagerEnds { listener, datagrams, guard, orders } = ends;
    let config = ManagerConfig {
        identity: manager.identity.clone(),
        seed,
        wall: manager.wall,
        gate_wait: manager.gate_wait,
        membership: MembershipConfig { fleet: manager.fleet.clone(), swim: manager.swim.clone(), seed },
    };
    let mut node =
        NodeConfig::of(&manager.identity, &manager.fleet, &[Role::Gate, Role::Manager, Role::Worker]);
    node.ports = vec![listener.addr().port()];
    node.limits = manager.limits.clone();
    let mut ledger = MemoryLedger::starting_at(manager.wall.unix_ms);
    let core = ManagerCore::new(config);
    let handle =
        NodeDriver::start_on(shard, node, vec![listener], datagrams, guard, core, move |command, cx| {
            match command {
                Command::Propose(entry) => cx.local(Local::Committed(ledger.commit(entry))),
                Command::Drained => told(Told::Drained),
                Command::Refused(error) => told(Told::Refused(error)),
            }
        });
    if let Some(orders) = orders {
        handle.feed(orders.open(shard));
    }
    let local = handle.local();
    let joining = keep_resolving(shard.clone(), manager.join.clone(), move |addrs| {
        local.send(Local::Join(addrs)).is_ok()
    });
    let _ends_with_the_shard = shard.spawn("join", TaskKind::Service, joining);
    handle
}
