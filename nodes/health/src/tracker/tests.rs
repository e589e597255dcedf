use super::*;
use crate::{LIVE_FOR, WorkerHealthState};

const START: Instant = Instant(1_000_000_000_000);

fn node(n: usize) -> NodeId {
    NodeId(n as u128 + 1)
}

fn well(now: Instant) -> WorkerHealthState {
    WorkerHealthState::new(now, 10)
}

fn dead(now: Instant) -> WorkerHealthState {
    let mut state = well(now);
    (0..3).for_each(|_| state.on_probe_round(now, false));
    state
}

/// `all` nodes, of which the first `failed` are evictable.
fn tracker(all: usize, failed: usize) -> NodeHealthTracker<WorkerHealthState> {
    let mut tracker = NodeHealthTracker::default();
    for n in 0..all {
        tracker.update_state(START, node(n), if n < failed { dead(START) } else { well(START) }).unwrap();
    }
    tracker
}

fn after(seconds: u64) -> Instant {
    START + Duration::from_secs(seconds)
}

#[test]
fn a_majority_of_at_least_three_is_held_and_less_is_not() {
    // All, failed, whether they are evicted.
    for (all, failed, evicted) in [(10, 2, true), (10, 5, true), (10, 6, false), (1, 1, true), (2, 2, true)] {
        let decision = tracker(all, failed).should_evict(START, node(0));
        assert_eq!(decision.should_evict, evicted, "{failed} of {all}");
        assert_eq!(decision.correlated_failures, failed);
        let reason = if evicted { EvictionReason::Evictable } else { EvictionReason::Correlated };
        assert_eq!(decision.reason, reason);
    }
    assert_eq!(tracker(3, 3).should_evict(START, node(0)).reason, EvictionReason::Correlated);
    assert!(tracker(200, 40).should_evict(START, node(0)).should_evict, "one rack of many");
}

#[test]
fn those_that_die_one_after_the_other_are_one_wave() {
    let mut tracker = tracker(10, 0);
    let mut evicted = 0;
    for n in 0..10 {
        let now = after(n as u64);
        tracker.update_state(now, node(n), dead(now)).unwrap();
        if tracker.should_evict(now, node(n)).should_evict {
            tracker.mark_evicted(now, node(n));
            evicted += 1;
        }
    }
    assert_eq!(evicted, 5);
}

#[test]
fn a_held_majority_still_gets_no_work() {
    let mut tracker = tracker(10, 6);
    assert!(!tracker.should_evict(START, node(0)).should_evict);
    assert!(tracker.is_held(START));
    assert_eq!(tracker.get_routing_decision(START, node(0)), Some(RoutingDecision::Evict));
    assert_eq!(tracker.get_healthy_nodes(START).collect::<Vec<_>>(), (6..10).map(node).collect::<Vec<_>>());
}

#[test]
fn a_hold_ends_after_a_minute() {
    let mut tracker = tracker(10, 6);
    assert!(!tracker.should_evict(START, node(0)).should_evict);
    for (seconds, evict) in [(59, false), (60, true)] {
        let now = after(seconds);
        (6..10).for_each(|n| assert!(tracker.update(now, node(n), |state| *state = well(now))));
        assert_eq!(tracker.should_evict(now, node(0)).should_evict, evict, "{seconds} s");
    }
}

#[test]
fn a_hold_cannot_be_drawn_out_by_further_failures() {
    let mut tracker = tracker(10, 6);
    tracker.should_evict(START, node(0));
    for n in 6..9 {
        let now = after(n as u64 * 5);
        tracker.update_state(now, node(n), dead(now)).unwrap();
        assert!(!tracker.should_evict(now, node(n)).should_evict);
    }
    let now = after(61);
    tracker.update(now, node(9), |state| *state = well(now));
    assert!(tracker.should_evict(now, node(0)).should_evict);
}

#[test]
fn a_watcher_that_proves_connected_holds_nothing() {
    let mut tracker = tracker(10, 6);
    tracker.on_watcher_connected(START);
    assert!(!tracker.should_evict(START, node(0)).should_evict, "proof of the time before does not count");
    tracker.on_watcher_connected(after(1));
    for n in 0..6 {
        assert!(tracker.should_evict(after(1), node(n)).should_evict);
        tracker.mark_evicted(after(1), node(n));
    }
    assert_eq!(tracker.states().count(), 4);
}

