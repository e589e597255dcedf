//! Any message comes back as it was, however its bytes are cut, and any two kinds keep apart.

use std::fmt::Debug;

use hyperscale_codec::messages::{ErrorReply, Goodbye, JobStatusPush};
use hyperscale_codec::{
    AdmitError, DecodeError, EncodeError, Encoder, ErrorCode, Flags, FrameError, FrameReader, HEADER_LEN,
    Head, Header, Kind, Limits, Message, RawFrame, Role, ShardId,
};
use proptest::prelude::*;

use crate::samples::{self, Visitor};

fn frame<M: Message>(message: &M) -> Vec<u8> {
    let mut out = Vec::new();
    Encoder::default().append(&mut out, Head::request(9), message).unwrap();
    out
}

fn goodbye() -> Goodbye {
    Goodbye { code: 0, text: "done".into(), retry_after_ms: 0 }
}

struct AllFrames(Vec<u8>, Encoder);

impl Visitor for AllFrames {
    fn visit<M: Message + Debug + Clone + PartialEq>(&mut self, sample: &M) {
        self.1.append(&mut self.0, Head::default(), sample).unwrap();
    }
}

#[test]
fn frames_of_all_kinds_in_one_buffer_come_apart_again_however_they_are_cut() {
    let mut all = AllFrames(Vec::new(), Encoder::default());
    samples::each(&mut all);
    for piece in [1, 7, 48, 1000, all.0.len()] {
        let (mut reader, mut kinds) = (FrameReader::new(), Vec::new());
        for part in all.0.chunks(piece) {
            reader.feed(part);
            while let Some(frame) = reader.next(&Limits::default()).unwrap() {
                let kind = frame.kind().unwrap();
                let told = usize::from(frame.header.root_len);
                kind.check(frame.core(), told, &mut Vec::new()).unwrap();
                kinds.push(kind);
            }
        }
        assert_eq!(kinds, Kind::ALL, "pieces of {piece}");
        assert!(!reader.is_mid_frame());
    }
}

#[test]
fn a_message_is_not_read_as_another_kind() {
    let bytes = frame(&goodbye());
    let got = RawFrame::read(&bytes, &Limits::default()).unwrap();
    let refused = got.decode::<ErrorReply>(&mut Vec::new()).err();
    assert_eq!(refused, Some(DecodeError::Kind { got: 1, want: Kind::ErrorReply }));
}

#[test]
fn a_message_over_its_kind_s_limit_is_not_sent_and_leaves_nothing_behind() {
    let long = Goodbye { text: "x".repeat(5000), ..goodbye() };
    let mut out = vec![1, 2, 3];
    let refused = Encoder::default().append(&mut out, Head::default(), &long);
    assert_eq!(refused, Err(EncodeError::TooLong { kind: Kind::Goodbye, len: 5014, max: 4096 }));
    assert_eq!(out, [1, 2, 3]);
}

#[test]
fn a_frame_over_its_kind_s_limit_is_skipped_without_memory_and_the_next_one_is_read() {
    let honest = frame(&goodbye());
    let header = Header::decode(honest.first_chunk().unwrap()).unwrap();
    let mut bytes = Header { core_len: 3 << 20, ..header }.encode().to_vec();
    bytes.resize(HEADER_LEN + (3 << 20), 0);
    bytes.extend_from_slice(&honest);

    let (mut reader, mut refused, mut read) = (FrameReader::new(), Vec::new(), 0);
    for part in bytes.chunks(10_000) {
        reader.feed(part);
        assert!(reader.space().len() <= 64 << 10, "memory was taken for a frame that is not read");
        loop {
            match reader.next(&Limits::default()) {
                Ok(Some(frame)) => read += usize::from(frame.kind() == Some(Kind::Goodbye)),
                Ok(None) => break,
                Err(error) => refused.push((error.closes(), error.code())),
            }
        }
    }
    assert_eq!((refused, read), (vec![(false, ErrorCode::TooLarge)], 1));
}

#[test]
fn a_connection_s_own_limits_close_it() {
    let bytes = frame(&goodbye());
    let limits = Limits { core_max: 8, ext_max: 0 };
    let mut reader = FrameReader::new();
    reader.feed(&bytes);
    let refused = reader.next(&limits).unwrap_err();
    assert!(refused.closes());
    assert!(matches!(refused, FrameError::TooLong { part: "core", max: 8, .. }));
}

#[test]
fn another_major_is_refused_as_incompatible() {
    let mut bytes = frame(&goodbye());
    let header = Header { major: 2, ..Header::decode(bytes.first_chunk().unwrap()).unwrap() };
    bytes[..HEADER_LEN].copy_from_slice(&header.encode());
    let refused = RawFrame::read(&bytes, &Limits::default()).unwrap_err();
    assert_eq!((refused.code(), refused), (ErrorCode::Incompatible, FrameError::Major { got: 2, want: 1 }));
}

