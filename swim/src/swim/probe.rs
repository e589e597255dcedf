//! Rounds of probing: a ping, then proxies and other ways beside it, then suspicion.

use std::time::Duration;

use hyperscale_codec::NodeId;
use hyperscale_core::Instant;
use rand::Rng;

use super::Swim;
use super::compose::{Draft, Words};
use crate::awareness::timeout_percent;
use crate::oob::Purpose;
use crate::permutation::Round;
use crate::wire::{DatagramKind, Head, WANTS_NACK};
use crate::{MemberState, Outbox, Output};

/// Hints remembered.
const HINTS_MAX: usize = 16;
/// Members looked at when proxies are chosen.
const CANDIDATES: usize = 16;

/// One round.
#[derive(Debug, Clone, Copy)]
pub(super) struct Probe {
    slot: u32,
    pub(super) node: NodeId,
    seq: u32,
    sent: Instant,
    /// When proxies are asked.
    ack_due: Instant,
    /// When it is over, or, once answered, the next begins.
    end: Instant,
    asked_proxies: bool,
    nacks_expected: u8,
    nacks: u8,
    /// Given its time anew because this node stood still; once.
    rearmed: bool,
    /// Nothing came out of band.
    pub(super) unreachable: bool,
}

impl Probe {
    pub(super) const fn due(&self) -> Instant {
        if self.asked_proxies { self.end } else { self.ack_due }
    }
}

impl Swim {
    /// Timeout of a ping and length of its round: base x (LHM + 1) x the peer's factor, at least three of its round
    /// trips, at most 5 s; the round stretches with it.
    pub(super) fn timing(&self, node: Option<NodeId>, now: Instant) -> (Duration, Duration) {
        let config = &self.config;
        let mut timeout = config.probe_timeout * self.lhm.factor();
        if let Some(node) = node {
            if config.load_awareness {
                timeout = timeout * timeout_percent(self.awareness.overload(node, now)) / 100;
            }
            if let Some(us) = self.round_trips.get(node) {
                timeout = timeout.max(Duration::from_micros(u64::from(*us)) * 3);
            }
        }
        let timeout = timeout.min(config.probe_timeout_max.max(config.probe_timeout));
        if timeout == config.probe_timeout {
            return (timeout, config.probe_interval);
        }
        let stretch = timeout.as_secs_f64() / config.probe_timeout.as_secs_f64().max(1e-9);
        let length = config.probe_interval.mul_f64(stretch.clamp(1.0, 1e6));
        (timeout, length.max(config.probe_interval * self.lhm.factor()))
    }

    pub(super) fn probe_on(&mut self, now: Instant, out: &mut Outbox) {
        if let Some(probe) = self.probe {
            if !probe.asked_proxies {
                if now >= probe.ack_due {
                    self.ask_others(now, probe, out);
                }
                return;
            }
            if now < probe.end {
                return;
            }
            // The end passed while this node stood still: the answer may lie in the queue.
            let late = now.since(probe.end) > self.config.probe_timeout;
            if late && !probe.rearmed && self.config.lifeguard.probe {
                self.rearm_probe(now, out);
                return;
            }
            self.fail(now, probe, out);
            self.next_probe = Some(now);
        }
        if self.next_probe.is_some_and(|due| due <= now) {
            self.start_round(now, out);
        }
    }

    fn start_round(&mut self, now: Instant, out: &mut Outbox) {
        self.next_probe = None;
        let Some(slot) = self.next_target() else { return };
        let Some(node) = self.members.card(slot).map(|card| card.node) else { return };
        self.seq = self.seq.wrapping_add(1);
        let (timeout, length) = self.timing(Some(node), now);
        self.probe = Some(Probe {
            slot,
            node,
            seq: self.seq,
            sent: now,
            ack_due: now + timeout,
            end: now + length,
            asked_proxies: false,
            nacks_expected: 0,
            nacks: 0,
            rearmed: false,
            unreachable: false,
        });
        self.counters.probes += 1;
        self.ping(now, slot, self.seq, out);
    }

    /// Who is next: hints, then the round's order; each member once a round.
    fn next_target(&mut self) -> Option<u32> {
        while let Some(slot) = self.hints.pop_front() {
            if self.members.is_live(slot) {
                return Some(slot);
            }
        }
        if self.members.live() == 0 {
            return None;
        }
        // The rest of this round and one whole further round: who is there is met.
        for _ in 0..2 {
            while let Some(slot) = self.round.next() {
                if self.members.is_live(slot) {
                    return Some(slot);
                }
            }
            self.round = Round::new(self.rng.random(), self.members.slots());
        }
        self.round.next().filter(|slot| self.members.is_live(*slot))
    }

    pub(super) fn ping(&mut self, now: Instant, slot: u32, seq: u32, out: &mut Outbox) {
        let Some(card) = self.members.card(slot).copied() else { return };
        // Buddy: a suspect hears of it with the first ping, whatever else is queued.
        let accused = self.config.lifeguard.buddy && self.members.state(slot) == Some(MemberState::Suspect);
        let draft = Draft {
            slot: Some(slot),
            first: accused.then_some(slot),
            words: Words::OwnFirst,
            ..Draft::new(DatagramKind::Ping, card.addr)
        };
        self.send(now, draft, self.head(seq, card.node), out);
    }

