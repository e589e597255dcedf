//! How one shard is set up, and why it could not be.

use std::time::Duration;

use crate::preflight::{self, PreflightError};

/// Where a shard's thread runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placement {
    /// Wherever the system puts it; for tests and for several nodes on one host.
    Unbound,
    /// On this CPU alone, which must be one that the process may use.
    Pinned(usize),
}

/// One shard's set-up.
#[derive(Debug, Clone)]
pub struct ShardOptions {
    /// Its CPU.
    pub placement: Placement,
    /// Spin for so long before sleeping; costs a whole core, and only a pinned shard does it.
    pub busy_poll: Option<Duration>,
    /// Submissions per turn of the loop; no limit on connections.
    pub ring_depth: usize,
    /// Memory registered for file I/O. Shards do network I/O only, so it is small.
    pub io_memory: usize,
    /// How long runnable tasks may keep the loop from looking at completions.
    pub preempt_timer: Duration,
    /// Threads for blocking calls: names, mostly.
    pub blocking_threads: usize,
}

impl Default for ShardOptions {
    fn default() -> Self {
        Self {
            placement: Placement::Unbound,
            busy_poll: None,
            ring_depth: 1024,
            io_memory: 64 << 10,
            preempt_timer: Duration::from_millis(1),
            blocking_threads: 2,
        }
    }
}

impl ShardOptions {
    /// A shard on a CPU of its own.
    #[must_use]
    pub fn pinned(cpu: usize) -> Self {
        Self { placement: Placement::Pinned(cpu), ..Self::default() }
    }

    /// A shard that shares its host with many others: tests, and `cluster`.
    #[must_use]
    pub fn small() -> Self {
        Self { ring_depth: 256, blocking_threads: 1, ..Self::default() }
    }
}

/// Why a node's shards did not start. None of them runs then.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Nothing to start.
    #[error("a node needs at least one shard")]
    NoShards,
    /// More than shard ids can name.
    #[error("{0} shards; at most 1024 fit one node")]
    TooMany(usize),
    /// The host does not allow it: a CPU, or the memory to lock.
    #[error(transparent)]
    Preflight(#[from] PreflightError),
    /// The system gave no thread.
    #[error("shard {shard}: no thread could be started: {source}")]
    Thread {
        /// Its number.
        shard: u16,
        /// What the system said.
        source: std::io::Error,
    },
    /// The executor could not be made.
    #[error("shard {shard}: {message}{}", remedy(.errno))]
    Executor {
        /// Its number.
        shard: u16,
        /// What the executor said.
        message: String,
        /// The system's error number, if it was one.
        errno: Option<i32>,
    },
    /// A shard's thread ended before it said whether it started.
    #[error("shard {shard}: its thread ended while starting")]
    Vanished {
        /// Its number.
        shard: u16,
    },
}

/// What to do about an error number met while an executor starts.
fn remedy(errno: &Option<i32>) -> String {
    match *errno {
        Some(libc::ENOMEM) => format!(
            "; locked memory is used up: each executor needs {} KiB of it, for all processes of this user together; \
             raise `ulimit -l` or systemd `LimitMEMLOCK=`",
            preflight::MEMLOCK_PER_SHARD >> 10
        ),
        Some(libc::EPERM | libc::ENOSYS) => format!("; {}", preflight::IO_URING_REMEDY),
        Some(libc::EMFILE | libc::ENFILE) => {
            "; no descriptors are left: raise `ulimit -n` or systemd `LimitNOFILE=`".to_owned()
        }
        _ => String::new(),
    }
}
