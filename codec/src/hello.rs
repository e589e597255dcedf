//! The handshake: the first bytes on every connection, both ways.
//!
//! Frozen for all majors and not rkyv, so that any two versions can tell each other why they do not talk. One
//! layout is greeting, acceptance and refusal; later growth goes before the checksum and is ignored by older readers.

use crate::{Features, NodeCapabilities, NodeId, ProtocolVersion, Role, ShardId};

/// Bytes that tell a Hello's length.
pub const HELLO_PREFIX: usize = 10;
/// The shortest Hello.
pub const HELLO_LEN_MIN: usize = 82;
/// The longest Hello.
pub const HELLO_LEN_MAX: usize = 1024;

/// Ports that fit; shards beyond are reached by the node's address.
const PORTS_MAX: usize = 128;

/// The first bytes of a Hello, and of no text, HTTP request or TLS record.
pub const HELLO_MAGIC: [u8; 8] = [0x89, 0x48, 0x53, 0x48, 0x0d, 0x0a, 0x1a, 0x0a];

/// What the acceptor says to a greeting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Verdict {
    /// Greeting, or accepted.
    Welcome = 0,
    /// Another major version.
    MajorMismatch = 1,
    /// Another fleet.
    OtherFleet = 2,
    /// That role may not connect here.
    RoleNotAllowed = 3,
    /// No room for another connection.
    TooManyConnections = 4,
    /// Too busy.
    Overloaded = 5,
    /// Going away.
    Draining = 6,
    /// That node id is already here.
    DuplicateNode = 7,
    /// The greeting made no sense. Also an unknown verdict of a newer version.
    Malformed = 8,
}

impl Verdict {
    const fn from_wire(number: u8) -> Self {
        match number {
            0 => Self::Welcome,
            1 => Self::MajorMismatch,
            2 => Self::OtherFleet,
            3 => Self::RoleNotAllowed,
            4 => Self::TooManyConnections,
            5 => Self::Overloaded,
            6 => Self::Draining,
            7 => Self::DuplicateNode,
            _ => Self::Malformed,
        }
    }
}

/// Why bytes are no Hello.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HelloError {
    /// Not our protocol.
    #[error(
        "the first bytes are {0:02x?}; a Hyperscale node begins with 89 48 53 48; is this the right port?"
    )]
    Magic([u8; 8]),
    /// Outside 82 to 1024.
    #[error("a handshake of {0} bytes; 82 to 1024 are accepted")]
    Length(usize),
    /// Damaged.
    #[error("the handshake's checksum does not hold")]
    Checksum,
    /// A field breaks its rule.
    #[error("handshake field {0}")]
    Field(&'static str),
}

/// What a node says of itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Hello {
    /// Greeting or answer.
    pub verdict: Verdict,
    /// What it is.
    pub role: Role,
    /// The version it speaks.
    pub version: ProtocolVersion,
    /// Shards of the node.
    pub shards: u16,
    /// The shard at this end of the connection.
    pub shard: ShardId,
    /// Requests it takes at once on this connection.
    pub in_flight_max: u16,
    /// Optional abilities.
    pub features: Features,
    /// Its id.
    pub node: NodeId,
    /// Grows with each start of that id.
    pub boot: u64,
    /// Longest core it accepts.
    pub core_max: u32,
    /// It closes a connection that is silent for so long.
    pub idle_timeout_ms: u32,
    /// Of a refusal.
    pub retry_after_ms: u32,
    /// The build, for people; at most 255 bytes.
    pub node_version: String,
    /// The fleet it belongs to.
    pub fleet: String,
    /// Why it refuses.
    pub text: String,
    /// What people call it: 1 to 64 characters, none of them a control character.
    pub name: String,
    /// One port per shard; may be empty.
    pub ports: Vec<u16>,
    /// Port of its membership datagrams, 0 = none.
    pub swim_port: u16,
    /// Port of its out-of-band probes, 0 = none.
    pub oob_port: u16,
}

