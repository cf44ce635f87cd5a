//! libFuzzer entry: the body is in `bodies/sse.rs`.

#![no_main]

#[path = "../bodies/sse.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::run(data));
