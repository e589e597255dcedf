//! What a manager told the gate that is played to it, of one job: compared with what its workers recorded.

use std::collections::{BTreeMap, BTreeSet};

use hyperscale_codec::messages::{
    ArchivedDcFinalResult, ArchivedStatsColumns, ErrorKind, JobState, StatsFinalAck, WorkerState,
};
use hyperscale_codec::{Hist, JobId, StepId};
use hyperscale_stats::{Cell, MergeError, Source, all_cells, cells_of, merge_cell, sources_of};

use crate::figures::{Counts, Figures, Weights, of_source};
use crate::players::Player;
use crate::share::{Share, ShareStage};

/// Who told what: to look at a source by its numbers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Told<'a> {
    /// By player.
    pub(crate) shares: &'a BTreeMap<usize, Share>,
    pub(crate) players: &'a [Player],
    pub(crate) figures: &'a Figures,
    pub(crate) shards: u16,
    pub(crate) steps: u16,
}

/// What the gate holds of one job.
#[derive(Debug, Clone, Default)]
pub(crate) struct Heard {
    /// Sources whose last figures are what they recorded.
    equal: BTreeSet<Source>,
    /// Requests in last figures.
    pub(crate) reported: u64,
    /// In the manager's merged windows.
    pub(crate) viewed: Counts,
    latency: Option<Box<Hist>>,
    /// The first thing that is not as it was told.
    different: Option<String>,
}

impl Heard {
    fn differs(&mut self, how: String) {
        self.different.get_or_insert(how);
    }

    /// Adds windows that the manager merged.
    pub(crate) fn add_windows(&mut self, columns: &ArchivedStatsColumns) {
        let added = columns.check().map_err(|error| error.to_string());
        if let Err(error) = added.and_then(|()| self.add_rows(columns).map_err(|error| error.to_string())) {
            self.differs(format!("its windows cannot be read: {error}"));
        }
    }

    fn add_rows(&mut self, columns: &ArchivedStatsColumns) -> Result<(), MergeError> {
        for (row, _, step) in all_cells(columns) {
            let is_step = step != StepId::WORKFLOW;
            let at =
                |column: &[hyperscale_codec::Archived<u64>]| column.get(row).map_or(0, |n| n.to_native());
            let viewed = &mut self.viewed;
            let (count, dropped) = (at(&columns.count), at(&columns.dropped));
            if is_step {
                viewed.requests = viewed.requests.saturating_add(count);
                viewed.errors = viewed.errors.saturating_add(at(&columns.errors));
                viewed.bytes_in = viewed.bytes_in.saturating_add(at(&columns.bytes_in));
                viewed.bytes_out = viewed.bytes_out.saturating_add(at(&columns.bytes_out));
                if let Some(told) = columns.latency.get(row) {
                    let latency = self.latency.get_or_insert_with(|| Box::new(Hist::new()));
                    latency.merge_archived(told).map_err(|source| MergeError::Histogram {
                        workflow: 0,
                        step: step.0,
                        column: "latency",
                        source,
                    })?;
                }
            } else {
                viewed.iterations = viewed.iterations.saturating_add(count);
                viewed.dropped = viewed.dropped.saturating_add(dropped);
            }
        }
        Ok(())
    }

    /// Compares last figures, source by source.
    pub(crate) fn add_finals(&mut self, columns: &ArchivedStatsColumns, told: Told<'_>) {
        if let Err(error) = columns.check() {
            return self.differs(format!("its last figures cannot be read: {error}"));
        }
        for (index, (source, _)) in sources_of(columns).enumerate() {
            if self.equal.contains(&source) {
                continue;
            }
            match told.compare(columns, index, source) {
                Ok(requests) => {
                    self.equal.insert(source);
                    self.reported = self.reported.saturating_add(requests);
                }
                Err(how) => self.differs(format!("shard {} of {how}", source.shard.0)),
            }
        }
    }

    /// The receipt of all last figures that are held.
    pub(crate) fn kept(&self, id: JobId) -> StatsFinalAck {
        StatsFinalAck {
            job: id.to_bytes(),
            source_worker: self.equal.iter().map(|source| source.worker.to_bytes()).collect(),
            source_shard: self.equal.iter().map(|source| source.shard.0).collect(),
            source_epoch: self.equal.iter().map(|source| source.epoch.0).collect(),
        }
    }

    /// How the end differs from what was told, if it does. `windows`: all that was told as windows.
    pub(crate) fn difference(
        &self,
        result: &ArchivedDcFinalResult,
        may_be_cancelled: bool,
        windows: &Weights,
        told: Told<'_>,
    ) -> Option<String> {
        if let Some(different) = &self.different {
            return Some(different.clone());
        }
        let sources = told.shares.len().saturating_mul(usize::from(told.shards));
        if self.equal.len() != sources {
            return Some(format!("{sources} sources told last figures, {} came", self.equal.len()));
        }
        let outcome = JobState::from_wire(result.outcome);
        let is_expected =
            outcome == JobState::Completed || outcome == JobState::Cancelled && may_be_cancelled;
        if !is_expected {
            let error = result.error.as_str();
            return Some(format!("it ended as {} ({error})", outcome.as_str()));
        }
        told.workers(result).or_else(|| self.views(windows, told.figures))
    }

