//! What stands between a shard's links and its core.

use hyperscale_codec::Role;
use hyperscale_reliability::{Intake, LoadGauge};

/// Made by whoever starts a node, one for each shard.
#[derive(Debug)]
pub struct Guard {
    /// Decides on each frame by its header.
    pub intake: Intake,
}

impl Guard {
    /// Of a node of this role whose load nobody measures: it takes all that its senders may send.
    #[must_use]
    pub fn new(role: Role) -> Self {
        Self { intake: Intake::new(role, LoadGauge::default(), 0) }
    }
}
