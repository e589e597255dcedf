//! Ten times as many questions as a gate can answer, for an hour, on a network that is not well: jobs run on, nobody is
//! taken for dead, and who was refused does not come back together.

use std::time::Duration;

use hyperscale_client::{Notice, Question};
use hyperscale_codec::{JobId, Kind, Role};
use hyperscale_core::Instant;
use hyperscale_reliability::OverloadState;
use hyperscale_report::Summary;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::fleet::crowd::{Ask, CrowdLog, CrowdShape};
use crate::fleet::weather::{Mishaps, Weather};
use crate::fleet::{Costs, Fleet, Shape, job_id};

/// Status queries a second that the gate can answer, if it does nothing else.
const CAPACITY: u32 = 20;
const IDLE: Option<Duration> = Some(Duration::from_secs(5));

fn plan(seconds: u32) -> String {
    crate::ONE_STEP.replace("3s", &format!("{seconds}s"))
}

/// A gate of so little capacity, with everybody measured.
fn fleet(seed: u64) -> Fleet {
    let shape = Shape { datacenters: vec![("eu", 1, 3)], shards: 2, uneven: true, ..Shape::default() };
    let mut weather = Weather::new(seed);
    weather.mishaps = Mishaps { loss: 0.005, twice: 0.01, late: 0.02, flip: 0.001 };
    let mut fleet = Fleet::start_in(shape, Some(weather), IDLE);
    fleet.measure();
    fleet.cost("gate-0", &Costs::of(Kind::JobStatusRequest, CAPACITY));
    fleet.run_for_ms(5_000);
    fleet
}

fn finished(fleet: &Fleet, client: &str) -> Option<Summary> {
    fleet.told_to(client).iter().find_map(|notice| match notice {
        Notice::Finished(result) => Some(Summary::from_json(&result.summary).unwrap()),
        _ => None,
    })
}

/// Something that passes.
fn trouble(fleet: &mut Fleet, rng: &mut StdRng) {
    let names = ["gate-0", "manager-0", "worker-0", "worker-1", "worker-2"];
    let a = rng.random_range(0..names.len());
    let b = (a + rng.random_range(1..names.len())) % names.len();
    let (from, to) = (vec![names[a].to_owned()], vec![names[b].to_owned()]);
    match rng.random_range(0..3) {
        0 => {
            // A worker whose link breaks is lost for a moment, and what it did then is not counted.
            fleet.reset("gate-0", "manager-0");
        }
        1 => {
            fleet.block(&from, &to, true);
            fleet.run_for_ms(rng.random_range(100..900));
            fleet.unblock(&from, &to);
        }
        _ => {
            fleet.slow_down(&from, &to, Some(rng.random_range(2.0..100.0)));
            fleet.run_for_ms(rng.random_range(100..4_000));
            fleet.slow_down(&from, &to, None);
        }
    }
}

/// How much a count of one time is like that of so many times later: 1 is the same, 0 is nothing in common.
fn autocorrelation(counts: &[f64], lag: usize) -> f64 {
    let mean = counts.iter().sum::<f64>() / counts.len() as f64;
    let variance: f64 = counts.iter().map(|count| (count - mean).powi(2)).sum();
    let both: f64 = counts.iter().zip(&counts[lag..]).map(|(a, b)| (a - mean) * (b - mean)).sum();
    both / variance.max(f64::MIN_POSITIVE)
}

/// The most that retries are like those of one answer's wait before.
fn likeness(retries: &[Instant], from: Instant, to: Instant) -> (f64, usize) {
    let bin = |at: Instant| (at.since(from).as_millis() / 100) as usize;
    let mut counts = vec![0.0; bin(to) + 1];
    retries.iter().filter(|at| **at >= from && **at <= to).for_each(|at| counts[bin(*at)] += 1.0);
    // 0.25, 1 and 3 s, a fifth more or less, and what a client adds.
    let lags = (2..=4).chain(8..=14).chain(24..=40);
    lags.map(|lag| (autocorrelation(&counts, lag), lag)).fold((-1.0, 0), |a, b| if b.0 > a.0 { b } else { a })
}

/// All is as if nothing had been, 5 s after the last question.
fn assert_well(fleet: &mut Fleet) {
    for role in [Role::Gate, Role::Manager, Role::Worker] {
        for name in fleet.names(role) {
            assert_eq!(fleet.state(&name), OverloadState::Healthy, "{name}");
        }
    }
    let client = fleet.add(Role::Client, "");
    fleet.want(&client, hyperscale_client::Local::Ask(Question::Nodes { so_far: Vec::new() }));
    fleet.run_for_ms(1_000);
    let [Notice::Nodes { nodes, missing }] = fleet.told_to(&client) else {
        panic!("{:?}", fleet.told_to(&client))
    };
    assert_eq!((nodes.len(), missing.len()), (5, 0), "{nodes:?}");
    assert!(nodes.iter().all(|node| node.overload_state == 0), "{nodes:?}");
}

