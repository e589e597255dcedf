//! Fast, seeded, the same in every run: std's hashing is random and would break replay.

/// Folds the 128-bit product of two words into one.
pub(crate) const fn fold(a: u64, b: u64) -> u64 {
    let product = (a as u128).wrapping_mul(b as u128);
    (product as u64) ^ ((product >> 64) as u64)
}

const K1: u64 = 0x9e37_79b9_7f4a_7c15;
const K2: u64 = 0xd6e8_feb8_6659_fd93;

/// Mixes one word under a key.
pub(crate) const fn mix(word: u64, key: u64) -> u64 {
    fold(word ^ K1, key ^ K2)
}

/// Mixes an id under a key. Whoever does not know the key cannot choose ids that collide.
pub(crate) const fn mix_id(id: u128, key: u64) -> u64 {
    mix(fold((id as u64) ^ K2 ^ key, ((id >> 64) as u64) ^ K1 ^ key.rotate_left(32)), key)
}
