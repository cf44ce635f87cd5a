//! Both ends of this room against each other.

mod h2_kit;

use std::collections::{BTreeMap, BTreeSet};

use h2_kit::{Pair, Seen, fields, get, post};
use hioload_base::Prng;
use hioload_http::h2::{ErrorCode, HeadKind, Limits};
use proptest::prelude::*;

#[test]
fn a_request_and_its_answer() {
    let mut pair = Pair::new();
    let id = pair.client.open(&get("/a?b"), true);
    pair.run();
    let seen = pair.server.take_seen();
    let Seen::Head(1, HeadKind::Request, list, true) = &seen[0] else {
        panic!("{seen:?}");
    };
    assert_eq!(
        list.iter()
            .map(|(name, value)| (&**name, &**value))
            .collect::<Vec<_>>(),
        [
            (":method", "GET"),
            (":scheme", "https"),
            (":authority", "example.com"),
            (":path", "/a?b"),
            ("host", "example.com"),
        ]
    );
    let stream = pair.server.streams[&id];
    pair.server
        .connection
        .respond(
            stream,
            200,
            fields(&[("ETag", "\"x\""), ("Connection", "close")]),
            false,
        )
        .expect("due");
    pair.server.send(id, &[7; 100_000], true);
    pair.run();
    pair.server.release(id);
    let seen = pair.client.take_seen();
    assert_eq!(seen.len(), 2, "{seen:?}");
    let expected =
        [(":status", "200"), ("etag", "\"x\"")].map(|(n, v)| (n.to_owned(), v.to_owned()));
    assert_eq!(
        seen[0],
        Seen::Head(id, HeadKind::Response, expected.to_vec(), false)
    );
    assert_eq!(seen[1], Seen::Data(id, vec![7; 100_000], true));
    pair.client.release(id);
    pair.run();
    assert_eq!(
        (
            pair.client.connection.stream_count(),
            pair.server.connection.stream_count()
        ),
        (0, 0)
    );
    assert!(pair.client.take_seen().is_empty() && pair.server.take_seen().is_empty());
}

#[test]
fn content_both_ways_and_trailers() {
    let mut pair = Pair::new();
    let id = pair.client.open(&post("/"), false);
    pair.client.send(id, &[1; 300_000], false);
    pair.run();
    let stream = pair.client.streams[&id];
    pair.client
        .connection
        .trailers(stream, fields(&[("Sum", "1")]))
        .expect("all was granted");
    pair.run();
    let seen = pair.server.take_seen();
    assert_eq!(seen[1], Seen::Data(id, vec![1; 300_000], false));
    let sum = vec![("sum".to_owned(), "1".to_owned())];
    assert_eq!(seen[2], Seen::Head(id, HeadKind::Trailers, sum, true));
    pair.server.respond(id, 200, false);
    pair.server.send(id, b"", true);
    pair.run();
    assert_eq!(pair.client.take_seen()[1], Seen::Data(id, vec![], true));
}

/// Both ends and two wires, on which any part of what was sent may have come.
struct Weather {
    random: Prng,
    pair: Pair,
    /// Content that each stream has to send yet, of the request and of the response.
    up: BTreeMap<u32, usize>,
    down: BTreeMap<u32, usize>,
    /// Content that has to come yet.
    left: BTreeMap<u32, (usize, usize)>,
    reset: BTreeSet<u32>,
}

impl Weather {
    fn new(seed: u64) -> Self {
        let mut random = Prng::new(seed);
        let mut limits = || Limits {
            stream_window: [300, 5000, 65_536][random.below(3) as usize],
            tiny_data_burst: u32::MAX,
            reset_half_streams: u32::MAX,
            ..Limits::default()
        };
        Self {
            pair: Pair::with(&limits(), &limits()),
            random,
            up: BTreeMap::new(),
            down: BTreeMap::new(),
            left: BTreeMap::new(),
            reset: BTreeSet::new(),
        }
    }

    fn pick(&mut self, of: &BTreeMap<u32, usize>) -> Option<u32> {
        let index = self.random.below(of.len().max(1) as u64) as usize;
        of.keys().nth(index).copied()
    }

