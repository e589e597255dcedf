//! What is asked of the node that is loaded, and how often each.

use hyperscale_codec::{Kind, Role};

use crate::Target;

/// One kind of load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Op {
    /// A window of statistics: a manager's of one job, or a worker's of its share of one.
    Stats,
    /// Everything since the start, a source for each worker shard.
    Snapshot,
    /// A heartbeat; nobody answers it.
    Heartbeat,
    /// How does a job stand?
    Status,
    /// Who is in the fleet?
    Nodes,
    /// Which jobs are there?
    List,
    /// Where is a job, after a lost connection?
    Reconnect,
    /// A short job: submitted, dispatched, reported, ended.
    Submit,
    /// The end of a short job.
    Cancel,
    /// A short job, as a gate gives it to a manager.
    Dispatch,
}

impl Op {
    /// Every kind, in the order of reports.
    pub const ALL: [Self; OPS] = [
        Self::Stats,
        Self::Snapshot,
        Self::Heartbeat,
        Self::Status,
        Self::Nodes,
        Self::List,
        Self::Reconnect,
        Self::Submit,
        Self::Cancel,
        Self::Dispatch,
    ];

    /// Its name in mixes and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stats => "stats",
            Self::Snapshot => "snapshot",
            Self::Heartbeat => "heartbeat",
            Self::Status => "status",
            Self::Nodes => "nodes",
            Self::List => "list",
            Self::Reconnect => "reconnect",
            Self::Submit => "submit",
            Self::Cancel => "cancel",
            Self::Dispatch => "dispatch",
        }
    }

    /// Whether it can be asked of such a node.
    #[must_use]
    pub const fn fits(self, target: Target) -> bool {
        match self {
            Self::Stats | Self::Snapshot | Self::Heartbeat | Self::Nodes | Self::Cancel => true,
            Self::Status | Self::List | Self::Reconnect | Self::Submit => matches!(target, Target::Gate),
            Self::Dispatch => matches!(target, Target::Manager),
        }
    }

    /// The message that asks.
    #[must_use]
    pub const fn kind(self, target: Target) -> Kind {
        match self {
            Self::Stats => Kind::StatsUpdate,
            Self::Snapshot => Kind::StatsSnapshot,
            Self::Heartbeat => match target {
                Target::Gate => Kind::ManagerHeartbeat,
                Target::Manager => Kind::WorkerHeartbeat,
            },
            Self::Status => Kind::JobStatusRequest,
            Self::Nodes => Kind::NodesRequest,
            Self::List => Kind::JobListRequest,
            Self::Reconnect => Kind::RegisterCallback,
            Self::Submit => Kind::JobSubmit,
            Self::Cancel => Kind::JobCancelRequest,
            Self::Dispatch => Kind::JobDispatch,
        }
    }

    /// Who asks.
    #[must_use]
    pub const fn role(self, target: Target) -> Role {
        match (self, target) {
            (Self::Stats | Self::Snapshot | Self::Heartbeat, Target::Gate) => Role::Manager,
            (Self::Stats | Self::Snapshot | Self::Heartbeat, Target::Manager) => Role::Worker,
            (_, Target::Gate) => Role::Client,
            (_, Target::Manager) => Role::Gate,
        }
    }

    /// Whether it is answered.
    #[must_use]
    pub const fn is_answered(self) -> bool {
        !matches!(self, Self::Heartbeat)
    }

    /// Its place in [`Op::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }
}

/// How many kinds there are.
pub(crate) const OPS: usize = 10;

