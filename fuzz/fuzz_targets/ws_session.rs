//! libFuzzer entry: the body is in `bodies/ws_session.rs`.

#![no_main]

#[path = "../bodies/ws_session.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::run(data));
