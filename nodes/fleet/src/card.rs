//! What a registration says of a node, and the row that people see of it.

use hyperscale_codec::messages::{
    ArchivedGatePeerRegistration, ArchivedManagerPeerRegistration, ArchivedWorkerRegistration, NodeEntry,
    NodeState,
};
use hyperscale_codec::{ErrorCode, Features, NodeId, ProtocolVersion, Role};
use hyperscale_core::Instant;
use hyperscale_swim::MemberView;

use crate::{Identity, Pulse, node_state};

/// Rows of one page at most.
pub const ROWS_MAX: usize = 1_000;

/// A node, as it registered.
#[derive(Debug, Clone)]
pub struct Card {
    pub node: NodeId,
    pub role: Role,
    pub name: String,
    /// Empty for gates.
    pub datacenter: String,
    pub addr: String,
    pub admin: String,
    pub version: ProtocolVersion,
    pub features: Features,
    pub build: String,
    pub shards: u32,
    pub since: Instant,
    /// Jobs, or shares, that it told of last.
    pub jobs: u32,
    /// Whether it takes new work, as it told last.
    pub accepting: bool,
}

macro_rules! card {
    ($told:ident, $role:ident, $now:ident, $datacenter:expr) => {
        Self {
            node: NodeId::from_bytes($told.node),
            role: Role::$role,
            name: $told.name.as_str().to_owned(),
            datacenter: $datacenter,
            addr: $told.addr.as_str().to_owned(),
            admin: $told.admin.as_str().to_owned(),
            version: ProtocolVersion::from_wire($told.protocol_version.to_native()),
            features: Features($told.features.to_native()),
            build: $told.node_version.as_str().to_owned(),
            shards: $told.shards.to_native(),
            since: $now,
            jobs: 0,
            accepting: true,
        }
    };
}

impl Card {
    /// This node's own.
    #[must_use]
    pub fn own(identity: &Identity, since: Instant, jobs: usize, accepting: bool) -> Self {
        let text =
            |addr: Option<std::net::SocketAddr>| addr.map_or_else(String::new, |addr| addr.to_string());
        Self {
            node: identity.node,
            role: identity.role,
            name: identity.name.clone(),
            datacenter: identity.datacenter.clone(),
            addr: text(identity.addr),
            admin: text(identity.admin),
            version: identity.version,
            features: identity.features,
            build: identity.node_version.clone(),
            shards: u32::from(identity.shards),
            since,
            jobs: u32::try_from(jobs).unwrap_or(u32::MAX),
            accepting,
        }
    }

    /// A gate's.
    #[must_use]
    pub fn of_gate(told: &ArchivedGatePeerRegistration, now: Instant) -> Self {
        card!(told, Gate, now, String::new())
    }

    /// A manager's.
    #[must_use]
    pub fn of_manager(told: &ArchivedManagerPeerRegistration, now: Instant) -> Self {
        card!(told, Manager, now, told.datacenter.as_str().to_owned())
    }

    /// A worker's; it is where its manager is.
    #[must_use]
    pub fn of_worker(told: &ArchivedWorkerRegistration, datacenter: &str, now: Instant) -> Self {
        card!(told, Worker, now, datacenter.to_owned())
    }

    /// The same node registers again: what does not come with a registration is kept.
    #[must_use]
    pub fn after(mut self, before: Option<&Self>) -> Self {
        if let Some(before) = before {
            (self.since, self.jobs, self.accepting) = (before.since, before.jobs, before.accepting);
        }
        self
    }

    /// Whether it can fence orders (25-2).
    #[must_use]
    pub const fn fences(&self) -> bool {
        self.features.contains(Features::FENCE_TOKENS)
    }

    /// Why this node cannot be taken on beside `other`: both have one name.
    #[must_use]
    pub fn name_conflict(&self, other: &Self) -> Option<String> {
        (self.role == other.role && self.name == other.name && self.node != other.node).then(|| {
            format!(
                "{}: a {} named {:?} is registered already, at {}; give this one another name",
                ErrorCode::Conflict.as_str(),
                self.role,
                self.name,
                other.addr
            )
        })
    }

