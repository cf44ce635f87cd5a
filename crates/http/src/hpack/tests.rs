//! Both sides together, with a look into their tables: the examples of RFC 7541 Appendix C, and blocks
//! made at random under random sizes.

use proptest::prelude::*;

use super::dynamic_table::DynamicTable;
use super::lookup::Hash;
use super::*;

type Fields = Vec<(String, String)>;

fn bytes_of(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits
        .chunks(2)
        .map(|pair| {
            let pair = std::str::from_utf8(pair).expect("digits");
            u8::from_str_radix(pair, 16).expect("digits")
        })
        .collect()
}

fn fields_of(lines: &str) -> Fields {
    let pair = |line: &str| {
        let (name, value) = line.split_once(": ").expect("a name and a value");
        (name.to_string(), value.to_string())
    };
    lines
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .map(pair)
        .collect()
}

fn decoded(decoder: &mut Decoder, block: &[u8]) -> Fields {
    let mut fields = Vec::new();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
    let result = decoder.decode(block, |field| -> Result<(), ()> {
        fields.push((text(field.name), text(field.value)));
        Ok(())
    });
    assert_eq!(result, Ok(()));
    fields
}

fn listed(table: &DynamicTable) -> Vec<(Vec<u8>, Vec<u8>)> {
    (0..table.len())
        .map_while(|place| table.entry(place))
        .map(|(name, value)| (name.to_vec(), value.to_vec()))
        .collect()
}

/// Both tables hold these, newest first.
fn assert_table(table: &DynamicTable, size: usize, lines: &str) {
    let expected: Vec<_> = fields_of(lines)
        .into_iter()
        .map(|(name, value)| (name.into_bytes(), value.into_bytes()))
        .collect();
    assert_eq!((table.size(), listed(table)), (size, expected));
}

/// An example of several blocks: what they look like, what is in them, and the table behind each.
struct Example<'a> {
    block: &'a str,
    fields: &'a str,
    table_size: usize,
    table: &'a str,
}

fn decode_all(table_size: u32, examples: &[Example<'_>]) {
    let mut decoder = Decoder::new(table_size);
    for example in examples {
        let fields = decoded(&mut decoder, &bytes_of(example.block));
        assert_eq!(fields, fields_of(example.fields));
        assert_table(&decoder.table, example.table_size, example.table);
    }
}

fn encode_all(table_size: u32, examples: &[Example<'_>]) {
    let mut encoder = Encoder::new(TABLE_SIZE_INITIAL);
    // The examples take the size for granted: what tells of it goes before them.
    encoder.set_peer_table_size(table_size);
    encoder.block(&mut Vec::new());
    for example in examples {
        let (fields, mut out) = (fields_of(example.fields), Vec::new());
        let fields = fields
            .iter()
            .map(|(name, value)| (name.as_bytes(), value.as_bytes(), Indexing::Incremental));
        encoder.encode(fields, &mut out);
        assert_eq!(out, bytes_of(example.block), "{}", example.fields);
        assert_table(encoder.table.table(), example.table_size, example.table);
    }
}

/// RFC 7541 C.2: one representation each.
#[test]
fn representations() {
    let literal = "400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572";
    let mut decoder = Decoder::new(TABLE_SIZE_INITIAL);
    assert_eq!(
        decoded(&mut decoder, &bytes_of(literal)),
        fields_of("custom-key: custom-header")
    );
    assert_table(&decoder.table, 55, "custom-key: custom-header");

    let mut decoder = Decoder::new(TABLE_SIZE_INITIAL);
    let without = bytes_of("040c 2f73 616d 706c 652f 7061 7468");
    assert_eq!(
        decoded(&mut decoder, &without),
        fields_of(":path: /sample/path")
    );
    let never = bytes_of("1008 7061 7373 776f 7264 0673 6563 7265 74");
    let mut seen = Vec::new();
    for block in [&without, &never, &vec![0x82]] {
        let result = decoder.decode(block, |field| -> Result<(), ()> {
            seen.push((
                String::from_utf8_lossy(field.name).into_owned(),
                field.is_sensitive,
            ));
            Ok(())
        });
        assert_eq!(result, Ok(()));
    }
    let names = [(":path", false), ("password", true), (":method", false)];
    assert_eq!(
        seen,
        names.map(|(name, is_sensitive)| (name.to_string(), is_sensitive))
    );
    assert_table(&decoder.table, 0, "");
}

const REQUESTS: [&str; 3] = [
    ":method: GET\n:scheme: http\n:path: /\n:authority: www.example.com",
    ":method: GET\n:scheme: http\n:path: /\n:authority: www.example.com\ncache-control: no-cache",
    ":method: GET\n:scheme: https\n:path: /index.html\n:authority: www.example.com\ncustom-key: custom-value",
];

fn requests<'a>(blocks: [&'a str; 3]) -> [Example<'a>; 3] {
    [
        (blocks[0], REQUESTS[0], 57, ":authority: www.example.com"),
        (
            blocks[1],
            REQUESTS[1],
            110,
            "cache-control: no-cache\n:authority: www.example.com",
        ),
        (
            blocks[2],
            REQUESTS[2],
            164,
            "custom-key: custom-value\ncache-control: no-cache\n:authority: www.example.com",
        ),
    ]
    .map(|(block, fields, table_size, table)| Example {
        block,
        fields,
        table_size,
        table,
    })
}

