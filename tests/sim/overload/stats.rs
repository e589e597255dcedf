//! A manager whose workers tell more than it can take: the figures come less often, and nothing of them is lost.

use std::time::Duration;

use hyperscale_codec::{Kind, Priority, Role};
use hyperscale_reliability::OverloadState;

use crate::fleet::weather::Weather;
use crate::fleet::{Costs, Fleet, Shape};
use crate::summary;

const WORKERS: usize = 30;
/// Frames of statistics a second that the manager can take.
const CAPACITY: u32 = 8;

#[test]
fn a_manager_flooded_with_figures_loses_none_and_nobody_is_taken_for_dead() {
    let datacenters = vec![("eu", 1, WORKERS)];
    let shape = Shape { datacenters, shards: 2, ..Shape::default() };
    let mut fleet = Fleet::start_in(shape, Some(Weather::new(3)), Some(Duration::from_secs(5)));
    fleet.measure();
    let each = Duration::from_secs(1) / CAPACITY;
    let costs = Costs {
        kinds: [Kind::StatsUpdate, Kind::StatsSnapshot].map(|kind| (kind, each)).into(),
        frame: Duration::from_millis(1),
        event: Duration::from_micros(200),
        refusal: Duration::from_micros(500),
        ails: false,
    };
    fleet.cost("manager-0", &costs);
    fleet.run_for_ms(5_000);
    fleet.submit(&crate::ONE_STEP.replace("3s", "100s").replace("vus = 4", "vus = 120"));
    let mut worst = OverloadState::Healthy;
    for _ in 0..220 {
        fleet.run_for_ms(500);
        fleet.check_members();
        worst = worst.max(fleet.state("manager-0"));
    }
    let shed: u64 = fleet.intake_counts(Role::Manager).map(|counts| counts.shed(Priority::Normal)).sum();
    assert!(worst >= OverloadState::Stressed && shed > 100, "{worst:?}, {shed} frames shed: no flood");
    let summary = summary(&fleet);
    assert_eq!((summary.status.as_str(), summary.partial), ("completed", false), "{:?}", summary.events);
    assert_eq!((summary.totals.requests, summary.workers.len()), (fleet.recorded(), WORKERS));
    for counts in fleet.intake_counts(Role::Manager) {
        assert_eq!(counts.shed(Priority::Critical) + counts.shed(Priority::High), 0);
    }
    fleet.run_for_ms(20_000);
    let marks = &fleet.network.marks;
    assert_eq!((marks.hits("member seen dead"), marks.hits("member seen suspect")), (0, 0));
    assert_eq!(fleet.state("manager-0"), OverloadState::Healthy);
    assert_eq!(fleet.live("manager-0") + fleet.live("gate-0"), 0);
}
