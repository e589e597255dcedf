use proptest::prelude::*;

use super::*;
use crate::{CpuRule, HostSignals, HybridOverloadDetector, OverloadConfig};
use OverloadState::{Busy, Healthy, Overloaded, Stressed};
use Priority::{High, Low, Normal};

const CLASSES: [Priority; 3] = [High, Normal, Low];

fn at_us(us: u64) -> Instant {
    Instant(1_000_000 + us * 1_000)
}

fn strain(of_one: f64) -> Strain {
    Strain::of(of_one, 1.0)
}

/// A node on one CPU, by its costs, and what is offered of each class a second.
#[derive(Debug, Clone)]
struct Node {
    taken_us: f64,
    refused_us: f64,
    offered: [f64; 3],
}

/// What became of one period's frames, by class.
#[derive(Debug, Clone, Copy, Default)]
struct Period {
    taken: [u32; 3],
    used_us: f64,
}

impl Node {
    /// The load is there at once. States are those of the production detector, which sees the CPU over a second; the ration
    /// is told the strain of the period before.
    fn under_flood(&self, periods: usize) -> Vec<Period> {
        let mut ration = Ration::default();
        let mut done: Vec<Period> = Vec::new();
        let mut detector = HybridOverloadDetector::new(OverloadConfig::default()).unwrap();
        let mut refused = Healthy;
        let mut due = [0.0; 3];
        for period in 0..periods {
            let late = &done[done.len().saturating_sub(10)..];
            let used =
                |of: &[Period]| of.iter().map(|it| it.used_us).sum::<f64>() / (1e5 * of.len().max(1) as f64);
            let signals = HostSignals {
                cpu_percent: Some(used(late) * 100.0),
                cpu_tick_percent: Some(used(&late[late.len().saturating_sub(1)..]) * 100.0),
                ..HostSignals::default()
            };
            let resource = signals.states(detector.config(), CpuRule::Full).worst();
            let state = detector.tick_refusing(at_us(period as u64 * 100_000), resource, refused);
            let strained = detector.strain(None, &signals, CpuRule::Full);
            refused = Healthy;
            let mut now = Period::default();
            // In steps of half a millisecond.
            for step in 0..200_u64 {
                let time = at_us(period as u64 * 100_000 + step * 500);
                for (at, class) in CLASSES.into_iter().enumerate() {
                    due[at] += self.offered[at] / 2_000.0;
                    while due[at] >= 1.0 {
                        due[at] -= 1.0;
                        // What does not fit in a full CPU waits where nobody sees it.
                        if now.used_us >= 1e5 {
                            continue;
                        }
                        let takes = if LoadShedder.should_shed(class, state) {
                            ration.take(time, class, state, strained)
                        } else {
                            ration.took(time, class, state, strained);
                            true
                        };
                        if !takes {
                            refused = refused.max([Overloaded, Stressed, Busy][at]);
                        }
                        now.taken[at] += u32::from(takes);
                        now.used_us += if takes { self.taken_us } else { self.refused_us };
                    }
                }
            }
            done.push(now);
        }
        done
    }

    /// What it could take a second, were nothing refused.
    fn capacity(&self) -> f64 {
        1e6 / self.taken_us
    }
}

fn mean_taken(periods: &[Period]) -> f64 {
    let all: u32 = periods.iter().flat_map(|period| period.taken).sum();
    f64::from(all) * 10.0 / periods.len() as f64
}

#[test]
fn a_flood_of_any_height_gets_most_of_what_the_node_can_bear() {
    for taken_us in [20.0, 200.0, 5_000.0] {
        for times in [1.5, 2.0, 5.0, 10.0] {
            let node =
                Node { taken_us, refused_us: taken_us / 40.0, offered: [0.0, times * 1e6 / taken_us, 0.0] };
            let periods = node.under_flood(200);
            let taken = mean_taken(&periods[30..]) / node.capacity();
            // What refusing costs is lost, and what lies above the aim.
            let bearable = 0.8 - (times - 0.8) / 40.0;
            assert!(taken >= 0.93 * bearable, "{taken_us} us, {times} times: {taken:.3} of {bearable:.3}");
            let worst = periods[30..].iter().map(|period| period.used_us).fold(0.0, f64::max);
            assert!(worst <= 0.97e5, "{taken_us} us, {times} times: {worst}");
        }
    }
}

