//! What clients are answered about jobs that are kept: some at once, the rest when the disk has read.

use std::time::Duration;

use hyperscale_codec::messages::{
    ArchivedJobSubmit, JobAck, JobCancelResponse, JobEntry, JobStatusResponse, RegisterCallbackResponse,
    StatsEntry, StatsResponse,
};
use hyperscale_codec::{ErrorCode, Head, JobId, RawFrame};
use hyperscale_core::{Instant, LinkId};
use hyperscale_stats::{PageOf, Span, StatsTier};

use super::{ArchiveEntry, ArchiveOrder, ArchiveRecord};
use crate::core::{Command, GateCore, GateEffects, REMEMBER, refuse, refuse_late};

/// An answer that needs the disk comes within so long, or a refusal does.
const READ_PATIENCE: Duration = Duration::from_secs(5);
/// Answers that wait for the disk at once.
const READERS_MAX: usize = 256;

/// What is answered when the disk has read.
#[derive(Debug, Clone, Copy)]
enum Wanted {
    Result,
    Windows(PageOf),
}

/// Who waits for that.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader {
    pub(super) link: LinkId,
    correlation: u32,
    wanted: Wanted,
    pub(super) due: Instant,
}

impl GateCore {
    /// How a kept job stands. Who keeps it answers for it.
    pub(crate) fn kept_status(&self, job: JobId) -> Option<JobStatusResponse> {
        let entry = self.archive.get(job)?;
        Some(JobStatusResponse {
            owner: self.config.identity.node.to_bytes(),
            owner_name: self.config.identity.name.clone(),
            owner_addr: self.config.addr.clone(),
            ..entry.status.clone()
        })
    }

    /// Whether another shard of this node, which ended the job a short while ago, knows more of it than is kept.
    pub(crate) fn is_fresher_beside(&self, job: JobId) -> bool {
        let me = self.me();
        let owner = self.ring.owner(job).filter(|owner| owner.node == me.node && *owner != me);
        let remembered_ms = u64::try_from(REMEMBER.as_millis()).unwrap_or(u64::MAX);
        let now_unix_ms = self.config.wall.unix_ms(self.now);
        let is_fresh = |entry: &ArchiveEntry| entry.ended_unix_ms.saturating_add(remembered_ms) > now_unix_ms;
        owner.is_some() && self.archive.get(job).is_some_and(is_fresh)
    }

    /// Rows of kept jobs after this one, of which no shard but this one tells.
    pub(crate) fn kept_entries(&self, after: JobId, limit: usize) -> Vec<JobEntry> {
        let own = &self.config.identity;
        let teller = |job: JobId| self.archive.tellers.owner(job).map(|member| member.shard);
        let is_told_here = |job: &JobId| teller(*job) == Some(self.config.shard);
        let after = self.archive.jobs.range(after..).filter(|(job, _)| **job > after && is_told_here(job));
        let rows = after.filter(|(job, _)| !self.jobs.contains_key(job)).take(limit);
        let row = |entry: &ArchiveEntry| JobEntry {
            job: entry.status.job,
            name: entry.status.name.clone(),
            state: entry.status.state,
            owner: own.name.clone(),
            fence_token: entry.status.fence_token,
            accepted_unix_ms: entry.status.accepted_unix_ms,
            requests: entry.status.requests,
            errors: entry.status.errors,
        };
        rows.map(|(_, entry)| row(entry)).collect()
    }

