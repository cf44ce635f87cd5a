//! Scripts about bytes: sending, receiving, half-closing, resetting.

use hioload_mem::Segment;
use hioload_reactor::{Connect, DriverConfig, Op, OpId, Payload, RecvEnd, Reject};

use crate::kit::{Event, Kit, Pair, both, pattern, segment};

pub(crate) fn bytes_go_both_ways_in_order(kit: &Kit) {
    let mut pair = kit.pair();
    let (s, c) = (pair.server_socket, pair.client_socket);
    pair.server.recv(s);
    pair.client.recv(c);
    let (mut to_server, mut to_client) = (Vec::new(), Vec::new());
    for round in 0..50u8 {
        let size = 1 + usize::from(round) * 37;
        pair.client.send(c, segment(size, round));
        pair.server.send(s, segment(size + 1, round));
        to_server.extend(pattern(size, round));
        to_client.extend(pattern(size + 1, round));
        pair.until(|server, client| {
            server.byte_count(s) == to_server.len() && client.byte_count(c) == to_client.len()
        });
        // The kernel may deliver before it reports the send.
        pair.until(|server, _| server.saw(&Event::Sent(s, Ok(size + 1))));
        pair.until(|_, client| client.saw(&Event::Sent(c, Ok(size))));
    }
    assert_eq!(pair.server.bytes(s), to_server);
    assert_eq!(pair.client.bytes(c), to_client);
}

pub(crate) fn a_vector_of_pieces_arrives_as_one_stream(kit: &Kit) {
    let mut pair = kit.pair();
    let (s, c) = (pair.server_socket, pair.client_socket);
    pair.client.recv(c);
    let pieces: Vec<Segment> = (1..=Payload::PIECES_MAX)
        .map(|n| segment(n, n as u8))
        .collect();
    let expected: Vec<u8> = pieces.iter().flat_map(|piece| piece.to_vec()).collect();
    pair.server.send(s, Payload::Many(pieces));
    pair.until(|_, client| client.byte_count(c) == expected.len());
    assert_eq!(pair.client.bytes(c), expected);
    pair.until(|server, _| server.saw(&Event::Sent(s, Ok(expected.len()))));
}

pub(crate) fn a_send_to_a_peer_that_does_not_read_takes_a_part(kit: &Kit) {
    let size = 8 << 20;
    let mut pair = kit.pair_with(|_| {}, |spec| spec.send_buffer = Some(4096));
    let (s, c) = (pair.server_socket, pair.client_socket);
    let payload = segment(size, 7);
    let taken = pair.fill(&payload);
    assert!(taken > 0 && taken < size, "{taken} of {size} bytes taken");
    // The peer reads at last: what was in flight goes through, bytes as they were.
    pair.client.recv(c);
    pair.until(|server, _| server.count(|event| matches!(event, Event::Sent(..))) == 1);
    let more = pair
        .server
        .take_sent(s)
        .expect("sent")
        .expect("bytes taken");
    pair.until(|_, client| client.byte_count(c) == taken + more);
    let bytes = pair.client.bytes(c);
    assert_eq!(
        bytes[taken..],
        payload[..more],
        "the second send starts where the first ended"
    );
    assert_eq!(bytes[..64], payload[..64]);
}

pub(crate) fn what_the_kernel_keeps_of_a_connection_is_bounded_as_asked(kit: &Kit) {
    let mut server = kit.end();
    let mut client = kit.end();
    let listener = server.listen_with(|spec| spec.recv_buffer = Some(4096));
    let to = server.addr(listener);
    server.submit(Op::Accept { listener });
    let socket = client.connect_with(Connect {
        send_buffer: Some(4096),
        ..Connect::new(to)
    });
    server.accepted(&mut client);
    both(&mut server, &mut client, |_, client| {
        client.saw(&Event::Connected(socket))
    });
    // Nobody receives: what the kernel takes lies in its two buffers. Without a bound these grow to
    // megabytes.
    client.send(socket, segment(8 << 20, 1));
    let mut taken = 0;
    for _ in 0..20 {
        server.turn();
        client.turn();
        if let Some(result) = client.take_sent(socket) {
            taken += result.expect("bytes taken");
            client.send(socket, segment(8 << 20, 1));
        }
    }
    assert!((1..256 << 10).contains(&taken), "{taken} bytes");
}

