//! The proxy scenario: sessions joined, adopted, let go and with channels shut by handlers of whichever worker, while
//! workers stand still, queues are full, and connections break on either side.
//!
//! ```text
//!   director ─ "go" ─▶ Yard (handler) ─ proxy, attach, detach, set_channel, close (UIDs of chance) ─▶ some worker
//!                                                                                                      │
//!   talker ─ numbered messages ─▶ its session ─┬─ not joined ─▶ Yard::message ─┐                       ▼
//!                                              └─ joined ─▶ the other talker ──┴─▶ Judge ◀── answers, lives
//! ```
//!
//! What is promised, and judged: what a talker sends arrives in order, nothing twice, first at the handler and then at
//! the one session it was joined to; nothing is left out but what comes on a channel that is shut, or behind the
//! last that arrives when a session ends; a channel that was told as shut lets nothing through, one told as open
//! everything; each question is answered; a stream is adopted only when it is nobody's, and ends with whoever adopted
//! it; sessions that are joined end together, and one that could not be joined both ways ends alone; streams born are streams ended, and none outlives a shutdown.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use hioload::streams::{
    End as StreamEnd, Event as Life, Refusal, Reply, StreamError, StreamEvent, StreamSettings,
    StreamUid,
};
use hioload::{Handler, Message, Session, WorkerContext};
use hioload_base::{Prng, Time};
use hioload_reactor::sim::SimNet;
use hioload_ws::{CloseCode, Kind};

use crate::client::{Client, Received, Wish};
use crate::event::{Event, Notes};
use crate::plan::{Plan, pick};
use crate::streams::{CALM_MAX, SHUTDOWN_MAX, STEP};
use crate::world::World;

/// The channel that is always let through, and the one that is not.
const OPEN: u8 = 1;
const GATED: u8 = 2;
/// Bytes of a message before its filler: channel, talker, number.
const HEAD_SIZE: usize = 1 + 4 + 4;
/// Talkers among which handlers choose: the last so many, of which some are gone.
const KNOWN_MAX: usize = 16;

/// What one worker waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Join { from: usize, to: usize, half: Half },
    Attach { owner: u64, uid: u64 },
    Gate { of: usize, is_open: bool },
    Other,
}

/// Of a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Half {
    /// The ticket of the other.
    First { second: u64 },
    /// The other is there.
    Second { has_first: bool },
}

/// Whether a channel lets through, as far as was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gate {
    Open,
    Shut,
    /// A question is under way.
    Unknown,
}

/// Where a message arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Handler,
    Client(usize),
}

/// What is known of one talker.
struct Talk {
    uid: StreamUid,
    has_channels: bool,
    gate: Gate,
    /// Changes of the gate that were asked for.
    gate_epoch: u32,
    /// Of each message: its channel, and the gate when it was sent.
    sent: Vec<(u8, Gate, u32)>,
    /// Messages before this number have arrived, or never will.
    next: usize,
    place: Place,
    /// Whom it may be joined to, and whom it is.
    asked: BTreeSet<usize>,
    joined: Option<usize>,
    /// Whom it was joined to would not be joined to it.
    is_alone: bool,
}

/// What is known of one stream.
#[derive(Default)]
struct Stream {
    is_autonomous: bool,
    owner: Option<u64>,
    was_adopted: bool,
    has_ended: bool,
}

/// Who knows everything, and says whether it fits.
#[derive(Default)]
struct Judge {
    talks: BTreeMap<usize, Talk>,
    known: Vec<usize>,
    streams: BTreeMap<u64, Stream>,
    open: BTreeMap<(usize, u64), Asked>,
    /// Messages that were left out, as a channel was shut.
    left_out: u64,
    digest: u64,
}

impl Judge {
    fn opened(&mut self, number: usize, uid: StreamUid, has_channels: bool) {
        let talk = Talk {
            uid,
            has_channels,
            gate: Gate::Open,
            gate_epoch: 0,
            sent: Vec::new(),
            next: 0,
            place: Place::Handler,
            asked: BTreeSet::new(),
            joined: None,
            is_alone: false,
        };
        assert!(self.talks.insert(number, talk).is_none());
        if self.known.len() == KNOWN_MAX {
            self.known.remove(0);
        }
        self.known.push(number);
    }

