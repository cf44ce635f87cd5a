//! The nine rules, each by name.

use std::net::SocketAddr;

use hioload_mem::{BufferPool, PoolConfig, Segment};
use hioload_reactor::{DriverKind, ListenSpec, Op, OpId, RecvEnd, Reject, Wait};

use crate::kit::{Event, Kit, both, pattern, segment};

/// A pool whose use shows who still holds a payload.
fn watched_pool() -> BufferPool {
    let config = PoolConfig {
        budget: 32 << 20,
        ..PoolConfig::default()
    };
    BufferPool::new(config).expect("a pool")
}

fn watched(pool: &BufferPool, size: usize) -> Segment {
    let mut buffer = pool.take(size).expect("within the budget");
    buffer
        .extend_from_slice(&pattern(size, 1))
        .expect("room for it");
    buffer.seal()
}

pub(crate) fn rule_1_a_slot_owns_its_payload_until_the_final_completion(kit: &Kit) {
    let pool = watched_pool();
    let mut pair = kit.pair_with(|_| {}, |spec| spec.send_buffer = Some(4096));
    let s = pair.server_socket;
    // The last one is blocked behind a peer that does not read; the script keeps no reference.
    pair.fill(&watched(&pool, 1 << 20));
    assert!(
        pool.stats().bytes_in_use > 0,
        "the slot holds the payload while the send is in flight"
    );
    pair.server.close(s);
    assert!(
        pool.stats().bytes_in_use > 0,
        "a close submitted is not a close done"
    );
    pair.until(|server, _| server.saw(&Event::Closed(s)));
    assert_eq!(
        pool.stats().bytes_in_use,
        0,
        "with the last event the payload is free"
    );
}

pub(crate) fn rule_2_a_stale_name_never_reaches_the_next_owner(kit: &Kit) {
    let mut pair = kit.pair();
    let (old, old_client) = (pair.server_socket, pair.client_socket);
    pair.server.recv(old);
    pair.client.send(old_client, segment(2000, 1));
    pair.server.close(old);
    pair.until(|server, _| server.saw(&Event::Closed(old)));
    pair.client.close(old_client);
    for op in [
        Op::Recv { socket: old },
        Op::Send {
            socket: old,
            payload: segment(1, 0).into(),
        },
        Op::Shutdown { socket: old },
        Op::Close { socket: old },
        Op::HandOver {
            socket: old,
            listener: pair.listener,
            to: pair.client.driver.address(),
        },
    ] {
        assert_eq!(pair.server.driver.submit(op), Err(Reject::Stale));
    }
    // The next owner of the slot: cancels by the old name must not touch it.
    pair.client.connect(pair.addr);
    let new = pair.server.accepted(&mut pair.client);
    assert_eq!(
        new.key().index(),
        old.key().index(),
        "the slot is used again"
    );
    assert_ne!(new, old);
    pair.server.recv(new);
    pair.server.driver.cancel(OpId::recv(old));
    pair.server.driver.cancel(OpId::send(old));
    pair.settle();
    assert_eq!(
        pair.server.byte_count(new),
        0,
        "bytes of the former connection"
    );
    assert_eq!(pair.server.recv_end(new), None);
    let stale = Op::Accept {
        listener: hioload_reactor::ListenerId(99),
    };
    assert_eq!(pair.server.driver.submit(stale), Err(Reject::Stale));
}

pub(crate) fn rule_3_an_interrupted_enter_loses_no_operation(kit: &Kit) {
    let mut pair = kit.pair();
    let (s, c) = (pair.server_socket, pair.client_socket);
    pair.server.recv(s);
    pair.client.recv(c);
    let storm = (!kit.is_sim()).then(signals::Storm::start);
    let pool = watched_pool();
    for round in 0..200u8 {
        pair.server.send(s, watched(&pool, 512));
        pair.client.send(c, segment(100, round));
        let (down, up) = (
            512 * (usize::from(round) + 1),
            100 * (usize::from(round) + 1),
        );
        pair.until(|server, client| client.byte_count(c) == down && server.byte_count(s) == up);
        pair.until(|server, _| server.take_sent(s) == Some(Ok(512)));
        pair.until(|_, client| client.take_sent(c) == Some(Ok(100)));
    }
    drop(storm);
    assert_eq!(pool.stats().bytes_in_use, 0, "every payload came back");
    assert_eq!(pair.client.bytes(c), pattern(512, 1).repeat(200));
}

