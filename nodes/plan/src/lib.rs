//! What a user writes: the plan file, and the flags of `run URL` that build the same plan.
//!
//! In: the bytes of a file, variables, the contents of body files, flags. Out: a [`Plan`] with nothing left to
//! check and the [`PlanText`] that travels, or every error of the file with its line, column, cause and fix.
//! Bounds: 1 MiB of text, 256 workflows, 1,024 steps, 100 errors shown. Pure: reads no file, no environment.

#![forbid(unsafe_code)]
#![warn(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss
)]
#![cfg_attr(
    test,
    allow(clippy::arithmetic_side_effects, reason = "a test that overflows fails, as it should")
)]

mod base64;
mod describe;
mod error;
mod flags;
mod flags_text;
mod header;
mod json;
mod keys;
mod length;
pub mod limits;
mod load;
mod load_model;
mod model;
mod order;
mod parse;
mod placement;
mod read;
mod request;
mod source;
mod stage;
mod substitute;
mod suggest;
mod syntax;
mod threshold;
mod threshold_metric;
pub mod units;
mod url;
mod words;
mod workflow;

pub use describe::describe;
pub use error::{PlanError, PlanErrors};
pub use flags::{FlagErrors, RunFlags, from_flags};
pub use header::{HeaderError, check_header_name, check_header_value, parse_header};
pub use load::{Loaded, PlanText, ReadFile, load};
pub use model::*;
pub use parse::parse;
pub use stage::{Stages, parse_stages};
pub use suggest::nearest;
pub use url::{UrlError, parse_url};
