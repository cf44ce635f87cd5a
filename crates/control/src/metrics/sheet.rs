//! One worker's figures: a row of cells that one thread writes and any thread reads.
//!
//! Must not know what a cell means. All atomics are relaxed and have no partner: a figure says nothing
//! about other memory, nor about other figures; a scrape sees each one as it was a moment ago.
//!
//! The row begins and ends with the padding of a cache line, so that no worker's writes slow down another;
//! the cells of one worker lie close together, since that worker writes many of them in one turn.

use crossbeam_utils::CachePadded;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

/// Eight cells share a line; the padding is that of the widest prefetch, two lines.
const LINE_LEN: usize = 16;

type Line = CachePadded<[AtomicU64; LINE_LEN]>;

pub(crate) struct Sheet {
    lines: Box<[Line]>,
}

impl Sheet {
    pub(crate) fn new(len: usize) -> Sheet {
        let line = |_| CachePadded::new(std::array::from_fn(|_| AtomicU64::new(0)));
        Sheet {
            lines: (0..len.div_ceil(LINE_LEN)).map(line).collect(),
        }
    }

    #[inline]
    pub(crate) fn read(&self, index: usize) -> u64 {
        self.cell(index).load(Ordering::Relaxed)
    }

    /// By the one writer only.
    #[inline]
    pub(crate) fn set(&self, index: usize, value: u64) {
        self.cell(index).store(value, Ordering::Relaxed);
    }

    /// By the one writer only: a load and a store, no locked instruction.
    #[inline]
    pub(crate) fn add(&self, index: usize, more: u64) {
        let cell = self.cell(index);
        cell.store(
            cell.load(Ordering::Relaxed).wrapping_add(more),
            Ordering::Relaxed,
        );
    }

    #[inline]
    fn cell(&self, index: usize) -> &AtomicU64 {
        &self.lines[index / LINE_LEN][index % LINE_LEN]
    }
}

impl fmt::Debug for Sheet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sheet")
            .field("lines", &self.lines.len())
            .finish()
    }
}
