//! How nodes are: one's own word, peers' words, and asking out of band.

use std::net::SocketAddr;
use std::time::Duration;

use hyperscale_codec::NodeId;
use hyperscale_codec::messages::HealthPiggyback;
use hyperscale_core::{DatagramPort, Instant};

use super::Swim;
use crate::awareness::{News, REFRESH, class};
use crate::oob::Purpose;
use crate::wire::{self, DatagramKind, OOB_LEN, OobBody, WireError};
use crate::{OobAnswer, Outbox, Output};

/// The own word's number is raised so often while it is told, so that it stays fresh at others.
const RAISE: Duration = Duration::from_secs(1);
const OVERLOADED: u8 = 3;

impl Swim {
    /// What this node says of itself from now on (`StateEmbedder`).
    pub(super) fn on_own_health(&mut self, now: Instant, word: HealthPiggyback) {
        let before = self.own_word;
        let next = before.map_or(word.seq, |held| held.seq.saturating_add(1).max(word.seq));
        let word = HealthPiggyback {
            node_id: self.own.node.to_bytes(),
            node_type: self.own.role as u8,
            boot: self.own.boot,
            incarnation: self.refutations.incarnation(),
            seq: next,
            lhm: self.lhm.score(),
            ..wire::cleaned(word)
        };
        (self.own_word, self.own_word_at) = (Some(word), now);
        let overload_before = before.map_or(0, |held| held.overload_state);
        let changed = before.map_or(word.overload_state > 0, |held| class(&held) != class(&word));
        if changed && self.config.load_awareness {
            self.health.offer(word, overload_before, now);
            self.arm_gossip(now);
        }
        if word.overload_state == 0 || !self.config.load_awareness {
            self.refresh_at = None;
        } else if self.refresh_at.is_none() {
            self.refresh_at = Some(now + REFRESH);
        }
    }

    /// While not healthy, this node tells everybody anew every 10 s.
    pub(super) fn refresh_own_word(&mut self, now: Instant) {
        self.refresh_at = None;
        self.own_word_at = Instant::ZERO;
        if let Some(word) = self.current_word(now).filter(|word| word.overload_state > 0) {
            self.refresh_at = Some(now + REFRESH);
            self.health.offer(word, word.overload_state, now);
            self.arm_gossip(now);
        }
    }

    /// The own word as it is told now.
    pub(super) fn current_word(&mut self, now: Instant) -> Option<HealthPiggyback> {
        let (lhm, incarnation) = (self.lhm.score(), self.refutations.incarnation());
        let word = self.own_word.as_mut()?;
        if now.since(self.own_word_at) >= RAISE {
            self.own_word_at = now;
            word.seq = word.seq.saturating_add(1);
        }
        (word.lhm, word.incarnation) = (lhm, incarnation);
        Some(*word)
    }

    /// This node's word as it is told now, for heartbeats over TCP: one numbering for both ways.
    pub fn own_health(&mut self, now: Instant) -> Option<HealthPiggyback> {
        self.current_word(now)
    }

    /// The newest own word of a peer, if it came within 30 s of the last input.
    #[must_use]
    pub fn peer_health(&self, node: NodeId) -> Option<HealthPiggyback> {
        self.awareness.get(node, self.now).copied()
    }

    /// A peer's word on itself. `proven`: it came over the peer's own link.
    pub(super) fn on_word(&mut self, now: Instant, word: HealthPiggyback, proven: bool, out: &mut Outbox) {
        let node = NodeId::from_bytes(word.node_id);
        if node == self.own.node || !self.config.load_awareness {
            return;
        }
        let slot = self.members.find(node);
        if slot.is_none() && !proven {
            return;
        }
        match self.awareness.take(word, now) {
            News::Old => return,
            News::Newer => {}
            News::Tell(before) => {
                self.health.offer(word, before, now);
                self.arm_gossip(now);
            }
        }
        out.push(Output::Health { node });
        if word.overload_state >= 2
            && let Some(slot) = slot
        {
            self.suspicions.stretch(slot);
        }
    }

    pub(super) fn ask_out_of_band(
        &mut self,
        now: Instant,
        node: NodeId,
        timeout: Duration,
        out: &mut Outbox,
    ) {
        let slot = self.members.find(node).filter(|slot| self.oob_addr(*slot).is_some());
        let asked = slot.is_some_and(|slot| self.send_out_of_band(now, slot, Purpose::Asked, timeout, out));
        if !asked {
            out.push(Output::OutOfBand { node, answer: None });
        }
    }

    /// Whether a probe could be sent.
    pub(super) fn send_out_of_band(
        &mut self,
        now: Instant,
        slot: u32,
        purpose: Purpose,
        timeout: Duration,
        out: &mut Outbox,
    ) -> bool {
        let (Some(card), Some(addr)) = (self.members.card(slot), self.oob_addr(slot)) else { return false };
        let Some(number) = self.oob.start(card.node, addr, purpose, timeout, now) else {
            self.counters.oob_limited += 1;
            return false;
        };
        self.counters.oob_probes += 1;
        self.write_out_of_band(DatagramKind::OobProbe, number, addr, out);
        true
    }

