//! Who a node is, as it tells others.

use std::net::SocketAddr;

use hyperscale_codec::messages::{
    GatePeerRegistration, HealthPiggyback, ManagerPeerRegistration, WorkerRegistration,
};
use hyperscale_codec::{Features, NodeCapabilities, NodeId, ProtocolVersion, Role};

/// A node's name tag. The same on all of its shards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    pub node: NodeId,
    /// What people call it; unique per fleet and role.
    pub name: String,
    pub role: Role,
    /// Empty for gates and clients.
    pub datacenter: String,
    /// Counts the starts of this id.
    pub boot: u64,
    pub version: ProtocolVersion,
    /// What it has switched on.
    pub features: Features,
    /// The build, for people.
    pub node_version: String,
    pub shards: u16,
    /// Where its frame port and its admin port are, once they listen.
    pub addr: Option<SocketAddr>,
    pub admin: Option<SocketAddr>,
    /// Its UDP ports for membership and for health probes, of the same address; 0: none.
    pub swim_port: u16,
    pub oob_port: u16,
}

impl Identity {
    /// A node of this build with one shard, that listens nowhere yet.
    #[must_use]
    pub fn new(role: Role, node: NodeId, name: impl Into<String>) -> Self {
        let version = ProtocolVersion::CURRENT;
        Self {
            node,
            name: name.into(),
            role,
            datacenter: String::new(),
            boot: 1,
            version,
            features: version.features(),
            node_version: env!("CARGO_PKG_VERSION").to_owned(),
            shards: 1,
            addr: None,
            admin: None,
            swim_port: 0,
            oob_port: 0,
        }
    }

    /// What it can do, to be negotiated.
    #[must_use]
    pub fn capabilities(&self) -> NodeCapabilities {
        NodeCapabilities {
            protocol_version: self.version,
            capabilities: self.features,
            node_version: self.node_version.clone(),
        }
    }

    /// Its frame address as it travels; empty if it has none.
    #[must_use]
    pub fn addr_text(&self) -> String {
        text(self.addr)
    }

    /// As a gate registers with gates.
    #[must_use]
    pub fn gate_registration(&self) -> GatePeerRegistration {
        GatePeerRegistration {
            node: self.node.to_bytes(),
            name: self.name.clone(),
            node_version: self.node_version.clone(),
            protocol_version: self.version.to_wire(),
            features: self.features.0,
            boot: self.boot,
            incarnation: 0,
            shards: u32::from(self.shards),
            addr: text(self.addr),
            admin: text(self.admin),
        }
    }

    /// As a manager registers with gates and managers.
    #[must_use]
    pub fn manager_registration(&self, worker_shards: u32) -> ManagerPeerRegistration {
        ManagerPeerRegistration {
            node: self.node.to_bytes(),
            name: self.name.clone(),
            datacenter: self.datacenter.clone(),
            node_version: self.node_version.clone(),
            protocol_version: self.version.to_wire(),
            features: self.features.0,
            boot: self.boot,
            incarnation: 0,
            shards: u32::from(self.shards),
            worker_shards,
            addr: text(self.addr),
            admin: text(self.admin),
        }
    }

    /// As a worker registers with managers.
    #[must_use]
    pub fn worker_registration(&self, capacity_vus: u32) -> WorkerRegistration {
        WorkerRegistration {
            node: self.node.to_bytes(),
            name: self.name.clone(),
            node_version: self.node_version.clone(),
            protocol_version: self.version.to_wire(),
            features: self.features.0,
            boot: self.boot,
            incarnation: 0,
            shards: u32::from(self.shards),
            capacity_vus,
            addr: text(self.addr),
            admin: text(self.admin),
            ..WorkerRegistration::default()
        }
    }

    /// How it is, for a heartbeat. `capacity`: free worker shards, or thousands of free VUs of a worker.
    #[must_use]
    pub fn health(&self, seq: u32, accepting_work: bool, capacity: u32) -> HealthPiggyback {
        HealthPiggyback {
            node_id: self.node.to_bytes(),
            node_type: self.role as u8,
            boot: self.boot,
            incarnation: 0,
            seq,
            accepting_work,
            capacity,
            throughput: 0.0,
            expected_throughput: 0.0,
            overload_state: 0,
            lhm: 0,
        }
    }
}

fn text(addr: Option<SocketAddr>) -> String {
    addr.map_or_else(String::new, |addr| addr.to_string())
}
