//! Submits a plan, follows its job, cancels it.
