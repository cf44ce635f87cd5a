//! Scripts about reading and writing files.

use std::collections::BTreeSet;
use std::io::{Read, Seek};
use std::time::{Duration, Instant};

use hioload_mem::Buffer;
use hioload_reactor::sim::{DiskConfig, SimDisk};
use hioload_reactor::{FILES_MAX, FileHandle, FileId, Op, OpId, OpKind, Reject, Wait};

use crate::kit::{End, Event, Kit, TempFile, buffers, filled, pattern, segment};

pub(crate) fn what_was_written_is_read(kit: &Kit) {
    let (mut end, pool) = (kit.end(), buffers());
    let file = end.open(kit.file());
    for (token, offset, len) in [(1, 0, 1), (2, 100_000, 5000), (3, 4096, 8192)] {
        end.write(file, token, offset, filled(&pool, len, token as u8));
        assert_eq!(end.file_events(1), [Event::Written(token, Ok(len))]);
    }
    for (token, offset, len) in [(1, 0, 1), (2, 100_000, 5000), (3, 4096, 8192)] {
        end.read(&pool, file, token, (offset, len));
        let expected = Event::Read(token, Ok(len), pattern(len, token as u8));
        assert_eq!(end.file_events(1), [expected]);
    }
    // What lies between was never written.
    end.read(&pool, file, 4, (12_288, 1000));
    assert_eq!(
        end.file_events(1),
        [Event::Read(4, Ok(1000), vec![0; 1000])]
    );
    let files = end.driver.stats().files;
    assert_eq!((files.reads, files.writes), (4, 3));
    assert_eq!((files.bytes_read, files.bytes_written), (14_193, 13_193));
    assert_eq!((files.short, files.failed, files.in_flight), (0, 0, 0));
}

