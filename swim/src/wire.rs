//! Datagrams as they travel: 8-byte prefix, sender, nonce, tag, then sections (type u8, length u16, bytes).
//!
//! Little endian; ids as everywhere big endian. Unknown sections are skipped. Everything is checked before anything is
//! acted upon, in one pass over at most 1,400 bytes (lists over TCP: 2 MiB), without allocating.
#![warn(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss
)]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use hyperscale_codec::messages::HealthPiggyback;
use hyperscale_codec::{NodeId, Role};

use crate::seal::{CLEAR_LEN, HEADER_LEN, KEY_ID, Seal, SealError, TAG_LEN};
use crate::{Claim, MemberCard, MemberState};

/// `HS` read as little endian.
pub(crate) const MAGIC: u16 = 0x5348;
pub(crate) const MAJOR: u8 = 1;
pub(crate) const MINOR: u8 = 0;
/// Bytes of a list over TCP at most: 16,384 members fit.
pub const LIST_BYTES_MAX: usize = 2 << 20;
/// Coded bytes of one node's health.
pub(crate) const WORD_LEN: usize = 52;
/// Type and length of a section.
pub(crate) const SECTION_LEN: usize = 3;
const HEAD_LEN: u16 = 34;
/// Bytes of the longest claim: IPv6, with an accuser.
pub(crate) const CLAIM_LEN_MAX: usize = 65;
/// Bytes of an out-of-band datagram, always.
pub(crate) const OOB_LEN: usize = 96;

const HEAD: u8 = 1;
const CLAIMS: u8 = 2;
const HEALTH: u8 = 3;

/// What a datagram is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum DatagramKind {
    /// Are you there?
    Ping = 1,
    /// Is it there? Please ask for me.
    PingReq = 2,
    /// Yes; or: it said yes to me.
    Ack = 3,
    /// It has not answered me yet, but I am here.
    Nack = 4,
    /// News only.
    Gossip = 5,
    /// A list of members; over TCP alone.
    List = 6,
    /// Out of band: are you there?
    OobProbe = 16,
    /// Out of band: yes.
    OobAck = 17,
    /// Out of band: yes, but too loaded for anything.
    OobNack = 18,
}

impl DatagramKind {
    const fn from_wire(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::Ping,
            2 => Self::PingReq,
            3 => Self::Ack,
            4 => Self::Nack,
            5 => Self::Gossip,
            6 => Self::List,
            16 => Self::OobProbe,
            17 => Self::OobAck,
            18 => Self::OobNack,
            _ => return None,
        })
    }
}

/// Flag: the sender of a `PingReq` wants to hear when its target does not answer.
pub(crate) const WANTS_NACK: u16 = 1;

/// Why bytes were refused. Nothing changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// Too short, too long, or not ours at all.
    #[error("malformed: {len} bytes, of {min} to {max}, starting with {MAGIC:#06x}, expected")]
    Size {
        /// Bytes that came.
        len: usize,
        /// At least.
        min: usize,
        /// At most.
        max: usize,
    },
    /// Another protocol.
    #[error("malformed: starts with {0:#06x}, not {MAGIC:#06x}")]
    Magic(u16),
    /// A newer or older major version.
    #[error("incompatible: major version {0}, this node speaks {MAJOR}")]
    Major(u8),
    /// A kind of a newer minor, or one that does not come this way.
    #[error("unsupported: datagram kind {0}")]
    Kind(u8),
    /// The seal does not hold.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// A section ends behind the datagram, or its content is cut off.
    #[error("malformed: section {0} is cut off")]
    CutOff(u8),
}

/// What a probe and its answers carry first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Head {
    pub(crate) seq: u32,
    pub(crate) target: NodeId,
    /// Of the sender.
    pub(crate) boot: u32,
    pub(crate) incarnation: u64,
    /// In a `PingReq`: how long the sender waits.
    pub(crate) wait_ms: u16,
}

