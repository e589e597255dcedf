//! The driver that saturates a gate or a manager: what these report is what they were sent, whatever the mix.

use std::net::SocketAddr;
use std::time::Duration;

use hyperscale_codec::Kind;
use hyperscale_core::LinkId;
use hyperscale_saturate::{Bound, KneeConfig, Load, Mix, SaturateConfig, Target};

use pair::{Meddle, Pair, WALL, gate, manager};

mod pair;

fn config(load: Load, mix: &str) -> SaturateConfig {
    SaturateConfig {
        target: Target::Gate,
        addr: SocketAddr::from(([127, 0, 0, 1], 7001)),
        wall: WALL,
        seed: 11,
        managers: 3,
        clients: 2,
        jobs: 2,
        workers: 2,
        worker_shards: 2,
        steps: 2,
        buckets: 10,
        subscribers: 1,
        mix: Mix::parse(Target::Gate, mix).unwrap(),
        load,
        step: Duration::from_secs(1),
        warm_up: Duration::from_millis(100),
        bound: Bound { p99: Duration::from_millis(5), goodput: 0.99 },
        obeys: true,
        patience: Duration::from_secs(2),
    }
}

/// The same for a manager: nobody but its gate and its workers.
fn of_manager(load: Load, mix: &str) -> SaturateConfig {
    SaturateConfig {
        target: Target::Manager,
        managers: 0,
        clients: 0,
        subscribers: 0,
        mix: Mix::parse(Target::Manager, mix).unwrap(),
        ..config(load, "stats")
    }
}

#[test]
fn a_gate_reports_exactly_what_a_mixed_load_told_it() {
    let loads = [
        (Load::Closed { open_requests: 1 }, Duration::from_millis(4), "not_held"),
        (Load::Open { rate: 200.0 }, Duration::from_micros(50), "held"),
    ];
    for (load, takes, verdict) in loads {
        let mix = "stats=60,snapshot=10,heartbeat=5,status=5,nodes=2,list=2,reconnect=2,submit=8,cancel=6";
        let (report, _) = Pair::new(config(load, mix), gate(), takes).run();
        assert!(report.exactness.exact, "{:?}", report.exactness);
        assert_eq!(report.exactness.requests_viewed, report.exactness.requests_in_windows);
        assert!(
            report.exactness.jobs > 10 && report.exactness.requests_sent > 5_000,
            "{:?}",
            report.exactness
        );
        assert!(report.kinds.len() >= 8, "{:?}", report.kinds);
        for kind in &report.kinds {
            assert_eq!((kind.due, kind.sent), (kind.answered, kind.answered), "{kind:?}");
        }
        assert_eq!(report.verdict, verdict, "{:?}", report.steps);
    }
}

#[test]
fn the_knee_of_a_gate_of_known_speed_is_found_within_five_percent() {
    let ramp = KneeConfig { from: 200.0, max: 100_000.0, precision: 0.05, repeats: 3 };
    let config = SaturateConfig {
        step: Duration::from_secs(1),
        subscribers: 0,
        ..config(Load::Ramp(ramp), "stats=1")
    };
    // One frame takes 1 ms: 1,000 a second, of which heartbeats take 6.
    let (report, steps) = Pair::new(config, gate(), Duration::from_millis(1)).run();
    let knee = report.knee.clone().unwrap();
    assert!((950.0..=1_050.0).contains(&knee.rate_per_s), "{knee:?} {steps:?}");
    assert_eq!((report.verdict, knee.held, knee.of), ("knee", 3, 3), "{report:?}");
    assert!(report.exactness.exact, "{:?}", report.exactness);
}

#[test]
fn a_lost_connection_ends_it_with_the_reason_and_without_the_word_exact() {
    let mut pair =
        Pair::new(config(Load::Open { rate: 500.0 }, "stats=1"), gate(), Duration::from_micros(50));
    pair.cut = Some((LinkId(1), 50));
    let (report, _) = pair.run();
    assert_eq!(report.verdict, "failed");
    assert!(report.error.contains("is lost") && !report.exactness.exact, "{report:?}");
    assert_eq!(report.exactness.missing, 6);
}

