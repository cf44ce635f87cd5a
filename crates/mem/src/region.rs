//! Anonymous memory from the system: zeroed, optionally on huge pages, optionally on one NUMA node.
//!
//! A wish that the system refuses (no huge pages, no such node) is noted in [`Region::notes`] and
//! the region works all the same.

use std::fmt;
use std::io;

use memmap2::{MmapMut, MmapOptions};

/// What a region should be like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RegionConfig {
    /// Ask for transparent huge pages (`MADV_HUGEPAGE`).
    pub hugepages: bool,
    /// Place the memory on this node (`mbind(2)`, preferred).
    pub numa_node: Option<u32>,
}

/// Zeroed memory, returned to the system when dropped.
pub struct Region {
    map: MmapMut,
    notes: Vec<String>,
}

impl Region {
    /// Maps `size` bytes; pages are touched on first use.
    ///
    /// # Errors
    /// The system's own when there is no address space or memory.
    pub fn map(size: usize, config: RegionConfig) -> io::Result<Self> {
        let mut map = MmapOptions::new().len(size).map_anon()?;
        let mut notes = Vec::new();
        #[cfg(target_os = "linux")]
        if config.hugepages
            && let Err(error) = map.advise(memmap2::Advice::HugePage)
        {
            notes.push(format!("huge pages refused ({error}): ordinary pages are used"));
        }
        if let Some(node) = config.numa_node
            && let Err(error) = crate::numa::prefer_node(&mut map, node)
        {
            notes.push(format!("node {node} refused ({error}): memory comes from any node"));
        }
        Ok(Self { map, notes })
    }

    /// Bytes mapped.
    #[must_use]
    pub fn len(&self) -> usize {
        self.map.len()
    }

    /// True for a region of no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    /// Wishes that were refused.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    pub(crate) fn as_mut_ptr(&mut self) -> *mut u8 {
        self.map.as_mut_ptr()
    }
}

impl fmt::Debug for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Region({} bytes)", self.len())
    }
}
