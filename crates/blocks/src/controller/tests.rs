//! The controller alone: what one cycle does, in which order, and what it survives.

mod journal;
mod recalls;
mod references;

use super::*;
use crate::durability::Durability;
use crate::fault::Damage;
use crate::fuzzing::medium::Medium;
use crate::hash::Hash;
use crate::index::{MemoryIndex, Table};
use crate::message::{Leased, Refer, Referred, Released, RequestId, Stored};
use crate::record::{Flags, Record};
use crate::sums::Sums;
use hioload_base::Prng;
use std::time::Duration;

const MIB: u64 = 1 << 20;
const WORKERS: usize = 2;

struct Rig {
    index: MemoryIndex,
    medium: Medium,
    controller: Controller,
    now: Time,
    next_id: u32,
}

fn config() -> ControllerConfig {
    ControllerConfig {
        size_initial: 0,
        size_max: MIB,
        grow_step: MIB,
        ..ControllerConfig::default()
    }
}

fn rig(config: ControllerConfig) -> Rig {
    rig_on(MemoryIndex::new(), Medium::new(u64::MAX), config)
}

fn rig_on(index: MemoryIndex, medium: Medium, config: ControllerConfig) -> Rig {
    let (boxed_index, boxed_medium) = (Box::new(index.clone()), Box::new(medium.clone()));
    let controller =
        Controller::new(boxed_index, boxed_medium, config, WORKERS).expect("a sound store");
    Rig {
        index,
        medium,
        controller,
        now: Time::from_millis(1),
        next_id: 0,
    }
}

fn hash(n: u8) -> Hash {
    Hash::of(&[n])
}

impl Rig {
    fn id(&mut self) -> RequestId {
        self.next_id += 1;
        RequestId(self.next_id)
    }

    fn cycle(&mut self) -> (Vec<Reply>, Next) {
        let mut replies = Replies::new();
        let now = self.now;
        let next = self.controller.cycle(&mut || now, &mut replies);
        (replies.into_iter().map(|(_, reply)| reply).collect(), next)
    }

    /// Cycles until nothing is due now; workers without readers, and with nothing at hand, answer for themselves.
    fn settle(&mut self) -> Vec<Reply> {
        let mut all = Vec::new();
        loop {
            let mut replies = Replies::new();
            let now = self.now;
            let next = self.controller.cycle(&mut || now, &mut replies);
            let is_over = replies.is_empty() && next != Next::Again;
            for (worker, reply) in replies {
                match reply {
                    Reply::Retire { epoch } => {
                        self.controller.push(worker, Request::Retired { epoch });
                    }
                    Reply::Recall => self.controller.push(worker, Request::Recalled),
                    reply => all.push(reply),
                }
            }
            if is_over {
                return all;
            }
        }
    }

    fn lease(&mut self, class: Class, count: u8) -> Result<Vec<Block>, Fault> {
        let id = self.id();
        let needed = count;
        self.controller.push(
            0,
            Request::Lease {
                id,
                class,
                count,
                needed,
            },
        );
        match self.settle().pop() {
            Some(Reply::Leased { blocks, .. }) => Ok(blocks.iter().collect()),
            Some(Reply::Failed { fault, .. }) => Err(fault),
            other => panic!("{other:?}"),
        }
    }

    fn occupy(&mut self, n: u8, block: Block) -> RequestId {
        let id = self.id();
        self.controller.push(
            0,
            Request::Occupy {
                id,
                hash: hash(n),
                unit: block.unit(),
                length: block.size(),
                sums: Sums::of(&vec![0; block.size() as usize]),
            },
        );
        id
    }

    fn release(&mut self, n: u8) -> RequestId {
        let id = self.id();
        self.controller
            .push(1, Request::Release { id, hash: hash(n) });
        id
    }

    fn store(&mut self, n: u8, class: Class) -> Block {
        let block = self.lease(class, 1).expect("space")[0];
        self.occupy(n, block);
        let replies = self.settle();
        assert!(
            matches!(
                replies[..],
                [Reply::Stored {
                    outcome: Stored::New,
                    ..
                }]
            ),
            "{replies:?}"
        );
        block
    }

