//! Runs the gate's core on the runtime: carries bytes, decides nothing.
