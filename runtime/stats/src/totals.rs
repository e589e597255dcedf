//! The exact sum over all sources.
//!
//! One row a (worker, shard, epoch): the newest snapshot, and the deltas that follow it without a gap. A snapshot of
//! a lower sequence, and a delta that does not come next, change nothing; so no loss, repeat or reorder of messages
//! can lose or double a count for longer than until the next snapshot. What comes in several messages waits beside
//! its row until it is whole, so a row never holds half a snapshot. Rows are kept as they came ([`SparseCells`]) and added
//! up when a sum is asked for: taking a snapshot costs what it tells, not what a plan could have. In: checked messages.
//! Out: sums. Bounded by `SOURCES_MAX` sources.

use std::collections::BTreeMap;
use std::ops::Range;

use hyperscale_codec::messages::ArchivedStatsColumns;
use hyperscale_codec::{Epoch, NodeId, Sequence, StepId, WorkflowId};

use crate::columns::{MergeError, RowWalk, Source, cells_in, sources_of};
use crate::part::{Key, Part, What};
use crate::{CellSet, SparseCells};

/// Deltas that are kept one behind the other, before they are added up: a snapshot mostly comes earlier.
const RUNS_MAX: u32 = 16;

/// What became of a message's source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It is part of the total now.
    Fresh,
    /// The total holds it already, or something newer.
    Known,
    /// The rest of its cells is still to come.
    Part,
    /// A delta before it is missing; the next snapshot heals that.
    Gap,
}

/// Sources of one job: a thousand workers of 64 shards each.
const SOURCES_MAX: usize = 1 << 16;

/// Is shown each snapshot that took the place of another.
type See<'a> = &'a mut dyn FnMut(Replaced<'_>);

#[derive(Debug)]
struct Row {
    source: Source,
    workflow: WorkflowId,
    sequence: Sequence,
    is_final: bool,
    through: u32,
    cells: SparseCells,
    /// Deltas behind the last sum in `cells`.
    runs: u32,
}

impl Row {
    fn held(&self) -> Held<'_> {
        let Self { source, workflow, sequence, is_final, through, .. } = *self;
        Held { source, workflow, sequence, is_final, through, cells: &self.cells }
    }
}

/// A snapshot that took the place of another.
#[derive(Debug, Clone, Copy)]
pub struct Replaced<'a> {
    /// Of which workflow.
    pub workflow: WorkflowId,
    /// The last window in what was there before, if anything was.
    pub before: Option<u32>,
    /// The last window in what is there now.
    pub through: u32,
    /// What was there.
    pub older: &'a SparseCells,
    /// What is.
    pub newer: &'a SparseCells,
}

/// What is held of one source.
#[derive(Debug, Clone, Copy)]
pub struct Held<'a> {
    /// Who recorded it.
    pub source: Source,
    /// Of which workflow.
    pub workflow: WorkflowId,
    /// The last message in it.
    pub sequence: Sequence,
    /// Whether it is all there will be.
    pub is_final: bool,
    /// The last window in it.
    pub through: u32,
    /// The figures.
    pub cells: &'a SparseCells,
}

/// Newest snapshots of all sources of one job.
#[derive(Debug)]
pub struct Totals {
    /// Steps of each workflow of the plan.
    steps: Vec<usize>,
    /// In the order in which the sources came.
    rows: Vec<Row>,
    /// The row of a source.
    row_of: BTreeMap<Source, usize>,
    /// The row that is probably asked for next: a sender names its sources in the same order each time.
    likely: usize,
    /// The newest sequence of a source of which some cells are missing.
    parts: BTreeMap<Source, Part>,
    /// An empty one a workflow, so that a warm total allocates nothing.
    spare: Vec<Option<Part>>,
    /// To add up deltas in.
    sum: Vec<Option<CellSet>>,
    /// What comes changes nothing any more.
    closed: bool,
}

