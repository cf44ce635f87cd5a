//! The contract of the index, on libmdbx and on its model in memory: each alone, and both against each other.

use std::path::Path;

use hioload_base::Prng;
use hioload_blocks::{
    Block, Class, Flags, Hash, Index, IndexError, Mdbx, MdbxOptions, MemoryIndex, MetaKey,
    REFERENCE_NAME_SIZE_MAX, REFERENCE_VALUE_SIZE_MAX, Record, Sums, Table,
};

/// Small, so that the file is soon full.
const OPTIONS: MdbxOptions = MdbxOptions {
    map_size_max: 16 << 20,
    growth_step: 1 << 20,
    reserve_size: 256 << 10,
    readers_max: 8,
};

fn open(directory: &Path, options: MdbxOptions) -> Box<dyn Index> {
    let mdbx = Mdbx::open(&directory.join("index.mdbx"), options).expect("opens");
    Box::new(mdbx.writer())
}

/// Runs a test on both.
fn on_each(test: impl Fn(&mut dyn Index)) {
    test(&mut MemoryIndex::new());
    let directory = tempfile::tempdir().expect("a place for files");
    test(&mut *open(directory.path(), OPTIONS));
}

fn hash(n: u64) -> Hash {
    Hash::of(&n.to_le_bytes())
}

fn record(n: u64) -> Record {
    let class = Class::ALL[n as usize % Class::COUNT];
    let length = class.size() - n as u32 % 100;
    Record {
        block: Block::new(n as u32 * class.units(), class).expect("aligned"),
        length,
        created: n,
        flags: if n.is_multiple_of(3) {
            Flags::DAMAGED
        } else {
            Flags::NONE
        },
        sums: Sums::of(&vec![n as u8; length as usize]),
    }
}

fn blocks(index: &mut dyn Index) -> Vec<(Hash, Record)> {
    let mut blocks = Vec::new();
    let count = index.scan(&mut |hash, record| {
        blocks.push((*hash, record.clone()));
        Ok(())
    });
    assert_eq!(count, Ok(blocks.len() as u64));
    blocks
}

fn references(index: &mut dyn Index) -> Vec<(Hash, Vec<u8>, Vec<u8>)> {
    let mut references = Vec::new();
    let walked = index.scan_references(&[], u64::MAX, &mut |row| {
        let (hash, name, value) = row?;
        references.push((hash, name.to_vec(), value.to_vec()));
        Ok(())
    });
    assert_eq!(walked, Ok(None));
    references
}

#[test]
fn a_batch_is_seen_by_its_writer_and_by_readers_only_when_committed() {
    on_each(|index| {
        let mut reader = index.reader().expect("room for a reader");
        let mut read = Record::blank();
        index.put_block(&hash(1), &record(1)).expect("room");
        assert_eq!(index.block(&hash(1)), Ok(Some(record(1))));
        assert_eq!(blocks(index), [(hash(1), record(1))]);
        assert_eq!(reader.block(&hash(1), &mut read), Ok(false));
        index.commit(true).expect("commits");
        assert_eq!(reader.block(&hash(1), &mut read), Ok(true));
        assert_eq!(read, record(1));

        assert_eq!(index.delete_block(&hash(1)), Ok(true));
        assert_eq!(index.delete_block(&hash(1)), Ok(false));
        assert_eq!(index.block(&hash(1)), Ok(None));
        assert_eq!(reader.block(&hash(1), &mut read), Ok(true));
        index.commit(false).expect("commits");
        assert_eq!(reader.block(&hash(1), &mut read), Ok(false));
    });
}

#[test]
fn a_rollback_leaves_nothing() {
    on_each(|index| {
        index.put_block(&hash(1), &record(1)).expect("room");
        index.commit(true).expect("commits");
        index.delete_block(&hash(1)).expect("deletes");
        index.put_block(&hash(2), &record(2)).expect("room");
        index.put_reference(&hash(2), b"name", b"").expect("room");
        index.rollback();
        assert_eq!(blocks(index), [(hash(1), record(1))]);
        assert_eq!(references(index), []);
        // Nothing to commit is no error.
        index.commit(true).expect("commits");
        index.sync().expect("syncs");
        assert_eq!(blocks(index), [(hash(1), record(1))]);
    });
}

