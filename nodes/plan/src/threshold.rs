//! Thresholds: `[scope.]metric[.statistic] op value`, such as `steps.pay.latency.p99 < 80ms`.

use toml_edit::Item;

use crate::keys::Place;
use crate::limits::{RATE_MAX, THRESHOLDS_MAX};
use crate::model::{Comparison, Metric, Scope, Step, Threshold, Workflow};
use crate::read::{Findings, Section, Span, kind_of};
use crate::suggest::did_you_mean;
use crate::threshold_metric::{METRICS, parse_metric};
use crate::units::{UnitError, parse_count, parse_duration, parse_rate, parse_share};
use crate::words::quote;

/// Longer first, so that `<=` is not read as `<`.
const COMPARISONS: [(&str, Comparison); 6] = [
    ("<=", Comparison::AtMost),
    (">=", Comparison::AtLeast),
    ("==", Comparison::Equal),
    ("!=", Comparison::NotEqual),
    ("<", Comparison::Less),
    (">", Comparison::More),
];
/// Characters of a threshold: longer than any name with its metric.
const EXPRESSION_CHARS_MAX: usize = 512;

/// The names that a scope may use.
#[derive(Debug)]
pub(crate) struct Names<'a> {
    workflows: Vec<(&'a str, Option<Vec<&'a str>>)>,
}

impl<'a> Names<'a> {
    /// `parsed` in the order of `entries`; the steps of a broken workflow are not known.
    pub(crate) fn of(entries: &[(&'a str, Section<'_>)], parsed: &'a [Option<Workflow>]) -> Self {
        let steps_of = |workflow: &'a Workflow| {
            workflow
                .steps
                .iter()
                .filter_map(|step| match step {
                    Step::Request(request) => Some(request.name.as_str()),
                    Step::Think(_) => None,
                })
                .collect()
        };
        let workflows = entries
            .iter()
            .zip(parsed)
            .map(|((name, _), workflow)| (*name, workflow.as_ref().map(steps_of)))
            .collect();
        Self { workflows }
    }

    fn workflow(&self, name: &str) -> Option<usize> {
        self.workflows.iter().position(|(known, _)| *known == name)
    }

    /// Step names of one workflow or of all, and whether all are known.
    fn steps(&self, workflow: Option<usize>) -> (Vec<&'a str>, bool) {
        let chosen =
            self.workflows.iter().enumerate().filter(|(i, _)| workflow.is_none_or(|only| only == *i));
        let mut complete = true;
        let mut names = Vec::new();
        for (_, (_, steps)) in chosen {
            match steps {
                Some(steps) => names.extend(steps.iter().copied()),
                None => complete = false,
            }
        }
        (names, complete)
    }
}

/// The plan's `thresholds`.
pub(crate) fn parse_thresholds(
    top: &Section<'_>,
    names: &Names<'_>,
    findings: &mut Findings,
) -> Vec<Threshold> {
    let mut thresholds = Vec::new();
    let Some(item) = top.item("thresholds") else { return thresholds };
    let mut entries: Vec<(Section<'_>, Option<&str>, Span)> = Vec::new();
    let plain = |span: &Span| Section { table: top.table, at: "a threshold".to_owned(), span: span.clone() };
    if let Some(tables) = item.as_array_of_tables() {
        for table in tables {
            let span = table.span().unwrap_or_else(|| top.key_span("thresholds"));
            entries.push((Section { table, at: "a threshold".to_owned(), span: span.clone() }, None, span));
        }
    } else if let Some(array) = top.array("thresholds", "[\"latency.p99 < 250ms\"]", findings) {
        for value in array {
            let span = value.span().unwrap_or_else(|| top.value_span("thresholds"));
            if let Some(text) = value.as_str() {
                entries.push((plain(&span), Some(text), span));
            } else if let Some(table) = value.as_inline_table() {
                entries.push((
                    Section { table, at: "a threshold".to_owned(), span: span.clone() },
                    None,
                    span,
                ));
            } else {
                let found = kind_of(&Item::Value(value.clone()));
                findings.error(
                    span,
                    format!("a threshold is text, such as \"latency.p99 < 250ms\"; found {found}"),
                );
            }
        }
    }
    if entries.len() > THRESHOLDS_MAX {
        findings.error(
            top.key_span("thresholds"),
            format!("{} thresholds; a plan has at most {THRESHOLDS_MAX}", entries.len()),
        );
        return thresholds;
    }
    for (section, text, span) in entries {
        let (text, span) = match text {
            Some(text) => (text, span),
            None => match expression_of(&section, findings) {
                Some(found) => found,
                None => continue,
            },
        };
        match parse_threshold(text, names) {
            Ok(threshold) => thresholds.push(threshold),
            Err((message, note)) => findings.push((span, message, note)),
        }
    }
    thresholds
}

fn expression_of<'a>(section: &Section<'a>, findings: &mut Findings) -> Option<(&'a str, Span)> {
    section.check_keys(Place::Threshold, findings);
    if !section.has("expression") {
        findings.error(
            section.span.clone(),
            "a threshold's table has no expression; add expression = \"latency.p99 < 250ms\"",
        );
        return None;
    }
    let text = section.text("expression", "\"latency.p99 < 250ms\"", findings)?;
    Some((text, section.value_span("expression")))
}

