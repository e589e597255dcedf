//! Extensions: what belongs to no single kind, as `type u16, len u16, value` after the core.
//!
//! Bit 15 of the type marks a critical one: a reader that does not know it refuses the message, not the connection.
//! Ids ascend strictly, at most sixteen. Values have fixed layouts.

/// Time left for the whole call, in ms.
const DEADLINE_MS: u16 = 1;
/// Trace id and span id.
const TRACE: u16 = 2;
/// The caller's idempotency key.
const IDEMPOTENCY: u16 = 3;
/// Which attempt of the call this is, from 1.
const ATTEMPT: u16 = 4;

const CRITICAL: u16 = 1 << 15;
const COUNT_MAX: usize = 16;

/// What is wrong with a block of extensions.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExtensionError {
    /// Short, disordered, or a value of a wrong length.
    #[error("the extension block is malformed at byte {0}")]
    Malformed(usize),
    /// Critical and unknown: the message must not be acted on.
    #[error("critical extension {0} is unknown to this version")]
    Unsupported(u16),
}

/// The known extensions of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Extensions {
    /// Time left for the whole call, in ms.
    pub deadline_ms: Option<u32>,
    /// Trace id, span id.
    pub trace: Option<([u8; 16], [u8; 8])>,
    /// The caller's idempotency key.
    pub idempotency: Option<[u8; 16]>,
    /// Which attempt of the call this is.
    pub attempt: Option<u8>,
}

impl Extensions {
    /// Appends the block that travels; ids ascend.
    pub fn encode(&self, out: &mut Vec<u8>) {
        if let Some(ms) = self.deadline_ms {
            put(out, DEADLINE_MS, &[&ms.to_le_bytes()]);
        }
        if let Some((trace, span)) = self.trace {
            put(out, TRACE, &[&trace, &span]);
        }
        if let Some(key) = self.idempotency {
            put(out, IDEMPOTENCY, &[&key]);
        }
        if let Some(attempt) = self.attempt {
            put(out, ATTEMPT, &[&[attempt]]);
        }
    }

    /// Reads a block. Unknown extensions that are not critical are skipped.
    ///
    /// # Errors
    /// [`ExtensionError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, ExtensionError> {
        let mut all = Self::default();
        for extension in RawExtensions::new(bytes) {
            let RawExtension { id, critical, value, at } = extension?;
            let malformed = || ExtensionError::Malformed(at);
            match id {
                DEADLINE_MS => {
                    all.deadline_ms = Some(u32::from_le_bytes(exact(value).ok_or_else(malformed)?))
                }
                TRACE => {
                    let (trace, span) = value.split_first_chunk::<16>().ok_or_else(malformed)?;
                    all.trace = Some((*trace, exact(span).ok_or_else(malformed)?));
                }
                IDEMPOTENCY => all.idempotency = Some(exact(value).ok_or_else(malformed)?),
                ATTEMPT => all.attempt = Some(u8::from_le_bytes(exact(value).ok_or_else(malformed)?)),
                unknown if critical => return Err(ExtensionError::Unsupported(unknown)),
                _skipped => {}
            }
        }
        Ok(all)
    }
}

/// One extension of a block, known or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawExtension<'a> {
    /// What it is, without the critical bit.
    pub id: u16,
    /// Whether a reader that does not know it must refuse the message.
    pub critical: bool,
    /// Its value.
    pub value: &'a [u8],
    /// Where in the block it begins.
    pub at: usize,
}

/// The extensions of a block in order; ends after the first error.
#[derive(Debug, Clone)]
pub struct RawExtensions<'a> {
    block: &'a [u8],
    rest: &'a [u8],
    last: u16,
    left: usize,
}

impl<'a> RawExtensions<'a> {
    /// Begins at the head of a block.
    #[must_use]
    pub const fn new(block: &'a [u8]) -> Self {
        Self { block, rest: block, last: 0, left: COUNT_MAX }
    }

    fn advance(&mut self) -> Option<RawExtension<'a>> {
        let at = self.block.len().saturating_sub(self.rest.len());
        let (kind, rest) = self.rest.split_first_chunk::<2>()?;
        let (len, rest) = rest.split_first_chunk::<2>()?;
        let (value, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes(*len)))?;
        let kind = u16::from_le_bytes(*kind);
        let id = kind & !CRITICAL;
        self.left = self.left.checked_sub(1)?;
        if id <= self.last {
            return None;
        }
        (self.last, self.rest) = (id, rest);
        Some(RawExtension { id, critical: kind & CRITICAL != 0, value, at })
    }
}

impl<'a> Iterator for RawExtensions<'a> {
    type Item = Result<RawExtension<'a>, ExtensionError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let at = self.block.len().saturating_sub(self.rest.len());
        let next = self.advance().ok_or(ExtensionError::Malformed(at));
        if next.is_err() {
            self.rest = &[];
        }
        Some(next)
    }
}

fn put(out: &mut Vec<u8>, id: u16, parts: &[&[u8]]) {
    let len = parts.iter().fold(0_usize, |sum, part| sum.saturating_add(part.len()));
    out.extend_from_slice(&id.to_le_bytes());
    out.extend_from_slice(&u16::try_from(len).unwrap_or(u16::MAX).to_le_bytes());
    parts.iter().for_each(|part| out.extend_from_slice(part));
}

fn exact<const N: usize>(value: &[u8]) -> Option<[u8; N]> {
    value.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Extensions {
        Extensions {
            deadline_ms: Some(250),
            trace: Some(([1; 16], [2; 8])),
            idempotency: Some([3; 16]),
            attempt: Some(2),
        }
    }

    fn block() -> Vec<u8> {
        let mut out = Vec::new();
        all().encode(&mut out);
        out
    }

    #[test]
    fn all_known_extensions_come_back() {
        assert_eq!(Extensions::decode(&block()), Ok(all()));
    }

    #[test]
    fn every_truncation_is_malformed_or_a_shorter_block() {
        let whole = block();
        for len in 1..whole.len() {
            let read = Extensions::decode(&whole[..len]);
            assert_ne!(read, Extensions::decode(&whole), "{len}");
        }
    }

    #[test]
    fn an_unknown_extension_is_skipped_unless_critical() {
        assert_eq!(Extensions::decode(&[99, 0, 1, 0, 7]), Ok(Extensions::default()));
        assert_eq!(Extensions::decode(&[99, 0x80, 1, 0, 7]), Err(ExtensionError::Unsupported(99)));
    }

    #[test]
    fn ids_must_ascend() {
        assert_eq!(Extensions::decode(&[4, 0, 1, 0, 1, 4, 0, 1, 0, 1]), Err(ExtensionError::Malformed(5)));
    }
}
