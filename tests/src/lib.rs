//! Whole-system tests: layers, golden bytes, real processes.