type Refusal = (String, Option<String>);

fn parse_threshold(text: &str, names: &Names<'_>) -> Result<Threshold, Refusal> {
    let refuse = |why: String| (format!("threshold {}: {why}", quote(text)), None);
    if text.chars().count() > EXPRESSION_CHARS_MAX {
        return Err(refuse(format!("longer than {EXPRESSION_CHARS_MAX} characters")));
    }
    // From the right: a step's name may hold such characters, a value never.
    let Some(end) = text.rfind(['<', '>', '=', '!']).map(|at| at.saturating_add(1)) else {
        return Err(refuse("no comparison; write for example \"latency.p99 < 250ms\"".to_owned()));
    };
    let (head, value) = text.split_at_checked(end).unwrap_or((text, ""));
    let found =
        COMPARISONS.iter().find_map(|(symbol, is)| head.strip_suffix(symbol).map(|rest| (symbol, *is, rest)));
    let Some((symbol, comparison, left)) = found else {
        return Err(refuse("no such comparison; use one of < <= > >= == !=".to_owned()));
    };
    let (left, value) = (left.trim(), value.trim());
    let (scope, metric) = parse_left(left, names).map_err(|why| {
        let note = why.starts_with("no metric").then(|| METRICS.to_owned());
        (refuse(why).0, note)
    })?;
    let limit = parse_limit(metric, value).map_err(|error| refuse(error.to_string()))?;
    Ok(Threshold { expression: format!("{left} {symbol} {value}"), scope, metric, comparison, limit })
}

fn parse_left(left: &str, names: &Names<'_>) -> Result<(Scope, Metric), String> {
    let Some(rest) = left.strip_prefix("workflows.") else {
        return match left.strip_prefix("steps.") {
            Some(rest) => parse_step_scope(rest, None, names),
            None => parse_metric(left).map(|metric| (Scope::All, metric)),
        };
    };
    let (name, rest) = rest.split_once('.').unwrap_or((rest, ""));
    let Some(index) = names.workflow(name) else {
        let known = names.workflows.iter().map(|(known, _)| *known);
        return Err(format!("no workflow {}{}", quote(name), did_you_mean(name, known)));
    };
    match rest.strip_prefix("steps.") {
        Some(rest) => parse_step_scope(rest, Some(index), names),
        None => parse_metric(rest).map(|metric| (Scope::Workflow(index), metric)),
    }
}

/// `NAME.metric`; the name may hold dots, so the longest known name wins.
fn parse_step_scope(
    rest: &str,
    workflow: Option<usize>,
    names: &Names<'_>,
) -> Result<(Scope, Metric), String> {
    let (steps, complete) = names.steps(workflow);
    let after = |name: &str| rest.strip_prefix(name).and_then(|rest| rest.strip_prefix('.'));
    let known = steps
        .iter()
        .filter_map(|name| after(name).map(|metric| (*name, metric)))
        .max_by_key(|(name, _)| name.len());
    if let Some((name, metric)) = known {
        let metric = parse_metric(metric)?;
        return Ok((Scope::Step { workflow, name: name.to_owned() }, metric));
    }
    let split = rest.match_indices('.').find_map(|(at, _)| {
        let (name, metric) = rest.split_at_checked(at)?;
        parse_metric(metric.strip_prefix('.')?).ok().map(|metric| (name, metric))
    });
    let (name, metric) = split.unwrap_or_else(|| (rest.split('.').next().unwrap_or(rest), Metric::Requests));
    if !complete {
        return Ok((Scope::Step { workflow, name: name.to_owned() }, metric));
    }
    Err(format!("no step {}{}", quote(name), did_you_mean(name, steps)))
}

#[expect(
    clippy::cast_precision_loss,
    reason = "limits past 2^53 ns (104 days) or counts lose nothing that matters"
)]
fn parse_limit(metric: Metric, value: &str) -> Result<f64, UnitError> {
    match metric {
        Metric::Latency(_) | Metric::Service(_) | Metric::Lateness(_) => {
            parse_duration(value).map(|limit| limit.as_nanos() as f64)
        }
        Metric::ErrorRate => parse_share(value),
        Metric::Errors | Metric::Requests | Metric::Dropped => parse_count(value).map(|count| count as f64),
        Metric::RatePerS => parse_rate(value).and_then(|rate| {
            if rate <= RATE_MAX * 1000.0 {
                Ok(rate)
            } else {
                Err(UnitError(format!("{} is no rate that a run can reach", quote(value))))
            }
        }),
    }
}

#[cfg(test)]
#[path = "threshold/tests.rs"]
mod tests;