impl Totals {
    /// For a plan whose workflows have so many steps each.
    #[must_use]
    pub fn new(steps: Vec<usize>) -> Self {
        let spare = (0..).map(WorkflowId).zip(&steps).map(|(id, &n)| Some(Part::new(id, n))).collect();
        let sum = steps.iter().map(|_| None).collect();
        let (rows, row_of, parts) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
        Self { steps, rows, row_of, likely: 0, parts, spare, sum, closed: false }
    }

    /// The sums were taken, and nobody asks again: lets go of all figures. What still comes is known.
    pub fn close(&mut self) {
        *self = Self { closed: true, ..Self::new(Vec::new()) };
    }

    /// Takes a snapshot or a final: everything each source recorded since its epoch began. `each` is told what
    /// became of each source.
    ///
    /// # Errors
    /// [`MergeError`]; sources before the refused one are taken, the refused one and later ones are not.
    pub fn take_snapshot(
        &mut self,
        columns: &ArchivedStatsColumns,
        is_final: bool,
        each: impl FnMut(Source, Sequence, Taken),
    ) -> Result<(), MergeError> {
        self.take_snapshot_and_see(columns, is_final, each, &mut |_| {})
    }

    /// The same; `see` is shown what each source has now, and what it had before.
    ///
    /// # Errors
    /// As [`Totals::take_snapshot`].
    pub fn take_snapshot_and_see(
        &mut self,
        columns: &ArchivedStatsColumns,
        is_final: bool,
        each: impl FnMut(Source, Sequence, Taken),
        see: See<'_>,
    ) -> Result<(), MergeError> {
        self.take(columns, if is_final { What::Final } else { What::Snapshot }, each, see)
    }

    /// Takes deltas: what each source recorded since its message before.
    ///
    /// # Errors
    /// [`MergeError`]; the refused source waits for its next snapshot.
    pub fn take_delta(
        &mut self,
        columns: &ArchivedStatsColumns,
        each: impl FnMut(Source, Sequence, Taken),
    ) -> Result<(), MergeError> {
        self.take(columns, What::Delta, each, &mut |_| {})
    }

    fn take(
        &mut self,
        columns: &ArchivedStatsColumns,
        what: What,
        mut each: impl FnMut(Source, Sequence, Taken),
        see: See<'_>,
    ) -> Result<(), MergeError> {
        let told = columns.source_cells.iter().map(|cells| cells.to_native());
        let mut walk = RowWalk::new(columns);
        for (index, ((source, sequence), cells)) in sources_of(columns).zip(told).enumerate() {
            if self.closed {
                each(source, sequence, Taken::Known);
                continue;
            }
            let rows = walk.cells_of(index);
            let at = self.row_at(source);
            let taken = match self.workflow_of(columns, &rows, at)? {
                Some(workflow) => {
                    let key = Key { what, sequence, workflow, cells };
                    match self.needless(at, key) {
                        Some(needless) => needless,
                        None => self.collect((columns, &mut walk, rows), (source, at, key), see)?,
                    }
                }
                None => Taken::Part,
            };
            each(source, sequence, taken);
        }
        Ok(())
    }

    /// Where the row of a source is, if it has one.
    fn row_at(&mut self, source: Source) -> Option<usize> {
        let is_likely = self.rows.get(self.likely).is_some_and(|row| row.source == source);
        let at = if is_likely { self.likely } else { self.row_of.get(&source).copied()? };
        self.likely = at.saturating_add(1);
        if self.likely >= self.rows.len() {
            self.likely = 0;
        }
        Some(at)
    }

    fn row(&self, at: Option<usize>) -> Option<&Row> {
        at.and_then(|at| self.rows.get(at))
    }

    /// Why a source of a message need not be read, if so.
    fn needless(&self, at: Option<usize>, key: Key) -> Option<Taken> {
        let held = self.row(at);
        let newest = held.map_or(Sequence(0), |row| row.sequence);
        let done = held.is_some_and(|row| row.is_final);
        match key.what {
            What::Final => done.then_some(Taken::Known),
            What::Snapshot => (done || held.is_some() && key.sequence <= newest).then_some(Taken::Known),
            What::Delta if done || key.sequence <= newest => Some(Taken::Known),
            What::Delta => (key.sequence.0 > newest.0.saturating_add(1)).then_some(Taken::Gap),
        }
    }