    /// No answer in time: proxies, an out-of-band probe and a TCP connection, all at once.
    fn ask_others(&mut self, now: Instant, mut probe: Probe, out: &mut Outbox) {
        probe.asked_proxies = true;
        // From now, however late this is: proxies need their time.
        let wait = probe.end.since(probe.ack_due);
        probe.end = now + wait;
        let (proxies, count) = self.proxies(probe.slot, now);
        let wants_nack = self.config.lifeguard.probe;
        for &slot in proxies.get(..count).unwrap_or_default() {
            let Some(addr) = self.members.card(slot).map(|card| card.addr) else { continue };
            let draft = Draft {
                flags: if wants_nack { WANTS_NACK } else { 0 },
                slot: Some(slot),
                ..Draft::new(DatagramKind::PingReq, addr)
            };
            let wait_ms = u16::try_from(wait.as_millis()).unwrap_or(u16::MAX);
            let head = Head { wait_ms, ..self.head(probe.seq, probe.node) };
            self.send(now, draft, head, out);
            self.counters.indirect += 1;
        }
        if wants_nack {
            probe.nacks_expected = u8::try_from(count).unwrap_or(u8::MAX);
        }
        self.probe = Some(probe);
        if self.oob_addr(probe.slot).is_some() {
            self.send_out_of_band(now, probe.slot, Purpose::Round, self.config.out_of_band_timeout, out);
        }
        if self.config.tcp_probe
            && let Some(card) = self.members.card(probe.slot)
        {
            self.counters.tcp_fallbacks += 1;
            out.push(Output::TcpProbe { node: probe.node, addr: card.addr });
        }
    }

    /// Up to k proxies: healthy ones first, then busy, stressed and overloaded ones.
    fn proxies(&mut self, target: u32, now: Instant) -> ([u32; CANDIDATES], usize) {
        let wanted = self.config.proxies.min(CANDIDATES);
        let sample = if self.config.load_awareness { CANDIDATES } else { wanted };
        let mut found = [(0_u8, 0_u32); CANDIDATES];
        let mut count = 0;
        while count < sample {
            let taken = found;
            let fits = |slot: u32| {
                slot != target
                    && self.members.state(slot) == Some(MemberState::Alive)
                    && self.members.verified(slot)
                    && !taken.iter().take(count).any(|(_, held)| *held == slot)
            };
            let Some(slot) = self.members.pick(&mut self.rng, fits) else { break };
            let node = self.members.card(slot).map_or(NodeId(0), |card| card.node);
            let load = if self.config.load_awareness { self.awareness.overload(node, now) } else { 0 };
            if let Some(place) = found.get_mut(count) {
                *place = (load, slot);
            }
            count += 1;
        }
        if let Some(candidates) = found.get_mut(..count) {
            // Stable: among equals the order stays random.
            candidates.sort_by_key(|(load, _)| *load);
        }
        (found.map(|(_, slot)| slot), count.min(wanted))
    }

    /// Gives the present probe its time anew: this node stood still.
    pub(super) fn rearm_probe(&mut self, now: Instant, out: &mut Outbox) {
        let Some(mut probe) = self.probe else { return };
        if !self.is_target(&probe) {
            (self.probe, self.next_probe) = (None, Some(now));
            return;
        }
        let (timeout, length) = self.timing(Some(probe.node), now);
        probe.sent = now;
        (probe.ack_due, probe.end) = (now + timeout, now + length);
        (probe.asked_proxies, probe.rearmed) = (false, true);
        (probe.nacks_expected, probe.nacks) = (0, 0);
        self.probe = Some(probe);
        self.ping(now, probe.slot, probe.seq, out);
    }

    fn is_target(&self, probe: &Probe) -> bool {
        self.members.is_live(probe.slot)
            && self.members.card(probe.slot).is_some_and(|card| card.node == probe.node)
    }

    /// An answer came, by the membership port.
    pub(super) fn on_ack(&mut self, now: Instant, seq: u32, target: NodeId, direct: bool, out: &mut Outbox) {
        let Some(probe) = self.probe.filter(|probe| probe.seq == seq && probe.node == target) else {
            if direct && let Some(relay) = self.relays.answered(seq, target) {
                let draft = Draft::new(DatagramKind::Ack, relay.asker_addr);
                self.send(now, draft, self.head(relay.asker_seq, target), out);
            }
            return;
        };
        self.counters.acks += 1;
        self.lhm.better();
        if direct {
            self.members.verify(probe.slot);
            self.measure(now, target, now.since(probe.sent));
        }
        self.answered(probe, out);
    }

    /// The round ended well, by whatever way.
    pub(super) fn answered(&mut self, probe: Probe, out: &mut Outbox) {
        (self.probe, self.next_probe) = (None, Some(probe.end));
        if !self.hints.is_empty() {
            // A link broke meanwhile: that is worth a probe at once.
            self.next_probe = Some(self.now);
        }
        out.push(Output::ProbeRound { node: probe.node, answered: true });
    }

