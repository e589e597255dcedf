//! Messages to frames, appended to a buffer that is used again and again.
//!
//! The archive is written straight behind the room left for its header: one buffer, one write, and no allocation
//! once buffer and scratch have grown to the messages' size.

use rkyv::api::serialize_using;
use rkyv::rancor::Failure;
use rkyv::ser::Serializer;
use rkyv::ser::allocator::Arena;

use crate::{EncodeError, Extensions, Flags, HEADER_LEN, Header, JobId, Message, ProtocolVersion, ShardId};

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

    /// To this shard of the receiver.
    #[must_use]
    pub const fn shard(mut self, shard: ShardId) -> Self {
        self.shard = shard;
        self
    }
}

/// Writes messages; keeps its scratch memory from one to the next.
#[derive(Default)]
pub struct Encoder {
    arena: Arena,
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Encoder({} bytes of scratch)", self.arena.capacity())
    }
}

impl Encoder {
    /// Appends one whole frame to `out`.
    ///
    /// # Errors
    /// [`EncodeError`]: over the kind's limit; then nothing was appended.
    pub fn append<M: Message>(
        &mut self,
        out: &mut Vec<u8>,
        head: Head,
        message: &M,
    ) -> Result<(), EncodeError> {
        self.append_with(out, head, &Extensions::default(), message)
    }

    /// Appends one whole frame with extensions to `out`.
    ///
    /// # Errors
    /// [`EncodeError`]: over the kind's limit; then nothing was appended.
    pub fn append_with<M: Message>(
        &mut self,
        out: &mut Vec<u8>,
        head: Head,
        extensions: &Extensions,
        message: &M,
    ) -> Result<(), EncodeError> {
        let start = out.len();
        let written = self.write(out, head, extensions, message);
        if written.is_err() {
            out.truncate(start);
        }
        written
    }

    fn write<M: Message>(
        &mut self,
        out: &mut Vec<u8>,
        head: Head,
        extensions: &Extensions,
        message: &M,
    ) -> Result<(), EncodeError> {
        let kind = M::KIND;
        let start = out.len();
        out.resize(start.saturating_add(HEADER_LEN), 0);
        let body = out.len();
        self.archive(out, message).map_err(|_failure| EncodeError::Archive(kind))?;
        let len = out.len().saturating_sub(body);
        let too_long = || EncodeError::TooLong { kind, len, max: M::CORE_MAX };
        let core_len = u32::try_from(len).ok().filter(|&len| len <= M::CORE_MAX).ok_or_else(too_long)?;
        let ext = out.len();
        extensions.encode(out);
        let ext_len = u16::try_from(out.len().saturating_sub(ext)).map_err(|_long| too_long())?;
        let [major, _] = ProtocolVersion::CURRENT.major.to_le_bytes();
        let [minor, _] = ProtocolVersion::CURRENT.minor.to_le_bytes();
        let header = Header {
            major,
            minor,
            kind: kind.to_wire(),
            flags: head.flags,
            root_len: u16::try_from(size_of::<M::Archived>()).map_err(|_long| too_long())?,
            core_len,
            ext_len,
            shard: head.shard,
            correlation: head.correlation,
            route: head.route,
            body_crc: crc32fast::hash(out.get(body..).unwrap_or_default()),
        };
        if let Some(room) = out.get_mut(start..body) {
            room.copy_from_slice(&header.encode());
        }
        Ok(())
    }

    /// Writes the archive behind what `out` holds. Its pointers are distances, so where it begins does not matter.
    fn archive<M: Message>(&mut self, out: &mut Vec<u8>, message: &M) -> Result<(), Failure> {
        let mut writer: Serializer<_, _, ()> = Serializer::new(std::mem::take(out), self.arena.acquire(), ());
        let written = serialize_using::<_, Failure>(message, &mut writer);
        *out = writer.into_writer();
        written.map(|_position| ())
    }
}
