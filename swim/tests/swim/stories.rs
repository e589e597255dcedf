//! What a group must live through.

use std::time::Duration;

use hyperscale_codec::messages::HealthPiggyback;
use hyperscale_core::Instant;
use hyperscale_swim::MemberState::{Alive, Dead, Left, Suspect};
use hyperscale_swim::{Input, Lifeguard, Output, SwimConfig};

use crate::network::{Net, card, id};

const SEC: Duration = Duration::from_secs(1);

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn word(overload_state: u8) -> HealthPiggyback {
    HealthPiggyback { accepting_work: true, capacity: 1, overload_state, ..HealthPiggyback::default() }
}

#[test]
fn a_killed_node_is_dead_to_all_within_five_seconds() {
    let (mut took, mut over) = (Vec::new(), 0);
    for seed in 0..100 {
        let mut net = Net::new(8, seed, &SwimConfig::lan());
        net.loss = if seed % 2 == 0 { 0.0 } else { 0.05 };
        net.run(ms(5_000 + seed * 37));
        let at = net.now;
        net.kill(3);
        net.run(9 * SEC);
        assert!(net.all_hold(3, Dead), "seed {seed}");
        let deaths = net.changes(3, Dead);
        let last = deaths.iter().map(|(when, _)| when.since(at)).max().unwrap();
        assert_eq!(deaths.len(), 7, "told once by each");
        took.push(last);
        over += usize::from(last > 5 * SEC);
        for other in (0..8).filter(|other| *other != 3) {
            assert!(net.changes(other, Dead).is_empty(), "seed {seed}");
        }
    }
    took.sort();
    println!("kill to dead at all, n = 8: median {:?}, p90 {:?}, worst {:?}", took[50], took[90], took[99]);
    assert_eq!(over, 0, "{:?}", &took[90..]);
}

#[test]
fn a_pause_of_two_seconds_is_suspected_and_refuted() {
    let mut suspected = 0;
    for seed in 0..30 {
        let mut net = Net::new(8, seed, &SwimConfig::lan());
        net.loss = 0.02;
        net.run(5 * SEC);
        net.pause(2, 2 * SEC);
        net.run(2 * SEC);
        suspected += usize::from(!net.changes(2, Suspect).is_empty());
        net.run(4 * SEC);
        assert!(net.all_hold(2, Alive), "seed {seed}");
        assert!(net.changes(2, Dead).is_empty(), "seed {seed}");
        if !net.changes(2, Suspect).is_empty() {
            assert!(net.swim(2).incarnation() >= 1);
            assert_eq!(net.swim(0).member(id(2)).unwrap().incarnation, net.swim(2).incarnation());
        }
        // Who stood still accuses nobody.
        assert!(net.swim(2).counters().standstills >= 1);
        let accused = |at: usize| !net.changes(at, Suspect).iter().any(|(_, by)| *by == 2);
        assert!((0..8).filter(|at| *at != 2).all(accused), "seed {seed}");
    }
    assert!(suspected >= 25, "{suspected} of 30");
}

#[test]
fn a_pause_of_twenty_seconds_is_death_and_return() {
    for seed in 0..20 {
        let mut net = Net::new(8, seed, &SwimConfig::lan());
        net.run(5 * SEC);
        net.pause(2, 20 * SEC);
        net.run(20 * SEC - ms(1));
        assert!(net.all_hold(2, Dead), "seed {seed}");
        net.run(6 * SEC);
        assert!(net.all_hold(2, Alive), "seed {seed}");
        assert!(net.swim(2).incarnation() >= 1);
        for other in (0..8).filter(|other| *other != 2) {
            assert!(net.changes(other, Dead).is_empty(), "seed {seed}: {other}");
        }
    }
}

#[test]
fn gossip_ends_when_nothing_changes() {
    let mut net = Net::new(8, 1, &SwimConfig::lan());
    net.run(3 * SEC);
    net.input(1, Input::OwnHealth(word(3)));
    net.run(3 * SEC);
    for at in (0..8).filter(|at| *at != 1) {
        assert_eq!(net.swim(at).peer_health(id(1)).map(|word| word.overload_state), Some(3), "{at}");
    }
    net.input(1, Input::OwnHealth(word(0)));
    net.kill(5);
    net.run(20 * SEC);
    let sent = |net: &Net| (0..8).map(|at| net.swim(at).counters().gossip_sends).sum::<u64>();
    let before = sent(&net);
    net.run(60 * SEC);
    assert_eq!(sent(&net), before);
    assert_eq!(net.swim(0).peer_health(id(1)).map(|word| word.overload_state), Some(0));
}

