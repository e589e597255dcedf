//! Plays many managers and clients against a gate, or a gate and many workers against a manager, and measures it (C-5).
//!
//! In: frames of that node, the timer, the wish to stop. Out: frames, a row a second, a row a step, the report. Pure:
//! all jobs are of the driver's own and no load is made anywhere; the figures told are made up, and known exactly, so
//! that what the node reports at the end can be compared with what it was sent.
#![forbid(unsafe_code)]

mod clients;
mod config;
mod core;
mod ending;
mod figures;
mod gate_side;
mod heard;
mod job;
mod knee;
mod managers;
mod messages;
mod op;
mod open;
mod pick;
mod players;
mod report;
mod share;
mod steps;
mod tally;
mod terminal;
mod verify;
mod workers;

pub use config::{Bound, Load, SaturateConfig, Target};
pub use core::{Command, Local, SaturateCore};
pub use knee::{Knee, KneeConfig, KneeSearch};
pub use op::{Mix, MixError, Op};
pub use report::{BoundRow, Exactness, KindRow, KneeRow, Report, SecondRow, Setup, StepRow, Times};
pub use terminal::{render, second_line, step_line};
