//! The conversation about statistics (`spec.md` 7).
//!
//! Three kinds share one body of parallel columns: a window delta (for views), a cumulative snapshot (the truth)
//! and a final snapshot (critical). A new figure is one appended `Option<Vec<U>>` at the end of [`StatsColumns`].

use rkyv::{Archive, Deserialize, Serialize};

use crate::StatsError;
use crate::hist::SparseHist;

/// Sources, then cells that point to them. All columns of one group have equal length.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq, Default)]
pub struct StatsColumns {
    pub job: [u8; 16],
    /// The sender's token: `dc_token` from a worker, `fence_token` from a manager.
    pub token: u64,
    /// Windows `k_from..=k_to` of the job. A snapshot is as of the end of `k_to`; those after its `k_from`, if any, were
    /// not sent as windows, and are not going to be.
    pub k_from: u32,
    pub k_to: u32,
    /// Length of one window.
    pub window_ms: u32,
    /// Where the figures end, since the job's start: the end of `k_to`, or the end of the shares within it.
    pub end_us: u64,
    /// Whether another message with the same windows and sequences follows: they did not fit into one.
    pub more: bool,

    pub source_worker: Vec<[u8; 16]>,
    pub source_shard: Vec<u16>,
    pub source_epoch: Vec<u64>,
    pub source_sequence: Vec<u64>,
    /// Cells of this source and sequence over all messages; a receiver that has so many has all.
    pub source_cells: Vec<u16>,

    /// Index into the source columns, ascending.
    pub cell_source: Vec<u16>,
    pub cell_workflow: Vec<u32>,
    /// Step index, or `u32::MAX` for the workflow's iterations.
    pub cell_step: Vec<u32>,
    /// Responses and errors alike; iterations completed in the workflow's row.
    pub count: Vec<u64>,
    pub errors: Vec<u64>,
    /// Cut off in flight at the end; not in `count`. Iterations interrupted in the workflow's row.
    pub cancelled: Vec<u64>,
    /// Iterations due and never started; only in the workflow's row.
    pub dropped: Vec<u64>,
    /// Iterations due; only in the workflow's row.
    pub due: Vec<u64>,
    /// Iterations started; only in the workflow's row.
    pub started: Vec<u64>,
    /// Sent more than 1 ms after they were due.
    pub late: Vec<u64>,
    pub bytes_in: Vec<u64>,
    pub bytes_out: Vec<u64>,
    /// Requests sent and not yet answered when the message was made.
    pub in_flight: Vec<u64>,
    /// From due to the end of the answer.
    pub latency: Vec<SparseHist>,
    /// From the first byte sent to the end of the answer.
    pub service: Vec<SparseHist>,
    /// From due to the first byte sent.
    pub lateness: Vec<SparseHist>,
    /// Time of each TCP connect that succeeded.
    pub connect: Vec<SparseHist>,

    /// Index into the cell columns, ascending; status code, count.
    pub status_cell: Vec<u16>,
    pub status_code: Vec<u16>,
    pub status_count: Vec<u64>,
    /// Index into the cell columns, ascending; error kind as its number, count.
    pub error_cell: Vec<u16>,
    pub error_kind: Vec<u8>,
    pub error_count: Vec<u64>,
    /// Of the next minor.
    #[cfg(feature = "next-minor")]
    pub reused: Option<Vec<u64>>,
}

/// What was recorded in windows `k_from..=k_to`. For views only: it may be lost or merged.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq)]
pub struct StatsUpdate(pub StatsColumns);

/// Everything since each source's epoch began.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq)]
pub struct StatsSnapshot(pub StatsColumns);

/// The last snapshot of its epochs. Critical; repeated until [`StatsFinalAck`].
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq)]
pub struct StatsFinal(pub StatsColumns);

/// Receiver to sender: received, and how much more is welcome.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq, Default)]
pub struct StatsAck {
    pub job: [u8; 16],
    pub token: u64,
    pub source_worker: Vec<[u8; 16]>,
    pub source_shard: Vec<u16>,
    pub source_epoch: Vec<u64>,
    pub source_sequence: Vec<u64>,
    /// Backpressure level: 0 none, 1 throttle, 2 batch, 3 reject.
    pub level: u8,
    pub delay_ms: u32,
    pub want_snapshot: bool,
    /// Of the next minor.
    #[cfg(feature = "next-minor")]
    pub credit: u32,
}

/// Receiver to sender: these finals are held for good and may be forgotten.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq)]
pub struct StatsFinalAck {
    pub job: [u8; 16],
    pub source_worker: Vec<[u8; 16]>,
    pub source_shard: Vec<u16>,
    pub source_epoch: Vec<u64>,
}

/// Client or manager to gate, and gate to gate: what was recorded in these windows? Passed on to the job's owner.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq)]
pub struct StatsQuery {
    pub job: [u8; 16],
    /// What is kept in this tier alone: 1 hot, 2 warm, 3 cold, 4 archive. 0: in any.
    pub tier: u8,
    /// What has a window of these, the last one included. To go on: `from` is [`StatsResponse::next`].
    pub from: u32,
    pub to: u32,
    /// Whether each workflow has rows of its own; else a row is about all of them.
    pub by_workflow: bool,
    /// Rows at most; 0 are 250, and more than 1,000 are 1,000. A page ends where it can be gone on from, which may be a
    /// few rows later.
    pub limit: u32,
}

