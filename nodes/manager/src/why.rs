//! Why a node is judged as it is: what this manager says of itself, and of those that it watches.

use hyperscale_codec::messages::{ArchivedNodeWhyRequest, NodeVerdict, NodeWhyResponse};
use hyperscale_codec::{Head, RawFrame};
use hyperscale_core::{Instant, LinkId};
use hyperscale_fleet::own_verdict;

use crate::core::{ManagerCore, ManagerEffects};

impl ManagerCore {
    pub(crate) fn on_why(
        &self,
        link: LinkId,
        frame: &RawFrame<'_>,
        request: &ArchivedNodeWhyRequest,
        effects: &mut ManagerEffects,
    ) {
        let answer =
            NodeWhyResponse { verdicts: self.verdicts(request.name.as_str(), self.now), missing: Vec::new() };
        effects.send(link, Head::reply(frame.header.correlation), &answer);
    }

    /// All that this manager can say of nodes of this name.
    fn verdicts(&self, name: &str, now: Instant) -> Vec<NodeVerdict> {
        let mut verdicts = Vec::new();
        if self.config.identity.name == name {
            verdicts.push(own_verdict(&self.config.identity, &self.view(now)));
        }
        verdicts
    }
}
