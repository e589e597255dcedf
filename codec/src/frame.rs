//! One whole frame in a receive buffer, and its body as a message in place.

use crate::ext::{ExtensionError, Extensions};
use crate::kinds::Decode;
use crate::root::root;
use crate::{DecodeError, HEADER_LEN, Header, JobId, Kind, Message};

/// A frame whose lengths and checksums hold. It borrows the buffer it was received into.
#[derive(Clone, Copy)]
pub struct RawFrame<'a> {
    /// Its envelope.
    pub header: Header,
    /// All of it, header included; what a forwarder passes on.
    pub bytes: &'a [u8],
}

impl std::fmt::Debug for RawFrame<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RawFrame({:?}, {} bytes)", self.kind(), self.bytes.len())
    }
}

impl<'a> RawFrame<'a> {
    /// What its body is; `None` for a kind of a newer minor.
    #[must_use]
    pub const fn kind(&self) -> Option<Kind> {
        Kind::from_wire(self.header.kind)
    }

    /// The job it is about, if its header says.
    #[must_use]
    pub fn job(&self) -> Option<JobId> {
        self.header.flags.contains(crate::Flags::ROUTE_JOB).then_some(JobId(self.header.route))
    }

    /// The archive.
    #[must_use]
    pub fn core(&self) -> &'a [u8] {
        let body = self.bytes.get(HEADER_LEN..).unwrap_or_default();
        body.get(..usize::try_from(self.header.core_len).unwrap_or(usize::MAX)).unwrap_or_default()
    }

    /// The extensions.
    ///
    /// # Errors
    /// When the block is malformed, or holds a critical one that we do not know.
    pub fn extensions(&self) -> Result<Extensions, ExtensionError> {
        let at = HEADER_LEN.saturating_add(self.core().len());
        Extensions::decode(self.bytes.get(at..).unwrap_or_default())
    }

    /// The body as message `M`, in place. `scratch` is used only for an older sender's shorter root.
    ///
    /// # Errors
    /// [`DecodeError`]; the connection can go on.
    pub fn decode<'s, M>(&self, scratch: &'s mut Vec<u8>) -> Result<&'s M::Archived, DecodeError>
    where
        M: Message<Archived: Decode>,
        'a: 's,
    {
        if self.header.kind != M::KIND as u16 {
            return Err(DecodeError::Kind { got: self.header.kind, want: M::KIND });
        }
        root::<M::Archived>(self.core(), usize::from(self.header.root_len), M::ROOTS, scratch)
            .map_err(|source| DecodeError::Root { kind: M::KIND, source })
    }
}
