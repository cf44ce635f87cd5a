//! Subscribers that read slowly, or not at all: who keeps reading loses nothing, who does not is
//! found out, and nobody else pays for it.

use std::thread;
use std::time::Duration;

use hioload::{ChannelRule, CloseReason, DriverChoice, Settings};
use hioload_e2e::{Opcode, Running, Wire, until};
use hioload_live::Policy;

use crate::kit::{self, next, publish, read_all, read_to_end, small_subscriber, subscriber};

const SIZE: usize = 4096;

/// A small log, so that it is full soon.
fn settings(policy: Policy) -> Settings {
    let mut settings = Running::settings();
    settings.channel.budget = 512 * 1024;
    settings.channel.policy = policy;
    settings.channel.window = Duration::from_millis(400);
    settings
}

/// 16 MiB from a publisher as fast as it is let, to one who reads at once and one who dawdles. The
/// log holds half a MiB: the publisher is held back, and both get everything.
pub(crate) fn a_slow_reader_holds_the_publisher_and_loses_nothing(driver: DriverChoice) {
    const COUNT: u32 = 4000;
    let mut settings = settings(Policy::Disconnect);
    settings.channel.window = Duration::from_secs(2);
    let (server, _) = kit::start(Running::builder(driver, 2).settings(settings));
    let addr = server.addr();
    let mut fast = subscriber(addr, "room");
    let mut slow = small_subscriber(addr, "room");
    let publisher = thread::spawn(move || publish(addr, "room", 0, COUNT, SIZE));
    let fast = thread::spawn(move || read_all(&mut fast, COUNT));
    let mut read = 0;
    let mut take_one = || {
        assert_eq!(next(&mut slow), (0, read), "lost or out of order");
        read += 1;
        read
    };
    // One publication each time the counters are asked for: it makes progress, and lags.
    server.until_stats("the hold", |stats| {
        take_one();
        stats.held > 0
    });
    while take_one() < COUNT {}
    fast.join().expect("got everything");
    publisher.join().expect("all taken");
    server.until_stats("the publications", |stats| {
        stats.publications == u64::from(COUNT)
    });
    let stats = server.stats();
    assert_eq!((stats.closed_stalled, stats.dropped_publications), (0, 0));
}

/// Several publishers on several workers are held back at once, and all go on.
pub(crate) fn publishers_on_all_workers_are_held_and_go_on(driver: DriverChoice) {
    const COUNT: u32 = 600;
    let mut settings = settings(Policy::Disconnect);
    settings.channel.window = Duration::from_secs(2);
    let (server, _) = kit::start(Running::builder(driver, 3).settings(settings));
    let addr = server.addr();
    let mut slow = small_subscriber(addr, "room");
    let publishers: Vec<_> = (0..6)
        .map(|number| thread::spawn(move || publish(addr, "room", number, COUNT, SIZE)))
        .collect();
    server.until_stats("the hold", |stats| stats.held > 0);
    let mut expected = [0; 6];
    for _ in 0..COUNT * 6 {
        let (publisher, number) = next(&mut slow);
        assert_eq!(
            number, expected[publisher as usize],
            "publisher {publisher}"
        );
        expected[publisher as usize] += 1;
    }
    publishers
        .into_iter()
        .for_each(|publisher| publisher.join().expect("all taken"));
}

