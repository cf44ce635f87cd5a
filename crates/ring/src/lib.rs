//! Bounded queues between threads and the wake protocol around them.
