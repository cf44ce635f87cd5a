//! Whatever bytes stand in an index: they are refused, or are read, written back the same, and harm nobody.
//!
//! Input: a superblock; or key and row of a block record; or rows for all tables, each with a byte for its table, the
//! lengths of key and row, and their bytes; or units of a journal; or changes that an entry of one says.

use std::io;

use hioload_blocks::{
    CheckEvent, Disk, FILE_SIZE_MAX, HASH_SIZE, Hash, Index, IndexError, MACRO, MemoryIndex,
    MetaKey, RECORD_SIZE_MAX, Record, Superblock, Table, UNIT, check, recover,
};

/// Where a record keeps the sum over itself.
const RECORD_SUM: std::ops::Range<usize> = 12..16;

/// Checks one input; panics when something is wrong.
pub(crate) fn run(data: &[u8]) {
    if let Ok(superblock) = Superblock::decode(data) {
        let (format, encoded) = (8..12, superblock.encode());
        let mut expected = encoded;
        expected[format.clone()].copy_from_slice(&data[format]);
        assert_eq!(expected[..], *data);
        assert_eq!(Superblock::decode(&encoded), Ok(superblock));
    }
    if let Some((key, row)) = data.split_first_chunk::<HASH_SIZE>() {
        let hash = Hash::from_bytes(*key);
        check_record(&hash, row);
        check_record(&hash, &with_sum(&hash, row));
    }
    check_index(data);
    check_journal(data.to_vec());
    check_journal(entry(data));
}

/// A data file that is a journal and nothing else.
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

/// One entry, the first, that says these changes.
fn entry(changes: &[u8]) -> Vec<u8> {
    let pieces: Vec<&[u8]> = changes.chunks(UNIT as usize - 24).collect();
    let mut units = Vec::new();
    for (part, piece) in pieces.iter().enumerate() {
        let mut unit = vec![0; UNIT as usize];
        unit[..4].copy_from_slice(b"HIOJ");
        unit[8] = 1;
        unit[16..18].copy_from_slice(&(part as u16).to_le_bytes());
        unit[18..20].copy_from_slice(&(pieces.len() as u16).to_le_bytes());
        unit[20..22].copy_from_slice(&(piece.len() as u16).to_le_bytes());
        unit[24..][..piece.len()].copy_from_slice(piece);
        let sum = crc32fast::hash(&unit[8..]);
        unit[4..8].copy_from_slice(&sum.to_le_bytes());
        units.extend(unit);
    }
    units
}

/// It is applied, or refused with a reason.
fn check_journal(mut units: Vec<u8>) {
    const JOURNAL: u8 = 2;
    units.resize(MACRO as usize, 0);
    let mut index = MemoryIndex::new();
    let mut state = [0; 24];
    state[4] = 3;
    let mut crc = crc32fast::Hasher::new();
    crc.update(&[JOURNAL, 1, 0, 0, 0]);
    crc.update(&state);
    let mut row = vec![1, 0, 0, 0];
    row.extend(crc.finalize().to_le_bytes());
    row.extend(state);
    index.plant(Table::Meta, &[JOURNAL], &row);
    let mut disk = Bytes(units);
    match recover(&mut index, &mut disk) {
        Ok(_) => {
            let again = recover(&mut index, &mut disk).expect("what is applied is sound");
            assert_eq!(again.entries, 0);
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
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
