//! The broadcast scenario: publishers and subscribers of a few channels, on one or several workers.
//!
//! What is promised: all subscribers of a channel see one order; who keeps reading loses nothing;
//! nobody gets its own publications; what stalled subscribers miss is counted. See `ledger`.

use std::collections::HashMap;
use std::time::Duration;

use hioload::{Handler, Message, PublishError, Session};
use hioload_base::{Prng, Time};
use hioload_live::Policy;
use hioload_reactor::sim::SimNet;
use hioload_ws::{CloseCode, Kind};

use crate::client::{Client, End, Received, Wish};
use crate::echo::{HURRY_MESSAGES, WINDOW_CALM, deflate_offer};
use crate::event::{Event, Notes};
use crate::ledger::{self, Publication, Stretch};
use crate::plan::{Plan, pick};
use crate::reader::Reader;
use crate::stage::{Cast, Ending, Loss};
use crate::world::World;

/// Channels.
const ROOMS: usize = 3;
/// Connections a client makes, one after the other, when they break.
const LIVES: u32 = 6;
/// Between two publications that show that everything still arrives.
const PROBE_PAUSE: Duration = Duration::from_millis(50);
/// Bytes of one of them at most.
const PROBE_SIZE_MAX: usize = 200;
/// So many of them have to arrive.
const PROBES_MIN: u32 = 3;

/// The application: `pN…` publishes to room N, `sN` and `uN` join and leave it and are answered with
/// `SN` and `UN`; the path names the rooms to join at once.
pub(crate) struct Rooms;

fn room_name(room: u8) -> Option<&'static str> {
    Some(match room {
        b'0' => "first",
        b'1' => "second",
        b'2' => "third",
        _ => return None,
    })
}

impl Handler for Rooms {
    fn open(&mut self, session: &mut Session<'_>) {
        for room in session.path().to_owned().bytes().filter_map(room_name) {
            session.subscribe(room).expect("a room for everybody");
        }
    }

    fn message(&mut self, session: &mut Session<'_>, message: Message<'_>) {
        let (Some(verb), Some(digit)) = (message.payload.first(), message.payload.get(1)) else {
            return;
        };
        let Some(room) = room_name(*digit) else {
            return;
        };
        match verb {
            b'p' => match session.publish(room, message) {
                Ok(()) | Err(PublishError::Closed) => {}
                Err(error) => panic!("a publication was refused: {error}"),
            },
            b's' => {
                answer(session, b'S', *digit);
                session.subscribe(room).expect("a room for everybody");
            }
            b'u' => {
                session.unsubscribe(room);
                answer(session, b'U', *digit);
            }
            _ => {}
        }
    }
}

fn answer(session: &mut Session<'_>, verb: u8, digit: u8) {
    if session.send(Message::binary(&[verb, digit])).is_err() {
        session.close(CloseCode::TRY_AGAIN, "no memory for an answer");
    }
}

/// All clients.
pub(crate) struct Broadcast {
    subscribers: Vec<Subscriber>,
    losses: Vec<Loss>,
    policy: Policy,
    next_number: u32,
    /// The number of the client that publishes once it is calm.
    prober: Option<u32>,
    /// By room: what was received.
    stretches: [Vec<Stretch>; ROOMS],
    plan: Plan,
    digest: u64,
    prng: Prng,
}

/// What a client knows of a room.
#[derive(Clone, Debug, Default)]
struct Room {
    is_in: bool,
    seen: Vec<Publication>,
    /// The number of its own next publication.
    seq: u32,
    /// By publisher: the last number seen.
    last: HashMap<u32, u32>,
}

/// One connection: it may publish, too.
struct Subscriber {
    number: u32,
    client: Client,
    reader: Reader,
    rooms: [Room; ROOMS],
    /// Publications to make.
    left: u32,
    next_at: Time,
    pause_max: Duration,
    size_max: usize,
    /// The room whose change was asked for and not yet answered.
    moving: Option<usize>,
    /// It joined or left a room after its start.
    has_moved: bool,
    has_churn: bool,
    is_leaving: bool,
    /// It left when nothing could strike it any more.
    is_answer_due: bool,
    is_prober: bool,
    is_told: bool,
    lives: u32,
    prng: Prng,
    notes: Notes,
}