    fn is_there(&self, n: u8) -> bool {
        let mut reader = self.index.reader().expect("room");
        reader
            .block(&hash(n), &mut Record::blank())
            .expect("whole rows")
    }

    fn stats(&self) -> ControllerStats {
        self.controller.check().expect("all space is known");
        self.controller.stats()
    }
}

#[test]
fn quick_answers_come_first_and_a_batch_has_one_sync_and_one_commit() {
    let mut rig = rig(config());
    let old = rig.store(9, Class::MIN);
    let blocks = rig.lease(Class::MIN, 3).expect("space");
    let before = rig.stats();
    rig.release(9);
    for (n, block) in blocks.iter().enumerate() {
        rig.occupy(n as u8, *block);
    }
    let (id, asked) = (rig.id(), hash(9));
    rig.controller.push(1, Request::Lookup { id, hash: asked });
    let (id, class) = (rig.id(), Class::MIN);
    rig.controller.push(
        1,
        Request::Lease {
            id,
            class,
            count: 1,
            needed: 1,
        },
    );

    let (quick, next) = rig.cycle();
    assert!(
        matches!(&quick[..], [Reply::Found { record, .. }, Reply::Leased { .. }] if record.block == old)
    );
    assert_eq!(next, Next::Again);
    let (replies, next) = rig.cycle();
    assert_eq!(next, Next::Idle);
    let released = Reply::Released {
        id: RequestId(0),
        outcome: Released::Released,
    };
    assert_eq!(
        std::mem::discriminant(&replies[0]),
        std::mem::discriminant(&released)
    );
    let stored = replies.iter().filter(|reply| {
        matches!(
            reply,
            Reply::Stored {
                is_durable: true,
                ..
            }
        )
    });
    assert_eq!(stored.count(), 3);
    let asked = replies
        .iter()
        .filter(|reply| matches!(reply, Reply::Retire { epoch: 1 }));
    assert_eq!(asked.count(), WORKERS);
    let after = rig.stats();
    assert_eq!(after.sync_ns.count - before.sync_ns.count, 1);
    assert_eq!(after.commit_ns.count - before.commit_ns.count, 1);
    assert_eq!((after.batch.max, after.blocks), (4, 3));
}

#[test]
fn a_batch_without_new_data_syncs_no_data() {
    let mut rig = rig(config());
    rig.store(1, Class::MIN);
    let before = rig.stats().sync_ns.count;
    rig.release(1);
    rig.settle();
    assert_eq!(rig.stats().sync_ns.count, before);
    assert_eq!(rig.index.unsynced_count(), 0);
}

#[test]
fn the_same_hash_stored_released_and_stored_in_one_batch_is_there_once() {
    let mut rig = rig(config());
    let blocks = rig.lease(Class::MIN, 2).expect("space");
    let first = rig.occupy(1, blocks[0]);
    rig.release(1);
    let second = rig.occupy(1, blocks[1]);
    let replies = rig.settle();
    let outcome_of = |wanted: RequestId| {
        replies.iter().find_map(|reply| match reply {
            Reply::Stored { id, outcome, .. } if *id == wanted => Some(*outcome),
            _ => None,
        })
    };
    assert_eq!(outcome_of(first), Some(Stored::New));
    assert_eq!(outcome_of(second), Some(Stored::Present));
    assert!(rig.is_there(1));
    let stats = rig.stats();
    assert_eq!(
        (stats.blocks, stats.space.leased[0]),
        (1, 1),
        "the second block stays leased"
    );
}

