//! The membership of a node in its groups, between a role's core and the protocol.
//!
//! A node is a member of its datacenter's group (managers and workers), of the fleet's (gates and managers), or of
//! both. Datagrams, lists and the outcomes of dials go in; datagrams, lists, dials and [`Change`]s come out. A node
//! without a datagram port is in no group, and knows its peers by their connections alone. Pure.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use hyperscale_codec::messages::HealthPiggyback;
use hyperscale_codec::{Head, NodeId, Role};
use hyperscale_core::{DatagramPort, DialId, Effects, Instant, LinkId, Peer};
use hyperscale_swim::{
    Input, MemberCard, MemberState, MemberView, OobAnswer, Outbox, Output, Swim, SwimConfig,
};

use crate::{Identity, PeerLink};
use exchange::{EXCHANGE, send_list};

mod exchange;
mod follow;
mod show;

pub use follow::follow_member;
pub use show::node_state;

/// Dials of the membership are numbered from here on; the [`crate::Dialer`]'s stay below.
const DIALS: u64 = 1 << 62;
/// Dials at once; one more is not made.
const DIALS_MAX: usize = 64;
/// Members that a mirror keeps.
const MEMBERS_MAX: usize = 16_384;
/// Links for exchanges at once.
const EXCHANGES_MAX: usize = 64;

/// What a membership is told at its start.
#[derive(Debug, Clone)]
pub struct MembershipConfig {
    /// Name of the fleet; members of another are strangers.
    pub fleet: String,
    /// The protocol's parameters; each group has its own id.
    pub swim: SwimConfig,
    /// Seeds what is random.
    pub seed: u64,
}

impl MembershipConfig {
    /// Defaults, for the fleet of this name.
    #[must_use]
    pub fn new(fleet: impl Into<String>, seed: u64) -> Self {
        Self { fleet: fleet.into(), swim: SwimConfig::lan(), seed }
    }
}

/// Which members a group has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GroupKind {
    /// Managers and workers of one datacenter.
    Datacenter,
    /// All gates and managers.
    Fleet,
}

impl GroupKind {
    /// The groups in which nodes of both roles are, when one has registered with the other.
    #[must_use]
    pub const fn shared(a: Role, b: Role) -> &'static [Self] {
        match (a, b) {
            (Role::Manager, Role::Manager) => &[Self::Datacenter, Self::Fleet],
            (Role::Gate | Role::Manager, Role::Gate | Role::Manager) => &[Self::Fleet],
            (Role::Manager | Role::Worker, Role::Manager | Role::Worker) => &[Self::Datacenter],
            (Role::Client | Role::Gate, _) | (_, Role::Client | Role::Gate) => &[],
        }
    }
}

/// Something that the role's core may act upon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// A member is in another state.
    State { node: NodeId, from: Option<MemberState>, to: MemberState },
    /// A round of probes ended.
    ProbeRound { node: NodeId, answered: bool },
    /// A probe that passed by everything else ended; `None`: nobody answered.
    OutOfBand { node: NodeId, answer: Option<OobAnswer> },
}

#[derive(Debug)]
struct Group {
    kind: GroupKind,
    id: u64,
    swim: Swim,
}

/// What a dial of the membership is for.
#[derive(Debug, Clone, Copy)]
enum Wish {
    /// Is it there?
    Probe(u64, NodeId),
    /// Exchange lists.
    Exchange(u64),
}

/// A link that is for an exchange of lists alone; no other part of the core knows it.
#[derive(Debug, Clone, Copy)]
struct Exchange {
    /// Closed then at the latest.
    until: Instant,
    role: Role,
    member: Option<MemberCard>,
}

/// A node's membership.
#[derive(Debug)]
pub struct Membership {
    config: MembershipConfig,
    own: Option<MemberCard>,
    groups: Vec<Group>,
    dials: BTreeMap<DialId, Wish>,
    last_dial: u64,
    /// Links that are for exchanges alone.
    exchanges: BTreeMap<LinkId, Exchange>,
    changes: Vec<Change>,
    outbox: Outbox,
    outputs: Vec<Output>,
    list: Vec<u8>,
    health_seq: u32,
    /// Goodbye is being said.
    leaving: bool,
    /// What another shard of this node knows, where this one has no port for datagrams.
    mirror: BTreeMap<NodeId, MemberView>,
}

