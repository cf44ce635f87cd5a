//! libFuzzer entry: the body is in `bodies/h2_frame.rs`.

#![no_main]

#[path = "../bodies/h2_frame.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::run(data));