    /// The next message of a talker, as it is now.
    fn compose(&mut self, number: usize, size: usize, channel: u8) -> Vec<u8> {
        let talk = self.talks.get_mut(&number).expect("it is open");
        let sequence = talk.sent.len() as u32;
        talk.sent.push((channel, talk.gate, talk.gate_epoch));
        let mut payload = vec![channel];
        payload.extend((number as u32).to_be_bytes());
        payload.extend(sequence.to_be_bytes());
        payload.extend((0..size).map(|place| filler(number, sequence, place)));
        payload
    }

    fn arrived(&mut self, place: Place, payload: &[u8]) -> usize {
        let (head, rest) = payload.split_at(HEAD_SIZE);
        let number = |at: usize| u32::from_be_bytes([0, 1, 2, 3].map(|byte| head[at + byte]));
        let (from, sequence) = (number(1) as usize, number(5));
        let mut bytes = rest.iter().enumerate();
        let is_whole = bytes.all(|(place, byte)| *byte == filler(from, sequence, place));
        assert!(is_whole, "{sequence} of {from} is damaged");
        let talk = self.talks.get_mut(&from).expect("it is open");
        let number = sequence as usize;
        let (channel, gate, epoch) = talk.sent[number];
        assert_eq!(head[0], channel);
        assert!(number >= talk.next, "{number} of {from} twice or too late");
        for skipped in talk.next..number {
            let (channel, gate, epoch) = talk.sent[skipped];
            let is_told_open = gate == Gate::Open && epoch == talk.gate_epoch;
            let may_miss = talk.has_channels && channel == GATED && !is_told_open;
            assert!(may_miss, "{skipped} of {from} is lost before {number}");
            self.left_out += 1;
        }
        if channel == GATED {
            let is_told_shut = gate == Gate::Shut && epoch == talk.gate_epoch
                || talk.gate == Gate::Shut && place == Place::Handler;
            assert!(!is_told_shut, "{number} of {from} passes a channel shut");
        }
        match (talk.place, place) {
            (before, now) if before == now => {}
            (Place::Handler, Place::Client(to)) if talk.asked.contains(&to) => talk.place = place,
            (before, now) => panic!("{number} of {from} at {now:?}, after {before:?}"),
        }
        talk.next = number + 1;
        self.digest = (self.digest ^ (from as u64) ^ u64::from(sequence) << 20)
            .wrapping_mul(0x0100_0000_01b3);
        from
    }

    fn answered(&mut self, worker: usize, reply: &Reply, notes: &Notes) {
        let ticket = reply.ticket();
        if !ticket.wants_answer() {
            // The end of an owner, or of one that is joined, comes too late.
            let is_gone = matches!(reply, Reply::Refused { why, .. } if *why == Refusal::Gone);
            return assert!(is_gone, "{reply:?}");
        }
        let asked = self.open.remove(&(worker, ticket.to_bits()));
        let asked = asked.unwrap_or_else(|| panic!("{reply:?} answers nothing"));
        let refusal = match reply {
            Reply::Refused { why, .. } => Some(*why),
            Reply::Done { .. } | Reply::Found { .. } => None,
        };
        match (asked, refusal) {
            (Asked::Join { from, to, half }, None) => {
                let talk = self.talks.get_mut(&from).expect("it is open");
                assert_eq!(talk.joined.replace(to), None, "{from} is joined twice");
                notes.add(Event::Joined);
                match half {
                    Half::First { second } => {
                        let asked = self.open.get_mut(&(worker, second));
                        let Some(Asked::Join { half, .. }) = asked else {
                            panic!("the second half is answered before the first");
                        };
                        *half = Half::Second { has_first: true };
                    }
                    Half::Second { has_first } => assert!(has_first, "{from} is half a proxy"),
                }
            }
            (Asked::Join { to, half, .. }, Some(why @ (Refusal::Taken | Refusal::Gone))) => {
                if why == Refusal::Taken {
                    notes.add(Event::JoinRefused);
                }
                if half == (Half::Second { has_first: true }) {
                    let first = self.talks.get_mut(&to).expect("it is open");
                    (first.joined, first.is_alone) = (None, true);
                    notes.add(Event::HalfRefused);
                }
            }
            (Asked::Attach { owner, uid }, None) => {
                let stream = &self.streams[&uid];
                let is_its = stream.owner == Some(owner) || stream.has_ended;
                // It may have been let go again since.
                assert!(is_its || stream.is_autonomous || stream.owner.is_some());
                notes.add(Event::Adopted);
            }
            (Asked::Attach { .. }, Some(Refusal::Taken)) => notes.add(Event::AdoptRefused),
            (Asked::Gate { of, is_open }, _) => {
                let talk = self.talks.get_mut(&of).expect("it is open");
                talk.gate = match refusal {
                    None if is_open => Gate::Open,
                    None => Gate::Shut,
                    // As it was, and that was not told; without channels everything passes.
                    Some(_) if talk.has_channels => Gate::Unknown,
                    Some(_) => Gate::Open,
                };
                let is_fit = match refusal {
                    None => talk.has_channels,
                    Some(Refusal::NoChannel) => !talk.has_channels,
                    Some(why) => why == Refusal::Gone,
                };
                assert!(is_fit, "{asked:?} is answered by {reply:?}");
            }
            (_, None | Some(Refusal::Gone | Refusal::Full)) => {}
            (asked, refusal) => panic!("{asked:?} is refused: {refusal:?}"),
        }
    }

