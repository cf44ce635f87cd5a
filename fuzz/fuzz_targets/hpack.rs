//! libFuzzer entry: the body is in `bodies/hpack.rs`.

#![no_main]

#[path = "../bodies/hpack.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::run(data));