pub(crate) fn rule_4_a_cancel_that_comes_late_finds_success(kit: &Kit) {
    let mut pair = kit.pair();
    let (s, c) = (pair.server_socket, pair.client_socket);
    pair.client.recv(c);
    pair.server.send(s, segment(300, 4));
    pair.server.driver.cancel(OpId::send(s));
    pair.until(|server, _| server.count(|event| matches!(event, Event::Sent(..))) == 1);
    assert_eq!(
        pair.server.take_sent(s),
        Some(Ok(300)),
        "the send was done before its cancel"
    );
    pair.until(|_, client| client.byte_count(c) == 300);
    // And a cancel of what is over is nothing at all.
    pair.server.driver.cancel(OpId::send(s));
    pair.server.driver.cancel(OpId::recv(s));
    pair.settle();
    assert_eq!(pair.server.take_sent(s), None);
    assert_eq!(pair.server.recv_end(s), None);
}

pub(crate) fn rule_5_closed_is_the_last_event_of_a_socket(kit: &Kit) {
    let mut pair = kit.pair_with(|_| {}, |spec| spec.send_buffer = Some(4096));
    let (s, c) = (pair.server_socket, pair.client_socket);
    pair.server.recv(s);
    pair.fill(&segment(8 << 20, 5));
    pair.client.send(c, segment(50_000, 6));
    // A receive with bytes on the way and a blocked send are in flight.
    pair.server.close(s);
    for op in [
        Op::Recv { socket: s },
        Op::Close { socket: s },
        Op::Shutdown { socket: s },
    ] {
        assert_eq!(pair.server.driver.submit(op), Err(Reject::Closing));
    }
    pair.until(|server, _| server.saw(&Event::Closed(s)));
    pair.settle();
    let own: Vec<&Event> = pair
        .server
        .seen
        .iter()
        .filter(|event| event.socket() == Some(s))
        .collect();
    assert_eq!(*own.last().expect("events"), &Event::Closed(s));
    assert_eq!(pair.server.count(|event| *event == Event::Closed(s)), 1);
    pair.client.recv(c);
    pair.until(|_, client| client.recv_end(c).is_some());
}

pub(crate) fn rule_5_a_half_close_never_reaches_the_next_owner(kit: &Kit) {
    let (mut server, mut client) = (kit.end(), kit.end());
    let listener = server.listen();
    let addr = server.addr(listener);
    server.submit(Op::Accept { listener });
    for _ in 0..100 {
        client.connect(addr);
        let old = server.accepted(&mut client);
        // The next owner of its place in the driver's tables comes while it goes.
        client.connect(addr);
        server.submit(Op::Shutdown { socket: old });
        server.close(old);
        let new = server.accepted(&mut client);
        for _ in 0..5 {
            server.send(new, segment(10, 1));
            both(&mut server, &mut client, |server, _| server.saw_sent(new));
            assert_eq!(server.take_sent(new), Some(Ok(10)));
        }
        server.close(new);
    }
}

pub(crate) fn rule_6_a_receive_without_buffers_goes_on_when_they_return(kit: &Kit) {
    let mut server = kit.end_with(|config| {
        config.recv_buffer_size = 4096;
        config.recv_buffer_count = 2;
    });
    let mut client = kit.end();
    let listener = server.listen();
    let addr = server.addr(listener);
    server.submit(Op::Accept { listener });
    let mut sockets = Vec::new();
    for _ in 0..20 {
        let to = client.connect(addr);
        let socket = server.accepted(&mut client);
        sockets.push((socket, to));
    }
    // Nothing is given back: two buffers are full after 8 KiB of 60.
    server.held = Some(Vec::new());
    for (number, &(socket, to)) in sockets.iter().enumerate() {
        server.recv(socket);
        client.send(to, segment(3000, number as u8));
    }
    for _ in 0..200 {
        server.turn();
        client.turn();
    }
    let arrived: usize = sockets
        .iter()
        .map(|&(socket, _)| server.byte_count(socket))
        .sum();
    assert!(
        arrived > 0 && arrived <= 8192,
        "{arrived} bytes in two buffers of 4 KiB"
    );
    assert!(server.driver.stats().no_buffers > 0, "counted");
    assert_eq!(
        server.count(|event| matches!(event, Event::RecvEnded(..))),
        0,
        "not an end"
    );
    // They come back: everything arrives, without a new receive from anybody.
    server.held = None;
    both(&mut server, &mut client, |server, _| {
        sockets
            .iter()
            .all(|&(socket, _)| server.byte_count(socket) == 3000)
    });
    for (number, &(socket, _)) in sockets.iter().enumerate() {
        assert_eq!(server.bytes(socket), pattern(3000, number as u8));
    }
}

