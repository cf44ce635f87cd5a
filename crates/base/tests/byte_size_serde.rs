//! Sizes in settings.

#![cfg(feature = "serde")]

use hioload_base::ByteSize;

#[test]
fn reads_text_and_numbers_and_writes_text() {
    let read = |json: &str| serde_json::from_str::<ByteSize>(json);
    assert_eq!(read("\"64KiB\"").expect("a size"), ByteSize::kib(64));
    assert_eq!(read("65536").expect("a number of bytes"), ByteSize::kib(64));
    assert_eq!(
        serde_json::to_string(&ByteSize::kib(64)).expect("serializes"),
        "\"64KiB\""
    );
    let refusal = read("\"64kB\"").expect_err("a decimal unit").to_string();
    assert!(refusal.contains("KiB, MiB"), "{refusal}");
    assert!(read("-1").is_err());
    assert!(
        read("true")
            .expect_err("no size")
            .to_string()
            .contains("a size such as 64KiB")
    );
}
