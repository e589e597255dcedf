//! TCP as nodes use it: listeners that one node owns, accepts that survive a shortage, dials with a deadline.

mod listener;
mod stream;

pub use listener::{BoundListener, ListenError, Listener, bind};
pub use stream::Stream;
