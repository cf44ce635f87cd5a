//! History: who comes back gets what was missed, once and in order, or is told what is gone.
//!
//! | text message | what the server does |
//! |---|---|
//! | `+room` | subscribes |
//! | `>room epoch offset` | subscribes since a place |
//! | `-room` | unsubscribes |
//! | `?` | answers `!` and the number of its worker |
//! | anything binary | publishes it to the room of the path |
//!
//! `/since/room/epoch/offset` subscribes by itself. What is told comes as `= room …`, `gap room …`.
//! Publications are numbered from 1 like offsets.

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use hioload::{
    ChannelRule, DriverChoice, Gap, Handler, Message, Recovered, Recovery, Session, Settings,
    Since, SubscribeError,
};
use hioload_e2e::{Opcode, Running, Wire, frame_bytes, request};
use hioload_live::{HistoryConfig, Policy, owner_of};

use crate::kit::{numbers, publication};

struct Rooms;

fn place(epoch: &str, offset: &str) -> Since {
    let number = |text: &str| text.parse().expect("a number");
    Since {
        epoch: number(epoch),
        offset: number(offset),
    }
}

impl Rooms {
    fn answer(session: &mut Session<'_>, text: &str) {
        session
            .send(Message::text(text))
            .expect("room for an answer");
    }

    fn obey(
        session: &mut Session<'_>,
        command: &str,
        words: &[&str],
    ) -> Result<(), SubscribeError> {
        match (command, words) {
            ("+", [room]) => session.subscribe(room),
            (">", [room, epoch, offset]) => session.subscribe_since(room, place(epoch, offset)),
            ("-", [room]) => {
                assert!(session.unsubscribe(room), "it was subscribed");
                assert!(!session.unsubscribe("nowhere"));
                Ok(())
            }
            _ => panic!("{command}{words:?}"),
        }
    }
}

impl Handler for Rooms {
    fn open(&mut self, session: &mut Session<'_>) {
        let path = session.path().to_owned();
        if let ["since", room, epoch, offset] = path.split('/').skip(1).collect::<Vec<_>>()[..] {
            session
                .subscribe_since(room, place(epoch, offset))
                .expect("room for one more");
        }
    }

    fn message(&mut self, session: &mut Session<'_>, message: Message<'_>) {
        let Some(text) = message.as_text() else {
            let room = session
                .path()
                .rsplit('/')
                .next()
                .expect("a part")
                .to_owned();
            return session
                .publish(&room, message)
                .expect("a publication that fits");
        };
        if text == "?" {
            let worker = session.id().to_string();
            let worker = worker.split('-').next().expect("a part");
            return Self::answer(session, &format!("!{worker}"));
        }
        let (command, rest) = text.split_at(1);
        let words: Vec<&str> = rest.split(' ').collect();
        if let Err(error) = Self::obey(session, command, &words) {
            Self::answer(session, &format!("error {error:?}"));
        }
    }

    fn recovered(&mut self, session: &mut Session<'_>, channel: &str, recovery: Recovery) {
        let Recovery {
            epoch,
            offset,
            first,
            outcome,
        } = recovery;
        assert_eq!(
            recovery.position(),
            Since {
                epoch,
                offset: first - 1
            }
        );
        Self::answer(
            session,
            &format!("= {channel} {epoch} {offset} {first} {outcome:?}"),
        );
    }

    fn skipped(&mut self, session: &mut Session<'_>, channel: &str, gap: Gap) {
        let Gap {
            from,
            to,
            publications,
        } = gap;
        Self::answer(
            session,
            &format!("gap {channel} {from} {to} {publications}"),
        );
    }
}

fn settings(count: u64) -> Settings {
    let mut settings = Running::settings();
    settings.channel.budget = 8 << 20;
    let (size, age) = (8 << 20, Duration::from_secs(60));
    settings.channel.history = HistoryConfig { count, size, age };
    settings
}

fn start(driver: DriverChoice, workers: usize, settings: Settings) -> Running {
    Running::start(
        Running::builder(driver, workers)
            .settings(settings)
            .handler(|_| Rooms),
    )
}

/// What a session was told about where it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Told {
    epoch: u64,
    offset: u64,
    first: u64,
}

