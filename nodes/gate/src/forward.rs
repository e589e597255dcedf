//! `JobForwardingTracker` (27-1): what is not for this shard goes to the one that has it, by the header alone.
//!
//! The ring says who should own a job. When a gate joined since, the job is still at the next distinct node in point
//! order, which was its owner before: a receiver that has not got the job passes the question on to its own successor.
//! In: frames about jobs that are not here, replies. Out: the same bytes with another shard, correlation and hops.

use std::collections::BTreeMap;
use std::time::Duration;

use hyperscale_codec::{ErrorCode, Flags, HeadPatch, JobId, RawFrame};
use hyperscale_core::{Instant, LinkId};
use hyperscale_fleet::time_left;
use hyperscale_jobs::Member;

use crate::core::{GateCore, GateEffects, refuse, refuse_late};

/// Requests passed on and not yet answered, at most; one more is refused `overloaded`.
const OPEN_MAX: usize = 4096;
/// Numbers from here on are calls and questions of this node's own.
const CALLS: u32 = 1 << 30;
/// An answer that takes longer is given up.
const PATIENCE: Duration = Duration::from_secs(10);
/// A question crosses so many gates at most (the codec refuses at 8).
pub(crate) const HOPS_MAX: u8 = 3;

/// A request that somebody else answers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Open {
    origin: LinkId,
    correlation: u32,
    to: LinkId,
    due: Instant,
}

/// Requests that were passed on, by the number they have on their way.
#[derive(Debug, Default)]
pub(crate) struct Forwards {
    open: BTreeMap<u32, Open>,
    last: u32,
    passed_on: u64,
}

impl Forwards {
    /// Requests that wait for their answer.
    pub(crate) fn len(&self) -> usize {
        self.open.len()
    }

    /// Frames passed on since the start.
    pub(crate) const fn passed_on(&self) -> u64 {
        self.passed_on
    }

    /// A free number; 0 to 15 are for what nobody waits for, and above are this node's own calls.
    fn number(&mut self) -> Option<u32> {
        if self.open.len() >= OPEN_MAX {
            return None;
        }
        loop {
            self.last =
                if self.last.saturating_add(1) < CALLS { self.last.saturating_add(1).max(16) } else { 16 };
            if !self.open.contains_key(&self.last) {
                return Some(self.last);
            }
        }
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        // Numbers ascend with time but for the wrap, and all wait equally long.
        self.open.values().map(|open| open.due).min()
    }
}

impl GateCore {
    /// Passes a frame about a job on to whoever should have it. `false`: it is this shard's to answer, because the
    /// job is here, or because nobody else is left to ask.
    pub(crate) fn pass_on(&mut self, link: LinkId, frame: &RawFrame<'_>, effects: &mut GateEffects) -> bool {
        let Some(job) = frame.job() else { return false };
        let is_here = self.jobs.contains_key(&job) || self.archive.has(job) && !self.is_fresher_beside(job);
        if is_here || frame.header.flags.hops() >= HOPS_MAX {
            return false;
        }
        let Some(to) = self.next_holder(job, link, frame.header.flags.hops()) else { return false };
        self.forward(link, frame, to, HeadPatch::new(to.1.shard, 0), effects);
        true
    }

    /// The first gate asks the owner by the ring, each after it the next node in point order; never back to the sender.
    fn next_holder(&self, job: JobId, sender: LinkId, hops: u8) -> Option<(LinkId, Member)> {
        let me = self.me();
        let from = self.links.get(&sender).map(|link| (link.node, link.shard));
        let owner = self.ring.owner(job)?;
        let mut order: Vec<Member> = vec![owner];
        order.extend(self.ring.successors(job, |_| true));
        // Whoever passed it on has asked those before this one.
        let asked = order.iter().position(|member| *member == me).filter(|_| hops > 0);
        let after = asked.map_or(0, |at| at + 1);
        order
            .into_iter()
            .skip(after)
            .filter(|member| *member != me && Some((member.node, member.shard)) != from)
            .find_map(|member| Some((self.link_to(member)?, member)))
    }

    /// Sends a frame on; `patch` is completed with the number under which its reply comes back.
    pub(crate) fn forward(
        &mut self,
        link: LinkId,
        frame: &RawFrame<'_>,
        (to, _): (LinkId, Member),
        mut patch: HeadPatch,
        effects: &mut GateEffects,
    ) {
        if frame.header.flags.contains(Flags::WANTS_REPLY) {
            let Some(number) = self.forwards.number() else {
                let text = format!("{OPEN_MAX} requests wait for other gates; try again");
                refuse(effects, link, frame, ErrorCode::Overloaded, text);
                return;
            };
            patch.correlation = number;
            // The frame goes on as it came, the caller's time in it too: a hop takes milliseconds of it.
            let due = self.now + time_left(frame).map_or(PATIENCE, |left| left.min(PATIENCE));
            let open = Open { origin: link, correlation: frame.header.correlation, to, due };
            self.forwards.open.insert(number, open);
        }
        self.forwards.passed_on += 1;
        if effects.forward_as(to, frame, patch).is_err() {
            self.forwards.open.remove(&patch.correlation);
            refuse(effects, link, frame, ErrorCode::NotOwner, "the frame crossed too many gates".to_owned());
        }
    }

    /// Brings a reply to whoever asked. `false`: it answers a question of this node's own.
    pub(crate) fn on_forwarded_reply(
        &mut self,
        link: LinkId,
        frame: &RawFrame<'_>,
        effects: &mut GateEffects,
    ) -> bool {
        let number = frame.header.correlation;
        let Some(open) = self.forwards.open.get(&number).filter(|open| open.to == link).copied() else {
            return false;
        };
        self.forwards.open.remove(&number);
        let shard = self.links.get(&open.origin).map_or(frame.header.shard, |origin| origin.shard);
        let _only_a_circle_is_too_long =
            effects.forward_as(open.origin, frame, HeadPatch::new(shard, open.correlation));
        true
    }

    /// Requests whose answer cannot come any more are answered here.
    pub(crate) fn fail_forwards(&mut self, gone: LinkId, effects: &mut GateEffects) {
        self.end_forwards(|open| open.to == gone, "the gate that was asked is gone", effects);
        self.forwards.open.retain(|_, open| open.origin != gone);
    }

    pub(crate) fn expire_forwards(&mut self, effects: &mut GateEffects) {
        let now = self.now;
        self.end_forwards(|open| open.due <= now, "the gate that was asked did not answer", effects);
    }

    fn end_forwards(&mut self, ended: impl Fn(&Open) -> bool, why: &str, effects: &mut GateEffects) {
        self.forwards.open.retain(|_, open| {
            let over = ended(open);
            if over {
                refuse_late(effects, open.origin, open.correlation, ErrorCode::Unavailable, why);
            }
            !over
        });
    }
}
