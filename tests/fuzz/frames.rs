//! Handshake, header, extensions, roots, and the reader that puts them together.

use hyperscale_codec::{
    Extensions, FrameError, FrameReader, HEADER_LEN, Header, Hello, Kind, Limits, RawExtensions, RawFrame,
    hello_len,
};

use crate::{Rng, Shown, Tally, golden, rounds, whole};

#[test]
fn no_bytes_panic_the_handshake() {
    let (good, mut rng, mut tally) = (golden("Hello"), Rng(0x4e11), Tally::default());
    let other = golden("JobSubmit");
    rounds(20_000, |round| {
        let mut bad = rng.mutate(&good, &other);
        // Sealed, as any stranger can: else the checksum alone would be tried.
        if rng.below(4) > 0 && bad.len() >= 14 {
            bad[..8].copy_from_slice(&good[..8]);
            let total = u16::try_from(bad.len()).unwrap_or(u16::MAX);
            bad[8..10].copy_from_slice(&total.to_le_bytes());
            let end = bad.len() - 4;
            let seal = crc32fast::hash(&bad[..end]);
            bad[end..].copy_from_slice(&seal.to_le_bytes());
        }
        let _shown = Shown(round, &bad);
        let len = bad.first_chunk().map(hello_len);
        let read = Hello::decode(&bad);
        tally.note(read.is_ok());
        if let Ok(hello) = read {
            assert_eq!(len, Some(Ok(bad.len())));
            // What was taken can be said again, and means the same.
            let mut again = Vec::new();
            hello.encode(&mut again);
            assert_eq!(Hello::decode(&again).unwrap().node, hello.node);
        }
    });
}

#[test]
fn no_bytes_panic_the_header() {
    let good = golden("StatsUpdate");
    let good = good.first_chunk::<HEADER_LEN>().unwrap();
    let (other, mut rng, mut tally) = (golden("Extensions"), Rng(0x4ead), Tally::default());
    rounds(40_000, |round| {
        let mut bad = rng.mutate(good, &other);
        bad.resize(HEADER_LEN, 0);
        if rng.below(2) == 0 {
            bad[..4].copy_from_slice(&good[..4]);
            let seal = crc32fast::hash(&bad[..44]);
            bad[44..].copy_from_slice(&seal.to_le_bytes());
        }
        let _shown = Shown(round, &bad);
        let read = Header::decode(bad.first_chunk().unwrap());
        tally.note(read.is_ok());
        if let Ok(header) = read {
            assert_eq!(header.encode(), *bad, "a header says all of its bytes");
            assert!(header.frame_len() >= HEADER_LEN);
        }
    });
}

#[test]
fn no_bytes_panic_the_extensions() {
    let good = golden("Extensions");
    let (mut rng, mut tally) = (Rng(0xe47), Tally::default());
    rounds(40_000, |round| {
        let bad = rng.mutate(whole(&good).ext(), &good);
        let _shown = Shown(round, &bad);
        let read = Extensions::decode(&bad);
        tally.note(read.is_ok());
        assert!(RawExtensions::new(&bad).count() <= 17, "sixteen, or an error behind them");
        if let Ok(known) = read {
            let mut again = Vec::new();
            known.encode(&mut again);
            assert_eq!(Extensions::decode(&again), Ok(known));
        }
    });
}

#[test]
fn no_bytes_panic_the_root_of_any_kind() {
    let seeds: Vec<(Kind, Vec<u8>)> = Kind::ALL.iter().map(|kind| (*kind, golden(kind.name()))).collect();
    let (mut rng, mut tally, mut scratch) = (Rng(0x4007), Tally::default(), Vec::new());
    for (kind, seed) in &seeds {
        let good = whole(seed);
        let told = usize::from(good.header.root_len);
        rounds(1_000, |round| {
            let other = &rng.pick(&seeds).1;
            let bad = rng.mutate(good.core(), other);
            let told = match rng.below(4) {
                0 => rng.below(5000),
                1 => told.saturating_add(rng.below(64)).saturating_sub(32),
                _ => told,
            };
            let _shown = Shown(round, &bad);
            let read = kind.check(&bad, told, &mut scratch);
            tally.note(read.is_ok());
            assert!(read.is_err() || told <= bad.len(), "{kind:?} was read from outside its core");
            // As another kind, such as of a sender that lies about it.
            let _read = rng.pick(Kind::ALL).check(&bad, told, &mut scratch);
        });
    }
}

/// What a reader made of a stream, up to the end or to what voids the connection.
fn read(stream: &[u8], cuts: impl IntoIterator<Item = usize>) -> Vec<Result<(u16, u32, usize), FrameError>> {
    let limits = Limits { core_max: 1 << 18, ext_max: 4096 };
    let (mut reader, mut seen, mut fed) = (FrameReader::new(), Vec::new(), 0);
    for cut in cuts.into_iter().chain([stream.len()]) {
        let to = cut.clamp(fed, stream.len());
        reader.feed(&stream[fed..to]);
        fed = to;
        loop {
            match reader.next(&limits) {
                Ok(Some(frame)) => {
                    let RawFrame { header, bytes } = frame;
                    assert_eq!(frame.core().len() + frame.ext().len() + HEADER_LEN, bytes.len());
                    seen.push(Ok((header.kind, header.correlation, bytes.len())));
                }
                Ok(None) => break,
                Err(error) => {
                    let closes = error.closes();
                    seen.push(Err(error));
                    if closes {
                        return seen;
                    }
                }
            }
        }
        assert!(reader.space().len() <= (64 << 10) + 2 * fed, "memory beyond what came");
    }
    seen
}

#[test]
fn however_a_hostile_stream_is_cut_the_reader_sees_the_same() {
    let seeds: Vec<Vec<u8>> = Kind::ALL.iter().map(|kind| golden(kind.name())).collect();
    let (mut rng, mut tally) = (Rng(0xc075), Tally::default());
    rounds(4_000, |round| {
        let mut stream = Vec::new();
        for _ in 0..=rng.below(6) {
            let seed = rng.pick(&seeds).clone();
            if rng.below(2) == 0 {
                stream.extend_from_slice(&seed);
                continue;
            }
            let other = rng.pick(&seeds);
            let body = rng.mutate(&seed[HEADER_LEN..], other);
            let mut header = whole(&seed).header;
            // Mostly sealed and of true length, at times a lie about one of them.
            (header.body_crc, header.core_len) = (crc32fast::hash(&body), u32::try_from(body.len()).unwrap());
            match rng.below(8) {
                0 => header.core_len = u32::try_from(rng.below(1 << 20)).unwrap(),
                1 => header.root_len = u16::try_from(rng.below(5000)).unwrap(),
                2 => header.ext_len = u16::try_from(rng.below(body.len() + 9)).unwrap(),
                3 => header.body_crc ^= 1,
                4 => header.major = 2,
                5 => header.kind = u16::try_from(rng.below(0x1_0000)).unwrap(),
                _ => {}
            }
            stream.extend_from_slice(&header.encode());
            stream.extend_from_slice(&body);
        }
        if rng.below(4) == 0 {
            stream = rng.mutate(&stream, &seeds[0]);
        }
        let mut cuts: Vec<usize> = (0..rng.below(20)).map(|_| rng.below(stream.len())).collect();
        cuts.sort_unstable();
        let _shown = Shown(round, &stream);
        let at_once = read(&stream, []);
        at_once.iter().for_each(|seen| tally.note(seen.is_ok()));
        assert_eq!(read(&stream, cuts), at_once);
    });
}
