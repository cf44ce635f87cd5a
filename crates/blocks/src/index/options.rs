//! How an index file is opened, and the limits of that.
//!
//! Must not know the database.

use hioload_base::{Limit, LimitError};

const MAP_SIZE_MAX: Limit = Limit {
    name: "blocks.index.map_size_max",
    unit: "bytes",
    default: 64 << 30,
    min: 1 << 20,
    max: 16 << 40,
    reason: "address space, not memory: a million blocks take about 170 MiB",
    reached: "PUT is refused with 507; DELETE goes on",
};

const GROWTH_STEP: Limit = Limit {
    name: "blocks.index.growth_step",
    unit: "bytes",
    default: 16 << 20,
    min: 64 << 10,
    max: 1 << 30,
    reason: "the file grows rarely, and wastes little when it is small",
    reached: "the file grows",
};

const RESERVE_SIZE: Limit = Limit {
    name: "blocks.index.reserve_size",
    unit: "bytes",
    default: 16 << 20,
    min: 64 << 10,
    max: 1 << 30,
    reason: "a tree that is copied on write needs room to delete from: this much is kept for it, on the medium as well",
    reached: "PUT is refused with 507; DELETE goes on",
};

const READERS_MAX: Limit = Limit {
    name: "blocks.index.readers_max",
    unit: "readers",
    default: 256,
    min: 1,
    max: 32_767,
    reason: "a slot of 64 bytes for each lookup under way: one a worker, and a few for tools",
    reached: "the lookup fails, and the block is answered for with 500",
};

/// The limits of the index.
pub const INDEX_LIMITS: &[Limit] = &[MAP_SIZE_MAX, GROWTH_STEP, RESERVE_SIZE, READERS_MAX];

/// How to open an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MdbxOptions {
    /// Bytes the file may grow to. Costs address space only.
    pub map_size_max: u64,
    /// Bytes by which the file grows.
    pub growth_step: u64,
    /// Bytes kept for deleting when there is no other room.
    pub reserve_size: u64,
    /// Readers at the same time: one for each worker and a few for tools.
    pub readers_max: u32,
}

impl MdbxOptions {
    /// These, when each is within its limit.
    ///
    /// # Errors
    /// The first that is not.
    pub fn check(&self) -> Result<(), LimitError> {
        MAP_SIZE_MAX.check(self.map_size_max)?;
        GROWTH_STEP.check(self.growth_step)?;
        RESERVE_SIZE.check(self.reserve_size)?;
        READERS_MAX.check(u64::from(self.readers_max))?;
        Ok(())
    }
}

impl Default for MdbxOptions {
    fn default() -> MdbxOptions {
        MdbxOptions {
            map_size_max: MAP_SIZE_MAX.default,
            growth_step: GROWTH_STEP.default,
            reserve_size: RESERVE_SIZE.default,
            readers_max: READERS_MAX.default as u32,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_option_has_its_bounds() {
        assert_eq!(MdbxOptions::default().check(), Ok(()));
        type Set = fn(&mut MdbxOptions, u64);
        let setters: [Set; 4] = [
            |options, value| options.map_size_max = value,
            |options, value| options.growth_step = value,
            |options, value| options.reserve_size = value,
            |options, value| options.readers_max = value as u32,
        ];
        for (limit, set) in INDEX_LIMITS.iter().zip(setters) {
            let bounds = [
                (limit.min - 1, false),
                (limit.min, true),
                (limit.default, true),
                (limit.max, true),
                (limit.max + 1, false),
            ];
            for (value, is_legal) in bounds {
                let mut options = MdbxOptions::default();
                set(&mut options, value);
                assert_eq!(
                    options.check().is_ok(),
                    is_legal,
                    "{} = {value}",
                    limit.name
                );
            }
        }
    }
}
