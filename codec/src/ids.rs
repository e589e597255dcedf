//! Names of things on the wire: jobs, nodes, shards, and the numbers that order their facts (`spec.md` 1).
//!
//! Ids travel as 16 big-endian bytes, the order in which people read them. Numbers that grow (`FenceToken`,
//! `Epoch`, `Sequence`) are newtypes so that one can never be compared with another.

use std::fmt;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub u128);

        impl $name {
            /// The sixteen bytes that travel.
            #[must_use]
            pub const fn to_bytes(self) -> [u8; 16] {
                self.0.to_be_bytes()
            }

            /// Reads the sixteen bytes that travelled.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(u128::from_be_bytes(bytes))
            }
        }

        /// 32 hex digits.
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:032x}", self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({:032x})"), self.0)
            }
        }
    };
}

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id!(
    /// One submitted run of a plan; random, unique.
    JobId
);
id!(
    /// One node of a fleet; made at its first start.
    NodeId
);
number!(
    /// A shard of a node: one executor on one core.
    ShardId(u16)
);
number!(
    /// Index of a workflow in its plan.
    WorkflowId(u32)
);
number!(
    /// Index of a step in its workflow; [`StepId::WORKFLOW`] stands for the workflow's iterations as a whole.
    StepId(u32)
);
number!(
    /// Counts the attempts of one (job, datacenter, workflow), from 1.
    Attempt(u32)
);
number!(
    /// Grows with each change of a job's owner; 0 means none known.
    FenceToken(u64)
);
number!(
    /// One share of load on one shard; `boot << 32 | counter`.
    Epoch(u64)
);
number!(
    /// Orders the messages of one epoch, from 1.
    Sequence(u64)
);

impl StepId {
    /// The row that holds a workflow's iterations instead of a step's requests.
    pub const WORKFLOW: Self = Self(u32::MAX);
}

impl ShardId {
    /// Any shard of the receiver will do.
    pub const ANY: Self = Self(u16::MAX);
}
