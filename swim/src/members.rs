//! The table of members: rows in chunks that are shared until they change.
//!
//! What changes often (state) and what hardly ever does (card) lie in chunks of their own, so that a death copies
//! 768 bytes of a shared table, not the whole. A row keeps its slot until it is forgotten.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use hyperscale_codec::{NodeId, Role};
use hyperscale_core::Instant;
use rand::Rng;

use crate::claim::Stamp;
use crate::index::Index;
use crate::{MemberCard, MemberState, MemberView};

const CHUNK: usize = 32;
const BITS: u32 = CHUNK.trailing_zeros();

const NOBODY: MemberCard = MemberCard {
    node: NodeId(0),
    boot: 0,
    addr: SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0),
    oob_port: 0,
    role: Role::Client,
};

/// What changes of a row. `state` `None`: the slot is free.
#[derive(Debug, Clone, Copy, Default)]
struct Hot {
    incarnation: u64,
    since: Instant,
    state: Option<MemberState>,
    verified: bool,
}

type Chunks<T> = Vec<Arc<[T; CHUNK]>>;

/// A list of members that many nodes of a simulation start from without a copy each.
#[derive(Debug, Clone, Default)]
pub struct SharedMembers(Members);

impl SharedMembers {
    /// All of these alive, verified, since `now`.
    #[must_use]
    pub fn new(cards: impl IntoIterator<Item = MemberCard>, now: Instant) -> Self {
        let mut members = Members::new(0);
        for card in cards {
            if members.find(card.node).is_none() {
                members.insert(card, 0, true, now);
            }
        }
        let added = std::mem::take(&mut members.added);
        members.base = Arc::new(added);
        Self(members)
    }

    pub(crate) fn table(&self, own: NodeId, key: u64) -> Members {
        let mut members = self.0.clone();
        members.added = Index::new(key);
        if let Some(slot) = members.find(own) {
            members.own = Some(slot);
            members.live -= 1;
            members.known -= 1;
        }
        members
    }
}

/// The rows.
#[derive(Debug, Clone, Default)]
pub(crate) struct Members {
    hot: Chunks<Hot>,
    cards: Chunks<MemberCard>,
    /// Slots in use lie below.
    slots: u32,
    free: Vec<u32>,
    /// Of the shared table; never changed, so an entry may name a slot that has another member now.
    base: Arc<Index>,
    added: Index,
    /// This node's own row in a shared table.
    own: Option<u32>,
    live: u32,
    known: u32,
    unverified: u32,
    /// Slots that became unverified, oldest first; some have since been verified or forgotten.
    newcomers: VecDeque<u32>,
}

impl Members {
    pub(crate) fn new(key: u64) -> Self {
        Self { added: Index::new(key), ..Self::default() }
    }

    /// Alive and suspect ones, without this node.
    pub(crate) const fn live(&self) -> u32 {
        self.live
    }

    /// All rows, without this node's.
    pub(crate) const fn known(&self) -> u32 {
        self.known
    }

    pub(crate) const fn unverified(&self) -> u32 {
        self.unverified
    }

    /// Every slot is below.
    pub(crate) const fn slots(&self) -> u32 {
        self.slots
    }

    pub(crate) fn find(&self, node: NodeId) -> Option<u32> {
        let is_it = |slot| self.card(slot).is_some_and(|card| card.node == node);
        self.added.find(node.0, is_it).or_else(|| self.base.find(node.0, is_it))
    }

    fn hot(&self, slot: u32) -> Option<&Hot> {
        self.hot.get((slot >> BITS) as usize)?.get(slot as usize % CHUNK)
    }

    fn hot_mut(&mut self, slot: u32) -> Option<&mut Hot> {
        Arc::make_mut(self.hot.get_mut((slot >> BITS) as usize)?).get_mut(slot as usize % CHUNK)
    }

    /// The card of a slot in use.
    pub(crate) fn card(&self, slot: u32) -> Option<&MemberCard> {
        self.hot(slot)?.state?;
        self.cards.get((slot >> BITS) as usize)?.get(slot as usize % CHUNK)
    }

    pub(crate) fn state(&self, slot: u32) -> Option<MemberState> {
        self.hot(slot)?.state
    }

    pub(crate) fn since(&self, slot: u32) -> Option<Instant> {
        self.hot(slot).map(|hot| hot.since)
    }

    pub(crate) fn verified(&self, slot: u32) -> bool {
        self.hot(slot).is_some_and(|hot| hot.verified)
    }

    pub(crate) fn stamp(&self, slot: u32) -> Option<Stamp> {
        let hot = self.hot(slot)?;
        Some(Stamp { boot: self.card(slot)?.boot, incarnation: hot.incarnation, state: hot.state? })
    }

    pub(crate) fn view(&self, slot: u32) -> Option<MemberView> {
        let hot = self.hot(slot)?;
        Some(MemberView {
            card: *self.card(slot)?,
            incarnation: hot.incarnation,
            state: hot.state?,
            since: hot.since,
            verified: hot.verified,
        })
    }

