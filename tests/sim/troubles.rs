//! Networks and hosts that misbehave: what the simulator does with them, and stories that seeds found.

use std::time::Duration;

use hyperscale_codec::Role;
use hyperscale_core::DatagramPort;

use crate::fleet::network::Network;
use crate::fleet::weather::{Delay, Mishaps, Weather};
use crate::fleet::{Fleet, Shape};
use crate::{ONE_STEP, summary};

const IDLE: Option<Duration> = Some(Duration::from_secs(5));

fn lan(shape: Shape) -> Fleet {
    Fleet::start_in(shape, Some(Weather::new(7)), IDLE)
}

fn one_site(managers: usize, workers: usize) -> Shape {
    Shape { datacenters: vec![("eu", managers, workers)], shards: 2, ..Shape::default() }
}

fn long(seconds: u32) -> String {
    ONE_STEP.replace("3s", &format!("{seconds}s"))
}

fn names(name: &str) -> Vec<String> {
    vec![name.to_owned()]
}

/// Sends so many numbered datagrams 1 ms apart; what arrives, in its order.
fn datagrams(mishaps: Mishaps, count: u32) -> (Vec<Vec<u8>>, Network) {
    let mut network = Network::new();
    network.hosts = vec![0, 1];
    let mut weather = Weather::new(11);
    weather.mishaps = mishaps;
    network.weather = Some(weather);
    let addr = "127.0.0.1:1000".parse().unwrap();
    for n in 0..count {
        network.datagram((0, addr), (1, DatagramPort::Membership), n.to_be_bytes().to_vec());
        network.now = network.now + Duration::from_millis(1);
    }
    let mut got = Vec::new();
    while let Some((to, mail)) = network.next() {
        let crate::fleet::network::Mail::Datagram { port, from, bytes } = mail else { panic!("{mail:?}") };
        assert_eq!((to, port, from), (1, DatagramPort::Membership, addr));
        got.push(bytes);
    }
    (got, network)
}

#[test]
fn datagrams_are_lost_doubled_reordered_and_damaged_as_often_as_asked() {
    let (got, _) = datagrams(Mishaps::default(), 1_000);
    let sent: Vec<Vec<u8>> = (0..1_000_u32).map(|n| n.to_be_bytes().to_vec()).collect();
    assert_eq!(got, sent);
    let (got, network) = datagrams(Mishaps { loss: 0.3, twice: 0.2, late: 0.2, flip: 0.1 }, 10_000);
    let share = |name| network.marks.hits(name) as f64 / 10_000.0;
    assert!((0.28..0.32).contains(&share("datagram lost")), "{}", share("datagram lost"));
    // Of those that were not lost.
    assert!((0.13..0.15).contains(&share("datagram duplicated")), "{}", share("datagram duplicated"));
    assert!((0.06..0.08).contains(&share("datagram bit flipped")), "{}", share("datagram bit flipped"));
    assert!(!got.is_sorted(), "some overtake others");
    let again = datagrams(Mishaps { loss: 0.3, twice: 0.2, late: 0.2, flip: 0.1 }, 10_000).0;
    assert_eq!(got, again, "the same seed, the same fate");
}

#[test]
fn a_datagram_reaches_the_node_and_the_port_that_has_its_address() {
    let mut fleet = lan(one_site(1, 2));
    let worker = fleet.worker(0);
    let hello = |fleet: &Fleet, name: &str| fleet.hello_of(name);
    for (n, port) in [DatagramPort::Membership, DatagramPort::Health].into_iter().enumerate() {
        let told = hello(&fleet, "manager-0");
        let to = [told.swim_port, told.oob_port][n];
        fleet.send_datagram(worker, port, ([127, 0, 0, 1], to).into(), vec![1, 2, 3]);
    }
    fleet.send_datagram(worker, DatagramPort::Health, ([127, 0, 0, 1], 9).into(), vec![1]);
    fleet.run_for_ms(100);
    let manager = fleet.manager_core("manager-0").membership();
    let malformed = manager.gauges().into_iter().filter(|gauge| {
        gauge.name == "hyperscale_membership_rejected_total" && gauge.labels[0].1 == "malformed"
    });
    assert_eq!(malformed.map(|gauge| gauge.value).sum::<f64>(), 2.0, "what came is no datagram of a member");
    assert_eq!(fleet.network.marks.hits("datagram to nobody"), 1);
    fleet.block(&names("worker-0"), &names("manager-0"), false);
    let to = hello(&fleet, "manager-0").swim_port;
    let before = fleet.network.marks.hits("datagram blocked");
    fleet.send_datagram(worker, DatagramPort::Membership, ([127, 0, 0, 1], to).into(), vec![1]);
    assert_eq!(fleet.network.marks.hits("datagram blocked"), before + 1);
}

