//! Pieces of bytes to whole frames, in one bounded buffer.
//!
//! Every complete frame in the buffer is handed out before more is read, and borrowed in place. A frame's lengths
//! are checked before the buffer grows for it, and it never holds more than twice what came; a warm reader allocates
//! nothing.

use crate::{FrameError, HEADER_LEN, Header, Kind, ProtocolVersion, ROOT_MAX, RawFrame};

/// What one connection accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most bytes of a core.
    pub core_max: u32,
    /// Most bytes of extensions.
    pub ext_max: u16,
}

impl Default for Limits {
    fn default() -> Self {
        Self { core_max: 4 << 20, ext_max: 4096 }
    }
}

/// Room for many small frames in one read.
const CAPACITY: usize = 64 << 10;

/// A connection's receive buffer: 64 KiB, and more only for a frame whose lengths were accepted.
#[derive(Debug, Default)]
pub struct FrameReader {
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// Bytes the frame at `start` needs, once its header is known.
    wanted: usize,
    /// Bytes still to be dropped of a frame that was refused.
    skip: usize,
    /// The frame at `start` was judged by its header, and is wanted.
    judged: bool,
}

/// What [`FrameReader::next_judged`] found.
#[derive(Debug)]
pub enum Next<'a> {
    /// A whole frame.
    Frame(RawFrame<'a>),
    /// A header was refused; its frame is skipped. There may be more behind it.
    Refused,
    /// More bytes are needed.
    Nothing,
}

impl FrameReader {
    /// An empty reader; its buffer comes with the first read.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Where the next read goes; never empty. Call after [`FrameReader::next`] said `None`.
    pub fn space(&mut self) -> &mut [u8] {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end = self.end.saturating_sub(self.start);
            self.start = 0;
        }
        // A told length is no reason to take memory: the buffer grows only as fast as bytes come.
        let needed = self.wanted.min(self.end.saturating_mul(2)).max(CAPACITY);
        if self.buffer.len() < needed || self.end == self.buffer.len() {
            self.buffer.resize(needed.max(self.end.saturating_add(1)), 0);
        }
        self.buffer.get_mut(self.end..).unwrap_or_default()
    }

    /// Tells that `n` bytes were read into [`FrameReader::space`].
    pub fn filled(&mut self, n: usize) {
        debug_assert!(n <= self.buffer.len().saturating_sub(self.end), "more read than there was space");
        self.end = self.end.saturating_add(n).min(self.buffer.len());
    }

    /// Whether an unfinished frame is waiting for its rest.
    #[must_use]
    pub fn is_mid_frame(&self) -> bool {
        self.end > self.start || self.skip > 0
    }

    /// Bytes that came and were not handed out.
    #[must_use]
    pub const fn waiting(&self) -> usize {
        self.end.saturating_sub(self.start)
    }

    /// Gives back all memory when nothing is held; for a link that fell idle.
    pub fn release(&mut self) {
        if self.end == self.start {
            (self.buffer, self.start, self.end, self.wanted) = (Vec::new(), 0, 0, 0);
        }
    }

    /// Takes bytes that arrived before the reader was there, such as those behind a handshake.
    pub fn feed(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let space = self.space();
            let n = space.len().min(bytes.len());
            let (now, later) = bytes.split_at_checked(n).unwrap_or((bytes, &[]));
            if let Some(into) = space.get_mut(..n) {
                into.copy_from_slice(now);
            }
            self.filled(n);
            bytes = later;
        }
    }

    /// The next whole frame, or `None` when more bytes are needed.
    ///
    /// # Errors
    /// [`FrameError`]. Where [`FrameError::closes`], the connection must be closed; after
    /// [`FrameError::TooLongForKind`] the next call goes on behind the refused frame.
    #[allow(clippy::should_implement_trait, reason = "it lends from the buffer, which no iterator can")]
    pub fn next(&mut self, limits: &Limits) -> Result<Option<RawFrame<'_>>, FrameError> {
        match self.next_judged(limits, |_| true)? {
            Next::Frame(frame) => Ok(Some(frame)),
            Next::Refused | Next::Nothing => Ok(None),
        }
    }

    /// As [`FrameReader::next`], with a word to be said about each header before its body is there, and before the
    /// body's checksum costs anything. `wanted` is asked once a frame; one that is not is skipped unread.
    ///
    /// # Errors
    /// As [`FrameReader::next`].
    pub fn next_judged(
        &mut self,
        limits: &Limits,
        wanted: impl FnOnce(&Header) -> bool,
    ) -> Result<Next<'_>, FrameError> {
        if !self.skipped() {
            return Ok(Next::Nothing);
        }
        let waiting = self.buffer.get(self.start..self.end).unwrap_or_default();
        let Some((head, _)) = waiting.split_first_chunk::<HEADER_LEN>() else {
            self.wanted = HEADER_LEN;
            return Ok(Next::Nothing);
        };
        let header = Header::decode(head)?;
        check_major(&header)?;
        let (len, waiting) = (header.frame_len(), waiting.len());
        if let Err(refused) = check_lengths(&header, limits) {
            if !refused.closes() {
                self.skip = len;
            }
            return Err(refused);
        }
        if !self.judged && !wanted(&header) {
            self.skip = len;
            self.skipped();
            return Ok(Next::Refused);
        }
        self.judged = waiting < len;
        if self.judged {
            self.wanted = len;
            return Ok(Next::Nothing);
        }
        let from = self.start;
        self.start = from.saturating_add(len);
        self.wanted = HEADER_LEN;
        RawFrame::checked(header, self.buffer.get(from..self.start).unwrap_or_default()).map(Next::Frame)
    }

    /// Drops what is held of a refused frame; whether all of it is gone.
    fn skipped(&mut self) -> bool {
        let held = self.skip.min(self.end.saturating_sub(self.start));
        self.start = self.start.saturating_add(held);
        self.skip = self.skip.saturating_sub(held);
        self.skip == 0
    }
}

