//! Whether this worker's load gets on, as its managers are told; and the requests for more time (26-2).
//!
//! A shard that reports its windows is on schedule: steps end, or their virtual users are inside think times and
//! time-outs that have not run out, for it ends those itself. One that is silent for longer than two windows has
//! stopped. Each manager is told of the shares that it gave. When nothing of them has gone on for half of the time that
//! the manager gives, it is asked for more, as long as the longest step of the plans could still be under way.

use std::time::Duration;

use hyperscale_codec::messages::{ArchivedHealthcheckExtensionResponse, HealthcheckExtensionRequest};
use hyperscale_codec::{Features, Head};
use hyperscale_core::{Instant, LinkId};
use hyperscale_fleet::BEAT;
use hyperscale_plan::{Plan, Step};

use crate::core::{WorkerCore, WorkerEffects};
use crate::share::{ShardPart, Share};

/// A manager waits so long for a completed unit of progress, at first.
const TIME: Duration = Duration::from_secs(30);
/// A window may be so late.
const LATE: Duration = Duration::from_secs(2);
/// A request that is not answered is made again after so long.
const AGAIN: Duration = Duration::from_secs(5);
/// The reason that is told: a step that takes long.
const LONG_STEP: u8 = 1;

/// How this worker stands with one manager.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Standing {
    /// Since when nothing has gone on; `None`: all is well, or there is nothing to do.
    stuck_since: Option<Instant>,
    deadline: Option<Instant>,
    next_ask: Option<Instant>,
    /// What was told in the last request that was granted.
    granted_at: Option<f32>,
    asked: f32,
}

impl Standing {
    /// Asks when half of the time has passed.
    fn wait_for_half(&mut self, since: Instant, deadline: Instant) {
        self.deadline = Some(deadline);
        self.next_ask = Some(since + deadline.since(since) / 2 + BEAT);
    }
}

impl ShardPart {
    /// Units per second: done, and due.
    fn rates(&self, now: Instant, begins: Instant, window: Duration) -> (f32, f32) {
        if self.ended.is_some() || begins > now {
            return (0.0, 0.0);
        }
        let told = self.told_at.map_or(begins, |told| told.max(begins));
        let due = self.units_per_s.max(1.0);
        (if now.since(told) < window * 2 + LATE { due } else { 0.0 }, due)
    }
}

impl Share {
    fn rates(&self, now: Instant) -> (f32, f32) {
        let Some(begins) = self.begins else { return (0.0, 0.0) };
        let rates = self.parts.iter().map(|part| part.rates(now, begins, self.plan.window));
        rates.fold((0.0, 0.0), |(done, due), (more, expected)| (done + more, due + expected))
    }
}

impl WorkerCore {
    /// Units per second of one manager's shares: done, and due.
    pub(crate) fn rates(&self, link: LinkId) -> (f32, f32) {
        let own = self.shares.values().filter(|share| share.link == link);
        own.map(|share| share.rates(self.now)).fold((0.0, 0.0), |sum, it| (sum.0 + it.0, sum.1 + it.1))
    }

    /// Asks managers for time where nothing goes on.
    pub(crate) fn ask_for_time(&mut self, effects: &mut WorkerEffects) {
        let now = self.now;
        let able: Vec<LinkId> = self
            .links
            .iter()
            .filter(|(_, link)| link.common.contains(Features::HEALTHCHECK_EXTENSIONS))
            .map(|(id, _)| *id)
            .collect();
        for link in able {
            let (done, due) = self.rates(link);
            if due <= 0.0 || done > 0.0 {
                self.standings.remove(&link);
                continue;
            }
            let standing = self.standings.entry(link).or_default();
            let since = *standing.stuck_since.get_or_insert(now);
            if standing.deadline.is_none() {
                standing.wait_for_half(since, since + TIME);
            }
            if standing.next_ask.is_some_and(|at| at <= now) {
                self.ask(link, since, effects);
            }
        }
    }

    fn ask(&mut self, link: LinkId, since: Instant, effects: &mut WorkerEffects) {
        let now = self.now;
        let own = || self.shares.values().filter(|share| share.link == link && share.begins.is_some());
        let longest = own().map(|share| longest_step(&share.plan)).max().unwrap_or_default();
        let waited = now.since(since);
        let progress = (waited.as_secs_f32() / longest.as_secs_f32().max(1.0)).min(1.0);
        let request = HealthcheckExtensionRequest {
            worker_id: self.config.identity.node.to_bytes(),
            reason: LONG_STEP,
            current_progress: progress,
            estimated_completion_ms: millis(longest.saturating_sub(waited)),
            active_workflow_count: u32::try_from(own().count()).unwrap_or(u32::MAX),
            completed_items: None,
        };
        let Some(standing) = self.standings.get_mut(&link) else { return };
        // Unless the answer says otherwise: it may be lost.
        standing.next_ask = Some(now + AGAIN);
        // Without anything new to tell, asking is no use: what is under way should have ended.
        if standing.granted_at.is_none_or(|before| progress > before) {
            standing.asked = progress;
            tracing::warn!(waited_s = waited.as_secs(), "no load shard gets on; asking the manager for time");
            effects.send(link, Head::request(1), &request);
        }
    }

    pub(crate) fn on_extension(&mut self, link: LinkId, told: &ArchivedHealthcheckExtensionResponse) {
        let now = self.now;
        let Some(standing) = self.standings.get_mut(&link) else { return };
        let deadline = now + Duration::from_millis(told.new_deadline_ms.to_native().into());
        if told.granted {
            standing.granted_at = Some(standing.asked);
            let since = standing.stuck_since.unwrap_or(now);
            standing.wait_for_half(since, deadline);
            // Several may be granted in a row; asking is spread over the time that is left.
            let soonest = now + deadline.since(now) / 2;
            standing.next_ask = standing.next_ask.max(Some(soonest));
            if told.remaining_extensions.to_native() == 0 {
                standing.next_ask = None;
            }
        } else {
            standing.next_ask = None;
            let reason = told.denial_reason.as_str();
            tracing::warn!(reason, "the manager gives no more time");
            if reason.starts_with("too_early") {
                standing.next_ask = Some(now + BEAT * 2);
            }
        }
    }
}

/// How long one step of a plan may take: the longest time-out or think time.
fn longest_step(plan: &Plan) -> Duration {
    let steps = plan.workflows.iter().flat_map(|workflow| &workflow.steps);
    let longest = steps.map(|step| match step {
        Step::Request(request) => request.timeout.saturating_add(request.connect_timeout),
        Step::Think(think) => think.to.max(think.from),
    });
    longest.max().unwrap_or_default()
}

fn millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}
