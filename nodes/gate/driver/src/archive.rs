//! Finished jobs on the disk: one thread a node reads and writes them, for all of its shards, so that no shard waits for a
//! disk.
//!
//! In: a bounded queue of orders; where it is full, the order has failed. Out: what became of each, by the mailbox of the
//! shard that asked, or of all. Records that wait together are written together, with one sync of the folder.

mod folder;

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use hyperscale_codec::JobId;
use hyperscale_gate::{ArchiveOrder, ArchiveRecord, ArchiveTold, Local};
use hyperscale_runtime::{Sender, TrySendError as MailError};

pub use folder::{Folder, Loaded};

/// Orders that wait for the disk.
const WAITING_MAX: usize = 1_024;
/// Records that are written together.
const TOGETHER_MAX: usize = 64;
/// Until a shard that is behind is told again.
const AGAIN: Duration = Duration::from_millis(1);

type Asked = (u16, ArchiveOrder);

/// The way to the disk; of all shards.
#[derive(Debug, Clone)]
pub struct ToDisk(SyncSender<Asked>);

impl ToDisk {
    /// Gives an order of a shard's. What has failed at once is told at once.
    pub(crate) fn order(&self, shard: u16, order: ArchiveOrder) -> Option<ArchiveTold> {
        match self.0.try_send((shard, order)) {
            Ok(()) => None,
            Err(TrySendError::Full((_, order))) => failed(order, "too much waits for the disk"),
            Err(TrySendError::Disconnected((_, order))) => failed(order, "its thread has ended"),
        }
    }
}

fn failed(order: ArchiveOrder, why: &str) -> Option<ArchiveTold> {
    let why = why.to_owned();
    match order {
        ArchiveOrder::Put { job, .. } => Some(ArchiveTold::NotKept { job, why }),
        ArchiveOrder::Read { job } => Some(ArchiveTold::Read { job, record: Err(why) }),
        // Those are found again at the next start.
        ArchiveOrder::Drop { .. } => None,
    }
}

/// Starts the thread. It ends with the last way to it, or with the process: no job's end is told before it is kept, and a
/// record that was not written to its end is not there. `shards` are the mailboxes of the node's shards, in their order.
///
/// # Errors
/// When the system gives no thread.
pub fn start(folder: Folder, shards: Vec<Sender<Local>>) -> io::Result<ToDisk> {
    let (orders, asked) = sync_channel(WAITING_MAX);
    let disk = Disk { folder, shards };
    std::thread::Builder::new().name("archive".to_owned()).spawn(move || disk.run(&asked))?;
    Ok(ToDisk(orders))
}

struct Disk {
    folder: Folder,
    shards: Vec<Sender<Local>>,
}

impl Disk {
    fn run(&self, asked: &Receiver<Asked>) {
        while let Ok(first) = asked.recv() {
            let mut puts = Vec::new();
            let more = std::iter::once(first).chain(asked.try_iter().take(TOGETHER_MAX));
            for (shard, order) in more.collect::<Vec<_>>() {
                match order {
                    ArchiveOrder::Put { job, bytes } => puts.push((shard, job, bytes)),
                    ArchiveOrder::Read { job } => {
                        let record = self.folder.read(job).map_err(|error| error.to_string());
                        self.tell(shard, ArchiveTold::Read { job, record });
                    }
                    ArchiveOrder::Drop { jobs } => {
                        for job in &jobs {
                            if let Err(error) = self.folder.remove(*job) {
                                tracing::warn!(job = %job, %error, "an old record could not be removed");
                            }
                        }
                        self.tell_all(&ArchiveTold::Dropped { jobs });
                    }
                }
            }
            self.put_all(puts);
        }
    }

