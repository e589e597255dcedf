//! Exact bytes of one frame per kind and released minor. A file is written once and never edited: changed bytes
//! need a new minor and a new file, and the old one must still be read.
//!
//! `HYPERSCALE_GOLDEN=write cargo test -p hyperscale-codec` writes files that are missing, and only those.

use std::fmt::{Debug, Write as _};
use std::fs;
use std::path::PathBuf;

use hyperscale_codec::{
    Encoder, Extensions, Features, Head, Hello, JobId, Kind, Limits, Message, NodeId, ProtocolVersion,
    RawFrame, Role, ShardId, Verdict,
};

use crate::samples::{self, Visitor};

/// Where this build's files are, and its version.
const OWN: (&str, &str) = if cfg!(feature = "next-minor") { NEXT } else { RELEASED };
const RELEASED: (&str, &str) = ("frames", "1.4");
const NEXT: (&str, &str) = ("next", "1.5");

fn file((folder, version): (&str, &str), name: &str) -> String {
    format!("{folder}/{name}-{version}.hex")
}

/// Path of a file below `tests/golden/`.
pub(crate) fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/golden").join(name)
}

/// The text of a golden file; `made` becomes it where the file is missing and writing is asked for.
pub(crate) fn text(name: &str, made: &str) -> String {
    let path = path(name);
    #[expect(
        clippy::disallowed_methods,
        reason = "the one switch of this test: whether missing files are written"
    )]
    let write = std::env::var("HYPERSCALE_GOLDEN").is_ok_and(|how| how == "write");
    if write && !path.exists() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, made).unwrap();
    }
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    for line in bytes.chunks(32) {
        for byte in line {
            write!(text, "{byte:02x}").unwrap();
        }
        text.push('\n');
    }
    text
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u32> =
        text.chars().filter(|c| !c.is_whitespace()).map(|c| c.to_digit(16).unwrap()).collect();
    digits.chunks(2).map(|pair| u8::try_from(pair[0] * 16 + pair[1]).unwrap()).collect()
}

fn head() -> Head {
    Head::request(77).job(JobId(5)).shard(ShardId(1))
}

#[derive(Default)]
struct Compare {
    encoder: Encoder,
    kinds: Vec<Kind>,
}

impl Visitor for Compare {
    fn visit<M: Message + Debug + Clone + PartialEq>(&mut self, sample: &M) {
        self.kinds.push(M::KIND);
        // A used buffer, so that nothing of what was there before may show.
        let mut out = vec![0xee; 7];
        self.encoder.append(&mut out, head(), sample).unwrap();
        let made = hex(&out[7..]);
        let kept = text(&file(OWN, M::KIND.name()), &made);
        assert_eq!(made, kept, "the bytes of {:?} changed; that needs a new minor", M::KIND);

        let bytes = unhex(&kept);
        let frame = RawFrame::read(&bytes, &Limits::default()).unwrap();
        assert_eq!(frame.kind(), Some(M::KIND));
        assert_eq!(frame.job(), Some(JobId(5)));
        assert_eq!(&frame.to_owned::<M>(&mut Vec::new()).unwrap(), sample, "{:?}", M::KIND);
    }
}

#[test]
fn every_kind_has_exactly_its_golden_bytes_and_is_read_back_from_them() {
    let mut compare = Compare::default();
    samples::each(&mut compare);
    assert_eq!(compare.kinds, Kind::ALL, "a kind without a sample has no golden bytes");
}

/// Reads another minor's file of each kind.
struct ReadOther((&'static str, &'static str), usize);

impl Visitor for ReadOther {
    fn visit<M: Message + Debug + Clone + PartialEq>(&mut self, sample: &M) {
        let bytes = unhex(&fs::read_to_string(path(&file(self.0, M::KIND.name()))).unwrap());
        let frame = RawFrame::read(&bytes, &Limits::default()).unwrap();
        self.1 += usize::from(usize::from(frame.header.root_len) != size_of::<M::Archived>());
        assert_eq!(&frame.to_owned::<M>(&mut Vec::new()).unwrap(), sample, "{:?}", M::KIND);
    }
}

#[cfg(not(feature = "next-minor"))]
#[test]
fn the_next_minor_s_messages_are_read_without_what_it_appended() {
    let mut other = ReadOther(NEXT, 0);
    samples::each(&mut other);
    assert_eq!(other.1, 12, "roots that grew");
}

#[cfg(feature = "next-minor")]
#[test]
fn the_released_minor_s_messages_are_read_with_absent_fields() {
    let mut other = ReadOther(RELEASED, 0);
    samples::each_of_an_older_sender(&mut other);
    assert_eq!(other.1, 12, "roots that grew");
}

#[test]
fn no_golden_file_is_without_a_kind() {
    let known: Vec<String> = Kind::ALL.iter().map(|kind| kind.name().to_owned()).collect();
    let files = ["frames", "next"].into_iter().flat_map(|folder| fs::read_dir(path(folder)).unwrap());
    for entry in files {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let (kind, minor) = name.rsplit_once('-').unwrap();
        assert!(minor.ends_with(".hex"), "{name}");
        assert!(["Hello", "Extensions"].contains(&kind) || known.iter().any(|known| known == kind), "{name}");
    }
}

#[test]
fn a_frame_with_all_extensions_has_its_golden_bytes() {
    let all = Extensions {
        deadline_ms: Some(2500),
        trace: Some(([0x11; 16], [0x22; 8])),
        idempotency: Some([0x33; 16]),
        attempt: Some(2),
    };
    let message = hyperscale_codec::messages::JobFinalResultAck { job: [7; 16] };
    let mut out = Vec::new();
    Encoder::default().append_with(&mut out, head(), &all, &message).unwrap();
    let kept = text(&file(OWN, "Extensions"), &hex(&out));
    assert_eq!(hex(&out), kept);
    let bytes = unhex(&kept);
    let frame = RawFrame::read(&bytes, &Limits::default()).unwrap();
    assert_eq!(frame.extensions(), Ok(all));
    assert_eq!(frame.core(), [7; 16]);
}

/// A greeting with every field filled.
pub(crate) fn hello() -> Hello {
    Hello {
        verdict: Verdict::OtherFleet,
        role: Role::Gate,
        version: ProtocolVersion { major: 1, minor: 4 },
        shards: 2,
        shard: ShardId(1),
        in_flight_max: 1024,
        features: Features(0x3f),
        node: NodeId(0x0123_4567_89ab_cdef_0011_2233_4455_6677),
        boot: 3,
        core_max: 4 << 20,
        idle_timeout_ms: 60_000,
        retry_after_ms: 1500,
        node_version: "0.1.0".into(),
        fleet: "default".into(),
        text: "this node is of fleet default".into(),
        name: "gate-3".into(),
        ports: vec![7001, 7002],
        swim_port: 7946,
        oob_port: 7947,
    }
}

#[test]
fn the_handshake_has_its_golden_bytes() {
    let mut out = Vec::new();
    hello().encode(&mut out);
    let kept = text(&file(RELEASED, "Hello"), &hex(&out));
    assert_eq!(hex(&out), kept, "the handshake is frozen for all majors");
    assert_eq!(Hello::decode(&unhex(&kept)), Ok(hello()));
}