/// The next text.
#[track_caller]
fn text(wire: &mut Wire) -> String {
    let frame = wire.next();
    assert_eq!(
        frame.opcode(),
        Opcode::Text as u8,
        "{:?}",
        frame.payload.first_chunk::<8>()
    );
    String::from_utf8(frame.payload).expect("text")
}

#[track_caller]
fn say(wire: &mut Wire, text: &str) {
    wire.frame(Opcode::Text, text.as_bytes());
}

fn parse(text: &str, room: &str, outcome: Recovered) -> Told {
    let words: Vec<&str> = text.splitn(6, ' ').collect();
    let ["=", channel, epoch, offset, first, what] = words[..] else {
        panic!("{text}")
    };
    assert_eq!((channel, what), (room, &*format!("{outcome:?}")), "{text}");
    let number = |text: &str| text.parse().expect("a number");
    Told {
        epoch: number(epoch),
        offset: number(offset),
        first: number(first),
    }
}

/// What the session is told before anything else comes.
#[track_caller]
fn told(wire: &mut Wire, room: &str, outcome: Recovered) -> Told {
    parse(&text(wire), room, outcome)
}

/// Publications with these numbers come next, and nothing else.
#[track_caller]
fn expect(wire: &mut Wire, all: std::ops::RangeInclusive<u64>) {
    for number in all {
        let frame = wire.next();
        assert_eq!(frame.opcode(), Opcode::Binary as u8, "instead of {number}");
        assert_eq!(
            numbers(&frame.payload),
            (0, number as u32),
            "lost, doubled or out of order"
        );
    }
}

/// Nothing else is on its way to it.
#[track_caller]
fn expect_nothing(wire: &mut Wire) {
    say(wire, "?");
    assert!(text(wire).starts_with('!'));
}

fn subscribe(addr: SocketAddr, room: &str) -> (Wire, Told) {
    let mut wire = Wire::open(addr, "/");
    say(&mut wire, &format!("+{room}"));
    let told = told(&mut wire, room, Recovered::Tail);
    assert_eq!(told.first, told.offset + 1);
    (wire, told)
}

fn come_back(addr: SocketAddr, room: &str, epoch: u64, offset: u64) -> Wire {
    Wire::open(addr, &format!("/since/{room}/{epoch}/{offset}"))
}

fn publish(addr: SocketAddr, room: &str, all: std::ops::RangeInclusive<u64>, size: usize) -> Wire {
    let mut wire = Wire::open(addr, &format!("/pub/{room}"));
    for number in all {
        wire.send(&frame_bytes(0x82, &publication(0, number as u32, size)));
    }
    expect_nothing(&mut wire);
    wire
}

/// A room with so many publications, its epoch, and one who saw them all.
fn filled(addr: SocketAddr, room: &str, count: u64) -> (Wire, u64) {
    let (mut witness, Told { epoch, offset, .. }) = subscribe(addr, room);
    assert_eq!(offset, 0);
    let _ = publish(addr, room, 1..=count, 50);
    expect(&mut witness, 1..=count);
    (witness, epoch)
}

const ROOMS: [&str; 4] = ["a", "b", "c", "d"];

fn gets_exactly_what_was_missed(driver: DriverChoice, workers: usize) {
    let server = start(driver, workers, settings(1000));
    let addr = server.addr();
    let owners = ROOMS.map(|room| owner_of(room, workers));
    assert!(
        (0..workers).all(|worker| owners.contains(&worker)),
        "all kinds of owners"
    );
    for room in ROOMS {
        let (witness, epoch) = filled(addr, room, 100);
        // So many that each worker has some.
        let mut all: Vec<Wire> = (0..6)
            .map(|offset| come_back(addr, room, epoch, 40 + offset * 12))
            .collect();
        for (wire, offset) in all.iter_mut().zip((40_u64..).step_by(12)) {
            let place = Told {
                epoch,
                offset: 100,
                first: offset + 1,
            };
            assert_eq!(told(wire, room, Recovered::Complete), place);
            expect(wire, offset + 1..=100);
            expect_nothing(wire);
        }
        let (late, place) = subscribe(addr, room);
        assert_eq!(
            place,
            Told {
                epoch,
                offset: 100,
                first: 101
            }
        );
        let _ = publish(addr, room, 101..=120, 50);
        all.extend([witness, late]);
        all.iter_mut().for_each(|wire| expect(wire, 101..=120));
    }
}