    fn lived(&mut self, life: &Life, notes: &Notes) {
        let info = life.info();
        let stream = self.streams.entry(info.uid.to_u64()).or_default();
        assert!(!stream.has_ended, "{:?} after its end", info.uid);
        match life {
            Life::Created(_) => {}
            Life::Detached(_) => {
                assert!(!stream.is_autonomous);
                (stream.is_autonomous, stream.owner) = (true, None);
            }
            Life::Attached(info) => {
                assert!(stream.is_autonomous, "{:?} was somebody's", info.uid);
                (stream.is_autonomous, stream.was_adopted) = (false, true);
                stream.owner = info.owner.map(StreamUid::to_u64);
            }
            Life::Destroyed(info, end) => {
                assert_eq!(info.is_autonomous, stream.is_autonomous);
                assert_eq!(info.owner.map(StreamUid::to_u64), stream.owner);
                stream.has_ended = true;
                if *end == StreamEnd::Owner {
                    // Who lets it go behind the end of its owner is too late.
                    assert!(stream.was_adopted, "it ends with nobody");
                    notes.add(Event::OwnerEnded);
                }
            }
        }
    }

    fn has_ended(&self, uid: StreamUid) -> bool {
        let stream = self.streams.get(&uid.to_u64());
        stream.is_some_and(|stream| stream.has_ended)
    }

    /// A stream that goes on though its owner, or the one it is joined to, has ended, or would not be joined to it.
    fn orphan(&self) -> Option<u64> {
        let has_ended = |uid: &u64| self.streams.get(uid).is_some_and(|stream| stream.has_ended);
        let mut streams = self.streams.iter().filter(|(_, stream)| !stream.has_ended);
        let adopted = streams.find(|(_, stream)| stream.owner.as_ref().is_some_and(has_ended));
        let left = adopted.map(|(uid, _)| *uid);
        let mut talks = self.talks.values();
        let alone = talks.find(|talk| talk.is_alone && !self.has_ended(talk.uid));
        let left = left.or_else(|| alone.map(|talk| talk.uid.to_u64()));
        left.or_else(|| {
            let mut ended = self.talks.values().filter(|talk| self.has_ended(talk.uid));
            ended.find_map(|talk| {
                let other = &self.talks[&talk.joined?];
                (!self.has_ended(other.uid)).then(|| other.uid.to_u64())
            })
        })
    }

    /// The first message of this talker that is still due.
    fn due(&self, talk: &Talk) -> Option<usize> {
        (talk.next..talk.sent.len()).find(|number| {
            let (channel, gate, epoch) = talk.sent[*number];
            let is_told_open = gate == Gate::Open && epoch == talk.gate_epoch;
            !talk.has_channels || channel == OPEN || is_told_open
        })
    }
}

fn filler(number: usize, sequence: u32, place: usize) -> u8 {
    (number * 31 + sequence as usize * 7 + place) as u8
}

/// The handler on each worker.
struct Yard {
    judge: Rc<RefCell<Judge>>,
    prng: Prng,
    notes: Notes,
}