#[test]
fn a_group_stays_open_for_its_time_or_until_it_is_full() {
    let group = Duration::from_millis(5);
    let mut rig = rig(ControllerConfig {
        durability: Durability::Group(group),
        batch_max: 3,
        ..config()
    });
    let blocks = rig.lease(Class::MIN, 6).expect("space");
    rig.occupy(0, blocks[0]);
    let begun = rig.now;
    let (replies, next) = rig.cycle();
    assert_eq!((replies.len(), next), (0, Next::At(begun + group)));
    rig.now = begun + group - Duration::from_nanos(1);
    rig.occupy(1, blocks[1]);
    assert_eq!(rig.cycle().0.len(), 0);
    rig.now = begun + group;
    assert_eq!(rig.cycle().0.len(), 2, "both are answered together");
    for n in 2..5 {
        assert!(!rig.controller.is_full());
        rig.occupy(n, blocks[usize::from(n)]);
    }
    assert!(rig.controller.is_full());
    assert_eq!(rig.cycle().0.len(), 3, "a full batch does not wait");
    assert_eq!(rig.stats().sync_ns.count, 2);
}

#[test]
fn after_a_failed_sync_or_commit_nothing_is_acknowledged_and_lookups_go_on() {
    for is_sync in [true, false] {
        let mut rig = rig(config());
        rig.store(1, Class::MIN);
        let blocks = rig.lease(Class::MIN, 2).expect("space");
        if is_sync {
            rig.medium.fail_sync();
        } else {
            rig.index.fail_commit_after(0);
        }
        rig.occupy(2, blocks[0]);
        rig.release(1);
        for attempt in 0..2 {
            let replies = rig.settle();
            let is_poisoned = |reply: &Reply| {
                matches!(
                    reply,
                    Reply::Failed {
                        fault: Fault::Poisoned,
                        ..
                    }
                )
            };
            assert!(
                replies.len() == 2 && replies.iter().all(is_poisoned),
                "{replies:?}"
            );
            assert!(rig.stats().is_poisoned);
            assert!(rig.is_there(1) && !rig.is_there(2));
            if attempt == 0 {
                // A second attempt could succeed, which would mean nothing: it is not made.
                rig.occupy(3, blocks[1]);
                rig.release(1);
            }
        }
        assert_eq!(rig.lease(Class::MIN, 1), Err(Fault::Poisoned));
        let (id, asked) = (rig.id(), hash(1));
        rig.controller.push(0, Request::Lookup { id, hash: asked });
        assert!(matches!(rig.settle()[..], [Reply::Found { .. }]));
        // Opened again it knows what the medium has.
        let mut prng = Prng::new(1);
        let mut rig = rig_on(
            rig.index.crash(&mut prng),
            rig.medium.crash(&mut prng).0,
            config(),
        );
        assert!(!rig.stats().is_poisoned);
        rig.store(7, Class::MIN);
    }
}

#[test]
fn a_full_file_refuses_leases_and_nothing_else() {
    let mut rig = rig(config());
    rig.store(1, Class::MAX);
    rig.store(2, Class::MAX);
    let begun = rig.now;
    assert_eq!(
        rig.lease(Class::MIN, 1),
        Err(Fault::NoSpace),
        "nothing is about to become free"
    );
    assert_eq!(rig.now, begun);
    assert_eq!(rig.stats().leases_refused, 1);

    // A lease waits for what readers still hold, for a while.
    rig.release(1);
    let (replies, _) = rig.cycle();
    let epoch = 1;
    assert!(matches!(
        replies[0],
        Reply::Released {
            outcome: Released::Released,
            ..
        }
    ));
    let (id, class) = (rig.id(), Class::MAX);
    rig.controller.push(
        0,
        Request::Lease {
            id,
            class,
            count: 1,
            needed: 1,
        },
    );
    let until = rig.now + config().lease_wait;
    assert_eq!(rig.cycle(), (vec![], Next::At(until)));
    rig.controller.push(0, Request::Retired { epoch });
    assert_eq!(rig.cycle().0, vec![], "one worker has not answered");
    rig.controller.push(1, Request::Retired { epoch });
    assert!(matches!(rig.cycle().0[..], [Reply::Leased { .. }]));

    rig.release(2);
    rig.cycle();
    let id = rig.id();
    rig.controller.push(
        0,
        Request::Lease {
            id,
            class,
            count: 1,
            needed: 1,
        },
    );
    assert_eq!(rig.cycle().0, [Reply::Recall], "it has the other block");
    rig.now += config().lease_wait;
    let fault = Fault::NoSpace;
    assert_eq!(rig.cycle().0, [Reply::Failed { id, fault }]);
}

