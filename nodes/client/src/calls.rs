//! What a client asks is asked until it is answered: again after a while, at another gate when one does not help, until
//! the user's patience is over. A gate that is loaded is asked less and less often.

use std::net::SocketAddr;
use std::time::Duration;

use hyperscale_codec::messages::{ErrorReply, JobCancelRequest};
use hyperscale_codec::{ErrorCode, Extensions, JobId, Kind};
use hyperscale_core::{Instant, LinkId};
use hyperscale_fleet::{
    Asking, Backoff, CallError, CallKey, Calls, Due, Fate, GiveUp, Insists, Policy, retryable,
};

use crate::ask::Question;
use crate::core::{CALLBACK, CANCEL, ClientCore, ClientEffects, Goal, Notice, QUESTION, SUBMIT, head};

/// An answer is due within so long. A cancel's comes when the job has ended; repeats in between do no harm.
const ANSWERED: Duration = Duration::from_secs(3);
/// No wait is longer than a fifth of the user's patience, unless the gate asks for it, but it may be so long.
const LONGEST_LEAST: Duration = Duration::from_secs(2);
/// Gates wait 30 s for the datacenters of a cancelled job.
const CANCEL_PATIENCE: Duration = Duration::from_secs(35);
/// Attempts at one gate before the next one is asked.
const ATTEMPTS_AT_ONE: u32 = 3;
/// Gates that name another one are followed so often; then it is for them to find each other.
const REDIRECTS_MAX: u32 = 3;
/// Who follows a job and hears nothing for so long asks whether it is still told.
const QUIET: Duration = Duration::from_secs(15);
/// Waits between connections.
const BASE: Duration = Duration::from_millis(200);
const CAP: Duration = Duration::from_secs(5);

/// A call of a client's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Ask {
    /// What is wanted.
    Goal,
    /// A cancel beside it.
    Cancel,
}

impl CallKey for Ask {
    fn name(&self) -> &'static str {
        match self {
            Self::Goal => "goal",
            Self::Cancel => "JobCancelRequest",
        }
    }
}

/// What has been asked and is not answered.
#[derive(Debug)]
pub(crate) struct Asked {
    calls: Calls<Ask>,
    backoff: Backoff,
    /// What went wrong last.
    why: String,
    /// Times that a gate named another one, since one had an answer.
    redirects: u32,
    /// Nothing was heard of the job that is followed by then.
    quiet_at: Option<Instant>,
}

impl Asked {
    /// `unique`: the client's own id, which no other has, and so no other's waits.
    pub(crate) fn new(unique: u128) -> Self {
        let seed = u64::try_from(unique >> 64 ^ unique & u128::from(u64::MAX)).unwrap_or_default();
        let backoff = Backoff::new(BASE, CAP, seed);
        Self { calls: Calls::new(seed), backoff, why: String::new(), redirects: 0, quiet_at: None }
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.calls.next_deadline().into_iter().chain(self.quiet_at).min()
    }

    /// A link is given up, or gone.
    pub(crate) fn forget(&mut self) {
        self.calls.forget(&Ask::Goal);
        self.calls.forget(&Ask::Cancel);
        self.quiet_at = None;
    }
}

/// A job that a gate knew may only be not known yet where it moves to.
fn retryable_while_moving(error: &CallError) -> bool {
    retryable(error) || matches!(error, CallError::Refused { code: Some(ErrorCode::UnknownJob), .. })
}

impl ClientCore {
    /// Says what is wanted on the link that is up.
    pub(crate) fn say(&mut self, effects: &mut ClientEffects) {
        if !self.is_held_back() {
            self.ask(effects);
        }
        self.send_cancel(effects);
    }

    fn ask(&mut self, effects: &mut ClientEffects) {
        let Some((link, _)) = self.link else { return };
        if matches!(self.goal, Goal::Nothing | Goal::Done) {
            return;
        }
        let is_cancel = matches!(self.goal, Goal::Answer(Question::Cancel { .. }));
        if !is_cancel {
            let why = self.why();
            if self.is_too_late(&why, effects) {
                return;
            }
        }
        if let Some(asking) = self.begin() {
            self.say_goal(link, &asking, effects);
        }
    }

    /// Begins the call for what is wanted.
    pub(crate) fn begin(&mut self) -> Option<Asking> {
        let (link, _) = self.link?;
        let policy = self.policy();
        self.asked.calls.begin(self.now, Ask::Goal, (self.peer, link), policy)
    }