pub(crate) fn who_comes_back_gets_what_was_missed_on_1_worker(driver: DriverChoice) {
    gets_exactly_what_was_missed(driver, 1);
}

pub(crate) fn who_comes_back_gets_what_was_missed_on_3_workers(driver: DriverChoice) {
    gets_exactly_what_was_missed(driver, 3);
}

/// By rule: rooms whose names begin alike keep history, and the room beside them none.
pub(crate) fn history_is_kept_where_a_rule_says_so(driver: DriverChoice) {
    let mut settings = settings(1000);
    let history = std::mem::replace(&mut settings.channel.history, HistoryConfig::OFF);
    settings.channel.rules.push(ChannelRule {
        history: Some(history),
        ..ChannelRule::new("kept-")
    });
    let server = start(driver, 3, settings);
    let gap = Recovered::Gap { from: 5, to: 10 };
    for room in ROOMS {
        let kept = format!("kept-{room}");
        for (room, outcome) in [(&*kept, Recovered::Complete), (room, gap)] {
            let (_witness, epoch) = filled(server.addr(), room, 10);
            let mut wire = come_back(server.addr(), room, epoch, 4);
            told(&mut wire, room, outcome);
        }
    }
}

/// By rule, also for who comes back and publishes in the same breath, before it has its place.
pub(crate) fn senders_are_excluded_where_a_rule_says_so(driver: DriverChoice) {
    let mut settings = settings(1000);
    settings.channel.exclude_sender = false;
    settings.channel.rules.push(ChannelRule {
        exclude_sender: Some(true),
        ..ChannelRule::new("quiet-")
    });
    let server = start(driver, 3, settings);
    let addr = server.addr();
    for room in ROOMS {
        let quiet = format!("quiet-{room}");
        for (room, first) in [(&*quiet, 12), (room, 11)] {
            let (_witness, epoch) = filled(addr, room, 10);
            let mut wire = Wire::open(addr, &format!("/{room}"));
            let come_back = frame_bytes(0x81, format!(">{room} {epoch} 10").as_bytes());
            let publish_one = frame_bytes(0x82, &publication(0, 11, 50));
            wire.send(&[come_back, publish_one].concat());
            told(&mut wire, room, Recovered::Complete);
            expect(&mut wire, first..=11);
            let _ = publish(addr, room, 12..=20, 50);
            expect(&mut wire, 12..=20);
            expect_nothing(&mut wire);
        }
    }
}

/// The number of a session's worker.
fn worker_of(wire: &mut Wire) -> usize {
    say(wire, "?");
    let answer = text(wire);
    let number = answer.strip_prefix('!').and_then(|n| n.parse().ok());
    number.expect("a worker")
}

/// Senders are excluded where they were when the channel came to a worker, whatever holds for new ones by now.
pub(crate) fn a_channel_keeps_what_it_was_made_with(driver: DriverChoice) {
    let mut settings = settings(1000);
    let server = start(driver, 2, settings.clone());
    let addr = server.addr();
    let (first, Told { epoch, .. }) = subscribe(addr, "a");
    let mut witnesses = vec![first];
    while (0..2).any(|worker| witnesses.iter_mut().all(|wire| worker_of(wire) != worker)) {
        witnesses.push(subscribe(addr, "a").0);
    }
    settings.channel.exclude_sender = false;
    server.handle().set_settings(settings);
    // On a worker that has them by now, a sender gets its own in a new channel.
    let mut is_set = [false; 2];
    for attempt in 0.. {
        let room = format!("new{attempt}");
        let mut wire = Wire::open(addr, &format!("/{room}"));
        say(&mut wire, &format!("+{room}"));
        told(&mut wire, &room, Recovered::Tail);
        let worker = worker_of(&mut wire);
        wire.frame(Opcode::Binary, &publication(0, 1, 50));
        let _ = publish(addr, &room, 2..=2, 50);
        is_set[worker] |= numbers(&wire.next().payload) == (0, 1);
        if is_set == [true; 2] {
            break;
        }
    }
    for offset in (0..16).step_by(2) {
        let mut wire = Wire::open(addr, "/a");
        let come_back = frame_bytes(0x81, format!(">a {epoch} {offset}").as_bytes());
        let publish_one = frame_bytes(0x82, &publication(0, offset as u32 + 1, 50));
        wire.send(&[come_back, publish_one].concat());
        told(&mut wire, "a", Recovered::Complete);
        let _ = publish(addr, "a", offset + 2..=offset + 2, 50);
        expect(&mut wire, offset + 2..=offset + 2);
        expect_nothing(&mut wire);
    }
}