    /// The workflow of a source: of its cells, or of its row where a message has no cells for it. None of a source
    /// of which no cell has come yet: what is guessed here would refuse all that it tells later.
    fn workflow_of(
        &self,
        columns: &ArchivedStatsColumns,
        rows: &Range<usize>,
        at: Option<usize>,
    ) -> Result<Option<WorkflowId>, MergeError> {
        let told = cells_in(columns, rows.clone()).next().map(|(_, workflow, _)| workflow);
        let known = self.row(at).map(|row| row.workflow);
        let Some(workflow) = known.or(told) else { return Ok(None) };
        let fits = told.is_none_or(|told| told == workflow) && self.steps_of(workflow).is_some();
        if fits {
            Ok(Some(workflow))
        } else {
            Err(MergeError::NoSuchRow { workflow: told.unwrap_or(workflow).0, step: StepId::WORKFLOW.0 })
        }
    }

    fn steps_of(&self, workflow: WorkflowId) -> Option<usize> {
        usize::try_from(workflow.0).ok().and_then(|index| self.steps.get(index)).copied()
    }

    fn spare_of(&mut self, workflow: WorkflowId) -> Option<&mut Option<Part>> {
        usize::try_from(workflow.0).ok().and_then(|index| self.spare.get_mut(index))
    }

    fn begin(&mut self, key: Key) -> Part {
        let steps = self.steps_of(key.workflow).unwrap_or_default();
        let spare = self.spare_of(key.workflow).and_then(Option::take);
        let mut part = spare.unwrap_or_else(|| Part::new(key.workflow, steps));
        part.begin(key);
        part
    }

    fn keep_spare(&mut self, part: Part) {
        if let Some(spare) = self.spare_of(part.key.workflow) {
            *spare = Some(part);
        }
    }

