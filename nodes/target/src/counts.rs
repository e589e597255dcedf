//! What the target has served.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The figures of all shards. Each shard writes its own row; reading adds them up.
#[derive(Debug, Clone)]
pub struct Counts {
    rows: Arc<[Row]>,
}

/// One shard's figures, on cache lines of their own, so that shards do not slow each other.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Row {
    pub(crate) served: AtomicU64,
    pub(crate) errors: AtomicU64,
    pub(crate) requests: AtomicU64,
    pub(crate) connections: AtomicU64,
    pub(crate) open: AtomicU64,
}

/// Figures at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Served {
    /// Answers whose last byte was handed to the kernel, `/_count` itself apart. What a peer has not read yet is
    /// counted; what was held or only partly taken is not.
    pub served: u64,
    /// Those of them with a status of 400 or more.
    pub errors: u64,
    /// Requests read whole, `/_count` itself apart.
    pub requests: u64,
    /// Connections accepted.
    pub connections: u64,
    /// Connections open now.
    pub open: u64,
}

impl Counts {
    /// Zeros for so many shards.
    #[must_use]
    pub fn new(shards: usize) -> Self {
        Self { rows: (0..shards).map(|_| Row::default()).collect() }
    }

    /// The sum over all shards.
    #[must_use]
    pub fn sum(&self) -> Served {
        let mut sum = Served::default();
        for row in self.rows.iter() {
            sum.served += row.served.load(Ordering::Relaxed);
            sum.errors += row.errors.load(Ordering::Relaxed);
            sum.requests += row.requests.load(Ordering::Relaxed);
            sum.connections += row.connections.load(Ordering::Relaxed);
            sum.open += row.open.load(Ordering::Relaxed);
        }
        sum
    }

    pub(crate) fn row(&self, shard: usize) -> &Row {
        &self.rows[shard]
    }
}

/// Adds to a figure that only this shard writes: no locked instruction is needed.
pub(crate) fn add(figure: &AtomicU64, n: u64) {
    figure.store(figure.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
}

impl Served {
    /// As `/_count` answers.
    #[must_use]
    pub fn to_json(self) -> String {
        let Self { served, errors, requests, connections, open } = self;
        format!(
            "{{\"served\":{served},\"errors\":{errors},\"requests\":{requests},\"connections\":{connections},\
             \"open\":{open}}}\n"
        )
    }
}