fn is_told_of_gaps(driver: DriverChoice, workers: usize) {
    for (kept, since, outcome) in [
        (50, 40, Recovered::Gap { from: 41, to: 50 }),
        (50, 49, Recovered::Gap { from: 50, to: 50 }),
        (50, 50, Recovered::Complete),
        (0, 40, Recovered::Gap { from: 41, to: 100 }),
        (0, 100, Recovered::Complete),
    ] {
        let server = start(driver, workers, settings(kept));
        let addr = server.addr();
        let (_witness, epoch) = filled(addr, "a", 100);
        let first = match outcome {
            Recovered::Gap { to, .. } => to + 1,
            _ => since + 1,
        };
        let mut all: Vec<Wire> = (0..4).map(|_| come_back(addr, "a", epoch, since)).collect();
        for wire in &mut all {
            assert_eq!(
                told(wire, "a", outcome),
                Told {
                    epoch,
                    offset: 100,
                    first
                }
            );
            expect(wire, first..=100);
            expect_nothing(wire);
        }
    }
}

pub(crate) fn a_gap_in_history_is_told_on_1_worker(driver: DriverChoice) {
    is_told_of_gaps(driver, 1);
}

pub(crate) fn a_gap_in_history_is_told_on_3_workers(driver: DriverChoice) {
    is_told_of_gaps(driver, 3);
}

/// Who takes channels compressed gets history compressed, though all who did were away.
pub(crate) fn compressed_history_waits_for_who_was_there(driver: DriverChoice) {
    const OFFER: &str =
        "Sec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover\r\n";
    for workers in [1, 3] {
        let server = start(driver, workers, settings(1000));
        let addr = server.addr();
        let mut first = Wire::dial(addr);
        assert!(first.upgrade("/", OFFER).contains("permessage-deflate"));
        say(&mut first, "+a");
        let Told { epoch, .. } = told(&mut first, "a", Recovered::Tail);
        first.frame(Opcode::Close, b"");
        assert_eq!(first.closed(), Some(1005));
        let _ = publish(addr, "a", 1..=20, 500);
        server.until_stats("all", |stats| stats.publications == 20);
        let mut again = Wire::dial(addr);
        let _ = again.upgrade(&format!("/since/a/{epoch}/5"), OFFER);
        let place = Told {
            epoch,
            offset: 20,
            first: 6,
        };
        assert_eq!(told(&mut again, "a", Recovered::Complete), place);
        for _ in 6..=20 {
            let frame = again.next();
            assert!(
                frame.first == 0xC2 && frame.payload.len() < 100,
                "compressed"
            );
        }
        expect_nothing(&mut again);
    }
}

/// Somebody publishes and asks for history in one turn: the answer brings the publication before the
/// end of the turn does, and the others get it all the same.
pub(crate) fn what_an_answer_brings_reaches_the_others(driver: DriverChoice) {
    let server = start(driver, 1, settings(1000));
    let addr = server.addr();
    let (mut witness, epoch) = filled(addr, "a", 100);
    let mut wire = Wire::open(addr, "/pub/a");
    let since = format!(">a {epoch} 100");
    let publication = frame_bytes(0x82, &publication(0, 101, 50));
    wire.send(&[publication, frame_bytes(0x81, since.as_bytes())].concat());
    let place = Told {
        epoch,
        offset: 101,
        first: 101,
    };
    assert_eq!(told(&mut wire, "a", Recovered::Complete), place);
    // It did not subscribe yet when it published.
    expect(&mut wire, 101..=101);
    expect_nothing(&mut wire);
    // At once, not with whatever comes next.
    say(&mut witness, "?");
    expect(&mut witness, 101..=101);
    assert!(text(&mut witness).starts_with('!'));
}

