//! The conversation about who is there: registrations, heartbeats, lists of nodes, goodbyes (`spec.md` 3, 9, 14).

use rkyv::{Archive, Deserialize, Serialize};

/// Worker to manager.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq, Default)]
pub struct WorkerRegistration {
    pub node: [u8; 16],
    pub name: String,
    pub node_version: String,
    /// Protocol version as `major << 16 | minor`, and feature bits.
    pub protocol_version: u32,
    pub features: u64,
    pub boot: u64,
    pub incarnation: u64,
    pub shards: u32,
    pub capacity_vus: u32,
    /// `host:port` of its frame port and of its admin port; empty: none.
    pub addr: String,
    pub admin: String,
    /// Of the next minor.
    #[cfg(feature = "next-minor")]
    pub labels: Option<Vec<String>>,
}

/// Manager to worker.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq)]
pub struct RegistrationResponse {
    pub accepted: bool,
    pub error: String,
    pub protocol_version: u32,
    pub features: u64,
    pub heartbeat_ms: u32,
    /// Frame addresses of all managers of the datacenter that the answering one knows, its own first.
    pub managers: Vec<String>,
}

/// Manager to manager or gate.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq)]
pub struct ManagerPeerRegistration {
    pub node: [u8; 16],
    pub name: String,
    pub datacenter: String,
    pub node_version: String,
    pub protocol_version: u32,
    pub features: u64,
    pub boot: u64,
    pub incarnation: u64,
    pub shards: u32,
    /// Worker shards registered with this manager that take work.
    pub worker_shards: u32,
    /// `host:port` of its frame port and of its admin port; empty: none.
    pub addr: String,
    pub admin: String,
}

/// The answer to [`ManagerPeerRegistration`].
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq)]
pub struct ManagerPeerRegistrationResponse {
    pub accepted: bool,
    pub error: String,
    pub protocol_version: u32,
    pub features: u64,
    /// Frame addresses of the nodes of the answerer's own role that it knows, its own first.
    pub peers: Vec<String>,
}

/// Gate to gate.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq)]
pub struct GatePeerRegistration {
    pub node: [u8; 16],
    pub name: String,
    pub node_version: String,
    pub protocol_version: u32,
    pub features: u64,
    pub boot: u64,
    pub incarnation: u64,
    pub shards: u32,
    /// `host:port` of its frame port and of its admin port; empty: none.
    pub addr: String,
    pub admin: String,
}

/// The answer to [`GatePeerRegistration`].
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq)]
pub struct GatePeerRegistrationResponse {
    pub accepted: bool,
    pub error: String,
    pub protocol_version: u32,
    pub features: u64,
    /// Frame addresses of all gates that the answerer knows, its own first.
    pub peers: Vec<String>,
}

/// 19-7. How a node says it is; the newest by (boot, incarnation, seq) counts. Frozen: it is part of other roots.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Default)]
pub struct HealthPiggyback {
    pub node_id: [u8; 16],
    /// [`crate::Role`] as its number.
    pub node_type: u8,
    pub boot: u64,
    pub incarnation: u64,
    pub seq: u32,
    /// Whether it takes new work.
    pub accepting_work: bool,
    /// Free virtual users in thousands for workers, free worker shards else.
    pub capacity: u32,
    /// Units of progress per second, and how many there should be.
    pub throughput: f32,
    pub expected_throughput: f32,
    /// 0 healthy, 1 busy, 2 stressed, 3 overloaded.
    pub overload_state: u8,
    /// Lifeguard's local health, 0 to 8.
    pub lhm: u8,
}

/// Three readings that tell two nodes' clocks apart (NTP's formula). Wall clock of their own node, in ns since 1970.
/// Frozen: it is part of other roots.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ClockReading {
    /// When this was sent.
    pub sent_ns: u64,
    /// The last `sent_ns` that came from the receiver; 0: none yet.
    pub echo_ns: u64,
    /// How long ago that came.
    pub held_ns: u64,
}

