//! The protocols compared, and how a fleet of each is made.

use hyperscale_lab::{MS, Nanos, Network, Outbox, Protocol, World};
use hyperscale_swim::{Lifeguard, SwimConfig};

use crate::foca_node::FocaBuild;
use crate::swim_node::SwimBuild;

/// How a fleet begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    /// Everybody knows everybody.
    Converged,
    /// Everybody knows itself alone.
    Cold,
}

/// Makes nodes of one protocol.
pub(crate) trait Build {
    type Node: Protocol;
    /// Rounds of nodes begin within this.
    fn stagger(&self) -> Nanos;
    fn node(&self, node: u32, boot: u64, seed: u64, now: Nanos, start: Start, out: &mut Outbox)
    -> Self::Node;

    /// A fleet on a LAN: 0.2 ms each way in the median.
    fn world(&self, nodes: usize, seed: u64, start: Start) -> World<Self::Node> {
        let network = Network::new(nodes, MS / 5, seed ^ 0x5eed);
        World::new(nodes, network, self.stagger(), |node, now, out| self.node(node, 1, seed, now, start, out))
    }
}

/// One protocol with its parameters.
#[derive(Debug, Clone)]
pub(crate) enum Row {
    Ours { name: &'static str, config: SwimConfig },
    Foca { name: &'static str, tuned: bool },
}

/// Something done with fleets of any protocol.
pub(crate) trait Experiment {
    type Result: Send;
    fn run<B: Build>(&self, build: &B, seed: u64) -> Self::Result;
}

impl Row {
    pub(crate) const NAMES: [&str; 8] =
        ["swim", "probe", "suspicion", "buddy", "all", "aware", "foca", "foca-tuned"];

    pub(crate) fn named(name: &str, alpha: Option<u32>, swim_alpha: Option<u32>) -> Option<Self> {
        let ours = |name, lifeguard, load_awareness, alpha: Option<u32>| {
            let mut config = SwimConfig { lifeguard, load_awareness, group: 1, ..SwimConfig::lan() };
            config.suspicion_alpha = alpha.unwrap_or(config.suspicion_alpha);
            Some(Self::Ours { name, config })
        };
        let none = Lifeguard::NONE;
        match name {
            "swim" => ours("SWIM", none, false, swim_alpha),
            "probe" => ours("+ probe", Lifeguard { probe: true, ..none }, false, alpha),
            "suspicion" => ours("+ suspicion", Lifeguard { suspicion: true, ..none }, false, alpha),
            "buddy" => ours("+ buddy", Lifeguard { buddy: true, ..none }, false, alpha),
            "all" => ours("all of Lifeguard", Lifeguard::ALL, false, alpha),
            "aware" => ours("all + load awareness", Lifeguard::ALL, true, alpha),
            "foca" => Some(Self::Foca { name: "foca 2.0.0, its LAN set", tuned: false }),
            "foca-tuned" => Some(Self::Foca { name: "foca 2.0.0, our intervals", tuned: true }),
            _ => None,
        }
    }

    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Ours { name, .. } | Self::Foca { name, .. } => name,
        }
    }

    /// Whether members of it tell how loaded they are.
    pub(crate) const fn is_aware(&self) -> bool {
        matches!(self, Self::Ours { config, .. } if config.load_awareness)
    }

    pub(crate) fn run<E: Experiment>(&self, experiment: &E, nodes: usize, seed: u64) -> E::Result {
        match self {
            Self::Ours { config, .. } => experiment.run(&SwimBuild::new(config.clone(), nodes), seed),
            Self::Foca { tuned, .. } => experiment.run(&FocaBuild::new(*tuned, nodes), seed),
        }
    }
}
