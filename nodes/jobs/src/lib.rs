//! Who owns a job (`ring`), what states it moves through (`state`), in which order its workflows run (`dag`), and
//! how its load is split (`split`). Pure.
#![forbid(unsafe_code)]

mod dag;
mod ring;
mod split;
mod state;

pub use dag::Dag;
pub use ring::{ConsistentHashRing, Member, POINTS_A_MEMBER, hash_id, point};
pub use split::{SplitError, Units, iterations_of, split};
pub use state::{IllegalMove, JobStateMachine};
