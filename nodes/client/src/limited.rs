//! A gate said that this client asks too often: it waits as told, then asks again, and ends when that does not help.

use std::time::Duration;

use hyperscale_codec::messages::{ArchivedRateLimitResponse, ErrorReply};
use hyperscale_core::Instant;
use hyperscale_reliability::{CallOutcome, NextCall, Operation, RateLimitRetry, RateLimitRetryConfig};
use rand::SeedableRng as _;
use rand::rngs::SmallRng;

use crate::ask::Question;
use crate::core::{CALLBACK, CANCEL, ClientCore, ClientEffects, Goal, Notice, QUESTION, SUBMIT};

/// What waits for its rate.
#[derive(Debug)]
pub(crate) struct Limited {
    retry: RateLimitRetry,
    /// A cancel beside what else the client does.
    pub(crate) cancel_at: Option<Instant>,
}

impl Limited {
    /// `unique`: the client's own id, which no other has, and so no other's jitter.
    pub(crate) fn new(unique: u128) -> Self {
        let seed = u64::try_from(unique >> 64 ^ unique & u128::from(u64::MAX)).unwrap_or_default();
        let retry = RateLimitRetry::new(RateLimitRetryConfig::default(), SmallRng::seed_from_u64(seed));
        Self { retry, cancel_at: None }
    }
}

impl ClientCore {
    /// A gate's refusal in the message of its own.
    pub(crate) fn on_rate_limit(
        &mut self,
        correlation: u32,
        told: &ArchivedRateLimitResponse,
        effects: &mut ClientEffects,
    ) {
        self.on_limited(correlation, told.retry_after_ms.to_native(), effects);
    }

    /// The same of a gate, or for a client, without that message.
    pub(crate) fn on_limited_error(
        &mut self,
        correlation: u32,
        reply: &ErrorReply,
        effects: &mut ClientEffects,
    ) {
        self.on_limited(correlation, reply.retry_after_ms, effects);
    }

    fn on_limited(&mut self, correlation: u32, retry_after_ms: u32, effects: &mut ClientEffects) {
        let Some(operation) = self.operation_of(correlation) else { return };
        let retry_after = Duration::from_millis(retry_after_ms.into());
        let outcome = CallOutcome::Limited { retry_after };
        let is_beside = self.is_cancel_beside(correlation);
        match self.limited.retry.execute_with_rate_limit_retry(self.now, operation, outcome) {
            NextCall::Done => {}
            NextCall::At(at) => {
                let wait_ms = at.since(self.now).as_millis();
                tracing::info!(operation = operation.as_str(), wait_ms, "over this client's rate: waiting");
                // The gate is there, and these waits have an end of their own: they are no silence. What was before
                // stays so, or a gate that refuses and one that knows nothing were asked by turns for ever.
                self.silent_since = self.silent_since.map(|since| since + at.since(self.now));
                if is_beside {
                    self.limited.cancel_at = Some(at);
                } else {
                    self.again_at = Some(at);
                }
            }
            NextCall::GiveUp(why) if is_beside => {
                self.cancel = None;
                self.notify(effects, Notice::Cancelled { success: false, error: why.to_string() });
            }
            NextCall::GiveUp(why) => self.fail(effects, why.to_string()),
        }
    }

    /// A request was answered, if only by another refusal: its rate is not used up.
    pub(crate) fn not_limited(&mut self, correlation: u32) {
        if let Some(operation) = self.operation_of(correlation) {
            let outcome = CallOutcome::Answered;
            let _done = self.limited.retry.execute_with_rate_limit_retry(self.now, operation, outcome);
        }
    }

    /// Whether what is wanted must not be asked for yet; it is asked for as soon as it may be.
    pub(crate) fn is_held_back(&mut self) -> bool {
        let operation = match &self.goal {
            Goal::Submit(_) => Operation::JobSubmit,
            Goal::Follow(_) if self.can_call_back() => Operation::Reconnect,
            Goal::Follow(_) => Operation::JobStatus,
            Goal::Answer(question) => of_question(question),
            Goal::Nothing | Goal::Done => return false,
        };
        let until = self.limited.retry.held_until(self.now, operation);
        if until.is_some() {
            self.again_at = until;
        }
        until.is_some()
    }

    /// The same of a cancel beside it.
    pub(crate) fn is_cancel_held_back(&mut self) -> bool {
        self.limited.cancel_at = self.limited.retry.held_until(self.now, Operation::Cancel);
        self.limited.cancel_at.is_some()
    }

    /// A cancel of the job that is followed, and not the one thing that is wanted.
    fn is_cancel_beside(&self, correlation: u32) -> bool {
        correlation == CANCEL && !matches!(self.goal, Goal::Answer(_))
    }

    fn operation_of(&self, correlation: u32) -> Option<Operation> {
        match correlation {
            SUBMIT => Some(Operation::JobSubmit),
            CANCEL => Some(Operation::Cancel),
            CALLBACK => Some(Operation::Reconnect),
            QUESTION => Some(match &self.goal {
                Goal::Answer(question) => of_question(question),
                Goal::Nothing | Goal::Submit(_) | Goal::Follow(_) | Goal::Done => Operation::JobStatus,
            }),
            _ => None,
        }
    }
}

const fn of_question(question: &Question) -> Operation {
    match question {
        Question::Status { .. } | Question::Stats(_) => Operation::JobStatus,
        Question::Cancel { .. } => Operation::Cancel,
        Question::Nodes { .. } | Question::Why { .. } => Operation::Nodes,
        Question::Jobs { .. } => Operation::List,
    }
}

#[cfg(test)]
mod tests;
