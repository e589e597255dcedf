//! What goes wrong in a fleet, beyond what stories do by hand.

use std::time::Duration;

use hyperscale_codec::Hello;

use super::network::Mail;
use super::weather::Host;
use super::{Brain, Event, Fleet, Kind, Limits, LinkDown, Node, Place, RawFrame, Role};
use hyperscale_fleet::{MemberState, MemberView};

use crate::checkers::members::{Row, Seen, Truth, View};

impl Fleet {
    pub(crate) fn mark(&mut self, name: &'static str) {
        self.network.marks.hit(name);
    }

    fn host(&self, name: &str) -> Host {
        self.nodes[self.place(name)].host
    }

    /// Its host loses its power: nobody is told.
    pub(crate) fn vanish(&mut self, name: &str) {
        for at in self.places(name) {
            self.nodes[at].end();
            self.network.vanish(at);
            self.refresh(at);
        }
    }

    /// Its process stands still (SIGSTOP); what comes waits, and so do its timers.
    pub(crate) fn pause(&mut self, name: &str, lasts: Duration, timers_first: bool) {
        let until = self.network.now + lasts;
        self.each(name, |fleet, at| {
            let life = &mut fleet.nodes[at].life;
            life.paused_until = life.paused_until.max(until);
            life.timers_first = timers_first;
        });
    }

    /// Its clock is ahead from now on, by so much more.
    pub(crate) fn leap(&mut self, name: &str, by: Duration) {
        self.each(name, |fleet, at| fleet.nodes[at].life.leap(by));
    }

    /// Each event costs its cores so long from now on.
    pub(crate) fn starve(&mut self, name: &str, cost: Duration) {
        self.each(name, |fleet, at| fleet.nodes[at].life.cost = cost);
    }

    fn each(&mut self, name: &str, change: impl Fn(&mut Self, Place)) {
        for at in self.places(name) {
            change(self, at);
            self.refresh(at);
        }
    }

    /// Nothing gets from any of these to any of those, or nothing on a stream does.
    pub(crate) fn block(&mut self, from: &[String], to: &[String], datagrams_pass: bool) {
        for (from, to) in self.pairs(from, to) {
            self.network.block(from, to, datagrams_pass);
        }
    }

    pub(crate) fn unblock(&mut self, from: &[String], to: &[String]) {
        for (from, to) in self.pairs(from, to) {
            self.network.unblock(from, to);
        }
    }

    /// Between any of these and any of those everything takes so many times as long; `None`: as before.
    pub(crate) fn slow_down(&mut self, from: &[String], to: &[String], factor: Option<f64>) {
        let pairs = self.pairs(from, to);
        let Some(weather) = &mut self.network.weather else { return };
        for pair in pairs {
            match factor {
                Some(factor) => weather.slow.insert(pair, factor),
                None => weather.slow.remove(&pair),
            };
        }
    }

    fn pairs(&self, from: &[String], to: &[String]) -> Vec<(Host, Host)> {
        let all = from.iter().flat_map(|from| to.iter().map(move |to| (self.host(from), self.host(to))));
        all.filter(|(from, to)| from != to).collect()
    }

    /// All connections between two nodes break; they can connect again.
    pub(crate) fn reset(&mut self, a: &str, b: &str) -> usize {
        let (these, those) = (self.places(a), self.places(b));
        let pairs = these.into_iter().flat_map(|a| those.iter().map(move |b| (a, *b)));
        pairs.map(|(a, b)| self.network.reset(a, b)).sum()
    }

    /// One side gives its links to the other up, and the other side is not told.
    pub(crate) fn drop_end(&mut self, who: &str, peer: &str) {
        let peers = self.places(peer);
        for at in self.places(who) {
            let links = self.network.links_of(at);
            for (link, _) in links.into_iter().filter(|(_, end)| peers.contains(&end.peer)) {
                self.end_of(at, link);
                self.happen(at, Event::LinkDown { link, why: LinkDown::Io("given up".to_owned()) });
            }
        }
    }

    /// What a node says of itself when it connects.
    pub(crate) fn hello_of(&self, name: &str) -> Hello {
        self.nodes[self.place(name)].hello()
    }

    /// Tells who watches what a node does.
    pub(super) fn say(&self, at: Place, what: impl FnOnce() -> String) {
        if self.verbose {
            let (node, ms) = (&self.nodes[at], self.network.now.0 as f64 / 1e6);
            eprintln!("{ms:>10.3}  {}/{} {}", node.identity.name, node.shard.0, what());
        }
    }

