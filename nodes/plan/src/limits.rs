//! The bounds of a plan. What a user can grow has one, and the message at it names it.

use std::time::Duration;

/// Of the text that travels, body files included.
pub const TEXT_BYTES_MAX: usize = 1 << 20;
/// Workflows of a plan.
pub const WORKFLOWS_MAX: usize = 256;
/// Steps of a plan, over all workflows.
pub const STEPS_MAX: usize = 1_024;
/// Thresholds of a plan.
pub const THRESHOLDS_MAX: usize = 256;
/// Datacenters that a plan names.
pub const DATACENTERS_MAX: usize = 64;
/// Weight of one datacenter beside others.
pub const WEIGHT_MAX: u64 = 1_000_000;
/// Stages of a workflow.
pub const STAGES_MAX: usize = 1_024;
/// Virtual users of a workflow.
pub const VUS_MAX: u64 = 1_000_000;
/// Arrivals per second of a workflow.
pub const RATE_MAX: f64 = 10_000_000.0;
/// Iterations that a count may ask for.
pub const ITERATIONS_MAX: u64 = 1_000_000_000_000;
/// The shortest `duration`.
pub const DURATION_MIN: Duration = Duration::from_millis(1);
/// The longest `duration`, and the longest sum of stages.
pub const DURATION_MAX: Duration = Duration::from_secs(30 * 86_400);
/// The longest grace and the longest pause.
pub const PAUSE_MAX: Duration = Duration::from_secs(86_400);
/// The shortest statistics window.
pub const WINDOW_MIN: Duration = Duration::from_millis(100);
/// The longest statistics window.
pub const WINDOW_MAX: Duration = Duration::from_secs(10);
/// Characters of the name of a plan or step.
pub const NAME_CHARS_MAX: usize = 128;
/// Characters of the name of a workflow.
pub const WORKFLOW_NAME_CHARS_MAX: usize = 64;
/// Of a URL.
pub const URL_BYTES_MAX: usize = 8 << 10;
/// Names and values of all headers of one request. Defaults are copied into each step, so this bounds the product.
pub const HEADER_BYTES_MAX: usize = 64 << 10;
/// Headers of one table.
pub const HEADERS_MAX: usize = 128;
/// Errors that are listed; the rest is counted. Each costs a look through the text for its line.
pub const ERRORS_MAX: usize = 100;
/// Errors that are described before the rest is only counted.
pub(crate) const FINDINGS_MAX: usize = 1_000;

/// Default `timeout` of a request.
pub const TIMEOUT: Duration = Duration::from_secs(30);
/// Default `connect_timeout`.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Default `graceful_stop` in plans.
pub const GRACEFUL_STOP: Duration = Duration::from_secs(30);
/// Default `graceful_ramp_down`.
pub const GRACEFUL_RAMP_DOWN: Duration = Duration::from_secs(30);
/// Default `max_duration` where a count ends a workflow.
pub const MAX_DURATION: Duration = Duration::from_secs(600);
/// Default `max_vus` of an open workflow.
pub const MAX_VUS: u32 = 1_000;
/// Default statistics window.
pub const WINDOW: Duration = Duration::from_secs(1);
