//! The offline check finds each inconsistency that is planted, says where, and finds nothing in a good store.

use hioload_blocks::{
    Block, CheckEvent, CheckReport, Class, Finding, Flags, Hash, Index, IndexError, MACRO,
    MemoryIndex, MetaKey, OVERLAPS_NAMED_MAX, Record, StoreId, Sums, Superblock, Table, check,
};

const SIZE: u64 = 2 * MACRO;

fn hash(n: u64) -> Hash {
    Hash::of(&n.to_le_bytes())
}

fn record(unit: u32, class: usize) -> Record {
    let class = Class::ALL[class];
    Record {
        block: Block::new(unit, class).expect("aligned"),
        length: class.size(),
        created: 0,
        flags: Flags::NONE,
        sums: Sums::of(&vec![0; class.size() as usize]),
    }
}

/// Blocks 0, 1, 2, … one after the other, each of 8 KiB, and a reference of block 0.
fn store(count: u32) -> MemoryIndex {
    let mut index = MemoryIndex::new();
    let superblock = Superblock {
        id: StoreId([7; 16]),
        created: 0,
    };
    index
        .put_meta(MetaKey::Superblock, &superblock.encode())
        .expect("room");
    for n in 0..count {
        index
            .put_block(&hash(u64::from(n)), &record(2 * n, 1))
            .expect("room");
    }
    index
        .put_reference(&hash(0), b"name", b"value")
        .expect("room");
    index.commit(true).expect("commits");
    index
}

fn run(index: &mut MemoryIndex) -> (CheckReport, Vec<Finding>) {
    let mut findings = Vec::new();
    let report = check(index, SIZE, &mut |event| {
        if let CheckEvent::Finding(finding) = event {
            assert!(!finding.to_string().is_empty() && !finding.remedy().is_empty());
            findings.push(finding.clone());
        }
    });
    let report = report.expect("readable");
    assert_eq!(report.findings, findings.len() as u64);
    (report, findings)
}

#[test]
fn a_good_store_has_no_findings() {
    let mut index = store(10);
    let damaged = Record {
        flags: Flags::DAMAGED,
        ..record(128, 7)
    };
    index.put_block(&hash(99), &damaged).expect("room");
    let (report, findings) = run(&mut index);
    assert_eq!(findings, []);
    assert_eq!(
        (report.blocks, report.references, report.damaged),
        (11, 1, 1)
    );
    assert_eq!(report.content_bytes, 10 * 8192 + (512 << 10));
    assert_eq!(report.space.used_bytes(), report.content_bytes);
    assert_eq!(report.space.size, SIZE);
}

#[test]
fn a_missing_or_foreign_superblock_is_found() {
    let (_, findings) = run(&mut MemoryIndex::new());
    assert_eq!(findings, [Finding::Superblock(None)]);
    let mut index = store(1);
    index
        .put_meta(MetaKey::Superblock, b"something else")
        .expect("room");
    let (_, findings) = run(&mut index);
    assert!(matches!(findings[..], [Finding::Superblock(Some(_))]));
    let index = &mut store(1);
    assert!(index.damage(Table::Meta, &[0], |row| row[20] ^= 1));
    assert!(matches!(run(index).1[..], [Finding::Row(_)]));
}

#[test]
fn a_block_outside_the_file_is_found() {
    let mut index = store(1);
    // The last that fits, and the first that does not.
    index.put_block(&hash(1), &record(510, 1)).expect("room");
    index.put_block(&hash(2), &record(512, 1)).expect("room");
    let (report, findings) = run(&mut index);
    let outside = Finding::Outside {
        hash: hash(2),
        block: record(512, 1).block,
        file_size: SIZE,
    };
    assert_eq!(findings, [outside]);
    assert_eq!(report.space.used_bytes(), 2 * 8192);
}

#[test]
fn each_overlap_is_found_with_whom() {
    let mut index = store(4);
    // The same place, a part of one, and around two.
    for (n, record) in [(10, record(0, 1)), (11, record(3, 0)), (12, record(4, 2))] {
        index.put_block(&hash(n), &record).expect("room");
    }
    let (_, findings) = run(&mut index);
    let mut pairs: Vec<(Hash, Hash)> = findings
        .iter()
        .map(|finding| match finding {
            Finding::Overlap {
                hash,
                block,
                other: Some((other, at)),
            } => {
                assert!(block.offset() < at.end() && at.offset() < block.end());
                (*hash.min(other), *hash.max(other))
            }
            other => panic!("{other}"),
        })
        .collect();
    pairs.sort();
    let pair = |a, b| (hash(a).min(hash(b)), hash(a).max(hash(b)));
    let mut expected = vec![pair(0, 10), pair(1, 11), pair(2, 12), pair(3, 12)];
    expected.sort();
    assert_eq!(pairs, expected);
}

#[test]
fn of_three_in_one_place_two_overlap_the_first() {
    let mut index = store(1);
    index.put_block(&hash(10), &record(0, 1)).expect("room");
    index.put_block(&hash(11), &record(0, 1)).expect("room");
    let (_, findings) = run(&mut index);
    let first = (0..12)
        .map(hash)
        .filter(|hash| index.block(hash) != Ok(None))
        .min();
    let is_with_first = |finding: &Finding| match finding {
        Finding::Overlap { other, .. } => other.map(|(other, _)| other) == first,
        _ => false,
    };
    assert_eq!(findings.len(), 2);
    assert!(findings.iter().all(is_with_first), "{findings:?}");
}

