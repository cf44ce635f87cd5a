//! Progress decides who is stalled; what becomes of the stalled; what holds publishers back.

mod common;

use common::Rig;
use hioload_live::{
    Action, Budget, Feed, FeedConfig, Gap, OwnerConfig, Policy, PublishError, SubscriberKey,
};
use std::time::Duration;

const BUDGET: usize = 64 * 1024;

fn rig(policy: Policy) -> Rig {
    let owner = OwnerConfig {
        budget: BUDGET,
        chunk_size: 1024,
        ..OwnerConfig::default()
    };
    Rig::new(owner, feed(policy))
}

/// 1000 bytes a second over 100 ms: 100 bytes a window.
fn feed(policy: Policy) -> FeedConfig {
    FeedConfig {
        budget: BUDGET,
        policy,
        rate_min: 1000,
        window: Duration::from_millis(100),
        owed: Budget::new(1000),
        exclude_sender: true,
        ..FeedConfig::default()
    }
}

/// Publishes frames of ten bytes, each of its own letter.
fn publish(rig: &mut Rig, letters: &str) {
    for letter in letters.bytes() {
        assert!(rig.publish(&[letter; 9]).is_ok());
    }
    rig.exchange();
}

fn stall(rig: &mut Rig) -> Vec<Action> {
    assert_eq!(rig.sweep(), [], "the window begins");
    rig.wait_ms(99);
    assert_eq!(rig.sweep(), [], "the window is not over");
    rig.wait_ms(1);
    rig.sweep()
}

fn letters(bytes: &[u8]) -> String {
    bytes
        .iter()
        .filter(|byte| **byte != 0)
        .map(|byte| char::from(*byte))
        .collect()
}

#[test]
fn the_rate_decides_however_long_the_lag_is() {
    let mut rig = rig(Policy::Disconnect);
    let (slow, slower) = (rig.subscribe(1), rig.subscribe(2));
    for _ in 0..200 {
        publish(&mut rig, "abcdefghij");
    }
    rig.sweep();
    for round in 1..=4 {
        for _ in 0..10 {
            rig.wait_ms(10);
            rig.read(slow, 10);
            if round < 4 {
                rig.read(slower, 10);
            }
        }
        let expected = [Action::Disconnect {
            publications: 2000 - 30,
            is_cut: false,
        }];
        assert_eq!(rig.sweep(), if round < 4 { &[][..] } else { &expected });
    }
    assert!(rig.feed.lag_bytes(slow) > 19_000);
}

#[test]
fn a_short_lag_is_judged_by_its_own_length() {
    let mut rig = rig(Policy::Disconnect);
    let (idle, reader) = (rig.subscribe(1), rig.subscribe(2));
    publish(&mut rig, "a");
    assert_eq!(rig.sweep(), []);
    rig.wait_ms(100);
    // Far below the rate, but all there was when the window began; then something new comes.
    assert_eq!(rig.read(reader, 9).len(), 9);
    publish(&mut rig, "b");
    assert_eq!(rig.read(reader, 1).len(), 1);
    assert_eq!(
        rig.sweep(),
        [Action::Disconnect {
            publications: 2,
            is_cut: false
        }]
    );
    assert_eq!((rig.feed.dropped(idle), rig.feed.dropped(reader)), (2, 0));
    assert_eq!(rig.read(idle, 100), b"", "it gets nothing more");
    assert_eq!(rig.feed.stats().dropped_subscribers, 1);
}

#[test]
fn disconnect_lets_go_of_the_log_at_once_and_finishes_the_frame() {
    let mut rig = rig(Policy::Disconnect);
    let key = rig.subscribe(1);
    publish(&mut rig, "abc");
    assert_eq!(rig.read(key, 4).len(), 4);
    rig.wait_ms(100);
    assert_eq!(
        rig.sweep(),
        [Action::Disconnect {
            publications: 2,
            is_cut: false
        }]
    );
    assert_eq!(rig.feed.stats().held_bytes, 0);
    assert_eq!(rig.feed.to_boundary(key), 6);
    assert_eq!(letters(&rig.read(key, 100)), "aaaaaa");
    assert_eq!(rig.feed.to_boundary(key), 0);
    publish(&mut rig, "d");
    assert_eq!(rig.read(key, 100), b"");
    assert_eq!(rig.sweep(), []);
    assert!(rig.feed.unsubscribe(key));
}

