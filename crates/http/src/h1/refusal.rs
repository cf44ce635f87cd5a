//! Why a message cannot be taken.

use std::fmt;

use super::response::reason_of;

/// Why a message cannot be taken. Nothing more can be taken from the connection after it: where the next
/// message begins is not certain any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Refusal {
    /// HTTP status.
    pub status: u16,
    /// One line for a person.
    pub reason: &'static str,
}

impl Refusal {
    pub(super) const fn new(status: u16, reason: &'static str) -> Self {
        Self { status, reason }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { status, reason } = self;
        write!(f, "{status} {}: {reason}", reason_of(*status))
    }
}

impl std::error::Error for Refusal {}