/// A link for one exchange of lists is closed after so long.
const EXCHANGE_TIME: Duration = Duration::from_secs(5);

impl Membership {
    /// In all groups of its role whose name it knows; a worker hears its group's from a manager.
    #[must_use]
    pub fn new(own: &Identity, config: MembershipConfig, now: Instant) -> Self {
        let mut membership = Self {
            own: own.member_card(),
            config,
            groups: Vec::new(),
            dials: BTreeMap::new(),
            last_dial: DIALS,
            exchanges: BTreeMap::new(),
            changes: Vec::new(),
            outbox: Outbox::new(),
            outputs: Vec::new(),
            list: Vec::new(),
            health_seq: 0,
            leaving: false,
            mirror: BTreeMap::new(),
        };
        let kinds: &[GroupKind] = match own.role {
            Role::Client | Role::Worker => &[],
            Role::Gate => &[GroupKind::Fleet],
            Role::Manager => &[GroupKind::Datacenter, GroupKind::Fleet],
        };
        for kind in kinds {
            let id = group_id(&membership.config.fleet, *kind, &own.datacenter);
            membership.found(*kind, id, now);
        }
        membership
    }

    fn found(&mut self, kind: GroupKind, id: u64, now: Instant) {
        let Some(own) = self.own else { return };
        let config = SwimConfig { group: id, ..self.config.swim.clone() };
        let swim = Swim::new(config, own, self.config.seed ^ id, now);
        self.groups.push(Group { kind, id, swim });
    }

    /// Gives each group one input and carries out what it wants.
    fn feed<C>(
        &mut self,
        now: Instant,
        which: impl Fn(&Group) -> bool,
        input: impl Fn() -> Input<'static>,
        links: &BTreeMap<LinkId, PeerLink>,
        effects: &mut Effects<C>,
    ) {
        for at in 0..self.groups.len() {
            if let Some(group) = self.groups.get_mut(at).filter(|group| which(group)) {
                group.swim.handle(now, input(), &mut self.outbox);
                self.carry(now, at, links, effects);
            }
        }
    }

    /// A datagram came in.
    pub fn on_datagram<C>(
        &mut self,
        now: Instant,
        (port, from, bytes): (DatagramPort, SocketAddr, &[u8]),
        links: &BTreeMap<LinkId, PeerLink>,
        effects: &mut Effects<C>,
    ) {
        let input = || match port {
            DatagramPort::Membership => Input::Datagram { from, bytes },
            DatagramPort::Health => Input::OutOfBand { from, bytes },
        };
        // What is of none of them is the first one's to refuse and count.
        let at = self.groups.iter().position(|group| group.swim.is_addressed(bytes)).unwrap_or(0);
        if let Some(group) = self.groups.get_mut(at) {
            group.swim.handle(now, input(), &mut self.outbox);
            self.carry(now, at, links, effects);
        }
    }

    /// Does what is due.
    pub fn on_timer<C>(
        &mut self,
        now: Instant,
        links: &BTreeMap<LinkId, PeerLink>,
        effects: &mut Effects<C>,
    ) {
        let due = |group: &Group| group.swim.next_deadline().is_some_and(|due| due <= now);
        self.feed(now, due, || Input::Timer, links, effects);
        self.exchanges.retain(|link, exchange| {
            if exchange.until <= now {
                effects.close(*link);
            }
            exchange.until > now
        });
    }

