//! Answers, piece by piece.

use hyperscale_codec::messages::ErrorKind;

use super::chunked::Chunked;
use super::head::{self, Body, Head};
use super::{HEAD_BYTES_MAX, INTERIM_MAX};

/// How far an answer has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// More must come.
    More,
    /// It is whole.
    Done(Answer),
    /// It can be no answer, or breaks a limit.
    Failed(ErrorKind),
}

/// A whole answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// 200 to 999.
    pub status: u16,
    /// Whether its connection may carry another request.
    pub keep_alive: bool,
    /// How many of the bytes fed last belong to it; what is left belongs to nothing that was asked for.
    pub used: usize,
}

/// Buffers for heads that come in pieces; a connection holds one only while its head is incomplete.
#[derive(Debug, Default)]
pub struct HeadPool {
    spare: Vec<Vec<u8>>,
}

impl HeadPool {
    /// Spare buffers at most; they hold 64 KiB each at most.
    const SPARE_MAX: usize = 64;

    fn take(&mut self) -> Vec<u8> {
        self.spare.pop().unwrap_or_default()
    }

    fn give(&mut self, mut buffer: Vec<u8>) {
        if buffer.capacity() > 0 && self.spare.len() < Self::SPARE_MAX {
            buffer.clear();
            self.spare.push(buffer);
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Head,
    Length(u64),
    Chunked(Chunked),
    UntilClose,
    Ended,
}

/// Reads one answer.
#[derive(Debug)]
pub struct ResponseReader {
    state: State,
    status: u16,
    keep_alive: bool,
    to_head: bool,
    interim: u8,
    partial: Vec<u8>,
}

impl Default for ResponseReader {
    fn default() -> Self {
        Self {
            state: State::Ended,
            status: 0,
            keep_alive: false,
            to_head: false,
            interim: 0,
            partial: Vec::new(),
        }
    }
}

impl ResponseReader {
    /// Waits for the answer to a request; `to_head`: its method was HEAD.
    pub fn start(&mut self, to_head: bool) {
        debug_assert!(self.partial.is_empty(), "an answer was given up without `forget`");
        (self.state, self.interim, self.to_head) = (State::Head, 0, to_head);
    }

    /// Gives up the answer, and its buffer back.
    pub fn forget(&mut self, pool: &mut HeadPool) {
        self.state = State::Ended;
        pool.give(std::mem::take(&mut self.partial));
    }

    /// Takes bytes in. After anything but [`Progress::More`] the reader must be started anew.
    pub fn feed(&mut self, bytes: &[u8], pool: &mut HeadPool) -> Progress {
        let mut rest = bytes;
        loop {
            match self.step(&mut rest, pool) {
                Ok(false) if rest.is_empty() => return Progress::More,
                Ok(false) => {}
                Ok(true) => {
                    self.state = State::Ended;
                    let used = bytes.len().saturating_sub(rest.len());
                    return Progress::Done(Answer { status: self.status, keep_alive: self.keep_alive, used });
                }
                Err(kind) => {
                    self.forget(pool);
                    return Progress::Failed(kind);
                }
            }
        }
    }

    /// The peer will send no more: whole if the answer was to end so, else closed early.
    pub fn end(&mut self, pool: &mut HeadPool) -> Progress {
        let whole = self.state == State::UntilClose;
        self.forget(pool);
        if whole {
            Progress::Done(Answer { status: self.status, keep_alive: false, used: 0 })
        } else {
            Progress::Failed(ErrorKind::ClosedEarly)
        }
    }

    /// Takes what it can from the front of `rest`; true when the answer is whole.
    fn step(&mut self, rest: &mut &[u8], pool: &mut HeadPool) -> Result<bool, ErrorKind> {
        match &mut self.state {
            State::Head => self.read_head(rest, pool),
            State::Length(left) => {
                let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(rest.len());
                *left = left.saturating_sub(u64::try_from(taken).unwrap_or(u64::MAX));
                *rest = rest.get(taken..).unwrap_or_default();
                Ok(*left == 0)
            }
            State::Chunked(body) => {
                let ended = body.feed(rest)?;
                *rest = ended.and_then(|used| rest.get(used..)).unwrap_or_default();
                Ok(ended.is_some())
            }
            State::UntilClose => {
                *rest = &[];
                Ok(false)
            }
            State::Ended => Err(ErrorKind::BadResponse),
        }
    }

    fn read_head(&mut self, rest: &mut &[u8], pool: &mut HeadPool) -> Result<bool, ErrorKind> {
        if self.partial.is_empty() {
            if rest.is_empty() {
                return Ok(false);
            }
            if let Some((head, used)) = head::read(rest, self.to_head)? {
                *rest = rest.get(used..).unwrap_or_default();
                return self.on_head(head);
            }
            self.partial = pool.take();
            self.partial.extend_from_slice(rest);
            *rest = &[];
            return Ok(false);
        }
        let old = self.partial.len();
        let room = HEAD_BYTES_MAX.saturating_sub(old).saturating_add(1);
        self.partial.extend_from_slice(rest.get(..room).unwrap_or(rest));
        check_start(&self.partial)?;
        // A head that trickles in is not read anew with every byte, only once its end is there.
        let found = if has_end(self.partial.get(old.saturating_sub(2)..).unwrap_or_default()) {
            head::read(&self.partial, self.to_head)?
        } else if self.partial.len() > HEAD_BYTES_MAX {
            return Err(ErrorKind::TooLarge);
        } else {
            None
        };
        let Some((head, used)) = found else {
            *rest = &[];
            return Ok(false);
        };
        *rest = rest.get(used.saturating_sub(old)..).unwrap_or_default();
        pool.give(std::mem::take(&mut self.partial));
        self.on_head(head)
    }

    fn on_head(&mut self, head: Head) -> Result<bool, ErrorKind> {
        if head.status < 200 {
            self.interim = self.interim.saturating_add(1);
            // Nobody asked to switch protocols.
            let refused = head.status == 101 || self.interim > INTERIM_MAX;
            return if refused { Err(ErrorKind::BadResponse) } else { Ok(false) };
        }
        (self.status, self.keep_alive) = (head.status, head.keep_alive);
        self.state = match head.body {
            Body::Length(0) => return Ok(true),
            Body::Length(length) => State::Length(length),
            Body::Chunked => State::Chunked(Chunked::START),
            Body::UntilClose => State::UntilClose,
        };
        Ok(false)
    }
}

/// Whether an empty line may end within these bytes.
fn has_end(bytes: &[u8]) -> bool {
    bytes.windows(2).any(|pair| pair == b"\n\n") || bytes.windows(3).any(|three| three == b"\n\r\n")
}

/// Junk is known by its first bytes, however slowly it comes.
fn check_start(bytes: &[u8]) -> Result<(), ErrorKind> {
    let start = bytes.iter().position(|byte| !matches!(byte, b'\r' | b'\n')).and_then(|at| bytes.get(at..));
    let same = start.unwrap_or_default().iter().zip(b"HTTP/1.").all(|(a, b)| a == b);
    if same { Ok(()) } else { Err(ErrorKind::BadResponse) }
}

#[cfg(test)]
mod tests;
