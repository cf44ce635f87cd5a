//! Encode once, send many; own publications; limits of what is published.

mod common;

use common::{HEADER_SIZE, Rig};
use hioload_live::{
    Budget, Class, Classes, FeedConfig, Owner, OwnerConfig, PublishError, Scan, Since, Start,
};
use hioload_mem::{BufferPool, PoolConfig};

#[test]
fn many_publications_leave_in_one_segment() {
    let mut rig = Rig::new(OwnerConfig::default(), FeedConfig::default());
    let keys: Vec<_> = (0..10).map(|user| rig.subscribe(user)).collect();
    for payload in ["one", "two"] {
        assert!(rig.publish(payload.as_bytes()).is_ok());
        rig.exchange();
    }
    assert!(rig.publish(b"three").is_ok());
    rig.exchange();
    for key in keys {
        assert_eq!(rig.peek(key, 1000), (b"\0one\0two\0three".to_vec(), 1));
        assert_eq!(rig.read(key, 1000).len(), 14);
        assert_eq!(rig.read(key, 1000), b"");
    }
    assert_eq!(rig.encode.calls, 3, "each was encoded once");
    let (epoch, offset) = rig.owner.position();
    let last = Since { epoch, offset };
    assert_eq!(rig.encode.place, Some(last), "and knew where it stands");
    assert_eq!(
        rig.feed.stats().held_bytes,
        0,
        "what all have read is let go"
    );
}

#[test]
fn a_publication_is_encoded_once_for_each_class_in_use() {
    let mut rig = Rig::new(
        OwnerConfig {
            kept: Classes::PLAIN,
            ..OwnerConfig::default()
        },
        FeedConfig::default(),
    );
    let nine = Class::new(9).expect("below 16");
    assert!(rig.publish(b"x").is_ok());
    assert_eq!(rig.encode.calls, 1);
    let other = hioload_live::Feed::new(FeedConfig {
        class: nine,
        ..FeedConfig::default()
    });
    for worker in [0, 1, 2] {
        let _ = rig.owner.attach(worker, other.ask(None), rig.now);
    }
    assert!(rig.publish(b"y").is_ok());
    assert_eq!(rig.encode.calls, 3);
    assert_eq!(
        rig.owner
            .append_for(2, nine)
            .map(|append| append.frames().to_vec()),
        Some(vec![9, b'y'])
    );
    for worker in [0, 1, 2] {
        rig.owner.detach(worker, nine, rig.now);
    }
    assert!(rig.publish(b"z").is_ok());
    assert_eq!(rig.encode.calls, 4, "nobody wants the class any more");
}

#[test]
fn a_partial_send_goes_on_inside_the_frame() {
    let mut rig = Rig::new(OwnerConfig::default(), FeedConfig::default());
    let key = rig.subscribe(1);
    assert!(rig.publish(b"hello").is_ok() && rig.publish(b"you").is_ok());
    rig.exchange();
    assert_eq!(rig.feed.to_boundary(key), 0);
    assert_eq!(rig.read(key, 2), b"\0h");
    assert_eq!(rig.feed.to_boundary(key), 4);
    assert_eq!(rig.peek(key, 0).0, b"");
    assert_eq!(rig.read(key, 4), b"ello");
    assert_eq!(rig.feed.to_boundary(key), 0);
    assert_eq!(rig.read(key, 100), b"\0you");
    assert_eq!(rig.feed.lag_bytes(key), 0);
}

