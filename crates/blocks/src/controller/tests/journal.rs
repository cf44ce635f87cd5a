//! Batches that the journal makes durable.

use super::*;

/// A file that has a journal, of 64 units.
fn config() -> ControllerConfig {
    ControllerConfig {
        size_max: 16 * MIB,
        ..super::config()
    }
}

/// Starts again on what a crash leaves of the index when it loses as much as it may.
fn crash(rig: &Rig, config: ControllerConfig) -> Rig {
    let committed = rig.index.unsynced_count();
    let crashed = (0..1000).map(|seed| rig.index.crash(&mut Prng::new(seed)));
    let worst = crashed.min_by_key(|index| {
        let row = index.clone().meta(MetaKey::Journal).expect("readable");
        row.map(|row| row[8..16].to_vec())
    });
    let (medium, _) = rig.medium.crash(&mut Prng::new(1));
    assert!(committed > 0, "there is something to lose");
    rig_on(worst.expect("a thousand"), medium, config)
}

impl Rig {
    /// A batch without contents, so that nothing in it is looked at.
    fn refer(&mut self, n: u8, value: &[u8]) -> Vec<Reply> {
        let id = self.id();
        let call = Box::new(Refer {
            hash: hash(n),
            name: b"name".as_slice().into(),
            value: value.into(),
            only_new: false,
        });
        self.controller.push(0, Request::Refer { id, call });
        self.settle()
    }
}

#[test]
fn a_batch_has_one_sync_and_survives_a_crash_that_the_index_does_not() {
    let mut rig = rig(config());
    let before = rig.stats();
    for n in 1..=3 {
        rig.store(n, Class::MIN);
    }
    rig.release(2);
    rig.settle();
    rig.refer(3, b"value");
    let after = rig.stats();
    assert_eq!(after.sync_ns.count - before.sync_ns.count, 5);
    assert_eq!((after.journaled, after.index_sync_ns.count), (5, 0));
    assert_eq!(rig.index.unsynced_count(), 5);
    let mut rig = crash(&rig, config());
    assert!(rig.is_there(1) && !rig.is_there(2) && rig.is_there(3));
    assert_eq!(rig.index.reference_count(&hash(3), 9), Ok(1));
    assert_eq!((rig.stats().blocks, rig.index.unsynced_count()), (2, 0));
    // It goes on where it was.
    rig.store(4, Class::MIN);
    rig.refer(3, b"other");
    let rig = crash(&rig, config());
    assert!(rig.is_there(4));
}

#[test]
fn the_index_is_synced_when_the_journal_is_half_full_and_after_a_while() {
    let mut rig = rig(config());
    rig.store(1, Class::MIN);
    for n in 2..=31 {
        rig.refer(1, &[n]);
    }
    assert_eq!(rig.stats().index_sync_ns.count, 0);
    rig.refer(1, &[32]);
    assert_eq!(rig.stats().index_sync_ns.count, 1, "32 of 64 units");
    assert_eq!(rig.index.unsynced_count(), 0);
    rig.refer(1, &[33]);
    let due = rig.now + config().relaxed_sync;
    assert_eq!(rig.cycle(), (Vec::new(), Next::At(due)));
    rig.now = due;
    assert_eq!(rig.cycle(), (Vec::new(), Next::Idle));
    assert_eq!(rig.stats().index_sync_ns.count, 2);
    assert_eq!(rig.index.unsynced_count(), 0);
    // Many times around.
    for n in 0..=255 {
        rig.refer(1, &[n]);
    }
    assert_eq!(rig.stats().journaled, 33 + 256);
    let now = rig.now;
    assert_eq!(rig.controller.finish(&mut || now), Ok(()));
    assert_eq!(rig.index.unsynced_count(), 0, "in order, nothing is left");
}

#[test]
fn what_does_not_fit_the_journal_is_synced_by_itself() {
    let mut rig = rig(config());
    rig.store(1, Class::MIN);
    // More than 64 units.
    for n in 0..300u32 {
        let id = rig.id();
        let call = Box::new(Refer {
            hash: hash(1),
            name: n.to_le_bytes().as_slice().into(),
            value: vec![0; 1000].into(),
            only_new: false,
        });
        rig.controller.push(0, Request::Refer { id, call });
    }
    rig.settle();
    let stats = rig.stats();
    assert_eq!((stats.journaled, stats.index_sync_ns.count), (1, 1));
    assert_eq!(rig.index.unsynced_count(), 0);
    for n in 0..31 {
        rig.refer(1, &[n]);
    }
    let stats = rig.stats();
    assert_eq!(
        (stats.journaled, stats.index_sync_ns.count),
        (32, 1),
        "half of it is free again"
    );
}

