//! The clients that a node knows the rates of: bounded, whoever they claim to be.

use std::sync::Arc;
use std::time::Duration;

use hyperscale_core::Instant;

use super::client::{ClientBuckets, ClientKey, Rates};
use super::key_hash::KeyHash;

/// A full table is looked through for clients that count as none at most so often: a flood of newcomers costs one walk
/// a second.
const WALK_FULL: Duration = Duration::from_secs(1);
/// Any table, so often.
const WALK: Duration = Duration::from_secs(60);

#[expect(clippy::disallowed_types, reason = "hashed with a seed; no order of it is ever seen")]
type Map = std::collections::HashMap<ClientKey, Arc<ClientBuckets>, KeyHash>;

#[derive(Debug)]
pub(super) struct ClientTable {
    clients: Map,
    clients_max: usize,
    /// Of all who came when there was no room.
    newcomers: Arc<ClientBuckets>,
    walked_at: Instant,
    bound_hits: u64,
}

impl ClientTable {
    pub(super) fn new(clients_max: usize, seed: u64) -> Self {
        Self {
            clients: Map::with_hasher(KeyHash::new(seed)),
            clients_max,
            newcomers: Arc::default(),
            walked_at: Instant::ZERO,
            bound_hits: 0,
        }
    }

    /// The buckets of a client that is known.
    pub(super) fn known(&self, key: ClientKey) -> Option<&Arc<ClientBuckets>> {
        self.clients.get(&key)
    }

    /// A newcomer's buckets. At the bound those whose buckets are full, and that have no link, make room: they lose
    /// nothing by it. When there are none, all newcomers share one bucket an operation.
    pub(super) fn newcomer(
        &mut self,
        key: ClientKey,
        now: Instant,
        rates: &Rates,
        bucket_now: u64,
    ) -> &Arc<ClientBuckets> {
        let is_at_bound = self.clients.len() >= self.clients_max;
        if now.since(self.walked_at) >= if is_at_bound { WALK_FULL } else { WALK } {
            self.walked_at = now;
            self.drop_idle(rates, bucket_now);
        }
        if self.clients.len() >= self.clients_max {
            self.bound_hits = self.bound_hits.saturating_add(1);
            return &self.newcomers;
        }
        self.clients.entry(key).or_default()
    }

    /// Clients without a link (a link holds their buckets) whose buckets are all full count as none. By default a
    /// bucket fills in 10 s, in 100 s while the node is overloaded, so nobody who was silent for 300 s is kept.
    fn drop_idle(&mut self, rates: &Rates, bucket_now: u64) {
        self.clients
            .retain(|_, buckets| Arc::strong_count(buckets) > 1 || !buckets.are_full(rates, bucket_now));
    }

    pub(super) fn len(&self) -> usize {
        self.clients.len()
    }

    /// Room that is set aside; for tests of memory.
    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.clients.capacity()
    }

    /// Clients that found no room of their own.
    pub(super) const fn bound_hits(&self) -> u64 {
        self.bound_hits
    }
}
