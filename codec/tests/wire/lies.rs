//! Bytes that lie: fixed-seed mutations of good ones, through every decoder. Nothing may panic, take memory beyond
//! the limits, or change a histogram it refuses.

use std::fmt::Debug;

use hyperscale_codec::messages::{StatsColumns, StatsFinal, StatsSnapshot, StatsUpdate};
use hyperscale_codec::{
    Archived, Encoder, Extensions, FrameReader, HEADER_LEN, Head, Header, Hello, Hist, Limits, Message,
    RawFrame, StatsError, hello_len,
};

use crate::golden::hello;
use crate::samples::{self, Visitor};

/// Mutations a decoder; about a second each in a debug build for the longest.
const ROUNDS: u32 = 20_000;

/// xorshift64*: the same lies in every run.
struct Liar(u64);

impl Liar {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(n.max(1)).unwrap()).unwrap()
    }

    /// Flips, hostile words, cuts, growth; one to four of them.
    fn mutate(&mut self, good: &[u8], bad: &mut Vec<u8>) {
        bad.clear();
        bad.extend_from_slice(good);
        for _ in 0..=self.below(4) {
            if bad.is_empty() {
                bad.push(0);
            }
            let at = self.below(bad.len());
            match self.below(8) {
                0..=2 => bad[at] ^= 1 << self.below(8),
                3 => bad[at] = [0, 1, 0x7f, 0x80, 0xff][self.below(5)],
                4 | 5 => {
                    let words = [0, 1, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, u32::try_from(at).unwrap()];
                    let word = words[self.below(6)].to_le_bytes();
                    bad.iter_mut().skip(at).zip(word).for_each(|(byte, new)| *byte = new);
                }
                6 => bad.truncate(at),
                _ => {
                    let byte = self.next().to_le_bytes()[0];
                    bad.extend(std::iter::repeat_n(byte, at % 64));
                }
            }
        }
    }
}

struct EveryKind {
    liar: Liar,
    encoder: Encoder,
    accepted: u64,
}

impl Visitor for EveryKind {
    fn visit<M: Message + Debug + Clone + PartialEq>(&mut self, sample: &M) {
        let mut whole = Vec::new();
        self.encoder.append(&mut whole, Head::default(), sample).unwrap();
        let good = RawFrame::read(&whole, &Limits::default()).unwrap();
        let (mut bad, mut scratch) = (Vec::new(), Vec::new());
        let rounds = ROUNDS / u32::try_from(1 + good.core().len() / 1024).unwrap();
        for round in 0..rounds {
            self.liar.mutate(good.core(), &mut bad);
            let told = match self.liar.below(4) {
                0 => self.liar.below(5000),
                _ => usize::from(good.header.root_len),
            };
            let core = bad.clone();
            bad.splice(..0, whole[..HEADER_LEN].iter().copied());
            let header = Header {
                core_len: u32::try_from(core.len()).unwrap(),
                root_len: u16::try_from(told).unwrap(),
                ..good.header
            };
            let frame = RawFrame { header, bytes: &bad };
            assert_eq!(frame.core(), core);
            let read = frame.to_owned::<M>(&mut scratch);
            assert_eq!(read.is_ok(), M::KIND.check(&core, told, &mut scratch).is_ok(), "round {round}");
            self.accepted += u64::from(read.is_ok());
        }
    }
}

#[test]
fn no_lie_in_a_core_panics_a_decoder() {
    let mut every = EveryKind { liar: Liar(0x5eed), encoder: Encoder::default(), accepted: 0 };
    samples::each(&mut every);
    // Most flips of a number or a text leave a valid message; a decoder that refuses all would prove nothing.
    assert!(every.accepted > 10_000, "{} accepted", every.accepted);
}

fn meet(columns: &Archived<StatsColumns>, into: &mut Hist) -> Result<bool, StatsError> {
    columns.check()?;
    let mut merged = true;
    for sparse in columns.latency.iter().chain(columns.connect.iter()) {
        let before = into.clone();
        if into.merge_archived(sparse).is_err() {
            merged = false;
            assert_eq!(*into, before, "a refused histogram changed something");
        }
    }
    Ok(merged)
}

