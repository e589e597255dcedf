//! One step: a request (`get = "/"`, `method` with `url`) or a pause (`think = "1s..3s"`).

use std::time::Duration;

use toml_edit::{Item, Value};

use crate::base64;
use crate::header::{check_header_name, check_header_value, is_token};
use crate::json::to_json;
use crate::keys::Place;
use crate::limits::{HEADER_BYTES_MAX, HEADERS_MAX, PAUSE_MAX};
use crate::load::Files;
use crate::model::{Request, Step, Think, Url};
use crate::parse::{check_name, read_timeout};
use crate::read::{Findings, Section, kind_of, kind_of_value, placeholder, refuse_placeholder};
use crate::units::{UnitError, parse_duration, render_duration};
use crate::url::{join, parse_url};
use crate::words::{listed, quote};

/// The keys that are a method and a place in one.
const METHODS: [(&str, &str); 7] = [
    ("get", "GET"),
    ("post", "POST"),
    ("put", "PUT"),
    ("delete", "DELETE"),
    ("patch", "PATCH"),
    ("head", "HEAD"),
    ("options", "OPTIONS"),
];
const BODIES: [&str; 4] = ["body", "json", "body_file", "body_base64"];
/// Characters of a generated name.
const NAME_CHARS: usize = 100;
const METHOD_CHARS_MAX: usize = 32;

/// What a step gets from its workflow and plan.
#[derive(Debug, Clone)]
pub(crate) struct Surroundings {
    pub(crate) target: Option<Url>,
    /// It stands in the plan, so that a broken one is told once, not at each step.
    pub(crate) target_given: bool,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) timeout: Duration,
    pub(crate) connect_timeout: Duration,
}

/// The step; `None` when something is wrong with it.
pub(crate) fn parse_step(
    step: &Section<'_>,
    around: &Surroundings,
    files: &mut Files<'_>,
    findings: &mut Findings,
) -> Option<Step> {
    let before = findings.found.len();
    step.check_keys(Place::Step, findings);
    if step.has("think") {
        let think = parse_think_key(step, findings);
        for (key, _) in step.table.iter().filter(|(key, _)| *key != "think") {
            if Place::Step.known().contains(&key) {
                findings.error(
                    step.key_span(key),
                    format!("{} is a pause and has \"{key}\"; make them two steps", step.at),
                );
            }
        }
        return think.filter(|_| findings.found.len() == before).map(Step::Think);
    }
    let name = step.text("name", "\"login\"", findings);
    if let Some(name) = name {
        check_name(name, "name", step.value_span("name"), findings);
        refuse_placeholder(name, step.value_span("name"), findings);
    }
    let place = parse_place(step, around, findings);
    let mut headers = layered(&around.headers, read_headers(step, findings));
    let body = parse_body(step, files, findings);
    if step.has("json") && !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
        headers.push(("content-type".to_owned(), "application/json".to_owned()));
    }
    check_framing(step, &headers, body.as_deref(), findings);
    let timeout = read_timeout(step, "timeout", findings).unwrap_or(around.timeout);
    let (method, url) = place?;
    if findings.found.len() > before {
        return None;
    }
    let name = name.map_or_else(|| generated_name(&method, &url), str::to_owned);
    let connect_timeout = around.connect_timeout;
    Some(Step::Request(Request {
        name,
        method,
        url,
        headers,
        body: body.unwrap_or_default(),
        timeout,
        connect_timeout,
    }))
}

fn generated_name(method: &str, url: &Url) -> String {
    let full = format!("{method} {}", url.path);
    if full.chars().count() <= NAME_CHARS {
        return full;
    }
    full.chars().take(NAME_CHARS).chain(['…']).collect()
}

/// Reads `1s..3s`, or `500ms` for a fixed pause.
pub(crate) fn parse_think(text: &str) -> Result<Think, UnitError> {
    let (from, to) = text.split_once("..").unwrap_or((text, text));
    let (from, to) = (parse_duration(from.trim())?, parse_duration(to.trim())?);
    if to < from {
        return Err(UnitError(format!(
            "think {} ends before it starts; write \"{}..{}\"",
            quote(text),
            render_duration(to),
            render_duration(from)
        )));
    }
    if to > PAUSE_MAX {
        return Err(UnitError(format!("think {} is longer than 1d", quote(text))));
    }
    Ok(Think { from, to })
}