#[test]
fn flags_hops_kind_and_sender_are_judged_in_that_order() {
    let bytes = frame(&goodbye());
    let good = RawFrame::read(&bytes, &Limits::default()).unwrap();
    let with = |header| RawFrame { header, ..good }.admit(Role::Client).map_err(|error| error.code());
    let known = Ok(Some(Kind::Goodbye));
    assert_eq!(good.admit(Role::Client), Ok(Some(Kind::Goodbye)));
    assert_eq!(with(Header { flags: Flags(1 << 9), ..good.header }), Err(ErrorCode::Unsupported));
    assert_eq!(with(Header { flags: Flags(1 << 5), ..good.header }), known);
    assert_eq!(with(Header { flags: Flags(0).with_hops(8), ..good.header }), Err(ErrorCode::Invalid));
    assert_eq!(with(Header { kind: 0x3fff, ..good.header }), Err(ErrorCode::Unsupported));
    assert_eq!(with(Header { kind: Kind::JobDispatch.to_wire(), ..good.header }), Err(ErrorCode::Forbidden));
}

#[test]
fn an_unknown_kind_about_a_job_is_let_in_for_whoever_owns_the_job() {
    let bytes = frame(&goodbye());
    let good = RawFrame::read(&bytes, &Limits::default()).unwrap();
    let with = |flags| {
        let header = Header { kind: 0x7ffe, flags, ..good.header };
        RawFrame { header, ..good }.admit(Role::Client)
    };
    assert_eq!(with(Flags::ROUTE_JOB), Ok(None));
    assert_eq!(with(Flags::ROUTE_JOB.with_hops(8)), Err(AdmitError::Hops { kind: 0x7ffe }));
    let refused = with(Flags::WANTS_REPLY).unwrap_err();
    let version = hyperscale_codec::ProtocolVersion::CURRENT;
    assert_eq!(refused.to_string(), format!("kind 0x7ffe is unknown to protocol {version}"));
}

#[test]
fn a_critical_extension_that_is_unknown_voids_the_body_and_not_the_frame() {
    let bytes = frame(&goodbye());
    let read = |ext: &[u8]| {
        let mut bytes = bytes.clone();
        bytes.extend_from_slice(ext);
        let header = Header::decode(bytes.first_chunk().unwrap()).unwrap();
        let ext_len = u16::try_from(ext.len()).unwrap();
        let body_crc = crc32fast::hash(&bytes[HEADER_LEN..]);
        bytes[..HEADER_LEN].copy_from_slice(&Header { ext_len, body_crc, ..header }.encode());
        let frame = RawFrame::read(&bytes, &Limits::default()).unwrap();
        frame.to_owned::<Goodbye>(&mut Vec::new()).map_err(|error| (error.code(), error.to_string()))
    };
    assert_eq!(read(&[99, 0, 1, 0, 7]), Ok(goodbye()), "one that may be skipped");
    let (code, text) = read(&[99, 0x80, 1, 0, 7]).unwrap_err();
    assert_eq!(code, ErrorCode::UnsupportedExtension);
    assert_eq!(text, "extensions of Goodbye: critical extension 99 is unknown to this version");
    assert_eq!(read(&[99, 0, 9, 0, 7]).unwrap_err().0, ErrorCode::Malformed);
}

#[test]
fn memory_of_a_long_frame_is_given_back_on_request() {
    let mut reader = FrameReader::new();
    reader.feed(&frame(&Goodbye { text: "y".repeat(4000), ..goodbye() }));
    reader.release();
    assert!(reader.next(&Limits::default()).unwrap().is_some(), "what is held is not given away");
    reader.release();
    assert!(!reader.is_mid_frame());
    reader.feed(&frame(&goodbye()));
    assert!(reader.next(&Limits::default()).unwrap().is_some());
}

proptest! {
    #[test]
    fn any_text_and_number_comes_back(code: u16, text in ".{0,200}", retry_after_ms: u32) {
        let sent = Goodbye { code, text, retry_after_ms };
        let bytes = frame(&sent);
        let got = RawFrame::read(&bytes, &Limits::default()).unwrap();
        prop_assert_eq!(got.to_owned::<Goodbye>(&mut Vec::new()).unwrap(), sent);
    }

    #[test]
    fn any_push_comes_back(seq: u64, requests: u64, values in 0..40_u64, some: bool) {
        let sent = JobStatusPush {
            job: [3; 16], fence_token: 1, seq, state: 4, from_ms: 0, to_ms: 1000, requests, errors: 0, dropped: 0,
            bytes_in: 0, p50_ns: 0, p99_ns: 0, max_ns: 0, lateness_p99_ns: 0, total_requests: requests,
            total_errors: 0, in_flight: 0, events: vec![], latency: some.then(|| samples::hist(values)),
        };
        let bytes = frame(&sent);
        let got = RawFrame::read(&bytes, &Limits::default()).unwrap();
        prop_assert_eq!(got.to_owned::<JobStatusPush>(&mut Vec::new()).unwrap(), sent);
    }

    #[test]
    fn any_header_comes_back(
        major: u8, minor: u8, kind: u16, flags: u16, root_len: u16, core_len: u32, ext_len: u16, shard: u16,
        correlation: u32, route: u128, body_crc: u32,
    ) {
        let sent = Header {
            major, minor, kind, flags: Flags(flags), root_len, core_len, ext_len, shard: ShardId(shard),
            correlation, route, body_crc,
        };
        prop_assert_eq!(Header::decode(&sent.encode()), Ok(sent));
    }
}
