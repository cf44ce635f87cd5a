//! Scripts about batches, waits, wake-ups and handing over.

use std::time::Duration;

use hioload_reactor::{DriverKind, Op, OpId, RecvEnd, Reject, Wait};

use crate::kit::{Event, Kit, both, pattern, segment};

pub(crate) fn a_turn_yields_at_most_a_batch(kit: &Kit) {
    let mut server = kit.end_with(|config| config.batch = 4);
    let mut client = kit.end();
    let listener = server.listen();
    let addr = server.addr(listener);
    server.submit(Op::Accept { listener });
    for _ in 0..20 {
        client.connect(addr);
    }
    let connected = |end: &crate::kit::End| end.count(|e| matches!(e, Event::Connected(_)));
    for _ in 0..10_000 {
        client.turn();
        assert!(server.turn_for(Wait::For(Duration::from_millis(1))) <= 4);
        if connected(&client) == 20 && server.all_accepted().len() == 20 {
            break;
        }
    }
    let sockets = server.all_accepted();
    assert_eq!(sockets.len(), 20);
    for &socket in &sockets {
        server.recv(socket);
        server.send(socket, segment(1, 0));
    }
    let mut sent = 0;
    for _ in 0..10_000 {
        assert!(server.turn_for(Wait::For(Duration::from_millis(1))) <= 4);
        client.turn();
        sent = server.count(|event| matches!(event, Event::Sent(_, Ok(1))));
        if sent == 20 {
            break;
        }
    }
    assert_eq!(sent, 20, "what is left over comes in later turns");
}

pub(crate) fn a_wake_from_another_thread_ends_the_wait(kit: &Kit) {
    let mut end = kit.end();
    let waker = end.driver.address().waker();
    if kit.is_sim() {
        // One thread and no waiting: the wake is there before the turn.
        waker.wake();
        end.turn_for(Wait::Forever);
    } else {
        let thread = std::thread::spawn(move || waker.wake());
        while !end.saw(&Event::Woken) {
            end.turn_for(Wait::Forever);
        }
        thread.join().expect("the waking thread");
    }
    assert!(end.saw(&Event::Woken));
    end.seen.clear();
    let waker = end.driver.address().waker();
    waker.wake();
    waker.wake();
    while !end.saw(&Event::Woken) {
        end.turn_for(Wait::Forever);
    }
    assert!(end.driver.stats().woken >= 2);
}

pub(crate) fn a_wake_between_drivers_arrives(kit: &Kit) {
    let (mut a, mut b) = (kit.end(), kit.end());
    let to = b.driver.address();
    a.submit(Op::Wake { to });
    both(&mut a, &mut b, |_, b| b.saw(&Event::Woken));
}

pub(crate) fn a_wake_outlives_its_driver(kit: &Kit) {
    let (mut a, b) = (kit.end(), kit.end());
    let to = b.driver.address();
    let waker = to.waker();
    drop(b);
    waker.wake();
    a.submit(Op::Wake { to });
    for _ in 0..5 {
        a.turn();
    }
}

pub(crate) fn sockets_are_handed_to_another_driver(kit: &Kit) {
    let mut pair = kit.pair();
    let (s, c) = (pair.server_socket, pair.client_socket);
    let mut heir = kit.end();
    // Bytes that nobody has read yet go along.
    pair.client.send(c, segment(40, 1));
    pair.settle();
    let op = Op::HandOver {
        socket: s,
        listener: pair.listener,
        to: heir.driver.address(),
    };
    match pair.server.driver.submit(op) {
        Err(Reject::Unsupported) if kit.kind == DriverKind::Uring => {
            assert!(
                !pair.server.driver.caps().direct,
                "direct descriptors can be handed over"
            );
            return;
        }
        taken => taken.map(drop).expect("taken"),
    }
    let socket = heir.accepted(&mut pair.server);
    let accepted = Event::Accepted(pair.listener, socket);
    assert!(heir.saw(&accepted), "the heir hears of the same listener");
    pair.until(|server, _| server.saw(&Event::Closed(s)));
    assert_eq!(
        pair.server.driver.submit(Op::Recv { socket: s }),
        Err(Reject::Stale)
    );
    heir.recv(socket);
    pair.client.recv(c);
    heir.send(socket, segment(60, 2));
    both(&mut heir, &mut pair.client, |heir, client| {
        heir.byte_count(socket) == 40 && client.byte_count(c) == 60
    });
    assert_eq!(heir.bytes(socket), pattern(40, 1));
    assert_eq!(pair.client.recv_end(c), None, "handing over is not closing");
}

