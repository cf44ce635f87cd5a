//! Channels: who gets what, in which order, on how many workers.

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use hioload::{Broadcast, DriverChoice, Settings};
use hioload_e2e::{Frame, Opcode, Running, Wire, connect};

use crate::kit::{self, next, publication, publish, subscriber};

/// The handler of `hioload serve`.
pub(crate) fn a_frame_goes_to_all_but_its_sender(driver: DriverChoice) {
    let builder = Running::builder(driver, 2).settings(Running::settings());
    let server = Running::start(builder.handler(|_| Broadcast::default()));
    let mut clients: Vec<_> = (0..5).map(|_| connect(server.addr())).collect();
    for sender in 0..clients.len() {
        let text = tungstenite::Message::text(format!("from {sender}"));
        let binary = tungstenite::Message::binary(vec![sender as u8; 70_000]);
        clients[sender].send(text.clone()).expect("sent");
        clients[sender].send(binary.clone()).expect("sent");
        for (number, client) in clients.iter_mut().enumerate() {
            // The sender's own never come: they would be the first thing it reads next time.
            if number != sender {
                assert_eq!(client.read().expect("a message"), text);
                assert!(client.read().expect("a message") == binary);
            }
        }
    }
    server.until_stats("the publications", |stats| {
        (stats.publications, stats.messages_received) == (10, 10)
    });
}

pub(crate) fn a_sender_gets_its_own_when_told_so(driver: DriverChoice) {
    let mut settings = Running::settings();
    settings.channel.exclude_sender = false;
    let builder = Running::builder(driver, 1).settings(settings);
    let server = Running::start(builder.handler(|_| Broadcast::default()));
    let mut client = connect(server.addr());
    client.send(tungstenite::Message::text("me")).expect("sent");
    assert_eq!(
        client.read().expect("a message"),
        tungstenite::Message::text("me")
    );
}

/// Whoever has seen the 101 gets what is published after that, on whichever workers both are.
pub(crate) fn a_subscription_counts_from_the_101_on(driver: DriverChoice) {
    let (server, _) = kit::start(Running::builder(driver, 4).settings(Running::settings()));
    for round in 0..60 {
        let room = format!("room{round}");
        let mut publisher = Wire::open(server.addr(), &format!("/pub/{room}"));
        let mut subscribers: Vec<Wire> = (0..3).map(|_| subscriber(server.addr(), &room)).collect();
        publisher.frame(Opcode::Binary, &publication(0, round, 8));
        for wire in &mut subscribers {
            assert_eq!(next(wire), (0, round), "published after its 101");
        }
    }
}

fn order_on(driver: DriverChoice, workers: usize) {
    const PUBLISHERS: u32 = 4;
    const COUNT: u32 = 400;
    let (server, _) = kit::start(Running::builder(driver, workers).settings(Running::settings()));
    let addr = server.addr();
    let readers: Vec<_> = (0..12)
        .map(|_| {
            let mut wire = subscriber(addr, "room");
            thread::spawn(move || {
                (0..PUBLISHERS * COUNT)
                    .map(|_| next(&mut wire))
                    .collect::<Vec<_>>()
            })
        })
        .collect();
    server.until_stats("the sessions", |stats| stats.sessions == 12);
    let on = server
        .handle()
        .worker_stats()
        .iter()
        .filter(|stats| stats.sessions > 0)
        .count();
    assert!(on > 1 || workers == 1, "all subscribers on one worker");
    let publishers: Vec<_> = (0..PUBLISHERS)
        .map(|publisher| thread::spawn(move || publish(addr, "room", publisher, COUNT, 100)))
        .collect();
    let seen: Vec<Vec<(u32, u32)>> = readers
        .into_iter()
        .map(|reader| reader.join().expect("all read"))
        .collect();
    publishers
        .into_iter()
        .for_each(|publisher| publisher.join().expect("all taken"));
    // Nothing lost or doubled, each publisher's in its order, and one order for all.
    for publisher in 0..PUBLISHERS {
        let its = seen[0]
            .iter()
            .filter(|(by, _)| *by == publisher)
            .map(|(_, number)| *number);
        assert!(its.eq(0..COUNT), "publisher {publisher}");
    }
    assert!(
        seen.iter().all(|one| *one == seen[0]),
        "subscribers disagree on the order"
    );
    server.until_stats("the publications", |stats| {
        stats.publications == u64::from(PUBLISHERS * COUNT)
    });
}

pub(crate) fn all_see_one_order_on_1_worker(driver: DriverChoice) {
    order_on(driver, 1);
}

pub(crate) fn all_see_one_order_on_2_workers(driver: DriverChoice) {
    order_on(driver, 2);
}

pub(crate) fn all_see_one_order_on_4_workers(driver: DriverChoice) {
    order_on(driver, 4);
}

