//! One whole frame in a receive buffer, and its body as a message in place.

use std::fmt;
use std::ops::Deref;

use rkyv::api::low::deserialize;
use rkyv::rancor::Failure;

use crate::ext::{ExtensionError, Extensions};
use crate::frame_reader::{check_lengths, check_major};
use crate::root::root;
use crate::{
    AdmitError, DecodeError, Flags, FrameError, HEADER_LEN, Header, JobId, Kind, Limits, Message, Role,
};

/// A frame whose lengths and checksums hold. It borrows the buffer it was received into.
#[derive(Clone, Copy)]
pub struct RawFrame<'a> {
    /// Its envelope.
    pub header: Header,
    /// All of it, header included; what a forwarder passes on.
    pub bytes: &'a [u8],
}

impl fmt::Debug for RawFrame<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RawFrame({:#06x} {:?}, {} bytes)", self.header.kind, self.kind(), self.bytes.len())
    }
}

impl<'a> RawFrame<'a> {
    /// Reads one whole frame that lies in memory, such as one a core just encoded.
    ///
    /// # Errors
    /// [`FrameError`], as the frame reader gives it; bytes missing or left over are [`FrameError::Partial`].
    pub fn read(bytes: &'a [u8], limits: &Limits) -> Result<Self, FrameError> {
        let partial = |want| FrameError::Partial { got: bytes.len(), want };
        let head = bytes.first_chunk::<HEADER_LEN>().ok_or(partial(HEADER_LEN))?;
        let header = Header::decode(head)?;
        check_major(&header)?;
        check_lengths(&header, limits)?;
        if bytes.len() != header.frame_len() {
            return Err(partial(header.frame_len()));
        }
        Self::checked(header, bytes)
    }

    /// `bytes` are exactly the frame of `header`, whose lengths were checked; checks the body's checksum.
    pub(crate) fn checked(header: Header, bytes: &'a [u8]) -> Result<Self, FrameError> {
        debug_assert_eq!(bytes.len(), header.frame_len(), "a frame of another length than its header tells");
        let want = crc32fast::hash(bytes.get(HEADER_LEN..).unwrap_or_default());
        if want != header.body_crc {
            return Err(FrameError::BodyChecksum { kind: header.kind, got: header.body_crc, want });
        }
        Ok(Self { header, bytes })
    }

    /// What its body is; `None` for a kind of a newer minor.
    #[must_use]
    pub const fn kind(&self) -> Option<Kind> {
        Kind::from_wire(self.header.kind)
    }

    /// The job it is about, if its header says.
    #[must_use]
    pub fn job(&self) -> Option<JobId> {
        self.header.flags.contains(Flags::ROUTE_JOB).then_some(JobId(self.header.route))
    }

    /// The archive.
    #[must_use]
    pub fn core(&self) -> &'a [u8] {
        self.body().get(..self.core_len()).unwrap_or_default()
    }

    /// The extension block as it came.
    #[must_use]
    pub fn ext(&self) -> &'a [u8] {
        self.body().get(self.core_len()..).unwrap_or_default()
    }

    fn body(&self) -> &'a [u8] {
        self.bytes.get(HEADER_LEN..).unwrap_or_default()
    }

    fn core_len(&self) -> usize {
        usize::try_from(self.header.core_len).unwrap_or(usize::MAX)
    }

    /// Whether a peer of this role may send it to us ([`Header::admit`]).
    ///
    /// # Errors
    /// [`AdmitError`], whose code is the answer if the frame wants one.
    pub fn admit(&self, sender: Role) -> Result<Option<Kind>, AdmitError> {
        self.header.admit(sender)
    }

    /// The extensions we know.
    ///
    /// # Errors
    /// When the block is malformed, or holds a critical one that we do not know.
    pub fn extensions(&self) -> Result<Extensions, ExtensionError> {
        Extensions::decode(self.ext())
    }

    /// The body as message `M`, in place, its extensions checked before. `scratch` is used only for an older sender's shorter root.
    ///
    /// # Errors
    /// [`DecodeError`]; the connection can go on.
    pub fn decode<'s, M: Message>(&self, scratch: &'s mut Vec<u8>) -> Result<&'s M::Archived, DecodeError>
    where
        'a: 's,
    {
        if self.header.kind != M::KIND.to_wire() {
            return Err(DecodeError::Kind { got: self.header.kind, want: M::KIND });
        }
        // A critical extension changes what the message means; only who passes it on unread may not care.
        self.extensions().map_err(|source| DecodeError::Extensions { kind: M::KIND, source })?;
        root::<M::Archived>(self.core(), usize::from(self.header.root_len), M::ROOTS, scratch)
            .map_err(|source| DecodeError::Root { kind: M::KIND, source })
    }

    /// The body as message `M` in place, with its envelope.
    ///
    /// # Errors
    /// [`DecodeError`]; the connection can go on.
    pub fn typed<'s, M: Message>(&self, scratch: &'s mut Vec<u8>) -> Result<Frame<'s, M>, DecodeError>
    where
        'a: 's,
    {
        Ok(Frame { header: self.header, message: self.decode::<M>(scratch)? })
    }

    /// A copy of the body that outlives the buffer. Allocates; for what must be kept.
    ///
    /// # Errors
    /// [`DecodeError`]; the connection can go on.
    pub fn to_owned<M: Message>(&self, scratch: &mut Vec<u8>) -> Result<M, DecodeError> {
        to_owned::<M>(self.decode::<M>(scratch)?)
    }
}

/// A copy of an archived message that outlives its buffer. Allocates; for what must be kept.
///
/// # Errors
/// None for a validated archive; the type says so because the archive format can tell of failures.
pub fn to_owned<M: Message>(archived: &M::Archived) -> Result<M, DecodeError> {
    let source = crate::RootError::Invalid;
    deserialize::<M, Failure>(archived).map_err(|_failure| DecodeError::Root { kind: M::KIND, source })
}

/// A validated message in place, with its envelope.
pub struct Frame<'a, M: Message> {
    /// The envelope.
    pub header: Header,
    /// The message.
    pub message: &'a M::Archived,
}

impl<M: Message> fmt::Debug for Frame<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Frame({:?}, correlation {})", M::KIND, self.header.correlation)
    }
}

impl<M: Message> Deref for Frame<'_, M> {
    type Target = M::Archived;

    fn deref(&self) -> &M::Archived {
        self.message
    }
}