impl Hello {
    /// Appends the bytes that travel. Texts are cut to fit.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&HELLO_MAGIC);
        out.extend_from_slice(&[0, 0, self.verdict as u8, self.role as u8]);
        for number in
            [self.version.major, self.version.minor, self.shards, self.shard.0, self.in_flight_max, 0]
        {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&self.features.0.to_le_bytes());
        out.extend_from_slice(&self.node.to_bytes());
        out.extend_from_slice(&self.boot.to_le_bytes());
        for number in [self.core_max, self.idle_timeout_ms, self.retry_after_ms] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        let ports = self.ports.get(..self.ports.len().min(PORTS_MAX)).unwrap_or_default();
        for (text, max) in [(&self.node_version, 64), (&self.fleet, 64), (&self.text, 255), (&self.name, 255)]
        {
            put_text(out, text, max);
        }
        out.extend_from_slice(&u16::try_from(ports.len()).unwrap_or(0).to_le_bytes());
        for port in ports.iter().chain([&self.swim_port, &self.oob_port]) {
            out.extend_from_slice(&port.to_le_bytes());
        }
        let total = out.len().saturating_sub(start).saturating_add(4);
        let total = u16::try_from(total).unwrap_or(u16::MAX).to_le_bytes();
        if let Some(length) = out.get_mut(start.saturating_add(8)..start.saturating_add(10)) {
            length.copy_from_slice(&total);
        }
        let crc = crc32fast::hash(out.get(start..).unwrap_or_default());
        out.extend_from_slice(&crc.to_le_bytes());
    }

    /// What this Hello's sender can do, for [`NodeCapabilities::negotiate`].
    #[must_use]
    pub fn capabilities(&self) -> NodeCapabilities {
        NodeCapabilities {
            protocol_version: self.version,
            capabilities: self.features,
            node_version: self.node_version.clone(),
        }
    }

    /// Why this node does not talk to `peer`, as far as the two greetings tell: another major, another fleet. The
    /// text names both sides. `None`: they can talk. Dialer and acceptor judge alike.
    #[must_use]
    pub fn refusal(&self, peer: &Self) -> Option<(Verdict, String)> {
        let name = &peer.name;
        if !self.version.is_compatible_with(peer.version) {
            let (ours, theirs) = (self.version, peer.version);
            return Some((
                Verdict::MajorMismatch,
                format!("this node speaks {ours}, peer {name} speaks {theirs}"),
            ));
        }
        if self.fleet != peer.fleet {
            let (ours, theirs) = (&self.fleet, &peer.fleet);
            return Some((
                Verdict::OtherFleet,
                format!("this node is of fleet {ours}, peer {name} is of fleet {theirs}"),
            ));
        }
        None
    }

    /// Reads a whole Hello.
    ///
    /// # Errors
    /// [`HelloError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, HelloError> {
        let prefix = bytes.first_chunk::<HELLO_PREFIX>().ok_or(HelloError::Length(bytes.len()))?;
        let total = hello_len(prefix)?;
        if bytes.len() != total {
            return Err(HelloError::Length(bytes.len()));
        }
        let (sealed, crc) = bytes.split_last_chunk::<4>().ok_or(HelloError::Length(total))?;
        if crc32fast::hash(sealed) != u32::from_le_bytes(*crc) {
            return Err(HelloError::Checksum);
        }
        let mut fields = Fields(sealed.get(HELLO_PREFIX..).unwrap_or_default());
        let [verdict, role] = fields.take("verdict and role")?;
        let role =
            Role::from_wire(role).ok_or(HelloError::Field("role: 0 client, 1 gate, 2 manager, 3 worker"))?;
        let version = ProtocolVersion { major: fields.u16("major")?, minor: fields.u16("minor")? };
        let (shards, shard) = (fields.u16("shards")?, ShardId(fields.u16("shard")?));
        let (in_flight_max, _reserved) = (fields.u16("in_flight_max")?, fields.u16("reserved")?);
        let features = Features(u64::from_le_bytes(fields.take("features")?));
        let node = NodeId::from_bytes(fields.take("node id")?);
        let boot = u64::from_le_bytes(fields.take("boot")?);
        let (core_max, idle_timeout_ms) = (fields.u32("core_max")?, fields.u32("idle timeout")?);
        let retry_after_ms = fields.u32("retry_after")?;
        let node_version = fields.text("node version")?;
        let fleet = fields.text("fleet")?;
        let text = fields.text("text")?;
        let name = fields.text("name")?;
        if name.is_empty() || name.chars().count() > 64 || name.chars().any(char::is_control) {
            return Err(HelloError::Field("name: 1 to 64 characters, none of them a control character"));
        }
        let count = fields.u16("port count")?;
        let ports = (0..count).map(|_| fields.u16("port")).collect::<Result<Vec<_>, _>>()?;
        let (swim_port, oob_port) = (fields.u16("swim port")?, fields.u16("out-of-band port")?);
        Ok(Self {
            verdict: Verdict::from_wire(verdict),
            role,
            version,
            shards,
            shard,
            in_flight_max,
            features,
            node,
            boot,
            core_max,
            idle_timeout_ms,
            retry_after_ms,
            node_version,
            fleet,
            text,
            name,
            ports,
            swim_port,
            oob_port,
        })
    }
}

/// The whole length, told by the first ten bytes.
///
/// # Errors
/// [`HelloError::Magic`] and [`HelloError::Length`].
pub fn hello_len(prefix: &[u8; HELLO_PREFIX]) -> Result<usize, HelloError> {
    let (magic, len) = prefix.split_first_chunk::<8>().unwrap_or((&HELLO_MAGIC, &[]));
    if *magic != HELLO_MAGIC {
        return Err(HelloError::Magic(*magic));
    }
    let len = usize::from(u16::from_le_bytes(len.try_into().unwrap_or([0, 0])));
    if (HELLO_LEN_MIN..=HELLO_LEN_MAX).contains(&len) { Ok(len) } else { Err(HelloError::Length(len)) }
}

fn put_text(out: &mut Vec<u8>, text: &str, max: usize) {
    let mut len = text.len().min(max);
    while !text.is_char_boundary(len) {
        len = len.saturating_sub(1);
    }
    out.push(u8::try_from(len).unwrap_or(0));
    out.extend_from_slice(text.as_bytes().get(..len).unwrap_or_default());
}

struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], HelloError> {
        let (field, rest) = self.0.split_first_chunk::<N>().ok_or(HelloError::Field(what))?;
        self.0 = rest;
        Ok(*field)
    }

    fn u16(&mut self, what: &'static str) -> Result<u16, HelloError> {
        self.take(what).map(u16::from_le_bytes)
    }

    fn u32(&mut self, what: &'static str) -> Result<u32, HelloError> {
        self.take(what).map(u32::from_le_bytes)
    }

    fn text(&mut self, what: &'static str) -> Result<String, HelloError> {
        let [len] = self.take(what)?;
        let (text, rest) = self.0.split_at_checked(usize::from(len)).ok_or(HelloError::Field(what))?;
        self.0 = rest;
        std::str::from_utf8(text).map(str::to_owned).map_err(|_invalid| HelloError::Field(what))
    }
}

#[cfg(test)]
mod tests;