impl Yard {
    fn known(&mut self) -> Option<usize> {
        let judge = self.judge.borrow();
        let count = judge.known.len() as u64;
        (count > 0).then(|| judge.known[self.prng.below(count) as usize])
    }

    fn act(&mut self, session: &mut Session<'_>) {
        let own = session.uid().expect("it has one");
        let (Some(one), Some(two)) = (self.known(), self.known()) else {
            return;
        };
        let uid_of = |number| self.judge.borrow().talks[&number].uid;
        let (uid, other) = (uid_of(one), uid_of(two));
        let asked = match self.prng.below(40) {
            0 => session
                .streams()
                .close(uid)
                .map(|ticket| (ticket, Asked::Other)),
            1..=5 if one != two => return self.join(session, (one, uid), (two, other)),
            6..=14 => {
                let asked = session.streams().detach(uid);
                asked.map(|ticket| (ticket, Asked::Other))
            }
            15..=24 => {
                let (owner, adopted) = (own.to_u64(), uid.to_u64());
                // Some ask again before they are answered.
                let is_again = self.prng.chance(1, 3);
                if is_again {
                    let asked = session.streams().attach(own, uid);
                    let asked = asked.map(|ticket| {
                        (
                            ticket,
                            Asked::Attach {
                                owner,
                                uid: adopted,
                            },
                        )
                    });
                    self.note(own, asked);
                }
                let asked = session.streams().attach(own, uid);
                asked.map(|ticket| {
                    (
                        ticket,
                        Asked::Attach {
                            owner,
                            uid: adopted,
                        },
                    )
                })
            }
            25..=35 => return self.turn_gate(session, one, uid),
            _ => session
                .streams()
                .find(uid)
                .map(|ticket| (ticket, Asked::Other)),
        };
        self.note(own, asked);
    }

    fn note(&self, own: StreamUid, asked: Result<(hioload::streams::Ticket, Asked), StreamError>) {
        match asked {
            Ok((ticket, asked)) => {
                let key = (usize::from(own.worker()), ticket.to_bits());
                let before = self.judge.borrow_mut().open.insert(key, asked);
                assert_eq!(before, None, "a ticket is given out twice");
            }
            Err(StreamError::Busy) => self.notes.add(Event::WriteBusy),
            // Each has only so many, and its own session may be about to end.
            Err(StreamError::TooMany | StreamError::Refused(Refusal::Gone)) => {}
            Err(error) => panic!("{error}"),
        }
    }

    fn join(
        &mut self,
        session: &mut Session<'_>,
        (one, uid): (usize, StreamUid),
        (two, other): (usize, StreamUid),
    ) {
        let own = session.uid().expect("it has one");
        match session.streams().proxy(uid, other) {
            Ok([first, second]) => {
                let halves = [
                    Half::First {
                        second: second.to_bits(),
                    },
                    Half::Second { has_first: false },
                ];
                let ways = [(one, two, first), (two, one, second)];
                for ((from, to, ticket), half) in ways.into_iter().zip(halves) {
                    let mut judge = self.judge.borrow_mut();
                    let talk = judge.talks.get_mut(&from).expect("it is open");
                    talk.asked.insert(to);
                    drop(judge);
                    self.note(own, Ok((ticket, Asked::Join { from, to, half })));
                }
            }
            Err(error) => self.note(own, Err(error)),
        }
    }

    /// One question at a time for each channel: of two, nobody could say which came last.
    fn turn_gate(&mut self, session: &mut Session<'_>, of: usize, uid: StreamUid) {
        let own = session.uid().expect("it has one");
        let is_open = self.prng.chance(1, 2);
        let mut judge = self.judge.borrow_mut();
        let mut open = judge.open.values();
        if open.any(|asked| matches!(asked, Asked::Gate { of: other, .. } if *other == of)) {
            return;
        }
        let asked = session.streams().set_channel(uid, GATED, is_open);
        if asked.is_ok() {
            let talk = judge.talks.get_mut(&of).expect("it is open");
            (talk.gate, talk.gate_epoch) = (Gate::Unknown, talk.gate_epoch + 1);
        }
        drop(judge);
        let asked = asked.map(|ticket| (ticket, Asked::Gate { of, is_open }));
        self.note(own, asked);
    }
}

