//! Membership over connections: lists of members exchanged whole, and why a node is judged as it is (`spec.md` 3, 12).

use rkyv::{Archive, Deserialize, Serialize};

/// A member's whole list, for the receiver to merge; one that is asked for answers with its own.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq)]
pub struct PushPull {
    /// Which group of members; a receiver of another one does not merge.
    pub group: u64,
    /// The list as the membership writes it; opaque here.
    pub list: Vec<u8>,
}

/// Why is this node judged as it is? Client to gate, gate to manager.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq)]
pub struct NodeWhyRequest {
    /// What people call it.
    pub name: String,
}

/// One observer's judgement of the node; part of [`NodeWhyResponse`].
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq)]
pub struct NodeVerdict {
    /// Name of the node that judges.
    pub observer: String,
    /// The node judged: id, [`crate::Role`] as its number, datacenter.
    pub node: [u8; 16],
    pub role: u8,
    pub datacenter: String,
    /// The routing decision as its word; empty for a node that judges itself.
    pub decision: String,
    pub signals: Vec<NodeSignal>,
}

/// One signal behind a judgement; part of [`NodeVerdict`].
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq)]
pub struct NodeSignal {
    pub name: String,
    /// Its value and its bound, in words.
    pub value: String,
    /// Whether it speaks for the node.
    pub ok: bool,
}

/// What the answerer, and those it asked, say of the node.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq)]
pub struct NodeWhyResponse {
    pub verdicts: Vec<NodeVerdict>,
    /// Managers that did not answer in time.
    pub missing: Vec<String>,
}
