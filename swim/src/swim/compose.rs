//! Datagrams that go out: head, the claim that must be in, updates that fit, words of health.

use std::net::SocketAddr;

use hyperscale_codec::NodeId;
use hyperscale_core::{DatagramPort, Instant};
use rand::Rng;

use super::Swim;
use crate::awareness::gossip_percent;
use crate::queue::{self, OWN};
use crate::wire::{self, CLAIM_LEN_MAX, DatagramKind, Head, SECTION_LEN, WORD_LEN};
use crate::{Claim, Outbox};

/// Which words of health a datagram carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Words {
    None,
    Others,
    /// One's own first.
    OwnFirst,
}

/// One datagram to be made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Draft {
    pub(super) kind: DatagramKind,
    pub(super) flags: u16,
    pub(super) to: SocketAddr,
    /// The receiver's slot, if it is known.
    pub(super) slot: Option<u32>,
    /// Whose claim must be in, whatever else waits.
    pub(super) first: Option<u32>,
    pub(super) words: Words,
    /// Bytes at most.
    pub(super) limit: usize,
}

impl Draft {
    pub(super) fn new(kind: DatagramKind, to: SocketAddr) -> Self {
        Self { kind, flags: 0, to, slot: None, first: None, words: Words::None, limit: usize::MAX }
    }
}

impl Swim {
    /// A head that says which instance speaks.
    pub(super) fn head(&self, seq: u32, target: NodeId) -> Head {
        Head {
            seq,
            target,
            boot: u32::try_from(self.own.boot).unwrap_or(u32::MAX),
            incarnation: self.refutations.incarnation(),
            wait_ms: 0,
        }
    }

    pub(super) fn next_nonce(&mut self) -> [u64; 3] {
        self.nonce = self.nonce.wrapping_add(1);
        [self.own.boot, self.nonce, self.rng.random()]
    }

    /// The claim that this node makes about a slot now.
    pub(super) fn claim_of(&self, slot: u32, accuser: NodeId) -> Option<Claim> {
        if slot == OWN {
            return Some(self.own_claim());
        }
        let view = self.members.view(slot)?;
        Some(Claim { card: view.card, incarnation: view.incarnation, state: view.state, accuser })
    }

    /// Makes and sends one datagram. Whether it told anything: a claim or a word of another.
    pub(super) fn send(&mut self, now: Instant, draft: Draft, head: Head, out: &mut Outbox) -> bool {
        let nonce = self.next_nonce();
        let limit = draft.limit.min(self.config.datagram_bytes_max);
        let arena = out.arena();
        let start = arena.len();
        wire::begin(arena, draft.kind, draft.flags, self.own.node, nonce);
        wire::write_head(arena, head);
        let left = limit.saturating_sub(arena.len() - start);
        let words = if self.config.load_awareness { draft.words } else { Words::None };
        let reserved = self.reserve(words, left);
        let mut told = false;
        if draft.first.is_some() || !self.updates.is_empty() {
            told = self.write_claims(now, &draft, left, reserved, out.arena());
        }
        if words != Words::None {
            told |= self.write_words(now, words, start, limit, out.arena());
        }
        let arena = out.arena();
        if draft.kind == DatagramKind::Gossip && !told {
            arena.truncate(start);
            return false;
        }
        debug_assert!(arena.len() - start <= limit, "a datagram of {} bytes", arena.len() - start);
        wire::finish(arena, start, &self.seal);
        self.counters.datagrams_out += 1;
        self.counters.out_bytes += (arena.len() - start) as u64;
        out.datagram(DatagramPort::Membership, draft.to, start);
        told
    }

    /// Bytes kept free for words of health.
    fn reserve(&self, words: Words, left: usize) -> usize {
        let own = usize::from(words == Words::OwnFirst && self.own_word.is_some());
        let others = if words == Words::None { 0 } else { self.health.len() };
        let wanted = (own + others) * WORD_LEN;
        let section = wanted.min(self.config.health_bytes_max.saturating_sub(SECTION_LEN));
        if wanted == 0 { 0 } else { (section + SECTION_LEN).min(left) }
    }

    fn write_claims(
        &mut self,
        now: Instant,
        draft: &Draft,
        left: usize,
        reserved: usize,
        arena: &mut Vec<u8>,
    ) -> bool {
        let percent = match draft.slot.and_then(|slot| self.members.card(slot)) {
            Some(card) if self.config.load_awareness => {
                gossip_percent(self.awareness.overload(card.node, now))
            }
            Some(_) | None => 100,
        };
        // A loaded peer gets less, but one update always; what must be in may take the place of words.
        let whole = left.saturating_sub(SECTION_LEN);
        let mut room =
            (left.saturating_sub(reserved + SECTION_LEN) * percent / 100).max(CLAIM_LEN_MAX).min(whole);
        let own = self.own.node;
        let at = wire::begin_claims(arena);
        let mut put = |claim: Claim| {
            let len = wire::claim_len(&claim);
            if len > room {
                return false;
            }
            room -= len;
            wire::write_claim(arena, &claim);
            true
        };
        if let Some(claim) = draft.first.and_then(|slot| self.claim_of(slot, own)) {
            put(claim);
        }
        if !self.updates.is_empty() {
            let sends_max = queue::sends(self.config.sends_factor, self.size());
            let mut updates = std::mem::take(&mut self.updates);
            updates.each(sends_max, |slot, accuser| {
                // What is gone, or in already, counts as sent.
                let claim = if draft.first == Some(slot) { None } else { self.claim_of(slot, accuser) };
                claim.is_none_or(&mut put)
            });
            self.updates = updates;
        }
        let told = arena.len() > at;
        wire::end_section(arena, at);
        told
    }

    fn write_words(
        &mut self,
        now: Instant,
        words: Words,
        start: usize,
        limit: usize,
        arena: &mut Vec<u8>,
    ) -> bool {
        let left = limit.saturating_sub(arena.len() - start).min(self.config.health_bytes_max);
        let mut room = left.saturating_sub(SECTION_LEN) / WORD_LEN;
        if room == 0 {
            return false;
        }
        let at = wire::begin_words(arena);
        if words == Words::OwnFirst
            && let Some(word) = self.current_word(now)
        {
            wire::write_word(arena, &word);
            room -= 1;
        }
        let before = arena.len();
        let size = self.size();
        self.health.each(room, size, now, |word| wire::write_word(arena, word));
        let told = arena.len() > before;
        wire::end_section(arena, at);
        told
    }
}
