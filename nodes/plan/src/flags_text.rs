//! The TOML text of `run URL`'s flags.

use std::fmt::Write as _;

use crate::flags::{COUNT_DURATION_MAX, DURATION, RunFlags, VUS};
use crate::limits::NAME_CHARS_MAX;
use crate::load::inlined;
use crate::model::{Arrivals, KeepAlive};
use crate::stage::Stages;
use crate::substitute::toml_string;
use crate::units::{render_duration, render_rate};

/// A plan of one workflow, `url`, with one step.
pub(crate) fn to_toml(flags: &RunFlags) -> String {
    let mut text = String::new();
    let name: String = flags.url.chars().take(NAME_CHARS_MAX).collect();
    put(&mut text, "name", &toml_string(&name));
    if let Some(window) = flags.window {
        put_duration(&mut text, "window", window);
    }
    if !flags.thresholds.is_empty() {
        put(&mut text, "thresholds", &list(&flags.thresholds));
    }
    text.push_str("\n[defaults]\n");
    if let Some(timeout) = flags.timeout {
        put_duration(&mut text, "timeout", timeout);
    }
    if let Some(timeout) = flags.connect_timeout {
        put_duration(&mut text, "connect_timeout", timeout);
    }
    match flags.keep_alive {
        None => {}
        Some(KeepAlive::Always) => put(&mut text, "keep_alive", "true"),
        Some(KeepAlive::Iteration) => put(&mut text, "keep_alive", "\"iteration\""),
        Some(KeepAlive::Never) => put(&mut text, "keep_alive", "false"),
    }
    text.push_str("\n[workflows.url]\n");
    put_load(&mut text, flags);
    put(&mut text, "graceful_stop", "\"0s\"");
    put_step(&mut text, flags);
    text
}

fn put_load(text: &mut String, flags: &RunFlags) {
    let open = flags.rate.is_some() || matches!(flags.stages, Some(Stages::Rates(_)));
    let vus = flags.vus.unwrap_or(VUS).to_string();
    if let Some(rate) = flags.rate {
        put(text, "rate", &toml_string(&render_rate(rate)));
    }
    if open {
        put(text, "max_vus", &vus);
        put(text, "max_wait", "\"unlimited\"");
    } else if flags.stages.is_none() {
        put(text, "vus", &vus);
    }
    if let Some(arrivals) = flags.arrivals {
        let name = match arrivals {
            Arrivals::Constant => "constant",
            Arrivals::Poisson => "poisson",
        };
        put(text, "arrivals", &toml_string(name));
    }
    if let Some(stages) = &flags.stages {
        put(text, "stages", &list(&stages.render()));
    }
    if let Some(count) = flags.requests {
        put(text, "total_iterations", &count.to_string());
    }
    match (flags.duration, &flags.stages, flags.requests) {
        (Some(duration), _, _) => put_duration(text, "duration", duration),
        (None, None, None) => put_duration(text, "duration", DURATION),
        (None, None, Some(_)) => put_duration(text, "max_duration", COUNT_DURATION_MAX),
        (None, Some(_), _) => {}
    }
}

fn put_step(text: &mut String, flags: &RunFlags) {
    text.push_str("\n[[workflows.url.steps]]\n");
    let default = if flags.body.is_some() { "POST" } else { "GET" };
    put(text, "method", &toml_string(flags.method.as_deref().unwrap_or(default)));
    put(text, "url", &toml_string(&flags.url));
    if let Some(body) = &flags.body {
        let (key, value) = inlined(body);
        put(text, key, &value);
    }
    if flags.headers.is_empty() {
        return;
    }
    text.push_str("\n[workflows.url.steps.headers]\n");
    // A name given twice is one key with a list; TOML keys differ by case, header names do not.
    let mut names: Vec<&str> = Vec::new();
    for (name, _) in &flags.headers {
        if names.iter().any(|known| known.eq_ignore_ascii_case(name)) {
            continue;
        }
        names.push(name);
        let same = flags.headers.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name));
        let values: Vec<&String> = same.map(|(_, value)| value).collect();
        let value = match values.as_slice() {
            [only] => toml_string(only),
            _ => list(&values),
        };
        put(text, &toml_string(name), &value);
    }
}

fn put(text: &mut String, key: &str, value: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{key} = {value}");
}

fn put_duration(text: &mut String, key: &str, duration: std::time::Duration) {
    put(text, key, &toml_string(&render_duration(duration)));
}

fn list(texts: &[impl AsRef<str>]) -> String {
    let quoted: Vec<String> = texts.iter().map(|text| toml_string(text.as_ref())).collect();
    format!("[{}]", quoted.join(", "))
}
