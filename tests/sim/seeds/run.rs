//! One scenario from its start to its end: a phase in which things go wrong, one in which all must become well, and a
//! job that must run as if nothing had been.

use std::time::Duration;

use hyperscale_client::{Local as Wanted, Notice};
use hyperscale_codec::{JobId, Role};
use hyperscale_core::Instant;
use hyperscale_report::Summary;

use super::faults::start;
use super::scenario::{Profile, Scenario, Task, stream};
use crate::assert_adds_up;
use crate::fleet::weather::{Delay, Weather};
use crate::fleet::{Fleet, job_id};
use crate::marks::Marks;
use rand::Rng;

/// As production nodes have it.
const IDLE: Duration = Duration::from_secs(5);
/// The simulator looks after what supervises processes so often.
const LOOK: Duration = Duration::from_millis(500);
/// Once healed, what is left of jobs has ended after this and the longest job. A worker keeps what it recorded for a
/// manager that is gone for 60 s.
const SETTLE: Duration = Duration::from_secs(90);
/// Once healed, nodes find each other again within this: silent links end after 5 s, dials come again after 5 s at most.
const FIND: Duration = Duration::from_secs(15);
/// The last job must have ended after this.
const PROBE: Duration = Duration::from_secs(12);

/// How a run went.
pub(crate) struct Outcome {
    pub(crate) hash: u64,
    pub(crate) marks: Marks,
    pub(crate) events: usize,
    pub(crate) virtual_s: f64,
    pub(crate) wishes_most: usize,
}

