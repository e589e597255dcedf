//! The tables: times, steps, datacenters. Columns are left out rather than squeezed where the terminal is narrow.

use super::flow::LABEL;
use crate::numbers::{counted, grouped, rate, share, time_or_none};
use crate::style::{Style, Tone, columns};
use crate::summary::{Summary, Times, Totals, WorkerSummary};

/// Columns of a time; the longest has seven.
const TIME: usize = 8;
const COUNT: usize = 12;
const CORES: usize = 8;
const SHARE: usize = 9;
/// `partial, saturated` has the most.
const STATE: usize = 18;
/// Workers shown; the rest are counted.
pub(super) const WORKERS_MAX: usize = 16;

type Column = (&'static str, fn(&Times) -> Option<f64>);

/// In the order of drawing, with the width from which each is shown.
const COLUMNS: [(usize, Column); 11] = [
    (80, ("min", |times| times.min)),
    (0, ("mean", |times| times.mean)),
    (100, ("stdev", |times| times.stdev)),
    (0, ("p50", |times| times.p50)),
    (100, ("p75", |times| times.p75)),
    (0, ("p90", |times| times.p90)),
    (80, ("p95", |times| times.p95)),
    (0, ("p99", |times| times.p99)),
    (0, ("p99.9", |times| times.p99_9)),
    (100, ("p99.99", |times| times.p99_99)),
    (0, ("max", |times| times.max)),
];

/// Latency, and what it is made of.
pub(super) fn times(out: &mut String, summary: &Summary, style: Style) {
    let shown: Vec<Column> =
        COLUMNS.into_iter().filter(|(from, _)| style.width >= *from).map(|(_, column)| column).collect();
    let names: String = shown.iter().map(|(name, _)| format!("{name:>TIME$}")).collect();
    let head = format!("{:LABEL$}{names}", "");
    out.push_str(&style.paint(Tone::Faint, &head));
    out.push('\n');
    let rows = [
        ("latency", &summary.latency_ms),
        ("service", &summary.service_ms),
        ("lateness", &summary.lateness_ms),
    ];
    for (name, times) in rows.into_iter().filter(|(_, times)| times.count > 0) {
        let label = format!(" {name:<width$}", width = LABEL - 1);
        out.push_str(&style.paint(Tone::Faint, &label));
        for (column, value) in shown.iter().map(|(column, value)| (*column, value(times))) {
            let cell = format!("{:>TIME$}", time_or_none(value));
            let tone = if name == "latency" && column == "p99" { Tone::Strong } else { Tone::Plain };
            out.push_str(&style.paint(tone, &cell));
        }
        out.push('\n');
    }
}

/// A row of the tables of parts.
struct Part<'s> {
    name: String,
    totals: &'s Totals,
    times: &'s Times,
}

/// Where there is more than one.
pub(super) fn steps(out: &mut String, summary: &Summary, style: Style) {
    let several = summary.workflows.len() > 1;
    let name = |workflow: &str, step: &str| {
        if several { format!("{workflow}/{step}") } else { step.to_owned() }
    };
    let parts: Vec<Part<'_>> = summary
        .workflows
        .iter()
        .flat_map(|workflow| workflow.steps.iter().map(move |step| (workflow, step)))
        .map(|(workflow, step)| Part {
            name: style.clean(&name(&workflow.name, &step.name)),
            totals: &step.totals,
            times: &step.latency_ms,
        })
        .collect();
    table(out, "step", &parts, style);
}

/// Where there is more than one.
pub(super) fn datacenters(out: &mut String, summary: &Summary, style: Style) {
    let parts: Vec<Part<'_>> = summary
        .datacenters
        .iter()
        .map(|datacenter| Part {
            name: style.clean(&datacenter.name),
            totals: &datacenter.totals,
            times: &datacenter.latency_ms,
        })
        .collect();
    table(out, "datacenter", &parts, style);
}

