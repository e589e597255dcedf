//! What is committed of a job moves along legal edges and ends once (I1), and its tokens only grow (I3), as far as a
//! ledger of one in memory goes: each start of an owner is judged for itself.

use std::collections::{BTreeMap, BTreeSet};

use hyperscale_codec::{JobId, NodeId, WorkflowId};
use hyperscale_ledger::{Committed, GateEntry, ManagerEntry};

use crate::fleet::Place;
use crate::marks::Marks;

/// One start of one shard of a node.
type Start = (Place, (NodeId, u64));

#[derive(Debug, Default)]
struct GateJob {
    token: u64,
    /// Of each datacenter, its last attempt.
    assigned: BTreeMap<String, u32>,
    finished: BTreeSet<(String, u32)>,
    cancelled: bool,
    ended: bool,
}

#[derive(Debug, Default)]
struct ManagerJob {
    attempt: u32,
    revisions: BTreeMap<WorkflowId, u32>,
    ended: BTreeSet<WorkflowId>,
    cancelled: bool,
    over: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Facts {
    gates: BTreeMap<(Start, JobId), GateJob>,
    managers: BTreeMap<(Start, JobId), ManagerJob>,
    /// Highest fence token that a manager's start has accepted for a job.
    fences: BTreeMap<(Start, JobId), u64>,
    indexes: BTreeMap<(Place, NodeId), u64>,
    accepted: BTreeMap<JobId, u32>,
}

impl Facts {
    fn index(&mut self, at: Place, node: NodeId, index: u64) {
        let last = self.indexes.entry((at, node)).or_default();
        assert!(index > *last, "I3: index {index} comes after {last}, restarts included");
        *last = index;
    }

    /// How many owners have accepted a job: without a replicated ledger, one that is gone is not known to the next.
    pub(crate) fn owners(&self, job: JobId) -> u32 {
        self.accepted.get(&job).copied().unwrap_or(0)
    }

    pub(crate) fn on_gate(
        &mut self,
        at: Place,
        who: (NodeId, u64),
        committed: &Committed<GateEntry>,
        marks: &mut Marks,
    ) {
        self.index(at, who.0, committed.index);
        let (GateEntry::JobAccepted { job: id, .. }
        | GateEntry::DcAssigned { job: id, .. }
        | GateEntry::DcFinished { job: id, .. }
        | GateEntry::JobCancelRequested { job: id, .. }
        | GateEntry::JobFinished { job: id, .. }) = &committed.entry;
        let key = ((at, who), *id);
        if matches!(committed.entry, GateEntry::JobAccepted { .. }) {
            marks.hit("job accepted");
            *self.accepted.entry(*id).or_default() += 1;
            let fresh = GateJob { token: committed.index, ..GateJob::default() };
            let before = self.gates.insert(key, fresh);
            assert!(before.is_none(), "I1: job {id} is accepted twice");
            return;
        }
        let Some(job) = self.gates.get_mut(&key) else { panic!("I1: {committed:?} before its acceptance") };
        assert!(!job.ended, "I1: after the end of its job: {committed:?}");
        match &committed.entry {
            GateEntry::JobAccepted { .. } => {}
            GateEntry::DcAssigned { token, datacenter, attempt, .. } => {
                assert_eq!(*token, job.token, "I3: {committed:?}");
                assert!(!job.cancelled, "I17: assigned after its cancel: {committed:?}");
                let before = job.assigned.insert(datacenter.clone(), attempt.0);
                assert!(before.is_none_or(|before| before < attempt.0), "I5: {committed:?} after {before:?}");
                if before.is_some() {
                    marks.hit("part given again");
                }
            }
            GateEntry::DcFinished { token, datacenter, attempt, .. } => {
                assert_eq!(*token, job.token, "I3: {committed:?}");
                assert!(job.assigned.contains_key(datacenter), "I1: never assigned: {committed:?}");
                let first = job.finished.insert((datacenter.clone(), attempt.0));
                assert!(first, "I1: ends twice: {committed:?}");
            }
            GateEntry::JobCancelRequested { .. } => {
                marks.hit("job cancelled");
                job.cancelled = true;
            }
            GateEntry::JobFinished { token, .. } => {
                assert_eq!(*token, job.token, "I3: {committed:?}");
                marks.hit("job ended");
                job.ended = true;
            }
        }
    }

    pub(crate) fn on_manager(
        &mut self,
        at: Place,
        who: (NodeId, u64),
        committed: &Committed<ManagerEntry>,
        marks: &mut Marks,
    ) {
        self.index(at, who.0, committed.index);
        let (ManagerEntry::DcJobAccepted { job: id, .. }
        | ManagerEntry::WorkflowAssigned { job: id, .. }
        | ManagerEntry::WorkflowEnded { job: id, .. }
        | ManagerEntry::DcCancelRequested { job: id }
        | ManagerEntry::DcJobEnded { job: id }) = &committed.entry;
        let key = ((at, who), *id);
        if let ManagerEntry::DcJobAccepted { fence_token, attempt, .. } = &committed.entry {
            let mark = self.fences.entry(key).or_default();
            assert!(*fence_token >= *mark, "I4: token {fence_token} is taken after {mark}");
            *mark = *fence_token;
            let fresh = ManagerJob { attempt: attempt.0, ..ManagerJob::default() };
            let before = self.managers.insert(key, fresh);
            assert!(
                before.is_none_or(|before| before.attempt < attempt.0),
                "I5: {committed:?} is taken twice"
            );
            return;
        }
        let Some(job) = self.managers.get_mut(&key) else {
            panic!("I1: {committed:?} before its acceptance")
        };
        assert!(!job.over, "I1: after the end of the job here: {committed:?}");
        match &committed.entry {
            ManagerEntry::DcJobAccepted { .. } => {}
            ManagerEntry::WorkflowAssigned { workflow, revision, moves, .. } => {
                assert!(!job.ended.contains(workflow), "I1: after its end: {committed:?}");
                assert!(!job.cancelled, "I17: assigned after its cancel: {committed:?}");
                let before = job.revisions.insert(*workflow, *revision);
                assert!(before.is_none_or(|before| before < *revision), "I5: {committed:?} after {before:?}");
                if moves.is_some() {
                    marks.hit("a worker's share moved");
                }
            }
            ManagerEntry::WorkflowEnded { workflow, .. } => {
                assert!(job.ended.insert(*workflow), "I1: ends twice: {committed:?}");
            }
            ManagerEntry::DcCancelRequested { .. } => job.cancelled = true,
            ManagerEntry::DcJobEnded { .. } => job.over = true,
        }
    }
}
