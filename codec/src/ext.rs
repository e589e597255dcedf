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

/// One extension with its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extension {
    /// Time left for the whole call, in ms.
    DeadlineMs(u32),
    /// Trace id, span id.
    Trace([u8; 16], [u8; 8]),
    /// The caller's idempotency key.
    Idempotency([u8; 16]),
    /// Which attempt of the call this is, from 1.
    Attempt(u8),
}

impl Extension {
    /// Appends it; callers append in ascending order of ids, which is the order of the variants.
    pub fn encode(self, out: &mut Vec<u8>) {
        let mut put = |id: u16, parts: &[&[u8]]| {
            let len = parts.iter().fold(0_u16, |sum, part| sum.saturating_add(part.len().try_into().unwrap_or(u16::MAX)));
            out.extend_from_slice(&id.to_le_bytes());
            out.extend_from_slice(&len.to_le_bytes());
            parts.iter().for_each(|part| out.extend_from_slice(part));
        };
        match self {
            Self::DeadlineMs(ms) => put(DEADLINE_MS, &[&ms.to_le_bytes()]),
            Self::Trace(trace, span) => put(TRACE, &[&trace, &span]),
            Self::Idempotency(key) => put(IDEMPOTENCY, &[&key]),
            Self::Attempt(attempt) => put(ATTEMPT, &[&[attempt]]),
        }
    }
}

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
    /// Reads a block. Unknown extensions that are not critical are skipped.
    ///
    /// # Errors
    /// [`ExtensionError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, ExtensionError> {
        let mut all = Self::default();
        let mut rest = bytes;
        let mut last = 0_u16;
        let mut seen = 0_usize;
        while !rest.is_empty() {
            let malformed = || ExtensionError::Malformed(bytes.len().saturating_sub(rest.len()));
            let (kind, after) = rest.split_first_chunk::<2>().ok_or_else(malformed)?;
            let (len, after) = after.split_first_chunk::<2>().ok_or_else(malformed)?;
            let (kind, len) = (u16::from_le_bytes(*kind), usize::from(u16::from_le_bytes(*len)));
            let (value, after) = after.split_at_checked(len).ok_or_else(malformed)?;
            let id = kind & !CRITICAL;
            seen = seen.saturating_add(1);
            if id <= last || seen > COUNT_MAX {
                return Err(malformed());
            }
            last = id;
            match id {
                DEADLINE_MS => all.deadline_ms = Some(u32::from_le_bytes(exact(value).ok_or_else(malformed)?)),
                TRACE => {
                    let (trace, span) = value.split_first_chunk::<16>().ok_or_else(malformed)?;
                    all.trace = Some((*trace, exact(span).ok_or_else(malformed)?));
                }
                IDEMPOTENCY => all.idempotency = Some(exact(value).ok_or_else(malformed)?),
                ATTEMPT => all.attempt = Some(u8::from_le_bytes(exact(value).ok_or_else(malformed)?)),
                unknown if kind & CRITICAL != 0 => return Err(ExtensionError::Unsupported(unknown)),
                _skipped => {}
            }
            rest = after;
        }
        Ok(all)
    }
}

fn exact<const N: usize>(value: &[u8]) -> Option<[u8; N]> {
    value.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block() -> Vec<u8> {
        let mut out = Vec::new();
        Extension::DeadlineMs(250).encode(&mut out);
        Extension::Trace([1; 16], [2; 8]).encode(&mut out);
        Extension::Idempotency([3; 16]).encode(&mut out);
        Extension::Attempt(2).encode(&mut out);
        out
    }

    #[test]
    fn all_known_extensions_come_back() {
        let all = Extensions::decode(&block()).unwrap();
        assert_eq!(all.deadline_ms, Some(250));
        assert_eq!(all.trace, Some(([1; 16], [2; 8])));
        assert_eq!((all.idempotency, all.attempt), (Some([3; 16]), Some(2)));
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