/// RFC 7541 C.3.
#[test]
fn requests_in_plain() {
    decode_all(
        TABLE_SIZE_INITIAL,
        &requests([
            "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
            "8286 84be 5808 6e6f 2d63 6163 6865",
            "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
        ]),
    );
}

/// RFC 7541 C.4.
#[test]
fn requests_with_huffman() {
    let examples = requests([
        "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
        "8286 84be 5886 a8eb 1064 9cbf",
        "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
    ]);
    decode_all(TABLE_SIZE_INITIAL, &examples);
    encode_all(TABLE_SIZE_INITIAL, &examples);
}

const RESPONSES: [&str; 3] = [
    ":status: 302
     cache-control: private
     date: Mon, 21 Oct 2013 20:13:21 GMT
     location: https://www.example.com",
    ":status: 307
     cache-control: private
     date: Mon, 21 Oct 2013 20:13:21 GMT
     location: https://www.example.com",
    ":status: 200
     cache-control: private
     date: Mon, 21 Oct 2013 20:13:22 GMT
     location: https://www.example.com
     content-encoding: gzip
     set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1",
];

/// The table is one of 256 bytes: entries are evicted.
fn responses<'a>(blocks: [&'a str; 3]) -> [Example<'a>; 3] {
    [
        (
            blocks[0],
            RESPONSES[0],
            222,
            "location: https://www.example.com
             date: Mon, 21 Oct 2013 20:13:21 GMT
             cache-control: private
             :status: 302",
        ),
        (
            blocks[1],
            RESPONSES[1],
            222,
            ":status: 307
             location: https://www.example.com
             date: Mon, 21 Oct 2013 20:13:21 GMT
             cache-control: private",
        ),
        (
            blocks[2],
            RESPONSES[2],
            215,
            "set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1
             content-encoding: gzip
             date: Mon, 21 Oct 2013 20:13:22 GMT",
        ),
    ]
    .map(|(block, fields, table_size, table)| Example {
        block,
        fields,
        table_size,
        table,
    })
}

/// RFC 7541 C.5.
#[test]
fn responses_in_plain() {
    decode_all(
        256,
        &responses([
            "4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 \
             3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
            "4803 3330 37c1 c0bf",
            "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 677a 6970 \
             7738 666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 553b 206d 6178 2d61 \
             6765 3d33 3630 303b 2076 6572 7369 6f6e 3d31",
        ]),
    );
}

const RESPONSE_FIRST: &str = "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 \
    2d1b ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3";
const RESPONSE_THIRD: &str = "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab \
    77ad 94e7 821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 \
    3d50 07";

/// RFC 7541 C.6.
#[test]
fn responses_with_huffman() {
    decode_all(
        256,
        &responses([RESPONSE_FIRST, "4883 640e ffc1 c0bf", RESPONSE_THIRD]),
    );
    // "307" takes three bytes either way, and is easier read as it is.
    encode_all(
        256,
        &responses([RESPONSE_FIRST, "4803 3330 37c1 c0bf", RESPONSE_THIRD]),
    );
}

