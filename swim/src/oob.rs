//! `OutOfBandHealthChannel`: which probes are under way, and how many may be.
//!
//! 100 probes a second in all, one per 10 ms and target. Answered by `Nack`: alive but overloaded.

use std::net::SocketAddr;
use std::time::Duration;

use hyperscale_codec::NodeId;
use hyperscale_core::Instant;

const PER_SECOND: u32 = 100;
const PER_TARGET: Duration = Duration::from_millis(10);
/// Under way at most: a second's probes.
const PENDING_MAX: usize = 128;

/// Why a node is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Its ping stayed unanswered.
    Round,
    /// It is to be declared dead on one accuser's word.
    Check,
    /// Somebody wants to know.
    Asked,
}

/// One probe under way.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pending {
    pub(crate) node: NodeId,
    pub(crate) number: u64,
    pub(crate) due: Instant,
    pub(crate) purpose: Purpose,
    addr: SocketAddr,
    sent: Instant,
}

/// Probes under way.
#[derive(Debug, Clone, Default)]
pub(crate) struct OutOfBandHealthChannel {
    pending: Vec<Pending>,
    number: u64,
    second: Instant,
    sent: u32,
}

impl OutOfBandHealthChannel {
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.pending.iter().map(|probe| probe.due).min()
    }

    /// The number of a probe that may be sent now.
    pub(crate) fn start(
        &mut self,
        node: NodeId,
        addr: SocketAddr,
        purpose: Purpose,
        timeout: Duration,
        now: Instant,
    ) -> Option<u64> {
        if now.since(self.second) >= Duration::from_secs(1) {
            (self.second, self.sent) = (now, 0);
        }
        let too_soon =
            self.pending.iter().any(|probe| probe.node == node && now.since(probe.sent) < PER_TARGET);
        if self.sent >= PER_SECOND || self.pending.len() >= PENDING_MAX || too_soon {
            return None;
        }
        self.sent += 1;
        self.number += 1;
        let number = self.number;
        self.pending.push(Pending { node, number, due: now + timeout, purpose, addr, sent: now });
        Some(number)
    }

    /// An answer came: the probe that it answers.
    pub(crate) fn answered(&mut self, node: NodeId, number: u64, from: SocketAddr) -> Option<Pending> {
        let is_it = |probe: &Pending| probe.node == node && probe.number == number && probe.addr == from;
        let at = self.pending.iter().position(is_it)?;
        Some(self.pending.swap_remove(at))
    }

    /// One whose time is over.
    pub(crate) fn overdue(&mut self, now: Instant) -> Option<Pending> {
        let at = self.pending.iter().position(|probe| probe.due <= now)?;
        Some(self.pending.remove(at))
    }

    /// This node stood still: every probe gets its time anew.
    pub(crate) fn rearm(&mut self, now: Instant) {
        for probe in &mut self.pending {
            let timeout = probe.due.since(probe.sent);
            (probe.sent, probe.due) = (now, now + timeout);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hundred_a_second_and_one_per_ten_ms_and_target() {
        let mut channel = OutOfBandHealthChannel::default();
        let addr: SocketAddr = "10.0.0.1:9".parse().unwrap();
        let mut start = |node, at: Instant| {
            channel.start(NodeId(node), addr, Purpose::Asked, Duration::from_millis(500), at)
        };
        let t = Instant(5_000_000_000);
        assert!(start(1, t).is_some());
        assert!(start(1, t + Duration::from_millis(9)).is_none());
        assert!(start(1, t + Duration::from_millis(10)).is_some());
        let more = (2..200).filter(|&node| start(node, t).is_some()).count();
        assert_eq!(more, 98);
        let later = t + Duration::from_secs(2);
        while channel.overdue(later).is_some() {}
        let number = channel.start(NodeId(1), addr, Purpose::Asked, PER_TARGET, later).unwrap();
        assert!(channel.answered(NodeId(1), number, "10.0.0.2:9".parse().unwrap()).is_none());
        assert!(channel.answered(NodeId(1), number, addr).is_some());
        assert!(channel.answered(NodeId(1), number, addr).is_none());
    }
}
