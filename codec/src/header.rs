//! The 48-byte header, frozen for a major version. Integers are little-endian.
//!
//! With the job id (`route`) and the wanted shard in it, a node finds owner and limits without the body, and a
//! forwarder re-seals 44 bytes.

use crate::{AdmitError, FrameError, Kind, Role, ShardId};

/// Bytes of a header.
pub const HEADER_LEN: usize = 48;
/// Most bytes of a root.
pub const ROOT_MAX: u16 = 4096;
/// A frame that crossed this many nodes is refused.
pub const HOPS_MAX: u8 = 8;

const MAGIC: [u8; 4] = [0x89, 0x48, 0x53, 0x43];

/// What a frame is: a reply, a request, whose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flags(pub u16);

impl Flags {
    /// An answer to the request of the same correlation.
    pub const REPLY: Self = Self(1);
    /// The sender waits for an answer.
    pub const WANTS_REPLY: Self = Self(1 << 1);
    /// `route` is a job id.
    pub const ROUTE_JOB: Self = Self(1 << 2);
    /// The last of its stream.
    pub const FINAL: Self = Self(1 << 3);
    /// Bits that void a frame for a reader that does not know them.
    const CRITICAL_UNKNOWN: u16 = 0x0f00;

    /// Whether all bits of `other` are set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// With the bits of `other` set.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Nodes the frame has crossed.
    #[must_use]
    pub const fn hops(self) -> u8 {
        (self.0 >> 12) as u8
    }

    /// With that many hops, at most 15.
    #[must_use]
    pub const fn with_hops(self, hops: u8) -> Self {
        let hops = if hops > 15 { 15 } else { hops };
        Self((self.0 & 0x0fff) | ((hops as u16) << 12))
    }

    /// Whether a bit is set that we must know and do not.
    #[must_use]
    pub const fn has_unknown_critical(self) -> bool {
        self.0 & Self::CRITICAL_UNKNOWN != 0
    }
}

/// The envelope of one frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Major version of the connection.
    pub major: u8,
    /// The sender's minor; for logs only.
    pub minor: u8,
    /// What the body is; its two top bits are the priority.
    pub kind: u16,
    /// Reply, request, hops.
    pub flags: Flags,
    /// Bytes of the root, which differ between minors.
    pub root_len: u16,
    /// Bytes of the archive.
    pub core_len: u32,
    /// Bytes of extensions.
    pub ext_len: u16,
    /// Wanted shard of the receiver.
    pub shard: ShardId,
    /// The requester's number, echoed by the reply; 0 = none.
    pub correlation: u32,
    /// The job's id, or 0.
    pub route: u128,
    /// CRC-32 of core and extensions.
    pub body_crc: u32,
}

impl Header {
    /// Bytes of the body: core and extensions.
    #[must_use]
    pub const fn body_len(&self) -> usize {
        (self.core_len as usize).saturating_add(self.ext_len as usize)
    }

    /// Bytes of the whole frame.
    #[must_use]
    pub const fn frame_len(&self) -> usize {
        HEADER_LEN.saturating_add(self.body_len())
    }

    /// The bytes that travel, checksum included.
    #[must_use]
    pub fn encode(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        let mut at = bytes.as_mut_slice();
        let mut put = |field: &[u8]| {
            if let Some((head, rest)) = std::mem::take(&mut at).split_at_mut_checked(field.len()) {
                head.copy_from_slice(field);
                at = rest;
            }
        };
        put(&MAGIC);
        put(&[self.major, self.minor]);
        put(&self.kind.to_le_bytes());
        put(&self.flags.0.to_le_bytes());
        put(&self.root_len.to_le_bytes());
        put(&self.core_len.to_le_bytes());
        put(&self.ext_len.to_le_bytes());
        put(&self.shard.0.to_le_bytes());
        put(&self.correlation.to_le_bytes());
        put(&self.route.to_le_bytes());
        put(&self.body_crc.to_le_bytes());
        let (sealed, crc) = bytes.split_at_mut(HEADER_LEN - 4);
        crc.copy_from_slice(&crc32fast::hash(sealed).to_le_bytes());
        bytes
    }