/// Who never reads is disconnected with 1013 at the end of a frame; what it did get has no gap.
pub(crate) fn who_never_reads_is_disconnected_and_counted(driver: DriverChoice) {
    const COUNT: u32 = 6000;
    let (server, ends) =
        kit::start(Running::builder(driver, 2).settings(settings(Policy::Disconnect)));
    let addr = server.addr();
    let mut stalled = small_subscriber(addr, "room");
    let readers: Vec<_> = (0..3)
        .map(|_| {
            let mut wire = subscriber(addr, "room");
            thread::spawn(move || read_all(&mut wire, COUNT))
        })
        .collect();
    publish(addr, "room", 0, COUNT, SIZE);
    readers
        .into_iter()
        .for_each(|reader| reader.join().expect("got everything"));
    server.until_stats("the stalled one", |stats| stats.closed_stalled == 1);
    // It starts to read while it may still be told.
    let (seen, code) = read_to_end(&mut stalled);
    assert!(
        seen.iter().copied().eq(0..seen.len() as u32),
        "a gap before the end"
    );
    assert_eq!(code, Some(1013));
    until("the end to be told", || {
        ends.lock()
            .expect("no panic")
            .contains(&CloseReason::Stalled)
    });
    // The counter is exact: what it got and what it missed are all there were since.
    server.until_stats("the leavers", |stats| stats.subscriptions == 0);
    let dropped = server.stats().dropped_publications;
    assert!(
        dropped > 0 && dropped <= u64::from(COUNT) - seen.len() as u64,
        "{dropped} dropped"
    );
}

/// Who never reads is gone in the end, whether or not it can be told.
pub(crate) fn who_never_reads_at_all_is_gone(driver: DriverChoice) {
    const COUNT: u32 = 6000;
    let mut settings = settings(Policy::Disconnect);
    settings.close_timeout = Duration::from_millis(100);
    let (server, _) = kit::start(Running::builder(driver, 1).settings(settings));
    let mut stalled = small_subscriber(server.addr(), "room");
    publish(server.addr(), "room", 0, COUNT, SIZE);
    server.until_stats("its end", |stats| {
        (stats.closed_stalled, stats.connections, stats.subscriptions) == (1, 0, 0)
    });
    // In the middle of a frame, maybe: it was not told.
    let (seen, _) = read_to_end(&mut stalled);
    assert!(
        seen.iter().copied().eq(0..seen.len() as u32),
        "a gap before the end"
    );
    assert!((seen.len() as u32) < COUNT);
}

/// Skip: it misses what did not fit and goes on, connected.
pub(crate) fn skip_leaves_out_what_was_missed(driver: DriverChoice) {
    const COUNT: u32 = 6000;
    let (server, _) = kit::start(Running::builder(driver, 2).settings(settings(Policy::Skip)));
    let addr = server.addr();
    let mut sleeper = small_subscriber(addr, "room");
    let mut reader = subscriber(addr, "room");
    let reader = thread::spawn(move || read_all(&mut reader, COUNT));
    publish(addr, "room", 0, COUNT, SIZE);
    reader.join().expect("got everything");
    server.until_stats("a skip", |stats| stats.dropped_publications > 0);
    // It wakes up, drains what it is owed, and gets new publications again.
    let (seen, news) = wake_up(&server, &mut sleeper);
    assert!(
        seen.is_sorted() && seen.windows(2).all(|two| two[0] != two[1]),
        "order kept"
    );
    assert!((seen.len() as u32) < COUNT && news > 0);
    // Exactly what is missing was counted, and it is still there.
    let missed = u64::from(COUNT + news) - seen.len() as u64;
    server.until_stats("the missed ones", |stats| {
        (stats.dropped_publications, stats.sessions) == (missed, 1)
    });
    drop(sleeper);
    server.until_stats("its end", |stats| stats.subscriptions == 0);
    let stats = server.stats();
    assert_eq!(
        (stats.dropped_publications, stats.closed_stalled),
        (missed, 0)
    );
}

/// Latest: it gets the last publication before the gap's end, then goes on.
pub(crate) fn latest_ends_with_the_last_one(driver: DriverChoice) {
    const COUNT: u32 = 6000;
    let (server, _) = kit::start(Running::builder(driver, 1).settings(settings(Policy::Latest)));
    let addr = server.addr();
    let mut sleeper = small_subscriber(addr, "room");
    publish(addr, "room", 0, COUNT, SIZE);
    server.until_stats("a gap", |stats| stats.dropped_publications > 0);
    // Nothing is published meanwhile: the last value must come by itself.
    let mut seen = Vec::new();
    while seen.last() != Some(&(COUNT - 1)) {
        seen.push(next(&mut sleeper).1);
    }
    assert!(
        seen.is_sorted() && (seen.len() as u32) < COUNT,
        "{} seen",
        seen.len()
    );
    assert_eq!(server.stats().closed_stalled, 0);
}

