//! What a driver is told at its start.

use std::net::SocketAddr;
use std::time::Duration;

use hyperscale_codec::{NodeId, Role};
use hyperscale_core::WallClock;
use hyperscale_fleet::Identity;

use crate::Mix;
use crate::knee::KneeConfig;

/// The role of the node that is loaded: who is played, and what can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Target {
    /// Played: managers and clients.
    Gate,
    /// Played: one gate, and workers.
    Manager,
}

impl Target {
    /// Its name in reports.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Gate => "gate",
            Self::Manager => "manager",
        }
    }

    /// As it greets.
    #[must_use]
    pub const fn role(self) -> Role {
        match self {
            Self::Gate => Role::Gate,
            Self::Manager => Role::Manager,
        }
    }
}

/// How requests follow each other.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Load {
    /// So many open on each link; the next goes when one is answered.
    Closed {
        /// On each link.
        open_requests: u32,
    },
    /// So many a second, each due at a time fixed in advance, whatever the node does.
    Open {
        /// Of all links together.
        rate: f64,
    },
    /// Open, step by step to the highest rate that holds.
    Ramp(KneeConfig),
}

impl Load {
    /// Its name in reports.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Closed { .. } => "closed",
            Self::Open { .. } => "open",
            Self::Ramp(_) => "ramp",
        }
    }
}

/// When a step holds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bound {
    /// From due to the answer, of 99 in 100 requests.
    pub p99: Duration,
    /// Share of what was due that must be done.
    pub goodput: f64,
}

/// Whom one driver plays, and how.
#[derive(Debug, Clone)]
pub struct SaturateConfig {
    /// What is loaded, and where it is.
    pub target: Target,
    pub addr: SocketAddr,
    /// The wall clock at the start.
    pub wall: WallClock,
    /// Seeds what is random, the identities too.
    pub seed: u64,
    /// Managers it plays to a gate, each a datacenter of its own.
    pub managers: u16,
    /// Clients it plays to a gate.
    pub clients: u16,
    /// Jobs of each manager that its statistics are about; of the one that is loaded.
    pub jobs: u16,
    /// Workers that each job has; it plays them to a manager.
    pub workers: u16,
    /// Shards of each worker.
    pub worker_shards: u16,
    /// Steps of each job.
    pub steps: u16,
    /// Buckets of each histogram.
    pub buckets: u16,
    /// Clients that are pushed each window of each job.
    pub subscribers: u16,
    /// What is asked.
    pub mix: Mix,
    /// How often.
    pub load: Load,
    /// How long a step is measured, and before that how long it is not.
    pub step: Duration,
    /// How long before that nothing is counted.
    pub warm_up: Duration,
    /// When a step holds.
    pub bound: Bound,
    /// Whether it sends less where it is asked for less.
    pub obeys: bool,
    /// Without an answer for so long a request has none.
    pub patience: Duration,
}

impl SaturateConfig {
    /// Whom dial `n` is made as: the `n mod len`-th of these.
    #[must_use]
    pub fn identities(&self) -> Vec<Identity> {
        let boot = self.wall.unix_ms;
        let base = (u128::from(self.seed) << 64) | (u128::from(boot) << 20);
        let of = |role, count: u16| (0..count).map(move |nth| (role, nth));
        let all: Vec<(Role, u16)> = match self.target {
            Target::Gate => of(Role::Manager, self.managers).chain(of(Role::Client, self.clients)).collect(),
            Target::Manager => of(Role::Gate, 1).chain(of(Role::Worker, self.workers)).collect(),
        };
        let played = all.into_iter().zip(1_u128..).map(|((role, nth), node)| {
            let seed = self.seed >> 32;
            let name = match role {
                Role::Manager => self.datacenter(nth),
                Role::Client => format!("saturate-client-{nth}"),
                Role::Gate => format!("saturate-gate-{seed:08x}"),
                Role::Worker => format!("saturate-worker-{seed:08x}-{nth}"),
            };
            let datacenter = if role == Role::Manager { name.clone() } else { String::new() };
            let shards = if role == Role::Worker { self.worker_shards } else { 1 };
            Identity { boot, datacenter, shards, ..Identity::new(role, NodeId(base | node), name) }
        });
        played.collect()
    }

    /// The datacenter of a manager, and its name.
    #[must_use]
    pub fn datacenter(&self, manager: u16) -> String {
        format!("saturate-{:08x}-{manager}", self.seed >> 32)
    }

    /// Sources that each job has.
    #[must_use]
    pub fn sources(&self) -> usize {
        usize::from(self.workers) * usize::from(self.worker_shards)
    }
}
