//! Recovery gives everything since the place asked for, or says what is missing.

mod common;

use common::Rig;
use hioload_live::{Class, Classes, FeedConfig, HistoryConfig, OwnerConfig, Recovered, Since};
use std::time::Duration;

const EPOCH: u64 = 5;

fn rig(history: HistoryConfig) -> Rig {
    let config = OwnerConfig {
        budget: 64 * 1024,
        history,
        epoch: EPOCH,
        chunk_size: 1024,
        kept: Classes::PLAIN,
        ..OwnerConfig::default()
    };
    Rig::new(config, FeedConfig::default())
}

fn long() -> HistoryConfig {
    HistoryConfig {
        count: 1000,
        size: 1 << 20,
        age: Duration::from_secs(60),
    }
}

/// Frames of ten bytes.
fn publish(rig: &mut Rig, count: usize) {
    for _ in 0..count {
        assert!(rig.publish(&[1; 9]).is_ok());
    }
    rig.exchange();
}

fn since(offset: u64) -> Since {
    Since {
        epoch: EPOCH,
        offset,
    }
}

/// What a subscriber who saw `offset` gets: the verdict, and how many publications.
fn recover(rig: &mut Rig, offset: u64) -> (Recovered, usize) {
    let (key, recovered) = rig.recover(1, since(offset));
    let count = rig.read(key, usize::MAX).len() / 10;
    assert!(rig.feed.unsubscribe(key));
    (recovered, count)
}

#[test]
fn the_count_is_exact() {
    for count in [1, 5, 200] {
        let mut rig = rig(HistoryConfig { count, ..long() });
        publish(&mut rig, 500);
        assert_eq!(recover(&mut rig, 500), (Recovered::Complete, 0));
        assert_eq!(recover(&mut rig, 499), (Recovered::Complete, 1));
        assert_eq!(
            recover(&mut rig, 500 - count),
            (Recovered::Complete, count as usize)
        );
        let gap = Recovered::Gap {
            from: 500 - count,
            to: 500 - count,
        };
        assert_eq!(recover(&mut rig, 500 - count - 1), (gap, count as usize));
        let gap = Recovered::Gap {
            from: 1,
            to: 500 - count,
        };
        assert_eq!(recover(&mut rig, 0), (gap, count as usize));
    }
}

#[test]
fn without_history_only_the_end_is_complete() {
    for history in [
        HistoryConfig::OFF,
        HistoryConfig { count: 0, ..long() },
        HistoryConfig { size: 0, ..long() },
        HistoryConfig {
            age: Duration::ZERO,
            ..long()
        },
    ] {
        let mut rig = rig(history);
        publish(&mut rig, 3);
        assert_eq!(recover(&mut rig, 3), (Recovered::Complete, 0));
        assert_eq!(recover(&mut rig, 2), (Recovered::Gap { from: 3, to: 3 }, 0));
    }
}

#[test]
fn the_size_is_exact() {
    for (size, kept) in [(9, 0), (10, 1), (19, 1), (20, 2), (2015, 201)] {
        let mut rig = rig(HistoryConfig { size, ..long() });
        publish(&mut rig, 500);
        assert_eq!(
            recover(&mut rig, 500 - kept),
            (Recovered::Complete, kept as usize),
            "{size}"
        );
        let gap = Recovered::Gap {
            from: 500 - kept,
            to: 500 - kept,
        };
        assert_eq!(
            recover(&mut rig, 500 - kept - 1),
            (gap, kept as usize),
            "{size}"
        );
    }
}

#[test]
fn the_age_is_exact_to_a_millisecond() {
    let mut rig = rig(HistoryConfig {
        age: Duration::from_millis(100),
        ..long()
    });
    publish(&mut rig, 1);
    rig.wait_ms(40);
    publish(&mut rig, 1);
    rig.wait_ms(60);
    assert_eq!(recover(&mut rig, 0), (Recovered::Complete, 2));
    rig.wait_ms(1);
    assert_eq!(recover(&mut rig, 0), (Recovered::Gap { from: 1, to: 1 }, 1));
    assert_eq!(recover(&mut rig, 1), (Recovered::Complete, 1));
    rig.wait_ms(40);
    assert_eq!(recover(&mut rig, 1), (Recovered::Gap { from: 2, to: 2 }, 0));
    rig.wait_ms(1000);
    rig.owner.expire(rig.now);
    rig.exchange();
    rig.owner.expire(rig.now);
    assert_eq!(rig.owner.stats().memory, 0, "old history is not kept");
}

#[test]
fn another_life_gives_all_that_is_kept_and_says_so() {
    let mut rig = rig(long());
    publish(&mut rig, 3);
    let (key, recovered) = rig.recover(
        1,
        Since {
            epoch: EPOCH + 1,
            offset: 2,
        },
    );
    assert_eq!(
        (recovered, rig.read(key, 100).len()),
        (Recovered::OtherEpoch, 30)
    );
    let (key, recovered) = rig.recover(2, since(4));
    assert_eq!(
        (recovered, rig.read(key, 100).len()),
        (Recovered::OtherEpoch, 30)
    );
}