    /// Rows without this node's own, by slot.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, MemberView)> {
        let own = self.own;
        (0..self.slots)
            .filter(move |slot| Some(*slot) != own)
            .filter_map(|slot| self.view(slot).map(|view| (slot, view)))
    }

    /// Adds a row, alive; its id must not be known.
    pub(crate) fn insert(&mut self, card: MemberCard, incarnation: u64, verified: bool, now: Instant) -> u32 {
        let slot = self.free.pop().unwrap_or_else(|| {
            let slot = self.slots;
            if (slot as usize).is_multiple_of(CHUNK) {
                self.hot.push(Arc::new([Hot::default(); CHUNK]));
                self.cards.push(Arc::new([NOBODY; CHUNK]));
            }
            self.slots += 1;
            slot
        });
        self.added.insert(card.node.0, slot);
        if let Some(hot) = self.hot_mut(slot) {
            *hot = Hot { incarnation, since: now, state: Some(MemberState::Alive), verified };
        }
        self.set_card(slot, card);
        self.known += 1;
        self.live += 1;
        if !verified {
            self.unverified += 1;
            if self.newcomers.len() >= 2 * self.unverified as usize + 64 {
                let mut newcomers = std::mem::take(&mut self.newcomers);
                newcomers
                    .retain(|&slot| self.hot(slot).is_some_and(|hot| hot.state.is_some() && !hot.verified));
                self.newcomers = newcomers;
            }
            self.newcomers.push_back(slot);
        }
        slot
    }

    pub(crate) fn set_card(&mut self, slot: u32, card: MemberCard) {
        if self.card(slot) != Some(&card)
            && let Some(chunk) = self.cards.get_mut((slot >> BITS) as usize)
            && let Some(place) = Arc::make_mut(chunk).get_mut(slot as usize % CHUNK)
        {
            *place = card;
        }
    }

    pub(crate) fn set_state(&mut self, slot: u32, incarnation: u64, state: MemberState, now: Instant) {
        let Some(before) = self.state(slot) else { return };
        if let Some(hot) = self.hot_mut(slot) {
            hot.incarnation = incarnation;
            if before != state {
                (hot.state, hot.since) = (Some(state), now);
            }
        }
        match (before.is_live(), state.is_live()) {
            (true, false) => self.live -= 1,
            (false, true) => self.live += 1,
            (true, true) | (false, false) => {}
        }
    }

    pub(crate) fn verify(&mut self, slot: u32) {
        if self.verified(slot) || self.state(slot).is_none() {
            return;
        }
        if let Some(hot) = self.hot_mut(slot) {
            hot.verified = true;
        }
        self.unverified -= 1;
    }

    /// The slot that has been unverified longest.
    pub(crate) fn oldest_unverified(&mut self) -> Option<u32> {
        while let Some(slot) = self.newcomers.pop_front() {
            if self.hot(slot).is_some_and(|hot| hot.state.is_some() && !hot.verified) {
                return Some(slot);
            }
        }
        None
    }

    /// Forgets a row.
    pub(crate) fn remove(&mut self, slot: u32) {
        let (Some(node), Some(state)) = (self.card(slot).map(|card| card.node), self.state(slot)) else {
            return;
        };
        if !self.verified(slot) {
            self.unverified -= 1;
        }
        self.added.remove(node.0, slot);
        if let Some(hot) = self.hot_mut(slot) {
            *hot = Hot::default();
        }
        self.free.push(slot);
        self.known -= 1;
        if state.is_live() {
            self.live -= 1;
        }
    }

    pub(crate) fn is_live(&self, slot: u32) -> bool {
        Some(slot) != self.own && self.state(slot).is_some_and(MemberState::is_live)
    }

    /// A random slot for which `fits` holds, not this node's own: by luck first, then by looking through all.
    pub(crate) fn pick(&self, rng: &mut impl Rng, fits: impl Fn(u32) -> bool) -> Option<u32> {
        if self.known == 0 {
            return None;
        }
        let fits = |slot: &u32| Some(*slot) != self.own && self.state(*slot).is_some() && fits(*slot);
        let luck = (0..12).map(|_| rng.random_range(0..self.slots)).find(fits);
        luck.or_else(|| {
            let start = rng.random_range(0..self.slots);
            (start..self.slots).chain(0..start).find(fits)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card(node: u128) -> MemberCard {
        MemberCard { node: NodeId(node), ..NOBODY }
    }

    #[test]
    fn a_shared_table_is_copied_only_where_it_changes() {
        let shared = SharedMembers::new((1..=1_000).map(card), Instant(5));
        let mut one = shared.table(NodeId(7), 1);
        let two = shared.table(NodeId(8), 2);
        assert_eq!((one.live(), one.known(), one.iter().count()), (999, 999, 999));
        assert!(one.iter().all(|(_, view)| view.card.node != NodeId(7)));
        let slot = one.find(NodeId(500)).unwrap();
        one.set_state(slot, 1, MemberState::Dead, Instant(9));
        assert_eq!(two.state(slot), Some(MemberState::Alive));
        let differ = one.hot.iter().zip(&two.hot).filter(|(a, b)| !Arc::ptr_eq(a, b)).count();
        assert_eq!((differ, one.live()), (1, 998));
        one.remove(slot);
        assert_eq!(one.find(NodeId(500)), None);
        // The slot serves again, and neither id is found for the other.
        assert_eq!(one.insert(card(5_000), 0, false, Instant(9)), slot);
        assert_eq!((one.find(NodeId(5_000)), one.find(NodeId(500))), (Some(slot), None));
        assert_eq!(one.oldest_unverified(), Some(slot));
        // A member that was in the base comes back.
        let again = one.insert(card(500), 0, true, Instant(10));
        assert_eq!(one.find(NodeId(500)), Some(again));
    }
}
