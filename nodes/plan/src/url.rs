//! `http://host[:port]/path?query`, checked so far that it can be sent as it stands.
//!
//! A fragment is dropped, as curl does; user information is refused (it would be sent in the clear, unnoticed).

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::limits::URL_BYTES_MAX;
use crate::model::Url;
use crate::words::quote;

/// A text that is not a URL the engine can call. Says what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UrlError(String);

/// Reads a full URL.
///
/// # Errors
/// [`UrlError`] with what would be right.
pub fn parse_url(text: &str) -> Result<Url, UrlError> {
    let rest = after_scheme(text)?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(end).unwrap_or((rest, ""));
    let path = clean_path(path)?;
    if authority.contains('@') {
        return Err(UrlError(format!(
            "{} holds a user name; send it as a header: authorization = \"Basic …\"",
            quote(text)
        )));
    }
    let (host, port) = split_port(authority)?;
    let (host, shown) = check_host(host, text)?;
    let (port, authority) = match port {
        None => (80, shown),
        Some(digits) => {
            let port = parse_port(digits)?;
            (port, format!("{shown}:{port}"))
        }
    };
    Ok(Url { host, port, path, authority })
}

/// Joins a plan's target and the path of a step: `/` once between them.
///
/// # Errors
/// [`UrlError`] for a path that cannot be sent.
pub(crate) fn join(target: &Url, path: &str) -> Result<Url, UrlError> {
    let path = clean_path(path)?;
    let path = format!("{}{path}", target.path.trim_end_matches('/'));
    Ok(Url { path, ..target.clone() })
}

fn after_scheme(text: &str) -> Result<&str, UrlError> {
    if text.len() > URL_BYTES_MAX {
        return Err(UrlError(format!("{} is longer than 8 KiB, the most a URL may have", quote(text))));
    }
    if text.is_empty() {
        return Err(UrlError("the URL is empty; write \"http://HOST/\"".to_owned()));
    }
    let Some((scheme, rest)) = text.split_once("://") else {
        let bare = text.trim_start_matches("http:").trim_start_matches('/');
        return Err(UrlError(format!(
            "{} has no scheme; did you mean {}?",
            quote(text),
            quote(&format!("http://{bare}"))
        )));
    };
    match scheme.to_ascii_lowercase().as_str() {
        "http" => Ok(rest),
        "https" => Err(UrlError(format!("https is not supported yet; use http:// ({})", quote(text)))),
        _ if !scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b)) => Err(UrlError(
            format!("{} has no scheme; did you mean {}?", quote(text), quote(&format!("http://{text}"))),
        )),
        _ => Err(UrlError(format!("scheme {} is not supported; use http://", quote(scheme)))),
    }
}

/// The host and the text after its colon.
fn split_port(authority: &str) -> Result<(&str, Option<&str>), UrlError> {
    if authority.starts_with('[') {
        let Some(end) = authority.find(']') else {
            return Err(UrlError(format!("{} lacks \"]\"; write \"[::1]:8080\"", quote(authority))));
        };
        let (host, rest) = authority.split_at_checked(end.saturating_add(1)).unwrap_or((authority, ""));
        return match rest.strip_prefix(':') {
            Some(port) => Ok((host, Some(port))),
            None if rest.is_empty() => Ok((host, None)),
            None => Err(UrlError(format!("{} is not an address; write \"[::1]:8080\"", quote(authority)))),
        };
    }
    if authority.matches(':').count() > 1 {
        return Err(UrlError(format!(
            "{} looks like an IPv6 address; put it in brackets: \"http://[::1]:8080/\"",
            quote(authority)
        )));
    }
    Ok(authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port))))
}

fn parse_port(digits: &str) -> Result<u16, UrlError> {
    let number = digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse::<u16>().ok()).flatten();
    number
        .filter(|port| *port > 0)
        .ok_or_else(|| UrlError(format!("port {} is not one; a port is 1 to 65535", quote(digits))))
}

/// The host as it is resolved, and as it is written in a `Host` header.
fn check_host(host: &str, url: &str) -> Result<(String, String), UrlError> {
    if host.is_empty() {
        return Err(UrlError(format!("{} has no host; write \"http://HOST/\"", quote(url))));
    }
    if let Some(inner) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        let address: Ipv6Addr = inner
            .parse()
            .map_err(|_| UrlError(format!("{} is not an IPv6 address; write \"[::1]\"", quote(host))))?;
        return Ok((address.to_string(), format!("[{address}]")));
    }
    if host.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        let address: Ipv4Addr = host
            .parse()
            .map_err(|_| UrlError(format!("{} is not an IPv4 address; write \"127.0.0.1\"", quote(host))))?;
        return Ok((address.to_string(), address.to_string()));
    }
    if !host.is_ascii() {
        return Err(UrlError(format!("host {} is not ASCII; write its \"xn--\" form", quote(host))));
    }
    if let Some(bad) = host.chars().find(|c| !c.is_ascii_alphanumeric() && !"-._".contains(*c)) {
        return Err(UrlError(format!(
            "host {} holds {}; a host has letters, digits, \"-\" and \".\"",
            quote(host),
            quote(&bad.to_string())
        )));
    }
    let name = host.strip_suffix('.').unwrap_or(host);
    if name.len() > 253 || name.split('.').any(|label| label.is_empty() || label.len() > 63) {
        return Err(UrlError(format!(
            "host {} is not a name: parts between dots have 1 to 63 letters, all together 253",
            quote(host)
        )));
    }
    Ok((host.to_ascii_lowercase(), host.to_ascii_lowercase()))
}

/// The path and query, with a leading `/` and no fragment.
fn clean_path(path: &str) -> Result<String, UrlError> {
    if path.len() > URL_BYTES_MAX {
        return Err(UrlError(format!("{} is longer than 8 KiB, the most a URL may have", quote(path))));
    }
    let path = path.split('#').next().unwrap_or("");
    if let Some(bad) = path.chars().find(|c| !c.is_ascii_graphic()) {
        let mut buffer = [0; 4];
        let coded: String = bad.encode_utf8(&mut buffer).bytes().map(|b| format!("%{b:02X}")).collect();
        return Err(UrlError(format!(
            "{} holds {}; write it as {coded}",
            quote(path),
            if bad == ' ' { "a space".to_owned() } else { quote(&bad.to_string()) }
        )));
    }
    Ok(if path.starts_with('/') { path.to_owned() } else { format!("/{path}") })
}

#[cfg(test)]
#[path = "url/tests.rs"]
mod tests;