    /// Adds a message's cells to what has come of their sequence; the total changes when that is whole. A refused
    /// message costs the sequence, which is sent again, or the next one comes.
    fn collect(
        &mut self,
        (columns, walk, rows): (&ArchivedStatsColumns, &mut RowWalk<'_>, Range<usize>),
        (source, at, key): (Source, Option<usize>, Key),
        see: See<'_>,
    ) -> Result<Taken, MergeError> {
        let waiting = self.parts.get(&source).map(|part| part.key);
        if at.is_none()
            && waiting.is_none()
            && self.rows.len().saturating_add(self.parts.len()) >= SOURCES_MAX
        {
            return Err(MergeError::TooManySources(SOURCES_MAX));
        }
        let begun = if waiting == Some(key) { self.parts.remove(&source) } else { None };
        let mut part = begun.unwrap_or_else(|| self.begin(key));
        if let Err(refused) = part.take(columns, walk, rows) {
            self.keep_spare(part);
            return Err(refused);
        }
        let newer_waits = waiting.is_some_and(|waiting| waiting.supersedes(key));
        let (taken, unused) = if part.is_whole() {
            self.settle((source, at), columns.k_to.to_native(), part, see);
            // What waits and is older has nothing left to add.
            (Taken::Fresh, if newer_waits { None } else { self.parts.remove(&source) })
        } else if newer_waits {
            (Taken::Part, Some(part))
        } else {
            (Taken::Part, self.parts.insert(source, part))
        };
        if let Some(unused) = unused {
            self.keep_spare(unused);
        }
        Ok(taken)
    }

    /// Makes a whole sequence part of the total.
    fn settle(&mut self, (source, at): (Source, Option<usize>), through: u32, mut part: Part, see: See<'_>) {
        let Key { what, sequence, workflow, .. } = part.key;
        let before = self.row(at).map(|row| row.through);
        let at = at.unwrap_or_else(|| self.insert(source, workflow));
        if let Some(row) = self.rows.get_mut(at) {
            match what {
                What::Delta if before.is_none() => std::mem::swap(&mut row.cells, &mut part.cells),
                What::Delta => {
                    row.cells.append(&part.cells);
                    row.runs = row.runs.saturating_add(1);
                }
                What::Snapshot | What::Final => {
                    std::mem::swap(&mut row.cells, &mut part.cells);
                    row.runs = 0;
                    see(Replaced { workflow, before, through, older: &part.cells, newer: &row.cells });
                }
            }
            row.sequence = sequence;
            row.through = through;
            row.is_final = what == What::Final;
        }
        self.keep_spare(part);
        self.add_up(at);
    }

    fn insert(&mut self, source: Source, workflow: WorkflowId) -> usize {
        let at = self.rows.len();
        let (sequence, cells) = (Sequence(0), SparseCells::default());
        self.rows.push(Row { source, workflow, sequence, is_final: false, through: 0, cells, runs: 0 });
        self.row_of.insert(source, at);
        at
    }

    /// Makes one of many deltas.
    fn add_up(&mut self, at: usize) {
        let Some(row) = self.rows.get_mut(at).filter(|row| row.runs >= RUNS_MAX) else { return };
        let workflow = usize::try_from(row.workflow.0).unwrap_or(usize::MAX);
        let (Some(sum), Some(steps)) = (self.sum.get_mut(workflow), self.steps.get(workflow)) else { return };
        let sum = sum.get_or_insert_with(|| CellSet::new(*steps));
        sum.clear();
        row.cells.add_to(sum);
        row.cells.assign(sum);
        row.runs = 0;
    }

    /// Sum of one workflow over all sources for which `wanted` holds.
    #[must_use]
    pub fn sum_where(&self, workflow: WorkflowId, wanted: impl Fn(Source) -> bool) -> CellSet {
        let mut sum = CellSet::new(self.steps_of(workflow).unwrap_or_default());
        let rows = self.rows.iter().filter(|row| row.workflow == workflow && wanted(row.source));
        rows.for_each(|row| row.cells.add_to(&mut sum));
        sum
    }

    /// Sum of one workflow.
    #[must_use]
    pub fn sum(&self, workflow: WorkflowId) -> CellSet {
        self.sum_where(workflow, |_| true)
    }

    /// The rows in the order of their sources: who recorded what, and whether it is final.
    pub fn rows(&self) -> impl Iterator<Item = Held<'_>> {
        self.row_of.values().filter_map(|at| self.rows.get(*at)).map(Row::held)
    }

    /// The row of one source.
    #[must_use]
    pub fn held(&self, source: Source) -> Option<Held<'_>> {
        self.row(self.row_of.get(&source).copied()).map(Row::held)
    }

    /// Whether the whole final of this epoch of a worker is held.
    #[must_use]
    pub fn has_final(&self, worker: NodeId, epoch: Epoch) -> bool {
        self.rows.iter().any(|row| row.source.worker == worker && row.source.epoch == epoch && row.is_final)
    }

    /// Epochs of a worker whose whole finals are held.
    #[must_use]
    pub fn finals_of(&self, worker: NodeId) -> usize {
        self.rows.iter().filter(|row| row.source.worker == worker && row.is_final).count()
    }

    /// Requests that all sources of a worker recorded.
    #[must_use]
    pub fn requests_of(&self, worker: NodeId) -> u64 {
        let rows = self.rows.iter().filter(|row| row.source.worker == worker);
        rows.map(|row| row.cells.requests()).fold(0, u64::saturating_add)
    }

    /// Bytes of memory that the rows take, and what waits to become one.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let rows = self.rows.iter().map(|row| &row.cells);
        let waiting = self.parts.values().map(|part| &part.cells);
        let own = self.rows.capacity().saturating_mul(size_of::<Row>());
        rows.chain(waiting).map(SparseCells::bytes).fold(own, usize::saturating_add)
    }
}

#[cfg(test)]
mod tests;
