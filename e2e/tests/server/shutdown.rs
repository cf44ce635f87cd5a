//! Starting and ending: ports that are taken, sessions that are told, work that is let out.

use std::net::TcpListener;
use std::thread;
use std::time::{Duration, Instant};

use hioload::{CloseCode, CloseReason, DriverChoice, Echo};
use hioload_e2e::{Heard, Opcode, Running, Wire, connect, expect_close, frame_bytes, request};

use crate::kit::{self, publish, read_to_end, small_subscriber, subscriber};

pub(crate) fn a_port_in_use_says_what_why_and_what_to_do(driver: DriverChoice) {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let own = Running::start(Running::builder(driver, 2).handler(|_| Echo));
    for addr in [taken.local_addr().expect("bound"), own.addr()] {
        // With several workers listeners share a port: not with a server that runs already.
        for workers in [1, 2] {
            let builder = Running::builder(driver, workers)
                .addr(addr)
                .handler(|_| Echo);
            let error = Running::try_start(builder)
                .expect_err("the port is taken")
                .to_string();
            for part in [
                &format!("cannot listen on {addr}"),
                "another process",
                "--addr",
            ] {
                assert!(error.contains(part), "{part} is missing: {error}");
            }
        }
    }
    // The one that was there first goes on.
    let mut wire = Wire::open(own.addr(), "/");
    wire.frame(Opcode::Text, b"here");
    assert_eq!(wire.next().payload, b"here");
}

pub(crate) fn everybody_is_told_1001_and_run_returns(driver: DriverChoice) {
    let (mut server, ends) =
        kit::start(Running::builder(driver, 3).shutdown(Duration::from_secs(10), 0));
    let addr = server.addr();
    let clients: Vec<_> = (0..30)
        .map(|_| {
            let mut client = connect(addr);
            thread::spawn(move || expect_close(&mut client))
        })
        .collect();
    // One that has not sent its head yet.
    let mut late = Wire::dial(addr);
    late.send(&request("/", "").as_bytes()[..20]);
    server.until_stats("all of them", |stats| {
        (stats.sessions, stats.connections) == (30, 31)
    });
    let start = Instant::now();
    server.handle().shutdown();
    for client in clients {
        assert_eq!(client.join().expect("a close frame"), 1001);
    }
    assert!(late.head().starts_with("HTTP/1.1 503 "));
    drop(late);
    assert!(server.ended());
    assert!(
        start.elapsed() < Duration::from_secs(9),
        "it did not wait for the timeout"
    );
    let ends = ends.lock().expect("no panic");
    assert_eq!(
        (
            ends.len(),
            ends.iter().all(|end| *end == CloseReason::Shutdown)
        ),
        (30, true)
    );
    // The port is free again.
    assert!(Running::try_start(Running::builder(driver, 1).addr(addr)).is_ok());
}

/// Who does not answer is waited for until the time is up, and no longer.
pub(crate) fn the_timeout_ends_those_who_do_not_answer(driver: DriverChoice) {
    let (mut server, ends) =
        kit::start(Running::builder(driver, 2).shutdown(Duration::from_millis(300), 0));
    let mut silent: Vec<Wire> = (0..5).map(|_| Wire::open(server.addr(), "/")).collect();
    let start = Instant::now();
    server.handle().shutdown();
    assert!(server.ended());
    assert!(start.elapsed() >= Duration::from_millis(300));
    for wire in &mut silent {
        assert_eq!(wire.next().close_code(), Some(1001));
        assert!(matches!(wire.hear(), Heard::End | Heard::Reset));
    }
    assert_eq!(ends.lock().expect("no panic").len(), 5);
}

/// 50 sessions at 100 a second take at least 0.4 s.
pub(crate) fn a_paced_shutdown_spreads_the_ends(driver: DriverChoice) {
    let builder = Running::builder(driver, 1).shutdown(Duration::from_secs(10), 100);
    let mut server = Running::start(builder.handler(|_| Echo));
    let mut wires: Vec<Wire> = (0..50).map(|_| Wire::open(server.addr(), "/")).collect();
    let start = Instant::now();
    server.handle().shutdown();
    // No one new meanwhile, and who waits for its turn is still served.
    let last = wires.last_mut().expect("50");
    last.frame(Opcode::Text, b"still");
    assert_eq!(last.next().payload, b"still");
    for wire in &mut wires {
        assert_eq!(wire.next().close_code(), Some(1001));
        wire.frame(Opcode::Close, b"");
    }
    assert!(
        start.elapsed() >= Duration::from_millis(400),
        "{:?}",
        start.elapsed()
    );
    drop(wires);
    assert!(server.ended());
}