#[test]
fn the_walk_finds_who_has_something_to_read_and_no_send_under_way() {
    let mut rig = Rig::new(OwnerConfig::default(), FeedConfig::default());
    let keys: Vec<_> = (0..300).map(|user| rig.subscribe(user)).collect();
    let mut scan = Scan::default();
    assert_eq!(rig.feed.next_ready(&mut scan), None);
    assert!(rig.publish(b"x").is_ok());
    rig.exchange();
    assert_eq!(rig.peek(keys[7], 10).0, b"\0x");
    rig.read(keys[9], 10);
    let mut scan = Scan::default();
    let first: Vec<_> = (0..8)
        .filter_map(|_| rig.feed.next_ready(&mut scan))
        .collect();
    let rest: Vec<_> = std::iter::from_fn(|| rig.feed.next_ready(&mut scan)).collect();
    let users: Vec<_> = first.iter().chain(&rest).map(|(_, user)| *user).collect();
    assert_eq!(
        users,
        (0..300)
            .filter(|user| ![7, 9].contains(user))
            .collect::<Vec<_>>()
    );
    rig.feed.sent(keys[7], 0, rig.now);
    let mut scan = Scan::default();
    assert!(std::iter::from_fn(|| rig.feed.next_ready(&mut scan)).any(|(key, _)| key == keys[7]));
}

#[test]
fn own_publications_are_left_out_and_the_rest_leaves_in_one_send() {
    let config = FeedConfig {
        exclude_sender: true,
        ..FeedConfig::default()
    };
    let mut rig = Rig::new(OwnerConfig::default(), config);
    let (a, b) = (rig.subscribe(1), rig.subscribe(2));
    let (from_a, from_b) = (rig.feed.origin(a), rig.feed.origin(b));
    for (origin, payload) in [
        (from_a, b"1"),
        (from_a, b"2"),
        (from_b, b"3"),
        (from_a, b"4"),
        (from_b, b"5"),
        (from_a, b"6"),
    ] {
        assert!(rig.publish_from(origin, payload).is_ok());
    }
    rig.exchange();
    assert_eq!(rig.peek(a, 100), (b"\x003\x005".to_vec(), 2));
    assert_eq!(
        rig.read(a, 3),
        b"\x003\0",
        "a partial send ends beyond an own publication"
    );
    assert_eq!(rig.feed.to_boundary(a), 1);
    assert_eq!(rig.read(a, 100), b"5");
    assert_eq!(rig.read(a, 100), b"");
    assert_eq!(rig.feed.lag_bytes(a), 0);
    assert_eq!(rig.read(b, 100), b"\x001\x002\x004\x006");
    assert_eq!(rig.feed.stats().held_bytes, 0);
}

#[test]
fn who_comes_to_the_slot_of_another_gets_what_that_one_published() {
    let config = FeedConfig {
        exclude_sender: true,
        ..FeedConfig::default()
    };
    let mut rig = Rig::new(OwnerConfig::default(), config);
    let gone = rig.subscribe(1);
    let origin = rig.feed.origin(gone);
    assert!(rig.feed.unsubscribe(gone));
    let key = rig.subscribe(2);
    assert!(rig.publish_from(origin, b"x").is_ok());
    rig.exchange();
    assert_eq!(rig.read(key, 100), b"\0x");
    assert_eq!(rig.read(gone, 100), b"", "a key is never valid again");
}

#[test]
fn a_frame_bigger_than_a_chunk_gets_one_of_its_size() {
    let config = OwnerConfig {
        chunk_size: 1024,
        ..OwnerConfig::default()
    };
    let mut rig = Rig::new(config, FeedConfig::default());
    let key = rig.subscribe(1);
    let big = vec![7; 100_000];
    assert!(rig.publish(b"a").is_ok() && rig.publish(&big).is_ok() && rig.publish(b"b").is_ok());
    rig.exchange();
    let (bytes, segments) = rig.peek(key, usize::MAX);
    assert_eq!((bytes.len(), segments), (3 * HEADER_SIZE + 100_002, 2));
    assert_eq!(rig.read(key, usize::MAX).len(), bytes.len());
}

