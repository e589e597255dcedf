//! The one table of kinds: number, priority class, who may send it, its limit, the released sizes of its root.
//!
//! A message without a row here does not compile into a frame. The number's two top bits are its class, so that
//! even an unknown kind can be shed rightly. Numbers are never reused.

#[cfg(feature = "next-minor")]
use rkyv::Archived;
use rkyv::api::low::{LowDeserializer, LowSerializer, LowValidator};
use rkyv::bytecheck::CheckBytes;
use rkyv::rancor::Failure;
use rkyv::ser::allocator::ArenaHandle;
use rkyv::{Archive, Deserialize, Portable, Serialize};

use crate::messages::*;

/// How much a message matters when a node cannot take all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Priority {
    /// Never shed: health, cancels, final results.
    Critical = 0,
    /// Submissions, dispatches, registrations.
    High = 1,
    /// Progress and statistics.
    Normal = 2,
    /// Details and debugging.
    Low = 3,
}

impl Priority {
    /// The class of any kind, known or not, by its two top bits.
    #[must_use]
    pub const fn of_number(kind: u16) -> Self {
        match kind >> 14 {
            0 => Self::Critical,
            1 => Self::High,
            2 => Self::Normal,
            _ => Self::Low,
        }
    }
}

/// What a node is in its fleet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Role {
    /// Submits plans and reads results.
    Client = 0,
    /// Front door across datacenters.
    Gate = 1,
    /// Schedules one datacenter.
    Manager = 2,
    /// Generates load.
    Worker = 3,
}

impl Role {
    /// Reads a role's number.
    #[must_use]
    pub const fn from_wire(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Client),
            1 => Some(Self::Gate),
            2 => Some(Self::Manager),
            3 => Some(Self::Worker),
            _ => None,
        }
    }

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Gate => "gate",
            Self::Manager => "manager",
            Self::Worker => "worker",
        }
    }
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A set of roles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Roles(u8);

impl Roles {
    /// Every role.
    pub const ANY: Self = Self(0b1111);
    /// Submits and reads.
    pub const CLIENT: Self = Self(1);
    /// Front doors.
    pub const GATE: Self = Self(2);
    /// Schedulers.
    pub const MANAGER: Self = Self(4);
    /// Load generators.
    pub const WORKER: Self = Self(8);

    /// Both sets together.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether the role is in the set.
    #[must_use]
    pub const fn contains(self, role: Role) -> bool {
        self.0 & (1 << role as u8) != 0
    }
}

/// What the encoder writes with: onto the end of a frame buffer, with scratch memory that is kept.
type Writer<'a> = LowSerializer<Vec<u8>, ArenaHandle<'a>, Failure>;

/// The root of one kind: what a frame's body is. Implemented by the table in this file alone.
pub trait Message:
    Archive<
        Archived: Portable
                      + for<'a> CheckBytes<LowValidator<'a, Failure>>
                      + Deserialize<Self, LowDeserializer<Failure>>,
    > + for<'a> Serialize<Writer<'a>>
    + Sized
{
    /// Its kind.
    const KIND: Kind;
    /// Sizes of its root in all released minors, oldest first; the last is this build's.
    const ROOTS: &'static [usize];
    /// Most bytes its core may have.
    const CORE_MAX: u32 = Self::KIND.core_max();
}

/// Types whose zero bytes are valid and mean "absent"; only these may be appended to a root.
pub trait ZeroIsAbsent {}
impl<T> ZeroIsAbsent for rkyv::option::ArchivedOption<T> {}
impl ZeroIsAbsent for u8 {}
impl ZeroIsAbsent for bool {}
impl ZeroIsAbsent for rkyv::rend::unaligned::u16_ule {}
impl ZeroIsAbsent for rkyv::rend::unaligned::u32_ule {}
impl ZeroIsAbsent for rkyv::rend::unaligned::u64_ule {}

/// Only called for the types behind a `+` in the table; the first field appended to a root is the first caller.
#[cfg_attr(
    not(feature = "next-minor"),
    allow(dead_code, reason = "no released minor has appended a field yet")
)]
const fn appended<T: ZeroIsAbsent>() {}

/// Stops the build when a root and its released sizes disagree.
#[allow(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "evaluated by the compiler alone, where a panic is a failed build"
)]
const fn released<M: Message>() {
    let (sizes, size) = (M::ROOTS, size_of::<M::Archived>());
    assert!(
        sizes[sizes.len() - 1] == size,
        "a root grew or changed: append its new size to the table, or undo it"
    );
    assert!(size <= crate::header::ROOT_MAX as usize, "a root is longer than any reader accepts");
    assert!(align_of::<M::Archived>() == 1, "the archive format is not `unaligned`");
    let mut i = 1;
    while i < sizes.len() {
        assert!(sizes[i - 1] < sizes[i], "released sizes ascend");
        i += 1;
    }
}

