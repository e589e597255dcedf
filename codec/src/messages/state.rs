//! States that travel as numbers (`research`: no enum but `Option` is on the wire, so a new variant voids nothing).
//!
//! An unknown number is read as the careful one: an unknown job state is not final.

macro_rules! wire_enum {
    ($(#[$doc:meta])* $name:ident else $careful:ident { $($(#[$vdoc:meta])* $variant:ident = $number:literal $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[repr(u8)]
        pub enum $name { $($(#[$vdoc])* $variant = $number),+ }

        impl $name {
            /// Every value, in the order of the numbers.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// Reads a number from the wire; an unknown one becomes the careful value.
            #[must_use]
            pub const fn from_wire(number: u8) -> Self {
                match number { $($number => Self::$variant,)+ _ => Self::$careful }
            }

            /// The number that travels.
            #[must_use]
            pub const fn to_wire(self) -> u8 {
                self as u8
            }

            /// The word people and JSON read.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

wire_enum!(
    /// Where a job stands. The last three are ends.
    JobState else Running {
        Accepted = 1 "accepted",
        Queued = 2 "queued",
        Dispatching = 3 "dispatching",
        Running = 4 "running",
        Completing = 5 "completing",
        Cancelling = 6 "cancelling",
        Completed = 7 "completed",
        Failed = 8 "failed",
        Cancelled = 9 "cancelled",
    }
);

impl JobState {
    /// Whether the job has ended.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }
}

wire_enum!(
    /// Where a workflow stands. The last four are ends.
    WorkflowState else Running {
        Pending = 1 "pending",
        Assigned = 2 "assigned",
        Running = 3 "running",
        Completed = 4 "completed",
        Failed = 5 "failed",
        Cancelled = 6 "cancelled",
        /// A workflow that it waits for failed.
        Skipped = 7 "skipped",
    }
);

impl WorkflowState {
    /// Whether the workflow has ended.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled | Self::Skipped)
    }
}

wire_enum!(
    /// How a node stands in its fleet.
    NodeState else Suspect {
        Alive = 1 "alive",
        Suspect = 2 "suspect",
        Dead = 3 "dead",
        /// It said goodbye.
        Left = 4 "left",
        /// It takes no new work, and leaves when what it has is done.
        Draining = 5 "draining",
    }
);

wire_enum!(
    /// How much of a worker's data reached the report.
    WorkerState else Partial {
        Ok = 1 "ok",
        Partial = 2 "partial",
        Lost = 3 "lost",
    }
);

wire_enum!(
    /// What a cancel met on a worker.
    CancelOutcome else Unknown {
        Cancelled = 1 "cancelled",
        AlreadyFinished = 2 "already_finished",
        Unknown = 3 "unknown",
    }
);

wire_enum!(
    /// Why a request did not succeed (`DESIGN.md` 12).
    ErrorKind else BadResponse {
        Dns = 1 "dns",
        ConnectRefused = 2 "connect_refused",
        ConnectTimeout = 3 "connect_timeout",
        Unreachable = 4 "unreachable",
        NoLocalPort = 5 "no_local_port",
        TooManyFiles = 6 "too_many_files",
        Tls = 7 "tls",
        Reset = 8 "reset",
        ClosedEarly = 9 "closed_early",
        Timeout = 10 "timeout",
        BadResponse = 11 "bad_response",
        TooLarge = 12 "too_large",
        Http4xx = 13 "http_4xx",
        Http5xx = 14 "http_5xx",
        Check = 15 "check",
        Capture = 16 "capture",
    }
);
