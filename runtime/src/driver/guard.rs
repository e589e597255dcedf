//! What stands between a shard's links and its core.

use std::time::Duration;

use hyperscale_codec::Role;
use hyperscale_reliability::{Intake, LoadGauge, SampleWriter};

/// Made by whoever starts a node, one for each shard.
#[derive(Debug)]
pub struct Guard {
    /// Decides on each frame by its header.
    pub intake: Intake,
    /// Where the node's detector of overload reads how long frames wait and take; `None`: nobody does.
    pub samples: Option<SampleWriter>,
}

impl Guard {
    /// Of a node of this role whose load nobody measures: it takes all that its senders may send.
    #[must_use]
    pub fn new(role: Role) -> Self {
        Self { intake: Intake::new(role, LoadGauge::default(), 0), samples: None }
    }

    /// What was read at once is handled, so long after it was due.
    pub(super) fn handled(&self, took: Duration) {
        if let Some(samples) = &self.samples {
            samples.record(took);
        }
    }
}
