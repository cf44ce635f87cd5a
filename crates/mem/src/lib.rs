//! Buffers, segments, size-class pools and the memory plan.
