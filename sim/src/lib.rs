//! Deterministic simulation of production workers.
