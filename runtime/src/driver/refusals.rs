//! What is logged of refusals: one line for each peer, reason and pair of versions, however often it comes.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hyperscale_codec::{Hello, ProtocolVersion, Verdict};
use hyperscale_core::Instant;

/// Peers remembered; the oldest goes, and would be logged again.
const REMEMBERED_MAX: usize = 256;
/// The least time between two lines: callers choose their names, and how often they come.
const PAUSE: Duration = Duration::from_secs(1);

/// A refused peer, as far as a line about it would differ.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Refused {
    addr: IpAddr,
    name: String,
    version: ProtocolVersion,
    verdict: Verdict,
}

#[derive(Debug, Default)]
pub(super) struct Refusals {
    logged: VecDeque<Refused>,
    last: Option<Instant>,
}

impl Refusals {
    /// Logs that `peer` and this node, which speaks `ours`, do not talk.
    pub(super) fn log(
        &mut self,
        now: Instant,
        ours: ProtocolVersion,
        addr: SocketAddr,
        peer: &Hello,
        verdict: Verdict,
        text: &str,
    ) {
        if self.is_due(now, addr, peer, verdict) {
            let (name, theirs) = (&peer.name, peer.version);
            tracing::warn!(peer = %addr, name, ?verdict, %ours, %theirs, text, "a peer and this node do not talk");
        }
    }

    /// Whether this is the first of its like. What comes too soon after another is left for its next time.
    fn is_due(&mut self, now: Instant, addr: SocketAddr, peer: &Hello, verdict: Verdict) -> bool {
        if self.last.is_some_and(|last| now.since(last) < PAUSE) {
            return false;
        }
        let refused = Refused { addr: addr.ip(), name: peer.name.clone(), version: peer.version, verdict };
        // What lasts is told once. A node that is full or draining is told again: that is news each time.
        let lasts = matches!(
            verdict,
            Verdict::MajorMismatch | Verdict::OtherFleet | Verdict::RoleNotAllowed | Verdict::DuplicateNode
        );
        if lasts && self.logged.contains(&refused) {
            return false;
        }
        self.last = Some(now);
        if lasts {
            if self.logged.len() >= REMEMBERED_MAX {
                self.logged.pop_front();
            }
            self.logged.push_back(refused);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use hyperscale_codec::{Features, NodeId, Role, ShardId};

    use super::*;

    fn hello(name: &str, minor: u16) -> Hello {
        Hello {
            verdict: Verdict::Welcome,
            role: Role::Gate,
            version: ProtocolVersion { major: 2, minor },
            shards: 1,
            shard: ShardId(0),
            in_flight_max: 1,
            features: Features::default(),
            node: NodeId(1),
            boot: 1,
            core_max: 1,
            idle_timeout_ms: 0,
            retry_after_ms: 0,
            node_version: String::new(),
            fleet: String::new(),
            text: String::new(),
            name: name.to_owned(),
            ports: Vec::new(),
            swim_port: 0,
            oob_port: 0,
        }
    }

    fn due(refusals: &mut Refusals, second: u64, port: u16, peer: &Hello) -> bool {
        let (now, addr) = (Instant(second.saturating_mul(1_000_000_000)), ([10, 0, 0, 1], port).into());
        refusals.is_due(now, addr, peer, Verdict::MajorMismatch)
    }

    #[test]
    fn a_peer_is_logged_once_for_each_pair_of_versions() {
        let mut refusals = Refusals::default();
        assert!(due(&mut refusals, 1, 4000, &hello("gate-3", 0)));
        assert!(
            (2..100).all(|second| !due(&mut refusals, second, 4001, &hello("gate-3", 0))),
            "a port is no peer"
        );
        assert!(due(&mut refusals, 100, 4000, &hello("gate-3", 1)));
        assert!(due(&mut refusals, 101, 4000, &hello("gate-4", 1)));
    }

    #[test]
    fn peers_that_come_at_once_are_logged_one_a_second() {
        let mut refusals = Refusals::default();
        assert!(due(&mut refusals, 1, 4000, &hello("a", 0)));
        assert!(!due(&mut refusals, 1, 4000, &hello("b", 0)));
        assert!(due(&mut refusals, 2, 4000, &hello("b", 0)), "its next attempt is logged");
    }

    #[test]
    fn a_caller_that_changes_its_name_fills_a_bounded_table() {
        let mut refusals = Refusals::default();
        (0..1000).for_each(|n| assert!(due(&mut refusals, n + 1, 4000, &hello(&n.to_string(), 0))));
        assert_eq!(refusals.logged.len(), REMEMBERED_MAX);
        assert!(due(&mut refusals, 2000, 4000, &hello("0", 0)), "the oldest is forgotten");
        assert!(!due(&mut refusals, 2001, 4000, &hello("999", 0)));
    }
}
