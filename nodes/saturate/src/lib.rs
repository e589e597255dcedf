//! Plays many managers and clients against a gate, and measures it (C-5).
//!
//! In: frames of the gate, the timer, the wish to stop. Out: frames, a row a second, a row a step, the report. Pure:
//! the managers' jobs are submitted by clients of the driver's own and no load is made anywhere; the figures told are
//! made up, and known exactly, so that what the gate reports at the end can be compared with what it was sent.
#![forbid(unsafe_code)]

mod clients;
mod config;
mod core;
mod ending;
mod figures;
mod job;
mod knee;
mod managers;
mod op;
mod open;
mod report;
mod steps;
mod tally;
mod terminal;
mod verify;

pub use config::{Bound, Load, SaturateConfig};
pub use core::{Command, Local, SaturateCore};
pub use knee::{Knee, KneeConfig, KneeSearch};
pub use op::{Mix, MixError, Op};
pub use report::{BoundRow, Exactness, KindRow, KneeRow, Report, SecondRow, Setup, StepRow, Times};
pub use terminal::{render, second_line, step_line};