impl Broadcast {
    pub(crate) fn new(plan: &Plan, world: &World, prng: &mut Prng) -> Self {
        let mut cast = Self {
            subscribers: Vec::new(),
            losses: Vec::new(),
            policy: plan.settings.channel.policy,
            next_number: 0,
            prober: None,
            stretches: Default::default(),
            plan: plan.clone(),
            digest: 0,
            prng: prng.fork(),
        };
        for index in 0..plan.clients {
            let left = if index < plan.publishers {
                plan.messages * 2
            } else {
                0
            };
            let subscriber = cast.enter(&world.net, &world.notes, left, LIVES, None);
            cast.subscribers.push(subscriber);
        }
        cast
    }

    /// A new connection; `path` by chance unless given.
    fn enter(
        &mut self,
        net: &SimNet,
        notes: &Notes,
        left: u32,
        lives: u32,
        path: Option<&str>,
    ) -> Subscriber {
        let number = self.next_number;
        self.next_number += 1;
        let prng = &mut self.prng;
        let path = path.unwrap_or(if left > 0 {
            pick(prng, &["/0", "/012", "/"])
        } else {
            pick(prng, &["/0", "/0", "/1", "/01", "/012"])
        });
        let deflate = (self.plan.has_deflate && prng.chance(1, 2)).then(|| deflate_offer(prng));
        let wish = Wish {
            path: path.to_owned(),
            deflate,
        };
        let name = format!("client {number}");
        let client = Client::connect(name, net, World::addr(), wish, prng.fork(), notes.clone());
        let is_in = |room: usize| path.contains(char::from(b'0' + room as u8));
        let is_slow = self.plan.has_slow_readers;
        Subscriber {
            number,
            client,
            reader: if is_slow {
                Reader::draw(prng, notes)
            } else {
                Reader::fast()
            },
            rooms: std::array::from_fn(|room| Room {
                is_in: is_in(room),
                ..Room::default()
            }),
            left,
            next_at: net.now(),
            pause_max: self.plan.storm / self.plan.messages,
            size_max: self.plan.message_size_max,
            moving: None,
            has_moved: false,
            has_churn: self.plan.has_churn,
            is_leaving: false,
            is_answer_due: false,
            is_prober: false,
            is_told: false,
            lives,
            prng: prng.fork(),
            notes: notes.clone(),
        }
    }

    fn is_calm(&self) -> bool {
        self.prober.is_some()
    }

    /// The connection at `index` ended; while it storms, its client comes back.
    fn ended(&mut self, world: &World, index: usize, end: End) {
        let is_calm = self.is_calm();
        let subscriber = &mut self.subscribers[index];
        if std::mem::replace(&mut subscriber.is_told, true) {
            return;
        }
        self.digest = self.digest.rotate_left(7) ^ subscriber.client.digest();
        for room in 0..ROOMS {
            self.stretches[room].extend(subscriber.end_stretch(room));
        }
        let is_shutdown = end == End::Closed(CloseCode::GOING_AWAY.number());
        // Found stalled in the storm, and told only now that it reads.
        let is_stalled = end == End::Closed(CloseCode::TRY_AGAIN.number());
        if subscriber.is_leaving && !is_stalled {
            let is_answered = end == End::Closed(CloseCode::NORMAL.number());
            assert!(
                is_answered || !subscriber.is_answer_due || subscriber.client.is_cut_off(),
                "client {} left in order, the server ended it as {end:?}",
                subscriber.number
            );
        } else if !(is_calm && is_shutdown) {
            let is_fair = subscriber.reader.is_fair();
            self.losses.push(Loss {
                end,
                is_fair,
                at: world.now(),
            });
        }
        let (left, lives) = (subscriber.left, subscriber.lives);
        if !is_calm && lives > 1 {
            world.notes.add(Event::CameBack);
            self.subscribers[index] = self.enter(&world.net, &world.notes, left, lives - 1, None);
        }
    }

