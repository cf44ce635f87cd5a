//! What can go wrong, how likely it is, and how often it did.

use std::fmt;
use std::ops::AddAssign;

/// One kind of fault. Each that is switched on is counted whenever it fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Fault {
    /// A receive brings fewer bytes than there are.
    ShortRead,
    /// A send takes between one byte and all it could.
    ShortWrite,
    /// A connection is reset after an arbitrary byte.
    Reset,
    /// A completion comes up to `late_max` after the fact.
    Late,
    /// A completion is overtaken by one of another socket.
    Reordered,
    /// A receive finds no buffer though there are some, and is armed again.
    NoBuffers,
    /// An accept finds no descriptor (`EMFILE`) and ends.
    NoDescriptors,
    /// A connecting peer stops reading for a while; then its window is small.
    SlowReader,
    /// A connecting peer never reads again.
    DeadReader,
    /// A connecting peer half-closes on its own.
    HalfClose,
    /// A connect is refused though somebody listens.
    Refused,
    /// A connect takes up to a second.
    SlowConnect,
    /// A cancel comes too late: its operation succeeds.
    CancelLost,
    /// The process pauses: the clock jumps forward by up to `pause_max`.
    Pause,
    /// A turn is interrupted before it submits anything (`EINTR`).
    Interrupted,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::ShortRead,
        Self::ShortWrite,
        Self::Reset,
        Self::Late,
        Self::Reordered,
        Self::NoBuffers,
        Self::NoDescriptors,
        Self::SlowReader,
        Self::DeadReader,
        Self::HalfClose,
        Self::Refused,
        Self::SlowConnect,
        Self::CancelLost,
        Self::Pause,
        Self::Interrupted,
    ];

    /// Its name in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ShortRead => "short read",
            Self::ShortWrite => "short write",
            Self::Reset => "reset",
            Self::Late => "late completion",
            Self::Reordered => "reordered completion",
            Self::NoBuffers => "no receive buffer (ENOBUFS)",
            Self::NoDescriptors => "no descriptor (EMFILE)",
            Self::SlowReader => "slow reader",
            Self::DeadReader => "dead reader",
            Self::HalfClose => "half-close",
            Self::Refused => "connect refused",
            Self::SlowConnect => "slow connect",
            Self::CancelLost => "success after cancel",
            Self::Pause => "clock jump",
            Self::Interrupted => "interrupted turn (EINTR)",
        }
    }
}

/// How often each fault fired.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FaultCounts([u64; Fault::ALL.len()]);

impl FaultCounts {
    /// Times this fault fired.
    #[must_use]
    pub fn of(&self, fault: Fault) -> u64 {
        self.0[fault as usize]
    }

    /// The faults that never fired: a simulation with any of them proved less than it claims.
    pub fn never_fired(&self) -> impl Iterator<Item = Fault> + '_ {
        Fault::ALL.into_iter().filter(|fault| self.of(*fault) == 0)
    }

    pub(super) fn add(&mut self, fault: Fault) {
        self.0[fault as usize] += 1;
    }
}

impl AddAssign for FaultCounts {
    fn add_assign(&mut self, other: Self) {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            *mine += theirs;
        }
    }
}

impl fmt::Display for FaultCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for fault in Fault::ALL {
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
        for (at, fault) in Fault::ALL.into_iter().enumerate() {
            assert_eq!(fault as usize, at);
            let mut counts = FaultCounts::default();
            counts.add(fault);
            assert_eq!(counts.of(fault), 1);
            assert_eq!(counts.never_fired().count(), Fault::ALL.len() - 1);
        }
    }
}
