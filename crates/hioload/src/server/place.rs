//! Where workers run and where their memory lies: processors and NUMA node of each, decided before
//! the threads start.

use hioload_mem::Topology;
use hioload_reactor::StartError;
use hioload_reactor::affinity::allowed_cpus;

/// What the builder was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wish {
    pub(super) pin: bool,
    pub(super) node: Option<u32>,
}

/// The place of one worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Processors its thread is bound to; empty: wherever the system puts it.
    pub(super) cpus: Vec<usize>,
    /// Where its memory lies; `None`: wherever it is first touched.
    pub(super) node: Option<u32>,
}

/// Which processors there are, each with its node.
#[derive(Debug)]
pub(super) struct Machine {
    cpus: Vec<(usize, Option<u32>)>,
    nodes: Vec<u32>,
}

impl Machine {
    pub(super) fn detect() -> Self {
        let topology = Topology::detect();
        let cpus = allowed_cpus()
            .into_iter()
            .map(|cpu| (cpu, topology.node_of_cpu(cpu)));
        Self {
            cpus: cpus.collect(),
            nodes: topology.nodes().collect(),
        }
    }

    /// Processors to choose from.
    fn cpus(&self, wish: Wish) -> Vec<usize> {
        let is_wanted = |node: Option<u32>| wish.node.is_none() || node == wish.node;
        self.cpus
            .iter()
            .filter(|(_, node)| is_wanted(*node))
            .map(|(cpu, _)| *cpu)
            .collect()
    }

    /// Workers when none are named: one for each processor to choose from.
    pub(super) fn workers(&self, wish: Wish) -> usize {
        match (wish.node, self.cpus(wish).len()) {
            // Counts what a quota of the control group leaves, too.
            (None, _) | (_, 0) => std::thread::available_parallelism().map_or(1, usize::from),
            (Some(_), count) => count,
        }
    }

    /// The place of each worker. With more workers than processors, they share.
    ///
    /// # Errors
    /// When there is no such node, it has no processor for us, or the system cannot say.
    pub(super) fn places(&self, wish: Wish, workers: usize) -> Result<Vec<Place>, StartError> {
        if let Some(node) = wish.node
            && !self.nodes.contains(&node)
        {
            return Err(no_node(node, &self.nodes));
        }
        let cpus = self.cpus(wish);
        if cpus.is_empty() && (wish.pin || wish.node.is_some()) {
            return Err(no_cpus(wish));
        }
        let place = |worker: usize| {
            if !wish.pin {
                let cpus = wish.node.map_or(Vec::new(), |_| cpus.clone());
                return Place {
                    cpus,
                    node: wish.node,
                };
            }
            let cpu = cpus[worker % cpus.len()];
            let node = self
                .cpus
                .iter()
                .find(|(known, _)| *known == cpu)
                .and_then(|(_, node)| *node);
            // On a machine with one node, all memory is near.
            let node = wish.node.or(node.filter(|_| self.nodes.len() > 1));
            Place {
                cpus: vec![cpu],
                node,
            }
        };
        if wish.pin && workers > cpus.len() {
            tracing::warn!("{workers} workers share {} processors", cpus.len());
        }
        Ok((0..workers).map(place).collect())
    }
}

fn no_node(node: u32, nodes: &[u32]) -> StartError {
    let known: Vec<String> = nodes.iter().map(u32::to_string).collect();
    StartError {
        what: format!("cannot place workers on NUMA node {node}"),
        cause: format!("this machine has {}", known.join(", ")),
        remedy: "Set server.numa (--numa) to one of these, or to auto".to_owned(),
        errno: None,
    }
}

fn no_cpus(wish: Wish) -> StartError {
    let (cause, remedy) = match wish.node {
        Some(node) => (
            format!("this process may use no processor of NUMA node {node}"),
            "Widen its cpuset (`taskset -p $$` shows it), or set server.numa (--numa) to auto",
        ),
        None => (
            "the system does not say which processors there are".to_owned(),
            "Leave server.pin (--pin) off; pinning is supported on Linux only",
        ),
    };
    StartError {
        what: "cannot bind workers to processors".to_owned(),
        cause,
        remedy: remedy.to_owned(),
        errno: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two_nodes() -> Machine {
        let cpus = [(0, Some(0)), (1, Some(1)), (4, Some(0)), (5, Some(1))];
        Machine {
            cpus: cpus.to_vec(),
            nodes: vec![0, 1, 2],
        }
    }

    fn places(pin: bool, node: Option<u32>, workers: usize) -> Vec<(Vec<usize>, Option<u32>)> {
        let places = two_nodes()
            .places(Wish { pin, node }, workers)
            .expect("possible");
        places
            .into_iter()
            .map(|place| (place.cpus, place.node))
            .collect()
    }

    #[test]
    fn without_a_wish_the_system_decides() {
        assert_eq!(places(false, None, 2), [(vec![], None), (vec![], None)]);
    }

    #[test]
    fn pinned_workers_take_processors_in_turn_with_memory_beside() {
        assert_eq!(
            places(true, None, 5),
            [
                (vec![0], Some(0)),
                (vec![1], Some(1)),
                (vec![4], Some(0)),
                (vec![5], Some(1)),
                (vec![0], Some(0))
            ]
        );
        let machine = Machine {
            cpus: vec![(3, Some(0))],
            nodes: vec![0],
        };
        let place = machine
            .places(
                Wish {
                    pin: true,
                    node: None,
                },
                1,
            )
            .expect("possible");
        assert_eq!(
            place,
            [Place {
                cpus: vec![3],
                node: None
            }],
            "one node: nothing to choose"
        );
    }

    #[test]
    fn a_node_bounds_processors_and_memory() {
        assert_eq!(places(false, Some(1), 1), [(vec![1, 5], Some(1))]);
        assert_eq!(
            places(true, Some(1), 2),
            [(vec![1], Some(1)), (vec![5], Some(1))]
        );
        assert_eq!(
            two_nodes().workers(Wish {
                pin: false,
                node: Some(1)
            }),
            2
        );
    }

    #[test]
    fn what_cannot_be_is_refused_with_a_remedy() {
        let refusal = |machine: &Machine, pin, node| {
            machine
                .places(Wish { pin, node }, 1)
                .expect_err("impossible")
                .to_string()
        };
        let unknown = refusal(&two_nodes(), false, Some(7));
        assert!(
            unknown.contains("node 7") && unknown.contains("0, 1, 2") && unknown.contains("--numa"),
            "{unknown}"
        );
        let empty = refusal(&two_nodes(), false, Some(2));
        assert!(
            empty.contains("no processor of NUMA node 2") && empty.contains("cpuset"),
            "{empty}"
        );
        let nothing = Machine {
            cpus: Vec::new(),
            nodes: vec![0],
        };
        let blind = refusal(&nothing, true, None);
        assert!(blind.contains("--pin"), "{blind}");
        assert!(
            nothing
                .places(
                    Wish {
                        pin: false,
                        node: None
                    },
                    1
                )
                .is_ok()
        );
    }
}
