//! Who gets what, from tables.

use proptest::prelude::*;

use hyperscale_health::RoutingDecision;

use super::*;

fn plan(placement: &str) -> Plan {
    let text = format!(
        "{placement}\n[workflows.w]\nvus = 100\nduration = \"9s\"\nsteps = [{{ get = \"http://h/\" }}]\n"
    );
    hyperscale_plan::parse("plan", &text).unwrap_or_else(|errors| panic!("{errors}"))
}

fn manager(node: u128, worker_shards: u32) -> ManagerState {
    ManagerState {
        node: NodeId(node),
        decision: RoutingDecision::Route,
        worker_shards,
        overload: 0,
        latency: None,
    }
}

/// `dc-1` has so many worker shards at its one manager, node 1; and so on.
fn sites(shards: &[u32]) -> Vec<Site> {
    let site = |(at, shards): (u128, &u32)| Site {
        name: format!("dc-{at}"),
        class: DatacenterClass::Healthy,
        managers: vec![manager(at, *shards)],
    };
    (1..).zip(shards).map(site).collect()
}

/// Name, manager and units of each part.
fn shown(placed: &Placed) -> Vec<(String, u128, u32, u32)> {
    let row = |part: &Assignment| (part.datacenter.clone(), part.manager.0, part.units.count, part.units.of);
    placed.parts.iter().map(row).collect()
}

fn place(placement: &str, sites: &[Site], patience: Patience) -> Result<Placed, Missing> {
    ManagerDispatcher::new(JobId(7), &plan(placement), sites).place(patience)
}

fn at_once(placement: &str, shards: &[u32]) -> Vec<(String, u128, u32, u32)> {
    shown(&place(placement, &sites(shards), Patience::Left).unwrap())
}

fn row(name: &str, manager: u128, count: u32, of: u32) -> (String, u128, u32, u32) {
    (name.to_owned(), manager, count, of)
}

#[test]
fn without_a_placement_all_take_part_by_their_worker_shards() {
    assert_eq!(at_once("", &[2, 6, 0]), [row("dc-1", 1, 2, 8), row("dc-2", 2, 6, 8)]);
}

#[test]
fn a_count_takes_the_best() {
    assert_eq!(at_once("placement.count = 1", &[2, 6, 6]), [row("dc-2", 2, 6, 6)]);
    assert_eq!(at_once("placement.count = 2", &[2, 4, 6]), [row("dc-2", 2, 4, 10), row("dc-3", 3, 6, 10)]);
    let mut three = sites(&[6, 6, 6]);
    three[0].managers[0].overload = 1;
    three[2].managers[0].latency = Some(Duration::from_millis(3));
    let placed = place("placement.count = 1", &three, Patience::Left).unwrap();
    assert_eq!(shown(&placed), [row("dc-3", 3, 6, 6)], "not the busy one, and the nearer of the others");
}

#[test]
fn names_take_their_shares_whatever_workers_they_have() {
    let shares = "placement.datacenters = { dc-1 = \"60%\", dc-3 = \"40%\" }";
    assert_eq!(at_once(shares, &[1, 9, 1]), [row("dc-1", 1, 3, 5), row("dc-3", 3, 2, 5)]);
    let equal = "placement.datacenters = [\"dc-2\", \"dc-1\"]";
    assert_eq!(at_once(equal, &[2, 4]), [row("dc-2", 2, 50, 100), row("dc-1", 1, 50, 100)]);
}

#[test]
fn what_is_missing_is_named() {
    for (placement, shards, missing) in [
        ("", vec![], "none has a worker"),
        ("", vec![0], "none has a worker"),
        ("placement.count = 3", vec![1, 0, 1], "2 of 3 datacenters have workers (known: dc-1, dc-3)"),
        (
            "placement.datacenters = [\"dc-1\", \"dc-3\"]",
            vec![1, 1],
            "dc-3 has no worker (known: dc-1, dc-2)",
        ),
        (
            "placement.datacenters = [\"dc-8\", \"dc-9\"]",
            vec![1],
            "dc-8 and dc-9 have no worker (known: dc-1)",
        ),
        ("placement.datacenters = [\"dc-1\"]", vec![0], "dc-1 has no worker (known: none)"),
    ] {
        let waits = place(placement, &sites(&shards), Patience::Left);
        assert_eq!(waits, Err(Missing(missing.to_owned())), "{placement} {shards:?}");
    }
}

