//! Contents that several ask for at the same time, and what the cache has of them.

use super::*;

/// Begins so many GETs of one content, each with room for all of it.
fn begin_many(rig: &mut Rig, content: &[u8], count: usize) -> Vec<GetKey> {
    let keys: Vec<GetKey> = (0..count).map(|_| rig.found(content)).collect();
    for key in &keys {
        rig.store.get_start(*key, 0..u32::MAX);
        assert_eq!(rig.poll(*key, MIB), (vec![], GetPoll::Waiting));
    }
    keys
}

#[test]
fn of_many_who_ask_for_the_same_one_reads() {
    for (length, verify, reads) in [
        (4000, Verify::Full, 1),
        (4000, Verify::Sums, 1),
        (400_000, Verify::Full, 7),
        // What goes out piece by piece goes at the pace of a socket, for which nobody waits.
        (400_000, Verify::Sums, 7 * 20),
    ] {
        let mut rig = rig(LocalConfig {
            verify,
            ..caching()
        });
        let content = content(length);
        rig.put(&content);
        rig.counts.1 = 0;
        let keys = begin_many(&mut rig, &content, 20);
        assert_eq!(rig.store.stats().gets, 20);
        rig.run();
        assert_eq!(rig.counts.1, reads, "{length} {verify:?}");
        rig.events
            .retain(|event| !matches!(event, Event::GetReady { .. }));
        assert!(rig.events.is_empty(), "{:?}", rig.events);
        for key in keys {
            assert!(rig.poll(key, MIB) == (content.clone(), GetPoll::Done));
        }
        let shared = rig.store.stats().shared_reads;
        assert_eq!(shared, if reads > 20 { 0 } else { 19 });
        rig.assert_nothing_is_lost();
    }
}

#[test]
fn who_waits_for_a_read_is_told_when_it_ended() {
    let mut rig = rig(caching());
    let content = content(400_000);
    rig.put(&content);
    let keys = begin_many(&mut rig, &content, 5);
    rig.run();
    for key in keys {
        let told = rig
            .events
            .iter()
            .filter(|event| matches!(event, Event::GetReady { key: k, .. } if *k == key));
        assert_eq!(told.count(), 1);
    }
}

#[test]
fn when_the_one_who_reads_leaves_another_reads() {
    let mut rig = rig(caching());
    let content = content(400_000);
    rig.put(&content);
    rig.counts.1 = 0;
    let keys = begin_many(&mut rig, &content, 5);
    // One who waits leaves, too.
    rig.store.get_abort(rig.now, keys[1]);
    rig.store.get_abort(rig.now, keys[0]);
    rig.run();
    assert_eq!(rig.counts.1, 14, "twice seven pieces");
    for key in &keys[2..] {
        assert!(rig.poll(*key, MIB) == (content.clone(), GetPoll::Done));
    }
    rig.assert_nothing_is_lost();
}

#[test]
fn who_reads_as_far_as_a_socket_goes_reads_for_nobody() {
    let mut rig = rig(caching());
    let content = content(400_000);
    rig.put(&content);
    let slow = rig.found(&content);
    rig.store.get_start(slow, 0..u32::MAX);
    rig.poll(slow, 65_536);
    assert!(rig.get(&content, 0..u32::MAX) == content);
    assert_eq!(rig.store.stats().shared_reads, 0);
    rig.store.get_abort(rig.now, slow);
    rig.assert_nothing_is_lost();
}

#[test]
fn who_wants_a_part_or_the_medium_waits_for_nobody() {
    let mut rig = rig(caching());
    let content = content(60_000);
    rig.put(&content);
    rig.counts.1 = 0;
    let first = begin_many(&mut rig, &content, 1)[0];
    let part = rig.found(&content);
    rig.store.get_start(part, 1..60_000);
    rig.poll(part, MIB);
    let hash = Hash::of(&content);
    let Ok(GetBegin::Found(medium, _)) = rig.store.get_begin_from_medium(rig.now, 8, &hash) else {
        panic!("it is there");
    };
    rig.store.get_start(medium, 0..u32::MAX);
    rig.poll(medium, MIB);
    assert_eq!(rig.counts.1, 3);
    rig.run();
    for (key, expected) in [
        (first, &content[..]),
        (part, &content[1..]),
        (medium, &content),
    ] {
        assert!(rig.poll(key, MIB) == (expected.to_vec(), GetPoll::Done));
    }
    rig.assert_nothing_is_lost();
}

