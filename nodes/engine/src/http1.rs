//! HTTP/1.1 as a client speaks it (RFC 9112): requests rendered once, answers read piece by piece.
//!
//! In: a request of the plan; bytes of a stranger. Out: the bytes to send; how far an answer has come. Nothing of a
//! body is kept, only counted. Bounds: 64 KiB and 256 fields a head, 64 KiB of chunk extensions and trailers an
//! answer, 64 interim answers. No byte can panic it.

#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]
#![cfg_attr(
    test,
    allow(clippy::arithmetic_side_effects, reason = "a test that overflows fails, as it should")
)]

mod chunked;
mod head;
mod request;
mod response;

pub use chunked::Chunked;
pub use request::render;
pub use response::{Answer, HeadPool, Progress, ResponseReader};

/// Bytes of one head at most; of the chunk extensions and trailers of one answer at most, too.
pub const HEAD_BYTES_MAX: usize = 64 << 10;
/// Fields of one head at most.
pub const HEAD_FIELDS_MAX: usize = 256;
/// Interim answers (1xx) before the final one at most.
pub const INTERIM_MAX: u8 = 64;
