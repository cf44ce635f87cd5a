//! The committed corpus of each fuzz target of this room, replayed on a plain toolchain: seeds, and
//! every input that once was a finding.

use std::fs;
use std::path::Path;

#[path = "../../../fuzz/bodies/handshake.rs"]
mod handshake;
#[path = "../../../fuzz/bodies/ws_frame.rs"]
mod ws_frame;
#[path = "../../../fuzz/bodies/ws_session.rs"]
mod ws_session;

fn replay(target: &str, run: impl Fn(&[u8])) {
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
        for len in 0..input.len().min(300) {
            run(&input[..len]);
        }
        count += 1;
    }
    assert!(count > 0, "{} is empty", corpus.display());
}

#[test]
fn ws_frame_corpus() {
    replay("ws_frame", ws_frame::run);
}

#[test]
fn ws_session_corpus() {
    replay("ws_session", ws_session::run);
}

#[test]
fn handshake_corpus() {
    replay("handshake", handshake::run);
}
