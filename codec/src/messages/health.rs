//! The conversation about more time (`spec.md` 10). Under `healthcheck_extensions`: who lacks it is sent neither.

use rkyv::{Archive, Deserialize, Serialize};

/// 26-2. Worker to manager: asks for a later deadline. Critical; since 1.4.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq, Default)]
pub struct HealthcheckExtensionRequest {
    pub worker_id: [u8; 16],
    /// 1 a long step, 2 a pause, 3 want of a resource; others are read as 1.
    pub reason: u8,
    /// 0 to 1: of what it waits for; anything else is refused as invalid.
    pub current_progress: f32,
    /// When what it waits for should have ended, from now; 0: not known.
    pub estimated_completion_ms: u32,
    /// Shares of this manager that it drives.
    pub active_workflow_count: u32,
    /// Things done so far, by workers that count within a step; replaces `current_progress` where both requests that
    /// are compared have it.
    pub completed_items: Option<u64>,
}

/// The answer to [`HealthcheckExtensionRequest`]. Critical; since 1.4.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq, Default)]
pub struct HealthcheckExtensionResponse {
    pub granted: bool,
    /// By how much the deadline moved.
    pub extension_ms: u32,
    /// How long until the deadline, moved or not.
    pub new_deadline_ms: u32,
    pub remaining_extensions: u32,
    /// Begins with its word: `max_extensions`, `no_progress`, `too_early`, `invalid`, `suspect`, `unknown`; empty when
    /// granted.
    pub denial_reason: String,
    /// For people; empty: none.
    pub warning: String,
}
