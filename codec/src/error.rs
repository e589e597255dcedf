//! What can be wrong with bytes: what, where, and what would be right.

use crate::{ExtensionError, Header, Kind, ProtocolVersion, Role};

/// Why a frame's envelope is refused. After any of these the connection is out of step and must be closed, unless
/// the variant says otherwise.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Not our protocol, or out of step.
    #[error("frame magic is {0:02x?}, expected 89 48 53 43; is this a Hyperscale port?")]
    Magic([u8; 4]),
    /// The header was damaged, so its lengths cannot be trusted.
    #[error("frame header checksum is {got:08x}, its bytes give {want:08x}")]
    HeaderChecksum {
        /// As told.
        got: u32,
        /// As computed.
        want: u32,
    },
    /// The body was damaged.
    #[error("body checksum of a frame of kind {kind:#06x} is {got:08x}, its bytes give {want:08x}")]
    BodyChecksum {
        /// The frame's kind.
        kind: u16,
        /// As told.
        got: u32,
        /// As computed.
        want: u32,
    },
    /// Another major version than the connection's.
    #[error("frame of major version {got} on a connection of major version {want}")]
    Major {
        /// As told.
        got: u8,
        /// The connection's.
        want: u8,
    },
    /// Longer than this connection takes; nothing was allocated for it.
    #[error("frame of kind {kind:#06x} tells {len} bytes of {part}, at most {max} are accepted")]
    TooLong {
        /// The frame's kind.
        kind: u16,
        /// Core, root or extensions.
        part: &'static str,
        /// As told.
        len: u32,
        /// The limit.
        max: u32,
    },
    /// Longer than its kind may be. The frame is skipped, not read; the connection goes on.
    #[error("frame of kind {:#06x} tells {} bytes of core, its kind allows {max}", header.kind, header.core_len)]
    TooLongForKind {
        /// The frame's envelope, for an answer.
        header: Header,
        /// The kind's limit.
        max: u32,
    },
    /// Not one whole frame.
    #[error("{got} bytes are not one whole frame; {want} are")]
    Partial {
        /// Bytes given.
        got: usize,
        /// Bytes a whole frame has.
        want: usize,
    },
    /// The root does not fit its core.
    #[error(
        "frame of kind {kind:#06x} tells a root of {root} bytes in a core of {core}; 1 to 4096 and at most the core"
    )]
    RootLength {
        /// The frame's kind.
        kind: u16,
        /// As told.
        root: u16,
        /// As told.
        core: u32,
    },
}

impl FrameError {
    /// Whether the connection is out of step and must be closed.
    #[must_use]
    pub const fn closes(&self) -> bool {
        !matches!(self, Self::TooLongForKind { .. })
    }

    /// What the peer is told.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::Major { .. } => ErrorCode::Incompatible,
            Self::TooLong { .. } | Self::TooLongForKind { .. } => ErrorCode::TooLarge,
            Self::Magic(_)
            | Self::HeaderChecksum { .. }
            | Self::BodyChecksum { .. }
            | Self::Partial { .. }
            | Self::RootLength { .. } => ErrorCode::Malformed,
        }
    }
}

/// Why a whole frame is not let in, by its envelope alone. It is skipped and the connection goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AdmitError {
    /// A flag that voids the frame for a reader that does not know it.
    #[error("a frame of kind {kind:#06x} has flags {flags:#06x}; protocol {v} knows no bit of 0x0f00", v = ProtocolVersion::CURRENT)]
    Flags {
        /// The frame's kind.
        kind: u16,
        /// All its flags.
        flags: u16,
    },
    /// It goes in circles.
    #[error("a frame of kind {kind:#06x} has crossed as many nodes as a frame may")]
    Hops {
        /// The frame's kind.
        kind: u16,
    },
    /// A kind of a newer minor.
    #[error("kind {kind:#06x} is unknown to protocol {v}", v = ProtocolVersion::CURRENT)]
    Kind {
        /// The frame's kind.
        kind: u16,
    },
    /// That role may not send this kind.
    #[error("a {sender} may not send a {}", kind.name())]
    Sender {
        /// The frame's kind.
        kind: Kind,
        /// Who sent it.
        sender: Role,
    },
}

impl AdmitError {
    /// What the peer is told.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::Flags { .. } | Self::Kind { .. } => ErrorCode::Unsupported,
            Self::Hops { .. } => ErrorCode::Invalid,
            Self::Sender { .. } => ErrorCode::Forbidden,
        }
    }
}

/// Why a message's body is refused; the connection goes on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The caller asked for another message than the frame holds.
    #[error("a frame of kind {got:#06x} was read as {want:?}")]
    Kind {
        /// The frame's kind.
        got: u16,
        /// The kind asked for.
        want: Kind,
    },
    /// The archive is no such message.
    #[error("body of {kind:?}: {source}")]
    Root {
        /// The frame's kind.
        kind: Kind,
        /// What is wrong with it.
        source: RootError,
    },
    /// Its extensions cannot be read, or one of them must be known and is not.
    #[error("extensions of {kind:?}: {source}")]
    Extensions {
        /// The frame's kind.
        kind: Kind,
        /// What is wrong with them.
        source: ExtensionError,
    },
}

impl DecodeError {
    /// What the peer is told.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::Extensions { source: ExtensionError::Unsupported(_), .. } => {
                ErrorCode::UnsupportedExtension
            }
            Self::Extensions { source: ExtensionError::Malformed(_), .. }
            | Self::Kind { .. }
            | Self::Root { .. } => ErrorCode::Malformed,
        }
    }
}

