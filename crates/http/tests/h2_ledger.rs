//! Windows against a ledger of big integers, which is kept by the frames on the wire alone, as RFC 9113 6.9 says: nobody
//! ever sends more than the other allowed, and when all is consumed, all is given back.

mod h2_kit;

use std::collections::BTreeMap;

use h2_kit::wire::*;
use h2_kit::{Pair, Seen, Side, get, post};
use hioload_base::Prng;
use hioload_http::h2::{ErrorCode, Limits};
use proptest::prelude::*;

/// What one side may send, as both could know it.
#[derive(Clone, Debug, Default)]
struct Ledger {
    connection: i128,
    streams: BTreeMap<u32, i128>,
    /// What streams begin with: the receiver's setting.
    initial: i128,
}

impl Ledger {
    fn new() -> Self {
        Self {
            connection: 65_535,
            initial: 65_535,
            ..Self::default()
        }
    }

    fn stream(&mut self, id: u32) -> &mut i128 {
        self.streams.entry(id).or_insert(self.initial)
    }

    /// DATA was sent.
    fn data(&mut self, id: u32, size: usize) {
        let size = size as i128;
        self.connection -= size;
        assert!(self.connection >= 0, "the connection's window");
        let stream = self.stream(id);
        *stream -= size;
        assert!(size == 0 || *stream >= 0, "the window of {id}");
    }

    /// WINDOW_UPDATE came.
    fn update(&mut self, id: u32, increment: u32) {
        assert!((1..=0x7fff_ffff).contains(&increment));
        let window = if id == 0 {
            &mut self.connection
        } else {
            self.stream(id)
        };
        *window += i128::from(increment);
        assert!(*window <= 0x7fff_ffff, "no window is larger");
    }

    /// The setting is in force.
    fn settings(&mut self, initial: u32) {
        let difference = i128::from(initial) - self.initial;
        self.initial += difference;
        for window in self.streams.values_mut() {
            *window += difference;
        }
    }

    fn room(&mut self, id: u32) -> usize {
        let room = self.connection.min(*self.stream(id)).max(0);
        usize::try_from(room).unwrap_or(0)
    }
}

/// A client by hand, which obeys its ledger and nothing else, against the server.
struct Game {
    random: Prng,
    server: Side,
    /// What the client may send, and what the server may.
    up: Ledger,
    down: Ledger,
    next: u32,
    /// Streams whose request has not ended.
    sending: Vec<u32>,
    /// Settings of ours that the server has not acknowledged.
    unacked: Option<u32>,
    /// Content that the server's owner was handed.
    held: Vec<(u32, u32)>,
    is_shut_down: bool,
    connection_window: u32,
}

impl Game {
    fn new(seed: u64) -> Self {
        let mut random = Prng::new(seed);
        let limits = Limits {
            stream_window: [1, 1000, 65_535, 65_536, 300_000][random.below(5) as usize],
            connection_window: [65_535, 65_536, 1 << 20][random.below(3) as usize],
            // Windows are what is looked at here.
            reset_burst: u32::MAX,
            reset_half_streams: u32::MAX,
            error_resets_max: u32::MAX,
            empty_frames_max: u32::MAX,
            ..Limits::default()
        };
        let mut game = Self {
            random,
            server: Side::server(&limits),
            up: Ledger::new(),
            down: Ledger::new(),
            next: 1,
            sending: Vec::new(),
            unacked: None,
            held: Vec::new(),
            is_shut_down: false,
            connection_window: limits.connection_window,
        };
        game.server.consumes = false;
        game.client_sends(&[PREFACE, &settings(&[])].concat());
        game.hear();
        game
    }

    /// Bytes of the client, in pieces.
    fn client_sends(&mut self, bytes: &[u8]) {
        let size = self.random.below(bytes.len() as u64 + 1) as usize;
        for piece in [&bytes[..size], &bytes[size..]] {
            self.server.feed(piece).expect("the client is sound");
        }
        for seen in self.server.take_seen() {
            if let Seen::Data(id, bytes, _) = seen {
                self.held.push((id, bytes.len() as u32));
            }
        }
    }

