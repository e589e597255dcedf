//! The one seam where datagrams are sealed.
//!
//! Today's seal is a checksum keyed with the group: flipped bits, other fleets and other groups are refused, and whoever
//! knows the group can forge. A later AEAD takes its place behind [`Seal`] without a change elsewhere.

use crate::hash::{fold, mix};

/// Before the tag: prefix 8, sender 16, nonce 24.
pub(crate) const CLEAR_LEN: usize = 48;
/// The tag.
pub(crate) const TAG_LEN: usize = 16;
/// All before the sections.
pub(crate) const HEADER_LEN: usize = CLEAR_LEN + TAG_LEN;

/// Why a datagram could not be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// A key that this node does not have; 0 is none.
    #[error("sealed with key {0}, which this node does not have")]
    UnknownKey(u8),
    /// Bits flipped, or the sender belongs to another group.
    #[error("the seal does not hold: bits flipped, or another fleet's or group's datagram")]
    Broken,
}

/// Seals whole datagrams: header, tag and sections as they lie in memory.
pub trait Seal {
    /// Fills the tag (bytes 48 to 64) in, over all other bytes.
    fn seal(&self, datagram: &mut [u8]);

    /// The sections of a datagram whose seal holds. `scratch`: room for a seal that also hides.
    ///
    /// # Errors
    /// [`SealError`].
    fn open<'a>(&self, datagram: &'a [u8], scratch: &'a mut Vec<u8>) -> Result<&'a [u8], SealError>;
}

/// A 128-bit checksum keyed with the group.
#[derive(Debug, Clone, Copy)]
pub struct GroupChecksum {
    group: u64,
}

/// The only key there is.
pub(crate) const KEY_ID: u8 = 1;
const KEY_AT: usize = 5;

impl GroupChecksum {
    /// For the members of one group.
    #[must_use]
    pub const fn new(group: u64) -> Self {
        Self { group }
    }

    fn tag(self, clear: &[u8], body: &[u8]) -> [u8; TAG_LEN] {
        let mut a = mix(self.group, 0x6879_7065_7273_6361);
        let mut b = mix(self.group, 0x6c65_2d73_7769_6d31);
        for part in [clear, body] {
            let mut chunks = part.chunks_exact(16);
            for chunk in &mut chunks {
                let (low, high) = words(chunk);
                a = fold(low ^ a, high ^ 0x9e37_79b9_7f4a_7c15);
                b = fold(high ^ b, low ^ 0xd6e8_feb8_6659_fd93).rotate_left(23) ^ high;
            }
            let mut rest = [0; 16];
            for (to, from) in rest.iter_mut().zip(chunks.remainder()) {
                *to = *from;
            }
            let (low, high) = words(&rest);
            let len = part.len() as u64;
            a = fold(low ^ a, high ^ len ^ 0xa076_1d64_78bd_642f);
            b = fold(high ^ b ^ len, low ^ 0xe703_7ed1_a0b4_28db).rotate_left(31) ^ low;
        }
        (u128::from(mix(a, b.rotate_left(7))) << 64 | u128::from(mix(b, a))).to_le_bytes()
    }
}

fn words(chunk: &[u8]) -> (u64, u64) {
    let all = chunk.first_chunk::<16>().map_or(0, |bytes| u128::from_le_bytes(*bytes));
    (all as u64, (all >> 64) as u64)
}

impl Seal for GroupChecksum {
    fn seal(&self, datagram: &mut [u8]) {
        let Some((clear, rest)) = datagram.split_at_mut_checked(CLEAR_LEN) else { return };
        let Some((tag, body)) = rest.split_first_chunk_mut::<TAG_LEN>() else { return };
        *tag = self.tag(clear, body);
    }

    fn open<'a>(&self, datagram: &'a [u8], _scratch: &'a mut Vec<u8>) -> Result<&'a [u8], SealError> {
        let key = datagram.get(KEY_AT).copied().unwrap_or(0);
        if key != KEY_ID {
            return Err(SealError::UnknownKey(key));
        }
        let (clear, rest) = datagram.split_at_checked(CLEAR_LEN).ok_or(SealError::Broken)?;
        let (tag, body) = rest.split_first_chunk::<TAG_LEN>().ok_or(SealError::Broken)?;
        if *tag == self.tag(clear, body) { Ok(body) } else { Err(SealError::Broken) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_bit_and_every_other_group_is_refused() {
        let mut datagram: Vec<u8> = (0..150_u8).collect();
        datagram[KEY_AT] = KEY_ID;
        let seal = GroupChecksum::new(9);
        seal.seal(&mut datagram);
        let mut scratch = Vec::new();
        assert_eq!(seal.open(&datagram, &mut scratch).unwrap().len(), 150 - HEADER_LEN);
        assert_eq!(GroupChecksum::new(10).open(&datagram, &mut scratch), Err(SealError::Broken));
        for bit in 0..150 * 8 {
            let mut flipped = datagram.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(seal.open(&flipped, &mut scratch).is_err(), "bit {bit}");
        }
        for len in 0..150 {
            assert!(seal.open(&datagram[..len], &mut scratch).is_err(), "{len} bytes");
        }
    }
}
