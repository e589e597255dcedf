//! What the user sees at the end: the verdict first, then what it rests on.
//!
//! Drawn from the [`Summary`] alone, so the screen shows nothing the JSON lacks. Empty parts are left out; no line is
//! longer than the style's width, but for words that do not break. Strangers' text (names, errors) is cleaned.

mod bars;
mod flow;
mod notes;
mod tables;

use std::collections::BTreeMap;

use crate::Verdict;
use crate::numbers::{asked, byte_size, bytes, counted, grouped, length, rate, share, time, time_or_none};
use crate::style::{Style, Tone, columns};
use crate::summary::Summary;
use flow::{Flow, Piece};

/// Events shown; the rest are counted.
const EVENTS_MAX: usize = 8;
/// A target's name is not cut below this.
const TARGET_MIN: usize = 24;

/// The summary as text, ending with a line end.
#[must_use]
pub fn render(summary: &Summary, style: Style) -> String {
    let blocks: [&dyn Fn(&mut String); 7] = [
        &|out| verdict(out, summary, style),
        &|out| {
            if summary.latency_ms.count > 0 {
                tables::times(out, summary, style);
            }
        },
        &|out| bars::distribution(out, summary, style),
        &|out| {
            answers(out, summary, style);
            traffic(out, summary, style);
            iterations(out, summary, style);
        },
        &|out| tables::steps(out, summary, style),
        &|out| tables::datacenters(out, summary, style),
        &|out| {
            tables::workers(out, summary, style);
            workers(out, summary, style);
            events(out, summary, style);
        },
    ];
    let mut out = String::new();
    for block in blocks {
        let before = out.len();
        block(&mut out);
        if before > 0 && out.len() > before {
            out.insert(before, '\n');
        }
    }
    out
}

/// The first line, and what must be read with it.
fn verdict(out: &mut String, summary: &Summary, style: Style) {
    head(out, summary, style);
    thresholds(out, summary, style);
    for (tone, sentence) in notes::notes(summary) {
        flow::sentence(out, style, tone, &style.clean(&sentence));
    }
}

/// `ok  http://127.0.0.1:8080/  10.0s  2,412,345 requests  241,234/s  errors 0`.
fn head(out: &mut String, summary: &Summary, style: Style) {
    let verdict = summary.verdict();
    let tone = match verdict {
        Verdict::Passed => Tone::Good,
        Verdict::Failed | Verdict::NoAnswer | Verdict::ThresholdFailed => Tone::Bad,
        Verdict::Cancelled => Tone::Warn,
    };
    let mut word = vec![Piece::new(tone, verdict.word())];
    let saturated = summary.generator == "saturated";
    let doubts: Vec<&str> = [(summary.partial, "partial"), (saturated, "generator saturated")]
        .into_iter()
        .filter_map(|(holds, doubt)| holds.then_some(doubt))
        .collect();
    if !doubts.is_empty() {
        word.push(Piece::new(Tone::Warn, format!("({})", doubts.join(", "))));
    }
    let totals = &summary.totals;
    let mut figures = vec![
        vec![Piece::plain(length(summary.duration_s))],
        vec![Piece::plain(counted(totals.requests, "request"))],
    ];
    if totals.requests > 0 {
        let mut per_s = vec![Piece::new(Tone::Strong, format!("{}/s", rate(totals.rate_per_s)))];
        // Where it was not reached, a sentence says more; of several requests an iteration, it is no rate of requests.
        let reached = summary.totals.dropped == 0 && !many_steps(summary);
        if let Some(wanted) = summary.asked_rate_per_s.filter(|_| reached) {
            per_s.push(Piece::plain(format!("(asked {})", asked(wanted))));
        }
        figures.push(per_s);
        figures.push(error_count(summary));
    }
    let name = style.clean(subject(summary));
    let used = flow::columns_of(&word)
        + figures.iter().map(|figure| flow::columns_of(figure) + 2).sum::<usize>()
        + 2;
    let room = style.width.saturating_sub(used);
    let name = if columns(&name) <= room { name } else { shortened(&name, room, style) };
    let mut line = Flow::headline(style);
    line.push(word);
    line.push(vec![Piece::new(Tone::Strong, name)]);
    figures.into_iter().for_each(|figure| line.push(figure));
    line.write(out);
}

/// The URL where there is just one, else the plan's name.
fn subject(summary: &Summary) -> &str {
    let steps = summary.workflows.iter().map(|workflow| workflow.steps.len()).sum::<usize>();
    if summary.target.is_empty() || steps > 1 { &summary.name } else { &summary.target }
}

/// Without its scheme, and then cut.
fn shortened(name: &str, room: usize, style: Style) -> String {
    style.cut(name.strip_prefix("http://").unwrap_or(name), room.max(TARGET_MIN))
}

fn error_count(summary: &Summary) -> Vec<Piece> {
    let (errors, requests) = (summary.totals.errors, summary.totals.requests);
    if errors == 0 {
        return vec![Piece::plain("errors 0")];
    }
    vec![Piece::new(Tone::Bad, format!("errors {} ({})", grouped(errors), share(errors, requests)))]
}

fn thresholds(out: &mut String, summary: &Summary, style: Style) {
    for threshold in &summary.thresholds {
        let (tone, sign) = match (threshold.passed, style.unicode) {
            (true, true) => (Tone::Good, "✓"),
            (true, false) => (Tone::Good, "ok  "),
            (false, true) => (Tone::Bad, "✗"),
            (false, false) => (Tone::Bad, "FAIL"),
        };
        let text = style.clean(&format!("{} ({})", threshold.expression, threshold.observed));
        out.push_str(&format!(" {} {text}\n", style.paint(tone, sign)));
    }
}