    /// What the server says, held against the ledgers.
    fn hear(&mut self) {
        for frame in frames(&self.server.take_wire()) {
            match frame.kind {
                DATA => self.down.data(frame.stream, frame.payload.len()),
                WINDOW_UPDATE => self.up.update(frame.stream, frame.number()),
                SETTINGS if frame.flags & ACK == 0 => {
                    let entry = frame.payload.chunks(6).find(|entry| entry[1] == 4);
                    let value = entry.expect("a window")[2..].try_into().expect("a number");
                    self.up.settings(u32::from_be_bytes(value));
                    // From here on the client counts by it, and says so.
                    self.server.feed(&settings_ack()).expect("an ack");
                }
                SETTINGS => {
                    if let Some(initial) = self.unacked.take() {
                        self.down.settings(initial);
                    }
                }
                RST_STREAM => self.sending.retain(|id| *id != frame.stream),
                PING if frame.flags & ACK == 0 => {
                    self.server.feed(&pong(&frame.payload)).expect("an answer");
                }
                _ => {}
            }
        }
    }

    fn pick(&mut self, of: &[u32]) -> Option<u32> {
        (!of.is_empty()).then(|| of[self.random.below(of.len() as u64) as usize])
    }

    fn turn(&mut self) {
        let owned: Vec<u32> = self.server.streams.keys().copied().collect();
        let sending = self.sending.clone();
        match self.random.below(12) {
            0 if owned.len() < 20 => {
                self.up.stream(self.next);
                self.down.stream(self.next);
                let bytes = head(self.next, POST, 0);
                self.sending.push(self.next);
                self.next += 2;
                self.client_sends(&bytes);
            }
            1..=4 => self.client_data(&sending),
            5 => {
                // A window of the server's streams or connection is given something.
                let id = self
                    .pick(&owned)
                    .filter(|_| self.random.below(2) == 0)
                    .unwrap_or(0);
                let increment = self.random.below(50_000) as u32 + 1;
                let window = if id == 0 {
                    self.down.connection
                } else {
                    *self.down.stream(id)
                };
                if window + i128::from(increment) <= 0x7fff_ffff {
                    self.down.update(id, increment);
                    self.client_sends(&window_update(id, increment));
                }
            }
            6 if self.unacked.is_none() => {
                let initial = self.random.below(70_000) as u32;
                self.unacked = Some(initial);
                self.client_sends(&settings(&[(4, initial)]));
            }
            7 => {
                if let Some(id) = self.pick(&sending).filter(|_| self.random.below(4) == 0) {
                    self.sending.retain(|one| *one != id);
                    self.client_sends(&reset(id, ErrorCode::CANCEL));
                }
            }
            8 if !self.held.is_empty() => {
                let place = self.random.below(self.held.len() as u64) as usize;
                let (id, size) = &mut self.held[place];
                let part = self.random.below(u64::from(*size) + 1) as u32;
                *size -= part;
                if let Some(stream) = self.server.streams.get(id) {
                    self.server.connection.consumed(*stream, part);
                }
            }
            9 => self.owner_acts(&owned),
            10 if !self.is_shut_down && self.random.below(50) == 0 => {
                self.is_shut_down = true;
                let now = self.server.now;
                self.server.connection.shutdown(now);
            }
            _ => {}
        }
        self.hear();
    }

    fn client_data(&mut self, sending: &[u32]) {
        let Some(id) = self.pick(sending) else { return };
        let room = self.up.room(id).min(16_384);
        let size = self.random.below(room as u64 + 1) as usize;
        let ends = self.random.below(8) == 0;
        let is_padded = size > 0 && self.random.below(2) == 0;
        let mut payload = vec![0; size];
        let mut flags = if ends { END_STREAM } else { 0 };
        if is_padded {
            flags |= PADDED;
            payload[0] = self.random.below(size.min(256) as u64) as u8;
        }
        if ends {
            self.sending.retain(|one| *one != id);
        }
        self.up.data(id, size);
        self.client_sends(&frame(DATA, flags, id, &payload));
    }

