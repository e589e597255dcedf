//! Jobs that have ended, for as long as they are kept: 10,000 of them, and 30 days (`spec.md` 7).
//!
//! Of a node with a data folder, all of its shards know all of them, as little as lists and most questions need; the rest
//! lies on the disk, which the driver reads and writes off the shard. A job's end is proposed when its record is kept,
//! or could not be within ten seconds: then it is told all the same, and is forgotten ten minutes later as a job of a
//! gate without a folder is. Where several gates keep each job, this is where theirs will come in too.

mod answers;
mod record;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use hyperscale_codec::messages::JobState;
use hyperscale_codec::{JobId, ShardId};
use hyperscale_core::{Instant, LinkId};
use hyperscale_fleet::Identity;
use hyperscale_jobs::ConsistentHashRing;
use hyperscale_ledger::GateEntry;
use hyperscale_stats::CellSet;
use hyperscale_view::Gauge;

use crate::core::{Command, GateCore, GateEffects};
use crate::query::for_good;
use crate::view::level;
use answers::Reader;
pub use record::{ArchiveEntry, ArchiveRecord, RecordError};

/// Jobs that are kept.
pub const ARCHIVE_JOBS: usize = 10_000;
/// How long they are.
pub const ARCHIVE_AGE: Duration = Duration::from_secs(30 * 86_400);
/// A disk may take so long to keep a job; then its end is told all the same.
pub(crate) const KEEP_PATIENCE: Duration = Duration::from_secs(10);
/// Jobs that are dropped at once; the rest at the next beat.
const DROP_MAX: usize = 256;

/// What an archive begins with.
#[derive(Debug, Clone)]
pub struct ArchiveConfig {
    /// Jobs that the disk has.
    pub entries: Vec<Arc<ArchiveEntry>>,
    /// Files on it that could not be read.
    pub unreadable: u64,
    /// Jobs that are kept at most, and for how long.
    pub jobs_max: usize,
    pub age_max: Duration,
}

/// What the disk is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ArchiveOrder {
    /// Keep this record, for good; then [`ArchiveTold::Kept`] to all shards, or [`ArchiveTold::NotKept`] to this one.
    Put { job: JobId, bytes: Vec<u8> },
    /// Read it; [`ArchiveTold::Read`] follows.
    Read { job: JobId },
    /// Forget these; [`ArchiveTold::Dropped`] to all shards.
    Drop { jobs: Vec<JobId> },
}

/// What the disk did.
#[derive(Debug, Clone, PartialEq)]
pub enum ArchiveTold {
    Kept(Arc<ArchiveEntry>),
    NotKept { job: JobId, why: String },
    Read { job: JobId, record: Result<Vec<u8>, String> },
    Dropped { jobs: Vec<JobId> },
}

/// The jobs that are kept.
#[derive(Debug, Default)]
pub(crate) struct Archive {
    jobs_max: usize,
    age_max_ms: u64,
    /// Without it nothing is kept.
    is_on: bool,
    jobs: BTreeMap<JobId, Arc<ArchiveEntry>>,
    by_end: BTreeSet<(u64, JobId)>,
    readers: BTreeMap<JobId, Vec<Reader>>,
    /// Of this node's shards alone: which of them tells of a kept job in lists.
    tellers: ConsistentHashRing,
    unreadable: u64,
    not_kept: u64,
}

impl Archive {
    pub(crate) fn new(config: Option<&ArchiveConfig>, node: &Identity) -> Self {
        let Some(config) = config else { return Self::default() };
        let mut archive = Self {
            jobs_max: config.jobs_max,
            age_max_ms: u64::try_from(config.age_max.as_millis()).unwrap_or(u64::MAX),
            is_on: true,
            unreadable: config.unreadable,
            ..Self::default()
        };
        archive.tellers.add_node(node.node, node.shards);
        config.entries.iter().for_each(|entry| archive.add(Arc::clone(entry)));
        archive
    }

    fn add(&mut self, entry: Arc<ArchiveEntry>) {
        let (job, ended) = (entry.job(), entry.ended_unix_ms);
        self.forget(job);
        self.by_end.insert((ended, job));
        self.jobs.insert(job, entry);
    }

    fn forget(&mut self, job: JobId) {
        if let Some(held) = self.jobs.remove(&job) {
            self.by_end.remove(&(held.ended_unix_ms, job));
        }
    }

    pub(crate) fn has(&self, job: JobId) -> bool {
        self.jobs.contains_key(&job)
    }

    pub(crate) fn get(&self, job: JobId) -> Option<&ArchiveEntry> {
        self.jobs.get(&job).map(Arc::as_ref)
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.readers.values().flatten().map(|reader| reader.due).min()
    }

