//! The mesh against plain queues, step by step on one thread.

#![cfg(not(loom))]

use hioload_base::Full;
use hioload_ring::mesh;
use proptest::prelude::*;
use std::collections::{HashMap, VecDeque};

const WORKERS: usize = 3;

#[derive(Clone, Debug)]
enum Step {
    /// From a worker, or from another thread.
    Send(Option<usize>, usize),
    Pop(usize),
    Sleep(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let worker = 0..WORKERS;
    prop_oneof![
        3 => (prop::option::of(worker.clone()), worker.clone()).prop_map(|(from, to)| Step::Send(from, to)),
        3 => worker.clone().prop_map(Step::Pop),
        1 => worker.prop_map(Step::Sleep),
    ]
}

proptest! {
    #[test]
    fn behaves_as_one_queue_for_each_pair(
        capacity in 1usize..5,
        steps in prop::collection::vec(step(), 0..300),
    ) {
        let mut ports = mesh::<u64>(WORKERS, capacity);
        let remote = ports[0].remote();
        let mut queues: HashMap<(Option<usize>, usize), VecDeque<u64>> = HashMap::new();
        let mut sleeps = [false; WORKERS];
        for (message, step) in (0..).zip(steps) {
            match step {
                Step::Send(from, to) => {
                    if let Some(from) = from {
                        // Who runs is awake.
                        ports[from].awake();
                        sleeps[from] = false;
                    }
                    let answer = match from {
                        Some(from) => ports[from].try_send(to, message),
                        None => remote.try_send(to, message),
                    };
                    let queue = queues.entry((from, to)).or_default();
                    match answer {
                        Ok(sent) => {
                            prop_assert_eq!(sent.wake, std::mem::take(&mut sleeps[to]));
                            queue.push_back(message);
                        }
                        Err(Full(back)) => prop_assert_eq!((back, queue.len()), (message, capacity)),
                    }
                    prop_assert!(queue.len() <= capacity);
                }
                Step::Pop(worker) => {
                    ports[worker].awake();
                    sleeps[worker] = false;
                    match ports[worker].pop() {
                        Some((from, message)) => {
                            let queue = queues.entry((from, worker)).or_default();
                            prop_assert_eq!(queue.pop_front(), Some(message));
                        }
                        None => prop_assert!(is_empty(&queues, worker)),
                    }
                }
                Step::Sleep(worker) => {
                    ports[worker].awake();
                    sleeps[worker] = ports[worker].prepare_sleep();
                    prop_assert_eq!(sleeps[worker], is_empty(&queues, worker));
                }
            }
        }
    }
}

fn is_empty(queues: &HashMap<(Option<usize>, usize), VecDeque<u64>>, worker: usize) -> bool {
    queues
        .iter()
        .all(|((_, to), queue)| *to != worker || queue.is_empty())
}
