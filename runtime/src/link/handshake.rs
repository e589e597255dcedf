//! The first bytes on a connection: who is there, and may it talk to us.
//!
//! The dialler greets, the acceptor answers with its own Hello and a verdict, and both check what they got. Pure but
//! for the two functions that read and write.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use hyperscale_codec::{
    Features, HELLO_LEN_MAX, HELLO_PREFIX, Hello, HelloError, NodeId, ProtocolVersion, Role, ShardId,
    Verdict, hello_len,
};
use hyperscale_core::DialError;
use hyperscale_fleet::Identity;

use crate::tcp::Stream;
use crate::{LinkLimits, Shard, TimedOut, clock};

/// Requests one node takes at once on a link, as told in its Hello.
const IN_FLIGHT_MAX: u16 = 1024;

/// What a node is and allows; told in its Hello.
#[derive(Debug, Clone)]
pub struct NodeConfig {
    /// What it is.
    pub role: Role,
    /// Its id.
    pub node: NodeId,
    /// What people call it: 1 to 64 characters.
    pub name: String,
    /// The fleet it belongs to; others are refused.
    pub fleet: String,
    /// Grows with each start of this id.
    pub boot: u64,
    /// What it speaks.
    pub version: ProtocolVersion,
    /// What it has switched on.
    pub features: Features,
    /// The build, for people.
    pub node_version: String,
    /// Shards that its work is divided among.
    pub shards: u16,
    /// Roles that may connect to it.
    pub accepts: Vec<Role>,
    /// The port of each shard, where they have one.
    pub ports: Vec<u16>,
    /// Where to listen, if at all; port 0 for a free one.
    pub listen: Option<SocketAddr>,
    /// Bounds and deadlines.
    pub limits: LinkLimits,
}

impl NodeConfig {
    /// A node of fleet `default` that does not listen and lets every role in.
    #[must_use]
    pub fn new(role: Role, node: NodeId, name: impl Into<String>) -> Self {
        Self {
            role,
            node,
            name: name.into(),
            fleet: "default".to_owned(),
            boot: clock::wall_clock().unix_ms,
            version: ProtocolVersion::CURRENT,
            features: ProtocolVersion::CURRENT.features(),
            node_version: env!("CARGO_PKG_VERSION").to_owned(),
            accepts: vec![Role::Client, Role::Gate, Role::Manager, Role::Worker],
            shards: 1,
            ports: Vec::new(),
            listen: None,
            limits: LinkLimits::default(),
        }
    }

    /// A node as it tells of itself, of this fleet, that lets these roles in.
    #[must_use]
    pub fn of(identity: &Identity, fleet: &str, accepts: &[Role]) -> Self {
        Self {
            fleet: fleet.to_owned(),
            boot: identity.boot,
            version: identity.version,
            features: identity.features,
            node_version: identity.node_version.clone(),
            shards: identity.shards,
            accepts: accepts.to_vec(),
            listen: identity.addr,
            ..Self::new(identity.role, identity.node, identity.name.clone())
        }
    }

    /// Our Hello on this shard.
    pub(crate) fn hello(&self, shard: &Shard, verdict: Verdict, text: String, retry_after_ms: u32) -> Hello {
        let idle = self.limits.idle_timeout.map_or(0, |idle| idle.as_millis());
        Hello {
            verdict,
            role: self.role,
            version: self.version,
            shards: self.shards,
            shard: ShardId(shard.id()),
            in_flight_max: IN_FLIGHT_MAX,
            features: self.features,
            node: self.node,
            boot: self.boot,
            core_max: self.limits.frame.core_max,
            idle_timeout_ms: u32::try_from(idle).unwrap_or(u32::MAX),
            retry_after_ms,
            node_version: self.node_version.clone(),
            fleet: self.fleet.clone(),
            text,
            name: self.name.clone(),
            ports: self.ports.clone(),
            swim_port: 0,
            oob_port: 0,
        }
    }

    /// Why a peer with this Hello may not talk to us, whoever dialled.
    pub(crate) fn refusal(&self, peer: &Hello) -> Option<(Verdict, String)> {
        let (name, role) = (&peer.name, peer.role);
        if !self.version.is_compatible_with(peer.version) {
            let (ours, theirs) = (self.version, peer.version);
            let text = format!("this node speaks {ours}, peer {name} speaks {theirs}");
            return Some((Verdict::MajorMismatch, text));
        }
        if self.fleet != peer.fleet {
            let text = format!("this node is of fleet {:?}, peer {name} of {:?}", self.fleet, peer.fleet);
            return Some((Verdict::OtherFleet, text));
        }
        if self.node == peer.node {
            return Some((Verdict::DuplicateNode, format!("{name} has the id of this node")));
        }
        if !self.accepts.contains(&role) {
            let text = format!("a {role} may not connect to this {}", self.role);
            return Some((Verdict::RoleNotAllowed, text));
        }
        None
    }

    /// Whether the acceptor's answer lets us talk.
    pub(crate) fn check_answer(&self, addr: SocketAddr, answer: &Hello) -> Result<(), DialError> {
        if answer.verdict != Verdict::Welcome {
            let (verdict, text) = (answer.verdict as u8, printable(&answer.text));
            return Err(DialError::Refused { addr, verdict, text, retry_after_ms: answer.retry_after_ms });
        }
        // Which roles we let in says nothing about those we go to.
        let (version, fleet) = (answer.version, &answer.fleet);
        if !self.version.is_compatible_with(version) {
            let text = format!("it speaks {version}, this node {}", self.version);
            return Err(DialError::Refused {
                addr,
                verdict: Verdict::MajorMismatch as u8,
                text,
                retry_after_ms: 0,
            });
        }
        if self.fleet != *fleet {
            let text = format!("it is of fleet {fleet:?}, this node of {:?}", self.fleet);
            return Err(DialError::Refused {
                addr,
                verdict: Verdict::OtherFleet as u8,
                text,
                retry_after_ms: 0,
            });
        }
        Ok(())
    }
}

/// Why a handshake came to nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HandshakeError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Hello(#[from] HelloError),
    #[error("no complete greeting: {0}")]
    TimedOut(#[from] TimedOut),
}

/// Reads a Hello, and not a byte more.
pub(crate) async fn read(shard: &Shard, stream: &Stream, time: Duration) -> Result<Hello, HandshakeError> {
    let reading = async {
        let mut bytes = [0; HELLO_LEN_MAX];
        let mut prefix = [0; HELLO_PREFIX];
        stream.read_exact(&mut prefix).await?;
        let len = hello_len(&prefix)?;
        let (head, rest) = bytes.split_at_mut(HELLO_PREFIX);
        head.copy_from_slice(&prefix);
        stream.read_exact(rest.get_mut(..len.saturating_sub(HELLO_PREFIX)).unwrap_or_default()).await?;
        Ok(Hello::decode(bytes.get(..len).unwrap_or_default())?)
    };
    shard.timeout(time, reading).await?
}

pub(crate) async fn write(
    shard: &Shard,
    stream: &Stream,
    hello: &Hello,
    time: Duration,
) -> Result<(), HandshakeError> {
    let mut bytes = Vec::with_capacity(HELLO_LEN_MAX);
    hello.encode(&mut bytes);
    Ok(shard.timeout(time, stream.write_all(&bytes)).await??)
}

/// A peer's words without what could confuse a terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}