fn parse_think_key(step: &Section<'_>, findings: &mut Findings) -> Option<Think> {
    let text = step.text("think", "\"1s..3s\" or \"500ms\"", findings)?;
    parse_think(text).map_err(|error| findings.error(step.value_span("think"), error.to_string())).ok()
}

/// Method and URL.
fn parse_place(step: &Section<'_>, around: &Surroundings, findings: &mut Findings) -> Option<(String, Url)> {
    let mut keys: Vec<&str> = METHODS.iter().map(|(key, _)| *key).filter(|key| step.has(key)).collect();
    if step.has("method") || step.has("url") {
        keys.push(if step.has("url") { "url" } else { "method" });
    }
    let key = match keys.as_slice() {
        [key] => *key,
        [] => {
            findings.error(
                step.span.clone(),
                format!("{} asks for nothing; add get = \"/\", post = \"/\" or think = \"1s\"", step.at),
            );
            return None;
        }
        [_, second, ..] => {
            findings.error(
                step.key_span(second),
                format!("{} has {}; a step is one request", step.at, listed(&keys)),
            );
            return None;
        }
    };
    if let Some((_, method)) = METHODS.iter().find(|(known, _)| *known == key) {
        return parse_address(step, key, around, findings).map(|url| ((*method).to_owned(), url));
    }
    let (true, true) = (step.has("method"), step.has("url")) else {
        let (has, lacks) = if step.has("url") { ("url", "method") } else { ("method", "url") };
        findings.error(
            step.key_span(key),
            format!("{} has \"{has}\" but no \"{lacks}\"; or write get = \"/\"", step.at),
        );
        return None;
    };
    let url = parse_address(step, "url", around, findings);
    let method = step.text("method", "\"GET\"", findings)?;
    match check_method(method) {
        Ok(()) => url.map(|url| (method.to_owned(), url)),
        Err(message) => {
            findings.error(step.value_span("method"), message);
            None
        }
    }
}

/// May `method` be sent? The message says what would be right.
pub(crate) fn check_method(method: &str) -> Result<(), String> {
    if !is_token(method) || method.len() > METHOD_CHARS_MAX {
        return Err(format!("{} is not a method; write for example \"GET\"", quote(method)));
    }
    let upper = method.to_ascii_uppercase();
    if upper == "CONNECT" {
        return Err("method \"CONNECT\" opens a tunnel and is not supported; use another one".to_owned());
    }
    if upper != method && METHODS.iter().any(|(_, known)| *known == upper) {
        return Err(format!("method {} is written in capitals; write \"{upper}\"", quote(method)));
    }
    Ok(())
}

fn parse_address(
    step: &Section<'_>,
    key: &str,
    around: &Surroundings,
    findings: &mut Findings,
) -> Option<Url> {
    let text = step.text(key, "\"/\"", findings)?;
    let span = step.value_span(key);
    if placeholder(text).is_some() {
        refuse_placeholder(text, span, findings);
        return None;
    }
    let result = if text.starts_with('/') {
        match (&around.target, around.target_given) {
            (Some(target), _) => join(target, text).map_err(|error| error.to_string()),
            (None, true) => return None,
            (None, false) => Err(format!(
                "{} has a path but the plan has no target; add target = \"http://HOST\" or write a full URL",
                step.at
            )),
        }
    } else if text.contains("://") {
        parse_url(text).map_err(|error| error.to_string())
    } else {
        let path = quote(&format!("/{text}"));
        Err(format!(
            "{} is neither a path nor a URL; write {path} or {}",
            quote(text),
            quote(&format!("http://{text}"))
        ))
    };
    result.map_err(|message| findings.error(span, message)).ok()
}

/// The `headers` of a table, in order: each a text, or a list of texts.
pub(crate) fn read_headers(section: &Section<'_>, findings: &mut Findings) -> Vec<(String, String)> {
    let mut headers = Vec::new();
    let Some(item) = section.item("headers") else { return headers };
    let at = format!("headers of {}", section.at);
    let Some(table) = Section::of(item, at, section.key_span("headers"), findings) else { return headers };
    // Counted before they are merged: each layer is compared with the one below it.
    let count = table.table.iter().map(|(_, item)| item.as_array().map_or(1, toml_edit::Array::len));
    if count.fold(0, usize::saturating_add) > HEADERS_MAX {
        findings.error(table.span, format!("{} are more than {HEADERS_MAX}; send fewer", table.at));
        return headers;
    }
    for (name, item) in table.table.iter() {
        if let Err(error) = check_header_name(name) {
            findings.error(table.key_span(name), error.to_string());
            continue;
        }
        for value in header_values(name, item, &table, findings) {
            if let Err(error) = check_header_value(name, value) {
                findings.error(table.value_span(name), error.to_string());
            }
            refuse_placeholder(value, table.value_span(name), findings);
            headers.push((name.to_owned(), value.to_owned()));
        }
    }
    headers
}

