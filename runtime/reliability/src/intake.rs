//! The decision on an incoming frame, by its header alone: before its body is waited for, checked or read.

use std::net::SocketAddr;
use std::time::Duration;

use hyperscale_codec::{Features, Flags, Header, Hello, Kind, Priority, Role};
use hyperscale_core::Instant;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use crate::answer::{Answer, ShedAnswer};
use crate::gathering::Gathering;
use crate::load_shedding::{LoadShedder, classify_request};
use crate::rate_limiting::LinkedClient;
use crate::ration::Ration;
use crate::{LoadGauge, NodeRateLimiter, Operation, OverloadState, RateLimitConfig, RateLimited};

/// What becomes of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// The core gets it.
    Take,
    /// Its body is skipped unread; who waits is answered so.
    Refuse(Option<Answer>),
}

/// Who sends on one link, as far as its rate goes. Made when the link comes up ([`Intake::caller`]).
#[derive(Debug)]
pub struct Caller {
    /// Of one that is held to limits.
    client: Option<LinkedClient>,
    /// It knows the message for refusals over a rate.
    own_message: bool,
}

/// What a node took and refused, by kind; a kind of a newer minor counts under its class.
#[derive(Debug, Clone)]
pub struct IntakeCounts {
    kinds: Vec<KindCount>,
    unknown: [KindCount; 4],
    limited: [u64; Operation::COUNT],
}

/// One kind's counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct KindCount {
    /// Frames that came and that their sender's role may send.
    pub came: u64,
    /// Of these, shed in each state.
    pub shed: [u64; 4],
}

impl Default for IntakeCounts {
    fn default() -> Self {
        Self {
            kinds: vec![KindCount::default(); Kind::ALL.len()],
            unknown: [KindCount::default(); 4],
            limited: [0; Operation::COUNT],
        }
    }
}

impl IntakeCounts {
    fn of(&mut self, kind: Option<Kind>, class: Priority) -> Option<&mut KindCount> {
        match kind {
            Some(kind) => self.kinds.get_mut(kind.index()),
            None => self.unknown.get_mut(usize::from(class as u8)),
        }
    }

    /// Name, class and counts of each kind that came at all.
    pub fn rows(&self) -> impl Iterator<Item = (&'static str, Priority, KindCount)> + '_ {
        let known =
            Kind::ALL.iter().zip(&self.kinds).map(|(kind, count)| (kind.name(), kind.priority(), *count));
        let classes = [Priority::Critical, Priority::High, Priority::Normal, Priority::Low];
        let unknown = classes.into_iter().zip(&self.unknown).map(|(class, count)| ("unknown", class, *count));
        known.chain(unknown).filter(|(_, _, count)| count.came > 0)
    }

    /// What was refused because its caller asked too often, of every operation.
    pub fn limited(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        Operation::ALL.iter().zip(&self.limited).map(|(operation, count)| (operation.as_str(), *count))
    }

    /// All that was shed of a class.
    #[must_use]
    pub fn shed(&self, class: Priority) -> u64 {
        let rows = self.rows().filter(|(_, of, _)| *of == class);
        rows.flat_map(|(_, _, count)| count.shed).fold(0, u64::saturating_add)
    }
}

/// What stands between one shard's links and its core.
#[derive(Debug)]
pub struct Intake {
    gauge: LoadGauge,
    limits: NodeRateLimiter,
    sheds: bool,
    ration: Ration,
    gathering: Gathering,
    counts: IntakeCounts,
    rng: SmallRng,
}

impl Intake {
    /// In front of a node of this role, whose load `gauge` tells. Gates and managers shed; a worker's load is its work.
    /// Clients have the default limits, and at this shard alone: see [`Intake::limited_by`].
    #[must_use]
    pub fn new(role: Role, gauge: LoadGauge, seed: u64) -> Self {
        let sheds = matches!(role, Role::Gate | Role::Manager);
        let limits = NodeRateLimiter::new(RateLimitConfig::default(), gauge.clone(), seed);
        let (counts, rng) = (IntakeCounts::default(), SmallRng::seed_from_u64(seed));
        let (ration, gathering) = (Ration::default(), Gathering::default());
        Self { gauge, limits, sheds, ration, gathering, counts, rng }
    }

