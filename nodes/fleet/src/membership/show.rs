//! What people and monitors see of a membership.

use hyperscale_codec::NodeId;
use hyperscale_codec::messages::{NodeSignal, NodeState};
use hyperscale_core::Instant;
use hyperscale_swim::MemberState;
use hyperscale_view::Gauge;

use super::{GroupKind, Membership};
use crate::signal;

/// A member's state as rows tell it.
#[must_use]
pub const fn node_state(state: MemberState) -> NodeState {
    match state {
        MemberState::Alive => NodeState::Alive,
        MemberState::Suspect => NodeState::Suspect,
        MemberState::Dead => NodeState::Dead,
        MemberState::Left => NodeState::Left,
    }
}

impl GroupKind {
    const fn word(self) -> &'static str {
        match self {
            Self::Datacenter => "datacenter",
            Self::Fleet => "fleet",
        }
    }
}

impl Membership {
    /// What the membership says of a node, group by group.
    #[must_use]
    pub fn signals(&self, node: NodeId, now: Instant) -> Vec<NodeSignal> {
        let of_group = |group: &super::Group| {
            let member = group.swim.member(node)?;
            let age = now.since(member.since).as_secs_f64();
            let text = format!(
                "{} in the {}'s group for {age:.1} s, boot {}, incarnation {}",
                member.state,
                group.kind.word(),
                member.card.boot,
                member.incarnation
            );
            Some(signal("membership", member.state == MemberState::Alive, text))
        };
        let mut signals: Vec<NodeSignal> = self.groups.iter().filter_map(of_group).collect();
        let word = self.groups.iter().find_map(|group| group.swim.peer_health(node));
        if let Some(word) = word {
            let load = ["healthy", "busy", "stressed", "overloaded"];
            let load = load.get(usize::from(word.overload_state)).copied().unwrap_or("unknown");
            let text = format!("{load}, local health {} of 8", word.lhm);
            signals.push(signal("own word", word.overload_state < 2, text));
        }
        signals
    }

    /// Members by state, and what the protocol did.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "the text format has only floats")]
    pub fn gauges(&self) -> Vec<Gauge> {
        let mut gauges = Vec::new();
        for group in &self.groups {
            let label = |gauge: Gauge| gauge.label("group", group.kind.word());
            let mut by_state = [0_u32; 4];
            for member in group.swim.members() {
                if let Some(count) = by_state.get_mut(member.state as usize) {
                    *count = count.saturating_add(1);
                }
            }
            for (state, count) in
                [MemberState::Alive, MemberState::Suspect, MemberState::Dead, MemberState::Left]
                    .into_iter()
                    .zip(by_state)
            {
                let help = "Other members of the group, by what this node thinks of them.";
                let gauge = Gauge::level("hyperscale_membership_members", help, f64::from(count));
                gauges.push(label(gauge.label("state", state.as_str())));
            }
            let health = f64::from(group.swim.local_health());
            let help = "How far this node distrusts its own probes, 0 to 8.";
            gauges.push(label(Gauge::level("hyperscale_membership_local_health", help, health)));
            for (name, help, count) in rows(&group.swim.counters()) {
                gauges.push(label(Gauge::counter(name, help, count as f64)));
            }
            let counters = group.swim.counters();
            for (class, count) in [
                ("malformed", counters.rejected_malformed),
                ("seal", counters.rejected_seal),
                ("key", counters.rejected_key),
                ("version", counters.rejected_version),
                ("replay", counters.rejected_replay),
                ("own", counters.rejected_own),
                ("stranger", counters.rejected_stranger),
                ("claim", counters.claims_refused),
            ] {
                let help = "Datagrams and claims that were refused, by why.";
                let gauge = Gauge::counter("hyperscale_membership_rejected_total", help, count as f64);
                gauges.push(label(gauge.label("class", class)));
            }
        }
        gauges
    }
}

/// Name, help and value of each plain counter.
fn rows(counters: &hyperscale_swim::SwimCounters) -> [(&'static str, &'static str, u64); 14] {
    [
        ("hyperscale_membership_probes_total", "Rounds of probing that began.", counters.probes),
        (
            "hyperscale_membership_probes_failed_total",
            "Rounds of probing that nobody answered.",
            counters.probes_failed,
        ),
        ("hyperscale_membership_indirect_total", "Probes asked of others.", counters.indirect),
        ("hyperscale_membership_tcp_probes_total", "Connections tried as probes.", counters.tcp_fallbacks),
        ("hyperscale_membership_oob_probes_total", "Probes out of band.", counters.oob_probes),
        ("hyperscale_membership_suspicions_total", "Suspicions that started here.", counters.suspicions),
        ("hyperscale_membership_refutations_total", "Claims of its own end refuted.", counters.refutations),
        ("hyperscale_membership_deaths_total", "Members that this node declared dead.", counters.deaths),
        (
            "hyperscale_membership_standstills_total",
            "Times this node noticed that it had stood still.",
            counters.standstills,
        ),
        ("hyperscale_membership_datagrams_in_total", "Datagrams that came in.", counters.datagrams_in),
        ("hyperscale_membership_datagrams_out_total", "Datagrams that went out.", counters.datagrams_out),
        ("hyperscale_membership_bytes_in_total", "Bytes of datagrams that came in.", counters.in_bytes),
        ("hyperscale_membership_bytes_out_total", "Bytes of datagrams that went out.", counters.out_bytes),
        (
            "hyperscale_membership_members_dropped_total",
            "Newcomers dropped for want of room.",
            counters.members_dropped,
        ),
    ]
}