/// Another life of the channel, or a place it never had: all that is kept.
pub(crate) fn another_epoch_is_told(driver: DriverChoice) {
    for workers in [1, 3] {
        let server = start(driver, workers, settings(50));
        let addr = server.addr();
        let (_witness, epoch) = filled(addr, "a", 100);
        for (claim, since) in [(epoch ^ 1, 40), (0, 0), (epoch, 101), (epoch, u64::MAX)] {
            let mut wire = come_back(addr, "a", claim, since);
            let place = told(&mut wire, "a", Recovered::OtherEpoch);
            assert_eq!(
                place,
                Told {
                    epoch,
                    offset: 100,
                    first: 51
                }
            );
            expect(&mut wire, 51..=100);
            expect_nothing(&mut wire);
        }
        // Nobody knows this one.
        let mut wire = come_back(addr, "new", epoch, 0);
        let place = told(&mut wire, "new", Recovered::OtherEpoch);
        assert_eq!((place.offset, place.first), (0, 1));
        assert_ne!(place.epoch, epoch);
    }
}

/// Sessions come, go and come back all the time while somebody publishes.
fn loses_nothing_while_messages_flow(driver: DriverChoice, workers: usize) {
    const COUNT: u64 = 8_000;
    let mut settings = settings(COUNT);
    settings.channel.window = Duration::from_secs(20);
    // Queues between workers are full most of the time.
    let builder = Running::builder(driver, workers).ring(2).settings(settings);
    let server = Running::start(builder.handler(|_| Rooms));
    let addr = server.addr();
    let (mut witness, Told { epoch, .. }) = subscribe(addr, "a");
    let publisher = thread::spawn(move || publish(addr, "a", 1..=COUNT, 20));
    let restless: Vec<_> = (0..6_u64)
        .map(|step| {
            thread::spawn(move || {
                let (mut seen, mut visits) = (0, 0);
                while seen < COUNT {
                    let mut wire = come_back(addr, "a", epoch, seen);
                    let place = told(&mut wire, "a", Recovered::Complete);
                    assert_eq!((place.epoch, place.first), (epoch, seen + 1));
                    let until = COUNT.min(seen + 300 + step * 100);
                    expect(&mut wire, seen + 1..=until);
                    (seen, visits) = (until, visits + 1);
                    if visits % 3 == 0 {
                        wire.reset();
                    }
                }
            })
        })
        .collect();
    expect(&mut witness, 1..=COUNT);
    restless
        .into_iter()
        .for_each(|one| one.join().expect("got everything once"));
    publisher.join().expect("all taken");
    server.until_stats("the leavers", |stats| stats.subscriptions == 1);
    assert_eq!(server.stats().dropped_publications, 0);
}

pub(crate) fn recovering_while_messages_flow_on_1_worker(driver: DriverChoice) {
    loses_nothing_while_messages_flow(driver, 1);
}

pub(crate) fn recovering_while_messages_flow_on_3_workers(driver: DriverChoice) {
    loses_nothing_while_messages_flow(driver, 3);
}

/// A crowd asks at once, more than may have asked the owner; half of it has gone when the answer comes.
pub(crate) fn a_crowd_comes_back_and_half_of_it_goes(driver: DriverChoice) {
    const CROWD: usize = 400;
    let server = start(driver, 3, settings(1000));
    let addr = server.addr();
    let (witness, epoch) = filled(addr, "a", 100);
    let head = request(&format!("/since/a/{epoch}/40"), "");
    let mut stay = Vec::new();
    for number in 0..CROWD {
        let mut wire = Wire::dial(addr);
        wire.send(head.as_bytes());
        if number % 2 == 0 {
            wire.reset();
        } else {
            stay.push(wire);
        }
    }
    let _ = publish(addr, "a", 101..=110, 50);
    for wire in &mut stay {
        assert!(wire.head().starts_with("HTTP/1.1 101 "));
        let place = told(wire, "a", Recovered::Complete);
        assert_eq!((place.epoch, place.first), (epoch, 41));
        expect(wire, 41..=110);
    }
    let left = stay.len() as u64 + 1;
    server.until_stats("those who went", |stats| stats.subscriptions == left);
    drop((stay, witness));
    server.until_stats("all", |stats| stats.subscriptions == 0);
}