pub(crate) fn a_busy_socket_is_not_handed_over(kit: &Kit) {
    let mut pair = kit.pair();
    let heir = kit.end();
    pair.server.recv(pair.server_socket);
    pair.server.turn();
    let to = heir.driver.address();
    let op = Op::HandOver {
        socket: pair.server_socket,
        listener: pair.listener,
        to,
    };
    assert_eq!(pair.server.driver.submit(op), Err(Reject::Busy));
    let (s, c) = (pair.server_socket, pair.client_socket);
    pair.client.send(c, segment(3, 0));
    pair.until(|server, _| server.byte_count(s) == 3);
}

pub(crate) fn one_busy_peer_does_not_starve_the_others(kit: &Kit) {
    let mut server = kit.end_with(|config| {
        config.recv_buffer_size = 1024;
        config.batch = 8;
    });
    let mut client = kit.end();
    let listener = server.listen();
    let addr = server.addr(listener);
    server.submit(Op::Accept { listener });
    let mut ends = Vec::new();
    for _ in 0..2 {
        let to = client.connect(addr);
        ends.push((server.accepted(&mut client), to));
    }
    let (busy, quiet) = (ends[0], ends[1]);
    // A megabyte waits on one socket, one byte on the other.
    let mut rest = segment(1 << 20, 1);
    client.send(busy.1, rest.clone());
    client.send(quiet.1, segment(1, 2));
    server.recv(busy.0);
    server.recv(quiet.0);
    let mut events_before = 0;
    both(&mut server, &mut client, |server, client| {
        if let Some(result) = client.take_sent(busy.1) {
            rest.advance(result.expect("bytes taken"));
            if !rest.is_empty() {
                client.send(busy.1, rest.clone());
            }
        }
        events_before = server.byte_count(busy.0);
        server.byte_count(quiet.0) == 1
    });
    assert!(
        events_before < 1 << 20,
        "the quiet one was served before the busy one was done"
    );
}

pub(crate) fn many_busy_peers_are_served_in_turn(kit: &Kit) {
    const PEERS: usize = 48;
    const SIZE: usize = 32 * 1024;
    let mut server = kit.end_with(|config| {
        config.recv_buffer_size = 1024;
        config.recv_buffer_count = 4;
    });
    let mut client = kit.end();
    let listener = server.listen();
    let addr = server.addr(listener);
    server.submit(Op::Accept { listener });
    let mut sockets = Vec::new();
    for _ in 0..PEERS {
        let to = client.connect(addr);
        sockets.push(server.accepted(&mut client));
        client.send(to, segment(SIZE, 1));
    }
    both(&mut server, &mut client, |_, client| {
        client.count(|event| matches!(event, Event::Sent(_, Ok(_)))) == PEERS
    });
    // Until all of it has arrived.
    for _ in 0..20 {
        server.turn();
        client.turn();
    }
    for &socket in &sockets {
        server.recv(socket);
    }
    both(&mut server, &mut client, |server, _| {
        let mut counts = sockets.iter().map(|socket| server.byte_count(*socket));
        counts.any(|count| count >= SIZE / 2)
    });
    let unserved = sockets
        .iter()
        .filter(|socket| server.byte_count(**socket) == 0);
    assert_eq!(
        unserved.count(),
        0,
        "nobody has half of it before all have something"
    );
}

pub(crate) fn a_turn_waits_no_longer_than_told(kit: &Kit) {
    let mut end = kit.end();
    let start = end.driver.now();
    let wait = Duration::from_millis(30);
    assert_eq!(end.turn_for(Wait::For(wait)), 0);
    assert!(
        end.driver.now() - start >= wait,
        "the turn ended early and empty"
    );
    assert_eq!(
        end.turn_for(Wait::None),
        0,
        "and this one does not wait at all"
    );
}

