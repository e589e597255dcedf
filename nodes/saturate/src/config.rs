//! What a driver is told at its start.

use std::net::SocketAddr;
use std::time::Duration;

use hyperscale_codec::{NodeId, Role};
use hyperscale_core::WallClock;
use hyperscale_fleet::Identity;

use crate::Mix;
use crate::knee::KneeConfig;

/// How requests follow each other.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Load {
    /// So many open on each link; the next goes when one is answered.
    Closed {
        /// On each link.
        open_requests: u32,
    },
    /// So many a second, each due at a time fixed in advance, whatever the gate does.
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
    /// The gate.
    pub gate: SocketAddr,
    /// The wall clock at the start.
    pub wall: WallClock,
    /// Seeds what is random, the identities too.
    pub seed: u64,
    /// Managers it plays, each a datacenter of its own.
    pub managers: u16,
    /// Clients it plays.
    pub clients: u16,
    /// Jobs of each manager that its statistics are about.
    pub jobs: u16,
    /// Workers that each job has, and shards of each of them.
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
    /// Whether it sends less where the gate asks for less.
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
        let managers = (0..self.managers).map(|nth| (Role::Manager, nth));
        let clients = (0..self.clients).map(|nth| (Role::Client, nth));
        let all = managers.chain(clients).zip(1_u128..);
        all.map(|((role, nth), node)| {
            let name = match role {
                Role::Manager => self.datacenter(nth),
                Role::Client | Role::Gate | Role::Worker => format!("saturate-client-{nth}"),
            };
            let datacenter = if role == Role::Manager { name.clone() } else { String::new() };
            Identity { boot, datacenter, ..Identity::new(role, NodeId(base | node), name) }
        })
        .collect()
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
