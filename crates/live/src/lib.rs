//! Channel logs and cursors: fan-out, backpressure and history as one state machine.