/// Why a mix cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MixError {
    /// No kind and no profile of that name.
    #[error("{name:?} is no kind of load{}; there are {} and the profiles {}", hint(.nearest), names(*.target), profiles(*.target))]
    Unknown {
        /// As written.
        name: String,
        /// What is loaded.
        target: Target,
        /// What was meant, perhaps.
        nearest: Option<&'static str>,
    },
    /// Asked of nodes of another role.
    #[error("a {} is never asked for {name}; there are {} and the profiles {}", .target.word(), names(*.target), profiles(*.target))]
    Elsewhere {
        /// The kind.
        name: &'static str,
        /// What is loaded.
        target: Target,
    },
    /// Not `name=number`.
    #[error("{part:?} has no share; write stats=80,nodes=20, or a profile: {}", profiles(*.target))]
    NoShare {
        /// As written.
        part: String,
        /// What is loaded.
        target: Target,
    },
    /// Not a whole number.
    #[error("{part:?}: a share is a whole number from 0 to {SHARE_MAX}, such as {name}=10")]
    Share {
        /// As written.
        part: String,
        /// Of the kind.
        name: &'static str,
    },
    /// Twice.
    #[error("{0} is there twice; each kind has one share")]
    Twice(&'static str),
    /// All shares are zero.
    #[error("every share is 0; give one kind a share, such as stats=1")]
    Nothing,
}

/// Largest share.
const SHARE_MAX: u32 = 1_000_000;

fn hint(nearest: &Option<&'static str>) -> String {
    nearest.map_or_else(String::new, |name| format!(" (did you mean {name}?)"))
}

fn kinds(target: Target) -> impl Iterator<Item = Op> {
    Op::ALL.into_iter().filter(move |op| op.fits(target))
}

fn names(target: Target) -> String {
    kinds(target).map(Op::name).collect::<Vec<_>>().join(", ")
}

fn profiles(target: Target) -> String {
    profiles_of(target).map(|(name, _)| name).join(", ")
}

/// Mixes with a name.
const fn profiles_of(target: Target) -> [(&'static str, &'static str); 3] {
    match target {
        Target::Gate => [
            ("stats", "stats=90,snapshot=10"),
            ("clients", "status=70,nodes=10,list=10,submit=5,cancel=5"),
            ("mixed", "stats=80,snapshot=8,heartbeat=4,status=5,nodes=1,submit=1,cancel=1"),
        ],
        Target::Manager => [
            ("stats", "stats=90,snapshot=10"),
            ("orders", "dispatch=45,cancel=45,nodes=10"),
            ("mixed", "stats=84,snapshot=8,heartbeat=4,nodes=2,dispatch=1,cancel=1"),
        ],
    }
}

/// Shares of each kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mix {
    shares: [u32; OPS],
    total: u32,
}

impl Mix {
    /// Reads `stats=80,nodes=20`, or a profile's name, for a node of this role.
    ///
    /// # Errors
    /// [`MixError`].
    pub fn parse(target: Target, text: &str) -> Result<Self, MixError> {
        if let Some((_, mix)) = profiles_of(target).iter().find(|(name, _)| *name == text.trim()) {
            return Self::parse(target, mix);
        }
        let mut shares = [None; OPS];
        for part in text.split(',').map(str::trim) {
            let (name, share) = part.split_once('=').unwrap_or((part, ""));
            let (name, share) = (name.trim(), share.trim());
            let Some(op) = Op::ALL.into_iter().find(|op| op.name() == name) else {
                let nearest = nearest(target, name);
                return Err(MixError::Unknown { name: name.to_owned(), target, nearest });
            };
            if !op.fits(target) {
                return Err(MixError::Elsewhere { name: op.name(), target });
            }
            if share.is_empty() {
                return Err(MixError::NoShare { part: part.to_owned(), target });
            }
            let share: Option<u32> = share.parse().ok().filter(|share| *share <= SHARE_MAX);
            let share = share.ok_or(MixError::Share { part: part.to_owned(), name: op.name() })?;
            if let Some(slot) = shares.get_mut(op.index())
                && slot.replace(share).is_some()
            {
                return Err(MixError::Twice(op.name()));
            }
        }
        let shares = shares.map(Option::unwrap_or_default);
        let total = shares.iter().fold(0_u32, |sum, share| sum.saturating_add(*share));
        if total == 0 { Err(MixError::Nothing) } else { Ok(Self { shares, total }) }
    }