pub(crate) fn rule_6_a_cancelled_receive_without_buffers_ends(kit: &Kit) {
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
    pair.server.driver.cancel(OpId::recv(s));
    pair.until(|server, _| server.recv_end(s) == Some(RecvEnd::Cancelled));
    pair.server.held = None;
    pair.settle();
    assert!(pair.server.byte_count(s) <= 2048);
    pair.server.recv(s);
    pair.until(|server, _| server.byte_count(s) == 10_000);
    assert_eq!(pair.server.bytes(s), pattern(10_000, 1));
}

pub(crate) fn rule_6_a_small_queue_loses_nothing(kit: &Kit) {
    let mut server = kit.end_with(|config| config.entries = 8);
    let mut client = kit.end_with(|config| config.entries = 8);
    let listener = server.listen();
    let addr = server.addr(listener);
    server.submit(Op::Accept { listener });
    let ours: Vec<_> = (0..100).map(|_| client.connect(addr)).collect();
    both(&mut server, &mut client, |server, client| {
        server.all_accepted().len() == 100
            && client.count(|event| matches!(event, Event::Connected(_))) == 100
    });
    for &socket in &ours {
        client.recv(socket);
    }
    let sockets = server.all_accepted();
    for round in 0..10u8 {
        for &socket in &sockets {
            server.send(socket, segment(20, round));
        }
        let done = 100 * (usize::from(round) + 1);
        both(&mut server, &mut client, |server, _| {
            server.count(|event| matches!(event, Event::Sent(_, Ok(20)))) == done
        });
    }
    both(&mut server, &mut client, |_, client| {
        ours.iter().all(|&socket| client.byte_count(socket) == 200)
    });
    let expected: Vec<u8> = (0..10).flat_map(|round| pattern(20, round)).collect();
    for &socket in &ours {
        assert_eq!(client.bytes(socket), expected);
    }
    if kit.kind == DriverKind::Uring {
        assert!(
            server.driver.stats().queue_full > 0,
            "the queue was full and that was counted"
        );
    }
}

pub(crate) fn rule_6_a_full_socket_waits_until_it_takes_bytes(kit: &Kit) {
    let mut pair = kit.pair_with(|_| {}, |spec| spec.send_buffer = Some(4096));
    let (s, c) = (pair.server_socket, pair.client_socket);
    let taken = pair.fill(&segment(8 << 20, 1));
    let turns = pair.server.driver.stats();
    pair.settle();
    assert_eq!(pair.server.take_sent(s), None, "blocked, not failed");
    if kit.kind == DriverKind::Poll {
        let after = pair.server.driver.stats();
        assert!(after.would_block > 0, "counted");
        assert_eq!(
            after.submitted, turns.submitted,
            "no call while nobody reads"
        );
    }
    pair.client.recv(c);
    pair.until(|server, _| server.saw_sent(s));
    let more = pair
        .server
        .take_sent(s)
        .expect("sent")
        .expect("bytes taken");
    pair.until(|_, client| client.byte_count(c) == taken + more);
}

pub(crate) fn rule_6_accept_ends_when_the_table_is_full_and_starts_again(kit: &Kit) {
    let mut server = kit.end_with(|config| config.sockets_max = 2);
    let mut client = kit.end();
    let listener = server.listen();
    let addr = server.addr(listener);
    server.submit(Op::Accept { listener });
    for _ in 0..3 {
        client.connect(addr);
    }
    let ended = |end: &crate::kit::End| {
        end.seen.iter().find_map(|event| match event {
            Event::AcceptEnded(_, errno) => Some(*errno),
            _ => None,
        })
    };
    both(&mut server, &mut client, |server, _| {
        ended(server).is_some()
    });
    let errno = ended(&server).expect("ended");
    assert!(
        [libc::EMFILE, libc::ENFILE].contains(&errno),
        "errno {errno}"
    );
    assert!(server.driver.stats().accept_refused > 0, "counted");
    assert_eq!(server.all_accepted().len(), 2);
    let first = server.all_accepted()[0];
    server.close(first);
    both(&mut server, &mut client, |server, _| {
        server.saw(&Event::Closed(first))
    });
    server.submit(Op::Accept { listener });
    client.connect(addr);
    both(&mut server, &mut client, |server, _| {
        server.all_accepted().len() == 3
    });
}

