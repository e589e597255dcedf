//! The first bytes on a connection: who is there, and may it talk to us.
//!
//! The dialler greets, the acceptor answers with its own Hello and a verdict, and both check what they got. Pure but
//! for the two functions that read and write.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use hyperscale_codec::{
    Features, HELLO_LEN_MAX, HELLO_MAGIC, HELLO_PREFIX, Hello, HelloError, NodeId, ProtocolVersion, Role,
    ShardId, Verdict, hello_len,
};
use hyperscale_core::DialId;
use hyperscale_fleet::Identity;

use super::strangers::{Stranger, TELLING};
use crate::tcp::Stream;
use crate::{Cause, LinkLimits, Shard, TimedOut, clock};

/// Requests one node takes at once on a link, as told in its Hello.
const IN_FLIGHT_MAX: u16 = 1024;

/// When a refused peer may come back.
const RETRY_AFTER_MS: u32 = 1_000;
/// When one may that is refused for what it is: nothing changes before somebody changes it.
const RETRY_LATE_MS: u32 = 60_000;

/// When a peer refused with this verdict may come back.
pub(crate) const fn retry_after_ms(verdict: Verdict) -> u32 {
    match verdict {
        Verdict::MajorMismatch | Verdict::OtherFleet | Verdict::RoleNotAllowed => RETRY_LATE_MS,
        Verdict::Welcome
        | Verdict::TooManyConnections
        | Verdict::Overloaded
        | Verdict::Draining
        | Verdict::DuplicateNode
        | Verdict::Malformed => RETRY_AFTER_MS,
    }
}

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
    /// The number of its UDP port for membership, on whichever shard that is; 0 without one.
    pub swim_port: u16,
    /// And of that for health probes.
    pub oob_port: u16,
    /// Where its HTTP endpoints are, if it has some; who asks for them at the frame port is told.
    pub admin: Option<SocketAddr>,
    /// Bounds and deadlines.
    pub limits: LinkLimits,
    /// Who it says it is on the links that it dials, where it plays others: dial `n` is made as the `n mod len`-th.
    /// Empty: itself.
    pub faces: Vec<Face>,
}

/// Another node that one plays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Face {
    /// What it is.
    pub role: Role,
    /// Its id.
    pub node: NodeId,
    /// What people call it.
    pub name: String,
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
            swim_port: 0,
            oob_port: 0,
            admin: None,
            limits: LinkLimits::default(),
            faces: Vec::new(),
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
            swim_port: identity.swim_port,
            oob_port: identity.oob_port,
            admin: identity.admin,
            ..Self::new(identity.role, identity.node, identity.name.clone())
        }
    }

    /// The greeting of a link that this shard dials.
    pub(crate) fn greeting(&self, shard: &Shard, dial: DialId) -> Hello {
        let hello = self.hello(shard, Verdict::Welcome, String::new());
        let count = u64::try_from(self.faces.len()).unwrap_or(u64::MAX);
        let nth = dial.0.checked_rem(count).and_then(|nth| usize::try_from(nth).ok());
        match nth.and_then(|nth| self.faces.get(nth)) {
            Some(Face { role, node, name }) => {
                Hello { role: *role, node: *node, name: name.clone(), ..hello }
            }
            None => hello,
        }
    }

    /// Our Hello on this shard.
    pub(crate) fn hello(&self, shard: &Shard, verdict: Verdict, text: String) -> Hello {
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
            retry_after_ms: if verdict == Verdict::Welcome { 0 } else { retry_after_ms(verdict) },
            node_version: self.node_version.clone(),
            fleet: self.fleet.clone(),
            text,
            name: self.name.clone(),
            ports: self.ports.clone(),
            swim_port: self.swim_port,
            oob_port: self.oob_port,
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

    /// Why the acceptor's answer does not let us talk.
    pub(crate) fn check_answer(&self, answer: &Hello) -> Option<Refused> {
        let (version, fleet) = (answer.version, &answer.fleet);
        let (verdict, text) = if answer.verdict != Verdict::Welcome {
            (answer.verdict, printable(&answer.text))
        } else if !self.version.is_compatible_with(version) {
            (Verdict::MajorMismatch, format!("it speaks {version}, this node {}", self.version))
        } else if self.fleet != *fleet {
            (Verdict::OtherFleet, format!("it is of fleet {fleet:?}, this node of {:?}", self.fleet))
        } else {
            // Which roles we let in says nothing about those we go to.
            return None;
        };
        // What the peer tells counts, but of some verdicts we know how long they last at least.
        let least = if retry_after_ms(verdict) == RETRY_LATE_MS { RETRY_LATE_MS } else { 0 };
        Some(Refused { verdict, text, retry_after_ms: answer.retry_after_ms.max(least) })
    }
}