fn number_of(session: &Session<'_>) -> usize {
    let number = session.path()[2..].parse();
    number.expect("clients say who they are")
}

impl Handler for Yard {
    fn open(&mut self, session: &mut Session<'_>) {
        let (number, uid) = (number_of(session), session.uid().expect("there is room"));
        if session.path().starts_with("/d") {
            return;
        }
        let has_channels = self.prng.chance(1, 2);
        if has_channels {
            for channel in [OPEN, GATED] {
                let added = session.streams().add_channel(uid, channel, 7);
                assert_eq!(added, Ok(()));
            }
        }
        self.judge.borrow_mut().opened(number, uid, has_channels);
        if self.prng.chance(1, 2) {
            assert_eq!(session.detach(), Ok(uid));
        }
    }

    fn message(&mut self, session: &mut Session<'_>, message: Message<'_>) {
        if message.kind == Kind::Binary {
            let mut judge = self.judge.borrow_mut();
            let from = judge.arrived(Place::Handler, message.payload);
            return assert_eq!(from, number_of(session), "it is another's");
        }
        for _ in 0..self.prng.below(4) {
            self.act(session);
        }
        // What it asked for is answered when it is no more.
        if self.prng.chance(1, 40) {
            session.close(CloseCode::NORMAL, "");
        }
    }

    fn stream(&mut self, worker: &mut WorkerContext<'_>, event: &StreamEvent) {
        let mut judge = self.judge.borrow_mut();
        match event {
            StreamEvent::Answer(reply) => judge.answered(worker.index(), reply, &self.notes),
            StreamEvent::Life(life) => judge.lived(life, &self.notes),
        }
    }
}

/// A client, one connection after the other.
struct Peer {
    client: Client,
    number: usize,
    is_director: bool,
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
    size_max: usize,
}

impl Peers {
    fn connect(&mut self, net: &SimNet, is_director: bool) -> Peer {
        let number = self.count;
        self.count += 1;
        let letter = if is_director { 'd' } else { 't' };
        let wish = Wish {
            path: format!("/{letter}{number}"),
            deflate: None,
        };
        let (name, prng) = (format!("client {number}"), self.prng.fork());
        let addr = World::addr();
        Peer {
            client: Client::connect(name, net, addr, wish, prng, self.notes.clone()),
            number,
            is_director,
            next_at: net.now(),
            read_max: pick(&mut self.prng, &[1 << 16, 1 << 16, 200, 20]),
        }
    }

    fn step(&mut self, net: &SimNet, is_storm: bool) {
        for place in 0..self.all.len() {
            if is_storm && self.all[place].client.end().is_some() {
                let is_director = self.all[place].is_director;
                self.all[place] = self.connect(net, is_director);
                self.notes.add(Event::CameBack);
            }
            let peer = &mut self.all[place];
            peer.client
                .step(if is_storm { peer.read_max } else { 1 << 16 });
            while let Some(received) = peer.client.next_received() {
                if let Received::Message(kind, payload) = received {
                    assert_eq!((kind, peer.is_director), (Kind::Binary, false));
                    let place = Place::Client(peer.number);
                    self.judge.borrow_mut().arrived(place, &payload);
                    self.notes.add(Event::Delivered);
                }
            }
            if is_storm && net.now() >= peer.next_at && peer.client.is_open() {
                let pause = if peer.is_director { 60 } else { 15 };
                peer.next_at = net.now() + Duration::from_millis(self.prng.below(pause));
                self.act(place);
            }
        }
    }

    fn act(&mut self, place: usize) {
        let peer = &mut self.all[place];
        match self.prng.below(150) {
            0 => {
                peer.client.reset();
                self.notes.add(Event::ClientReset);
            }
            1 => {
                peer.client.close(CloseCode::NORMAL);
                self.notes.add(Event::Left);
            }
            _ if peer.is_director => peer.client.send(Kind::Text, b"go", 1, None),
            // What it cannot send now it would only pile up.
            _ if peer.client.unsent() > 10_000 => {}
            _ => {
                for _ in 0..self.prng.below(6) {
                    let channel = pick(&mut self.prng, &[OPEN, OPEN, GATED]);
                    let size = crate::plan::size(&mut self.prng, self.size_max);
                    let mut judge = self.judge.borrow_mut();
                    let payload = judge.compose(peer.number, size, channel);
                    peer.client.send(Kind::Binary, &payload, 1, None);
                }
            }
        }
    }

