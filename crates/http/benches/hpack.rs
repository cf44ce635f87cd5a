//! What a field costs. `cargo bench -p hioload-http --bench hpack`; look at "fastest". Times are those of
//! a whole block: its number of fields is in the name.

use divan::{Bencher, black_box};
use hioload_http::hpack::{Decoder, Encoder, Indexing, TABLE_SIZE_INITIAL};

fn main() {
    divan::main();
}

/// As a browser sends it.
const REQUEST: [(&str, &str); 10] = [
    (":method", "GET"),
    (":authority", "store.example.com"),
    (":scheme", "https"),
    (":path", "/"),
    (
        "user-agent",
        "Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0",
    ),
    (
        "accept",
        "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    ),
    ("accept-language", "en-US,en;q=0.5"),
    ("accept-encoding", "gzip, deflate, br, zstd"),
    ("sec-fetch-site", "same-origin"),
    ("cookie", "session=0123456789abcdef0123456789abcdef"),
];

const TAG: &str = "\"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\"";

fn encode(encoder: &mut Encoder, fields: &[(&str, &str)], out: &mut Vec<u8>) {
    let fields = fields
        .iter()
        .map(|(name, value)| (name.as_bytes(), value.as_bytes(), Indexing::Auto));
    encoder.encode(fields, out);
}

fn decode(decoder: &mut Decoder, block: &[u8]) -> usize {
    let mut size = 0;
    let result = decoder.decode(block, |field| -> Result<(), ()> {
        size += black_box(field).size();
        Ok(())
    });
    assert_eq!(result, Ok(()));
    size
}

/// The second of two requests: all fields are in the tables.
#[divan::bench]
fn decode_request_of_10_indexed(bencher: Bencher) {
    let (mut encoder, mut decoder) = (
        Encoder::new(TABLE_SIZE_INITIAL),
        Decoder::new(TABLE_SIZE_INITIAL),
    );
    let mut block = Vec::new();
    for _ in 0..2 {
        block.clear();
        encode(&mut encoder, &REQUEST, &mut block);
        decode(&mut decoder, &block);
    }
    assert_eq!(block.len(), 10);
    bencher.bench_local(|| decode(&mut decoder, black_box(&block)));
}

/// The first one: all strings are there, encoded, and all fields go into the table.
#[divan::bench]
fn decode_request_of_10_literals(bencher: Bencher) {
    let (mut encoder, mut block) = (Encoder::new(TABLE_SIZE_INITIAL), Vec::new());
    encode(&mut encoder, &REQUEST, &mut block);
    let mut decoder = Decoder::new(TABLE_SIZE_INITIAL);
    bencher.bench_local(|| decode(&mut decoder, black_box(&block)));
}

#[divan::bench]
fn encode_request_of_10_indexed(bencher: Bencher) {
    let (mut encoder, mut block) = (Encoder::new(TABLE_SIZE_INITIAL), Vec::new());
    encode(&mut encoder, &REQUEST, &mut block);
    bencher.bench_local(|| {
        block.clear();
        encode(&mut encoder, black_box(&REQUEST), &mut block);
        assert_eq!(block.len(), 10);
    });
}

/// Status, date and type are in the tables; length and tag are literals.
#[divan::bench]
fn encode_response_of_5(bencher: Bencher) {
    let (mut encoder, mut block) = (Encoder::new(TABLE_SIZE_INITIAL), Vec::with_capacity(512));
    bencher.bench_local(|| {
        block.clear();
        let mut writer = encoder.block(&mut block);
        writer.status(black_box(200));
        writer.field(
            b"date",
            black_box(b"Sun, 06 Nov 1994 08:49:37 GMT"),
            Indexing::Auto,
        );
        writer.field(
            b"content-type",
            black_box(b"application/octet-stream"),
            Indexing::Auto,
        );
        writer.field(b"content-length", black_box(b"4096"), Indexing::Auto);
        writer.field(b"etag", black_box(TAG.as_bytes()), Indexing::Auto);
    });
}

/// The same without what is encoded anew each time.
#[divan::bench]
fn encode_response_of_3_indexed(bencher: Bencher) {
    let (mut encoder, mut block) = (Encoder::new(TABLE_SIZE_INITIAL), Vec::with_capacity(512));
    bencher.bench_local(|| {
        block.clear();
        let mut writer = encoder.block(&mut block);
        writer.status(black_box(200));
        writer.field(
            b"date",
            black_box(b"Sun, 06 Nov 1994 08:49:37 GMT"),
            Indexing::Auto,
        );
        writer.field(
            b"content-type",
            black_box(b"application/octet-stream"),
            Indexing::Auto,
        );
    });
}
