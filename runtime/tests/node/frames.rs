//! Frames of a greeted peer that break a rule: skipped or answered where the link can go on, a goodbye where it
//! cannot; each counted under one cause.

use std::io::Write;
use std::time::Duration;

use hyperscale_codec::messages::JobFinalResultAck;
use hyperscale_codec::{Encoder, ErrorCode, Flags, HEADER_LEN, Head, Header, Kind};
use hyperscale_core::LinkDown;

use crate::raw::{Raw, counted, header, with_gate};
use crate::support::*;

const BODY: [u8; 16] = [0; 16];

fn wanting(kind: u16, correlation: u32) -> Header {
    header(kind, Flags::WANTS_REPLY, correlation, &BODY)
}

/// Sends the bytes of one frame that voids its connection; the goodbye it gets, after which nothing comes.
fn voids(bytes: Vec<u8>, cause: &'static str) -> u16 {
    let (goodbye, ended) = with_gate(
        |_config| {},
        move |addr| {
            let mut raw = Raw::connect(addr);
            raw.stream.write_all(&bytes).unwrap();
            let (_, code) = raw.reply();
            raw.stream.shutdown(std::net::Shutdown::Write).unwrap();
            (code, (raw.ended(), cause))
        },
        |shard, gate| {
            let why = gate.with_core(|core| core.down.clone());
            assert!(matches!(&why[..], [(_, LinkDown::Protocol(_))]), "{why:?}");
            assert_eq!(counted(shard).len(), 1, "{:?}", counted(shard));
        },
    );
    assert_eq!(ended, (true, cause));
    goodbye
}

#[test]
fn an_envelope_that_voids_its_connection_says_why_in_the_goodbye() {
    let _watch = watch("an_envelope_that_voids_its_connection_says_why_in_the_goodbye");
    let good = wanting(Kind::Goodbye.to_wire(), 1);
    let frame = |header: Header| [header.encode().to_vec(), BODY.to_vec()].concat();
    let mut damaged = frame(good);
    damaged[20] ^= 1;
    let mut garbled = frame(good);
    garbled[HEADER_LEN] ^= 1;
    for (bytes, cause, code) in [
        (
            b"GET / HTTP/1.1\r\nHost: somewhere\r\nAccept: */*\r\n\r\n".to_vec(),
            "frame_magic",
            ErrorCode::Malformed,
        ),
        (damaged, "header_checksum", ErrorCode::Malformed),
        (garbled, "body_checksum", ErrorCode::Malformed),
        (frame(Header { major: 2, ..good }), "frame_major", ErrorCode::Incompatible),
        (frame(Header { core_len: u32::MAX, ..good }), "frame_too_long", ErrorCode::TooLarge),
        (frame(Header { ext_len: 5000, ..good }), "frame_too_long", ErrorCode::TooLarge),
        (frame(Header { root_len: 17, ..good }), "root_length", ErrorCode::Malformed),
    ] {
        assert_eq!(voids(bytes, cause), code.to_wire(), "{cause}");
    }
}

