//! Runs the manager's core on the runtime: carries bytes, decides nothing.