    fn put_all(&self, puts: Vec<(u16, JobId, Vec<u8>)>) {
        if puts.is_empty() {
            return;
        }
        let put = |(shard, job, bytes): (u16, JobId, Vec<u8>)| {
            let done = self.folder.put(job, &bytes).map_err(|error| error.to_string());
            // What lists need of it is read from what was written.
            let entry = done.and_then(|()| ArchiveRecord::decode(&bytes).map_err(|error| error.to_string()));
            (shard, job, entry.map(|record| Arc::new(record.entry)))
        };
        let written: Vec<_> = puts.into_iter().map(put).collect();
        let settled = self.folder.settle().map_err(|error| error.to_string());
        for (shard, job, entry) in written {
            match settled.clone().and(entry) {
                Ok(entry) => self.tell_all(&ArchiveTold::Kept(entry)),
                Err(why) => self.tell(shard, ArchiveTold::NotKept { job, why }),
            }
        }
    }

    fn tell_all(&self, told: &ArchiveTold) {
        (0..).zip(&self.shards).for_each(|(shard, _)| self.tell(shard, told.clone()));
    }

    /// This thread may wait for a shard; none waits for it.
    fn tell(&self, shard: u16, told: ArchiveTold) {
        let Some(mailbox) = self.shards.get(usize::from(shard)) else { return };
        let mut told = Local::Archive(told);
        while let Err(MailError::Full(back)) = mailbox.try_send(told) {
            told = back;
            std::thread::park_timeout(AGAIN);
        }
    }
}

#[cfg(test)]
mod tests {
    use hyperscale_codec::Hist;
    use hyperscale_codec::messages::{JobFinalResult, JobStatusResponse, StatsResponse};
    use hyperscale_gate::ArchiveEntry;
    use hyperscale_runtime::mailbox;

    use super::*;

    pub(super) fn record(job: JobId) -> ArchiveRecord {
        let id = job.to_bytes();
        ArchiveRecord {
            entry: ArchiveEntry {
                status: JobStatusResponse {
                    job: id,
                    name: "n".into(),
                    state: 7,
                    error: String::new(),
                    owner: [1; 16],
                    owner_name: "gate-1".into(),
                    owner_addr: "127.0.0.1:7001".into(),
                    fence_token: 4,
                    accepted_unix_ms: 5,
                    elapsed_ms: 6,
                    requests: 7,
                    errors: 8,
                    dropped: 9,
                    datacenters: vec!["dc-1".into()],
                },
                plan_sha256: [2; 32],
                ended_unix_ms: 3,
                seq: 1,
            },
            windows: StatsResponse {
                job: id,
                state: 7,
                window_ms: 1_000,
                end_ms: 1_000,
                workflows: Vec::new(),
                entries: Vec::new(),
                next: 0,
            },
            result: JobFinalResult {
                job: id,
                fence_token: 4,
                seq: 1,
                outcome: 7,
                partial: false,
                summary: "{}".into(),
                latency: Hist::new().to_sparse(),
            },
        }
    }

    #[test]
    fn where_too_much_waits_an_order_has_failed_at_once() {
        let (orders, waiting) = sync_channel(1);
        let disk = ToDisk(orders);
        let put = |job| ArchiveOrder::Put { job: JobId(job), bytes: Vec::new() };
        assert_eq!(disk.order(0, put(1)), None);
        let told = disk.order(0, put(2));
        assert!(matches!(told, Some(ArchiveTold::NotKept { job: JobId(2), .. })), "{told:?}");
        drop(waiting);
        let told = disk.order(0, ArchiveOrder::Read { job: JobId(3) });
        assert!(matches!(told, Some(ArchiveTold::Read { job: JobId(3), record: Err(_) })), "{told:?}");
    }

    #[test]
    fn what_was_ordered_is_done_when_the_last_way_to_the_disk_is_gone() {
        let data = tempfile::tempdir().unwrap();
        let folder = Folder::open(data.path()).unwrap();
        let (mailbox, _nobody_reads) = mailbox(1_000);
        let (orders, asked) = sync_channel(100);
        for job in 1..=70 {
            let bytes = record(JobId(job)).encode().unwrap();
            orders.send((0, ArchiveOrder::Put { job: JobId(job), bytes })).unwrap();
        }
        orders.send((0, ArchiveOrder::Drop { jobs: vec![JobId(1)] })).unwrap();
        drop(orders);
        Disk { folder: folder.clone(), shards: vec![mailbox] }.run(&asked);
        assert_eq!(folder.load().unwrap().entries.len(), 69);
    }
}