    pub(crate) fn forget_link(&mut self, link: LinkId) {
        self.readers.values_mut().for_each(|readers| readers.retain(|reader| reader.link != link));
        self.readers.retain(|_, readers| !readers.is_empty());
    }

    /// The ones that are to go, oldest first: too many, or too old.
    fn overdue(&self, now_unix_ms: u64) -> Vec<JobId> {
        let too_many = self.jobs.len().saturating_sub(self.jobs_max);
        let too_old = now_unix_ms.saturating_sub(self.age_max_ms);
        let ends = self.by_end.iter().enumerate().take(DROP_MAX);
        ends.take_while(|(at, (ended, _))| *at < too_many || *ended < too_old)
            .map(|(_, (_, job))| *job)
            .collect()
    }
}

impl GateCore {
    /// Has the disk keep a job whose result is made, with all that was recorded, a set a workflow. `false`: there is no
    /// disk, or the record is too long for it.
    pub(crate) fn keep(&mut self, id: JobId, cells: &[CellSet], effects: &mut GateEffects) -> bool {
        let Some(job) = self.jobs.get(&id).filter(|_| self.archive.is_on) else { return false };
        let Some(result) = job.result.as_deref().cloned() else { return false };
        let state = JobState::from_wire(result.outcome);
        let entry = ArchiveEntry {
            status: self.status_of(job, state),
            plan_sha256: job.sha256,
            ended_unix_ms: self.config.wall.unix_ms(self.now),
            seq: result.seq,
        };
        let record = ArchiveRecord { entry, windows: for_good(job, state, cells), result };
        match record.encode() {
            Ok(bytes) => {
                let now = self.now;
                self.jobs.entry(id).and_modify(|job| job.keeping_since = Some(now));
                effects.command(Command::Archive(ArchiveOrder::Put { job: id, bytes }));
                true
            }
            Err(error) => {
                self.on_not_kept(id, &error.to_string());
                false
            }
        }
    }

    fn on_not_kept(&mut self, job: JobId, why: &str) {
        self.archive.not_kept = self.archive.not_kept.saturating_add(1);
        tracing::error!(job = %job, why, "a finished job could not be kept; it is forgotten ten minutes after its end");
    }

    pub(crate) fn on_archive(&mut self, told: ArchiveTold, effects: &mut GateEffects) {
        match told {
            ArchiveTold::Kept(entry) => {
                let job = entry.job();
                self.archive.add(entry);
                self.drop_overdue(effects);
                self.end_of_keeping(job, effects);
            }
            ArchiveTold::NotKept { job, why } => {
                self.on_not_kept(job, &why);
                self.end_of_keeping(job, effects);
            }
            ArchiveTold::Read { job, record } => self.on_read(job, record, effects),
            ArchiveTold::Dropped { jobs } => jobs.into_iter().for_each(|job| self.archive.forget(job)),
        }
    }

    fn end_of_keeping(&mut self, id: JobId, effects: &mut GateEffects) {
        let Some(job) = self.jobs.get_mut(&id).filter(|job| job.keeping_since.is_some()) else { return };
        job.keeping_since = None;
        let token = job.token;
        effects.command(Command::Propose(GateEntry::JobFinished { job: id, token }));
    }

    /// A disk that does not get on holds no job's end up.
    pub(crate) fn expire_archive(&mut self, effects: &mut GateEffects) {
        let now = self.now;
        let waits = |since: Instant| since + KEEP_PATIENCE <= now;
        let late = self.live().filter(|job| job.keeping_since.is_some_and(waits)).map(|job| job.id);
        for job in late.collect::<Vec<_>>() {
            self.on_not_kept(job, "the disk did not do it in time");
            self.end_of_keeping(job, effects);
        }
        self.expire_readers(effects);
    }

    /// One shard of a node has those dropped that are not kept any longer.
    pub(crate) fn drop_overdue(&mut self, effects: &mut GateEffects) {
        if self.config.shard != ShardId(0) || !self.archive.is_on {
            return;
        }
        let jobs = self.archive.overdue(self.config.wall.unix_ms(self.now));
        if !jobs.is_empty() {
            jobs.iter().for_each(|job| self.archive.forget(*job));
            effects.command(Command::Archive(ArchiveOrder::Drop { jobs }));
        }
    }

    pub(crate) fn archive_gauges(&self) -> Vec<Gauge> {
        if !self.archive.is_on {
            return Vec::new();
        }
        let help = "Finished jobs that could not be kept, or not be read again.";
        let rows = [("put", self.archive.not_kept), ("read", self.archive.unreadable)];
        let mut gauges = Gauge::counters_by("hyperscale_archive_failures_total", help, "what", rows);
        gauges.push(level(
            "hyperscale_archive_jobs",
            "Finished jobs that are kept.",
            self.archive.jobs.len(),
        ));
        gauges
    }
}
