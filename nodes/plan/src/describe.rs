//! A plan in a few lines for people: what `hyperscale check PLAN.toml` prints.

use std::time::Duration;

use crate::model::{
    Arrivals, Closed, Datacenters, Iterations, KeepAlive, LatePolicy, Load, NamedShare, Open, Placement,
    Plan, Step, Workflow,
};
use crate::units::{render_duration, render_percent, render_rate, render_size};
use crate::words::{grouped, listed, plural};

/// Stages that are shown one by one.
const STAGES_SHOWN: usize = 8;

/// The plan's workflows, order, load and steps, and its totals. Ends with a line break.
#[must_use]
pub fn describe(plan: &Plan) -> String {
    let steps = plan.request_steps();
    let mut out = format!(
        "{}: {}, {}, {}, at most {}\n",
        plan.name,
        plural(plan.workflows.len(), "workflow"),
        plural(steps, "request step"),
        plural(plan.thresholds.len(), "threshold"),
        render_duration(plan.length_max())
    );
    for workflow in &plan.workflows {
        out.push_str(&format!("\n{}{}\n", workflow.name, waits(plan, workflow)));
        out.push_str(&format!("  load   {}\n", load(workflow)));
        out.push_str(&format!("  end    {}\n", end(workflow)));
        for step in &workflow.steps {
            out.push_str(&format!("  step   {}\n", step_line(step)));
        }
    }
    if plan.placement != Placement::default() {
        out.push_str(&format!("\nplacement\n  {}\n", placement(&plan.placement)));
    }
    if !plan.thresholds.is_empty() {
        out.push_str("\nthresholds\n");
        for threshold in &plan.thresholds {
            out.push_str(&format!("  {}\n", threshold.expression));
        }
    }
    out
}

/// `60% from dc-1, 40% from dc-2; no others`.
fn placement(placement: &Placement) -> String {
    let (from, instead) = match &placement.datacenters {
        Datacenters::All => ("all datacenters, by their worker shards".to_owned(), "others"),
        Datacenters::Best(1) => ("the best datacenter".to_owned(), "another one"),
        Datacenters::Best(count) => {
            (format!("the best {count} datacenters, by their worker shards"), "fewer")
        }
        Datacenters::Named(shares) => (named(shares), "others"),
    };
    if placement.fallback { format!("{from}; {instead} instead") } else { format!("{from}; no {instead}") }
}

fn named(shares: &[NamedShare]) -> String {
    let sum: u64 = shares.iter().map(|share| u64::from(share.weight)).sum();
    let part = |share: &NamedShare| {
        let thousandths = u64::from(share.weight).saturating_mul(100_000).checked_div(sum).unwrap_or(0);
        let percent = render_percent(u32::try_from(thousandths).unwrap_or(u32::MAX));
        format!("{percent} from {}", share.name)
    };
    shares.iter().map(part).collect::<Vec<_>>().join(", ")
}

fn waits(plan: &Plan, workflow: &Workflow) -> String {
    let names: Vec<&str> =
        workflow.after.iter().filter_map(|i| plan.workflows.get(*i)).map(|w| w.name.as_str()).collect();
    if names.is_empty() { String::new() } else { format!("  (after {})", listed(&names)) }
}

fn load(workflow: &Workflow) -> String {
    match &workflow.load {
        Load::Closed(closed) => closed_load(closed),
        Load::Open(open) => open_load(open),
    }
}

fn closed_load(closed: &Closed) -> String {
    let vus = |count: u32| plural(usize::try_from(count).unwrap_or(usize::MAX), "VU");
    let shape = match closed.stages.as_slice() {
        [] => vus(closed.start_vus),
        [only] if only.vus == closed.start_vus => {
            format!("{} for {}", vus(only.vus), render_duration(only.duration))
        }
        stages => {
            let parts = stages.iter().map(|s| (s.duration, grouped(u64::from(s.vus))));
            format!("VUs: {}", ramp(&grouped(u64::from(closed.start_vus)), parts))
        }
    };
    match closed.iterations {
        Iterations::Unlimited => shape,
        Iterations::PerVu(count) => format!("{shape}, {} iterations each", grouped(count)),
        Iterations::Total(count) => format!("{shape}, {} iterations in all", grouped(count)),
    }
}

fn open_load(open: &Open) -> String {
    #[expect(clippy::float_cmp, reason = "a constant rate is written to both places")]
    let constant = matches!(open.stages.as_slice(), [only] if only.rate == open.start_rate);
    let shape = match open.stages.as_slice() {
        [only] if constant => format!("{} for {}", render_rate(only.rate), render_duration(only.duration)),
        stages => {
            ramp(&render_rate(open.start_rate), stages.iter().map(|s| (s.duration, render_rate(s.rate))))
        }
    };
    let spacing = match open.arrivals {
        Arrivals::Constant => "evenly spaced",
        Arrivals::Poisson => "poisson",
    };
    let late = match open.late {
        LatePolicy::Wait => "late ones wait".to_owned(),
        LatePolicy::DropAfter(Duration::ZERO) => "late ones are dropped".to_owned(),
        LatePolicy::DropAfter(wait) => format!("late ones are dropped after {}", render_duration(wait)),
    };
    let total = open.total.map_or_else(String::new, |count| format!(", {} in all", grouped(count)));
    format!("{shape}, {spacing}, at most {} VUs, {late}{total}", grouped(u64::from(open.max_vus)))
}

/// `0 to 100 in 30s, 100 for 2m`.
fn ramp(start: &str, stages: impl Iterator<Item = (Duration, String)>) -> String {
    let mut from = start.to_owned();
    let mut parts = Vec::new();
    for (duration, to) in stages {
        let duration_text = render_duration(duration);
        parts.push(match (from == to, duration.is_zero()) {
            (true, _) => format!("{to} for {duration_text}"),
            (false, true) => format!("jump to {to}"),
            (false, false) => format!("{from} to {to} in {duration_text}"),
        });
        from = to;
    }
    let hidden = parts.len().saturating_sub(STAGES_SHOWN);
    parts.truncate(STAGES_SHOWN);
    let more = if hidden > 0 { format!(", and {}", plural(hidden, "more stage")) } else { String::new() };
    format!("{}{more}", parts.join(", "))
}

fn end(workflow: &Workflow) -> String {
    let grace = if workflow.graceful_stop.is_zero() {
        "cut at the end".to_owned()
    } else {
        format!("{} for iterations in flight", render_duration(workflow.graceful_stop))
    };
    let cap = workflow
        .max_duration
        .map_or_else(String::new, |max| format!("after at most {}, ", render_duration(max)));
    let connections = match workflow.keep_alive {
        KeepAlive::Always => "connections are kept",
        KeepAlive::Iteration => "connections are kept within an iteration",
        KeepAlive::Never => "a connection for each request",
    };
    format!("{cap}{grace}; {connections}")
}

fn step_line(step: &Step) -> String {
    match step {
        Step::Think(think) if think.from == think.to => format!("think {}", render_duration(think.from)),
        Step::Think(think) => {
            format!("think {} to {}", render_duration(think.from), render_duration(think.to))
        }
        Step::Request(request) => {
            let url = format!("http://{}{}", request.url.authority, request.url.path);
            let body = match request.body.len() {
                0 => String::new(),
                length => format!(", body {}", render_size(u64::try_from(length).unwrap_or(u64::MAX))),
            };
            format!(
                "{}: {} {url}{body}, timeout {}",
                request.name,
                request.method,
                render_duration(request.timeout)
            )
        }
    }
}
