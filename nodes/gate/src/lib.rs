//! The gate's core: accepts jobs, dispatches them to datacenters, adds up what comes back, tells subscribers.
//!
//! In: frames of clients and managers, committed entries of its ledger, the timer. Out: frames, proposals. A job is
//! owned by the shard the ring names; one core owns its jobs alone, so concurrent messages for one job are
//! serialized by ownership (B-3). Durable facts change only when an entry comes back committed. Pure.
#![forbid(unsafe_code)]

mod archive;
mod bounds;
mod calls;
mod cancel;
mod core;
mod dispatch;
mod finish;
mod forward;
mod health;
mod job;
mod job_list;
mod membership;
mod peers;
mod query;
mod roster;
mod stats;
mod status;
mod submit;
mod subscribers;
mod turns;
mod view;
mod why;

pub use archive::{
    ARCHIVE_AGE, ARCHIVE_JOBS, ArchiveConfig, ArchiveEntry, ArchiveOrder, ArchiveRecord, ArchiveTold,
    RecordError,
};
pub use bounds::SNAPSHOTS_MAX;
pub use core::{Command, GateConfig, GateCore, Local};
