//! Mapped, zeroed memory: plain pages, huge pages, pages of one NUMA node.
//!
//! Huge pages and NUMA placement are wishes: where the system refuses, the region is mapped without and keeps the reason
//! as a line that the caller can log. Only plain memory that cannot be had is an error.
//!
//! Linux: `mmap(2)` MAP_HUGETLB, `madvise(2)` MADV_HUGEPAGE, `mbind(2)` MPOL_PREFERRED. Other systems: plain pages.

use std::fmt;
use std::io;

use memmap2::{MmapMut, MmapOptions};

/// Size of the huge pages asked for.
pub(crate) const HUGE_PAGE_SIZE: usize = 2 << 20;

/// What to map.
///
/// ```
/// use hioload_mem::{Region, RegionConfig};
///
/// let region = Region::map(RegionConfig { size: 1 << 16, ..RegionConfig::default() })?;
/// assert_eq!(region.as_slice().len(), 1 << 16);
/// assert!(region.as_slice().iter().all(|byte| *byte == 0));
/// assert!(region.fallbacks().is_empty(), "nothing special was asked for");
/// # Ok::<(), hioload_mem::RegionError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RegionConfig {
    /// Bytes, above zero.
    pub size: usize,
    /// Ask for huge pages: reserved ones first, then transparent ones.
    pub hugepages: bool,
    /// Ask for memory of this node.
    pub numa_node: Option<u32>,
}

/// A mapping of zeroed memory, unmapped when dropped.
#[derive(Debug)]
pub struct Region {
    map: MmapMut,
    fallbacks: Vec<String>,
}

impl Region {
    /// Maps a region.
    ///
    /// # Errors
    ///
    /// The size is zero, or the system has no memory or address space for it.
    pub fn map(config: RegionConfig) -> Result<Region, RegionError> {
        let size = config.size;
        let error = |cause| RegionError { size, cause };
        if size == 0 {
            return Err(error(io::Error::from(io::ErrorKind::InvalidInput)));
        }
        let mut fallbacks = Vec::new();
        let huge = if config.hugepages {
            map_huge(size, &mut fallbacks)
        } else {
            None
        };
        let mut map = match huge {
            Some(map) => map,
            None => {
                let map = MmapOptions::new().len(size).map_anon().map_err(error)?;
                if config.hugepages {
                    advise_huge(&map, &mut fallbacks);
                }
                map
            }
        };
        if let Some(node) = config.numa_node {
            bind(&mut map, node, &mut fallbacks);
        }
        Ok(Region { map, fallbacks })
    }

    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        &self.map
    }

    /// The bytes, to write to.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut self.map
    }

    /// Why a wish was not met, one line each; empty if everything asked for was had.
    pub fn fallbacks(&self) -> &[String] {
        &self.fallbacks
    }
}

/// A region could not be mapped.
#[derive(Debug)]
pub struct RegionError {
    size: usize,
    cause: io::Error,
}

impl fmt::Display for RegionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = hioload_base::ByteSize::new(self.size as u64);
        write!(
            f,
            "cannot map {size}: {}; lower the memory budget, or raise the limit on address space (ulimit -v) or on mappings \
             (vm.max_map_count)",
            self.cause
        )
    }
}

impl std::error::Error for RegionError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.cause)
    }
}

#[cfg(target_os = "linux")]
fn map_huge(size: usize, fallbacks: &mut Vec<String>) -> Option<MmapMut> {
    if !size.is_multiple_of(HUGE_PAGE_SIZE) {
        fallbacks.push(format!(
            "huge pages not used: {size} bytes is no multiple of 2 MiB"
        ));
        return None;
    }
    match MmapOptions::new().len(size).huge(Some(21)).map_anon() {
        Ok(map) => Some(map),
        Err(error) => {
            fallbacks.push(format!(
                "no reserved huge pages ({error}): reserve 2 MiB pages in /proc/sys/vm/nr_hugepages; transparent ones are asked for \
                 instead"
            ));
            None
        }
    }
}

