//! Which jobs are there: those of this shard, and those that the other shards and gates tell when asked.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use hyperscale_codec::messages::{
    ArchivedJobListRequest, ArchivedJobListResponse, JobEntry, JobListRequest, JobListResponse,
};
use hyperscale_codec::{Head, JobId, NodeId, RawFrame, Role, to_owned};
use hyperscale_core::{Instant, LinkId};

use crate::core::{GateCore, GateEffects};
use crate::job::GateJob;

/// A gate that takes longer is left out, and named.
const PATIENCE: Duration = Duration::from_secs(1);
/// Rows of one page.
const ROWS_MAX: usize = 1_000;
/// Questions at once; one more is answered with the jobs of this shard alone.
const OPEN_MAX: usize = 16;
/// Questions to other gates carry numbers from here on, apart from those of requests that are passed on.
const FIRST: u32 = 3 << 30;

/// A question that waits for other shards.
#[derive(Debug)]
struct Open {
    link: LinkId,
    correlation: u32,
    limit: usize,
    rows: Vec<JobEntry>,
    /// There are more rows than were told, somewhere.
    more: bool,
    waiting: BTreeSet<LinkId>,
    /// Those that will not tell.
    silent: BTreeSet<LinkId>,
    due: Instant,
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct JobLists {
    open: BTreeMap<u32, Open>,
    last: u32,
}

impl JobLists {
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.open.values().map(|open| open.due).min()
    }
}

impl GateCore {
    /// A client is told of all shards' jobs, another shard of this one's.
    pub(crate) fn on_job_list(
        &mut self,
        link: LinkId,
        frame: &RawFrame<'_>,
        request: &ArchivedJobListRequest,
        effects: &mut GateEffects,
    ) {
        let limit = match usize::try_from(request.limit.to_native()).unwrap_or(ROWS_MAX) {
            0 => ROWS_MAX,
            limit => limit.min(ROWS_MAX),
        };
        let after = JobId::from_bytes(request.after);
        let known = self.jobs.values().filter(|job| job.id > after);
        let mut rows: Vec<JobEntry> = known.take(limit + 1).map(|job| self.job_entry(job)).collect();
        rows.extend(self.kept_entries(after, limit + 1));
        rows.sort_unstable_by_key(|row| row.job);
        let more = rows.len() > limit;
        rows.truncate(limit);
        let asks_all = self.links.get(&link).is_none_or(|peer| peer.role == Role::Client);
        let waiting = match asks_all && self.job_lists.open.len() < OPEN_MAX {
            true => self.other_shards(),
            false => BTreeSet::new(),
        };
        let (correlation, due) = (frame.header.correlation, self.now + PATIENCE);
        let open = Open { link, correlation, limit, rows, more, waiting, silent: BTreeSet::new(), due };
        if open.waiting.is_empty() {
            self.answer_job_list(open, effects);
            return;
        }
        let number = FIRST | self.job_lists.last;
        self.job_lists.last = (self.job_lists.last + 1) % (1 << 30);
        let question = JobListRequest { after: request.after, limit: request.limit.to_native() };
        for other in &open.waiting {
            effects.send(*other, Head::request(number), &question);
        }
        self.job_lists.open.insert(number, open);
    }

    /// Another shard's jobs.
    pub(crate) fn on_jobs_told(
        &mut self,
        link: LinkId,
        number: u32,
        answer: &ArchivedJobListResponse,
        effects: &mut GateEffects,
    ) {
        let Some(open) = self.job_lists.open.get_mut(&number) else { return };
        if !open.waiting.remove(&link) {
            return;
        }
        if let Ok(answer) = to_owned::<JobListResponse>(answer) {
            open.more |= answer.next != [0; 16];
            open.rows.extend(answer.jobs);
        }
        self.answer_complete_job_lists(effects);
    }

    /// A gate that does not know the question, or is too loaded for it, is named as missing.
    pub(crate) fn on_job_list_refused(&mut self, link: LinkId, number: u32, effects: &mut GateEffects) {
        if let Some(open) = self.job_lists.open.get_mut(&number)
            && open.waiting.remove(&link)
        {
            open.silent.insert(link);
        }
        self.answer_complete_job_lists(effects);
    }

    pub(crate) fn expire_job_lists(&mut self, effects: &mut GateEffects) {
        let now = self.now;
        let late = self.job_lists.open.extract_if(.., |_, open| open.due <= now);
        let late: Vec<Open> = late.map(|(_, open)| open).collect();
        late.into_iter().for_each(|open| self.answer_job_list(open, effects));
    }

    /// A link is gone: nobody waits on it, and nothing comes from it.
    pub(crate) fn forget_job_list_link(&mut self, link: LinkId, effects: &mut GateEffects) {
        self.job_lists.open.retain(|_, open| open.link != link);
        for open in self.job_lists.open.values_mut() {
            open.waiting.remove(&link);
        }
        self.answer_complete_job_lists(effects);
    }

    fn answer_complete_job_lists(&mut self, effects: &mut GateEffects) {
        let whole = self.job_lists.open.extract_if(.., |_, open| open.waiting.is_empty());
        let whole: Vec<Open> = whole.map(|(_, open)| open).collect();
        whole.into_iter().for_each(|open| self.answer_job_list(open, effects));
    }

    fn answer_job_list(&self, open: Open, effects: &mut GateEffects) {
        let Open { link, correlation, limit, mut rows, mut more, waiting, silent, .. } = open;
        rows.sort_by_key(|row| row.job);
        // The shard that ended a job and the one that tells of kept ones may be two.
        rows.dedup_by_key(|row| row.job);
        more |= rows.len() > limit;
        rows.truncate(limit);
        let next = rows.last().filter(|_| more).map_or([0; 16], |row| row.job);
        let silent = waiting.union(&silent).filter_map(|link| self.links.get(link));
        let missing: BTreeSet<String> = silent.map(|peer| self.gate_name(peer.node)).collect();
        let answer = JobListResponse { jobs: rows, next, missing: missing.into_iter().collect() };
        effects.send(link, Head::reply(correlation), &answer);
    }

    /// One link to each other shard of this gate and of the others.
    fn other_shards(&self) -> BTreeSet<LinkId> {
        let gates = self.links.iter().filter(|(_, peer)| peer.role == Role::Gate);
        let mut shards = BTreeMap::new();
        for (link, peer) in gates {
            let known = peer.node == self.config.identity.node || self.gates.contains_key(&peer.node);
            if known {
                shards.entry((peer.node, peer.shard)).or_insert(*link);
            }
        }
        shards.into_values().collect()
    }

    fn gate_name(&self, node: NodeId) -> String {
        let own = &self.config.identity;
        let known = self.gates.get(&node).map(|gate| gate.card.name.clone());
        known.unwrap_or_else(|| own.name.clone())
    }

    pub(crate) fn job_entry(&self, job: &GateJob) -> JobEntry {
        JobEntry {
            job: job.id.to_bytes(),
            name: job.plan.name.clone(),
            state: job.state().to_wire(),
            owner: self.config.identity.name.clone(),
            fence_token: job.token,
            accepted_unix_ms: self.config.wall.unix_ms(job.accepted_at),
            requests: job.running.requests,
            errors: job.running.errors,
        }
    }
}
