//! The committed corpus of the fuzz target of this room, replayed on a plain toolchain, and inputs of chance.

use std::fs;
use std::path::Path;

use hioload_base::Prng;

#[path = "../../../fuzz/bodies/streams_ops.rs"]
mod streams_ops;

#[test]
fn streams_ops_corpus() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/streams_ops");
    let mut count = 0;
    for entry in fs::read_dir(&corpus).expect("the corpus is part of the repository") {
        let path = entry.expect("readable").path();
        let input = fs::read(&path).expect("readable");
        println!("{}", path.display());
        streams_ops::run(&input);
        count += 1;
    }
    assert!(count > 0, "{} is empty", corpus.display());
}

#[test]
fn operations_of_chance_do_what_maps_do() {
    for seed in 0..300 {
        let mut bytes = vec![0; 2000];
        Prng::new(seed).fill(&mut bytes);
        println!("seed {seed}");
        streams_ops::run(&bytes);
    }
}
