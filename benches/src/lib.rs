//! Criterion benchmarks, and the side-by-side runs against peers.
