use std::net::IpAddr;

use hyperscale_codec::messages::{ErrorReply, RateLimitResponse};
use hyperscale_codec::{ErrorCode, Limits, NodeId, ProtocolVersion, RawFrame, ShardId, Verdict, to_owned};

use super::*;
use crate::AnswerWriter;

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

fn request(kind: u16) -> Header {
    Header {
        major: 1,
        minor: 0,
        kind,
        flags: Flags::WANTS_REPLY,
        root_len: 0,
        core_len: 0,
        ext_len: 0,
        shard: ShardId::ANY,
        correlation: 9,
        route: 7,
        body_crc: 0,
    }
}

fn gate(gauge: &LoadGauge) -> Intake {
    Intake::new(Role::Gate, gauge.clone(), 1)
}

fn caller(intake: &mut Intake, role: Role, both: Features) -> Caller {
    let addr = SocketAddr::new(IpAddr::from([10, 0, 0, 1]), 5_000);
    intake.caller(Instant(1), addr, &hello(role), both)
}

const NOW: Instant = Instant(1_000_000_000);

/// Frames of a kind taken of so many at once, and what the next is answered.
fn taken(intake: &mut Intake, caller: &mut Caller, kind: u16) -> (usize, Admission) {
    let mut ask = || intake.admit(NOW, &request(kind), caller);
    ((0..500).take_while(|_| ask() == Admission::Take).count(), ask())
}

#[test]
fn a_client_s_requests_are_taken_up_to_its_limits_whatever_its_connection() {
    let mut intake = gate(&LoadGauge::default());
    let mut one = caller(&mut intake, Role::Client, Features::RATE_LIMITING);
    let mut again = caller(&mut intake, Role::Client, Features::default());
    for (kind, limit, operation, name, retry_after_ms) in [
        (Kind::JobSubmit, 50, Operation::JobSubmit, "job_submit", 200),
        (Kind::JobStatusRequest, 100, Operation::JobStatus, "job_status", 100),
        (Kind::NodesRequest, 100, Operation::Nodes, "nodes", 100),
        (Kind::RegisterCallback, 10, Operation::Reconnect, "reconnect", 1_000),
        (Kind::JobCancelRequest, 200, Operation::Cancel, "cancel", 50),
    ] {
        let operation = operation.to_wire();
        let answer = |own_message| {
            Admission::Refuse(Some(Answer::Limited {
                operation,
                name,
                retry_after_ms,
                limit,
                remaining: 0,
                own_message,
            }))
        };
        assert_eq!(taken(&mut intake, &mut one, kind.to_wire()), (limit as usize, answer(true)), "{name}");
        assert_eq!(taken(&mut intake, &mut again, kind.to_wire()), (0, answer(false)), "{name}");
    }
    // Of a newer minor: all such share one limit.
    let (unknown, also) = (taken(&mut intake, &mut one, 0xbfff).0, taken(&mut intake, &mut one, 0x7fff).0);
    assert_eq!((unknown, also), (100, 0));
    // Each kind was refused twice by each `taken` that ended, and counted so.
    let counts: Vec<_> = intake.counts().limited().filter(|(_, count)| *count > 0).collect();
    let names = ["default", "job_submit", "job_status", "nodes", "reconnect", "cancel"];
    assert_eq!(counts, names.map(|name| (name, 4)));
}

#[test]
fn goodbyes_receipts_and_answers_take_no_token() {
    let mut intake = gate(&LoadGauge::default());
    let mut client = caller(&mut intake, Role::Client, Features::default());
    for kind in [Kind::Goodbye, Kind::JobFinalResultAck, Kind::ErrorReply] {
        assert_eq!(taken(&mut intake, &mut client, kind.to_wire()), (500, Admission::Take));
    }
}

#[test]
fn nodes_of_the_fleet_have_no_limits() {
    let mut intake = gate(&LoadGauge::default());
    for (role, kind) in [
        (Role::Worker, Kind::WorkerHeartbeat),
        (Role::Manager, Kind::StatsUpdate),
        (Role::Gate, Kind::JobCancelRequest),
        (Role::Gate, Kind::JobSubmit),
    ] {
        let mut node = caller(&mut intake, role, Features::default());
        for _ in 0..5 {
            assert_eq!(taken(&mut intake, &mut node, kind.to_wire()), (500, Admission::Take), "{role}");
        }
    }
    assert!(intake.counts().limited().all(|(_, count)| count == 0));
}

#[test]
fn the_rate_comes_before_the_load_and_each_is_counted_once() {
    let gauge = LoadGauge::default();
    let mut intake = gate(&gauge);
    gauge.set(OverloadState::Stressed);
    let mut client = caller(&mut intake, Role::Client, Features::default());
    let kind = Kind::JobStatusRequest.to_wire();
    let refused: Vec<_> = (0..150).map(|_| intake.admit(NOW, &request(kind), &mut client)).collect();
    let shed = |admission: &Admission| matches!(admission, Admission::Refuse(Some(Answer::Shed(_))));
    assert_eq!(refused.iter().filter(|admission| shed(admission)).count(), 100);
    let (_, _, count) = intake.counts().rows().next().unwrap();
    assert_eq!((count.came, count.shed[2]), (150, 100));
    assert_eq!(intake.counts().limited().map(|(_, count)| count).sum::<u64>(), 50);
    // A cancel is never shed, and still has its limit; half as fast as else.
    let cancels = taken(&mut intake, &mut client, Kind::JobCancelRequest.to_wire());
    assert!(matches!(cancels, (200, Admission::Refuse(Some(Answer::Limited { retry_after_ms: 100, .. })))));
}

#[test]
fn who_wants_no_answer_gets_none() {
    let mut intake = gate(&LoadGauge::default());
    let mut client = caller(&mut intake, Role::Client, Features::default());
    let header = Header { flags: Flags::default(), ..request(Kind::JobSubmit.to_wire()) };
    let last = (0..60).map(|_| intake.admit(NOW, &header, &mut client)).last();
    assert_eq!(last, Some(Admission::Refuse(None)));
}

#[test]
fn the_answer_is_the_message_its_caller_knows() {
    for own_message in [true, false] {
        let answer = Answer::Limited {
            operation: 5,
            name: "job_status",
            retry_after_ms: 70,
            limit: 100,
            remaining: 0,
            own_message,
        };
        let (mut bytes, mut scratch) = (Vec::new(), Vec::new());
        AnswerWriter::default()
            .append(&mut bytes, &request(Kind::JobStatusRequest.to_wire()), &answer)
            .unwrap();
        let frame = RawFrame::read(&bytes, &Limits::default()).unwrap();
        assert_eq!((frame.header.correlation, frame.header.route), (9, 7));
        if own_message {
            let told = frame.decode::<RateLimitResponse>(&mut scratch).unwrap();
            assert_eq!(
                (told.operation, told.limit.to_native(), told.retry_after_ms.to_native()),
                (5, 100, 70)
            );
        } else {
            let told = to_owned::<ErrorReply>(frame.decode::<ErrorReply>(&mut scratch).unwrap()).unwrap();
            assert_eq!((told.code, told.retry_after_ms), (ErrorCode::RateLimited.to_wire(), 70));
            assert!(told.message.contains("100 job_status requests"), "{}", told.message);
        }
    }
}
