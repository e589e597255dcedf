//! What the user sees: a line per window, then the summary at a glance. Drawn from the summary alone.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use hyperscale_codec::messages::JobStatusPush;

use crate::figures::ms;
use crate::style::{Style, bytes, percent, rate, thousands, time};
use crate::summary::{Summary, Times};

/// Columns of the longest bar.
const BAR: usize = 30;

/// One line about one window: `12s  4,031/s  p99 8.10ms  err 0  in-flight 26`.
#[must_use]
#[allow(clippy::cast_precision_loss, reason = "shown with fewer digits than f64 has")]
pub fn progress_line(push: &JobStatusPush, style: Style) -> String {
    let span_s = push.to_ms.saturating_sub(push.from_ms).max(1) as f64 / 1e3;
    let per_s = push.requests as f64 / span_s;
    let p99 = if push.requests == 0 { "n/a".to_owned() } else { time(ms(push.p99_ns)) };
    let errors = format!("err {}", thousands(push.errors));
    let errors = if push.errors > 0 { style.red(&errors) } else { errors };
    let mut line = format!(
        "{:>5}  {:>10}/s  p99 {p99:<7}  {errors}  in-flight {}",
        format!("{}s", push.to_ms / 1000),
        rate(per_s),
        thousands(push.in_flight)
    );
    if push.dropped > 0 {
        let _ = write!(line, "  dropped {}", thousands(push.dropped));
    }
    line
}

/// The summary, ending with a new line.
#[must_use]
pub fn render(summary: &Summary, style: Style) -> String {
    let mut out = String::new();
    verdict(&mut out, summary, style);
    if summary.totals.requests == 0 {
        let why = if summary.error.is_empty() { "no request was answered or failed in time" } else { &summary.error };
        let _ = writeln!(out, "\n  requests   n/a: {why}");
    } else {
        rates(&mut out, summary, style);
        latencies(&mut out, summary);
        distribution(&mut out, summary, style);
    }
    outcomes(&mut out, summary, style);
    steps(&mut out, summary, style);
    remarks(&mut out, summary, style);
    out
}

fn verdict(out: &mut String, summary: &Summary, style: Style) {
    let failed_threshold = summary.thresholds.iter().any(|threshold| !threshold.passed);
    let word = match (summary.status.as_str(), failed_threshold) {
        ("completed", false) => style.green("ok"),
        ("completed", true) | ("failed", _) => style.red("FAILED"),
        (other, _) => style.yellow(other),
    };
    let name = if summary.target.is_empty() || summary.workflows.len() > 1 { &summary.name } else { &summary.target };
    let _ = write!(out, "{word}  {}  {}", style.bold(name), seconds(summary.duration_s));
    if summary.partial {
        let _ = write!(out, "  {}", style.yellow("partial"));
    }
    if summary.generator != "ok" {
        let _ = write!(out, "  {}", style.yellow("generator saturated"));
    }
    out.push('\n');
    if !summary.error.is_empty() && summary.totals.requests > 0 {
        let _ = writeln!(out, "  {}", style.red(&summary.error));
    }
    for threshold in &summary.thresholds {
        let sign = match (threshold.passed, style.unicode) {
            (true, true) => style.green("✓"),
            (false, true) => style.red("✗"),
            (true, false) => style.green("ok"),
            (false, false) => style.red("FAIL"),
        };
        let _ = writeln!(out, "  {sign} {} ({})", threshold.expression, threshold.observed);
    }
}

fn rates(out: &mut String, summary: &Summary, style: Style) {
    let totals = &summary.totals;
    let per_s = style.bold(&format!("{}/s", rate(totals.rate_per_s)));
    let _ = write!(out, "\n  requests   {}   {per_s}", thousands(totals.requests));
    if let Some(asked) = summary.asked_rate_per_s {
        let _ = write!(out, " (asked {}/s)", rate(asked));
    }
    let share = share(totals.errors, totals.requests);
    let errors = format!("errors {} ({})", thousands(totals.errors), percent(share));
    let errors = if totals.errors > 0 { style.red(&errors) } else { "errors 0".to_owned() };
    let _ = writeln!(out, "   {errors}");
    let per_second = |count: u64| bytes(to_f64(count) / summary.duration_s.max(1e-9));
    let _ = writeln!(
        out,
        "  transfer   in {} ({}/s)   out {} ({}/s)",
        bytes(to_f64(totals.bytes_in)),
        per_second(totals.bytes_in),
        bytes(to_f64(totals.bytes_out)),
        per_second(totals.bytes_out)
    );
}

fn latencies(out: &mut String, summary: &Summary) {
    let _ = writeln!(
        out,
        "\n  {:<9}{:>9}{:>9}{:>9}{:>9}{:>9}{:>9}{:>9}",
        "", "min", "mean", "p50", "p90", "p99", "p99.9", "max"
    );
    let lines = [("latency", &summary.latency_ms), ("service", &summary.service_ms), ("lateness", &summary.lateness_ms)];
    for (name, times) in lines {
        let _ = writeln!(out, "  {name:<9}{}", row(times));
    }
}

fn row(times: &Times) -> String {
    let all = [times.min, times.mean, times.p50, times.p90, times.p99, times.p99_9, times.max];
    all.iter().map(|value| format!("{:>9}", value.map_or_else(|| "n/a".to_owned(), time))).collect()
}

