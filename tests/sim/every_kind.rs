//! Every kind, as a newer minor sends it, at every role that may get it: handled as this minor's own is; and passed on
//! byte for byte where it is another node's.

use std::collections::BTreeSet;
use std::fmt::Debug;

use hyperscale_codec::{
    Encoder, ErrorCode, Flags, HEADER_LEN, Head, Header, JobId, Kind, Limits, Message, RawFrame, ShardId,
};

use crate::DIAMOND;
use crate::fleet::node::Wish;
use crate::fleet::{Fleet, Shape, lengthen};
use crate::samples::{self, Visitor};

/// The job that all samples are about.
const JOB: JobId = JobId(0x0f1e_2d3c_4b5a_6978_8796_a5b4_c3d2_e1f0);
/// Who is linked with whom in [`running`].
const LINKS: [(&str, &str); 9] = [
    ("gate-1", "client-0"),
    ("gate-1", "gate-0"),
    ("gate-1", "manager-0"),
    ("manager-0", "gate-1"),
    ("manager-0", "manager-1"),
    ("manager-0", "worker-0"),
    ("worker-0", "manager-0"),
    ("worker-0", "manager-1"),
    ("client-0", "gate-1"),
];

/// A fleet in the middle of the job, which is its second gate's.
fn running() -> Fleet {
    let datacenters = vec![("eu-west", 2, 1)];
    let mut fleet = Fleet::start(Shape { gates: 2, datacenters, clients: 3, shards: 2, ..Shape::default() });
    fleet.submit_by("client-0", JOB, DIAMOND);
    fleet.run_for_ms(1_500);
    assert_eq!(fleet.owner(JOB).as_deref(), Some("gate-1"));
    fleet
}

/// What a node does with a frame of this minor, and with the same of the next.
#[derive(Default)]
struct Skewed {
    encoder: Encoder,
    kinds: Vec<Kind>,
    /// Those that some role did not refuse.
    heard: BTreeSet<Kind>,
}

impl Visitor for Skewed {
    fn visit<M: Message + Debug + Clone + PartialEq>(&mut self, sample: &M) {
        let (mut own, mut newer) = (running(), running());
        let mut bytes = Vec::new();
        self.encoder.append(&mut bytes, Head::request(7).job(JOB), sample).unwrap();
        let longer = lengthen(&bytes);
        let may_send = |fleet: &Fleet, from| M::KIND.senders().contains(fleet.role(from));
        for (to, from) in LINKS.into_iter().filter(|(_, from)| may_send(&own, from)).collect::<Vec<_>>() {
            let (at, peer) = (own.place(to), own.place(from));
            let did = own.receive(at, peer, &bytes);
            let does = newer.receive(at, peer, &longer);
            let context = format!("{:?} from {from} to {to}", M::KIND);
            assert_eq!(did.len(), does.len(), "{context}: {does:?}");
            if !does.iter().any(|wish| matches!(wish, Wish::Refused(_))) {
                self.heard.insert(M::KIND);
            }
            for (did, does) in did.iter().zip(&does) {
                compare(did, does, (&bytes, &longer), &context);
            }
        }
        self.kinds.push(M::KIND);
    }
}

fn kind_of(bytes: &[u8]) -> Option<Kind> {
    RawFrame::read(bytes, &Limits::default()).unwrap().kind()
}

fn compare(did: &Wish, does: &Wish, (bytes, longer): (&[u8], &[u8]), context: &str) {
    let broken = [ErrorCode::Malformed, ErrorCode::UnsupportedExtension];
    if let Wish::Refused(code) = does {
        assert!(!broken.contains(code), "{context}: {code:?}");
    }
    match (did, does) {
        // A question that a gate asks its managers in its own words has the same bytes.
        (Wish::Send(to, one), Wish::Send(same, other))
            if one[HEADER_LEN..] == bytes[HEADER_LEN..]
                && !matches!(kind_of(one), Some(Kind::NodeWhyRequest | Kind::JobListRequest)) =>
        {
            assert_eq!(to, same);
            assert_eq!(other[HEADER_LEN..], longer[HEADER_LEN..], "{context}: passed on as it came");
        }
        _ => assert_eq!(format!("{did:?}"), format!("{does:?}"), "{context}"),
    }
}

#[test]
fn every_kind_with_a_longer_root_and_unknown_extensions_is_handled_as_if_it_had_none() {
    let mut skewed = Skewed::default();
    samples::each(&mut skewed);
    assert_eq!(skewed.kinds, Kind::ALL);
    let unheard: Vec<&Kind> = Kind::ALL.iter().filter(|kind| !skewed.heard.contains(kind)).collect();
    assert!(unheard.is_empty(), "refused by every role: {unheard:?}");
}

/// A frame of a minor far ahead: unknown kind, flag, extension.
fn stranger(flags: Flags, correlation: u32) -> Vec<u8> {
    let body = [1, 2, 3, 4, 5, 6, 7, 8, 99, 0, 1, 0, 7];
    let header = Header {
        major: 1,
        minor: 9,
        kind: 0x7ffe,
        flags: Flags(flags.0 | 0x20),
        root_len: 8,
        core_len: 8,
        ext_len: 5,
        shard: ShardId::ANY,
        correlation,
        route: JOB.0,
        body_crc: crc32fast::hash(&body),
    };
    [header.encode().as_slice(), &body].concat()
}

/// The only frame that is sent, and what else there is of it.
fn only(wishes: &[Wish]) -> (&[u8], Header) {
    let [Wish::Send(_, bytes)] = wishes else { panic!("{wishes:?}") };
    (bytes, RawFrame::read(bytes, &Limits::default()).unwrap().header)
}

#[test]
fn what_a_gate_does_not_know_it_passes_on_and_back_byte_for_byte() {
    let mut fleet = running();
    let (gate, owner, client) = (fleet.place("gate-0"), fleet.place("gate-1"), fleet.place("client-2"));
    fleet.status("client-2", JOB).unwrap();
    // Hops, shard, correlation and the header's seal; no other byte.
    let may = |at: usize| matches!(at, 8 | 9 | 18..24 | 44..48);
    let same = |a: &[u8], b: &[u8]| a.len() == b.len() && (0..a.len()).all(|at| a[at] == b[at] || may(at));

    let asks = stranger(Flags::WANTS_REPLY.with(Flags::ROUTE_JOB), 77);
    let goes = fleet.receive(gate, client, &asks);
    let (onward, header) = only(&goes);
    assert!(same(&asks, onward), "{onward:02x?}");
    assert_eq!((header.flags.hops(), header.flags.0 & 0x20), (1, 0x20));

    let answers = stranger(Flags::REPLY.with(Flags::ROUTE_JOB), header.correlation);
    let comes = fleet.receive(gate, owner, &answers);
    let (back, header) = only(&comes);
    assert!(same(&answers, back), "{back:02x?}");
    assert_eq!(header.correlation, 77);
}