#[test]
fn references_belong_to_their_block() {
    on_each(|index| {
        // Neighbours: the last byte of the key differs.
        let neighbour = hash(1).next().expect("not the last");
        assert_eq!(index.put_reference(&hash(1), b"b", b"1"), Ok(false));
        assert_eq!(index.put_reference(&hash(1), b"a", b""), Ok(false));
        assert_eq!(index.put_reference(&neighbour, b"a", b"other"), Ok(false));
        assert_eq!(index.put_reference(&hash(1), b"b", b"2"), Ok(true));
        for (count_max, count) in [(0, 0), (1, 1), (2, 2), (3, 2), (u64::MAX, 2)] {
            assert_eq!(index.reference_count(&hash(1), count_max), Ok(count));
        }
        index.commit(true).expect("commits");

        let mut reader = index.reader().expect("room for a reader");
        let (mut seen, mut value) = (Vec::new(), b"before".to_vec());
        let count = reader.references(&hash(1), &mut |name, value| {
            seen.push((name.to_vec(), value.to_vec()));
        });
        assert_eq!(count, Ok(2));
        assert_eq!(
            seen,
            [
                (b"a".to_vec(), b"".to_vec()),
                (b"b".to_vec(), b"2".to_vec())
            ]
        );
        assert_eq!(reader.reference(&hash(1), b"b", &mut value), Ok(true));
        assert_eq!(value, b"2");
        assert_eq!(reader.reference(&hash(1), b"c", &mut value), Ok(false));

        assert_eq!(index.delete_reference(&hash(1), b"a"), Ok(true));
        assert_eq!(index.delete_reference(&hash(1), b"a"), Ok(false));
        assert_eq!(index.reference_count(&hash(1), 9), Ok(1));
        assert_eq!(index.reference_count(&neighbour, 9), Ok(1));
        assert_eq!(index.reference_count(&hash(3), 9), Ok(0));
    });
}

#[test]
fn references_of_a_block_are_forgotten_together() {
    on_each(|index| {
        let neighbour = hash(1).next().expect("not the last");
        for (hash, name) in [(hash(1), b"a"), (neighbour, b"a"), (hash(1), b"b")] {
            assert_eq!(index.put_reference(&hash, name, b""), Ok(false));
        }
        index.commit(true).expect("commits");
        assert_eq!(index.put_reference(&hash(1), b"c", b""), Ok(false));
        assert_eq!(index.delete_references(&hash(1)), Ok(3));
        assert_eq!(index.delete_references(&hash(1)), Ok(0));
        assert_eq!(index.reference_count(&hash(1), 9), Ok(0));
        assert_eq!(index.reference_count(&neighbour, 9), Ok(1));
    });
}

#[test]
fn names_and_values_have_limits() {
    on_each(|index| {
        let bytes = vec![0xff; REFERENCE_VALUE_SIZE_MAX + 1];
        for (name_size, value_size, is_legal) in [
            (0, 0, false),
            (1, 0, true),
            (REFERENCE_NAME_SIZE_MAX, REFERENCE_VALUE_SIZE_MAX, true),
            (REFERENCE_NAME_SIZE_MAX + 1, 0, false),
            (1, REFERENCE_VALUE_SIZE_MAX + 1, false),
        ] {
            let (name, value) = (&bytes[..name_size], &bytes[..value_size]);
            let put = index.put_reference(&hash(1), name, value);
            assert_eq!(put.is_ok(), is_legal, "{name_size} {value_size}");
            if !is_legal {
                assert!(matches!(put, Err(IndexError::Limit(_))));
            }
        }
        for name in [&bytes[..0], &bytes[..REFERENCE_NAME_SIZE_MAX + 1]] {
            assert!(matches!(
                index.reference(&hash(1), name),
                Err(IndexError::Limit(_))
            ));
            assert!(matches!(
                index.delete_reference(&hash(1), name),
                Err(IndexError::Limit(_))
            ));
        }
        assert!(matches!(
            index.put_meta(MetaKey::Superblock, &bytes),
            Err(IndexError::Limit(_))
        ));
        // What was refused is not in the batch, and the batch is whole.
        index.commit(true).expect("commits");
        assert_eq!(references(index).len(), 2);
    });
}

