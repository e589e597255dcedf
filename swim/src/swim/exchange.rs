//! News to others: gossip while updates wait, whole lists over TCP now and then, seeds for when all else is lost.

use std::net::SocketAddr;

use hyperscale_codec::NodeId;
use hyperscale_core::Instant;
use rand::Rng;

use super::Swim;
use super::claims::Via;
use super::compose::{Draft, Words};
use crate::wire::{self, CLAIM_LEN_MAX, DatagramKind, LIST_BYTES_MAX};
use crate::{Claim, MemberCard, MemberState, Outbox, Output};

/// Addresses remembered beside the list, for when everybody on it is forgotten.
const SEEDS_MAX: usize = 8;
/// Members that one gossip goes to, at most.
const FANOUT_MAX: usize = 16;
/// Bytes of one section of a list: its length must fit in 16 bits.
const SECTION_BYTES: usize = 60_000;

/// Somebody a handshake was made with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seed {
    node: NodeId,
    addr: SocketAddr,
}

impl Swim {
    /// Queues news of a slot; gossip starts if it did not run.
    pub(super) fn tell(&mut self, slot: u32, accuser: NodeId, now: Instant) {
        self.updates.push(slot, accuser);
        self.arm_gossip(now);
    }

    pub(super) fn arm_gossip(&mut self, now: Instant) {
        if self.gossip_at.is_none() {
            self.gossip_at = Some(now + self.config.gossip_interval);
        }
    }

    /// One round of gossip; ends when nothing waits any more.
    pub(super) fn gossip(&mut self, now: Instant, out: &mut Outbox) {
        self.gossip_at = None;
        let mut chosen = [0; FANOUT_MAX];
        let mut count = 0;
        while count < self.config.gossip_fanout.min(FANOUT_MAX) {
            if self.updates.is_empty() && self.health.is_empty() {
                break;
            }
            let taken = chosen;
            let is_new =
                |slot: u32| self.members.is_live(slot) && !taken.iter().take(count).any(|t| *t == slot);
            // Newcomers that nobody saw get news when they are probed; nobody else known, they get it now.
            let verified = |slot: u32| is_new(slot) && self.members.verified(slot);
            let Some(slot) = self
                .members
                .pick(&mut self.rng, verified)
                .or_else(|| self.members.pick(&mut self.rng, is_new).filter(|_| count == 0))
            else {
                break;
            };
            if let Some(place) = chosen.get_mut(count) {
                *place = slot;
            }
            count += 1;
            let Some(addr) = self.members.card(slot).map(|card| card.addr) else { continue };
            let draft =
                Draft { slot: Some(slot), words: Words::Others, ..Draft::new(DatagramKind::Gossip, addr) };
            let head = self.head(0, NodeId(0));
            self.counters.gossip_sends += u64::from(self.send(now, draft, head, out));
        }
        if count == 0 && self.members.live() == 0 {
            // Nobody to tell: who comes gets the whole list.
            self.updates.clear();
            self.health = crate::health_gossip::HealthGossipBuffer::default();
        }
        if !self.updates.is_empty() || !self.health.is_empty() {
            self.gossip_at = Some(now + self.config.gossip_interval);
        }
    }

    pub(super) fn keep_seed(&mut self, card: &MemberCard) {
        if let Some(seed) =
            self.seeds.iter_mut().find(|seed| seed.node == card.node || seed.addr == card.addr)
        {
            (seed.node, seed.addr) = (card.node, card.addr);
        } else if self.seeds.len() < SEEDS_MAX {
            self.seeds.push(Seed { node: card.node, addr: card.addr });
        }
    }

    /// Whom to exchange lists with: mostly somebody alive, but also the dead, who may be the other half of a fleet that
    /// was cut in two, and seeds that are on no list any more.
    pub(super) fn choose_push_pull(&mut self, now: Instant, out: &mut Outbox) {
        self.push_pull_at = None;
        let kind = self.rng.random_range(0..4);
        let dead = |slot: u32| self.members.state(slot) == Some(MemberState::Dead);
        let alive = |slot: u32| self.members.is_live(slot) && self.members.verified(slot);
        let of = |slot: Option<u32>| {
            slot.and_then(|slot| self.members.card(slot)).map(|card| (card.node, card.addr))
        };
        let has_gone = self.members.known() > self.members.live();
        let mut target = None;
        if has_gone && kind < 2 {
            target = of(self.members.pick(&mut self.rng, dead));
        }
        let lost_seed =
            |seed: &&Seed| self.members.find(seed.node).is_none_or(|slot| !self.members.is_live(slot));
        let lost = self.seeds.iter().filter(lost_seed).count();
        if target.is_none() && lost > 0 && (kind == 2 || self.members.live() == 0) {
            let nth = self.rng.random_range(0..lost);
            target = self.seeds.iter().filter(lost_seed).nth(nth).map(|seed| (seed.node, seed.addr));
        }
        let target = target.or_else(|| of(self.members.pick(&mut self.rng, alive)));
        let target =
            target.or_else(|| of(self.members.pick(&mut self.rng, |slot| self.members.is_live(slot))));
        let target = target.or_else(|| of(self.members.pick(&mut self.rng, dead)));
        if let Some((node, addr)) = target {
            out.push(Output::PushPull { node, addr });
        }
        self.arm(now);
    }

    /// Appends the list of members as it travels to a peer over TCP: at most 65 bytes a member.
    pub fn push_pull(&mut self, now: Instant, out: &mut Vec<u8>) {
        let nonce = self.next_nonce();
        let start = out.len();
        wire::begin(out, DatagramKind::List, 0, self.own.node, nonce);
        wire::write_head(out, self.head(0, NodeId(0)));
        let mut section = wire::begin_claims(out);
        wire::write_claim(out, &self.own_claim());
        for (_, view) in self.members.iter() {
            if out.len() - section > SECTION_BYTES - CLAIM_LEN_MAX {
                wire::end_section(out, section);
                section = wire::begin_claims(out);
            }
            let claim = Claim {
                card: view.card,
                incarnation: view.incarnation,
                state: view.state,
                accuser: self.own.node,
            };
            wire::write_claim(out, &claim);
        }
        wire::end_section(out, section);
        if self.config.load_awareness {
            let section = wire::begin_words(out);
            if let Some(word) = self.current_word(now) {
                wire::write_word(out, &word);
            }
            let ill = self.awareness.fresh(now).filter(|word| word.overload_state > 0);
            ill.take(500).for_each(|word| wire::write_word(out, word));
            wire::end_section(out, section);
        }
        debug_assert!(out.len() - start <= LIST_BYTES_MAX, "a list of {} bytes", out.len() - start);
        wire::finish(out, start, &self.seal);
    }

    pub(super) fn on_list(&mut self, now: Instant, bytes: &[u8], out: &mut Outbox) {
        let mut scratch = std::mem::take(&mut self.scratch);
        match wire::read(bytes, LIST_BYTES_MAX, &self.seal, &mut scratch) {
            Err(error) => self.reject(error),
            Ok(list) if list.kind != DatagramKind::List => self.counters.rejected_malformed += 1,
            Ok(list) if list.sender == self.own.node => self.counters.rejected_own += 1,
            Ok(list) => {
                self.counters.push_pulls += 1;
                for claim in list.claims() {
                    self.apply(now, &claim, Via::List(list.sender), out);
                }
                if self.config.load_awareness {
                    for word in list.words() {
                        self.on_word(now, word, false, out);
                    }
                }
            }
        }
        self.scratch = scratch;
    }
}