#[test]
fn reasons_come_in_their_order() {
    let mut tracker = tracker(4, 1);
    assert_eq!(tracker.should_evict(START, node(9)).reason, EvictionReason::Unknown);
    assert_eq!(tracker.should_evict(START, node(1)).reason, EvictionReason::NotEvictable);
    assert!(tracker.should_evict(START, node(0)).should_evict);
    tracker.mark_evicted(START, node(0));
    assert_eq!(tracker.should_evict(START, node(0)).reason, EvictionReason::NotEvictable, "it is gone");
    // It comes back, and dies again.
    tracker.update_state(after(1), node(0), well(after(1))).unwrap();
    tracker.update_state(after(2), node(0), dead(after(2))).unwrap();
    assert_eq!(tracker.should_evict(after(29), node(0)).reason, EvictionReason::Backoff);
    let now = after(30);
    (1..4).for_each(|n| tracker.update_state(now, node(n), dead(now)).unwrap());
    assert_eq!(tracker.should_evict(now, node(0)).reason, EvictionReason::Correlated);
}

#[test]
fn each_eviction_of_an_hour_doubles_the_backoff() {
    let mut tracker = tracker(10, 0);
    for backoff in [30, 60, 120, 240, 480, 600, 600] {
        let now = START;
        tracker.update_state(now, node(0), dead(now)).unwrap();
        tracker.mark_evicted(now, node(0));
        let entry = &tracker.nodes[&node(0)];
        assert_eq!(entry.backoff(now), Duration::from_secs(backoff));
        assert!(entry.backs_off(now + Duration::from_secs(backoff) - Duration::from_nanos(1)));
        assert!(!entry.backs_off(now + Duration::from_secs(backoff)));
    }
    // An hour later all is forgotten.
    let now = after(3_600);
    tracker.mark_evicted(now, node(0));
    assert_eq!(tracker.nodes[&node(0)].backoff(now), BACKOFF);
}

#[test]
fn a_node_that_flaps_is_here_and_gets_no_work_until_its_backoff_is_over() {
    let mut tracker = tracker(10, 0);
    for n in 0..3 {
        let now = after(n * 100);
        (1..10).for_each(|n| tracker.update_state(now, node(n), well(now)).unwrap());
        tracker.update_state(now, node(0), dead(now)).unwrap();
        assert!(tracker.should_evict(now, node(0)).should_evict);
        tracker.mark_evicted(now, node(0));
        tracker.update_state(now, node(0), well(now)).unwrap();
        let decision = tracker.get_routing_decision(now, node(0));
        assert_eq!(decision, Some(if n < 2 { RoutingDecision::Route } else { RoutingDecision::Drain }));
    }
    let names: Vec<_> = tracker.explain(after(201), node(0)).into_iter().filter(|row| !row.ok).collect();
    assert_eq!(names.iter().map(|row| row.name).collect::<Vec<_>>(), ["flapping", "decision"]);
    let now = after(200 + 120);
    tracker.update_state(now, node(0), well(now)).unwrap();
    assert_eq!(tracker.get_routing_decision(now, node(0)), Some(RoutingDecision::Route));
}

#[test]
fn a_full_tracker_forgets_the_oldest_dead_and_no_live_one() {
    let mut tracker = NodeHealthTracker::default();
    for n in 0..NODES_MAX {
        tracker.update_state(START, node(n), well(START)).unwrap();
    }
    assert_eq!(tracker.update_state(START, node(NODES_MAX), well(START)), Err(TooLarge(node(NODES_MAX))));
    tracker.update_state(START, node(4), dead(START)).unwrap();
    tracker.update_state(START, node(7), dead(Instant(1))).unwrap();
    tracker.update_state(START, node(NODES_MAX), well(START)).unwrap();
    assert_eq!(tracker.len(), NODES_MAX);
    assert!(tracker.state(node(7)).is_none() && tracker.state(node(4)).is_some());
}

#[test]
fn silence_alone_makes_a_node_evictable_and_it_says_so() {
    let mut tracker = tracker(1, 0);
    let now = START + LIVE_FOR;
    assert!(tracker.should_evict(now, node(0)).should_evict);
    let rows = tracker.explain(now, node(0));
    let told = |name: &str| rows.iter().find(|row| row.name == name).map(|row| row.value.as_str());
    assert_eq!(told("liveness"), Some("heard 30.0 s ago, 0 failed probes"));
    assert_eq!((told("decision"), told("eviction")), (Some("evict"), Some("evictable")));
    assert_eq!(tracker.explain(now, node(3)).len(), 1);
}
