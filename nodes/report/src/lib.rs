//! What a user reads: the summary (schema `hyperscale.summary/1`), the terminal, the histogram log.
//!
//! In: what a gate holds at a job's end. Out: a [`Summary`], from which the screen is drawn too, so that the screen
//! shows nothing the JSON lacks. Pure.
#![forbid(unsafe_code)]

mod figures;
mod style;
mod summarize;
mod summary;
mod terminal;
mod thresholds;

pub use style::Style;
pub use terminal::{progress_line, render};
pub use summarize::{DatacenterInput, SummaryInput, WorkerInput, WorkflowInput, summarize};
pub use summary::{
    DatacenterSummary, DistributionBar, EventSummary, Iterations, StepSummary, Summary, ThresholdSummary, Times, Totals,
    WorkerSummary, WorkflowSummary,
};
