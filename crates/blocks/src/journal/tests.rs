//! Entries written, lost with a crash, and applied again.

use std::collections::BTreeMap;

use hioload_base::Prng;

use super::state::State;
use super::*;
use crate::fuzzing::medium::Medium;
use crate::hash::Hash;
use crate::index::{Index, IndexError, MemoryIndex, MetaKey, Table};
use crate::record::{Flags, Record};
use crate::sums::Sums;

const FILE_SIZE: u64 = 4 << 20;

fn block(unit: u32, class: u8) -> Block {
    Block::new(unit, Class::new(class).expect("a class")).expect("aligned")
}

/// A content of a block of its own: its name, its record.
fn content(n: u8) -> (Hash, Record, Vec<u8>) {
    let content = vec![n; 100];
    let record = Record {
        block: block(u32::from(n), 0),
        length: 100,
        created: 7,
        flags: Flags::NONE,
        sums: Sums::of(&content),
    };
    (Hash::of(&content), record, content)
}

struct Rig {
    index: MemoryIndex,
    medium: Medium,
    journal: Journal,
}

/// With a journal of 1 << class units behind the contents.
fn rig(class: u8) -> Rig {
    let (mut index, mut medium) = (MemoryIndex::new(), Medium::new(FILE_SIZE));
    medium.grow(FILE_SIZE).expect("room");
    let journal = lay(&mut index, &mut medium, block(512, class)).expect("room");
    Rig {
        index,
        medium,
        journal,
    }
}

impl Rig {
    fn note(&mut self, n: u8) {
        let (hash, record, _) = content(n);
        self.index.put_block(&hash, &record).expect("room");
        self.journal.log.put_block(&hash, &record);
    }

    fn write_content(&mut self, n: u8) {
        let (_, record, mut content) = content(n);
        content.resize(4096, 0);
        self.medium.write(record.block.offset(), &content);
    }

    /// What a controller does with a batch, up to the sync.
    fn write(&mut self) {
        self.index
            .put_meta(MetaKey::Journal, &self.journal.row())
            .expect("room");
        self.journal.write(&mut self.medium).expect("no fault");
    }

    fn commit(&mut self) {
        self.medium.sync().expect("no fault");
        self.index.commit(false).expect("no fault");
        self.journal.written();
    }

    fn put(&mut self, n: u8) {
        self.journal.begin();
        self.note(n);
        self.write_content(n);
        self.write();
        self.commit();
    }

    fn sync(&mut self) {
        self.index.sync().expect("no fault");
        self.journal.synced();
    }

    /// Starts again on an index that has lost as many unsynced commits as chance has it. Returns how many entries were missing.
    fn crash(&mut self, prng: &mut Prng) -> Result<u64, JournalError> {
        self.index = self.index.crash(prng);
        self.medium = self.medium.crash(prng).0;
        let (journal, replayed) = open(&mut self.index, &mut self.medium, Missing::Refused)?;
        self.journal = journal.expect("it was laid");
        Ok(replayed.entries)
    }

    /// The same when the index has lost them all.
    fn crash_to_the_last_sync(&mut self) -> Result<u64, JournalError> {
        let mut worst = self.worst();
        self.crash(&mut worst)
    }

    /// Chance by which the index loses all commits that were not synced.
    fn worst(&self) -> Prng {
        let number_after = |prng: &Prng| {
            let mut index = self.index.crash(&mut prng.clone());
            let row = index.meta(MetaKey::Journal).expect("readable");
            State::decode(&row.expect("it was laid"))
                .expect("legal")
                .number
        };
        let worst = (0..200).map(Prng::new).min_by_key(number_after);
        worst.expect("200 of them")
    }

    fn is_there(&mut self, n: u8) -> bool {
        let (hash, record, _) = content(n);
        self.index.block(&hash).expect("readable") == Some(record)
    }
}

