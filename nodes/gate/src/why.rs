//! Why a node is judged as it is: what this gate says of itself, and of those that it watches.

use hyperscale_codec::messages::NodeVerdict;
use hyperscale_core::Instant;
use hyperscale_fleet::own_verdict;

use crate::core::GateCore;

impl GateCore {
    /// All that this gate can say of nodes of this name.
    pub(crate) fn verdicts(&self, name: &str, now: Instant) -> Vec<NodeVerdict> {
        let mut verdicts = Vec::new();
        if self.config.identity.name == name {
            verdicts.push(own_verdict(&self.config.identity, &self.view(now)));
        }
        verdicts
    }
}