    /// Everything that live publishers sent has reached this subscriber.
    fn has_all(&self, subscriber: &Subscriber) -> bool {
        if subscriber.client.end().is_some() || subscriber.client.is_deaf() {
            return true;
        }
        if !subscriber.client.is_open() || subscriber.client.is_mute() {
            return false;
        }
        let is_quiet = subscriber.client.unsent() == 0 && subscriber.moving.is_none();
        let rooms = subscriber
            .rooms
            .iter()
            .enumerate()
            .filter(|(_, room)| room.is_in);
        is_quiet
            && rooms
                .clone()
                .all(|(index, room)| self.has_all_of(index, room, subscriber.number))
    }

    fn has_all_of(&self, index: usize, room: &Room, number: u32) -> bool {
        let prober = self.prober.unwrap_or(u32::MAX);
        let is_probed = room
            .last
            .get(&prober)
            .is_some_and(|last| *last + 1 >= PROBES_MIN);
        // What may be missed may be missed at the end, too.
        let may_miss = self.policy != Policy::Disconnect;
        let publishers = self.subscribers.iter().filter(|publisher| {
            let is_live = publisher.client.is_open() && !publisher.client.is_cut_off();
            is_live && publisher.number != number && publisher.number != prober
        });
        is_probed
            && publishers.into_iter().all(|publisher| {
                let last = room.last.get(&publisher.number);
                may_miss || last.is_none_or(|last| last + 1 == publisher.rooms[index].seq)
            })
    }
}

impl Cast for Broadcast {
    fn step(&mut self, world: &World) {
        for index in 0..self.subscribers.len() {
            let subscriber = &mut self.subscribers[index];
            let ended = subscriber.step(world.now());
            for room in 0..ROOMS {
                if !subscriber.rooms[room].is_in {
                    self.stretches[room].extend(subscriber.end_stretch(room));
                }
            }
            if let Some(end) = ended {
                self.ended(world, index, end);
            }
        }
    }

    fn calm_down(&mut self, world: &World) {
        for subscriber in &mut self.subscribers {
            subscriber.left = 0;
            subscriber.has_churn = false;
            subscriber.reader.calm_down();
            subscriber.client.set_window(WINDOW_CALM);
        }
        let mut prober = self.enter(&world.net, &world.notes, 0, 1, Some("/"));
        prober.is_prober = true;
        prober.reader = Reader::fast();
        prober.has_churn = false;
        prober.pause_max = PROBE_PAUSE;
        prober.size_max = PROBE_SIZE_MAX;
        self.prober = Some(prober.number);
        self.subscribers.push(prober);
    }

    fn is_settled(&self) -> bool {
        self.subscribers
            .iter()
            .all(|subscriber| self.has_all(subscriber))
    }

    fn missing(&self) -> String {
        let waiting = self
            .subscribers
            .iter()
            .filter(|subscriber| !self.has_all(subscriber));
        let tell = |s: &Subscriber| {
            let rooms = s
                .rooms
                .each_ref()
                .map(|room| (room.is_in, room.seq, room.seen.len()));
            format!(
                "client {} (open: {}, mute: {}, unsent: {}, moving: {:?}, rooms: {rooms:?})",
                s.number,
                s.client.is_open(),
                s.client.is_mute(),
                s.client.unsent(),
                s.moving
            )
        };
        waiting.map(tell).collect::<Vec<_>>().join(", ")
    }

    fn hurry(&mut self) {
        for subscriber in &mut self.subscribers {
            subscriber.left += HURRY_MESSAGES;
            subscriber.pause_max = Duration::from_millis(2);
            subscriber.next_at = Time::ZERO;
        }
    }

    fn leave(&mut self) {
        for subscriber in &mut self.subscribers {
            subscriber.left = 0;
            // One that left in the storm may have been struck by it.
            subscriber.is_answer_due = !std::mem::replace(&mut subscriber.is_leaving, true);
            subscriber.client.close(CloseCode::NORMAL);
        }
    }

    fn is_gone(&self) -> bool {
        let is_gone = |s: &Subscriber| s.client.end().is_some() || s.client.is_deaf();
        self.subscribers.iter().all(is_gone)
    }

    fn drop_all(&mut self) {
        for subscriber in &mut self.subscribers {
            subscriber.is_told = true;
            subscriber.client.reset();
            for (room, stretches) in self.stretches.iter_mut().enumerate() {
                stretches.extend(subscriber.end_stretch(room));
            }
        }
    }

    fn losses(&self) -> &[Loss] {
        &self.losses
    }

