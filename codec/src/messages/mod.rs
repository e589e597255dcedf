//! The messages, a file a conversation. Each is the root of its kind; see `kinds` for numbers and classes.

pub mod health;
pub mod job;
pub mod member;
pub mod membership;
pub mod state;
pub mod stats;

pub use health::*;
pub use job::*;
pub use member::*;
pub use membership::*;
pub use state::*;
pub use stats::*;
