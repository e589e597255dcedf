//! How nodes are, and what follows from it (19-*, 26-*).
//!
//! Three independent answers about a node ([`HealthSignals`]: does it live, does it take work, does it get on) make
//! one [`RoutingDecision`]. [`NodeHealthTracker`] keeps the answers of many nodes and says who may be evicted;
//! [`DatacenterHealthManager`] sums managers up to a class of their datacenter; [`WorkerHealthManager`] gives slow
//! workers more time, less each time; [`HealthProbe`]s answer monitors. Everything is told `now`, and every state can
//! say in [`SignalRow`]s why it is judged as it is. Pure.
#![forbid(unsafe_code)]

mod datacenter;
mod decision;
mod extension;
mod gate_state;
mod liveness;
mod manager_state;
mod overdue;
mod probe;
mod progress;
mod signals;
mod tracker;
mod worker_state;

pub use datacenter::{DatacenterClass, DatacenterHealthManager, DatacenterSummary};
pub use decision::RoutingDecision;
pub use extension::{Denial, ExtensionConfig, ExtensionReason, ExtensionTracker, ReportedProgress};
pub use gate_state::GateHealthState;
pub use liveness::{FAILURES_MAX, LIVE_FOR, Liveness};
pub use manager_state::{ManagerHealthState, ManagerWord};
pub use overdue::{ExtensionAnswer, Overdue, WorkerHealthManager};
pub use probe::{
    CompositeProbe, HealthProbe, LivenessProbe, Observed, ProbeConfig, ProbeReason, ReadinessProbe,
    StartupProbe,
};
pub use progress::{INTERVAL, ProgressMeter, ProgressState};
pub use signals::{HealthSignals, SignalRow};
pub use tracker::{EvictionDecision, EvictionReason, NodeHealthTracker, TooLarge};
pub use worker_state::WorkerHealthState;

/// 2 of `overload_state`: from here on a node is no place for more.
pub const STRESSED: u8 = 2;
/// Lifeguard's score up to which a node may campaign.
pub const ELECTION_LHM_MAX: u8 = 4;
