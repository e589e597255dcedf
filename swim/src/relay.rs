//! Pings made for others (`PingReq`): whose, and by when its asker hears that no answer came.

use std::net::SocketAddr;
use std::time::Duration;

use hyperscale_codec::NodeId;
use hyperscale_core::Instant;

/// Pings for others under way at most; more are refused.
const RELAYS_MAX: usize = 64;

/// One ping made for another.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Relay {
    /// Of this node's own ping.
    pub(crate) seq: u32,
    pub(crate) target: NodeId,
    pub(crate) asker_addr: SocketAddr,
    /// Of the asker's request.
    pub(crate) asker_seq: u32,
    /// When a `Nack` goes out; `None`: it has, or none is wanted.
    nack_at: Option<Instant>,
    over_at: Instant,
}

/// All of them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Relays {
    list: Vec<Relay>,
}

impl Relays {
    pub(crate) fn is_full(&self) -> bool {
        self.list.len() >= RELAYS_MAX
    }

    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.list.iter().map(|relay| relay.nack_at.unwrap_or(relay.over_at)).min()
    }

    /// `wait`: the asker's; after 80 % of it a `Nack` goes out.
    pub(crate) fn start(
        &mut self,
        (seq, target): (u32, NodeId),
        (asker_addr, asker_seq): (SocketAddr, u32),
        wait: Duration,
        wants_nack: bool,
        now: Instant,
    ) {
        let nack_at = wants_nack.then(|| now + wait.mul_f64(0.8));
        self.list.push(Relay { seq, target, asker_addr, asker_seq, nack_at, over_at: now + wait });
    }

    /// The target answered.
    pub(crate) fn answered(&mut self, seq: u32, target: NodeId) -> Option<Relay> {
        let at = self.list.iter().position(|relay| relay.seq == seq && relay.target == target)?;
        Some(self.list.swap_remove(at))
    }

    /// One whose asker is to hear that nothing came; drops those that are over.
    pub(crate) fn unanswered(&mut self, now: Instant) -> Option<Relay> {
        self.list.retain(|relay| relay.over_at > now);
        let relay = self.list.iter_mut().find(|relay| relay.nack_at.is_some_and(|at| at <= now))?;
        relay.nack_at = None;
        Some(*relay)
    }
}
