//! Shares given to workers: the first ones of a workflow, and those that join it with load of others.

use hyperscale_codec::messages::{Share, WorkerState, WorkflowDispatch, WorkflowState};
use hyperscale_codec::{JobId, NodeId, WorkflowId};
use hyperscale_core::LinkId;
use hyperscale_health::RoutingDecision;
use hyperscale_jobs::{Units, iterations_of, split};
use hyperscale_plan::{Iterations, Load, Workflow};

use crate::calls::Call;
use crate::core::{ManagerCore, ManagerEffects, Worker};
use crate::job::{DcJob, ShareId, WorkerRecord, WorkerShare};
use crate::workflows::{index, wire};

/// A share as it is given to one worker.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Part {
    pub(crate) revision: u32,
    pub(crate) units: Units,
    pub(crate) iterations: u64,
    pub(crate) from_us: u64,
}

impl ManagerCore {
    /// Workers that take shares, in their order; `except` one: those that are well, else those that are under
    /// investigation. Where there are none of these either, those that take no more do: load on a worker that would
    /// rather stop is better than none. Who is to be evicted gets nothing.
    pub(crate) fn takers(&self, except: Option<NodeId>) -> Vec<(LinkId, Worker)> {
        let all: Vec<(LinkId, &Worker, RoutingDecision)> = self
            .workers
            .iter()
            .filter(|(_, worker)| Some(worker.node) != except)
            .map(|(link, worker)| (*link, worker, self.fitness(worker)))
            .collect();
        let worst = if except.is_none() { RoutingDecision::Drain } else { RoutingDecision::Investigate };
        let best = all.iter().map(|(_, _, fitness)| *fitness).min().filter(|best| *best <= worst);
        let taken = all.iter().filter(|(_, _, fitness)| Some(*fitness) == best);
        taken.map(|(link, worker, _)| (*link, (*worker).clone())).collect()
    }

    /// Gives load to the workers that take shares, `except` one. The names of those that get a part.
    pub(crate) fn give(
        &mut self,
        id: JobId,
        workflow: WorkflowId,
        except: Option<NodeId>,
        part: Part,
        effects: &mut ManagerEffects,
    ) -> Vec<String> {
        let takers = self.takers(except);
        let weights: Vec<u32> = takers.iter().map(|(_, worker)| worker.shards).collect();
        let now = self.now;
        let Some(job) = self.jobs.get_mut(&id) else { return Vec::new() };
        let Ok(parts) = split(part.units, &weights) else { return Vec::new() };
        let Some(plan) = job.plan.workflows.get(index(workflow)) else { return Vec::new() };
        let vus: Vec<u64> = parts.iter().map(|units| iterations_of(*units, vus_of(plan))).collect();
        let budgets = spread(part.iterations, &vus);
        if let Some(entry) = job.workflows.get_mut(index(workflow)).filter(|entry| entry.started_at.is_none())
        {
            // Those that take it get the time that the others had.
            entry.assigned_at = Some(now);
        }
        let (mut names, mut shares) = (Vec::new(), Vec::new());
        for (((link, worker), units), iterations) in takers.into_iter().zip(parts).zip(budgets) {
            if units.count > 0 {
                keep(job, workflow, link, &worker, Part { units, iterations, ..part });
                shares.push((id, index(workflow), (worker.node, part.revision)));
                names.push(worker.name);
            }
        }
        shares.into_iter().for_each(|of| self.order(Call::Give(of), effects));
        names
    }

    /// A share of a running workflow is ready: it starts at once. A refused one leaves its load undone.
    pub(crate) fn join(
        &mut self,
        id: JobId,
        workflow: WorkflowId,
        share_id: ShareId,
        refused: Option<String>,
        effects: &mut ManagerEffects,
    ) {
        let now = self.now;
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let Some(entry) = job.workflows.get_mut(index(workflow)) else { return };
        let Some(share) = entry.shares.get_mut(&share_id) else { return };
        if let Some(error) = refused {
            share.ended = Some(WorkflowState::Completed);
            if let Some(record) = job.workers.get_mut(&share_id.0) {
                record.state = WorkerState::Partial;
            }
            job.event(
                now,
                "share_missing",
                format!("a share that should move could not be prepared: {error}"),
            );
            self.end_if_done(id, workflow, effects);
            return;
        }
        if share.started {
            return;
        }
        share.started = true;
        job.view.expect((share_id.0, workflow));
        self.order(Call::Start((id, index(workflow), share_id)), effects);
    }
}

