//! The answer of a bounded container that has no room.
//!
//! Must not know which container: the item comes back unchanged and the caller decides whether to
//! wait, refuse or drop.

use std::error::Error;
use std::fmt;

/// The container is at its limit; the refused item is handed back.
///
/// ```
/// use hioload_base::{Full, Slab};
///
/// let mut slab = Slab::with_limit(0);
/// assert_eq!(slab.insert("guest"), Err(Full("guest")));
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Full<T>(pub T);

impl<T> Full<T> {
    /// The refused item.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> fmt::Debug for Full<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Full(..)")
    }
}

impl<T> fmt::Display for Full<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the container is at its limit")
    }
}

impl<T> Error for Full<T> {}