#[test]
fn a_plan_without_fallback_goes_nowhere_else() {
    let names = "placement.datacenters = [\"dc-1\", \"dc-3\"]";
    assert!(place(names, &sites(&[1, 1]), Patience::Over).is_err());
    let count = "placement = { count = 2, fallback = false }";
    assert!(place(count, &sites(&[1]), Patience::Over).is_err());
}

#[test]
fn with_fallback_others_take_the_part_of_who_is_missing() {
    let names = "[placement]\nfallback = true\ndatacenters = { dc-1 = 3, dc-9 = 1 }";
    assert!(place(names, &sites(&[4, 4]), Patience::Left).is_err(), "first it waits");
    let placed = place(names, &sites(&[4, 4]), Patience::Over).unwrap();
    assert_eq!(shown(&placed), [row("dc-1", 1, 75, 100), row("dc-2", 2, 25, 100)]);
    assert_eq!(placed.instead, ["dc-9 has no worker; dc-2 took its part"]);
    // Nobody is left but those that are named themselves.
    let placed = place(names, &sites(&[4]), Patience::Over).unwrap();
    assert_eq!(shown(&placed), [row("dc-1", 1, 4, 4)]);
    assert_eq!(placed.instead, ["dc-9 has no worker; the others took its part"]);
    // Fewer than so many.
    let placed = place("placement.count = 2", &sites(&[4]), Patience::Over).unwrap();
    assert_eq!(shown(&placed), [row("dc-1", 1, 4, 4)]);
    assert_eq!(placed.instead, ["1 of 2 datacenters have workers (known: dc-1)"]);
}

#[test]
fn the_least_overloaded_manager_with_the_most_workers_is_asked_first() {
    let busy = ManagerState { overload: 1, ..manager(1, 9) };
    let site = Site {
        name: "dc-1".to_owned(),
        class: DatacenterClass::Healthy,
        managers: vec![busy, manager(2, 0), manager(3, 4), manager(4, 2)],
    };
    let (plan, sites) = (plan(""), [site]);
    let dispatcher = ManagerDispatcher::new(JobId(7), &plan, &sites);
    let mut asked = Vec::new();
    while let Some(next) = dispatcher.next_manager("dc-1", &asked) {
        asked.push(next);
    }
    assert_eq!(asked, [NodeId(3), NodeId(4), NodeId(1)]);
    assert_eq!(dispatcher.next_manager("dc-2", &[]), None);
}

#[test]
fn equal_managers_share_the_jobs() {
    let site = Site {
        name: "dc-1".to_owned(),
        class: DatacenterClass::Healthy,
        managers: (1..=3).map(|node| manager(node, 2)).collect(),
    };
    let (plan, sites) = (plan(""), [site]);
    let mut jobs = [0; 3];
    for job in 0..3_000 {
        let placed = ManagerDispatcher::new(JobId(job), &plan, &sites).place(Patience::Left).unwrap();
        let manager = usize::try_from(placed.parts[0].manager.0).unwrap();
        jobs[manager - 1] += 1;
    }
    assert!(jobs.iter().all(|&n| n > 500), "{jobs:?}");
}

#[test]
fn the_part_of_who_refused_goes_to_who_has_none_if_the_plan_allows() {
    let has_part = |name: &str| name == "dc-1";
    let next = |placement: &str, shards: &[u32]| {
        let (plan, sites) = (plan(placement), sites(shards));
        ManagerDispatcher::new(JobId(7), &plan, &sites).next_datacenter(has_part)
    };
    assert_eq!(next("placement.count = 1", &[9, 2, 4]), Some(("dc-3".to_owned(), NodeId(3))));
    assert_eq!(next("placement.count = 1", &[9]), None);
    assert_eq!(next("placement.datacenters = [\"dc-1\"]", &[9, 2]), None);
}

