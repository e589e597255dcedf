//! Runs the client's core on the runtime: carries bytes, decides nothing.
