//! Who a client is as far as its rates go, and its buckets.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use hyperscale_codec::NodeId;

use super::Operation;
use super::rate::{Rate, Short};

/// What one client is told from another by: its address (of IPv6 the /64, which is what one host is given at least), never
/// an id of its own choice. But on loopback, where all clients have one address, its node id as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClientKey {
    net: u128,
    node: u128,
}

impl ClientKey {
    /// The client at this address that calls itself so.
    #[must_use]
    pub fn new(addr: IpAddr, node: NodeId) -> Self {
        let addr = addr.to_canonical();
        let node = if addr.is_loopback() { node.0 } else { 0 };
        let net = match addr {
            IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
            IpAddr::V6(v6) if v6.is_loopback() => v6.to_bits(),
            IpAddr::V6(v6) => v6.to_bits() & !u128::from(u64::MAX),
        };
        Self { net, node }
    }
}

/// In one piece: 32 bytes at once cost half of two times sixteen.
impl std::hash::Hash for ClientKey {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        let mut bytes = [0; 32];
        let (net, node) = bytes.split_at_mut(16);
        net.copy_from_slice(&self.net.to_le_bytes());
        node.copy_from_slice(&self.node.to_le_bytes());
        state.write(&bytes);
    }
}

/// One bucket that all shards of a node take from.
#[derive(Debug, Default)]
struct SharedBucket {
    /// As in [`Rate::take`].
    full_at: AtomicU64,
    /// The latest clock reading: shards read their clocks a little apart. Two that store at once may leave the earlier
    /// one, which at worst gives a token later.
    seen: AtomicU64,
}

impl SharedBucket {
    fn acquire(&self, rate: &Rate, now: u64) -> Result<(), Short> {
        let seen = self.seen.load(Ordering::Relaxed);
        if now > seen {
            self.seen.store(now, Ordering::Relaxed);
        }
        let (now, mut full_at) = (now.max(seen), self.full_at.load(Ordering::Relaxed));
        loop {
            let then = rate.take(full_at, 1, now)?;
            match self.full_at.compare_exchange_weak(full_at, then, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Ok(()),
                Err(other) => full_at = other,
            }
        }
    }
}

/// A rate for each operation that has one.
pub(super) type Rates = [Option<Rate>; Operation::COUNT];

/// One client's buckets, the same on all shards of a node.
#[derive(Debug, Default)]
pub(crate) struct ClientBuckets([SharedBucket; Operation::COUNT]);

impl ClientBuckets {
    pub(super) fn acquire(&self, operation: Operation, rate: &Rate, now: u64) -> Result<(), Short> {
        self.0.get(operation.index()).map_or(Ok(()), |bucket| bucket.acquire(rate, now))
    }

    /// Whole tokens left.
    pub(super) fn tokens(&self, operation: Operation, rate: &Rate, now: u64) -> u32 {
        let bucket = self.0.get(operation.index());
        bucket.map_or(0, |bucket| rate.tokens(bucket.full_at.load(Ordering::Relaxed), now))
    }

    /// Whether all are full: as if it had never asked.
    pub(super) fn are_full(&self, rates: &Rates, now: u64) -> bool {
        self.0.iter().zip(rates).all(|(bucket, rate)| {
            rate.is_none_or(|rate| rate.is_full(bucket.full_at.load(Ordering::Relaxed), now))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(addr: &str, node: u128) -> ClientKey {
        ClientKey::new(addr.parse().unwrap(), NodeId(node))
    }

    #[test]
    fn an_id_of_ones_own_choice_counts_on_loopback_alone() {
        assert_eq!(key("10.0.0.1", 1), key("10.0.0.1", 2));
        assert_eq!(key("10.0.0.1", 1), key("::ffff:10.0.0.1", 2));
        assert_ne!(key("10.0.0.1", 1), key("10.0.0.2", 1));
        assert_ne!(key("127.0.0.1", 1), key("127.0.0.1", 2));
        assert_ne!(key("::1", 1), key("::1", 2));
        assert_ne!(key("::1", 1), key("127.0.0.1", 1));
    }

    #[test]
    fn one_host_s_many_addresses_are_one_client() {
        assert_eq!(key("2001:db8:0:7::1", 1), key("2001:db8:0:7:ffff::2", 2));
        assert_ne!(key("2001:db8:0:7::1", 1), key("2001:db8:0:8::1", 1));
    }

    #[test]
    fn shards_that_ask_at_once_share_exactly_one_bucket() {
        let (buckets, rate) = (ClientBuckets::default(), Rate::new(1_000, 10.0));
        let given: usize = std::thread::scope(|scope| {
            let shards: Vec<_> = (0..4)
                .map(|shard| {
                    let (buckets, rate) = (&buckets, &rate);
                    let ask =
                        move |i: u64| buckets.acquire(Operation::Nodes, rate, 1 + (i + shard) % 7).is_ok();
                    scope.spawn(move || (0..1_000).filter(|&i| ask(i)).count())
                })
                .collect();
            shards.into_iter().map(|shard| shard.join().unwrap()).sum()
        });
        assert_eq!(given, 1_000);
        assert_eq!(buckets.tokens(Operation::Nodes, &rate, 7), 0);
        assert_eq!(buckets.tokens(Operation::Cancel, &rate, 7), 1_000);
    }
}
