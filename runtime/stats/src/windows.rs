//! Windows on their way to a view: deltas of several senders, merged until all have told of a window.
//!
//! Merging costs resolution, never counts: what comes late joins the window that is still open. In: deltas with the
//! windows they cover. Out: one merged set of cells with the windows it covers. Bounded by one set a workflow.

use std::collections::BTreeMap;

use hyperscale_codec::messages::ArchivedStatsColumns;

use crate::columns::{MergeError, all_cells, merge_cell};
use crate::{CellSet, Replaced, Span};

/// The windows of one job that were not yet passed on.
#[derive(Debug)]
pub struct WindowMerge<K> {
    cells: Vec<CellSet>,
    /// Last window told, and requests then in flight, of each sender still expected.
    senders: BTreeMap<K, Told>,
    from: Option<u32>,
    to: u32,
    end_us: u64,
    /// The first window that anybody told of.
    first: Option<u32>,
    /// Two totals of a workflow, spread out to be compared; there from the first comparison on.
    spread: BTreeMap<usize, [CellSet; 2]>,
}

/// Windows that leave together.
#[derive(Debug)]
pub struct Windows<'a> {
    /// First window.
    pub from: u32,
    /// Last window.
    pub to: u32,
    /// Where the last one ends, since the job's start: earlier than a whole window where all ended within it.
    pub end_us: u64,
    /// What was recorded, a set a workflow.
    pub workflows: &'a [CellSet],
}

impl Windows<'_> {
    /// Which they are.
    #[must_use]
    pub const fn span(&self) -> Span {
        Span { from: self.from, to: self.to }
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Told {
    through: Option<u32>,
    in_flight: u64,
    /// Of the messages so far, where its windows came in several.
    in_flight_so_far: u64,
    /// The rest of what it sent is still to come.
    more: bool,
}

impl<K: Ord + Copy> WindowMerge<K> {
    /// For a plan whose workflows have so many steps each.
    #[must_use]
    pub fn new(steps: &[usize]) -> Self {
        let cells = steps.iter().map(|&n| CellSet::new(n)).collect();
        let (senders, spread) = (BTreeMap::new(), BTreeMap::new());
        Self { cells, senders, from: None, to: 0, end_us: 0, first: None, spread }
    }

    /// Waits for this sender from now on.
    pub fn expect(&mut self, sender: K) {
        self.senders.entry(sender).or_default();
    }

    /// Waits for this sender no longer; it has ended or is gone.
    pub fn forget(&mut self, sender: K) {
        self.senders.remove(&sender);
    }

    /// Adds a checked message of deltas.
    ///
    /// # Errors
    /// [`MergeError`]; rows before the refused one were added: a view may be wrong where a sender is.
    pub fn take(&mut self, sender: K, columns: &ArchivedStatsColumns) -> Result<(), MergeError> {
        let (from, to) = (columns.k_from.to_native(), columns.k_to.to_native());
        let mut in_flight = 0_u64;
        for (row, workflow, step) in all_cells(columns) {
            let missing = MergeError::NoSuchRow { workflow: workflow.0, step: step.0 };
            let cells = usize::try_from(workflow.0).ok().and_then(|at| self.cells.get_mut(at));
            let cell = cells.and_then(|cells| cells.cell_mut(step)).ok_or(missing)?;
            merge_cell(columns, row, cell)?;
            in_flight = in_flight.saturating_add(std::mem::take(&mut cell.in_flight));
        }
        self.reach(Span { from, to }, columns.end_us.to_native());
        let told = self.senders.entry(sender).or_default();
        told.in_flight_so_far = told.in_flight_so_far.saturating_add(in_flight);
        told.more = columns.more;
        if !columns.more {
            told.through = told.through.max(Some(to));
            told.in_flight = std::mem::take(&mut told.in_flight_so_far);
        }
        Ok(())
    }

    fn reach(&mut self, span: Span, end_us: u64) {
        self.from = Some(self.from.map_or(span.from, |first| first.min(span.from)));
        self.to = self.to.max(span.to);
        self.end_us = self.end_us.max(end_us);
        self.first.get_or_insert(span.from);
    }

    /// Adds what one total has beyond another, of the windows between them: where a sender sends no deltas.
    pub fn take_difference(&mut self, sender: K, replaced: Replaced<'_>, end_us: u64) {
        let Replaced { workflow, before, through, older, newer } = replaced;
        let at = usize::try_from(workflow.0).unwrap_or(usize::MAX);
        let Some(cells) = self.cells.get_mut(at) else { return };
        let steps = cells.steps().len();
        let both = self.spread.entry(at).or_insert_with(|| [CellSet::new(steps), CellSet::new(steps)]);
        for (flat, sparse) in both.iter_mut().zip([newer, older]) {
            flat.clear();
            sparse.add_to(flat);
        }
        let [newer, older] = both;
        cells.merge_difference(newer, older);
        let from = before.map_or(0, |before| before.saturating_add(1)).min(through);
        self.reach(Span { from, to: through }, end_us);
        self.told(sender, through);
    }

    /// A sender has no more of the windows up to this one.
    pub fn told(&mut self, sender: K, through: u32) {
        if let Some(told) = self.senders.get_mut(&sender) {
            told.through = told.through.max(Some(through));
        }
    }

    /// Windows that somebody told of and somebody else, who is expected to, did not.
    #[must_use]
    pub fn waiting(&self) -> u32 {
        let through = || self.senders.values().map(|told| told.through);
        let (Some(Some(newest)), Some(oldest)) = (through().max(), through().min()) else { return 0 };
        let after = oldest.map_or(self.first.unwrap_or(0), |oldest| oldest.saturating_add(1));
        newest.saturating_add(1).saturating_sub(after)
    }

    /// Whether something waits, and every expected sender has told of its last window.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        let has_told = |told: &Told| told.through >= Some(self.to) && !told.more;
        self.from.is_some() && self.senders.values().all(has_told)
    }

    /// The last window that waits, if any does.
    #[must_use]
    pub fn waits_to(&self) -> Option<u32> {
        self.from.map(|_| self.to)
    }

    /// Requests in flight over all senders, as last told.
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        self.senders.values().map(|told| told.in_flight).fold(0, u64::saturating_add)
    }

    /// Shows what waits to `pass`, then empties it.
    pub fn flush<R>(&mut self, pass: impl FnOnce(Windows<'_>) -> R) -> Option<R> {
        let from = self.from.take()?;
        let end_us = std::mem::take(&mut self.end_us);
        let result = pass(Windows { from, to: self.to, end_us, workflows: &self.cells });
        self.cells.iter_mut().for_each(CellSet::clear);
        Some(result)
    }
}