fn distribution(out: &mut String, summary: &Summary, style: Style) {
    let Some(most) = summary.distribution.iter().map(|bar| bar.count).max().filter(|&most| most > 0) else { return };
    let widest = BAR.min(style.width.saturating_sub(40));
    out.push('\n');
    for bar in &summary.distribution {
        let drawn = style.bar(share(bar.count, most), widest);
        let part = percent(share(bar.count, summary.latency_ms.count));
        let pad = " ".repeat(widest.saturating_sub(drawn.chars().count()));
        let le = if style.unicode { "≤" } else { "<=" };
        let _ = writeln!(out, "  {le}{:>8} |{drawn}{pad} {:>12} {part:>7}", time(bar.le_ms), thousands(bar.count));
    }
}

fn outcomes(out: &mut String, summary: &Summary, style: Style) {
    out.push('\n');
    if !summary.status_codes.is_empty() {
        let _ = writeln!(out, "  status     {}", counts(&summary.status_codes));
    }
    if !summary.errors.is_empty() {
        let _ = writeln!(out, "  errors     {}", style.red(&counts(&summary.errors)));
    }
    let connects = &summary.connect_ms;
    if connects.count > 0 {
        let p = |value: Option<f64>| value.map_or_else(|| "n/a".to_owned(), time);
        let _ = writeln!(
            out,
            "  connects   {}   p50 {}  p99 {}  max {}",
            thousands(connects.count),
            p(connects.p50),
            p(connects.p99),
            p(connects.max)
        );
    }
    let rounds = &summary.iterations;
    let many_steps = summary.workflows.iter().any(|workflow| workflow.steps.len() > 1);
    if many_steps || rounds.dropped > 0 {
        let _ = write!(out, "  iterations {} completed", thousands(rounds.completed));
        for (count, word) in [(rounds.interrupted, "interrupted"), (rounds.dropped, "dropped")] {
            if count > 0 {
                let _ = write!(out, ", {} {word}", thousands(count));
            }
        }
        let _ = writeln!(out, " of {} due", thousands(rounds.due));
    }
    if summary.totals.cancelled > 0 {
        let _ = writeln!(out, "  cancelled  {} in flight at the end", thousands(summary.totals.cancelled));
    }
}

fn counts(by_name: &BTreeMap<String, u64>) -> String {
    let mut all: Vec<_> = by_name.iter().collect();
    all.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    all.iter().map(|(name, count)| format!("{name} {}", thousands(**count))).collect::<Vec<_>>().join("   ")
}

fn steps(out: &mut String, summary: &Summary, style: Style) {
    let all = summary.workflows.iter().flat_map(|workflow| workflow.steps.iter().map(move |step| (workflow, step)));
    if all.clone().count() < 2 {
        return;
    }
    let _ = writeln!(
        out,
        "\n  {:<28}{:>11}{:>9}{:>9}{:>9}{:>9}",
        "step", "requests", "errors", "p50", "p99", "max"
    );
    for (workflow, step) in all {
        let name = clip(&format!("{}/{}", workflow.name, step.name), 27, style);
        let p = |value: Option<f64>| value.map_or_else(|| "n/a".to_owned(), time);
        let times = &step.latency_ms;
        let _ = writeln!(
            out,
            "  {name:<28}{:>11}{:>9}{:>9}{:>9}{:>9}",
            thousands(step.totals.requests),
            thousands(step.totals.errors),
            p(times.p50),
            p(times.p99),
            p(times.max)
        );
    }
    for workflow in summary.workflows.iter().filter(|workflow| workflow.status != "completed") {
        let _ = writeln!(out, "  workflow {} {} {}", workflow.name, style.yellow(&workflow.status), workflow.error);
    }
}

fn clip(text: &str, width: usize, style: Style) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let end = if style.unicode { "…" } else { "~" };
    let kept: String = text.chars().take(width.saturating_sub(1)).collect();
    format!("{kept}{end}")
}

/// Sentences about what the numbers mean, where that is easily misread.
fn remarks(out: &mut String, summary: &Summary, style: Style) {
    let mut say = |text: String| {
        let _ = writeln!(out, "  {}", style.yellow(&text));
    };
    if let Some(asked) = summary.asked_rate_per_s {
        let reached = summary.totals.rate_per_s;
        if reached < asked * 0.99 && summary.totals.requests > 0 {
            let dropped = percent(share(summary.iterations.dropped, summary.iterations.due));
            say(format!("asked {}/s, reached {}/s, dropped {dropped}", rate(asked), rate(reached)));
        }
    }
    if let (Some(latency), Some(service)) = (summary.latency_ms.p99, summary.service_ms.p99) {
        if latency > service * 2.0 && latency > service + 1.0 {
            say(format!(
                "requests waited: p99 {} from due, of which the target took {}; it did not keep up with the rate",
                time(latency),
                time(service)
            ));
        }
    }
    if summary.late_over_1ms_share > 0.01 && summary.generator != "ok" {
        say(format!("{} of requests were sent over 1 ms late", percent(summary.late_over_1ms_share)));
    }
    for event in &summary.events {
        let _ = writeln!(out, "  {}", style.dim(&format!("{:.1}s {}: {}", event.at_s, event.kind, event.detail)));
    }
}

fn seconds(duration_s: f64) -> String {
    format!("{duration_s:.1}s")
}

#[allow(clippy::cast_precision_loss, reason = "shown with fewer digits than f64 has")]
fn to_f64(count: u64) -> f64 {
    count as f64
}

fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { to_f64(part) / to_f64(whole) }
}
