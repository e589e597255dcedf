//! Passing a frame on by its header alone.
//!
//! The body is not read: what this version does not know of it (kind, flags, extensions, a longer root) reaches the
//! owner as it came, and the body's checksum stays the first sender's.

use crate::{AdmitError, Flags, HEADER_LEN, JobId, RawFrame, ShardId};

/// What a forwarder changes in the envelope of a frame; all else stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadPatch {
    /// The shard wanted at the next node.
    pub shard: ShardId,
    /// The forwarder's own number; it restores the requester's on the reply.
    pub correlation: u32,
    /// The job it is about, for a frame that came without, such as a submission; `None` leaves the route.
    pub job: Option<JobId>,
}

impl HeadPatch {
    /// Another shard and correlation, the route as it came.
    #[must_use]
    pub const fn new(shard: ShardId, correlation: u32) -> Self {
        Self { shard, correlation, job: None }
    }

    /// With the route of a job.
    #[must_use]
    pub const fn job(mut self, job: JobId) -> Self {
        self.job = Some(job);
        self
    }
}

impl RawFrame<'_> {
    /// Appends this frame to `out` for the next node: one hop more, the fields of `patch`, a new header checksum, and
    /// every other byte as it was received.
    ///
    /// # Errors
    /// [`AdmitError::Hops`] when it has crossed as many nodes as a frame may; then nothing was appended.
    pub fn forward(&self, out: &mut Vec<u8>, patch: HeadPatch) -> Result<(), AdmitError> {
        let Some(mut header) = self.header.forwarded(patch.shard, patch.correlation) else {
            return Err(AdmitError::Hops { kind: self.header.kind });
        };
        if let Some(job) = patch.job {
            header.flags = header.flags.with(Flags::ROUTE_JOB);
            header.route = job.0;
        }
        out.reserve(self.bytes.len());
        out.extend_from_slice(&header.encode());
        out.extend_from_slice(self.bytes.get(HEADER_LEN..).unwrap_or_default());
        Ok(())
    }
}
