//! The result as people read it: a line a second, a line a step, and at the end a chart of rate over latency.

use std::fmt::Write as _;

use hyperscale_report::{Style, Tone, grouped, rate, time};

use crate::Target;
use crate::report::{KindRow, Report, SecondRow, StepRow};

/// Lateness from which a line mentions it.
const LATE_MS: f64 = 1.0;
/// Rows of the chart at most.
const CHART_MAX: usize = 24;
const LEVELS: [&str; 4] = ["none", "throttle", "batch", "reject"];
const OVERLOAD: [&str; 4] = ["healthy", "busy", "stressed", "overloaded"];

/// One second: `12s 40,310/s p99 810us open 26`.
#[must_use]
pub fn second_line(row: &SecondRow, target: Target, style: Style) -> String {
    let mut line = format!("{}s ", row.second);
    if let Some(asked) = row.rate_per_s {
        let _ = write!(line, "{} asked ", rate(asked));
    }
    let answered = format!("{}/s", grouped(row.answered));
    let _ = write!(
        line,
        "{} p50 {} p99 {} open {}",
        style.paint(Tone::Strong, &answered),
        time(row.p50_ms),
        time(row.p99_ms),
        grouped(u64::try_from(row.open).unwrap_or(u64::MAX))
    );
    if row.refused > 0 {
        let refused = format!("refused {}", grouped(row.refused));
        let _ = write!(line, " {}", style.paint(Tone::Bad, &refused));
    }
    if let Some((level, _)) = LEVELS.iter().zip(row.levels).skip(1).rev().find(|(_, acks)| *acks > 0) {
        let _ = write!(line, " {}", style.paint(Tone::Warn, &format!("level {level}")));
    }
    if row.gate_overload > 0 {
        let state = OVERLOAD.get(usize::from(row.gate_overload)).copied().unwrap_or("overloaded");
        let _ = write!(line, " {}", style.paint(Tone::Warn, &format!("{} {state}", target.word())));
    }
    if row.lateness_p99_ms > LATE_MS {
        let late = format!("driver late p99 {}", time(row.lateness_p99_ms));
        let _ = write!(line, " {}", style.paint(Tone::Warn, &late));
    }
    line
}

/// One step of a ramp: `range 8,000/s: holds, 8,000/s answered, p99 410us`.
#[must_use]
pub fn step_line(row: &StepRow, style: Style) -> String {
    let asked = row.rate_per_s.map_or_else(String::new, |asked| format!(" {}/s", rate(asked)));
    let verdict = if row.holds {
        style.paint(Tone::Good, "holds").into_owned()
    } else {
        style.paint(Tone::Bad, &format!("does not hold ({})", row.why)).into_owned()
    };
    format!(
        "step {} {}{asked}: {verdict}, {}/s answered, p99 {}, driver late p99 {}",
        row.step,
        row.phase,
        rate(row.answered_per_s),
        time(row.latency_ms.p99),
        time(row.lateness_p99_ms)
    )
}

/// All of it.
#[must_use]
pub fn render(report: &Report, style: Style) -> String {
    let mut out = String::new();
    let setup = &report.setup;
    let mut line = |text: String| {
        let _ = writeln!(out, "{text}");
    };
    line(format!(
        "{} {} ({}, {} shards)  {} load\n{}",
        report.target, report.gate, report.gate_version, report.gate_shards, setup.load, setup.mix
    ));
    let played = match setup.workers {
        0 => format!("{} managers, {} clients", setup.managers, setup.clients),
        workers => format!("1 gate, {workers} workers"),
    };
    line(format!(
        "{played}, {} jobs of {} sources, {} buckets{}",
        setup.jobs,
        setup.sources_per_job,
        setup.buckets,
        if setup.obeys_levels { "" } else { "; levels are ignored" }
    ));
    line(String::new());
    line(verdict(report, style));
    if report.relinks > 0 {
        let times = format!("the manager lost its gate {} times, and came back", report.relinks);
        line(style.paint(Tone::Warn, &times).into_owned());
    }
    line(String::new());
    if report.steps.len() > 1 {
        chart(report, style).into_iter().for_each(&mut line);
        line(String::new());
    }
    kinds(report, style).into_iter().for_each(&mut line);
    updates(report).into_iter().for_each(&mut line);
    line(String::new());
    exactness(report, style).into_iter().for_each(&mut line);
    out
}

