//! What a fleet is made of, before it starts.

use std::net::SocketAddr;
use std::time::Duration;

use hyperscale_client::{ClientConfig, ClientCore};
use hyperscale_codec::{JobId, NodeId, ProtocolVersion, Role, ShardId};
use hyperscale_core::{Instant, WallClock};
use hyperscale_fleet::{Identity, MembershipConfig};
use hyperscale_gate::{ArchiveConfig, GateConfig, GateCore};
use hyperscale_ledger::MemoryLedger;
use hyperscale_manager::{ManagerConfig, ManagerCore};
use hyperscale_reliability::RateLimitConfig;
use hyperscale_worker::{WorkerConfig, WorkerCore};

use super::Place;
use super::life::Life;
use super::node::{Brain, Node};
use crate::engines::Engine;
use crate::shards::{FakeShard, LoadShard};

/// A gate or manager that is gone is waited for so long; a client has as much patience.
pub(crate) const WAIT: Duration = Duration::from_secs(10);

/// Gates `gate-0`, ...; of each datacenter its managers and workers, numbered through the whole fleet; clients.
#[derive(Clone)]
pub(crate) struct Shape {
    pub(crate) gates: usize,
    pub(crate) gate_shards: u16,
    /// Name, managers, workers.
    pub(crate) datacenters: Vec<(&'static str, usize, usize)>,
    pub(crate) clients: usize,
    /// Of the first worker.
    pub(crate) shards: u16,
    /// Whether each worker has one shard more than the one before, so that no two are alike.
    pub(crate) uneven: bool,
    /// The production engine on each shard, before a target in virtual time; else shards that record so much a window.
    pub(crate) engines: bool,
    /// Who speaks which minor of version 1, and which feature bits nobody else knows.
    pub(crate) versions: Vec<(&'static str, u16, u64)>,
    /// Whether nodes have ports for datagrams, and so are members of groups.
    pub(crate) membership: bool,
    /// To what rates gates hold clients.
    pub(crate) limits: RateLimitConfig,
    /// Whether gates keep jobs that ended.
    pub(crate) archive: bool,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            gates: 1,
            gate_shards: 1,
            datacenters: vec![("local", 1, 1)],
            clients: 1,
            shards: 1,
            uneven: false,
            engines: false,
            versions: Vec::new(),
            membership: true,
            limits: RateLimitConfig::default(),
            archive: false,
        }
    }
}

/// The id of the `n`th node of a role.
pub(crate) fn node_id(role: Role, n: usize) -> NodeId {
    NodeId(((role as u128 + 1) << 64) | (n as u128 + 1))
}

/// The job of the `n`th submission of a story.
pub(crate) fn job_id(n: u128) -> JobId {
    JobId(0x5eed_0000_0000_0000_0000_0000_0000_0000 | n)
}

fn addr(port: usize) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], u16::try_from(port).unwrap()))
}

/// Where a node is; a gate of several shards has a port for each besides.
fn node_addr(role: Role, n: usize) -> SocketAddr {
    addr([50_000, 1_000, 2_000, 10_000][role as usize] + n)
}

fn oob_port(role: Role, n: usize) -> u16 {
    u16::try_from([0, 4_000, 5_000, 20_000][role as usize] + n).unwrap()
}

impl Shape {
    /// Addresses of all gates, as people would name them.
    fn gate_addrs(&self) -> Vec<SocketAddr> {
        (0..self.gates).map(|gate| node_addr(Role::Gate, gate)).collect()
    }

    fn manager_addrs(&self, datacenter: &str) -> Vec<SocketAddr> {
        let (mut next, mut addrs) = (0, Vec::new());
        for (name, managers, _) in &self.datacenters {
            if *name == datacenter {
                addrs.extend((next..next + managers).map(|n| node_addr(Role::Manager, n)));
            }
            next += managers;
        }
        addrs
    }

