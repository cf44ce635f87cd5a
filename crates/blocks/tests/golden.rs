//! The formats: bytes written down once, and a store made once, that every later version has to read.
//!
//! `tests/data/rows-1.txt` has rows as they are in the tables, `tests/data/store-1` the files of a store, compressed,
//! `tests/data/journal-2.txt` entries of a journal.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use hioload_blocks::{
    Block, CheckEvent, Class, Controller, ControllerConfig, DATA_FILE, Disk, FileOptions, Flags,
    Hash, INDEX_FILE, Index, LOCK_FILE, MACRO, MdbxOptions, MemoryIndex, MetaKey, RECORD_FORMAT,
    Record, STORE_FORMAT, Store, StoreId, StoreOptions, Sums, Superblock, Table, check, recover,
};

const SUPERBLOCK: Superblock = Superblock {
    id: StoreId(*b"the first format"),
    created: 1_700_000_000_000,
};

const OPTIONS: StoreOptions = StoreOptions {
    creates: false,
    index: MdbxOptions {
        map_size_max: 1 << 20,
        growth_step: 64 << 10,
        reserve_size: 64 << 10,
        readers_max: 8,
    },
    file: FileOptions {
        is_direct: false,
        writes_zeros: false,
    },
    gives_up_journal: false,
};

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data")
}

/// Contents of the store, and whether each was found damaged. Unit, class and time follow from their order.
fn contents() -> Vec<(Vec<u8>, bool)> {
    let bytes = |length: usize| (0..length).map(|n| (n % 251) as u8).collect();
    vec![
        (b"a".to_vec(), false),
        (bytes(4096), false),
        (bytes(4097), true),
        (bytes(20_000), false),
        (bytes(512 << 10), false),
    ]
}

fn records() -> Vec<(Hash, Record)> {
    let places = [(0, 0), (1, 0), (2, 1), (8, 3), (128, 7)];
    let rows = contents().into_iter().zip(places).zip(1..);
    rows.map(|(((content, is_damaged), (unit, class)), n)| {
        let record = Record {
            block: Block::new(unit, Class::ALL[class]).expect("aligned"),
            length: content.len() as u32,
            created: SUPERBLOCK.created + n,
            flags: if is_damaged {
                Flags::DAMAGED
            } else {
                Flags::NONE
            },
            sums: Sums::of(&content),
        };
        (Hash::of(&content), record)
    })
    .collect()
}

fn from_hex(text: &str) -> Vec<u8> {
    let digit = |byte: u8| (byte as char).to_digit(16).expect("a digit") as u8;
    text.as_bytes()
        .chunks(2)
        .map(|pair| digit(pair[0]) << 4 | digit(pair[1]))
        .collect()
}

/// The rows of `rows-1.txt`: table, key, value.
fn rows() -> Vec<(Table, Vec<u8>, Vec<u8>)> {
    let text = fs::read_to_string(data().join("rows-1.txt")).expect("part of the repository");
    let lines = text
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty());
    lines
        .map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [table, key, row] = words[..] else {
                panic!("{line}");
            };
            let table = match table {
                "blocks" => Table::Blocks,
                "refs" => Table::References,
                "meta" => Table::Meta,
                other => panic!("{other}"),
            };
            (table, from_hex(key), from_hex(row))
        })
        .collect()
}

#[test]
fn the_format_is_the_second() {
    // Another number needs another file here, and code that still reads this one.
    assert_eq!((STORE_FORMAT, RECORD_FORMAT), (2, 1));
}

#[test]
fn rows_of_the_first_format_are_read() {
    let mut index = MemoryIndex::new();
    for (table, key, row) in rows() {
        index.plant(table, &key, &row);
    }
    expect_all(&mut index);
}

#[test]
fn rows_are_written_as_they_were() {
    let mut row = Vec::new();
    for (table, key, written) in rows() {
        if table == Table::Blocks {
            let hash = Hash::from_hex(hex(&key)).expect("a hash");
            let record = Record::decode(&hash, &written).expect("good");
            record.encode(&hash, &mut row);
            assert_eq!(hex(&row), hex(&written));
        }
    }
}

#[test]
fn a_store_of_the_first_format_opens() {
    let place = tempfile::tempdir().expect("a place for files");
    for name in [DATA_FILE, INDEX_FILE] {
        let packed = File::open(data().join("store-1").join(format!("{name}.gz")))
            .expect("part of the repository");
        let mut bytes = Vec::new();
        GzDecoder::new(packed)
            .read_to_end(&mut bytes)
            .expect("unpacks");
        fs::write(place.path().join(name), bytes).expect("writes");
    }
    fs::write(place.path().join(LOCK_FILE), "").expect("writes");
    let store = Store::open(place.path(), OPTIONS).expect("opens");
    assert!(!store.is_new);
    assert_eq!(store.superblock, SUPERBLOCK);

    let (file, size) = (
        store.disk.handle().expect("a descriptor"),
        store.disk.size(),
    );
    let mut index = store.index.writer();
    expect_all(&mut index);
    for (hash, record) in records() {
        let mut content = vec![0; record.length as usize];
        file.read_exact_at(&mut content, record.block.offset())
            .expect("reads");
        assert_eq!(record.sums.check(0, &content), Ok(()));
        assert_eq!(Hash::of(&content), hash);
    }
    let report = check(&mut index, size, &mut |event| {
        if let CheckEvent::Finding(finding) = event {
            panic!("{finding}");
        }
    });
    assert_eq!(report.expect("readable").blocks, 5);
    // With a journal it becomes one of the second format.
    assert_eq!(format(&mut index), 1);
    let config = ControllerConfig {
        size_initial: 0,
        ..ControllerConfig::default()
    };
    drop(Controller::new(Box::new(index), Box::new(store.disk), config, 1).expect("a sound store"));
    drop((file, store.lock));
    let store = Store::open(place.path(), OPTIONS).expect("opens");
    assert_eq!(store.superblock, SUPERBLOCK);
    let size = store.disk.size();
    let mut index = store.index.writer();
    assert_eq!(format(&mut index), 2);
    expect_all(&mut index);
    let report = check(&mut index, size, &mut |event| {
        if let CheckEvent::Finding(finding) = event {
            panic!("{finding}");
        }
    });
    assert_eq!(report.expect("readable").blocks, 5);
    // And it can be written to.
    index
        .put_reference(&Hash::of(b"a"), b"new", b"")
        .expect("room");
    index.commit(true).expect("commits");
}

