//! All blocks of a store, a page at a time.

use hioload_blocks::Hash;

use super::access::{Access, Entry, Page, Trouble};

/// Blocks asked for at a time.
const PAGE: u64 = 1000;

/// How far a walk has come.
pub(super) struct Walk {
    after: Option<Hash>,
    is_over: bool,
    /// Rows of the index that could not be read so far.
    pub(super) unreadable: u64,
}

impl Walk {
    /// From behind this block, or from the first.
    pub(super) fn new(after: Option<Hash>) -> Self {
        Self {
            after,
            is_over: false,
            unreadable: 0,
        }
    }

    /// The next blocks, at most so many; none at the end.
    pub(super) fn next(
        &mut self,
        access: &mut dyn Access,
        limit: u64,
    ) -> Result<Vec<Entry>, Trouble> {
        while !self.is_over && limit > 0 {
            let Page {
                entries,
                unreadable,
                next,
            } = access.page(self.after, limit.min(PAGE))?;
            self.unreadable += unreadable;
            self.is_over = next.is_none();
            self.after = next;
            if !entries.is_empty() {
                return Ok(entries);
            }
        }
        Ok(Vec::new())
    }
}