    /// One shard of a node, with the name of its role and number.
    pub(crate) fn node(&self, role: Role, n: usize, datacenter: &str, shard: u16) -> Node {
        let name = format!("{role}-{n}");
        let shards = match role {
            Role::Gate => self.gate_shards,
            Role::Worker if self.uneven => self.shards + u16::try_from(n).unwrap(),
            Role::Worker => self.shards,
            Role::Manager | Role::Client => 1,
        };
        let shared = node_addr(role, n);
        let own = |shard: u16| addr(30_000 + n * 64 + usize::from(shard));
        let several = role == Role::Gate && shards > 1;
        let identity = Identity {
            datacenter: datacenter.to_owned(),
            shards,
            addr: (role != Role::Client).then_some(shared),
            swim_port: if role == Role::Client || !self.membership { 0 } else { shared.port() },
            oob_port: if role == Role::Client || !self.membership { 0 } else { oob_port(role, n) },
            ..Identity::new(role, node_id(role, n), name.clone())
        };
        let loads = if role == Role::Worker { shards } else { 0 };
        let mut node = Node {
            identity,
            shard: ShardId(shard),
            addr: if several { own(shard) } else { shared },
            ports: if several { (0..shards).map(|shard| own(shard).port()).collect() } else { Vec::new() },
            join: match role {
                Role::Gate | Role::Manager => self.gate_addrs(),
                Role::Worker => self.manager_addrs(datacenter),
                Role::Client => Vec::new(),
            },
            oob_port: if role == Role::Client || !self.membership { 0 } else { oob_port(role, n) },
            host: role as usize * 100_000 + n,
            life: Life::default(),
            brain: None,
            door: None,
            monitor: None,
            ledger: MemoryLedger::default(),
            load: (0..loads).map(|shard| self.load(ShardId(shard))).collect(),
            recorded_before: 0,
            notices: Vec::new(),
            drained: false,
            refused: None,
        };
        if role == Role::Manager {
            node.join.extend(self.manager_addrs(datacenter));
        }
        if let Some((_, minor, unknown)) = self.versions.iter().find(|(who, _, _)| *who == name) {
            node.speak(*minor, *unknown);
        }
        node
    }

    pub(crate) fn load(&self, shard: ShardId) -> LoadShard {
        if self.engines {
            LoadShard::Engine(Box::new(Engine::new(shard)))
        } else {
            LoadShard::Fake(FakeShard::default())
        }
    }

    pub(crate) fn nodes(&self) -> Vec<Node> {
        let gates = (0..self.gates).flat_map(|n| (0..self.gate_shards).map(move |shard| (n, shard)));
        let mut nodes: Vec<Node> = gates.map(|(n, shard)| self.node(Role::Gate, n, "", shard)).collect();
        let (mut managers, mut workers) = (0, 0);
        for (datacenter, own_managers, own_workers) in &self.datacenters {
            let of = |role, from: usize, count: usize| {
                (from..from + count).map(move |n| self.node(role, n, datacenter, 0))
            };
            nodes.extend(of(Role::Manager, managers, *own_managers));
            nodes.extend(of(Role::Worker, workers, *own_workers));
            (managers, workers) = (managers + own_managers, workers + own_workers);
        }
        nodes.extend((0..self.clients).map(|n| self.node(Role::Client, n, "", 0)));
        nodes
    }

    /// A core that starts now.
    pub(crate) fn brain(
        &self,
        node: &Node,
        now: Instant,
        seed: Place,
        archive: Option<ArchiveConfig>,
    ) -> Brain {
        let wall = WallClock { unix_ms: 1_790_000_000_000 + now.0 / 1_000_000, at: node.life.local(now) };
        let identity = node.identity.clone();
        let seed = (identity.boot << 32) + seed as u64;
        match node.identity.role {
            Role::Gate => Brain::Gate(Box::new(GateCore::new(GateConfig {
                identity,
                shard: node.shard,
                addr: node.addr.to_string(),
                seed,
                wall,
                dispatch_wait: Duration::from_secs(30),
                manager_wait: WAIT,
                snapshots_max: hyperscale_gate::SNAPSHOTS_MAX,
                archive,
                membership: MembershipConfig::new("default", seed),
            }))),
            Role::Manager => Brain::Manager(Box::new(ManagerCore::new(ManagerConfig {
                identity,
                seed,
                wall,
                gate_wait: WAIT,
                membership: MembershipConfig::new("default", seed),
            }))),
            Role::Worker => Brain::Worker(Box::new(WorkerCore::new(WorkerConfig {
                identity,
                capacity_vus: 1_000,
                seed,
                wall,
                membership: MembershipConfig::new("default", seed),
            }))),
            Role::Client => {
                let mut gates = self.gate_addrs();
                // Each client begins with a gate of its own.
                let number = usize::try_from(node.identity.node.0 & 0xffff).unwrap() - 1;
                gates.rotate_left(number % self.gates);
                Brain::Client(Box::new(ClientCore::new(ClientConfig {
                    identity,
                    gates,
                    wall,
                    patience: WAIT,
                })))
            }
        }
    }
}

impl Node {
    /// Whether it speaks a minor that this build does not know.
    pub(crate) fn is_newer(&self) -> bool {
        self.identity.version > ProtocolVersion::CURRENT
    }
}
