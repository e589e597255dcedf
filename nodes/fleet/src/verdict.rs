//! From what a core knows to what travels as a judgement.

use hyperscale_codec::messages::{NodeSignal, NodeVerdict};
use hyperscale_view::ShardView;

use crate::{Card, Identity};

/// One signal, as it travels.
#[must_use]
pub fn signal(name: impl Into<String>, ok: bool, value: impl Into<String>) -> NodeSignal {
    NodeSignal { name: name.into(), value: value.into(), ok }
}

/// What a node says of itself: whether it has started, and whether it takes work.
#[must_use]
pub fn own_verdict(own: &Identity, view: &ShardView) -> NodeVerdict {
    let reasons = view.startup.iter().chain(&view.ready);
    NodeVerdict {
        observer: own.name.clone(),
        node: own.node.to_bytes(),
        role: own.role as u8,
        datacenter: own.datacenter.clone(),
        decision: String::new(),
        signals: reasons.map(|reason| signal(reason.name, reason.ok, reason.detail.clone())).collect(),
    }
}

/// What `own` says of the node of this card. `rows`: name, value and whether it is well, of each signal; that of the
/// name `decision` is the decision, and without one nothing speaks for the node.
#[must_use]
pub fn verdict(
    own: &Identity,
    card: &Card,
    rows: impl IntoIterator<Item = (&'static str, String, bool)>,
    membership: Vec<NodeSignal>,
) -> NodeVerdict {
    let (mut decision, mut signals) = ("evict".to_owned(), Vec::new());
    for (name, value, ok) in rows {
        match name {
            "decision" => decision = value,
            name => signals.push(signal(name, ok, value)),
        }
    }
    signals.extend(membership);
    NodeVerdict {
        observer: own.name.clone(),
        node: card.node.to_bytes(),
        role: card.role as u8,
        datacenter: card.datacenter.clone(),
        decision,
        signals,
    }
}
