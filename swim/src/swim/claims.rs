//! What is believed of whom: claims applied, suspicions started and ended, the dead forgotten.

use std::net::SocketAddr;

use hyperscale_codec::NodeId;
use hyperscale_core::Instant;
use rand::Rng;

use super::Swim;
use super::compose::{Draft, Words};
use crate::claim::{BOOT_MAX, Stamp};
use crate::oob::Purpose;
use crate::queue::OWN;
use crate::refute::Verdict;
use crate::suspicion::Suspicion;
use crate::wire::DatagramKind;
use crate::{Claim, MemberCard, MemberState, Outbox, Output};

/// How a claim came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Via {
    /// By a datagram, which anybody in the group could have made.
    Gossip,
    /// On the list of this node, over TCP.
    List(NodeId),
    /// Of a handshake, or this node's own.
    Proof,
}

/// Probe intervals without a datagram of anybody after which a node holds its own network for broken.
pub(super) const DEAF: u32 = 3;

impl Swim {
    /// Takes one claim for what it is worth.
    pub(super) fn apply(&mut self, now: Instant, claim: &Claim, via: Via, out: &mut Outbox) {
        if claim.card.node == self.own.node {
            self.on_claim_of_self(now, claim);
            return;
        }
        let Some(slot) = self.members.find(claim.card.node) else {
            self.on_newcomer(now, claim, via, out);
            return;
        };
        let Some(known) = self.members.stamp(slot) else { return };
        let mut new = claim.stamp();
        if new.is_absurd(Some(known)) {
            self.counters.claims_refused += 1;
            return;
        }
        let mut accuser = claim.accuser;
        if let Via::List(sender) = via {
            accuser = sender;
            // Whom half a fleet holds dead may be alive in the other: it is asked, not buried.
            if new.state == MemberState::Dead && known.state.is_live() && new.boot == known.boot {
                new.state = MemberState::Suspect;
            }
        }
        if via != Via::Gossip && new.boot == known.boot {
            self.members.verify(slot);
        }
        if new.supersedes(known) {
            self.take_over(now, slot, known, new, &claim.card, out);
            self.tell(slot, accuser, now);
            if new.state == MemberState::Suspect {
                self.start_suspicion(now, slot, accuser, false);
            }
        } else if new == known && new.state == MemberState::Suspect && self.suspicions.confirm(slot, accuser)
        {
            self.tell(slot, accuser, now);
        }
    }

    /// Writes a newer claim into its row.
    fn take_over(
        &mut self,
        now: Instant,
        slot: u32,
        known: Stamp,
        new: Stamp,
        card: &MemberCard,
        out: &mut Outbox,
    ) {
        // Only the node itself raises boot and incarnation, so only then its card can be new.
        if (new.boot, new.incarnation) > (known.boot, known.incarnation) {
            let known_at = self.members.card(slot).map(|known| known.addr.ip());
            // Who listens on every address names none; it is where it was seen.
            let ip = known_at.filter(|_| card.addr.ip().is_unspecified()).unwrap_or(card.addr.ip());
            let addr = SocketAddr::new(ip, card.addr.port());
            self.members.set_card(slot, MemberCard { addr, ..*card });
        }
        self.suspicions.stop(slot);
        self.members.set_state(slot, new.incarnation, new.state, now);
        if !new.state.is_live() && self.forget_at.is_none() {
            self.forget_at = Some(now + self.config.forget_after);
        }
        if new.state != known.state || new.boot != known.boot {
            out.push(Output::Changed {
                node: card.node,
                from: Some(known.state),
                to: new.state,
                incarnation: new.incarnation,
                boot: new.boot,
            });
        }
        self.arm(now);
    }

    fn on_newcomer(&mut self, now: Instant, claim: &Claim, via: Via, out: &mut Outbox) {
        // Somebody's dead whom this node never knew, or has forgotten, stay unknown.
        if !claim.state.is_live() {
            return;
        }
        if claim.stamp().is_absurd(None) || claim.card.addr.ip().is_unspecified() {
            self.counters.claims_refused += 1;
            return;
        }
        let verified = via != Via::Gossip;
        if !self.make_room(verified, out) {
            self.counters.members_dropped += 1;
            return;
        }
        let slot = self.members.insert(claim.card, claim.incarnation, verified, now);
        out.push(Output::Changed {
            node: claim.card.node,
            from: None,
            to: MemberState::Alive,
            incarnation: claim.incarnation,
            boot: claim.card.boot,
        });
        self.tell(slot, NodeId(0), now);
        self.arm(now);
        if claim.state == MemberState::Suspect {
            let accuser = if let Via::List(sender) = via { sender } else { claim.accuser };
            self.suspect(now, slot, accuser, out);
        }
    }

