//! Which processor is near which memory, and one pool for each node.
//!
//! Must not know what the pools hold. Source: `/sys/devices/system/node` (Linux, `Documentation/ABI/stable/sysfs-devices-node`);
//! elsewhere, and where that is not readable, the machine counts as one node 0.

use std::fs;
use std::path::Path;

/// The NUMA nodes of a machine and their processors.
///
/// ```
/// use hioload_mem::Topology;
///
/// let topology = Topology::detect();
/// let node = topology.node_of_cpu(0).unwrap_or(0);
/// assert!(topology.nodes().any(|known| known == node));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topology {
    /// Node and its processors, ascending by node. Never empty.
    nodes: Vec<(u32, Vec<usize>)>,
    /// Everything is near everything: every processor belongs to the one node.
    is_uniform: bool,
}

impl Topology {
    /// The machine this runs on.
    pub fn detect() -> Topology {
        Topology::read(Path::new("/sys/devices/system/node"))
    }

    /// One node 0 with every processor.
    pub fn uniform() -> Topology {
        Topology {
            nodes: vec![(0, Vec::new())],
            is_uniform: true,
        }
    }

    fn read(directory: &Path) -> Topology {
        let mut nodes: Vec<(u32, Vec<usize>)> = Vec::new();
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let number = name
                .to_str()
                .and_then(|name| name.strip_prefix("node")?.parse().ok());
            let cpus = fs::read_to_string(entry.path().join("cpulist"));
            if let (Some(node), Ok(cpus)) = (number, cpus) {
                nodes.push((node, parse_cpu_list(&cpus)));
            }
        }
        nodes.sort_unstable();
        if nodes.is_empty() {
            Topology::uniform()
        } else {
            Topology {
                nodes,
                is_uniform: false,
            }
        }
    }

    /// The nodes, ascending; at least one.
    pub fn nodes(&self) -> impl Iterator<Item = u32> + '_ {
        self.nodes.iter().map(|(node, _)| *node)
    }

    /// The node a processor belongs to; `None` for a processor that is not there.
    pub fn node_of_cpu(&self, cpu: usize) -> Option<u32> {
        if self.is_uniform {
            return Some(self.nodes[0].0);
        }
        self.nodes
            .iter()
            .find(|(_, cpus)| cpus.contains(&cpu))
            .map(|(node, _)| *node)
    }
}

/// Processors of a list like `0-3,8`; what cannot be read is left out.
fn parse_cpu_list(text: &str) -> Vec<usize> {
    const CPUS_MAX: usize = 1 << 16;
    let mut cpus = Vec::new();
    for part in text.trim().split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        if let (Ok(first), Ok(last)) = (first.parse::<usize>(), last.parse::<usize>()) {
            cpus.extend((first..=last).take(CPUS_MAX));
        }
    }
    cpus
}

/// One pool for each NUMA node. `P` is any pool: a [`crate::BufferPool`] for one worker's use, an
/// [`crate::ObjectPool`] in a lock for the use of all.
///
/// ```
/// use hioload_mem::{BufferPool, NumaPools, PoolConfig, Topology};
///
/// let pools = NumaPools::new(Topology::detect(), |node| {
///     BufferPool::new(PoolConfig { numa_node: Some(node), ..PoolConfig::with_budget(1 << 20) })
/// })?;
/// let near = pools.pool_for_cpu(0).expect("a machine has a processor 0");
/// assert!(near.take(256).is_some());
/// # Ok::<(), hioload_mem::PoolError>(())
/// ```
#[derive(Debug)]
pub struct NumaPools<P> {
    topology: Topology,
    /// In the order of the topology's nodes.
    pools: Vec<P>,
}

impl<P> NumaPools<P> {
    /// Makes a pool for each node.
    ///
    /// # Errors
    ///
    /// The first one `make` gives.
    pub fn new<E>(
        topology: Topology,
        make: impl FnMut(u32) -> Result<P, E>,
    ) -> Result<NumaPools<P>, E> {
        let pools = topology.nodes().map(make).collect::<Result<Vec<P>, E>>()?;
        Ok(NumaPools { topology, pools })
    }

    /// The pool of a node; `None` for a node that is not there.
    pub fn pool_for_node(&self, node: u32) -> Option<&P> {
        let index = self.topology.nodes().position(|known| known == node)?;
        self.pools.get(index)
    }

    /// The pool of the node a processor belongs to; `None` for a processor that is not there.
    pub fn pool_for_cpu(&self, cpu: usize) -> Option<&P> {
        self.pool_for_node(self.topology.node_of_cpu(cpu)?)
    }

    /// What is near what.
    pub fn topology(&self) -> &Topology {
        &self.topology
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn cpu_lists() {
        assert_eq!(parse_cpu_list("0\n"), [0]);
        assert_eq!(parse_cpu_list("0-2,8,10-11\n"), [0, 1, 2, 8, 10, 11]);
        assert_eq!(parse_cpu_list("\n"), []);
        assert_eq!(parse_cpu_list("x,3,5-4,-"), [3]);
        assert_eq!(parse_cpu_list(&format!("0-{}", usize::MAX)).len(), 1 << 16);
    }

    #[test]
    fn two_nodes_and_one_without_processors() {
        let scratch = Scratch::new("numa");
        scratch.write("node10/cpulist", "\n");
        scratch.write("node0/cpulist", "0-1\n");
        scratch.write("node1/cpulist", "2-3\n");
        scratch.write("possible", "0-10\n");
        let topology = Topology::read(scratch.path());
        assert_eq!(topology.nodes().collect::<Vec<u32>>(), [0, 1, 10]);
        assert_eq!(topology.node_of_cpu(1), Some(0));
        assert_eq!(topology.node_of_cpu(2), Some(1));
        assert_eq!(topology.node_of_cpu(4), None);

        let pools = NumaPools::new(topology, |node| Ok::<u32, ()>(node * 100)).expect("made");
        assert_eq!(pools.pool_for_node(10), Some(&1000));
        assert_eq!(pools.pool_for_node(2), None);
        assert_eq!(pools.pool_for_cpu(3), Some(&100));
        assert_eq!(pools.pool_for_cpu(4), None);
        let failed = NumaPools::new(Topology::uniform(), Err::<(), u32>);
        assert_eq!(failed.err(), Some(0));
    }

    #[test]
    fn nothing_readable_is_one_node() {
        let topology = Topology::read(Path::new("/nowhere/at/all"));
        assert_eq!(topology, Topology::uniform());
        assert_eq!(topology.node_of_cpu(1_000), Some(0));
    }
}
