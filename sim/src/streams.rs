//! The stream scenario: handlers on all workers write to each other's sessions by UID, while workers stand still,
//! queues are full, connections break and come back in the same slots.
//!
//! ```text
//!   client ─ "go" ─▶ Crowd (handler) ─ write_told(UID of chance, living or dead) ─▶ some worker ─▶ some client
//!                        │ issued, answered                                                          │ received
//!                        └───────────────────────────────▶ Judge ◀──────────────────────────────────┘
//! ```
//!
//! What is promised, and judged: no UID is ever given out twice; no write reaches a stream it was not meant for; what
//! one worker writes to one stream arrives in order, nothing twice; each question is answered; what is told as done
//! arrives while its stream lives; after a shutdown in the midst of it no stream is left.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use hioload::streams::{Event as Life, Reply, StreamError, StreamEvent, StreamUid};
use hioload::{Handler, Message, Session, WorkerContext};
use hioload_base::{Prng, Time};
use hioload_reactor::sim::SimNet;
use hioload_ws::{CloseCode, Kind};

use crate::client::{Client, Received, Wish};
use crate::event::{Event, Notes};
use crate::plan::{Plan, pick};
use crate::proxies;
use crate::world::World;
use crate::{Outcome, quietly};

/// Time moves by at most so much a step.
pub(crate) const STEP: Duration = Duration::from_millis(1);
/// Virtual time in which everything has to be answered and to arrive once the faults have stopped.
pub(crate) const CALM_MAX: Duration = Duration::from_secs(120);
/// Virtual time in which a shutdown has to end.
pub(crate) const SHUTDOWN_MAX: Duration = Duration::from_secs(12);
/// UIDs that handlers choose from: the last so many, of which many are gone.
const KNOWN_MAX: usize = 40;

/// The plan of a seed: that of sessions, with more workers and less room for writes; and whether it is of proxies.
fn draw(prng: &mut Prng) -> (Plan, bool) {
    let mut plan = Plan::draw(prng);
    plan.workers = plan.workers.max(2);
    plan.memory = plan.memory.max(2 << 20);
    let streams = &mut plan.settings.streams;
    streams.foreign_stream = pick(prng, &[300, 4096, 65_536]);
    streams.foreign_worker = pick(prng, &[4096, 1 << 20]);
    streams.idle_timeout = pick(prng, &[Duration::ZERO, Duration::from_secs(2)]);
    let is_of_proxies = prng.chance(1, 2);
    if is_of_proxies {
        plan.settings.streams = proxies::draw(prng);
    }
    (plan, is_of_proxies)
}

/// What a seed draws, for people.
pub(crate) fn describe(seed: u64) -> String {
    let (plan, is_of_proxies) = draw(&mut Prng::new(seed));
    let scenario = if is_of_proxies { "proxies" } else { "writes" };
    format!("{scenario}, {plan}, {:?}", plan.settings.streams)
}

/// Runs one seed to its end, or to the first failed check.
pub(crate) fn run(seed: u64) -> Outcome {
    let mut prng = Prng::new(seed);
    let (plan, is_of_proxies) = draw(&mut prng);
    let net = SimNet::new(prng.next_u64(), plan.network.clone());
    let notes = Notes::default();
    let (stage_net, stage_notes) = (net.clone(), notes.clone());
    let result = quietly(|| {
        if is_of_proxies {
            proxies::play(&plan, stage_net, &stage_notes, &mut prng)
        } else {
            play(&plan, stage_net, &stage_notes, &mut prng)
        }
    });
    Outcome::of(seed, &net, &notes, result)
}

/// A write: to whom, by which worker, which of its writes to that stream.
type Write = (u64, usize, u32);

/// What one worker waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Write(Write),
    Find(u64),
    Close,
}

/// Who knows everything, and says whether it fits.
#[derive(Default)]
struct Judge {
    /// Of each UID ever given out: whose it was.
    owners: BTreeMap<u64, usize>,
    known: Vec<StreamUid>,
    /// Writes by worker and UID so far.
    issued: BTreeMap<(usize, u64), u32>,
    /// Questions that were not answered, by worker and ticket.
    open: BTreeMap<(usize, u64), Asked>,
    done: BTreeSet<Write>,
    received: BTreeSet<Write>,
    ended: BTreeSet<u64>,
    digest: u64,
}

impl Judge {
    fn named(&mut self, uid: StreamUid, client: usize) {
        let before = self.owners.insert(uid.to_u64(), client);
        assert_eq!(before, None, "{uid:?} is given out twice");
        if self.known.len() == KNOWN_MAX {
            self.known.remove(0);
        }
        self.known.push(uid);
    }