pub(crate) fn a_paused_socket_does_not_keep_the_driver_awake(kit: &Kit) {
    let mut pair = kit.pair();
    let (s, c) = (pair.server_socket, pair.client_socket);
    pair.server.recv(s);
    pair.server.turn();
    pair.server.driver.cancel(OpId::recv(s));
    pair.until(|server, _| server.recv_end(s) == Some(RecvEnd::Cancelled));
    pair.client.send(c, segment(100, 1));
    pair.settle();
    sleeps(&mut pair.server);
    // The peer goes away with input unread: a reset, which selectors report to everybody.
    pair.server.send(s, segment(10, 1));
    pair.settle();
    pair.client.close(c);
    pair.settle();
    sleeps(&mut pair.server);
    pair.server.recv(s);
    pair.until(|server, _| server.recv_end(s) == Some(RecvEnd::Failed(libc::ECONNRESET)));
}

pub(crate) fn a_receive_without_buffers_does_not_keep_the_driver_awake(kit: &Kit) {
    let mut pair = kit.pair_with(
        |config| {
            config.recv_buffer_size = 1024;
            config.recv_buffer_count = 2;
        },
        |_| {},
    );
    let (s, c) = (pair.server_socket, pair.client_socket);
    pair.server.held = Some(Vec::new());
    pair.server.recv(s);
    pair.client.send(c, segment(10_000, 1));
    pair.until(|server, _| server.driver.stats().no_buffers > 0);
    pair.settle();
    sleeps(&mut pair.server);
    pair.server.held = None;
    pair.until(|server, _| server.byte_count(s) == 10_000);
}

/// The driver waits as long as it may.
fn sleeps(end: &mut crate::kit::End) {
    let wait = Duration::from_millis(20);
    // What is left over from before may end a wait or two.
    end.turn();
    end.turn();
    let start = end.driver.now();
    assert_eq!(end.turn_for(Wait::For(wait)), 0);
    // In virtual time the other end's deadline may come first.
    let is_sim = end.driver.caps().kind == DriverKind::Sim;
    assert!(
        is_sim || end.driver.now() - start >= wait,
        "woken by nothing"
    );
}

/// Descriptors of the whole process run out: what waits is accepted when some are free again.
pub(crate) fn descriptors_run_out_and_return(kit: &Kit) {
    let mut server = kit.end_with(|config| config.direct = false);
    let mut client = kit.end_with(|config| config.direct = false);
    let listener = server.listen();
    let addr = server.addr(listener);
    let ours: Vec<_> = (0..8).map(|_| client.connect(addr)).collect();
    both(&mut server, &mut client, |_, client| {
        ours.iter()
            .all(|&socket| client.saw(&Event::Connected(socket)))
    });
    let taken = leave_descriptors(2);
    server.submit(Op::Accept { listener });
    let ended = Event::AcceptEnded(listener, libc::EMFILE);
    both(&mut server, &mut client, |server, _| server.saw(&ended));
    let accepted = server.all_accepted();
    assert_eq!(accepted.len(), 2, "as many as there were descriptors");
    assert!(server.driver.stats().accept_refused > 0, "counted");
    drop(taken);
    server.submit(Op::Accept { listener });
    both(&mut server, &mut client, |server, _| {
        server.all_accepted().len() == ours.len()
    });
}

/// Uses up the process's descriptors but for `free`, as long as the result lives. For a process
/// that does nothing else.
fn leave_descriptors(free: usize) -> Vec<std::fs::File> {
    let limit = libc::rlimit {
        rlim_cur: 256,
        rlim_max: 256,
    };
    // SAFETY: takes a pointer to a live struct of the right type.
    let result = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) };
    assert_eq!(result, 0);
    let mut files: Vec<_> = std::iter::from_fn(|| std::fs::File::open("/dev/null").ok()).collect();
    files.truncate(files.len() - free);
    files
}