    fn verify(&self, end: &Ending<'_>) {
        let may_miss = self.policy != Policy::Disconnect;
        let check =
            |(room, stretches): (usize, &Vec<Stretch>)| ledger::check(room, stretches, may_miss);
        let missing: u64 = self.stretches.iter().enumerate().map(check).sum();
        assert!(
            missing <= end.stats.dropped_publications,
            "{missing} publications are missing, {} were counted as dropped",
            end.stats.dropped_publications
        );
        end.notes.add_many(Event::Skipped, missing);
    }

    fn digest(&self) -> u64 {
        let digests = self
            .subscribers
            .iter()
            .map(|subscriber| subscriber.client.digest());
        digests.fold(self.digest, |sum, digest| sum.rotate_left(7) ^ digest)
    }
}

impl Subscriber {
    /// Takes out what was received of a room so far.
    fn end_stretch(&mut self, room: usize) -> Option<Stretch> {
        let seen = std::mem::take(&mut self.rooms[room].seen);
        (!seen.is_empty()).then_some(Stretch {
            subscriber: self.number,
            seen,
        })
    }

    fn step(&mut self, now: Time) -> Option<End> {
        let read_max = self.reader.read_max(now, &mut self.prng, &self.notes);
        self.client.step(read_max);
        while let Some(received) = self.client.next_received() {
            match received {
                Received::Message(_, payload) => self.received(&payload),
                Received::Pong(_) => panic!("client {} got a pong of no ping", self.number),
            }
        }
        if self.client.end().is_none() && self.client.is_open() && now >= self.next_at {
            self.act();
            let pause = self.prng.below(self.pause_max.as_nanos() as u64 + 1);
            self.next_at = now + Duration::from_nanos(pause);
        }
        self.client.end()
    }

    fn received(&mut self, payload: &[u8]) {
        if let [verb @ (b'S' | b'U'), digit] = payload {
            let room = usize::from(digit - b'0');
            assert_eq!(self.moving.take(), Some(room), "an answer to no question");
            self.rooms[room].is_in = *verb == b'S';
            self.rooms[room].last.clear();
            return;
        }
        let (index, publication) = Publication::parse(payload);
        let room = &mut self.rooms[index];
        assert!(
            room.is_in,
            "client {} got {publication:?} of room {index}, which it is not in",
            self.number
        );
        assert!(
            publication.publisher != self.number || self.has_moved,
            "client {} got its own {publication:?}",
            self.number
        );
        room.last.insert(publication.publisher, publication.seq);
        room.seen.push(publication);
        self.notes.add(Event::Delivered);
    }

    /// Publishes, moves, leaves.
    fn act(&mut self) {
        if self.is_prober {
            if self.client.unsent() == 0 {
                (0..ROOMS).for_each(|room| self.publish(room));
            }
        } else if self.left > 0 {
            self.left -= 1;
            let room = pick(&mut self.prng, &[0, 0, 1, 2]);
            self.publish(room);
        }
        if !self.has_churn || !self.prng.chance(1, 40) {
            return;
        }
        match self.prng.below(4) {
            0 => {
                self.is_leaving = true;
                self.client.close(CloseCode::NORMAL);
                self.notes.add(Event::Left);
            }
            1 => {
                self.is_leaving = true;
                self.client.reset();
                self.notes.add(Event::ClientReset);
            }
            _ if self.moving.is_none() => {
                let room = self.prng.below(ROOMS as u64) as usize;
                let verb = if self.rooms[room].is_in { b'u' } else { b's' };
                self.client
                    .send(Kind::Binary, &[verb, b'0' + room as u8], 1, None);
                self.moving = Some(room);
                self.has_moved = true;
                self.notes.add(Event::Moved);
            }
            _ => {}
        }
    }

    fn publish(&mut self, room: usize) {
        let publication = Publication {
            publisher: self.number,
            seq: self.rooms[room].seq,
        };
        self.rooms[room].seq += 1;
        let payload = publication.payload(room, &mut self.prng, self.size_max);
        let kind = pick(&mut self.prng, &[Kind::Text, Kind::Binary]);
        let pieces = if self.prng.chance(1, 4) {
            2 + self.prng.below(3) as usize
        } else {
            1
        };
        self.client.send(kind, &payload, pieces, None);
    }
}