    /// Reads a header: magic, then checksum (checks 2 and 3 of a frame). Lengths are for the caller's limits.
    ///
    /// # Errors
    /// [`FrameError::Magic`] or [`FrameError::HeaderChecksum`].
    pub fn decode(bytes: &[u8; HEADER_LEN]) -> Result<Self, FrameError> {
        let (magic, _) = bytes.split_first_chunk::<4>().unwrap_or((&MAGIC, &[]));
        if *magic != MAGIC {
            return Err(FrameError::Magic(*magic));
        }
        let sealed = bytes.first_chunk::<44>().map_or(&bytes[..0], |sealed| &sealed[..]);
        let want = crc32fast::hash(sealed);
        let got = u32::from_le_bytes(field(bytes, 44));
        if got != want {
            return Err(FrameError::HeaderChecksum { got, want });
        }
        let [major, minor] = field(bytes, 4);
        Ok(Self {
            major,
            minor,
            kind: u16::from_le_bytes(field(bytes, 6)),
            flags: Flags(u16::from_le_bytes(field(bytes, 8))),
            root_len: u16::from_le_bytes(field(bytes, 10)),
            core_len: u32::from_le_bytes(field(bytes, 12)),
            ext_len: u16::from_le_bytes(field(bytes, 16)),
            shard: ShardId(u16::from_le_bytes(field(bytes, 18))),
            correlation: u32::from_le_bytes(field(bytes, 20)),
            route: u128::from_le_bytes(field(bytes, 24)),
            body_crc: u32::from_le_bytes(field(bytes, 40)),
        })
    }

    /// Whether a peer of this role may send a frame with this header to us: flags and hops, kind, sender (check 6). The
    /// frame is skipped otherwise and the connection goes on. `None` is a kind of a newer minor about a job: whoever
    /// owns the job may know it, so it is for the receiver to pass on, or to refuse.
    ///
    /// # Errors
    /// [`AdmitError`], whose code is the answer if the frame wants one.
    pub fn admit(&self, sender: Role) -> Result<Option<Kind>, AdmitError> {
        let Self { flags, kind, .. } = *self;
        if flags.has_unknown_critical() {
            return Err(AdmitError::Flags { kind, flags: flags.0 });
        }
        if flags.hops() >= HOPS_MAX {
            return Err(AdmitError::Hops { kind });
        }
        match Kind::from_wire(kind) {
            Some(kind) if kind.senders().contains(sender) => Ok(Some(kind)),
            Some(kind) => Err(AdmitError::Sender { kind, sender }),
            None if flags.contains(Flags::ROUTE_JOB) => Ok(None),
            None => Err(AdmitError::Kind { kind }),
        }
    }

    /// For the next node: another shard, correlation and one hop more. The body and its checksum stay the first
    /// sender's. `None` past [`HOPS_MAX`].
    #[must_use]
    pub fn forwarded(mut self, shard: ShardId, correlation: u32) -> Option<Self> {
        let hops = self.flags.hops().checked_add(1).filter(|&hops| hops < HOPS_MAX)?;
        self.flags = self.flags.with_hops(hops);
        self.shard = shard;
        self.correlation = correlation;
        Some(self)
    }
}

/// `N` bytes of a header from `at`; both are constants within 48.
fn field<const N: usize>(bytes: &[u8; HEADER_LEN], at: usize) -> [u8; N] {
    bytes.get(at..).and_then(|rest| rest.first_chunk::<N>()).copied().unwrap_or([0; N])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn golden() -> Header {
        Header {
            major: 1,
            minor: 0,
            kind: 0x8001,
            flags: Flags(1),
            root_len: 174,
            core_len: 904,
            ext_len: 0,
            shard: ShardId(1),
            correlation: 77,
            route: 5,
            body_crc: 0xdfec_6117,
        }
    }

    #[test]
    fn the_golden_header_encodes_to_its_bytes_and_back() {
        let hex = "89485343010001800100ae0088030000000001004d000000\
                   050000000000000000000000000000001761ecdf54e54e6a";
        let bytes = golden().encode();
        let text: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(text, hex);
        assert_eq!(Header::decode(&bytes), Ok(golden()));
    }

    #[test]
    fn every_flipped_bit_is_refused() {
        let bytes = golden().encode();
        for bit in 0..HEADER_LEN * 8 {
            let mut bad = bytes;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(Header::decode(&bad).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn forwarding_stops_at_the_eighth_hop() {
        let mut header = golden();
        let mut hops = 0;
        while let Some(next) = header.forwarded(ShardId::ANY, 9) {
            header = next;
            hops += 1;
        }
        assert_eq!((hops, header.flags.hops(), header.body_crc), (7, 7, golden().body_crc));
        assert!(header.flags.contains(Flags::REPLY), "other flags stay");
    }
}