#[test]
fn the_journal_has_a_place_of_its_own() {
    let journal = |unit: u32, class: u8| {
        let mut bytes = [0; 24];
        bytes[..4].copy_from_slice(&unit.to_le_bytes());
        bytes[4] = class;
        bytes
    };
    let mut index = store(2);
    index
        .put_meta(MetaKey::Journal, &journal(8, 3))
        .expect("room");
    let (report, findings) = run(&mut index);
    assert_eq!(findings, []);
    assert_eq!(report.space.used_bytes(), 2 * 8192 + 32_768);
    index.put_block(&hash(10), &record(10, 1)).expect("room");
    let (_, findings) = run(&mut index);
    let in_journal = Finding::InJournal {
        hash: hash(10),
        block: record(10, 1).block,
    };
    assert_eq!(findings, [in_journal]);
    // Who overlaps whom is told as if there were no block in the journal.
    let mut hashes = [20, 21, 22].map(hash);
    hashes.sort();
    let mut index = store(1);
    index
        .put_meta(MetaKey::Journal, &journal(64, 3))
        .expect("room");
    let blocks = [record(64, 5), record(80, 1), record(80, 1)];
    for (hash, record) in hashes.iter().zip(&blocks) {
        index.put_block(hash, record).expect("room");
    }
    let (_, findings) = run(&mut index);
    let expected = [
        Finding::InJournal {
            hash: hashes[0],
            block: blocks[0].block,
        },
        Finding::Overlap {
            hash: hashes[2],
            block: blocks[2].block,
            other: Some((hashes[1], blocks[1].block)),
        },
    ];
    assert_eq!(findings, expected);
    let mut index = store(2);
    for row in [&journal((SIZE / 4096) as u32, 3)[..], &[0; 3]] {
        index.put_meta(MetaKey::Journal, row).expect("room");
        let (_, findings) = run(&mut index);
        assert!(matches!(findings[..], [Finding::Row(_)]), "{findings:?}");
    }
}

#[test]
fn overlaps_without_end_are_found_but_not_named() {
    let mut index = MemoryIndex::new();
    let count = OVERLAPS_NAMED_MAX as u64 + 3;
    // All in one place: their pairs are fifty million.
    for n in 0..count {
        index.put_block(&hash(n), &record(0, 0)).expect("room");
    }
    let (mut named, mut unnamed) = (0u64, 0u64);
    let stopped = check(&mut index, SIZE, &mut |event| {
        if let CheckEvent::Finding(Finding::Overlap { other, .. }) = event {
            *(if other.is_some() {
                &mut named
            } else {
                &mut unnamed
            }) += 1;
        }
    });
    assert!(stopped.is_ok());
    assert_eq!((named, unnamed), (OVERLAPS_NAMED_MAX as u64, 2));
}

#[test]
fn damaged_rows_are_found_and_the_rest_is_checked() {
    let mut index = store(5);
    assert!(index.damage(Table::Blocks, hash(2).as_bytes(), |row| row[4] ^= 8));
    index.plant(Table::Blocks, b"no hash", b"no record");
    index.put_block(&hash(9), &record(512, 1)).expect("room");
    let (report, findings) = run(&mut index);
    assert_eq!(report.blocks, 7);
    let corrupt = |finding: &&Finding| matches!(finding, Finding::Row(IndexError::Corrupt { .. }));
    assert_eq!(findings.iter().filter(corrupt).count(), 2);
    assert_eq!(findings.len(), 3);
    assert!(
        findings
            .iter()
            .any(|finding| finding.to_string().contains(&hash(2).to_string()))
    );
}

#[test]
fn references_to_no_block_are_found() {
    let mut index = store(2);
    for name in [&b"a"[..], b"b\n"] {
        index.put_reference(&hash(77), name, b"").expect("room");
    }
    let (report, findings) = run(&mut index);
    assert_eq!(report.references, 3);
    let orphan = |name: &[u8]| Finding::Orphan {
        hash: hash(77),
        name: name.to_vec(),
    };
    assert_eq!(findings, [orphan(b"a"), orphan(b"b\n")]);
    assert!(
        findings[1].to_string().contains("b\\n"),
        "a name is data, not text"
    );
}

#[test]
fn a_reference_to_a_damaged_record_is_no_orphan() {
    let mut index = store(1);
    assert!(index.damage(Table::Blocks, hash(0).as_bytes(), |row| row[8] ^= 1));
    let (_, findings) = run(&mut index);
    assert!(matches!(findings[..], [Finding::Row(_)]), "{findings:?}");
}

#[test]
fn many_damaged_references_end() {
    let mut index = store(1);
    for n in 0..10_000u32 {
        index.plant(Table::References, &n.to_be_bytes(), b"no row");
    }
    let (report, findings) = run(&mut index);
    assert_eq!(report.references, 10_001);
    assert_eq!(findings.len(), 10_000);
}

#[test]
fn a_long_check_shows_that_it_lives() {
    let mut index = MemoryIndex::new();
    for n in 0..5000 {
        index.put_reference(&hash(n), b"name", b"").expect("room");
    }
    let mut progress = Vec::new();
    check(&mut index, SIZE, &mut |event| {
        if let CheckEvent::Progress { rows } = event {
            progress.push(rows);
        }
    })
    .expect("readable");
    assert_eq!(progress, [4096]);
}
