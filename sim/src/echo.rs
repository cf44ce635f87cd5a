//! The echo scenario: whatever a client sends comes back, unchanged and in order.

use std::collections::VecDeque;
use std::time::Duration;

use hioload_base::{Prng, Time};
use hioload_reactor::sim::{Fault, SimNet};
use hioload_ws::deflate::DeflateOffer;
use hioload_ws::{CloseCode, Kind};

use crate::client::{Client, End, Received, Wish};
use crate::event::{Event, Notes};
use crate::plan::{Plan, pick, size};
use crate::reader::Reader;
use crate::stage::{Cast, Ending, Loss};
use crate::world::World;

/// Messages a client has under way at most.
const UNDERWAY_MAX: usize = 8;
/// Connections a client makes, one after the other, when they break.
const LIVES: u32 = 5;
/// Messages that each client still sends when the server shuts down.
pub(crate) const HURRY_MESSAGES: u32 = 20;
/// The window of a client that has calmed down.
pub(crate) const WINDOW_CALM: usize = 64 * 1024;

/// All clients.
pub(crate) struct Echo {
    clients: Vec<EchoClient>,
    losses: Vec<Loss>,
}

struct EchoClient {
    number: usize,
    client: Client,
    reader: Reader,
    /// Sent and not come back.
    expected: VecDeque<(Kind, Vec<u8>)>,
    pings: VecDeque<Vec<u8>>,
    left: u32,
    next_at: Time,
    pause_max: Duration,
    size_max: usize,
    offer: Option<DeflateOffer>,
    lives: u32,
    is_storm: bool,
    is_leaving: bool,
    is_told: bool,
    digest: u64,
    prng: Prng,
    notes: Notes,
}

/// An offer of permessage-deflate, every parameter by chance.
pub(crate) fn deflate_offer(prng: &mut Prng) -> DeflateOffer {
    DeflateOffer {
        server_no_context_takeover: prng.chance(1, 2),
        client_no_context_takeover: prng.chance(1, 2),
        server_max_window_bits: pick(prng, &[None, Some(9), Some(15)]),
        client_max_window_bits: pick(prng, &[None, Some(9), Some(15)]),
    }
}

impl Echo {
    pub(crate) fn new(plan: &Plan, world: &World, prng: &mut Prng) -> Self {
        let client = |number| EchoClient::new(number, plan, world, prng.fork());
        Self {
            clients: (0..plan.clients).map(client).collect(),
            losses: Vec::new(),
        }
    }
}

impl Cast for Echo {
    fn step(&mut self, world: &World) {
        for client in &mut self.clients {
            if let Some(loss) = client.step(&world.net) {
                self.losses.push(loss);
            }
        }
    }

    fn calm_down(&mut self, _: &World) {
        for client in &mut self.clients {
            client.is_storm = false;
            client.pause_max = Duration::from_millis(1);
            client.next_at = Time::ZERO;
            client.reader.calm_down();
            client.client.set_window(WINDOW_CALM);
        }
    }

    fn is_settled(&self) -> bool {
        self.clients.iter().all(EchoClient::is_settled)
    }

    fn missing(&self) -> String {
        let waiting = self.clients.iter().filter(|client| !client.is_settled());
        let tell = |c: &EchoClient| {
            format!(
                "client {} (open: {}, unsent: {}, to send: {}, to come: {})",
                c.number,
                c.client.is_open(),
                c.client.unsent(),
                c.left,
                c.expected.len()
            )
        };
        waiting.map(tell).collect::<Vec<_>>().join(", ")
    }

    fn hurry(&mut self) {
        for client in &mut self.clients {
            client.left += HURRY_MESSAGES;
        }
    }

    fn leave(&mut self) {
        for client in &mut self.clients {
            client.is_leaving = true;
            client.client.close(CloseCode::NORMAL);
        }
    }

    fn is_gone(&self) -> bool {
        self.clients
            .iter()
            .all(|client| client.client.end().is_some() || client.client.is_deaf())
    }

    fn drop_all(&mut self) {
        for client in &mut self.clients {
            client.is_told = true;
            client.client.reset();
        }
    }

    fn losses(&self) -> &[Loss] {
        &self.losses
    }

    fn verify(&self, end: &Ending<'_>) {
        let echoed = end.notes.counts().of(Event::Echoed);
        assert!(
            end.stats.messages_sent >= echoed,
            "{echoed} messages came back, {} were sent",
            end.stats.messages_sent
        );
        // What nothing struck is complete.
        if self.losses.is_empty() && end.faults.of(Fault::DeadReader) == 0 {
            let wanted = end.plan.clients as u64 * u64::from(end.plan.messages);
            assert!(echoed >= wanted, "{echoed} messages came back of {wanted}");
        }
    }

    fn digest(&self) -> u64 {
        let digests = self
            .clients
            .iter()
            .map(|client| client.digest ^ client.client.digest());
        digests.fold(0, |sum, digest| u64::rotate_left(sum, 7) ^ digest)
    }
}

