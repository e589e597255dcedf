//! A file a command.

pub(crate) mod check;
pub(crate) mod cluster;
pub(crate) mod fleet;
pub(crate) mod jobs;
pub(crate) mod plan_file;
pub(crate) mod run;
pub(crate) mod saturate;
pub(crate) mod stats;
pub(crate) mod target;