#[test]
fn recovery_and_live_join_without_a_seam() {
    let mut rig = rig(long());
    let live = rig.subscribe(1);
    publish(&mut rig, 150);
    assert_eq!(rig.read(live, 1015).len(), 1015);
    // Some has been appended but not carried yet.
    assert!(rig.publish(&[2; 9]).is_ok());
    let (key, recovered) = rig.recover(2, since(10));
    assert_eq!(recovered, Recovered::Complete);
    publish(&mut rig, 5);
    assert_eq!(rig.read(key, usize::MAX).len(), 1460);
    assert_eq!(rig.read(live, usize::MAX).len(), 545);
    rig.exchange();
    assert_eq!(rig.feed.stats().held_bytes, 0);
    assert!(rig.feed.unsubscribe(key) && rig.feed.unsubscribe(live));
}

#[test]
fn history_never_makes_a_publisher_wait() {
    let mut rig = rig(long());
    for _ in 0..500 {
        publish(&mut rig, 10);
    }
    let (recovered, count) = recover(&mut rig, 4000);
    assert!(matches!(
        recovered,
        Recovered::Gap { from: 4001, .. } | Recovered::Complete
    ));
    assert!(count > 500, "most of the budget serves history, {count}");
    assert_eq!(rig.owner.stats().refused_log_full, 0);
    assert!(rig.owner.stats().memory_max <= 64 * 1024);
}

#[test]
fn a_class_has_history_since_somebody_took_it() {
    let mut rig = rig(long());
    publish(&mut rig, 3);
    let class = Class::new(2).expect("below 16");
    let mut feed = hioload_live::Feed::new(FeedConfig {
        class,
        ..FeedConfig::default()
    });
    let attached = rig.owner.attach(1, feed.ask(Some(since(0))), rig.now);
    assert_eq!(attached.recovered, Recovered::Gap { from: 1, to: 3 });
    feed.attach(&attached);
    publish(&mut rig, 2);
    let attached = rig.owner.attach(1, feed.ask(Some(since(3))), rig.now);
    assert_eq!(
        (attached.recovered, attached.first),
        (Recovered::Complete, 4)
    );
}

#[test]
fn a_class_has_history_for_those_who_left_it_not_too_long_ago() {
    let age = Duration::from_millis(100);
    let mut rig = rig(HistoryConfig { age, ..long() });
    let class = Class::new(2).expect("below 16");
    let feed = hioload_live::Feed::new(FeedConfig {
        class,
        ..FeedConfig::default()
    });
    let _ = rig.owner.attach(1, feed.ask(None), rig.now);
    rig.owner.detach(1, class, rig.now);
    publish(&mut rig, 2);
    rig.wait_ms(100);
    rig.owner.expire(rig.now);
    let attached = rig.owner.attach(1, feed.ask(Some(since(0))), rig.now);
    assert_eq!(
        (attached.recovered, attached.first),
        (Recovered::Complete, 1)
    );
    rig.owner.detach(1, class, rig.now);
    publish(&mut rig, 1);
    rig.wait_ms(101);
    rig.owner.expire(rig.now);
    assert_eq!(rig.owner.classes(), Classes::PLAIN, "it takes nothing more");
    let attached = rig.owner.attach(1, feed.ask(Some(since(2))), rig.now);
    assert_eq!(attached.recovered, Recovered::Gap { from: 3, to: 3 });
    // Who never left it keeps it.
    rig.wait_ms(200);
    rig.owner.expire(rig.now);
    assert!(rig.owner.classes().contains(class));
}

#[test]
fn many_who_come_back_to_a_quiet_channel_leave_the_others_in_place() {
    let mut rig = rig(long());
    let live = rig.subscribe(1);
    publish(&mut rig, 250);
    assert_eq!(rig.read(live, usize::MAX).len(), 2500);
    for offset in 0..5000 {
        let (key, _) = rig.recover(2, since(offset % 250));
        assert_eq!(
            rig.read(key, usize::MAX).len(),
            2500 - offset as usize % 250 * 10
        );
        if offset % 3 > 0 {
            assert!(rig.feed.unsubscribe(key));
        }
    }
    publish(&mut rig, 1);
    assert_eq!(rig.read(live, usize::MAX).len(), 10);
}

#[test]
fn a_subscriber_can_be_told_where_it_stands() {
    let mut rig = rig(long());
    let empty = hioload_live::Feed::new(FeedConfig::default());
    assert_eq!(empty.position(), None, "the owner has not answered");
    assert_eq!(rig.feed.position(), Some((EPOCH, 0)));
    let key = rig.subscribe(1);
    assert_eq!(rig.feed.next_offset(key), 1);
    publish(&mut rig, 200);
    assert_eq!(rig.feed.position(), Some((EPOCH, 200)));
    for (bytes, next) in [(0, 1), (1, 2), (8, 2), (1, 2), (1015, 104), (975, 201)] {
        assert_eq!(rig.read(key, bytes).len(), bytes);
        assert_eq!(rig.feed.next_offset(key), next, "after {bytes} more");
    }
    let (key, _) = rig.recover(2, since(150));
    assert_eq!(rig.feed.next_offset(key), 151);
}