/// Remembers one worker's share of a workflow.
fn keep(job: &mut DcJob, workflow: WorkflowId, link: LinkId, worker: &Worker, part: Part) {
    let Part { revision, units, iterations, from_us } = part;
    let Some(entry) = job.workflows.get_mut(index(workflow)) else { return };
    let share = WorkerShare {
        link,
        units,
        iterations,
        from_us,
        ready: false,
        started: false,
        moving: None,
        stays: false,
        ended: None,
        lost: false,
        error: String::new(),
    };
    entry.shares.insert((worker.node, revision), share);
    job.workers.entry(worker.node).or_insert_with(|| WorkerRecord {
        name: worker.name.clone(),
        shards: worker.shards,
        state: WorkerState::Ok,
        gap_ms: 0,
        generator_ok: true,
        clock: None,
        epochs: 0,
    });
}

/// The order to prepare a share, the same each time.
pub(crate) fn order_of(
    job: &DcJob,
    at: usize,
    (_, revision): ShareId,
    share: &WorkerShare,
    seed: u64,
) -> WorkflowDispatch {
    let WorkerShare { units, iterations, from_us, .. } = *share;
    let workflow = wire(at).0;
    let of_revision = u64::from(revision.saturating_sub(1)) << 40;
    WorkflowDispatch {
        job: job.id.to_bytes(),
        workflow,
        attempt: job.attempt.0,
        revision,
        fence_token: job.fence_token,
        dc_token: job.dc_token,
        plan: job.text.clone(),
        plan_sha256: job.sha256,
        share: Share { iterations, ..units.share(0) },
        from_us,
        seed: seed ^ (u64::from(workflow) << 32) ^ u64::from(units.from) ^ of_revision,
    }
}

/// Iterations that a range of units has of a count, else 0. A total is divided by users: units without one do nothing.
pub(crate) fn count_of(workflow: &Workflow, units: Units) -> u64 {
    match &workflow.load {
        Load::Closed(closed) => match closed.iterations {
            Iterations::Total(total) => {
                let users = vus_of(workflow);
                let before = iterations_of(Units { from: 0, count: units.from, ..units }, users);
                let own = iterations_of(units, users);
                let rest = users.saturating_sub(before).saturating_sub(own);
                spread(total, &[before, own, rest]).get(1).copied().unwrap_or_default()
            }
            Iterations::PerVu(each) => iterations_of(units, vus_of(workflow)).saturating_mul(each),
            Iterations::Unlimited => 0,
        },
        Load::Open(open) => open.total.map_or(0, |total| iterations_of(units, total)),
    }
}

/// VUs of a workflow at most, over the fleet.
fn vus_of(workflow: &Workflow) -> u64 {
    match &workflow.load {
        Load::Closed(closed) => {
            let most = closed.stages.iter().map(|stage| stage.vus).fold(closed.start_vus, u32::max);
            u64::from(most)
        }
        Load::Open(open) => u64::from(open.max_vus),
    }
}

/// Spreads a number by weights, to the last one; all to the first where none weighs anything.
pub(crate) fn spread(total: u64, weights: &[u64]) -> Vec<u64> {
    let sum: u128 = weights.iter().map(|&weight| u128::from(weight)).sum();
    let (mut seen, mut given) = (0_u128, 0_u64);
    weights
        .iter()
        .map(|&weight| {
            seen = seen.saturating_add(u128::from(weight));
            let up_to = u128::from(total).saturating_mul(seen).checked_div(sum);
            let part =
                up_to.map_or(total, |up_to| u64::try_from(up_to).unwrap_or(total)).saturating_sub(given);
            given = given.saturating_add(part);
            part
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn who_has_no_users_gets_no_iterations() {
        assert_eq!(spread(10, &[2, 0, 3]), [4, 0, 6]);
        assert_eq!(spread(10, &[0, 0]), [10, 0]);
    }

    proptest! {
        #[test]
        fn a_total_is_divided_to_the_last_and_units_without_users_get_none(
            (vus, total) in (1..40_u32, 0..10_000_u64),
            (one, other, third) in (1..20_u32, 0..20_u32, 1..20_u32),
        ) {
            let text = format!(
                "target = \"http://127.0.0.1:1\"\n[workflows.home]\nvus = {vus}\n\
                 total_iterations = {}\nsteps = [{{ get = \"/\" }}]\n",
                total.max(1)
            );
            let plan = hyperscale_plan::parse("plan", &text).unwrap();
            let of = one + other + third;
            let parts = [(0, one), (one, other), (one + other, third)];
            let mut sum = 0;
            for (from, count) in parts {
                let units = Units { from, count, of };
                let iterations = count_of(&plan.workflows[0], units);
                prop_assert!(iterations == 0 || iterations_of(units, u64::from(vus)) > 0);
                sum += iterations;
            }
            prop_assert_eq!(sum, total.max(1));
        }

        #[test]
        fn a_number_is_spread_to_the_last(total in any::<u64>(), weights in prop::collection::vec(0..9_u64, 1..6)) {
            let sum: u128 = spread(total, &weights).into_iter().map(u128::from).sum();
            prop_assert_eq!(sum, u128::from(total));
        }
    }
}