#[test]
fn who_leaves_is_left_at_once_and_may_end_after_two_intervals() {
    let mut net = Net::new(8, 4, &SwimConfig::lan());
    net.run(3 * SEC);
    net.input(6, Input::Leave);
    assert!(!net.swim(6).left());
    net.run(ms(1_001));
    assert!(net.swim(6).left());
    net.kill(6);
    assert!(net.all_hold(6, Left));
    net.run(30 * SEC);
    assert!(net.changes(6, Suspect).is_empty() && net.changes(6, Dead).is_empty());
    net.run(120 * SEC);
    assert_eq!(net.state(6, 0), None, "forgotten");
}

#[test]
fn a_restarted_process_supersedes_its_dead_self() {
    let mut net = Net::new(6, 9, &SwimConfig::lan());
    net.run(3 * SEC);
    net.kill(2);
    net.run(10 * SEC);
    assert!(net.all_hold(2, Dead));
    net.restart(2, 2);
    net.shake_hands(2, 0);
    net.run(3 * SEC);
    assert!(net.all_hold(2, Alive));
    assert_eq!(net.swim(5).member(id(2)).unwrap().card.boot, 2);
    assert_eq!(net.swim(2).members().count(), 5);
}

#[test]
fn nodes_join_by_one_seed() {
    let mut net = Net::empty(3, &SwimConfig::lan());
    net.join(0, 0);
    for at in 1..20 {
        net.join(at, at / 2);
        net.run(ms(50));
    }
    net.run(20 * SEC);
    for at in 0..20 {
        assert!(net.all_hold(at, Alive), "{at}");
        assert!(net.changes(at, Suspect).is_empty());
    }
    assert_eq!(net.swim(7).live(), 19);
}

#[test]
fn halves_that_merge_are_all_alive_again() {
    for (seed, apart) in [(1, 30), (2, 60), (3, 300)] {
        let mut net = Net::new(10, seed, &SwimConfig::lan());
        for (a, b) in [(0, 5), (5, 0), (3, 8), (8, 3)] {
            net.input(a, Input::Seen { card: card(b, 1) });
        }
        net.run(3 * SEC);
        (5..10).for_each(|at| net.part[at] = 1);
        net.run(Duration::from_secs(apart));
        assert_ne!(net.state(7, 0), Some(Alive));
        assert_eq!(net.state(2, 0), Some(Alive));
        (5..10).for_each(|at| net.part[at] = 0);
        let healed = net.now;
        while !(0..10).all(|at| net.all_hold(at, Alive)) {
            net.run(ms(100));
            assert!(net.now.since(healed) < 60 * SEC, "apart {apart} s");
        }
        println!("halves apart for {apart} s: all alive {:?} after healing", net.now.since(healed));
        assert!(net.now.since(healed) < 2 * 17 * SEC);
    }
}

#[test]
fn twenty_percent_loss_kills_nobody() {
    let mut net = Net::new(16, 5, &SwimConfig::lan());
    net.loss = 0.2;
    net.run(120 * SEC);
    let deaths = (0..16).map(|at| net.changes(at, Dead).len()).sum::<usize>();
    let suspected = (0..16).map(|at| net.changes(at, Suspect).len()).sum::<usize>();
    println!("20 % loss, 16 nodes, 120 s: {suspected} views turned suspect, {deaths} dead");
    assert_eq!(deaths, 0);
}

#[test]
fn twenty_percent_loss_of_datagrams_alone_is_refuted_in_time() {
    let config = SwimConfig { tcp_probe: false, ..SwimConfig::lan() };
    let mut net = Net::new(16, 5, &config);
    net.loss = 0.2;
    net.oob_works = false;
    net.run(120 * SEC);
    let deaths = (0..16).map(|at| net.changes(at, Dead).len()).sum::<usize>();
    let suspected = (0..16).map(|at| net.changes(at, Suspect).len()).sum::<usize>();
    println!("20 % loss, no TCP, no out of band, 16 nodes, 120 s: {suspected} views suspect, {deaths} dead");
    assert!(suspected > 0);
    assert_eq!(deaths, 0);
}

#[test]
fn one_whose_network_is_broken_kills_nobody() {
    let mut net = Net::new(8, 6, &SwimConfig::lan());
    net.run(3 * SEC);
    net.part[4] = 1;
    net.run(120 * SEC);
    net.part[4] = 0;
    net.run(40 * SEC);
    for at in (0..8).filter(|at| *at != 4) {
        assert!(net.changes(at, Dead).iter().all(|(_, by)| *by == 4), "{at}");
    }
    assert!(net.all_hold(4, Alive));
}

