//! Why a node is judged as it is: what this manager says of itself, and of those that it watches.

use hyperscale_codec::messages::{ArchivedNodeWhyRequest, NodeVerdict, NodeWhyResponse};
use hyperscale_codec::{Head, RawFrame, Role};
use hyperscale_core::{Instant, LinkId};
use hyperscale_fleet::{Card, own_verdict, verdict};

use crate::core::{ManagerCore, ManagerEffects};

impl ManagerCore {
    pub(crate) fn on_why(
        &mut self,
        link: LinkId,
        frame: &RawFrame<'_>,
        request: &ArchivedNodeWhyRequest,
        effects: &mut ManagerEffects,
    ) {
        let answer =
            NodeWhyResponse { verdicts: self.verdicts(request.name.as_str(), self.now), missing: Vec::new() };
        effects.send(link, Head::reply(frame.header.correlation), &answer);
    }

    /// All that this manager can say of nodes of this name.
    fn verdicts(&mut self, name: &str, now: Instant) -> Vec<NodeVerdict> {
        let workers = self.workers.values().map(|worker| &worker.card);
        let workers = workers.chain(self.departed.cards(now).filter(|card| card.role == Role::Worker));
        let managers = self.managers.values().map(|peer| &peer.card);
        let named = |card: &&Card| card.name == name;
        let workers: Vec<Card> = workers.filter(named).cloned().collect();
        let managers: Vec<Card> = managers.filter(named).cloned().collect();
        let mut verdicts = Vec::new();
        if self.config.identity.name == name {
            verdicts.push(own_verdict(&self.config.identity, &self.view(now)));
        }
        for card in workers {
            let rows = self.explain(card.node, now).into_iter().map(|row| (row.name, row.value, row.ok));
            let membership = self.membership.signals(card.node, now);
            verdicts.push(verdict(&self.config.identity, &card, rows, membership));
        }
        // A manager gives other managers no work; it only sees whether they are there.
        for card in managers {
            let signals = self.membership.signals(card.node, now);
            let rows = [("decision", "peer".to_owned(), true)];
            verdicts.push(verdict(&self.config.identity, &card, rows, signals));
        }
        verdicts
    }
}
