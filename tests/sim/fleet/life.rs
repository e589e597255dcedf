//! How a node's host is: its clock, whether its process runs, how slow it is, and what waits for it.

use std::collections::VecDeque;
use std::time::Duration;

use hyperscale_core::Instant;

use super::capacity::Costs;
use super::network::Mail;

/// One shard's; those of one node differ in nothing but what waits.
#[derive(Debug, Default)]
pub(crate) struct Life {
    /// Its clock is so far ahead of the world's.
    ahead: Duration,
    /// Its process stands still up to then, by the world's clock.
    pub(crate) paused_until: Instant,
    /// Its core is at work up to then.
    pub(crate) busy_until: Instant,
    /// What each event costs its core.
    pub(crate) cost: Duration,
    /// What work costs it besides.
    pub(crate) costs: Costs,
    /// All its work so far, and what is begun to its end.
    pub(super) charged: Duration,
    /// What has come and was not read, and when.
    pub(crate) inbox: VecDeque<(Instant, Mail)>,
    /// When its driver last looked after its links, by its own clock.
    pub(crate) swept: Instant,
    /// Nothing ails it since then; it does not run since then: as far as was looked.
    pub(crate) well_since: Option<Instant>,
    pub(crate) gone_since: Option<Instant>,
    /// Timers come before what waits.
    pub(crate) timers_first: bool,
}

impl Life {
    /// What its clock shows.
    pub(crate) fn local(&self, world: Instant) -> Instant {
        world + self.ahead
    }

    /// When its clock will show this.
    pub(crate) fn world(&self, local: Instant) -> Instant {
        local - self.ahead
    }

    pub(crate) fn leap(&mut self, by: Duration) {
        self.ahead += by;
    }

    /// When its core can take the next event.
    pub(crate) fn free_at(&self) -> Instant {
        self.paused_until.max(self.busy_until)
    }

    /// Its process is gone, with what it had not read. Its host's clock goes on.
    pub(crate) fn end(&mut self) {
        *self = Self { ahead: self.ahead, costs: std::mem::take(&mut self.costs), ..Self::default() };
    }
}
