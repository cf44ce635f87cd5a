//! One worker, step by step: what it asks of the driver and of the controller, and what it gives out when.

mod flights;
mod gets;
mod puts;

use super::lookups::ROWS_MAX;
use super::*;
use crate::config::{ControllerConfig, LookupBy, Verify};
use crate::controller::{Controller, Replies};
use crate::fault::Damage;
use crate::fuzzing::medium::Medium;
use crate::index::{Index, MemoryIndex, Table};
use crate::message::{Released, Stored};
use crate::record::Flags;
use crate::sums::Sums;
use hioload_mem::PoolConfig;

const MIB: usize = 1 << 20;
const EIO: i32 = 5;
const ENOSPC: i32 = 28;

struct Rig {
    store: LocalStore,
    controller: Controller,
    index: MemoryIndex,
    medium: Medium,
    buffers: BufferPool,
    now: Time,
    file_ops: Vec<FileOp>,
    events: Vec<Event>,
    /// Contents that were told to be new.
    added: Vec<Hash>,
    /// File operations so far: writes, reads.
    counts: (usize, usize),
}

fn content(length: usize) -> Vec<u8> {
    (0..length).map(|n| (n % 251) as u8).collect()
}

fn rig(config: LocalConfig) -> Rig {
    rig_with(config, PoolConfig::with_budget(16 * MIB))
}

fn rig_with(config: LocalConfig, memory: PoolConfig) -> Rig {
    let index = MemoryIndex::new();
    let medium = Medium::new(u64::MAX);
    let controller_config = ControllerConfig {
        size_initial: 0,
        size_max: 2 * MIB as u64,
        grow_step: MIB as u64,
        ..ControllerConfig::default()
    };
    let boxed = (Box::new(index.clone()), Box::new(medium.clone()));
    let controller =
        Controller::new(boxed.0, boxed.1, controller_config, 1).expect("an empty store");
    let buffers = BufferPool::new(memory).expect("a legal pool");
    let reader = index.reader().expect("room");
    let mut rig = Rig {
        store: LocalStore::new(config, reader, buffers.clone()).expect("legal"),
        controller,
        index,
        medium,
        buffers,
        now: Time::from_millis(1),
        file_ops: Vec::new(),
        events: Vec::new(),
        added: Vec::new(),
        counts: (0, 0),
    };
    rig.run();
    rig
}

fn plain() -> LocalConfig {
    LocalConfig {
        pool_targets: [1, 1, 1, 1, 1, 1, 0, 0],
        cache_size: 0,
        ..LocalConfig::default()
    }
}

fn caching() -> LocalConfig {
    LocalConfig {
        cache_size: MIB,
        ..plain()
    }
}

impl Rig {
    /// What the store gave out: operations and events are kept, requests stay.
    fn collect(&mut self) {
        self.store.hash();
        while let Some(op) = self.store.next_file_op() {
            match op {
                FileOp::Write { .. } => self.counts.0 += 1,
                FileOp::Read { .. } => self.counts.1 += 1,
            }
            self.file_ops.push(op);
        }
        while let Some(event) = self.store.next_event() {
            match event {
                Event::Added { hash } => self.added.push(hash),
                event => self.events.push(event),
            }
        }
    }

    /// Requests to the controller and its replies back.
    fn talk(&mut self) {
        self.store.hash();
        self.store.poll(self.now);
        while let Some(request) = self.store.next_request() {
            self.controller.push(0, request);
        }
        loop {
            let mut replies = Replies::new();
            let now = self.now;
            let next = self.controller.cycle(&mut || now, &mut replies);
            let is_over = replies.is_empty() && next != crate::controller::Next::Again;
            for (_, reply) in replies {
                self.store.handle_reply(self.now, reply);
            }
            if is_over {
                break;
            }
            while let Some(request) = self.store.next_request() {
                self.controller.push(0, request);
            }
        }
        self.collect();
    }

    /// As the rest of a turn before its end: requests to the controller and its replies, while nothing is hashed.
    fn talk_without_hashing(&mut self) {
        for _ in 0..3 {
            while let Some(request) = self.store.next_request() {
                self.controller.push(0, request);
            }
            let (now, mut replies) = (self.now, Replies::new());
            while self.controller.cycle(&mut || now, &mut replies) == crate::controller::Next::Again
            {
            }
            for (_, reply) in replies {
                self.store.handle_reply(now, reply);
            }
        }
    }

