//! What nodes believe of each other against what is true: incarnations never fall (I15), who is well is not dead to a
//! majority (I14), who is gone is dead to all in the end (I13).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use hyperscale_codec::NodeId;
use hyperscale_core::Instant;

use crate::fleet::Place;

/// As one node sees another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seen {
    Alive,
    Suspect,
    Dead,
    Left,
}

/// One row of a node's view: who, how, its incarnation, its boot.
pub(crate) type Row = (NodeId, Seen, u64, u64);

/// Somebody who is well for so long has had the time to say that it lives.
pub(crate) const WELL: Duration = Duration::from_secs(10);
/// Somebody who is gone for so long is known to be: probe round, longest suspicion, and the gossip of it.
pub(crate) const GONE: Duration = Duration::from_secs(60);

/// What is true of a node.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Truth {
    pub(crate) node: NodeId,
    pub(crate) boot: u64,
    /// Runs, stands not still, is not starved, and reaches everybody both ways: since then.
    pub(crate) well_since: Option<Instant>,
    /// Does not run: since then.
    pub(crate) gone_since: Option<Instant>,
}

/// What one node believes.
pub(crate) struct View {
    pub(crate) at: Place,
    pub(crate) group: u64,
    pub(crate) who: (NodeId, u64),
    pub(crate) rows: Vec<Row>,
}

/// One start of a node.
type Instance = (NodeId, u64);

#[derive(Debug, Default)]
pub(crate) struct Members {
    /// Of each start of an observer, in each group: the newest boot and incarnation that it knew of each node.
    newest: BTreeMap<(Instance, u64, NodeId), (u64, u64)>,
    /// Rows that were judged.
    pub(crate) rows: u64,
}

impl Members {
    pub(crate) fn check(&mut self, now: Instant, truths: &[Truth], views: &[View]) {
        for view in views {
            for (node, _, incarnation, boot) in &view.rows {
                self.rows += 1;
                let newest = self.newest.entry((view.who, view.group, *node)).or_default();
                let told = (*boot, *incarnation);
                assert!(
                    told >= *newest,
                    "I15: {:?} at place {} goes back from {newest:?} to {told:?} of {node:?}",
                    view.who,
                    view.at
                );
                *newest = told;
            }
        }
        let well = |node: NodeId| {
            let truth = truths.iter().find(|truth| truth.node == node);
            truth.and_then(|truth| truth.well_since).is_some_and(|since| now.since(since) >= WELL)
        };
        let groups: BTreeSet<u64> = views.iter().map(|view| view.group).collect();
        for (truth, group) in truths.iter().flat_map(|truth| groups.iter().map(move |group| (truth, *group)))
        {
            let seen: Vec<Seen> = views
                .iter()
                .filter(|view| view.group == group && view.who.0 != truth.node && well(view.who.0))
                .filter_map(|view| view.rows.iter().find(|row| row.0 == truth.node && row.3 >= truth.boot))
                .map(|row| row.1)
                .collect();
            let dead = seen.iter().filter(|seen| **seen == Seen::Dead).count();
            if well(truth.node) {
                assert!(
                    2 * dead <= seen.len(),
                    "I14: {truth:?} is well, and dead to {dead} of {}",
                    seen.len()
                );
            }
            if truth.gone_since.is_some_and(|since| now.since(since) >= GONE) {
                let alive = seen.iter().filter(|seen| matches!(seen, Seen::Alive | Seen::Suspect)).count();
                assert_eq!(alive, 0, "I13: {truth:?} is gone, and to {alive} of {} it is not", seen.len());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LATER: Instant = Instant(100_000_000_000);

    fn truth(node: u128, well: bool) -> Truth {
        let since = Some(Instant(1));
        let (well_since, gone_since) = if well { (since, None) } else { (None, since) };
        Truth { node: NodeId(node), boot: 1, well_since, gone_since }
    }

    fn view(who: u128, rows: Vec<Row>) -> View {
        View { at: 0, group: 0, who: (NodeId(who), 1), rows }
    }

    fn fails(check: impl FnOnce() + std::panic::UnwindSafe) -> bool {
        std::panic::catch_unwind(check).is_err()
    }

    #[test]
    fn an_incarnation_that_falls_is_found() {
        let row = |incarnation| vec![view(1, vec![(NodeId(2), Seen::Alive, incarnation, 1)])];
        assert!(fails(|| {
            let mut members = Members::default();
            members.check(LATER, &[], &row(4));
            members.check(LATER, &[], &row(4));
            members.check(LATER, &[], &row(3));
        }));
    }

    #[test]
    fn the_living_may_be_dead_to_a_few_and_the_dead_be_alive_to_nobody() {
        let truths = [truth(1, true), truth(2, true), truth(3, true), truth(4, true)];
        let views = |dead: usize| -> Vec<View> {
            let seen = |n: usize| if n < dead { Seen::Dead } else { Seen::Alive };
            (0..3).map(|n| view(n as u128 + 1, vec![(NodeId(4), seen(n), 0, 1)])).collect()
        };
        Members::default().check(LATER, &truths, &views(1));
        assert!(fails(|| Members::default().check(LATER, &truths, &views(2))));
        let gone = [truth(1, true), truth(2, true), truth(3, true), truth(4, false)];
        Members::default().check(LATER, &gone, &views(3));
        assert!(fails(|| Members::default().check(LATER, &gone, &views(2))));
    }
}