    /// A job that was kept is not run again: its key has its answer.
    pub(crate) fn resubmitted(
        &self,
        job: JobId,
        submit: &ArchivedJobSubmit,
        (link, frame): (LinkId, &RawFrame<'_>),
        effects: &mut GateEffects,
    ) -> bool {
        let Some(entry) = self.archive.get(job) else { return false };
        if entry.plan_sha256 != submit.plan_sha256 {
            let text = format!("this idempotency key belongs to job {job} with another plan");
            refuse(effects, link, frame, ErrorCode::Conflict, text);
            return true;
        }
        let ack = JobAck {
            job: job.to_bytes(),
            fence_token: entry.status.fence_token,
            owner: self.config.identity.node.to_bytes(),
            owner_addr: self.config.addr.clone(),
            state: entry.status.state,
            following: false,
        };
        effects.send(link, Head::reply(frame.header.correlation).job(job), &ack);
        true
    }

    /// What has ended needs no cancel.
    pub(crate) fn cancelled_before(
        &self,
        job: JobId,
        (link, frame): (LinkId, &RawFrame<'_>),
        effects: &mut GateEffects,
    ) -> bool {
        let Some(entry) = self.archive.get(job) else { return false };
        let answer = JobCancelResponse {
            job_id: job.to_bytes(),
            success: true,
            cancelled_workflow_count: 0,
            error: String::new(),
            state: entry.status.state,
            per_dc: Vec::new(),
        };
        effects.send(link, Head::reply(frame.header.correlation).job(job), &answer);
        true
    }

    /// Who asks to follow a kept job is told its result.
    pub(crate) fn called_back(
        &mut self,
        job: JobId,
        (link, frame): (LinkId, &RawFrame<'_>),
        why_not: &str,
        effects: &mut GateEffects,
    ) -> bool {
        let Some(entry) = self.archive.get(job) else { return false };
        if why_not.is_empty() {
            self.read(job, (link, frame), Wanted::Result, effects);
        } else {
            let answer = self.callback_answer(entry, why_not);
            effects.send(link, Head::reply(frame.header.correlation).job(job), &answer);
        }
        true
    }

    fn callback_answer(&self, entry: &ArchiveEntry, why_not: &str) -> RegisterCallbackResponse {
        RegisterCallbackResponse {
            job: entry.status.job,
            success: why_not.is_empty(),
            owner_addr: self.config.addr.clone(),
            state: entry.status.state,
            requests: entry.status.requests,
            errors: entry.status.errors,
            elapsed_ms: entry.status.elapsed_ms,
            seq: entry.seq,
            error: why_not.to_owned(),
        }
    }

    /// Windows of a kept job.
    pub(crate) fn read_windows(
        &mut self,
        job: JobId,
        asked: (LinkId, &RawFrame<'_>),
        page: PageOf,
        effects: &mut GateEffects,
    ) -> bool {
        if !self.archive.has(job) {
            return false;
        }
        self.read(job, asked, Wanted::Windows(page), effects);
        true
    }

    /// Asks the disk; `false`: it has too much to do, and that was answered.
    fn read(
        &mut self,
        job: JobId,
        (link, frame): (LinkId, &RawFrame<'_>),
        wanted: Wanted,
        effects: &mut GateEffects,
    ) -> bool {
        if self.archive.readers.values().map(Vec::len).sum::<usize>() >= READERS_MAX {
            let text = format!("{READERS_MAX} answers wait for the disk with the finished jobs; try again");
            refuse(effects, link, frame, ErrorCode::Overloaded, text);
            return false;
        }
        let reader =
            Reader { link, correlation: frame.header.correlation, wanted, due: self.now + READ_PATIENCE };
        let readers = self.archive.readers.entry(job).or_default();
        readers.push(reader);
        if readers.len() == 1 {
            effects.command(Command::Archive(ArchiveOrder::Read { job }));
        }
        true
    }

    pub(super) fn on_read(&mut self, job: JobId, record: Result<Vec<u8>, String>, effects: &mut GateEffects) {
        let Some(readers) = self.archive.readers.remove(&job) else { return };
        let record =
            record.and_then(|bytes| ArchiveRecord::decode(&bytes).map_err(|error| error.to_string()));
        let record = match record {
            Ok(record) => record,
            Err(why) => {
                self.archive.unreadable = self.archive.unreadable.saturating_add(1);
                tracing::error!(job = %job, why, "the record of a finished job cannot be read");
                let text = format!("the record of job {job} cannot be read: {why}");
                for reader in readers {
                    refuse_late(effects, reader.link, reader.correlation, ErrorCode::Unavailable, &text);
                }
                return;
            }
        };
        for Reader { link, correlation, wanted, .. } in readers {
            match wanted {
                Wanted::Result => {
                    let answer = self.callback_answer(&record.entry, "");
                    effects.send(link, Head::reply(correlation).job(job), &answer);
                    effects.send(link, Head::default().job(job), &record.result);
                }
                Wanted::Windows(page) => {
                    effects.send(link, Head::reply(correlation).job(job), &answer(&record.windows, page));
                }
            }
        }
    }

    /// Who has waited too long is told so.
    pub(super) fn expire_readers(&mut self, effects: &mut GateEffects) {
        let now = self.now;
        for readers in self.archive.readers.values_mut() {
            readers.retain(|reader| {
                let is_late = reader.due <= now;
                if is_late {
                    let why = "the disk with the finished jobs did not answer in time";
                    refuse_late(effects, reader.link, reader.correlation, ErrorCode::Unavailable, why);
                }
                !is_late
            });
        }
        self.archive.readers.retain(|_, readers| !readers.is_empty());
    }
}

/// What is asked for of what a record has.
fn answer(windows: &StatsResponse, page: PageOf) -> StatsResponse {
    let is_wanted = |entry: &&StatsEntry| {
        page.tier.is_none_or(|tier| tier == StatsTier::Archive)
            && page.by_workflow == (entry.workflow < u32::MAX)
            && page.wanted.meets(Span { from: entry.from, to: entry.to })
    };
    let entries = windows.entries.iter().filter(is_wanted).cloned().collect();
    StatsResponse { entries, ..windows.clone() }
}
