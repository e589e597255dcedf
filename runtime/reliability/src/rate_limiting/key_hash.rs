//! A hash of client keys that no peer can choose keys against, at the price of two multiplications.
//!
//! Keys are two words at most, so a multilinear hash will do: `(k0 + k1 * w0 + k2 * w1) mod 2^128`, the upper half of it,
//! is strongly universal (Dietzfelbinger 1996; Lemire, Kaser 2014): whatever keys somebody picks who does not know the
//! seed, each two of them meet by chance alone. SipHash would cost more than the rest of a check, measured.

use std::hash::{BuildHasher, Hasher};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// The seed, spread over as many words as are needed.
#[derive(Debug, Clone)]
pub(super) struct KeyHash {
    start: u128,
    factors: [u128; 2],
}

impl KeyHash {
    pub(super) fn new(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        Self { start: rng.random(), factors: rng.random() }
    }
}

impl BuildHasher for KeyHash {
    type Hasher = KeyHasher;

    fn build_hasher(&self) -> KeyHasher {
        let [next, last] = self.factors;
        KeyHasher { sum: self.start, next, last }
    }
}

#[derive(Debug)]
pub(super) struct KeyHasher {
    sum: u128,
    /// Factors of the words to come.
    next: u128,
    last: u128,
}

impl Hasher for KeyHasher {
    fn write_u64(&mut self, word: u64) {
        self.sum = self.sum.wrapping_add(self.next.wrapping_mul(word.into()));
        self.next = self.last;
    }

    /// Not by [`super::ClientKey`], whose words come one by one.
    fn write(&mut self, bytes: &[u8]) {
        debug_assert!(false, "only words are hashed well");
        bytes.iter().for_each(|byte| self.write_u64((*byte).into()));
    }

    fn finish(&self) -> u64 {
        (self.sum >> 64) as u64
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv6Addr};

    use hyperscale_codec::NodeId;

    use super::super::ClientKey;
    use super::*;

    /// Of the sets that somebody would try: no part of a hash has more of them than chance allows.
    #[test]
    fn keys_in_a_row_are_spread_under_every_seed() {
        let localhost = IpAddr::from([127, 0, 0, 1]);
        let sets: [fn(u32, IpAddr) -> ClientKey; 5] = [
            |i, _| ClientKey::new(IpAddr::from((0x0a00_0000 + i).to_be_bytes()), NodeId(0)),
            |i, _| ClientKey::new(IpAddr::from((i << 20 | 0x0a).to_be_bytes()), NodeId(0)),
            |i, _| {
                ClientKey::new(
                    Ipv6Addr::from_bits((0x2001_u128 << 112) + (u128::from(i) << 64)).into(),
                    NodeId(0),
                )
            },
            |i, localhost| ClientKey::new(localhost, NodeId(i.into())),
            |i, localhost| ClientKey::new(localhost, NodeId(u128::from(i) << 96)),
        ];
        for seed in 0..20 {
            let hash = KeyHash::new(seed);
            for (set, key) in sets.iter().enumerate() {
                // Both ends of a hash are used: the low bits as place, the high ones as mark.
                let (mut places, mut marks) = (vec![0_u32; 4_096], vec![0_u32; 128]);
                for i in 0..4_096 {
                    let hash = hash.hash_one(key(i, localhost));
                    places[usize::try_from(hash % 4_096).unwrap()] += 1;
                    marks[usize::try_from(hash >> 57).unwrap()] += 1;
                }
                let worst = (places.iter().max(), marks.iter().max());
                assert!(worst.0 < Some(&32) && worst.1 < Some(&256), "set {set}, seed {seed}: {worst:?}");
            }
        }
    }
}
