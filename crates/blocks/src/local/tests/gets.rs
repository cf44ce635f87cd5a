//! Contents that are read, verified, cached and given out.

use super::*;

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
    for (at, room, is_first) in [
        (0, 65_536, true),
        (65_535, 65_536, true),
        (65_536, 65_536, false),
        (299_999, 65_536, false),
        // With room for all of it nothing goes out before all of it is right.
        (65_536, MIB, true),
        (299_999, MIB, true),
    ] {
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
            let (bytes, left) = rig.poll(key, room);
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

#[test]
fn what_was_misread_once_is_read_again_and_no_damage() {
    for room in [65_536, MIB] {
        let mut rig = rig(plain());
        let content = content(300_000);
        rig.put(&content);
        let key = rig.found(&content);
        rig.store.get_start(key, 0..u32::MAX);
        rig.poll(key, room);
        let FileOp::Read { offset, .. } = rig.file_ops[0] else {
            panic!("nothing is written");
        };
        rig.medium.rot(offset, 3);
        rig.end_op(None);
        rig.medium.rot(offset, 3);
        let mut got = Vec::new();
        for _ in 0..10 {
            rig.run();
            got.extend(rig.poll(key, room).0);
        }
        assert!(got == content, "{} bytes", got.len());
        let stats = rig.store.stats();
        assert_eq!((stats.suspicious_reads, stats.damaged), (1, 0));
        rig.assert_nothing_is_lost();
    }
}

#[test]
fn without_memory_for_all_of_it_what_was_read_goes_out_all_the_same() {
    let mut rig = rig(LocalConfig {
        read_memory: 512 * 1024,
        ..plain()
    });
    let contents = [content(524_288), content(524_287)];
    let keys = contents.each_ref().map(|content| {
        rig.put(content);
        rig.found(content)
    });
    let mut given = [Vec::new(), Vec::new()];
    for key in keys {
        rig.store.get_start(key, 0..u32::MAX);
    }
    // The first takes the memory of five pieces, the second what is left, and each waits for the other.
    rig.poll(keys[0], 5 * 65_536);
    for _ in 0..50 {
        for (key, given) in keys.iter().zip(&mut given) {
            given.extend(rig.poll(*key, MIB).0);
        }
        rig.run();
    }
    assert!(given == contents);
    rig.assert_nothing_is_lost();
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
    for (length, room, given) in [
        (4000, 65_536, 0),
        (65_536, 65_536, 0),
        (65_537, 65_536, 65_536),
        (200_000, 65_536, 196_608),
        (200_000, MIB, 0),
    ] {
        let mut rig = rig(plain());
        let named = with_wrong_name(&mut rig, length);
        let key = rig.found(&named);
        rig.store.get_start(key, 0..u32::MAX);
        let mut got = 0;
        for _ in 0..10 {
            got += rig.poll(key, room).0.len();
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

#[test]
fn what_was_read_in_a_turn_is_not_given_out_before_it_is_hashed() {
    for (length, room, first) in [
        (4000, MIB, 4000),
        // What has its sums checked goes out by parts, what is known by its hash alone does not.
        (300_000, 65_536, 65_536),
        (300_000, MIB, 0),
    ] {
        let mut rig = rig(plain());
        let content = content(length);
        rig.put(&content);
        let key = rig.found(&content);
        rig.store.get_start(key, 0..u32::MAX);
        rig.poll(key, room);
        // As when the socket has room again in the turn in which the read ended.
        let op = rig.file_ops.remove(0);
        rig.hand_over(op, None);
        let mut out = Vec::new();
        rig.store.get_poll(rig.now, key, room, &mut out);
        assert!(out.is_empty(), "{length} bytes, room for {room}");
        rig.collect();
        let (mut got, _) = rig.poll(key, room);
        assert_eq!(got.len(), first, "with one piece hashed");
        for _ in 0..10 {
            rig.run();
            got.extend(rig.poll(key, room).0);
        }
        assert!(got == content);
        rig.assert_nothing_is_lost();
    }
}

/// What is wrong with one content is not held against the others.
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
            rig.hand_over(op, None);
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
    let mut rig = rig(caching());
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
    let mut rig = rig(caching());
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
fn the_block_of_a_content_that_is_hashed_is_not_used_again() {
    let mut rig = rig(plain());
    let content = content(300_000);
    rig.put(&content);
    let key = rig.found(&content);
    rig.store.get_start(key, 0..u32::MAX);
    rig.poll(key, MIB);
    let FileOp::Read { offset, .. } = rig.file_ops[0] else {
        panic!("nothing is written");
    };
    rig.medium.rot(offset, 3);
    // All reads end in a turn, and before they are hashed the controller frees the block.
    for op in std::mem::take(&mut rig.file_ops) {
        rig.hand_over(op, None);
    }
    rig.store.handle_reply(rig.now, Reply::Retire { epoch: 1 });
    let retired = std::iter::from_fn(|| rig.store.desk.requests.pop_front())
        .any(|request| matches!(request, Request::Retired { .. }));
    assert!(!retired, "it may have to be read again");
    rig.medium.rot(offset, 3);
    rig.run();
    assert!(rig.poll(key, MIB) == (content, GetPoll::Done));
}