pub(crate) fn rule_7_received_bytes_do_not_pin_the_buffers(kit: &Kit) {
    let mut pair = kit.pair_with(
        |config| {
            config.recv_buffer_size = 256;
            config.recv_buffer_count = 2;
        },
        |_| {},
    );
    let (s, c) = (pair.server_socket, pair.client_socket);
    pair.server.recv(s);
    // A thousand messages through half a kilobyte: each is copied out and its room given back.
    for round in 0..1000 {
        pair.client.send(c, segment(50, round as u8));
        pair.until(|server, _| server.byte_count(s) == 50 * (round + 1));
        pair.until(|_, client| client.take_sent(c) == Some(Ok(50)));
        pair.server
            .seen
            .retain(|event| matches!(event, Event::Received(..)));
    }
    let expected: Vec<u8> = (0..1000)
        .flat_map(|round| pattern(50, round as u8))
        .collect();
    assert_eq!(pair.server.bytes(s), expected);
}

pub(crate) fn rule_8_a_dropped_driver_drains_and_frees(kit: &Kit) {
    let pool = watched_pool();
    let mut pair = kit.pair_with(|_| {}, |spec| spec.send_buffer = Some(4096));
    let (s, c) = (pair.server_socket, pair.client_socket);
    pair.client.recv(c);
    pair.server.recv(s);
    let idle = pair.client.connect(pair.addr);
    pair.server.accepted(&mut pair.client);
    pair.server.driver.cancel(OpId::recv(s));
    pair.server.recv(s);
    // In flight: accept, receives, a send larger than any socket buffer, a wait for wake-ups.
    pair.server.send(s, watched(&pool, 1 << 20));
    pair.server.turn();
    let held = pair.server.driver.address();
    drop(pair.server);
    assert_eq!(pool.stats().bytes_in_use, 0, "nothing was leaked");
    both(&mut pair.client, &mut kit.end(), |client, _| {
        client.recv_end(c).is_some()
    });
    pair.client.recv(idle);
    both(&mut pair.client, &mut kit.end(), |client, _| {
        client.recv_end(idle).is_some()
    });
    held.waker().wake();
}

pub(crate) fn rule_9_a_refusal_says_what_why_and_what_to_do(kit: &Kit) {
    let mut first = kit.end();
    let listener = first.listen_with(|spec| spec.share_port = false);
    let addr = first.addr(listener);
    let mut second = kit.end();
    let mut spec = ListenSpec::new(addr);
    spec.share_port = false;
    let refusal = second.driver.listen(&spec).expect_err("the port is taken");
    assert_eq!(refusal.errno, Some(libc::EADDRINUSE));
    let text = refusal.to_string();
    assert!(text.contains(&addr.to_string()), "what: {text}");
    assert!(
        text.contains("another process listens there"),
        "why: {text}"
    );
    assert!(text.contains("choose another"), "what to do: {text}");
    let mut elsewhere = ListenSpec::new(SocketAddr::from(([192, 0, 2, 1], 0)));
    elsewhere.share_port = false;
    if !kit.is_sim() {
        let refusal = second
            .driver
            .listen(&elsewhere)
            .expect_err("not our address");
        assert!(refusal.to_string().contains("no interface"), "{refusal}");
    }
    assert_eq!(second.turn_for(Wait::None), 0, "the driver goes on");
}

/// Signals from another thread, so that waits are interrupted.
mod signals {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread::JoinHandle;

    /// Interrupts the thread that started it until dropped.
    pub(crate) struct Storm {
        over: Arc<AtomicBool>,
        thread: Option<JoinHandle<()>>,
    }

    extern "C" fn nothing(_: libc::c_int) {}

    impl Storm {
        pub(crate) fn start() -> Self {
            // SAFETY: the handler does nothing, which is async-signal-safe; without SA_RESTART
            // waits return EINTR.
            unsafe {
                let mut action: libc::sigaction = std::mem::zeroed();
                action.sa_sigaction = nothing as extern "C" fn(libc::c_int) as usize;
                libc::sigaction(libc::SIGUSR1, &raw const action, std::ptr::null_mut());
            }
            // SAFETY: names the calling thread, which joins the storm before it ends.
            let target = unsafe { libc::pthread_self() };
            let over = Arc::new(AtomicBool::new(false));
            let flag = Arc::clone(&over);
            let thread = std::thread::spawn(move || {
                while !flag.load(Ordering::Relaxed) {
                    // SAFETY: the target thread lives until it has joined this one.
                    unsafe { libc::pthread_kill(target, libc::SIGUSR1) };
                    std::thread::yield_now();
                }
            });
            Self {
                over,
                thread: Some(thread),
            }
        }
    }

    impl Drop for Storm {
        fn drop(&mut self) {
            self.over.store(true, Ordering::Relaxed);
            if let Some(thread) = self.thread.take() {
                thread.join().expect("the storm ends");
            }
        }
    }
}
