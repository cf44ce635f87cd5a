//! End-to-end tests against independent clients.
