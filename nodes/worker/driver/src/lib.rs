//! Runs the worker's core and its load shards on the runtime: carries bytes, decides nothing.