#[test]
fn a_full_index_refuses_what_needs_room_and_releases_in_the_same_batch() {
    let mut rig = rig(config());
    rig.store(1, Class::MIN);
    let blocks = rig.lease(Class::MIN, 2).expect("space");
    rig.index.set_row_count_max(1);
    rig.release(1);
    rig.occupy(2, blocks[0]);
    rig.occupy(3, blocks[1]);
    let replies = rig.settle();
    assert!(
        matches!(
            replies[0],
            Reply::Released {
                outcome: Released::Released,
                ..
            }
        ),
        "{replies:?}"
    );
    let fault = Fault::IndexFull;
    for reply in &replies[1..] {
        assert!(
            matches!(reply, Reply::Failed { fault: f, .. } if *f == fault),
            "{reply:?}"
        );
    }
    assert!(!rig.is_there(1) && !rig.is_there(2));
    let stats = rig.stats();
    assert_eq!(
        (stats.is_poisoned, stats.space.leased[0]),
        (false, 2),
        "the blocks stay leased"
    );
    rig.occupy(2, blocks[0]);
    assert!(
        matches!(rig.settle()[..], [Reply::Stored { .. }]),
        "there is room now"
    );
}

#[test]
fn what_was_promised_is_not_released_before_the_end_of_it() {
    let mut rig = rig(ControllerConfig {
        promises_max: 2,
        ..config()
    });
    rig.store(1, Class::MIN);
    let until = rig.now + Duration::from_millis(50);
    let id = rig.id();
    let hashes: Box<[Hash]> = [hash(1), hash(2)].into();
    rig.controller
        .push(0, Request::Promise { id, hashes, until });
    assert_eq!(
        rig.settle(),
        [Reply::Promised {
            id,
            gone: [hash(2)].into()
        }]
    );
    let id = rig.release(1);
    let outcome = Released::Promised { until };
    assert_eq!(rig.settle(), [Reply::Released { id, outcome }]);
    let id = rig.id();
    let hashes: Box<[Hash]> = [hash(3), hash(4)].into();
    rig.controller
        .push(0, Request::Promise { id, hashes, until });
    let fault = Fault::BusyFor { seconds: 1 };
    assert_eq!(
        rig.settle(),
        [Reply::Failed { id, fault }],
        "the table is full"
    );
    let id = rig.id();
    let (hashes, gone) = ([hash(1), hash(2)].into(), [hash(2)].into());
    rig.controller
        .push(0, Request::Promise { id, hashes, until });
    assert_eq!(
        rig.settle(),
        [Reply::Promised { id, gone }],
        "one is promised already"
    );
    rig.now = until;
    let id = rig.release(1);
    let outcome = Released::Released;
    assert_eq!(rig.settle(), [Reply::Released { id, outcome }]);
}

#[test]
fn relaxed_acknowledges_at_once_and_reuses_only_what_a_crash_cannot_bring_back() {
    let mut rig = rig(ControllerConfig {
        durability: Durability::Relaxed,
        ..config()
    });
    let block = rig.lease(Class::MAX, 1).expect("space")[0];
    let id = rig.occupy(1, block);
    let begun = rig.now;
    let (replies, next) = rig.cycle();
    let stored = Reply::Stored {
        id,
        outcome: Stored::New,
        is_durable: false,
    };
    assert_eq!(replies, [stored]);
    assert_eq!(next, Next::At(begun + config().relaxed_sync));
    let synced = rig.stats().sync_ns.count;
    assert_eq!(
        synced, 1,
        "the file grew: no crash may take back what the index names"
    );
    rig.release(1);
    let replies = rig.settle();
    assert!(
        matches!(replies[..], [Reply::Released { .. }]),
        "{replies:?}"
    );
    let stats = rig.stats();
    assert_eq!(
        (stats.space.retired[Class::MAX.index()], stats.epoch),
        (1, 0),
        "not even asked for"
    );
    rig.now = begun + config().relaxed_sync;
    rig.settle();
    let stats = rig.stats();
    assert_eq!(
        (stats.space.retired[Class::MAX.index()], stats.epoch),
        (0, 1)
    );
    assert_eq!(
        (stats.sync_ns.count, rig.index.unsynced_count()),
        (synced + 1, 0)
    );
}

