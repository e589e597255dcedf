//! The managers of this worker's datacenter: registrations and heartbeats. Each share talks to the manager that gave it.

use std::time::Duration;

use hyperscale_codec::messages::{
    ArchivedManagerHeartbeat, ArchivedRegistrationResponse, HealthPiggyback, WorkerHeartbeat,
};
use hyperscale_codec::{Head, RawFrame, Role};
use hyperscale_core::{DialId, LinkId, Peer};
use hyperscale_engine::orders::{Order, ShareKey};
use hyperscale_fleet::{Dialled, PeerLink};

use crate::calls::Call;
use crate::core::{Command, WorkerCore, WorkerEffects};

/// From here on a worker takes no new load: 3 of `overload_state`.
pub(crate) const OVERLOADED: u8 = 3;
/// A share whose manager is away for so long is stopped: its job has ended as far as anybody can tell.
const ORPHANED: Duration = Duration::from_secs(15);
/// An ended share whose manager does not come back for its result is forgotten after so long.
const ABANDONED: Duration = Duration::from_secs(60);
/// Requests in flight of an orphaned share are cut after so long.
const CUT_AFTER: Duration = Duration::from_secs(2);

impl WorkerCore {
    pub(crate) fn on_link_up(
        &mut self,
        link: LinkId,
        peer: &Peer,
        dial: Option<DialId>,
        effects: &mut WorkerEffects,
    ) {
        if self.membership.on_link_up(self.now, (link, dial, peer), &self.links, effects) {
            return;
        }
        let Some(dial) = dial else { return self.membership.on_visitor(self.now, link, peer, effects) };
        if self.dialer.on_up(self.now, dial, link, peer) == Dialled::Close || peer.hello.role != Role::Manager
        {
            effects.close(link);
            self.dialer.go(self.now, effects);
            return;
        }
        let giver = (peer.hello.node, peer.hello.boot);
        self.links.insert(link, PeerLink::new(&self.config.identity, peer));
        self.register(link, effects);
        // What ended meanwhile is told again; the manager ignores what it has. One that started anew asks for nothing.
        let own = self.shares.values_mut().filter(|share| share.manager == giver);
        let over: Vec<ShareKey> = own
            .filter_map(|share| {
                (share.link, share.orphaned_since) = (link, None);
                share.pace.begin_again();
                share.is_over().then_some(share.key)
            })
            .collect();
        over.into_iter().for_each(|key| self.tell_end(key, effects));
        self.beat_one(link, effects);
    }

    pub(crate) fn on_link_down(&mut self, link: LinkId, effects: &mut WorkerEffects) {
        let now = self.now;
        self.calls.on_link_down(now, link);
        self.dialer.on_down(now, link);
        let gone = self.links.remove(&link);
        self.membership.on_link_down(now, (link, gone.as_ref()), &self.links, effects);
        self.standings.remove(&link);
        for share in self.shares.values_mut().filter(|share| share.link == link) {
            share.orphaned_since.get_or_insert(now);
        }
    }

    pub(crate) fn on_registered(
        &mut self,
        link: LinkId,
        frame: &RawFrame<'_>,
        answer: &ArchivedRegistrationResponse,
        effects: &mut WorkerEffects,
    ) {
        self.calls.on_answer(self.now, link, frame.header.correlation);
        if answer.accepted {
            self.joined = true;
            self.dialer.settled(link);
            answer.managers.iter().for_each(|addr| self.dialer.learn(self.now, addr.as_str()));
            self.dialer.go(self.now, effects);
            return;
        }
        let error = answer.error.as_str().to_owned();
        if self.joined {
            tracing::error!(error, "a manager does not take this worker on; trying again");
            effects.close(link);
        } else {
            effects.command(Command::Refused(error));
        }
    }

    pub(crate) fn on_manager_beat(&mut self, link: LinkId, beat: &ArchivedManagerHeartbeat) {
        let (now, wall) = (self.now, self.config.wall);
        if let Some(entry) = self.links.get_mut(&link) {
            entry.hear(now, wall, &beat.health, &beat.clock);
        }
    }

