//! How people write durations, rates, counts, sizes and shares. Each parser says what would be right.

mod count;
mod decimal;
mod duration;
mod percent;
mod rate;
mod share;
mod size;

pub use count::parse_count;
pub use duration::{parse_duration, render_duration};
pub use percent::{parse_percent, render_percent};
pub use rate::{parse_rate, render_rate};
pub use share::parse_share;
pub use size::{parse_size, render_size};

/// A text that is not the quantity it should be. Says what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UnitError(pub(crate) String);
