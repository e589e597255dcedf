//! Who a client is as far as its rates go, and its buckets.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use hyperscale_codec::NodeId;

use super::Operation;
use super::rate::{Rate, Short};

/// What one client is told from another by: its address (of IPv6 the /64, which is what one host is given at least), never
/// an id of its own choice. But on loopback, where all clients have one address, its node id as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClientKey(Key);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    V4(u32),
    /// The upper half.
    V6(u64),
    Loopback {
        is_v6: bool,
        node: u128,
    },
}

impl ClientKey {
    /// The client at this address that calls itself so.
    #[must_use]
    pub fn new(addr: IpAddr, node: NodeId) -> Self {
        let addr = addr.to_canonical();
        Self(match addr {
            _ if addr.is_loopback() => Key::Loopback { is_v6: addr.is_ipv6(), node: node.0 },
            IpAddr::V4(v4) => Key::V4(v4.to_bits()),
            IpAddr::V6(v6) => {
                let [a, b, c, d, e, f, g, h, ..] = v6.octets();
                Key::V6(u64::from_be_bytes([a, b, c, d, e, f, g, h]))
            }
        })
    }
}

/// As few words as tell keys apart. Two that no seed keeps apart are an IPv4 address and the one IPv6 net of the same
/// number: a pair, never a crowd.
impl std::hash::Hash for ClientKey {
    #[expect(clippy::cast_possible_truncation, reason = "the lower half, then the upper")]
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        match self.0 {
            Key::V4(addr) => state.write_u64(addr.into()),
            Key::V6(net) => state.write_u64(net),
            Key::Loopback { node, .. } => {
                state.write_u64(node as u64);
                state.write_u64((node >> 64) as u64);
            }
        }
    }
}

/// A rate for each operation that has one.
pub(super) type Rates = [Option<Rate>; Operation::COUNT];

/// One client's buckets, which all shards of a node take from: a word each, as in [`Rate::take`].
///
/// Shards read their clocks a little apart, and one that is behind only finds a token that much later: what is given
/// never exceeds a bucket and what came back between the earliest reading and the latest.
#[derive(Debug, Default)]
pub(crate) struct ClientBuckets([AtomicU64; Operation::COUNT]);

impl ClientBuckets {
    pub(super) fn acquire(&self, operation: Operation, rate: &Rate, now: u64) -> Result<(), Short> {
        let Some(bucket) = self.0.get(operation.index()) else { return Ok(()) };
        let mut full_at = bucket.load(Ordering::Relaxed);
        loop {
            let then = rate.take(full_at, 1, now)?;
            match bucket.compare_exchange_weak(full_at, then, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Ok(()),
                Err(other) => full_at = other,
            }
        }
    }

    /// Whole tokens left.
    pub(super) fn tokens(&self, operation: Operation, rate: &Rate, now: u64) -> u32 {
        let bucket = self.0.get(operation.index());
        bucket.map_or(0, |bucket| rate.tokens(bucket.load(Ordering::Relaxed), now))
    }

    /// Whether all are full: as if it had never asked.
    pub(super) fn are_full(&self, rates: &Rates, now: u64) -> bool {
        let mut buckets = self.0.iter().zip(rates);
        buckets
            .all(|(bucket, rate)| rate.is_none_or(|rate| rate.is_full(bucket.load(Ordering::Relaxed), now)))
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