const KIB: u32 = 1 << 10;
const MIB: u32 = 1 << 20;

macro_rules! kinds {
    ($($name:ident = $number:literal, $class:ident, $first:ident $(| $more:ident)*, $max:expr,
       [$($size:literal),+] $(, + $appended:ty)* $(, next $next:literal + $coming:ty)?;)+) => {
        /// What a frame's body is.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u16)]
        pub enum Kind {
            $(#[doc = concat!("[`", stringify!($name), "`](crate::messages::", stringify!($name), ")")] $name = $number),+
        }

        impl Kind {
            /// Every kind, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// Reads a number; `None` for a kind of a newer minor.
            #[must_use]
            pub const fn from_wire(number: u16) -> Option<Self> {
                match number { $($number => Some(Self::$name),)+ _ => None }
            }

            /// The number that travels.
            #[must_use]
            pub const fn to_wire(self) -> u16 {
                self as u16
            }

            /// Its name in logs and metrics.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name)),+ }
            }

            /// Its place in [`Kind::ALL`], for tables by kind.
            #[must_use]
            pub const fn index(self) -> usize {
                enum Place { $($name),+ }
                match self { $(Self::$name => Place::$name as usize),+ }
            }

            /// How much it matters. Equal to the number's two top bits, which the build checks.
            #[must_use]
            pub const fn priority(self) -> Priority {
                match self { $(Self::$name => Priority::$class),+ }
            }

            /// Who may send it.
            #[must_use]
            pub const fn senders(self) -> Roles {
                match self { $(Self::$name => Roles::$first$(.or(Roles::$more))*),+ }
            }

            /// Most bytes its core may have.
            #[must_use]
            pub const fn core_max(self) -> u32 {
                match self { $(Self::$name => $max),+ }
            }

            /// Checks `core` as an archive of this kind, for tests and tools that meet every kind.
            ///
            /// # Errors
            /// [`crate::RootError`], as decoding does.
            pub fn check(self, core: &[u8], told: usize, scratch: &mut Vec<u8>) -> Result<(), crate::RootError> {
                match self {
                    $(Self::$name => crate::root::root::<<$name as Archive>::Archived>(
                        core, told, <$name as Message>::ROOTS, scratch).map(|_| ())),+
                }
            }
        }

        $(impl Message for $name {
            const KIND: Kind = Kind::$name;
            const ROOTS: &'static [usize] = &[$($size,)+ $(#[cfg(feature = "next-minor")] $next)?];
        })+

        $(const _: () = {
            released::<$name>();
            // The class is the number's two top bits, so that even an unknown kind has one.
            assert!(Priority::of_number($number) as u8 == Priority::$class as u8 && $number != 0);
            $(appended::<$appended>();)*
            $(#[cfg(feature = "next-minor")] appended::<$coming>();)?
        };)+
    };
}

impl Kind {
    /// Whether it is the answer to a request of the receiver's own. Such a frame costs its receiver nothing new, and
    /// what waits for it would wait in vain: it is never shed.
    #[must_use]
    pub const fn is_reply(self) -> bool {
        match self {
            Self::JobCancelResponse
            | Self::WorkflowCancelResponse
            | Self::WorkflowFinalResultAck
            | Self::DcFinalResultAck
            | Self::JobFinalResultAck
            | Self::StatsFinalAck
            | Self::ErrorReply
            | Self::RateLimitResponse
            | Self::HealthcheckExtensionResponse
            | Self::JobAck
            | Self::JobDispatchAck
            | Self::WorkflowDispatchAck
            | Self::WorkflowStatus
            | Self::ShareRevisionAck
            | Self::RegistrationResponse
            | Self::ManagerPeerRegistrationResponse
            | Self::GatePeerRegistrationResponse
            | Self::JobProgressAck
            | Self::JobStatusResponse
            | Self::RegisterCallbackResponse
            | Self::NodesResponse
            | Self::NodeWhyResponse
            | Self::StatsResponse
            | Self::StatsAck
            | Self::JobListResponse => true,
            Self::Goodbye
            | Self::WorkerHeartbeat
            | Self::ManagerHeartbeat
            | Self::GateHeartbeat
            | Self::PushPull
            | Self::JobCancelRequest
            | Self::WorkflowCancelRequest
            | Self::WorkflowFinalResult
            | Self::DcFinalResult
            | Self::JobFinalResult
            | Self::StatsFinal
            | Self::HealthcheckExtensionRequest
            | Self::JobSubmit
            | Self::JobDispatch
            | Self::WorkflowDispatch
            | Self::WorkflowStart
            | Self::ShareRevision
            | Self::WorkerRegistration
            | Self::ManagerPeerRegistration
            | Self::GatePeerRegistration
            | Self::JobProgress
            | Self::JobStatusPush
            | Self::JobStatusRequest
            | Self::RegisterCallback
            | Self::NodesRequest
            | Self::NodeWhyRequest
            | Self::StatsQuery
            | Self::StatsUpdate
            | Self::StatsSnapshot
            | Self::JobListRequest => false,
        }
    }
}

kinds! {
    // name                 number  class     senders               most bytes  released root sizes, + what they appended
    // `next`: what a build with the feature `next-minor` appends.
    Goodbye               = 0x0001, Critical, ANY,                    4 * KIB,  [14];
    WorkerHeartbeat       = 0x0002, Critical, WORKER,                 4 * KIB,  [80], next 88 + Archived<u64>;
    ManagerHeartbeat      = 0x0003, Critical, MANAGER,                4 * KIB,  [91], next 99 + Archived<u64>;
    GateHeartbeat         = 0x0004, Critical, GATE,                   4 * KIB,  [81], next 89 + Archived<u64>;
    PushPull              = 0x0005, Critical, GATE | MANAGER | WORKER, 2 * MIB + 4 * KIB, [16];
    JobCancelRequest      = 0x0010, Critical, CLIENT | GATE,          4 * KIB,  [56], next 65 + Archived<Option<String>>;
    JobCancelResponse     = 0x0011, Critical, GATE | MANAGER,         64 * KIB, [38];
    WorkflowCancelRequest = 0x0012, Critical, MANAGER,                4 * KIB,  [40];
    WorkflowCancelResponse = 0x0013, Critical, WORKER,                4 * KIB,  [53];
    WorkflowFinalResult   = 0x0020, Critical, WORKER,                 64 * KIB, [82], next 90 + Archived<u64>;
    WorkflowFinalResultAck = 0x0021, Critical, MANAGER,               4 * KIB,  [28];
    DcFinalResult         = 0x0022, Critical, MANAGER,                MIB,      [85];
    DcFinalResultAck      = 0x0023, Critical, GATE,                   4 * KIB,  [20];
    JobFinalResult        = 0x0024, Critical, GATE,                   4 * MIB,  [114];
    JobFinalResultAck     = 0x0025, Critical, CLIENT,                 4 * KIB,  [16];
    StatsFinal            = 0x0026, Critical, MANAGER | WORKER,       4 * MIB,  [269], next 278 + Archived<Option<Vec<u64>>>;
    StatsFinalAck         = 0x0027, Critical, MANAGER | GATE,         256 * KIB, [40];
    ErrorReply            = 0x0030, Critical, ANY,                    16 * KIB, [46];
    RateLimitResponse     = 0x0031, Critical, ANY,                    4 * KIB,  [13];
    HealthcheckExtensionRequest = 0x0040, Critical, WORKER,           4 * KIB,  [38];
    HealthcheckExtensionResponse = 0x0041, Critical, MANAGER,         4 * KIB,  [29];

    JobSubmit             = 0x4001, High,     CLIENT | GATE,          MIB + 4 * KIB, [58];
    JobAck                = 0x4002, High,     GATE,                   4 * KIB,  [50];
    JobDispatch           = 0x4003, High,     GATE,                   MIB + 4 * KIB, [88], next 93 + Archived<Option<u32>>;
    JobDispatchAck        = 0x4004, High,     MANAGER,                16 * KIB, [37];
    WorkflowDispatch      = 0x4005, High,     MANAGER,                MIB + 4 * KIB, [120];
    WorkflowDispatchAck   = 0x4006, High,     WORKER,                 16 * KIB, [37];
    WorkflowStart         = 0x4007, High,     MANAGER,                4 * KIB,  [60];
    ShareRevision         = 0x4008, High,     MANAGER,                4 * KIB,  [44];
    WorkflowStatus        = 0x4009, High,     WORKER,                 16 * KIB, [45];
    ShareRevisionAck      = 0x400a, High,     WORKER,                 16 * KIB, [45];
    WorkerRegistration    = 0x4010, High,     WORKER,                 16 * KIB, [84], next 93 + Archived<Option<Vec<String>>>;
    RegistrationResponse  = 0x4011, High,     MANAGER,                64 * KIB, [33];
    ManagerPeerRegistration = 0x4012, High,   MANAGER,                16 * KIB, [92];
    ManagerPeerRegistrationResponse = 0x4013, High, GATE | MANAGER,   64 * KIB, [29];
    GatePeerRegistration  = 0x4014, High,     GATE,                   16 * KIB, [80];
    GatePeerRegistrationResponse = 0x4015, High, GATE,                64 * KIB, [29];

    JobProgress           = 0x8001, Normal,   MANAGER,                64 * KIB, [56];
    JobProgressAck        = 0x8002, Normal,   GATE,                   4 * KIB,  [21];
    JobStatusPush         = 0x8003, Normal,   GATE,                   256 * KIB, [218];
    JobStatusRequest      = 0x8010, Normal,   CLIENT | MANAGER | GATE, 4 * KIB, [16];
    JobStatusResponse     = 0x8011, Normal,   GATE,                   64 * KIB, [121];
    RegisterCallback      = 0x8012, Normal,   CLIENT | GATE,          4 * KIB,  [26], next 35 + Archived<Option<u64>>;
    RegisterCallbackResponse = 0x8013, Normal, GATE | MANAGER,        4 * KIB,  [66];
    NodesRequest          = 0x8014, Normal,   CLIENT | GATE,          4 * KIB,  [12];
    NodesResponse         = 0x8015, Normal,   GATE | MANAGER,         MIB,      [24];
    NodeWhyRequest        = 0x8016, Normal,   CLIENT | GATE,          4 * KIB,  [8];
    NodeWhyResponse       = 0x8017, Normal,   GATE | MANAGER,         256 * KIB, [16];
    StatsQuery            = 0x8018, Normal,   CLIENT | GATE | MANAGER, 4 * KIB, [30];
    StatsResponse         = 0x8019, Normal,   GATE,                   2 * MIB,  [49];
    StatsUpdate           = 0x8020, Normal,   MANAGER | WORKER,       4 * MIB,  [269], next 278 + Archived<Option<Vec<u64>>>;
    StatsAck              = 0x8021, Normal,   MANAGER | GATE,         256 * KIB, [62], next 66 + Archived<u32>;
    StatsSnapshot         = 0x8022, Normal,   MANAGER | WORKER,       4 * MIB,  [269], next 278 + Archived<Option<Vec<u64>>>;

    JobListRequest        = 0xc001, Low,      CLIENT | GATE,          4 * KIB,  [20];
    JobListResponse       = 0xc002, Low,      GATE,                   MIB,      [32];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_means_one_kind_and_comes_back() {
        let mut numbers: Vec<u16> = Kind::ALL.iter().map(|kind| kind.to_wire()).collect();
        assert!(Kind::ALL.iter().all(|&kind| Kind::from_wire(kind.to_wire()) == Some(kind)));
        assert!(Kind::ALL.iter().enumerate().all(|(at, kind)| kind.index() == at));
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), Kind::ALL.len());
        assert_eq!(Kind::from_wire(0), None);
    }

    #[test]
    fn an_unknown_kind_has_a_class_by_its_two_top_bits() {
        let classes = [0x3fff, 0x7fff, 0xbfff, 0xffff].map(Priority::of_number);
        assert_eq!(classes, [Priority::Critical, Priority::High, Priority::Normal, Priority::Low]);
        assert!([0x3fff, 0x7fff, 0xbfff, 0xffff].iter().all(|&number| Kind::from_wire(number).is_none()));
    }

    #[test]
    fn a_worker_cannot_dispatch_and_anyone_can_say_goodbye() {
        let may = |kind: Kind| {
            [Role::Client, Role::Gate, Role::Manager, Role::Worker].map(|role| kind.senders().contains(role))
        };
        assert_eq!(may(Kind::JobDispatch), [false, true, false, false]);
        assert_eq!(may(Kind::WorkflowDispatch), [false, false, true, false]);
        assert_eq!(may(Kind::StatsUpdate), [false, false, true, true]);
        assert_eq!(may(Kind::Goodbye), [true; 4]);
    }

    #[test]
    fn no_kind_may_be_longer_than_a_connection_takes() {
        let longest = Kind::ALL.iter().map(|kind| kind.core_max()).max();
        assert_eq!(longest, Some(crate::Limits::default().core_max));
    }
}
