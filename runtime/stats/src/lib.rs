//! Statistics in memory (`spec.md` 7): what one share recorded, and the exact sum over all sources.
//!
//! [`CellSet`] is what a load shard fills and a report reads: one [`Cell`] a step, one for the workflow's
//! iterations. [`Totals`] keeps the newest snapshot of each (worker, shard, epoch), so that a lost, repeated or
//! reordered message can neither lose nor double a count. [`WindowMerge`] joins the windows of several senders for views; [`StatsBuffer`] keeps them, with less resolution the older they are.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod buffer;
mod builder;
mod cell;
mod columns;
mod part;
mod sparse;
mod totals;
mod windows;

pub use buffer::{PageOf, Row as StatsRow, Span, StatsBuffer, StatsTier, relieve};
pub use builder::{ColumnsBuilder, build_all};
pub use cell::{Cell, CellSet};
pub use columns::{MergeError, Source, all_cells, cells_of, merge_cell, sources_of};
pub use sparse::SparseCells;
pub use totals::{Held, Replaced, Taken, Totals};
pub use windows::{WindowMerge, Windows};
