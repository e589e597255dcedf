//! The protocol as one state machine: what is due when, and who handles which input.

mod claims;
mod compose;
mod datagram;
mod exchange;
mod health;
mod probe;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use hyperscale_codec::NodeId;
use hyperscale_codec::messages::HealthPiggyback;
use hyperscale_core::Instant;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use self::exchange::Seed;
use self::probe::Probe;
use crate::awareness::PeerHealthAwareness;
use crate::claim::BOOT_MAX;
use crate::health_gossip::HealthGossipBuffer;
use crate::lhm::LocalHealth;
use crate::members::{Members, SharedMembers};
use crate::oob::OutOfBandHealthChannel;
use crate::peers::Peers;
use crate::permutation::Round;
use crate::queue::Updates;
use crate::refute::Refutations;
use crate::relay::Relays;
use crate::replay::Replays;
use crate::seal::GroupChecksum;
use crate::suspicion::Suspicions;
use crate::{Input, MemberCard, MemberState, MemberView, Outbox, SwimConfig, SwimCounters};

/// One node's part in one group.
#[derive(Debug)]
pub struct Swim {
    config: SwimConfig,
    own: MemberCard,
    refutations: Refutations,
    lhm: LocalHealth,
    members: Members,
    updates: Updates,
    suspicions: Suspicions,
    awareness: PeerHealthAwareness,
    health: HealthGossipBuffer,
    oob: OutOfBandHealthChannel,
    relays: Relays,
    replays: Replays,
    /// Round trips, smoothed, in us, of peers far enough to matter.
    round_trips: Peers<u32>,
    seal: GroupChecksum,
    scratch: Vec<u8>,
    rng: SmallRng,
    counters: SwimCounters,
    now: Instant,
    /// Since when this node is known to run again; lateness before that was counted.
    awake_since: Instant,
    /// When the last datagram of anybody came.
    heard_at: Instant,
    /// Of the last ping.
    seq: u32,
    /// Of the last datagram's nonce.
    nonce: u64,
    probe: Option<Probe>,
    next_probe: Option<Instant>,
    round: Round,
    /// Slots to be probed before the order's next.
    hints: VecDeque<u32>,
    gossip_at: Option<Instant>,
    push_pull_at: Option<Instant>,
    forget_at: Option<Instant>,
    seeds: Vec<Seed>,
    own_word: Option<HealthPiggyback>,
    /// When the own word's number was last raised, and when it must be told anew.
    own_word_at: Instant,
    refresh_at: Option<Instant>,
    /// When it may end.
    leaving: Option<Instant>,
}

impl Swim {
    /// A node that knows nobody yet.
    #[must_use]
    pub fn new(config: SwimConfig, own: MemberCard, seed: u64, now: Instant) -> Self {
        Self::with_members(config, own, seed, now, &SharedMembers::default())
    }

    /// A node that knows all of `members` (itself among them or not), sharing their memory until they change.
    #[must_use]
    pub fn with_members(
        config: SwimConfig,
        own: MemberCard,
        seed: u64,
        now: Instant,
        members: &SharedMembers,
    ) -> Self {
        debug_assert!(own.boot <= BOOT_MAX, "boot {} of 2^32 or more", own.boot);
        let own = MemberCard { boot: own.boot.min(BOOT_MAX), ..own };
        let mut rng = SmallRng::seed_from_u64(seed);
        let key = rng.random();
        let members = members.table(own.node, key);
        let mut swim = Self {
            seal: GroupChecksum::new(config.group),
            lhm: LocalHealth::new(config.lifeguard.probe),
            own,
            refutations: Refutations::default(),
            members,
            updates: Updates::default(),
            suspicions: Suspicions::default(),
            awareness: PeerHealthAwareness::new(key),
            health: HealthGossipBuffer::default(),
            oob: OutOfBandHealthChannel::default(),
            relays: Relays::default(),
            replays: Replays::default(),
            round_trips: Peers::new(key),
            scratch: Vec::new(),
            rng,
            counters: SwimCounters::default(),
            now,
            awake_since: now,
            heard_at: now,
            seq: 0,
            nonce: 0,
            probe: None,
            next_probe: None,
            round: Round::default(),
            hints: VecDeque::new(),
            gossip_at: None,
            push_pull_at: None,
            forget_at: None,
            seeds: Vec::new(),
            own_word: None,
            own_word_at: now,
            refresh_at: None,
            leaving: None,
            config,
        };
        swim.arm(now);
        swim
    }

    /// Takes one input and says what shall be done. `now` never goes back.
    pub fn handle(&mut self, now: Instant, input: Input<'_>, out: &mut Outbox) {
        let now = now.max(self.now);
        self.notice_standstill(now, out);
        self.now = now;
        match input {
            Input::Timer => self.on_timer(now, out),
            Input::Datagram { from, bytes } => self.on_datagram(now, from, bytes, out),
            Input::OutOfBand { from, bytes } => self.on_out_of_band(now, from, bytes, out),
            Input::PushPull { bytes } => self.on_list(now, bytes, out),
            Input::Seen { card } => self.on_seen(now, card, out),
            Input::LinkReset { node } => self.on_link_reset(now, node),
            Input::TcpProbe { node, answered } => self.on_tcp_probe(now, node, answered, out),
            Input::OwnHealth(word) => self.on_own_health(now, word),
            Input::PeerHealth(word) => self.on_word(now, crate::wire::cleaned(word), true, out),
            Input::ProbeOutOfBand { node, timeout } => self.ask_out_of_band(now, node, timeout, out),
            Input::Leave => self.leave(now, out),
        }
    }