/// By rule or without one: of two who never read, on any worker, one is disconnected and one gets the latest value.
pub(crate) fn each_channel_has_the_policy_of_its_rule(driver: DriverChoice) {
    const COUNT: u32 = 6000;
    const ROOMS: [&str; 2] = ["room", "ticker:eur"];
    let mut settings = settings(Policy::Disconnect);
    settings.channel.rules.push(ChannelRule {
        policy: Some(Policy::Latest),
        ..ChannelRule::new("ticker:")
    });
    let (server, _) = kit::start(Running::builder(driver, 2).settings(settings));
    let addr = server.addr();
    let [mut stalled, mut sleeper] = ROOMS.map(|room| small_subscriber(addr, room));
    for room in ROOMS {
        publish(addr, room, 0, COUNT, SIZE);
    }
    server.until_stats("the stalled one", |stats| stats.closed_stalled == 1);
    let (seen, _) = read_to_end(&mut stalled);
    assert!((seen.len() as u32) < COUNT, "it was disconnected");
    let mut last = 0;
    while last != COUNT - 1 {
        last = next(&mut sleeper).1;
    }
    assert_eq!(server.stats().closed_stalled, 1);
}

/// Publishes until the sleeper is back, and reads it empty; all it saw, and how many were published
/// for that.
fn wake_up(server: &Running, sleeper: &mut Wire) -> (Vec<u32>, u32) {
    const NEWS: u32 = 1_000_000;
    let mut publisher = Wire::open(server.addr(), "/pub/room");
    let mut news = 0;
    let mut publish_one = || {
        publisher.frame(Opcode::Binary, &kit::publication(0, NEWS + news, 64));
        publisher.frame(Opcode::Text, b"?");
        assert_eq!(publisher.next().payload, b"!");
        news += 1;
        NEWS + news - 1
    };
    let mut seen = Vec::new();
    while seen.last().is_none_or(|last| *last < NEWS) {
        publish_one();
        // What is there up to the answer to its own question.
        sleeper.frame(Opcode::Text, b"?");
        loop {
            let frame = sleeper.next();
            if frame.opcode() == Opcode::Text as u8 {
                break;
            }
            seen.push(kit::numbers(&frame.payload).1);
        }
    }
    let last = publish_one();
    while seen.last() != Some(&last) {
        seen.push(next(sleeper).1);
    }
    (seen, news)
}

/// A pong does not wait behind the data that is queued: it goes out at the end of the frame.
pub(crate) fn a_ping_is_answered_ahead_of_queued_data(driver: DriverChoice) {
    const COUNT: u32 = 6000;
    let mut settings = settings(Policy::Disconnect);
    settings.channel.budget = 64 << 20;
    settings.channel.window = Duration::from_secs(30);
    let (server, _) = kit::start(Running::builder(driver, 1).settings(settings));
    let mut wire = small_subscriber(server.addr(), "room");
    publish(server.addr(), "room", 0, COUNT, SIZE);
    wire.frame(Opcode::Ping, b"now");
    let mut before = 0;
    let mut is_answered = false;
    for _ in 0..=COUNT {
        let frame = wire.next();
        if frame.opcode() == Opcode::Pong as u8 {
            assert_eq!(frame.payload, b"now");
            is_answered = true;
        } else {
            // In order, and no frame torn apart by the pong.
            let (_, number) = kit::numbers(&frame.payload);
            before += u32::from(!is_answered);
            assert!(number < COUNT);
        }
    }
    assert!(is_answered);
    // Only what the kernel had already comes before: of 24 MiB, some.
    assert!(
        before < COUNT * 3 / 4,
        "{before} of {COUNT} publications came first"
    );
}
