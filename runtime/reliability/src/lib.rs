//! How a node stays up under more than it can take, and says so. Pure: time and randomness come in.
//!
//! [`Intake`] stands in front of a node's core and decides by a frame's header alone: within its caller's rate, and
//! important enough for how loaded the node is ([`OverloadState`]).
#![forbid(unsafe_code)]
#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]
#![cfg_attr(test, allow(clippy::arithmetic_side_effects, reason = "an overflow fails a test"))]

mod answer;
mod backpressure;
mod gathering;
mod intake;
mod load_shedding;
mod overload;
mod rate_limiting;
mod ration;
mod retry;
mod sample_buffer;

pub use answer::{Answer, AnswerWriter, ShedAnswer};
pub use backpressure::{
    Backpressure, BackpressureLevel, StatsFill, StatsPace, StatsSent, Wanted, get_backpressure_level,
};
pub use hyperscale_codec::Priority as RequestPriority;
pub use intake::{Admission, Caller, Intake, IntakeCounts};
pub use load_shedding::{LoadShedder, classify_request};
pub use overload::{
    CpuMeter, CpuRoom, CpuRule, CpuUse, HostSignal, HostSignals, HostStates, HybridOverloadDetector,
    InvalidOverloadConfig, LoadGauge, MemoryUse, OverloadConfig, OverloadReading, OverloadState, Strain,
    WINDOW_MAX,
};
pub use rate_limiting::{
    Acquire, CallOutcome, ClientKey, NextCall, NodeRateLimiter, Operation, RateLimit, RateLimitConfig,
    RateLimitRetry, RateLimitRetryConfig, RateLimited, ServerRateLimiter, StillLimited, TokenBucket,
};
pub use retry::{
    CallError, CircuitBreaker, Deadline, GiveUp, JitterStrategy, Retry, RetryBudget, RetryConfig,
    RetryExecutor, Step, retryable,
};
pub use sample_buffer::{Drained, SAMPLES_MAX, SampleReader, SampleWriter, sample_buffer};