    fn arrived(&mut self, client: usize, text: &str) {
        let mut words = text.split(' ');
        let mut number = || words.next().and_then(|word| word.parse::<u64>().ok());
        let (uid, worker, sequence) = (number(), number(), number());
        let (Some(uid), Some(worker), Some(sequence)) = (uid, worker, sequence) else {
            panic!("{text:?} is no write");
        };
        assert_eq!(
            self.owners.get(&uid),
            Some(&client),
            "a write reached the wrong stream"
        );
        let write = (uid, worker as usize, sequence as u32);
        let later = self
            .received
            .range(write..=(uid, worker as usize, u32::MAX))
            .next();
        assert_eq!(later, None, "{write:?} comes twice or too late");
        self.received.insert(write);
        self.digest = (self.digest ^ uid ^ sequence << 7).wrapping_mul(0x0100_0000_01b3);
    }

    fn answered(&mut self, worker: usize, reply: &Reply, notes: &Notes) {
        let asked = self.open.remove(&(worker, reply.ticket().to_bits()));
        let asked = asked.unwrap_or_else(|| panic!("{reply:?} answers nothing"));
        match (asked, reply) {
            (Asked::Write(write), Reply::Done { uid, .. }) => {
                assert_eq!(write.0, uid.to_u64());
                self.done.insert(write);
            }
            (Asked::Find(uid), Reply::Found { info, .. }) => assert_eq!(uid, info.uid.to_u64()),
            (Asked::Close, Reply::Done { .. }) => {}
            (_, Reply::Refused { .. }) => notes.add(Event::WriteRefused),
            (asked, reply) => panic!("{asked:?} is answered by {reply:?}"),
        }
    }
}

/// The handler on each worker.
struct Crowd {
    judge: Rc<RefCell<Judge>>,
    prng: Prng,
    notes: Notes,
    size_max: u64,
}

impl Crowd {
    fn act(&mut self, session: &mut Session<'_>, worker: usize) {
        let known = self.judge.borrow().known.len() as u64;
        if known == 0 {
            return;
        }
        let uid = self.judge.borrow().known[self.prng.below(known) as usize];
        let bits = uid.to_u64();
        let (asked, answer) = match self.prng.below(40) {
            0 => (Asked::Close, session.streams().close(uid)),
            1..=3 => (Asked::Find(bits), session.streams().find(uid)),
            _ => {
                let next = self.judge.borrow().issued.get(&(worker, bits)).copied();
                let write = (bits, worker, next.unwrap_or(0));
                let padding = "x".repeat(self.prng.below(self.size_max) as usize);
                let text = format!("{bits} {worker} {} {padding}", write.2);
                let answer = session.streams().write_told(uid, Message::text(&text));
                if answer.is_ok() {
                    self.judge
                        .borrow_mut()
                        .issued
                        .insert((worker, bits), write.2 + 1);
                    self.notes.add(Event::Written);
                }
                (Asked::Write(write), answer)
            }
        };
        match answer {
            Ok(ticket) => {
                let key = (worker, ticket.to_bits());
                let before = self.judge.borrow_mut().open.insert(key, asked);
                assert_eq!(before, None, "a ticket is given out twice");
            }
            Err(StreamError::Busy | StreamError::NoMemory) => self.notes.add(Event::WriteBusy),
            Err(error) => panic!("{asked:?}: {error}"),
        }
    }
}

impl Handler for Crowd {
    fn open(&mut self, session: &mut Session<'_>) {
        let client = session.path()[1..]
            .parse()
            .expect("clients say who they are");
        let uid = session.uid().expect("there is room");
        self.judge.borrow_mut().named(uid, client);
        if self.prng.chance(1, 8) {
            assert_eq!(session.detach(), Ok(uid));
        }
    }

    fn message(&mut self, session: &mut Session<'_>, _: Message<'_>) {
        let worker = usize::from(session.uid().expect("it has one").worker());
        for _ in 0..self.prng.below(12) {
            self.act(session, worker);
        }
    }

    fn stream(&mut self, worker: &mut WorkerContext<'_>, event: &StreamEvent) {
        match event {
            StreamEvent::Answer(reply) => {
                self.judge
                    .borrow_mut()
                    .answered(worker.index(), reply, &self.notes);
            }
            StreamEvent::Life(Life::Destroyed(info, _)) => {
                let is_first = self.judge.borrow_mut().ended.insert(info.uid.to_u64());
                assert!(is_first, "{:?} ends twice", info.uid);
            }
            StreamEvent::Life(_) => {}
        }
    }
}

/// A client, one connection after the other.
struct Peer {
    client: Client,
    number: usize,
    next_at: Time,
    read_max: usize,
}

