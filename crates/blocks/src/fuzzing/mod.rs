//! Operations on a whole store as bytes, checked against a naive model: for the fuzzer, the property tests and the replay of
//! the corpus.
//!
//! The first bytes choose the store, each following operation takes a few. A controller, one to three workers, an index and
//! a disk in memory; queues between them deliver when the operations say so, file operations end in any order and with faults, the
//! machine goes down. At the end everything is brought to rest and judged: see `world`.

mod acts;
mod clients;
mod hears;
pub(crate) mod medium;
mod model;
mod world;

use world::{Seen, World};

/// Reads bytes as numbers; zeros when they are used up.
#[derive(Debug)]
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn next(&mut self) -> usize {
        match self.0.split_first() {
            Some((byte, rest)) => {
                self.0 = rest;
                usize::from(*byte)
            }
            None => 0,
        }
    }

    fn below(&mut self, count: usize) -> usize {
        self.next() % count.max(1)
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Runs the operations in `data`.
///
/// # Panics
///
/// If the store and the model disagree.
pub fn store_ops(data: &[u8]) {
    run(data);
}

fn run(data: &[u8]) -> Seen {
    let mut bytes = Bytes(data);
    let mut world = World::new(&mut bytes);
    while !bytes.is_empty() {
        world.step(&mut bytes);
    }
    world.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random(seed: u64) -> Vec<u8> {
        let mut prng = hioload_base::Prng::new(seed);
        let mut data = vec![0; 300 + prng.below(900) as usize];
        prng.fill(&mut data);
        data
    }

    /// One seed can be run alone: `SEED=17 cargo test … random_operations`; and many: `SEEDS=100000`.
    #[test]
    fn random_operations_agree_with_the_model_and_reach_every_outcome() {
        let alone = std::env::var("SEED")
            .ok()
            .and_then(|seed| seed.parse().ok());
        let count = std::env::var("SEEDS")
            .ok()
            .and_then(|count| count.parse().ok());
        let seeds = alone.map_or(0..count.unwrap_or(400), |seed: u64| seed..seed + 1);
        let mut seen = Seen::default();
        for seed in seeds {
            let result = std::panic::catch_unwind(|| run(&random(seed)));
            seen.add(&result.unwrap_or_else(|_| panic!("SEED={seed}")));
        }
        if alone.is_none() {
            for (what, count) in seen.0 {
                assert!(count > 0, "{what} never happened");
            }
        }
    }

    #[test]
    fn the_corpus_passes() {
        let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus/store_ops");
        let mut count = 0;
        for entry in std::fs::read_dir(corpus).expect("the corpus is in the repository") {
            let path = entry.expect("a readable folder").path();
            store_ops(&std::fs::read(&path).expect("a readable file"));
            count += 1;
        }
        assert!(count > 0, "{corpus} is empty");
    }
}