    /// The same with the limits of the whole node, which all its shards share.
    #[must_use]
    pub fn limited_by(mut self, limits: NodeRateLimiter) -> Self {
        self.limits = limits;
        self
    }

    /// Who is at the other end of a link that came up, from where; `both`: the features of both ends.
    #[must_use]
    pub fn caller(&mut self, now: Instant, addr: SocketAddr, hello: &Hello, both: Features) -> Caller {
        let client = match hello.role {
            Role::Client => self.limits.link(addr.ip(), hello.node, now),
            // Verified by the fleet; without TLS the role it says it has counts. Backpressure is for these.
            Role::Gate | Role::Manager | Role::Worker => None,
        };
        Caller { client, own_message: both.contains(Features::RATE_LIMITING) }
    }

    /// Whether a frame with this header, which its sender's role may send, is taken. Asked once for each frame: it may
    /// take a token.
    pub fn admit(&mut self, now: Instant, header: &Header, caller: &mut Caller) -> Admission {
        let (kind, class) = (Kind::from_wire(header.kind), classify_request(header.kind));
        if let Some(count) = self.counts.of(kind, class) {
            count.came = count.came.saturating_add(1);
        }
        if let Err(limited) = self.within_rate(now, kind, caller) {
            if let Some(count) = self.counts.limited.get_mut(limited.operation.index()) {
                *count = count.saturating_add(1);
            }
            return refuse(header, || limit_answer(&limited, caller.own_message));
        }
        if !self.sheds || class == Priority::Critical || kind.is_some_and(Kind::is_reply) {
            return Admission::Take;
        }
        let (state, strain) = (self.gauge.state(), self.gauge.strain());
        if !LoadShedder.should_shed(class, state) {
            self.ration.took(now, class, state, strain);
            return Admission::Take;
        }
        if self.ration.take(now, class, state, strain) {
            return Admission::Take;
        }
        self.gauge.refused(class);
        let shed =
            self.counts.of(kind, class).and_then(|count| count.shed.get_mut(usize::from(state.to_wire())));
        if let Some(shed) = shed {
            *shed = shed.saturating_add(1);
        }
        refuse(header, || Answer::Shed(ShedAnswer { state, retry_after_ms: self.retry_after_ms(state) }))
    }

    /// For how long what comes next on a link may gather before it is read: frames that are read together cost less each,
    /// and a node near its limits has nothing to give away.
    pub fn gathers(&mut self, now: Instant) -> Duration {
        if self.sheds { self.gathering.pause(now, self.gauge.strain()) } else { Duration::ZERO }
    }

    fn within_rate(&self, now: Instant, kind: Option<Kind>, caller: &Caller) -> Result<(), RateLimited> {
        let Some(client) = &caller.client else { return Ok(()) };
        match kind.map_or(Some(Operation::Default), Operation::of) {
            Some(operation) => self.limits.check(client, operation, now),
            None => Ok(()),
        }
    }

    /// What was taken and refused so far.
    #[must_use]
    pub const fn counts(&self) -> &IntakeCounts {
        &self.counts
    }

    /// When a shed request may come back: the longer the worse, spread by a fifth either way so that those who were
    /// refused together do not return together.
    fn retry_after_ms(&mut self, state: OverloadState) -> u32 {
        let base = match state {
            OverloadState::Healthy | OverloadState::Busy => Duration::from_millis(250),
            OverloadState::Stressed => Duration::from_secs(1),
            OverloadState::Overloaded => Duration::from_secs(3),
        };
        let spread = base.mul_f64(self.rng.random_range(0.8..1.2));
        u32::try_from(spread.as_millis()).unwrap_or(u32::MAX)
    }
}

/// Who waits for an answer gets one.
fn refuse(header: &Header, answer: impl FnOnce() -> Answer) -> Admission {
    Admission::Refuse(header.flags.contains(Flags::WANTS_REPLY).then(answer))
}

fn limit_answer(limited: &RateLimited, own_message: bool) -> Answer {
    Answer::Limited {
        operation: limited.operation.to_wire(),
        name: limited.operation.as_str(),
        retry_after_ms: u32::try_from(limited.retry_after.as_millis()).unwrap_or(u32::MAX),
        limit: limited.limit,
        remaining: limited.remaining,
        own_message,
    }
}

#[cfg(test)]
mod tests;