#[test]
fn what_can_never_fit_is_refused_as_such() {
    // 4 KiB of frames and 256 bytes of records are the least a frame of that class costs.
    let budget = 4096 + 256;
    let config = OwnerConfig {
        budget,
        ..OwnerConfig::default()
    };
    let mut rig = Rig::new(
        config,
        FeedConfig {
            budget,
            ..FeedConfig::default()
        },
    );
    let key = rig.subscribe(1);
    let max = 4096 - HEADER_SIZE;
    for size in [0, 1, max] {
        if rig.publish(&vec![0; size]).is_err() {
            // The feed has not said yet that it needs the chunk before no more: it is asked now.
            assert!(rig.owner.is_held());
            rig.exchange();
            assert!(!rig.owner.is_held());
            assert!(rig.publish(&vec![0; size]).is_ok(), "{size}");
        }
        rig.exchange();
        assert_eq!(rig.read(key, usize::MAX).len(), size + HEADER_SIZE);
        rig.exchange();
    }
    assert_eq!(rig.publish(&[0; 100]), Err(PublishError::LogFull));
    rig.exchange();
    assert!(rig.publish(&[0; 100]).is_ok());
    let too_large = PublishError::TooLarge {
        size: 16384 + 256,
        max: budget,
    };
    assert_eq!(
        rig.publish(&vec![0; max + 1]),
        Err(too_large),
        "also while the log is in use"
    );
    assert!(!too_large.is_busy());
    assert!(!rig.owner.is_held());
    assert_eq!(
        rig.publish(&vec![0; 2 << 20])
            .map_err(|error| error.is_busy()),
        Err(false)
    );
    assert_eq!(rig.owner.stats().refused_too_large, 2);
}

#[test]
fn what_no_buffer_of_the_pool_holds_is_refused_as_such() {
    let mut rig = Rig::new(OwnerConfig::default(), FeedConfig::default());
    rig.pool = BufferPool::new(PoolConfig::with_budget(2 << 20)).expect("2 MiB can be mapped");
    let max = rig.pool.size_max();
    assert_eq!(max, 64 << 10, "slabs of 128 KiB, and no class between");
    assert!(rig.publish(&vec![0; max - HEADER_SIZE]).is_ok());
    let size = max + 1;
    assert_eq!(
        rig.publish(&vec![0; size - HEADER_SIZE]),
        Err(PublishError::TooLarge { size, max })
    );
}

#[test]
fn a_full_log_refuses_until_it_is_read() {
    let budget = 8192;
    let config = OwnerConfig {
        budget,
        ..OwnerConfig::default()
    };
    let mut rig = Rig::new(
        config,
        FeedConfig {
            budget,
            ..FeedConfig::default()
        },
    );
    let key = rig.subscribe(1);
    let mut taken = 0;
    while rig.publish(&[taken as u8; 99]).is_ok() {
        taken += 1;
    }
    assert!(
        taken * 100 > budget / 2,
        "most of the budget is for frames, got {taken}"
    );
    assert_eq!(rig.publish(&[0; 99]), Err(PublishError::LogFull));
    assert!(rig.owner.is_held());
    rig.exchange();
    assert!(rig.owner.is_held());
    assert_eq!(rig.read(key, usize::MAX).len(), taken * 100);
    rig.exchange();
    rig.exchange();
    assert!(!rig.owner.is_held());
    assert!(rig.publish(b"x").is_ok());
    assert!(rig.owner.stats().memory_max <= budget);
}

#[test]
fn spent_memory_of_the_worker_is_told_from_a_full_log() {
    let pool = BufferPool::new(PoolConfig {
        budget: 8 << 20,
        ..PoolConfig::default()
    });
    let pool = pool.expect("8 MiB can be mapped");
    let shared = Budget::new(8192);
    let config = OwnerConfig {
        kept: Classes::PLAIN,
        shared: shared.clone(),
        ..OwnerConfig::default()
    };
    let mut owners = [Owner::new(config.clone()), Owner::new(config)];
    let mut encode = common::Bare::default();
    let feed = hioload_live::Feed::new(FeedConfig::default());
    let now = hioload_base::Time::ZERO;
    let mut publish = |owner: &mut Owner| {
        owner.publish(
            &pool,
            &mut encode,
            now,
            1,
            &[0; 4000],
            hioload_live::Origin::NONE,
        )
    };
    let _ = owners[0].attach(0, feed.ask(None), now);
    assert!(publish(&mut owners[0]).is_ok());
    assert_eq!(publish(&mut owners[1]), Err(PublishError::BudgetSpent));
    assert!(!owners[1].is_held(), "its own log is not the cause");
    let [first, mut second] = owners;
    drop(first);
    assert_eq!(shared.used(), 0);
    assert!(publish(&mut second).is_ok());
}

