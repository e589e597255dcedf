//! How old what a view shows is, at each level: from when a request is recorded until a manager, a gate, and a client that
//! follows know of it. Of virtual time, so exact, and the same on every machine: what the protocol waits, nothing of
//! what machines take.

use std::collections::BTreeMap;

use hyperscale_codec::Role;
use hyperscale_reliability::{BackpressureLevel, OverloadState};

use crate::ONE_STEP;
use crate::fleet::{Fleet, Place, Shape};

const STATES: [OverloadState; 4] =
    [OverloadState::Healthy, OverloadState::Busy, OverloadState::Stressed, OverloadState::Overloaded];
/// Ages are taken of what is recorded in this part of a job, in ms since its start; it goes on a while longer.
const OF_MS: std::ops::Range<u64> = 20_000..90_000;
const PLACES: [Role; 3] = [Role::Manager, Role::Gate, Role::Client];

/// Median, 99th percentile and largest age in ms at the places, in a job all of whose figures are asked for so.
fn ages(loaded: &str, state: OverloadState) -> [[u64; 3]; 3] {
    let shape = Shape { datacenters: vec![("eu", 1, 1)], shards: 2, uneven: true, ..Shape::default() };
    let mut fleet = Fleet::start_in(shape, None, Some(std::time::Duration::from_secs(5)));
    fleet.run_for_ms(2_000);
    fleet.submit(&ONE_STEP.replace("3s", "110s"));
    fleet.run_for_ms(1_500);
    let started = fleet.load_started(0).unwrap();
    fleet.ask(loaded, state);
    fleet.run_for_ms(109_000);
    let mut known: BTreeMap<(Place, Place), u64> = BTreeMap::new();
    let mut ages: BTreeMap<Role, Vec<u64>> = BTreeMap::new();
    for figures in &fleet.figures {
        let known = known.entry((figures.from, figures.to)).or_default();
        let arrived = u64::try_from(figures.at.since(started).as_millis()).unwrap();
        // As if a request were recorded each millisecond.
        let news = *known..figures.until_us / 1_000;
        let of_all = ages.entry(fleet.role_of(figures.to)).or_default();
        of_all.extend(news.filter(|ms| OF_MS.contains(ms)).map(|ms| arrived - ms));
        *known = (*known).max(figures.until_us / 1_000);
    }
    PLACES.map(|role| {
        let ages = ages.get_mut(&role).unwrap();
        ages.sort_unstable();
        // All that was recorded is known of in the end, once.
        assert_eq!(u64::try_from(ages.len()).unwrap(), OF_MS.end - OF_MS.start, "{role}");
        [ages[ages.len() / 2], ages[ages.len() * 99 / 100], ages[ages.len() - 1]]
    })
}

#[test]
fn what_a_view_shows_is_as_old_as_its_level_says() {
    println!("| who is loaded | level | manager | gate | client |");
    println!("|---|---|---|---|---|");
    // The largest age at the manager and at the client, to a third of a second.
    let of_gate = [(1_000, 1_000), (2_200, 2_300), (5_600, 6_200), (11_000, 11_500)];
    let of_manager = [(1_000, 1_000), (2_200, 2_200), (5_600, 5_600), (11_000, 11_500)];
    for (loaded, largest) in [("gate-0", of_gate), ("manager-0", of_manager)] {
        for (state, (at_manager, at_client)) in STATES.into_iter().zip(largest) {
            let ages = ages(loaded, state);
            let level = BackpressureLevel::floor(state).as_str();
            let [manager, gate, client] =
                ages.map(|[median, p99, most]| format!("{median}, {p99}, {most} ms"));
            println!("| {loaded} | {level} | {manager} | {gate} | {client} |");
            let about = |most: u64| most.saturating_sub(200)..=most + 100;
            assert!(about(at_manager).contains(&ages[0][2]), "{loaded} {level}: {manager}");
            assert!(about(at_client).contains(&ages[2][2]), "{loaded} {level}: {client}");
        }
    }
}