enum Act<'a> {
    Begin(usize),
    End(usize),
    Submit(&'a Task),
    Cancel(&'a Task),
}

/// Runs a scenario; panics where something does not hold.
pub(crate) fn run(scenario: &Scenario, verbose: bool) -> Outcome {
    let mut fleet = Fleet::start_in(scenario.shape.clone(), Some(weather(scenario)), Some(IDLE));
    fleet.verbose = verbose;
    if scenario.measured {
        fleet.measure();
    }
    let zero = fleet.network.now;
    let at = |ms: u64| zero + Duration::from_millis(ms);
    // Ends come before what begins at the same time.
    let mut acts: Vec<(u64, u8, Act<'_>)> = Vec::new();
    for (n, fault) in scenario.faults.iter().enumerate() {
        acts.push((fault.at_ms, 1, Act::Begin(n)));
        acts.push((fault.at_ms + fault.lasts_ms, 0, Act::End(n)));
    }
    for task in &scenario.tasks {
        acts.push((task.at_ms, 2, Act::Submit(task)));
        acts.extend(task.cancel_after_ms.map(|ms| (task.at_ms + ms, 3, Act::Cancel(task))));
    }
    acts.sort_by_key(|(ms, order, _)| (*ms, *order));
    for (ms, _, act) in acts {
        run_to(&mut fleet, at(ms));
        match act {
            Act::Begin(n) => {
                if verbose {
                    eprintln!("at {ms} ms: {}", scenario.faults[n]);
                }
                scenario.faults[n].begin(&mut fleet);
            }
            Act::End(n) => scenario.faults[n].end(&mut fleet),
            Act::Submit(task) => fleet.submit_by(&task.client, job_id(task.number), &task.plan),
            Act::Cancel(task) => {
                fleet.want(&task.client, Wanted::Cancel { reason: "the seed says so".to_owned() });
            }
        }
    }
    run_to(&mut fleet, at(scenario.healed_ms));
    settle(&mut fleet, scenario);
    judge(&mut fleet, scenario);
    probe(&mut fleet, scenario);
    let mut marks = fleet.network.marks.clone();
    if scenario.is_quiet() {
        marks.hit("quiet run");
    }
    Outcome {
        hash: fleet.hash.0,
        marks,
        events: fleet.trace.len(),
        virtual_s: fleet.network.now.since(zero).as_secs_f64(),
        wishes_most: fleet.checkers.bounds.wishes_most,
    }
}

fn weather(scenario: &Scenario) -> Weather {
    let mut seed = stream(scenario.seed, "network");
    let mut weather = Weather::new(seed.random());
    weather.mishaps = scenario.mishaps;
    match scenario.profile {
        Profile::Loopback => {
            weather.ways.insert((0, 0), Delay::LOOPBACK);
        }
        Profile::Lan => {}
        Profile::Wan(there, back) => {
            // The first datacenter is where the gates are; the second is far away.
            let nodes = scenario.shape.nodes();
            let far = scenario.shape.datacenters.get(1).map(|datacenter| datacenter.0);
            let far = nodes.iter().filter(|node| Some(node.identity.datacenter.as_str()) == far);
            weather.sites = far.map(|node| (node.host, 1)).collect();
            weather.ways.insert((0, 1), Delay::wan(Duration::from_millis(there)));
            weather.ways.insert((1, 0), Delay::wan(Duration::from_millis(back)));
        }
    }
    weather
}

/// Runs on, as whoever supervises the fleet would have it: who was turned away for its name is started again.
fn run_to(fleet: &mut Fleet, end: Instant) {
    while fleet.network.now < end {
        let next = (fleet.network.now + LOOK).min(end);
        fleet.run_to(next);
        fleet.check_members();
        for role in [Role::Gate, Role::Manager, Role::Worker] {
            for name in fleet.names(role) {
                if !fleet.runs(&name) && fleet.refused(&name).is_some() {
                    fleet.mark("turned away for its name, and started again");
                    start(fleet, &name, false);
                }
            }
        }
    }
}

/// What somebody waits for, if anything.
fn waits(fleet: &mut Fleet, scenario: &Scenario) -> Vec<String> {
    let mut waits = Vec::new();
    for task in &scenario.tasks {
        let done = |notice: &Notice| matches!(notice, Notice::Finished(_) | Notice::Failed { .. });
        if !fleet.told_to(&task.client).iter().any(done) {
            waits.push(format!("{} for the end of job {}", task.client, task.number));
        }
    }
    for role in [Role::Gate, Role::Manager, Role::Worker] {
        for name in fleet.names(role) {
            let live = if fleet.runs(&name) { fleet.live(&name) } else { 1 };
            if live > 0 {
                let runs = if fleet.runs(&name) { "has" } else { "does not run, or has" };
                waits.push(format!("{name} {runs} {live} live jobs or kept shares"));
            }
        }
    }
    waits
}

fn settle(fleet: &mut Fleet, scenario: &Scenario) {
    let end = fleet.network.now + scenario.longest() + SETTLE;
    run_to(fleet, fleet.network.now + FIND);
    loop {
        let waits = waits(fleet, scenario);
        if waits.is_empty() {
            return;
        }
        let longest = scenario.longest() + SETTLE;
        assert!(fleet.network.now < end, "I22: {longest:?} after all was healed: {waits:#?}");
        let next = fleet.network.now + 2 * LOOK;
        run_to(fleet, next);
    }
}

fn finished(fleet: &Fleet, client: &str) -> Option<(Summary, u8)> {
    fleet.told_to(client).iter().find_map(|notice| match notice {
        Notice::Finished(result) => Some((Summary::from_json(&result.summary).unwrap(), result.outcome)),
        _ => None,
    })
}

/// What clients were told in the end, against what happened.
fn judge(fleet: &mut Fleet, scenario: &Scenario) {
    let kills = |role| scenario.faults.iter().any(|fault| fault.what.kills(role));
    let (gates, managers, workers) = (kills(Role::Gate), kills(Role::Manager), kills(Role::Worker));
    for task in &scenario.tasks {
        let id: JobId = job_id(task.number);
        let Some((summary, outcome)) = finished(fleet, &task.client) else {
            let told = fleet.told_to(&task.client).last().cloned();
            assert!(!scenario.is_quiet(), "{} in a quiet run: {told:?}", task.client);
            // By today's design a gate that dies takes its jobs with it, and clients have patience for 10 s.
            fleet.mark(if gates { "job lost with its gate" } else { "job lost sight of" });
            continue;
        };
        let state = hyperscale_codec::messages::JobState::from_wire(outcome);
        assert_eq!(summary.status, state.as_str());
        assert_adds_up(&summary);
        let deaths = gates || managers || workers;
        let mut marks = Marks::default();
        if fleet.checkers.facts.owners(id) > 1 {
            marks.hit("job accepted again after its owner was gone");
        } else {
            fleet.checkers.totals.check(id, &summary, deaths, &mut marks);
        }
        fleet.network.marks.add(&marks);
        if scenario.is_quiet() {
            assert!(!summary.partial && summary.status != "failed", "{summary:?}");
        }
        fleet.mark(match summary.status.as_str() {
            "completed" if deaths => "job completed although somebody died",
            "completed" if scenario.faults.is_empty() => "job completed without a fault",
            "completed" => "job completed under faults",
            "cancelled" => "job was cancelled",
            _ => "job failed",
        });
        for event in &summary.events {
            fleet.mark(match event.kind.as_str() {
                "worker_lost" => "event: worker lost",
                "over_scheduled" => "event: over scheduled",
                "share_moved" => "event: share moved",
                "share_stays" => "event: share stays",
                "load_missing" => "event: load missing",
                "statistics_missing" => "event: statistics missing",
                "gate_lost" => "event: gate lost",
                _ => "event: other",
            });
        }
    }
}

/// All is well: a new job runs on every worker and is counted to the last request.
fn probe(fleet: &mut Fleet, scenario: &Scenario) {
    let client = fleet.add(Role::Client, "");
    let id = job_id(999);
    let load = if scenario.shape.engines { "rate = 50\nmax_vus = 90" } else { "vus = 64" };
    let plan = format!(
        "target = \"http://127.0.0.1:1\"\n[workflows.home]\n{load}\nduration = \"2s\"\nsteps = [{{ get = \"/\" }}]\n"
    );
    fleet.submit_by(&client, id, &plan);
    let end = fleet.network.now + PROBE;
    while finished(fleet, &client).is_none() {
        let told = fleet.told_to(&client).last();
        assert!(
            fleet.network.now < end,
            "I22: all is healed, and a job of 2 s has not ended in {PROBE:?}: {told:?}"
        );
        run_to(fleet, (fleet.network.now + LOOK).min(end));
    }
    let (summary, _) = finished(fleet, &client).unwrap();
    let (status, partial) = (summary.status.as_str(), summary.partial);
    assert_eq!((status, partial), ("completed", false), "{:?} {:?}", summary.error, summary.events);
    let workers = fleet.names(Role::Worker).len();
    assert_eq!(summary.workers.len(), workers, "not all workers are back: {:?}", summary.workers);
    fleet.checkers.totals.check(id, &summary, false, &mut Marks::default());
    fleet.mark("probe job completed");
}
