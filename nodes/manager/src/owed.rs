//! Last figures that a job's gate is owed, told at the pace at which its connection takes them.
//!
//! Workers end together, and what a large job's workers told last is more than a connection may have waiting: sent at once it
//! would cut the connection, and be sent again, and cut it again. So a manager passes last figures on while there is room, and
//! owes the rest: it keeps them in its totals anyway. A job's result follows its figures, never the other way round. Bounded
//! by the sources of the totals.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use hyperscale_codec::messages::{StatsColumns, StatsFinal, StatsSnapshot};
use hyperscale_codec::{Head, JobId};
use hyperscale_core::{Instant, LinkId};
use hyperscale_fleet::Asking;
use hyperscale_stats::{ColumnsBuilder, Held, Source};

use crate::core::{ManagerCore, ManagerEffects};
use crate::job::DcJob;
use crate::workflows::millis;

/// A connection that has so much waiting is told no more for now.
const ROOM: usize = 256 << 10;
/// What is told at once of all jobs of a connection.
const AT_ONCE: usize = 512 << 10;
/// Until there is another look at whether there is room.
const AGAIN: Duration = Duration::from_millis(20);

/// What one job's gate is owed.
#[derive(Debug, Default)]
pub(crate) struct Owed {
    /// Whose last figures.
    lasts: BTreeSet<Source>,
    /// Whose figures as they are, because the gate asked.
    newest: BTreeSet<Source>,
    /// The result, which waits for the figures.
    result: Option<(LinkId, Asking)>,
}

/// What all gates are owed.
#[derive(Debug, Default)]
pub(crate) struct Debts {
    of: BTreeMap<JobId, Owed>,
    again_at: Option<Instant>,
}

impl Debts {
    /// When there is another look at whether there is room.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.again_at
    }

    /// Whether this job's gate is owed figures.
    pub(crate) fn has(&self, id: JobId) -> bool {
        self.of.contains_key(&id)
    }

    /// The result waits for the figures; one that waited already is replaced.
    pub(crate) fn hold_result(&mut self, id: JobId, link: LinkId, asking: Asking) {
        self.of.entry(id).or_default().result = Some((link, asking));
    }
}

/// Whether a gate's connection has room for more.
pub(crate) fn has_room(job: &DcJob, effects: &ManagerEffects) -> bool {
    effects.unsent(job.gate_link) < ROOM
}

impl ManagerCore {
    /// Owes a job's gate the figures of these sources.
    pub(crate) fn owe(&mut self, id: JobId, wanted: impl FnOnce(&DcJob) -> Vec<Source>) {
        if let Some(job) = self.jobs.get(&id) {
            let sources = wanted(job);
            if !sources.is_empty() {
                self.debts.of.entry(id).or_default().lasts.extend(sources);
            }
        }
    }

    /// Gates that asked for it are told the figures of these jobs as they are.
    pub(crate) fn owe_newest(&mut self, asked: &[JobId], effects: &mut ManagerEffects) {
        for id in asked {
            let Some(job) = self.jobs.get(id) else { continue };
            let running = job.totals.rows().filter(|held| !held.is_final).map(|held| held.source);
            self.debts.of.entry(*id).or_default().newest.extend(running);
        }
        if !asked.is_empty() {
            self.pay(effects);
        }
    }

    /// Tells as much as there is room for, in the order of the jobs; not before it is time to look again.
    pub(crate) fn pay(&mut self, effects: &mut ManagerEffects) {
        if self.debts.again_at.is_some_and(|at| at > self.now) {
            return;
        }
        let mut rooms: BTreeMap<LinkId, usize> = BTreeMap::new();
        for (id, mut owed) in std::mem::take(&mut self.debts.of) {
            // One that comes back is told all that it may have missed.
            let Some(job) = self.jobs.get(&id).filter(|job| job.orphaned_since.is_none()) else { continue };
            let fresh = if has_room(job, effects) { AT_ONCE } else { 0 };
            let room = rooms.entry(job.gate_link).or_insert(fresh);
            // What a worker's last message has is told when all of it has come; of a job that has ended, what there is.
            let is_last =
                |held: Option<Held<'_>>| job.outcome.is_some() || held.is_some_and(|held| held.is_final);
            for columns in columns_of(job, &mut owed.lasts, room, is_last) {
                effects.send(job.gate_link, Head::default().job(id), &StatsFinal(columns));
            }
            for columns in columns_of(job, &mut owed.newest, room, |_| true) {
                effects.send(job.gate_link, Head::default().job(id), &StatsSnapshot(columns));
            }
            if !owed.lasts.is_empty() || !owed.newest.is_empty() {
                self.debts.of.insert(id, owed);
            } else if let Some((link, asking)) = owed.result {
                self.say_result(id, link, &asking, effects);
            }
        }
        self.debts.again_at = (!self.debts.of.is_empty()).then(|| self.now + AGAIN);
    }
}

/// Takes those of the sources that are ready, until `room` is used up.
fn columns_of(
    job: &DcJob,
    sources: &mut BTreeSet<Source>,
    room: &mut usize,
    is_ready: impl Fn(Option<Held<'_>>) -> bool,
) -> Vec<StatsColumns> {
    if sources.is_empty() || *room == 0 {
        return Vec::new();
    }
    let window_ms = u32::try_from(millis(job.plan.window)).unwrap_or(1000);
    let through = job.totals.rows().map(|held| held.through).max().unwrap_or_default();
    let mut builder = ColumnsBuilder::new(job.id, job.fence_token, through, through, window_ms);
    sources.retain(|source| {
        let held = job.totals.held(*source);
        let goes = builder.bytes() < *room && is_ready(held);
        if let Some(held) = held.filter(|_| goes) {
            builder.push_sparse(held.source, held.sequence, held.workflow, held.cells);
        }
        !goes
    });
    *room = room.saturating_sub(builder.bytes());
    builder.build()
}