    /// Says to every manager that this node lives.
    pub(crate) fn beat(&mut self, effects: &mut WorkerEffects) {
        let links: Vec<LinkId> = self.links.keys().copied().collect();
        links.into_iter().for_each(|link| self.beat_one(link, effects));
        let health = self.config.identity.health(0, self.takes_load(), self.config.capacity_vus / 1_000);
        let health = HealthPiggyback { overload_state: self.overload, ..health };
        self.membership.tell(self.now, health, &self.links, effects);
    }

    fn beat_one(&mut self, link: LinkId, effects: &mut WorkerEffects) {
        let (now, wall) = (self.now, self.config.wall);
        let shares = u32::try_from(self.live_shares()).unwrap_or(u32::MAX);
        // A worker of fewer has some too.
        let free = self.config.capacity_vus.div_ceil(1_000);
        let (throughput, expected_throughput) = self.rates(link);
        let (accepting, overload_state) = (self.takes_load(), self.overload);
        let Some(entry) = self.links.get_mut(&link) else { return };
        let (health, clock) = entry.beat(&self.config.identity, now, wall, accepting, free);
        let health = self.membership.stamp(health);
        let health = HealthPiggyback { throughput, expected_throughput, overload_state, ..health };
        let beat = WorkerHeartbeat { health, clock, shares, ..WorkerHeartbeat::default() };
        effects.send(link, Head::default(), &beat);
    }

    /// Load that nobody asks for any more stops.
    pub(crate) fn stop_orphans(&mut self, effects: &mut WorkerEffects) {
        let now = self.now;
        let away = |share: &crate::share::Share| share.orphaned_since.map(|since| now.since(since));
        let orphans: Vec<ShareKey> = self
            .shares
            .values_mut()
            .filter(|share| !share.is_over() && !share.cancelled)
            .filter(|share| away(share).is_some_and(|away| away >= ORPHANED))
            .map(|share| {
                tracing::warn!(job = %share.key.job, "the manager that gave this load is away; the load stops");
                share.cancelled = true;
                share.key
            })
            .collect();
        for key in orphans {
            if let Some(share) = self.shares.get(&key) {
                share.order_all(effects, || Order::Cancel { key, cut_after: CUT_AFTER });
            }
        }
        let abandoned: Vec<ShareKey> = self
            .shares
            .values()
            .filter(|share| share.is_over() && away(share).is_some_and(|away| away >= ABANDONED))
            .map(|share| share.key)
            .collect();
        for key in abandoned {
            if let Some(share) = self.shares.remove(&key) {
                self.calls.forget(&Call::Result(key));
                share.order_all(effects, || Order::Release { key });
            }
        }
        self.tell_if_drained(effects);
    }

    /// Whether it takes new load.
    pub(crate) fn takes_load(&self) -> bool {
        !self.draining && self.overload < OVERLOADED
    }

    /// Shares whose results are not safe elsewhere.
    #[must_use]
    pub fn live_shares(&self) -> usize {
        self.shares.values().filter(|share| !(share.result_received && share.result_acked)).count()
    }

    /// Shares that are remembered, ended ones too.
    #[must_use]
    pub fn known_shares(&self) -> usize {
        self.shares.len()
    }

    /// Takes no more load; what it has moves to others or ends.
    pub(crate) fn on_drain(&mut self, effects: &mut WorkerEffects) {
        self.draining = true;
        self.beat(effects);
        self.tell_if_drained(effects);
    }

    /// A draining worker is done when its managers have the figures of its last share.
    pub(crate) fn tell_if_drained(&mut self, effects: &mut WorkerEffects) {
        if !self.draining || self.drained || self.live_shares() > 0 {
            return;
        }
        if self.membership.say_goodbye(self.now, &self.links, effects) {
            self.drained = true;
            effects.command(Command::Drained);
        }
    }
}
