//! The calls of one core that wait for their answers (21-3): each is made again by the rules of
//! `hyperscale-reliability`, until it is answered, given up, or not wanted any more.
//!
//! In: calls that begin, answers, refusals, links that go, the timer. Out: what to send now, when, and what was given up.
//! What is said is the core's: it makes the message anew for each attempt, by the call's key. Bounded; pure.

mod counts;
mod peers;
mod policy;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use hyperscale_codec::{Extensions, Head, NodeId};
use hyperscale_core::{Instant, LinkId};
use hyperscale_reliability::{CallError, Deadline, GiveUp, Retry, RetryExecutor};
use hyperscale_view::Gauge;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use counts::Counts;
use peers::Peers;
pub use policy::{Insists, Policy};

/// Calls at once; one more goes out once, and is not made again.
const OPEN_MAX: usize = 16_384;
/// Numbers of calls: `FIRST` and above, below twice as much. Others are free for what is no call.
const FIRST: u32 = 1 << 30;
/// An answer to one of so many last attempts of a call is its answer.
const ATTEMPTS_KNOWN: usize = 4;

/// What tells calls of a core apart.
pub trait CallKey: Ord + Clone + Debug {
    /// Its word in metrics.
    fn name(&self) -> &'static str;
}

/// How one attempt is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asking {
    /// Comes back with the answer.
    pub number: u32,
    /// What is left of its time, which attempt it is, its idempotency id.
    pub extensions: Extensions,
}

impl Asking {
    /// The envelope of this attempt.
    #[must_use]
    pub fn head(&self) -> Head {
        Head::request(self.number)
    }
}

/// What has become of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is made again, then.
    Again(Instant),
    /// It is given up.
    Over(GiveUp),
}

/// What is to be done with a call whose time has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Due<K> {
    /// It is said now, on its link.
    Say(K, LinkId, Asking),
    /// Nobody answered it, and it is given up.
    Over(K, LinkId, GiveUp),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Its answer is due until then.
    Waits(Instant),
    /// It is made again then.
    Rests(Instant),
}

impl State {
    fn at(self) -> Instant {
        match self {
            Self::Waits(at) | Self::Rests(at) => at,
        }
    }
}

#[derive(Debug)]
struct Open {
    peer: NodeId,
    link: LinkId,
    policy: Policy,
    executor: RetryExecutor,
    idempotency: [u8; 16],
    state: State,
    /// Of its last attempts; 0 is none.
    numbers: [u32; ATTEMPTS_KNOWN],
    /// The next attempt is the first of a new round, and counts as a call.
    round_begins: bool,
}

/// All calls of one core.
#[derive(Debug)]
pub struct Calls<K> {
    open: BTreeMap<K, Open>,
    dues: BTreeSet<(Instant, K)>,
    numbers: BTreeMap<u32, K>,
    peers: Peers,
    last: u32,
    rng: SmallRng,
    counts: Counts,
}

