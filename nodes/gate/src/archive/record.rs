//! One finished job as it lies in an archive: all that a question about it is answered with.
//!
//! A head of fixed length, three frames as they travel (how the job stands, its windows, its result), and the SHA-256 of
//! all before. As frames, records of other minors are read as their messages are. Pure; a record that was cut, or that
//! a disk changed, is an error.

use hyperscale_codec::messages::{JobFinalResult, JobStatusResponse, StatsResponse};
use hyperscale_codec::{
    DecodeError, EncodeError, Encoder, FrameError, FrameReader, Head, JobId, Limits, Message,
};
use sha2::{Digest, Sha256};

/// What a record begins with; the last byte is the layout's number.
const MAGIC: [u8; 8] = *b"hs-job\0\x01";
/// Magic, job, hash of the plan, time of the end, number of the last push.
const HEAD: usize = 8 + 16 + 32 + 8 + 8;
const DIGEST: usize = 32;

/// What lists and most questions need of a finished job.
#[derive(Debug, Clone, PartialEq)]
pub struct ArchiveEntry {
    /// How it stands, for good.
    pub status: JobStatusResponse,
    /// Of its plan, for whoever submits it again.
    pub plan_sha256: [u8; 32],
    /// By the wall clock of the gate that ended it.
    pub ended_unix_ms: u64,
    /// Number of the last push.
    pub seq: u64,
}

impl ArchiveEntry {
    /// Which job.
    #[must_use]
    pub const fn job(&self) -> JobId {
        JobId::from_bytes(self.status.job)
    }
}

/// All of it.
#[derive(Debug, Clone, PartialEq)]
pub struct ArchiveRecord {
    pub entry: ArchiveEntry,
    /// A row for all workflows, and one for each.
    pub windows: StatsResponse,
    /// As its clients were told.
    pub result: JobFinalResult,
}

/// Why bytes are no record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// It has another beginning.
    #[error("it does not begin as a record of a job does, or is of a later version")]
    NotOne,
    /// It was cut.
    #[error("{0} bytes are too few for a record; it was not written to its end")]
    Short(usize),
    /// Some of it is not as it was written.
    #[error("its checksum does not fit; it was cut or changed after it was written")]
    Checksum,
    /// It was written wrong.
    #[error("its frames cannot be read: {0}")]
    Frame(#[from] FrameError),
    /// It was written wrong.
    #[error("a message in it cannot be read: {0}")]
    Message(#[from] DecodeError),
    /// It was written wrong.
    #[error("a message is missing in it")]
    Missing,
    /// Its parts are of several jobs.
    #[error("its parts are about different jobs")]
    Mixed,
}

impl ArchiveRecord {
    /// The bytes that are kept.
    ///
    /// # Errors
    /// [`EncodeError`] where a part is too long to travel.
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        let (entry, job) = (&self.entry, self.entry.job());
        let mut out = Vec::with_capacity(4096);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&job.to_bytes());
        out.extend_from_slice(&entry.plan_sha256);
        out.extend_from_slice(&entry.ended_unix_ms.to_le_bytes());
        out.extend_from_slice(&entry.seq.to_le_bytes());
        let (mut encoder, head) = (Encoder::default(), Head::default().job(job));
        encoder.append(&mut out, head, &entry.status)?;
        encoder.append(&mut out, head, &self.windows)?;
        encoder.append(&mut out, head, &self.result)?;
        let digest = Sha256::digest(&out);
        out.extend_from_slice(&digest);
        Ok(out)
    }

    /// Reads what [`ArchiveRecord::encode`] wrote, of any minor.
    ///
    /// # Errors
    /// [`RecordError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        if !bytes.starts_with(&MAGIC) {
            return Err(RecordError::NotOne);
        }
        let short = || RecordError::Short(bytes.len());
        let body = bytes.len().checked_sub(DIGEST).ok_or_else(short)?;
        let (body, digest) = bytes.split_at_checked(body).ok_or_else(short)?;
        let (head, frames) = body.split_at_checked(HEAD).ok_or_else(short)?;
        if Sha256::digest(body).as_slice() != digest {
            return Err(RecordError::Checksum);
        }
        let job: [u8; 16] = part(head, 8).ok_or_else(short)?;
        let mut frames = Frames::of(frames);
        let record = Self {
            entry: ArchiveEntry {
                status: frames.next::<JobStatusResponse>()?,
                plan_sha256: part(head, 24).ok_or_else(short)?,
                ended_unix_ms: u64::from_le_bytes(part(head, 56).ok_or_else(short)?),
                seq: u64::from_le_bytes(part(head, 64).ok_or_else(short)?),
            },
            windows: frames.next::<StatsResponse>()?,
            result: frames.next::<JobFinalResult>()?,
        };
        let jobs = [record.entry.status.job, record.windows.job, record.result.job];
        if jobs.iter().any(|other| *other != job) {
            return Err(RecordError::Mixed);
        }
        Ok(record)
    }
}

