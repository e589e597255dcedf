//! Requests as bytes, rendered once before the load starts.

use hyperscale_plan::{KeepAlive, Request};

/// The bytes of a request. `Host` comes first; `Content-Length` is added where there is a body or the method asks
/// for one, `Connection: close` where no connection is kept; each only where the plan does not give it.
#[must_use]
pub fn render(request: &Request, keep_alive: KeepAlive) -> Vec<u8> {
    let given = |name: &str| request.headers.iter().any(|(n, _)| n.eq_ignore_ascii_case(name));
    let mut out = Vec::with_capacity(request.body.len().saturating_add(512));
    let field = |out: &mut Vec<u8>, name: &str, value: &str| {
        for part in [name, ": ", value, "\r\n"] {
            out.extend_from_slice(part.as_bytes());
        }
    };
    for part in [request.method.as_str(), " ", request.url.path.as_str(), " HTTP/1.1\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
    if !given("host") {
        field(&mut out, "Host", &request.url.authority);
    }
    for (name, value) in &request.headers {
        field(&mut out, name, value);
    }
    let wants_length =
        !request.body.is_empty() || matches!(request.method.as_str(), "POST" | "PUT" | "PATCH");
    if wants_length && !given("content-length") && !given("transfer-encoding") {
        field(&mut out, "Content-Length", &request.body.len().to_string());
    }
    if keep_alive == KeepAlive::Never && !given("connection") {
        field(&mut out, "Connection", "close");
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(&request.body);
    out
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use hyperscale_plan::Url;

    use super::*;

    fn request(method: &str, headers: &[(&str, &str)], body: &[u8]) -> Request {
        Request {
            name: "r".into(),
            method: method.into(),
            url: Url { host: "::1".into(), port: 80, path: "/a?b=c".into(), authority: "[::1]:80".into() },
            headers: headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect(),
            body: body.to_vec(),
            timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(5),
        }
    }

    fn text(request: &Request, keep_alive: KeepAlive) -> String {
        String::from_utf8(render(request, keep_alive)).unwrap()
    }

    #[test]
    fn a_plain_get_has_a_host_and_nothing_else() {
        let bytes = text(&request("GET", &[], b""), KeepAlive::Always);
        assert_eq!(bytes, "GET /a?b=c HTTP/1.1\r\nHost: [::1]:80\r\n\r\n");
    }

    #[test]
    fn what_the_plan_gives_is_not_added_again() {
        let given = [("host", "h"), ("CONTENT-LENGTH", "2"), ("connection", "keep-alive")];
        let bytes = text(&request("POST", &given, b"ab"), KeepAlive::Never);
        assert_eq!(
            bytes,
            "POST /a?b=c HTTP/1.1\r\nhost: h\r\nCONTENT-LENGTH: 2\r\nconnection: keep-alive\r\n\r\nab"
        );
    }

    #[test]
    fn an_empty_post_says_that_it_is_empty() {
        let bytes = text(&request("POST", &[], b""), KeepAlive::Never);
        assert_eq!(
            bytes,
            "POST /a?b=c HTTP/1.1\r\nHost: [::1]:80\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
    }
}
