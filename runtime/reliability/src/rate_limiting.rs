//! How often one client may ask for one thing (`spec.md` 8).

mod operation;

pub use operation::Operation;
