//! Whom a node dials, and when again.
//!
//! Targets come from the configuration and from what peers tell of each other. A node with several shards has a port
//! for each: once one of its shards greeted, all of them are dialled, and the address they share rests until they are
//! gone. In: addresses, what became of dials and links. Out: dials. Bounded; pure.

use std::net::SocketAddr;
use std::time::Duration;

use hyperscale_codec::{NodeId, ShardId, Verdict};
use hyperscale_core::{DialError, DialId, Effects, Instant, LinkId, Peer};
use hyperscale_reliability::JitterStrategy;
use rand::SeedableRng;
use rand::rngs::StdRng;

/// Targets at most; more are not dialled.
const TARGETS_MAX: usize = 4096;
/// First wait after a failure; doubles with each.
const BASE: Duration = Duration::from_millis(100);
/// Longest wait after a failure.
const CAP: Duration = Duration::from_secs(5);
/// A peer of another version, fleet or role will not be another one soon.
const MISMATCH: Duration = Duration::from_secs(60);
/// A target that a peer told of is forgotten after so many failures in a row.
const LEARNED_FAILURES_MAX: u32 = 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Due(Instant),
    Dialling(DialId),
    Up(LinkId),
    /// Reached otherwise.
    Resting,
}

#[derive(Debug)]
struct Target {
    addr: SocketAddr,
    learned: bool,
    state: State,
    failures: u32,
    /// Who was there last.
    peer: Option<(NodeId, ShardId)>,
}

/// What a core is to do with a link that it dialled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Dialled {
    /// Talk.
    Keep,
    /// Close it: this peer is reached, or will be, on another link.
    Close,
}

/// All targets of one core.
#[derive(Debug)]
pub struct Dialer {
    targets: Vec<Target>,
    own: Option<SocketAddr>,
    next: u64,
    rng: StdRng,
}

impl Dialer {
    /// Knows nobody. `own`: an address that is this very node's; `seed`: of the waits' randomness.
    #[must_use]
    pub fn new(own: Option<SocketAddr>, seed: u64) -> Self {
        Self { targets: Vec::new(), own, next: 0, rng: StdRng::seed_from_u64(seed) }
    }

    /// Dials this address from now on, for as long as the node runs.
    pub fn join(&mut self, now: Instant, addr: SocketAddr) {
        self.add(now, addr, false);
    }

    /// A peer told of this address: dialled until it fails for long.
    pub fn learn(&mut self, now: Instant, addr: &str) {
        if let Ok(addr) = addr.parse() {
            self.add(now, addr, true);
        }
    }

    fn add(&mut self, now: Instant, addr: SocketAddr, learned: bool) {
        if self.own == Some(addr) {
            return;
        }
        if let Some(known) = self.targets.iter_mut().find(|target| target.addr == addr) {
            known.learned &= learned;
        } else if self.targets.len() < TARGETS_MAX {
            let state = State::Due(now);
            self.targets.push(Target { addr, learned, state, failures: 0, peer: None });
        }
    }

    /// Starts the dials that are due.
    pub fn go<C>(&mut self, now: Instant, effects: &mut Effects<C>) {
        self.wake_resting(now);
        for target in
            self.targets.iter_mut().filter(|target| matches!(target.state, State::Due(at) if at <= now))
        {
            self.next += 1;
            target.state = State::Dialling(DialId(self.next));
            effects.dial(DialId(self.next), target.addr);
        }
    }

    /// A shared address rests only while its node is reached by its shards' own ports.
    fn wake_resting(&mut self, now: Instant) {
        let busy: Vec<NodeId> = self
            .targets
            .iter()
            .filter(|target| target.state != State::Resting)
            .filter_map(|target| target.peer.map(|(node, _)| node))
            .collect();
        for target in &mut self.targets {
            if target.state == State::Resting && target.peer.is_none_or(|(node, _)| !busy.contains(&node)) {
                target.state = State::Due(now);
            }
        }
    }

    /// A dial succeeded.
    pub fn on_up(&mut self, now: Instant, dial: DialId, link: LinkId, peer: &Peer) -> Dialled {
        let hello = &peer.hello;
        let who = (hello.node, hello.shard);
        let reached = self
            .targets
            .iter()
            .any(|target| matches!(target.state, State::Up(_)) && target.peer == Some(who));
        let Some(target) = self.targets.iter_mut().find(|target| target.state == State::Dialling(dial))
        else {
            return Dialled::Close;
        };
        target.peer = Some(who);
        let shared = hello.ports.len() > 1 && !hello.ports.contains(&target.addr.port());
        if !reached && !shared {
            target.state = State::Up(link);
            return Dialled::Keep;
        }
        target.state = State::Resting;
        let ip = target.addr.ip();
        for (shard, port) in (0_u16..).zip(&hello.ports).filter(|_| shared) {
            let addr = SocketAddr::new(ip, *port);
            self.add(now, addr, true);
            if let Some(own) = self.targets.iter_mut().find(|target| target.addr == addr) {
                own.peer = Some((hello.node, ShardId(shard)));
            }
        }
        Dialled::Close
    }

    /// The peer took this node on.
    pub fn settled(&mut self, link: LinkId) {
        if let Some(target) = self.targets.iter_mut().find(|target| target.state == State::Up(link)) {
            target.failures = 0;
        }
    }

    /// A dial failed.
    pub fn on_failed(&mut self, now: Instant, dial: DialId, error: &DialError) {
        let wait = match error {
            DialError::Refused { verdict, retry_after_ms, .. } => Some(wait_after(*verdict, *retry_after_ms)),
            DialError::Connect { .. } | DialError::Handshake { .. } => None,
        };
        self.again(now, |target| target.state == State::Dialling(dial), wait);
    }

    /// A link is gone, dialled or not.
    pub fn on_down(&mut self, now: Instant, link: LinkId) {
        self.again(now, |target| target.state == State::Up(link), None);
    }

    fn again(&mut self, now: Instant, which: impl Fn(&Target) -> bool, wait: Option<Duration>) {
        let Some(at) = self.targets.iter().position(which) else { return };
        let Some(target) = self.targets.get_mut(at) else { return };
        let failures = target.failures;
        // Half of it for sure, so that a fleet that restarts does not come all at once.
        let drawn = || JitterStrategy::Equal.delay((BASE, CAP), failures, BASE, &mut self.rng);
        let wait = wait.unwrap_or_else(drawn);
        target.state = State::Due(now + wait);
        target.failures = target.failures.saturating_add(1);
        if target.learned && target.failures >= LEARNED_FAILURES_MAX {
            self.targets.swap_remove(at);
        }
    }

    /// When [`Dialer::go`] has something to do next.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        self.targets
            .iter()
            .filter_map(|target| match target.state {
                State::Due(at) => Some(at),
                State::Dialling(_) | State::Up(_) | State::Resting => None,
            })
            .min()
    }
}

/// Another version, fleet or role stays so for a while; who is full or leaving says when to come back.
fn wait_after(verdict: u8, retry_after_ms: u32) -> Duration {
    let mismatch = [Verdict::MajorMismatch, Verdict::OtherFleet, Verdict::RoleNotAllowed];
    if mismatch.iter().any(|known| *known as u8 == verdict) {
        return MISMATCH;
    }
    Duration::from_millis(retry_after_ms.into()).clamp(BASE, MISMATCH)
}

#[cfg(test)]
mod tests;