#[test]
fn what_the_index_lost_is_brought_back_in_order() {
    let mut rig = rig(3);
    rig.put(1);
    rig.put(2);
    rig.sync();
    rig.put(3);
    let (hash, ..) = content(1);
    rig.index.delete_block(&hash).expect("no fault");
    rig.journal.log.delete_block(&hash);
    rig.index
        .put_reference(&hash, b"name", b"value")
        .expect("room");
    rig.journal.log.put_reference(&hash, b"name", b"value");
    rig.write();
    rig.commit();
    rig.index.delete_reference(&hash, b"name").expect("there");
    rig.journal.log.delete_reference(&hash, b"name");
    rig.write();
    rig.commit();
    assert_eq!(rig.journal.used(), 3);
    assert_eq!(rig.crash_to_the_last_sync().expect("sound"), 3);
    assert!(!rig.is_there(1) && rig.is_there(2) && rig.is_there(3));
    assert_eq!(rig.index.reference_count(&hash, 9), Ok(0));
    assert_eq!(rig.journal.used(), 0, "and that is durable");
    rig.put(4);
    assert_eq!(rig.crash_to_the_last_sync().expect("sound"), 1);
    assert!(rig.is_there(4));
}

/// Batches of any size, syncs and crashes of any kind, many times around.
#[test]
fn no_batch_that_was_synced_is_lost_and_none_is_done_by_half() {
    let mut prng = Prng::new(7);
    let (mut replayed, mut refused, mut unfinished) = (0, 0, 0);
    for class in [3, 4] {
        let mut rig = rig(class);
        let mut model: BTreeMap<(u8, u16), u64> = BTreeMap::new();
        for round in 0..4000u64 {
            let mut changes = Vec::new();
            let most = [2, 40, 300][prng.below(3) as usize];
            for _ in 0..1 + prng.below(most) {
                let (n, name) = (prng.below(3) as u8, prng.below(30) as u16);
                let (hash, key) = (content(n).0, name.to_le_bytes());
                if prng.chance(1, 3) {
                    rig.index.delete_reference(&hash, &key).expect("legal");
                    rig.journal.log.delete_reference(&hash, &key);
                    changes.push(((n, name), None));
                } else {
                    let value = round.to_le_bytes();
                    rig.index.put_reference(&hash, &key, &value).expect("room");
                    rig.journal.log.put_reference(&hash, &key, &value);
                    changes.push(((n, name), Some(round)));
                }
            }
            if !rig.journal.has_room() {
                refused += 1;
                rig.journal.log.clear();
                rig.index.commit(true).expect("no fault");
                rig.journal.synced();
            } else {
                rig.write();
                if prng.chance(1, 20) {
                    // Before the sync: all of it or nothing.
                    replayed += rig.crash(&mut prng).expect("sound");
                    let before = references(&mut rig.index);
                    if before != model {
                        apply(&mut model, &changes);
                        unfinished += 1;
                    }
                    assert_eq!(references(&mut rig.index), model, "round {round}");
                    continue;
                }
                rig.commit();
            }
            apply(&mut model, &changes);
            if rig.journal.is_half_full() && prng.chance(1, 2) {
                rig.sync();
            }
            if prng.chance(1, 20) {
                replayed += rig.crash(&mut prng).expect("sound");
                assert_eq!(references(&mut rig.index), model, "round {round}");
            }
        }
    }
    assert!(
        replayed > 500 && refused > 100 && unfinished > 3,
        "{replayed} {refused} {unfinished}"
    );
}

fn apply(model: &mut BTreeMap<(u8, u16), u64>, changes: &[((u8, u16), Option<u64>)]) {
    for (key, value) in changes {
        match value {
            Some(value) => _ = model.insert(*key, *value),
            None => _ = model.remove(key),
        }
    }
}

fn references(index: &mut MemoryIndex) -> BTreeMap<(u8, u16), u64> {
    let mut found = BTreeMap::new();
    let names = [0, 1, 2].map(|n| content(n).0);
    let walked = index.scan_references(&[], u64::MAX, &mut |row| {
        let (hash, name, value) = row?;
        let n = names
            .iter()
            .position(|of| *of == hash)
            .expect("one of them");
        let name = u16::from_le_bytes(name.try_into().expect("two bytes"));
        let value = u64::from_le_bytes(value.try_into().expect("eight bytes"));
        found.insert((n as u8, name), value);
        Ok(())
    });
    walked.expect("readable");
    found
}