#[cfg(target_os = "linux")]
fn advise_huge(map: &MmapMut, fallbacks: &mut Vec<String>) {
    if let Err(error) = map.advise(memmap2::Advice::HugePage) {
        fallbacks.push(format!(
            "no transparent huge pages either ({error}): see /sys/kernel/mm/transparent_hugepage/enabled"
        ));
    }
}

#[cfg(target_os = "linux")]
fn bind(map: &mut MmapMut, node: u32, fallbacks: &mut Vec<String>) {
    const NODE_MAX: u32 = 1023;
    if node > NODE_MAX {
        fallbacks.push(format!(
            "memory not placed: node {node} is above {NODE_MAX}"
        ));
        return;
    }
    let mut mask = [0 as libc::c_ulong; (NODE_MAX as usize + 1) / libc::c_ulong::BITS as usize];
    mask[(node / libc::c_ulong::BITS) as usize] = 1 << (node % libc::c_ulong::BITS);
    // SAFETY: the range is our own mapping, borrowed for the call; mask is read only, maxnode says its length in bits (plus
    // one, as the kernel wants); mbind changes where pages come from, not what they hold.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mbind,
            map.as_mut_ptr(),
            map.len(),
            libc::c_long::from(libc::MPOL_PREFERRED),
            mask.as_ptr(),
            NODE_MAX as usize + 2,
            0 as libc::c_uint,
        )
    };
    if result != 0 {
        let error = io::Error::last_os_error();
        fallbacks.push(format!(
            "memory not placed on node {node} ({error}): any node serves it"
        ));
    }
}

#[cfg(not(target_os = "linux"))]
fn map_huge(_size: usize, fallbacks: &mut Vec<String>) -> Option<MmapMut> {
    fallbacks.push("huge pages not used: only asked for on Linux".to_owned());
    None
}

#[cfg(not(target_os = "linux"))]
fn advise_huge(_map: &MmapMut, _fallbacks: &mut Vec<String>) {}

#[cfg(not(target_os = "linux"))]
fn bind(_map: &mut MmapMut, node: u32, fallbacks: &mut Vec<String>) {
    fallbacks.push(format!(
        "memory not placed on node {node}: only done on Linux"
    ));
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn size_zero_is_refused_and_one_is_mapped() {
        assert!(Region::map(RegionConfig::default()).is_err());
        let region = Region::map(RegionConfig {
            size: 1,
            ..RegionConfig::default()
        });
        assert_eq!(region.expect("one byte").as_slice(), [0]);
    }

    #[test]
    fn too_much_is_refused_with_a_remedy() {
        let error = Region::map(RegionConfig {
            size: 1 << 60,
            ..RegionConfig::default()
        })
        .expect_err("no such memory");
        let text = error.to_string();
        assert!(
            text.contains("cannot map") && text.contains("budget"),
            "{text}"
        );
    }

    #[test]
    fn a_node_that_does_not_exist_falls_back_with_a_reason() {
        for node in [1023, 1024, u32::MAX] {
            let config = RegionConfig {
                size: 4096,
                hugepages: false,
                numa_node: Some(node),
            };
            let mut region = Region::map(config).expect("falls back");
            region.as_mut_slice()[4095] = 7;
            assert_eq!(region.fallbacks().len(), 1, "{:?}", region.fallbacks());
            assert!(region.fallbacks()[0].contains(&node.to_string()));
        }
    }

    #[test]
    fn huge_pages_of_an_odd_size_fall_back_with_a_reason() {
        let config = RegionConfig {
            size: 4096,
            hugepages: true,
            numa_node: None,
        };
        let region = Region::map(config).expect("falls back");
        assert!(!region.fallbacks().is_empty());
    }

    #[test]
    fn huge_pages_are_had_or_the_reason_is_told() {
        let config = RegionConfig {
            size: HUGE_PAGE_SIZE,
            hugepages: true,
            numa_node: None,
        };
        let mut region = Region::map(config).expect("falls back");
        region.as_mut_slice()[HUGE_PAGE_SIZE - 1] = 1;
        for line in region.fallbacks() {
            assert!(line.contains("huge pages"), "{line}");
        }
    }
}