#[test]
fn every_run_of_one_seed_is_the_same() {
    let told = || {
        Pair::new(config(Load::Open { rate: 100.0 }, "mixed"), gate(), Duration::from_micros(50))
            .run()
            .0
            .to_json()
    };
    assert_eq!(told(), told());
}

#[test]
fn a_manager_reports_exactly_what_a_mixed_load_told_it() {
    let loads = [
        (Load::Closed { open_requests: 1 }, Duration::from_millis(4), "not_held"),
        (Load::Open { rate: 200.0 }, Duration::from_micros(50), "held"),
    ];
    for (load, takes, verdict) in loads {
        let mix = "stats=60,snapshot=10,heartbeat=5,nodes=6,dispatch=8,cancel=6";
        let (report, _) = Pair::new(of_manager(load, mix), manager(), takes).run();
        let exact = &report.exactness;
        assert!(exact.exact, "{exact:?}");
        assert_eq!(exact.requests_viewed, exact.requests_in_windows);
        assert!(exact.jobs > 5 && exact.requests_sent > 5_000, "{exact:?}");
        assert_eq!(report.kinds.len(), 6, "{:?}", report.kinds);
        for kind in &report.kinds {
            assert_eq!((kind.due, kind.sent), (kind.answered, kind.answered), "{kind:?}");
        }
        assert_eq!((report.verdict, report.target), (verdict, "manager"), "{:?}", report.steps);
    }
}

#[test]
fn the_knee_of_a_manager_of_known_speed_is_found_within_five_percent() {
    let ramp = KneeConfig { from: 200.0, max: 100_000.0, precision: 0.05, repeats: 3 };
    let config = of_manager(Load::Ramp(ramp), "stats=1");
    // One frame takes 1 ms: 1,000 a second, of which heartbeats and the gate's receipts take 8.
    let (report, steps) = Pair::new(config, manager(), Duration::from_millis(1)).run();
    let knee = report.knee.clone().unwrap();
    assert!((940.0..=1_050.0).contains(&knee.rate_per_s), "{knee:?} {steps:?}");
    assert!(report.verdict == "knee" && report.exactness.exact, "{report:?}");
}

#[test]
fn last_figures_windows_and_results_that_do_not_come_are_missed() {
    let lost: [(Meddle, &str); 2] = [
        (|frame| frame.kind() == Some(Kind::StatsFinal), "last figures, 0 came"),
        (|frame| frame.kind() == Some(Kind::DcFinalResult), "no result came"),
    ];
    for (lost, words) in lost {
        let config = of_manager(Load::Open { rate: 100.0 }, "stats=1");
        let mut pair = Pair::new(config, manager(), Duration::from_micros(50));
        pair.lost = Some(lost);
        let exact = pair.run().0.exactness;
        assert!(!exact.exact && exact.equal == 0, "{exact:?}");
        assert!(exact.differences.iter().all(|text| text.contains(words)), "{exact:?}");
    }
    let config = of_manager(Load::Open { rate: 100.0 }, "stats=1");
    let mut pair = Pair::new(config, manager(), Duration::from_micros(50));
    pair.lost = Some(|frame| frame.kind() == Some(Kind::StatsUpdate));
    let exact = pair.run().0.exactness;
    assert!(exact.exact && exact.requests_viewed < exact.requests_in_windows, "{exact:?}");
}

#[test]
fn a_manager_that_loses_its_gate_comes_back_and_tells_all() {
    let config = of_manager(Load::Open { rate: 500.0 }, "stats=9,snapshot=1");
    let mut pair = Pair::new(config, manager(), Duration::from_micros(50));
    // The link that the manager made, in the middle of the load.
    pair.cut = Some((LinkId(1_001), 40));
    let (report, _) = pair.run();
    assert_eq!((report.relinks, report.steps[0].why), (1, "link lost"), "{report:?}");
    assert!(report.exactness.exact && report.error.is_empty(), "{report:?}");
}