#[test]
fn skip_finishes_the_frame_tells_the_gap_and_goes_on_at_the_end() {
    let mut rig = rig(Policy::Skip);
    let key = rig.subscribe(1);
    publish(&mut rig, "abc");
    assert_eq!(rig.read(key, 4).len(), 4);
    rig.wait_ms(100);
    assert_eq!(
        rig.sweep(),
        [Action::Skipped(Gap {
            from: 2,
            to: 3,
            publications: 2
        })]
    );
    assert_eq!(
        rig.feed.stats().held_bytes,
        0,
        "a parked cursor holds nothing"
    );
    publish(&mut rig, "de");
    assert_eq!(rig.sweep(), [], "it has not drained");
    assert_eq!(letters(&rig.read(key, 3)), "aaa");
    assert_eq!(rig.sweep(), [], "it has drained a part");
    assert_eq!(letters(&rig.read(key, 100)), "aaa");
    assert_eq!(
        rig.sweep(),
        [Action::Resumed(Gap {
            from: 4,
            to: 5,
            publications: 2
        })]
    );
    assert_eq!(rig.read(key, 100), b"");
    publish(&mut rig, "f");
    assert_eq!(letters(&rig.read(key, 100)), "fffffffff");
    assert_eq!(
        (rig.feed.dropped(key), rig.feed.stats().dropped_publications),
        (4, 4)
    );
}

#[test]
fn at_a_boundary_skip_owes_the_next_frame() {
    let mut rig = rig(Policy::Skip);
    let key = rig.subscribe(1);
    publish(&mut rig, "abc");
    assert_eq!(
        stall(&mut rig),
        [Action::Skipped(Gap {
            from: 2,
            to: 3,
            publications: 2
        })]
    );
    assert_eq!(rig.feed.to_boundary(key), 0);
    assert_eq!(letters(&rig.read(key, 100)), "aaaaaaaaa");
    assert_eq!(
        rig.sweep(),
        [Action::Resumed(Gap {
            from: 4,
            to: 3,
            publications: 0
        })]
    );
}

#[test]
fn latest_gives_the_newest_only() {
    let mut rig = rig(Policy::Latest);
    let key = rig.subscribe(1);
    publish(&mut rig, "abc");
    assert_eq!(rig.read(key, 4).len(), 4);
    rig.wait_ms(100);
    assert_eq!(
        rig.sweep(),
        [Action::Latest(Gap {
            from: 2,
            to: 2,
            publications: 1
        })]
    );
    publish(&mut rig, "def");
    assert_eq!(letters(&rig.read(key, 100)), "aaaaaa");
    assert_eq!(
        rig.sweep(),
        [Action::Resumed(Gap {
            from: 3,
            to: 5,
            publications: 3
        })]
    );
    assert_eq!(
        letters(&rig.read(key, 100)),
        "fffffffff",
        "though the log let go of it"
    );
    publish(&mut rig, "g");
    assert_eq!(letters(&rig.read(key, 100)), "ggggggggg");
    assert_eq!(rig.feed.dropped(key), 4);
}

#[test]
fn latest_at_a_boundary_owes_the_newest() {
    let mut rig = rig(Policy::Latest);
    let key = rig.subscribe(1);
    publish(&mut rig, "abc");
    assert_eq!(
        stall(&mut rig),
        [Action::Latest(Gap {
            from: 1,
            to: 2,
            publications: 2
        })]
    );
    assert_eq!(letters(&rig.read(key, 100)), "ccccccccc");
    assert_eq!(
        rig.sweep(),
        [Action::Resumed(Gap {
            from: 4,
            to: 3,
            publications: 0
        })]
    );
}