#[test]
fn damage_is_told_to_all_who_wait_for_the_same_read() {
    let mut rig = rig(caching());
    let content = content(300_000);
    rig.put(&content);
    let mut record = Record::blank();
    let mut reader = rig.index.reader().expect("room");
    assert_eq!(reader.block(&Hash::of(&content), &mut record), Ok(true));
    rig.medium.rot(record.block.offset() + 70_000, 3);
    rig.counts.1 = 0;
    let keys = begin_many(&mut rig, &content, 4);
    rig.run();
    for key in keys {
        let told = rig
            .events
            .iter()
            .filter(|event| matches!(event, Event::Damaged { key: k, .. } if *k == key));
        assert_eq!(told.count(), 1, "{:?}", rig.events);
    }
    // Five pieces, all again to find what is wrong, and that once more.
    assert!(rig.counts.1 <= 11, "{} reads", rig.counts.1);
    assert_eq!(rig.controller.stats().damaged, 1);
    rig.assert_nothing_is_lost();
}

#[test]
fn what_was_misread_once_is_read_again_for_all_who_wait() {
    let mut rig = rig(caching());
    let content = content(300_000);
    rig.put(&content);
    let keys = begin_many(&mut rig, &content, 4);
    let FileOp::Read { offset, .. } = rig.file_ops[0] else {
        panic!("nothing is written");
    };
    rig.medium.rot(offset, 3);
    rig.end_op(None);
    rig.medium.rot(offset, 3);
    rig.run();
    for key in keys {
        assert!(rig.poll(key, MIB) == (content.clone(), GetPoll::Done));
    }
    assert_eq!(rig.store.stats().shared_reads, 3);
    rig.assert_nothing_is_lost();
}

#[test]
fn contents_that_are_being_sent_are_not_pushed_out_of_the_cache() {
    let mut rig = rig(LocalConfig {
        cache_size: 512 * 1024,
        ..plain()
    });
    let contents: Vec<Vec<u8>> = (0..5).map(|n| content(200_000 + n)).collect();
    let mut held = Vec::new();
    for content in &contents {
        rig.put(content);
        for _ in 0..3 {
            assert!(rig.get(content, 0..u32::MAX) == *content);
        }
        // A reader who takes the first byte only.
        let key = rig.found(content);
        rig.store.get_start(key, 0..u32::MAX);
        rig.poll(key, 1);
        held.push(key);
        let stats = rig.store.stats();
        assert!(stats.cache_bytes <= 512 * 1024);
    }
    assert_eq!(rig.store.stats().cache_entries, 2, "the first that came");
    assert_eq!(rig.store.stats().cache_evictions, 0);
    for key in held {
        rig.store.get_abort(rig.now, key);
    }
    for _ in 0..3 {
        assert!(rig.get(&contents[4], 0..u32::MAX) == contents[4]);
    }
    assert_eq!(rig.store.stats().cache_evictions, 1);
    rig.assert_nothing_is_lost();
}

#[test]
fn without_room_in_the_cache_everybody_reads_for_himself() {
    let mut rig = rig(caching());
    let contents: Vec<Vec<u8>> = (0..3).map(|n| content(400_000 + n)).collect();
    let mut held = Vec::new();
    for content in &contents {
        rig.put(content);
    }
    for content in &contents[..2] {
        rig.get(content, 0..u32::MAX);
        rig.get(content, 0..u32::MAX);
        let key = rig.found(content);
        rig.store.get_start(key, 0..u32::MAX);
        rig.poll(key, 1);
        held.push(key);
    }
    rig.counts.1 = 0;
    let keys = begin_many(&mut rig, &contents[2], 5);
    rig.run();
    assert_eq!((rig.counts.1, rig.store.stats().shared_reads), (35, 0));
    for key in keys {
        assert!(rig.poll(key, MIB) == (contents[2].clone(), GetPoll::Done));
    }
    for key in held {
        rig.store.get_abort(rig.now, key);
    }
    rig.assert_nothing_is_lost();
}

#[test]
fn what_was_given_out_in_part_is_not_kept_as_a_whole() {
    let mut rig = rig(caching());
    let contents: Vec<Vec<u8>> = (0..3).map(|n| content(400_000 + n)).collect();
    let mut held = Vec::new();
    for content in &contents {
        rig.put(content);
        rig.get(content, 0..u32::MAX);
    }
    // Two are being sent, and leave no room for a third that is read.
    for content in &contents[..2] {
        rig.get(content, 0..u32::MAX);
        let key = rig.found(content);
        rig.store.get_start(key, 0..u32::MAX);
        rig.poll(key, 1);
        held.push(key);
    }
    let key = begin_many(&mut rig, &contents[2], 1)[0];
    rig.run();
    // Room comes when it is read, and as it goes out in parts.
    for key in held {
        rig.store.get_abort(rig.now, key);
    }
    let (mut got, _) = rig.poll(key, 65_536);
    got.extend(rig.poll(key, MIB).0);
    assert!(got == contents[2]);
    for content in &contents {
        assert!(rig.get(content, 0..u32::MAX) == *content);
    }
    rig.assert_nothing_is_lost();
}
