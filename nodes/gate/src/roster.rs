//! Who is in the fleet: gates and managers as this shard knows them, workers as their managers tell when asked.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use hyperscale_codec::messages::{
    ArchivedNodesRequest, ArchivedNodesResponse, NodeEntry, NodesRequest, NodesResponse,
};
use hyperscale_codec::{Head, RawFrame, to_owned};
use hyperscale_core::{Instant, LinkId};
use hyperscale_fleet::{Card, page};

use crate::core::{GateCore, GateEffects};

/// A manager that takes longer is left out, and named.
const PATIENCE: Duration = Duration::from_secs(1);
/// Questions at once; one more is answered without workers.
const OPEN_MAX: usize = 64;
/// Questions to managers carry numbers from here on; see the forwards' numbers, which come back on gates' links alone.
const FIRST: u32 = 1 << 31;

/// A question that waits for managers.
#[derive(Debug)]
struct Open {
    link: LinkId,
    correlation: u32,
    cursor: String,
    limit: u32,
    rows: Vec<NodeEntry>,
    waiting: BTreeSet<LinkId>,
    due: Instant,
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Rosters {
    open: BTreeMap<u32, Open>,
    last: u32,
}

impl Rosters {
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.open.values().map(|open| open.due).min()
    }
}

impl GateCore {
    pub(crate) fn on_nodes(
        &mut self,
        link: LinkId,
        frame: &RawFrame<'_>,
        request: &ArchivedNodesRequest,
        effects: &mut GateEffects,
    ) {
        let mut open = Open {
            link,
            correlation: frame.header.correlation,
            cursor: request.cursor.as_str().to_owned(),
            limit: request.limit.to_native(),
            rows: self.own_rows(self.now),
            waiting: BTreeSet::new(),
            due: self.now + PATIENCE,
        };
        if self.rosters.open.len() < OPEN_MAX {
            open.waiting = self.managers.keys().copied().collect();
        }
        if open.waiting.is_empty() {
            self.answer_nodes(open, effects);
            return;
        }
        let number = FIRST | self.rosters.last;
        self.rosters.last = (self.rosters.last + 1) % FIRST;
        let question = NodesRequest { cursor: String::new(), limit: 0 };
        for manager in &open.waiting {
            effects.send(*manager, Head::request(number), &question);
        }
        self.rosters.open.insert(number, open);
    }

    /// A manager's workers.
    pub(crate) fn on_workers(
        &mut self,
        link: LinkId,
        number: u32,
        answer: &ArchivedNodesResponse,
        effects: &mut GateEffects,
    ) {
        let Some(open) = self.rosters.open.get_mut(&number) else { return };
        if !open.waiting.contains(&link) {
            return;
        }
        let Ok(answer) = to_owned::<NodesResponse>(answer) else { return };
        open.rows.extend(answer.nodes);
        if answer.next.is_empty() {
            open.waiting.remove(&link);
        } else {
            let more = NodesRequest { cursor: answer.next, limit: 0 };
            effects.send(link, Head::request(number), &more);
        }
        if open.waiting.is_empty()
            && let Some(open) = self.rosters.open.remove(&number)
        {
            self.answer_nodes(open, effects);
        }
    }

    pub(crate) fn expire_rosters(&mut self, effects: &mut GateEffects) {
        let now = self.now;
        let late: Vec<u32> =
            self.rosters.open.iter().filter(|(_, open)| open.due <= now).map(|(number, _)| *number).collect();
        for open in
            late.into_iter().filter_map(|number| self.rosters.open.remove(&number)).collect::<Vec<_>>()
        {
            self.answer_nodes(open, effects);
        }
    }

    /// A link is gone: nobody waits on it, and nothing comes from it.
    pub(crate) fn forget_roster_link(&mut self, link: LinkId, effects: &mut GateEffects) {
        self.rosters.open.retain(|_, open| open.link != link);
        let told: Vec<u32> = self
            .rosters
            .open
            .iter_mut()
            .filter_map(|(number, open)| {
                (open.waiting.remove(&link) && open.waiting.is_empty()).then_some(*number)
            })
            .collect();
        for open in
            told.into_iter().filter_map(|number| self.rosters.open.remove(&number)).collect::<Vec<_>>()
        {
            self.answer_nodes(open, effects);
        }
    }

    fn answer_nodes(&self, open: Open, effects: &mut GateEffects) {
        let missing = open.waiting.iter().filter_map(|link| self.managers.get(link));
        let missing = missing.map(|manager| manager.card.name.clone()).collect();
        // Two managers of a datacenter tell of the same workers; a page has each once.
        let (nodes, next) = page(open.rows, &open.cursor, open.limit);
        effects.send(open.link, Head::reply(open.correlation), &NodesResponse { nodes, next, missing });
    }

    /// This gate, the others, and the managers.
    pub(crate) fn own_rows(&self, now: Instant) -> Vec<NodeEntry> {
        let own = Card::own(&self.config.identity, self.started, self.live_jobs(), !self.draining);
        let pulse = |link: &LinkId| self.links.get(link).map(|link| &link.pulse);
        let gates = self.gates.values().map(|gate| gate.card.row(now, gate.links.keys().find_map(pulse)));
        let managers = self.managers.iter().map(|(link, manager)| manager.card.row(now, pulse(link)));
        std::iter::once(own.row(now, None)).chain(gates).chain(managers).collect()
    }
}
