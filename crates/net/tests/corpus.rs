//! The fuzz corpus, replayed through the body that the fuzzer runs.

use std::path::Path;

#[path = "../../../fuzz/bodies/tls_records.rs"]
mod tls_records;

#[test]
fn tls_records_corpus() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/tls_records");
    let mut count = 0;
    for entry in std::fs::read_dir(directory).expect("a corpus") {
        let path = entry.expect("an entry").path();
        let input = std::fs::read(&path).expect("an input");
        tls_records::run(&input);
        // Each beginning of an input is an input.
        for len in 0..input.len().min(100) {
            tls_records::run(&input[..len]);
        }
        count += 1;
    }
    assert!(count > 0, "an empty corpus checks nothing");
}
