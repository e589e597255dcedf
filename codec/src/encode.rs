//! Messages to frames, appended to a buffer that is used again and again.

use rkyv::api::high::to_bytes_in_with_alloc;
use rkyv::rancor::Failure;
use rkyv::ser::allocator::Arena;
use rkyv::util::AlignedVec;

use crate::kinds::Encode;
use crate::{EncodeError, Flags, HEADER_LEN, Header, JobId, ProtocolVersion, ShardId};

/// What a sender chooses of a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Reply, request.
    pub flags: Flags,
    /// The requester's number, or 0.
    pub correlation: u32,
    /// The job's id, or 0.
    pub route: u128,
    /// Wanted shard of the receiver.
    pub shard: ShardId,
}

impl Default for Head {
    fn default() -> Self {
        Self { flags: Flags::default(), correlation: 0, route: 0, shard: ShardId::ANY }
    }
}

impl Head {
    /// A request that wants an answer under this number.
    #[must_use]
    pub fn request(correlation: u32) -> Self {
        Self { flags: Flags::WANTS_REPLY, correlation, ..Self::default() }
    }

    /// The answer to the request of this number.
    #[must_use]
    pub fn reply(correlation: u32) -> Self {
        Self { flags: Flags::REPLY, correlation, ..Self::default() }
    }

    /// About this job.
    #[must_use]
    pub const fn job(mut self, job: JobId) -> Self {
        self.flags = self.flags.with(Flags::ROUTE_JOB);
        self.route = job.0;
        self
    }
}

/// Writes messages; keeps its memory.
pub struct Encoder {
    arena: Arena,
    archive: AlignedVec,
}

impl Default for Encoder {
    fn default() -> Self {
        Self { arena: Arena::new(), archive: AlignedVec::new() }
    }
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Encoder({} bytes)", self.archive.capacity())
    }
}

impl Encoder {
    /// Appends one whole frame to `out`.
    ///
    /// # Errors
    /// [`EncodeError`]: over the kind's limit; then nothing was appended.
    pub fn append<M: Encode>(&mut self, out: &mut Vec<u8>, head: Head, message: &M) -> Result<(), EncodeError> {
        let kind = M::KIND;
        let mut archive = std::mem::take(&mut self.archive);
        archive.clear();
        let archive = to_bytes_in_with_alloc::<_, _, Failure>(message, archive, self.arena.acquire())
            .map_err(|_failure| EncodeError::Archive(kind))?;
        let too_long = || EncodeError::TooLong { kind, len: archive.len(), max: kind.core_max() };
        let core_len = u32::try_from(archive.len()).map_err(|_long| too_long())?;
        if core_len > kind.core_max() {
            return Err(too_long());
        }
        let [major, _] = ProtocolVersion::CURRENT.major.to_le_bytes();
        let [minor, _] = ProtocolVersion::CURRENT.minor.to_le_bytes();
        let header = Header {
            major,
            minor,
            kind: kind as u16,
            flags: head.flags,
            root_len: u16::try_from(size_of::<M::Archived>()).map_err(|_long| too_long())?,
            core_len,
            ext_len: 0,
            shard: head.shard,
            correlation: head.correlation,
            route: head.route,
            body_crc: crc32fast::hash(&archive),
        };
        out.reserve(HEADER_LEN.saturating_add(archive.len()));
        out.extend_from_slice(&header.encode());
        out.extend_from_slice(&archive);
        self.archive = archive;
        Ok(())
    }
}
