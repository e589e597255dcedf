//! Frames that a story has lost, one kind at a time, and requests that it has come twice. Whatever else is on a link
//! arrives, and once.

use hyperscale_codec::{Flags, Header, Kind};

use super::{Brain, Fleet, Shape};

/// What does not arrive as it was sent.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Losing {
    /// So many frames of a kind are lost from now on.
    next: Option<(Kind, usize)>,
    /// Requests come twice, but for statistics, which are counted by their numbers elsewhere.
    twice: bool,
}

impl Losing {
    pub(super) fn loses(&mut self, kind: Kind) -> bool {
        let Some((_, left)) = self.next.as_mut().filter(|(lost, left)| *lost == kind && *left > 0) else {
            return false;
        };
        *left -= 1;
        true
    }

    pub(super) fn doubles(self, header: &Header, kind: Kind) -> bool {
        let statistics = matches!(kind, Kind::StatsUpdate | Kind::StatsSnapshot | Kind::StatsFinal);
        let asks =
            header.flags.contains(Flags::WANTS_REPLY) && !header.flags.contains(Flags::REPLY) && !statistics;
        self.twice && asks
    }
}

impl Fleet {
    /// From now on the next `count` frames of a kind are lost.
    pub(crate) fn lose_next(&mut self, kind: Kind, count: usize) {
        self.losing.next = Some((kind, count));
    }

    /// Frames that did not come to be lost.
    pub(crate) fn still_to_lose(&self) -> usize {
        self.losing.next.map_or(0, |(_, left)| left)
    }

    /// Everybody starts at once, and the first `count` frames of a kind are lost.
    pub(crate) fn start_losing(shape: Shape, kind: Kind, count: usize) -> Self {
        Self::start_with(shape, None, None, Losing { next: Some((kind, count)), twice: false })
    }

    /// Everybody starts at once, and every request comes twice.
    pub(crate) fn start_doubling(shape: Shape) -> Self {
        Self::start_with(shape, None, None, Losing { next: None, twice: true })
    }

    /// A number that a node tells monitors, of its first shard.
    pub(crate) fn gauge(&self, name: &str, metric: &str) -> f64 {
        let at = self.place(name);
        let now = self.local_now(at);
        let gauges = match &self.nodes[at].brain {
            Some(Brain::Gate(core)) => core.view(now).gauges,
            Some(Brain::Manager(core)) => core.view(now).gauges,
            Some(Brain::Worker(core)) => core.view(now).gauges,
            Some(Brain::Client(_) | Brain::Crowd(_)) | None => Vec::new(),
        };
        gauges.iter().filter(|gauge| gauge.name == metric).map(|gauge| gauge.value).sum()
    }
}
