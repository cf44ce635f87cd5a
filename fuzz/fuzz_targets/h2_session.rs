//! libFuzzer entry: the body is in `bodies/h2_session.rs`.

#![no_main]

#[path = "../bodies/h2_session.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::run(data));
