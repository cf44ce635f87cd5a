//! Whatever bytes stand in an index: they are refused, or are read, written back the same, and harm nobody.
//!
//! Input: a superblock; or key and row of a block record; or rows for all tables, each with a byte for its table, the
//! lengths of key and row, and their bytes.

use hioload_blocks::{
    CheckEvent, FILE_SIZE_MAX, HASH_SIZE, Hash, Index, IndexError, MACRO, MemoryIndex, MetaKey,
    RECORD_SIZE_MAX, Record, Superblock, Table, check,
};

/// Where a record keeps the sum over itself.
const RECORD_SUM: std::ops::Range<usize> = 12..16;

/// Checks one input; panics when something is wrong.
pub(crate) fn run(data: &[u8]) {
    if let Ok(superblock) = Superblock::decode(data) {
        assert_eq!(superblock.encode()[..], *data);
    }
    if let Some((key, row)) = data.split_first_chunk::<HASH_SIZE>() {
        let hash = Hash::from_bytes(*key);
        check_record(&hash, row);
        check_record(&hash, &with_sum(&hash, row));
    }
    check_index(data);
}

/// The row with the sum that belongs to it, so that what is behind the sum is reached.
fn with_sum(hash: &Hash, row: &[u8]) -> Vec<u8> {
    let mut row = row.to_vec();
    if row.len() >= RECORD_SUM.end {
        let mut crc = crc32fast::Hasher::new();
        crc.update(hash.as_bytes());
        crc.update(&row[..RECORD_SUM.start]);
        crc.update(&row[RECORD_SUM.end..]);
        row[RECORD_SUM].copy_from_slice(&crc.finalize().to_le_bytes());
    }
    row
}

fn check_record(hash: &Hash, row: &[u8]) {
    match Record::decode(hash, row) {
        Ok(record) => {
            assert!(record.is_legal());
            assert!(record.block.end() <= FILE_SIZE_MAX);
            assert!(row.len() <= RECORD_SIZE_MAX);
            let mut again = Vec::new();
            record.encode(hash, &mut again);
            assert_eq!(again, row);
        }
        Err(error) => assert!(matches!(error, IndexError::Corrupt { .. }), "{error}"),
    }
}

/// An index full of such rows can be walked, checked and emptied.
fn check_index(mut data: &[u8]) {
    let mut index = MemoryIndex::new();
    while let [table, key_size, row_size, rest @ ..] = data {
        let (key, rest) = rest.split_at(usize::from(*key_size).min(rest.len()));
        let (row, rest) = rest.split_at(usize::from(*row_size).min(rest.len()));
        match table % 4 {
            0 => index.plant(Table::Blocks, key, row),
            1 => index.plant(Table::References, key, row),
            2 => index.plant(Table::Meta, key, row),
            // One that gets as far as it can.
            _ => {
                let hash = Hash::of(key);
                index.plant(Table::Blocks, hash.as_bytes(), &with_sum(&hash, row));
            }
        }
        data = rest;
    }
    let mut hashes = Vec::new();
    let walked = index.scan_from(&Hash::MIN, u64::MAX, &mut |row| {
        if let Ok((hash, record)) = row {
            assert!(record.is_legal());
            hashes.push(*hash);
        }
        Ok(())
    });
    assert_eq!(walked, Ok(None));
    assert!(hashes.is_sorted());

    let mut findings = 0;
    let report = check(&mut index, 4 * MACRO, &mut |event| {
        if let CheckEvent::Finding(finding) = event {
            assert!(!finding.to_string().is_empty());
            findings += 1;
        }
    });
    let report = report.expect("a model can always be read");
    assert_eq!(report.findings, findings);
    assert!(report.blocks >= hashes.len() as u64);
    assert!(report.space.used_bytes() <= 4 * MACRO);

    // What a row holds never keeps it from being replaced.
    assert!(index.put_meta(MetaKey::Superblock, b"").is_ok());
    for hash in hashes {
        assert_eq!(index.delete_block(&hash), Ok(true));
    }
    assert!(index.commit(true).is_ok());
}