    /// Tells who watches what a node gets.
    pub(super) fn tell_of(&self, to: Place, mail: &Mail, from: Option<Place>) {
        let from = from.map_or("", |from| self.nodes[from].identity.name.as_str());
        match mail {
            Mail::Frame { link, bytes } => {
                let kind = RawFrame::read(bytes, &Limits::default()).ok().and_then(|frame| frame.kind());
                let beats = [Kind::WorkerHeartbeat, Kind::ManagerHeartbeat, Kind::GateHeartbeat];
                if !kind.is_some_and(|kind| beats.contains(&kind)) {
                    self.say(to, || format!("<- {from} {kind:?} on {}", link.0));
                }
            }
            Mail::Up { link, .. } => self.say(to, || format!("<- {from} link {} is up", link.0)),
            Mail::Down { link, why } => self.say(to, || format!("<- {from} link {} is down: {why}", link.0)),
            Mail::Greeting { from, .. } => {
                self.say(to, || format!("<- {} greets", self.nodes[*from].identity.name));
            }
            Mail::Failed { error, .. } => self.say(to, || format!("dial: {error}")),
            Mail::Waited { dial, error } if self.network.is_dialling(to, *dial) => {
                self.say(to, || format!("dial: {error}"));
            }
            Mail::Datagram { from, bytes, .. } => {
                self.say(to, || format!("<- {from} a datagram of {} bytes", bytes.len()));
            }
            Mail::Waited { .. } | Mail::Sweep | Mail::Tick => {}
        }
    }

    /// Jobs of a node that have not ended, or shares that it has not been told to forget.
    pub(crate) fn live(&self, name: &str) -> usize {
        let live = |at: Place| match &self.nodes[at].brain {
            Some(Brain::Gate(core)) => core.live_jobs(),
            Some(Brain::Manager(core)) => core.live_jobs(),
            Some(Brain::Worker(core)) => core.known_shares(),
            Some(Brain::Client(_) | Brain::Crowd(_)) | None => 0,
        };
        self.places(name).into_iter().map(live).sum()
    }

    /// Judges what nodes believe of each other.
    pub(crate) fn check_members(&mut self) {
        let now = self.network.now;
        let firsts = || (0..self.nodes.len()).filter(|at| self.nodes[*at].shard.0 == 0);
        let views: Vec<View> = firsts()
            .filter(|at| self.nodes[*at].brain.is_some())
            .flat_map(|at| {
                let who = self.nodes[at].who();
                members(&self.nodes[at]).into_iter().map(move |(group, rows)| View { at, group, who, rows })
            })
            .filter(|view| !view.rows.is_empty())
            .collect();
        let all: Vec<Place> = firsts().filter(|at| self.nodes[*at].identity.role != Role::Client).collect();
        for at in all.iter().copied() {
            let host = self.nodes[at].host;
            let life = &self.nodes[at].life;
            let gone = self.nodes[at].brain.is_none();
            let ails = gone
                || life.paused_until > now
                || life.cost > Duration::ZERO
                || life.costs.ails
                || all.iter().any(|other| self.network.is_blocked(host, self.nodes[*other].host));
            let life = &mut self.nodes[at].life;
            life.well_since = if ails { None } else { life.well_since.or(Some(now)) };
            life.gone_since = if gone { life.gone_since.or(Some(now)) } else { None };
        }
        let truth = |at: &Place| {
            let (node, boot) = self.nodes[*at].who();
            let life = &self.nodes[*at].life;
            Truth { node, boot, well_since: life.well_since, gone_since: life.gone_since }
        };
        let truths: Vec<Truth> = all.iter().map(truth).collect();
        for row in views.iter().flat_map(|view| &view.rows) {
            match row.1 {
                Seen::Alive if row.2 > 0 => self.network.marks.hit("member that refuted seen alive"),
                Seen::Alive => {}
                Seen::Suspect => self.network.marks.hit("member seen suspect"),
                Seen::Dead => self.network.marks.hit("member seen dead"),
                Seen::Left => self.network.marks.hit("member seen left"),
            }
        }
        self.checkers.members.check(now, &truths, &views);
    }
}

/// What a node believes of others, group by group.
fn members(node: &Node) -> Vec<(u64, Vec<Row>)> {
    let membership = match &node.brain {
        Some(Brain::Gate(core)) => core.membership(),
        Some(Brain::Manager(core)) => core.membership(),
        Some(Brain::Worker(core)) => core.membership(),
        Some(Brain::Client(_) | Brain::Crowd(_)) | None => return Vec::new(),
    };
    let row = |member: MemberView| {
        let seen = match member.state {
            MemberState::Alive => Seen::Alive,
            MemberState::Suspect => Seen::Suspect,
            MemberState::Dead => Seen::Dead,
            MemberState::Left => Seen::Left,
        };
        (member.card.node, seen, member.incarnation, member.card.boot)
    };
    membership.groups().map(|(group, members)| (group, members.map(row).collect())).collect()
}