    fn write_out_of_band(&mut self, kind: DatagramKind, number: u64, to: SocketAddr, out: &mut Outbox) {
        let nonce = self.next_nonce();
        let arena = out.arena();
        let start = arena.len();
        wire::begin(arena, kind, 0, self.own.node, nonce);
        let body = OobBody {
            number,
            boot: self.own.boot,
            incarnation: self.refutations.incarnation(),
            overload_state: self.own_word.map_or(0, |word| word.overload_state),
            lhm: self.lhm.score(),
        };
        wire::write_oob(arena, body);
        debug_assert_eq!(arena.len() - start, OOB_LEN, "an out-of-band datagram has one length");
        wire::finish(arena, start, &self.seal);
        self.counters.datagrams_out += 1;
        self.counters.out_bytes += OOB_LEN as u64;
        out.datagram(DatagramPort::Health, to, start);
    }

    pub(super) fn on_out_of_band(&mut self, now: Instant, from: SocketAddr, bytes: &[u8], out: &mut Outbox) {
        self.counters.datagrams_in += 1;
        self.counters.in_bytes += bytes.len() as u64;
        if bytes.len() != OOB_LEN {
            self.reject(WireError::Size { len: bytes.len(), min: OOB_LEN, max: OOB_LEN });
            return;
        }
        let mut scratch = std::mem::take(&mut self.scratch);
        match wire::open(bytes, OOB_LEN, &self.seal, &mut scratch) {
            Err(error) => self.reject(error),
            Ok(datagram) => {
                if self.is_fresh(&datagram)
                    && let Some(body) = datagram.oob()
                {
                    self.on_oob_opened(now, from, (datagram.kind, datagram.sender), body, out);
                }
            }
        }
        self.scratch = scratch;
    }

    fn on_oob_opened(
        &mut self,
        now: Instant,
        from: SocketAddr,
        (kind, sender): (DatagramKind, NodeId),
        body: OobBody,
        out: &mut Outbox,
    ) {
        match kind {
            DatagramKind::OobProbe => {
                let overloaded = self.own_word.is_some_and(|word| word.overload_state >= OVERLOADED);
                let answer = if overloaded { DatagramKind::OobNack } else { DatagramKind::OobAck };
                self.write_out_of_band(answer, body.number, from, out);
            }
            DatagramKind::OobAck | DatagramKind::OobNack => {
                let Some(pending) = self.oob.answered(sender, body.number, from) else { return };
                let overloaded = kind == DatagramKind::OobNack;
                self.on_oob_answer(now, sender, pending.purpose, body, overloaded, out);
            }
            DatagramKind::Ping
            | DatagramKind::PingReq
            | DatagramKind::Ack
            | DatagramKind::Nack
            | DatagramKind::Gossip
            | DatagramKind::List => self.counters.rejected_malformed += 1,
        }
    }

    fn on_oob_answer(
        &mut self,
        now: Instant,
        node: NodeId,
        purpose: Purpose,
        body: OobBody,
        overloaded: bool,
        out: &mut Outbox,
    ) {
        let slot = self.members.find(node);
        if let Some(suspicion) = slot.and_then(|slot| self.suspicions.get_mut(slot)) {
            suspicion.unreachable = false;
        }
        match purpose {
            Purpose::Round => {
                if let Some(probe) = self.probe.filter(|probe| probe.node == node) {
                    self.answered(probe, out);
                }
            }
            Purpose::Check => {
                if let Some(slot) = slot {
                    self.checked(now, slot, true, out);
                }
            }
            Purpose::Asked => out.push(Output::OutOfBand {
                node,
                answer: Some(OobAnswer {
                    boot: body.boot,
                    incarnation: body.incarnation,
                    overload_state: body.overload_state,
                    lhm: body.lhm,
                    overloaded,
                }),
            }),
        }
    }

    /// Out-of-band probes whose time is over.
    pub(super) fn end_out_of_band(&mut self, now: Instant, out: &mut Outbox) {
        while let Some(pending) = self.oob.overdue(now) {
            let node = pending.node;
            let slot = self.members.find(node);
            match pending.purpose {
                Purpose::Round => {
                    if let Some(probe) = self.probe.as_mut().filter(|probe| probe.node == node) {
                        probe.unreachable = true;
                    } else if let Some(suspicion) = slot.and_then(|slot| self.suspicions.get_mut(slot)) {
                        suspicion.unreachable = true;
                    }
                }
                Purpose::Check => {
                    if let Some(slot) = slot
                        .filter(|slot| self.suspicions.get(*slot).is_some_and(|suspicion| suspicion.checking))
                    {
                        self.checked(now, slot, false, out);
                    }
                }
                Purpose::Asked => out.push(Output::OutOfBand { node, answer: None }),
            }
        }
    }
}