    /// Ends the first file operation with this result, or as it should.
    fn end_op(&mut self, result: Option<Result<usize, i32>>) {
        let op = self.file_ops.remove(0);
        self.hand_over(op, result);
        self.collect();
    }

    /// The same to any, within a turn: nothing is taken from the store afterwards, so nothing is hashed.
    fn hand_over(&mut self, op: FileOp, result: Option<Result<usize, i32>>) {
        match op {
            FileOp::Write {
                token,
                offset,
                content,
            } => {
                let result = result.unwrap_or(Ok(content.len()));
                let size = result.unwrap_or(0);
                self.medium.write(offset, &content[..size - size % 4096]);
                self.store.handle_written(self.now, token, result);
            }
            FileOp::Read {
                token,
                offset,
                len,
                mut buffer,
            } => {
                self.medium.read(offset, &mut buffer.spare_mut()[..len]);
                let result = result.unwrap_or(Ok(len));
                buffer.advance(result.unwrap_or(0));
                self.store.handle_read(self.now, token, result, buffer);
            }
        }
    }

    fn run(&mut self) {
        for _ in 0..1000 {
            self.talk();
            if self.file_ops.is_empty() && self.store.is_idle() {
                return;
            }
            while !self.file_ops.is_empty() {
                self.end_op(None);
            }
        }
    }

    fn begin(&mut self, expected: Option<Hash>, length: Option<u32>) -> PutKey {
        let begun = self.store.put_begin(self.now, 7, expected, length);
        begun.expect("room for a PUT")
    }

    /// A whole PUT; its last event.
    fn put(&mut self, content: &[u8]) -> Event {
        let key = self.begin(None, Some(content.len() as u32));
        self.send(key, content);
        self.store.put_end(self.now, key);
        self.run();
        self.events.pop().expect("an answer")
    }

    /// All of a body, waiting for room where there is none.
    fn send(&mut self, key: PutKey, content: &[u8]) {
        let mut sent = 0;
        for _ in 0..1000 {
            sent += self.store.put_data(self.now, key, &content[sent..]);
            self.collect();
            if sent == content.len() {
                return;
            }
            self.run();
        }
        panic!("the body is held for ever");
    }

    fn found(&mut self, content: &[u8]) -> GetKey {
        match self.store.get_begin(self.now, 8, &Hash::of(content)) {
            Ok(GetBegin::Found(key, head)) => {
                assert_eq!(head.length as usize, content.len());
                key
            }
            other => panic!("{other:?}"),
        }
    }

    fn poll(&mut self, key: GetKey, room: usize) -> (Vec<u8>, GetPoll) {
        let mut out = Vec::new();
        let left = self.store.get_poll(self.now, key, room, &mut out);
        self.collect();
        (
            out.iter().flat_map(|segment| segment.to_vec()).collect(),
            left,
        )
    }

    /// What a GET of this range brings, its events apart.
    fn get(&mut self, content: &[u8], range: Range<u32>) -> Vec<u8> {
        let key = self.found(content);
        self.all_of(key, range)
    }

    fn get_from_medium(&mut self, content: &[u8]) -> Vec<u8> {
        let hash = Hash::of(content);
        match self.store.get_begin_from_medium(self.now, 8, &hash) {
            Ok(GetBegin::Found(key, _)) => self.all_of(key, 0..u32::MAX),
            other => panic!("{other:?}"),
        }
    }

    fn all_of(&mut self, key: GetKey, range: Range<u32>) -> Vec<u8> {
        self.store.get_start(key, range);
        let mut all = Vec::new();
        for _ in 0..1000 {
            let (bytes, left) = self.poll(key, MIB);
            all.extend(bytes);
            if matches!(left, GetPoll::Done | GetPoll::Gone) {
                return all;
            }
            self.run();
        }
        panic!("the content never comes");
    }

    fn assert_nothing_is_lost(&mut self) {
        self.run();
        let stats = self.store.stats();
        assert_eq!((stats.puts, stats.gets, stats.calls), (0, 0, 0));
        assert_eq!(
            (stats.write_memory, stats.gather_memory, stats.read_memory),
            (0, 0, 0)
        );
        assert_eq!(self.buffers.stats().bytes_in_use, 0);
        self.controller.check().expect("all space is known");
        let leased = self.controller.stats().space.leased;
        assert_eq!(leased, stats.pools.map(|pool| pool.free));
    }
}

