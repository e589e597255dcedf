//! What the executor beneath does to the unwary, tried against our wrappers. The numbers are those of the list of
//! hazards in `docs/decisions/0001-glommio-ng.md`.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::disallowed_types,
    reason = "a test's helpers are tests too, and their peers are plain blocking sockets"
)]

mod support;

#[path = "hazards/cancelling.rs"]
mod cancelling;
#[path = "hazards/fairness.rs"]
mod fairness;
#[path = "hazards/panics.rs"]
mod panics;
#[path = "hazards/resources.rs"]
mod resources;
#[path = "hazards/starting.rs"]
mod starting;