    fn turn(&mut self) {
        match self.random.below(10) {
            0 if self.left.len() < 30 => {
                let (up, down) = (
                    self.random.below(30_000) as usize,
                    self.random.below(30_000) as usize,
                );
                let id = self.pair.client.open(&post("/"), false);
                self.up.insert(id, up);
                self.left.insert(id, (up, down));
            }
            1 | 2 => {
                let of = self.up.clone();
                if let Some(id) = self.pick(&of) {
                    self.send(id, true);
                }
            }
            3 | 4 => {
                let of = self.down.clone();
                if let Some(id) = self.pick(&of) {
                    self.send(id, false);
                }
            }
            5 => {
                let of = self.down.clone();
                if let Some(id) = self.pick(&of).filter(|_| self.random.below(10) == 0) {
                    let is_client = self.random.below(2) == 0;
                    let side = if is_client {
                        &mut self.pair.client
                    } else {
                        &mut self.pair.server
                    };
                    let stream = side.streams[&id];
                    side.connection.reset(stream, ErrorCode::CANCEL);
                    self.give_up(id);
                }
            }
            6 | 7 => self.carry(true),
            _ => self.carry(false),
        }
    }

    /// A part of what a stream has to send, or the rest and the end of it.
    fn send(&mut self, id: u32, is_up: bool) {
        let (side, left) = if is_up {
            (&mut self.pair.client, &mut self.up)
        } else {
            (&mut self.pair.server, &mut self.down)
        };
        let entry = left.get_mut(&id).expect("it is there");
        let size = self.random.below(*entry as u64 * 2 + 1) as usize;
        let is_end = size >= *entry;
        let size = size.min(*entry);
        *entry -= size;
        side.send(id, &vec![7; size], is_end);
        if is_end {
            left.remove(&id);
        }
    }

    fn give_up(&mut self, id: u32) {
        self.up.remove(&id);
        self.down.remove(&id);
        self.reset.insert(id);
    }

    /// Some of the bytes that are under way come.
    fn carry(&mut self, is_up: bool) {
        let Pair { client, server } = &mut self.pair;
        let (from, to) = if is_up {
            (client, server)
        } else {
            (server, client)
        };
        from.flush();
        let size = self.random.below(from.wire.len() as u64 + 1) as usize;
        let bytes: Vec<u8> = from.wire.drain(..size).collect();
        to.feed(&bytes).expect("the other end is sound");
        self.look(is_up);
    }

    fn look(&mut self, is_up: bool) {
        let side = if is_up {
            &mut self.pair.server
        } else {
            &mut self.pair.client
        };
        for seen in side.take_seen() {
            match seen {
                Seen::Head(id, HeadKind::Request, ..) => {
                    self.pair.server.respond(id, 200, false);
                    self.down.insert(id, self.left[&id].1);
                }
                Seen::Data(id, bytes, end) if !self.reset.contains(&id) => {
                    let both = self.left.get_mut(&id).expect("it was opened");
                    let left = if is_up { &mut both.0 } else { &mut both.1 };
                    *left = left
                        .checked_sub(bytes.len())
                        .expect("no more than was sent");
                    assert!(!end || *left == 0, "all that was sent");
                }
                Seen::Reset(id, ..) => self.give_up(id),
                _ => {}
            }
        }
    }

    /// What is left is sent, and all of it comes.
    fn end(mut self) {
        loop {
            for id in self.up.keys().copied().collect::<Vec<_>>() {
                self.send(id, true);
            }
            for id in self.down.keys().copied().collect::<Vec<_>>() {
                self.send(id, false);
            }
            self.pair.client.flush();
            self.pair.server.flush();
            if self.pair.client.wire.is_empty()
                && self.pair.server.wire.is_empty()
                && self.up.is_empty()
                && self.down.is_empty()
            {
                break;
            }
            for is_up in [true, false] {
                let (from, to) = if is_up {
                    (&mut self.pair.client, &mut self.pair.server)
                } else {
                    (&mut self.pair.server, &mut self.pair.client)
                };
                let bytes = std::mem::take(&mut from.wire);
                to.feed(&bytes).expect("the other end is sound");
                self.look(is_up);
            }
        }
        for (id, left) in &self.left {
            assert!(*left == (0, 0) || self.reset.contains(id), "{id}: {left:?}");
        }
        for side in [&mut self.pair.client, &mut self.pair.server] {
            for id in side.streams.keys().copied().collect::<Vec<_>>() {
                side.release(id);
            }
            assert_eq!(side.connection.stream_count(), 0);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn whatever_comes_when(seed in any::<u64>()) {
        let mut weather = Weather::new(seed);
        for _ in 0..300 {
            weather.turn();
        }
        weather.end();
    }
}
