//! What a gate remembers of jobs that ended: the newest, in bounds, and not what they were made from.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall fail where it stands")]

mod driven;

use std::time::Duration;

use hyperscale_codec::JobId;
use hyperscale_codec::messages::{JobCancelRequest, JobSubmit};
use hyperscale_plan::PlanText;

use driven::{CLIENT, Driven};

const REMEMBERED: u128 = 10_000;

#[test]
fn of_jobs_that_ended_the_newest_ten_thousand_are_remembered() {
    let mut gate = Driven::with(&[]);
    let text = "[workflows.w]\nvus = 1\nduration = \"1s\"\nsteps = [{ get = \"http://h/\" }]\n";
    let PlanText { text: plan, sha256: plan_sha256, .. } = PlanText::new(text.to_owned());
    for id in 1..=REMEMBERED + 10 {
        gate.now = gate.now + Duration::from_micros(1);
        let job = JobId(id).to_bytes();
        let plan = plan.clone();
        let submit = JobSubmit { plan, plan_sha256, idempotency: job, follow: false, histograms: false };
        gate.tell(CLIENT, &submit);
        gate.tell(CLIENT, &JobCancelRequest { job_id: job, ..JobCancelRequest::default() });
    }
    assert_eq!(gate.core.live_jobs(), 0);
    gate.wait(Duration::from_secs(1));
    let mut known: Vec<u128> = gate.core.jobs().map(|job| job.0).collect();
    known.sort_unstable();
    assert_eq!((known.len(), known.first(), known.last()), (10_000, Some(&11), Some(&(REMEMBERED + 10))));
    gate.wait(Duration::from_secs(600));
    assert_eq!(gate.core.jobs().count(), 0);
}