#[test]
fn frames_that_may_not_be_acted_on_are_answered_and_counted_by_cause() {
    let _watch = watch("frames_that_may_not_be_acted_on_are_answered_and_counted_by_cause");
    let replies = with_gate(
        |_config| {},
        |addr| {
            let mut raw = Raw::connect(addr);
            let flags = |flags: Flags| Header { flags: flags.with(Flags::WANTS_REPLY), ..wanting(1, 1) };
            raw.send(flags(Flags(1 << 8)), &BODY);
            raw.send(Header { correlation: 2, ..flags(Flags::default().with_hops(8)) }, &BODY);
            for (kind, correlation) in [(0x3ffe, 3), (0x7ffe, 4), (0xbffe, 5), (0xfffe, 6)] {
                raw.send(wanting(kind, correlation), &BODY);
                // One-way: skipped without a word.
                raw.send(header(kind, Flags::default(), 0, &BODY), &BODY);
            }
            raw.send(wanting(Kind::JobAck.to_wire(), 7), &BODY);
            (0..7).map(|_| raw.reply()).collect::<Vec<_>>()
        },
        |shard, gate| {
            let want = [
                ("flags_critical", 1),
                ("hops", 1),
                ("kind_unknown_critical", 2),
                ("kind_unknown_high", 2),
                ("kind_unknown_normal", 2),
                ("kind_unknown_low", 2),
                ("kind_forbidden", 1),
            ];
            assert_eq!(counted(shard), want);
            gate.with_core(|core| assert!(core.heard.is_empty()));
        },
    );
    let unsupported = ErrorCode::Unsupported.to_wire();
    let mut want = vec![(1, unsupported), (2, ErrorCode::Invalid.to_wire())];
    want.extend((3..7).map(|correlation| (correlation, unsupported)));
    want.push((7, ErrorCode::Forbidden.to_wire()));
    assert_eq!(replies, want);
}

#[test]
fn an_unknown_kind_about_a_job_reaches_the_core() {
    let _watch = watch("an_unknown_kind_about_a_job_reaches_the_core");
    let reply = with_gate(
        |_config| {},
        |addr| {
            let mut raw = Raw::connect(addr);
            let flags = Flags::WANTS_REPLY.with(Flags::ROUTE_JOB);
            raw.send(header(0x7ffe, flags, 9, &BODY), &BODY);
            raw.reply()
        },
        |shard, gate| {
            assert_eq!(gate.with_core(|core| core.strange.clone()), [0x7ffe]);
            assert_eq!(counted(shard), [("kind_unknown_high", 1)]);
        },
    );
    assert_eq!(reply, (9, ErrorCode::Unsupported.to_wire()));
}

#[test]
fn the_third_forbidden_kind_in_a_minute_ends_the_link() {
    let _watch = watch("the_third_forbidden_kind_in_a_minute_ends_the_link");
    let codes = with_gate(
        |_config| {},
        |addr| {
            let mut raw = Raw::connect(addr);
            for correlation in 1..=4 {
                raw.send(wanting(Kind::JobAck.to_wire(), correlation), &BODY);
            }
            let codes = [raw.reply(), raw.reply(), raw.reply(), raw.reply()];
            raw.stream.shutdown(std::net::Shutdown::Write).unwrap();
            assert!(raw.ended());
            codes
        },
        |shard, gate| {
            assert_eq!(counted(shard), [("kind_forbidden", 3)]);
            let why = gate.with_core(|core| core.down[0].1.to_string());
            assert_eq!(why, "3 forbidden frames in a minute");
        },
    );
    let forbidden = ErrorCode::Forbidden.to_wire();
    assert_eq!(codes, [(1, forbidden), (2, forbidden), (3, forbidden), (0, forbidden)]);
}

#[test]
fn the_eighth_malformed_body_in_a_minute_ends_the_link() {
    let _watch = watch("the_eighth_malformed_body_in_a_minute_ends_the_link");
    let codes = with_gate(
        |_config| {},
        |addr| {
            let mut raw = Raw::connect(addr);
            // A goodbye of sixteen zero bytes is none: its released root has fourteen.
            let short = Header { root_len: 9, ..wanting(Kind::Goodbye.to_wire(), 1) };
            // One-way ones count as well.
            (0..3).for_each(|_| raw.send(Header { flags: Flags::default(), ..short }, &BODY));
            (1..=5).for_each(|correlation| raw.send(Header { correlation, ..short }, &BODY));
            let codes = (0..6).map(|_| raw.reply()).collect::<Vec<_>>();
            raw.stream.shutdown(std::net::Shutdown::Write).unwrap();
            assert!(raw.ended());
            codes
        },
        |shard, gate| {
            assert_eq!(counted(shard), [("malformed_body", 8)]);
            let why = gate.with_core(|core| core.down[0].1.to_string());
            assert_eq!(why, "8 malformed frames in a minute");
        },
    );
    let malformed = ErrorCode::Malformed.to_wire();
    assert_eq!(codes, [1, 2, 3, 4, 5, 0].map(|correlation| (correlation, malformed)));
}