struct Peers {
    all: Vec<Peer>,
    /// Connections so far.
    count: usize,
    judge: Rc<RefCell<Judge>>,
    notes: Notes,
    prng: Prng,
}

impl Peers {
    fn connect(&mut self, net: &SimNet) -> Peer {
        let number = self.count;
        self.count += 1;
        let wish = Wish {
            path: format!("/{number}"),
            deflate: None,
        };
        let (name, prng) = (format!("client {number}"), self.prng.fork());
        let addr = World::addr();
        Peer {
            client: Client::connect(name, net, addr, wish, prng, self.notes.clone()),
            number,
            next_at: net.now(),
            read_max: pick(&mut self.prng, &[1 << 16, 1 << 16, 200, 20]),
        }
    }

    fn step(&mut self, net: &SimNet, is_storm: bool) {
        for place in 0..self.all.len() {
            if is_storm && self.all[place].client.end().is_some() {
                self.all[place] = self.connect(net);
                self.notes.add(Event::CameBack);
            }
            let peer = &mut self.all[place];
            peer.client
                .step(if is_storm { peer.read_max } else { 1 << 16 });
            while let Some(received) = peer.client.next_received() {
                if let Received::Message(_, payload) = received {
                    let text = std::str::from_utf8(&payload).expect("texts are UTF-8");
                    self.judge.borrow_mut().arrived(peer.number, text);
                    self.notes.add(Event::Delivered);
                }
            }
            if is_storm && net.now() >= peer.next_at && peer.client.is_open() {
                peer.next_at = net.now() + Duration::from_millis(self.prng.below(60));
                match self.prng.below(60) {
                    0 => {
                        peer.client.reset();
                        self.notes.add(Event::ClientReset);
                    }
                    1 => {
                        peer.client.close(CloseCode::NORMAL);
                        self.notes.add(Event::Left);
                    }
                    _ => peer.client.send(Kind::Text, b"go", 1, None),
                }
            }
        }
    }

    /// Of those whose client still hears, everything that was told as done has come.
    fn missing(&self) -> Option<Write> {
        let judge = self.judge.borrow();
        let hears = |number: usize| {
            let mut peers = self.all.iter();
            peers.any(|peer| {
                peer.number == number && peer.client.is_open() && !peer.client.is_cut_off()
            })
        };
        let mut missing = judge.done.difference(&judge.received);
        missing
            .find(|write| !judge.ended.contains(&write.0) && hears(judge.owners[&write.0]))
            .copied()
    }
}

fn play(plan: &Plan, net: SimNet, notes: &Notes, prng: &mut Prng) -> u64 {
    let judge = Rc::new(RefCell::new(Judge::default()));
    let seeds = prng.next_u64();
    let make_handler = |worker: usize| -> Box<dyn Handler> {
        Box::new(Crowd {
            judge: Rc::clone(&judge),
            prng: Prng::new(seeds ^ worker as u64),
            notes: notes.clone(),
            size_max: 1 + plan.message_size_max.min(3000) as u64,
        })
    };
    let mut world = World::new(plan, net, notes.clone(), prng, &make_handler);
    let mut peers = Peers {
        all: Vec::new(),
        count: 0,
        judge: Rc::clone(&judge),
        notes: notes.clone(),
        prng: prng.fork(),
    };
    for _ in 0..plan.clients.min(12) {
        let peer = peers.connect(&world.net);
        peers.all.push(peer);
    }
    while world.now() < Time::ZERO + plan.storm {
        world.step(STEP);
        peers.step(&world.net, true);
    }
    if !plan.shutdown_busy {
        world.heal();
        let deadline = world.now() + CALM_MAX;
        while !judge.borrow().open.is_empty() || peers.missing().is_some() {
            let open = judge.borrow().open.len();
            assert!(
                world.now() < deadline,
                "{open} questions open, missing {:?}",
                peers.missing()
            );
            world.step(STEP);
            peers.step(&world.net, false);
        }
    }
    world.shutdown();
    let deadline = world.now() + SHUTDOWN_MAX;
    while !world.is_over() {
        assert!(world.now() < deadline, "the workers do not end");
        world.step(STEP);
        peers.step(&world.net, false);
    }
    notes.add_many(Event::MailboxFull, world.stats().mailbox_full);
    notes.add_many(Event::Held, world.stats().held);
    let judge = judge.borrow();
    let left = judge
        .owners
        .keys()
        .filter(|uid| !judge.ended.contains(uid))
        .count();
    if !plan.shutdown_busy {
        assert_eq!(left, 0, "streams outlive the shutdown");
    }
    judge.digest
}