    /// Windows may be lost, not doubled or changed.
    fn views(&self, windows: &Weights, figures: &Figures) -> Option<String> {
        let (sent, viewed) = (figures.counts(windows), self.viewed);
        if viewed.requests > sent.requests {
            return Some(format!("windows of {} requests became {}", sent.requests, viewed.requests));
        }
        if viewed.requests < sent.requests {
            return None;
        }
        if viewed != sent {
            return Some(format!("its windows have {viewed:?}, {sent:?} were told"));
        }
        let empty = Hist::new();
        let latency = self.latency.as_deref().unwrap_or(&empty).to_sparse();
        (latency != figures.latency(windows)).then(|| "the histogram of its windows differs".to_owned())
    }
}

impl Told<'_> {
    /// Requests of one source's last figures, if these are what it recorded.
    fn compare(self, columns: &ArchivedStatsColumns, index: usize, source: Source) -> Result<u64, String> {
        let player = self.players.iter().position(|player| player.identity.node == source.worker);
        let worker = player.unwrap_or(usize::MAX);
        let name = self.players.get(worker).map_or("nobody", |player| player.identity.name.as_str());
        let Some(share) = self.shares.get(&worker).filter(|share| share.stage == ShareStage::Ended) else {
            return Err(format!("{name} has not told its last figures, and some came"));
        };
        if source.epoch.0 != share.epoch.saturating_add(source.shard.0.into()) {
            return Err(format!("{name} has another epoch"));
        }
        let first = worker.saturating_sub(1).saturating_mul(usize::from(self.shards));
        let weights = of_source(&share.recorded, first.saturating_add(source.shard.0.into()));
        let mut came = BTreeSet::new();
        for (row, _, step) in cells_of(columns, index) {
            let mut cell = Cell::default();
            merge_cell(columns, row, &mut cell).map_err(|error| format!("{name}: {error}"))?;
            if let Some(what) = self.figures.difference(&weights, step, &cell) {
                return Err(format!("{name}: {what}"));
            }
            if !came.insert(step) {
                return Err(format!("{name}: a row came twice"));
            }
        }
        // A manager that tells figures anew leaves out the rows in which nothing was recorded.
        for step in (0..u32::from(self.steps)).map(StepId).chain([StepId::WORKFLOW]) {
            if !came.contains(&step) && self.figures.difference(&weights, step, &Cell::default()).is_some() {
                return Err(format!("{name}: a row did not come; {} of {} did", came.len(), self.steps + 1));
            }
        }
        Ok(self.figures.counts(&weights).requests)
    }

    /// What the result says of the workers.
    fn workers(self, result: &ArchivedDcFinalResult) -> Option<String> {
        for (player, share) in self.shares {
            let Some(identity) = self.players.get(*player).map(|player| &player.identity) else { continue };
            let node = identity.node.to_bytes();
            let Some(row) = result.workers.iter().find(|row| row.worker == node) else {
                return Some(format!("its result lacks {}", identity.name));
            };
            let state = WorkerState::from_wire(row.state);
            if state != WorkerState::Ok || row.epochs.to_native() != u32::from(self.shards) {
                let (epochs, name) = (row.epochs.to_native(), &identity.name);
                return Some(format!(
                    "{name} ended revision {} and is told as {} with {epochs} of {} epochs",
                    share.revision,
                    state.as_str(),
                    self.shards
                ));
            }
        }
        None
    }
}

impl Figures {
    /// How one cell differs from what a source recorded.
    fn difference(&self, weights: &Weights, step: StepId, cell: &Cell) -> Option<String> {
        let all = self.counts(weights);
        let steps = u64::from(self.steps()).max(1);
        let is_step = step != StepId::WORKFLOW;
        let of_step = |n: u64| if is_step { n / steps } else { 0 };
        let of_workflow = |n: u64| if is_step { 0 } else { n };
        let (count, errors) = (all.iterations, of_step(all.errors));
        let statuses = if is_step { vec![(200, count - errors)] } else { Vec::new() };
        let kinds = if is_step { vec![(ErrorKind::Timeout, errors)] } else { Vec::new() };
        let counts = [
            ("requests", cell.count, count),
            ("errors", cell.errors, errors),
            ("cancelled", cell.cancelled, 0),
            ("dropped", cell.dropped, of_workflow(all.dropped)),
            ("due", cell.due, of_workflow(count + all.dropped)),
            ("started", cell.started, of_workflow(count)),
            ("late", cell.late, 0),
            ("bytes in", cell.bytes_in, of_step(all.bytes_in)),
            ("bytes out", cell.bytes_out, of_step(all.bytes_out)),
            ("connects", cell.connect.count(), 0),
            ("lateness", cell.lateness.count(), 0),
        ];
        if let Some((what, got, want)) = counts.into_iter().find(|(_, got, want)| got != want) {
            return Some(format!("{what}: {want} told, {got} came"));
        }
        if !cell.statuses().eq(statuses.into_iter().filter(|(_, n)| *n > 0)) {
            return Some("its statuses differ".to_owned());
        }
        if !cell.error_kinds().eq(kinds.into_iter().filter(|(_, n)| *n > 0)) {
            return Some("its kinds of errors differ".to_owned());
        }
        let latency = self.cell_latency(weights);
        let same = cell.latency.to_sparse() == latency && cell.service.to_sparse() == latency;
        (!same).then(|| "its histograms differ".to_owned())
    }
}