    fn policy(&self) -> Policy {
        let silent = self.silent_since.map_or(Duration::ZERO, |since| self.now.since(since));
        let left = self.config.patience.saturating_sub(silent);
        let mut policy = match &self.goal {
            Goal::Answer(Question::Cancel { .. }) => {
                let patience = self.config.patience.max(CANCEL_PATIENCE);
                Policy { deadline: Some(patience), ..Policy::must_arrive() }
            }
            Goal::Submit(_) | Goal::Follow(_) | Goal::Answer(_) | Goal::Nothing | Goal::Done => {
                Policy::within(left)
            }
        };
        policy.time_out = ANSWERED;
        policy.retry.cap = policy.retry.cap.min(LONGEST_LEAST.max(self.config.patience / 5));
        // Where no other gate is named, this one is asked for all of the user's patience.
        if self.config.gates.len() > 1 {
            policy.retry.max_attempts = ATTEMPTS_AT_ONE;
        } else if policy.insists == Insists::No {
            (policy.retry.max_attempts, policy.insists) = (u32::MAX, Insists::Patiently);
        }
        if self.may_come_to_be_known() {
            policy.retry.retryable = retryable_while_moving;
        }
        policy
    }

    fn say_goal(&mut self, link: LinkId, asking: &Asking, effects: &mut ClientEffects) {
        // From the start: what came before may have changed.
        match &mut self.goal {
            Goal::Answer(Question::Nodes { so_far }) => so_far.clear(),
            Goal::Answer(Question::Stats(windows)) => windows.start_over(),
            Goal::Answer(Question::Jobs { so_far, missing }) => {
                so_far.clear();
                missing.clear();
            }
            Goal::Nothing | Goal::Submit(_) | Goal::Follow(_) | Goal::Answer(_) | Goal::Done => {}
        }
        match &self.goal {
            Goal::Submit(submit) => {
                // The key is the job's id: gates pass the submission on by it, unread.
                let to = head(SUBMIT).job(JobId::from_bytes(submit.idempotency));
                let extensions = Extensions { idempotency: Some(submit.idempotency), ..asking.extensions };
                effects.send_with(link, to, &extensions, submit.as_ref());
            }
            Goal::Follow(_) => self.call_back(link, asking, effects),
            Goal::Answer(question) => question.send(link, asking, effects),
            Goal::Nothing | Goal::Done => self.asked.calls.forget(&Ask::Goal),
        }
    }

    pub(crate) fn send_cancel(&mut self, effects: &mut ClientEffects) {
        if self.cancel.is_none() || self.is_cancel_held_back() {
            return;
        }
        let (Some((link, _)), Goal::Follow(_)) = (self.link, &self.goal) else { return };
        let policy = Policy::must_arrive().time_out(ANSWERED);
        if let Some(asking) = self.asked.calls.begin(self.now, Ask::Cancel, (self.peer, link), policy) {
            self.say_cancel(link, &asking, effects);
        }
    }

    fn say_cancel(&mut self, link: LinkId, asking: &Asking, effects: &mut ClientEffects) {
        let (Some(reason), Goal::Follow(following)) = (&self.cancel, &self.goal) else {
            return self.asked.calls.forget(&Ask::Cancel);
        };
        let request = JobCancelRequest {
            job_id: following.job.to_bytes(),
            requester_id: self.config.identity.node.to_bytes(),
            timestamp: self.config.wall.unix_ms(self.now),
            fence_token: 0,
            reason: reason.clone(),
            ..JobCancelRequest::default()
        };
        effects.send_with(link, head(CANCEL).job(following.job), &asking.extensions, &request);
    }

    /// What is due: calls, and a word where nothing is heard.
    pub(crate) fn make_due_calls(&mut self, effects: &mut ClientEffects) {
        while let Some(due) = self.asked.calls.due(self.now) {
            match due {
                Due::Say(Ask::Goal, link, asking) => self.say_goal(link, &asking, effects),
                Due::Say(Ask::Cancel, link, asking) => self.say_cancel(link, &asking, effects),
                Due::Over(ask, _, why) => {
                    let message = self.why();
                    self.on_given_up(ask, why, &message, effects);
                }
            }
        }
        if self.asked.quiet_at.is_some_and(|at| at <= self.now) {
            self.asked.quiet_at = None;
            if matches!(self.goal, Goal::Follow(_)) && !self.asked.calls.has(&Ask::Goal) {
                self.say(effects);
            }
        }
    }

    /// What went wrong last.
    fn why(&self) -> String {
        let why = self.asked.why.as_str();
        if why.is_empty() { "the gate did not answer in time" } else { why }.to_owned()
    }

    /// Which call a frame of this number answers.
    fn ask_of(&self, correlation: u32) -> Option<Ask> {
        let goal = match &self.goal {
            Goal::Submit(_) => Some(SUBMIT),
            Goal::Follow(_) if self.can_call_back() => Some(CALLBACK),
            Goal::Answer(Question::Cancel { .. }) => Some(CANCEL),
            Goal::Follow(_) | Goal::Answer(_) => Some(QUESTION),
            Goal::Nothing | Goal::Done => None,
        };
        match (goal == Some(correlation), correlation) {
            (true, _) => Some(Ask::Goal),
            (false, CANCEL) => Some(Ask::Cancel),
            (false, _) => None,
        }
    }

