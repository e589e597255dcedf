//! The one table of keys: what each section knows, and what is known but not built yet.

use crate::suggest::{did_you_mean, nearest};

/// A kind of table in a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Top,
    Defaults,
    Workflow,
    Step,
    Threshold,
    Placement,
}

const TOP: &[&str] = &["name", "target", "thresholds", "window", "defaults", "placement", "workflows"];
const TOP_LATER: &[&str] = &["data", "checks", "tls", "tags"];
const DEFAULTS: &[&str] = &["headers", "timeout", "connect_timeout", "keep_alive"];
const DEFAULTS_LATER: &[&str] = &["tls", "checks", "redirects", "cookies", "connect_to", "http", "tags"];
const WORKFLOW: &[&str] = &[
    "vus",
    "duration",
    "stages",
    "start_vus",
    "start_rate",
    "rate",
    "arrivals",
    "max_vus",
    "max_wait",
    "iterations",
    "total_iterations",
    "max_duration",
    "graceful_stop",
    "graceful_ramp_down",
    "after",
    "keep_alive",
    "timeout",
    "connect_timeout",
    "headers",
    "steps",
];
const WORKFLOW_LATER: &[&str] = &["warmup", "data", "tls", "tags", "checks", "placement", "redirects"];
const STEP: &[&str] = &[
    "name",
    "get",
    "post",
    "put",
    "delete",
    "patch",
    "head",
    "options",
    "method",
    "url",
    "headers",
    "body",
    "json",
    "body_file",
    "body_base64",
    "timeout",
    "connect_timeout",
    "think",
];
const STEP_LATER: &[&str] = &["capture", "checks", "soft", "tags", "tls", "redirects", "form"];
const THRESHOLD: &[&str] = &["expression"];
const THRESHOLD_LATER: &[&str] = &["abort_after", "over"];
const PLACEMENT: &[&str] = &["datacenters", "count", "fallback"];
const PLACEMENT_LATER: &[&str] = &["workers", "min_datacenters", "result_deadline", "on_cut"];

impl Place {
    pub(crate) fn known(self) -> &'static [&'static str] {
        match self {
            Self::Top => TOP,
            Self::Defaults => DEFAULTS,
            Self::Workflow => WORKFLOW,
            Self::Step => STEP,
            Self::Threshold => THRESHOLD,
            Self::Placement => PLACEMENT,
        }
    }

    fn later(self) -> &'static [&'static str] {
        match self {
            Self::Top => TOP_LATER,
            Self::Defaults => DEFAULTS_LATER,
            Self::Workflow => WORKFLOW_LATER,
            Self::Step => STEP_LATER,
            Self::Threshold => THRESHOLD_LATER,
            Self::Placement => PLACEMENT_LATER,
        }
    }

    /// Where a key of this section is written.
    fn home(self) -> &'static str {
        match self {
            Self::Top => "at the top of the file",
            Self::Defaults => "in [defaults]",
            Self::Workflow => "in [workflows.NAME]",
            Self::Step => "in a step",
            Self::Threshold => "in a threshold's table",
            Self::Placement => "in [placement]",
        }
    }

    /// Why `key` may not stand here (`at`: `workflows.buy`), or `None` if it may.
    pub(crate) fn refusal(self, key: &str, at: &str) -> Option<String> {
        if self.known().contains(&key) {
            return None;
        }
        if self.later().contains(&key) {
            return Some(format!("\"{key}\" in {at} is not supported yet; remove it"));
        }
        let shown = crate::words::quote(key);
        let near = nearest(key, self.known().iter().copied());
        if near.is_none()
            && let Some(other) = OTHERS.iter().find(|place| place.known().contains(&key))
        {
            return Some(format!("unknown key {shown} in {at}; it belongs {}", other.home()));
        }
        let hint = did_you_mean(key, self.known().iter().copied());
        let hint = if hint.is_empty() { format!("; known: {}", self.known().join(", ")) } else { hint };
        Some(format!("unknown key {shown} in {at}{hint}"))
    }
}

const OTHERS: [Place; 5] = [Place::Workflow, Place::Step, Place::Defaults, Place::Placement, Place::Top];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_a_wrong_place_and_a_later_key_are_told_apart() {
        let in_buy = |key| Place::Workflow.refusal(key, "workflows.buy").unwrap();
        assert_eq!(
            in_buy("durration"),
            r#"unknown key "durration" in workflows.buy; did you mean "duration"?"#
        );
        assert_eq!(in_buy("warmup"), r#""warmup" in workflows.buy is not supported yet; remove it"#);
        assert_eq!(in_buy("json"), r#"unknown key "json" in workflows.buy; it belongs in a step"#);
        assert_eq!(
            Place::Top.refusal("vus", "the plan").unwrap(),
            r#"unknown key "vus" in the plan; it belongs in [workflows.NAME]"#
        );
        assert!(
            in_buy("colour").starts_with(r#"unknown key "colour" in workflows.buy; known: vus, duration"#)
        );
    }

    #[test]
    fn no_key_is_both_known_and_later() {
        for place in OTHERS.into_iter().chain([Place::Threshold]) {
            assert!(place.later().iter().all(|key| !place.known().contains(key)), "{place:?}");
        }
    }
}