impl EchoClient {
    fn new(number: usize, plan: &Plan, world: &World, mut prng: Prng) -> Self {
        let notes = world.notes.clone();
        let offer = plan.has_deflate.then(|| deflate_offer(&mut prng));
        let wish = Wish {
            path: "/".to_owned(),
            deflate: offer,
        };
        let fork = prng.fork();
        let name = format!("client {number}");
        let client = Client::connect(name, &world.net, World::addr(), wish, fork, notes.clone());
        let is_slow = plan.has_slow_readers;
        Self {
            number,
            client,
            reader: if is_slow {
                Reader::draw(&mut prng, &notes)
            } else {
                Reader::fast()
            },
            expected: VecDeque::new(),
            pings: VecDeque::new(),
            left: plan.messages,
            next_at: Time::ZERO,
            pause_max: plan.storm * 2 / plan.messages,
            size_max: plan.message_size_max,
            offer,
            lives: LIVES,
            is_storm: true,
            is_leaving: false,
            is_told: false,
            digest: 0,
            prng,
            notes,
        }
    }

    fn is_settled(&self) -> bool {
        let is_done = self.left == 0 && self.expected.is_empty() && self.client.is_open();
        is_done || self.client.end().is_some() || self.client.is_deaf()
    }

    fn step(&mut self, net: &SimNet) -> Option<Loss> {
        let now = net.now();
        let read_max = self.reader.read_max(now, &mut self.prng, &self.notes);
        self.client.step(read_max);
        while let Some(received) = self.client.next_received() {
            self.check(received);
        }
        if let Some(end) = self.client.end() {
            return self.ended(net, end);
        }
        let has_room = self.expected.len() < UNDERWAY_MAX;
        if self.client.is_open() && self.left > 0 && has_room && now >= self.next_at {
            self.say();
            let pause = self.prng.below(self.pause_max.as_nanos() as u64 + 1);
            self.next_at = now + Duration::from_nanos(pause);
        }
        None
    }

    fn check(&mut self, received: Received) {
        match received {
            Received::Message(kind, payload) => {
                let (kind_sent, sent) = self.expected.pop_front().unwrap_or_else(|| {
                    panic!("client {} got a message that it never sent", self.number)
                });
                assert!(
                    kind == kind_sent && payload == sent,
                    "client {} sent {kind_sent:?} of {} bytes and got {kind:?} of {} bytes, or other ones",
                    self.number,
                    sent.len(),
                    payload.len()
                );
                self.notes.add(Event::Echoed);
            }
            // RFC 6455 5.5.3: of several pings the latest alone may be answered.
            Received::Pong(payload) => loop {
                let sent = self.pings.pop_front();
                let sent =
                    sent.unwrap_or_else(|| panic!("client {} got a pong of no ping", self.number));
                if sent == payload {
                    break;
                }
            },
        }
    }

    fn say(&mut self) {
        let prng = &mut self.prng;
        self.left -= 1;
        let size = size(prng, self.size_max);
        let (kind, payload) = if prng.chance(1, 2) {
            (Kind::Text, text(prng, size))
        } else {
            let mut bytes = vec![0; size];
            prng.fill(&mut bytes);
            (Kind::Binary, bytes)
        };
        let pieces = if prng.chance(1, 3) {
            2 + prng.below(5) as usize
        } else {
            1
        };
        let ping = prng.chance(1, 4).then(|| {
            let mut ping = vec![0; prng.below(126) as usize];
            prng.fill(&mut ping);
            ping
        });
        self.client.send(kind, &payload, pieces, ping.as_deref());
        self.expected.push_back((kind, payload));
        self.pings.extend(ping);
    }

    /// The connection ended; while it storms, the client comes back.
    fn ended(&mut self, net: &SimNet, end: End) -> Option<Loss> {
        if self.is_told {
            return None;
        }
        self.is_told = true;
        let is_shutdown = end == End::Closed(CloseCode::GOING_AWAY.number());
        if self.is_leaving || (!self.is_storm && is_shutdown) {
            assert!(
                !self.is_leaving
                    || end == End::Closed(CloseCode::NORMAL.number())
                    || self.client.is_cut_off(),
                "client {} left in order, the server ended it as {end:?}",
                self.number
            );
            self.notes.add(Event::Left);
            return None;
        }
        let loss = Loss {
            end,
            is_fair: self.reader.is_fair(),
            at: net.now(),
        };
        self.left += self.expected.len() as u32;
        self.expected.clear();
        self.pings.clear();
        if self.is_storm && self.lives > 1 {
            self.lives -= 1;
            self.is_told = false;
            self.digest = self.digest.rotate_left(1) ^ self.client.digest();
            let wish = Wish {
                path: "/".to_owned(),
                deflate: self.offer,
            };
            let name = format!("client {}", self.number);
            let (prng, notes) = (self.prng.fork(), self.notes.clone());
            self.client = Client::connect(name, net, World::addr(), wish, prng, notes);
            self.notes.add(Event::CameBack);
        }
        Some(loss)
    }
}

/// Text of about `size` bytes with characters of one to four bytes.
fn text(prng: &mut Prng, size: usize) -> Vec<u8> {
    let mut text = String::with_capacity(size);
    while text.len() < size {
        text.push(pick(
            prng,
            &['a', 'b', ' ', '\n', '\u{df}', '\u{20ac}', '\u{1f600}'],
        ));
    }
    while text.len() > size {
        text.pop();
    }
    text.into_bytes()
}
