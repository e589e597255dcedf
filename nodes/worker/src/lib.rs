//! The load generator's core: prepares shares, starts them together, reports what they recorded.
