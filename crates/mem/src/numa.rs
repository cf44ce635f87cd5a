//! NUMA placement through `mbind(2)`; a machine without nodes has node 0 only.

use std::io;

use memmap2::MmapMut;

/// Prefers `node` for all pages of the mapping.
pub(crate) fn prefer_node(map: &mut MmapMut, node: u32) -> io::Result<()> {
    crate::raw::mbind_preferred(map.as_mut_ptr(), map.len(), node)
}