#[test]
fn a_record_that_could_not_be_read_again_is_refused() {
    on_each(|index| {
        let wrong = [
            Record {
                length: 0,
                ..record(0)
            },
            Record {
                length: 4097,
                ..record(0)
            },
            Record {
                sums: Sums::of(&[0; 4097]),
                ..record(0)
            },
            Record {
                length: 4096,
                ..record(9)
            },
        ];
        for record in wrong {
            assert!(
                matches!(
                    index.put_block(&hash(1), &record),
                    Err(IndexError::Limit(_))
                ),
                "{record:?}"
            );
        }
        assert_eq!(blocks(index), []);
    });
}

#[test]
fn the_store_says_something_of_itself() {
    on_each(|index| {
        assert_eq!(index.meta(MetaKey::Superblock), Ok(None));
        index.put_meta(MetaKey::Superblock, b"one").expect("room");
        index.put_meta(MetaKey::Superblock, b"two").expect("room");
        assert_eq!(index.meta(MetaKey::Superblock), Ok(Some(b"two".to_vec())));
        index.commit(true).expect("commits");
        assert_eq!(index.meta(MetaKey::Superblock), Ok(Some(b"two".to_vec())));
    });
}

#[test]
fn a_walk_in_steps_sees_each_block_once() {
    on_each(|index| {
        for n in 0..100 {
            index.put_block(&hash(n), &record(n)).expect("room");
        }
        index.commit(true).expect("commits");
        let all = blocks(index);
        assert_eq!(all.len(), 100);
        assert!(all.is_sorted_by(|a, b| a.0 < b.0));
        let mut reader = index.reader().expect("room for a reader");
        for step in [1, 7, 99, 100, 101] {
            let (mut seen, mut seen_by_reader) = (Vec::new(), Vec::new());
            let (mut from, mut from_by_reader) = (Some(Hash::MIN), Some(Hash::MIN));
            while let Some(start) = from {
                let before = seen.len();
                let next = index.scan_from(&start, step, &mut |row| {
                    row.map(|(hash, _)| seen.push(*hash))
                });
                from = next.expect("walks");
                assert!(seen.len() - before <= step as usize);
            }
            while let Some(start) = from_by_reader {
                let next = reader.scan_from(&start, step, &mut |row| {
                    row.map(|(hash, _)| seen_by_reader.push(*hash))
                });
                from_by_reader = next.expect("walks");
            }
            assert!(seen.iter().eq(all.iter().map(|(hash, _)| hash)), "{step}");
            assert_eq!(seen, seen_by_reader);
        }
        // An error ends the walk, and is the walk's.
        let mut count = 0;
        let stopped = index.scan(&mut |_, _| {
            count += 1;
            Err(IndexError::Poisoned)
        });
        assert_eq!((stopped, count), (Err(IndexError::Poisoned), 1));
    });
}

#[test]
fn a_walk_over_references_in_steps_sees_each_once() {
    on_each(|index| {
        for n in 0..5 {
            for name in [&b"a"[..], b"a\0", b"ab", &[0xff; REFERENCE_NAME_SIZE_MAX]] {
                index.put_reference(&hash(n), name, b"value").expect("room");
            }
        }
        let all = references(index);
        assert_eq!(all.len(), 20);
        for step in [1, 3, 19, 20, 21] {
            let mut seen = Vec::new();
            let mut place = Some(Vec::new());
            while let Some(from) = place {
                let next = index.scan_references(&from, step, &mut |row| {
                    let (hash, name, value) = row?;
                    seen.push((hash, name.to_vec(), value.to_vec()));
                    Ok(())
                });
                place = next.expect("walks");
            }
            assert_eq!(seen, all, "{step}");
        }
        let no_place = index.scan_references(&[0; 2023], 1, &mut |_| Ok(()));
        assert!(matches!(no_place, Err(IndexError::Limit(_))));
        assert_eq!(
            index.scan_references(&[0xff; 2022], 1, &mut |_| Ok(())),
            Ok(None)
        );
    });
}