    /// Why a node that cannot fence stands alone.
    #[must_use]
    pub fn fence_required(&self) -> String {
        format!(
            "fence_tokens required: {} {} cannot fence orders (protocol before 1.2), so it may run only in a fleet of \
             one gate and one manager",
            self.role, self.name
        )
    }

    /// As people see it at `now`. `pulse`: of a link to it, if there is one; `member`: what the membership says.
    #[must_use]
    pub fn row(&self, now: Instant, pulse: Option<&Pulse>, member: Option<MemberView>) -> NodeEntry {
        let clock = pulse.and_then(Pulse::clock);
        let state = member.map_or(NodeState::Alive, |member| node_state(member.state));
        let overloaded = pulse.is_some_and(|pulse| pulse.overload() >= 3);
        let draining = state == NodeState::Alive && !self.accepting && !overloaded;
        let state = if draining { NodeState::Draining } else { state };
        let since = member.map_or(self.since, |member| member.since.max(self.since));
        NodeEntry {
            node: self.node.to_bytes(),
            role: self.role as u8,
            name: self.name.clone(),
            datacenter: self.datacenter.clone(),
            addr: self.addr.clone(),
            admin: self.admin.clone(),
            protocol_version: self.version.to_wire(),
            node_version: self.build.clone(),
            state: state.to_wire(),
            shards: self.shards,
            accepting: self.accepting,
            overload_state: pulse.map_or(0, Pulse::overload),
            jobs: self.jobs,
            since_ms: u64::try_from(now.since(since).as_millis()).unwrap_or(u64::MAX),
            clock_known: clock.is_some(),
            clock_offset_us: clock.map_or(0, |clock| clock.offset_ns / 1_000),
            clock_error_us: clock
                .map_or(u64::MAX, |clock| u64::try_from(clock.error().as_micros()).unwrap_or(u64::MAX)),
        }
    }
}

/// One page of rows after `cursor`, sorted by role and name, each node once; and the cursor of the next page, empty
/// when that was all.
#[must_use]
pub fn page(mut rows: Vec<NodeEntry>, cursor: &str, limit: u32) -> (Vec<NodeEntry>, String) {
    let limit = usize::try_from(limit).ok().filter(|limit| *limit > 0).unwrap_or(ROWS_MAX).min(ROWS_MAX);
    rows.sort_by_cached_key(|row| (key(row), row.node));
    rows.dedup_by(|a, b| a.node == b.node && a.role == b.role);
    let mut page: Vec<NodeEntry> = rows
        .into_iter()
        .filter(|row| cursor.is_empty() || key(row).as_str() > cursor)
        .take(limit + 1)
        .collect();
    let more = page.len() > limit;
    page.truncate(limit);
    let next = page.last().filter(|_| more).map_or_else(String::new, key);
    (page, next)
}

fn key(row: &NodeEntry) -> String {
    format!("{}/{}", row.role, row.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card(node: u128, name: &str) -> Card {
        let mut identity = Identity::new(Role::Worker, NodeId(node), name);
        identity.addr = Some(([127, 0, 0, 1], 7000).into());
        Card::own(&identity, Instant::ZERO, 0, true)
    }

    #[test]
    fn pages_hold_every_node_once_in_order() {
        let rows = || {
            (0..25_u128)
                .map(|node| card(node % 20, &format!("w-{:02}", node % 20)).row(Instant(5), None, None))
        };
        let (mut cursor, mut names) = (String::new(), Vec::new());
        loop {
            let (page, next) = page(rows().collect(), &cursor, 7);
            assert!(page.len() <= 7);
            names.extend(page.into_iter().map(|row| row.name));
            if next.is_empty() {
                break;
            }
            cursor = next;
        }
        assert_eq!(names, (0..20).map(|node| format!("w-{node:02}")).collect::<Vec<_>>());
    }

    #[test]
    fn a_name_in_use_is_refused_with_its_holders_address_and_a_restart_is_not() {
        let holder = card(1, "w");
        let text = card(2, "w").name_conflict(&holder).unwrap();
        assert!(text.contains("127.0.0.1:7000") && text.contains("\"w\""), "{text}");
        assert_eq!(card(1, "w").name_conflict(&holder), None);
    }
}