    /// Whether a datagram is of this group.
    #[must_use]
    pub fn is_addressed(&self, bytes: &[u8]) -> bool {
        crate::seal::Seal::open(&self.seal, bytes, &mut Vec::new()).is_ok()
    }

    /// When [`Input::Timer`] is due next, if at all.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        let probe = self.probe.as_ref().map_or(self.next_probe, |probe| Some(probe.due()));
        let leaving = self.leaving.filter(|at| *at > self.now);
        let all = [
            probe,
            self.gossip_at,
            self.push_pull_at,
            self.forget_at,
            self.refresh_at,
            leaving,
            self.suspicions.next_end(),
            self.oob.next_due(),
            self.relays.next_due(),
            self.refutations.next_due(),
        ];
        all.into_iter().flatten().min()
    }

    fn on_timer(&mut self, now: Instant, out: &mut Outbox) {
        while let Some(relay) = self.relays.unanswered(now) {
            self.send_nack(&relay, out);
        }
        self.end_out_of_band(now, out);
        if self.refutations.next_due().is_some_and(|due| due <= now)
            && let Some(verdict) = self.refutations.catch_up(now)
        {
            self.on_verdict(verdict, now);
        }
        self.probe_on(now, out);
        self.end_suspicions(now, out);
        if self.refresh_at.is_some_and(|due| due <= now) {
            self.refresh_own_word(now);
        }
        if self.gossip_at.is_some_and(|due| due <= now) {
            self.gossip(now, out);
        }
        if self.push_pull_at.is_some_and(|due| due <= now) {
            self.choose_push_pull(now, out);
        }
        if self.forget_at.is_some_and(|due| due <= now) {
            self.forget(now);
        }
    }

    /// Starts the timers of a node that knows somebody.
    fn arm(&mut self, now: Instant) {
        if self.leaving.is_some() {
            return;
        }
        if self.members.live() > 0 && self.probe.is_none() && self.next_probe.is_none() {
            // Members that started together do not stay together.
            self.next_probe = Some(now + self.config.probe_interval.mul_f64(self.rng.random()));
        }
        if (self.members.known() > 0 || !self.seeds.is_empty()) && self.push_pull_at.is_none() {
            self.push_pull_at = Some(now + self.push_pull_interval());
        }
    }

    /// A timer late by more than twice its interval: this node stood still (paused, starved). What ran out meanwhile
    /// says nothing about others.
    fn notice_standstill(&mut self, now: Instant, out: &mut Outbox) {
        if !self.config.lifeguard.probe {
            return;
        }
        let Some(due) = self.next_deadline() else { return };
        if now.since(due.max(self.awake_since)) <= self.config.probe_interval * 2 {
            return;
        }
        self.awake_since = now;
        self.counters.standstills += 1;
        self.lhm.worse(1);
        self.rearm_probe(now, out);
        self.oob.rearm(now);
        if self.config.lifeguard.suspicion && !self.suspicions.is_empty() {
            // Refutations lie in the queue, or come when the suspects are asked again.
            let (_, length) = self.timing(None, now);
            self.suspicions.not_before(now + length * 2);
        }
    }

    /// Live members with this node.
    fn size(&self) -> u32 {
        self.members.live().saturating_add(1)
    }

    /// This node's claim of itself.
    fn own_claim(&self) -> crate::Claim {
        let state = if self.leaving.is_some() { MemberState::Left } else { MemberState::Alive };
        crate::Claim {
            card: self.own,
            incarnation: self.refutations.incarnation(),
            state,
            accuser: NodeId(0),
        }
    }

    fn leave(&mut self, now: Instant, out: &mut Outbox) {
        if self.leaving.is_some() {
            return;
        }
        self.leaving = Some(now + self.config.probe_interval * 2);
        (self.probe, self.next_probe, self.push_pull_at) = (None, None, None);
        self.tell(crate::queue::OWN, NodeId(0), now);
        self.gossip(now, out);
    }

    /// All members that are known, dead and left ones too, without this node.
    pub fn members(&self) -> impl Iterator<Item = MemberView> {
        self.members.iter().map(|(_, view)| view)
    }

    /// One member.
    #[must_use]
    pub fn member(&self, node: NodeId) -> Option<MemberView> {
        if node == self.own.node {
            return None;
        }
        self.members.view(self.members.find(node)?)
    }

    /// Members alive or suspect, without this node.
    #[must_use]
    pub fn live(&self) -> u32 {
        self.members.live()
    }

    /// 0 (well) to 8: how far this node distrusts its own probes.
    #[must_use]
    pub fn local_health(&self) -> u8 {
        self.lhm.score()
    }

    /// This node's own incarnation.
    #[must_use]
    pub fn incarnation(&self) -> u64 {
        self.refutations.incarnation()
    }

    /// What happened so far.
    #[must_use]
    pub fn counters(&self) -> SwimCounters {
        self.counters
    }

    /// Its parameters.
    #[must_use]
    pub fn config(&self) -> &SwimConfig {
        &self.config
    }

    /// Whether [`Input::Leave`] was given, all was said and the driver may end.
    #[must_use]
    pub fn left(&self) -> bool {
        self.leaving.is_some_and(|at| self.now >= at)
    }

    /// The same port of a peer that its card names for out-of-band probes.
    fn oob_addr(&self, slot: u32) -> Option<SocketAddr> {
        self.members.card(slot)?.oob_addr()
    }

    /// Between exchanges of lists; longer in large groups, where each of many exchanges is long.
    fn push_pull_interval(&mut self) -> Duration {
        let doublings = (f64::from(self.size()) / 32.0).log2().ceil().max(0.0);
        let jitter = self.rng.random_range(0.9..1.1);
        self.config.push_pull_interval.mul_f64((doublings + 1.0) * jitter)
    }
}
