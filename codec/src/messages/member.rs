//! The conversation about who is there: registrations and goodbyes (`spec.md` 9, 14).

use rkyv::{Archive, Deserialize, Serialize};

/// Worker to manager.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq)]
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
}

/// Manager to worker.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq)]
pub struct RegistrationResponse {
    pub accepted: bool,
    pub error: String,
    pub protocol_version: u32,
    pub features: u64,
    pub heartbeat_ms: u32,
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
    /// Worker shards registered with this manager.
    pub worker_shards: u32,
}

/// The answer to [`ManagerPeerRegistration`].
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq)]
pub struct ManagerPeerRegistrationResponse {
    pub accepted: bool,
    pub error: String,
    pub protocol_version: u32,
    pub features: u64,
    pub peers: Vec<String>,
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