pub(crate) fn a_second_send_is_busy(kit: &Kit) {
    let mut pair = kit.pair();
    let (s, c) = (pair.server_socket, pair.client_socket);
    pair.client.recv(c);
    pair.server.send(s, segment(10, 1));
    let second = Op::Send {
        socket: s,
        payload: segment(10, 2).into(),
    };
    assert_eq!(pair.server.driver.submit(second), Err(Reject::Busy));
    pair.until(|server, _| server.saw(&Event::Sent(s, Ok(10))));
    pair.server.send(s, segment(10, 3));
    pair.until(|_, client| client.byte_count(c) == 20);
    let expected = [pattern(10, 1), pattern(10, 3)].concat();
    assert_eq!(
        pair.client.bytes(c),
        expected,
        "the refused one left no trace"
    );
}

pub(crate) fn an_empty_or_overlong_payload_is_refused(kit: &Kit) {
    let mut pair = kit.pair();
    let socket = pair.server_socket;
    let too_many = vec![segment(1, 0); Payload::PIECES_MAX + 1];
    for payload in [
        Payload::One(segment(0, 0)),
        Payload::Many(vec![]),
        Payload::Many(too_many),
    ] {
        let op = Op::Send { socket, payload };
        assert_eq!(pair.server.driver.submit(op), Err(Reject::Payload));
    }
    pair.server.send(
        socket,
        Payload::Many(vec![segment(1, 0); Payload::PIECES_MAX]),
    );
    pair.until(|server, _| server.saw(&Event::Sent(socket, Ok(Payload::PIECES_MAX))));
}

pub(crate) fn a_cancelled_receive_leaves_later_bytes_for_the_next(kit: &Kit) {
    let mut pair = kit.pair();
    let (s, c) = (pair.server_socket, pair.client_socket);
    pair.server.recv(s);
    assert_eq!(
        pair.server.driver.submit(Op::Recv { socket: s }),
        Err(Reject::Busy)
    );
    pair.client.send(c, segment(5, 1));
    pair.until(|server, _| server.byte_count(s) == 5);
    pair.server.driver.cancel(OpId::recv(s));
    pair.until(|server, _| server.recv_end(s) == Some(RecvEnd::Cancelled));
    pair.client.send(c, segment(7, 2));
    pair.settle();
    assert_eq!(
        pair.server.byte_count(s),
        5,
        "nothing is received without a receive"
    );
    pair.server.recv(s);
    pair.until(|server, _| server.byte_count(s) == 12);
    assert_eq!(
        pair.server.bytes(s),
        [pattern(5, 1), pattern(7, 2)].concat()
    );
}

pub(crate) fn a_receive_cancelled_and_wanted_again_goes_on_silently(kit: &Kit) {
    let mut pair = kit.pair();
    let (s, c) = (pair.server_socket, pair.client_socket);
    pair.server.recv(s);
    pair.server.turn();
    pair.server.driver.cancel(OpId::recv(s));
    pair.server.recv(s);
    pair.client.send(c, segment(9, 4));
    pair.until(|server, _| server.byte_count(s) == 9);
    pair.settle();
    assert_eq!(pair.server.recv_end(s), None);
    pair.client.send(c, segment(9, 4));
    pair.until(|server, _| server.byte_count(s) == 18);
}

pub(crate) fn a_blocked_send_is_cancelled_with_nothing_taken(kit: &Kit) {
    let mut pair = kit.pair_with(|_| {}, |spec| spec.send_buffer = Some(4096));
    let (s, c) = (pair.server_socket, pair.client_socket);
    let taken = pair.fill(&segment(8 << 20, 3));
    pair.server.driver.cancel(OpId::send(s));
    pair.until(|server, _| server.count(|event| matches!(event, Event::Sent(..))) == 1);
    assert_eq!(pair.server.take_sent(s), Some(Err(libc::ECANCELED)));
    // The socket stands: a new send follows what was taken.
    pair.client.recv(c);
    pair.until(|_, client| client.byte_count(c) == taken);
    pair.server.send(s, segment(11, 9));
    pair.until(|_, client| client.byte_count(c) == taken + 11);
    assert_eq!(pair.client.bytes(c)[taken..], pattern(11, 9));
}

pub(crate) fn half_close_ends_one_direction_only(kit: &Kit) {
    let mut pair = kit.pair();
    let (s, c) = (pair.server_socket, pair.client_socket);
    pair.server.recv(s);
    pair.client.recv(c);
    pair.client.submit(Op::Shutdown { socket: c });
    pair.until(|server, _| server.recv_end(s) == Some(RecvEnd::Eof));
    pair.server.send(s, segment(100, 5));
    pair.until(|_, client| client.byte_count(c) == 100);
    pair.client.send(c, segment(1, 0));
    pair.until(|_, client| client.saw(&Event::Sent(c, Err(libc::EPIPE))));
    pair.server.close(s);
    pair.until(|_, client| client.recv_end(c) == Some(RecvEnd::Eof));
}

