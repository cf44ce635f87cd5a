//! One worker, step by step: what it asks of the driver and of the controller, and what it gives out when.

use super::*;
use crate::config::{ControllerConfig, LookupBy, Verify};
use crate::controller::{Controller, Replies};
use crate::fault::Damage;
use crate::fuzzing::medium::Medium;
use crate::index::{Index, MemoryIndex};
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
    /// File operations so far: writes, reads.
    counts: (usize, usize),
}

fn content(length: usize) -> Vec<u8> {
    (0..length).map(|n| (n % 251) as u8).collect()
}

fn rig(config: LocalConfig) -> Rig {
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
    let buffers = BufferPool::new(PoolConfig::with_budget(16 * MIB)).expect("16 MiB");
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

impl Rig {
    /// What the store gave out: operations and events are kept, requests stay.
    fn collect(&mut self) {
        while let Some(op) = self.store.next_file_op() {
            match op {
                FileOp::Write { .. } => self.counts.0 += 1,
                FileOp::Read { .. } => self.counts.1 += 1,
            }
            self.file_ops.push(op);
        }
        while let Some(event) = self.store.next_event() {
            self.events.push(event);
        }
    }

    /// Requests to the controller and its replies back.
    fn talk(&mut self) {
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

    /// Ends the first file operation with this result, or as it should.
    fn end_op(&mut self, result: Option<Result<usize, i32>>) {
        match self.file_ops.remove(0) {
            FileOp::Write {
                token,
                offset,
                buffer,
            } => {
                let result = result.unwrap_or(Ok(buffer.len()));
                let size = result.unwrap_or(0);
                self.medium
                    .write(offset, &buffer.as_slice()[..size - size % 4096]);
                self.store.handle_file(self.now, token, result, buffer);
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
                self.store.handle_file(self.now, token, result, buffer);
            }
        }
        self.collect();
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
fn a_small_put_is_one_write_and_one_request() {
    let mut rig = rig(plain());
    let before = rig.store.stats();
    let content = content(4000);
    let key = rig.begin(Some(Hash::of(&content)), Some(4000));
    assert_eq!(rig.store.put_room(key), 4000);
    assert_eq!(rig.store.put_data(rig.now, key, &content), 4000);
    rig.store.put_end(rig.now, key);
    rig.collect();
    assert!(matches!(&rig.file_ops[..], [FileOp::Write { buffer, .. }] if buffer.len() == 4096));
    assert!(
        rig.store.next_request().is_none(),
        "not before it is written"
    );
    rig.end_op(None);
    let request = rig.store.next_request();
    assert!(
        matches!(
            &request,
            Some(Request::Occupy {
                length: 4000,
                sums: Sums::One(_),
                ..
            })
        ),
        "{request:?}"
    );
    rig.store.put_back(request.expect("just seen"));
    rig.run();
    let outcome = Stored::New;
    assert!(matches!(rig.events[..], [Event::Stored { outcome: o, user: 7, .. }] if o == outcome));
    assert_eq!(rig.store.stats().writes - before.writes, 1);
    assert_eq!(rig.get(&content, 0..u32::MAX), content);
    rig.assert_nothing_is_lost();
}

#[test]
fn every_length_comes_back_in_every_way() {
    for length in [
        1, 4095, 4096, 4097, 65_535, 65_536, 65_537, 200_000, 524_287, 524_288,
    ] {
        for (is_named, is_known) in [(true, true), (false, true), (true, false), (false, false)] {
            let mut rig = rig(plain());
            let content = content(length);
            let expected = is_named.then(|| Hash::of(&content));
            let key = rig.begin(expected, is_known.then_some(length as u32));
            content.chunks(50_001).for_each(|part| rig.send(key, part));
            rig.store.put_end(rig.now, key);
            rig.run();
            assert!(
                matches!(
                    rig.events[..],
                    [
                        ..,
                        Event::Stored {
                            outcome: Stored::New,
                            ..
                        }
                    ]
                ),
                "{length}"
            );
            assert_eq!(rig.get(&content, 0..u32::MAX), content);
            let class = Class::for_length(length as u32).expect("legal");
            assert_eq!(rig.controller.stats().space.stored[class.index()], 1);
            rig.assert_nothing_is_lost();
        }
    }
}

#[test]
fn what_is_wrong_with_a_body_is_told_and_nothing_is_stored() {
    let body = content(5000);
    let lie = Hash::of(b"a lie");
    let found = Hash::of(&body);
    let (expected, received) = (4999, 5000);
    let cases: [(Option<Hash>, Option<u32>, usize, PutError); 4] = [
        (Some(lie), Some(5000), 5000, PutError::Mismatch { found }),
        (Some(lie), None, 5000, PutError::Mismatch { found }),
        (
            None,
            Some(4999),
            5000,
            PutError::Length { expected, received },
        ),
        (
            None,
            Some(5000),
            4999,
            PutError::Length {
                expected: 5000,
                received: 4999,
            },
        ),
    ];
    for (name, length, sent, error) in cases {
        let mut rig = rig(plain());
        let key = rig.begin(name, length);
        rig.send(key, &body[..sent]);
        rig.store.put_end(rig.now, key);
        rig.run();
        assert!(
            matches!(rig.events[..], [Event::PutFailed { error: e, .. }] if e == error),
            "{:?}",
            rig.events
        );
        assert_eq!(rig.controller.stats().blocks, 0);
        rig.assert_nothing_is_lost();
    }
    let mut rig = rig(plain());
    let now = rig.now;
    let refused = |store: &mut LocalStore, length| {
        store
            .put_begin(now, 1, None, Some(length))
            .expect_err("no block")
    };
    assert_eq!(refused(&mut rig.store, 0), PutError::Empty);
    assert_eq!(refused(&mut rig.store, 524_289), PutError::TooLong);
    let key = rig.begin(None, None);
    rig.store.put_end(rig.now, key);
    let key = rig.begin(None, None);
    rig.send(key, &content(524_289));
    assert_eq!(
        rig.store.put_data(rig.now, key, &body),
        5000,
        "what still comes is dropped"
    );
    rig.run();
    let errors = rig.events.iter().map(|event| match event {
        Event::PutFailed { error, .. } => *error,
        event => panic!("{event:?}"),
    });
    assert_eq!(
        errors.collect::<Vec<_>>(),
        [PutError::Empty, PutError::TooLong]
    );
    rig.assert_nothing_is_lost();
}

/// Aborts after each step there is: begun, so many bytes, so many writes ended, asked.
#[test]
fn an_abort_at_any_step_leaks_nothing() {
    for length in [100, 70_000, 300_000] {
        for is_known in [true, false] {
            for step in 0..24 {
                let mut rig = rig(plain());
                let content = content(length);
                let key = rig.begin(None, is_known.then_some(length as u32));
                let mut steps = 0..step;
                let mut sent = 0;
                while steps.next().is_some() {
                    if sent < length {
                        let end = (sent + 40_000).min(length);
                        sent += rig.store.put_data(rig.now, key, &content[sent..end]);
                        if sent == length {
                            rig.store.put_end(rig.now, key);
                        }
                        rig.collect();
                    } else if !rig.file_ops.is_empty() {
                        rig.end_op(None);
                        continue;
                    }
                    rig.talk();
                }
                let was_stored = rig.controller.stats().blocks;
                rig.store.put_abort(rig.now, key);
                rig.collect();
                rig.assert_nothing_is_lost();
                let is_stored = rig.controller.stats().blocks;
                assert!(is_stored == was_stored || rig.events.is_empty());
            }
        }
    }
}

#[test]
fn a_content_that_is_stored_is_not_written_again() {
    let mut rig = rig(plain());
    for length in [4000, 300_000] {
        let content = content(length);
        rig.put(&content);
        let writes = rig.counts.0;
        let key = rig.begin(Some(Hash::of(&content)), Some(length as u32));
        rig.send(key, &content);
        rig.store.put_end(rig.now, key);
        rig.run();
        assert!(matches!(
            rig.events.pop(),
            Some(Event::Stored {
                outcome: Stored::Present,
                ..
            })
        ));
        assert_eq!(rig.counts.0, writes);
        // Its hash is verified all the same.
        let key = rig.begin(Some(Hash::of(&content)), Some(length as u32));
        let mut other = content.clone();
        other[17] ^= 1;
        rig.send(key, &other);
        rig.store.put_end(rig.now, key);
        rig.run();
        assert!(matches!(
            rig.events.pop(),
            Some(Event::PutFailed {
                error: PutError::Mismatch { .. },
                ..
            })
        ));
    }
    assert_eq!(rig.store.stats().unwritten, 2);
    rig.assert_nothing_is_lost();
}

#[test]
fn a_content_deleted_while_it_came_again_is_written_after_all() {
    let mut rig = rig(plain());
    let content = content(100_000);
    rig.put(&content);
    let hash = Hash::of(&content);
    let key = rig.begin(Some(hash), Some(100_000));
    rig.send(key, &content);
    rig.store.delete(9, &hash).expect("room");
    rig.talk();
    rig.store.put_end(rig.now, key);
    rig.run();
    assert!(matches!(
        rig.events[..],
        [
            Event::Deleted {
                outcome: Released::Released,
                ..
            },
            Event::Stored {
                outcome: Stored::New,
                ..
            }
        ]
    ));
    assert_eq!(rig.get(&content, 0..u32::MAX), content);
    rig.assert_nothing_is_lost();
}

#[test]
fn failed_writes_fail_the_put_and_their_block_is_not_used_again() {
    for (code, error, suspects) in [
        (EIO, PutError::Fault(Fault::Io(EIO)), 1),
        (ENOSPC, PutError::Fault(Fault::NoSpace), 0),
    ] {
        let mut rig = rig(plain());
        let content = content(200_000);
        let key = rig.begin(None, Some(200_000));
        rig.talk();
        rig.send(key, &content[..140_000]);
        rig.talk();
        assert_eq!(rig.file_ops.len(), 2, "each full piece is written at once");
        rig.end_op(Some(Err(code)));
        assert!(matches!(rig.events[..], [Event::PutFailed { error: e, .. }] if e == error));
        assert_eq!(
            rig.store.put_data(rig.now, key, &content[140_000..]),
            60_000
        );
        rig.store.put_end(rig.now, key);
        rig.assert_nothing_is_lost();
        let suspect: u64 = rig.controller.stats().space.suspect.iter().sum();
        assert_eq!(suspect, suspects);
    }
}

#[test]
fn short_and_interrupted_writes_are_completed_up_to_a_bound() {
    let mut rig = rig(plain());
    let content = content(60_000);
    let key = rig.begin(None, Some(60_000));
    rig.send(key, &content);
    rig.store.put_end(rig.now, key);
    rig.talk();
    for result in [Err(4), Ok(5000), Ok(4095), Err(11), Ok(8192)] {
        assert_eq!(rig.file_ops.len(), 1);
        rig.end_op(Some(result));
    }
    assert!(
        matches!(&rig.file_ops[..], [FileOp::Write { buffer, .. }] if buffer.len() == 61_440 - 12_288)
    );
    rig.run();
    assert!(matches!(rig.events.pop(), Some(Event::Stored { .. })));
    assert_eq!(rig.get(&content, 0..u32::MAX), content);

    let key = rig.begin(None, Some(100));
    rig.send(key, &content[..100]);
    rig.store.put_end(rig.now, key);
    rig.talk();
    let mut count = 0;
    while !rig.file_ops.is_empty() {
        rig.end_op(Some(Err(4)));
        count += 1;
    }
    assert_eq!(count, 17);
    assert!(matches!(
        rig.events.pop(),
        Some(Event::PutFailed {
            error: PutError::Fault(Fault::Io(EIO)),
            ..
        })
    ));
    rig.assert_nothing_is_lost();
}

#[test]
fn a_body_is_held_back_while_pieces_are_not_written_or_the_controller_is_behind() {
    let mut rig = rig(LocalConfig {
        depth: 2,
        requests_max: 1,
        ..plain()
    });
    let content = content(400_000);
    let key = rig.begin(None, Some(400_000));
    let taken = rig.store.put_data(rig.now, key, &content);
    assert_eq!(taken, 2 * 65_536, "two pieces, and no block for them yet");
    assert_eq!(rig.store.put_room(key), 0);
    rig.talk();
    assert_eq!(rig.file_ops.len(), 2);
    rig.end_op(None);
    assert!(matches!(rig.events[..], [Event::PutReady { user: 7, .. }]));
    rig.end_op(None);
    // The queue to the controller does not move.
    rig.store.delete(1, &Hash::MIN).expect("room");
    let sent = taken + rig.store.put_data(rig.now, key, &content[taken..]);
    assert_eq!(sent, taken + 65_536, "a piece begun is filled");
    assert_eq!(rig.store.put_data(rig.now, key, &content[sent..]), 0);
    rig.events.clear();
    rig.talk();
    rig.talk();
    assert!(
        rig.events
            .iter()
            .any(|event| matches!(event, Event::PutReady { .. }))
    );
    rig.send(key, &content[sent..]);
    rig.store.put_end(rig.now, key);
    rig.run();
    assert_eq!(rig.get(&content, 0..u32::MAX), content);
    rig.assert_nothing_is_lost();
}

#[test]
fn bodies_of_unknown_length_wait_for_memory_in_turn() {
    let mut rig = rig(LocalConfig {
        gather_memory: 512 << 10,
        ..plain()
    });
    let [first, second] = [(); 2].map(|()| rig.begin(None, None));
    let body = content(10_000);
    assert_eq!(rig.store.put_data(rig.now, second, &body), 0);
    rig.send(first, &body);
    rig.store.put_end(rig.now, first);
    rig.run();
    assert!(
        matches!(rig.events[..], [Event::Stored { .. }, Event::PutReady { key, .. }] if key == second)
    );
    rig.send(second, &body[..5000]);
    rig.store.put_abort(rig.now, second);
    rig.assert_nothing_is_lost();
}

#[test]
fn a_body_of_unknown_length_may_end_with_a_piece() {
    let mut rig = rig(plain());
    let content = content(2 * 65_536);
    let key = rig.begin(None, None);
    rig.send(key, &content);
    // The socket asks for room before it knows that nothing more comes.
    assert!(rig.store.put_room(key) > 0);
    rig.store.put_end(rig.now, key);
    rig.run();
    assert!(matches!(
        rig.events[..],
        [Event::Stored {
            length: 131_072,
            ..
        }]
    ));
    assert_eq!(rig.get_from_medium(&content), content);
    rig.assert_nothing_is_lost();
}

#[test]
fn no_space_refuses_a_put_at_once_until_there_is_some() {
    let mut rig = rig(plain());
    let mut stored = Vec::new();
    let mut is_refused = false;
    for n in 0..10u8 {
        let mut content = content(524_288);
        content[0] = n + 1;
        let Ok(key) = rig.store.put_begin(rig.now, 7, None, Some(524_288)) else {
            is_refused = true;
            break;
        };
        rig.send(key, &content);
        rig.store.put_end(rig.now, key);
        rig.run();
        match rig.events.pop() {
            Some(Event::Stored { .. }) => stored.push(content),
            Some(Event::PutFailed { error, .. }) => {
                assert_eq!(error, PutError::Fault(Fault::NoSpace));
            }
            event => panic!("{event:?}"),
        }
    }
    assert!(is_refused, "before the body is read, once it is known");
    assert_eq!(stored.len(), 4, "2 MiB, and what was at hand came back");
    assert_eq!(rig.get(&stored[0], 0..u32::MAX), stored[0]);
    rig.store
        .delete(1, &Hash::of(&stored[0]))
        .expect("a full store deletes");
    rig.run();
    // What was refused just now is not asked for again; after a pause a PUT finds out.
    rig.now += crate::pools::REFUSAL_PAUSE;
    let key = rig.store.put_begin(rig.now, 7, None, Some(524_288));
    assert!(key.is_ok(), "{key:?}");
    rig.store.put_abort(rig.now, key.expect("just seen"));
    rig.assert_nothing_is_lost();
}

#[test]
fn what_is_recalled_is_what_no_put_has() {
    let mut rig = rig(plain());
    let content = content(200_000);
    let key = rig.begin(None, Some(200_000));
    rig.talk();
    rig.send(key, &content[..140_000]);
    rig.talk();
    let at_hand = rig.store.stats().pools.map(|pool| pool.free);
    assert_eq!(at_hand, [1, 1, 1, 1, 1, 1, 1, 0]);
    rig.store.handle_reply(rig.now, Reply::Recall);
    let requests: Vec<Request> = std::iter::from_fn(|| rig.store.next_request()).collect();
    let is_return =
        |request: &Request| matches!(request, Request::ReturnMany { blocks } if blocks.len() == 1);
    let (last, returns) = requests.split_last().expect("an answer");
    assert!(matches!(last, Request::Recalled), "{requests:?}");
    assert!(
        returns.len() == 7 && returns.iter().all(is_return),
        "{requests:?}"
    );
    for request in requests {
        rig.controller.push(0, request);
    }
    let leased = rig.controller.stats().space.leased;
    assert_eq!(leased, [0, 0, 0, 0, 0, 0, 1, 0], "where the body goes");
    rig.send(key, &content[140_000..]);
    rig.store.put_end(rig.now, key);
    rig.run();
    assert!(matches!(rig.events[..], [Event::Stored { .. }]));
    assert_eq!(rig.get(&content, 0..u32::MAX), content);
    // After a pause it has some at hand again.
    rig.now += crate::pools::REFUSAL_PAUSE;
    rig.assert_nothing_is_lost();
    assert_eq!(rig.store.stats().pools[0].free, 1);
}

#[test]
fn a_range_reads_only_the_units_it_needs() {
    let mut rig = rig(plain());
    let content = content(300_000);
    rig.put(&content);
    for (range, bytes) in [
        (0..1, 4096),
        (4095..4097, 8192),
        (100_000..100_001, 4096),
        (299_999..300_000, 4096),
    ] {
        let key = rig.found(&content);
        rig.store.get_start(key, range.clone());
        rig.poll(key, MIB);
        let lens = rig.file_ops.iter().map(|op| match op {
            FileOp::Read { len, .. } => *len,
            FileOp::Write { .. } => 0,
        });
        assert_eq!(lens.sum::<usize>(), bytes, "{range:?}");
        rig.end_op(None);
        let (got, left) = rig.poll(key, MIB);
        assert_eq!(
            (&got[..], left),
            (
                &content[range.start as usize..range.end as usize],
                GetPoll::Done
            )
        );
    }
    assert!(rig.get(&content, 5..5).is_empty(), "nothing is wanted");
    rig.assert_nothing_is_lost();
}

#[test]
fn reads_go_as_far_as_the_socket_and_no_more_than_the_depth() {
    let mut rig = rig(LocalConfig {
        depth: 3,
        ..plain()
    });
    let content = content(524_288);
    rig.put(&content);
    rig.file_ops.clear();
    let key = rig.found(&content);
    rig.store.get_start(key, 0..u32::MAX);
    assert_eq!(rig.poll(key, 0), (vec![], GetPoll::More));
    assert_eq!(
        rig.file_ops.len(),
        0,
        "a socket without room is not read for"
    );
    rig.poll(key, 65_537);
    assert_eq!(rig.file_ops.len(), 2);
    rig.poll(key, MIB);
    assert_eq!(rig.file_ops.len(), 3);
    // Out of order: nothing is given out before its turn.
    rig.file_ops.rotate_left(1);
    rig.end_op(None);
    assert_eq!(rig.poll(key, MIB), (vec![], GetPoll::Waiting));
    rig.file_ops.rotate_left(1);
    rig.end_op(None);
    assert!(matches!(rig.events.pop(), Some(Event::GetReady { .. })));
    let (got, left) = rig.poll(key, 100_000);
    assert_eq!((&got[..], left), (&content[..100_000], GetPoll::More));
    rig.store.get_abort(rig.now, key);
    rig.assert_nothing_is_lost();
}

#[test]
fn damage_is_told_before_the_first_byte_or_breaks_what_was_begun() {
    for (at, is_first) in [(0, true), (65_535, true), (65_536, false), (299_999, false)] {
        let mut rig = rig(plain());
        let content = content(300_000);
        rig.put(&content);
        let mut record = Record::blank();
        let mut reader = rig.index.reader().expect("room");
        assert_eq!(reader.block(&Hash::of(&content), &mut record), Ok(true));
        rig.medium.rot(record.block.offset() + at, 3);
        let reads = rig.counts.1;
        let key = rig.found(&content);
        rig.store.get_start(key, 0..u32::MAX);
        let mut got = Vec::new();
        loop {
            let (bytes, left) = rig.poll(key, 65_536);
            got.extend(bytes);
            if left == GetPoll::Gone {
                break;
            }
            rig.run();
        }
        let chunk = (at / 4096) as u32;
        let damage = Damage::Sum { chunk };
        assert_eq!(got, content[..got.len()]);
        assert_eq!(got.is_empty(), is_first);
        assert!(got.len() <= at as usize);
        let told = rig.events.iter().any(|event| match event {
            Event::Damaged { damage: d, .. } => is_first && *d == damage,
            Event::Broken { damage: d, .. } => !is_first && *d == damage,
            _ => false,
        });
        assert!(told, "{:?}", rig.events);
        assert!(rig.counts.1 > reads + 1, "read twice");
        assert_eq!(rig.controller.stats().damaged, 1);
        // The next PUT of it mends it.
        rig.events.clear();
        assert!(matches!(
            rig.put(&content),
            Event::Stored {
                outcome: Stored::Repaired,
                ..
            }
        ));
        assert_eq!(rig.get(&content, 0..u32::MAX), content);
        assert_eq!(rig.controller.stats().damaged, 0);
        rig.assert_nothing_is_lost();
    }
}

#[test]
fn a_read_that_fails_once_is_no_damage() {
    for result in [Err(EIO), Err(4), Ok(4096), Ok(0)] {
        let mut rig = rig(plain());
        let content = content(20_000);
        rig.put(&content);
        let key = rig.found(&content);
        rig.store.get_start(key, 0..u32::MAX);
        rig.poll(key, MIB);
        rig.end_op(Some(result));
        rig.end_op(None);
        assert_eq!(rig.poll(key, MIB), (content, GetPoll::Done));
        assert_eq!(rig.controller.stats().damaged, 0);
        rig.assert_nothing_is_lost();
    }
}

/// Sums that agree with a content that is another than its name says.
fn with_wrong_name(rig: &mut Rig, length: usize) -> Vec<u8> {
    let (stored, named) = (content(length), content(length + 1));
    let named = named[1..].to_vec();
    assert!(matches!(rig.put(&stored), Event::Stored { .. }));
    let mut record = Record::blank();
    let mut reader = rig.index.reader().expect("room");
    assert_eq!(reader.block(&Hash::of(&stored), &mut record), Ok(true));
    let mut index = rig.index.clone();
    index.put_block(&Hash::of(&named), &record).expect("room");
    index.commit(true).expect("no fault");
    named
}

#[test]
fn the_last_piece_is_not_given_out_before_the_hash_agrees() {
    for (length, given) in [(4000, 0), (65_536, 0), (65_537, 65_536), (200_000, 196_608)] {
        let mut rig = rig(plain());
        let named = with_wrong_name(&mut rig, length);
        let key = rig.found(&named);
        rig.store.get_start(key, 0..u32::MAX);
        let mut got = 0;
        for _ in 0..10 {
            got += rig.poll(key, 65_536).0.len();
            rig.run();
        }
        assert_eq!(got, given, "{length}");
        let damage = Damage::Hash;
        let told = rig.events.iter().any(|event| match event {
            Event::Damaged { damage: d, .. } => given == 0 && *d == damage,
            Event::Broken { damage: d, .. } => given > 0 && *d == damage,
            _ => false,
        });
        assert!(told, "{:?}", rig.events);
    }
}

/// Bodies that come in the same turn are hashed side by side: each has its own fate.
#[test]
fn bodies_of_one_turn_keep_apart() {
    let lengths = [
        1, 64, 4000, 65_536, 70_000, 200_000, 524_288, 131_072, 300_001,
    ];
    let mut rig = rig(plain());
    let mut begin = |n: usize| {
        let content = content(lengths[n]);
        let wrong = Some(Hash::MIN);
        let expected = [None, Some(Hash::of(&content)), wrong][n % 3];
        (rig.begin(expected, Some(lengths[n] as u32)), content)
    };
    let puts: Vec<_> = (0..lengths.len()).map(&mut begin).collect();
    for (key, content) in &puts {
        // Off the boundaries of blocks, so that lanes run unevenly.
        for part in content.chunks(33_333) {
            assert_eq!(rig.store.put_data(rig.now, *key, part), part.len());
        }
    }
    for (n, (key, _)) in puts.iter().enumerate() {
        match n % 4 {
            3 => rig.store.put_abort(rig.now, *key),
            _ => rig.store.put_end(rig.now, *key),
        }
    }
    rig.run();
    let mut expected = Vec::new();
    for (n, (key, content)) in puts.iter().enumerate().filter(|(n, _)| n % 4 != 3) {
        let fate = rig.events.iter().find_map(|event| match event {
            Event::Stored { key: k, hash, .. } if k == key => Some((true, *hash)),
            Event::PutFailed { key: k, error, .. } if k == key => match error {
                PutError::Mismatch { found } => Some((false, *found)),
                error => panic!("{error:?}"),
            },
            _ => None,
        });
        assert_eq!(fate, Some((n % 3 != 2, Hash::of(content))), "{n}");
        expected.extend((n % 3 != 2).then_some(content));
    }
    assert_eq!(rig.controller.stats().blocks, expected.len() as u64);
    for content in expected {
        assert_eq!(rig.get(content, 0..u32::MAX), *content);
    }
    rig.assert_nothing_is_lost();
}

/// So are contents that are read: what is wrong with one is not held against the others.
#[test]
fn contents_read_in_one_turn_keep_apart() {
    let mut rig = rig(plain());
    let mut contents: Vec<Vec<u8>> = [1, 4000, 65_536, 70_000, 200_000, 524_288, 300_001]
        .map(content)
        .to_vec();
    for content in &contents {
        assert!(matches!(rig.put(content), Event::Stored { .. }));
    }
    contents.insert(2, with_wrong_name(&mut rig, 150_000));
    let keys: Vec<GetKey> = contents.iter().map(|content| rig.found(content)).collect();
    let mut given: Vec<Vec<u8>> = vec![Vec::new(); keys.len()];
    for key in &keys {
        rig.store.get_start(*key, 0..u32::MAX);
    }
    for _ in 0..20 {
        // All reads end before anything is asked for.
        for (key, given) in keys.iter().zip(&mut given) {
            let mut out = Vec::new();
            rig.store.get_poll(rig.now, *key, MIB, &mut out);
            given.extend(out.iter().flat_map(|segment| segment.to_vec()));
        }
        rig.collect();
        for op in std::mem::take(&mut rig.file_ops) {
            let FileOp::Read {
                token,
                offset,
                len,
                mut buffer,
            } = op
            else {
                panic!("nothing is written");
            };
            rig.medium.read(offset, &mut buffer.spare_mut()[..len]);
            buffer.advance(len);
            rig.store.handle_file(rig.now, token, Ok(len), buffer);
        }
        rig.talk();
    }
    for (n, (content, given)) in contents.iter().zip(&given).enumerate() {
        assert_eq!(content == given, n != 2, "{n}: {} bytes", given.len());
    }
    let is_damaged =
        |event: &&Event| matches!(event, Event::Damaged { key, .. } if *key == keys[2]);
    assert_eq!(
        rig.events.iter().filter(is_damaged).count(),
        1,
        "{:?}",
        rig.events
    );
    assert_eq!(rig.store.stats().damaged, 1);
    rig.assert_nothing_is_lost();
}

#[test]
fn without_full_verification_only_sums_are_checked() {
    let mut rig = rig(LocalConfig {
        verify: Verify::Sums,
        ..plain()
    });
    let named = with_wrong_name(&mut rig, 4000);
    assert_eq!(rig.get(&named, 0..u32::MAX), content(4000));
}

#[test]
fn a_freed_block_is_not_leased_while_a_reader_holds_it() {
    let mut rig = rig(plain());
    let content = content(200_000);
    rig.put(&content);
    let key = rig.found(&content);
    rig.store.get_start(key, 0..u32::MAX);
    rig.poll(key, 65_536);
    rig.store.delete(1, &Hash::of(&content)).expect("room");
    rig.talk();
    assert!(matches!(
        rig.events.pop(),
        Some(Event::Deleted {
            outcome: Released::Released,
            ..
        })
    ));
    assert_eq!(
        rig.store.get_begin(rig.now, 1, &Hash::of(&content)),
        Ok(GetBegin::Missing)
    );
    let class = Class::for_length(200_000).expect("legal").index();
    assert_eq!(rig.controller.stats().space.retired[class], 1);
    // The reader goes on undisturbed.
    let mut got = Vec::new();
    while got.len() < content.len() {
        let (bytes, _) = rig.poll(key, 65_536);
        got.extend(bytes);
        while !rig.file_ops.is_empty() {
            rig.end_op(None);
        }
        if rig.controller.stats().space.retired[class] == 1 {
            rig.talk();
        }
    }
    assert_eq!(got, content);
    rig.run();
    assert_eq!(rig.controller.stats().space.retired[class], 0);
    rig.assert_nothing_is_lost();
}

#[test]
fn cached_content_is_given_out_in_parts_of_any_size() {
    let mut rig = rig(LocalConfig {
        cache_size: MIB,
        ..plain()
    });
    let content = content(20_000);
    rig.put(&content);
    assert_eq!(rig.get(&content, 0..u32::MAX), content, "and kept");
    let reads = rig.counts.1;
    for (range, step) in [
        (0..u32::MAX, 7000),
        (0..20_000, 20_000),
        (1..19_999, 4096),
        (5..6, 1),
        (20_000..30_000, 100),
    ] {
        let key = rig.found(&content);
        rig.store.get_start(key, range.clone());
        let mut all = Vec::new();
        loop {
            let (bytes, left) = rig.poll(key, step);
            assert!(bytes.len() <= step);
            all.extend(bytes);
            match left {
                GetPoll::More => assert_eq!(rig.poll(key, 0).0.len(), 0, "there is no room"),
                GetPoll::Done => break,
                GetPoll::Waiting | GetPoll::Gone => panic!("it is all there"),
            }
        }
        let range = range.start as usize..20_000.min(range.end as usize);
        assert!(all == content[range.clone()], "{range:?} by {step}");
    }
    assert_eq!(rig.counts.1, reads, "the medium was not asked");
    rig.assert_nothing_is_lost();
}

#[test]
fn a_hot_block_is_answered_from_memory_and_never_after_it_was_deleted() {
    let mut rig = rig(LocalConfig {
        cache_size: MIB,
        ..plain()
    });
    let content = content(4000);
    rig.put(&content);
    assert_eq!(rig.get(&content, 0..u32::MAX), content);
    let reads = rig.counts.1;
    assert_eq!(rig.get(&content, 0..u32::MAX), content);
    assert_eq!(rig.get(&content, 10..20), content[10..20]);
    assert_eq!((rig.counts.1, rig.store.stats().cache_hits), (reads, 2));
    rig.store.delete(1, &Hash::of(&content)).expect("room");
    rig.run();
    assert_eq!(
        rig.store.get_begin(rig.now, 1, &Hash::of(&content)),
        Ok(GetBegin::Missing)
    );
    rig.assert_nothing_is_lost();
}

#[test]
fn many_who_ask_for_a_block_in_one_turn_are_answered_by_one_lookup() {
    let mut rig = rig(plain());
    let content = content(100);
    let hash = Hash::of(&content);
    rig.put(&content);
    let first = rig.found(&content);
    rig.store.get_abort(rig.now, first);
    rig.index.delete_block(&hash).expect("in memory");
    rig.index.commit(true).expect("in memory");
    let second = rig.found(&content);
    rig.store.get_abort(rig.now, second);
    rig.store.poll(rig.now);
    let third = rig.store.get_begin(rig.now, 1, &hash);
    assert_eq!(third, Ok(GetBegin::Missing), "another turn");
}

#[test]
fn a_read_from_the_medium_neither_uses_the_cache_nor_fills_it() {
    for length in [4000, 200_000] {
        let mut rig = rig(LocalConfig {
            cache_size: 4 * MIB,
            verify: Verify::Sums,
            ..plain()
        });
        let content = content(length);
        rig.put(&content);
        let pieces = length.div_ceil(65_536);
        for _ in 0..3 {
            let before = rig.counts.1;
            assert_eq!(rig.get_from_medium(&content), content);
            assert_eq!(rig.counts.1 - before, pieces);
        }
        assert_eq!(rig.store.stats().cache_entries, 0, "{length}");
        while rig.store.stats().cache_entries == 0 {
            assert_eq!(rig.get(&content, 0..u32::MAX), content);
        }
        let before = rig.counts.1;
        assert_eq!(rig.get_from_medium(&content), content);
        assert_eq!(rig.counts.1 - before, pieces, "{length}");
        rig.assert_nothing_is_lost();
    }
}

#[test]
fn a_read_from_the_medium_is_verified_by_its_hash() {
    let mut rig = rig(LocalConfig {
        verify: Verify::Sums,
        ..plain()
    });
    let named = with_wrong_name(&mut rig, 4000);
    assert_eq!(rig.get_from_medium(&named), b"");
    let is_told = |event: &Event| {
        matches!(
            event,
            Event::Damaged {
                damage: Damage::Hash,
                ..
            }
        )
    };
    assert!(rig.events.iter().any(is_told), "{:?}", rig.events);
}

#[test]
fn blocks_are_listed_in_the_order_of_their_names_a_page_at_a_time() {
    let mut rig = rig(plain());
    let mut hashes: Vec<Hash> = (1..=5).map(|length| Hash::of(&content(length))).collect();
    (1..=5).for_each(|length| drop(rig.put(&content(length))));
    hashes.sort();
    for count_max in 1..=6 {
        let (mut listed, mut next) = (Vec::new(), Some(Hash::MIN));
        while let Some(from) = next {
            let before = listed.len();
            let walked = rig.store.list(&from, count_max, &mut |row| {
                listed.push(*row?.0);
                Ok(())
            });
            next = walked.expect("the index is read");
            assert!(listed.len() - before <= count_max as usize);
        }
        assert_eq!(listed, hashes, "{count_max}");
    }
}

#[test]
fn a_long_content_asked_for_again_is_kept_and_few_are_gathered_at_a_time() {
    let mut rig = rig(LocalConfig {
        cache_size: 4 * MIB,
        ..plain()
    });
    let content = content(200_000);
    rig.put(&content);
    let mut reads = vec![];
    for _ in 0..4 {
        let before = rig.counts.1;
        assert_eq!(rig.get(&content, 0..u32::MAX), content);
        reads.push(rig.counts.1 - before);
    }
    assert_eq!(reads, [4, 4, 0, 0], "the second time it is gathered");
    rig.store.delete(1, &Hash::of(&content)).expect("room");
    rig.run();
    rig.put(&content);
    // Many at once, all given up half way: none of them holds on to what it gathered.
    let keys: Vec<GetKey> = (0..20).map(|_| rig.found(&content)).collect();
    for key in &keys {
        rig.store.get_start(*key, 0..u32::MAX);
        rig.poll(*key, 65_536);
    }
    while !rig.file_ops.is_empty() {
        rig.end_op(None);
    }
    for key in keys {
        assert_eq!(rig.poll(key, 65_536).0.len(), 65_536);
        rig.store.get_abort(rig.now, key);
    }
    rig.assert_nothing_is_lost();
    assert_eq!(rig.get(&content, 0..u32::MAX), content);
    assert_eq!(rig.store.stats().cache_entries, 1);
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
        rig.store.missing(1, &[Hash::MIN; 4], Duration::ZERO),
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
        rig.store.missing(1, &[Hash::MIN; 3], Duration::ZERO),
        Ok(())
    );
    rig.run();
    assert!(matches!(rig.events.pop(), Some(Event::Missing { hashes, .. }) if hashes.len() == 3));
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
