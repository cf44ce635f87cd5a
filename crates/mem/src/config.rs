//! What a pool is made from: budget, slabs, wishes; the size classes; the limits.
//!
//! Must not know how chunks are handed out.

use std::fmt;

use hioload_base::{ByteSize, Limit};

use crate::raw::region::RegionError;

/// Number of size classes.
pub const CLASS_COUNT: usize = 7;

/// Bytes of a buffer of each class, ascending: each four times the one before.
pub const CLASS_SIZES: [usize; CLASS_COUNT] = [
    256,
    1 << 10,
    4 << 10,
    16 << 10,
    64 << 10,
    256 << 10,
    1 << 20,
];

/// Bytes of pool memory.
const BUDGET: Limit = Limit {
    name: "mem.budget",
    unit: "bytes",
    default: 64 << 20,
    min: 64 << 10,
    max: 1 << 40,
    reason: "one worker's buffers; at least one slab of the smallest size",
    reached: "no buffer is given out until one comes back; counted as a refusal",
};

/// Bytes of one slab.
const SLAB_SIZE: Limit = Limit {
    name: "mem.slab_size",
    unit: "bytes",
    default: 2 << 20,
    min: 64 << 10,
    max: 1 << 30,
    reason: "a power of two; 2 MiB is one huge page; the unit in which memory moves between size classes",
    reached: "sizes above it are served by no class",
};

/// The limits of this room.
pub const LIMITS: &[Limit] = &[BUDGET, SLAB_SIZE];

/// Slabs a budget is cut into unless the slab size is given, so that classes need not fight over a few.
const SLABS_WANTED: usize = 16;

/// How to make a pool.
///
/// ```
/// use hioload_mem::{BufferPool, PoolConfig};
///
/// let pool = BufferPool::new(PoolConfig { budget: 32 << 20, hugepages: true, ..PoolConfig::default() })?;
/// for line in pool.fallbacks() {
///     eprintln!("{line}"); // what the system refused, and what is done instead
/// }
/// # Ok::<(), hioload_mem::PoolError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolConfig {
    /// Bytes that are mapped at most, rounded down to whole slabs. Headers come on top, see [`PoolConfig::bytes_max`].
    pub budget: usize,
    /// Bytes of one slab, a power of two. `None`: 2 MiB, or less so that the budget is at least 16 slabs. A size class
    /// above the slab size does not exist in the pool: with the default that starts below a budget of 16 MiB.
    pub slab_size: Option<usize>,
    /// Ask for huge pages.
    pub hugepages: bool,
    /// Ask for memory of this NUMA node.
    pub numa_node: Option<u32>,
    /// Slabs kept for each class alone, in the order of [`CLASS_SIZES`]; no other class gets them, whatever is asked for.
    pub slabs_reserved: [u16; CLASS_COUNT],
}

impl PoolConfig {
    /// The default with another budget.
    pub fn with_budget(budget: usize) -> PoolConfig {
        PoolConfig {
            budget,
            ..PoolConfig::default()
        }
    }

    /// The slab size in effect.
    pub fn slab_size(&self) -> usize {
        let (min, max) = (SLAB_SIZE.min as usize, SLAB_SIZE.default as usize);
        self.slab_size
            .unwrap_or_else(|| floor_power_of_two(self.budget / SLABS_WANTED).clamp(min, max))
    }

    /// Largest size a pool of this kind serves: the largest class that fits a slab.
    pub fn size_max(&self) -> usize {
        let slab_size = self.slab_size();
        let fitting = CLASS_SIZES.into_iter().filter(|size| *size <= slab_size);
        fitting.max().unwrap_or(0)
    }

    /// Bytes the pool takes at worst: the budget, and headers for it cut into the smallest chunks. For the memory plan.
    pub fn bytes_max(&self) -> u64 {
        const HEADER_SIZE: u64 = 32;
        let budget = self.budget as u64;
        budget + budget / CLASS_SIZES[0] as u64 * HEADER_SIZE
    }

    /// Slabs the budget holds.
    pub(crate) fn slab_count_max(&self) -> usize {
        self.budget / self.slab_size()
    }

    pub(crate) fn check(&self) -> Result<(), PoolError> {
        let wrong = |limit: &Limit, value: usize| limit.check(value as u64).is_err();
        if wrong(&BUDGET, self.budget) {
            return Err(PoolError::Budget {
                budget: self.budget,
            });
        }
        let slab_size = self.slab_size();
        if wrong(&SLAB_SIZE, slab_size) || !slab_size.is_power_of_two() || slab_size > self.budget {
            return Err(PoolError::SlabSize {
                slab_size,
                budget: self.budget,
            });
        }
        let reserved: usize = self.slabs_reserved.iter().map(|n| usize::from(*n)).sum();
        if reserved > self.slab_count_max() {
            return Err(PoolError::Reserved {
                reserved,
                slab_count_max: self.slab_count_max(),
            });
        }
        Ok(())
    }
}

impl Default for PoolConfig {
    fn default() -> PoolConfig {
        PoolConfig {
            budget: BUDGET.default as usize,
            slab_size: None,
            hugepages: false,
            numa_node: None,
            slabs_reserved: [0; CLASS_COUNT],
        }
    }
}

/// The largest power of two that is not above `n`; 0 for 0.
fn floor_power_of_two(n: usize) -> usize {
    n.checked_ilog2().map_or(0, |log| 1 << log)
}

