//! Operations on a channel as bytes, checked against a naive model.
