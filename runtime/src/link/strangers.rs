//! What else calls at a frame port: browsers, probes, TLS; and what they are told.

use crate::NodeConfig;

/// A caller that speaks something else, by the first four bytes it sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stranger {
    Http,
    Tls,
}

/// Bytes that tell strangers apart.
pub(crate) const TELLING: usize = 4;

/// How the methods of HTTP begin, and the preface of HTTP/2.
const METHODS: [&[u8; TELLING]; 10] =
    [b"GET ", b"HEAD", b"POST", b"PUT ", b"DELE", b"OPTI", b"PATC", b"CONN", b"TRAC", b"PRI "];

impl Stranger {
    pub(crate) fn of(first: [u8; TELLING]) -> Option<Self> {
        match first {
            // Handshake or alert, of any version since SSL 3.
            [0x15 | 0x16, 3, 0..=4, _] => Some(Self::Tls),
            method if METHODS.contains(&&method) => Some(Self::Http),
            _ => None,
        }
    }
}

/// A whole HTTP answer that says what this port is and where to go.
pub(crate) fn http_answer(config: &NodeConfig) -> String {
    let NodeConfig { role, name, admin, .. } = config;
    let place = match admin {
        Some(addr) => format!("its HTTP endpoints are on the admin port {addr}"),
        None => "it has no HTTP endpoints".to_owned(),
    };
    let body = format!("this is the frame port of {role} {name} (hyperscale); {place}\n");
    format!(
        "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn http_and_tls_are_known_by_their_first_four_bytes() {
        for line in ["GET / HTTP/1.1", "POST /jobs", "OPTIONS *", "CONNECT a:1", "PRI * HTTP/2.0"] {
            assert_eq!(Stranger::of(*line.as_bytes().first_chunk().unwrap()), Some(Stranger::Http), "{line}");
        }
        for record in [[0x16, 3, 1, 2], [0x16, 3, 3, 0], [0x15, 3, 4, 0]] {
            assert_eq!(Stranger::of(record), Some(Stranger::Tls));
        }
        for other in [*b"SSH-", *b"HTTP", [0; 4], [0x89, 0x48, 0x53, 0x48], [0x16, 4, 1, 2]] {
            assert_eq!(Stranger::of(other), None, "{other:02x?}");
        }
    }
}
