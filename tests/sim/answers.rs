//! Requests and answers that are lost one at a time, and requests that come twice: every call is made again, and does
//! once what it does twice. And peers that say "not now": they are asked again, and no job fails for it.

use std::time::Duration;

use hyperscale_client::{Local as Wanted, Notice, Question};
use hyperscale_codec::messages::JobState;
use hyperscale_codec::{Kind, Role};
use hyperscale_reliability::OverloadState;

use crate::fleet::{Fleet, Shape, job_id};
use crate::{ONE_STEP, summary};

fn two_of_each() -> Shape {
    Shape { gates: 2, datacenters: vec![("eu", 2, 2)], shards: 2, uneven: true, ..Shape::default() }
}

fn long() -> String {
    ONE_STEP.replace("3s", "5s")
}

/// Nothing is left of the job anywhere, a while after its end.
fn nothing_is_left(fleet: &mut Fleet, what: &str) {
    fleet.run_for_ms(10_000);
    for role in [Role::Gate, Role::Manager, Role::Worker] {
        for name in fleet.names(role) {
            assert_eq!(fleet.live(&name), 0, "{what}: {name} keeps something");
        }
    }
}

fn completes(fleet: &mut Fleet, what: &str) {
    fleet.run_until_finished();
    let summary = summary(fleet);
    let end = (summary.status.as_str(), summary.partial);
    assert_eq!(end, ("completed", false), "{what}: {:?}", summary.events);
    assert_eq!(summary.totals.requests, fleet.recorded(), "{what}");
    nothing_is_left(fleet, what);
}

#[test]
fn whichever_request_or_answer_of_a_job_is_lost_it_runs_as_if_none_were() {
    let of_a_job = [
        Kind::JobSubmit,
        Kind::JobAck,
        Kind::JobDispatch,
        Kind::JobDispatchAck,
        Kind::WorkflowDispatch,
        Kind::WorkflowDispatchAck,
        Kind::WorkflowStart,
        Kind::WorkflowStatus,
        Kind::WorkflowFinalResult,
        Kind::WorkflowFinalResultAck,
        Kind::DcFinalResult,
        Kind::DcFinalResultAck,
        Kind::JobFinalResult,
        Kind::StatsAck,
    ];
    for kind in of_a_job {
        for times in [1, 2] {
            let what = format!("{kind:?} x{times}");
            let mut fleet = Fleet::start(two_of_each());
            fleet.run_for_ms(2_000);
            fleet.lose_next(kind, times);
            fleet.submit(&long());
            completes(&mut fleet, &what);
            assert_eq!(fleet.still_to_lose(), 0, "{what}: so many came");
        }
    }
}

#[test]
fn whichever_registration_or_its_answer_is_lost_the_fleet_comes_together() {
    let registrations = [
        Kind::GatePeerRegistration,
        Kind::GatePeerRegistrationResponse,
        Kind::ManagerPeerRegistration,
        Kind::ManagerPeerRegistrationResponse,
        Kind::WorkerRegistration,
        Kind::RegistrationResponse,
    ];
    for kind in registrations {
        let mut fleet = Fleet::start_losing(two_of_each(), kind, 4);
        fleet.run_for_ms(10_000);
        assert_eq!(fleet.still_to_lose(), 0, "{kind:?}");
        fleet.submit(&long());
        completes(&mut fleet, &format!("{kind:?}"));
        // Everybody knows everybody: each worker's two shards and three at both gates.
        for gate in ["gate-0", "gate-1"] {
            let managers = fleet.gauge(gate, "hyperscale_gate_managers");
            assert_eq!((managers, fleet.gauge(gate, "hyperscale_gate_peers")), (2.0, 1.0), "{kind:?}");
        }
        for manager in ["manager-0", "manager-1"] {
            assert_eq!(fleet.gauge(manager, "hyperscale_manager_worker_shards"), 5.0, "{kind:?}");
        }
    }
}