fn header_values<'a>(
    name: &str,
    item: &'a Item,
    table: &Section<'_>,
    findings: &mut Findings,
) -> Vec<&'a str> {
    if let Some(text) = item.as_str() {
        return vec![text];
    }
    let Some(values) = item.as_array() else {
        let message = format!("header \"{name}\" must be text in quotes; found {}", kind_of(item));
        findings.error(table.value_span(name), message);
        return Vec::new();
    };
    let mut texts = Vec::new();
    for value in values {
        match value {
            Value::String(text) => texts.push(text.value().as_str()),
            Value::Integer(_)
            | Value::Float(_)
            | Value::Boolean(_)
            | Value::Datetime(_)
            | Value::Array(_)
            | Value::InlineTable(_) => {
                let message =
                    format!("header \"{name}\" must be text in quotes; found {}", kind_of_value(value));
                findings.error(value.span().unwrap_or_else(|| table.value_span(name)), message);
            }
        }
    }
    texts
}

/// `over` replaces what `base` has of the same names.
pub(crate) fn layered(base: &[(String, String)], over: Vec<(String, String)>) -> Vec<(String, String)> {
    let kept =
        base.iter().filter(|(name, _)| !over.iter().any(|(given, _)| given.eq_ignore_ascii_case(name)));
    let mut headers: Vec<_> = kept.cloned().collect();
    headers.extend(over);
    headers
}

/// The engine says how long a body is; a header that says otherwise would break every connection.
fn check_framing(
    step: &Section<'_>,
    headers: &[(String, String)],
    body: Option<&[u8]>,
    findings: &mut Findings,
) {
    let place = if step.has("headers") { step.key_span("headers") } else { step.span.clone() };
    let bytes = headers
        .iter()
        .map(|(name, value)| name.len().saturating_add(value.len()))
        .fold(0, usize::saturating_add);
    if bytes > HEADER_BYTES_MAX {
        findings.error(place.clone(), format!("the headers of {} are over 64 KiB together", step.at));
    }
    for (name, value) in headers {
        if name.eq_ignore_ascii_case("transfer-encoding") {
            findings.error(
                place.clone(),
                format!(
                    "{} has a \"transfer-encoding\" header; bodies are sent with their length; remove it",
                    step.at
                ),
            );
        }
        let length = body.map_or(0, <[u8]>::len);
        if name.eq_ignore_ascii_case("content-length") && value.parse() != Ok(length) {
            findings.error(
                place.clone(),
                format!(
                    "{} has content-length {}, its body has {length} bytes; remove it",
                    step.at,
                    quote(value)
                ),
            );
        }
    }
}

fn parse_body(step: &Section<'_>, files: &mut Files<'_>, findings: &mut Findings) -> Option<Vec<u8>> {
    let given: Vec<&str> = BODIES.into_iter().filter(|key| step.has(key)).collect();
    let key = match given.as_slice() {
        [] => return None,
        [key] => *key,
        [_, second, ..] => {
            findings.error(
                step.key_span(second),
                format!("{} has {}; a request has one body", step.at, listed(&given)),
            );
            return None;
        }
    };
    let span = step.value_span(key);
    match key {
        "json" => {
            let item = step.item(key)?;
            match to_json(item) {
                Ok(text) => {
                    refuse_placeholder(&text, span, findings);
                    Some(text.into_bytes())
                }
                Err((place, message)) => {
                    findings.error(place.unwrap_or(span), message);
                    None
                }
            }
        }
        "body_base64" => {
            let text = step.text(key, "\"aGVsbG8=\"", findings)?;
            let bytes = base64::decode(text);
            if bytes.is_none() {
                findings.error(span, "\"body_base64\" is not base64 (A-Z a-z 0-9 + /, padded with =)");
            }
            bytes
        }
        "body_file" => {
            let name = step.text(key, "\"order.json\"", findings)?;
            let result = files.take(name, step.key_span(key), span.clone());
            result.map_err(|message| findings.error(span, message)).ok()
        }
        _ => {
            let text = step.text(key, "\"a=1\"", findings)?;
            refuse_placeholder(text, span, findings);
            Some(text.as_bytes().to_vec())
        }
    }
}
