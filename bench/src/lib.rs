//! Benchmarks: peers and shared harness.
