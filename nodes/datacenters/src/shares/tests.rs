//! Parts that follow their weights, down to the last virtual user.

use proptest::prelude::*;

use super::*;

pub(crate) fn plan(load: &str) -> Plan {
    let text = format!("target = \"http://h\"\n[workflows.w]\n{load}\nsteps = [{{ get = \"/\" }}]\n");
    hyperscale_plan::parse("plan", &text).unwrap()
}

/// Of `total` things, how many each part has.
fn dealt(units: &[Units], total: u64) -> Vec<u64> {
    units.iter().map(|units| iterations_of(*units, total)).collect()
}

fn unit_counts(units: &[Units]) -> Vec<u32> {
    units.iter().map(|units| units.count).collect()
}

#[test]
fn virtual_users_follow_the_weights_to_the_last_one() {
    for (vus, weights, expected) in [
        (10, vec![1, 1], vec![5, 5]),
        (10, vec![3, 2], vec![6, 4]),
        (10, vec![60_000, 40_000], vec![6, 4]),
        (110, vec![3, 2], vec![66, 44]),
        (10, vec![1, 1, 1], vec![4, 3, 3]),
        (100, vec![5, 3, 1], vec![56, 33, 11]),
        (2, vec![1, 1, 1], vec![1, 1, 0]),
        (1_000_000, vec![33_333, 33_333, 33_334], vec![333_330, 333_330, 333_340]),
        (7, vec![1_000_000, 1], vec![7, 0]),
    ] {
        let parts: Vec<(u32, u32)> = weights.iter().map(|weight| (*weight, 8)).collect();
        let units = shares(&plan(&format!("vus = {vus}\nduration = \"9s\"")), &parts);
        assert_eq!(dealt(&units, vus), expected, "{vus} over {weights:?}: {units:?}");
    }
}

#[test]
fn a_few_requests_of_many_users_follow_the_weights_too() {
    let units = shares(&plan("vus = 50\ntotal_iterations = 10"), &[(1, 8), (1, 8)]);
    assert_eq!((dealt(&units, 10), dealt(&units, 50)), (vec![5, 5], vec![25, 25]));
}

#[test]
fn no_worker_shard_is_idle_where_there_is_load_for_it() {
    let units = shares(&plan("vus = 1000\nduration = \"9s\""), &[(3, 8), (2, 8)]);
    assert_eq!(unit_counts(&units), [24, 16]);
    let units = shares(&plan("rate = 1000\nduration = \"60s\""), &[(1, 2), (1, 6)]);
    assert_eq!(unit_counts(&units), [6, 6]);
}

#[test]
fn arrivals_alternate_as_much_as_the_weights_and_the_workers_allow() {
    let long = "rate = 100\nduration = \"10m\"";
    assert_eq!(unit_counts(&shares(&plan(long), &[(3, 1), (2, 1)])), [3, 2]);
    assert_eq!(unit_counts(&shares(&plan(long), &[(60_000, 2), (40_000, 2)])), [6, 4]);
    // A round of 1,000,000 arrivals would come round only in part.
    let units = shares(&plan(long), &[(333_333, 2), (666_667, 2)]);
    let [first, second] = dealt(&units, 60_000)[..] else { unreachable!("two parts") };
    assert!(first.abs_diff(20_000) < 60 && first + second == 60_000, "{first} {second} {units:?}");
    // Each has a user to serve them.
    let units = shares(&plan("rate = 100\nduration = \"1m\"\nmax_vus = 2"), &[(1, 8), (1, 8)]);
    assert_eq!(dealt(&units, 2), [1, 1]);
}

proptest! {
    #[test]
    fn parts_lie_side_by_side_and_are_the_whole(
        vus in 1..100_000_u32,
        rate in 1..10_000_u32,
        open: bool,
        parts in prop::collection::vec((1..200_u32, 1..64_u32), 1..6),
        total in 0..1_000_000_u64,
    ) {
        let load = if open { format!("rate = {rate}") } else { format!("vus = {vus}") };
        let units = shares(&plan(&format!("{load}\nduration = \"60s\"")), &parts);
        prop_assert_eq!(units.len(), parts.len());
        let mut end = 0;
        for part in &units {
            prop_assert_eq!((part.from, part.of), (end, units[0].of));
            end += part.count;
        }
        prop_assert_eq!(end, units[0].of);
        prop_assert_eq!(dealt(&units, total).iter().sum::<u64>(), total);
    }

    #[test]
    fn no_whole_numbers_are_closer_to_the_weights(
        vus in 1..5_000_u64,
        parts in prop::collection::vec((1..100_u32, 1..64_u32), 1..6),
    ) {
        let units = shares(&plan(&format!("vus = {vus}\nduration = \"9s\"")), &parts);
        let weights: Vec<u32> = parts.iter().map(|(weight, _)| *weight).collect();
        let sum: u64 = weights.iter().map(|weight| u64::from(*weight)).sum();
        let off = |dealt: &[u64]| -> u64 {
            dealt.iter().zip(&weights).map(|(got, weight)| (got * sum).abs_diff(vus * u64::from(*weight))).sum()
        };
        let whole = Units::whole(u32::try_from(vus).unwrap());
        let largest_remainder: Vec<u64> =
            split(whole, &weights).unwrap().iter().map(|units| u64::from(units.count)).collect();
        prop_assert_eq!(off(&dealt(&units, vus)), off(&largest_remainder));
    }
}