pub(crate) fn half_close_follows_the_send_before_it(kit: &Kit) {
    let mut pair = kit.pair();
    let (s, c) = (pair.server_socket, pair.client_socket);
    pair.server.recv(s);
    pair.client.send(c, segment(1000, 6));
    pair.client.submit(Op::Shutdown { socket: c });
    pair.until(|server, _| server.recv_end(s).is_some());
    assert_eq!(pair.server.recv_end(s), Some(RecvEnd::Eof));
    assert_eq!(pair.server.bytes(s), pattern(1000, 6));
    pair.until(|_, client| client.saw(&Event::Sent(c, Ok(1000))));
}

pub(crate) fn closing_with_unread_input_resets_the_peer(kit: &Kit) {
    let mut pair = kit.pair();
    let (s, c) = (pair.server_socket, pair.client_socket);
    pair.server.recv(s);
    pair.server.send(s, segment(500, 1));
    pair.until(|server, _| server.saw(&Event::Sent(s, Ok(500))));
    pair.settle();
    // RFC 9293 3.10.4 and RFC 2525 2.17: closing with unread data sends a reset.
    pair.client.close(c);
    pair.until(|server, client| server.recv_end(s).is_some() && client.saw(&Event::Closed(c)));
    assert_eq!(
        pair.server.recv_end(s),
        Some(RecvEnd::Failed(libc::ECONNRESET))
    );
    pair.server.send(s, segment(1, 0));
    pair.until(|server, _| server.count(|event| matches!(event, Event::Sent(..))) == 2);
    assert!(pair.server.saw(&Event::Sent(s, Err(libc::EPIPE))));
    pair.server.close(s);
    pair.until(|server, _| server.saw(&Event::Closed(s)));
}

/// A pair whose connecting end has input that nobody reads: it resets the connection when it closes.
fn about_to_reset(kit: &Kit, tweak: impl FnOnce(&mut DriverConfig)) -> Pair {
    let mut pair = kit.pair_with(tweak, |_| {});
    let s = pair.server_socket;
    pair.server.send(s, segment(500, 1));
    pair.until(|server, _| server.saw(&Event::Sent(s, Ok(500))));
    pair.settle();
    pair
}

/// Sends and resets; all of it has happened before the accepting end looks again.
fn send_and_reset(pair: &mut Pair, size: usize) {
    let c = pair.client_socket;
    pair.client.send(c, segment(size, 2));
    pair.client.close(c);
    for _ in 0..20 {
        pair.client.turn();
    }
    assert!(pair.client.saw(&Event::Closed(c)));
}

/// Turns until the receive has ended; returns what was received.
fn until_reset(pair: &mut Pair) -> Vec<u8> {
    let s = pair.server_socket;
    pair.until(|server, _| server.recv_end(s).is_some());
    let end = pair.server.recv_end(s);
    assert_eq!(end, Some(RecvEnd::Failed(libc::ECONNRESET)));
    pair.server.bytes(s)
}

pub(crate) fn a_reset_right_behind_bytes_is_told(kit: &Kit) {
    let mut pair = about_to_reset(kit, |_| {});
    pair.server.recv(pair.server_socket);
    pair.server.turn();
    send_and_reset(&mut pair, 100);
    assert_eq!(until_reset(&mut pair), pattern(100, 2));
}

pub(crate) fn a_reset_while_nobody_receives_is_told_when_somebody_does(kit: &Kit) {
    let mut pair = about_to_reset(kit, |_| {});
    let s = pair.server_socket;
    pair.server.recv(s);
    pair.server.turn();
    pair.server.driver.cancel(OpId::recv(s));
    pair.until(|server, _| server.recv_end(s) == Some(RecvEnd::Cancelled));
    pair.server.seen.clear();
    send_and_reset(&mut pair, 100);
    pair.settle();
    assert_eq!(
        (pair.server.byte_count(s), pair.server.recv_end(s)),
        (0, None)
    );
    pair.server.recv(s);
    // RFC 9293 3.10.7.4 lets a reset discard what nobody has received yet.
    let bytes = until_reset(&mut pair);
    assert!(bytes.is_empty() || bytes == pattern(100, 2));
}

