//! TCP as nodes use it: listeners that one node owns, accepts that survive a shortage, dials with a deadline.
#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

mod listener;
mod stream;

pub use listener::{BoundListener, ListenError, Listener, bind};
pub use stream::Stream;
