//! Claims about members, and which of two is believed.

use hyperscale_codec::NodeId;

use crate::{MemberCard, MemberState};

/// How far an incarnation may be ahead of the last known one; more was never made by refuting.
pub(crate) const INCARNATION_LEAP_MAX: u64 = 1 << 20;

/// Boots are under 2^32.
pub(crate) const BOOT_MAX: u64 = u32::MAX as u64;

/// The age of a claim. Greater wins: a higher boot, then a higher incarnation, then left > dead > suspect > alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp {
    /// Of the instance.
    pub boot: u64,
    /// Of the instance's refutations.
    pub incarnation: u64,
    /// What is claimed.
    pub state: MemberState,
}

impl Stamp {
    /// Whether this claim replaces what is `known`.
    #[must_use]
    pub fn supersedes(self, known: Self) -> bool {
        self > known
    }

    /// Whether no honest node could have made it, after `known` of the same node (`None`: never heard of).
    pub(crate) fn is_absurd(self, known: Option<Self>) -> bool {
        let last = known.filter(|known| known.boot == self.boot).map_or(0, |known| known.incarnation);
        self.boot > BOOT_MAX || self.incarnation > last.saturating_add(INCARNATION_LEAP_MAX)
    }
}

/// A claim about one member, as it travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// About whom.
    pub card: MemberCard,
    /// Of the instance.
    pub incarnation: u64,
    /// What is claimed.
    pub state: MemberState,
    /// Who suspects it: confirmations are independent if this differs. Travels with suspicions alone.
    pub accuser: NodeId,
}

impl Claim {
    /// Its age.
    #[must_use]
    pub const fn stamp(&self) -> Stamp {
        Stamp { boot: self.card.boot, incarnation: self.incarnation, state: self.state }
    }
}

#[cfg(test)]
mod tests {
    use MemberState::{Alive, Dead, Left, Suspect};

    use super::*;

    /// Written out, apart from the derived order: which of two claims wins.
    fn wins(a: Stamp, b: Stamp) -> bool {
        let rank = |state| match state {
            Alive => 0,
            Suspect => 1,
            Dead => 2,
            Left => 3,
        };
        if a.boot != b.boot {
            return a.boot > b.boot;
        }
        if a.incarnation != b.incarnation {
            return a.incarnation > b.incarnation;
        }
        rank(a.state) > rank(b.state)
    }

    #[test]
    fn the_order_of_claims_holds_for_every_pair() {
        let mut all = Vec::new();
        for boot in [0, 1, 2] {
            for incarnation in [0, 1, u64::MAX] {
                for state in [Alive, Suspect, Dead, Left] {
                    all.push(Stamp { boot, incarnation, state });
                }
            }
        }
        for &a in &all {
            for &b in &all {
                assert_eq!(a.supersedes(b), wins(a, b), "{a:?} {b:?}");
                assert!(!(a.supersedes(b) && b.supersedes(a)));
                assert!(a == b || a.supersedes(b) || b.supersedes(a));
            }
        }
    }

    #[test]
    fn a_leap_of_incarnations_is_absurd() {
        let at = |boot, incarnation| Stamp { boot, incarnation, state: Dead };
        assert!(!at(1, 5 + INCARNATION_LEAP_MAX).is_absurd(Some(at(1, 5))));
        assert!(at(1, 6 + INCARNATION_LEAP_MAX).is_absurd(Some(at(1, 5))));
        assert!(at(2, 1 + INCARNATION_LEAP_MAX).is_absurd(Some(at(1, 5))));
        assert!(at(1, 1 + INCARNATION_LEAP_MAX).is_absurd(None));
        assert!(at(BOOT_MAX + 1, 0).is_absurd(None));
        assert!(!at(1, u64::MAX).is_absurd(Some(at(1, u64::MAX - 3))));
    }
}
