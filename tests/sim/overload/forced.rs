//! A node is busy, stressed or overloaded for 20 s while a job is at each of its stages: the job ends, and to the last
//! request.

use hyperscale_client::Notice;
use hyperscale_codec::{Kind, Role};
use hyperscale_reliability::OverloadState;

use crate::fleet::{Fleet, Shape};
use crate::{ONE_STEP, summary};

const LOADED: [OverloadState; 3] = [OverloadState::Busy, OverloadState::Stressed, OverloadState::Overloaded];
const WHO: [&[&str]; 3] = [&["gate-0"], &["manager-0"], &["gate-0", "manager-0"]];

fn fleet() -> Fleet {
    let shape = Shape { datacenters: vec![("eu", 1, 2)], shards: 2, uneven: true, ..Shape::default() };
    let mut fleet = Fleet::start_in(shape, None, Some(std::time::Duration::from_secs(5)));
    fleet.run_for_ms(2_000);
    fleet
}

fn load(fleet: &mut Fleet, who: &[&str], state: OverloadState) {
    who.iter().for_each(|name| fleet.load(name, state));
}

/// A job of 8 s; its nodes are loaded from `from_ms` after its submission on, for 20 s, in which `meanwhile` happens.
fn holds(from_ms: u64, meanwhile: impl Fn(&mut Fleet), judge: impl Fn(&mut Fleet, &str)) {
    holds_for(20_000, from_ms, meanwhile, judge);
}

fn holds_for(lasts_ms: u64, from_ms: u64, meanwhile: impl Fn(&mut Fleet), judge: impl Fn(&mut Fleet, &str)) {
    for state in LOADED {
        for who in WHO {
            let (mut fleet, what) = (fleet(), format!("{who:?} {}", state.as_str()));
            if from_ms == 0 {
                load(&mut fleet, who, state);
            }
            fleet.submit(&ONE_STEP.replace("3s", "8s"));
            fleet.run_for_ms(from_ms);
            load(&mut fleet, who, state);
            meanwhile(&mut fleet);
            fleet.run_for_ms(lasts_ms);
            load(&mut fleet, who, OverloadState::Healthy);
            fleet.run_until_finished();
            judge(&mut fleet, &what);
            for role in [Role::Gate, Role::Manager] {
                for name in fleet.names(role) {
                    assert_eq!(fleet.live(&name), 0, "{what}: {name} has a job");
                }
            }
        }
    }
}

fn completed(fleet: &mut Fleet, what: &str) {
    let summary = summary(fleet);
    assert_eq!(
        (summary.status.as_str(), summary.partial),
        ("completed", false),
        "{what}: {:?}",
        summary.events
    );
    assert_eq!(summary.totals.requests, fleet.recorded(), "{what}");
}

#[test]
fn a_job_submitted_to_a_loaded_fleet_runs() {
    // A client has patience for 10 s.
    holds_for(5_000, 0, |_| {}, completed);
}

#[test]
fn who_submits_to_a_gate_that_is_overloaded_for_long_is_told_so_and_no_job_is_left() {
    let mut fleet = fleet();
    fleet.load("gate-0", OverloadState::Overloaded);
    fleet.submit(ONE_STEP);
    fleet.run_for_ms(20_000);
    let told = fleet.notices().to_vec();
    let [Notice::Failed { error }] = told.as_slice() else { panic!("{told:?}") };
    assert!(error.contains("this node is overloaded"), "{error}");
    fleet.load("gate-0", OverloadState::Healthy);
    fleet.run_for_ms(10_000);
    assert_eq!((fleet.recorded(), fleet.live("gate-0"), fleet.live("manager-0")), (0, 0, 0));
}

#[test]
fn a_fleet_loaded_while_a_job_is_given_out_loses_nothing() {
    // From the submission on its way to the start of the load.
    for from_ms in [1, 2, 3, 5, 20] {
        holds(from_ms, |_| {}, completed);
    }
}

#[test]
fn a_fleet_loaded_while_a_job_runs_loses_nothing() {
    holds(2_500, |_| {}, completed);
}

#[test]
fn a_fleet_loaded_while_a_job_ends_loses_nothing() {
    for from_ms in [7_990, 8_100, 8_102] {
        holds(from_ms, |_| {}, completed);
    }
}

#[test]
fn a_loaded_fleet_cancels_at_once() {
    let cancel = |fleet: &mut Fleet| {
        fleet.run_for_ms(500);
        fleet.cancel();
        fleet.run_for_ms(3_000);
        let running: usize = ["worker-0", "worker-1"].iter().map(|worker| fleet.live_shares(worker)).sum();
        assert_eq!(running, 0, "a cancel is never refused");
    };
    holds(2_500, cancel, |fleet, what| {
        let summary = summary(fleet);
        assert_eq!(summary.status, "cancelled", "{what}");
        assert_eq!(summary.totals.requests, fleet.recorded(), "{what}");
    });
}

#[test]
fn a_loaded_fleet_moves_the_load_of_a_worker_that_drains() {
    let drain = |fleet: &mut Fleet| {
        fleet.run_for_ms(500);
        fleet.drain("worker-0");
    };
    holds(2_500, drain, |fleet, what| {
        assert!(!fleet.runs("worker-0"), "{what}: it has drained");
        completed(fleet, what);
    });
}

#[test]
fn a_loaded_fleet_beats_on() {
    for state in LOADED {
        let mut fleet = fleet();
        load(&mut fleet, &["gate-0", "manager-0"], state);
        fleet.told.clear();
        fleet.run_for_ms(60_000);
        let beats = fleet.sent_by("worker-1").filter(|kind| *kind == Kind::WorkerHeartbeat).count();
        assert!(beats >= 50, "{beats} beats in a minute");
        fleet.check_members();
        assert_eq!(
            fleet.network.marks.hits("member seen suspect") + fleet.network.marks.hits("member seen dead"),
            0
        );
    }
}
