//! Whole lists of members, over connections: who registers is told of all, and all of it; a list is answered with one.

use std::collections::BTreeMap;

use hyperscale_codec::messages::{ArchivedPushPull, PushPull};
use hyperscale_codec::{Flags, Head, RawFrame, Role};
use hyperscale_core::{Effects, Instant, LinkId, Peer};
use hyperscale_swim::Input;

use super::{EXCHANGE_TIME, EXCHANGES_MAX, Exchange, Group, GroupKind, Membership};
use crate::PeerLink;

/// The number of an exchange of lists.
pub(super) const EXCHANGE: u32 = 0x7357;

impl Membership {
    /// A node registered here: it is a member, and is told of the others.
    pub fn meet<C>(
        &mut self,
        now: Instant,
        link: LinkId,
        links: &BTreeMap<LinkId, PeerLink>,
        effects: &mut Effects<C>,
    ) {
        let Some((own, card)) = self.own.zip(links.get(&link).and_then(|peer| peer.member)) else { return };
        let kinds = GroupKind::shared(own.role, card.role);
        self.feed(now, |group| kinds.contains(&group.kind), || Input::Seen { card }, links, effects);
        for group in self.groups.iter_mut().filter(|group| kinds.contains(&group.kind)) {
            send_list(now, link, Head::request(EXCHANGE), group, &mut self.list, effects);
        }
    }

    /// A list came in: merges it, answers with its own, and closes the link that was made for it.
    pub fn on_push_pull<C>(
        &mut self,
        now: Instant,
        (link, frame): (LinkId, &RawFrame<'_>),
        told: &ArchivedPushPull,
        links: &BTreeMap<LinkId, PeerLink>,
        effects: &mut Effects<C>,
    ) {
        let known = links.get(&link).map(|peer| (peer.role, peer.member));
        let exchange = self.exchanges.get(&link).map(|exchange| (exchange.role, exchange.member));
        let Some((own, (role, member))) = self.own.zip(known.or(exchange)) else { return };
        let id = told.group.to_native();
        let is_own = |group: &Group| group.id == id;
        if own.role == Role::Worker && role == Role::Manager && self.groups.is_empty() {
            self.found(GroupKind::Datacenter, id, now);
        }
        if let Some(card) = member {
            self.feed(now, is_own, || Input::Seen { card }, links, effects);
        }
        if let Some(at) = self.groups.iter().position(is_own) {
            if let Some(group) = self.groups.get_mut(at) {
                group.swim.handle(now, Input::PushPull { bytes: told.list.as_slice() }, &mut self.outbox);
                let header = &frame.header;
                if header.flags.contains(Flags::WANTS_REPLY) && !header.flags.contains(Flags::REPLY) {
                    send_list(now, link, Head::reply(header.correlation), group, &mut self.list, effects);
                }
            }
            self.carry(now, at, links, effects);
        }
        if frame.header.flags.contains(Flags::REPLY) && self.exchanges.remove(&link).is_some() {
            effects.close(link);
        }
    }

    pub(super) fn keep(&mut self, now: Instant, link: LinkId, peer: &Peer) {
        let (until, role) = (now + EXCHANGE_TIME, peer.hello.role);
        self.exchanges.insert(link, Exchange { until, role, member: PeerLink::member_of(peer) });
    }

    /// A link came that is no part of the core's work: its peer may want to exchange lists. Closed when there are many.
    pub fn on_visitor<C>(&mut self, now: Instant, link: LinkId, peer: &Peer, effects: &mut Effects<C>) {
        if self.own.is_some() && self.exchanges.len() < EXCHANGES_MAX {
            self.keep(now, link, peer);
        } else {
            effects.close(link);
        }
    }
}

pub(super) fn send_list<C>(
    now: Instant,
    link: LinkId,
    head: Head,
    group: &mut Group,
    list: &mut Vec<u8>,
    effects: &mut Effects<C>,
) {
    list.clear();
    group.swim.push_pull(now, list);
    effects.send(link, head, &PushPull { group: group.id, list: list.clone() });
}