    /// Room for one more row, of somebody verified or not.
    fn make_room(&mut self, verified: bool, out: &mut Outbox) -> bool {
        if !verified && self.members.unverified() as usize >= self.config.unverified_max {
            self.drop_oldest_unverified(out);
        }
        if (self.members.known() as usize) < self.config.members_max {
            return true;
        }
        if !verified {
            return false;
        }
        // Somebody proven is worth more than the longest dead, or than somebody only heard of.
        let gone = self.members.iter().filter(|(_, view)| !view.state.is_live());
        let oldest = gone.min_by_key(|(_, view)| view.since).map(|(slot, _)| slot);
        if let Some(slot) = oldest {
            self.remove(slot);
            return true;
        }
        self.drop_oldest_unverified(out)
    }

    fn drop_oldest_unverified(&mut self, out: &mut Outbox) -> bool {
        let Some(slot) = self.members.oldest_unverified() else { return false };
        self.counters.members_dropped += 1;
        if let Some(view) = self.members.view(slot).filter(|view| view.state.is_live()) {
            out.push(Output::Changed {
                node: view.card.node,
                from: Some(view.state),
                to: MemberState::Left,
                incarnation: view.incarnation,
                boot: view.card.boot,
            });
        }
        self.remove(slot);
        true
    }

    fn remove(&mut self, slot: u32) {
        self.suspicions.stop(slot);
        self.updates.remove(slot);
        self.members.remove(slot);
    }

    /// A member did not answer `accuser`, which may be this node.
    pub(super) fn suspect(&mut self, now: Instant, slot: u32, accuser: NodeId, out: &mut Outbox) {
        let (Some(known), Some(card)) = (self.members.stamp(slot), self.members.card(slot).copied()) else {
            return;
        };
        match known.state {
            MemberState::Alive => {
                let new = Stamp { state: MemberState::Suspect, ..known };
                self.take_over(now, slot, known, new, &card, out);
                self.start_suspicion(now, slot, accuser, accuser == self.own.node);
                self.tell(slot, accuser, now);
            }
            MemberState::Suspect => {
                if self.suspicions.confirm(slot, accuser) {
                    self.tell(slot, accuser, now);
                }
            }
            MemberState::Dead | MemberState::Left => {}
        }
    }

    fn start_suspicion(&mut self, now: Instant, slot: u32, accuser: NodeId, own: bool) {
        let factor = if own && self.config.lifeguard.suspicion { self.lhm.factor() } else { 1 };
        let suspicion = Suspicion::new(&self.config, self.size(), factor, accuser, now);
        self.suspicions.start(slot, suspicion);
        self.counters.suspicions += 1;
        let node = self.members.card(slot).map_or(NodeId(0), |card| card.node);
        if self.config.load_awareness && self.awareness.overload(node, now) >= 2 {
            self.suspicions.stretch(slot);
        }
        // Buddy: some K + 1 of all ask it soon, so that it hears of it, or is confirmed, within a round.
        if self.config.lifeguard.buddy
            && !own
            && self.rng.random_range(0..self.size()) <= self.config.confirmations
        {
            self.hint(now, slot, false);
        }
    }

    /// Ends suspicions whose time is over.
    pub(super) fn end_suspicions(&mut self, now: Instant, out: &mut Outbox) {
        while self.suspicions.next_end().is_some_and(|end| end <= now) {
            let Some(slot) = self.suspicions.first() else { return };
            self.end_suspicion(now, slot, out);
        }
    }

    fn end_suspicion(&mut self, now: Instant, slot: u32, out: &mut Outbox) {
        let Some(suspicion) = self.suspicions.get(slot) else { return };
        if self.is_deaf(now, suspicion) {
            self.suspicions.move_end(slot, now + self.config.probe_interval);
            return;
        }
        let (alone, checking) = (suspicion.accusers() < 2 && !suspicion.unreachable, suspicion.checking);
        if self.config.lifeguard.suspicion && alone && self.size() >= 4 {
            // One accuser may have a broken network; this node asks for itself before it buries anybody.
            if checking {
                self.checked(now, slot, false, out);
            } else {
                self.check(now, slot, out);
            }
            return;
        }
        self.declare_dead(now, slot, out);
    }

    /// Whether this node hears nobody at all. Then it is its own network that is broken, and it buries nobody, until
    /// twice the longest suspicion is over: all others could be dead indeed.
    fn is_deaf(&self, now: Instant, suspicion: &Suspicion) -> bool {
        let config = &self.config;
        config.lifeguard.suspicion
            && self.size() >= 4
            && now.since(self.heard_at) > config.probe_interval * DEAF
            && now < suspicion.start + suspicion.min() * (2 * config.suspicion_beta)
    }

    fn declare_dead(&mut self, now: Instant, slot: u32, out: &mut Outbox) {
        self.suspicions.stop(slot);
        let (Some(known), Some(card)) = (self.members.stamp(slot), self.members.card(slot).copied()) else {
            return;
        };
        self.counters.deaths += 1;
        self.take_over(now, slot, known, Stamp { state: MemberState::Dead, ..known }, &card, out);
        self.tell(slot, NodeId(0), now);
    }