#[test]
fn no_lie_in_statistics_panics_the_check_or_the_merge() {
    let mut whole = Vec::new();
    Encoder::default().append(&mut whole, Head::default(), &StatsUpdate(samples::columns(3))).unwrap();
    let good = RawFrame::read(&whole, &Limits::default()).unwrap();
    let (mut liar, mut bad, mut scratch) = (Liar(0xdead), Vec::new(), Vec::new());
    let (mut refused, mut half, mut merged) = (0, 0, 0);
    for _ in 0..4000 {
        liar.mutate(good.core(), &mut bad);
        bad.splice(..0, whole[..HEADER_LEN].iter().copied());
        let core_len = u32::try_from(bad.len() - HEADER_LEN).unwrap();
        let frame = RawFrame { header: Header { core_len, ..good.header }, bytes: &bad };
        let Ok(update) = frame.decode::<StatsUpdate>(&mut scratch) else { continue };
        match meet(&update.0, &mut Hist::new()) {
            Err(_) => refused += 1,
            Ok(false) => half += 1,
            Ok(true) => merged += 1,
        }
    }
    assert!(refused > 0 && half > 0 && merged > 0, "{refused} {half} {merged}: some way was never gone");
}

#[test]
fn no_lie_in_a_header_panics_the_reader_or_takes_memory_beyond_the_limits() {
    let mut whole = Vec::new();
    Encoder::default().append(&mut whole, Head::default(), &StatsFinal(samples::columns(3))).unwrap();
    let limits = Limits { core_max: 1 << 17, ext_max: 4096 };
    let (mut liar, mut bad) = (Liar(0xbeef), Vec::new());
    let mut read = 0;
    for round in 0..ROUNDS {
        liar.mutate(&whole, &mut bad);
        if let Some(head) = bad.first_chunk::<HEADER_LEN>().copied() {
            let told = Header::decode(&head).unwrap_or(Header::decode(whole.first_chunk().unwrap()).unwrap());
            let body_crc = crc32fast::hash(&bad[HEADER_LEN..]);
            // A sealed lie: what a hostile peer can always make.
            let lie = Header {
                core_len: if round % 3 == 0 {
                    u32::try_from(liar.below(1 << 20)).unwrap()
                } else {
                    told.core_len
                },
                ext_len: if round % 5 == 0 { u16::try_from(liar.below(5000)).unwrap() } else { told.ext_len },
                body_crc,
                ..told
            };
            bad[..HEADER_LEN].copy_from_slice(&lie.encode());
        }
        let mut reader = FrameReader::new();
        reader.feed(&bad);
        while let Ok(Some(frame)) = reader.next(&limits) {
            let _extensions = frame.extensions();
            read += 1;
        }
        assert!(reader.space().len() <= HEADER_LEN + (1 << 17) + 4096, "round {round}");
    }
    assert!(read > 100, "{read} read: the lies are too plain");
}

#[test]
fn no_lie_in_a_header_s_own_bytes_panics() {
    let good = Header::decode(&golden_header()).unwrap();
    let (mut liar, mut bad) = (Liar(0xcafe), Vec::new());
    for _ in 0..ROUNDS {
        liar.mutate(&good.encode(), &mut bad);
        if let Some(head) = bad.first_chunk::<HEADER_LEN>() {
            // Read, it is the very header; its checksum leaves no third way.
            assert!(Header::decode(head).is_err() || *head == good.encode());
        }
    }
}

fn golden_header() -> [u8; HEADER_LEN] {
    let mut whole = Vec::new();
    Encoder::default().append(&mut whole, Head::request(3), &StatsSnapshot(samples::columns(1))).unwrap();
    *whole.first_chunk().unwrap()
}

#[test]
fn no_lie_in_a_handshake_panics_even_under_a_true_checksum() {
    let mut whole = Vec::new();
    hello().encode(&mut whole);
    let (mut liar, mut bad, mut read) = (Liar(0xf00d), Vec::new(), 0);
    for _ in 0..ROUNDS {
        liar.mutate(&whole, &mut bad);
        if bad.len() > 14 && liar.below(4) > 0 {
            let total = u16::try_from(bad.len().min(1 << 12)).unwrap();
            bad[..8].copy_from_slice(&whole[..8]);
            bad[8..10].copy_from_slice(&total.to_le_bytes());
            let end = bad.len() - 4;
            let crc = crc32fast::hash(&bad[..end]);
            bad[end..].copy_from_slice(&crc.to_le_bytes());
        }
        if let Some(prefix) = bad.first_chunk() {
            let _len = hello_len(prefix);
        }
        read += usize::from(Hello::decode(&bad).is_ok());
    }
    assert!(read > 100, "{read} read: the lies are too plain");
}

#[test]
fn no_lie_in_extensions_panics() {
    let all = Extensions {
        deadline_ms: Some(2500),
        trace: Some(([1; 16], [2; 8])),
        idempotency: Some([3; 16]),
        attempt: Some(2),
    };
    let mut whole = Vec::new();
    all.encode(&mut whole);
    let (mut liar, mut bad, mut read) = (Liar(0xace), Vec::new(), 0);
    for _ in 0..ROUNDS * 5 {
        liar.mutate(&whole, &mut bad);
        read += usize::from(Extensions::decode(&bad).is_ok());
    }
    assert!(read > 100, "{read} read: the lies are too plain");
}
