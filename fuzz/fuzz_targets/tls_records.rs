//! libFuzzer entry: the body is in `bodies/tls_records.rs`.

#![no_main]

#[path = "../bodies/tls_records.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::run(data));