/// An opened datagram.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Datagram<'a> {
    pub(crate) kind: DatagramKind,
    pub(crate) flags: u16,
    pub(crate) sender: NodeId,
    /// First two words of the nonce.
    pub(crate) instance: u64,
    pub(crate) counter: u64,
    pub(crate) head: Head,
    body: &'a [u8],
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*first)
    }

    fn bytes(&mut self, len: usize) -> Option<&'a [u8]> {
        let (first, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(first)
    }

    fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn f32(&mut self) -> Option<f32> {
        self.array().map(f32::from_le_bytes)
    }

    fn node(&mut self) -> Option<NodeId> {
        self.array().map(NodeId::from_bytes)
    }

    fn section(&mut self) -> Option<(u8, &'a [u8])> {
        let (kind, len) = (self.u8()?, self.u16()?);
        Some((kind, self.bytes(usize::from(len))?))
    }
}

/// Header fields of a datagram that opened, and its body.
pub(crate) fn open<'a>(
    bytes: &'a [u8],
    max: usize,
    seal: &impl Seal,
    scratch: &'a mut Vec<u8>,
) -> Result<Datagram<'a>, WireError> {
    let size = WireError::Size { len: bytes.len(), min: HEADER_LEN, max };
    if bytes.len() < HEADER_LEN || bytes.len() > max {
        return Err(size);
    }
    let mut reader = Reader(bytes);
    let magic = reader.u16().ok_or(size)?;
    if magic != MAGIC {
        return Err(WireError::Magic(magic));
    }
    let (major, _minor) = (reader.u8().ok_or(size)?, reader.u8().ok_or(size)?);
    if major != MAJOR {
        return Err(WireError::Major(major));
    }
    let (kind, _key) = (reader.u8().ok_or(size)?, reader.u8().ok_or(size)?);
    let flags = reader.u16().ok_or(size)?;
    let sender = reader.node().ok_or(size)?;
    let (instance, counter) = (reader.u64().ok_or(size)?, reader.u64().ok_or(size)?);
    let body = seal.open(bytes, scratch)?;
    // Only now: an unsealed kind is nobody's word.
    let kind = DatagramKind::from_wire(kind).ok_or(WireError::Kind(kind))?;
    Ok(Datagram { kind, flags, sender, instance, counter, head: Head::default(), body })
}

/// Reads a membership datagram or a list: header, seal, every section and every claim in it.
pub(crate) fn read<'a>(
    bytes: &'a [u8],
    max: usize,
    seal: &impl Seal,
    scratch: &'a mut Vec<u8>,
) -> Result<Datagram<'a>, WireError> {
    let mut datagram = open(bytes, max, seal, scratch)?;
    let mut sections = Reader(datagram.body);
    let mut has_head = false;
    while !sections.0.is_empty() {
        let (kind, bytes) = sections.section().ok_or(WireError::CutOff(0))?;
        let whole = match kind {
            HEAD => {
                let head = read_head(&mut Reader(bytes));
                has_head = head.is_some();
                datagram.head = head.unwrap_or_default();
                has_head
            }
            CLAIMS => {
                let mut claims = Reader(bytes);
                while !claims.0.is_empty() && read_claim(&mut claims).is_some() {}
                claims.0.is_empty()
            }
            HEALTH => bytes.len().is_multiple_of(WORD_LEN),
            _ => true,
        };
        if !whole {
            return Err(WireError::CutOff(kind));
        }
    }
    if has_head { Ok(datagram) } else { Err(WireError::CutOff(HEAD)) }
}

impl<'a> Datagram<'a> {
    fn sections(&self, wanted: u8) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let mut reader = Reader(self.body);
        std::iter::from_fn(move || reader.section())
            .filter(move |(kind, _)| *kind == wanted)
            .map(|(_, bytes)| bytes)
    }

    /// Claims in order; those of states, roles or address families that this version does not know are left out.
    pub(crate) fn claims(&self) -> impl Iterator<Item = Claim> + use<'a> {
        self.sections(CLAIMS).flat_map(|bytes| {
            let mut reader = Reader(bytes);
            std::iter::from_fn(move || read_claim(&mut reader)).flatten()
        })
    }

    /// Words of nodes on themselves, cleaned.
    pub(crate) fn words(&self) -> impl Iterator<Item = HealthPiggyback> + use<'a> {
        self.sections(HEALTH).flat_map(|bytes| {
            let mut reader = Reader(bytes);
            std::iter::from_fn(move || read_word(&mut reader)).map(cleaned)
        })
    }

    /// The body of an out-of-band datagram.
    pub(crate) fn oob(&self) -> Option<OobBody> {
        let mut reader = Reader(self.body);
        Some(OobBody {
            number: reader.u64()?,
            boot: reader.u64()?,
            incarnation: reader.u64()?,
            overload_state: careful(reader.u8()?),
            lhm: reader.u8()?.min(8),
        })
    }
}

