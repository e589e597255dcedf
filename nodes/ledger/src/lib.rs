//! The log of job facts (`spec.md` 13): a core proposes an entry, and acts when it comes back committed.
//!
//! This is the seam and its smallest form: a group of one, in memory. The index of a committed entry is the fence
//! token of what it decides. Pure.
#![forbid(unsafe_code)]

use hyperscale_codec::{Attempt, JobId, NodeId, ShardId, WorkflowId};

/// Facts of the gates.
#[derive(Debug, Clone, PartialEq)]
pub enum GateEntry {
    /// The job exists and this shard owns it; the entry's index is its first fence token.
    JobAccepted { job: JobId, key: [u8; 16], plan_sha256: [u8; 32], owner: (NodeId, ShardId) },
    /// The datacenter may be told to run its part.
    DcAssigned { job: JobId, token: u64, datacenter: String, attempt: Attempt },
    /// The datacenter's part has ended.
    DcFinished { job: JobId, token: u64, datacenter: String, attempt: Attempt },
    /// The job shall stop; nothing is assigned after it.
    JobCancelRequested { job: JobId, reason: String },
    /// The job's one end.
    JobFinished { job: JobId, token: u64 },
}

/// Facts of the managers of one datacenter.
#[derive(Debug, Clone, PartialEq)]
pub enum ManagerEntry {
    /// This datacenter takes the job on; the entry's index is its `dc_token`.
    DcJobAccepted { job: JobId, fence_token: u64, attempt: Attempt },
    /// Workers may be told to prepare this workflow; or, from revision 2 on, to take over the share of one of them.
    WorkflowAssigned {
        job: JobId,
        workflow: WorkflowId,
        attempt: Attempt,
        revision: u32,
        /// Whose share moves, and which of its revisions.
        moves: Option<(NodeId, u32)>,
    },
    /// The workflow has ended here.
    WorkflowEnded { job: JobId, workflow: WorkflowId },
    /// The job shall stop here; pending workflows never start.
    DcCancelRequested { job: JobId },
    /// The job's part here has ended.
    DcJobEnded { job: JobId },
}

/// An entry that is decided.
#[derive(Debug, Clone, PartialEq)]
pub struct Committed<E> {
    /// Its place in the log, from 1; grows by one.
    pub index: u64,
    pub entry: E,
}

/// A group of one without a disk: what is proposed is committed at once.
#[derive(Debug, Default)]
pub struct MemoryLedger {
    last: u64,
}

impl MemoryLedger {
    /// A log whose indexes begin after `last`. A node that starts again without its old log begins at its clock, so that
    /// no token is given out twice.
    #[must_use]
    pub const fn starting_at(last: u64) -> Self {
        Self { last }
    }

    /// Commits an entry.
    pub fn commit<E>(&mut self, entry: E) -> Committed<E> {
        self.last = self.last.saturating_add(1);
        Committed { index: self.last, entry }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indexes_start_at_one_and_grow_by_one() {
        let mut ledger = MemoryLedger::default();
        let entry = GateEntry::JobFinished { job: JobId(1), token: 1 };
        assert_eq!(ledger.commit(entry.clone()).index, 1);
        assert_eq!(ledger.commit(entry).index, 2);
    }
}