#[test]
fn a_block_that_was_not_used_is_the_next_one_used() {
    let mut rig = rig(plain());
    let first = content(4000);
    rig.put(&first);
    let second = content(4001);
    let key = rig.begin(Some(Hash::of(&second)), Some(4001));
    rig.send(key, &second);
    rig.store.put_end(rig.now, key);
    rig.collect();
    rig.end_op(Some(Err(ENOSPC)));
    let is_return = |request: &Request| matches!(request, Request::Return { .. });
    let requests: Vec<Request> = std::iter::from_fn(|| rig.store.next_request()).collect();
    assert!(!requests.iter().any(is_return), "{requests:?}");
    assert_eq!(rig.store.stats().pools[0].free, 1);
}

#[test]
fn the_controller_may_be_asked_for_addresses() {
    let mut rig = rig(LocalConfig {
        lookup_by: LookupBy::Controller,
        ..plain()
    });
    let content = content(4000);
    rig.put(&content);
    for (wanted, is_there) in [(Hash::of(&content), true), (Hash::MIN, false)] {
        let begun = rig.store.get_begin(rig.now, 3, &wanted);
        let Ok(GetBegin::Asked(key)) = begun else {
            panic!("{begun:?}");
        };
        rig.talk();
        match rig.events.pop() {
            Some(Event::GetFound { head, user: 3, .. }) => assert!(is_there && head.length == 4000),
            Some(Event::GetMissing { user: 3, .. }) => assert!(!is_there),
            event => panic!("{event:?}"),
        }
        if is_there {
            rig.store.get_start(key, 0..u32::MAX);
            rig.poll(key, MIB);
            rig.end_op(None);
            assert_eq!(rig.poll(key, MIB).0, content);
        }
    }
    // Nobody waits for the address any more.
    rig.events.clear();
    let Ok(GetBegin::Asked(key)) = rig.store.get_begin(rig.now, 3, &Hash::of(&content)) else {
        panic!("room for a GET");
    };
    rig.store.get_abort(rig.now, key);
    rig.assert_nothing_is_lost();
    assert!(rig.events.is_empty());
}

#[test]
fn a_block_on_record_as_damaged_that_reads_right_is_sound_again() {
    let mut rig = rig(plain());
    let content = content(70_000);
    rig.put(&content);
    let mut record = Record::blank();
    let mut reader = rig.index.reader().expect("room");
    assert_eq!(reader.block(&Hash::of(&content), &mut record), Ok(true));
    let mut index = rig.index.clone();
    record.flags = Flags::DAMAGED;
    index.put_block(&Hash::of(&content), &record).expect("room");
    index.commit(true).expect("no fault");
    assert_eq!(rig.store.has(&Hash::of(&content)), Ok(false));
    assert_eq!(rig.get(&content, 0..100), content[..100]);
    rig.run();
    assert_eq!(
        rig.store.has(&Hash::of(&content)),
        Ok(false),
        "a part says nothing of the whole"
    );
    assert_eq!(rig.get(&content, 0..u32::MAX), content);
    rig.run();
    assert_eq!(rig.store.has(&Hash::of(&content)), Ok(true));
}

#[test]
fn calls_are_bounded_and_names_checked() {
    let mut rig = rig(LocalConfig {
        calls_max: 2,
        hashes_max: 3,
        ..plain()
    });
    assert_eq!(
        rig.store.delete_many(1, [Hash::MIN; 4].into()),
        Err(Fault::Misuse)
    );
    assert_eq!(
        rig.store.missing(1, vec![Hash::MIN; 4], Duration::ZERO),
        Err(Fault::Misuse)
    );
    for (size, is_legal) in [(0, false), (1, true), (256, true), (257, false)] {
        let call = crate::message::Unrefer {
            hash: Hash::MIN,
            name: vec![b'n'; size].into(),
        };
        assert_eq!(rig.store.unrefer(1, call).is_ok(), is_legal, "{size}");
    }
    assert_eq!(rig.store.delete(1, &Hash::MIN), Err(Fault::Busy));
    rig.run();
    assert_eq!(
        rig.store.missing(1, vec![Hash::MIN; 3], Duration::ZERO),
        Ok(())
    );
    rig.run();
    assert!(matches!(rig.events.pop(), Some(Event::Missing { hashes, .. }) if hashes.len() == 3));
    rig.assert_nothing_is_lost();
}

