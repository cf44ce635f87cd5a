//! Windows of content beside tunnels: by the round trip, by how many streams share it, and back again.

mod h2_kit;

use std::time::Duration;

use h2_kit::wire::*;
use h2_kit::{Pair, Seen, post, tunnel};
use hioload_base::Prng;
use hioload_http::h2::{ErrorCode, Limits, Offence};

const INITIAL_WINDOW_SIZE: u16 = 4;
const LAN: Duration = Duration::from_micros(50);

/// What the window was set to by SETTINGS among the frames.
fn window_of(wire: &[u8]) -> Option<u32> {
    let settings = |frame: &Frame| frame.kind == SETTINGS && frame.flags & ACK == 0;
    let frames = frames(wire);
    let said = frames.iter().rfind(|frame| settings(frame))?;
    assert_eq!(said.payload.len(), 6, "nothing else is said again");
    let (name, value) = said.payload.split_at(2);
    assert_eq!(name, INITIAL_WINDOW_SIZE.to_be_bytes());
    Some(u32::from_be_bytes(value.try_into().expect("four bytes")))
}

/// Carries bytes until nobody has anything to say; each way takes half a round trip. What SETTINGS of the server said
/// last meanwhile.
fn run(pair: &mut Pair, round_trip: Duration) -> Option<u32> {
    let mut said = None;
    loop {
        let up = pair.client.take_wire();
        pair.sleep(round_trip / 2);
        pair.server.feed(&up).expect("the client is sound");
        let down = pair.server.take_wire();
        said = window_of(&down).or(said);
        pair.sleep(round_trip / 2);
        pair.client.feed(&down).expect("the server is sound");
        if up.is_empty() && down.is_empty() {
            return said;
        }
    }
}

fn pair(round_trip: Duration) -> Pair {
    let mut pair = Pair {
        client: h2_kit::Side::client(&Limits::default()),
        server: h2_kit::Side::server(&Limits::default()),
    };
    // The first SETTINGS say more.
    let hello = pair.server.take_wire();
    pair.sleep(round_trip / 2);
    pair.client.feed(&hello).expect("sound");
    pair
}

/// Opens a tunnel that is answered.
fn open_tunnel(pair: &mut Pair, round_trip: Duration) -> u32 {
    let id = pair.client.open(&tunnel("/"), false);
    assert_eq!(run(pair, round_trip), None, "no content comes");
    pair.server.respond(id, 200, false);
    assert_eq!(run(pair, round_trip), None);
    id
}

/// The requests are open, and nothing of their content has come.
fn open_uploads(pair: &mut Pair, count: usize, round_trip: Duration) -> (Vec<u32>, Option<u32>) {
    let ids = (0..count)
        .map(|_| pair.client.open(&post("/"), false))
        .collect();
    let said = run(pair, round_trip);
    (ids, said)
}

/// How much of a stream the client can send when nothing is given back.
fn room(pair: &mut Pair, id: u32) -> usize {
    pair.server.consumes = false;
    pair.client.send(id, &[1; 200_000], false);
    let wire = pair.client.take_wire();
    let of = |frame: &&Frame| frame.kind == DATA && frame.stream == id;
    frames(&wire)
        .iter()
        .filter(of)
        .map(|frame| frame.payload.len())
        .sum()
}

#[test]
fn content_beside_a_tunnel_has_the_window_of_a_round_trip() {
    for (streams, expected) in [(1, 24_576), (2, 12_288), (3, 8192), (16, 6144)] {
        let mut pair = pair(LAN);
        let first = open_tunnel(&mut pair, LAN);
        let (ids, said) = open_uploads(&mut pair, streams, LAN);
        assert_eq!(said, Some(expected), "{streams} streams");
        // The first of them keep what they had.
        assert_eq!(room(&mut pair, ids[0]), 65_536);
        let more = pair.client.open(&post("/"), false);
        assert_eq!(room(&mut pair, more), expected as usize);
        assert!(
            room(&mut pair, first) > 65_536 / 2,
            "a tunnel keeps its own"
        );
        let later = pair.client.open(&tunnel("/later"), false);
        run(&mut pair, LAN);
        assert_eq!(
            room(&mut pair, later),
            65_536,
            "one that is opened later, too"
        );
    }
}

#[test]
fn nothing_is_held_back_on_a_long_way_or_without_a_tunnel() {
    let mut long = pair(Duration::from_millis(1));
    open_tunnel(&mut long, Duration::from_millis(1));
    assert_eq!(open_uploads(&mut long, 4, Duration::from_millis(1)).1, None);

    let mut alone = pair(LAN);
    run(&mut alone, LAN);
    let (ids, said) = open_uploads(&mut alone, 4, LAN);
    assert_eq!(said, None);
    assert_eq!(room(&mut alone, ids[0]), 65_536);
}

#[test]
fn windows_come_back_when_the_last_tunnel_is_gone() {
    let mut pair = pair(LAN);
    let first = open_tunnel(&mut pair, LAN);
    let second = open_tunnel(&mut pair, LAN);
    let (ids, _) = open_uploads(&mut pair, 1, LAN);
    pair.server.release(first);
    assert_eq!(run(&mut pair, LAN), None);
    pair.sleep(Duration::from_secs(1));
    run(&mut pair, LAN);
    pair.server.release(second);
    assert_eq!(run(&mut pair, LAN), Some(65_536));
    let more = pair.client.open(&post("/"), false);
    assert_eq!(room(&mut pair, more), 65_536);
    // What this one kept, and what settings gave: no more, however often they change.
    assert_eq!(room(&mut pair, ids[0]), 65_536 + 40_960);
}