#[test]
fn relaxed_and_poisoned_there_is_nothing_to_come_back_for() {
    let mut rig = rig(ControllerConfig {
        durability: Durability::Relaxed,
        ..config()
    });
    rig.store(1, Class::MIN);
    rig.index.fail_commit_after(0);
    rig.release(1);
    rig.settle();
    assert!(rig.stats().is_poisoned);
    rig.now += config().relaxed_sync;
    assert_eq!(rig.cycle(), (Vec::new(), Next::Idle));
}

#[test]
fn relaxed_syncs_early_when_space_is_short_and_at_the_end() {
    let mut rig = rig(ControllerConfig {
        durability: Durability::Relaxed,
        ..config()
    });
    rig.store(1, Class::MAX);
    rig.store(2, Class::MAX);
    rig.release(1);
    rig.settle();
    assert!(rig.lease(Class::MAX, 1).is_ok(), "at the same time");
    rig.release(2);
    rig.settle();
    assert_eq!(rig.index.unsynced_count(), 1);
    let now = rig.now;
    assert_eq!(rig.controller.finish(&mut || now), Ok(()));
    assert_eq!(rig.index.unsynced_count(), 0);
}

#[test]
fn damage_is_listed_kept_on_record_and_taken_back_by_the_right_block_only() {
    let mut rig = rig(config());
    let block = rig.store(1, Class::MIN);
    let other = rig.store(2, Class::MIN);
    let damage = Damage::Sum { chunk: 0 };
    let verdict = |block| Request::Damaged {
        hash: hash(1),
        block,
        damage,
    };
    rig.controller.push(0, verdict(other));
    rig.settle();
    assert_eq!(rig.stats().damaged, 0, "about a block it is not in");
    rig.controller.push(0, verdict(block));
    rig.controller.push(1, verdict(block));
    rig.settle();
    let stats = rig.stats();
    assert_eq!(
        (stats.damaged, stats.damaged_list[0].offset),
        (1, block.offset())
    );
    // A start finds it on record.
    let mut rig = rig_on(rig.index.clone(), rig.medium.clone(), config());
    assert_eq!(
        (rig.stats().damaged, rig.stats().damaged_list[0].damage),
        (1, None)
    );
    // It does not count as there, and is replaced.
    let id = rig.id();
    rig.controller
        .push(0, Request::Confirm { id, hash: hash(1) });
    assert_eq!(rig.settle(), [Reply::Missing { id }]);
    let new = rig.lease(Class::MIN, 1).expect("space")[0];
    let id = rig.occupy(1, new);
    let outcome = Stored::Repaired;
    let is_durable = true;
    assert_eq!(
        rig.settle(),
        [Reply::Stored {
            id,
            outcome,
            is_durable
        }]
    );
    let stats = rig.stats();
    assert_eq!(
        (stats.damaged, stats.blocks, stats.space.retired[0]),
        (0, 2, 0)
    );
    let id = rig.id();
    rig.controller
        .push(0, Request::Confirm { id, hash: hash(1) });
    let outcome = Stored::Present;
    assert_eq!(
        rig.settle(),
        [Reply::Stored {
            id,
            outcome,
            is_durable
        }]
    );
    // What was read right after all is taken back too.
    rig.controller.push(0, verdict(new));
    rig.settle();
    let sound = Request::Sound {
        hash: hash(1),
        block: new,
    };
    rig.controller.push(0, sound);
    rig.settle();
    assert_eq!(rig.stats().damaged, 0);
}

