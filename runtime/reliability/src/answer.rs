//! What a refused request is answered with.

use std::fmt::Write as _;

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

/// Writes answers, and keeps its memory from one to the next: who is flooded must not pay for each refusal with an
/// allocation.
#[derive(Debug)]
pub struct AnswerWriter {
    encoder: Encoder,
    error: ErrorReply,
    receipt: StatsAck,
}

impl Default for AnswerWriter {
    fn default() -> Self {
        let error = ErrorReply {
            code: 0,
            message: String::new(),
            retry_after_ms: 0,
            holder: [0; 16],
            holder_addr: String::new(),
            seen: 0,
        };
        let receipt = StatsAck { level: REJECT, ..StatsAck::default() };
        Self { encoder: Encoder::default(), error, receipt }
    }
}

impl AnswerWriter {
    /// Appends the frame that answers the request of this header.
    ///
    /// # Errors
    /// [`EncodeError`]; none of these answers is ever too long.
    pub fn append(&mut self, out: &mut Vec<u8>, to: &Header, answer: &Answer) -> Result<(), EncodeError> {
        let head = Head { route: to.route, ..Head::reply(to.correlation) };
        match *answer {
            Answer::Shed(shed) => self.shed(out, head, to, shed),
            Answer::Limited { operation, retry_after_ms, limit, remaining, own_message: true, .. } => {
                let told = RateLimitResponse { operation, retry_after_ms, limit, remaining };
                self.encoder.append(out, head, &told)
            }
            Answer::Limited { name, retry_after_ms: wait, limit, .. } => {
                let what =
                    format_args!("more than {limit} {name} requests at once; the next is taken in {wait} ms");
                self.error(out, head, ErrorCode::RateLimited, wait, what)
            }
        }
    }

    fn shed(
        &mut self,
        out: &mut Vec<u8>,
        head: Head,
        to: &Header,
        shed: ShedAnswer,
    ) -> Result<(), EncodeError> {
        let (job, wait) = (JobId(to.route).to_bytes(), shed.retry_after_ms);
        match Kind::from_wire(to.kind) {
            // A receipt of nothing: the statistics were not read, and the next may come merged.
            Some(Kind::StatsUpdate | Kind::StatsSnapshot) => {
                (self.receipt.job, self.receipt.delay_ms) = (job, wait);
                self.encoder.append(out, head, &self.receipt)
            }
            Some(Kind::JobProgress) => {
                self.encoder.append(out, head, &JobProgressAck { job, level: REJECT, delay_ms: wait })
            }
            _ => {
                let state = shed.state.as_str();
                let what = format_args!("this node is {state}; the request may be taken in {wait} ms");
                self.error(out, head, ErrorCode::Overloaded, wait, what)
            }
        }
    }

    fn error(
        &mut self,
        out: &mut Vec<u8>,
        head: Head,
        code: ErrorCode,
        retry_after_ms: u32,
        what: std::fmt::Arguments<'_>,
    ) -> Result<(), EncodeError> {
        self.error.message.clear();
        let _a_string_takes_all = self.error.message.write_fmt(what);
        (self.error.code, self.error.retry_after_ms) = (code.to_wire(), retry_after_ms);
        self.encoder.append(out, head, &self.error)
    }
}