/// What was published before the shutdown reaches everybody who reads, before the close frame.
pub(crate) fn what_is_in_flight_is_delivered(driver: DriverChoice) {
    const COUNT: u32 = 3000;
    let mut settings = Running::settings();
    settings.channel.budget = 64 << 20;
    settings.channel.window = Duration::from_secs(30);
    settings.close_timeout = Duration::from_secs(10);
    let builder = Running::builder(driver, 2).settings(settings);
    let (mut server, _) = kit::start(builder.shutdown(Duration::from_secs(15), 0));
    let mut fast = subscriber(server.addr(), "room");
    let mut slow = small_subscriber(server.addr(), "room");
    publish(server.addr(), "room", 0, COUNT, 4096);
    server.until_stats("all taken", |stats| stats.publications == u64::from(COUNT));
    server.handle().shutdown();
    for wire in [&mut fast, &mut slow] {
        let mut seen = 0;
        loop {
            let frame = wire.next();
            if frame.close_code().is_some() {
                assert_eq!(frame.close_code(), Some(1001));
                break;
            }
            assert_eq!(kit::numbers(&frame.payload), (0, seen));
            seen += 1;
        }
        assert_eq!(seen, COUNT, "published before the shutdown");
        wire.frame(Opcode::Close, b"");
        let (more, code) = read_to_end(wire);
        assert_eq!(
            (more.len(), code),
            (0, None),
            "nothing after the close frame"
        );
    }
    assert!(server.ended());
}

/// RFC 6455 5.5.1: once a close frame is sent, no data follows, however much is published, and
/// whether or not the peer answers it.
pub(crate) fn no_data_follows_a_close_frame(driver: DriverChoice) {
    let mut settings = Running::settings();
    settings.close_timeout = Duration::from_millis(300);
    let builder = Running::builder(driver, 2).settings(settings);
    let (mut server, ends) = kit::start(builder.shutdown(Duration::from_secs(15), 0));
    let addr = server.addr();
    let mut wires: Vec<Wire> = (0..4).map(|_| subscriber(addr, "room")).collect();
    let publisher = thread::spawn(move || {
        let mut wire = Wire::open(addr, "/pub/room");
        let frames: Vec<u8> = (0..50)
            .flat_map(|number| frame_bytes(0x82, &kit::publication(0, number, 100)))
            .collect();
        while wire.try_send(&frames) {}
    });
    // Two are closed by the application and do not answer.
    for wire in &mut wires[..2] {
        wire.frame(Opcode::Text, b"x");
        assert_eq!(wire.closed(), Some(3000), "and nothing after it");
    }
    let told = ends.lock().expect("no panic").clone();
    assert_eq!(told, [CloseReason::Local(CloseCode::new(3000)); 2]);
    // The others by the shutdown, in the middle of it.
    server.handle().shutdown();
    for wire in &mut wires[2..] {
        assert_eq!(wire.closed(), Some(1001), "and nothing after it");
    }
    publisher.join().expect("no panic");
    assert!(server.ended());
}

/// New settings reach the sessions that are there.
pub(crate) fn settings_change_while_it_runs(driver: DriverChoice) {
    let builder = Running::builder(driver, 2).settings(Running::settings());
    let server = Running::start(builder.handler(|_| Echo));
    let mut wire = Wire::open(server.addr(), "/");
    let mut settings = Running::settings();
    settings.ws.message_size_max = 100;
    settings.accept.origins = hioload_ws::handshake::OriginPolicy::List(Vec::new());
    server.handle().set_settings(settings);
    // Both workers have it once 20 connections in a row are refused.
    let mut refused = 0;
    hioload_e2e::until("the new origins", || {
        let mut guest = Wire::dial(server.addr());
        guest.send(request("/", "Origin: https://a.example\r\n").as_bytes());
        refused = if guest.head().starts_with("HTTP/1.1 403 ") {
            refused + 1
        } else {
            0
        };
        refused == 20
    });
    wire.frame(Opcode::Binary, &[0; 100]);
    assert_eq!(wire.next().payload.len(), 100);
    wire.frame(Opcode::Binary, &[0; 101]);
    assert_eq!(wire.closed(), Some(1009));
}