struct Hour {
    log: CrowdLog,
    jobs: u32,
    /// Submissions that were refused until their client had no more patience.
    refused: u32,
    likeness: (f64, usize),
}

fn flood(seed: u64, seconds: u64) -> Hour {
    let mut fleet = fleet(seed);
    let mut rng = StdRng::seed_from_u64(seed);
    let shape = CrowdShape {
        ask: Ask::Status(job_id(5)),
        obedient: 60,
        hostile: 25,
        // Both together are ten times the capacity; the hostile alone are more than three times.
        per_second: 2.4,
        seed,
    };
    let crowd = fleet.add_crowd("gate-0", shape);
    fleet.verbose = crate::seeds::number("HYPERSCALE_TRACE").is_some();
    let begin = fleet.network.now;
    // Client, job, when it was submitted.
    let mut jobs: Vec<(String, JobId, Instant)> = Vec::new();
    let (mut ended, mut refused) = (0, 0);
    let end = begin + Duration::from_secs(seconds);
    let mut next_job = begin + Duration::from_secs(10);
    let mut next_trouble = begin + Duration::from_secs(15);
    while fleet.network.now < end {
        fleet.run_for_ms(500);
        fleet.check_members();
        if fleet.network.now >= next_job {
            next_job = next_job + Duration::from_secs(60);
            let (who, id) =
                (fleet.add(Role::Client, ""), job_id(1_000 + u128::from(ended) + jobs.len() as u128));
            fleet.submit_by(&who, id, &plan(5));
            jobs.push((who, id, fleet.network.now));
        }
        if fleet.network.now >= next_trouble {
            next_trouble = next_trouble + Duration::from_secs(rng.random_range(10..40));
            trouble(&mut fleet, &mut rng);
        }
        jobs.retain_mut(|(who, id, since)| {
            // Whoever submits it does so again.
            if matches!(fleet.told_to(who).last(), Some(Notice::Failed { .. })) {
                refused += 1;
                let again = fleet.add(Role::Client, "");
                *who = again;
                fleet.submit_by(who, *id, &plan(5));
                return true;
            }
            let Some(summary) = finished(&fleet, who) else {
                let waited = fleet.network.now.since(*since);
                assert!(
                    waited < Duration::from_secs(60),
                    "job {id} of {who}: {:?}",
                    fleet.told_to(who).last()
                );
                return true;
            };
            assert_eq!(
                (summary.status.as_str(), summary.partial),
                ("completed", false),
                "{:?} {:?}",
                summary.error,
                summary.events
            );
            assert_eq!(summary.totals.requests, fleet.checkers.totals.recorded(*id));
            ended += 1;
            false
        });
    }
    let log = fleet.crowd_log(crowd);
    let likeness = likeness(&log.retries, begin + Duration::from_secs(5), end);
    let told = CrowdLog { retries: Vec::new(), ..log.clone() };
    eprintln!(
        "{told:?}, {} retries, alike {likeness:?}; {ended} jobs, {refused} refused for good",
        log.retries.len()
    );
    eprintln!("at most {} frames waited", fleet.checkers.bounds.waiting_most);
    fleet.hush(crowd, true);
    fleet.run_for_ms(5_000);
    assert_well(&mut fleet);
    let marks = &fleet.network.marks;
    assert_eq!(marks.hits("member seen dead"), 0, "somebody who lives was taken for dead");
    // A tenth of a second's questions wait for the first look, and what comes until they are refused.
    let waited = fleet.checkers.bounds.waiting_most;
    assert!(waited <= 200, "{waited} frames waited at once");
    Hour { log, jobs: ended, refused, likeness }
}

fn assert_served(hour: &Hour, jobs: u32) {
    assert!(hour.jobs >= jobs, "{} jobs", hour.jobs);
    assert_eq!(hour.refused, 0, "a submission is refused for the sake of questions");
    assert!(hour.likeness.0 < 0.2, "who was refused comes back together: {:?}", hour.likeness);
    let CrowdLog { asked, shed, answered_later, .. } = hour.log;
    assert!(
        shed > asked / 2 && answered_later > 0,
        "{shed} of {asked} shed, {answered_later} answered later"
    );
}

#[test]
fn a_gate_at_ten_times_its_capacity_serves_on_for_an_hour() {
    assert_served(&flood(1, 3_600), 55);
    // Other hours, and how many.
    for seed in 2..2 + crate::seeds::number("HYPERSCALE_FLOODS").unwrap_or(0) {
        eprintln!("flood {seed}");
        assert_served(&flood(seed, 3_600), 55);
    }
}
