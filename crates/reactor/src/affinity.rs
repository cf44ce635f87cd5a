//! Which processors a thread runs on.
//!
//! Linux only: elsewhere [`Affinity::pin`] says that it is unsupported and the thread runs where the
//! system puts it. Which processors are near which memory: [`hioload_mem::Topology`].
//!
//! Source: sched_setaffinity(2).

use std::fmt;
use std::marker::PhantomData;

use hioload_mem::Topology;

/// Processors a mask can name: the kernel's own bound (`NR_CPUS`).
pub const CPUS_MAX: usize = 8192;

const WORDS: usize = CPUS_MAX / u64::BITS as usize;

/// A set of processors in the kernel's form.
type Mask = [u64; WORDS];

/// The calling thread is pinned. Dropping this leaves it so; [`Affinity::unpin`] restores the mask it
/// had before. Belongs to its thread.
///
/// # Examples
/// ```
/// use hioload_reactor::affinity::{Affinity, allowed_cpus};
///
/// let all = allowed_cpus();
/// if let Ok(pinned) = Affinity::pin(&all[..1]) {
///     assert_eq!(allowed_cpus(), all[..1]);
///     pinned.unpin().expect("the former mask is allowed");
///     assert_eq!(allowed_cpus(), all);
/// }
/// ```
#[derive(Debug)]
pub struct Affinity {
    former: Box<Mask>,
    thread: PhantomData<*const ()>,
}

/// Why a thread could not be pinned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AffinityError {
    /// No processor was named.
    Empty,
    /// A processor this process may not use, or that the machine does not have.
    NotAllowed(usize),
    /// Not on this system.
    Unsupported,
    /// The system's error number.
    System(i32),
}

impl fmt::Display for AffinityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("no processor to pin to: name at least one"),
            Self::NotAllowed(cpu) => write!(
                f,
                "cannot pin to processor {cpu}: the machine lacks it or a cpuset keeps it from this \
                 process; `taskset -p $$` lists those allowed"
            ),
            Self::Unsupported => f.write_str("pinning threads is supported on Linux only"),
            Self::System(errno) => {
                write!(
                    f,
                    "cannot pin: {}",
                    std::io::Error::from_raw_os_error(*errno)
                )
            }
        }
    }
}

impl std::error::Error for AffinityError {}

impl Affinity {
    /// Lets the calling thread run on these processors only.
    ///
    /// # Errors
    /// Nothing changed: a processor is not allowed, or the system cannot pin.
    pub fn pin(cpus: &[usize]) -> Result<Self, AffinityError> {
        if cpus.is_empty() {
            return Err(AffinityError::Empty);
        }
        let former = system::mask()?;
        let mut wanted: Mask = [0; WORDS];
        for &cpu in cpus {
            if cpu >= CPUS_MAX || !has(&former, cpu) {
                return Err(AffinityError::NotAllowed(cpu));
            }
            wanted[cpu / 64] |= 1 << (cpu % 64);
        }
        system::set_mask(&wanted)?;
        Ok(Self {
            former: Box::new(former),
            thread: PhantomData,
        })
    }

    /// Restores the mask the thread had before.
    ///
    /// # Errors
    /// When none of the former processors is allowed any more.
    pub fn unpin(self) -> Result<(), AffinityError> {
        system::set_mask(&self.former)
    }
}

/// Processors the calling thread may run on, ascending. Empty where the system cannot tell.
#[must_use]
pub fn allowed_cpus() -> Vec<usize> {
    let Ok(mask) = system::mask() else {
        return Vec::new();
    };
    (0..CPUS_MAX).filter(|&cpu| has(&mask, cpu)).collect()
}

/// Processors of a NUMA node that the calling thread may run on, ascending.
#[must_use]
pub fn node_cpus(topology: &Topology, node: u32) -> Vec<usize> {
    let mut cpus = allowed_cpus();
    cpus.retain(|&cpu| topology.node_of_cpu(cpu) == Some(node));
    cpus
}

fn has(mask: &Mask, cpu: usize) -> bool {
    mask[cpu / 64] & (1 << (cpu % 64)) != 0
}

#[cfg(target_os = "linux")]
mod system {
    use super::{AffinityError, Mask};

    pub(super) fn mask() -> Result<Mask, AffinityError> {
        let mut mask: Mask = [0; super::WORDS];
        // SAFETY: 0 names the calling thread; the kernel writes at most the size given, which is that of
        // the live array, and a mask is plain bits of any value.
        let result = unsafe {
            libc::sched_getaffinity(
                0,
                size_of::<Mask>(),
                (&raw mut mask).cast::<libc::cpu_set_t>(),
            )
        };
        if result < 0 {
            Err(last_error())
        } else {
            Ok(mask)
        }
    }

    pub(super) fn set_mask(mask: &Mask) -> Result<(), AffinityError> {
        // SAFETY: 0 names the calling thread; the kernel reads the size given from a live array.
        let result = unsafe {
            libc::sched_setaffinity(0, size_of::<Mask>(), std::ptr::from_ref(mask).cast())
        };
        if result < 0 {
            Err(last_error())
        } else {
            Ok(())
        }
    }

    fn last_error() -> AffinityError {
        let error = std::io::Error::last_os_error();
        AffinityError::System(error.raw_os_error().unwrap_or(libc::EIO))
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use super::{AffinityError, Mask};

    pub(super) fn mask() -> Result<Mask, AffinityError> {
        Err(AffinityError::Unsupported)
    }

    pub(super) fn set_mask(_: &Mask) -> Result<(), AffinityError> {
        Err(AffinityError::Unsupported)
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_pinned_thread_is_released_to_where_it_was() {
        let all = allowed_cpus();
        let last = *all.last().expect("a processor to run on");
        let pinned = Affinity::pin(&[last]).expect("allowed");
        assert_eq!(allowed_cpus(), [last]);
        pinned.unpin().expect("allowed before");
        assert_eq!(allowed_cpus(), all);
    }

    #[test]
    fn what_is_not_there_is_refused_and_changes_nothing() {
        let all = allowed_cpus();
        assert_eq!(Affinity::pin(&[]).err(), Some(AffinityError::Empty));
        for cpu in [CPUS_MAX - 1, CPUS_MAX, usize::MAX] {
            assert_eq!(
                Affinity::pin(&[all[0], cpu]).err(),
                Some(AffinityError::NotAllowed(cpu))
            );
        }
        assert_eq!(allowed_cpus(), all);
        let text = AffinityError::NotAllowed(77).to_string();
        assert!(text.contains("77") && text.contains("taskset"), "{text}");
    }

    #[test]
    fn the_nodes_share_out_the_processors() {
        let topology = Topology::detect();
        let mut all: Vec<usize> = topology
            .nodes()
            .flat_map(|node| node_cpus(&topology, node))
            .collect();
        all.sort_unstable();
        assert_eq!(all, allowed_cpus());
        assert_eq!(node_cpus(&topology, 4_000_000), []);
    }
}
