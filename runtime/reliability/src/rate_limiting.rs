//! How often one client may ask for one thing (`spec.md` 8): buckets of tokens for each client and operation.
//!
//! A limit holds for a client at a node, over all its links and all the node's shards, and always: one that came and went
//! with the load could not be planned for. Under load only the refill slows. Bounded: see [`ServerRateLimiter`].

mod bucket_clock;
mod caller_side;
mod client;
mod client_table;
mod config;
mod key_hash;
mod operation;
mod rate;
mod server;
mod token_bucket;

pub use caller_side::{CallOutcome, NextCall, RateLimitRetry, RateLimitRetryConfig, StillLimited};
pub use client::ClientKey;
pub use config::{RateLimit, RateLimitConfig};
pub use operation::Operation;
pub(crate) use server::LinkedClient;
pub use server::{NodeRateLimiter, RateLimited, ServerRateLimiter};
pub use token_bucket::{Acquire, TokenBucket};