fn verdict(report: &Report, style: Style) -> String {
    let bound =
        format!("p99 <= {} and goodput >= {:.0} %", time(report.bound.p99_ms), report.bound.goodput * 100.0);
    let last = report.steps.last();
    match report.verdict {
        "failed" => style.paint(Tone::Bad, &format!("failed: {}", report.error)).into_owned(),
        "interrupted" => style.paint(Tone::Warn, "interrupted; what follows is a part").into_owned(),
        "held" => format!("{} {bound}", style.paint(Tone::Good, "held:")),
        "driver_limited" if report.knee.is_none() => format!(
            "{} this driver was late, the {} was not; give it a core of its own, or start several",
            style.paint(Tone::Warn, "driver limited:"),
            report.target
        ),
        "not_held" => {
            let why = last.map_or("", |step| step.why);
            format!("{} {bound}, broken by {why}", style.paint(Tone::Bad, "not held:"))
        }
        word => {
            let Some(knee) = &report.knee else { return word.to_owned() };
            let above = knee.above_per_s.map_or_else(
                || "every rate that was tried held".to_owned(),
                |above| format!("{}/s did not hold", rate(above)),
            );
            let limited = format!("driver limited, the {} takes at least:", report.target);
            let head = match word {
                "knee" => style.paint(Tone::Good, "knee:"),
                "driver_limited" => style.paint(Tone::Warn, &limited),
                _ => style.paint(Tone::Bad, "no knee:"),
            };
            let knee_rate = format!("{}/s", rate(knee.rate_per_s));
            format!(
                "{head} {} with {bound}\n  held in {} of {} repetitions (95 %: at least {:.0} % of such steps hold)\n  {above}",
                style.paint(Tone::Strong, &knee_rate),
                knee.held,
                knee.of,
                knee.holds_at_least * 100.0
            )
        }
    }
}

/// Rate over latency, a bar a rate on a log scale.
fn chart(report: &Report, style: Style) -> Vec<String> {
    let mut steps: Vec<&StepRow> = report.steps.iter().filter(|step| step.rate_per_s.is_some()).collect();
    // Of one rate the last step counts: the others led to it.
    steps.sort_by(|a, b| asked(a).total_cmp(&asked(b)).then(b.step.cmp(&a.step)));
    steps.dedup_by(|a, b| a.rate_per_s == b.rate_per_s);
    let skip = steps.len().saturating_sub(CHART_MAX);
    let steps = steps.get(skip..).unwrap_or_default();
    let values = || steps.iter().map(|step| step.latency_ms.p99).filter(|p99| *p99 > 0.0);
    let (low, high) = (values().fold(f64::MAX, f64::min), values().fold(0.0, f64::max));
    let (low, high) = (low.min(report.bound.p99_ms) * 0.5, high.max(report.bound.p99_ms) * 1.1);
    let room = style.width.saturating_sub(36).max(10);
    let place = |ms: f64| share((ms / low).ln() / (high / low).ln(), room);
    let bound = place(report.bound.p99_ms);
    let (full, empty, mark) = if style.unicode { ("█", " ", "│") } else { ("#", " ", "|") };
    let mut lines = vec![
        style
            .paint(Tone::Faint, &format!("{:>12}  {:>8}  {:>6}  p99, log scale", "rate", "p99", "good"))
            .into_owned(),
    ];
    for step in steps {
        let bar = place(step.latency_ms.p99);
        let cell = |at: usize| match at {
            at if at < bar => full,
            at if at == bound => mark,
            _ => empty,
        };
        let text: String = (0..room).map(cell).collect();
        let tone = if step.holds { Tone::Good } else { Tone::Bad };
        lines.push(
            format!(
                "{:>10}/s  {:>8}  {:>4.0} %  {}",
                rate(step.rate_per_s.unwrap_or(0.0)),
                time(step.latency_ms.p99),
                step.goodput * 100.0,
                style.paint(tone, text.trim_end())
            )
            .trim_end()
            .to_owned(),
        );
    }
    let name = format!("bound {}", time(report.bound.p99_ms));
    let foot = format!("{:>width$}{mark} {name}", "", width = 32 + bound);
    lines.push(style.paint(Tone::Faint, &foot).into_owned());
    lines
}

