//! A share's load goes to other workers (`ShareRevision`): its shards agree on when, the manager is told.
//!
//! Each shard stops at the time asked for, or just behind what it has sent. Where they differ the latest is in force, and
//! those that stopped sooner go on up to it; only then the share ends. So no arrival is lost or doubled, however late an
//! order reaches a shard.

use std::time::Duration;

use hyperscale_codec::messages::{ArchivedShareRevision, ShareRevisionAck};
use hyperscale_codec::{Head, RawFrame, ShardId};
use hyperscale_core::LinkId;
use hyperscale_engine::orders::{Order, ShareKey};

use crate::core::{WorkerCore, WorkerEffects, key};
use crate::share::Share;

/// How far a share's withdrawal is.
#[derive(Debug)]
pub(crate) struct Withdrawal {
    /// Who asked last, and gets the answer.
    link: LinkId,
    correlation: u32,
    /// Since the workflow's start: the latest that a shard told.
    until: Duration,
    /// Shards that have not told.
    waits_for: Vec<ShardId>,
    /// Iterations that were on their way from one shard to another.
    pub(crate) kept_back: u64,
}

impl WorkerCore {
    pub(crate) fn on_revision(
        &mut self,
        link: LinkId,
        frame: &RawFrame<'_>,
        told: &ArchivedShareRevision,
        effects: &mut WorkerEffects,
    ) {
        let key = key(told.job, [told.workflow, told.attempt, told.revision]);
        let correlation = frame.header.correlation;
        let refuse = |effects: &mut WorkerEffects, why: &str| {
            let result = Err(why.to_owned());
            acknowledge(effects, link, correlation, key, result);
        };
        let Some(share) = self.shares.get_mut(&key) else {
            refuse(effects, "this share is not known here");
            return;
        };
        if told.dc_token.to_native() < share.dc_token {
            refuse(effects, "the token is older than the share's");
            return;
        }
        if let Some(known) = &mut share.withdrawal {
            (known.link, known.correlation) = (link, correlation);
            if known.waits_for.is_empty() {
                acknowledge(effects, link, correlation, key, Ok(known.until));
            }
        } else if share.is_over() {
            refuse(effects, "this share has ended");
        } else if share.started.is_some() {
            let until = Duration::from_micros(told.until_us.to_native());
            let waits_for = share.parts.iter().map(|part| part.shard).collect();
            share.withdrawal = Some(Withdrawal { link, correlation, until, waits_for, kept_back: 0 });
            share.order_all(effects, || Order::Withdraw { key, until, settled: false });
        } else {
            refuse(effects, "this share has not started");
        }
    }

    pub(crate) fn on_withdrawn(
        &mut self,
        key: ShareKey,
        shard: ShardId,
        until: Duration,
        effects: &mut WorkerEffects,
    ) {
        let Some(share) = self.shares.get_mut(&key) else { return };
        let Some(withdrawal) = &mut share.withdrawal else { return };
        if withdrawal.waits_for.is_empty() {
            // The echo of the settled order.
            return;
        }
        withdrawal.waits_for.retain(|waiting| *waiting != shard);
        withdrawal.until = withdrawal.until.max(until);
        if withdrawal.waits_for.is_empty() {
            let (link, correlation, until) = (withdrawal.link, withdrawal.correlation, withdrawal.until);
            share.order_all(effects, || Order::Withdraw { key, until, settled: true });
            acknowledge(effects, link, correlation, key, Ok(until));
        }
    }
}

impl Share {
    /// Iterations that one shard gave to another: what still goes there. A withdrawn share keeps them back for others.
    pub(crate) fn keep_back(&mut self, iterations: u64) -> u64 {
        match &mut self.withdrawal {
            Some(withdrawal) => {
                withdrawal.kept_back = withdrawal.kept_back.saturating_add(iterations);
                0
            }
            None => iterations,
        }
    }
}

fn acknowledge(
    effects: &mut WorkerEffects,
    link: LinkId,
    correlation: u32,
    key: ShareKey,
    result: Result<Duration, String>,
) {
    let until = result.as_ref().copied().unwrap_or_default();
    let ack = ShareRevisionAck {
        job: key.job.to_bytes(),
        workflow: key.workflow.0,
        attempt: key.attempt.0,
        revision: key.revision,
        in_force: result.is_ok(),
        until_us: u64::try_from(until.as_micros()).unwrap_or(u64::MAX),
        error: result.err().unwrap_or_default(),
    };
    effects.send(link, Head::reply(correlation).job(key.job), &ack);
}