proptest! {
    #[test]
    fn parts_are_the_whole_none_is_empty_and_nobody_without_workers_has_one(
        shards in prop::collection::vec(0..5_u32, 0..6),
        weights in prop::collection::vec(1..9_u32, 1..6),
        way in 0..3_u8,
        fallback: bool,
        over: bool,
    ) {
        let names: Vec<String> = (1..).zip(&weights).map(|(at, weight)| format!("dc-{at} = {weight}")).collect();
        let chosen = match way {
            0 => String::new(),
            1 => format!("count = {}\n", weights.len()),
            _ => format!("datacenters = {{ {} }}\n", names.join(", ")),
        };
        let text = format!("[placement]\n{chosen}fallback = {fallback}");
        let patience = if over { Patience::Over } else { Patience::Left };
        let Ok(placed) = place(&text, &sites(&shards), patience) else { return Ok(()) };
        let mut end = 0;
        for part in &placed.parts {
            let Units { from, count, of } = part.units;
            prop_assert!(from == end && count > 0 && of == placed.parts[0].units.of);
            end += count;
            let manager = usize::try_from(part.manager.0).unwrap();
            prop_assert!(shards[manager - 1] > 0);
            prop_assert_eq!(&part.datacenter, &format!("dc-{}", manager));
        }
        prop_assert_eq!(end, placed.parts[0].units.of);
        let mut names: Vec<&str> = placed.parts.iter().map(|part| part.datacenter.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        prop_assert_eq!(names.len(), placed.parts.len());
    }
}

#[test]
fn a_manager_that_is_to_drain_is_not_asked_and_one_under_investigation_last() {
    let of = |node, decision| ManagerState { decision, ..manager(node, 4) };
    let site = |managers| [Site { name: "dc-1".to_owned(), class: DatacenterClass::Healthy, managers }];
    let managers = vec![
        of(1, RoutingDecision::Drain),
        of(2, RoutingDecision::Investigate),
        of(3, RoutingDecision::Route),
        of(4, RoutingDecision::Evict),
    ];
    let sites = site(managers);
    let plan = plan("");
    let dispatcher = ManagerDispatcher::new(JobId(7), &plan, &sites);
    assert_eq!(shown(&dispatcher.place(Patience::Left).unwrap()), [row("dc-1", 3, 4, 4)]);
    assert_eq!(dispatcher.next_manager("dc-1", &[NodeId(3)]), Some(NodeId(2)));
    assert_eq!(dispatcher.next_manager("dc-1", &[NodeId(3), NodeId(2)]), None);
    let none = site(vec![of(1, RoutingDecision::Drain), of(4, RoutingDecision::Evict)]);
    assert_eq!(place("", &none, Patience::Left), Err(Missing("none has a worker".to_owned())));
}

#[test]
fn the_class_of_a_datacenter_goes_before_its_size_and_a_degraded_one_is_told() {
    let classes = [
        DatacenterClass::Degraded,
        DatacenterClass::Busy,
        DatacenterClass::Healthy,
        DatacenterClass::Unhealthy,
    ];
    let mut all = sites(&[9, 9, 2, 9]);
    all.iter_mut().zip(classes).for_each(|(site, class)| site.class = class);
    let best = place("placement.count = 1", &all, Patience::Left).unwrap();
    assert_eq!((shown(&best), best.degraded.len()), (vec![row("dc-3", 3, 2, 2)], 0));
    let three = place("placement.count = 3", &all, Patience::Left).unwrap();
    assert_eq!((three.parts.len(), three.degraded), (3, vec!["dc-1".to_owned()]));
    assert!(place("placement.count = 4", &all, Patience::Left).is_err(), "an unhealthy one gets nothing");
    let well = place("", &all, Patience::Left).unwrap();
    assert_eq!(well.parts.iter().map(|part| part.manager.0).collect::<Vec<_>>(), [2, 3]);
    let last = place("", &all[..1], Patience::Left).unwrap();
    assert_eq!((last.parts.len(), last.degraded), (1, vec!["dc-1".to_owned()]));
}
