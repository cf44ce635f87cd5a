//! What can go wrong with a virtual disk, how likely it is, and how often it did.

use std::fmt;
use std::ops::AddAssign;
use std::time::Duration;

use super::config::CHANCE_OF;

/// One kind of fault of a disk, counted whenever it fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum DiskFault {
    /// A read brings between one byte and all but one of those that are there.
    ShortRead,
    /// A write takes between one byte and all but one.
    ShortWrite,
    /// A read fails (`EIO`).
    ReadFailed,
    /// A write fails (`EIO`); any of its sectors may be written.
    WriteFailed,
    /// A write or a growth finds no space (`ENOSPC`); a file system may refuse both even where space was
    /// reserved.
    NoSpace,
    /// A sync fails (`EIO`). What it was to make durable no later sync cares for, though reads go on seeing
    /// it, as Linux does.
    SyncFailed,
    /// One bit of what is read has changed for good.
    BitRot,
    /// A read brings what lies elsewhere in the file; the next one brings the right bytes.
    Misdirected,
    /// An operation takes up to `slow_max`.
    Slow,
    /// A crash lost an unsynced write altogether.
    Lost,
    /// A crash left some sectors of an unsynced write.
    Torn,
    /// A crash left an unsynced write though it lost some of one that was complete before it.
    Reordered,
    /// A crash took back an unsynced growth.
    LostGrowth,
}

impl DiskFault {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::ShortRead,
        Self::ShortWrite,
        Self::ReadFailed,
        Self::WriteFailed,
        Self::NoSpace,
        Self::SyncFailed,
        Self::BitRot,
        Self::Misdirected,
        Self::Slow,
        Self::Lost,
        Self::Torn,
        Self::Reordered,
        Self::LostGrowth,
    ];

    /// Its name in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ShortRead => "short read of a file",
            Self::ShortWrite => "short write to a file",
            Self::ReadFailed => "failed read (EIO)",
            Self::WriteFailed => "failed write (EIO)",
            Self::NoSpace => "no space (ENOSPC)",
            Self::SyncFailed => "failed sync (EIO)",
            Self::BitRot => "bit rot",
            Self::Misdirected => "misdirected read",
            Self::Slow => "slow operation",
            Self::Lost => "unsynced write lost",
            Self::Torn => "unsynced write torn",
            Self::Reordered => "unsynced writes reordered",
            Self::LostGrowth => "unsynced growth lost",
        }
    }

    /// Only a crash does it, and any crash may: it has no chance of its own.
    #[must_use]
    pub fn is_by_crash(self) -> bool {
        matches!(
            self,
            Self::Lost | Self::Torn | Self::Reordered | Self::LostGrowth
        )
    }
}

/// How a [`SimDisk`](super::SimDisk) behaves.
#[derive(Clone, Debug)]
pub struct DiskConfig {
    /// Bytes of all files together.
    pub capacity: u64,
    /// Shortest time of an operation.
    pub latency_min: Duration,
    /// Longest; each operation draws its own, so that they overtake each other.
    pub latency_max: Duration,
    /// Longest time of a slow operation.
    pub slow_max: Duration,
    chances: [u32; DiskFault::ALL.len()],
}

impl DiskConfig {
    /// A quick disk of a tebibyte that does no wrong until it crashes.
    #[must_use]
    pub fn calm() -> Self {
        Self {
            capacity: 1 << 40,
            latency_min: Duration::from_micros(20),
            latency_max: Duration::from_micros(200),
            slow_max: Duration::from_millis(500),
            chances: [0; DiskFault::ALL.len()],
        }
    }

    /// Every fault, often enough that each fires in a run of some thousand operations.
    #[must_use]
    pub fn stormy() -> Self {
        Self::calm()
            .with(DiskFault::ShortRead, 300)
            .with(DiskFault::ShortWrite, 300)
            .with(DiskFault::ReadFailed, 50)
            .with(DiskFault::WriteFailed, 30)
            .with(DiskFault::NoSpace, 20)
            .with(DiskFault::SyncFailed, 30)
            .with(DiskFault::BitRot, 50)
            .with(DiskFault::Misdirected, 50)
            .with(DiskFault::Slow, 100)
    }

    /// Sets the chance of one fault, out of [`CHANCE_OF`].
    ///
    /// # Panics
    /// When the chance is above certainty, or only a crash does that.
    #[must_use]
    pub fn with(mut self, fault: DiskFault, chance: u32) -> Self {
        assert!(
            chance <= CHANCE_OF,
            "misuse: a chance above {CHANCE_OF} of {CHANCE_OF}"
        );
        assert!(!fault.is_by_crash(), "misuse: only a crash does that");
        self.chances[fault as usize] = chance;
        self
    }

    /// The chance of one fault, out of [`CHANCE_OF`].
    #[must_use]
    pub fn chance(&self, fault: DiskFault) -> u32 {
        self.chances[fault as usize]
    }

    pub(super) fn heal(&mut self) {
        self.chances = [0; DiskFault::ALL.len()];
    }
}

impl Default for DiskConfig {
    fn default() -> Self {
        Self::calm()
    }
}

/// How often each fault fired.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskFaultCounts([u64; DiskFault::ALL.len()]);

impl DiskFaultCounts {
    /// Times this fault fired.
    #[must_use]
    pub fn of(&self, fault: DiskFault) -> u64 {
        self.0[fault as usize]
    }

    /// The faults that never fired: a simulation with any of them proved less than it claims.
    pub fn never_fired(&self) -> impl Iterator<Item = DiskFault> + '_ {
        DiskFault::ALL
            .into_iter()
            .filter(|fault| self.of(*fault) == 0)
    }

    pub(super) fn add(&mut self, fault: DiskFault) {
        self.0[fault as usize] += 1;
    }
}

impl AddAssign for DiskFaultCounts {
    fn add_assign(&mut self, other: Self) {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            *mine += theirs;
        }
    }
}

impl fmt::Display for DiskFaultCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for fault in DiskFault::ALL {
            writeln!(f, "{:>10}  {}", self.of(fault), fault.name())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fault_has_its_own_place() {
        for (at, fault) in DiskFault::ALL.into_iter().enumerate() {
            assert_eq!(fault as usize, at);
            let mut counts = DiskFaultCounts::default();
            counts.add(fault);
            assert_eq!(counts.of(fault), 1);
            assert_eq!(counts.never_fired().count(), DiskFault::ALL.len() - 1);
        }
    }

    #[test]
    fn a_storm_has_every_fault_that_has_a_chance() {
        let storm = DiskConfig::stormy();
        for fault in DiskFault::ALL {
            assert_eq!(storm.chance(fault) > 0, !fault.is_by_crash(), "{fault:?}");
            assert_eq!(DiskConfig::calm().chance(fault), 0);
        }
    }
}
