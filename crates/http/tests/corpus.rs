//! The committed corpus of each fuzz target of this room, replayed on a plain toolchain: seeds, and
//! every input that once was a finding.

use std::fs;
use std::path::Path;

#[path = "../../../fuzz/bodies/hpack.rs"]
mod hpack;
#[path = "../../../fuzz/bodies/http1_request.rs"]
mod http1_request;
#[path = "../../../fuzz/bodies/http1_response.rs"]
mod http1_response;
#[path = "../../../fuzz/bodies/sse.rs"]
mod sse;

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
fn hpack_corpus() {
    replay("hpack", hpack::run);
}

#[test]
fn http1_request_corpus() {
    replay("http1_request", http1_request::run);
}

#[test]
fn http1_response_corpus() {
    replay("http1_response", http1_response::run);
}

#[test]
fn sse_corpus() {
    replay("sse", sse::run);
}
