//! What is kept, entry by entry, for whoever draws a time line: in pages that can be gone on from although entries move
//! on between two of them.
//!
//! A page ends between two entries that no promotion can join: at a boundary of the tier that they move to next. So no
//! window is told twice or left out. Where a tier is full, and its entries move two tiers on between two pages, one that
//! was told in part begins before the window that the next page was to go on from: whoever asks sees that.

use super::{Entry, Span, StatsBuffer, StatsTier, packed};
use crate::{Cell, CellSet};

/// What is told of an entry.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    /// Where it is kept.
    pub tier: StatsTier,
    /// Its windows.
    pub span: Span,
    /// Index of the workflow; `None`: all of them.
    pub workflow: Option<usize>,
    /// Over all steps.
    pub steps: &'a Cell,
    /// Iterations of the workflow.
    pub iterations: &'a Cell,
}

/// Which rows are asked for.
#[derive(Debug, Clone, Copy)]
pub struct PageOf {
    /// Of one tier; `None`: of all.
    pub tier: Option<StatsTier>,
    /// Entries that have any of these windows.
    pub wanted: Span,
    /// A row a workflow, instead of one for all.
    pub by_workflow: bool,
    /// The page ends after so many rows, where it can.
    pub rows: usize,
    /// And here even where it cannot well.
    pub rows_max: usize,
}

impl StatsBuffer {
    /// Shows a page of rows, from the oldest. The window from which to go on, if there is more.
    pub fn page(&mut self, page: PageOf, mut each: impl FnMut(Row<'_>)) -> Option<u32> {
        let per_entry = if page.by_workflow { self.steps.len().max(1) } else { 1 };
        let entries = self.entries_of(page);
        let (mut over_steps, mut iterations) = (Cell::default(), Cell::default());
        let (mut told, mut last) = (0_usize, None::<(StatsTier, Span)>);
        let mut reached = 0;
        for (tier, entry) in entries {
            if let Some(last) = last
                && told > 0
                && self.may_end(page, told, (last, reached), (tier, entry.span), per_entry)
            {
                return Some(entry.span.from);
            }
            self.show((tier, entry), page.by_workflow, (&mut over_steps, &mut iterations), &mut each);
            told = told.saturating_add(per_entry);
            reached = entry.span.to.max(reached);
            last = Some((tier, entry.span));
        }
        None
    }

    fn entries_of(&self, page: PageOf) -> Vec<(StatsTier, Entry)> {
        let tiers =
            StatsTier::ALL.into_iter().rev().filter(|tier| page.tier.is_none_or(|only| only == *tier));
        let entries = tiers.flat_map(|tier| self.tier(tier).iter().map(move |entry| (tier, *entry)));
        let mut entries: Vec<_> = entries.filter(|(_, entry)| entry.span.meets(page.wanted)).collect();
        entries.sort_by_key(|(_, entry)| (entry.span.from, entry.span.to));
        entries
    }

    /// Whether a page may end before `next`. `reached`: the last window of all that were told.
    fn may_end(
        &self,
        page: PageOf,
        told: usize,
        (last, reached): ((StatsTier, Span), u32),
        next: (StatsTier, Span),
        per_entry: usize,
    ) -> bool {
        if told.saturating_add(per_entry) > page.rows_max {
            return true;
        }
        // The next one may move on to where the last one is, or both may move on.
        let both = [last.0, last.0.next().max(next.0.next())];
        let joins = |tier| tier != StatsTier::Archive && self.slot(tier, last.1) == self.slot(tier, next.1);
        let apart = !both.into_iter().any(joins);
        told.saturating_add(per_entry) > page.rows && reached < next.1.from && apart
    }

    fn show(
        &mut self,
        (tier, entry): (StatsTier, Entry),
        by_workflow: bool,
        (over_steps, iterations): (&mut Cell, &mut Cell),
        each: &mut impl FnMut(Row<'_>),
    ) {
        let Self { arena, at_hand: [packed, ..], steps, .. } = self;
        arena.load(entry.run, packed);
        let mut sums = packed::Sums::of(packed);
        over_steps.clear();
        iterations.clear();
        for (workflow, steps) in steps.iter().enumerate() {
            sums.add_next(*steps, over_steps, iterations);
            if by_workflow {
                let workflow = Some(workflow);
                each(Row { tier, span: entry.span, workflow, steps: over_steps, iterations });
                over_steps.clear();
                iterations.clear();
            }
        }
        if !by_workflow {
            each(Row { tier, span: entry.span, workflow: None, steps: over_steps, iterations });
        }
    }

    /// Puts what `totals` have, a set a workflow, beyond all windows into the last one: what no window told of. Then windows
    /// and totals are the same, but for what windows have and totals lack.
    pub fn meet(&mut self, totals: &[CellSet]) {
        let entries: Vec<Entry> =
            self.entries_of(PageOf::everything()).into_iter().map(|(_, it)| it).collect();
        let last = entries.iter().map(|entry| entry.span.to).max().unwrap_or(0);
        let mut late = Vec::new();
        for ((workflow, steps), total) in self.steps.iter().enumerate().zip(totals) {
            let (mut held, mut beyond) = (CellSet::new(*steps), CellSet::new(*steps));
            let [packed, ..] = &mut self.at_hand;
            for entry in &entries {
                self.arena.load(entry.run, packed);
                packed::unpack_one(packed, &self.steps, workflow, &mut held);
            }
            beyond.merge_difference(total, &held);
            packed::append(&[beyond], &mut late);
        }
        let run = self.arena.store(&late);
        let newest = [StatsTier::Hot, StatsTier::Warm, StatsTier::Cold];
        let tier = newest.into_iter().find(|tier| self.entries(*tier) > 0).unwrap_or(StatsTier::Hot);
        self.place(tier, Entry { span: Span { from: last, to: last }, run });
    }
}

impl PageOf {
    /// All there is, in one page.
    const fn everything() -> Self {
        let wanted = Span { from: 0, to: u32::MAX };
        Self { tier: None, wanted, by_workflow: false, rows: usize::MAX, rows_max: usize::MAX }
    }
}

#[cfg(test)]
mod tests;