/// What was recorded in the windows that are kept together; part of [`StatsResponse`].
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq, Default)]
pub struct StatsEntry {
    /// Where they are kept, as in [`StatsQuery::tier`].
    pub tier: u8,
    /// First and last window.
    pub from: u32,
    pub to: u32,
    /// Index in the plan; `u32::MAX`: all workflows.
    pub workflow: u32,
    /// Over all steps.
    pub requests: u64,
    pub errors: u64,
    pub cancelled: u64,
    pub late: u64,
    pub bytes_in: u64,
    pub bytes_out: u64,
    /// Of iterations.
    pub iterations: u64,
    pub dropped: u64,
    /// Latency of so many requests, in ns. All zero without any.
    pub timed: u64,
    pub mean_ns: u64,
    pub min_ns: u64,
    pub p50_ns: u64,
    pub p90_ns: u64,
    pub p99_ns: u64,
    pub p99_9_ns: u64,
    pub max_ns: u64,
    pub service_p99_ns: u64,
    pub lateness_p99_ns: u64,
}

/// The owner's answer to [`StatsQuery`]: one row an entry, from the oldest.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq)]
pub struct StatsResponse {
    pub job: [u8; 16],
    /// [`JobState`](crate::messages::JobState) as its number.
    pub state: u8,
    /// Length of one window.
    pub window_ms: u32,
    /// Where the figures end, since the job's start: within the last window where the job ended in it.
    pub end_ms: u64,
    /// Names of the workflows, in the order of the plan.
    pub workflows: Vec<String>,
    pub entries: Vec<StatsEntry>,
    /// Ask again from this window; 0: that was all. An entry that begins before it was joined with some that were told:
    /// ask for all again.
    pub next: u32,
}

/// Most sources, and most cells, of one message.
pub const ROWS_MAX: usize = 4096;

impl StatsAck {
    /// Makes this the receipt of all sources of `columns`, keeping its memory; level and delay stay.
    pub fn acknowledge(&mut self, columns: &ArchivedStatsColumns) {
        self.job = columns.job;
        self.token = columns.token.to_native();
        self.source_worker.clear();
        self.source_worker.extend_from_slice(&columns.source_worker);
        self.source_shard.clear();
        self.source_shard.extend(columns.source_shard.iter().map(|shard| shard.to_native()));
        self.source_epoch.clear();
        self.source_epoch.extend(columns.source_epoch.iter().map(|epoch| epoch.to_native()));
        self.source_sequence.clear();
        self.source_sequence.extend(columns.source_sequence.iter().map(|sequence| sequence.to_native()));
    }
}

impl ArchivedStatsColumns {
    /// Of a snapshot: the window after which none was sent, if it stands for any. Window 0 is none: that is what
    /// senders write which know no such windows.
    #[must_use]
    pub fn unsent_windows(&self) -> Option<u32> {
        let after = self.k_from.to_native();
        (after > 0 && after < self.k_to.to_native()).then_some(after)
    }

    /// Checks that the columns hold together: equal lengths, rows that point to something, in the order of what
    /// they point to, so that a reader finds the rows of one cell without a look at all. Histograms are checked when
    /// they are merged. Takes one pass over each column.
    ///
    /// # Errors
    /// [`StatsError`], naming the first column that does not fit.
    pub fn check(&self) -> Result<(), StatsError> {
        let (from, to, window_ms) =
            (self.k_from.to_native(), self.k_to.to_native(), self.window_ms.to_native());
        if from > to || !(100..=10_000).contains(&window_ms) {
            return Err(StatsError::Window { from, to, window_ms });
        }
        let (sources, cells) = (self.source_worker.len(), self.cell_source.len());
        let (statuses, errors) = (self.status_cell.len(), self.error_cell.len());
        for (what, len, max) in [
            ("sources", sources, ROWS_MAX),
            ("cells", cells, ROWS_MAX),
            ("statuses", statuses, ROWS_MAX.saturating_mul(900)),
            ("errors", errors, ROWS_MAX.saturating_mul(32)),
        ] {
            if len > max {
                return Err(StatsError::TooMany { what, len, max });
            }
        }
        macro_rules! equal {
            ($want:expr; $($column:ident),+) => { $(if self.$column.len() != $want {
                return Err(StatsError::ColumnLength {
                    column: stringify!($column), len: self.$column.len(), want: $want });
            })+ };
        }
        equal!(sources; source_shard, source_epoch, source_sequence, source_cells);
        equal!(cells; cell_workflow, cell_step, count, errors, cancelled, dropped, due, started, late, bytes_in,
            bytes_out, in_flight, latency, service, lateness, connect);
        equal!(statuses; status_code, status_count);
        equal!(errors; error_kind, error_count);
        points("cell_source", &self.cell_source, sources)?;
        points("status_cell", &self.status_cell, cells)?;
        points("error_cell", &self.error_cell, cells)?;
        self.fewer_than_told()
    }

    /// A source has no more cells here than in all its messages.
    fn fewer_than_told(&self) -> Result<(), StatsError> {
        let mut rows = self.cell_source.iter().map(|source| usize::from(source.to_native())).peekable();
        for (source, told) in self.source_cells.iter().enumerate() {
            let mut here = 0_usize;
            while rows.next_if_eq(&source).is_some() {
                here = here.saturating_add(1);
            }
            let told = usize::from(told.to_native());
            if here > told {
                return Err(StatsError::Cells { row: source, told, here });
            }
        }
        Ok(())
    }
}

/// Every row points to one of `len` targets, and to none before the row before.
fn points(
    column: &'static str,
    rows: &[rkyv::rend::unaligned::u16_ule],
    len: usize,
) -> Result<(), StatsError> {
    let mut before = 0;
    for (row, target) in rows.iter().enumerate() {
        let target = usize::from(target.to_native());
        if target >= len {
            return Err(StatsError::Dangling { column, row, target, len });
        }
        if target < before {
            return Err(StatsError::Order { column, row, target, before });
        }
        before = target;
    }
    Ok(())
}
