//! Which datacenters take which part of a job, and through which of their managers (27-2).
//!
//! In: a plan, and what a gate knows of its datacenters and their managers. Out: a part of the load for each
//! datacenter that is to drive some ([`ManagerDispatcher::place`]), or what is missing; and who is asked next where
//! somebody refused ([`ManagerDispatcher::next_manager`], [`ManagerDispatcher::next_datacenter`]). The parts add up
//! to the whole load, always. Pure.
#![forbid(unsafe_code)]

mod dispatcher;
mod shares;
mod site;

pub use dispatcher::{Assignment, ManagerDispatcher, Missing, Patience, Placed};
pub use shares::shares;
pub use site::{ManagerState, Site};