#[test]
fn windows_that_come_and_go_do_not_add_up() {
    let mut pair = pair(LAN);
    let upload = pair.client.open(&post("/"), false);
    let mut changes = 0;
    for _ in 0..20 {
        let id = pair.client.open(&tunnel("/"), false);
        let less = run(&mut pair, LAN);
        pair.server.respond(id, 200, true);
        pair.client.send(id, b"", true);
        pair.sleep(Duration::from_secs(1));
        run(&mut pair, LAN);
        pair.server.release(id);
        let more = run(&mut pair, LAN);
        changes += usize::from(less == Some(24_576)) + usize::from(more == Some(65_536));
    }
    assert_eq!(changes, 40);
    assert!(room(&mut pair, upload) <= 2 * 65_536);
}

#[test]
fn windows_grow_when_fewer_streams_share_the_round_trip_for_a_while() {
    let mut pair = pair(LAN);
    open_tunnel(&mut pair, LAN);
    let (ids, said) = open_uploads(&mut pair, 4, LAN);
    assert_eq!(said, Some(6144));
    for id in ids {
        pair.server.respond(id, 204, true);
        pair.client.send(id, b"", true);
        run(&mut pair, LAN);
        pair.server.release(id);
        pair.client.release(id);
    }
    // Those that come and go in a moment are counted together.
    assert_eq!(open_uploads(&mut pair, 1, LAN).1, None);
    pair.sleep(Duration::from_secs(1));
    let (_, said) = open_uploads(&mut pair, 1, LAN);
    assert_eq!(said, Some(12_288), "two of them now");
}

#[test]
fn what_was_sent_before_settings_came_is_within_the_window_of_then() {
    let mut pair = pair(LAN);
    open_tunnel(&mut pair, LAN);
    let id = pair.client.open(&post("/"), false);
    // All of the old window, on its way while SETTINGS are.
    pair.client.send(id, &[1; 100_000], false);
    pair.server.consumes = false;
    assert_eq!(run(&mut pair, LAN), Some(24_576));
    let stream = pair.server.streams[&id];
    // It was told of what settings took, and so stands at zero until enough was consumed.
    pair.server.connection.consumed(stream, 40_960);
    assert_eq!(frames(&pair.server.take_wire()), []);
    pair.server
        .feed(&frame(DATA, 0, id, b"1"))
        .expect("the stream alone");
    let code = ErrorCode::FLOW_CONTROL_ERROR;
    assert_eq!(
        pair.server.take_seen().last(),
        Some(&Seen::Reset(id, code, false))
    );
}

#[test]
fn settings_that_are_said_again_have_their_deadline() {
    let limits = Limits::default();
    let mut pair = pair(LAN);
    open_tunnel(&mut pair, LAN);
    pair.client.open(&post("/"), false);
    let up = pair.client.take_wire();
    pair.server.feed(&up).expect("sound");
    assert_eq!(window_of(&pair.server.take_wire()), Some(24_576));
    let due = pair.server.now + limits.settings_timeout;
    assert_eq!(pair.server.connection.poll_timeout(), Some(due));
    assert_eq!(
        pair.server.connection.handle_timeout(due),
        Err(Offence::SettingsTimeout)
    );
}

#[test]
fn content_arrives_whatever_the_windows_do() {
    for seed in 0..200 {
        let mut prng = Prng::new(seed);
        let mut pair = pair(LAN);
        let mut sent = std::collections::BTreeMap::<u32, usize>::new();
        let mut came = std::collections::BTreeMap::<u32, usize>::new();
        let mut tunnels = Vec::new();
        for _ in 0..30 {
            match prng.below(6) {
                0 if tunnels.len() < 3 => tunnels.push(open_any(&mut pair, true)),
                1 => {
                    if let Some(id) = tunnels.pop() {
                        pair.client.send(id, b"", true);
                        pair.server.respond(id, 200, true);
                        run(&mut pair, LAN);
                        pair.server.release(id);
                    }
                }
                2 if sent.len() < 20 => drop(sent.insert(open_any(&mut pair, false), 0)),
                _ => {
                    let nth = prng.below(sent.len().max(1) as u64) as usize;
                    if let Some((id, total)) = sent.iter_mut().nth(nth) {
                        let size = prng.below(40_000) as usize;
                        pair.client.send(*id, &vec![7; size], false);
                        *total += size;
                    }
                }
            }
            if prng.below(3) > 0 {
                run(&mut pair, [LAN, LAN * 4, LAN * 100][prng.below(3) as usize]);
            }
        }
        run(&mut pair, LAN);
        for seen in pair.server.take_seen() {
            match seen {
                Seen::Data(id, bytes, _) => *came.entry(id).or_default() += bytes.len(),
                Seen::Reset(..) | Seen::GoAway(..) => panic!("seed {seed}: {seen:?}"),
                _ => {}
            }
        }
        came.retain(|_, size| *size > 0);
        sent.retain(|_, size| *size > 0);
        assert_eq!(came, sent, "seed {seed}");
    }
}

fn open_any(pair: &mut Pair, is_tunnel: bool) -> u32 {
    let head = if is_tunnel { tunnel("/") } else { post("/") };
    let id = pair.client.open(&head, false);
    run(pair, LAN);
    id
}

#[test]
fn no_settings_are_said_behind_the_end() {
    let mut pair = pair(LAN);
    let tunnel = open_tunnel(&mut pair, LAN);
    assert_eq!(open_uploads(&mut pair, 1, LAN).1, Some(24_576));
    pair.sleep(Duration::from_secs(1));
    let broken = frame(DATA, 0, 0, b"of no stream");
    assert!(pair.server.feed(&broken).is_err());
    let last = frames(&pair.server.take_wire());
    assert_eq!(last.last().map(|frame| frame.kind), Some(GOAWAY));
    pair.server.release(tunnel);
    assert_eq!(window_of(&pair.server.take_wire()), None);
}
