//! Clients that mean harm, at the byte level: one attack after the other, each on its own connection.
//!
//! They check nothing: what they must not do is disturb the others, who check everything.

use std::time::Duration;

use hioload_base::{Prng, Time};
use hioload_reactor::sim::SimPeer;
use hioload_ws::handshake::ClientRequest;
use hioload_ws::{Opcode, Outgoing, encode_header};

use crate::event::{Event, Notes};
use crate::plan::pick;
use crate::world::World;

/// What happens after the last byte of an attack.
#[derive(Clone, Copy, Debug)]
enum Ending {
    Reset,
    Close,
    HalfClose,
    Hang,
}

/// One connection of it.
struct Attack {
    peer: SimPeer,
    bytes: Vec<u8>,
    sent: usize,
    /// Bytes written per step.
    pace: usize,
    /// The answers are read.
    reads: bool,
    ending: Ending,
    is_ended: bool,
    until: Time,
}

/// A client that attacks again and again.
pub(crate) struct Hostile {
    attack: Option<Attack>,
    next_at: Time,
    /// Where the next legal conversation is cut.
    cut: usize,
    /// What it asks for in its request.
    path: &'static str,
    prng: Prng,
    notes: Notes,
}

impl Hostile {
    pub(crate) fn new(path: &'static str, mut prng: Prng, notes: Notes) -> Self {
        let cut = prng.below(400) as usize;
        Self {
            attack: None,
            next_at: Time::ZERO,
            cut,
            path,
            prng,
            notes,
        }
    }

    pub(crate) fn step(&mut self, world: &World) {
        let now = world.now();
        if self.attack.is_none() && now >= self.next_at {
            self.attack = Some(self.draw(world));
        }
        if let Some(attack) = &mut self.attack
            && !attack.step(now)
        {
            let attack = self.attack.take().expect("it is there");
            if matches!(attack.ending, Ending::Reset) {
                attack.peer.reset();
            }
            self.next_at = now + Duration::from_micros(self.prng.below(50_000));
        }
    }

    /// Goes away.
    pub(crate) fn stop(&mut self) {
        self.attack = None;
        self.next_at = Time::MAX;
    }

    fn draw(&mut self, world: &World) -> Attack {
        let prng = &mut self.prng;
        let mut attack = Attack {
            peer: world.net.connect(World::addr()),
            bytes: head(self.path, prng),
            sent: 0,
            pace: pick(prng, &[1, 7, 1 << 20, 1 << 20]),
            reads: prng.chance(1, 2),
            ending: pick(
                prng,
                &[
                    Ending::Reset,
                    Ending::Close,
                    Ending::HalfClose,
                    Ending::Hang,
                ],
            ),
            is_ended: false,
            until: world.now() + Duration::from_millis(20 + prng.below(3000)),
        };
        let event = match prng.below(8) {
            0..3 => {
                legal(&mut attack.bytes, prng);
                self.cut = (self.cut + 1) % (attack.bytes.len() + 1);
                attack.bytes.truncate(self.cut);
                Event::Cut
            }
            3 => {
                if prng.chance(1, 2) {
                    attack.bytes.clear();
                }
                let mut noise = vec![0; 1 + prng.below(2000) as usize];
                prng.fill(&mut noise);
                attack.bytes.extend(noise);
                Event::Garbage
            }
            4 | 5 => {
                illegal(&mut attack.bytes, prng);
                Event::BadFrame
            }
            6 => {
                attack
                    .bytes
                    .truncate(prng.below(attack.bytes.len() as u64) as usize);
                attack.pace = 1;
                attack.ending = Ending::Hang;
                Event::SlowHead
            }
            _ => {
                flood(&mut attack.bytes, prng);
                attack.reads = false;
                Event::Flood
            }
        };
        self.notes.add(event);
        attack
    }
}

