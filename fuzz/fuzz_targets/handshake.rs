//! libFuzzer entry: the body is in `bodies/handshake.rs`.

#![no_main]

#[path = "../bodies/handshake.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::run(data));