/// Check 4 of a frame: its major version is the connection's.
pub(crate) fn check_major(header: &Header) -> Result<(), FrameError> {
    let [want, _] = ProtocolVersion::CURRENT.major.to_le_bytes();
    if header.major == want { Ok(()) } else { Err(FrameError::Major { got: header.major, want }) }
}

/// Check 5 of a frame: lengths within the connection's limits, then within the kind's.
pub(crate) fn check_lengths(header: &Header, limits: &Limits) -> Result<(), FrameError> {
    let kind = header.kind;
    if header.core_len > limits.core_max {
        let (len, max) = (header.core_len, limits.core_max);
        return Err(FrameError::TooLong { kind, part: "core", len, max });
    }
    if header.ext_len > limits.ext_max {
        let (len, max) = (u32::from(header.ext_len), u32::from(limits.ext_max));
        return Err(FrameError::TooLong { kind, part: "extensions", len, max });
    }
    if header.root_len == 0 || header.root_len > ROOT_MAX || u32::from(header.root_len) > header.core_len {
        return Err(FrameError::RootLength { kind, root: header.root_len, core: header.core_len });
    }
    match Kind::from_wire(kind) {
        Some(known) if header.core_len > known.core_max() => {
            Err(FrameError::TooLongForKind { header: *header, max: known.core_max() })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::JobFinalResultAck;
    use crate::{Encoder, Head};

    fn frames(n: u8) -> Vec<u8> {
        let (mut encoder, mut out) = (Encoder::default(), Vec::new());
        for job in 0..n {
            encoder.append(&mut out, Head::default(), &JobFinalResultAck { job: [job; 16] }).unwrap();
        }
        out
    }

    fn read_in_pieces(bytes: &[u8], piece: usize) -> Result<Vec<u8>, FrameError> {
        let (mut reader, mut jobs, mut scratch) = (FrameReader::default(), Vec::new(), Vec::new());
        for part in bytes.chunks(piece) {
            reader.feed(part);
            while let Some(frame) = reader.next(&Limits::default())? {
                jobs.push(frame.decode::<JobFinalResultAck>(&mut scratch).unwrap().job[0]);
            }
        }
        assert!(!reader.is_mid_frame());
        Ok(jobs)
    }

    #[test]
    fn frames_come_whole_however_they_are_cut() {
        let bytes = frames(9);
        for piece in [1, 3, 47, 48, 49, 64, 100, bytes.len()] {
            assert_eq!(read_in_pieces(&bytes, piece), Ok((0..9).collect()), "pieces of {piece}");
        }
    }

    #[test]
    fn a_frame_is_judged_once_by_its_header_and_skipped_unread_if_not_wanted() {
        // The bodies of those that are refused are damaged: nobody reads them.
        let mut bytes = frames(6);
        let len = bytes.len() / 6;
        for odd in [1, 3, 5] {
            bytes[odd * len + HEADER_LEN] ^= 1;
        }
        for piece in [1, 47, 48, 49, 64, 100, bytes.len()] {
            let (mut reader, mut asked, mut taken) = (FrameReader::default(), 0, 0);
            for part in bytes.chunks(piece) {
                reader.feed(part);
                loop {
                    let wanted = |_: &Header| {
                        asked += 1;
                        asked % 2 == 1
                    };
                    match reader.next_judged(&Limits::default(), wanted).unwrap() {
                        Next::Frame(frame) => {
                            let body = frame.decode::<JobFinalResultAck>(&mut Vec::new()).unwrap().job[0];
                            assert_eq!(body, taken * 2);
                            taken += 1;
                        }
                        Next::Refused => {}
                        Next::Nothing => break,
                    }
                }
            }
            assert_eq!((asked, taken, reader.is_mid_frame()), (6, 3, false), "pieces of {piece}");
        }
    }

    #[test]
    fn a_refused_frame_takes_no_memory_however_long_it_is() {
        let long = Header {
            core_len: 4 << 20,
            root_len: 16,
            kind: 0x3fff,
            ..Header::decode(&first(&frames(1))).unwrap()
        };
        let mut reader = FrameReader::default();
        reader.feed(&long.encode());
        assert!(matches!(reader.next_judged(&Limits::default(), |_| false), Ok(Next::Refused)));
        for _ in 0..64 {
            reader.feed(&[0; 64 << 10]);
            assert!(matches!(reader.next_judged(&Limits::default(), |_| true), Ok(Next::Nothing)));
        }
        assert!(!reader.is_mid_frame());
        assert!(reader.buffer.capacity() <= 2 * CAPACITY, "{}", reader.buffer.capacity());
    }

    #[test]
    fn a_damaged_body_is_refused() {
        let mut bytes = frames(1);
        bytes[HEADER_LEN + 3] ^= 1;
        assert!(matches!(read_in_pieces(&bytes, 7), Err(FrameError::BodyChecksum { .. })));
    }

    #[test]
    fn a_length_over_the_limit_is_refused_before_memory_is_taken() {
        let header =
            Header { core_len: u32::MAX, root_len: 16, ..Header::decode(&first(&frames(1))).unwrap() };
        let mut reader = FrameReader::default();
        reader.feed(&header.encode());
        let before = reader.buffer.capacity();
        assert!(matches!(reader.next(&Limits::default()), Err(FrameError::TooLong { part: "core", .. })));
        assert_eq!(reader.buffer.capacity(), before);
    }

    #[test]
    fn a_told_length_takes_no_memory_until_its_bytes_come() {
        let header = Header {
            core_len: 4 << 20,
            root_len: 16,
            kind: 0x3fff,
            ..Header::decode(&first(&frames(1))).unwrap()
        };
        let mut reader = FrameReader::default();
        reader.feed(&header.encode());
        assert!(reader.next(&Limits::default()).unwrap().is_none());
        reader.space();
        assert_eq!(reader.buffer.len(), CAPACITY);
        reader.feed(&vec![0; 3 << 20]);
        assert!(reader.buffer.capacity() <= 6 << 20, "{}", reader.buffer.capacity());
    }

    #[test]
    fn a_root_longer_than_its_core_is_refused() {
        let header = Header { root_len: 17, ..Header::decode(&first(&frames(1))).unwrap() };
        let mut reader = FrameReader::default();
        reader.feed(&header.encode());
        assert!(matches!(reader.next(&Limits::default()), Err(FrameError::RootLength { .. })));
    }

    #[test]
    fn an_http_request_is_told_that_this_is_no_http_port() {
        let mut reader = FrameReader::default();
        reader.feed(b"GET / HTTP/1.1\r\nHost: 127.0.0.1:7000\r\nAccept: */*\r\n\r\n");
        assert_eq!(reader.next(&Limits::default()).unwrap_err(), FrameError::Magic(*b"GET "));
    }

    fn first(bytes: &[u8]) -> [u8; HEADER_LEN] {
        *bytes.first_chunk().unwrap()
    }
}