    /// What is still due: messages of those that are whole, and ends of those that have nobody.
    fn is_due(&self) -> Option<String> {
        let judge = self.judge.borrow();
        if !judge.open.is_empty() {
            return Some(format!("{} questions", judge.open.len()));
        }
        if let Some(uid) = judge.orphan() {
            return Some(format!("the end of {uid:x}"));
        }
        let hears = |number: usize| {
            let mut peers = self.all.iter();
            peers.any(|peer| {
                peer.number == number && peer.client.is_open() && !peer.client.is_cut_off()
            })
        };
        judge.talks.iter().find_map(|(number, talk)| {
            let hears_all = hears(*number) && talk.joined.is_none_or(hears);
            let lives = !judge.has_ended(talk.uid) && hears_all;
            let due = judge.due(talk).filter(|_| lives);
            due.map(|due| format!("{due} of {number}, joined {:?}", talk.joined))
        })
    }
}

/// Limits of streams: what may wait for one may be less than windows of proxies, and less than one message.
pub(crate) fn draw(prng: &mut Prng) -> StreamSettings {
    StreamSettings {
        proxy_window: pick(prng, &[1, 1000, 128 << 10]),
        foreign_stream: pick(prng, &[300, 4096, 256 << 10]),
        foreign_worker: pick(prng, &[2000, 64 << 10, 64 << 20]),
        idle_timeout: pick(prng, &[Duration::ZERO, Duration::from_secs(2)]),
        ..StreamSettings::default()
    }
}

/// Plays the scenario to its end, or to the first failed check.
pub(crate) fn play(plan: &Plan, net: SimNet, notes: &Notes, prng: &mut Prng) -> u64 {
    let judge = Rc::new(RefCell::new(Judge::default()));
    let seeds = prng.next_u64();
    let make_handler = |worker: usize| -> Box<dyn Handler> {
        Box::new(Yard {
            judge: Rc::clone(&judge),
            prng: Prng::new(seeds ^ worker as u64),
            notes: notes.clone(),
        })
    };
    let mut world = World::new(plan, net, notes.clone(), prng, &make_handler);
    let mut peers = Peers {
        all: Vec::new(),
        count: 0,
        judge: Rc::clone(&judge),
        notes: notes.clone(),
        prng: prng.fork(),
        size_max: plan.message_size_max.min(3000),
    };
    for place in 0..plan.clients.clamp(4, 12) {
        let peer = peers.connect(&world.net, place % 4 == 0);
        peers.all.push(peer);
    }
    while world.now() < Time::ZERO + plan.storm {
        world.step(STEP);
        peers.step(&world.net, true);
    }
    if !plan.shutdown_busy {
        world.heal();
        let deadline = world.now() + CALM_MAX;
        while let Some(due) = peers.is_due() {
            assert!(world.now() < deadline, "{due} is still due");
            world.step(STEP);
            peers.step(&world.net, false);
        }
        let drops = world.stats().stream_channel_drops;
        notes.add_many(Event::ChannelShut, drops);
        let left_out = judge.borrow().left_out;
        assert!(
            left_out <= drops,
            "{left_out} are missing, {drops} were dropped"
        );
    }
    world.shutdown();
    let deadline = world.now() + SHUTDOWN_MAX;
    while !world.is_over() {
        assert!(world.now() < deadline, "the workers do not end");
        world.step(STEP);
        peers.step(&world.net, false);
    }
    let stats = world.stats();
    notes.add_many(Event::MailboxFull, stats.mailbox_full);
    notes.add_many(Event::Held, stats.held);
    let judge = judge.borrow();
    if !plan.shutdown_busy {
        let left = judge.streams.values().filter(|stream| !stream.has_ended);
        assert_eq!(left.count(), 0, "streams outlive the shutdown");
        let born = judge.streams.len() as u64;
        assert_eq!(
            (stats.streams_created, stats.streams_destroyed),
            (born, born)
        );
        assert_eq!((stats.streams, stats.streams_autonomous), (0, 0));
    }
    judge.digest
}
