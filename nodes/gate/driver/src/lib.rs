//! Runs the gate's core on the runtime: carries bytes, decides nothing. Its ledger is a group of one, in memory.
//!
//! Each shard listens on the node's address, which the kernel spreads connections over, and on a port of its own, which
//! its greeting tells: who streams for a job connects to the shard that owns it.
#![forbid(unsafe_code)]

mod archive;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyperscale_codec::{Role, ShardId};
use hyperscale_core::WallClock;
use hyperscale_fleet::{Identity, MemberView, MembershipConfig, SwimConfig};
use hyperscale_gate::{ArchiveConfig, Command, GateConfig, GateCore, Local, SNAPSHOTS_MAX};
use hyperscale_ledger::MemoryLedger;
use hyperscale_runtime::join::{JoinAddr, keep_resolving};
use hyperscale_runtime::tcp::{BoundListener, ListenError, bind};
use hyperscale_runtime::udp::{DatagramPorts, bind_ports};
use hyperscale_runtime::{
    Guard, LinkLimits, NodeConfig, NodeDriver, NodeHandle, Receiver, Shard, Siblings, TaskKind, siblings,
};

pub use archive::{Folder, Loaded, ToDisk, start as start_disk};

/// What all shards of a gate share.
#[derive(Debug, Clone)]
pub struct Gate {
    pub identity: Identity,
    pub fleet: String,
    /// Other gates, by name or address.
    pub join: Vec<JoinAddr>,
    pub wall: WallClock,
    /// Wait for a datacenter that can take a job.
    pub dispatch_wait: Duration,
    /// Wait for a manager that lost its connection.
    pub manager_wait: Duration,
    pub limits: LinkLimits,
    /// Parameters of the membership.
    pub swim: SwimConfig,
    /// The disk with the finished jobs, and what is on it; without one they are forgotten soon.
    pub archive: Option<(ToDisk, ArchiveConfig)>,
}

/// What one shard takes with it.
#[derive(Debug)]
pub struct GateShard {
    shared: BoundListener,
    own: Option<BoundListener>,
    ports: Arc<Vec<u16>>,
    siblings: Option<Siblings>,
    datagrams: DatagramPorts,
}

/// All that a gate is reached through.
#[derive(Debug)]
pub struct BoundGate {
    /// The node's address, with the port that was chosen.
    pub addr: SocketAddr,
    /// Numbers of the ports for datagrams, which the first shard has.
    pub swim_port: u16,
    pub oob_port: u16,
    pub shards: Vec<GateShard>,
}

/// What a gate's shard tells the process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// No job of this shard is left, and none will come.
    Drained,
    /// The fleet does not take this node.
    Refused(String),
    /// What the node's other shards should be told ([`Local::Members`]).
    Members(Vec<MemberView>),
}

/// Binds everything a gate of so many shards listens on, before any of them starts; the node's address with the port
/// that was chosen.
///
/// # Errors
/// [`ListenError`], such as for an address in use.
pub fn bind_shards(listen: SocketAddr, shards: u16) -> Result<(SocketAddr, Vec<GateShard>), ListenError> {
    let shared = bind(listen, shards)?;
    share_out(listen, shared)
}

/// As [`bind_shards`], with ports for datagrams.
///
/// # Errors
/// [`ListenError`], such as for an address in use.
pub fn bind_gate(listen: SocketAddr, shards: u16) -> Result<BoundGate, ListenError> {
    let (shared, datagrams) = bind_ports(listen, shards)?;
    let (swim_port, oob_port) = (datagrams.swim_port(), datagrams.oob_port());
    let (addr, mut shards) = share_out(listen, shared)?;
    if let Some(first) = shards.first_mut() {
        first.datagrams = datagrams;
    }
    Ok(BoundGate { addr, swim_port, oob_port, shards })
}

fn share_out(
    listen: SocketAddr,
    shared: Vec<BoundListener>,
) -> Result<(SocketAddr, Vec<GateShard>), ListenError> {
    let shards = u16::try_from(shared.len()).unwrap_or(u16::MAX);
    let addr = shared.first().map_or(listen, BoundListener::addr);
    if shards <= 1 {
        let ports = Arc::new(vec![addr.port()]);
        let only = shared.into_iter().map(|shared| GateShard {
            shared,
            own: None,
            ports: Arc::clone(&ports),
            siblings: None,
            datagrams: DatagramPorts::default(),
        });
        return Ok((addr, only.collect()));
    }
    let mut own = Vec::with_capacity(usize::from(shards));
    for _ in 0..shards {
        own.extend(bind(SocketAddr::new(addr.ip(), 0), 1)?);
    }
    let ports = Arc::new(own.iter().map(|own| own.addr().port()).collect::<Vec<_>>());
    let ends = shared.into_iter().zip(own).zip(siblings(shards));
    let shards = ends.map(|((shared, own), siblings)| GateShard {
        shared,
        own: Some(own),
        ports: Arc::clone(&ports),
        siblings: Some(siblings),
        datagrams: DatagramPorts::default(),
    });
    Ok((addr, shards.collect()))
}

/// Starts one shard of a gate, behind its guard. `orders` brings what the process wants of it.
#[must_use]
pub fn start(
    shard: &Shard,
    gate: &Gate,
    ends: GateShard,
    guard: Guard,
    seed: u64,
    orders: Option<Receiver<Local>>,
    told: impl Fn(Told) + 'static,
) -> NodeHandle<GateCore> {
    let GateShard { shared, own, ports, siblings, datagrams } = ends;
    let here = own.as_ref().unwrap_or(&shared).addr();
    let config = GateConfig {
        identity: gate.identity.clone(),
        shard: ShardId(shard.id()),
        addr: here.to_string(),
        seed,
        wall: gate.wall,
        dispatch_wait: gate.dispatch_wait,
        manager_wait: gate.manager_wait,
        archive: gate.archive.as_ref().map(|(_, config)| config.clone()),
        snapshots_max: SNAPSHOTS_MAX / usize::from(gate.identity.shards.max(1)),
        membership: MembershipConfig { fleet: gate.fleet.clone(), swim: gate.swim.clone(), seed },
    };
    let mut node = NodeConfig::of(&gate.identity, &gate.fleet, &[Role::Client, Role::Gate, Role::Manager]);
    node.ports = ports.to_vec();
    node.limits = gate.limits.clone();
    let (disk, id) = (gate.archive.as_ref().map(|(disk, _)| disk.clone()), shard.id());
    let mut ledger = MemoryLedger::starting_at(gate.wall.unix_ms);
    let listeners = own.into_iter().chain([shared]).collect();
    let handle = NodeDriver::start_on(
        shard,
        node,
        listeners,
        datagrams,
        guard,
        GateCore::new(config),
        move |command, cx| match command {
            Command::Propose(entry) => cx.local(Local::Committed(ledger.commit(entry))),
            Command::Drained => told(Told::Drained),
            Command::Refused(error) => told(Told::Refused(error)),
            Command::Members(members) => told(Told::Members(members)),
            Command::Archive(order) => {
                if let Some(failed) = disk.as_ref().and_then(|disk| disk.order(id, order)) {
                    cx.local(Local::Archive(failed));
                }
            }
        },
    );
    if let Some(siblings) = siblings {
        handle.join_siblings(siblings);
    }
    if let Some(orders) = orders {
        handle.feed(orders.open(shard));
    }
    let local = handle.local();
    let joining =
        keep_resolving(shard.clone(), gate.join.clone(), move |addrs| local.send(Local::Join(addrs)).is_ok());
    let _ends_with_the_shard = shard.spawn("join", TaskKind::Service, joining);
    handle
}
