//! What a user reads: the summary (schema `hyperscale.summary/1`), the terminal, the histogram log.
//!
//! In: what a gate holds at a job's end. Out: a [`Summary`], from which the screen is drawn too, so that the screen
//! shows nothing the JSON lacks. Pure.
#![forbid(unsafe_code)]

mod figures;
mod hgrm;
mod hlog;
mod numbers;
mod progress;
mod style;
mod summarize;
mod summary;
mod terminal;
mod thresholds;
mod verdict;

pub use hgrm::percentiles;
pub use hlog::{HlogError, HlogGap, HlogWriter};
pub use numbers::{grouped, rate, time};
pub use progress::progress_line;
pub use style::{Style, Tone};
pub use summarize::{ClockInput, DatacenterInput, SummaryInput, WorkerInput, WorkflowInput, summarize};
pub use summary::{
    DatacenterSummary, DistributionBar, EventSummary, Iterations, StepSummary, Summary, ThresholdSummary,
    Times, Totals, WorkerSummary, WorkflowSummary,
};
pub use terminal::render;
pub use verdict::Verdict;