    /// The owner of one of the server's streams does something.
    fn owner_acts(&mut self, owned: &[u32]) {
        let Some(id) = self.pick(owned) else { return };
        let stream = self.server.streams[&id];
        match self.random.below(6) {
            0 => {
                let _ = self
                    .server
                    .connection
                    .respond(stream, 200, [].into_iter(), false);
            }
            1 | 2 => {
                let size = self.random.below(100_000) as usize;
                if self.server.connection.queue(stream, size, false).is_ok() {
                    let content = self.server.content.entry(id).or_default();
                    content.resize(content.len() + size, 0);
                }
            }
            3 => {
                let size = [1, 1000, 262_144][self.random.below(3) as usize];
                self.server.connection.set_receive_window(stream, size);
            }
            4 => self.server.connection.reset(stream, ErrorCode::CANCEL),
            _ => self.server.release(id),
        }
    }

    /// All owners end and all is consumed: the window of the connection is whole again, but for less than half.
    fn end(mut self) {
        let window = i128::from(self.connection_window);
        for (id, size) in std::mem::take(&mut self.held) {
            if let Some(stream) = self.server.streams.get(&id) {
                self.server.connection.consumed(*stream, size);
            }
        }
        self.hear();
        for id in self.server.streams.keys().copied().collect::<Vec<_>>() {
            self.server.release(id);
        }
        self.hear();
        assert_eq!(self.server.connection.stream_count(), 0);
        assert!(
            self.up.connection * 2 > window && self.up.connection <= window,
            "{} of {window} is left",
            self.up.connection
        );
    }
}

fn settings_ack() -> Vec<u8> {
    frame(SETTINGS, ACK, 0, &[])
}

fn pong(payload: &[u8]) -> Vec<u8> {
    frame(PING, ACK, 0, payload)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn the_server_keeps_to_its_windows(seed in any::<u64>()) {
        let mut game = Game::new(seed);
        for _ in 0..400 {
            game.turn();
        }
        game.end();
    }

    /// Both ends of this room, with small windows and owners that do as they like.
    #[test]
    fn both_ends_keep_to_their_windows(seed in any::<u64>(), up in 1u32..70_000, down in 1u32..70_000) {
        let mut random = Prng::new(seed);
        let limits = |stream_window| Limits {
            stream_window,
            connection_window: 65_535,
            ..Limits::default()
        };
        let mut pair = Pair::with(&limits(down), &limits(up));
        let (mut sent_up, mut sent_down) = (BTreeMap::new(), BTreeMap::new());
        for _ in 0..10 {
            let is_post = random.below(2) == 0;
            let head = if is_post { post("/") } else { get("/") };
            let id = pair.client.open(&head, !is_post);
            if is_post {
                let size = random.below(200_000) as usize;
                pair.client.send(id, &vec![1; size], true);
                sent_up.insert(id, size);
            }
            if random.below(2) == 0 {
                pair.run();
            }
        }
        pair.run();
        for id in pair.server.streams.keys().copied().collect::<Vec<_>>() {
            pair.server.respond(id, 200, false);
            let size = random.below(200_000) as usize;
            pair.server.send(id, &vec![2; size], true);
            sent_down.insert(id, size);
        }
        pair.run();
        let total = |seen: Vec<Seen>| {
            let mut sizes = BTreeMap::new();
            for one in seen {
                if let Seen::Data(id, bytes, _) = one {
                    *sizes.entry(id).or_insert(0) += bytes.len();
                }
            }
            sizes
        };
        prop_assert_eq!(total(pair.server.take_seen()), sent_up);
        prop_assert_eq!(total(pair.client.take_seen()), sent_down);
    }
}