    /// Asks a suspect out of band, or by a TCP connection, before it is declared dead on one word.
    fn check(&mut self, now: Instant, slot: u32, out: &mut Outbox) {
        let timeout = self.config.out_of_band_timeout;
        let hold = if self.oob_addr(slot).is_some() {
            // The probe's own end decides; this is the guard behind it.
            self.send_out_of_band(now, slot, Purpose::Check, timeout, out).then_some(timeout * 2)
        } else if let Some(card) = self.members.card(slot).filter(|_| self.config.tcp_probe) {
            out.push(Output::TcpProbe { node: card.node, addr: card.addr });
            Some(self.config.probe_interval * 4)
        } else {
            None
        };
        let Some(suspicion) = self.suspicions.get_mut(slot) else { return };
        suspicion.checking = hold.is_some();
        let end = now + hold.unwrap_or(self.config.probe_interval);
        self.suspicions.move_end(slot, end);
        if hold.is_none() {
            // It cannot be asked so, or not now: the next ping asks.
            self.hint(now, slot, false);
        }
    }

    /// How that ended.
    pub(super) fn checked(&mut self, now: Instant, slot: u32, answered: bool, out: &mut Outbox) {
        let Some(suspicion) = self.suspicions.get_mut(slot) else { return };
        suspicion.checking = false;
        suspicion.unreachable = !answered;
        let again = now + suspicion.min();
        if answered {
            self.suspicions.move_end(slot, again);
            self.tell_it(now, slot, out);
            return;
        }
        if self.suspicions.get(slot).is_some_and(|suspicion| self.is_deaf(now, suspicion)) {
            self.suspicions.move_end(slot, now + self.config.probe_interval);
            return;
        }
        if self.suspicions.confirm(slot, self.own.node) {
            self.tell(slot, self.own.node, now);
        }
        self.declare_dead(now, slot, out);
    }

    /// Tells a member what is claimed of it, so that it can refute.
    pub(super) fn tell_it(&mut self, now: Instant, slot: u32, out: &mut Outbox) {
        if let Some(addr) = self.members.card(slot).map(|card| card.addr) {
            let draft = Draft {
                slot: Some(slot),
                first: Some(slot),
                words: Words::None,
                ..Draft::new(DatagramKind::Gossip, addr)
            };
            let head = self.head(0, NodeId(0));
            self.counters.gossip_sends += u64::from(self.send(now, draft, head, out));
        }
    }

    fn on_claim_of_self(&mut self, now: Instant, claim: &Claim) {
        if self.leaving.is_some() {
            return;
        }
        if claim.card.boot > self.own.boot {
            self.counters.claims_refused += 1;
            return;
        }
        if claim.card.boot < self.own.boot {
            // Somebody still knows the instance before this one.
            self.tell(OWN, NodeId(0), now);
            return;
        }
        if claim.state != MemberState::Alive {
            let verdict = self.refutations.accused(claim.incarnation, now);
            self.on_verdict(verdict, now);
        }
    }

    pub(super) fn on_verdict(&mut self, verdict: Verdict, now: Instant) {
        match verdict {
            Verdict::Past => {}
            Verdict::Absurd => self.counters.claims_refused += 1,
            Verdict::Merged => self.counters.refutations_merged += 1,
            Verdict::Refuted => {
                self.counters.refutations += 1;
                self.lhm.worse(1);
                self.tell(OWN, NodeId(0), now);
            }
        }
    }

    /// A handshake over TCP: this instance is there.
    pub(super) fn on_seen(&mut self, now: Instant, card: MemberCard, out: &mut Outbox) {
        if card.node == self.own.node {
            return;
        }
        if card.boot > BOOT_MAX {
            self.counters.claims_refused += 1;
            return;
        }
        self.keep_seed(&card);
        let known = self.members.find(card.node).and_then(|slot| Some((slot, self.members.stamp(slot)?)));
        match known {
            Some((slot, stamp)) if stamp.boot == card.boot => {
                self.members.verify(slot);
                self.members.set_card(slot, card);
                if stamp.state != MemberState::Alive {
                    self.tell_it(now, slot, out);
                }
            }
            Some((_, stamp)) if stamp.boot > card.boot => {}
            Some(_) | None => {
                let claim = Claim { card, incarnation: 0, state: MemberState::Alive, accuser: NodeId(0) };
                self.apply(now, &claim, Via::Proof, out);
                if let Some(slot) = self.members.find(card.node) {
                    self.members.verify(slot);
                }
            }
        }
        self.arm(now);
    }

    /// Forgets who has been dead or gone for long.
    pub(super) fn forget(&mut self, now: Instant) {
        let after = self.config.forget_after;
        self.forget_at = None;
        for slot in 0..self.members.slots() {
            if self.members.state(slot).is_none_or(MemberState::is_live) {
                continue;
            }
            let Some(due) = self.members.since(slot).map(|since| since + after) else { continue };
            if due <= now {
                self.remove(slot);
            } else {
                // At most once a second, however many there are.
                let due = due.max(now + std::time::Duration::from_secs(1));
                self.forget_at = Some(self.forget_at.map_or(due, |at| at.min(due)));
            }
        }
    }
}
