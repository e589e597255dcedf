//! Who is in the fleet, and why a node is judged as it is: gates and managers as this shard knows them, workers as their
//! managers tell when asked.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use hyperscale_codec::messages::{
    ArchivedNodeWhyRequest, ArchivedNodeWhyResponse, ArchivedNodesRequest, ArchivedNodesResponse, NodeEntry,
    NodeVerdict, NodeWhyRequest, NodeWhyResponse, NodesRequest, NodesResponse,
};
use hyperscale_codec::{Encode, Extensions, Head, RawFrame, to_owned};
use hyperscale_core::{Instant, LinkId};
use hyperscale_fleet::{Card, page, time_left};

use crate::core::{GateCore, GateEffects};

/// A manager that takes longer is left out, and named.
const PATIENCE: Duration = Duration::from_secs(1);
/// Verdicts of one answer at most: one of each gate and manager that knows the node.
const VERDICTS_MAX: usize = 256;
/// Questions at once; one more is answered without workers.
const OPEN_MAX: usize = 64;
/// Questions to managers carry numbers from here on; see the forwards' numbers, which come back on gates' links alone.
const FIRST: u32 = 1 << 31;

/// A question that waits for managers.
#[derive(Debug)]
struct Open {
    link: LinkId,
    correlation: u32,
    asked: Asked,
    waiting: BTreeSet<LinkId>,
    due: Instant,
}

/// What is asked, and what is answered so far.
#[derive(Debug)]
enum Asked {
    Nodes { cursor: String, limit: u32, rows: Vec<NodeEntry> },
    Why(Vec<NodeVerdict>),
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
        let asked = Asked::Nodes {
            cursor: request.cursor.as_str().to_owned(),
            limit: request.limit.to_native(),
            rows: self.own_rows(self.now),
        };
        let question = NodesRequest { cursor: String::new(), limit: 0 };
        self.ask_managers(link, frame, asked, &question, effects);
    }

    /// Why is this node judged as it is?
    pub(crate) fn on_why(
        &mut self,
        link: LinkId,
        frame: &RawFrame<'_>,
        request: &ArchivedNodeWhyRequest,
        effects: &mut GateEffects,
    ) {
        let name = request.name.as_str();
        let asked = Asked::Why(self.verdicts(name, self.now));
        let question = NodeWhyRequest { name: name.to_owned() };
        self.ask_managers(link, frame, asked, &question, effects);
    }

    /// Answers when all managers did, or after a while.
    fn ask_managers<M: Encode>(
        &mut self,
        link: LinkId,
        frame: &RawFrame<'_>,
        asked: Asked,
        question: &M,
        effects: &mut GateEffects,
    ) {
        let wait = time_left(frame).map_or(PATIENCE, |left| left.min(PATIENCE));
        let due = self.now + wait;
        let correlation = frame.header.correlation;
        let mut open = Open { link, correlation, asked, waiting: BTreeSet::new(), due };
        if self.rosters.open.len() < OPEN_MAX {
            open.waiting = self.managers.keys().copied().collect();
        }
        if open.waiting.is_empty() {
            self.answer_question(open, effects);
            return;
        }
        let number = FIRST | self.rosters.last;
        self.rosters.last = (self.rosters.last + 1) % FIRST;
        // Asked once: who is too loaded to say in time is named as missing, and the client may ask again.
        let deadline_ms = u32::try_from(wait.as_millis()).ok();
        let extensions = Extensions { deadline_ms, ..Extensions::default() };
        for manager in &open.waiting {
            effects.send_with(*manager, Head::request(number), &extensions, question);
        }
        self.rosters.open.insert(number, open);
    }

    /// What a manager says of a node.
    pub(crate) fn on_verdicts(
        &mut self,
        link: LinkId,
        number: u32,
        answer: &ArchivedNodeWhyResponse,
        effects: &mut GateEffects,
    ) {
        let Some(open) = self.rosters.open.get_mut(&number) else { return };
        let Asked::Why(verdicts) = &mut open.asked else { return };
        if !open.waiting.remove(&link) {
            return;
        }
        let Ok(answer) = to_owned::<NodeWhyResponse>(answer) else { return };
        verdicts.extend(answer.verdicts);
        self.answer_if_complete(number, effects);
    }

    /// A manager that does not know the question has nothing to say to it.
    pub(crate) fn on_question_refused(&mut self, link: LinkId, number: u32, effects: &mut GateEffects) {
        if let Some(open) = self.rosters.open.get_mut(&number)
            && open.waiting.remove(&link)
        {
            self.answer_if_complete(number, effects);
        }
    }

    fn answer_if_complete(&mut self, number: u32, effects: &mut GateEffects) {
        if self.rosters.open.get(&number).is_some_and(|open| open.waiting.is_empty())
            && let Some(open) = self.rosters.open.remove(&number)
        {
            self.answer_question(open, effects);
        }
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
        let Asked::Nodes { rows, .. } = &mut open.asked else { return };
        let Ok(answer) = to_owned::<NodesResponse>(answer) else { return };
        rows.extend(answer.nodes);
        if answer.next.is_empty() {
            open.waiting.remove(&link);
        } else {
            let more = NodesRequest { cursor: answer.next, limit: 0 };
            effects.send(link, Head::request(number), &more);
        }
        self.answer_if_complete(number, effects);
    }

    pub(crate) fn expire_rosters(&mut self, effects: &mut GateEffects) {
        let now = self.now;
        let late: Vec<u32> =
            self.rosters.open.iter().filter(|(_, open)| open.due <= now).map(|(number, _)| *number).collect();
        for open in
            late.into_iter().filter_map(|number| self.rosters.open.remove(&number)).collect::<Vec<_>>()
        {
            self.answer_question(open, effects);
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
            self.answer_question(open, effects);
        }
    }

    fn answer_question(&self, open: Open, effects: &mut GateEffects) {
        let missing = open.waiting.iter().filter_map(|link| self.managers.get(link));
        let missing = missing.map(|manager| manager.card.name.clone()).collect();
        let head = Head::reply(open.correlation);
        match open.asked {
            Asked::Nodes { cursor, limit, rows } => {
                // Two managers of a datacenter tell of the same workers; a page has each once.
                let (nodes, next) = page(rows, &cursor, limit);
                effects.send(open.link, head, &NodesResponse { nodes, next, missing });
            }
            Asked::Why(mut verdicts) => {
                verdicts.truncate(VERDICTS_MAX);
                effects.send(open.link, head, &NodeWhyResponse { verdicts, missing });
            }
        }
    }

    /// This gate, the others, and the managers.
    pub(crate) fn own_rows(&self, now: Instant) -> Vec<NodeEntry> {
        let own = Card::own(&self.config.identity, self.started, self.live_jobs(), !self.draining);
        let pulse = |link: &LinkId| self.links.get(link).map(|link| &link.pulse);
        let row = |card: &Card, pulse| card.row(now, pulse, self.membership.member(card.node));
        let gates = self.gates.values().map(|gate| row(&gate.card, gate.links.keys().find_map(pulse)));
        let managers = self.managers.iter().map(|(link, manager)| row(&manager.card, pulse(link)));
        let departed = self.departed.rows(now, &self.membership);
        std::iter::once(own.row(now, None, None)).chain(gates).chain(managers).chain(departed).collect()
    }
}