impl Attack {
    /// False when it is over.
    fn step(&mut self, now: Time) -> bool {
        match self.peer.connected() {
            None => return now < self.until,
            Some(Err(_)) => return false,
            Some(Ok(())) => {}
        }
        if self.reads && self.peer.read(1 << 20).is_err() {
            return false;
        }
        let end = self.bytes.len().min(self.sent.saturating_add(self.pace));
        match self.peer.write(&self.bytes[self.sent..end]) {
            Ok(size) => self.sent += size,
            Err(_) => return false,
        }
        if self.sent < self.bytes.len() {
            return now < self.until;
        }
        match self.ending {
            Ending::Reset | Ending::Close => false,
            Ending::HalfClose => {
                if !std::mem::replace(&mut self.is_ended, true) {
                    self.peer.shutdown();
                }
                now < self.until
            }
            Ending::Hang => now < self.until,
        }
    }
}

/// A legal request.
fn head(path: &str, prng: &mut Prng) -> Vec<u8> {
    let mut key = [0; 16];
    prng.fill(&mut key);
    let mut bytes = Vec::new();
    let request = ClientRequest {
        host: "sim.example",
        path,
        key,
        ..ClientRequest::default()
    };
    request.encode(&mut bytes).expect("a legal request");
    bytes
}

/// Appends a masked frame; a zero key leaves the payload as it is.
fn frame(bytes: &mut Vec<u8>, opcode: Opcode, fin: bool, payload: &[u8]) {
    let mask = Some([0; 4]);
    let frame = Outgoing {
        opcode,
        fin,
        compressed: false,
        len: payload.len(),
        mask,
    };
    bytes.extend(encode_header(frame).iter());
    bytes.extend(payload);
}

/// A message in fragments with a ping inside, a longer one, and a close frame.
fn legal(bytes: &mut Vec<u8>, prng: &mut Prng) {
    frame(bytes, Opcode::Text, false, "gr\u{fc}".as_bytes());
    frame(bytes, Opcode::Ping, true, b"?");
    frame(bytes, Opcode::Continuation, true, "\u{df}e".as_bytes());
    frame(
        bytes,
        Opcode::Binary,
        true,
        &vec![0; 126 + prng.below(100) as usize],
    );
    frame(bytes, Opcode::Close, true, &[3, 232]);
}

/// One of the ways to break RFC 6455 5.
fn illegal(bytes: &mut Vec<u8>, prng: &mut Prng) {
    let broken: &[u8] = pick(
        prng,
        &[
            &[0x81, 0x02, b'h', b'i'],                      // no mask
            &[0xB1, 0x80, 0, 0, 0, 0],                      // reserved bits
            &[0x83, 0x80, 0, 0, 0, 0],                      // reserved opcode
            &[0x09, 0x80, 0, 0, 0, 0],                      // a ping in fragments
            &[0x89, 0xFE, 0, 126, 0, 0, 0, 0],              // a ping too long
            &[0x80, 0x80, 0, 0, 0, 0],                      // a continuation of nothing
            &[0x81, 0xFE, 0, 5, 0, 0, 0, 0, 1, 1, 1, 1, 1], // length not minimal
            &[
                0x82, 0xFF, 0x7F, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0, 0,
            ], // length too big
            &[0x81, 0x82, 0, 0, 0, 0, 0xC3, 0x28],          // text that is not UTF-8
            &[0x88, 0x81, 0, 0, 0, 0, 3],                   // half a close code
            &[0xC1, 0x83, 0, 0, 0, 0, 0xFF, 0xFF, 0xFF],    // not deflate
        ],
    );
    bytes.extend(broken);
}

/// Far more than any client needs, all of it legal but the last.
fn flood(bytes: &mut Vec<u8>, prng: &mut Prng) {
    match prng.below(3) {
        0 => (0..3000).for_each(|_| frame(bytes, Opcode::Ping, true, &[b'!'; 100])),
        1 => {
            frame(bytes, Opcode::Text, false, b"");
            (0..3000).for_each(|_| frame(bytes, Opcode::Continuation, false, b""));
        }
        _ => {
            frame(bytes, Opcode::Binary, false, b"");
            (0..6000).for_each(|_| frame(bytes, Opcode::Continuation, false, b"#"));
        }
    }
}
