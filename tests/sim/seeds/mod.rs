//! Fleets, what they are asked and what goes wrong drawn from seeds; a seed that fails prints how to run it again.

mod faults;
mod run;
mod scenario;

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::marks::Marks;
use run::{Outcome, run};
use scenario::Scenario;

/// Seeds of the normal test run.
const SEEDS: u64 = 40;
/// Of which one in so many is run twice, and must do the same.
const TWICE: u64 = 20;

/// Seeds beyond those that have found something: figures that were kept or lost for good, a manager that was lost sight of.
const FOUND: [u64; 4] = [285, 353, 465, 526];

/// What the default seeds must have reached, or they test less than they seem to.
const MUST_REACH: &[&str] = &[
    "a worker's share moved",
    "client followed on after it reconnected",
    "client reconnecting",
    "clock leapt",
    "cut one way",
    "dial timed out",
    "drained",
    "drained to the end",
    "event: load missing",
    "event: over scheduled",
    "event: share moved",
    "event: worker lost",
    "half-open link reset",
    "held frames arrive late",
    "host lost its power",
    "job accepted",
    "job cancelled",
    "job completed although somebody died",
    "job completed under faults",
    "job completed without a fault",
    "job failed",
    "job lost with its gate",
    "killed",
    "link of an earlier start replaced",
    "link reset",
    "loaded",
    "asked for less",
    "partial result",
    "partitioned",
    "member seen dead",
    "member seen left",
    "member seen suspect",
    "member that refuted seen alive",
    "paused",
    "probe job completed",
    "quiet run",
    "rate limited and retried",
    "shed answered and retried",
    "shed high",
    "shed normal",
    "silent link ended",
    "slow one way",
    "started with memory",
    "started without memory",
    "starved",
    "state fell back",
    "state rose by latency",
    "stream stalled",
    "weak",
    "whole result checked to the last request",
];

#[expect(clippy::disallowed_methods, reason = "how many, and which, is asked on the command line")]
pub(crate) fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

fn run_seed(seed: u64, verbose: bool) -> Outcome {
    let scenario = Scenario::draw(seed);
    match catch_unwind(AssertUnwindSafe(|| run(&scenario, verbose))) {
        Ok(outcome) => outcome,
        Err(why) => {
            eprintln!("\n{scenario}\nto run it again:\n");
            eprintln!(
                "    HYPERSCALE_SEED={seed} cargo test -p hyperscale-tests --test sim seeds -- --nocapture\n"
            );
            std::panic::resume_unwind(why);
        }
    }
}

#[test]
fn seeds_that_found_something_hold() {
    FOUND.into_iter().for_each(|seed| drop(run_seed(seed, false)));
}

#[test]
fn seeds_hold_whatever_goes_wrong() {
    if let Some(seed) = number("HYPERSCALE_SEED") {
        eprintln!("{}", Scenario::draw(seed));
        let outcome = run_seed(seed, number("HYPERSCALE_TRACE").is_some());
        eprintln!("{}hash {:016x}", outcome.marks.table(&outcome.marks.once()), outcome.hash);
        return;
    }
    let (from, seeds) = (number("HYPERSCALE_SEEDS_FROM").unwrap_or(0), number("HYPERSCALE_SEEDS"));
    let (mut marks, mut runs) = (Marks::default(), Marks::default());
    let (mut events, mut virtual_s, mut wishes_most) = (0, 0.0, 0);
    let end = from + seeds.unwrap_or(SEEDS);
    let mut failed = Vec::new();
    for seed in from..end {
        // A long run tells all that fail; the normal one ends with the first.
        let outcome = match seeds {
            None => run_seed(seed, false),
            Some(_) => match catch_unwind(|| run_seed(seed, false)) {
                Ok(outcome) => outcome,
                Err(_) => {
                    failed.push(seed);
                    continue;
                }
            },
        };
        if seed % TWICE == 0 {
            let again = run_seed(seed, false);
            assert_eq!(outcome.hash, again.hash, "I24: seed {seed} runs another way the second time");
        }
        events += outcome.events;
        virtual_s += outcome.virtual_s;
        wishes_most = wishes_most.max(outcome.wishes_most);
        marks.add(&outcome.marks);
        runs.add(&outcome.marks.once());
    }
    eprintln!("{}", marks.table(&runs));
    eprintln!(
        "seeds {from}..{end}: {events} frames, {virtual_s:.0} s of virtual time, {wishes_most} effects of one event at most"
    );
    assert!(failed.is_empty(), "{} of {} seeds fail: {failed:?}", failed.len(), end - from);
    let missed: Vec<_> = MUST_REACH.iter().filter(|name| marks.hits(name) == 0).collect();
    assert!(end - from < SEEDS || missed.is_empty(), "no seed reached {missed:?}");
}