/// Of `room` columns this share.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a share from 0 to 1 of at most 120 columns"
)]
fn share(of_one: f64, room: usize) -> usize {
    (of_one.clamp(0.0, 1.0) * room as f64).round() as usize
}

fn asked(step: &StepRow) -> f64 {
    step.rate_per_s.unwrap_or(0.0)
}

fn kinds(report: &Report, style: Style) -> Vec<String> {
    let head = format!(
        "{:<10} {:>11} {:>11} {:>9} {:>8} {:>8} {:>8} {:>8}",
        "kind", "due", "answered", "refused", "p50", "p90", "p99", "max"
    );
    let mut lines = vec![style.paint(Tone::Faint, &head).into_owned()];
    for row in &report.kinds {
        let refused: u64 = row.refused.values().sum();
        let shown = |ms: f64| if ms > 0.0 { time(ms) } else { "-".to_owned() };
        let refusals = format!("{:>9}", grouped(refused));
        let tone = if refused > 0 { Tone::Bad } else { Tone::Plain };
        let times = row.latency_ms;
        lines.push(format!(
            "{:<10} {:>11} {:>11} {} {:>8} {:>8} {:>8} {:>8}",
            row.kind,
            grouped(row.due),
            grouped(row.answered),
            style.paint(tone, &refusals),
            shown(times.p50),
            shown(times.p90),
            shown(times.p99),
            shown(times.max)
        ));
        lines.extend(rest(row).map(|text| format!("  {}", style.paint(Tone::Warn, &text))));
    }
    lines
}

/// How many worker shards' figures the best step had taken, where messages have those of several.
fn updates(report: &Report) -> Option<String> {
    let most = report.steps.iter().map(|step| step.updates_per_s).fold(0.0, f64::max);
    let many = report.kinds.iter().any(|row| row.updates > row.answered);
    many.then(|| format!("  figures of {} worker shards taken a second", rate(most)))
}

/// What became of those that were not answered.
fn rest(row: &KindRow) -> Option<String> {
    let refused = row.refused.iter().map(|(reason, count)| format!("{} {reason}", grouped(*count)));
    let others = [
        (row.merged, "merged as asked"),
        (row.unsent, "not sent: too many open"),
        (row.unanswered, "no answer"),
    ];
    let others = others
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, word)| format!("{} {word}", grouped(*count)));
    let all: Vec<String> = refused.chain(others).collect();
    (!all.is_empty()).then(|| format!("{} ({}): {}", row.kind, row.class, all.join(", ")))
}

fn exactness(report: &Report, style: Style) -> Vec<String> {
    let exact = &report.exactness;
    let head =
        if exact.exact { style.paint(Tone::Good, "exact:") } else { style.paint(Tone::Bad, "not exact:") };
    let mut lines = vec![format!(
        "{head} {} of {} jobs equal in every count and bucket\n  {} requests told, {} reported",
        grouped(exact.equal),
        grouped(exact.jobs),
        grouped(exact.requests_sent),
        grouped(exact.requests_reported)
    )];
    if exact.requests_in_windows > 0 {
        lines.push(format!(
            "  of the long jobs' {1} requests the {2} showed {0} before the end",
            grouped(exact.requests_viewed),
            grouped(exact.requests_in_windows),
            report.target
        ));
    }
    let few = exact.differences.iter().take(5);
    lines.extend(few.map(|text| format!("  {}", style.paint(Tone::Bad, text))));
    lines
}
