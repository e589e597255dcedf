//! What the target shall do.

use std::time::Duration;

/// How answers are made. The default answers at once, 200, without a body.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct TargetConfig {
    /// Each answer comes this long after its request.
    pub delay: Duration,
    /// Length of the body of a 200.
    pub body_bytes: usize,
    /// Share of requests answered 500, 0 to 1; spread evenly, exact in the long run.
    pub error_rate: f64,
    /// From the second period on, each begins with a stall.
    pub stall_every: Duration,
    /// During a stall all answers are held; then they go out at once. Zero: none.
    pub stall_for: Duration,
}
