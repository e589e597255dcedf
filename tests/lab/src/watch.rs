//! What nodes declared of each other, and what must never happen.

use crate::protocol::State;
use crate::{Nanos, SECOND};

/// One node declared another dead.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Declaration {
    pub at: Nanos,
    pub observer: u32,
    pub subject: u32,
}

/// Eyes on all nodes.
#[derive(Debug)]
pub struct Watch {
    nodes: usize,
    /// Bit (observer, subject): holds it for dead.
    dead: Vec<u64>,
    dead_to: Vec<u32>,
    declarations: Vec<Declaration>,
    suspicions: u64,
    /// Incarnations seen, by (observer, subject), when every step is checked.
    incarnations: Vec<u64>,
    violations: Vec<String>,
    majority_deaths: u64,
}

/// For so long after a pause or cut a node may still be declared dead, for what it missed.
const GRACE: Nanos = 40 * SECOND;

impl Watch {
    pub(crate) fn new(nodes: usize) -> Self {
        Self {
            nodes,
            dead: vec![0; (nodes * nodes).div_ceil(64)],
            dead_to: vec![0; nodes],
            declarations: Vec::new(),
            suspicions: 0,
            incarnations: Vec::new(),
            violations: Vec::new(),
            majority_deaths: 0,
        }
    }

    /// Checks incarnations at every step; 8 bytes a pair of nodes.
    pub fn check_incarnations(&mut self) {
        self.incarnations = vec![0; self.nodes * self.nodes];
    }

    /// A node starts anew: what it held of others is forgotten; others may see it with a lower incarnation.
    pub(crate) fn restarted(&mut self, node: u32) {
        for other in 0..self.nodes as u32 {
            if self.is_dead_to(node, other) {
                self.set_dead(node, other, false);
            }
            if !self.incarnations.is_empty() {
                self.incarnations[other as usize * self.nodes + node as usize] = 0;
                self.incarnations[node as usize * self.nodes + other as usize] = 0;
            }
        }
    }

    pub(crate) fn changed(
        &mut self,
        at: Nanos,
        observer: u32,
        about: (u32, State, u64),
        well_since: Option<Nanos>,
    ) {
        let (subject, to, incarnation) = about;
        let is_dead = to == State::Dead;
        let was_dead = self.is_dead_to(observer, subject);
        if to == State::Suspect {
            self.suspicions += 1;
        }
        if is_dead && !was_dead {
            self.declarations.push(Declaration { at, observer, subject });
        }
        if is_dead != was_dead {
            self.set_dead(observer, subject, is_dead);
            let is_well = well_since.is_some_and(|since| at >= since + GRACE || since == 0);
            if is_dead && is_well && self.dead_to[subject as usize] as usize == self.nodes / 2 + 1 {
                self.majority_deaths += 1;
            }
        }
        if !self.incarnations.is_empty() {
            let seen = &mut self.incarnations[observer as usize * self.nodes + subject as usize];
            if incarnation < *seen {
                let text =
                    format!("{at}: node {observer} took incarnation {incarnation} of {subject} after {seen}");
                self.violations.push(text);
            }
            *seen = incarnation.max(*seen);
        }
    }

    pub(crate) fn violation(&mut self, text: String) {
        if self.violations.len() < 1_000 {
            self.violations.push(text);
        }
    }

    fn set_dead(&mut self, observer: u32, subject: u32, dead: bool) {
        let bit = observer as usize * self.nodes + subject as usize;
        if dead {
            self.dead[bit / 64] |= 1 << (bit % 64);
            self.dead_to[subject as usize] += 1;
        } else {
            self.dead[bit / 64] &= !(1 << (bit % 64));
            self.dead_to[subject as usize] -= 1;
        }
    }

    /// Whether `observer` holds `subject` for dead.
    #[must_use]
    pub fn is_dead_to(&self, observer: u32, subject: u32) -> bool {
        let bit = observer as usize * self.nodes + subject as usize;
        self.dead[bit / 64] & (1 << (bit % 64)) != 0
    }

    /// To how many nodes `subject` is dead.
    #[must_use]
    pub fn dead_to(&self, subject: u32) -> u32 {
        self.dead_to[subject as usize]
    }

    /// All declarations of death in order.
    #[must_use]
    pub fn declarations(&self) -> &[Declaration] {
        &self.declarations
    }

    /// Forgets the declarations so far.
    pub fn forget_declarations(&mut self) {
        self.declarations.clear();
    }

    /// How often a node began to suspect another.
    #[must_use]
    pub fn suspicions(&self) -> u64 {
        self.suspicions
    }

    /// How often a running, reachable node, well for a while, became dead to more than half of all nodes.
    #[must_use]
    pub fn majority_deaths(&self) -> u64 {
        self.majority_deaths
    }

    /// What happened though it must not.
    #[must_use]
    pub fn violations(&self) -> &[String] {
        &self.violations
    }

    /// When `subject` was first declared dead after `since`, and when the last of `observers` did so; `None` if one
    /// never did.
    #[must_use]
    pub fn detection(&self, subject: u32, since: Nanos, observers: &[u32]) -> (Option<Nanos>, Option<Nanos>) {
        let mut at = vec![None; self.nodes];
        for said in self.declarations.iter().filter(|said| said.subject == subject && said.at >= since) {
            let first: &mut Option<Nanos> = &mut at[said.observer as usize];
            first.get_or_insert(said.at);
        }
        let times = observers.iter().map(|&node| at[node as usize]);
        let first = times.clone().flatten().min();
        let last = times.collect::<Option<Vec<_>>>().and_then(|times| times.into_iter().max());
        (first.map(|at| at - since), last.map(|at| at - since))
    }
}