pub(crate) fn a_reset_while_there_are_no_buffers_is_told_when_there_are(kit: &Kit) {
    let mut pair = about_to_reset(kit, |config| {
        config.recv_buffer_size = 1024;
        config.recv_buffer_count = 2;
    });
    pair.server.held = Some(Vec::new());
    pair.server.recv(pair.server_socket);
    pair.server.turn();
    send_and_reset(&mut pair, 10_000);
    pair.until(|server, _| server.driver.stats().no_buffers > 0);
    pair.server.held = None;
    assert_eq!(until_reset(&mut pair), pattern(10_000, 2));
}

pub(crate) fn close_flushes_a_send_submitted_before_it(kit: &Kit) {
    let mut pair = kit.pair();
    let (s, c) = (pair.server_socket, pair.client_socket);
    pair.client.recv(c);
    pair.server.send(s, segment(700, 8));
    pair.server.close(s);
    pair.until(|server, client| client.recv_end(c).is_some() && server.saw(&Event::Closed(s)));
    assert_eq!(pair.client.bytes(c), pattern(700, 8));
    assert_eq!(pair.client.recv_end(c), Some(RecvEnd::Eof));
}

pub(crate) fn a_refused_connect_fails_and_closes(kit: &Kit) {
    let mut gone = kit.end();
    let listener = gone.listen();
    let addr = gone.addr(listener);
    drop(gone);
    let (mut client, mut idle) = (kit.end(), kit.end());
    let socket = client.connect(addr);
    both(&mut client, &mut idle, |client, _| {
        client.saw(&Event::Closed(socket))
    });
    assert_eq!(
        client.seen,
        [
            Event::ConnectFailed(socket, libc::ECONNREFUSED),
            Event::Closed(socket)
        ]
    );
    assert_eq!(
        client.driver.submit(Op::Recv { socket }),
        Err(Reject::Stale)
    );
}

pub(crate) fn a_cancelled_accept_ends_and_can_start_again(kit: &Kit) {
    let (mut server, mut client) = (kit.end(), kit.end());
    let listener = server.listen();
    let addr = server.addr(listener);
    server.submit(Op::Accept { listener });
    assert_eq!(
        server.driver.submit(Op::Accept { listener }),
        Err(Reject::Busy)
    );
    server.turn();
    server.driver.cancel(OpId::accept(listener));
    let ended = Event::AcceptEnded(listener, libc::ECANCELED);
    both(&mut server, &mut client, |server, _| server.saw(&ended));
    let socket = client.connect(addr);
    both(&mut client, &mut server, |client, _| {
        client.saw(&Event::Connected(socket))
    });
    for _ in 0..20 {
        server.turn();
    }
    assert!(server.all_accepted().is_empty(), "nobody accepts now");
    server.submit(Op::Accept { listener });
    server.accepted(&mut client);
}

pub(crate) fn a_large_message_crosses_in_both_directions_at_once(kit: &Kit) {
    let size = 3 << 20;
    let mut pair = kit.pair();
    let (s, c) = (pair.server_socket, pair.client_socket);
    pair.server.recv(s);
    pair.client.recv(c);
    let (mut down, mut up) = (segment(size, 1), segment(size, 2));
    pair.server.send(s, down.clone());
    pair.client.send(c, up.clone());
    pair.until(|server, client| {
        if let Some(result) = server.take_sent(s) {
            down.advance(result.expect("bytes taken"));
            if !down.is_empty() {
                server.send(s, down.clone());
            }
        }
        if let Some(result) = client.take_sent(c) {
            up.advance(result.expect("bytes taken"));
            if !up.is_empty() {
                client.send(c, up.clone());
            }
        }
        server.byte_count(s) == size && client.byte_count(c) == size
    });
    assert!(pair.server.bytes(s) == pattern(size, 2), "bytes differ");
    assert!(pair.client.bytes(c) == pattern(size, 1), "bytes differ");
}

pub(crate) fn an_idle_socket_costs_nothing_per_turn(kit: &Kit) {
    let mut pair = kit.pair();
    let (s, c) = (pair.server_socket, pair.client_socket);
    pair.server.recv(s);
    pair.client.recv(c);
    pair.settle();
    let before = pair.server.driver.stats();
    for _ in 0..10 {
        assert_eq!(pair.server.turn_for(hioload_reactor::Wait::None), 0);
    }
    let after = pair.server.driver.stats();
    assert_eq!(after.enters - before.enters, 10, "one call a turn");
    assert_eq!(after.submitted, before.submitted);
}
