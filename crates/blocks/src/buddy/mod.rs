//! The buddy allocator: which parts of the data file are free.
//!
//! ```text
//!   order 0 … 8   Summary: macroblocks with a free block of that order ──▶ the lowest of them
//!   macroblock    64 bytes: its binary tree of buddies                 ──▶ the lowest block in it
//! ```
//!
//! A block is taken from the smallest order that has one, at the lowest address; the rest of it stays free. Freeing merges
//! buddies up to whole macroblocks of 1 MiB, which no class is and which are divided again for any of them.
//!
//! Pure: no file, no clock. Must not know what blocks hold. Nothing of it is stored: [`Buddy::reserve`] rebuilds it from the
//! blocks of the index. What is free depends on what is allocated alone, never on the order of calls.
//!
//! Limits: a file of 16 TiB; 64 bytes for each MiB and 9 bits for summaries. Source: Knuth, "The Art of Computer Programming",
//! volume 1, section 2.5.

mod macroblock;
mod summary;

use std::error::Error;
use std::fmt;

use crate::block::Block;
use crate::class::Class;
use macroblock::{Counts, Macroblock, ORDER_MAX, UNIT_COUNT, node_of, unit_of};
use summary::Summary;

/// Bytes of a macroblock: the largest piece that buddies merge to, and the step of the data file.
pub const MACRO: u64 = 1 << 20;

/// Bytes of the largest data file: 2^32 units.
pub const FILE_SIZE_MAX: u64 = summary::COUNT_MAX as u64 * MACRO;

/// Orders of free space: the eight classes, and whole macroblocks.
pub const ORDER_COUNT: usize = ORDER_MAX + 1;

/// The free map of a data file.
///
/// ```
/// use hioload_blocks::{Buddy, Class};
///
/// let mut buddy = Buddy::new(1 << 20);
/// let small = buddy.alloc(Class::MIN).expect("the file is empty");
/// let large = buddy.alloc(Class::MAX).expect("half of it is still whole");
/// assert_eq!((small.offset(), large.offset()), (0, 512 * 1024));
/// assert_eq!(buddy.alloc(Class::MAX), None);
///
/// buddy.free(small)?;
/// buddy.free(large)?;
/// assert_eq!(buddy, Buddy::new(1 << 20));
/// # Ok::<(), hioload_blocks::BuddyError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Buddy {
    macroblocks: Vec<Macroblock>,
    /// For each order: the macroblocks with a free block of exactly that order.
    summaries: [Summary; ORDER_COUNT],
    counts: Counts,
}

impl Buddy {
    /// A file of `size` bytes, all free: whole macroblocks of it, at most [`FILE_SIZE_MAX`].
    pub fn new(size: u64) -> Buddy {
        let mut buddy = Buddy {
            macroblocks: Vec::new(),
            summaries: std::array::from_fn(|_| Summary::new()),
            counts: Counts::default(),
        };
        buddy.grow(size);
        buddy
    }

    /// The file has `size` bytes now: whole macroblocks of it, at most [`FILE_SIZE_MAX`]. It never shrinks.
    pub fn grow(&mut self, size: u64) {
        let before = self.macroblocks.len();
        let after = (size.min(FILE_SIZE_MAX) / MACRO) as usize;
        if after <= before {
            return;
        }
        // Exact: a list that doubles would hold twice the memory that a large file needs.
        self.macroblocks.reserve_exact(after - before);
        self.macroblocks.resize(after, Macroblock::FREE);
        for summary in &mut self.summaries {
            summary.grow(after);
        }
        for index in before..after {
            self.summaries[ORDER_MAX].insert(index);
        }
        self.counts.free[ORDER_MAX] += (after - before) as u64;
    }

    /// Bytes of the file, free and allocated.
    pub fn size(&self) -> u64 {
        self.macroblocks.len() as u64 * MACRO
    }

    /// Takes a block of `class`. `None` when there is no room.
    #[inline]
    pub fn alloc(&mut self, class: Class) -> Option<Block> {
        let order = class.index();
        let from = (order..ORDER_COUNT).find(|order| self.counts.free[*order] > 0)?;
        let index = self.summaries[from]
            .first()
            .expect("invariant: what is counted is in the summary");
        let macroblock = &self.macroblocks[index];
        let whole = macroblock
            .first_free(from)
            .expect("invariant: what is in the summary is in the macroblock");
        let node = whole << (from - order);
        self.allocate(index, node, order, from);
        let unit = index as u32 * UNIT_COUNT + unit_of(node, order);
        Some(Block::new(unit, class).expect("invariant: a node is aligned to its size"))
    }

    /// Takes this very block, which the index says is occupied.
    ///
    /// # Errors
    /// [`BuddyError::Outside`] and [`BuddyError::Overlaps`]: nothing has changed.
    pub fn reserve(&mut self, block: Block) -> Result<(), BuddyError> {
        let (index, node, order) = self.locate(block)?;
        let (_, from) = self.macroblocks[index]
            .free_around(node, order)
            .ok_or(BuddyError::Overlaps { block })?;
        self.allocate(index, node, order, from);
        Ok(())
    }

    /// Gives a block back.
    ///
    /// # Errors
    /// [`BuddyError::Outside`] and [`BuddyError::NotAllocated`]: nothing has changed.
    #[inline]
    pub fn free(&mut self, block: Block) -> Result<(), BuddyError> {
        let (index, node, order) = self.locate(block)?;
        let macroblock = &mut self.macroblocks[index];
        if !macroblock.is_allocated(node, order) {
            return Err(BuddyError::NotAllocated { block });
        }
        let merged = macroblock.free(node, order);
        self.counts.allocated[order] -= 1;
        self.counts.free[merged] += 1;
        self.summaries[merged].insert(index);
        for taken in order..merged {
            self.take(index, taken);
        }
        Ok(())
    }

