//! libFuzzer entry: the body is `hioload_blocks::fuzzing`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hioload_blocks::fuzzing::store_ops(data));
