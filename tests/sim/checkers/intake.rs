//! What a node refuses by its header is never what must not be: nothing critical is shed, no reply is, and nothing is
//! while the node is well (22-2). Each refusal is judged.

use std::collections::BTreeMap;

use hyperscale_codec::{Flags, Header, Kind, Priority, Role};
use hyperscale_reliability::{Answer, LoadShedder, OverloadState};

use crate::fleet::Place;
use crate::marks::Marks;

#[derive(Debug, Default)]
pub(crate) struct IntakeChecker {
    /// Refusals that were judged.
    pub(crate) refused: u64,
    /// What whose request about what was refused for, until it comes again and is taken.
    waiting: BTreeMap<(Place, u16, u128), &'static str>,
}

impl IntakeChecker {
    /// A request that waits for an answer is refused.
    pub(crate) fn on_sent_away(&mut self, from: Place, header: &Header, answer: Option<&Answer>) {
        let mark = match answer {
            Some(Answer::Shed(_)) => "shed answered and retried",
            Some(Answer::Limited { .. }) => "rate limited and retried",
            None => return,
        };
        self.waiting.insert((from, header.kind, header.route), mark);
    }

    pub(crate) fn on_taken(&mut self, from: Place, header: &Header, marks: &mut Marks) {
        if let Some(mark) = self.waiting.remove(&(from, header.kind, header.route)) {
            marks.hit(mark);
        }
    }

    /// A node in `state` refuses a frame of this sender.
    pub(crate) fn on_refused(
        &mut self,
        header: &Header,
        sender: Role,
        state: OverloadState,
        answer: Option<&Answer>,
        marks: &mut Marks,
    ) {
        self.refused += 1;
        let class = Priority::of_number(header.kind);
        let what = || {
            format!("{:?} of a {sender} while {}: {answer:?}", Kind::from_wire(header.kind), state.as_str())
        };
        let is_reply = Kind::from_wire(header.kind).is_some_and(Kind::is_reply);
        assert!(!is_reply && !header.flags.contains(Flags::REPLY), "a reply is refused: {}", what());
        assert!(
            answer.is_none() || header.flags.contains(Flags::WANTS_REPLY),
            "nobody waits for this answer: {}",
            what()
        );
        if matches!(answer, Some(Answer::Limited { .. })) {
            let limited = class != Priority::Critical || sender == Role::Client;
            assert!(limited, "what is critical between nodes has no rate: {}", what());
            marks.hit("rate limited");
            return;
        }
        assert!(class != Priority::Critical, "what is critical is shed: {}", what());
        assert!(LoadShedder.should_shed(class, state), "shed without a reason: {}", what());
        marks.hit(match class {
            Priority::Critical => "shed critical",
            Priority::High => "shed high",
            Priority::Normal => "shed normal",
            Priority::Low => "shed low",
        });
        if answer.is_some() {
            marks.hit("shed and answered");
        }
    }
}