/// Sessions on every worker, each with the number of its worker.
fn one_on_each_worker(addr: SocketAddr, path: &str, workers: usize) -> Vec<Wire> {
    let mut found: Vec<Option<Wire>> = (0..workers).map(|_| None).collect();
    let mut others = Vec::new();
    while found.iter().any(Option::is_none) {
        let mut wire = Wire::open(addr, path);
        say(&mut wire, "?");
        let worker: usize = text(&mut wire)[1..].parse().expect("a number");
        // The others stay, so that connections are spread.
        others.extend(found[worker].replace(wire));
        assert!(others.len() < 200, "not on each worker");
    }
    found.into_iter().flatten().collect()
}

/// A session that waits for the owner's answer is a subscriber already: it counts, it can leave and
/// come back, and it does not get what it publishes.
pub(crate) fn who_waits_is_a_subscriber_already(driver: DriverChoice) {
    let mut settings = settings(1000);
    settings.subscriptions_max = 2;
    let server = start(driver, 3, settings);
    let addr = server.addr();
    let (mut witness, epoch) = filled(addr, "a", 100);
    for (number, mut wire) in one_on_each_worker(addr, "/pub/a", 3)
        .into_iter()
        .enumerate()
    {
        let say_all = |wire: &mut Wire, all: &[&str]| {
            let frames: Vec<_> = all
                .iter()
                .map(|text| frame_bytes(0x81, text.as_bytes()))
                .collect();
            wire.send(&frames.concat());
        };
        let (since_40, since_90) = (format!(">a {epoch} 40"), format!(">a {epoch} 90"));
        // Twice is once; one more than two is too many.
        say_all(
            &mut wire,
            &[&since_40, &since_40, "+a", ">b 0 0", ">c 0 0", "-b"],
        );
        assert_eq!(text(&mut wire), "error TooMany { max: 2 }");
        let last = 100 + number as u64;
        assert_eq!(told(&mut wire, "a", Recovered::Complete).first, 41);
        expect(&mut wire, 41..=last);
        expect_nothing(&mut wire);
        say_all(&mut wire, &["-a", &since_40, "-a", &since_90]);
        assert_eq!(told(&mut wire, "a", Recovered::Complete).first, 91);
        expect(&mut wire, 91..=last);
        expect_nothing(&mut wire);
        // In one turn: it comes back and publishes.
        let own = frame_bytes(0x82, &publication(0, last as u32 + 1, 50));
        wire.send(
            &[
                &frame_bytes(0x81, b"-a"),
                &frame_bytes(0x81, since_90.as_bytes()),
                &own[..],
            ]
            .concat(),
        );
        expect(&mut witness, last + 1..=last + 1);
        assert_eq!(told(&mut wire, "a", Recovered::Complete).first, 91);
        expect(&mut wire, 91..=last);
        expect_nothing(&mut wire);
    }
    server.until_stats("all but the witness", |stats| stats.subscriptions == 1);
}

/// An owner that has no room for the channel says so, and who relied on it is told to try again.
pub(crate) fn a_channel_its_owner_cannot_take_is_refused(driver: DriverChoice) {
    let mut settings = settings(1000);
    settings.channel.count_max = 2;
    settings.close_timeout = Duration::from_millis(50);
    let server = start(driver, 2, settings);
    let mut names = (0..)
        .map(|number| format!("room-{number}"))
        .filter(|name| owner_of(name, 2) == 1);
    let mut name = || names.next().expect("names never end");
    let mut wires = one_on_each_worker(server.addr(), "/", 2);
    let mut owner = wires.pop().expect("two");
    let mut others = wires;
    for name in [name(), name()] {
        say(&mut owner, &format!("+{name}"));
        let _ = told(&mut owner, &name, Recovered::Tail);
    }
    let refused = name();
    say(&mut others[0], &format!("+{refused}"));
    assert_eq!(others[0].closed(), Some(1013));
    let mut another = one_on_each_worker(server.addr(), "/", 2).remove(0);
    say(&mut another, &format!(">{} 1 1", name()));
    assert_eq!(another.closed(), Some(1013));
    // So is who publishes there, and what is lost is counted.
    let mut publisher = one_on_each_worker(server.addr(), &format!("/pub/{refused}"), 2).remove(0);
    publisher.send(&frame_bytes(0x82, &publication(0, 0, 50)));
    assert_eq!(publisher.closed(), Some(1013));
    server.until_stats("their ends", |stats| {
        (stats.subscriptions, stats.publications_refused) == (2, 1)
    });
}