#[test]
fn of_the_last_entry_only_blocks_with_their_content_are_kept() {
    for (last_is_whole, first_is_whole) in [(true, true), (false, true), (true, false)] {
        let mut rig = rig(3);
        // The entry before was synced: its contents are not looked at. What has become of one is found when it is read.
        rig.note(1);
        if first_is_whole {
            rig.write_content(1);
        }
        rig.write();
        rig.commit();
        rig.note(2);
        rig.note(3);
        rig.write_content(2);
        if last_is_whole {
            rig.write_content(3);
        }
        rig.write();
        rig.commit();
        assert_eq!(rig.crash_to_the_last_sync().expect("sound"), 2);
        assert!(rig.is_there(1) && rig.is_there(2));
        assert_eq!(rig.is_there(3), last_is_whole);
    }
}

#[test]
fn a_block_known_as_damaged_is_kept_and_one_outside_is_not() {
    let mut rig = rig(3);
    let (hash, record, _) = content(1);
    let damaged = Record {
        flags: Flags::DAMAGED,
        ..record
    };
    let (other, record, _) = content(2);
    let outside = Record {
        block: block((FILE_SIZE / UNIT) as u32, 0),
        ..record
    };
    for (hash, record) in [(hash, &damaged), (other, &outside)] {
        rig.index.put_block(&hash, record).expect("room");
        rig.journal.log.put_block(&hash, record);
    }
    rig.write();
    rig.commit();
    rig.crash_to_the_last_sync().expect("sound");
    assert_eq!(rig.index.block(&hash), Ok(Some(damaged)));
    assert_eq!(rig.index.block(&other), Ok(None));
}

#[test]
fn a_batch_the_index_refused_is_not_done_later() {
    for wide in [false, true] {
        let mut rig = rig(3);
        for n in 1..8 {
            rig.put(n);
        }
        rig.sync();
        if wide {
            // Behind the end of the block there is one unit: it begins at the first.
            for n in 0..200 {
                rig.note(n);
            }
        } else {
            rig.note(8);
        }
        rig.write();
        rig.medium.sync().expect("no fault");
        rig.index.rollback();
        rig.journal.void(&mut rig.medium).expect("no fault");
        rig.medium.sync().expect("no fault");
        rig.put(9);
        assert_eq!(rig.crash_to_the_last_sync().expect("sound"), 2);
        assert!(rig.is_there(7) && rig.is_there(9));
        assert!(!rig.is_there(8) && !rig.is_there(20));
    }
}

#[test]
fn what_was_taken_back_stays_until_the_index_has_a_later_entry() {
    let mut rig = rig(3);
    for n in 1..4 {
        rig.put(n);
    }
    rig.sync();
    for n in 4..6 {
        rig.journal.begin();
        rig.note(n);
        rig.write();
        rig.index.rollback();
        rig.journal.void(&mut rig.medium).expect("no fault");
        rig.medium.sync().expect("no fault");
        rig.sync();
    }
    // As far as there is room, which is not where the two are.
    let mut last = 10;
    loop {
        rig.journal.begin();
        rig.note(last);
        rig.index.rollback();
        if !rig.journal.has_room() {
            break;
        }
        rig.put(last);
        last += 1;
    }
    assert_eq!(rig.crash_to_the_last_sync().expect("sound"), 8);
    assert!((10..last).all(|n| rig.is_there(n)) && last == 16);
    // Once the index has a later one, durably, there is room again.
    rig.put(20);
    rig.sync();
    assert_eq!(rig.journal.used(), 0);
}

#[test]
fn an_entry_that_is_missing_refuses_the_start() {
    let mut rig = rig(3);
    for n in 1..5 {
        rig.put(n);
    }
    let place = rig.journal.place().offset();
    rig.medium.rot(place + UNIT + 100, 3);
    let error = rig
        .crash_to_the_last_sync()
        .expect_err("the second of four");
    assert_eq!(
        error.to_string(),
        "journal entries: expected entry 2, found 3"
    );
    // Given up, it goes on with what is there.
    let opened = open(&mut rig.index, &mut rig.medium, Missing::GivenUp);
    let (journal, replayed) = opened.expect("sound");
    rig.journal = journal.expect("it was laid");
    assert_eq!(replayed.entries, 1);
    assert!(rig.is_there(1) && !rig.is_there(2) && !rig.is_there(3));
    rig.put(5);
    assert_eq!(rig.crash_to_the_last_sync().expect("sound"), 1);
    assert!(rig.is_there(5) && !rig.is_there(4));
}