fn format(index: &mut dyn Index) -> u8 {
    let superblock = index.meta(MetaKey::Superblock).expect("readable");
    superblock.expect("there is one")[8]
}

/// A data file in memory.
struct Bytes(Vec<u8>);

impl Disk for Bytes {
    fn size(&self) -> u64 {
        self.0.len() as u64
    }

    fn grow(&mut self, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::StorageFull.into())
    }

    fn read(&mut self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        into.copy_from_slice(&self.0[offset as usize..][..into.len()]);
        Ok(())
    }

    fn write(&mut self, offset: u64, units: &[u8]) -> io::Result<()> {
        self.0[offset as usize..][..units.len()].copy_from_slice(units);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn entries_of_the_first_journal_are_applied() {
    const UNIT: usize = 4096;
    let mut index = MemoryIndex::new();
    let mut disk = Bytes(vec![0; MACRO as usize]);
    let mut after = Vec::new();
    let text = fs::read_to_string(data().join("journal-2.txt")).expect("part of the repository");
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        match line.split_whitespace().collect::<Vec<_>>()[..] {
            ["meta", key, row] => index.plant(Table::Meta, &from_hex(key), &from_hex(row)),
            ["unit", at, bytes] => {
                let at: usize = at.parse().expect("a number");
                let bytes = from_hex(bytes);
                disk.0[(8 + at) * UNIT..][..bytes.len()].copy_from_slice(&bytes);
            }
            ["after", _, row] => after = from_hex(row),
            [] => {}
            _ => panic!("{line}"),
        }
    }
    let records = records();
    let [(a, record_a), (b, record_b), ..] = &records[..] else {
        panic!("five");
    };
    // The content of the last entry is looked at; that of the one before was synced.
    disk.0[UNIT..2 * UNIT].copy_from_slice(&contents()[1].0);
    assert_eq!(recover(&mut index, &mut disk).expect("sound").entries, 2);
    assert_eq!(index.block(a), Ok(Some(record_a.clone())));
    assert_eq!(index.block(b), Ok(Some(record_b.clone())));
    assert_eq!(index.reference_count(a, 9), Ok(0), "kept, then forgotten");
    assert_eq!(
        index.meta(MetaKey::Journal).expect("readable").as_deref(),
        Some(&after[8..])
    );
    assert_eq!(recover(&mut index, &mut disk).expect("sound").entries, 0);
}

fn expect_all(index: &mut dyn Index) {
    for (hash, record) in records() {
        assert_eq!(index.block(&hash), Ok(Some(record)));
    }
    let reference = index.reference(&Hash::of(b"a"), b"lock");
    assert_eq!(reference, Ok(Some(b"held since the first format".to_vec())));
    assert_eq!(index.reference_count(&Hash::of(b"a"), 9), Ok(1));
    let superblock = index.meta(MetaKey::Superblock).expect("readable");
    let superblock = superblock.expect("there is one");
    assert_eq!(Superblock::decode(&superblock), Ok(SUPERBLOCK));
    let count = index.scan(&mut |_, _| Ok(()));
    assert_eq!(count, Ok(records().len() as u64));
}

#[test]
#[ignore = "makes tests/data/store-1: to be run once for a format"]
fn make_the_store() {
    let place = tempfile::tempdir().expect("a place for files");
    let options = StoreOptions {
        creates: true,
        ..OPTIONS
    };
    let mut store = Store::open(place.path(), options).expect("opens");
    store.disk.grow(MACRO).expect("room");
    let file = store.disk.handle().expect("a descriptor");
    let mut index = store.index.writer();
    for ((content, _), (hash, record)) in contents().iter().zip(records()) {
        file.write_all_at(content, record.block.offset())
            .expect("writes");
        index.put_block(&hash, &record).expect("room");
    }
    index
        .put_meta(MetaKey::Superblock, &SUPERBLOCK.encode())
        .expect("room");
    index
        .put_reference(&Hash::of(b"a"), b"lock", b"held since the first format")
        .expect("room");
    index.commit(true).expect("commits");
    drop((index, file, store.disk, store.lock));
    fs::create_dir_all(data().join("store-1")).expect("a place in the repository");
    for name in [DATA_FILE, INDEX_FILE] {
        let packed =
            File::create(data().join("store-1").join(format!("{name}.gz"))).expect("a file");
        let mut packer = GzEncoder::new(packed, Compression::best());
        let bytes = fs::read(place.path().join(name)).expect("reads");
        println!("{name}: {} bytes", bytes.len());
        packer.write_all(&bytes).expect("packs");
        packer.finish().expect("packs");
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