#[test]
fn what_matters_more_takes_all_it_needs_and_the_rest_is_for_the_next() {
    // High alone is half of what the node can do; normal and low each more than all.
    let node = Node { taken_us: 100.0, refused_us: 2.0, offered: [5_000.0, 15_000.0, 15_000.0] };
    let periods = node.under_flood(200);
    let late = &periods[50..];
    let of = |at: usize| {
        late.iter().map(|period| f64::from(period.taken[at])).sum::<f64>() * 10.0 / late.len() as f64
    };
    assert!(of(0) >= 0.98 * 5_000.0, "high {}", of(0));
    assert!(of(1) >= 1_500.0, "normal {}", of(1));
    assert!(of(2) <= 0.02 * of(1) + 30.0, "low {}", of(2));
}

#[test]
fn it_is_given_out_evenly() {
    let mut ration = Ration::default();
    // 10,000 a second, at the strain aimed at.
    for us in 0..100_000 / 100 {
        ration.took(at_us(us * 100), Normal, Healthy, strain(0.5));
    }
    let mut in_each = Vec::new();
    for ms in 100..200 {
        let taken =
            (0..50).filter(|part| ration.take(at_us(ms * 1_000 + part * 20), Normal, Stressed, strain(AIM)));
        in_each.push(taken.count());
    }
    let most = in_each.iter().max().copied().unwrap();
    assert!((8..=12).contains(&most), "{in_each:?}");
    assert!((990..=1_010).contains(&in_each.iter().sum::<usize>()), "{in_each:?}");
}

#[test]
fn next_to_nothing_is_left_where_the_strain_stays_too_high() {
    let mut ration = Ration::default();
    (0..1_000).for_each(|us| ration.took(at_us(us), Normal, Healthy, strain(0.5)));
    ration.took(at_us(100_000), Normal, Healthy, strain(2.0));
    let mut last = 0;
    for period in 2..82_u64 {
        last = (0..1_000)
            .filter(|part| ration.take(at_us(period * 100_000 + part * 100), Normal, Stressed, strain(2.0)))
            .count();
    }
    assert!(last <= 1, "{last}");
    // It comes back by itself.
    for period in 82..132_u64 {
        last = (0..1_000)
            .filter(|part| ration.take(at_us(period * 100_000 + part * 100), Normal, Stressed, strain(0.1)))
            .count();
    }
    assert!(last >= 300, "{last}");
}

proptest! {
    /// Whatever comes: never more than was given out, and of two classes that ask at once not the lesser one alone.
    #[test]
    fn it_never_gives_more_than_it_has(
        steps in proptest::collection::vec((0_u64..20_000, 0_usize..3, 0_u8..4, 0.0_f64..3.0), 1..2_000)
    ) {
        let (mut ration, mut us) = (Ration::default(), 0);
        for (later, class, state, strained) in steps {
            us += later;
            let (class, state) = (CLASSES[class], OverloadState::from_wire(state));
            if LoadShedder.should_shed(class, state) {
                let more = High;
                let mut twin = ration.clone();
                let taken = ration.take(at_us(us), class, state, strain(strained));
                prop_assert!(ration.tokens >= 0.0 && ration.tokens <= ration.most() + 1e-9);
                prop_assert!((0.0..=MOST).contains(&ration.per_second));
                if taken && LoadShedder.should_shed(more, state) {
                    prop_assert!(twin.take(at_us(us), more, state, strain(strained)));
                }
            } else {
                ration.took(at_us(us), class, state, strain(strained));
            }
        }
    }

    /// A clock that stands or goes back gives nothing out.
    #[test]
    fn time_that_goes_back_gives_nothing(back in 1_u64..1_000_000) {
        let mut ration = Ration::default();
        (0..100).for_each(|us| ration.took(at_us(1_000_000 + us), Low, Healthy, strain(0.1)));
        let _first = ration.take(at_us(1_200_000), Normal, Stressed, strain(AIM));
        let given = (0..1_000).filter(|_| ration.take(at_us(1_200_000 - back), Normal, Stressed, strain(AIM))).count();
        prop_assert!(given <= 2, "{given}");
    }
}
