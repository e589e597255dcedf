//! What was recorded in a job's windows, for whoever draws its time line: from what this shard keeps of it, a page at a
//! time.

use hyperscale_codec::messages::{ArchivedStatsQuery, JobState, StatsEntry, StatsResponse};
use hyperscale_codec::{ErrorCode, Head, Hist, JobId, RawFrame};
use hyperscale_core::LinkId;
use hyperscale_stats::{Cell, CellSet, PageOf, Span, StatsRow, StatsTier};

use crate::core::{GateCore, GateEffects, refuse};
use crate::job::GateJob;

/// Rows of a page for who does not care: some ms of the shard's time. It may end better a little later.
const ROWS: usize = 250;
/// Rows that may be asked for.
const ROWS_MOST: usize = 1_000;
/// Rows of a page that ends where it cannot well; so many fit into a message.
const ROWS_MAX: usize = 12_000;

impl GateCore {
    pub(crate) fn on_stats_query(
        &mut self,
        link: LinkId,
        frame: &RawFrame<'_>,
        query: &ArchivedStatsQuery,
        effects: &mut GateEffects,
    ) {
        let id = JobId::from_bytes(query.job);
        let page = match page_of(query) {
            Ok(page) => page,
            Err(why) => return refuse(effects, link, frame, ErrorCode::Invalid, why),
        };
        if !self.jobs.contains_key(&id) && self.read_windows(id, (link, frame), page, effects) {
            return;
        }
        let Some(job) = self.jobs.get_mut(&id) else {
            self.unknown_job(id, link, frame, effects);
            return;
        };
        effects.send(link, Head::reply(frame.header.correlation).job(id), &read(job, page));
    }
}

/// What is asked for, or what is wrong with it.
fn page_of(query: &ArchivedStatsQuery) -> Result<PageOf, String> {
    let tier = match query.tier {
        0 => None,
        number => Some(StatsTier::from_wire(number).ok_or_else(|| {
            format!("tier {number} is unknown; 1 hot, 2 warm, 3 cold, 4 archive, 0 for all of them")
        })?),
    };
    let wanted = Span { from: query.from.to_native(), to: query.to.to_native() };
    if wanted.from > wanted.to {
        return Err(format!(
            "from {} is after to {}; windows are asked for in order",
            wanted.from, wanted.to
        ));
    }
    let rows = match usize::try_from(query.limit.to_native()).unwrap_or(ROWS_MOST) {
        0 => ROWS,
        limit => limit.min(ROWS_MOST),
    };
    Ok(PageOf { tier, wanted, by_workflow: query.by_workflow, rows, rows_max: ROWS_MAX })
}

fn read(job: &mut GateJob, page: PageOf) -> StatsResponse {
    let mut entries = Vec::new();
    let next = job.windows.page(page, |row| entries.push(entry(row)));
    StatsResponse { entries, next: next.unwrap_or(0), ..about(job, job.state()) }
}

/// What stays of the windows of a job that ended: a row for all workflows, one for each, with all that was recorded in
/// them.
pub(crate) fn for_good(job: &GateJob, state: JobState, workflows: &[CellSet]) -> StatsResponse {
    let last = job.windows.spans().map(|(_, span)| span.to).max().unwrap_or(0);
    let row = |workflow, sets: &[CellSet]| {
        let (mut steps, mut iterations) = (Cell::default(), Cell::default());
        for cells in sets {
            cells.steps().iter().for_each(|cell| steps.merge(cell));
            iterations.merge(cells.workflow());
        }
        let span = Span { from: 0, to: last };
        entry(StatsRow { tier: StatsTier::Archive, span, workflow, steps: &steps, iterations: &iterations })
    };
    let each =
        workflows.iter().enumerate().map(|(index, cells)| row(Some(index), std::slice::from_ref(cells)));
    let entries = std::iter::once(row(None, workflows)).chain(each).collect();
    StatsResponse { entries, ..about(job, state) }
}

/// All but the rows.
fn about(job: &GateJob, state: JobState) -> StatsResponse {
    StatsResponse {
        job: job.id.to_bytes(),
        state: state.to_wire(),
        window_ms: u32::try_from(job.plan.window.as_millis()).unwrap_or(u32::MAX),
        end_ms: job.end_ms,
        workflows: job.plan.workflows.iter().map(|workflow| workflow.name.clone()).collect(),
        entries: Vec::new(),
        next: 0,
    }
}

/// A row as it travels.
fn entry(row: StatsRow<'_>) -> StatsEntry {
    let StatsRow { tier, span, workflow, steps, iterations } = row;
    let at = |hist: &Hist, ppm| hist.quantile_ppm(ppm).unwrap_or(0);
    let latency = &steps.latency;
    let mean = latency.sum().checked_div(latency.count().into()).unwrap_or(0);
    StatsEntry {
        tier: tier.to_wire(),
        from: span.from,
        to: span.to,
        workflow: workflow.map_or(u32::MAX, |index| u32::try_from(index).unwrap_or(u32::MAX)),
        requests: steps.count,
        errors: steps.errors,
        cancelled: steps.cancelled,
        late: steps.late,
        bytes_in: steps.bytes_in,
        bytes_out: steps.bytes_out,
        iterations: iterations.count,
        dropped: iterations.dropped,
        timed: latency.count(),
        mean_ns: u64::try_from(mean).unwrap_or(u64::MAX),
        min_ns: latency.min().unwrap_or(0),
        p50_ns: at(latency, 500_000),
        p90_ns: at(latency, 900_000),
        p99_ns: at(latency, 990_000),
        p99_9_ns: at(latency, 999_000),
        max_ns: latency.max().unwrap_or(0),
        service_p99_ns: at(&steps.service, 990_000),
        lateness_p99_ns: at(&steps.lateness, 990_000),
    }
}