/// One block, and a page of all, as a reader finds them.
fn seen_by_readers(
    index: &mut dyn Index,
    which: &Hash,
    from: &Hash,
    count_max: u64,
) -> (Option<Record>, Vec<(Hash, Record)>, Option<Hash>) {
    let mut reader = index.reader().expect("room for a reader");
    let mut record = Record::blank();
    let is_there = reader.block(which, &mut record).expect("sound rows");
    let mut page = Vec::new();
    let next = reader.scan_from(from, count_max, &mut |row| {
        let (hash, record) = row?;
        page.push((*hash, record.clone()));
        Ok(())
    });
    (is_there.then_some(record), page, next.expect("sound rows"))
}

#[test]
fn both_do_the_same() {
    for seed in 0..8 {
        let mut prng = Prng::new(seed);
        let directory = tempfile::tempdir().expect("a place for files");
        let (mut model, mut mdbx) = (MemoryIndex::new(), open(directory.path(), OPTIONS));
        for step in 0..2000 {
            let (n, name) = (prng.below(40), [b'a' + prng.below(4) as u8]);
            let which = hash(n);
            let value = prng.next_u64().to_le_bytes();
            match prng.below(14) {
                0..3 => {
                    let record = record(prng.below(1000));
                    assert_eq!(
                        model.put_block(&which, &record),
                        mdbx.put_block(&which, &record)
                    );
                }
                3 => assert_eq!(model.delete_block(&which), mdbx.delete_block(&which)),
                4 => assert_eq!(model.block(&which), mdbx.block(&which)),
                5 => assert_eq!(
                    model.put_reference(&which, &name, &value),
                    mdbx.put_reference(&which, &name, &value)
                ),
                6 => assert_eq!(
                    model.delete_reference(&which, &name),
                    mdbx.delete_reference(&which, &name)
                ),
                7 => assert_eq!(
                    model.reference(&which, &name),
                    mdbx.reference(&which, &name)
                ),
                8 => {
                    let count_max = prng.below(6);
                    assert_eq!(
                        model.reference_count(&which, count_max),
                        mdbx.reference_count(&which, count_max)
                    );
                }
                9 => {
                    let sync = prng.chance(1, 2);
                    assert_eq!(model.commit(sync), mdbx.commit(sync));
                }
                10 => {
                    model.rollback();
                    mdbx.rollback();
                }
                11 => assert_eq!(model.publish(), mdbx.publish()),
                12 => {
                    let from = hash(prng.below(40));
                    let count_max = prng.below(30);
                    assert_eq!(
                        seen_by_readers(&mut model, &which, &from, count_max),
                        seen_by_readers(&mut *mdbx, &which, &from, count_max),
                        "seed {seed}, step {step}"
                    );
                }
                _ => {
                    assert_eq!(
                        blocks(&mut model),
                        blocks(&mut *mdbx),
                        "seed {seed}, step {step}"
                    );
                    assert_eq!(references(&mut model), references(&mut *mdbx));
                }
            }
            if step % 500 == 499 {
                // What was not committed is gone, in both.
                model.rollback();
                mdbx.rollback();
                mdbx.sync().expect("syncs");
                drop(mdbx);
                mdbx = open(directory.path(), OPTIONS);
                assert_eq!(
                    blocks(&mut model),
                    blocks(&mut *mdbx),
                    "seed {seed}, step {step}"
                );
                assert_eq!(references(&mut model), references(&mut *mdbx));
            }
        }
    }
}