    /// When [`Membership::on_timer`] has something to do.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        let groups = self.groups.iter().filter_map(|group| group.swim.next_deadline());
        groups.chain(self.exchanges.values().map(|exchange| exchange.until)).min()
    }

    /// A link is up; whether the membership made it, so that nobody else has to do with it.
    pub fn on_link_up<C>(
        &mut self,
        now: Instant,
        (link, dial, peer): (LinkId, Option<DialId>, &Peer),
        links: &BTreeMap<LinkId, PeerLink>,
        effects: &mut Effects<C>,
    ) -> bool {
        let Some(wish) = dial.and_then(|dial| self.dials.remove(&dial)) else { return false };
        match wish {
            Wish::Probe(id, node) => {
                let answered = peer.hello.node == node;
                effects.close(link);
                let input = || Input::TcpProbe { node, answered };
                self.feed(now, |group| group.id == id, input, links, effects);
            }
            Wish::Exchange(id) => {
                self.keep(now, link, peer);
                if let Some(group) = self.groups.iter_mut().find(|group| group.id == id) {
                    send_list(now, link, Head::request(EXCHANGE), group, &mut self.list, effects);
                }
            }
        }
        true
    }

    /// A dial failed; whether it was the membership's.
    pub fn on_dial_failed<C>(
        &mut self,
        now: Instant,
        dial: DialId,
        links: &BTreeMap<LinkId, PeerLink>,
        effects: &mut Effects<C>,
    ) -> bool {
        let Some(wish) = self.dials.remove(&dial) else { return false };
        if let Wish::Probe(id, node) = wish {
            let input = || Input::TcpProbe { node, answered: false };
            self.feed(now, |group| group.id == id, input, links, effects);
        }
        true
    }

    /// A link is gone without a goodbye: a hint to look at its peer, no verdict. `gone`: unless it was for an exchange
    /// alone.
    pub fn on_link_down<C>(
        &mut self,
        now: Instant,
        (link, gone): (LinkId, Option<&PeerLink>),
        links: &BTreeMap<LinkId, PeerLink>,
        effects: &mut Effects<C>,
    ) {
        self.exchanges.remove(&link);
        if let Some(node) = gone.filter(|gone| !gone.left).map(|gone| gone.node) {
            self.feed(now, |_| true, || Input::LinkReset { node }, links, effects);
        }
    }

    /// How this node is, told to all members; `health` comes back as heartbeats should tell it.
    pub fn tell<C>(
        &mut self,
        now: Instant,
        health: HealthPiggyback,
        links: &BTreeMap<LinkId, PeerLink>,
        effects: &mut Effects<C>,
    ) {
        self.health_seq = self.health_seq.wrapping_add(1);
        let health = HealthPiggyback { seq: self.health_seq, ..self.stamp(health) };
        self.feed(now, |_| true, || Input::OwnHealth(health), links, effects);
    }

    /// `health` with what the membership knows of this node.
    #[must_use]
    pub fn stamp(&self, health: HealthPiggyback) -> HealthPiggyback {
        let incarnation = self.groups.iter().map(|group| group.swim.incarnation()).max();
        HealthPiggyback {
            incarnation: incarnation.unwrap_or(health.incarnation),
            lhm: self.local_health(),
            ..health
        }
    }

    /// Asks a member by the port that is read before all else; whether it can be asked.
    pub fn probe_out_of_band<C>(
        &mut self,
        now: Instant,
        (node, timeout): (NodeId, Duration),
        links: &BTreeMap<LinkId, PeerLink>,
        effects: &mut Effects<C>,
    ) -> bool {
        let Some(id) = self.group_of(node) else { return false };
        let input = || Input::ProbeOutOfBand { node, timeout };
        self.feed(now, |group| group.id == id, input, links, effects);
        true
    }

    fn group_of(&self, node: NodeId) -> Option<u64> {
        self.groups.iter().find(|group| group.swim.member(node).is_some()).map(|group| group.id)
    }

    /// Says goodbye to all groups, once; whether it is said, or there are none.
    pub fn say_goodbye<C>(
        &mut self,
        now: Instant,
        links: &BTreeMap<LinkId, PeerLink>,
        effects: &mut Effects<C>,
    ) -> bool {
        if !self.leaving {
            self.leaving = true;
            self.feed(now, |_| true, || Input::Leave, links, effects);
        }
        self.groups.iter().all(|group| group.swim.left())
    }

    /// Takes over what the shard with the datagram port knows.
    pub fn reflect(&mut self, members: impl IntoIterator<Item = MemberView>) {
        for member in members.into_iter().take(MEMBERS_MAX) {
            self.mirror.insert(member.card.node, member);
        }
        if self.mirror.len() > MEMBERS_MAX {
            self.mirror.clear();
        }
    }

    /// How a member stands; of two groups, the one that knows it better: what lives there lives.
    #[must_use]
    pub fn member(&self, node: NodeId) -> Option<MemberView> {
        let known = self.groups.iter().filter_map(|group| group.swim.member(node));
        let best =
            known.min_by_key(|member| (std::cmp::Reverse(member.card.boot), member.state, member.since));
        best.or_else(|| self.mirror.get(&node).copied())
    }

    /// All members of a group but this node.
    pub fn members(&self, kind: GroupKind) -> impl Iterator<Item = MemberView> {
        let groups = self.groups.iter().filter(move |group| group.kind == kind);
        groups.flat_map(|group| group.swim.members())
    }

    /// Each group's id with its members, without this node.
    pub fn groups(&self) -> impl Iterator<Item = (u64, impl Iterator<Item = MemberView>)> {
        self.groups.iter().map(|group| (group.id, group.swim.members()))
    }

    /// How far this node distrusts its own probes, 0 to 8.
    #[must_use]
    pub fn local_health(&self) -> u8 {
        self.groups.iter().map(|group| group.swim.local_health()).max().unwrap_or(0)
    }

    /// Moves what happened since the last call to `into`.
    pub fn take_changes(&mut self, into: &mut Vec<Change>) {
        into.append(&mut self.changes);
    }

    /// Forgets what happened, where nobody acts upon it.
    pub fn forget_changes(&mut self) {
        self.changes.clear();
    }

    /// Carries out what one group wants.
    fn carry<C>(
        &mut self,
        now: Instant,
        at: usize,
        links: &BTreeMap<LinkId, PeerLink>,
        effects: &mut Effects<C>,
    ) {
        let Some(id) = self.groups.get(at).map(|group| group.id) else { return };
        let mut outputs = std::mem::take(&mut self.outputs);
        self.outbox.take(&mut outputs);
        for output in outputs.drain(..) {
            match output {
                Output::Datagram { port, to, range } => effects.datagram(port, to, self.outbox.bytes(range)),
                Output::TcpProbe { node, addr } => self.dial(addr, Wish::Probe(id, node), effects),
                Output::PushPull { node, addr } => {
                    let up = links.iter().find(|(_, link)| link.node == node && !link.left);
                    match (up, self.groups.get_mut(at)) {
                        (Some((link, _)), Some(group)) => {
                            send_list(now, *link, Head::request(EXCHANGE), group, &mut self.list, effects);
                        }
                        _ => self.dial(addr, Wish::Exchange(id), effects),
                    }
                }
                Output::Changed { node, from, to, .. } => {
                    self.changes.push(Change::State { node, from, to });
                }
                Output::OutOfBand { node, answer } => self.changes.push(Change::OutOfBand { node, answer }),
                Output::ProbeRound { node, answered } => {
                    self.changes.push(Change::ProbeRound { node, answered });
                }
                Output::Health { .. } => {}
            }
        }
        self.outputs = outputs;
        self.outbox.clear();
    }

    fn dial<C>(&mut self, addr: SocketAddr, wish: Wish, effects: &mut Effects<C>) {
        if self.dials.len() < DIALS_MAX {
            self.last_dial = self.last_dial.wrapping_add(1);
            self.dials.insert(DialId(self.last_dial), wish);
            effects.dial(DialId(self.last_dial), addr);
        }
    }
}

/// How members find out whether they are of one group: a hash of the fleet's name and the datacenter's (FNV-1a).
fn group_id(fleet: &str, kind: GroupKind, datacenter: &str) -> u64 {
    let parts: [&[u8]; 3] = match kind {
        GroupKind::Fleet => [fleet.as_bytes(), &[0], &[]],
        GroupKind::Datacenter => [fleet.as_bytes(), &[0xff], datacenter.as_bytes()],
    };
    parts.iter().flat_map(|part| part.iter()).fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