fn part<const N: usize>(head: &[u8], at: usize) -> Option<[u8; N]> {
    head.get(at..)?.first_chunk().copied()
}

struct Frames {
    reader: FrameReader,
    scratch: Vec<u8>,
}

impl Frames {
    fn of(bytes: &[u8]) -> Self {
        let mut reader = FrameReader::new();
        reader.feed(bytes);
        Self { reader, scratch: Vec::new() }
    }

    fn next<M: Message>(&mut self) -> Result<M, RecordError> {
        let frame = self.reader.next(&Limits::default())?.ok_or(RecordError::Missing)?;
        Ok(frame.to_owned::<M>(&mut self.scratch)?)
    }
}

#[cfg(test)]
mod tests {
    use hyperscale_codec::Hist;
    use hyperscale_codec::messages::{JobState, StatsEntry};

    use super::*;

    pub(crate) fn record() -> ArchiveRecord {
        let job = [7; 16];
        let mut latency = Hist::new();
        (1..500).for_each(|ms| latency.record(ms * 1_000_000));
        ArchiveRecord {
            entry: ArchiveEntry {
                status: JobStatusResponse {
                    job,
                    name: "checkout".into(),
                    state: JobState::Failed.to_wire(),
                    error: "a datacenter was lost".into(),
                    owner: [1; 16],
                    owner_name: "gate-1".into(),
                    owner_addr: "127.0.0.1:7001".into(),
                    fence_token: 41,
                    accepted_unix_ms: 1_800_000_000_000,
                    elapsed_ms: 9_000,
                    requests: 499,
                    errors: 3,
                    dropped: 1,
                    datacenters: vec!["dc-1".into()],
                },
                plan_sha256: [9; 32],
                ended_unix_ms: 1_800_000_009_000,
                seq: 9,
            },
            windows: StatsResponse {
                job,
                state: JobState::Failed.to_wire(),
                window_ms: 1_000,
                end_ms: 9_000,
                workflows: vec!["w".into()],
                entries: vec![StatsEntry { requests: 499, tier: 4, ..StatsEntry::default() }],
                next: 0,
            },
            result: JobFinalResult {
                job,
                fence_token: 41,
                seq: 9,
                outcome: JobState::Failed.to_wire(),
                partial: true,
                summary: "{}".into(),
                latency: latency.to_sparse(),
            },
        }
    }

    #[test]
    fn a_record_is_read_back_as_it_was() {
        let bytes = record().encode().unwrap();
        assert_eq!(ArchiveRecord::decode(&bytes), Ok(record()));
    }

    #[test]
    fn a_record_that_was_cut_or_changed_anywhere_is_refused() {
        let bytes = record().encode().unwrap();
        for len in 0..bytes.len() {
            assert!(ArchiveRecord::decode(&bytes[..len]).is_err(), "{len} of {}", bytes.len());
        }
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << (at % 8);
            assert!(ArchiveRecord::decode(&changed).is_err(), "byte {at}");
        }
        assert_eq!(ArchiveRecord::decode(b"a file of somebody else"), Err(RecordError::NotOne));
    }

    #[test]
    fn a_record_that_was_written_wrong_is_refused_although_its_checksum_fits() {
        let seal = |mut bytes: Vec<u8>| {
            let digest = Sha256::digest(&bytes);
            bytes.extend_from_slice(&digest);
            bytes
        };
        let bytes = record().encode().unwrap();
        let body = &bytes[..bytes.len() - DIGEST];
        assert_eq!(ArchiveRecord::decode(&seal(body[..HEAD].to_vec())), Err(RecordError::Missing));
        let mut other = body.to_vec();
        other[8] ^= 1;
        assert_eq!(ArchiveRecord::decode(&seal(other)), Err(RecordError::Mixed));
    }
}