#[test]
fn a_full_index_refuses_rows_and_not_deletes() {
    let directory = tempfile::tempdir().expect("a place for files");
    let options = MdbxOptions {
        map_size_max: 2 << 20,
        ..OPTIONS
    };
    let mut index = open(directory.path(), options);
    let (mut count, mut refused_count) = (0, 0);
    while refused_count < 2 {
        match index.put_block(&hash(count), &record(7)) {
            Ok(()) => (count, refused_count) = (count + 1, 0),
            // The batch goes on without it, and what a new one has room for is less than what one change needs.
            Err(error) => {
                assert_eq!(error, IndexError::Full);
                index.commit(true).expect("commits");
                refused_count += 1;
            }
        }
        assert!(
            count < 10_000,
            "two MiB hold no ten thousand records of half a KiB"
        );
    }
    assert_eq!(blocks(&mut *index).len() as u64, count);
    for n in 0..count {
        assert_eq!(index.delete_block(&hash(n)), Ok(true));
        if n % 50 == 0 {
            index.commit(true).expect("commits");
        }
    }
    index.commit(true).expect("commits");
    // Pages that are free are room again, once no reader can hold them.
    index.put_block(&hash(1), &record(7)).expect("room");
    index.commit(true).expect("commits");
    assert_eq!(blocks(&mut *index), [(hash(1), record(7))]);
}

#[test]
fn readers_on_other_threads_see_commits() {
    let directory = tempfile::tempdir().expect("a place for files");
    let mut index = open(directory.path(), OPTIONS);
    for n in 0..50 {
        index.put_block(&hash(n), &record(n)).expect("room");
        index.commit(true).expect("commits");
        let mut reader = index.reader().expect("room for a reader");
        let seen = std::thread::spawn(move || {
            let mut read = Record::blank();
            reader.block(&hash(n), &mut read).map(|found| (found, read))
        });
        assert_eq!(seen.join().expect("no panic"), Ok((true, record(n))));
    }
}

#[test]
fn damaged_rows_are_told_and_passed_over() {
    let mut index = MemoryIndex::new();
    for n in 0..10 {
        index.put_block(&hash(n), &record(n)).expect("room");
        index
            .put_reference(&hash(n), b"name", b"value")
            .expect("room");
    }
    index.commit(true).expect("commits");
    assert!(index.damage(Table::Blocks, hash(3).as_bytes(), |row| row[9] ^= 1));
    index.plant(Table::Blocks, b"no hash", b"");
    let mut key = hash(4).as_bytes().to_vec();
    key.extend_from_slice(b"name");
    assert!(index.damage(Table::References, &key, |row| row.truncate(9)));

    let mut read = Record::blank();
    assert!(matches!(
        index.block(&hash(3)),
        Err(IndexError::Corrupt { .. })
    ));
    let mut reader = index.reader().expect("room for a reader");
    assert!(matches!(
        reader.block(&hash(3), &mut read),
        Err(IndexError::Corrupt { .. })
    ));
    assert!(matches!(
        index.scan(&mut |_, _| Ok(())),
        Err(IndexError::Corrupt { .. })
    ));
    assert!(matches!(
        index.reference(&hash(4), b"name"),
        Err(IndexError::Corrupt { .. })
    ));
    assert!(matches!(
        reader.references(&hash(4), &mut |_, _| {}),
        Err(IndexError::Corrupt { .. })
    ));

    let (mut good, mut bad) = (0, 0);
    let walked = index.scan_from(&Hash::MIN, u64::MAX, &mut |row| {
        *(if row.is_ok() { &mut good } else { &mut bad }) += 1;
        Ok(())
    });
    assert_eq!((walked, good, bad), (Ok(None), 9, 2));
    // All of them at once, in steps.
    for (count_max, count) in [(2, 2), (2, 1), (2, 0)] {
        assert_eq!(index.delete_damaged(count_max), Ok(count));
    }
    assert_eq!(index.scan(&mut |_, _| Ok(())), Ok(9));
    index.rollback();
    // A damaged row can be deleted, and put again.
    assert_eq!(index.delete_block(&hash(3)), Ok(true));
    index.put_block(&hash(3), &record(3)).expect("room");
    assert_eq!(index.block(&hash(3)), Ok(Some(record(3))));
}

