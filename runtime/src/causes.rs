//! Why something that came to a node was turned away: one counter for each cause, over all shards of the node.
//!
//! The names are part of the metrics (`docs/reference/metrics.md`): one is added, none is ever renamed.

use hyperscale_codec::{AdmitError, ErrorCode, FrameError, HelloError, Kind, Priority, Verdict};

use crate::counters::Counter;

macro_rules! causes {
    ($($(#[$doc:meta])* $name:ident = $text:literal),+ $(,)?) => {
        /// Why a connection or a frame was turned away.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(usize)]
        pub enum Cause { $($(#[$doc])* $name),+ }

        impl Cause {
            /// Every cause, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// Its name in metrics and logs.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text),+ }
            }
        }
    };
}

causes! {
    /// No complete Hello in time.
    HelloTimeout = "hello_timeout",
    /// The connection ended before a complete Hello.
    HelloCut = "hello_cut",
    /// The first bytes are no Hello, no HTTP and no TLS.
    HelloMagic = "hello_magic",
    /// A Hello of a length that none may have.
    HelloLength = "hello_length",
    /// A Hello that was damaged.
    HelloChecksum = "hello_checksum",
    /// A Hello with a field that breaks its rule.
    HelloField = "hello_field",
    /// An HTTP request; it was answered with where to go.
    HttpOnFramePort = "http_on_frame_port",
    /// A TLS handshake where none is spoken.
    TlsOnPlainPort = "tls_on_plain_port",
    /// A peer of another major version.
    MajorMismatch = "major_mismatch",
    /// A peer of another fleet.
    OtherFleet = "other_fleet",
    /// A peer whose role may not connect here.
    RoleNotAllowed = "role_not_allowed",
    /// A peer with the id of this node, or an earlier start of a connected one.
    DuplicateNode = "duplicate_node",
    /// As many connections as allowed; also of our own dials.
    TooManyConnections = "too_many_connections",
    /// As many connections in handshake as allowed.
    HandshakesFull = "handshakes_full",
    /// No descriptor or buffer for a caller.
    NoDescriptor = "no_descriptor",
    /// The node is stopping.
    Draining = "draining",
    /// Where a frame should begin, something else does.
    FrameMagic = "frame_magic",
    /// A frame's header was damaged.
    HeaderChecksum = "header_checksum",
    /// A frame's body was damaged.
    BodyChecksum = "body_checksum",
    /// A frame of another major version than its connection's.
    FrameMajor = "frame_major",
    /// A frame longer than a connection takes.
    FrameTooLong = "frame_too_long",
    /// A frame longer than its kind may be.
    FrameTooLongForKind = "frame_too_long_for_kind",
    /// A root that does not fit its core.
    RootLength = "root_length",
    /// A frame whose bytes came too slowly.
    FrameTimeout = "frame_timeout",
    /// The connection ended in the middle of a frame.
    FrameCut = "frame_cut",
    /// A flag that must be known and is not.
    FlagsCritical = "flags_critical",
    /// A frame that crossed as many nodes as it may.
    Hops = "hops",
    /// An unknown kind of class critical.
    KindUnknownCritical = "kind_unknown_critical",
    /// An unknown kind of class high.
    KindUnknownHigh = "kind_unknown_high",
    /// An unknown kind of class normal.
    KindUnknownNormal = "kind_unknown_normal",
    /// An unknown kind of class low.
    KindUnknownLow = "kind_unknown_low",
    /// A known kind that this role does nothing with.
    KindNotTaken = "kind_not_taken",
    /// A kind that the peer's role may not send.
    KindForbidden = "kind_forbidden",
    /// A request that its core forbids: by role, policy or target list.
    RequestForbidden = "request_forbidden",
    /// A body or extension block that is no such message.
    MalformedBody = "malformed_body",
    /// An extension that must be known and is not.
    ExtensionCritical = "extension_critical",
    /// The peer did not read as fast as this node sends.
    QueueFull = "queue_full",
    /// A frame over the most that its peer takes was not sent.
    PeerLimit = "peer_limit",
    /// A link was silent for too long.
    Idle = "idle",
    /// A datagram over 1,500 bytes was not taken, or not sent.
    DatagramOversized = "datagram_oversized",
    /// A datagram was not sent: the kernel had no room for it at once.
    DatagramDropped = "datagram_dropped",
    /// A datagram was not sent: the kernel refused it, or this node has no such port.
    DatagramRefused = "datagram_refused",
}

impl Cause {
    /// Why an envelope voids its connection, or its frame.
    pub(crate) const fn of_frame(error: &FrameError) -> Self {
        match error {
            FrameError::Magic(_) => Self::FrameMagic,
            FrameError::HeaderChecksum { .. } => Self::HeaderChecksum,
            FrameError::BodyChecksum { .. } => Self::BodyChecksum,
            FrameError::Major { .. } => Self::FrameMajor,
            FrameError::TooLong { .. } => Self::FrameTooLong,
            FrameError::TooLongForKind { .. } => Self::FrameTooLongForKind,
            FrameError::Partial { .. } => Self::FrameCut,
            FrameError::RootLength { .. } => Self::RootLength,
        }
    }

    pub(crate) const fn of_admit(error: &AdmitError) -> Self {
        match error {
            AdmitError::Flags { .. } => Self::FlagsCritical,
            AdmitError::Hops { .. } => Self::Hops,
            AdmitError::Kind { kind } => Self::kind_unknown(*kind),
            AdmitError::Sender { .. } => Self::KindForbidden,
        }
    }

    pub(crate) const fn of_hello(error: &HelloError) -> Self {
        match error {
            HelloError::Magic(_) => Self::HelloMagic,
            HelloError::Length(_) => Self::HelloLength,
            HelloError::Checksum => Self::HelloChecksum,
            HelloError::Field(_) => Self::HelloField,
        }
    }

    /// Why a greeting that can be read is refused.
    pub(crate) const fn of_verdict(verdict: Verdict) -> Option<Self> {
        match verdict {
            Verdict::MajorMismatch => Some(Self::MajorMismatch),
            Verdict::OtherFleet => Some(Self::OtherFleet),
            Verdict::RoleNotAllowed => Some(Self::RoleNotAllowed),
            Verdict::TooManyConnections => Some(Self::TooManyConnections),
            Verdict::Draining => Some(Self::Draining),
            Verdict::DuplicateNode => Some(Self::DuplicateNode),
            Verdict::Welcome | Verdict::Overloaded | Verdict::Malformed => None,
        }
    }

    /// Why a core refused a frame of `kind`, as far as the wire is to blame; what it refuses for reasons of its own it
    /// counts itself.
    pub(crate) const fn of_refusal(kind: u16, code: ErrorCode) -> Option<Self> {
        match code {
            ErrorCode::Malformed => Some(Self::MalformedBody),
            ErrorCode::UnsupportedExtension => Some(Self::ExtensionCritical),
            ErrorCode::Forbidden => Some(Self::RequestForbidden),
            ErrorCode::Unsupported if Kind::from_wire(kind).is_some() => Some(Self::KindNotTaken),
            ErrorCode::Unsupported => Some(Self::kind_unknown(kind)),
            ErrorCode::Overloaded
            | ErrorCode::RateLimited
            | ErrorCode::NotLeader
            | ErrorCode::Unavailable
            | ErrorCode::DeadlineExceeded
            | ErrorCode::NotOwner
            | ErrorCode::StaleToken
            | ErrorCode::UnknownJob
            | ErrorCode::Invalid
            | ErrorCode::Incompatible
            | ErrorCode::Conflict
            | ErrorCode::TooLarge
            | ErrorCode::Capacity => None,
        }
    }

    const fn kind_unknown(kind: u16) -> Self {
        match Priority::of_number(kind) {
            Priority::Critical => Self::KindUnknownCritical,
            Priority::High => Self::KindUnknownHigh,
            Priority::Normal => Self::KindUnknownNormal,
            Priority::Low => Self::KindUnknownLow,
        }
    }
}

/// How often each cause was met since the node's start.
#[derive(Debug)]
pub struct Causes([Counter; Cause::ALL.len()]);

impl Default for Causes {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Counter::default()))
    }
}

impl Causes {
    /// One more.
    #[allow(clippy::indexing_slicing, reason = "there is a counter for every cause")]
    pub fn count(&self, cause: Cause) {
        self.0[cause as usize].add(1);
    }

    /// How often so far.
    #[must_use]
    #[allow(clippy::indexing_slicing, reason = "there is a counter for every cause")]
    pub fn get(&self, cause: Cause) -> u64 {
        self.0[cause as usize].get()
    }

    /// Name and value of every cause, in the order of the table.
    pub fn values(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        Cause::ALL.iter().map(|&cause| (cause.as_str(), self.get(cause)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_has_a_name_of_its_own_and_a_line_in_the_reference() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/reference/metrics.md");
        let reference = std::fs::read_to_string(path).unwrap();
        let mut names: Vec<&str> = Cause::ALL.iter().map(|cause| cause.as_str()).collect();
        for name in &names {
            assert!(
                reference.contains(&format!("| `{name}` |")),
                "{name} is missing in docs/reference/metrics.md"
            );
        }
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Cause::ALL.len());
    }

    #[test]
    fn a_count_is_listed_under_its_name() {
        let causes = Causes::default();
        causes.count(Cause::Hops);
        causes.count(Cause::Hops);
        let counted: Vec<_> = causes.values().filter(|(_, value)| *value > 0).collect();
        assert_eq!(counted, [("hops", 2)]);
        assert_eq!(causes.values().count(), Cause::ALL.len());
    }
}
