//! What a node refuses by its header is never what must not be: nothing critical is shed, no reply is, and nothing is
//! while the node is well (22-2). Each refusal is judged.

use hyperscale_codec::{Flags, Header, Kind, Priority, Role};
use hyperscale_reliability::{Answer, LoadShedder, OverloadState};

use crate::marks::Marks;

#[derive(Debug, Default)]
pub(crate) struct IntakeChecker {
    /// Refusals that were judged.
    pub(crate) refused: u64,
}

impl IntakeChecker {
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
