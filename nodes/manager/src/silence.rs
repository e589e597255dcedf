//! Workers that fall silent while their links live: asked out of band after two missed heartbeats, and taken for lost when
//! they do not answer (`spec.md` 15.5). Load moves on this fast signal, membership on the slow one.

use std::time::Duration;

use hyperscale_codec::NodeId;
use hyperscale_core::Instant;
use hyperscale_fleet::BEAT;

use crate::core::{ManagerCore, ManagerEffects, Worker};

/// Two heartbeats, with their jitter.
const MISSED: Duration = Duration::from_millis(1_100);
/// An answer out of band takes no longer.
const ANSWER: Duration = Duration::from_millis(300);

/// How far it is known that a worker is silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Silence {
    /// It is asked.
    Asked,
    /// It said that it lives; asked again when it is silent for as long again.
    Answered(Instant),
    /// It did not answer, and others have its load.
    Lost,
}

impl ManagerCore {
    /// Asks workers with load that missed two heartbeats.
    pub(crate) fn ask_silent_workers(&mut self, effects: &mut ManagerEffects) {
        let now = self.now;
        // Who stood still itself has missed nobody.
        if now.since(self.looked_at) >= BEAT * 2 {
            self.awake_since = now;
        }
        self.looked_at = now;
        if now.since(self.awake_since) < MISSED {
            return;
        }
        let silent = |node: NodeId, link| {
            let heard = self.links.get(link).map(|link| link.pulse.silent_for(now));
            let asked = match self.silent.get(&node) {
                None => true,
                Some(Silence::Answered(at)) => now.since(*at) >= MISSED,
                Some(Silence::Asked | Silence::Lost) => false,
            };
            asked && heard.is_some_and(|silent| silent >= MISSED && silent < Duration::MAX)
        };
        let works = |worker: &Worker| worker.card.jobs > 0;
        let ask: Vec<NodeId> = self
            .workers
            .iter()
            .filter(|(link, worker)| works(worker) && silent(worker.node, link))
            .map(|(_, worker)| worker.node)
            .collect();
        for node in ask {
            if self.membership.probe_out_of_band(now, (node, ANSWER), &self.links, effects) {
                self.silent.insert(node, Silence::Asked);
            }
        }
    }

    /// A worker answered out of band, or did not.
    pub(crate) fn on_out_of_band(&mut self, node: NodeId, answered: bool, effects: &mut ManagerEffects) {
        if self.silent.get(&node) != Some(&Silence::Asked) {
            return;
        }
        if answered {
            self.silent.insert(node, Silence::Answered(self.now));
            return;
        }
        self.silent.insert(node, Silence::Lost);
        let worker = self.workers.values().find(|worker| worker.node == node).cloned();
        // Where nobody else can take its load, waiting costs nothing.
        let Some(worker) = worker.filter(|_| !self.takers(Some(node)).is_empty()) else { return };
        tracing::warn!(worker = worker.name, "a worker is silent and does not answer; others take its load");
        self.on_worker_lost(&worker, "is silent", effects);
        self.announce(effects);
    }

    /// A worker is heard: if it was taken for lost, what others took over ends there.
    pub(crate) fn end_silence(&mut self, node: NodeId, effects: &mut ManagerEffects) {
        if self.silent.remove(&node) != Some(Silence::Lost) {
            return;
        }
        let link = self.workers.iter().find(|(_, worker)| worker.node == node);
        if let Some((link, name)) = link.map(|(link, worker)| (*link, worker.name.clone())) {
            tracing::info!(worker = name, "a worker that was silent is heard again");
            self.on_worker_back(link, node, effects);
            self.announce(effects);
        }
    }

    /// When the next one may have missed two heartbeats.
    pub(crate) fn silence_deadline(&self) -> Option<Instant> {
        let works = self.workers.values().any(|worker| worker.card.jobs > 0);
        works.then(|| self.looked_at + BEAT / 2)
    }
}