/// What happens on a connection, in order.
#[derive(Clone, Debug)]
enum Step {
    Block(Vec<(Vec<u8>, Vec<u8>, Indexing)>),
    /// The peer's settings, as far as both sides know by then.
    TableSize(u32),
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    let known = (1..=static_table::LEN).prop_map(|index| {
        let (name, _) = static_table::entry(index).expect("within");
        name.to_vec()
    });
    let few = (0..12_u8).prop_map(|number| format!("x-name-{number}").into_bytes());
    prop_oneof![4 => known, 6 => few, 1 => prop::collection::vec(any::<u8>(), 0..300)]
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    let known = (1..=static_table::LEN).prop_map(|index| {
        let (_, value) = static_table::entry(index).expect("within");
        value.to_vec()
    });
    let few = (0..6_usize).prop_map(|number| b"a value, of some length; ".repeat(number));
    prop_oneof![4 => few, 2 => known, 1 => prop::collection::vec(any::<u8>(), 0..3000)]
}

fn step() -> impl Strategy<Value = Step> {
    let indexing = prop_oneof![
        4 => Just(Indexing::Auto),
        4 => Just(Indexing::Incremental),
        1 => Just(Indexing::Without),
        1 => Just(Indexing::Never),
    ];
    let table_size = prop_oneof![
        Just(0),
        1..64_u32,
        64..1000_u32,
        Just(4096),
        Just(4097),
        any::<u32>()
    ];
    prop_oneof![
        4 => prop::collection::vec((name(), value(), indexing), 0..20).prop_map(Step::Block),
        1 => table_size.prop_map(Step::TableSize),
    ]
}

proptest! {
    /// Fields come out as they went in, both tables stay the same, and every entry is found again.
    #[test]
    fn round_trip(size_max in prop_oneof![Just(4096), 0..5000_u32], steps in prop::collection::vec(step(), 1..40)) {
        let mut encoder = Encoder::new(size_max);
        let mut decoder = Decoder::new(TABLE_SIZE_INITIAL);
        for step in steps {
            let fields = match step {
                Step::Block(fields) => fields,
                Step::TableSize(size) => {
                    encoder.set_peer_table_size(size);
                    decoder.set_table_size_max(size);
                    continue;
                }
            };
            let mut block = Vec::new();
            encoder.encode(fields.iter().map(|(name, value, indexing)| (&name[..], &value[..], *indexing)), &mut block);
            let mut seen = Vec::new();
            let result = decoder.decode(&block, |field| -> Result<(), ()> {
                seen.push((field.name.to_vec(), field.value.to_vec(), field.is_sensitive));
                Ok(())
            });
            prop_assert_eq!(result, Ok(()));
            prop_assert_eq!(seen.len(), fields.len());
            for ((name, value, is_sensitive), (sent_name, sent_value, indexing)) in seen.iter().zip(&fields) {
                prop_assert_eq!((name, value), (sent_name, sent_value));
                prop_assert!(*indexing != Indexing::Never || *is_sensitive);
                prop_assert!(*indexing == Indexing::Never || *indexing == Indexing::Auto || !is_sensitive);
            }
            prop_assert_eq!(listed(encoder.table.table()), listed(&decoder.table));
            prop_assert_eq!(encoder.table.size_max(), decoder.table.size_max());
            prop_assert!(encoder.table.size_max() <= size_max as usize);
            for (place, (name, value)) in listed(encoder.table.table()).iter().enumerate() {
                let of_name = Hash::of_name(name);
                let of_field = Hash::of_field(of_name, value);
                prop_assert_eq!(encoder.table.find_field(of_field, name, value), Some(62 + place as u32));
                prop_assert!(encoder.table.find_name(of_name, name).is_some_and(|index| index <= 62 + place as u32));
            }
        }
    }
}

/// Numbers of entries go round after 2^32.
#[test]
fn numbers_go_round() {
    let (mut encoder, mut decoder) = (Encoder::new(4096), Decoder::new(4096));
    encoder.table.set_inserted(u32::MAX - 20);
    for number in 0..200 {
        let name = format!("x-{}", number % 50);
        let (fields, mut block) = (
            [(name.as_bytes(), &b"value"[..], Indexing::Auto)],
            Vec::new(),
        );
        encoder.encode(fields, &mut block);
        assert_eq!(decoded(&mut decoder, &block), [(name, "value".to_string())]);
        assert_eq!(block.len() == 1, number >= 50, "{number}");
    }
}