/// What an out-of-band probe and its answers say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OobBody {
    pub(crate) number: u64,
    pub(crate) boot: u64,
    pub(crate) incarnation: u64,
    pub(crate) overload_state: u8,
    pub(crate) lhm: u8,
}

fn read_head(reader: &mut Reader<'_>) -> Option<Head> {
    Some(Head {
        seq: reader.u32()?,
        target: reader.node()?,
        boot: reader.u32()?,
        incarnation: reader.u64()?,
        wait_ms: reader.u16()?,
    })
}

/// Flags: state in bits 0-1, IPv6 in bit 2, an accuser in bit 3, role in bits 4-7. The outer `None`: cut off. The inner
/// one: whole, but nothing that this version could act upon.
fn read_claim(reader: &mut Reader<'_>) -> Option<Option<Claim>> {
    let flags = reader.u8()?;
    let node = reader.node()?;
    let boot = u64::from(reader.u32()?);
    let incarnation = reader.u64()?;
    let oob_port = reader.u16()?;
    let ip = if flags & 4 == 0 {
        IpAddr::V4(Ipv4Addr::from(reader.array::<4>()?))
    } else {
        IpAddr::V6(Ipv6Addr::from(reader.array::<16>()?))
    };
    let addr = SocketAddr::new(ip, reader.u16()?);
    let accuser = if flags & 8 == 0 { NodeId(0) } else { reader.node()? };
    let (Some(state), Some(role)) = (MemberState::from_wire(flags & 3), Role::from_wire(flags >> 4)) else {
        return Some(None);
    };
    Some(Some(Claim { card: MemberCard { node, boot, addr, oob_port, role }, incarnation, state, accuser }))
}

fn read_word(reader: &mut Reader<'_>) -> Option<HealthPiggyback> {
    Some(HealthPiggyback {
        node_id: reader.array()?,
        node_type: reader.u8()?,
        boot: reader.u64()?,
        incarnation: reader.u64()?,
        seq: reader.u32()?,
        accepting_work: reader.u8()? != 0,
        capacity: reader.u32()?,
        throughput: reader.f32()?,
        expected_throughput: reader.f32()?,
        overload_state: reader.u8()?,
        lhm: reader.u8()?,
    })
}

/// An overload state of a newer minor is read as stressed.
pub(crate) const fn careful(overload_state: u8) -> u8 {
    if overload_state > 3 { 2 } else { overload_state }
}

/// A peer's word with everything in range.
pub(crate) fn cleaned(word: HealthPiggyback) -> HealthPiggyback {
    let rate = |rate: f32| if rate.is_finite() && rate > 0.0 { rate } else { 0.0 };
    HealthPiggyback {
        throughput: rate(word.throughput),
        expected_throughput: rate(word.expected_throughput),
        overload_state: careful(word.overload_state),
        lhm: word.lhm.min(8),
        ..word
    }
}

/// Starts a datagram at the end of `out`.
pub(crate) fn begin(out: &mut Vec<u8>, kind: DatagramKind, flags: u16, sender: NodeId, nonce: [u64; 3]) {
    let [m0, m1] = MAGIC.to_le_bytes();
    let [f0, f1] = flags.to_le_bytes();
    out.extend_from_slice(&[m0, m1, MAJOR, MINOR, kind as u8, KEY_ID, f0, f1]);
    out.extend_from_slice(&sender.to_bytes());
    for word in nonce {
        out.extend_from_slice(&word.to_le_bytes());
    }
    out.extend_from_slice(&[0; TAG_LEN]);
}

/// Seals what was begun at `start`.
pub(crate) fn finish(out: &mut [u8], start: usize, seal: &impl Seal) {
    if let Some(datagram) = out.get_mut(start..) {
        debug_assert!(datagram.len() >= CLEAR_LEN, "a datagram without a header");
        seal.seal(datagram);
    }
}

