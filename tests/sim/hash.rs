//! One number for a whole run: equal seeds, equal numbers. Mixed by multiplication, the same everywhere and always.

use hyperscale_core::Instant;

use crate::fleet::Place;
use crate::fleet::network::Mail;

/// Odd, with its ones spread.
const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

/// Mixes one number into another.
pub(crate) const fn mix(hash: u64, word: u64) -> u64 {
    let x = (hash ^ word).wrapping_mul(MULTIPLIER);
    (x ^ (x >> 29)).wrapping_mul(MULTIPLIER) ^ (x >> 32)
}

/// Mixes text into a number: the seed of one stream of draws.
pub(crate) fn mix_text(hash: u64, text: &str) -> u64 {
    text.bytes().fold(mix(hash, text.len() as u64), |hash, byte| mix(hash, byte.into()))
}

/// Over all deliveries.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TraceHash(pub(crate) u64);

impl TraceHash {
    fn word(&mut self, word: u64) {
        self.0 = mix(self.0, word);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.word(bytes.len() as u64);
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.word(u64::from_le_bytes(word));
        }
    }

    /// A core's timer.
    pub(crate) fn timer(&mut self, now: Instant, at: Place) {
        self.word(now.0);
        self.word(at as u64);
    }

    /// Something is delivered.
    pub(crate) fn mail(&mut self, now: Instant, to: Place, mail: &Mail) {
        self.word(now.0);
        self.word((to as u64) << 8 | 1);
        self.word(mail.link().map_or(0, |link| link.0));
        match mail {
            // Its header has the checksum of the rest.
            Mail::Frame { bytes, .. } => {
                self.bytes(bytes.get(..hyperscale_codec::HEADER_LEN).unwrap_or_default());
                self.word(bytes.len() as u64);
            }
            Mail::Datagram { bytes, .. } => self.bytes(bytes),
            Mail::Up { .. } => self.word(2),
            Mail::Down { .. } => self.word(3),
            Mail::Greeting { from, dial, .. } => self.word((*from as u64) << 32 | dial.0 << 4 | 4),
            Mail::Failed { dial, .. } => self.word(dial.0 << 4 | 5),
            Mail::Waited { dial, .. } => self.word(dial.0 << 4 | 6),
            Mail::Sweep => self.word(7),
            Mail::Tick => self.word(8),
        }
    }
}