    /// Whether this very block is allocated, not a part of it and nothing around it.
    pub fn is_allocated(&self, block: Block) -> bool {
        self.locate(block)
            .is_ok_and(|(index, node, order)| self.macroblocks[index].is_allocated(node, order))
    }

    /// How the file is divided.
    pub fn space(&self) -> Space {
        let Counts { allocated, free } = self.counts;
        Space {
            size: self.size(),
            used: allocated,
            free,
        }
    }

    /// Counts everything anew and compares: for tests and the offline check. Takes time in proportion to the file.
    ///
    /// # Errors
    /// The first thing that does not agree.
    pub fn check(&self) -> Result<(), Inconsistency> {
        let mut counts = Counts::default();
        for (index, macroblock) in self.macroblocks.iter().enumerate() {
            let offset = index as u64 * MACRO;
            macroblock
                .check(&mut counts)
                .map_err(|rule| Inconsistency { offset, rule })?;
            for (order, summary) in self.summaries.iter().enumerate() {
                if summary.contains(index) != macroblock.first_free(order).is_some() {
                    let rule = "the summary and the macroblock disagree about free blocks";
                    return Err(Inconsistency { offset, rule });
                }
            }
        }
        let offset = self.size();
        if !self.summaries.iter().all(Summary::is_consistent) {
            let rule = "the levels of a summary disagree";
            return Err(Inconsistency { offset, rule });
        }
        if counts != self.counts {
            let rule = "the counts and the macroblocks disagree";
            return Err(Inconsistency { offset, rule });
        }
        Ok(())
    }

    /// Macroblock, node and order of a block.
    #[inline]
    fn locate(&self, block: Block) -> Result<(usize, usize, usize), BuddyError> {
        let order = block.class().index();
        let index = (block.unit() / UNIT_COUNT) as usize;
        if index >= self.macroblocks.len() {
            return Err(BuddyError::Outside {
                block,
                size: self.size(),
            });
        }
        Ok((index, node_of(block.unit() % UNIT_COUNT, order), order))
    }

    /// Allocates `node` of `order` out of a free node of order `from`.
    #[inline]
    fn allocate(&mut self, index: usize, node: usize, order: usize, from: usize) {
        self.macroblocks[index].allocate(node, order, from);
        self.counts.allocated[order] += 1;
        self.take(index, from);
        for left in order..from {
            self.counts.free[left] += 1;
            self.summaries[left].insert(index);
        }
    }

    /// One free block of `order` is gone from a macroblock.
    #[inline]
    fn take(&mut self, index: usize, order: usize) {
        self.counts.free[order] -= 1;
        if self.macroblocks[index].first_free(order).is_none() {
            self.summaries[order].remove(index);
        }
    }
}

/// How a data file is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Bytes of the file.
    pub size: u64,
    /// Blocks allocated, of each class.
    pub used: [u64; Class::COUNT],
    /// Blocks free, of each order: the classes, and whole macroblocks.
    pub free: [u64; ORDER_COUNT],
}

impl Space {
    /// Bytes that are allocated.
    pub fn used_bytes(&self) -> u64 {
        self.size - self.free_bytes()
    }

    /// Bytes that are free.
    pub fn free_bytes(&self) -> u64 {
        let sizes = (0..ORDER_COUNT).map(order_size);
        self.free
            .iter()
            .zip(sizes)
            .map(|(count, size)| count * size)
            .sum()
    }

    /// Bytes of the largest free piece: 0, a class, or a macroblock.
    pub fn largest_free(&self) -> u64 {
        let largest = (0..ORDER_COUNT).rev().find(|order| self.free[*order] > 0);
        largest.map_or(0, order_size)
    }

    /// The share of the free bytes that lie in pieces too small for the largest class: 0 is best, and what a full file has.
    pub fn fragmentation(&self) -> f64 {
        let free = self.free_bytes();
        if free == 0 {
            return 0.0;
        }
        let large =
            (Class::MAX.index()..ORDER_COUNT).map(|order| self.free[order] * order_size(order));
        1.0 - large.sum::<u64>() as f64 / free as f64
    }
}

fn order_size(order: usize) -> u64 {
    u64::from(Class::MIN.size()) << order
}

/// Why a block cannot be taken or given back. Whoever sees it has a block that is not what it seems: from a damaged index, or by
/// an error of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BuddyError {
    /// It does not lie in the file.
    Outside {
        /// The block.
        block: Block,
        /// Bytes of the file.
        size: u64,
    },
    /// It cannot be taken: some of it is allocated already.
    Overlaps {
        /// The block.
        block: Block,
    },
    /// It cannot be given back: it is free, or a part of something, or several blocks.
    NotAllocated {
        /// The block.
        block: Block,
    },
}

impl fmt::Display for BuddyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BuddyError::Outside { block, size } => {
                write!(
                    f,
                    "a block of {block} lies outside the file of {size} bytes"
                )
            }
            BuddyError::Overlaps { block } => write!(f, "a block of {block} overlaps another"),
            BuddyError::NotAllocated { block } => {
                write!(f, "a block of {block} is not allocated as such")
            }
        }
    }
}

impl Error for BuddyError {}

/// The free map contradicts itself: an error of ours. It can be rebuilt from the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inconsistency {
    /// Where in the file; its end when it is about the whole.
    pub offset: u64,
    /// What does not hold.
    pub rule: &'static str,
}

impl fmt::Display for Inconsistency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inconsistency { offset, rule } = self;
        write!(f, "free map at offset {offset}: {rule}")
    }
}

impl Error for Inconsistency {}