/// In the middle of a frame a session leaves and comes back: the frame is finished, and it is told
/// exactly what follows.
pub(crate) fn leaving_and_coming_back_within_a_frame(driver: DriverChoice) {
    const COUNT: u64 = 40;
    const SIZE: usize = 512 * 1024;
    for by_place in [false, true] {
        let mut settings = settings(1000);
        settings.channel.budget = 64 << 20;
        settings.channel.history.size = 64 << 20;
        settings.channel.window = Duration::from_secs(30);
        let server = start(driver, 1, settings);
        let addr = server.addr();
        let mut wire = Wire::dial_small(addr);
        wire.upgrade("/", "");
        say(&mut wire, "+a");
        let Told { epoch, .. } = told(&mut wire, "a", Recovered::Tail);
        let _ = publish(addr, "a", 1..=COUNT, SIZE);
        say(&mut wire, "-a");
        say(
            &mut wire,
            &if by_place {
                format!(">a {epoch} 30")
            } else {
                "+a".to_owned()
            },
        );
        let mut seen = 0;
        let text = loop {
            let frame = wire.next();
            if frame.opcode() == Opcode::Text as u8 {
                break String::from_utf8(frame.payload).expect("text");
            }
            seen += 1;
            assert_eq!(numbers(&frame.payload), (0, seen as u32));
        };
        assert!(seen < COUNT, "it was told at the end only");
        let (outcome, first) = if by_place {
            (Recovered::Complete, 31)
        } else {
            (Recovered::Tail, seen + 1)
        };
        assert_eq!(
            parse(&text, "a", outcome),
            Told {
                epoch,
                offset: COUNT,
                first
            }
        );
        expect(&mut wire, first..=COUNT);
        expect_nothing(&mut wire);
    }
}

/// Who is skipped is told which publications it missed: with those it got they are all there were.
pub(crate) fn what_was_skipped_is_told(driver: DriverChoice) {
    const COUNT: u64 = 6000;
    const SIZE: usize = 4096;
    for policy in [Policy::Skip, Policy::Latest] {
        let mut settings = settings(0);
        settings.channel.budget = 512 * 1024;
        settings.channel.policy = policy;
        settings.channel.window = Duration::from_millis(400);
        let server = start(driver, 2, settings);
        let addr = server.addr();
        let mut sleeper = Wire::dial_small(addr);
        sleeper.upgrade("/", "");
        say(&mut sleeper, "+a");
        let _ = told(&mut sleeper, "a", Recovered::Tail);
        let mut publisher = publish(addr, "a", 1..=COUNT, SIZE);
        server.until_stats("a gap", |stats| stats.dropped_publications > 0);
        // It wakes up. More is published until it has drained what it was owed.
        let (mut got, mut missed, mut last) = (Vec::new(), Vec::new(), COUNT);
        let mut is_told_last = false;
        while !is_told_last || got.last() != Some(&last) {
            if !is_told_last {
                last += 1;
                publisher.send(&frame_bytes(0x82, &publication(0, last as u32, 50)));
                expect_nothing(&mut publisher);
                say(&mut sleeper, "?");
            }
            loop {
                let frame = sleeper.next();
                if frame.opcode() == Opcode::Binary as u8 {
                    got.push(u64::from(numbers(&frame.payload).1));
                    if is_told_last {
                        break;
                    }
                    continue;
                }
                let text = String::from_utf8(frame.payload).expect("text");
                let words: Vec<&str> = text.split(' ').collect();
                let ["gap", "a", from, to, count] = words[..] else {
                    break;
                };
                let number = |text: &str| text.parse::<u64>().expect("a number");
                assert_eq!(number(to) + 1 - number(from), number(count));
                missed.extend(number(from)..=number(to));
            }
            is_told_last |= got.last().is_some_and(|number| *number > COUNT + 1);
        }
        assert!(!missed.is_empty() && got.is_sorted() && missed.is_sorted());
        server.until_stats("the count", |stats| {
            stats.dropped_publications == missed.len() as u64
        });
        let mut all = [got, missed].concat();
        all.sort_unstable();
        assert!(
            all.iter().copied().eq(1..=last),
            "each publication either came or was told missed"
        );
    }
}
