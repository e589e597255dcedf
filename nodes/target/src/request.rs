//! Requests, piece by piece. No byte can panic it; a head is at most 64 KiB.

#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

use std::mem::MaybeUninit;
use std::time::Duration;

use hyperscale_engine::http1::{Chunked, HEAD_BYTES_MAX};

use crate::answer::Life;

/// Fields of a head at most.
const FIELDS_MAX: usize = 128;
/// A delay asked for by path is at most this long.
const DELAY_MAX: Duration = Duration::from_secs(600);

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    Usual,
    /// `/_count`.
    Count,
    /// `/status/NNN`.
    Status(u16),
    /// `/delay/MS`.
    Delay(Duration),
}

/// A request that was read whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) wish: Wish,
    pub(crate) head: bool,
    pub(crate) life: Life,
}

/// What came of some bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    More,
    /// The client waits to be told that it may send the body.
    Continue,
    Whole(Asked),
    /// Answered with this status, then the connection is closed.
    Bad(u16),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Head,
    Length(u64, Asked),
    Chunked(Chunked, Asked),
}

/// Reads the requests of one connection.
#[derive(Debug)]
pub(crate) struct RequestReader {
    state: State,
    partial: Vec<u8>,
}

impl Default for RequestReader {
    fn default() -> Self {
        Self { state: State::Head, partial: Vec::new() }
    }
}

enum Framing {
    Length(u64),
    Chunked,
}

struct Head {
    asked: Asked,
    framing: Framing,
    wants_continue: bool,
    used: usize,
}

impl RequestReader {
    /// Takes bytes from the front of `rest`.
    pub(crate) fn feed(&mut self, rest: &mut &[u8]) -> Step {
        match &mut self.state {
            State::Head if rest.is_empty() => Step::More,
            State::Head => self.feed_head(rest),
            State::Length(left, asked) => {
                let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(rest.len());
                *left = left.saturating_sub(u64::try_from(taken).unwrap_or(u64::MAX));
                *rest = rest.get(taken..).unwrap_or_default();
                let (left, asked) = (*left, *asked);
                if left > 0 { Step::More } else { self.whole(asked) }
            }
            State::Chunked(body, asked) => match body.feed(rest) {
                Ok(Some(used)) => {
                    let asked = *asked;
                    *rest = rest.get(used..).unwrap_or_default();
                    self.whole(asked)
                }
                Ok(None) => {
                    *rest = &[];
                    Step::More
                }
                Err(_) => Step::Bad(400),
            },
        }
    }

    fn whole(&mut self, asked: Asked) -> Step {
        self.state = State::Head;
        Step::Whole(asked)
    }

    fn feed_head(&mut self, rest: &mut &[u8]) -> Step {
        let old = self.partial.len();
        let found = if old == 0 {
            read_head(rest)
        } else {
            let room = HEAD_BYTES_MAX.saturating_sub(old).saturating_add(1);
            self.partial.extend_from_slice(rest.get(..room).unwrap_or(rest));
            read_head(&self.partial)
        };
        match found {
            Ok(Some(head)) => {
                *rest = rest.get(head.used.saturating_sub(old)..).unwrap_or_default();
                self.partial = Vec::new();
                self.on_head(&head)
            }
            Ok(None) if self.partial.len().max(rest.len()) > HEAD_BYTES_MAX => Step::Bad(431),
            Ok(None) => {
                if old == 0 {
                    self.partial.extend_from_slice(rest);
                }
                *rest = &[];
                Step::More
            }
            Err(status) => Step::Bad(status),
        }
    }

    fn on_head(&mut self, head: &Head) -> Step {
        self.state = match head.framing {
            Framing::Length(0) => return self.whole(head.asked),
            Framing::Length(length) => State::Length(length, head.asked),
            Framing::Chunked => State::Chunked(Chunked::START, head.asked),
        };
        if head.wants_continue { Step::Continue } else { Step::More }
    }
}

fn read_head(bytes: &[u8]) -> Result<Option<Head>, u16> {
    let mut fields = [const { MaybeUninit::uninit() }; FIELDS_MAX];
    let mut request = httparse::Request::new(&mut []);
    let used = match request.parse_with_uninit_headers(bytes, &mut fields) {
        Ok(httparse::Status::Complete(used)) => used,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(431),
        Err(_) => return Err(400),
    };
    let new = request.version == Some(1);
    let (mut close, mut keep, mut wants_continue) = (!new, false, false);
    let mut framing = Framing::Length(0);
    for field in request.headers.iter() {
        let value = field.value.trim_ascii();
        if field.name.eq_ignore_ascii_case("connection") {
            close |= value.eq_ignore_ascii_case(b"close");
            keep |= value.eq_ignore_ascii_case(b"keep-alive");
        } else if field.name.eq_ignore_ascii_case("content-length") {
            let length = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok()).ok_or(400_u16)?;
            if !matches!(framing, Framing::Chunked) {
                framing = Framing::Length(length);
            }
        } else if field.name.eq_ignore_ascii_case("transfer-encoding") {
            framing = Framing::Chunked;
        } else if field.name.eq_ignore_ascii_case("expect") {
            wants_continue = value.eq_ignore_ascii_case(b"100-continue");
        }
    }
    let life = match (new, close, keep) {
        (true, true, _) | (false, _, false) => Life::Close,
        (true, false, _) => Life::Keep,
        (false, _, true) => Life::KeepOld,
    };
    let asked = Asked { wish: wish(request.path.unwrap_or("/")), head: request.method == Some("HEAD"), life };
    Ok(Some(Head { asked, framing, wants_continue, used }))
}

fn wish(path: &str) -> Wish {
    let path = path.split_once('?').map_or(path, |(path, _)| path);
    if path == "/_count" {
        return Wish::Count;
    }
    if let Some(status) = path.strip_prefix("/status/").and_then(|text| text.parse().ok())
        && (200..=599).contains(&status)
    {
        return Wish::Status(status);
    }
    match path.strip_prefix("/delay/").and_then(|text| text.parse().ok()) {
        Some(ms) => Wish::Delay(Duration::from_millis(ms).min(DELAY_MAX)),
        None => Wish::Usual,
    }
}
