//! The committed corpus of each fuzz target of HTTP/2, replayed on a plain toolchain: seeds, and every input that once was
//! a finding.

use std::fs;
use std::path::Path;

#[path = "../../../fuzz/bodies/h2_frame.rs"]
mod h2_frame;
#[path = "../../../fuzz/bodies/h2_session.rs"]
mod h2_session;

fn replay(target: &str, lens: impl Fn(usize) -> Vec<usize>, run: impl Fn(&[u8])) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fuzz/corpus")
        .join(target);
    let mut count = 0;
    for entry in fs::read_dir(&corpus).expect("the corpus is part of the repository") {
        let path = entry.expect("readable").path();
        let input = fs::read(&path).expect("readable");
        println!("{}", path.display());
        run(&input);
        // Each beginning of an input is an input.
        for len in lens(input.len()) {
            run(&input[..len]);
        }
        count += 1;
    }
    assert!(count > 0, "{} is empty", corpus.display());
}

#[test]
fn h2_frame_corpus() {
    replay("h2_frame", |len| (0..len.min(300)).collect(), h2_frame::run);
}

#[test]
fn h2_session_corpus() {
    replay("h2_session", |_| Vec::new(), h2_session::run);
}
