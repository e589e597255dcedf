//! Whatever header comes, from whomever, in whichever state: what must never be refused is not.
#![allow(clippy::unwrap_used, clippy::arithmetic_side_effects, reason = "tests")]

use std::net::SocketAddr;
use std::time::Duration;

use hyperscale_codec::{
    Features, Flags, HEADER_LEN, Header, Hello, Kind, NodeId, Priority, ProtocolVersion, RawFrame, Role,
    ShardId, Verdict,
};
use hyperscale_core::Instant;
use hyperscale_reliability::{
    Admission, Answer, AnswerWriter, Intake, LoadGauge, LoadShedder, OverloadState,
};
use proptest::prelude::*;

const ROLES: [Role; 4] = [Role::Client, Role::Gate, Role::Manager, Role::Worker];

fn hello(role: Role) -> Hello {
    Hello {
        verdict: Verdict::Welcome,
        role,
        version: ProtocolVersion::CURRENT,
        shards: 1,
        shard: ShardId(0),
        in_flight_max: 8,
        features: Features::RATE_LIMITING,
        node: NodeId(1),
        boot: 1,
        core_max: 1,
        idle_timeout_ms: 0,
        retry_after_ms: 0,
        node_version: String::new(),
        fleet: "default".to_owned(),
        text: String::new(),
        name: "n".to_owned(),
        ports: Vec::new(),
        swim_port: 0,
        oob_port: 0,
    }
}

/// 44 bytes as they come; only magic and checksum are right, or nothing would be read.
fn header(noise: [u8; HEADER_LEN], kind: u16) -> Header {
    let any = Header {
        major: 1,
        minor: 0,
        kind,
        flags: Flags(u16::from_le_bytes([noise[8], noise[9]])),
        root_len: u16::from_le_bytes([noise[10], noise[11]]),
        core_len: u32::from_le_bytes([noise[12], noise[13], noise[14], noise[15]]),
        ext_len: u16::from_le_bytes([noise[16], noise[17]]),
        shard: ShardId(u16::from_le_bytes([noise[18], noise[19]])),
        correlation: u32::from_le_bytes([noise[20], noise[21], noise[22], noise[23]]),
        route: u128::from(noise[24]),
        body_crc: u32::from_le_bytes([noise[40], noise[41], noise[42], noise[43]]),
    };
    Header::decode(&any.encode()).unwrap()
}

/// Kinds of this build, and any other number.
fn kinds() -> impl Strategy<Value = u16> {
    prop_oneof![prop::sample::select(Kind::ALL).prop_map(Kind::to_wire), any::<u16>()]
}

proptest! {
    #[test]
    fn nothing_critical_and_no_reply_is_shed_whatever_the_header_says(
        frames in prop::collection::vec((any::<[u8; HEADER_LEN]>(), kinds(), 0_u8..4, 0_u64..50_000_000), 1..300),
        own in prop::sample::select(&ROLES[..]),
        sender in prop::sample::select(&ROLES[..]),
        own_message in any::<bool>(),
    ) {
        let gauge = LoadGauge::default();
        let mut intake = Intake::new(own, gauge.clone(), 1);
        let both = if own_message { Features::RATE_LIMITING } else { Features::default() };
        let mut now = Instant(1);
        let addr = SocketAddr::from(([10, 0, 0, 1], 5_000));
        let mut caller = intake.caller(now, addr, &hello(sender), both);
        let mut answers = AnswerWriter::default();
        for (noise, kind, state, passed) in frames {
            now = now + Duration::from_nanos(passed);
            let (header, state) = (header(noise, kind), OverloadState::from_wire(state));
            gauge.set(state);
            let Admission::Refuse(answer) = intake.admit(now, &header, &mut caller) else { continue };
            let class = Priority::of_number(kind);
            prop_assert!(!Kind::from_wire(kind).is_some_and(Kind::is_reply), "a reply is refused");
            prop_assert_eq!(answer.is_some(), header.flags.contains(Flags::WANTS_REPLY));
            match answer {
                Some(Answer::Limited { .. }) => prop_assert_eq!(sender, Role::Client),
                Some(Answer::Shed(shed)) => {
                    prop_assert!(class != Priority::Critical && LoadShedder.should_shed(class, state));
                    prop_assert!(own == Role::Gate || own == Role::Manager);
                    prop_assert_eq!(shed.state, state);
                }
                None => prop_assert!(class != Priority::Critical || sender == Role::Client),
            }
            if let Some(answer) = answer {
                let mut bytes = Vec::new();
                answers.append(&mut bytes, &header, &answer).unwrap();
                let told = RawFrame::read(&bytes, &hyperscale_codec::Limits::default()).unwrap();
                prop_assert!(told.kind().is_some_and(Kind::is_reply));
                prop_assert_eq!(told.header.correlation, header.correlation);
                // Progress is told to gates alone; nobody else is sent it.
                let may = told.kind().unwrap().senders().contains(own);
                prop_assert!(may || told.kind() == Some(Kind::JobProgressAck) || !matches!(own, Role::Gate | Role::Manager));
            }
        }
        prop_assert_eq!(intake.counts().shed(Priority::Critical), 0);
    }
}