/// Status codes, then errors by kind, each with its share of all requests.
fn answers(out: &mut String, summary: &Summary, style: Style) {
    let mut status = Flow::labelled(style, "status");
    for (code, count) in &summary.status_codes {
        let tone = if code.starts_with(['1', '2', '3']) { Tone::Plain } else { Tone::Bad };
        status.push(vec![Piece::new(tone, code.as_str()), Piece::plain(grouped(*count))]);
    }
    status.write(out);
    let mut errors = Flow::labelled(style, "errors");
    for (kind, count) in most_first(&summary.errors) {
        let part = format!("({})", share(count, summary.totals.requests));
        let kind = Piece::new(Tone::Bad, style.clean(kind));
        errors.push(vec![kind, Piece::plain(grouped(count)), Piece::plain(part)]);
    }
    if !summary.errors.is_empty() && summary.totals.good_rate_per_s > 0.0 {
        errors.push(vec![Piece::plain(format!("{}/s without error", rate(summary.totals.good_rate_per_s)))]);
    }
    errors.write(out);
}

fn most_first(counts: &BTreeMap<String, u64>) -> Vec<(&str, u64)> {
    let mut all: Vec<(&str, u64)> = counts.iter().map(|(name, count)| (name.as_str(), *count)).collect();
    all.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
    all
}

fn traffic(out: &mut String, summary: &Summary, style: Style) {
    let (connects, totals) = (&summary.connect_ms, &summary.totals);
    if connects.count > 0 {
        let mut line = Flow::labelled(style, "connects");
        line.push(vec![Piece::plain(grouped(connects.count))]);
        for (name, value) in [("p50", connects.p50), ("p99", connects.p99), ("max", connects.max)] {
            line.push(vec![Piece::plain(name), Piece::plain(time_or_none(value))]);
        }
        line.write(out);
    }
    if totals.bytes_in > 0 || totals.bytes_out > 0 {
        let mut line = Flow::labelled(style, "transfer");
        for (name, n) in [("in", totals.bytes_in), ("out", totals.bytes_out)] {
            let per_s = format!("({}/s)", byte_rate(n, summary.duration_s));
            line.push(vec![Piece::plain(name), Piece::plain(bytes(n)), Piece::plain(per_s)]);
        }
        line.write(out);
    }
    if totals.cancelled > 0 {
        let mut line = Flow::labelled(style, "cancelled");
        line.push(vec![Piece::plain(format!("{} in flight at the end", grouped(totals.cancelled)))]);
        line.write(out);
    }
}

#[allow(clippy::cast_precision_loss, reason = "three digits are shown")]
fn byte_rate(n: u64, seconds: f64) -> String {
    byte_size(if seconds > 0.0 { n as f64 / seconds } else { 0.0 })
}

/// Where an iteration is more than a request, or where some never started.
fn iterations(out: &mut String, summary: &Summary, style: Style) {
    let rounds = &summary.iterations;
    if !many_steps(summary) && rounds.dropped == 0 {
        return;
    }
    let mut line = Flow::labelled(style, "iterations");
    line.push(vec![Piece::plain(format!("{} completed", grouped(rounds.completed)))]);
    for (count, word) in [(rounds.interrupted, "interrupted"), (rounds.dropped, "dropped")] {
        if count > 0 {
            line.push(vec![Piece::new(Tone::Warn, format!("{} {word}", grouped(count)))]);
        }
    }
    line.push(vec![Piece::plain(format!("{} due", grouped(rounds.due)))]);
    if let Some(wanted) = summary.asked_rate_per_s.filter(|_| rounds.dropped == 0) {
        line.push(vec![Piece::plain(format!("asked {}/s", asked(wanted)))]);
    }
    line.write(out);
}

fn many_steps(summary: &Summary) -> bool {
    summary.workflows.iter().any(|workflow| workflow.steps.len() > 1)
}

/// Where there is more than one, or one that lost something.
fn workers(out: &mut String, summary: &Summary, style: Style) {
    let workers = &summary.workers;
    let bad = || workers.iter().filter(|worker| worker.state != "ok");
    if workers.len() < 2 && bad().next().is_none() {
        return;
    }
    let mut line = Flow::labelled(style, "workers");
    line.push(vec![Piece::plain(format!("{} of {} ok", workers.len() - bad().count(), workers.len()))]);
    for worker in bad() {
        let name = Piece::plain(style.clean(&worker.name));
        line.push(vec![name, Piece::new(Tone::Warn, style.clean(&worker.state))]);
    }
    line.write(out);
}

fn events(out: &mut String, summary: &Summary, style: Style) {
    for (at, event) in summary.events.iter().take(EVENTS_MAX).enumerate() {
        let mut line = Flow::labelled(style, if at == 0 { "events" } else { "" });
        line.push(vec![Piece::plain(time(event.at_s * 1e3)), Piece::plain(style.clean(&event.kind))]);
        style.clean(&event.detail).split_whitespace().for_each(|word| line.join(Piece::plain(word)));
        line.write(out);
    }
    let more = summary.events.len().saturating_sub(EVENTS_MAX);
    if more > 0 {
        let mut line = Flow::labelled(style, "");
        line.push(vec![Piece::new(
            Tone::Faint,
            format!("{} more in the JSON", counted(more as u64, "event")),
        )]);
        line.write(out);
    }
}

#[cfg(test)]
mod tests;