/// What is wrong with a root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RootError {
    /// No released version has this length, or it does not fit.
    #[error("a root of {told} bytes in a core of {core} is no released size")]
    Length {
        /// As told by the header.
        told: usize,
        /// The core's length.
        core: usize,
    },
    /// The bytes are no valid archive.
    #[error("the archive is not valid")]
    Invalid,
}

/// Why a message cannot be sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// Longer than its kind allows.
    #[error("a {kind:?} of {len} bytes; its kind allows {max}")]
    TooLong {
        /// The message's kind.
        kind: Kind,
        /// The core's length.
        len: usize,
        /// The kind's limit.
        max: u32,
    },
    /// The archive could not be written.
    #[error("a {0:?} could not be archived")]
    Archive(Kind),
}

/// What is wrong with a histogram that arrived. Nothing of it was merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HistError {
    /// Columns of different lengths.
    #[error("columns of different lengths: {index} indexes, {lo} counts, {hi} high words")]
    Columns {
        /// Bucket indexes.
        index: usize,
        /// Low words.
        lo: usize,
        /// High words.
        hi: usize,
    },
    /// Bucket indexes must ascend and stay below 4864.
    #[error("bucket indexes must ascend below 4864; entry {0} does not")]
    Index(usize),
    /// A bucket that is listed holds something.
    #[error("entry {0} is an empty bucket; only others are listed")]
    Empty(usize),
    /// The buckets do not add up to the count.
    #[error("the buckets add up to {buckets}, the count says {count}")]
    Count {
        /// Sum over the buckets.
        buckets: u64,
        /// As told.
        count: u64,
    },
    /// Minimum, maximum or sum contradict the buckets.
    #[error("minimum, maximum or sum contradict the buckets")]
    Extremes,
    /// Adding it would overflow.
    #[error("adding it would overflow a count")]
    Overflow,
}

/// What is wrong with the columns of a statistics message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StatsError {
    /// All columns of one group have equal length.
    #[error("column {column} has {len} entries, its group has {want}")]
    ColumnLength {
        /// The column's name.
        column: &'static str,
        /// Its length.
        len: usize,
        /// Its group's length.
        want: usize,
    },
    /// More rows than a message may carry.
    #[error("{len} {what}, at most {max} in one message")]
    TooMany {
        /// Sources, cells, statuses or errors.
        what: &'static str,
        /// As told.
        len: usize,
        /// The limit.
        max: usize,
    },
    /// A row points to nothing.
    #[error("row {row} of {column} points to {target}, there are {len}")]
    Dangling {
        /// The pointing column.
        column: &'static str,
        /// Its row.
        row: usize,
        /// Where it points.
        target: usize,
        /// How many there are.
        len: usize,
    },
    /// Windows must not run backwards, nor last less than 100 ms or more than 10 s.
    #[error("windows {from}..={to} of {window_ms} ms; they must not run backwards, and last 100 ms to 10 s")]
    Window {
        /// First window.
        from: u32,
        /// Last window.
        to: u32,
        /// One window's length.
        window_ms: u32,
    },
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $number:literal $text:literal retry $retry:literal),+ $(,)?) => {
        /// Why a request was not met (`spec.md` 1); travels as its number.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u16)]
        pub enum ErrorCode { $($(#[$doc])* $name = $number),+ }

        impl ErrorCode {
            /// Every code, in the order of the numbers.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// Reads a number; `None` for one of a newer minor.
            #[must_use]
            pub const fn from_wire(number: u16) -> Option<Self> {
                match number { $($number => Some(Self::$name),)+ _ => None }
            }

            /// The number that travels.
            #[must_use]
            pub const fn to_wire(self) -> u16 {
                self as u16
            }

            /// Its name in logs and answers.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text),+ }
            }

            /// Whether the same request may succeed later, here or at the holder named.
            #[must_use]
            pub const fn retryable(self) -> bool {
                match self { $(Self::$name => $retry),+ }
            }
        }
    };
}

codes! {
    /// Shed under load; `retry_after_ms` says when to come back.
    Overloaded = 1 "overloaded" retry true,
    /// Over the client's rate.
    RateLimited = 2 "rate_limited" retry true,
    /// Another node leads; `holder` may name it.
    NotLeader = 3 "not_leader" retry true,
    /// No majority, starting or draining.
    Unavailable = 4 "unavailable" retry true,
    /// The time left for the call was over.
    DeadlineExceeded = 5 "deadline_exceeded" retry false,
    /// The bytes are no such message.
    Malformed = 6 "malformed" retry false,
    /// Kind or flag unknown to our version.
    Unsupported = 7 "unsupported" retry false,
    /// A critical extension unknown to our version.
    UnsupportedExtension = 8 "unsupported_extension" retry false,
    /// Another shard owns the job; `holder` names it.
    NotOwner = 9 "not_owner" retry true,
    /// A lower fence token than the highest seen.
    StaleToken = 10 "stale_token" retry false,
    /// Nobody knows that job.
    UnknownJob = 11 "unknown_job" retry false,
    /// A field breaks a rule.
    Invalid = 12 "invalid" retry false,
    /// Role, policy or target list forbid it.
    Forbidden = 13 "forbidden" retry false,
    /// Versions that cannot talk.
    Incompatible = 14 "incompatible" retry false,
    /// An idempotency key with another plan, or a name in use.
    Conflict = 15 "conflict" retry false,
    /// Over a size limit.
    TooLarge = 16 "too_large" retry false,
    /// A bound is reached; comes free again.
    Capacity = 17 "capacity" retry true,
}
