//! Bodies that come, and what becomes of them.

use super::*;

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
    assert!(matches!(&rig.file_ops[..], [FileOp::Write { content, .. }] if content.len() == 4096));
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
fn a_new_content_is_told_once_also_when_its_sender_is_gone() {
    let mut rig = rig(plain());
    let content = content(5000);
    let key = rig.begin(None, Some(5000));
    rig.send(key, &content);
    rig.store.put_end(rig.now, key);
    // Up to the question whether it may be named.
    rig.collect();
    while !rig.file_ops.is_empty() {
        rig.end_op(None);
    }
    rig.store.put_abort(rig.now, key);
    rig.assert_nothing_is_lost();
    assert!(rig.events.is_empty(), "{:?}", rig.events);
    assert_eq!(rig.added, [Hash::of(&content)]);
    let again = rig.put(&content);
    assert!(
        matches!(
            again,
            Event::Stored {
                outcome: Stored::Present,
                ..
            }
        ),
        "{again:?}"
    );
    assert_eq!(rig.added.len(), 1);
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
        matches!(&rig.file_ops[..], [FileOp::Write { content, .. }] if content.len() == 61_440 - 12_288)
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
    let content = content(220_000);
    let key = rig.begin(None, Some(220_000));
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

/// Bytes of the operations given out, without anything being hashed for them.
fn sizes_given(rig: &mut Rig) -> Vec<usize> {
    let mut sizes = Vec::new();
    while let Some(op) = rig.store.next_file_op() {
        if let FileOp::Write { content, .. } = &op {
            sizes.push(content.len());
        }
        rig.file_ops.push(op);
    }
    sizes
}

#[test]
fn what_has_a_name_or_is_long_is_written_before_it_is_hashed() {
    let content = content(100_000);
    for (length, is_named, expected) in [
        (100_000, true, vec![65_536, 36_864]),
        (100_000, false, vec![65_536, 36_864]),
        (60_000, true, vec![61_440]),
        // It may be stored already: its name tells, and nobody knows it yet.
        (60_000, false, vec![]),
    ] {
        let content = &content[..length];
        let mut rig = rig(plain());
        let key = rig.begin(is_named.then(|| Hash::of(content)), Some(length as u32));
        // The first asks for a block.
        rig.talk();
        assert_eq!(rig.store.put_data(rig.now, key, content), length);
        rig.store.put_end(rig.now, key);
        rig.talk_without_hashing();
        assert_eq!(sizes_given(&mut rig), expected);
        assert!(rig.store.has_much_to_hash());
        // The medium is faster than the hash.
        while !rig.file_ops.is_empty() {
            let op = rig.file_ops.remove(0);
            rig.hand_over(op, None);
        }
        assert!(!rig.store.has_requests(), "nothing is named unhashed");
        rig.run();
        assert!(matches!(rig.events[..], [Event::Stored { .. }]));
        assert_eq!(rig.get_from_medium(content), content);
        rig.assert_nothing_is_lost();
    }
}

#[test]
fn an_end_that_comes_long_after_the_last_byte_is_the_same() {
    for length in [60_000, 65_536, 100_000, 300_001, 524_288] {
        for is_named in [true, false] {
            for is_written_before in [true, false] {
                let mut rig = rig(plain());
                let content = content(length);
                let expected = is_named.then(|| Hash::of(&content));
                let key = rig.begin(expected, Some(length as u32));
                rig.talk();
                rig.send(key, &content);
                // All of it is hashed.
                rig.store.poll(rig.now);
                rig.store.poll(rig.now);
                if is_written_before {
                    rig.run();
                }
                rig.store.put_end(rig.now, key);
                rig.talk_without_hashing();
                sizes_given(&mut rig);
                while !rig.file_ops.is_empty() {
                    let op = rig.file_ops.remove(0);
                    rig.hand_over(op, None);
                }
                rig.run();
                assert!(matches!(rig.events[..], [.., Event::Stored { .. }]));
                assert_eq!(rig.get_from_medium(&content), content);
                rig.assert_nothing_is_lost();
            }
        }
    }
}

#[test]
fn a_short_content_without_a_name_is_looked_up_before_it_is_written() {
    for length in [4000, 60_000, 65_536] {
        let mut rig = rig(plain());
        let content = content(length);
        rig.put(&content);
        let before = rig.store.stats();
        let key = rig.begin(None, Some(length as u32));
        rig.send(key, &content);
        // Its hash is as far as it can be before the end.
        rig.store.poll(rig.now);
        rig.store.poll(rig.now);
        rig.store.put_end(rig.now, key);
        rig.run();
        let outcome = Stored::Present;
        assert!(matches!(rig.events[..], [.., Event::Stored { outcome: o, .. }] if o == outcome));
        assert_eq!(rig.store.stats().writes, before.writes, "{length}");
        rig.assert_nothing_is_lost();
    }
}

#[test]
fn short_writes_of_any_piece_are_completed_whether_it_is_hashed_or_not() {
    let content = content(150_000);
    for is_hashed_first in [true, false] {
        let mut rig = rig(LocalConfig {
            pool_targets: [0, 0, 0, 0, 0, 0, 1, 0],
            ..plain()
        });
        let key = rig.begin(Some(Hash::of(&content)), Some(150_000));
        rig.talk();
        assert_eq!(rig.store.put_data(rig.now, key, &content), content.len());
        rig.store.put_end(rig.now, key);
        rig.talk_without_hashing();
        assert_eq!(sizes_given(&mut rig), [65_536, 65_536, 20_480]);
        if is_hashed_first {
            rig.store.poll(rig.now);
            rig.store.poll(rig.now);
        }
        // The last first, each in three parts.
        for result in [Ok(8192), Err(4)].repeat(3) {
            let op = rig.file_ops.pop().expect("in flight");
            rig.hand_over(op, Some(result));
            sizes_given(&mut rig);
            rig.file_ops.rotate_right(1);
        }
        rig.run();
        assert!(matches!(rig.events[..], [Event::Stored { .. }]));
        assert_eq!(rig.get_from_medium(&content), content);
        rig.assert_nothing_is_lost();
    }
}

#[test]
fn a_lie_that_was_written_leaves_nothing_behind() {
    let mut rig = rig(plain());
    let content = content(100_000);
    let key = rig.begin(Some(Hash::of(b"a lie")), Some(100_000));
    rig.talk();
    rig.store.put_data(rig.now, key, &content);
    rig.store.put_end(rig.now, key);
    rig.talk_without_hashing();
    assert_eq!(sizes_given(&mut rig).len(), 2);
    rig.end_op(None);
    assert!(matches!(
        rig.events[..],
        [Event::PutFailed {
            error: PutError::Mismatch { .. },
            ..
        }]
    ));
    rig.run();
    assert_eq!(rig.controller.stats().blocks, 0);
    rig.assert_nothing_is_lost();
}

#[test]
fn pieces_are_large_while_memory_is_ample() {
    let large = 4 * 65_536;
    let mut rig = rig(LocalConfig {
        write_memory: 1 << 20,
        ..plain()
    });
    let content = content(524_288);
    let hash = Hash::of(&content);
    let keys = [(); 3].map(|()| rig.begin(Some(hash), Some(524_288)));
    let rooms = keys.map(|key| rig.store.put_room(key));
    assert_eq!(rooms, [large, large, 65_536], "half of it");
    let other = rig.begin(Some(hash), Some(524_288));
    assert_eq!(rig.store.put_room(other), 65_536, "the rest is for many");
    let short = rig.begin(Some(hash), Some(large as u32 - 1));
    assert_eq!(rig.store.put_room(short), 65_536, "no more than it needs");
    for key in [other, short, keys[1], keys[2]] {
        rig.store.put_abort(rig.now, key);
    }
    rig.send(keys[0], &content);
    rig.store.put_end(rig.now, keys[0]);
    rig.run();
    assert_eq!(rig.store.stats().writes, 2);
    assert_eq!(rig.get_from_medium(&content), content);
    rig.assert_nothing_is_lost();
}

#[test]
fn pieces_are_as_configured_where_the_pool_has_no_larger_ones() {
    let memory = PoolConfig {
        slab_size: Some(65_536),
        ..PoolConfig::with_budget(16 * MIB)
    };
    let mut rig = rig_with(plain(), memory);
    let content = content(524_288);
    let key = rig.begin(Some(Hash::of(&content)), Some(524_288));
    assert_eq!(rig.store.put_room(key), 65_536);
    rig.send(key, &content);
    rig.store.put_end(rig.now, key);
    rig.run();
    assert_eq!(rig.store.stats().writes, 8);
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
    assert_eq!(
        stored.len(),
        3,
        "2 MiB but for the journal, and what was at hand came back"
    );
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
