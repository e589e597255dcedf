//! What a shard counts about itself. One writer, relaxed; a reader may be a moment behind. What it turns away is counted
//! by cause, in [`crate::Causes`].

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {
        /// One shard's counters since its start.
        #[derive(Debug, Default)]
        pub struct Counters { $($(#[$doc])* pub $name: Counter),+ }

        /// Counters read at one moment, of one shard or summed over several.
        #[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
        pub struct CounterValues { $($(#[$doc])* pub $name: u64),+ }

        impl Counters {
            /// All of them now.
            #[must_use]
            pub fn values(&self) -> CounterValues {
                CounterValues { $($name: self.$name.get()),+ }
            }
        }

        impl CounterValues {
            /// Sums two shards.
            #[must_use]
            pub const fn and(self, other: Self) -> Self {
                Self { $($name: self.$name.saturating_add(other.$name)),+ }
            }
        }
    };
}

counters! {
    /// Connections accepted.
    accepted,
    /// Links open now.
    links_open,
    /// Connection tasks that ended in a panic.
    panics,
    /// Times `accept` found no free descriptor or buffer.
    accept_failures,
    /// Times the shard's loop stood still for a second or more.
    loop_stalls,
    /// Datagrams taken, of any port.
    datagrams_in,
    /// Their bytes.
    datagram_bytes_in,
    /// Datagrams that the kernel took from us.
    datagrams_out,
    /// Their bytes.
    datagram_bytes_out,
    /// Frames of statistics that came in on this shard.
    stats_frames,
    /// Frames of statistics that came in on another shard of the node, and crossed to this one.
    stats_frames_crossed,
    /// Nanoseconds in which a load loop looked for work and found none: its thread ran, but it did not work.
    spun_ns,
}

/// One counter.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// One more.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// One less; for what is open now.
    pub fn sub(&self, n: u64) {
        let before = self.0.fetch_sub(n, Ordering::Relaxed);
        debug_assert!(before >= n, "a counter went below zero");
    }

    /// Its value now.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