/// Worker to manager.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq, Default)]
pub struct WorkerHeartbeat {
    pub health: HealthPiggyback,
    pub clock: ClockReading,
    /// Shares that have not ended.
    pub shares: u32,
    /// Of the next minor.
    #[cfg(feature = "next-minor")]
    pub uptime_ms: u64,
}

/// Manager to gate, manager and worker.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq, Default)]
pub struct ManagerHeartbeat {
    pub health: HealthPiggyback,
    pub clock: ClockReading,
    pub has_quorum: bool,
    pub accepting_jobs: bool,
    pub is_leader: bool,
    pub workers_live: u32,
    pub workers_known: u32,
    /// Jobs that have not ended.
    pub jobs: u32,
    /// Of the next minor.
    #[cfg(feature = "next-minor")]
    pub uptime_ms: u64,
}

/// Gate to gate and manager.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq, Default)]
pub struct GateHeartbeat {
    pub health: HealthPiggyback,
    pub clock: ClockReading,
    pub is_leader: bool,
    /// Jobs of the sending shard that have not ended.
    pub jobs: u32,
    /// Of the next minor.
    #[cfg(feature = "next-minor")]
    pub uptime_ms: u64,
}

/// Who is in the fleet? Client to gate; gate to manager, for its workers.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq)]
pub struct NodesRequest {
    /// Rows after this one, as [`NodesResponse::next`] told it; empty: from the first.
    pub cursor: String,
    /// Rows at most; 0 and more than 1,000 are 1,000.
    pub limit: u32,
}

/// One node as another one sees it; part of [`NodesResponse`].
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq)]
pub struct NodeEntry {
    pub node: [u8; 16],
    /// [`crate::Role`] as its number.
    pub role: u8,
    pub name: String,
    /// Empty for gates.
    pub datacenter: String,
    pub addr: String,
    pub admin: String,
    pub protocol_version: u32,
    pub node_version: String,
    /// [`NodeState`](crate::messages::NodeState) as its number.
    pub state: u8,
    pub shards: u32,
    pub accepting: bool,
    /// As in [`HealthPiggyback`].
    pub overload_state: u8,
    /// Jobs of gates and managers, shares of workers, that have not ended.
    pub jobs: u32,
    /// How long it has been known.
    pub since_ms: u64,
    /// Whether the clocks of it and of the node that watches it were compared; by how much its own is ahead, and how
    /// far that may be off.
    pub clock_known: bool,
    pub clock_offset_us: i64,
    pub clock_error_us: u64,
}

/// One page of nodes, sorted by role and name.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq)]
pub struct NodesResponse {
    pub nodes: Vec<NodeEntry>,
    /// Ask again from here; empty: that was all.
    pub next: String,
    /// Managers that did not answer in time; their workers are missing.
    pub missing: Vec<String>,
}

/// The last word on a connection. Critical.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq)]
pub struct Goodbye {
    /// [`crate::ErrorCode`] as its number; 0 is an orderly end.
    pub code: u16,
    pub text: String,
    pub retry_after_ms: u32,
}

/// The answer to a request that could not be met.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq)]
pub struct ErrorReply {
    /// [`crate::ErrorCode`] as its number.
    pub code: u16,
    /// What was wrong, where, and what would be right.
    pub message: String,
    pub retry_after_ms: u32,
    /// Node id of the job's present owner, or zero.
    pub holder: [u8; 16],
    pub holder_addr: String,
    /// The highest token seen, for `stale_token`.
    pub seen: u64,
}

/// The answer to a request beyond its caller's rate, for peers with the feature `rate_limiting`; others get an
/// [`ErrorReply`] with the same time to wait. Critical.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq)]
pub struct RateLimitResponse {
    /// Which rate: a number of the table of operations (`hyperscale_reliability::Operation`).
    pub operation: u8,
    /// When a token will be there; longer than any client lives when never.
    pub retry_after_ms: u32,
    /// Requests at once at most.
    pub limit: u32,
    /// Requests that would be taken now.
    pub remaining: u32,
}