#[test]
fn one_that_hears_nobody_buries_nobody_for_a_minute_and_then_gives_up() {
    let mut net = Net::new(100, 7, &SwimConfig::lan());
    net.run(3 * SEC);
    net.part[4] = 1;
    net.run(50 * SEC);
    let by_four =
        |net: &Net| (0..100).flat_map(|at| net.changes(at, Dead)).filter(|(_, by)| *by == 4).count();
    assert_eq!(by_four(&net), 0, "the longest suspicion is 30 s, twice that the bound");
    net.run(120 * SEC);
    assert!(by_four(&net) > 0, "all others could be dead indeed");
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let run = |lifeguard| {
        let config = SwimConfig { lifeguard, ..SwimConfig::lan() };
        let mut net = Net::new(12, 8, &config);
        net.loss = 0.1;
        net.run(5 * SEC);
        net.pause(3, 3 * SEC);
        net.kill(7);
        net.run(40 * SEC);
        net.hash.get()
    };
    assert_eq!(run(Lifeguard::ALL), run(Lifeguard::ALL));
    assert_eq!(run(Lifeguard::NONE), run(Lifeguard::NONE));
    assert_ne!(run(Lifeguard::ALL), run(Lifeguard::NONE));
}

#[test]
fn plain_swim_kills_after_the_minimum() {
    let config = SwimConfig { lifeguard: Lifeguard::NONE, load_awareness: false, ..SwimConfig::lan() };
    let mut net = Net::new(8, 2, &config);
    net.run(5 * SEC);
    net.kill(1);
    net.run(10 * SEC);
    let first = net.changes(1, Suspect)[0].0;
    let dead = net.changes(1, Dead)[0].0;
    let took = dead.since(first);
    assert!(took >= ms(2_500) && took < ms(2_600), "{took:?}");
    assert!((0..8).all(|at| net.swim(at).local_health() == 0 && net.swim(at).counters().nacks == 0));
}

#[test]
fn out_of_band_answers_come_and_their_absence_is_told() {
    let mut net = Net::new(4, 2, &SwimConfig::lan());
    net.run(SEC);
    net.input(1, Input::OwnHealth(word(3)));
    net.input(0, Input::ProbeOutOfBand { node: id(1), timeout: ms(300) });
    net.input(0, Input::ProbeOutOfBand { node: id(2), timeout: ms(300) });
    net.kill(2);
    let at = net.now;
    net.run(SEC);
    let told: Vec<_> = net
        .events
        .iter()
        .filter_map(|(when, _, output)| match output {
            Output::OutOfBand { node, answer } => Some((when.since(at), *node, *answer)),
            Output::Datagram { .. }
            | Output::TcpProbe { .. }
            | Output::PushPull { .. }
            | Output::Changed { .. }
            | Output::Health { .. }
            | Output::ProbeRound { .. } => None,
        })
        .collect();
    assert_eq!(told.len(), 2);
    let answer = told[0].2.unwrap();
    assert!(told[0].1 == id(1) && answer.overloaded && answer.overload_state == 3 && answer.boot == 1);
    assert!(told[1].1 == id(2) && told[1].2.is_none() && told[1].0 == ms(300));
}

#[test]
fn a_reset_connection_is_probed_at_once() {
    let mut net = Net::new(32, 2, &SwimConfig::lan());
    net.run(10 * SEC);
    net.kill(9);
    let at = net.now;
    for node in 0..8 {
        net.input(node, Input::LinkReset { node: id(9) });
    }
    net.run(ms(1_100));
    assert!(net.changes(9, Suspect)[0].0.since(at) < ms(1_050));
    net.run(3 * SEC + ms(500));
    assert!(net.all_hold(9, Dead), "n = 32: shortest suspicion {:?}", 2.5 * 1.505);
}

#[test]
fn an_overloaded_node_that_really_dies_is_known_in_time() {
    let mut net = Net::new(8, 2, &SwimConfig::lan());
    net.run(3 * SEC);
    net.input(3, Input::OwnHealth(word(3)));
    net.run(3 * SEC);
    net.kill(3);
    let at: Instant = net.now;
    net.run(15 * SEC);
    assert!(net.all_hold(3, Dead));
    let last = net.changes(3, Dead).iter().map(|(when, _)| when.since(at)).max().unwrap();
    assert!(last >= 5 * SEC && last < 15 * SEC, "{last:?}");
}