/// Index of the smallest class that holds `size` bytes, if there is one.
#[inline]
pub(crate) fn class_of(size: usize) -> Option<usize> {
    const SMALLEST_LOG: u32 = CLASS_SIZES[0].ilog2();
    if size > CLASS_SIZES[CLASS_COUNT - 1] {
        return None;
    }
    let log = usize::BITS - size.max(CLASS_SIZES[0]).wrapping_sub(1).leading_zeros(); // of size, rounded up
    Some((log - SMALLEST_LOG).div_ceil(2) as usize)
}

/// A pool cannot be made.
#[derive(Debug)]
pub enum PoolError {
    /// The budget is out of its limits.
    Budget {
        /// Bytes.
        budget: usize,
    },
    /// The slab size is out of its limits, no power of two or above the budget.
    SlabSize {
        /// Bytes.
        slab_size: usize,
        /// Bytes.
        budget: usize,
    },
    /// More slabs are reserved for classes than the budget holds.
    Reserved {
        /// Slabs reserved.
        reserved: usize,
        /// Slabs there are.
        slab_count_max: usize,
    },
    /// The first slab cannot be mapped.
    Region(RegionError),
}

impl fmt::Display for PoolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = |bytes: usize| ByteSize::new(bytes as u64);
        match self {
            PoolError::Budget { budget } => write!(
                f,
                "buffer budget of {}: set it from {} to {}",
                size(*budget),
                ByteSize::new(BUDGET.min),
                ByteSize::new(BUDGET.max)
            ),
            PoolError::SlabSize { slab_size, budget } => write!(
                f,
                "slab size of {}: set a power of two from {} to {}, not above the buffer budget of {}",
                size(*slab_size),
                ByteSize::new(SLAB_SIZE.min),
                ByteSize::new(SLAB_SIZE.max),
                size(*budget)
            ),
            PoolError::Reserved {
                reserved,
                slab_count_max,
            } => write!(
                f,
                "{reserved} slabs reserved but the buffer budget holds {slab_count_max}: reserve fewer or raise the budget"
            ),
            PoolError::Region(error) => write!(f, "buffer pool: {error}"),
        }
    }
}

impl std::error::Error for PoolError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            PoolError::Region(error) => Some(error),
            _ => None,
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn smallest_class_that_holds_the_size() {
        assert_eq!(class_of(0), Some(0));
        assert_eq!(class_of(1), Some(0));
        for (class, size) in CLASS_SIZES.into_iter().enumerate() {
            assert_eq!(class_of(size - 1), Some(class));
            assert_eq!(class_of(size), Some(class));
            let above = if class + 1 < CLASS_COUNT {
                Some(class + 1)
            } else {
                None
            };
            assert_eq!(class_of(size + 1), above);
        }
        assert_eq!(class_of(usize::MAX), None);
    }

    #[test]
    fn budget_limits() {
        let check = |budget| PoolConfig::with_budget(budget).check();
        for budget in [
            0,
            1,
            BUDGET.min as usize - 1,
            BUDGET.max as usize + 1,
            usize::MAX,
        ] {
            assert!(
                matches!(check(budget), Err(PoolError::Budget { .. })),
                "{budget}"
            );
        }
        for budget in [BUDGET.min, BUDGET.min + 1, BUDGET.default, BUDGET.max] {
            assert!(check(budget as usize).is_ok(), "{budget}");
        }
    }

    #[test]
    fn slab_size_limits() {
        let check = |slab_size| {
            PoolConfig {
                slab_size: Some(slab_size),
                ..PoolConfig::with_budget(1 << 30)
            }
            .check()
        };
        for slab_size in [
            0,
            1,
            (64 << 10) - 1,
            (64 << 10) + 1,
            3 << 20,
            (1 << 30) + 1,
            1 << 31,
        ] {
            assert!(
                matches!(check(slab_size), Err(PoolError::SlabSize { .. })),
                "{slab_size}"
            );
        }
        for slab_size in [64 << 10, 2 << 20, 1 << 30] {
            assert!(check(slab_size).is_ok(), "{slab_size}");
        }
        let above_budget = PoolConfig {
            slab_size: Some(2 << 20),
            ..PoolConfig::with_budget(1 << 20)
        };
        assert!(matches!(
            above_budget.check(),
            Err(PoolError::SlabSize { .. })
        ));
    }

    #[test]
    fn slab_size_follows_the_budget() {
        let slab_size = |budget| PoolConfig::with_budget(budget).slab_size();
        assert_eq!(slab_size(64 << 10), 64 << 10);
        assert_eq!(slab_size((16 << 20) - 1), 512 << 10);
        assert_eq!(slab_size(16 << 20), 1 << 20);
        assert_eq!(slab_size(32 << 20), 2 << 20);
        assert_eq!(slab_size(1 << 40), 2 << 20);
    }

    #[test]
    fn reservations_must_fit() {
        let mut config = PoolConfig::with_budget(1 << 20);
        config.slabs_reserved[0] = 16;
        assert!(config.check().is_ok());
        config.slabs_reserved[6] = 1;
        let error = config.check().expect_err("17 of 16");
        assert!(
            error.to_string().starts_with("17 slabs reserved"),
            "{error}"
        );
    }
}
