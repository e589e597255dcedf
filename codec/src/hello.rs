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

const MAGIC: [u8; 8] = [0x89, 0x48, 0x53, 0x48, 0x0d, 0x0a, 0x1a, 0x0a];

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
        out.extend_from_slice(&MAGIC);
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
    let (magic, len) = prefix.split_first_chunk::<8>().unwrap_or((&MAGIC, &[]));
    if *magic != MAGIC {
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
mod tests {
    use super::*;

    fn hello() -> Hello {
        Hello {
            verdict: Verdict::Welcome,
            role: Role::Manager,
            version: ProtocolVersion::CURRENT,
            shards: 2,
            shard: ShardId(1),
            in_flight_max: 64,
            features: ProtocolVersion::CURRENT.features(),
            node: NodeId(7),
            boot: 3,
            core_max: 4 << 20,
            idle_timeout_ms: 30_000,
            retry_after_ms: 0,
            node_version: "0.1.0".into(),
            fleet: "default".into(),
            text: String::new(),
            name: "manager-1".into(),
            ports: vec![7001, 7002],
            swim_port: 0,
            oob_port: 0,
        }
    }

    fn bytes() -> Vec<u8> {
        let mut out = Vec::new();
        hello().encode(&mut out);
        out
    }

    #[test]
    fn a_hello_comes_back_as_it_was() {
        assert_eq!(Hello::decode(&bytes()), Ok(hello()));
    }

    #[test]
    fn every_truncation_and_every_flipped_bit_is_refused() {
        let whole = bytes();
        for len in 0..whole.len() {
            assert!(Hello::decode(&whole[..len]).is_err(), "{len} bytes");
        }
        for bit in 0..whole.len() * 8 {
            let mut bad = whole.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(Hello::decode(&bad).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_newer_tail_is_ignored() {
        let mut grown = bytes();
        grown.truncate(grown.len() - 4);
        grown.extend_from_slice(b"something newer");
        let total = u16::try_from(grown.len() + 4).unwrap();
        grown[8..10].copy_from_slice(&total.to_le_bytes());
        let crc = crc32fast::hash(&grown);
        grown.extend_from_slice(&crc.to_le_bytes());
        assert_eq!(Hello::decode(&grown), Ok(hello()));
    }

    #[test]
    fn a_name_without_characters_or_with_control_characters_is_refused() {
        for name in ["", "a\nb", &"x".repeat(65)] {
            let mut out = Vec::new();
            Hello { name: name.into(), ..hello() }.encode(&mut out);
            assert!(matches!(Hello::decode(&out), Err(HelloError::Field(_))), "{name:?}");
        }
    }

    #[test]
    fn the_longest_hello_fits_and_its_texts_are_cut_between_characters() {
        let long = "ü".repeat(300);
        let mut out = Vec::new();
        let greeting = Hello {
            node_version: long.clone(),
            fleet: long.clone(),
            text: long.clone(),
            ports: vec![7; 5000],
            ..hello()
        };
        greeting.encode(&mut out);
        assert!(out.len() <= HELLO_LEN_MAX, "{} bytes", out.len());
        let read = Hello::decode(&out).unwrap();
        assert_eq!((read.fleet.len(), read.text.len(), read.ports.len()), (64, 254, PORTS_MAX));
        assert!(long.starts_with(&read.text));
    }

    #[test]
    fn a_hello_is_82_bytes_and_its_texts() {
        let texts = hello().node_version.len() + hello().fleet.len() + hello().name.len();
        assert_eq!(bytes().len(), HELLO_LEN_MIN + texts + 2 * hello().ports.len());
    }

    #[test]
    fn another_major_or_fleet_is_refused_with_both_sides_named() {
        let peer = Hello { name: "gate-3".into(), ..hello() };
        assert_eq!(hello().refusal(&peer), None);
        let newer = Hello { version: ProtocolVersion { major: 2, minor: 1 }, ..hello() };
        let text = "this node speaks 2.1, peer gate-3 speaks 1.4".to_owned();
        assert_eq!(newer.refusal(&peer), Some((Verdict::MajorMismatch, text)));
        let other = Hello { fleet: "staging".into(), ..hello() };
        let text = "this node is of fleet staging, peer gate-3 is of fleet default".to_owned();
        assert_eq!(other.refusal(&peer), Some((Verdict::OtherFleet, text)));
    }

    #[test]
    fn an_unknown_verdict_of_a_newer_version_is_no_welcome() {
        assert!((1..=u8::MAX).all(|number| Verdict::from_wire(number) != Verdict::Welcome));
    }
}