#[test]
fn what_is_owed_counts_as_a_segment() {
    for is_publisher in [false, true] {
        let mut rig = rig(Policy::Latest);
        let key = rig.subscribe(1);
        publish(&mut rig, "abc");
        stall(&mut rig);
        publish(&mut rig, "d");
        rig.read(key, 100);
        rig.sweep();
        // It is owed the latest, and what follows lies in many chunks.
        for _ in 0..40 {
            assert!(rig.publish(&[b'x'; 900]).is_ok());
        }
        if is_publisher {
            let origin = rig.feed.origin(key);
            assert!(rig.publish_from(origin, b"own").is_ok());
        }
        rig.exchange();
        let (bytes, count) = rig.peek(key, usize::MAX);
        assert_eq!(letters(&bytes[..10]), "ddddddddd");
        assert_eq!(count, Feed::SEGMENTS_MAX);
    }
}

#[test]
fn own_publications_are_not_counted_as_dropped() {
    let mut rig = rig(Policy::Skip);
    let key = rig.subscribe(1);
    let origin = rig.feed.origin(key);
    publish(&mut rig, "ab");
    assert!(rig.publish_from(origin, b"own").is_ok());
    rig.exchange();
    assert_eq!(
        stall(&mut rig),
        [Action::Skipped(Gap {
            from: 2,
            to: 3,
            publications: 1
        })]
    );
    assert!(rig.publish_from(origin, b"own").is_ok());
    publish(&mut rig, "c");
    rig.read(key, 100);
    assert_eq!(
        rig.sweep(),
        [Action::Resumed(Gap {
            from: 4,
            to: 5,
            publications: 1
        })]
    );
}

#[test]
fn a_send_under_way_is_cancelled_first() {
    let mut rig = rig(Policy::Skip);
    let key = rig.subscribe(1);
    publish(&mut rig, "ab");
    rig.peek(key, 100);
    assert_eq!(stall(&mut rig), [Action::Cancel]);
    assert_eq!(rig.sweep(), [], "told once");
    rig.feed.sent(key, 3, rig.now);
    assert_eq!(
        rig.read(key, 100),
        b"",
        "nothing is given until it is judged"
    );
    assert_eq!(
        rig.sweep(),
        [Action::Skipped(Gap {
            from: 2,
            to: 2,
            publications: 1
        })]
    );
    assert_eq!(letters(&rig.read(key, 100)), "aaaaaaa");
}

#[test]
fn a_send_that_drains_enough_before_it_is_cancelled_counts() {
    let mut rig = rig(Policy::Skip);
    let key = rig.subscribe(1);
    publish(&mut rig, "ab");
    rig.peek(key, 100);
    assert_eq!(stall(&mut rig), [Action::Cancel]);
    rig.feed.sent(key, 20, rig.now);
    publish(&mut rig, "c");
    assert_eq!(rig.sweep(), []);
    assert_eq!(letters(&rig.read(key, 100)), "ccccccccc");
}

#[test]
fn who_cannot_be_owed_its_frame_is_disconnected() {
    for (size, fits) in [(1, true), (999, true), (1000, false)] {
        let mut rig = rig(Policy::Skip);
        rig.subscribe(1);
        assert!(rig.publish(&vec![b'x'; size]).is_ok());
        rig.exchange();
        let expected = if fits {
            Action::Skipped(Gap {
                from: 2,
                to: 1,
                publications: 0,
            })
        } else {
            Action::Disconnect {
                publications: 1,
                is_cut: false,
            }
        };
        assert_eq!(stall(&mut rig), [expected], "{size}");
    }
}

#[test]
fn a_frame_whose_rest_has_no_room_is_cut() {
    for policy in [Policy::Disconnect, Policy::Skip, Policy::Latest] {
        let mut rig = rig(policy);
        let key = rig.subscribe(1);
        assert!(rig.publish(&[b'x'; 1500]).is_ok());
        publish(&mut rig, "a");
        assert_eq!(rig.read(key, 100).len(), 100);
        rig.wait_ms(100);
        let cut = Action::Disconnect {
            publications: 2,
            is_cut: true,
        };
        assert_eq!(rig.sweep(), [cut], "{policy:?}");
        assert_eq!(
            (rig.feed.to_boundary(key), rig.read(key, 100).len()),
            (0, 0)
        );
    }
}