impl<K: CallKey> Calls<K> {
    /// None. `seed`: of the waits' randomness.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            open: BTreeMap::new(),
            dues: BTreeSet::new(),
            numbers: BTreeMap::new(),
            peers: Peers::default(),
            last: 0,
            rng: SmallRng::seed_from_u64(seed),
            counts: Counts::default(),
        }
    }

    /// Begins a call. What to send at once; `None`: the peer is left alone for now, and the call is due later. An older
    /// call of this key is forgotten: this one says what it said, or something newer.
    pub fn begin(
        &mut self,
        now: Instant,
        key: K,
        (peer, link): (NodeId, LinkId),
        policy: Policy,
    ) -> Option<Asking> {
        self.forget(&key);
        if self.open.len() >= OPEN_MAX {
            self.counts.untracked = self.counts.untracked.saturating_add(1);
            return Some(Asking { number: 0, extensions: Extensions::default() });
        }
        let deadline = policy.deadline.map(|left| Deadline::after(now, left));
        let open = Open {
            peer,
            link,
            executor: policy.executor(deadline),
            policy,
            idempotency: self.rng.random(),
            state: State::Rests(now),
            numbers: [0; ATTEMPTS_KNOWN],
            round_begins: true,
        };
        self.dues.insert((now, key.clone()));
        self.open.insert(key.clone(), open);
        self.peers.on_begin(peer);
        self.say(now, &key).map(|(_, asking)| asking)
    }

    /// Makes an attempt of a call that rests, unless its peer is to be left alone.
    fn say(&mut self, now: Instant, key: &K) -> Option<(LinkId, Asking)> {
        let open = self.open.get(key)?;
        if open.policy.heeds_circuit()
            && let Err(later) = self.peers.of(open.peer).circuit.admit(now)
        {
            self.counts.held_back = self.counts.held_back.saturating_add(1);
            let end = open.executor.deadline().map_or(Instant::MAX, |deadline| deadline.0);
            self.set(key, State::Rests(later.min(end)));
            return None;
        }
        let number = self.number(key);
        let open = self.open.get_mut(key)?;
        if std::mem::take(&mut open.round_begins) {
            self.peers.of(open.peer).budget.on_call();
        }
        let old = std::mem::replace(open.numbers.first_mut()?, number);
        open.numbers.rotate_left(1);
        self.numbers.remove(&old);
        let deadline = open.executor.deadline();
        let extensions = Extensions {
            deadline_ms: deadline.map(|deadline| deadline.left_ms(now)),
            idempotency: Some(open.idempotency),
            attempt: Some(u8::try_from(open.executor.attempt()).unwrap_or(u8::MAX)),
            trace: None,
        };
        let (link, time_out) = (open.link, now + open.policy.time_out);
        self.set(key, State::Waits(deadline.map_or(time_out, |deadline| time_out.min(deadline.0))));
        Some((link, Asking { number, extensions }))
    }

    fn number(&mut self, key: &K) -> u32 {
        loop {
            self.last = self.last.wrapping_add(1) % FIRST;
            let number = FIRST | self.last;
            if let std::collections::btree_map::Entry::Vacant(free) = self.numbers.entry(number) {
                free.insert(key.clone());
                return number;
            }
        }
    }

    fn set(&mut self, key: &K, state: State) {
        let Some(open) = self.open.get_mut(key) else { return };
        let before = std::mem::replace(&mut open.state, state);
        self.dues.remove(&(before.at(), key.clone()));
        self.dues.insert((state.at(), key.clone()));
    }

    /// Which call an answer with this number on this link is to.
    #[must_use]
    pub fn asked(&self, link: LinkId, number: u32) -> Option<&K> {
        let key = self.numbers.get(&number)?;
        self.open.get(key).filter(|open| open.link == link).map(|_| key)
    }

    /// A call is answered; the call it is, if it was not before.
    pub fn on_answer(&mut self, now: Instant, link: LinkId, number: u32) -> Option<K> {
        let key = self.asked(link, number)?.clone();
        self.answered(now, &key);
        Some(key)
    }

    /// A call is answered, or what it was to bring about has come about.
    pub fn answered(&mut self, now: Instant, key: &K) {
        if let Some(open) = self.open.get(key) {
            let peer = open.peer;
            self.peers.of(peer).circuit.on_answer(now);
        }
        self.forget(key);
    }

    /// The last attempt of a call is refused. An earlier one's refusal says nothing about it.
    pub fn on_refused(
        &mut self,
        now: Instant,
        link: LinkId,
        number: u32,
        error: CallError,
    ) -> Option<(K, Fate)> {
        let key = self.asked(link, number)?.clone();
        let open = self.open.get(&key)?;
        if open.numbers.last() != Some(&number) || !matches!(open.state, State::Waits(_)) {
            return None;
        }
        let fate = self.fail(now, &key, error)?;
        Some((key, fate))
    }

    /// A call is refused, where its key is known and its number is not.
    pub fn refused(&mut self, now: Instant, key: &K, error: CallError) -> Option<Fate> {
        let waits = matches!(self.open.get(key)?.state, State::Waits(_));
        waits.then(|| self.fail(now, key, error)).flatten()
    }

    /// An attempt failed.
    fn fail(&mut self, now: Instant, key: &K, error: CallError) -> Option<Fate> {
        let open = self.open.get_mut(key)?;
        let peer = self.peers.of(open.peer);
        match error.is_failure() {
            true if open.policy.heeds_circuit() => peer.circuit.on_failure(now),
            true => {}
            false => peer.circuit.on_answer(now),
        }
        match open.executor.next(now, &error, &mut peer.budget, &mut self.rng) {
            Retry::At(at) => {
                self.counts.retry(key.name(), error.reason());
                self.set(key, State::Rests(at));
                Some(Fate::Again(at))
            }
            Retry::GiveUp(mut why) => {
                if why == GiveUp::Budget {
                    self.counts.over_budget = self.counts.over_budget.saturating_add(1);
                }
                let deadline = open.executor.deadline();
                let pause = open.policy.pause_after(why, &mut self.rng);
                let again = pause.map(|pause| now + pause.max(error.retry_after()));
                if again.is_some_and(|at| deadline.is_some_and(|deadline| deadline.is_over(at))) {
                    why = GiveUp::Deadline;
                } else if let Some(at) = again {
                    open.executor = open.policy.executor(deadline);
                    open.round_begins = true;
                    self.counts.retry(key.name(), error.reason());
                    self.set(key, State::Rests(at));
                    return Some(Fate::Again(at));
                }
                self.counts.give_up(key.name(), why);
                self.forget(key);
                Some(Fate::Over(why))
            }
        }
    }

    /// What is due now; ask until there is nothing.
    pub fn due(&mut self, now: Instant) -> Option<Due<K>> {
        loop {
            let (at, key) = self.dues.first()?;
            if *at > now {
                return None;
            }
            let key = key.clone();
            let open = self.open.get(&key)?;
            let link = open.link;
            match open.state {
                // It was held back for too long.
                State::Rests(_) if open.executor.deadline().is_some_and(|deadline| deadline.is_over(now)) => {
                    self.counts.give_up(key.name(), GiveUp::Deadline);
                    self.forget(&key);
                    return Some(Due::Over(key, link, GiveUp::Deadline));
                }
                State::Rests(_) => {
                    if let Some((link, asking)) = self.say(now, &key) {
                        return Some(Due::Say(key, link, asking));
                    }
                }
                State::Waits(_) => {
                    if let Some(Fate::Over(why)) = self.fail(now, &key, CallError::TimedOut) {
                        return Some(Due::Over(key, link, why));
                    }
                }
            }
        }
    }

    /// When [`Calls::due`] has something to say next.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        self.dues.first().map(|(at, _)| *at)
    }

    /// A link is gone, and with it what was asked on it; its core begins anew what it wants when there is another.
    pub fn on_link_down(&mut self, now: Instant, link: LinkId) {
        let lost: Vec<K> =
            self.open.iter().filter(|(_, open)| open.link == link).map(|(key, _)| key.clone()).collect();
        for key in lost {
            if let Some(open) = self.open.get(&key).filter(|open| open.policy.heeds_circuit()) {
                self.peers.of(open.peer).circuit.on_failure(now);
            }
            self.forget(&key);
        }
    }

    /// A call is not wanted any more.
    pub fn forget(&mut self, key: &K) {
        let Some(open) = self.open.remove(key) else { return };
        self.dues.remove(&(open.state.at(), key.clone()));
        for number in open.numbers {
            self.numbers.remove(&number);
        }
        self.peers.on_end(open.peer);
    }

    /// Calls that are not wanted any more.
    pub fn forget_where(&mut self, unwanted: impl Fn(&K) -> bool) {
        let keys: Vec<K> = self.open.keys().filter(|key| unwanted(key)).cloned().collect();
        keys.iter().for_each(|key| self.forget(key));
    }

    /// Whether this call waits for its answer, or for its next attempt.
    #[must_use]
    pub fn has(&self, key: &K) -> bool {
        self.open.contains_key(key)
    }

    /// Which attempt of a call is under way, from 1; 0: there is no such call.
    #[must_use]
    pub fn attempt(&self, key: &K) -> u32 {
        self.open.get(key).map_or(0, |open| open.executor.attempt())
    }

    /// Whether a call to this peer would be held back.
    #[must_use]
    pub fn is_left_alone(&self, peer: NodeId) -> bool {
        self.peers.is_open(peer)
    }

    /// What monitors are told.
    #[must_use]
    pub fn gauges(&self) -> Vec<Gauge> {
        self.counts.gauges(self.open.len()).into_iter().chain(self.peers.gauges()).collect()
    }
}

#[cfg(test)]
mod tests;