pub(crate) fn many_operations_are_in_flight_at_once(kit: &Kit) {
    const COUNT: u64 = 200;
    let (mut end, pool) = (kit.end(), buffers());
    let file = end.open(kit.file());
    for token in 0..COUNT {
        end.write(file, token, token * 4096, filled(&pool, 4096, token as u8));
    }
    assert_eq!(end.driver.stats().files.in_flight, COUNT);
    let written: BTreeSet<u64> = end
        .file_events(COUNT as usize)
        .into_iter()
        .map(|event| match event {
            Event::Written(token, Ok(4096)) => token,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(written.len() as u64, COUNT, "each once");
    for token in 0..COUNT {
        end.read(&pool, file, token, (token * 4096, 4096));
    }
    for event in end.file_events(COUNT as usize) {
        let Event::Read(token, Ok(4096), bytes) = event else {
            panic!("{event:?}");
        };
        assert!(bytes == pattern(4096, token as u8), "block {token}");
    }
    assert_eq!(end.driver.stats().files.in_flight, 0);
}

pub(crate) fn what_is_submitted_may_begin_before_the_turn(kit: &Kit) {
    if kit.is_sim() {
        // Nothing happens there but in a turn.
        return;
    }
    let (mut end, pool) = (kit.end(), buffers());
    let file = TempFile::new().open(|_| {});
    let mut seen = file.try_clone().expect("a second descriptor");
    let file = end.open(FileHandle::System(file));
    for round in 1..=3 {
        end.write(file, round, 0, filled(&pool, 4096, round as u8));
        end.driver.submit_pending();
        let is_there = |bytes: &[u8]| bytes == pattern(4096, round as u8);
        let mut bytes = Vec::new();
        let begun = Instant::now();
        while !is_there(&bytes) && begun.elapsed() < Duration::from_secs(10) {
            bytes.clear();
            seen.rewind().expect("a file");
            seen.read_to_end(&mut bytes).expect("a file");
        }
        assert!(is_there(&bytes), "round {round}");
        // Nothing is left to submit, and the completion comes with the turn all the same.
        end.driver.submit_pending();
        assert_eq!(end.file_events(1), [Event::Written(round, Ok(4096))]);
    }
}

pub(crate) fn a_read_past_the_end_is_short(kit: &Kit) {
    let (mut end, pool) = (kit.end(), buffers());
    let file = end.open(kit.file());
    end.write(file, 0, 0, filled(&pool, 5000, 7));
    assert_eq!(end.file_events(1), [Event::Written(0, Ok(5000))]);
    for (offset, len, expected) in [
        (0, 5000, 5000),
        (0, 5001, 5000),
        (4999, 9, 1),
        (5000, 1, 0),
        (1 << 40, 8, 0),
    ] {
        end.read(&pool, file, 1, (offset, len));
        let from = (offset as usize).min(5000);
        let bytes = pattern(5000, 7)[from..from + expected].to_vec();
        assert_eq!(end.file_events(1), [Event::Read(1, Ok(expected), bytes)]);
    }
    assert_eq!(end.driver.stats().files.short, 4);
}

pub(crate) fn files_and_sockets_are_served_together(kit: &Kit) {
    let mut pair = kit.pair();
    let pool = buffers();
    let (s, c) = (pair.server_socket, pair.client_socket);
    let file = pair.server.open(kit.file());
    pair.server.recv(s);
    pair.client.recv(c);
    for round in 1..=20 {
        let offset = u64::from(round) * 512;
        pair.server
            .write(file, offset, offset, filled(&pool, 512, round));
        pair.server.send(s, segment(100, round));
        pair.client.send(c, segment(100, round));
        let size = 100 * usize::from(round);
        let written = Event::Written(offset, Ok(512));
        pair.until(|server, client| {
            server.byte_count(s) == size
                && client.byte_count(c) == size
                && server.saw(&written)
                && server.saw_sent(s)
                && client.saw_sent(c)
        });
        pair.server.take_sent(s);
        pair.client.take_sent(c);
    }
    assert_eq!(pair.server.driver.stats().files.writes, 20);
}

pub(crate) fn no_more_than_the_limit_are_in_flight(kit: &Kit) {
    for limit in [0, 1, 4] {
        let mut end = kit.end_with(|config| config.file_ops_max = limit);
        assert_eq!(end.driver.caps().file_ops_max, limit);
        let pool = buffers();
        let file = end.open(kit.file());
        for round in 0..3 {
            for token in 0..limit {
                end.write(file, token as u64, 0, filled(&pool, 512, 1));
            }
            let more = Op::Write {
                file,
                token: 9,
                offset: 0,
                content: filled(&pool, 512, 1).seal(),
            };
            assert_eq!(end.driver.submit(more), Err(Reject::Full));
            assert_eq!(end.driver.stats().files.refused, round + 1);
            assert_eq!(end.file_events(limit).len(), limit);
        }
    }
}

pub(crate) fn an_unknown_file_is_refused(kit: &Kit) {
    let (mut end, pool) = (kit.end(), buffers());
    let mut submit = |file: FileId| {
        end.driver.submit(Op::Write {
            file,
            token: 0,
            offset: 0,
            content: filled(&pool, 1, 0).seal(),
        })
    };
    assert_eq!(submit(FileId(0)), Err(Reject::Stale));
    assert_eq!(submit(FileId(u16::MAX)), Err(Reject::Stale));
    let file = end.open(kit.file());
    assert_eq!(file, FileId(0));
    end.write(file, 0, 0, filled(&pool, 1, 0));
    assert_eq!(end.file_events(1), [Event::Written(0, Ok(1))]);
}

pub(crate) fn a_file_of_the_other_world_is_refused(kit: &Kit) {
    let mut end = kit.end();
    let other = if kit.is_sim() {
        FileHandle::System(TempFile::new().open(|_| {}))
    } else {
        FileHandle::Sim(SimDisk::new(1, DiskConfig::calm()).create())
    };
    let refusal = end.driver.open_file(other).expect_err("not of this world");
    assert!(refusal.to_string().contains(". Give "), "{refusal}");
}

pub(crate) fn what_cannot_be_read_or_written_is_refused(kit: &Kit) {
    let (mut end, pool) = (kit.end(), buffers());
    let file = end.open(kit.file());
    let mut write = |offset: u64, buffer: Buffer| {
        end.driver.submit(Op::Write {
            file,
            token: 0,
            offset,
            content: buffer.seal(),
        })
    };
    let empty = || pool.take(256).expect("budget");
    assert_eq!(write(0, empty()), Err(Reject::Payload));
    // The last byte of a file is at 2^63 − 2: offsets are signed.
    for offset in [i64::MAX as u64, u64::MAX - 1, u64::MAX] {
        let result = write(offset, filled(&pool, 1, 0));
        assert_eq!(result, Err(Reject::System(libc::EINVAL)));
    }
    let mut read = |offset: u64, len: usize, buffer: Buffer| {
        end.driver.submit(Op::Read {
            file,
            token: 0,
            offset,
            len,
            buffer,
        })
    };
    assert_eq!(read(0, 0, empty()), Err(Reject::Payload));
    assert_eq!(read(0, 257, empty()), Err(Reject::Payload));
    assert_eq!(read(0, 1, filled(&pool, 1, 0)), Err(Reject::Payload));
    assert_eq!(
        read(u64::MAX, 1, empty()),
        Err(Reject::System(libc::EINVAL))
    );
    assert!(read(0, 256, empty()).is_ok());
    assert!(read(i64::MAX as u64 - 1, 1, empty()).is_ok());
    end.file_events(2);
    assert_eq!(end.driver.stats().files.reads, 2);
    assert_eq!(pool.stats().bytes_in_use, 0, "what is refused is dropped");
}

pub(crate) fn a_driver_takes_so_many_files_and_no_more(kit: &Kit) {
    let mut end = kit.end();
    for number in 0..FILES_MAX {
        assert_eq!(end.open(kit.file()), FileId(number as u16));
    }
    let refusal = end.driver.open_file(kit.file()).expect_err("one too many");
    assert!(refusal.to_string().contains("at most 64"), "{refusal}");
}

pub(crate) fn a_turn_yields_at_most_a_batch_of_files(kit: &Kit) {
    let mut end = kit.end_with(|config| config.batch = 4);
    let pool = buffers();
    let file = end.open(kit.file());
    for token in 0..50 {
        end.write(file, token, token * 512, filled(&pool, 512, 1));
    }
    // What is left over comes in later turns, and no wait stands before it.
    while end.seen.len() < 50 {
        assert!(end.turn_for(Wait::Forever) <= 4);
    }
    assert_eq!(end.seen.len(), 50);
}

pub(crate) fn a_cancelled_operation_completes_once(kit: &Kit) {
    let (mut end, pool) = (kit.end(), buffers());
    let file = end.open(kit.file());
    end.write(file, 0, 0, filled(&pool, 4096, 3));
    assert_eq!(end.file_events(1), [Event::Written(0, Ok(4096))]);
    for token in 1..50 {
        let read = Op::Read {
            file,
            token,
            offset: 0,
            len: 4096,
            buffer: pool.take(4096).expect("budget"),
        };
        let id = end.driver.submit(read).expect("taken");
        assert_eq!(id.kind, OpKind::Read);
        if token % 2 == 0 {
            end.turn_for(Wait::None);
        }
        end.driver.cancel(id);
        let events = end.file_events(1);
        // The cancel may come late, and success after it is an ordinary event.
        let done = Event::Read(token, Ok(4096), pattern(4096, 3));
        let cancelled = Event::Read(token, Err(libc::ECANCELED), Vec::new());
        assert!(events == [done] || events == [cancelled], "{events:?}");
        end.driver.cancel(id);
    }
    for _ in 0..20 {
        end.turn();
    }
    assert_eq!(end.seen, [], "each once");
    assert_eq!(end.driver.stats().files.in_flight, 0);
    let strange = OpId {
        kind: OpKind::Write,
        key: hioload_base::Key::from_bits(u64::MAX),
    };
    end.driver.cancel(strange);
}

pub(crate) fn a_driver_dropped_with_operations_in_flight_gives_the_buffers_back(kit: &Kit) {
    for turns in 0..3 {
        let (mut end, pool) = (kit.end(), buffers());
        let file = end.open(kit.file());
        for token in 0..100 {
            end.write(file, token, token * 4096, filled(&pool, 4096, 1));
            end.read(&pool, file, token, (token * 4096, 4096));
        }
        assert!(pool.stats().bytes_in_use > 0);
        for _ in 0..turns {
            end.turn_for(Wait::None);
        }
        drop(end);
        assert_eq!(pool.stats().bytes_in_use, 0, "after {turns} turns");
    }
}

pub(crate) fn an_idle_file_costs_nothing_per_turn(kit: &Kit) {
    let (mut end, pool) = (kit.end(), buffers());
    let file = end.open(kit.file());
    for token in 0..10 {
        end.write(file, token, 0, filled(&pool, 512, 1));
    }
    end.file_events(10);
    settle(&mut end);
    let before = end.driver.stats();
    for _ in 0..10 {
        assert_eq!(end.turn_for(Wait::None), 0);
    }
    let after = end.driver.stats();
    assert_eq!(after.enters - before.enters, 10, "one call a turn");
    assert_eq!(after.submitted, before.submitted);
}

fn settle(end: &mut End) {
    for _ in 0..20 {
        end.turn();
    }
}
