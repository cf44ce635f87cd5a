//! libFuzzer entry: the body is `hioload_live::fuzzing`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hioload_live::fuzzing::live_log(data));
