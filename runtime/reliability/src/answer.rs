//! What a refused request is answered with.

use hyperscale_codec::messages::{ErrorReply, JobProgressAck, RateLimitResponse, StatsAck};
use hyperscale_codec::{EncodeError, Encoder, ErrorCode, Head, Header, JobId, Kind};

use crate::OverloadState;

/// Backpressure level 3: no deltas, snapshots only.
const REJECT: u8 = 3;

/// What a shed request is answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShedAnswer {
    /// How loaded the node is.
    pub state: OverloadState,
    /// When to try again.
    pub retry_after_ms: u32,
}

/// The answer to a frame that its receiver did not take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// The node is loaded; statistics are told so in their own receipt.
    Shed(ShedAnswer),
    /// Beyond the caller's rate.
    Limited {
        /// Its number in the table of operations.
        operation: u8,
        /// Its name.
        name: &'static str,
        retry_after_ms: u32,
        /// Requests at once at most.
        limit: u32,
        /// Requests that would be taken now.
        remaining: u32,
        /// Whether the caller has the feature `rate_limiting`, and so the message of that name.
        own_message: bool,
    },
}

impl Answer {
    /// Appends the frame that answers the request of this header.
    ///
    /// # Errors
    /// [`EncodeError`]; none of these answers is ever too long.
    pub fn append(&self, encoder: &mut Encoder, out: &mut Vec<u8>, to: &Header) -> Result<(), EncodeError> {
        let head = Head { route: to.route, ..Head::reply(to.correlation) };
        match *self {
            Self::Shed(shed) => match Kind::from_wire(to.kind) {
                Some(Kind::StatsUpdate | Kind::StatsSnapshot) => {
                    encoder.append(out, head, &rejected(JobId(to.route), shed.retry_after_ms))
                }
                Some(Kind::JobProgress) => {
                    let (job, delay_ms) = (JobId(to.route).to_bytes(), shed.retry_after_ms);
                    encoder.append(out, head, &JobProgressAck { job, level: REJECT, delay_ms })
                }
                _ => encoder.append(out, head, &overloaded(shed)),
            },
            Self::Limited { operation, name, retry_after_ms, limit, remaining, own_message } => {
                if own_message {
                    let told = RateLimitResponse { operation, retry_after_ms, limit, remaining };
                    return encoder.append(out, head, &told);
                }
                let message = format!(
                    "more than {limit} {name} requests at once; the next is taken in {retry_after_ms} ms"
                );
                encoder.append(out, head, &error(ErrorCode::RateLimited, message, retry_after_ms))
            }
        }
    }
}

/// A receipt of nothing: the statistics were not read, and the next may come merged.
fn rejected(job: JobId, delay_ms: u32) -> StatsAck {
    StatsAck { job: job.to_bytes(), level: REJECT, delay_ms, ..StatsAck::default() }
}

fn overloaded(shed: ShedAnswer) -> ErrorReply {
    let (state, wait) = (shed.state.as_str(), shed.retry_after_ms);
    let message = format!("this node is {state}; the request may be taken in {wait} ms");
    error(ErrorCode::Overloaded, message, wait)
}

fn error(code: ErrorCode, message: String, retry_after_ms: u32) -> ErrorReply {
    ErrorReply {
        code: code.to_wire(),
        message,
        retry_after_ms,
        holder: [0; 16],
        holder_addr: String::new(),
        seen: 0,
    }
}
