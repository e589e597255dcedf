//! Hostile bytes through every decoder: mutations of good ones from fixed seeds, so that each run tries the same.
//!
//! Nothing may panic (overflow checks are on), take memory that its bytes do not warrant, or half-apply what it
//! refuses. `HYPERSCALE_FUZZ=100 cargo test -p hyperscale-tests --test fuzz` runs a hundred times the rounds.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test that cannot go on shall fail where it stands, and show the bytes"
)]

mod datagrams;
mod frames;
mod plans;
mod statistics;

use std::path::{Path, PathBuf};

use hyperscale_codec::{Limits, RawFrame};

/// xorshift64*: small, and the same everywhere.
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(n.max(1)).unwrap()).unwrap()
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    /// One to five flips, hostile words, cuts, repeats, growth, and pieces of `other`.
    fn mutate(&mut self, good: &[u8], other: &[u8]) -> Vec<u8> {
        let mut bad = good.to_vec();
        for _ in 0..=self.below(5) {
            if bad.is_empty() {
                bad.push(0);
            }
            let at = self.below(bad.len());
            match self.below(10) {
                0..=2 => bad[at] ^= 1 << self.below(8),
                3 => bad[at] = *self.pick(&[0, 1, 0x7f, 0x80, 0xfe, 0xff]),
                4 | 5 => {
                    let here = u64::try_from(at).unwrap();
                    let words = [0, 1, 0x7fff_ffff, 0xffff_ffff, u64::MAX, u64::MAX >> 1, here, !here];
                    let width = *self.pick(&[2, 4, 8]);
                    let word = self.pick(&words).to_le_bytes();
                    bad.iter_mut().skip(at).zip(&word[..width]).for_each(|(byte, new)| *byte = *new);
                }
                6 => bad.truncate(at),
                7 => {
                    let byte = self.next().to_le_bytes()[0];
                    bad.extend(std::iter::repeat_n(byte, at % 64));
                }
                8 => {
                    let end = at + self.below(bad.len() - at).min(64);
                    let again = bad[at..end].to_vec();
                    bad.splice(at..at, again);
                }
                _ => {
                    let from = self.below(other.len());
                    let piece = &other[from..(from + 64).min(other.len())];
                    bad.splice(at..(at + piece.len()).min(bad.len()), piece.iter().copied());
                }
            }
        }
        bad
    }
}

/// Calls `round` as often as told, times `HYPERSCALE_FUZZ`.
fn rounds(usual: u32, mut round: impl FnMut(u32)) {
    #[expect(clippy::disallowed_methods, reason = "the one switch of these tests: how long they run")]
    let factor = std::env::var("HYPERSCALE_FUZZ").ok().map_or(1, |factor| factor.parse().unwrap());
    (0..usual.saturating_mul(factor)).for_each(&mut round);
}

/// Shows the bytes that a decoder panicked on.
struct Shown<'a>(u32, &'a [u8]);

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let hex: String = self.1.iter().map(|byte| format!("{byte:02x}")).collect();
            eprintln!("round {}: {hex}", self.0);
        }
    }
}

/// How often a decoder took what it got; a test in which it always or never did shows nothing.
#[derive(Debug, Default)]
struct Tally {
    taken: u64,
    refused: u64,
}

impl Tally {
    fn note(&mut self, taken: bool) {
        if taken { self.taken += 1 } else { self.refused += 1 }
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        assert!(std::thread::panicking() || (self.taken > 0 && self.refused > 0), "{self:?}: one-sided");
    }
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

/// A golden file's bytes.
fn golden(name: &str) -> Vec<u8> {
    let path = repository().join("tests/golden/frames").join(format!("{name}-1.4.hex"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let digits: Vec<u8> =
        text.chars().filter_map(|c| c.to_digit(16)).map(|d| u8::try_from(d).unwrap()).collect();
    digits.chunks(2).map(|pair| pair[0] * 16 + pair[1]).collect()
}

/// A golden frame, read.
fn whole(bytes: &[u8]) -> RawFrame<'_> {
    RawFrame::read(bytes, &Limits::default()).unwrap()
}