#[test]
fn an_unknown_critical_extension_refuses_the_message_and_not_the_link() {
    let _watch = watch("an_unknown_critical_extension_refuses_the_message_and_not_the_link");
    let replies = with_gate(
        |_config| {},
        |addr| {
            let mut raw = Raw::connect(addr);
            let mut frame = Vec::new();
            Encoder::default().append(&mut frame, Head::request(1), &word("hello")).unwrap();
            let head = Header::decode(frame.first_chunk().unwrap()).unwrap();
            for (correlation, kind) in [(1, 99_u16 | 1 << 15), (2, 99)] {
                let mut body = frame[HEADER_LEN..].to_vec();
                body.extend_from_slice(&kind.to_le_bytes());
                body.extend_from_slice(&[1, 0, 7]);
                let body_crc = crc32(&body);
                raw.send(Header { ext_len: 5, body_crc, correlation, ..head }, &body);
            }
            raw.send(wanting(0x3ffe, 3), &BODY);
            [raw.reply(), raw.reply()]
        },
        |shard, gate| {
            assert_eq!(counted(shard), [("kind_unknown_critical", 1), ("extension_critical", 1)]);
            assert_eq!(
                gate.with_core(|core| core.heard.len()),
                1,
                "the one with an extension that may be skipped"
            );
        },
    );
    let code = ErrorCode::UnsupportedExtension.to_wire();
    assert_eq!(replies, [(1, code), (3, ErrorCode::Unsupported.to_wire())]);
}

#[test]
fn a_frame_that_comes_one_byte_at_a_time_is_cut_off() {
    let _watch = watch("a_frame_that_comes_one_byte_at_a_time_is_cut_off");
    let (goodbye, ended) = with_gate(
        |config| config.limits.frame_timeout = Duration::from_millis(100),
        |addr| {
            let mut raw = Raw::connect(addr);
            let mut frame = Vec::new();
            Encoder::default()
                .append(&mut frame, Head::default(), &JobFinalResultAck { job: [1; 16] })
                .unwrap();
            raw.send_slowly(&frame);
            let goodbye = raw.reply();
            raw.stream.shutdown(std::net::Shutdown::Write).unwrap();
            (goodbye, raw.ended())
        },
        |shard, _gate| assert_eq!(counted(shard), [("frame_timeout", 1)]),
    );
    assert_eq!((goodbye, ended), ((0, ErrorCode::DeadlineExceeded.to_wire()), true));
}

#[test]
fn a_told_length_takes_no_memory_before_its_bytes_come() {
    let _watch = watch("a_told_length_takes_no_memory_before_its_bytes_come");
    const CALLERS: usize = 64;
    let grown = with_gate(
        |_config| {},
        |addr| {
            let long = Header { core_len: 4 << 20, ..wanting(0x3ffe, 1) };
            let mut raws: Vec<_> = (0..CALLERS).map(|_| Raw::connect(addr)).collect();
            let before = resident();
            for raw in &mut raws {
                raw.send(long, &[0; 1000]);
            }
            // Each is greeted and heard: a later caller's answer comes after what they sent.
            for raw in &mut raws {
                raw.stream.flush().unwrap();
            }
            let mut last = Raw::connect(addr);
            last.send(wanting(0x3ffe, 1), &BODY);
            last.reply();
            resident().saturating_sub(before)
        },
        |_shard, _gate| {},
    );
    // Their told lengths are 256 MiB together.
    assert!(grown < 64 << 20, "{grown} bytes for {CALLERS} headers");
}

/// Bytes of memory this process holds.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

/// CRC-32 as frames have it, by its definition.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg());
    !bytes.iter().fold(!0_u32, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}
