//! Datagrams that come in on the membership port.

use std::net::SocketAddr;
use std::time::Duration;

use hyperscale_codec::NodeId;
use hyperscale_core::Instant;

use super::Swim;
use super::claims::{DEAF, Via};
use super::compose::{Draft, Words};
use crate::relay::Relay;
use crate::seal::SealError;
use crate::suspicion::shortest;
use crate::wire::{self, Datagram, DatagramKind, WANTS_NACK, WireError};
use crate::{Claim, MemberState, Outbox};

impl Swim {
    pub(super) fn reject(&mut self, error: WireError) {
        let counters = &mut self.counters;
        match error {
            WireError::Size { .. } | WireError::Magic(_) | WireError::Kind(_) | WireError::CutOff(_) => {
                counters.rejected_malformed += 1;
            }
            WireError::Major(_) => counters.rejected_version += 1,
            WireError::Seal(SealError::UnknownKey(_)) => counters.rejected_key += 1,
            WireError::Seal(SealError::Broken) => counters.rejected_seal += 1,
        }
    }

    pub(super) fn on_datagram(&mut self, now: Instant, from: SocketAddr, bytes: &[u8], out: &mut Outbox) {
        self.counters.datagrams_in += 1;
        self.counters.in_bytes += bytes.len() as u64;
        let mut scratch = std::mem::take(&mut self.scratch);
        match wire::read(bytes, self.config.datagram_bytes_max, &self.seal, &mut scratch) {
            Err(error) => self.reject(error),
            Ok(datagram) => self.on_opened(now, from, bytes.len(), &datagram, out),
        }
        self.scratch = scratch;
    }

    /// Whether it is anybody else's, and new.
    pub(super) fn is_fresh(&mut self, datagram: &Datagram<'_>) -> bool {
        if datagram.sender == self.own.node {
            self.counters.rejected_own += 1;
            return false;
        }
        let new = self.replays.is_new(datagram.sender, datagram.instance, datagram.counter);
        self.counters.rejected_replay += u64::from(!new);
        if new {
            let deaf_for = self.now.since(self.heard_at);
            self.heard_at = self.now;
            if self.config.lifeguard.suspicion && deaf_for > self.config.probe_interval * DEAF {
                // What it held against others it found out while it heard nobody: they get time to object.
                self.suspicions.not_before(self.now + shortest(&self.config, self.size()));
            }
        }
        new
    }

    fn on_opened(
        &mut self,
        now: Instant,
        from: SocketAddr,
        len: usize,
        datagram: &Datagram<'_>,
        out: &mut Outbox,
    ) {
        if !self.is_fresh(datagram) {
            return;
        }
        // Before the answer, so that it can refute.
        for claim in datagram.claims() {
            self.apply(now, &claim, Via::Gossip, out);
        }
        let slot = self.members.find(datagram.sender);
        self.hear_sender(now, slot, datagram, out);
        if self.config.load_awareness {
            for word in datagram.words() {
                self.on_word(now, word, false, out);
            }
        }
        let head = datagram.head;
        match datagram.kind {
            DatagramKind::Ping => self.on_ping(now, from, len, datagram, slot, out),
            DatagramKind::PingReq => self.on_ping_req(now, from, datagram, slot, out),
            DatagramKind::Ack => self.on_ack(now, head.seq, head.target, head.target == datagram.sender, out),
            DatagramKind::Nack => self.on_nack(head.seq, head.target),
            DatagramKind::Gossip => {}
            DatagramKind::List | DatagramKind::OobProbe | DatagramKind::OobAck | DatagramKind::OobNack => {
                self.counters.rejected_malformed += 1;
            }
        }
    }

    /// The sender says which incarnation it is: the quickest refutation there is.
    fn hear_sender(&mut self, now: Instant, slot: Option<u32>, datagram: &Datagram<'_>, out: &mut Outbox) {
        let head = datagram.head;
        let Some(slot) = slot else { return };
        let Some(stamp) = self.members.stamp(slot) else { return };
        if stamp.boot == u64::from(head.boot)
            && head.incarnation > stamp.incarnation
            && let Some(card) = self.members.card(slot).copied()
        {
            let claim =
                Claim { card, incarnation: head.incarnation, state: MemberState::Alive, accuser: NodeId(0) };
            self.apply(now, &claim, Via::Gossip, out);
        }
    }

    fn on_ping(
        &mut self,
        now: Instant,
        from: SocketAddr,
        len: usize,
        datagram: &Datagram<'_>,
        slot: Option<u32>,
        out: &mut Outbox,
    ) {
        let head = datagram.head;
        if head.target != self.own.node {
            // For somebody who had this address before.
            self.counters.rejected_stranger += 1;
            return;
        }
        let known = slot.filter(|slot| {
            self.members.verified(*slot) && self.members.card(*slot).is_some_and(|card| card.addr == from)
        });
        // Whom this node holds dead, or suspects, hears so and can refute.
        let first = slot.filter(|slot| match self.members.stamp(*slot) {
            Some(stamp) if stamp.boot == u64::from(head.boot) => match stamp.state {
                MemberState::Alive => false,
                MemberState::Suspect => self.config.lifeguard.buddy,
                MemberState::Dead | MemberState::Left => true,
            },
            Some(_) | None => false,
        });
        let draft = Draft {
            slot,
            first,
            words: Words::OwnFirst,
            // A forged source must not get more than was spent on it.
            limit: if known.is_some() { usize::MAX } else { len },
            ..Draft::new(DatagramKind::Ack, from)
        };
        self.send(now, draft, self.head(head.seq, self.own.node), out);
    }

    fn on_ping_req(
        &mut self,
        now: Instant,
        from: SocketAddr,
        datagram: &Datagram<'_>,
        asker: Option<u32>,
        out: &mut Outbox,
    ) {
        let head = datagram.head;
        let target = self.members.find(head.target).filter(|slot| self.members.is_live(*slot));
        let (Some(slot), Some(_), false) = (target, asker, self.relays.is_full()) else {
            self.counters.rejected_stranger += 1;
            return;
        };
        self.seq = self.seq.wrapping_add(1);
        let seq = self.seq;
        let wait = Duration::from_millis(u64::from(head.wait_ms)).min(self.config.probe_timeout_max * 2);
        let wants_nack = datagram.flags & WANTS_NACK != 0;
        self.relays.start((seq, head.target), (from, head.seq), wait, wants_nack, now);
        self.ping(now, slot, seq, out);
    }

    pub(super) fn send_nack(&mut self, relay: &Relay, out: &mut Outbox) {
        let draft = Draft::new(DatagramKind::Nack, relay.asker_addr);
        let head = self.head(relay.asker_seq, relay.target);
        self.send(self.now, draft, head, out);
    }
}
