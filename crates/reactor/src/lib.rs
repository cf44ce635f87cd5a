//! Completion drivers (io_uring, poll, simulation) and the worker loop.
