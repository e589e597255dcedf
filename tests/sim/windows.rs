//! A job's windows as a client asks for them: at any gate, while the job runs and after its end.

use hyperscale_client::{Local as Wanted, Notice, Question, Windows};
use hyperscale_codec::JobId;
use hyperscale_codec::messages::{JobState, StatsResponse};

use crate::DIAMOND;
use crate::fleet::{Fleet, Shape};

const JOB: JobId = JobId(0x5157_0000_0000_0000_0000_0000_0000_0007);

fn ask(fleet: &mut Fleet, client: &str, by_workflow: bool) -> StatsResponse {
    let windows = Windows {
        job: JOB,
        tier: 0,
        from: 0,
        to: u32::MAX,
        by_workflow,
        so_far: Vec::new(),
        next: 0,
        again: 0,
    };
    fleet.want(client, Wanted::Ask(Question::Stats(Box::new(windows))));
    fleet.run_for_ms(1_000);
    match fleet.told_to(client).last() {
        Some(Notice::Stats(told)) => (**told).clone(),
        other => panic!("{other:?}"),
    }
}

fn requests(told: &StatsResponse) -> u64 {
    told.entries.iter().map(|entry| entry.requests).sum()
}

#[test]
fn any_gate_tells_a_job_s_windows_and_after_its_end_they_are_all_that_was_recorded() {
    let datacenters = vec![("eu-west", 2, 1), ("us-east", 1, 1)];
    let mut fleet = Fleet::start(Shape { gates: 2, datacenters, clients: 3, shards: 2, ..Shape::default() });
    fleet.submit_by("client-0", JOB, DIAMOND);
    fleet.run_for_ms(4_000);
    let owner = fleet.owner(JOB).unwrap();
    let running = ask(&mut fleet, "client-1", false);
    assert!(!JobState::from_wire(running.state).is_final());
    assert!((1..=fleet.recorded()).contains(&requests(&running)), "{running:?}");
    // The client of the other gate had it passed on.
    let asked = |fleet: &Fleet, gate: &str| {
        fleet.sent_by(gate).filter(|kind| *kind == hyperscale_codec::Kind::StatsResponse).count()
    };
    assert!(asked(&fleet, &owner) > 0);
    fleet.run_for_ms(20_000);
    let summary = fleet.summary_for("client-0");
    assert_eq!((summary.status.as_str(), summary.totals.requests), ("completed", fleet.recorded()));
    for client in ["client-1", "client-2"] {
        let ended = ask(&mut fleet, client, false);
        assert_eq!(ended.state, JobState::Completed.to_wire());
        assert_eq!(requests(&ended), summary.totals.requests, "{client}");
        let split = ask(&mut fleet, client, true);
        assert_eq!(split.workflows, ["first", "left", "right", "last"]);
        for (index, workflow) in (0..).zip(&summary.workflows) {
            let rows = split.entries.iter().filter(|entry| entry.workflow == index);
            assert_eq!(rows.map(|entry| entry.requests).sum::<u64>(), workflow.totals.requests);
        }
    }
    let both = ["gate-0", "gate-1"].map(|gate| asked(&fleet, gate));
    assert!(both.iter().all(|answers| *answers > 0), "one client asks each gate: {both:?}");
}
