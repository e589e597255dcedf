//! What a loaded node refuses: by a frame's header alone, in the order of importance, with a word to who waits.

use hyperscale_codec::messages::{ErrorReply, StatsAck};
use hyperscale_codec::{Flags, Hello, Kind, Role};
use hyperscale_reliability::{Intake, LoadGauge, OverloadState, RequestPriority};
use hyperscale_runtime::tcp::bind;
use hyperscale_runtime::udp::DatagramPorts;
use hyperscale_runtime::{Guard, NodeDriver, NodeHandle, Shard};

use crate::raw::{Raw, counted, greeting, header};
use crate::support::*;

/// A gate whose load a test says.
fn gate(shard: &Shard) -> (NodeHandle<Scribe>, LoadGauge) {
    let gauge = LoadGauge::default();
    let listeners = bind(loopback(), 1).unwrap();
    let guard = Guard { intake: Intake::new(Role::Gate, gauge.clone(), 1), samples: None };
    let config = config(Role::Gate, 1);
    let ports = DatagramPorts::default();
    (NodeDriver::start_on(shard, config, listeners, ports, guard, Scribe::default(), again), gauge)
}

#[test]
fn a_shed_request_is_answered_and_its_body_is_not_even_checked() {
    let _watch = watch("a_shed_request_is_answered_and_its_body_is_not_even_checked");
    run_one(|shard| async move {
        let (gate, gauge) = gate(&shard);
        gauge.set(OverloadState::Overloaded);
        let addr = gate.addr().unwrap();
        let answers = shard.blocking(move || {
            let mut raw = Raw::connect(addr);
            let body = [7; 100];
            // The header tells the checksum of another body: whoever compares them closes the connection.
            raw.send(header(Kind::JobStatusRequest.to_wire(), Flags::WANTS_REPLY, 5, &body), &body);
            raw.send(header(Kind::JobSubmit.to_wire(), Flags::WANTS_REPLY, 6, &body), &body);
            // Nobody waits for this one; nobody is told.
            raw.send(header(Kind::NodesRequest.to_wire(), Flags::default(), 7, &body), &body);
            // What is critical is read.
            raw.send(header(Kind::JobCancelRequest.to_wire(), Flags::WANTS_REPLY, 8, &body), &body);
            [raw.refusal(), raw.refusal()]
        });
        let answers = answers.await.unwrap();
        until(&shard, || !counted(&shard).is_empty()).await;
        for (answer, correlation) in answers.into_iter().zip([5, 6]) {
            assert_eq!(answer.0, correlation);
            assert_eq!(answer.1.code, hyperscale_codec::ErrorCode::Overloaded.to_wire());
            assert!((2_400..3_600).contains(&answer.1.retry_after_ms), "{}", answer.1.retry_after_ms);
            assert!(answer.1.message.contains("overloaded"), "{}", answer.1.message);
        }
        let counts = gate.intake_counts();
        let shed = [RequestPriority::Critical, RequestPriority::High, RequestPriority::Normal]
            .map(|class| counts.shed(class));
        assert_eq!(shed, [0, 1, 2]);
        assert_eq!(counted(&shard), [("body_checksum", 1)], "of the critical frame alone");
        gate.stop().await;
    });
}

#[test]
fn shed_statistics_are_told_to_come_merged_and_heartbeats_are_taken() {
    let _watch = watch("shed_statistics_are_told_to_come_merged_and_heartbeats_are_taken");
    run_one(|shard| async move {
        let (gate, gauge) = gate(&shard);
        gauge.set(OverloadState::Stressed);
        let addr = gate.addr().unwrap();
        let (correlation, ack) = shard
            .blocking(move || {
                let hello = Hello { role: Role::Manager, ..greeting() };
                let (mut raw, _) = Raw::greet(addr, &hello);
                let body = [7; 300];
                raw.send(header(Kind::StatsUpdate.to_wire(), Flags::WANTS_REPLY, 5, &body), &body);
                raw.send(header(Kind::ManagerHeartbeat.to_wire(), Flags::default(), 0, &body), &body);
                raw.next::<StatsAck>()
            })
            .await
            .unwrap();
        assert_eq!((correlation, ack.level, ack.source_worker.len()), (5, 3, 0));
        assert!((800..1_200).contains(&ack.delay_ms), "{}", ack.delay_ms);
        until(&shard, || gate.intake_counts().rows().any(|(name, ..)| name == "ManagerHeartbeat")).await;
        assert_eq!(gate.intake_counts().shed(RequestPriority::Critical), 0);
        gate.stop().await;
    });
}

#[test]
fn all_is_taken_again_when_the_load_is_gone() {
    let _watch = watch("all_is_taken_again_when_the_load_is_gone");
    run_one(|shard| async move {
        let (gate, gauge) = gate(&shard);
        gauge.set(OverloadState::Stressed);
        let addr = gate.addr().unwrap();
        let lift = gauge.clone();
        shard
            .blocking(move || {
                let mut raw = Raw::connect(addr);
                let body = [7; 100];
                let status = header(Kind::JobStatusRequest.to_wire(), Flags::WANTS_REPLY, 5, &body);
                // More than a link may have refused in a row without a rest, and within its rate.
                for _ in 0..90 {
                    raw.send(status, &body);
                }
                for _ in 0..90 {
                    let _: (u32, ErrorReply) = raw.refusal();
                }
                lift.set(OverloadState::Healthy);
                raw.send(status, &body);
            })
            .await
            .unwrap();
        let row = || gate.intake_counts().rows().find(|(name, ..)| *name == "JobStatusRequest");
        until(&shard, || row().is_some_and(|(_, _, count)| count.came == 91)).await;
        assert_eq!(row().map(|(_, _, count)| count.shed), Some([0, 0, 90, 0]));
        gate.stop().await;
    });
}