pub(crate) fn write_head(out: &mut Vec<u8>, head: Head) {
    out.push(HEAD);
    out.extend_from_slice(&HEAD_LEN.to_le_bytes());
    out.extend_from_slice(&head.seq.to_le_bytes());
    out.extend_from_slice(&head.target.to_bytes());
    out.extend_from_slice(&head.boot.to_le_bytes());
    out.extend_from_slice(&head.incarnation.to_le_bytes());
    out.extend_from_slice(&head.wait_ms.to_le_bytes());
}

/// Starts a section whose length [`end_section`] fills in.
pub(crate) fn begin_claims(out: &mut Vec<u8>) -> usize {
    out.extend_from_slice(&[CLAIMS, 0, 0]);
    out.len()
}

pub(crate) fn begin_words(out: &mut Vec<u8>) -> usize {
    out.extend_from_slice(&[HEALTH, 0, 0]);
    out.len()
}

/// Fills the length of the section whose content began at `from` in; an empty section goes.
pub(crate) fn end_section(out: &mut Vec<u8>, from: usize) {
    let len = out.len().saturating_sub(from);
    if len == 0 {
        out.truncate(from.saturating_sub(SECTION_LEN));
        return;
    }
    debug_assert!(len <= usize::from(u16::MAX), "a section of {len} bytes");
    let coded = u16::try_from(len).unwrap_or(u16::MAX).to_le_bytes();
    if let Some(place) = out.get_mut(from.saturating_sub(2)..from) {
        place.copy_from_slice(&coded);
    }
}

/// Coded bytes of a claim.
pub(crate) fn claim_len(claim: &Claim) -> usize {
    let ip = if claim.card.addr.is_ipv4() { 4 } else { 16 };
    let accuser = if claim.state == MemberState::Suspect { 16 } else { 0 };
    33_usize.saturating_add(ip).saturating_add(accuser)
}

pub(crate) fn write_claim(out: &mut Vec<u8>, claim: &Claim) {
    let MemberCard { node, boot, addr, oob_port, role } = claim.card;
    let suspect = claim.state == MemberState::Suspect;
    let flags = (claim.state as u8)
        | (u8::from(addr.is_ipv6()) << 2)
        | (u8::from(suspect) << 3)
        | ((role as u8) << 4);
    out.push(flags);
    out.extend_from_slice(&node.to_bytes());
    out.extend_from_slice(&u32::try_from(boot).unwrap_or(u32::MAX).to_le_bytes());
    out.extend_from_slice(&claim.incarnation.to_le_bytes());
    out.extend_from_slice(&oob_port.to_le_bytes());
    match addr.ip() {
        IpAddr::V4(ip) => out.extend_from_slice(&ip.octets()),
        IpAddr::V6(ip) => out.extend_from_slice(&ip.octets()),
    }
    out.extend_from_slice(&addr.port().to_le_bytes());
    if suspect {
        out.extend_from_slice(&claim.accuser.to_bytes());
    }
}

pub(crate) fn write_word(out: &mut Vec<u8>, word: &HealthPiggyback) {
    out.extend_from_slice(&word.node_id);
    out.push(word.node_type);
    out.extend_from_slice(&word.boot.to_le_bytes());
    out.extend_from_slice(&word.incarnation.to_le_bytes());
    out.extend_from_slice(&word.seq.to_le_bytes());
    out.push(u8::from(word.accepting_work));
    out.extend_from_slice(&word.capacity.to_le_bytes());
    out.extend_from_slice(&word.throughput.to_le_bytes());
    out.extend_from_slice(&word.expected_throughput.to_le_bytes());
    out.push(word.overload_state);
    out.push(word.lhm);
}

pub(crate) fn write_oob(out: &mut Vec<u8>, body: OobBody) {
    out.extend_from_slice(&body.number.to_le_bytes());
    out.extend_from_slice(&body.boot.to_le_bytes());
    out.extend_from_slice(&body.incarnation.to_le_bytes());
    out.extend_from_slice(&[body.overload_state, body.lhm, 0, 0, 0, 0, 0, 0]);
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;
