//! libFuzzer entry: the body is in `bodies/streams_ops.rs`.

#![no_main]

#[path = "../bodies/streams_ops.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::run(data));