#[test]
fn delays_are_lognormal_around_their_median() {
    let mut weather = Weather::new(3);
    weather.ways.insert((0, 0), Delay::wan(Duration::from_millis(80)));
    let mut delays: Vec<Duration> = (0..10_001).map(|_| weather.delay(0, 1)).collect();
    delays.sort();
    let ms = |at: usize| delays[at].as_secs_f64() * 1_000.0;
    assert!((79.0..81.0).contains(&ms(5_000)), "{}", ms(5_000));
    // One deviation above: e^0.1.
    assert!((87.0..90.0).contains(&ms(8_413)), "{}", ms(8_413));
    let own = weather.delay(4, 4);
    assert!(own < Duration::from_millis(1), "a host reaches itself at once: {own:?}");
}

#[test]
fn a_pause_that_is_shorter_than_the_idle_time_out_loses_nothing() {
    for who in ["gate-0", "manager-0", "worker-0", "client-0"] {
        for timers_first in [false, true] {
            let mut fleet = lan(one_site(1, 2));
            fleet.submit(&long(6));
            fleet.run_for_ms(1_500);
            fleet.pause(who, Duration::from_secs(3), timers_first);
            fleet.run_until_finished();
            let summary = summary(&fleet);
            // A silent worker's load is made by the others, and all that it made counts.
            let moved = who == "worker-0";
            assert_eq!((summary.status.as_str(), summary.partial), ("completed", moved), "{who}");
            let event = |kind: &str| summary.events.iter().any(|event| event.kind == kind);
            assert_eq!((event("worker_lost"), event("over_scheduled")), (moved, moved), "{who}");
            assert_eq!(summary.totals.requests, fleet.recorded(), "{who}");
        }
    }
}

#[test]
fn a_host_that_dies_silently_is_noticed_and_its_load_moves() {
    let mut fleet = lan(one_site(1, 3));
    fleet.submit(&long(12));
    fleet.run_for_ms(2_500);
    fleet.vanish("worker-1");
    fleet.run_until_finished();
    let summary = summary(&fleet);
    assert_eq!((summary.status.as_str(), summary.partial), ("completed", true));
    // Two heartbeats, a question out of band, and its time-out.
    let lost = summary.events.iter().find(|event| event.kind == "worker_lost").unwrap();
    assert!((2.5..4.5).contains(&lost.at_s), "{lost:?}");
}

#[test]
fn a_clock_that_leaps_and_a_starved_core_lose_no_request() {
    for who in ["gate-0", "manager-0", "worker-0"] {
        let mut fleet = lan(one_site(1, 2));
        fleet.submit(&long(6));
        fleet.run_for_ms(1_500);
        fleet.leap(who, Duration::from_secs(2));
        fleet.starve(who, Duration::from_millis(8));
        fleet.run_for_ms(2_000);
        fleet.starve(who, Duration::ZERO);
        fleet.run_until_finished();
        let summary = summary(&fleet);
        assert_eq!(summary.status, "completed", "{who}");
        assert_eq!(summary.totals.requests, fleet.recorded(), "{who}");
    }
}

/// What the worker's manager sent it meanwhile is lost, and it comes back before the manager has seen that.
#[test]
fn a_worker_that_gives_a_dead_link_up_before_its_manager_does_keeps_no_job_from_ending() {
    let mut fleet = lan(one_site(1, 2));
    fleet.submit(&long(14));
    fleet.run_for_ms(2_000);
    // What worker-1 had moves to worker-0, which hears nothing of it.
    fleet.block(&names("manager-0"), &names("worker-0"), false);
    fleet.crash("worker-1");
    fleet.run_for_ms(500);
    fleet.drop_end("worker-0", "manager-0");
    fleet.unblock(&names("manager-0"), &names("worker-0"));
    fleet.run_until_finished();
    fleet.run_for_ms(20_000);
    assert!(["completed", "failed"].contains(&summary(&fleet).status.as_str()));
    assert_eq!((fleet.live("worker-0"), fleet.live("manager-0"), fleet.live("gate-0")), (0, 0, 0));
}

