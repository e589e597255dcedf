//! A gate asks for fewer and fewer figures while a job runs: senders obey, views get coarse, and no count is lost.

use hyperscale_client::Notice;
use hyperscale_codec::Kind;
use hyperscale_codec::messages::JobStatusPush;
use hyperscale_reliability::OverloadState;

use crate::fleet::{Fleet, Shape};
use crate::{ONE_STEP, summary};

const STATES: [OverloadState; 4] =
    [OverloadState::Healthy, OverloadState::Busy, OverloadState::Stressed, OverloadState::Overloaded];
const SECONDS: usize = 60;

fn fleet() -> Fleet {
    let shape = Shape { datacenters: vec![("eu", 1, 2)], shards: 2, uneven: true, ..Shape::default() };
    let mut fleet = Fleet::start_in(shape, None, Some(std::time::Duration::from_secs(5)));
    fleet.run_for_ms(2_000);
    fleet
}

fn pushes(fleet: &Fleet) -> Vec<JobStatusPush> {
    let told = fleet.notices().iter().filter_map(|notice| match notice {
        Notice::Window(push) => Some(push.as_ref().clone()),
        _ => None,
    });
    told.collect()
}

/// A job of a minute, through all of which `loaded` is in this state. What its first worker sent, and what was shown.
fn run(loaded: &str, state: OverloadState) -> (usize, usize, Vec<JobStatusPush>, Fleet) {
    let mut fleet = fleet();
    fleet.submit(&ONE_STEP.replace("3s", &format!("{SECONDS}s")));
    fleet.run_for_ms(500);
    fleet.told.clear();
    fleet.ask(loaded, state);
    fleet.run_for_ms(57_000);
    let sent = |kind| fleet.sent_by("worker-0").filter(|sent| *sent == kind).count();
    let (updates, snapshots) = (sent(Kind::StatsUpdate), sent(Kind::StatsSnapshot));
    fleet.ask(loaded, OverloadState::Healthy);
    fleet.run_until_finished();
    let summary = summary(&fleet);
    assert_eq!((summary.status.as_str(), summary.partial), ("completed", false), "{:?}", summary.events);
    assert_eq!(summary.totals.requests, fleet.recorded());
    let pushes = pushes(&fleet);
    (updates, snapshots, pushes, fleet)
}

#[test]
fn senders_obey_each_level_and_views_show_each_request_once() {
    for loaded in ["gate-0", "manager-0"] {
        let mut before = usize::MAX;
        for state in STATES {
            let (updates, snapshots, pushes, fleet) = run(loaded, state);
            let what = format!("{loaded} {}: {updates} updates, {snapshots} snapshots", state.as_str());
            let most = [60, 32, 14, 4][usize::from(state.to_wire())];
            assert!(updates <= most && updates < before, "{what}");
            assert!((4..=8).contains(&snapshots), "{what}");
            before = updates;
            // What is shown adds up, however coarse.
            let shown: u64 = pushes.iter().map(|push| push.requests).sum();
            assert_eq!(shown, fleet.recorded(), "{what}");
            let longest = pushes.iter().map(|push| push.to_ms - push.from_ms).max().unwrap();
            let about = [1_000..=2_000, 2_000..=4_000, 5_000..=7_000, 8_000..=12_000];
            assert!(about[usize::from(state.to_wire())].contains(&longest), "{what}: {longest} ms");
        }
    }
}

#[test]
fn a_level_that_comes_and_goes_costs_no_count() {
    let mut fleet = fleet();
    fleet.submit(&ONE_STEP.replace("3s", "100s"));
    for (at, state) in STATES.iter().cycle().take(24).enumerate() {
        let who = if at % 3 == 0 { "manager-0" } else { "gate-0" };
        fleet.ask(who, *state);
        fleet.run_for_ms(3_700);
        if at == 7 {
            fleet.reset("manager-0", "gate-0");
        }
        if at == 11 {
            fleet.reset("worker-0", "manager-0");
        }
    }
    fleet.ask("gate-0", OverloadState::Healthy);
    fleet.ask("manager-0", OverloadState::Healthy);
    fleet.run_until_finished();
    let summary = summary(&fleet);
    // A worker whose connection broke was taken for lost, and came back: what it did counts.
    assert_eq!(summary.status, "completed", "{:?}", summary.events);
    assert_eq!(summary.totals.requests, fleet.recorded());
}

#[test]
fn an_hour_of_rejection_is_a_snapshot_every_ten_seconds_and_an_exact_total() {
    let mut fleet = fleet();
    fleet.submit(&ONE_STEP.replace("3s", "3600s"));
    fleet.run_for_ms(500);
    fleet.ask("gate-0", OverloadState::Overloaded);
    fleet.told.clear();
    fleet.run_for_ms(3_590_000);
    let sent = |kind| fleet.sent_by("worker-0").filter(|sent| *sent == kind).count();
    assert!(sent(Kind::StatsUpdate) <= 3);
    assert!((300..=365).contains(&sent(Kind::StatsSnapshot)), "{}", sent(Kind::StatsSnapshot));
    fleet.ask("gate-0", OverloadState::Healthy);
    fleet.run_until_finished();
    assert_eq!(summary(&fleet).totals.requests, fleet.recorded());
}
