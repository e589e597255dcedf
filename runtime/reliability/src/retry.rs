//! Calls that are made again (21-1 to 21-3): when, how often, and when not.
//!
//! One call has a [`RetryExecutor`]; all calls to one peer share a [`RetryBudget`], which keeps retries from multiplying
//! load, and a [`CircuitBreaker`], which keeps calls from a peer that does not answer. In: times, results, randomness.
//! Out: when to try again, or why not. Pure.

mod budget;
mod circuit;
mod config;
mod deadline;
mod error;
mod executor;
mod jitter;

pub use budget::RetryBudget;
pub use circuit::CircuitBreaker;
pub use config::{RetryConfig, retryable};
pub use deadline::Deadline;
pub use error::CallError;
pub use executor::{GiveUp, Retry, RetryExecutor, Step};
pub use jitter::JitterStrategy;
