//! libFuzzer entry: the body is in `bodies/http1_request.rs`.

#![no_main]

#[path = "../bodies/http1_request.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::run(data));