#[test]
fn whichever_part_of_a_cancel_is_lost_the_job_is_cancelled() {
    let of_a_cancel = [
        Kind::JobCancelRequest,
        Kind::JobCancelResponse,
        Kind::WorkflowCancelRequest,
        Kind::WorkflowCancelResponse,
    ];
    for kind in of_a_cancel {
        let what = format!("{kind:?}");
        let mut fleet = Fleet::start(two_of_each());
        fleet.run_for_ms(2_000);
        fleet.submit(&ONE_STEP.replace("3s", "60s"));
        fleet.run_for_ms(2_000);
        fleet.lose_next(kind, 2);
        fleet.cancel();
        fleet.run_until_finished();
        let summary = summary(&fleet);
        assert_eq!((summary.status.as_str(), summary.partial), ("cancelled", false), "{what}");
        assert_eq!(summary.totals.requests, fleet.recorded(), "{what}");
        assert!(summary.duration_s < 20.0, "{what}: {}", summary.duration_s);
        nothing_is_left(&mut fleet, &what);
        let told = fleet.notices().iter().filter(|notice| matches!(notice, Notice::Cancelled { .. }));
        assert!(told.count() <= 1, "{what}");
    }
}

/// Requests of a job whose load moves, where frames of a kind are lost.
fn requests_where_load_moves(lost: Option<Kind>) -> u64 {
    let what = format!("{lost:?}");
    let mut fleet = Fleet::start(two_of_each());
    fleet.run_for_ms(2_000);
    fleet.submit(&ONE_STEP.replace("3s", "30s"));
    fleet.run_for_ms(2_000);
    lost.into_iter().for_each(|kind| fleet.lose_next(kind, 1));
    fleet.drain_worker(0);
    fleet.run_for_ms(12_000);
    assert!(!fleet.runs("worker-0"), "{what}: it has drained");
    assert_eq!(fleet.still_to_lose(), 0, "{what}");
    completes(&mut fleet, &what);
    summary(&fleet).totals.requests
}

#[test]
fn whichever_part_of_a_move_is_lost_the_load_moves() {
    let all = requests_where_load_moves(None);
    for kind in [
        Kind::ShareRevision,
        Kind::ShareRevisionAck,
        Kind::WorkflowDispatch,
        Kind::WorkflowDispatchAck,
        Kind::WorkflowStart,
        Kind::WorkflowStatus,
    ] {
        let made = requests_where_load_moves(Some(kind));
        // What is lost takes some seconds to be said again; load that did not move would be two fifths of it.
        assert!(made * 10 >= all * 8, "{kind:?}: {made} of {all}");
    }
}

#[test]
fn requests_that_come_twice_do_what_they_do_once() {
    let mut fleet = Fleet::start_doubling(two_of_each());
    fleet.run_for_ms(2_000);
    fleet.submit(&ONE_STEP.replace("3s", "8s"));
    fleet.run_for_ms(2_000);
    fleet.drain_worker(0);
    completes(&mut fleet, "a job and a move");
    fleet.submit_by("client-0", job_id(10), &ONE_STEP.replace("3s", "60s"));
    fleet.run_for_ms(2_000);
    fleet.cancel();
    fleet.run_for_ms(8_000);
    nothing_is_left(&mut fleet, "a cancel");
}

#[test]
fn a_manager_that_is_overloaded_for_a_while_gets_the_job_then() {
    let mut fleet = Fleet::new(2, 2);
    fleet.run_for_ms(1_000);
    fleet.load("manager-0", OverloadState::Overloaded);
    fleet.submit(ONE_STEP);
    fleet.run_for_ms(5_000);
    assert_eq!(fleet.recorded(), 0, "it is not given out yet");
    fleet.load("manager-0", OverloadState::Healthy);
    let asked = fleet.sent_by("gate-0").filter(|kind| *kind == Kind::JobDispatch).count();
    assert!((2..=4).contains(&asked), "it was asked {asked} times, as it told");
    completes(&mut fleet, "overloaded for 5 s");
}

#[test]
fn a_job_goes_to_the_manager_that_is_not_overloaded() {
    let mut fleet = Fleet::start(two_of_each());
    fleet.run_for_ms(2_000);
    // Whichever would be asked first: one of them takes it, without a long wait.
    for loaded in ["manager-0", "manager-1"] {
        let client = fleet.add(Role::Client, "");
        fleet.load(loaded, OverloadState::Overloaded);
        fleet.submit_by(&client, job_id(20 + loaded.len() as u128), ONE_STEP);
        fleet.run_for_ms(16_000);
        fleet.load(loaded, OverloadState::Healthy);
        let ended = fleet.told_to(&client).iter().any(|notice| matches!(notice, Notice::Finished(_)));
        assert!(ended, "{loaded}: {:?}", fleet.told_to(&client).last());
    }
}

