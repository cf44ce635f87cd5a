//! libFuzzer entry: the body is in `bodies/buddy_ops.rs`.

#![no_main]

#[path = "../bodies/buddy_ops.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::run(data));
