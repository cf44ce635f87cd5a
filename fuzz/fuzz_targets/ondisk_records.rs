//! libFuzzer entry: the body is in `bodies/ondisk_records.rs`.

#![no_main]

#[path = "../bodies/ondisk_records.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::run(data));