#[test]
fn who_is_not_taken_on_for_now_is_taken_on_later() {
    for (role, loaded) in [(Role::Worker, "manager-0"), (Role::Manager, "gate-0"), (Role::Gate, "gate-0")] {
        let mut fleet = Fleet::new(1, 2);
        fleet.run_for_ms(1_000);
        fleet.load(loaded, OverloadState::Overloaded);
        let name = fleet.add(role, "local");
        fleet.run_for_ms(20_000);
        assert!(fleet.runs(&name), "{name} goes on");
        fleet.load(loaded, OverloadState::Healthy);
        fleet.run_for_ms(35_000);
        let known = match role {
            Role::Worker => fleet.gauge("manager-0", "hyperscale_manager_workers"),
            Role::Manager => fleet.gauge("gate-0", "hyperscale_gate_managers"),
            Role::Gate | Role::Client => 1.0 + fleet.gauge("gate-0", "hyperscale_gate_peers"),
        };
        assert_eq!(known, 2.0, "{name}");
        completes_with(&mut fleet);
    }
}

fn completes_with(fleet: &mut Fleet) {
    fleet.submit(ONE_STEP);
    completes(fleet, "after all are together");
}

#[test]
fn a_question_to_a_stressed_gate_is_answered_when_that_has_passed() {
    let mut fleet = Fleet::new(1, 1);
    let (job, client) = (job_id(9), fleet.add(Role::Client, ""));
    fleet.submit(&long());
    fleet.run_for_ms(1_000);
    fleet.load("gate-0", OverloadState::Stressed);
    fleet.want(&client, Wanted::Ask(Question::Status { job }));
    fleet.run_for_ms(4_000);
    assert!(fleet.told_to(&client).is_empty(), "{:?}", fleet.told_to(&client));
    let asked = fleet.sent_by(&client).filter(|kind| *kind == Kind::JobStatusRequest).count();
    assert!((2..=5).contains(&asked), "{asked} times in 4 s, where it was told to wait one each time");
    fleet.load("gate-0", OverloadState::Healthy);
    fleet.run_for_ms(3_000);
    let [Notice::Status(status)] = fleet.told_to(&client) else { panic!("{:?}", fleet.told_to(&client)) };
    assert!(JobState::from_wire(status.state).as_str() != "accepted");
}

/// Retries of all clients and nodes together: a fleet under load is not asked more for being under load.
#[test]
fn an_overloaded_fleet_is_not_asked_many_times_for_each_thing() {
    let mut fleet = Fleet::start(Shape { clients: 20, ..Shape::default() });
    fleet.run_for_ms(1_000);
    fleet.load("gate-0", OverloadState::Overloaded);
    for n in 0..20_u128 {
        fleet.submit_by(&format!("client-{n}"), job_id(100 + n), ONE_STEP);
    }
    fleet.run_for(Duration::from_secs(9));
    let asked: usize = (0..20)
        .map(|n| fleet.sent_by(&format!("client-{n}")).filter(|kind| *kind == Kind::JobSubmit).count())
        .sum();
    assert!((20..=20 * 5).contains(&asked), "{asked} submissions of 20 jobs in 9 s");
}

#[test]
fn who_comes_back_to_an_overloaded_peer_in_the_middle_of_a_job_is_taken_on_later_and_the_job_ends() {
    for (loaded, who) in [("manager-0", "worker-0"), ("gate-0", "manager-0")] {
        for from_ms in [2_000, 4_600] {
            let what = format!("{who} at {from_ms} ms");
            let datacenters = vec![("eu", 1, 2)];
            let mut fleet = Fleet::start(Shape { datacenters, shards: 2, uneven: true, ..Shape::default() });
            fleet.run_for_ms(2_000);
            fleet.submit(&long());
            fleet.run_for_ms(from_ms);
            fleet.load(loaded, OverloadState::Overloaded);
            fleet.run_for_ms(100);
            fleet.cut(who, loaded, Duration::ZERO);
            // Longer than a gate waits for a manager that is gone.
            fleet.run_for_ms(14_000);
            fleet.load(loaded, OverloadState::Healthy);
            fleet.run_until_finished();
            let summary = summary(&fleet);
            assert_eq!(summary.status, "completed", "{what}: {:?}", summary.events);
            if who == "worker-0" {
                // Others took its load; what it did while nobody could hear it is missing, and the report says so.
                assert!(summary.partial && summary.totals.requests <= fleet.recorded(), "{what}");
            } else {
                assert!(!summary.partial, "{what}: {:?}", summary.events);
                assert_eq!(summary.totals.requests, fleet.recorded(), "{what}");
            }
            nothing_is_left(&mut fleet, &what);
        }
    }
}
