//! The wire: a fixed 48-byte header of our own, then an rkyv archive (the *core*), then optional extensions.
//!
//! Pure: no I/O, no clock. Nothing here panics on a peer's bytes; everything a peer can grow is bounded. The format
//! and the rules for changing it are in `docs/reference/messages.md`.
#![forbid(unsafe_code)]
#![warn(missing_docs)]
#![warn(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss
)]

mod encode;
mod error;
mod ext;
mod forward;
mod frame;
mod frame_reader;
mod header;
mod hello;
mod hist;
pub mod ids;
pub mod kinds;
#[allow(missing_docs, reason = "fields named by the specification's catalogue; those that need it say more")]
pub mod messages;
mod root;
mod version;

pub use encode::{Encoder, Head};
pub use error::{
    AdmitError, DecodeError, EncodeError, ErrorCode, FrameError, HistError, RootError, StatsError,
};
pub use ext::{ExtensionError, Extensions, RawExtension, RawExtensions};
pub use forward::HeadPatch;
pub use frame::{Frame, RawFrame, to_owned};
pub use frame_reader::{FrameReader, Limits, Next};
pub use header::{Flags, HEADER_LEN, HOPS_MAX, Header, ROOT_MAX};
pub use hello::{
    HELLO_LEN_MAX, HELLO_LEN_MIN, HELLO_MAGIC, HELLO_PREFIX, Hello, HelloError, Verdict, hello_len,
};
pub use hist::{
    ArchivedSparseHist, BUCKETS, CheckedHist, Hist, HistExact, SparseHist, VALUE_MAX, bucket_high,
    bucket_index, bucket_low,
};
pub use ids::{Attempt, Epoch, FenceToken, JobId, NodeId, Sequence, ShardId, StepId, WorkflowId};
#[doc(hidden)]
pub use kinds::Message as Encode;
pub use kinds::{Kind, Message, Priority, Role, Roles};
pub use rkyv::Archived;
pub use version::{Features, NegotiatedCapabilities, NodeCapabilities, ProtocolVersion};