#[test]
fn a_quiet_channel_gives_its_memory_back() {
    let mut rig = Rig::new(OwnerConfig::default(), FeedConfig::default());
    assert!(rig.publish(b"x").is_ok());
    rig.exchange();
    assert_eq!(
        rig.owner.stats().memory,
        1024 + 1024,
        "the first chunk is small"
    );
    rig.wait_ms(999);
    rig.owner.expire(rig.now);
    assert!(rig.owner.stats().memory > 0);
    rig.wait_ms(1);
    rig.owner.expire(rig.now);
    // The feed reports whole chunks only, so the owner learns of this one by asking.
    rig.exchange();
    rig.owner.expire(rig.now);
    assert_eq!(
        (rig.owner.stats().memory, rig.pool.stats().bytes_in_use),
        (0, 0)
    );
    assert!(!rig.owner.is_idle(), "somebody is attached");
    rig.owner.detach(0, Class::PLAIN, rig.now);
    assert!(rig.owner.is_idle());
}

#[test]
fn a_channel_that_falls_quiet_again_gives_its_memory_back_again() {
    let mut rig = Rig::new(OwnerConfig::default(), FeedConfig::default());
    let key = rig.subscribe(1);
    for _ in 0..3 {
        // The feed says by itself only that it is attached, and what it is done with chunk by chunk.
        for _ in 0..2 {
            assert!(rig.publish(b"x").is_ok());
            rig.exchange();
            rig.read(key, 1000);
            rig.exchange();
        }
        for _ in 0..3 {
            rig.wait_ms(1000);
            rig.owner.expire(rig.now);
            rig.exchange();
        }
        assert_eq!(rig.owner.stats().memory, 0, "everything was read");
        assert_eq!(rig.pool.stats().bytes_in_use, 0);
    }
}

#[test]
fn who_is_refused_for_want_of_shared_memory_gives_back_what_it_holds_in_vain() {
    let shared = Budget::new(6 * 1024);
    let config = OwnerConfig {
        shared: shared.clone(),
        ..OwnerConfig::default()
    };
    let mut rig = Rig::new(config, FeedConfig::default());
    let key = rig.subscribe(1);
    for _ in 0..2 {
        assert!(rig.publish(b"x").is_ok());
        rig.exchange();
        rig.read(key, 1000);
        rig.exchange();
    }
    assert_eq!(
        shared.used(),
        2048,
        "read by all, but the owner has not heard of it"
    );
    assert_eq!(rig.publish(&[0; 4000]), Err(PublishError::BudgetSpent));
    rig.exchange();
    assert!(rig.publish(&[0; 4000]).is_ok());
}

#[test]
fn subscribers_end_at_the_limit() {
    for max in [0, 1, 3] {
        let config = FeedConfig {
            subscribers_max: max,
            ..FeedConfig::default()
        };
        let mut rig = Rig::new(OwnerConfig::default(), config);
        for user in 0..max as u64 {
            assert!(rig.feed.subscribe(user, Start::Tail).is_ok());
        }
        assert_eq!(
            rig.feed.subscribe(9, Start::Tail),
            Err(hioload_base::Full(9))
        );
        assert_eq!(rig.feed.len(), max);
    }
}

#[test]
fn chunk_numbers_come_round() {
    let mut rig = Rig::new(OwnerConfig::default(), FeedConfig::default());
    let keys = [rig.subscribe(1), rig.subscribe(2)];
    // Each round lets go of everything, which moves the numbers on by 2^20.
    for round in 0..10_000_u32 {
        assert!(rig.publish(&round.to_be_bytes()).is_ok());
        rig.exchange();
        for key in keys {
            assert_eq!(rig.read(key, 100)[HEADER_SIZE..], round.to_be_bytes());
        }
    }
}
