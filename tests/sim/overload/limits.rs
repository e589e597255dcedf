//! Who asks too often is refused exactly as its bucket says; others do not notice; who is refused waits as long as it was
//! told.

use std::time::Duration;

use hyperscale_client::{Local as Wanted, Notice, Question};
use hyperscale_codec::{Kind, Role};
use hyperscale_core::Instant;
use hyperscale_reliability::{Operation, RateLimit, RateLimitConfig};

use crate::fleet::crowd::{Ask, CrowdLog, CrowdShape};
use crate::fleet::{Costs, Fleet, Shape, job_id};

/// A crowd of this kind asks for so long; what came of it.
fn ask(fleet: &mut Fleet, shape: CrowdShape, seconds: u64) -> CrowdLog {
    let crowd = fleet.add_crowd("gate-0", shape);
    fleet.run_for_ms(1_000 * seconds);
    fleet.hush(crowd, true);
    fleet.run_for_ms(1_000);
    fleet.crowd_log(crowd)
}

fn greedy(ask: Ask, per_second: f64) -> CrowdShape {
    CrowdShape { ask, obedient: 0, hostile: 1, per_second, seed: 7 }
}

/// What a bucket gives who always wants more, in this time.
fn granted(limit: RateLimit, log: &CrowdLog) -> f64 {
    let (first, last) = log.span;
    f64::from(limit.size) + limit.per_second * last.since(first).as_secs_f64()
}

#[test]
fn who_asks_at_ten_times_its_rate_gets_what_its_bucket_holds_to_the_last_question() {
    for (what, operation) in
        [(Ask::Status(job_id(5)), Operation::JobStatus), (Ask::Submit, Operation::JobSubmit)]
    {
        let limit = RateLimitConfig::default().limit(operation).unwrap();
        let mut fleet = Fleet::start(Shape::default());
        let log = ask(&mut fleet, greedy(what, 10.0 * limit.per_second), 60);
        assert_eq!(log.answered + log.limited, log.asked, "{log:?}");
        let granted = granted(limit, &log);
        // Whether the last token was there in time is a matter of the network's delay.
        assert!((log.answered as f64 - granted).abs() <= 1.0, "{} of {granted}: {log:?}", log.answered);
    }
}

#[test]
fn a_greedy_client_is_no_news_to_others() {
    let others =
        CrowdShape { ask: Ask::Status(job_id(5)), obedient: 5, hostile: 0, per_second: 1.0, seed: 8 };
    let slowest = |is_there: bool| {
        let mut fleet = Fleet::start(Shape::default());
        // It could not answer all that the greedy one asks.
        fleet.cost("gate-0", &Costs::of(Kind::JobStatusRequest, 200));
        if is_there {
            fleet.add_crowd("gate-0", greedy(Ask::Status(job_id(5)), 1_000.0));
            // Its bucket is empty from then on.
            fleet.run_for_ms(2_000);
        }
        let log = ask(&mut fleet, others.clone(), 30);
        assert!((100..200).contains(&log.asked), "{log:?}");
        assert_eq!((log.answered, log.limited, log.shed), (log.asked, 0, 0), "{log:?}");
        log.slowest
    };
    let (alone, beside) = (slowest(false), slowest(true));
    assert!(beside <= alone + Duration::from_millis(8), "{beside:?} with the greedy one, {alone:?} without");
}

fn answered_at(fleet: &mut Fleet, client: &str) -> Instant {
    while !matches!(fleet.told_to(client).last(), Some(Notice::Status(_))) {
        assert!(
            !matches!(fleet.told_to(client).last(), Some(Notice::Failed { .. })),
            "{:?}",
            fleet.told_to(client)
        );
        fleet.run_for_ms(1);
    }
    fleet.network.now
}

#[test]
fn a_client_that_is_refused_asks_again_when_it_was_told_to() {
    let mut limits = RateLimitConfig::default();
    limits.set(Operation::JobStatus, Some(RateLimit { size: 1, per_second: 0.4 }));
    let mut fleet = Fleet::start(Shape { limits, clients: 2, ..Shape::default() });
    fleet.submit(crate::ONE_STEP);
    fleet.run_for_ms(500);
    let mut waits = Vec::new();
    for turn in 0..4 {
        let asked = fleet.network.now;
        fleet.want("client-1", Wanted::Ask(Question::Status { job: job_id(9) }));
        let seen = fleet.told_to("client-1").len();
        fleet.run_until("an answer", |fleet| fleet.told_to("client-1").len() > seen);
        let wait = answered_at(&mut fleet, "client-1").since(asked);
        match turn {
            0 => assert!(wait < Duration::from_millis(5), "{wait:?}"),
            // A token in 2.5 s, and up to a tenth more.
            _ => assert!((2_390..=2_760).contains(&wait.as_millis()), "{wait:?}"),
        }
        waits.push(wait);
    }
    let asked = fleet.sent_by("client-1").filter(|kind| *kind == Kind::JobStatusRequest).count();
    assert_eq!(asked, 7, "once, and three times twice");
    let limited: u64 = fleet
        .intake_counts(Role::Gate)
        .flat_map(|counts| counts.limited().filter(|(name, _)| *name == "job_status"))
        .map(|(_, count)| count)
        .sum();
    assert_eq!(limited, 3, "{waits:?}");
}