    /// Kinds that have a share, with it.
    pub fn shares(&self) -> impl Iterator<Item = (Op, u32)> + '_ {
        Op::ALL.into_iter().zip(self.shares).filter(|(_, share)| *share > 0)
    }

    /// Sum of all shares.
    #[must_use]
    pub const fn total(&self) -> u32 {
        self.total
    }

    /// Whether a kind has a share.
    #[must_use]
    pub fn has(&self, op: Op) -> bool {
        self.shares.get(op.index()).is_some_and(|share| *share > 0)
    }

    /// Whether any kind is answered; else there is nothing to wait for.
    #[must_use]
    pub fn is_answered(&self) -> bool {
        self.shares().any(|(op, _)| op.is_answered())
    }

    /// The kind at a point drawn from `0..total`.
    #[must_use]
    pub fn at(&self, point: u32) -> Op {
        let mut left = point;
        for (op, share) in self.shares() {
            match left.checked_sub(share) {
                Some(rest) => left = rest,
                None => return op,
            }
        }
        self.shares().next().map_or(Op::Stats, |(op, _)| op)
    }
}

impl std::fmt::Display for Mix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (nth, (op, share)) in self.shares().enumerate() {
            write!(f, "{}{}={share}", if nth > 0 { "," } else { "" }, op.name())?;
        }
        Ok(())
    }
}

/// What was meant, if two letters at most are wrong.
fn nearest(target: Target, name: &str) -> Option<&'static str> {
    let known = kinds(target).map(Op::name).chain(profiles_of(target).map(|(name, _)| name));
    known
        .map(|known| (distance(known, name), known))
        .filter(|(far, _)| *far <= 2)
        .min()
        .map(|(_, known)| known)
}

/// Letters that must change to make one word of the other.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(32).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut before = i;
        let mut left = i + 1;
        if let Some(first) = row.first_mut() {
            *first = left;
        }
        for (cell, y) in row.iter_mut().skip(1).zip(&b) {
            let best = (before + usize::from(x != *y)).min(*cell + 1).min(left + 1);
            before = std::mem::replace(cell, best);
            left = best;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mix_is_drawn_by_its_shares() {
        let mix = Mix::parse(Target::Gate, "status=2, stats=3").unwrap();
        assert_eq!((mix.total(), mix.to_string()), (5, "stats=3,status=2".to_owned()));
        let drawn: Vec<Op> = (0..5).map(|point| mix.at(point)).collect();
        assert_eq!(drawn, [Op::Stats, Op::Stats, Op::Stats, Op::Status, Op::Status]);
        assert!(mix.has(Op::Stats) && !mix.has(Op::Cancel));
    }

    #[test]
    fn every_profile_reads() {
        for target in [Target::Gate, Target::Manager] {
            for (name, mix) in profiles_of(target) {
                assert_eq!(Mix::parse(target, name), Mix::parse(target, mix));
                assert!(Mix::parse(target, name).is_ok(), "{name}");
            }
        }
    }

    #[test]
    fn a_bad_mix_says_what_would_be_right() {
        use Target::{Gate, Manager};
        for (target, text, words) in [
            (Gate, "stat=1", "did you mean stats?"),
            (Gate, "heartbaet=1", "did you mean heartbeat?"),
            (Gate, "zebra=1", "there are stats, snapshot"),
            (Gate, "mixd", "did you mean mixed?"),
            (Gate, "stats", ""),
            (Gate, "status", "has no share"),
            (Gate, "status=", "has no share"),
            (Gate, "status=x", "status=10"),
            (Gate, "status=-1", "status=10"),
            (Gate, "status=1,status=2", "twice"),
            (Gate, "stats=0", "every share is 0"),
            (Gate, "", "no kind of load"),
            (Gate, "dispatch=1", "a gate is never asked for dispatch; there are stats, snapshot"),
            (Manager, "submit=1", "a manager is never asked for submit"),
            (Manager, "clients", "profiles stats, orders, mixed"),
            (Manager, "dispach=1", "did you mean dispatch?"),
        ] {
            let told = Mix::parse(target, text).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(told.contains(words), "{text}: {told}");
        }
    }
}