#[test]
fn a_long_question_takes_several_turns_and_no_place_of_a_short_one() {
    let mut rig = rig(LocalConfig {
        calls_max: 2,
        ..plain()
    });
    let there = content(100);
    rig.put(&there);
    let unknown = |n: usize| Hash::of(&n.to_le_bytes());
    let mut long: Vec<Hash> = (0..2 * ROWS_MAX).map(unknown).collect();
    long.push(Hash::of(&there));
    let now = rig.now;
    rig.store.poll(now);
    let asked = rig.store.missing(1, long.clone(), Duration::ZERO);
    assert_eq!(asked, Ok(()));
    let asked = rig.store.missing(2, vec![unknown(0)], Duration::ZERO);
    assert_eq!(asked, Ok(()));
    let asked = rig.store.missing(3, vec![], Duration::ZERO);
    assert_eq!(asked, Err(Fault::Busy), "those in line count");
    assert_eq!(rig.store.poll(now), Some(now), "it goes on at once");
    assert!(!rig.store.has_requests() && !rig.store.has_events());
    assert!(!rig.store.is_idle());
    assert_ne!(rig.store.poll(now), Some(now), "all is looked up");
    rig.run();
    let missing = |user: u64| {
        let events = rig.events.iter();
        let mut of_user = events.filter_map(move |event| match event {
            Event::Missing {
                user: of, hashes, ..
            } if *of == user => Some(hashes.to_vec()),
            _ => None,
        });
        of_user.next()
    };
    assert_eq!(missing(1).as_deref(), Some(&long[..2 * ROWS_MAX]));
    assert_eq!(missing(2), Some(vec![unknown(0)]));
    rig.assert_nothing_is_lost();
}

#[test]
fn a_row_that_cannot_be_read_is_missing_and_a_put_repairs_it() {
    let mut rig = rig(plain());
    let (sound, damaged) = (content(100), content(200));
    rig.put(&sound);
    rig.put(&damaged);
    let hashes = [Hash::of(&sound), Hash::of(&damaged)];
    let flip = |row: &mut Vec<u8>| row[8] ^= 1;
    assert!(rig.index.damage(Table::Blocks, hashes[1].as_bytes(), flip));
    for missing in [&hashes[1..], &[]] {
        let asked = rig.store.missing(1, hashes.to_vec(), Duration::ZERO);
        assert_eq!(asked, Ok(()));
        rig.run();
        let event = rig.events.pop();
        assert!(
            matches!(&event, Some(Event::Missing { hashes, .. }) if **hashes == *missing),
            "{event:?}"
        );
        let put = rig.put(&damaged);
        assert_eq!(
            matches!(
                put,
                Event::Stored {
                    outcome: Stored::Repaired,
                    ..
                }
            ),
            !missing.is_empty()
        );
    }
    rig.assert_nothing_is_lost();
}

#[test]
fn puts_and_gets_are_bounded() {
    let mut rig = rig(LocalConfig {
        puts_max: 1,
        gets_max: 1,
        ..plain()
    });
    let content = content(100);
    rig.put(&content);
    let put = rig.begin(None, Some(1));
    let refused = rig.store.put_begin(rig.now, 1, None, Some(1));
    assert_eq!(refused, Err(PutError::Fault(Fault::Busy)));
    let get = rig.found(&content);
    assert_eq!(
        rig.store.get_begin(rig.now, 1, &Hash::of(&content)),
        Err(Fault::Busy)
    );
    rig.store.put_abort(rig.now, put);
    rig.store.get_abort(rig.now, get);
    rig.begin(None, Some(1));
    rig.found(&content);
}

#[test]
fn pools_are_filled_at_the_start_and_again() {
    let mut rig = rig(LocalConfig {
        pool_targets: [10, 10, 10, 0, 0, 0, 0, 0],
        ..plain()
    });
    let free = |rig: &mut Rig| rig.store.stats().pools.map(|pool| pool.free);
    assert_eq!(free(&mut rig)[..3], [10, 10, 10]);
    for n in 1..10 {
        rig.put(&content(n));
    }
    assert!(free(&mut rig)[0] >= 7, "{:?}", free(&mut rig));
    rig.store.return_blocks();
    while let Some(request) = rig.store.next_request() {
        rig.controller.push(0, request);
    }
    rig.controller.check().expect("all space is known");
    assert_eq!(rig.controller.stats().space.leased, [0; Class::COUNT]);
}