/// Where there is more than one: how much each drove, and whether it could. The first ones; the line below names all
/// that lost something.
pub(super) fn workers(out: &mut String, summary: &Summary, style: Style) {
    let workers = &summary.workers;
    if workers.len() < 2 {
        return;
    }
    let right = CORES + COUNT + SHARE + STATE + 2;
    let half = style.width.saturating_sub(right + 3) / 2;
    let width = |title: &str, of: fn(&WorkerSummary) -> &str| {
        let longest = workers.iter().take(WORKERS_MAX).map(|worker| columns(&style.clean(of(worker)))).max();
        longest.unwrap_or_default().max(title.len()).min(half)
    };
    let (left, middle) =
        (width("worker", |worker| &worker.name), width("datacenter", |worker| &worker.datacenter));
    let head = format!(
        " {:<left$}  {:<middle$}{:>CORES$}{:>COUNT$}{:>SHARE$}  state",
        "worker", "datacenter", "cores", "requests", "share"
    );
    out.push_str(&format!("{}\n", style.paint(Tone::Faint, &head)));
    for worker in workers.iter().take(WORKERS_MAX) {
        let cell = |text: &str, width: usize| {
            let text = style.cut(&style.clean(text), width);
            let fill = " ".repeat(width.saturating_sub(columns(&text)));
            format!("{text}{fill}")
        };
        let (name, datacenter) = (cell(&worker.name, left), cell(&worker.datacenter, middle));
        let (requests, part) = (grouped(worker.requests), share(worker.requests, summary.totals.requests));
        let saturated = worker.generator == "saturated";
        let state = if saturated { format!("{}, saturated", worker.state) } else { worker.state.clone() };
        let tone = if worker.state == "ok" && !saturated { Tone::Plain } else { Tone::Warn };
        let state = style.cut(&style.clean(&state), STATE);
        let state = style.paint(tone, &state);
        let shards = worker.shards;
        out.push_str(&format!(
            " {name}  {datacenter}{shards:>CORES$}{requests:>COUNT$}{part:>SHARE$}  {state}\n"
        ));
    }
    let more = workers.len().saturating_sub(WORKERS_MAX);
    if more > 0 {
        let text = format!(" {} more in the JSON", counted(more as u64, "worker"));
        out.push_str(&format!("{}\n", style.paint(Tone::Faint, &text)));
    }
}

fn table(out: &mut String, title: &str, parts: &[Part<'_>], style: Style) {
    if parts.len() < 2 {
        return;
    }
    let wide = style.width >= 100;
    let mut heads = vec![(COUNT, "requests"), (COUNT - 2, "errors")];
    if wide {
        heads.push((COUNT, "rate/s"));
    }
    heads.extend([(TIME, "p50"), (TIME, "p99"), (TIME, "max")]);
    let right: usize = heads.iter().map(|(width, _)| width).sum();
    let longest = parts.iter().map(|part| columns(&part.name)).max().unwrap_or_default().max(title.len());
    let left = longest.min(style.width.saturating_sub(right + 1));
    let heads: String = heads.iter().map(|(width, head)| format!("{head:>width$}")).collect();
    out.push_str(&format!("{}\n", style.paint(Tone::Faint, &format!(" {title:<left$}{heads}"))));
    for part in parts {
        let (totals, times) = (part.totals, part.times);
        let errors = format!("{:>width$}", grouped(totals.errors), width = COUNT - 2);
        let tone = if totals.errors > 0 { Tone::Bad } else { Tone::Plain };
        out.push_str(&format!(" {:<left$}{:>COUNT$}", style.cut(&part.name, left), grouped(totals.requests)));
        out.push_str(&style.paint(tone, &errors));
        if wide {
            out.push_str(&format!("{:>COUNT$}", rate(totals.rate_per_s)));
        }
        for value in [times.p50, times.p99, times.max] {
            out.push_str(&format!("{:>TIME$}", time_or_none(value)));
        }
        out.push('\n');
    }
}
