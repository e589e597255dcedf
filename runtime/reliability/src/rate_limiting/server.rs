//! What a node holds its clients to. One table and one clock a node: a limit is not divided by shards, nor multiplied.

use std::net::IpAddr;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use hyperscale_codec::NodeId;
use hyperscale_core::Instant;

use super::bucket_clock::{BucketClock, BucketTime};
use super::client::{ClientBuckets, ClientKey, Rates};
use super::client_table::ClientTable;
use super::rate::{Rate, Short, rounded_up};
use super::{Operation, RateLimitConfig};
use crate::LoadGauge;

/// A request beyond its caller's rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimited {
    /// What there was too much of.
    pub operation: Operation,
    /// When a token will be there; [`Duration::MAX`]: never.
    pub retry_after: Duration,
    /// Requests at once at most.
    pub limit: u32,
    /// Requests that would be taken now.
    pub remaining: u32,
}

/// What all clients of a node have in common.
#[derive(Debug)]
struct Terms {
    config: RateLimitConfig,
    rates: Rates,
    clock: BucketClock,
}

impl Terms {
    fn new(config: RateLimitConfig, gauge: LoadGauge) -> Self {
        let rate = |operation| config.limit(operation).map(|limit| Rate::new(limit.size, limit.per_second));
        Self { rates: Operation::ALL.map(rate), clock: BucketClock::new(gauge), config }
    }

    fn check(
        &self,
        client: &ClientBuckets,
        operation: Operation,
        time: BucketTime,
    ) -> Result<(), RateLimited> {
        let Some(Some(rate)) = self.rates.get(operation.index()) else { return Ok(()) };
        client.acquire(operation, rate, time.ns).map_err(|short| RateLimited {
            operation,
            retry_after: match short {
                Short::Wait(wait_ns) => rounded_up(wait_ns.saturating_mul(time.slowness)),
                Short::Never => Duration::MAX,
            },
            limit: rate.size(),
            remaining: client.tokens(operation, rate, time.ns),
        })
    }
}

/// The rates of clients that are known by their keys, asked by one owner.
#[derive(Debug)]
pub struct ServerRateLimiter {
    terms: Terms,
    table: ClientTable,
}

impl ServerRateLimiter {
    /// Nobody has asked for anything; refills follow `gauge`, `seed` is unknown to peers.
    #[must_use]
    pub fn new(config: RateLimitConfig, gauge: LoadGauge, seed: u64) -> Self {
        Self { table: ClientTable::new(config.clients_max, seed), terms: Terms::new(config, gauge) }
    }

    /// Whether this client may ask for this now, which takes a token; else when it may.
    pub fn check_rate_limit(
        &mut self,
        client: ClientKey,
        operation: Operation,
        now: Instant,
    ) -> (bool, Duration) {
        let time = self.terms.clock.at(now);
        let checked = match self.table.known(client) {
            Some(buckets) => self.terms.check(buckets, operation, time),
            None => {
                let buckets = self.table.newcomer(client, now, &self.terms.rates, time.ns);
                self.terms.check(buckets, operation, time)
            }
        };
        match checked {
            Ok(()) => (true, Duration::ZERO),
            Err(limited) => (false, limited.retry_after),
        }
    }

    /// Clients in the table.
    #[must_use]
    pub fn clients(&self) -> usize {
        self.table.len()
    }

    /// Clients that found no room of their own, and share one bucket an operation with each other.
    #[must_use]
    pub const fn bound_hits(&self) -> u64 {
        self.table.bound_hits()
    }
}

/// The rates of all clients of a node. Cloned, it is the same one: each shard has it. Clients are looked up when their
/// link comes up; a request then takes its token by one swap of one word, on whatever shard.
#[derive(Debug, Clone)]
pub struct NodeRateLimiter(Arc<Shared>);

#[expect(clippy::disallowed_types, reason = "taken when a link comes up, for a look-up; never for a request")]
type Table = std::sync::Mutex<ClientTable>;

#[derive(Debug)]
struct Shared {
    terms: Terms,
    table: Table,
}

/// A client with a link: it keeps its place in the table for as long.
#[derive(Debug)]
pub(crate) struct LinkedClient(Arc<ClientBuckets>);

impl NodeRateLimiter {
    /// Nobody has asked for anything; refills follow `gauge`, `seed` is unknown to peers.
    #[must_use]
    pub fn new(config: RateLimitConfig, gauge: LoadGauge, seed: u64) -> Self {
        let table = Table::new(ClientTable::new(config.clients_max, seed));
        Self(Arc::new(Shared { table, terms: Terms::new(config, gauge) }))
    }

    /// The client at this address that calls itself so; `None` if it has no limits.
    pub(crate) fn link(&self, addr: IpAddr, node: NodeId, now: Instant) -> Option<LinkedClient> {
        if self.0.terms.config.is_exempt(addr) {
            return None;
        }
        let (key, terms, mut table) = (ClientKey::new(addr, node), &self.0.terms, self.table());
        if let Some(buckets) = table.known(key) {
            return Some(LinkedClient(Arc::clone(buckets)));
        }
        let buckets = table.newcomer(key, now, &terms.rates, terms.clock.at(now).ns);
        Some(LinkedClient(Arc::clone(buckets)))
    }

    /// Takes a token.
    pub(crate) fn check(
        &self,
        client: &LinkedClient,
        operation: Operation,
        now: Instant,
    ) -> Result<(), RateLimited> {
        self.0.terms.check(&client.0, operation, self.0.terms.clock.at(now))
    }

    /// Clients in the table.
    #[must_use]
    pub fn clients(&self) -> usize {
        self.table().len()
    }

    /// Links whose client found no room of its own, and shares one bucket an operation with others like it.
    #[must_use]
    pub fn bound_hits(&self) -> u64 {
        self.table().bound_hits()
    }

    /// What a panic of another shard left is whole: no change to a table stops half way.
    fn table(&self) -> MutexGuard<'_, ClientTable> {
        self.0.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
