//! Operations on a channel as bytes, checked against a naive model: for the fuzzer, the property
//! tests and the replay of the corpus.
//!
//! The first bytes choose the channel (`Setup`), each following pair is an operation. After them everything
//! alive is drained and the end state judged: see `world`.

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
/// If the room and the model disagree.
pub fn live_log(data: &[u8]) {
    run(data);
}

fn run(data: &[u8]) -> Seen {
    let mut bytes = Bytes(data);
    let mut world = World::new(&mut bytes);
    while !bytes.is_empty() {
        world.step(&mut bytes);
        world.check();
    }
    world.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

        #[test]
        fn logs_and_cursors_agree_with_naive_queues(
            data in proptest::collection::vec(any::<u8>(), 0..1500)
        ) {
            live_log(&data);
        }
    }

    #[test]
    fn random_operations_reach_every_outcome() {
        let mut prng = hioload_base::Prng::new(1);
        let mut seen = Seen::default();
        for _ in 0..300 {
            let mut data = vec![0; 1000];
            prng.fill(&mut data);
            seen.add(&run(&data));
        }
        for (what, count) in seen.0 {
            assert!(count > 0, "{what} never happened");
        }
    }

    #[test]
    fn the_corpus_passes() {
        let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus/live_log");
        let mut count = 0;
        for entry in std::fs::read_dir(corpus).expect("the corpus is in the repository") {
            let path = entry.expect("a readable folder").path();
            live_log(&std::fs::read(&path).expect("a readable file"));
            count += 1;
        }
        assert!(count > 0, "{corpus} is empty");
    }
}
