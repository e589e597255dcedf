//! The client's core: submits a plan to a gate and follows its job wherever it is, or asks one question.
//!
//! In: frames of gates, what the user wants. Out: frames, notices for whoever shows them. Pure.
#![forbid(unsafe_code)]

mod ask;
mod calls;
mod core;
mod follow;
mod limited;

pub use ask::{Question, Windows};
pub use core::{ClientConfig, ClientCore, Command, Local, Notice};
