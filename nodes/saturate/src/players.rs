//! The nodes that are played, and their links: who dials whom, who has to register.

use std::net::SocketAddr;

use hyperscale_codec::{NodeId, Role, ShardId};
use hyperscale_core::{DialId, LinkId, Peer};
use hyperscale_fleet::Identity;

use crate::Target;
use crate::core::{Phase, SaturateCore, SaturateEffects};
use crate::open::For;

/// So many greet the node at once: it turns away who comes while too many others do.
const DIALS_MAX: usize = 64;

/// One node that is played.
#[derive(Debug)]
pub(crate) struct Player {
    pub(crate) identity: Identity,
    pub(crate) link: Option<LinkId>,
    /// The shard at the other end.
    pub(crate) shard: ShardId,
    /// Registered, if it has to be.
    pub(crate) ready: bool,
    /// Requests that wait for an answer.
    pub(crate) open: u32,
    pub(crate) beats: u32,
}

impl Player {
    pub(crate) fn new(identity: Identity) -> Self {
        Self { identity, link: None, shard: ShardId(0), ready: false, open: 0, beats: 0 }
    }
}

impl SaturateCore {
    /// Who asks what people ask: a client, or the one gate that a manager sees. It is dialled as first.
    pub(crate) fn first_client(&self) -> usize {
        usize::from(self.config.managers)
    }

    /// Whose link this is.
    pub(crate) fn player_of(&self, link: LinkId) -> Option<(usize, &Player)> {
        let index = *self.of_link.get(&link)?;
        self.players.get(index).map(|player| (index, player))
    }

    pub(crate) fn dial(&self, player: usize, addr: SocketAddr, effects: &mut SaturateEffects) {
        effects.dial(DialId(u64::try_from(player).unwrap_or(0)), addr);
    }

    pub(crate) fn on_link_up(
        &mut self,
        link: LinkId,
        peer: &Peer,
        dial: Option<DialId>,
        effects: &mut SaturateEffects,
    ) {
        let Some(dial) = dial else { return self.on_manager_came(link, peer, effects) };
        let index = usize::try_from(dial.0).unwrap_or(usize::MAX);
        let (first, hello) = (self.first_client(), &peer.hello);
        if hello.role != self.config.target.role() {
            let (addr, wanted, is) = (self.config.addr, self.config.target.word(), hello.role);
            let hint = match is {
                Role::Gate => "; --gate loads it",
                Role::Manager => "; --manager loads it",
                Role::Worker | Role::Client => "",
            };
            return self.fail(format!("{addr} is a {is}, not a {wanted}{hint}"), effects);
        }
        if index == first && self.node == NodeId(0) {
            (self.node, self.node_version) = (hello.node, hello.node_version.clone());
            self.node_shards = hello.shards.max(1);
            if self.config.target == Target::Manager {
                // Only to look who is there: a gate's links are those that managers make.
                return self.call(link, effects);
            }
            self.enter(first, link, hello.shard);
            self.dial_others(&hello.ports, effects);
            self.ask(For::Fleet, effects);
        } else {
            self.enter(index, link, hello.shard);
            self.dial_next(effects);
            let role = self.players.get(index).map(|player| player.identity.role);
            if matches!(role, Some(Role::Manager | Role::Worker)) {
                self.ask(For::Registration(index), effects);
            }
        }
        self.go_on(effects);
    }

    /// A player's link is up.
    pub(crate) fn enter(&mut self, index: usize, link: LinkId, shard: ShardId) {
        let Some(player) = self.players.get_mut(index) else { return };
        (player.link, player.shard, player.open) = (Some(link), shard, 0);
        player.ready = player.identity.role == Role::Client;
        self.of_link.insert(link, index);
    }

    /// The answer to a player's registration: whose it is, if the node takes it on.
    pub(crate) fn taken_on(
        &mut self,
        number: u32,
        accepted: bool,
        error: impl FnOnce() -> String,
        effects: &mut SaturateEffects,
    ) -> Option<usize> {
        // Without a question it is said when another node joins.
        let For::Registration(index) = self.take(number)?.what else { return None };
        if !accepted {
            self.fail(error(), effects);
            return None;
        }
        self.players.get_mut(index)?.ready = true;
        Some(index)
    }

    /// Everybody but the first, spread over the shards of the node.
    pub(crate) fn dial_others(&mut self, ports: &[u16], effects: &mut SaturateEffects) {
        let (ip, first) = (self.config.addr.ip(), self.first_client());
        for other in (0..self.players.len()).filter(|other| *other != first) {
            let port = ports.get(other % ports.len().max(1)).copied();
            self.to_dial.push_back((other, port.map_or(self.config.addr, |port| (ip, port).into())));
        }
        (0..DIALS_MAX).for_each(|_| self.dial_next(effects));
    }

    fn dial_next(&mut self, effects: &mut SaturateEffects) {
        if let Some((other, addr)) = self.to_dial.pop_front() {
            self.dial(other, addr, effects);
        }
    }

    pub(crate) fn on_link_down(&mut self, link: LinkId, why: &str, effects: &mut SaturateEffects) {
        let Some(index) = self.of_link.remove(&link) else { return };
        let Some(player) = self.players.get_mut(index) else { return };
        player.link = None;
        let role = player.identity.role;
        let error = format!("the connection of {} is lost: {why}", player.identity.name);
        let goes_on = matches!(self.phase, Phase::Running | Phase::Resting { .. } | Phase::Ending { .. });
        match role {
            Role::Gate if goes_on => self.await_manager(link, error, effects),
            Role::Gate | Role::Manager | Role::Worker | Role::Client => self.fail(error, effects),
        }
    }
}
