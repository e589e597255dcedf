//! The crate as the command line, a gate and a worker use it.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests stop at the first surprise"
)]

mod any_bytes;
mod bad_input;
mod bad_steps;
mod examples;
mod good_plans;
mod loading;
mod placements;

/// One workflow with these lines, and a step. The lines start at line 3.
fn home(lines: &str) -> String {
    format!("target = \"http://h\"\n[workflows.home]\n{lines}\nsteps = [{{ get = \"/\" }}]\n")
}

/// `line:column: message` of each error.
fn errors(text: &str) -> Vec<String> {
    let errors = hyperscale_plan::parse("plan.toml", text).unwrap_err();
    errors.errors().iter().map(|e| format!("{}:{}: {}", e.line, e.column, e.message)).collect()
}

/// The text under the carets of each error, as the user sees it, and the message.
fn marked(text: &str) -> Vec<(String, String)> {
    let errors = hyperscale_plan::parse("plan.toml", text).unwrap_err();
    let of = |error: &hyperscale_plan::PlanError| {
        let shown = error.to_string();
        let lines: Vec<&str> = shown.lines().collect();
        let from = lines[3].chars().position(|c| c == '^').unwrap();
        let carets = lines[3].chars().filter(|c| *c == '^').count();
        (lines[2].chars().skip(from).take(carets).collect(), error.message.clone())
    };
    errors.errors().iter().map(of).collect()
}
