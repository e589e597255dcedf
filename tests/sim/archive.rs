//! Jobs that ended before their gate died: it keeps them, and tells of them when it is back.

use hyperscale_client::{Local as Wanted, Notice, Question, Windows};
use hyperscale_codec::messages::{JobEntry, JobState};

use crate::fleet::{Fleet, Shape, job_id};
use crate::{DIAMOND, ONE_STEP};

fn listed(fleet: &mut Fleet, client: &str) -> Vec<JobEntry> {
    fleet.want(client, Wanted::Ask(Question::Jobs { so_far: Vec::new(), missing: Vec::new() }));
    fleet.run_for_ms(2_000);
    match fleet.told_to(client).last() {
        Some(Notice::Jobs { jobs, missing }) if missing.is_empty() => jobs.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn gates_that_start_again_tell_of_all_jobs_that_ended_whoever_is_asked() {
    let datacenters = vec![("eu-west", 1, 2)];
    let shape =
        Shape { gates: 2, gate_shards: 2, datacenters, clients: 8, archive: true, ..Shape::default() };
    let mut fleet = Fleet::start(shape);
    let jobs: Vec<_> = (0..6_u128).map(job_id).collect();
    for (n, job) in (0..).zip(&jobs) {
        let plan = if n % 2 == 0 { ONE_STEP } else { DIAMOND };
        fleet.submit_by(&format!("client-{n}"), *job, plan);
    }
    fleet.run_for_ms(40_000);
    let told: Vec<_> = (0..6).map(|n| fleet.summary_for(&format!("client-{n}"))).collect();
    assert!(told.iter().all(|summary| summary.status == "completed"));
    let live: Vec<_> = jobs.iter().map(|job| fleet.status("client-6", *job).unwrap()).collect();
    for gate in ["gate-0", "gate-1"] {
        fleet.crash(gate);
    }
    fleet.run_for_ms(3_000);
    for gate in ["gate-0", "gate-1"] {
        fleet.restart(gate);
    }
    fleet.run_for_ms(10_000);
    for client in ["client-6", "client-7"] {
        let rows = listed(&mut fleet, client);
        assert_eq!(
            rows.iter().map(|row| row.job).collect::<Vec<_>>(),
            jobs.clone().iter().map(|job| job.to_bytes()).collect::<Vec<_>>()
        );
        for ((job, summary), before) in jobs.iter().zip(&told).zip(&live) {
            let status = fleet.status(client, *job).unwrap();
            assert_eq!(status.state, JobState::Completed.to_wire());
            assert_eq!((&status.owner_name, status.requests), (&before.owner_name, summary.totals.requests));
            let windows = Windows {
                job: *job,
                tier: 0,
                from: 0,
                to: u32::MAX,
                by_workflow: true,
                so_far: Vec::new(),
                next: 0,
                again: 0,
            };
            fleet.want(client, Wanted::Ask(Question::Stats(Box::new(windows))));
            fleet.run_for_ms(1_000);
            let Some(Notice::Stats(told)) = fleet.told_to(client).last() else {
                panic!("{:?}", fleet.told_to(client).last());
            };
            assert_eq!(told.entries.iter().map(|row| row.requests).sum::<u64>(), summary.totals.requests);
        }
    }
    // Who follows one is told its end once more.
    fleet.want("client-7", Wanted::Watch { job: jobs[1], histograms: false });
    fleet.run_for_ms(2_000);
    let Some(Notice::Finished(result)) = fleet.told_to("client-7").last() else {
        panic!("{:?}", fleet.told_to("client-7").last());
    };
    assert_eq!((result.job, result.summary.contains("diamond")), (jobs[1].to_bytes(), true));
    // A key that was used has its answer.
    fleet.submit_by("client-6", jobs[0], ONE_STEP);
    fleet.run_for_ms(2_000);
    assert_eq!(listed(&mut fleet, "client-7").len(), 6);
}