#[test]
fn a_crash_keeps_what_was_synced_and_some_of_the_rest() {
    let mut prng = Prng::new(7);
    let mut index = MemoryIndex::new();
    for n in 0..6 {
        index.put_block(&hash(n), &record(n)).expect("room");
        // One row that every commit changes.
        index
            .put_reference(&hash(0), b"last", &[n as u8])
            .expect("room");
        index.commit(n == 2).expect("commits");
    }
    index.put_block(&hash(6), &record(6)).expect("room");
    assert_eq!(index.unsynced_count(), 3);
    let mut seen = [false; 8];
    for _ in 0..100 {
        let mut survivor = index.crash(&mut prng);
        let count = blocks(&mut survivor).len();
        assert!((3..=6).contains(&count), "{count}");
        // Not any of them, but the first.
        assert!(
            (0..count as u64).all(|n| survivor.block(&hash(n)).is_ok_and(|block| block.is_some()))
        );
        let last = survivor.reference(&hash(0), b"last");
        assert_eq!(last, Ok(Some(vec![count as u8 - 1])));
        assert_eq!(survivor.unsynced_count(), 0);
        seen[count] = true;
    }
    assert_eq!(seen, [false, false, false, true, true, true, true, false]);
    index.rollback();
    index.sync().expect("syncs");
    let mut survivor = index.crash(&mut prng);
    assert_eq!(blocks(&mut survivor).len(), 6);
}

#[test]
fn a_failed_commit_poisons_until_the_index_is_opened_again() {
    for fails_at_sync in [false, true] {
        let mut prng = Prng::new(8);
        let mut index = MemoryIndex::new();
        index.put_block(&hash(1), &record(1)).expect("room");
        index.commit(true).expect("commits");
        if fails_at_sync {
            index.fail_sync_after(0);
        } else {
            index.fail_commit_after(0);
        }
        index.put_block(&hash(2), &record(2)).expect("room");
        assert!(matches!(index.commit(true), Err(IndexError::System { .. })));
        assert_eq!(
            index.put_block(&hash(3), &record(3)),
            Err(IndexError::Poisoned)
        );
        assert_eq!(index.delete_block(&hash(1)), Err(IndexError::Poisoned));
        assert_eq!(index.commit(true), Err(IndexError::Poisoned));
        assert_eq!(index.sync(), Err(IndexError::Poisoned));
        // Reads go on, of what is certain.
        assert_eq!(blocks(&mut index), [(hash(1), record(1))]);
        let mut counts = [0; 3];
        for _ in 0..100 {
            let mut survivor = index.crash(&mut prng);
            counts[blocks(&mut survivor).len()] += 1;
            survivor
                .put_block(&hash(3), &record(3))
                .expect("not poisoned");
        }
        assert!(
            counts[0] == 0 && counts[1] > 0 && counts[2] > 0,
            "{counts:?}"
        );
    }
}

#[test]
fn failures_come_when_they_were_ordered() {
    let mut index = MemoryIndex::new();
    index.fail_commit_after(2);
    index.set_row_count_max(3);
    for n in 0..2 {
        index.put_block(&hash(n), &record(n)).expect("room");
        index.commit(false).expect("commits");
    }
    let full = Err(IndexError::Full);
    assert_eq!(
        index.put_block(&hash(2), &record(2)),
        full,
        "commits that are not synced take room as well"
    );
    index.sync().expect("syncs");
    index.put_block(&hash(2), &record(2)).expect("room");
    assert_eq!(index.put_block(&hash(3), &record(3)), full);
    index.refuse_commit_after(0);
    assert_eq!(index.commit(false), full);
    index.rollback();
    index.put_block(&hash(1), &record(3)).expect("no new row");
    assert_eq!(index.delete_block(&hash(0)), Ok(true));
    assert!(index.commit(false).is_err());
}

#[test]
fn what_changes_nothing_is_no_batch() {
    on_each(|index| {
        assert_eq!(index.delete_block(&hash(1)), Ok(false));
        assert_eq!(index.delete_reference(&hash(1), b"a"), Ok(false));
        assert_eq!(index.sync(), Ok(()));
        index.put_block(&hash(1), &record(1)).expect("room");
        let within = index.sync();
        assert!(matches!(within, Err(IndexError::Limit(_))), "{within:?}");
        index.commit(false).expect("commits");
        assert_eq!(index.sync(), Ok(()));
    });
}

/// An index with room for what is published to stay in memory.
fn open_ample(directory: &Path) -> Box<dyn Index> {
    let options = MdbxOptions {
        map_size_max: 256 << 20,
        ..OPTIONS
    };
    open(directory, options)
}

