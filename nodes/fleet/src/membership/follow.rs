//! What every role does when a member's state changes.

use std::collections::BTreeMap;
use std::time::Duration;

use hyperscale_codec::NodeId;
use hyperscale_core::{Effects, Instant, LinkId};
use hyperscale_swim::MemberState;

use crate::PeerLink;

/// A dead member's link that said nothing for so long is closed; one that speaks is better evidence than gossip.
const SILENT: Duration = Duration::from_secs(2);

/// Says that a member of this name went from one state to another, and closes the silent links of the dead.
pub fn follow_member<C>(
    now: Instant,
    (node, name): (NodeId, &str),
    (from, to): (Option<MemberState>, MemberState),
    links: &BTreeMap<LinkId, PeerLink>,
    effects: &mut Effects<C>,
) {
    match to {
        MemberState::Suspect => tracing::warn!(node = name, "a member is suspected"),
        MemberState::Dead => tracing::warn!(node = name, "a member is dead"),
        MemberState::Left => tracing::info!(node = name, "a member has left"),
        MemberState::Alive if from.is_some_and(|from| from != MemberState::Left) => {
            tracing::info!(node = name, "a member is alive again");
        }
        MemberState::Alive => {}
    }
    if to == MemberState::Dead {
        let silent = |link: &PeerLink| link.node == node && link.pulse.silent_for(now) >= SILENT;
        links.iter().filter(|(_, link)| silent(link)).for_each(|(link, _)| effects.close(*link));
    }
}