#[test]
fn a_row_that_cannot_be_read_is_passed_over_released_and_replaced() {
    let mut rig = rig(config());
    rig.store(1, Class::MIN);
    rig.store(2, Class::MIN);
    rig.store(3, Class::MIN);
    for n in [1, 2] {
        assert!(
            rig.index
                .damage(Table::Blocks, hash(n).as_bytes(), |row| row[20] ^= 1)
        );
    }
    let mut rig = rig_on(rig.index.clone(), rig.medium.clone(), config());
    let stats = rig.stats();
    assert_eq!((stats.rows_corrupt, stats.blocks), (2, 1));
    let (id, asked) = (rig.id(), hash(1));
    rig.controller.push(0, Request::Lookup { id, hash: asked });
    let fault = Fault::Index;
    assert_eq!(rig.settle(), [Reply::Failed { id, fault }]);
    let id = rig.release(1);
    let outcome = Released::Released;
    assert_eq!(rig.settle(), [Reply::Released { id, outcome }]);
    let block = rig.lease(Class::MIN, 1).expect("space")[0];
    let id = rig.occupy(2, block);
    let (outcome, is_durable) = (Stored::Repaired, true);
    assert_eq!(
        rig.settle(),
        [Reply::Stored {
            id,
            outcome,
            is_durable
        }]
    );
    assert_eq!(rig.stats().blocks, 2);
}

#[test]
fn a_start_refuses_rows_that_claim_the_same_or_foreign_space() {
    let record = |unit| Record {
        block: Block::new(unit, Class::MIN).expect("aligned"),
        length: 1,
        created: 0,
        flags: Flags::NONE,
        sums: Sums::of(b"x"),
    };
    for unit in [0, 256] {
        let mut index = MemoryIndex::new();
        index.put_block(&hash(1), &record(0)).expect("room");
        index.put_block(&hash(2), &record(unit)).expect("room");
        index.commit(true).expect("no fault");
        let mut medium = Medium::new(u64::MAX);
        medium.grow(MIB).expect("room");
        let opened = Controller::new(Box::new(index), Box::new(medium), config(), 1);
        let error = opened.expect_err("two rows, one place").to_string();
        assert!(error.contains("hioload blocks check"), "{error}");
    }
}

#[test]
fn a_block_that_was_not_leased_is_not_named() {
    let mut rig = rig(config());
    let block = rig.store(1, Class::MIN);
    let id = rig.occupy(2, block);
    let fault = Fault::Misuse;
    assert_eq!(rig.settle(), [Reply::Failed { id, fault }]);
    assert!(rig.is_there(1) && !rig.is_there(2));
}

#[test]
fn a_worker_has_at_most_its_leases_and_is_told_to_wait() {
    let mut rig = rig(ControllerConfig {
        leases_max: 16,
        ..config()
    });
    assert_eq!(
        rig.lease(Class::MIN, 12).map(|blocks| blocks.len()),
        Ok(Leased::COUNT_MAX)
    );
    assert_eq!(rig.lease(Class::MIN, 12).map(|blocks| blocks.len()), Ok(4));
    assert_eq!(rig.lease(Class::MIN, 1), Err(Fault::Busy));
}

#[test]
fn deletes_wait_when_too_many_freed_blocks_do() {
    let mut rig = rig(ControllerConfig {
        retired_max: 1,
        ..config()
    });
    rig.store(1, Class::MIN);
    rig.store(2, Class::MIN);
    rig.release(1);
    rig.release(2);
    let replies = rig.cycle().0;
    let outcome = |at: usize| match &replies[at] {
        Reply::Released { outcome, .. } => *outcome,
        reply => panic!("{reply:?}"),
    };
    assert_eq!(
        (outcome(0), outcome(1)),
        (Released::Released, Released::Failed(Fault::Busy))
    );
    assert!(rig.is_there(2));
}
