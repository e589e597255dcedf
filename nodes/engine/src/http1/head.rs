//! The head of an answer: its status, and what follows.

use std::mem::MaybeUninit;

use hyperscale_codec::messages::ErrorKind;

use super::{HEAD_BYTES_MAX, HEAD_FIELDS_MAX};

/// What follows a head (RFC 9112, 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Body {
    Length(u64),
    Chunked,
    UntilClose,
}

/// What a head says of its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) status: u16,
    pub(super) keep_alive: bool,
    pub(super) body: Body,
}

/// Reads one head. `None`: more bytes are needed. Else the head and its length.
pub(super) fn read(bytes: &[u8], to_head: bool) -> Result<Option<(Head, usize)>, ErrorKind> {
    let mut fields = [const { MaybeUninit::uninit() }; HEAD_FIELDS_MAX];
    let mut response = httparse::Response::new(&mut []);
    let config = httparse::ParserConfig::default();
    let used = match config.parse_response_with_uninit_headers(&mut response, bytes, &mut fields) {
        Ok(httparse::Status::Complete(used)) if used <= HEAD_BYTES_MAX => used,
        Ok(httparse::Status::Partial) if bytes.len() < HEAD_BYTES_MAX => return Ok(None),
        Ok(_) | Err(httparse::Error::TooManyHeaders) => return Err(ErrorKind::TooLarge),
        Err(_) => return Err(ErrorKind::BadResponse),
    };
    let status = response.code.unwrap_or(0);
    let minor = response.version.unwrap_or(0);
    let said = fields_of(response.headers)?;
    if status < 100 || (said.chunked.is_some() && said.length.is_some()) {
        return Err(ErrorKind::BadResponse);
    }
    let body = match (said.chunked, said.length) {
        _ if to_head || status < 200 || status == 204 || status == 304 => Body::Length(0),
        (Some(true), _) => Body::Chunked,
        (Some(false), _) | (None, None) => Body::UntilClose,
        (None, Some(length)) => Body::Length(length),
    };
    let keep_alive = !said.close && body != Body::UntilClose && (minor == 1 || said.keep_alive);
    Ok(Some((Head { status, keep_alive, body }, used)))
}

/// The fields that matter for the length of an answer and the life of its connection.
#[derive(Default)]
struct Fields {
    length: Option<u64>,
    /// Whether the last transfer coding is chunked, if there is any coding.
    chunked: Option<bool>,
    close: bool,
    keep_alive: bool,
}

fn fields_of(headers: &[httparse::Header<'_>]) -> Result<Fields, ErrorKind> {
    let mut said = Fields::default();
    for header in headers {
        match header.name.len() {
            10 if header.name.eq_ignore_ascii_case("connection") => {
                for token in list(header.value) {
                    said.close |= token.eq_ignore_ascii_case(b"close");
                    said.keep_alive |= token.eq_ignore_ascii_case(b"keep-alive");
                }
            }
            14 if header.name.eq_ignore_ascii_case("content-length") => {
                for token in list(header.value) {
                    let length = number(token).ok_or(ErrorKind::BadResponse)?;
                    if said.length.is_some_and(|other| other != length) {
                        return Err(ErrorKind::BadResponse);
                    }
                    said.length = Some(length);
                }
                if said.length.is_none() {
                    return Err(ErrorKind::BadResponse);
                }
            }
            17 if header.name.eq_ignore_ascii_case("transfer-encoding") => {
                if let Some(last) = list(header.value).last() {
                    said.chunked = Some(last.eq_ignore_ascii_case(b"chunked"));
                }
            }
            _ => {}
        }
    }
    Ok(said)
}

/// The members of a comma-separated list, without the empty ones.
fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii).filter(|token| !token.is_empty())
}

/// A decimal number of digits only.
fn number(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0_u64, |value, &byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte.wrapping_sub(b'0')))?;
        value.checked_mul(10)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(text: &str) -> Result<Head, ErrorKind> {
        read(text.as_bytes(), false).map(|found| {
            let (head, used) = found.unwrap();
            assert_eq!(used, text.len());
            head
        })
    }

    #[test]
    fn http_1_0_keeps_a_connection_only_when_it_says_so() {
        let close = head("HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\n").unwrap();
        let keep = head("HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 3\r\n\r\n").unwrap();
        assert_eq!((close.keep_alive, keep.keep_alive), (false, true));
    }

    #[test]
    fn equal_lengths_are_one_length_and_different_ones_a_bad_response() {
        let equal = head("HTTP/1.1 200 OK\r\ncontent-length: 3, 3\r\ncontent-length: 3\r\n\r\n").unwrap();
        assert_eq!(equal.body, Body::Length(3));
        for fields in [
            "content-length: 3\r\ncontent-length: 4",
            "content-length: 3, 4",
            "content-length: -1",
            "content-length: ",
            "content-length: 18446744073709551616",
            "content-length: 3\r\ntransfer-encoding: chunked",
        ] {
            let text = format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n");
            assert_eq!(head(&text), Err(ErrorKind::BadResponse), "{fields}");
        }
    }

    #[test]
    fn a_body_of_no_stated_length_ends_with_its_connection() {
        for fields in ["", "transfer-encoding: gzip\r\n", "transfer-encoding: chunked, gzip\r\n"] {
            let read = head(&format!("HTTP/1.1 200 OK\r\n{fields}\r\n")).unwrap();
            assert_eq!((read.body, read.keep_alive), (Body::UntilClose, false), "{fields}");
        }
        let read = head("HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n").unwrap();
        assert_eq!(read.body, Body::Chunked);
    }

    #[test]
    fn some_answers_have_no_body_whatever_length_they_state() {
        for status in ["204 No Content", "304 Not Modified", "100 Continue", "103 Early Hints"] {
            let read = head(&format!("HTTP/1.1 {status}\r\ncontent-length: 9\r\n\r\n")).unwrap();
            assert_eq!(read.body, Body::Length(0), "{status}");
        }
        let text = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n";
        assert_eq!(read(text, true).unwrap().unwrap().0.body, Body::Length(0));
    }

    #[test]
    fn too_many_fields_are_too_large() {
        let mut text = String::from("HTTP/1.1 200 OK\r\n");
        for _ in 0..=HEAD_FIELDS_MAX {
            text.push_str("a: b\r\n");
        }
        text.push_str("\r\n");
        assert_eq!(head(&text), Err(ErrorKind::TooLarge));
    }
}