#[test]
fn private_copies_of_all_feeds_share_one_budget() {
    let owed = Budget::new(1000);
    let config = FeedConfig {
        owed: owed.clone(),
        ..feed(Policy::Latest)
    };
    let new = || Rig::new(OwnerConfig::default(), config.clone());
    let (mut first, mut second) = (new(), new());
    for rig in [&mut first, &mut second] {
        rig.subscribe(1);
        assert!(rig.publish(&[b'x'; 599]).is_ok());
        rig.exchange();
    }
    assert!(matches!(stall(&mut first)[..], [Action::Latest(_)]));
    // What it is owed, and the latest for when it comes back: there is no room for that.
    assert_eq!(owed.used(), 600);
    assert!(matches!(
        stall(&mut second)[..],
        [Action::Disconnect { .. }]
    ));
    drop(first);
    assert_eq!(owed.used(), 0);
}

#[test]
fn a_dead_reader_keeps_the_log_full_for_one_window_only() {
    for policy in [Policy::Disconnect, Policy::Skip, Policy::Latest] {
        let mut rig = rig(policy);
        let (dead, alive) = (rig.subscribe(1), rig.subscribe(2));
        let fill = |rig: &mut Rig| {
            let mut taken = 0;
            while rig.publish(&[1; 99]).is_ok() {
                taken += 1;
                rig.exchange();
                rig.read(alive, usize::MAX);
                rig.exchange();
                if taken > 2000 {
                    break;
                }
            }
            taken
        };
        assert!(fill(&mut rig) < 2000);
        assert_eq!(rig.publish(&[1; 99]), Err(PublishError::LogFull));
        assert_eq!(stall(&mut rig).len(), 1);
        rig.exchange();
        rig.exchange();
        assert!(!rig.owner.is_held());
        assert!(fill(&mut rig) > 2000, "once parked it costs nothing more");
        rig.wait_ms(1000);
        assert_eq!(rig.sweep(), []);
        assert!(rig.feed.unsubscribe(dead));
        assert_eq!(rig.feed.stats().held_bytes, 0);
    }
}

fn lag(rig: &mut Rig, key: SubscriberKey, bytes: usize) {
    while rig.feed.lag_bytes(key) < bytes as u64 {
        publish(rig, "x");
    }
}

#[test]
fn pressure_comes_from_those_who_make_progress_and_lag_far() {
    let mut rig = rig(Policy::Disconnect);
    let key = rig.subscribe(1);
    // Records weigh 16 bytes beside frames of 10.
    let half = BUDGET / 2 * 10 / 26;
    lag(&mut rig, key, half - 100);
    rig.read(key, 10);
    assert!(!rig.feed.under_pressure(rig.now));
    lag(&mut rig, key, half + 1000);
    assert!(
        !rig.feed.under_pressure(rig.now),
        "it has not shown progress"
    );
    rig.read(key, 10);
    assert!(rig.feed.under_pressure(rig.now));
    rig.exchange();
    assert!(rig.owner.is_held());
    rig.wait_ms(25);
    assert!(
        !rig.feed.under_pressure(rig.now),
        "not by progress that is long past"
    );
    rig.exchange();
    assert!(!rig.owner.is_held());
    rig.wait_ms(50);
    rig.read(key, 10);
    assert!(
        !rig.feed.under_pressure(rig.now),
        "not by one who falls behind the pace"
    );
    rig.read(key, 90);
    assert!(rig.feed.under_pressure(rig.now));
    rig.read(key, 2000);
    assert!(!rig.feed.under_pressure(rig.now));
}

#[test]
fn a_sweep_goes_on_where_it_stopped() {
    let mut rig = rig(Policy::Disconnect);
    for user in 0..10 {
        rig.subscribe(user);
    }
    let mut found = Vec::new();
    assert_eq!(rig.feed.sweep(rig.now, 100, &mut found), 0, "nobody lags");
    publish(&mut rig, "a");
    assert_eq!(rig.feed.sweep(rig.now, 0, &mut found), 0);
    for _ in 0..4 {
        assert_eq!(rig.feed.sweep(rig.now, 3, &mut found), 3);
    }
    rig.wait_ms(100);
    for count in [3, 6, 9, 10] {
        rig.feed.sweep(rig.now, 3, &mut found);
        assert!(found.len() <= count);
    }
    assert_eq!(found.len(), 10);
}