#[test]
fn what_the_journal_could_not_make_durable_is_not_acknowledged() {
    let mut rig = rig(config());
    let block = rig.store(1, Class::MIN);
    let next = rig.lease(Class::MIN, 1).expect("space")[0];
    rig.medium.fail_sync();
    let id = rig.occupy(2, next);
    let fault = Fault::Poisoned;
    assert_eq!(rig.settle(), [Reply::Failed { id, fault }]);
    assert!(rig.stats().is_poisoned);
    assert!(rig.is_there(1) && !rig.is_there(2));
    assert_eq!(rig.cycle(), (Vec::new(), Next::Idle));
    // Whatever the medium has of it: the place of another content is not given to it.
    let (medium, _) = rig.medium.crash(&mut Prng::new(3));
    let rig = rig_on(rig.index.crash(&mut Prng::new(3)), medium, config());
    assert!(!rig.is_there(2), "its content is not there");
    assert_ne!(block, next);
}

#[test]
fn a_full_index_has_room_again_once_it_is_durable() {
    let mut rig = rig(config());
    for n in 1..=4 {
        rig.store(n, Class::MIN);
    }
    // Four blocks, the journal's row, and one more.
    rig.index.set_row_count_max(6);
    rig.store(5, Class::MIN);
    let stats = rig.stats();
    assert_eq!(
        (stats.batches_index_full, stats.index_sync_ns.count),
        (0, 1)
    );
    let block = rig.lease(Class::MIN, 1).expect("space")[0];
    let id = rig.occupy(6, block);
    let fault = Fault::IndexFull;
    assert_eq!(rig.settle(), [Reply::Failed { id, fault }], "it is full");
}

#[test]
fn what_the_index_refused_at_the_commit_is_not_done_by_the_next_start() {
    let mut rig = rig(config());
    rig.store(1, Class::MIN);
    rig.index.refuse_commit_after(0);
    rig.store(2, Class::MIN);
    assert_eq!(
        rig.stats().batches_index_full,
        0,
        "it had room when it was durable"
    );
    // Twice: before the index was synced, and after.
    rig.index.refuse_commit_after(0);
    let index = rig.index.clone();
    let id = rig.id();
    let call = Box::new(Refer {
        hash: hash(1),
        name: b"refused".as_slice().into(),
        value: b"".as_slice().into(),
        only_new: false,
    });
    rig.controller.push(0, Request::Refer { id, call });
    let mut replies = Replies::new();
    let now = rig.now;
    let mut calls = 0;
    // Each sync asks for the time: the second commit is refused as well.
    rig.controller.cycle(
        &mut || {
            calls += 1;
            index.refuse_commit_after(0);
            now
        },
        &mut replies,
    );
    let fault = Fault::IndexFull;
    assert_eq!(replies, [(0, Reply::Failed { id, fault })]);
    let (medium, _) = rig.medium.crash(&mut Prng::new(1));
    let mut next = rig_on(rig.index.crash(&mut Prng::new(1)), medium, config());
    assert_eq!(next.index.reference_count(&hash(1), 9), Ok(0));
    rig.index.refuse_commit_after(1000);
    rig.refer(1, b"value");
    let mut rig = crash(&rig, config());
    assert!(rig.is_there(1) && calls > 0);
    assert_eq!(
        rig.index.reference_count(&hash(1), 9),
        Ok(1),
        "the other one"
    );
}

#[test]
fn relaxed_needs_no_journal_and_keeps_the_one_there_is() {
    let mut durable = rig(config());
    let relaxed = ControllerConfig {
        durability: Durability::Relaxed,
        ..config()
    };
    durable.store(1, Class::MIN);
    durable.refer(1, b"value");
    let mut rig = crash(&durable, relaxed.clone());
    assert!(rig.is_there(1));
    let journal = rig.stats().space.journal;
    assert_eq!(journal.iter().sum::<u64>(), 1);
    rig.store_relaxed(2);
    assert_eq!(rig.stats().journaled, 0);
    let now = rig.now;
    assert_eq!(rig.controller.finish(&mut || now), Ok(()));
    let mut rig = rig_on(rig.index.clone(), rig.medium.clone(), config());
    rig.store(3, Class::MIN);
    rig.refer(3, b"value");
    let rig = crash(&rig, config());
    assert!(rig.is_there(2) && rig.is_there(3));
    assert_eq!(rig.stats().space.journal, journal);
    let rig = super::rig(relaxed);
    assert_eq!(rig.stats().space.journal, [0; Class::COUNT]);
}

impl Rig {
    fn store_relaxed(&mut self, n: u8) {
        let block = self.lease(Class::MIN, 1).expect("space")[0];
        self.occupy(n, block);
        self.settle();
    }
}

#[test]
fn a_full_file_system_leaves_no_room_for_a_journal_and_the_store_works() {
    let mut rig = rig_on(MemoryIndex::new(), Medium::new(MIB), {
        // Everything is somebody's.
        config()
    });
    assert_eq!(rig.stats().space.journal.iter().sum::<u64>(), 1);
    let mut without = rig_on(MemoryIndex::new(), Medium::new(0), config());
    assert_eq!(without.stats().space.journal, [0; Class::COUNT]);
    assert_eq!(without.lease(Class::MIN, 1), Err(Fault::NoSpace));
    rig.store(1, Class::MIN);
}