    /// Something came from the gate.
    pub(crate) fn hear(&mut self, kind: Kind, correlation: u32) {
        // A refusal, and word that the job is elsewhere, bring nothing nearer.
        let brings_nothing = matches!(
            kind,
            Kind::ErrorReply | Kind::Goodbye | Kind::RegisterCallbackResponse | Kind::RateLimitResponse
        );
        if !brings_nothing {
            self.silent_since = None;
            self.asked.backoff.reset();
            self.asked.why.clear();
            self.asked.redirects = 0;
        }
        if kind.is_reply()
            && kind != Kind::ErrorReply
            && let Some(ask) = self.ask_of(correlation)
        {
            self.asked.calls.answered(self.now, &ask);
        }
        self.asked.quiet_at = matches!(self.goal, Goal::Follow(_)).then(|| self.now + QUIET);
    }

    /// A gate cannot, or will not, do it.
    pub(crate) fn on_refused(&mut self, correlation: u32, reply: &ErrorReply, effects: &mut ClientEffects) {
        let Some(ask) = self.ask_of(correlation) else { return };
        if ErrorCode::from_wire(reply.code) == Some(ErrorCode::RateLimited) {
            self.asked.calls.answered(self.now, &ask);
            return self.on_limited_error(correlation, reply, effects);
        }
        self.not_limited(correlation);
        if let Some(holder) = self.redirect(reply) {
            return self.go_to(holder, effects);
        }
        let error = CallError::refused(reply.code, reply.retry_after_ms);
        let fate = self.asked.calls.refused(self.now, &ask, error);
        if fate.is_some() {
            reply.message.clone_into(&mut self.asked.why);
        }
        match fate {
            Some(Fate::Again(_)) => {}
            Some(Fate::Over(why)) => self.on_given_up(ask, why, &reply.message, effects),
            // Of an attempt that is not waited for any more.
            None => {}
        }
    }

    /// Who can do it, if the gate knows and is to be believed.
    fn redirect(&mut self, reply: &ErrorReply) -> Option<SocketAddr> {
        let elsewhere = [ErrorCode::NotOwner, ErrorCode::NotLeader].map(ErrorCode::to_wire);
        if !elsewhere.contains(&reply.code) || self.asked.redirects >= REDIRECTS_MAX {
            return None;
        }
        let holder = reply.holder_addr.parse().ok()?;
        let is_other = self.link.is_none_or(|(_, here)| here != holder);
        self.asked.redirects = self.asked.redirects.saturating_add(1);
        is_other.then_some(holder)
    }

    fn on_given_up(&mut self, ask: Ask, why: GiveUp, message: &str, effects: &mut ClientEffects) {
        match (ask, why) {
            (Ask::Cancel, _) => {
                self.cancel = None;
                self.notify(effects, Notice::Cancelled { success: false, error: message.to_owned() });
            }
            (Ask::Goal, GiveUp::NotRetryable | GiveUp::NotIdempotent) => {
                self.fail(effects, message.to_owned());
            }
            (Ask::Goal, GiveUp::Deadline) => self.fail_late(message, effects),
            (Ask::Goal, GiveUp::Attempts | GiveUp::Budget) => self.ask_next_gate(message, effects),
        }
    }

    /// This gate does not help; another may.
    fn ask_next_gate(&mut self, why: &str, effects: &mut ClientEffects) {
        if let Some((link, _)) = self.link {
            effects.close(link);
        }
        self.on_unreachable(why, effects);
    }

    /// Says it again after a while, until it has been too long.
    pub(crate) fn try_again(&mut self, why: &str, effects: &mut ClientEffects) {
        if !self.is_too_late(why, effects) {
            self.again_at = Some(self.soon());
        }
    }

    /// After a wait that grows, and when patience ends at the latest.
    fn soon(&mut self) -> Instant {
        let end = self.silent_since.map_or(Instant::MAX, |since| since + self.config.patience);
        (self.now + self.asked.backoff.wait()).min(end.max(self.now))
    }

    /// Gives up when nothing has answered for too long.
    fn is_too_late(&mut self, why: &str, effects: &mut ClientEffects) -> bool {
        let since = *self.silent_since.get_or_insert(self.now);
        let late = self.now.since(since) >= self.config.patience;
        if late {
            self.fail_late(why, effects);
        }
        late
    }

    fn fail_late(&mut self, why: &str, effects: &mut ClientEffects) {
        // Where the next attempt would come too late, the wait for it is spared.
        let silent = self.silent_since.map_or(self.config.patience, |since| self.now.since(since));
        self.fail(effects, format!("no gate could do it for {:.0} s: {why}", silent.as_secs_f64()));
    }

    /// The gate is out of reach: another one after a moment, until it has been too long.
    pub(crate) fn on_unreachable(&mut self, why: &str, effects: &mut ClientEffects) {
        let was_up = self.link.take().is_some();
        self.asked.forget();
        if matches!(self.goal, Goal::Nothing | Goal::Done) || self.is_too_late(why, effects) {
            return;
        }
        if was_up {
            self.notify(effects, Notice::Reconnecting { why: why.to_owned() });
        }
        // The first round goes through all gates at once; then they are given time.
        self.again_at = Some(if self.has_untried_gate() { self.now } else { self.soon() });
    }
}

#[cfg(test)]
mod tests;
