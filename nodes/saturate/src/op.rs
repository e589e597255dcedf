//! What is asked of the gate, and how often each.

use hyperscale_codec::{Kind, Role};

/// One kind of load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Op {
    /// A manager's window of statistics.
    Stats,
    /// Everything since the start, a source for each worker shard.
    Snapshot,
    /// A manager's heartbeat; nobody answers it.
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
        }
    }

    /// The message that asks.
    #[must_use]
    pub const fn kind(self) -> Kind {
        match self {
            Self::Stats => Kind::StatsUpdate,
            Self::Snapshot => Kind::StatsSnapshot,
            Self::Heartbeat => Kind::ManagerHeartbeat,
            Self::Status => Kind::JobStatusRequest,
            Self::Nodes => Kind::NodesRequest,
            Self::List => Kind::JobListRequest,
            Self::Reconnect => Kind::RegisterCallback,
            Self::Submit => Kind::JobSubmit,
            Self::Cancel => Kind::JobCancelRequest,
        }
    }

    /// Who asks.
    #[must_use]
    pub const fn role(self) -> Role {
        match self {
            Self::Stats | Self::Snapshot | Self::Heartbeat => Role::Manager,
            Self::Status | Self::Nodes | Self::List | Self::Reconnect | Self::Submit | Self::Cancel => {
                Role::Client
            }
        }
    }

    /// Whether the gate answers it.
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
pub(crate) const OPS: usize = 9;

/// Why a mix cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MixError {
    /// No kind and no profile of that name.
    #[error("{name:?} is no kind of load{}; there are {} and the profiles {}", hint(.nearest), names(), profiles())]
    Unknown {
        /// As written.
        name: String,
        /// What was meant, perhaps.
        nearest: Option<&'static str>,
    },
    /// Not `name=number`.
    #[error("{part:?} has no share; write stats=80,status=20, or a profile: {}", profiles())]
    NoShare {
        /// As written.
        part: String,
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

fn names() -> String {
    Op::ALL.map(Op::name).join(", ")
}

fn profiles() -> String {
    PROFILES.map(|(name, _)| name).join(", ")
}

/// Mixes with a name.
const PROFILES: [(&str, &str); 3] = [
    ("stats", "stats=90,snapshot=10"),
    ("clients", "status=70,nodes=10,list=10,submit=5,cancel=5"),
    ("mixed", "stats=80,snapshot=8,heartbeat=4,status=5,nodes=1,submit=1,cancel=1"),
];

/// Shares of each kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mix {
    shares: [u32; OPS],
    total: u32,
}

impl Mix {
    /// Reads `stats=80,status=20`, or a profile's name.
    ///
    /// # Errors
    /// [`MixError`].
    pub fn parse(text: &str) -> Result<Self, MixError> {
        if let Some((_, mix)) = PROFILES.iter().find(|(name, _)| *name == text.trim()) {
            return Self::parse(mix);
        }
        let mut shares = [None; OPS];
        for part in text.split(',').map(str::trim) {
            let (name, share) = part.split_once('=').unwrap_or((part, ""));
            let (name, share) = (name.trim(), share.trim());
            let Some(op) = Op::ALL.into_iter().find(|op| op.name() == name) else {
                return Err(MixError::Unknown { name: name.to_owned(), nearest: nearest(name) });
            };
            if share.is_empty() {
                return Err(MixError::NoShare { part: part.to_owned() });
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
fn nearest(name: &str) -> Option<&'static str> {
    let known = Op::ALL.map(Op::name).into_iter().chain(PROFILES.map(|(name, _)| name));
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
        let mix = Mix::parse("status=2, stats=3").unwrap();
        assert_eq!((mix.total(), mix.to_string()), (5, "stats=3,status=2".to_owned()));
        let drawn: Vec<Op> = (0..5).map(|point| mix.at(point)).collect();
        assert_eq!(drawn, [Op::Stats, Op::Stats, Op::Stats, Op::Status, Op::Status]);
        assert!(mix.has(Op::Stats) && !mix.has(Op::Cancel));
    }

    #[test]
    fn every_profile_reads() {
        for (name, mix) in PROFILES {
            assert_eq!(Mix::parse(name), Mix::parse(mix));
            assert!(Mix::parse(name).is_ok(), "{name}");
        }
    }

    #[test]
    fn a_bad_mix_says_what_would_be_right() {
        for (text, words) in [
            ("stat=1", "did you mean stats?"),
            ("heartbaet=1", "did you mean heartbeat?"),
            ("zebra=1", "there are stats, snapshot"),
            ("mixd", "did you mean mixed?"),
            ("stats", ""),
            ("status", "has no share"),
            ("status=", "has no share"),
            ("status=x", "status=10"),
            ("status=-1", "status=10"),
            ("status=1,status=2", "twice"),
            ("stats=0", "every share is 0"),
            ("", "no kind of load"),
        ] {
            let told = Mix::parse(text).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(told.contains(words), "{text}: {told}");
        }
    }
}