    pub(super) fn on_nack(&mut self, seq: u32, target: NodeId) {
        if let Some(probe) = self.probe.as_mut().filter(|probe| probe.seq == seq && probe.node == target) {
            probe.nacks = probe.nacks.saturating_add(1).min(probe.nacks_expected);
            self.counters.nacks += 1;
        }
    }

    fn fail(&mut self, now: Instant, probe: Probe, out: &mut Outbox) {
        self.probe = None;
        self.counters.probes_failed += 1;
        self.lhm.worse(1 + probe.nacks_expected.saturating_sub(probe.nacks));
        out.push(Output::ProbeRound { node: probe.node, answered: false });
        if self.is_target(&probe) {
            self.suspect(now, probe.slot, self.own.node, out);
            if probe.unreachable
                && let Some(suspicion) = self.suspicions.get_mut(probe.slot)
            {
                suspicion.unreachable = true;
            }
        }
    }

    /// Only round trips that could matter are kept: in a LAN none is.
    fn measure(&mut self, now: Instant, node: NodeId, took: Duration) {
        let us = u32::try_from(took.as_micros()).unwrap_or(u32::MAX);
        let matters = took * 6 > self.config.probe_timeout;
        if let Some(smooth) = self.round_trips.get_mut(node, now) {
            *smooth = ((u64::from(*smooth) * 7 + u64::from(us)) / 8) as u32;
            if !matters && Duration::from_micros(u64::from(*smooth)) * 6 <= self.config.probe_timeout {
                self.round_trips.remove(node);
            }
        } else if matters {
            self.round_trips.insert(node, us, now);
        }
    }

    /// Probe it next, at once if no other probe is under way.
    pub(super) fn hint(&mut self, now: Instant, slot: u32, at_once: bool) {
        if self.hints.contains(&slot) || self.hints.len() >= HINTS_MAX || self.leaving.is_some() {
            return;
        }
        self.hints.push_back(slot);
        if at_once && self.probe.is_none() {
            self.next_probe = Some(now);
        }
    }

    pub(super) fn on_link_reset(&mut self, now: Instant, node: NodeId) {
        if let Some(slot) = self.members.find(node).filter(|slot| self.members.is_live(*slot)) {
            self.hint(now, slot, true);
        }
    }

    pub(super) fn on_tcp_probe(&mut self, now: Instant, node: NodeId, answered: bool, out: &mut Outbox) {
        let Some(slot) = self.members.find(node) else { return };
        if let Some(probe) = self.probe.filter(|probe| probe.node == node && probe.asked_proxies) {
            if answered {
                self.members.verify(slot);
                self.answered(probe, out);
            } else if self.oob_addr(slot).is_none()
                && let Some(probe) = self.probe.as_mut()
            {
                probe.unreachable = true;
            }
        } else if self.suspicions.get(slot).is_some_and(|suspicion| suspicion.checking)
            && self.oob_addr(slot).is_none()
        {
            self.checked(now, slot, answered, out);
        }
    }
}

#[cfg(test)]
mod tests {
    use hyperscale_codec::Role;
    use hyperscale_codec::messages::HealthPiggyback;

    use super::*;
    use crate::{Input, MemberCard, SwimConfig};

    #[test]
    fn a_timeout_is_base_times_local_health_times_the_peers_factor() {
        let card = |node| MemberCard {
            node: NodeId(node),
            boot: 1,
            addr: "10.0.0.1:1".parse().unwrap(),
            oob_port: 0,
            role: Role::Worker,
        };
        let mut swim = Swim::new(SwimConfig::lan(), card(1), 1, Instant(0));
        let mut out = Outbox::new();
        let ms = |swim: &Swim, node| swim.timing(Some(NodeId(node)), Instant(1)).0.as_secs_f64() * 1e3;
        assert_eq!(ms(&swim, 2), 250.0);
        swim.lhm.worse(2);
        for (node, overload_state) in [(2_u128, 0), (3, 1), (4, 2), (5, 3)] {
            let word = HealthPiggyback { node_id: node.to_be_bytes(), overload_state, ..Default::default() };
            swim.handle(Instant(1), Input::PeerHealth(word), &mut out);
        }
        assert_eq!([2, 3, 4, 5].map(|node| ms(&swim, node)), [750.0, 937.5, 1_312.5, 1_875.0]);
        assert_eq!(swim.timing(Some(NodeId(4)), Instant(1)).1.as_millis(), 2_625);
        swim.lhm.worse(8);
        assert_eq!(ms(&swim, 5), 5_000.0);
        swim.lhm = crate::lhm::LocalHealth::new(true);
        swim.measure(Instant(1), NodeId(2), Duration::from_millis(200));
        assert_eq!(ms(&swim, 2), 600.0);
        swim.measure(Instant(1), NodeId(6), Duration::from_millis(2));
        assert_eq!(ms(&swim, 6), 250.0);
    }
}