#[test]
fn what_is_published_is_seen_by_readers_and_written_by_the_next_sync() {
    let directory = tempfile::tempdir().expect("a place for files");
    for is_synced in [false, true] {
        let mut index = open_ample(directory.path());
        index.put_block(&hash(1), &record(1)).expect("room");
        index.put_meta(MetaKey::Journal, &[1]).expect("room");
        index.publish().expect("no fault");
        let mut reader = index.reader().expect("room for a reader");
        let seen = std::thread::spawn(move || {
            let mut read = Record::blank();
            reader.block(&hash(1), &mut read).map(|found| (found, read))
        });
        assert_eq!(seen.join().expect("no panic"), Ok((true, record(1))));
        assert_eq!(index.block(&hash(1)), Ok(Some(record(1))));
        if is_synced {
            index.sync().expect("syncs");
        }
        drop(index);
        // An end without a sync undoes it: so it was in memory alone.
        let mut index = open_ample(directory.path());
        assert_eq!(
            index.block(&hash(1)).map(|row| row.is_some()),
            Ok(is_synced)
        );
        let meta = index.meta(MetaKey::Journal);
        assert_eq!(meta.map(|row| row.is_some()), Ok(is_synced));
    }
}

#[test]
fn a_later_batch_that_is_dropped_undoes_nothing_that_is_published() {
    let directory = tempfile::tempdir().expect("a place for files");
    let mut index = open_ample(directory.path());
    for n in 0..3 {
        index.put_block(&hash(n), &record(n)).expect("room");
        index.put_meta(MetaKey::Journal, &[n as u8]).expect("room");
        index.publish().expect("no fault");
    }
    index.put_block(&hash(1), &record(7)).expect("room");
    index.put_block(&hash(3), &record(3)).expect("room");
    index.put_meta(MetaKey::Journal, &[9]).expect("room");
    index.delete_block(&hash(2)).expect("no fault");
    let within = index.sync();
    assert!(matches!(within, Err(IndexError::Limit(_))), "{within:?}");
    index.rollback();
    let mut expected: Vec<_> = (0..3).map(|n| (hash(n), record(n))).collect();
    expected.sort_by_key(|(hash, _)| *hash);
    assert_eq!(blocks(&mut *index), expected);
    let (_, page, _) = seen_by_readers(&mut *index, &hash(0), &Hash::MIN, 10);
    assert_eq!(page, expected);
    assert_eq!(index.meta(MetaKey::Journal), Ok(Some(vec![2])));
    index.sync().expect("syncs");
    drop(index);
    assert_eq!(blocks(&mut *open_ample(directory.path())), expected);
}

#[test]
fn what_is_deleted_after_it_was_published_is_found_by_nobody() {
    let directory = tempfile::tempdir().expect("a place for files");
    let mut index = open_ample(directory.path());
    index.put_block(&hash(1), &record(1)).expect("room");
    index.put_block(&hash(2), &record(2)).expect("room");
    index.publish().expect("no fault");
    index.put_block(&hash(2), &record(5)).expect("room");
    index.publish().expect("no fault");
    assert_eq!(index.delete_block(&hash(1)), Ok(true));
    index.publish().expect("no fault");
    for which in [1, 2] {
        let expected = (which == 2).then(|| record(5));
        let (found, page, _) = seen_by_readers(&mut *index, &hash(which), &Hash::MIN, 10);
        assert_eq!(
            (found, index.block(&hash(which))),
            (expected.clone(), Ok(expected))
        );
        assert_eq!(page, [(hash(2), record(5))]);
    }
}

#[test]
fn a_flush_goes_on_beside_the_writer_and_ends_with_it() {
    let directory = tempfile::tempdir().expect("a place for files");
    let mut index = open(directory.path(), OPTIONS);
    for n in 0..50 {
        index.put_block(&hash(n), &record(n)).expect("room");
        index.commit(false).expect("commits");
        index.begin_flush();
    }
    index.sync().expect("syncs");
    index.begin_flush();
    drop(index);
    let mut index = open(directory.path(), OPTIONS);
    assert_eq!(index.scan(&mut |_, _| Ok(())), Ok(50));
}
