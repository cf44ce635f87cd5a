//! Typed configuration with hot reload, metrics and probes.
