//! Disks of gates: what was put there is there when the gate starts again.

use std::collections::BTreeMap;
use std::sync::Arc;

use hyperscale_codec::{JobId, NodeId, Role};
use hyperscale_gate::{
    ARCHIVE_AGE, ARCHIVE_JOBS, ArchiveConfig, ArchiveOrder, ArchiveRecord, ArchiveTold, Local as ToGate,
};

use super::node::Local;
use super::{Fleet, Place};

/// Records by job, of each gate.
#[derive(Debug, Default)]
pub(crate) struct Disks(BTreeMap<NodeId, BTreeMap<JobId, Vec<u8>>>);

impl Fleet {
    /// What a gate's shard finds when it starts.
    pub(super) fn found_by(&self, at: Place) -> Option<ArchiveConfig> {
        let identity = &self.nodes[at].identity;
        let read = |bytes: &Vec<u8>| Arc::new(ArchiveRecord::decode(bytes).unwrap().entry);
        let found = self.disks.0.get(&identity.node).into_iter().flatten();
        (self.shape.archive && identity.role == Role::Gate).then(|| ArchiveConfig {
            entries: found.map(|(_, bytes)| read(bytes)).collect(),
            unreadable: 0,
            jobs_max: ARCHIVE_JOBS,
            age_max: ARCHIVE_AGE,
        })
    }

    pub(super) fn order_disk(&mut self, at: Place, order: ArchiveOrder) {
        let node = self.nodes[at].identity.node;
        let disk = self.disks.0.entry(node).or_default();
        let (of_all, told) = match order {
            ArchiveOrder::Put { job, bytes } => {
                let record = ArchiveRecord::decode(&bytes).unwrap();
                disk.insert(job, bytes);
                (true, ArchiveTold::Kept(Arc::new(record.entry)))
            }
            ArchiveOrder::Read { job } => {
                let record = disk.get(&job).cloned().ok_or_else(|| "there is no such file".to_owned());
                (false, ArchiveTold::Read { job, record })
            }
            ArchiveOrder::Drop { jobs } => {
                jobs.iter().for_each(|job| drop(disk.remove(job)));
                (true, ArchiveTold::Dropped { jobs })
            }
        };
        let hears = |other: &Place| *other == at || of_all && self.nodes[*other].identity.node == node;
        for other in (0..self.nodes.len()).filter(hears).collect::<Vec<_>>() {
            self.tell(other, Local::Gate(ToGate::Archive(told.clone())));
        }
    }
}