/// Subscribers of a class get the same bytes: a frame is encoded once for all of them.
pub(crate) fn deflated_and_plain_subscribers_get_everything(driver: DriverChoice) {
    const COUNT: u32 = 50;
    let (server, _) = kit::start(Running::builder(driver, 2).settings(Running::settings()));
    let mut plain = subscriber(server.addr(), "room");
    let offers = [
        "permessage-deflate",
        "permessage-deflate",
        "permessage-deflate; server_max_window_bits=10",
        "permessage-deflate; server_max_window_bits=10",
    ];
    let mut deflated: Vec<Wire> = offers
        .iter()
        .map(|offer| {
            let mut wire = Wire::dial(server.addr());
            let head = wire.upgrade(
                "/sub/room",
                &format!("Sec-WebSocket-Extensions: {offer}\r\n"),
            );
            assert!(head.contains("permessage-deflate"), "{head}");
            wire
        })
        .collect();
    // Below the limit for compression, and above.
    for number in 0..COUNT {
        publish(
            server.addr(),
            "room",
            0,
            1,
            if number % 2 == 0 { 20 } else { 20_000 },
        );
    }
    let mut frames: Vec<Vec<Frame>> = Vec::new();
    for number in 0..COUNT {
        let size = if number % 2 == 0 { 20 } else { 20_000 };
        let expected = publication(0, 0, size);
        assert_eq!(
            plain.next(),
            Frame {
                first: 0x82,
                payload: expected.clone()
            }
        );
        let mut heard = Vec::new();
        for wire in &mut deflated {
            let frame = wire.next();
            let is_compressed = frame.first & 0x40 != 0;
            assert_eq!(is_compressed, size > 64, "{size} bytes");
            let payload = if is_compressed {
                crate::deflate::inflate(&frame.payload)
            } else {
                frame.payload.clone()
            };
            assert!(payload == expected);
            heard.push(frame);
        }
        frames.push(heard);
    }
    for heard in &frames {
        assert!(
            heard[0] == heard[1] && heard[2] == heard[3],
            "one class, one frame"
        );
    }
}

/// One guest's visits to a room in which number follows number.
fn visit(addr: SocketAddr, guest: u32) {
    for visit in 0..12 {
        let mut wire = subscriber(addr, "room");
        let (_, first) = next(&mut wire);
        for number in 1..20 {
            assert_eq!(next(&mut wire), (0, first + number), "lost within a visit");
        }
        match (visit + guest) % 3 {
            0 => wire.reset(),
            1 => drop(wire),
            _ => {
                wire.frame(Opcode::Text, b"-room");
                // What was under way still comes; then nothing but answers.
                while wire.next().opcode() == Opcode::Binary as u8 {}
                wire.frame(Opcode::Text, b"?");
                assert_eq!(wire.next().payload, b"!", "nothing after unsubscribing");
                wire.frame(Opcode::Close, b"");
                assert_eq!(wire.closed(), Some(1005));
            }
        }
    }
}

pub(crate) fn subscribers_come_and_go_while_messages_flow(driver: DriverChoice) {
    let mut settings: Settings = Running::settings();
    settings.channel.linger = Duration::ZERO;
    let (server, ends) = kit::start(Running::builder(driver, 2).settings(settings));
    let addr = server.addr();
    let steady: Vec<_> = (0..2)
        .map(|_| {
            let mut wire = subscriber(addr, "room");
            thread::spawn(move || {
                (0..)
                    .take_while(|number| next(&mut wire) == (0, *number))
                    .count()
            })
        })
        .collect();
    let guests: Vec<_> = (0..3)
        .map(|guest| thread::spawn(move || visit(addr, guest)))
        .collect();
    let mut publisher = Wire::open(addr, "/pub/room");
    let mut count = 0;
    while !guests.iter().all(thread::JoinHandle::is_finished) {
        publisher.frame(Opcode::Binary, &publication(0, count, 500));
        // At the pace of a round trip, so that guests have something to come and go in.
        publisher.frame(Opcode::Text, b"?");
        assert_eq!(publisher.next().payload, b"!");
        count += 1;
    }
    guests
        .into_iter()
        .for_each(|guest| guest.join().expect("nothing lost"));
    // Another publisher's number ends it.
    publisher.frame(Opcode::Binary, &publication(1, 0, 8));
    for reader in steady {
        assert_eq!(
            reader.join().expect("no panic"),
            count as usize,
            "lost or out of order"
        );
    }
    drop(publisher);
    server.until_stats("the end of all of it", |stats| {
        stats.handshakes == 2 + 3 * 12 + 1
            && (stats.connections, stats.sessions) == (0, 0)
            && (stats.subscriptions, stats.channels) == (0, 0)
    });
    let stats = server.stats();
    assert_eq!(stats.dropped_publications, 0);
    assert_eq!(
        ends.lock().expect("no panic").len() as u64,
        stats.handshakes,
        "told once each"
    );
}

/// A session with several channels gets each of them in order, frames never mixed.
pub(crate) fn one_session_takes_several_channels(driver: DriverChoice) {
    const COUNT: u32 = 300;
    let mut settings: Settings = Running::settings();
    settings.subscriptions_max = 4;
    let (server, _) = kit::start(Running::builder(driver, 3).settings(settings));
    let addr = server.addr();
    let rooms = ["a", "b", "c", "d"];
    let mut wire = Wire::open(addr, "/");
    for room in rooms {
        wire.frame(Opcode::Text, format!("+{room}").as_bytes());
        assert_eq!(wire.next().payload, b"+");
    }
    let publishers: Vec<_> = (0u32..)
        .zip(rooms)
        .map(|(number, room)| thread::spawn(move || publish(addr, room, number, COUNT, 3000)))
        .collect();
    let mut expected = [0; 4];
    for _ in 0..COUNT * 4 {
        let (room, number) = next(&mut wire);
        assert_eq!(number, expected[room as usize], "room {room}");
        expected[room as usize] += 1;
    }
    publishers
        .into_iter()
        .for_each(|publisher| publisher.join().expect("all taken"));
    server.until_stats("the subscriptions", |stats| stats.subscriptions == 4);
}
