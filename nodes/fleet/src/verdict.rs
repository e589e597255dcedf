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

/// What `own` says of the node of this card.
#[must_use]
pub fn verdict(own: &Identity, card: &Card, decision: &str, signals: Vec<NodeSignal>) -> NodeVerdict {
    NodeVerdict {
        observer: own.name.clone(),
        node: card.node.to_bytes(),
        role: card.role as u8,
        datacenter: card.datacenter.clone(),
        decision: decision.to_owned(),
        signals,
    }
}