#[test]
fn a_journal_that_nobody_can_find_is_given_up() {
    for is_damaged in [true, false] {
        let mut rig = rig(3);
        rig.put(1);
        rig.index.sync().expect("no fault");
        if is_damaged {
            let flip = |row: &mut Vec<u8>| row[10] ^= 1;
            assert!(rig.index.damage(Table::Meta, &[2], flip));
        } else {
            rig.medium = Medium::new(FILE_SIZE);
        }
        let refused = recover(&mut rig.index, &mut rig.medium);
        assert!(
            matches!(
                refused,
                Err(JournalError::Index(IndexError::Corrupt { .. }))
            ),
            "{refused:?}"
        );
        let opened = open(&mut rig.index, &mut rig.medium, Missing::GivenUp);
        let (journal, replayed) = opened.expect("it is given up");
        assert!(journal.is_none() && replayed == Replayed::default());
        assert!(rig.is_there(1));
        // Durably: the next start knows no journal either.
        let mut index = rig.index.crash(&mut Prng::new(1));
        let opened = open(&mut index, &mut rig.medium, Missing::Refused);
        assert!(opened.expect("no journal").0.is_none());
    }
}

#[test]
fn a_journal_that_is_not_in_the_file_is_told() {
    let mut rig = rig(3);
    let mut small = Medium::new(FILE_SIZE);
    small.grow(FILE_SIZE / 4).expect("room");
    let error = recover(&mut rig.index, &mut small).expect_err("it is behind the end");
    let mut cut = Medium::new(FILE_SIZE);
    let end = rig.journal.place().end();
    cut.grow(end).expect("room");
    recover(&mut rig.index, &mut cut).expect_err("blocks are given out of whole macroblocks");
    assert!(
        error
            .to_string()
            .starts_with("journal place: expected within 1048576 bytes"),
        "{error}"
    );
    rig.index
        .put_meta(MetaKey::Journal, &[0; 23])
        .expect("room");
    rig.index.commit(true).expect("no fault");
    let error = recover(&mut rig.index, &mut rig.medium).expect_err("too short");
    assert!(matches!(
        error,
        JournalError::Index(IndexError::Corrupt { .. })
    ));
}

#[test]
fn what_an_earlier_content_left_is_not_taken_for_entries() {
    let (mut index, mut medium) = (MemoryIndex::new(), Medium::new(FILE_SIZE));
    medium.grow(FILE_SIZE).expect("room");
    let mut units = Vec::new();
    let mut log = Log::default();
    log.delete_block(&content(1).0);
    unit::encode(1, log.bytes(), &mut units);
    let place = block(512, 3);
    medium.write(place.offset(), &units);
    lay(&mut index, &mut medium, place).expect("room");
    let replayed = recover(&mut index, &mut medium).expect("sound");
    assert_eq!(replayed, Replayed::default());
}

#[test]
fn entries_are_written_as_they_were() {
    let golden = include_str!("../../tests/data/journal-2.txt");
    let unit_at = |at: &str| {
        let mut words = golden.lines().map(|line| line.split_whitespace());
        let mut words = words.find(|words| words.clone().take(2).eq(["unit", at]));
        words
            .as_mut()
            .and_then(|words| words.nth(2))
            .expect("there")
    };
    let (a, b) = (b"a".to_vec(), (0..4096).map(|n| (n % 251) as u8).collect());
    let [a, b] = [(a, 0), (b, 1)].map(|(content, unit): (Vec<u8>, u32)| {
        let record = Record {
            block: block(unit, 0),
            length: content.len() as u32,
            created: 1_700_000_000_001 + u64::from(unit),
            flags: Flags::NONE,
            sums: Sums::of(&content),
        };
        (Hash::of(&content), record)
    });
    let (mut log, mut units) = (Log::default(), Vec::new());
    log.put_block(&a.0, &a.1);
    log.put_reference(&a.0, b"lock", b"held since the first format");
    unit::encode(7, log.bytes(), &mut units);
    assert_eq!(hex(&units), unit_at("7"));
    log.clear();
    log.delete_reference(&a.0, b"lock");
    log.put_block(&b.0, &b.1);
    unit::encode(8, log.bytes(), &mut units);
    assert_eq!(hex(&units), unit_at("0"));
}