/// The end of a dial that was answered.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) verdict: Verdict,
    pub(crate) text: String,
    pub(crate) retry_after_ms: u32,
}

/// Why a handshake came to nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HandshakeError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Hello(#[from] HelloError),
    #[error("an HTTP request on a frame port")]
    Http,
    #[error("it speaks TLS; this port does not")]
    Tls,
    #[error("no complete greeting: {0}")]
    TimedOut(#[from] TimedOut),
}

impl HandshakeError {
    pub(crate) const fn cause(&self) -> Cause {
        match self {
            Self::Io(_) => Cause::HelloCut,
            Self::Hello(error) => Cause::of_hello(error),
            Self::Http => Cause::HttpOnFramePort,
            Self::Tls => Cause::TlsOnPlainPort,
            Self::TimedOut(_) => Cause::HelloTimeout,
        }
    }
}

/// Reads a Hello, and not a byte more; of anything else, only enough to know it.
pub(crate) async fn read(shard: &Shard, stream: &Stream, time: Duration) -> Result<Hello, HandshakeError> {
    let reading = async {
        let mut bytes = [0; HELLO_LEN_MAX];
        let mut held = 0_usize;
        loop {
            let want = wanted(bytes.get(..held).unwrap_or_default())?;
            if held >= want {
                return Ok(Hello::decode(bytes.get(..held).unwrap_or_default())?);
            }
            let n = stream.read(bytes.get_mut(held..want).unwrap_or_default()).await?;
            if n == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
            held = held.saturating_add(n);
        }
    };
    shard.timeout(time, reading).await?
}

/// How many bytes a Hello has that begins so, as far as can be told; or what this is instead.
fn wanted(held: &[u8]) -> Result<usize, HandshakeError> {
    let Some(first) = held.first_chunk::<TELLING>() else { return Ok(HELLO_PREFIX) };
    match Stranger::of(*first) {
        Some(Stranger::Http) => return Err(HandshakeError::Http),
        Some(Stranger::Tls) => return Err(HandshakeError::Tls),
        None => {}
    }
    if held.iter().zip(&HELLO_MAGIC).any(|(got, want)| got != want) {
        let mut magic = [0; HELLO_MAGIC.len()];
        magic.iter_mut().zip(held).for_each(|(to, from)| *to = *from);
        return Err(HelloError::Magic(magic).into());
    }
    match held.first_chunk::<HELLO_PREFIX>() {
        Some(prefix) => Ok(hello_len(prefix)?),
        None => Ok(HELLO_PREFIX),
    }
}

pub(crate) async fn write(
    shard: &Shard,
    stream: &Stream,
    hello: &Hello,
    time: Duration,
) -> Result<(), HandshakeError> {
    write_bytes(shard, stream, &encoded(hello), time).await
}

pub(crate) fn encoded(hello: &Hello) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HELLO_LEN_MAX);
    hello.encode(&mut bytes);
    bytes
}

pub(crate) async fn write_bytes(
    shard: &Shard,
    stream: &Stream,
    bytes: &[u8],
    time: Duration,
) -> Result<(), HandshakeError> {
    Ok(shard.timeout(time, stream.write_all(bytes)).await??)
}

/// A peer's words without what could confuse a terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}
