//! The manager's core: takes a job on for its datacenter, splits it over the workers, starts them together, adds up
//! what they did and passes it to the gate.
//!
//! In: frames of gates and workers, committed entries of its ledger, the timer. Out: frames, proposals. Pure.
#![forbid(unsafe_code)]

mod calls;
mod cancel;
mod core;
mod dispatch;
mod finish;
mod health;
mod job;
mod joiners;
mod membership;
mod objections;
mod owed;
mod peers;
mod revise;
mod silence;
mod stats;
mod takeover;
mod view;
mod why;
mod workflows;

pub use core::{Command, Local, ManagerConfig, ManagerCore};