/// Without the zeros at the end.
fn hex(bytes: &[u8]) -> String {
    let end = bytes.iter().rposition(|byte| *byte != 0);
    let bytes = &bytes[..end.map_or(0, |end| end + 1)];
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn bytes_of_clients_never_begin_a_unit() {
    let (mut log, mut units) = (Log::default(), Vec::new());
    let mut forged = Vec::new();
    unit::encode(2, &[], &mut forged);
    for n in 0..200 {
        log.put_reference(&content(n).0, b"name", &forged[..1024]);
    }
    unit::encode(1, log.bytes(), &mut units);
    let count = unit::count(log.bytes());
    assert_eq!((units.len() as u64, count), (count * UNIT, 53));
    for at in 0..count {
        assert_eq!(unit::decode(&units, at).map(|unit| unit.number), Some(1));
    }
    let (changes, parts) = unit::entry(&units, 0, 1).expect("whole");
    assert_eq!((&changes[..], parts), (log.bytes(), count));
    for at in 0..units.len() {
        let mut torn = units.clone();
        torn[at] ^= 1;
        assert_eq!(unit::entry(&torn, 0, 1), None, "byte {at}");
        if at > 2 * UNIT as usize {
            break;
        }
    }
}

#[test]
fn a_log_that_fits_no_journal_does_not_grow() {
    let mut rig = rig(7);
    for n in 0..2000u32 {
        let name = n.to_le_bytes();
        rig.journal
            .log
            .put_reference(&content(1).0, &name, &[0; 1000]);
    }
    let size = rig.journal.log.bytes().len();
    assert!(size < 514 << 10, "{size}");
    assert!(!rig.journal.has_room());
}

#[test]
fn the_journal_is_a_small_part_of_the_file() {
    const MIB: u64 = 1 << 20;
    let size = |file| class_for(file).map(|class| u64::from(class.size()) / 1024);
    assert_eq!(size(MIB), None);
    assert_eq!(size(2 * MIB), Some(32));
    assert_eq!(size(16 * MIB), Some(256));
    assert_eq!(size(1 << 40), Some(512));
}

#[test]
fn what_a_failed_sync_left_in_a_cache_is_made_durable_before_it_counts() {
    let mut rig = rig(3);
    rig.put(1);
    rig.sync();
    rig.note(2);
    rig.write_content(2);
    rig.write();
    rig.medium.fail_sync();
    assert!(rig.medium.sync().is_err());
    // The process ends, the machine does not: everything is read as it was written, and no later sync brings it to the medium.
    rig.index.rollback();
    let replayed = recover(&mut rig.index, &mut rig.medium).expect("sound");
    assert_eq!(
        replayed,
        Replayed {
            entries: 1,
            unwritten: 0
        }
    );
    for seed in 0..32 {
        let (medium, _) = rig.medium.crash(&mut Prng::new(seed));
        let mut index = rig.index.crash(&mut Prng::new(seed));
        let (hash, record, content) = content(2);
        assert_eq!(index.block(&hash), Ok(Some(record.clone())));
        let mut found = vec![0; content.len()];
        medium.read(record.block.offset(), &mut found);
        assert_eq!(found, content, "what the index names is there");
    }
}

#[test]
fn what_a_process_left_that_was_killed_is_durable_before_the_next_one_goes_on() {
    // Without a journal, as in relaxed mode.
    let (mut index, mut medium) = (MemoryIndex::new(), Medium::new(FILE_SIZE));
    medium.grow(FILE_SIZE).expect("room");
    let (hash, record, mut content) = content(1);
    content.resize(4096, 0);
    medium.write(record.block.offset(), &content);
    index.put_block(&hash, &record).expect("room");
    index.commit(false).expect("no fault");
    let replayed = recover(&mut index, &mut medium).expect("sound");
    assert_eq!(replayed, Replayed::default());
    assert_eq!(index.unsynced_count(), 0);
    let (_, lost) = medium.crash(&mut Prng::new(1));
    assert_eq!(lost, 0, "no sector waits for a sync");
}

#[test]
fn an_index_that_has_room_only_for_what_is_synced_is_brought_up_to_date() {
    let mut rig = rig(3);
    (1..=6).for_each(|n| rig.put(n));
    rig.index = rig.index.crash(&mut rig.worst());
    // Six rows and the journal's own, and one of the commits that are not synced.
    rig.index.set_row_count_max(8);
    let replayed = recover(&mut rig.index, &mut rig.medium).expect("room");
    assert_eq!(replayed.entries, 6);
    assert!((1..=6).all(|n| rig.is_there(n)));
    rig.index.set_row_count_max(7);
    let mut index = rig.index.clone();
    let (hash, record, _) = content(7);
    assert_eq!(index.put_block(&hash, &record), Err(IndexError::Full));
}

#[test]
fn what_is_left_of_an_entry_is_not_taken_for_a_part_of_the_next() {
    let mut rig = rig(3);
    // Two entries of as many units, in the same place and with the same number: the second after the first was torn.
    for n in 0..80 {
        rig.note(n);
    }
    unit::encode(1, rig.journal.log.bytes(), &mut rig.journal.units);
    let place = rig.journal.place().offset();
    let units = rig.journal.units.clone();
    assert_eq!(units.len() as u64, 2 * UNIT);
    rig.medium.write(place + UNIT, &units[UNIT as usize..]);
    rig.medium.sync().expect("no fault");
    rig.index.rollback();
    let replayed = recover(&mut rig.index, &mut rig.medium).expect("sound");
    assert_eq!(replayed, Replayed::default());
    let mut other = Log::default();
    for n in 100..180 {
        let (hash, record, _) = content(n);
        other.put_block(&hash, &record);
    }
    let mut others = Vec::new();
    unit::encode(1, other.bytes(), &mut others);
    assert_eq!(others.len(), units.len());
    rig.medium.write(place, &others[..UNIT as usize]);
    let replayed = recover(&mut rig.index, &mut rig.medium).expect("sound");
    assert_eq!(replayed, Replayed::default());
}

/// A medium that does not give some units.
struct Scratched {
    medium: Medium,
    units: Vec<u64>,
}

impl Disk for Scratched {
    fn size(&self) -> u64 {
        self.medium.size()
    }

    fn grow(&mut self, to: u64) -> io::Result<()> {
        self.medium.grow(to)
    }

    fn read(&mut self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        let asked = offset / UNIT..(offset + into.len() as u64) / UNIT;
        if self.units.iter().any(|unit| asked.contains(unit)) {
            return Err(io::Error::from_raw_os_error(5));
        }
        Disk::read(&mut self.medium, offset, into)
    }

    fn write(&mut self, offset: u64, units: &[u8]) -> io::Result<()> {
        Disk::write(&mut self.medium, offset, units)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.medium.sync()
    }
}

#[test]
fn a_unit_that_cannot_be_read_matters_only_where_an_entry_may_be() {
    let first = 512;
    // Two entries the index has, two it lost; the next one would be in unit 4.
    for (unit, is_sound) in [
        (first + 7, true),
        (first + 5, true),
        (first + 1, true),
        (first + 2, false),
        (first + 3, false),
        (first + 4, false),
        (first, false),
    ] {
        let mut rig = rig(3);
        rig.put(1);
        rig.put(2);
        rig.sync();
        rig.put(3);
        rig.put(4);
        let index = (0..200).map(|seed| rig.index.crash(&mut Prng::new(seed)));
        let mut index = index
            .min_by_key(|index| index.clone().meta(MetaKey::Journal).map_err(drop))
            .expect("200 of them");
        let mut disk = Scratched {
            medium: rig.medium,
            units: vec![unit],
        };
        let recovered = recover(&mut index, &mut disk);
        assert_eq!(recovered.is_ok(), is_sound, "unit {unit}: {recovered:?}");
        if !is_sound {
            open(&mut index, &mut disk, Missing::GivenUp).expect("sound");
            disk.units.clear();
            recover(&mut index, &mut disk).expect("whatever it was is gone");
        }
        if is_sound {
            assert!(index.block(&content(4).0).expect("readable").is_some());
        }
    }
}

#[test]
fn a_content_that_cannot_be_read_is_kept_for_who_asks_for_it_is_told() {
    for seed in 0..8 {
        let mut rig = rig(3);
        rig.put(1);
        let mut index = rig.index.crash(&mut Prng::new(seed));
        let mut disk = Scratched {
            medium: rig.medium,
            units: vec![1],
        };
        recover(&mut index, &mut disk).expect("sound");
        assert!(index.block(&content(1).0).expect("readable").is_some());
    }
}
