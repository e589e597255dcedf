//! Nodes under more than they can take: what is refused, what never is, and what becomes of jobs meanwhile.

mod ages;
mod flood;
mod forced;
mod levels;
mod limits;
mod stats;