/// The gate acknowledges a job's last figures once it has ended; the manager was away just then.
#[test]
fn finals_are_acknowledged_to_a_manager_that_comes_back_after_the_end() {
    let datacenters = vec![("eu", 1, 1), ("us", 1, 1)];
    let mut fleet = lan(Shape { datacenters, shards: 1, ..Shape::default() });
    fleet.submit(&long(3));
    fleet.run_for_ms(2_500);
    fleet.block(&names("gate-0"), &names("manager-0"), false);
    fleet.run_until_finished();
    fleet.reset("gate-0", "manager-0");
    fleet.drop_end("manager-0", "gate-0");
    fleet.unblock(&names("gate-0"), &names("manager-0"));
    fleet.run_for_ms(20_000);
    for name in ["worker-0", "worker-1", "manager-0", "manager-1"] {
        assert_eq!(fleet.live(name), 0, "{name} keeps what nobody will ask for");
    }
    assert!(!summary(&fleet).partial);
}

/// Both workers are taken for lost at one time, the second with load of the first on its way to it.
#[test]
fn a_share_that_nobody_waits_for_any_more_ends_when_its_worker_comes_back() {
    let mut fleet = lan(one_site(1, 2));
    fleet.submit(&long(20));
    fleet.run_for_ms(2_000);
    let (workers, manager) = (["worker-0".to_owned(), "worker-1".to_owned()], names("manager-0"));
    fleet.block(&workers, &manager, false);
    fleet.run_for_ms(7_000);
    fleet.unblock(&workers, &manager);
    fleet.run_until_finished();
    fleet.run_for_ms(5_000);
    assert_eq!(summary(&fleet).status, "failed");
    assert_eq!((fleet.live("worker-0"), fleet.live("worker-1")), (0, 0));
}

#[test]
fn a_cancelled_job_whose_manager_did_not_come_back_is_partial() {
    let datacenters = vec![("eu", 1, 1), ("us", 1, 1)];
    let mut fleet = lan(Shape { datacenters, ..Shape::default() });
    fleet.submit(&long(30));
    fleet.run_for_ms(2_500);
    fleet.crash("manager-1");
    fleet.cancel();
    fleet.run_until_finished();
    let summary = summary(&fleet);
    assert_eq!((summary.status.as_str(), summary.partial), ("cancelled", true), "{:?}", summary.events);
    assert_eq!(fleet.names(Role::Manager).len(), 2);
}

/// Twelve users are fewer than there are shards: those of the second datacenter have none, and nothing to do.
#[test]
fn a_datacenter_without_users_has_no_iterations_of_a_count() {
    let datacenters = vec![("eu", 1, 4), ("us", 1, 2)];
    let mut fleet = lan(Shape { datacenters, shards: 3, engines: true, ..Shape::default() });
    let plan = "target = \"http://127.0.0.1:1\"\n[workflows.home]\nsteps = [{ get = \"/\" }]\n";
    fleet.submit(&format!("{plan}vus = 12\ntotal_iterations = 680\n"));
    fleet.run_until_finished();
    let summary = summary(&fleet);
    assert_eq!((summary.status.as_str(), summary.totals.requests), ("completed", 680));
    assert!(summary.duration_s < 10.0, "{}", summary.duration_s);
}

/// The managers have its result; the gate that starts anew has it from them.
#[test]
fn a_job_that_is_submitted_again_to_a_gate_that_forgot_it_ends() {
    let mut fleet = lan(Shape { clients: 2, ..one_site(1, 2) });
    let job = crate::fleet::job_id(9);
    fleet.submit_by("client-0", job, ONE_STEP);
    fleet.run_until_finished_for("client-0");
    fleet.crash("gate-0");
    fleet.restart("gate-0");
    fleet.run_for_ms(2_000);
    fleet.submit_by("client-1", job, ONE_STEP);
    fleet.run_until_finished_for("client-1");
    assert_eq!(fleet.summary_for("client-1").totals.requests, fleet.recorded());
    assert_eq!(fleet.live("gate-0"), 0);
}

/// The gate has acknowledged the result and all figures that there were; then it dies, and a worker comes back with more.
#[test]
fn a_worker_that_comes_back_after_the_end_and_after_the_gate_s_need_not_keep_its_figures() {
    let mut fleet = lan(one_site(1, 2));
    fleet.submit(&long(6));
    fleet.run_for_ms(2_000);
    let (worker, all) = (names("worker-1"), ["gate-0", "manager-0", "worker-0"].map(str::to_owned));
    fleet.block(&worker, &all, false);
    fleet.block(&all, &worker, false);
    fleet.run_until_finished();
    fleet.run_for_ms(2_000);
    fleet.crash("gate-0");
    fleet.restart_as_new("gate-0");
    fleet.unblock(&worker, &all);
    fleet.unblock(&all, &worker);
    fleet.run_for_ms(30_000);
    assert_eq!((fleet.live("worker-1"), fleet.live("manager-0")), (0, 0));
}
