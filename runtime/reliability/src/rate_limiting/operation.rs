//! What is counted against which rate.

use hyperscale_codec::Kind;

macro_rules! operations {
    ($($(#[$doc:meta])* $name:ident = $number:literal $text:literal),+ $(,)?) => {
        /// What a request asks for, as far as rates go. Its number travels in `RateLimitResponse.operation`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Operation { $($(#[$doc])* $name = $number),+ }

        impl Operation {
            /// Every operation, in the order of the numbers.
            pub const ALL: [Self; Self::COUNT] = [$(Self::$name),+];
            /// How many there are.
            pub const COUNT: usize = [$($number),+].len();

            /// Reads the number that travels; an unknown one is a newer minor's and has the rate of all the rest.
            #[must_use]
            pub const fn from_wire(number: u8) -> Self {
                match number { $($number => Self::$name,)+ _ => Self::Default }
            }

            /// The word people, node files and metrics use.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text),+ }
            }
        }
    };
}

operations! {
    /// All that has no row of its own, and kinds of a newer minor.
    Default = 0 "default",
    /// Statistics of running work.
    StatsUpdate = 1 "stats_update",
    /// How a job comes along.
    ProgressUpdate = 2 "progress_update",
    /// Signs of life.
    Heartbeat = 3 "heartbeat",
    /// New jobs.
    JobSubmit = 4 "job_submit",
    /// Questions about one job.
    JobStatus = 5 "job_status",
    /// Questions about the fleet's nodes.
    Nodes = 6 "nodes",
    /// Questions about all jobs.
    List = 7 "list",
    /// Orders to run work.
    WorkflowDispatch = 8 "workflow_dispatch",
    /// Following a job again after a lost connection.
    Reconnect = 9 "reconnect",
    /// Ending a job.
    Cancel = 10 "cancel",
}

impl Operation {
    /// What clients ask for. The others are between nodes of the fleet, which are held by backpressure instead.
    pub const OF_CLIENTS: [Self; 7] = [
        Self::JobSubmit,
        Self::JobStatus,
        Self::Nodes,
        Self::List,
        Self::Reconnect,
        Self::Cancel,
        Self::Default,
    ];

    /// The number that travels.
    #[must_use]
    pub const fn to_wire(self) -> u8 {
        self as u8
    }

    /// Its place in [`Operation::ALL`], for tables by operation.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Reads its word.
    #[must_use]
    pub fn named(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|operation| operation.as_str() == text)
    }

    /// The rate that a frame of this kind counts against; a kind of a newer minor counts as [`Operation::Default`].
    /// `None`: answers to calls of the receiver's own, and goodbyes, which make no work.
    #[must_use]
    pub const fn of(kind: Kind) -> Option<Self> {
        match kind {
            Kind::StatsUpdate | Kind::StatsSnapshot | Kind::StatsFinal => Some(Self::StatsUpdate),
            Kind::JobProgress => Some(Self::ProgressUpdate),
            Kind::WorkerHeartbeat | Kind::ManagerHeartbeat | Kind::GateHeartbeat => Some(Self::Heartbeat),
            Kind::JobSubmit => Some(Self::JobSubmit),
            Kind::JobStatusRequest | Kind::StatsQuery => Some(Self::JobStatus),
            Kind::NodesRequest | Kind::NodeWhyRequest => Some(Self::Nodes),
            Kind::JobDispatch | Kind::WorkflowDispatch => Some(Self::WorkflowDispatch),
            Kind::JobListRequest => Some(Self::List),
            Kind::RegisterCallback => Some(Self::Reconnect),
            Kind::JobCancelRequest | Kind::WorkflowCancelRequest => Some(Self::Cancel),
            Kind::PushPull
            | Kind::WorkflowFinalResult
            | Kind::DcFinalResult
            | Kind::JobFinalResult
            | Kind::HealthcheckExtensionRequest
            | Kind::WorkflowStart
            | Kind::ShareRevision
            | Kind::WorkerRegistration
            | Kind::ManagerPeerRegistration
            | Kind::GatePeerRegistration
            | Kind::JobStatusPush => Some(Self::Default),
            Kind::Goodbye
            | Kind::JobCancelResponse
            | Kind::WorkflowCancelResponse
            | Kind::WorkflowFinalResultAck
            | Kind::DcFinalResultAck
            | Kind::JobFinalResultAck
            | Kind::StatsFinalAck
            | Kind::ErrorReply
            | Kind::RateLimitResponse
            | Kind::HealthcheckExtensionResponse
            | Kind::JobAck
            | Kind::JobDispatchAck
            | Kind::WorkflowDispatchAck
            | Kind::WorkflowStatus
            | Kind::ShareRevisionAck
            | Kind::RegistrationResponse
            | Kind::ManagerPeerRegistrationResponse
            | Kind::GatePeerRegistrationResponse
            | Kind::JobProgressAck
            | Kind::JobStatusResponse
            | Kind::RegisterCallbackResponse
            | Kind::NodesResponse
            | Kind::NodeWhyResponse
            | Kind::StatsResponse
            | Kind::StatsAck
            | Kind::JobListResponse => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_and_every_word_means_one_operation() {
        for (at, operation) in Operation::ALL.into_iter().enumerate() {
            assert_eq!((operation.index(), usize::from(operation.to_wire())), (at, at));
            assert_eq!(Operation::from_wire(operation.to_wire()), operation);
            assert_eq!(Operation::named(operation.as_str()), Some(operation));
        }
        assert_eq!(Operation::from_wire(200), Operation::Default);
        assert_eq!(Operation::named("lists"), None);
    }

    #[test]
    fn answers_and_goodbyes_take_no_token_and_all_else_does() {
        for &kind in Kind::ALL {
            let free = kind.is_reply() || kind == Kind::Goodbye;
            assert_eq!(Operation::of(kind).is_none(), free, "{}", kind.name());
        }
    }
}
