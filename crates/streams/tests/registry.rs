//! A registry against a map: whatever is done in whatever order, it says what a `BTreeMap` of everything that
//! lives would say, and no UID names two streams.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::time::Duration;

use hioload_base::{Prng, Time};
use hioload_streams::{
    AttachError, Config, Cursor, End, Event, Filter, Kind, New, PeerFilter, Registry, Rejected,
    Step, StreamInfo, StreamUid, Total,
};
use proptest::prelude::*;

const SOCKETS: u32 = 200;

fn config(socket_max: u32, worker_max: u32) -> Config {
    Config {
        socket_max,
        worker_max,
        kind_max: [u32::MAX; Kind::COUNT],
        idle_timeout: Duration::from_millis(100),
        adopted_max: 4,
        events_max: 64,
    }
}

/// The registry, a map that knows the same, and every UID ever given out.
struct World {
    registry: Registry,
    total: Total,
    model: BTreeMap<u64, StreamInfo>,
    dead: BTreeSet<u64>,
    generation_max: u32,
    now: Time,
    prng: Prng,
}

impl World {
    fn new(config: Config, total: u64, generation_max: u32, seed: u64) -> World {
        let total = Total::new(total);
        let mut registry = Registry::with_generations(3, config, total.clone(), generation_max);
        registry.observe(true);
        World {
            registry,
            total,
            model: BTreeMap::new(),
            dead: BTreeSet::new(),
            generation_max,
            now: Time::ZERO,
            prng: Prng::new(seed),
        }
    }

    fn pick(&mut self) -> Option<StreamUid> {
        let count = self.model.len() as u64;
        let place = (count > 0).then(|| self.prng.below(count) as usize)?;
        self.model.values().nth(place).map(|info| info.uid)
    }

    fn register(&mut self, socket: u32) {
        let kind = Kind::ALL[self.prng.below(Kind::COUNT as u64) as usize];
        let port = self.prng.below(4) as u16;
        let peer: SocketAddr = ([10, 0, 0, port as u8], 1000 + port).into();
        let new = New {
            kind,
            peer: (port > 0).then_some(peer),
            handle: self.prng.next_u64(),
        };
        let of_socket = self
            .model
            .values()
            .filter(|info| info.uid.socket() == socket)
            .count();
        let limits = *self.registry.config();
        let expected = if of_socket >= limits.socket_max as usize {
            Some(Rejected::Socket)
        } else if self.model.len() >= limits.worker_max as usize {
            Some(Rejected::Worker)
        } else {
            None
        };
        match self.registry.register(socket, new, self.now) {
            Ok(uid) => {
                assert_eq!(expected, None);
                assert_eq!((uid.worker(), uid.socket()), (3, socket));
                assert!(uid.generation() <= self.generation_max);
                assert!(!self.model.contains_key(&uid.to_u64()), "{uid:?} lives");
                let comes_back = !self.dead.insert(uid.to_u64());
                assert!(
                    !comes_back || self.registry.stats().slots_reused > 0,
                    "{uid:?}"
                );
                let info = StreamInfo {
                    uid,
                    kind,
                    is_autonomous: false,
                    owner: None,
                    peer: new.peer,
                    created: self.now,
                    active: self.now,
                    bytes_in: 0,
                    bytes_out: 0,
                    handle: new.handle,
                };
                self.model.insert(uid.to_u64(), info);
                assert_eq!(self.registry.next_event(), Some(Event::Created(info)));
            }
            Err(rejected) => assert_eq!(Some(rejected), expected),
        }
    }

    fn step(&mut self, what: u8) {
        self.now += Duration::from_millis(self.prng.below(20));
        let now = self.now;
        if what < 6 {
            let socket = self.prng.below(u64::from(SOCKETS)) as u32;
            return self.register(socket);
        }
        let Some(uid) = self.pick() else { return };
        let info = self.model.get_mut(&uid.to_u64()).expect("picked");
        match what {
            6..=9 => {
                let info = *info;
                let removed = self
                    .registry
                    .unregister(uid, End::Closed)
                    .expect("it lives");
                assert_eq!(removed.info, info);
                let event = self.registry.next_event();
                assert_eq!(event, Some(Event::Destroyed(info, End::Closed)));
                self.model.remove(&uid.to_u64());
                assert_eq!(self.registry.unregister(uid, End::Closed), None, "once");
                if self.registry.count_of(uid.socket()) == 0 && self.prng.below(2) == 0 {
                    self.registry.forget_socket(uid.socket());
                }
            }
            10 => {
                (info.bytes_in, info.bytes_out) = (info.bytes_in + 5, info.bytes_out + 7);
                info.active = now;
                self.registry.activity(uid, 5, 7, now);
            }
            11 => {
                let was_autonomous = std::mem::replace(&mut info.is_autonomous, true);
                if !was_autonomous {
                    (info.owner, info.active) = (None, now);
                }
                let event = (!was_autonomous).then_some(Event::Detached(*info));
                assert!(self.registry.detach(uid, now));
                assert_eq!(self.registry.next_event(), event);
            }
            12 => {
                let owner = StreamUid::new(9, 9, 9, 9).expect("in range");
                let expected = if info.is_autonomous {
                    (info.is_autonomous, info.owner, info.active) = (false, Some(owner), now);
                    Ok(())
                } else {
                    Err(AttachError::Taken { owner: info.owner })
                };
                let event = expected.is_ok().then_some(Event::Attached(*info));
                assert_eq!(self.registry.attach(uid, owner, now), expected);
                assert_eq!(self.registry.next_event(), event);
            }
            _ => {
                // Somebody else's name, and a name of this place that is gone or not yet there.
                let parts = (uid.socket(), uid.stream(), uid.generation());
                let foreign = StreamUid::new(4, parts.0, parts.1, parts.2).expect("in range");
                assert!(!self.registry.exists(foreign) && self.registry.find(foreign).is_none());
                assert_eq!(self.registry.unregister(foreign, End::Closed), None);
                for generation in [1, parts.2 - 1, parts.2 + 1] {
                    let other = StreamUid::new(3, parts.0, parts.1, generation);
                    let other = other.filter(|other| !self.model.contains_key(&other.to_u64()));
                    assert!(other.is_none_or(|other| !self.registry.exists(other)));
                }
            }
        }
        self.check();
    }

    fn check(&mut self) {
        let model = &self.model;
        assert_eq!(self.registry.len(), model.len());
        assert_eq!(self.total.used(), model.len() as u64);
        let stats = *self.registry.stats();
        assert_eq!(stats.created - stats.destroyed, model.len() as u64);
        let autonomous = model.values().filter(|info| info.is_autonomous).count();
        assert_eq!(stats.autonomous, autonomous as u64);
        for kind in Kind::ALL {
            let count = model.values().filter(|info| info.kind == kind).count();
            assert_eq!(stats.active[kind.index()], count as u64);
        }
        for (bits, info) in model {
            let uid = StreamUid::from_u64(*bits).expect("it was given out");
            let found = self.registry.peek(uid).expect("it lives");
            assert_eq!(found.info(uid), *info);
        }
    }

    /// All that match, by steps of so many places and rows.
    fn walk(&self, filter: &Filter, visit_max: usize, row_max: usize) -> Vec<StreamInfo> {
        let (mut cursor, mut rows) = (Cursor::START, Vec::new());
        loop {
            let mut page = 0;
            let step = self
                .registry
                .list(self.now, filter, &mut cursor, visit_max, |info| {
                    rows.push(info);
                    page += 1;
                    if page == row_max {
                        ControlFlow::Break(())
                    } else {
                        ControlFlow::Continue(())
                    }
                });
            if step == Step::Done {
                return rows;
            }
        }
    }

    fn check_walks(&self) {
        let ip = [10, 0, 0, 2].into();
        let filters = [
            Filter::default(),
            Filter::inactive(Duration::from_millis(200)),
            Filter {
                kind: Some(Kind::Sse),
                ..Filter::default()
            },
            Filter {
                autonomous_only: true,
                ..Filter::default()
            },
            Filter {
                peer: PeerFilter::Ip(ip),
                ..Filter::default()
            },
            Filter {
                peer: PeerFilter::Exact((ip, 1002).into()),
                ..Filter::default()
            },
            Filter {
                peer: PeerFilter::Exact((ip, 1003).into()),
                ..Filter::default()
            },
        ];
        for filter in filters {
            let matches = |info: &&StreamInfo| {
                filter.kind.is_none_or(|kind| kind == info.kind)
                    && (!filter.autonomous_only || info.is_autonomous)
                    && filter
                        .idle_min
                        .is_none_or(|idle| self.now - info.active >= idle)
                    && match filter.peer {
                        PeerFilter::Any => true,
                        PeerFilter::Ip(ip) => info.peer.is_some_and(|peer| peer.ip() == ip),
                        PeerFilter::Exact(peer) => info.peer == Some(peer),
                    }
            };
            let expected: Vec<StreamInfo> = self.model.values().filter(matches).copied().collect();
            for (visit_max, row_max) in [(1, 1), (7, 3), (1_000_000, 1_000_000)] {
                assert_eq!(self.walk(&filter, visit_max, row_max), expected);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_registry_is_a_map(
        seed in any::<u64>(),
        socket_max in prop_oneof![Just(1_u32), Just(3), Just(40)],
        worker_max in prop_oneof![Just(0_u32), Just(1), Just(60), Just(1000)],
        generation_max in prop_oneof![Just(1_u32), Just(3), Just(StreamUid::GENERATION_MAX)],
        steps in prop::collection::vec(0..14_u8, 0..400),
    ) {
        let mut world = World::new(config(socket_max, worker_max), 10_000, generation_max, seed);
        for what in steps {
            world.step(what);
        }
        world.check_walks();
        let mut left = world.model.len();
        while world.registry.cleanup_all(50, End::Shutdown, |_| left -= 1) == Step::More {}
        prop_assert_eq!((left, world.registry.len(), world.total.used()), (0, 0, 0));
    }
}

#[test]
fn places_wear_out_and_no_uid_comes_back_before_its_time() {
    // Two generations a place: one socket slot has 2 * 65,536 UIDs to give, one at a time.
    let mut registry = Registry::with_generations(0, Config::default(), Total::new(10), 2);
    let mut seen = BTreeSet::new();
    for _ in 0..2 * StreamUid::STREAMS {
        let uid = registry
            .register(5, New::of(Kind::Http), Time::ZERO)
            .expect("room");
        assert!(seen.insert(uid), "{uid:?} again");
        registry.unregister(uid, End::Closed);
        registry.forget_socket(5);
    }
    assert_eq!(registry.stats().slots_reused, 1);
    let uid = registry
        .register(5, New::of(Kind::Http), Time::ZERO)
        .expect("room");
    assert!(!seen.insert(uid), "all of them were given out, each once");
}

#[test]
fn a_socket_that_never_ends_wears_out_place_by_place() {
    let config = Config {
        socket_max: 65_536,
        ..Config::default()
    };
    let mut registry = Registry::with_generations(0, config, Total::new(1 << 20), 3);
    // One stream stays, so that the slot cannot begin again under it.
    let stays = registry
        .register(1, New::of(Kind::WebSocket), Time::ZERO)
        .expect("room");
    let mut seen = BTreeSet::from([stays]);
    let rejected = loop {
        match registry.register(1, New::of(Kind::Http), Time::ZERO) {
            Ok(uid) => {
                assert!(seen.insert(uid), "{uid:?} again");
                registry.unregister(uid, End::Closed);
            }
            Err(rejected) => break rejected,
        }
    };
    assert_eq!(rejected, Rejected::Uids);
    assert_eq!(seen.len(), 1 + 3 * (StreamUid::STREAMS as usize - 1));
    assert!(registry.exists(stays));
    registry.unregister(stays, End::Closed);
    assert!(
        registry
            .register(1, New::of(Kind::Http), Time::ZERO)
            .is_ok(),
        "nobody is left"
    );
}

#[test]
fn each_limit_rejects_and_is_counted() {
    let websocket = New::of(Kind::WebSocket);
    for max in [0_u32, 1, 3] {
        let filled = |config: Config, total: u64, by_socket: bool| {
            let mut registry = Registry::new(0, config, Total::new(total));
            for number in 0..max {
                let socket = if by_socket { 0 } else { number };
                assert!(registry.register(socket, websocket, Time::ZERO).is_ok());
            }
            let rejected = registry
                .register(if by_socket { 0 } else { max }, websocket, Time::ZERO)
                .expect_err("full");
            assert_eq!(registry.stats().rejected[rejected.index()], 1);
            assert_eq!(registry.stats().rejected_count(), 1);
            assert_eq!(registry.len(), max as usize, "nothing was registered");
            rejected
        };
        let free = config(1000, 1000);
        assert_eq!(filled(config(max, 1000), 1000, true), Rejected::Socket);
        assert_eq!(filled(config(1000, max), 1000, false), Rejected::Worker);
        assert_eq!(filled(free, u64::from(max), false), Rejected::Total);
        let mut by_kind = free;
        by_kind.kind_max[Kind::WebSocket.index()] = max;
        assert_eq!(
            filled(by_kind, 1000, false),
            Rejected::Kind(Kind::WebSocket)
        );
    }
    let mut registry = Registry::new(0, Config::default(), Total::new(9));
    let last = StreamUid::SOCKETS - 1;
    assert!(registry.register(last, websocket, Time::ZERO).is_ok());
    assert_eq!(
        registry.register(last + 1, websocket, Time::ZERO),
        Err(Rejected::Slot)
    );
}

#[test]
fn the_total_is_shared_and_given_back() {
    let total = Total::new(2);
    let mut one = Registry::new(0, Config::default(), total.clone());
    let mut two = Registry::new(1, Config::default(), total.clone());
    let sse = New::of(Kind::Sse);
    let uid = one.register(0, sse, Time::ZERO).expect("room");
    two.register(0, sse, Time::ZERO).expect("room");
    assert_eq!(two.register(1, sse, Time::ZERO), Err(Rejected::Total));
    one.unregister(uid, End::Closed);
    assert!(two.register(1, sse, Time::ZERO).is_ok());
    drop(two);
    assert_eq!(
        total.used(),
        0,
        "a registry that goes gives back what it had"
    );
}

#[test]
fn adoption_is_bounded_and_ends_with_the_owner() {
    let mut registry = Registry::new(0, config(10, 100), Total::new(100));
    let owner = registry
        .register(0, New::of(Kind::WebSocket), Time::ZERO)
        .expect("room");
    let mut adopted = Vec::new();
    for socket in 1..=5 {
        let uid = registry
            .register(socket, New::of(Kind::Client), Time::ZERO)
            .expect("room");
        registry.detach(uid, Time::ZERO);
        match registry.adopt(owner, uid) {
            Ok(is_new) => {
                assert!(is_new);
                adopted.push(uid);
                assert_eq!(registry.adopt(owner, uid), Ok(false), "noted already");
            }
            Err(error) => assert_eq!((error, socket), (AttachError::TooMany, 5)),
        }
    }
    assert_eq!(adopted.len(), 4);
    registry
        .attach(adopted[0], owner, Time::ZERO)
        .expect("autonomous");
    assert!(registry.is_owned_by(adopted[0], owner));
    registry.disown(owner, adopted[1]);
    let removed = registry.unregister(owner, End::Closed).expect("it lives");
    assert_eq!(removed.adopted, [adopted[0], adopted[2], adopted[3]]);
    assert_eq!(registry.adopt(owner, adopted[0]), Err(AttachError::Gone));
}

#[test]
fn silent_autonomous_streams_are_found_by_bounded_sweeps() {
    let mut registry = Registry::new(0, config(10, 10_000), Total::new(10_000));
    let mut uids = Vec::new();
    for socket in 0..1000 {
        let uid = registry
            .register(socket, New::of(Kind::LongPoll), Time::ZERO)
            .expect("room");
        if socket % 2 == 0 {
            registry.detach(uid, Time::ZERO);
        }
        uids.push(uid);
    }
    let (early, late) = (Time::from_millis(99), Time::from_millis(100));
    registry.activity(uids[10], 1, 0, early);
    let mut found = Vec::new();
    while registry.sweep(early, 64, &mut found) == Step::More {}
    assert_eq!(found, [], "not yet");
    let mut steps = 1;
    while registry.sweep(late, 64, &mut found) == Step::More {
        steps += 1;
    }
    assert!(
        steps >= 1000 / 64,
        "{steps} steps: none looks at more than it may"
    );
    let expected: Vec<_> = uids
        .iter()
        .step_by(2)
        .filter(|uid| **uid != uids[10])
        .copied()
        .collect();
    assert_eq!(found, expected);
    let mut never = *registry.config();
    never.idle_timeout = Duration::ZERO;
    registry.set_config(never);
    found.clear();
    assert_eq!(registry.sweep(Time::MAX, 10_000, &mut found), Step::Done);
    assert!(found.is_empty());
}

#[test]
fn events_that_nobody_takes_are_bounded_and_counted() {
    let mut registry = Registry::new(0, config(1, 1000), Total::new(1000));
    registry
        .register(999, New::of(Kind::Sse), Time::ZERO)
        .expect("room");
    assert_eq!(registry.next_event(), None, "nobody observes");
    registry.observe(true);
    for socket in 0..70 {
        registry
            .register(socket, New::of(Kind::Sse), Time::ZERO)
            .expect("room");
    }
    assert_eq!(registry.stats().events_lost, 6);
    let first = registry.next_event().expect("some are kept");
    assert_eq!(first.uid().socket(), 6, "the oldest were forgotten");
}

#[test]
fn a_hundred_thousand_autonomous_streams_cost_little_each() {
    const COUNT: u32 = 100_000;
    for streams_of_socket in [1, 10] {
        let mut registry = Registry::new(0, Config::default(), Total::new(1 << 20));
        for number in 0..COUNT {
            let socket = number / streams_of_socket;
            let uid = registry
                .register(socket, New::of(Kind::Sse), Time::ZERO)
                .expect("room");
            registry.detach(uid, Time::ZERO);
        }
        let each = registry.memory() / COUNT as usize;
        println!("{streams_of_socket} a socket: {each} bytes each");
        // As in the memory plan.
        assert!(each <= 200, "{each} bytes");
    }
}

#[test]
fn the_only_stream_of_a_socket_is_its_first_when_places_wear_out() {
    let mut registry = Registry::with_generations(0, Config::default(), Total::new(10), 3);
    let mut seen = BTreeSet::new();
    // Nobody says that the socket has ended: one without a stream is known to have none.
    for _ in 0..10 {
        let uid = registry
            .register(5, New::of(Kind::Http), Time::ZERO)
            .expect("room");
        assert!(seen.insert(uid), "{uid:?} again");
        assert_eq!(registry.first_of(5), Some(uid));
        registry.unregister(uid, End::Closed);
    }
}

#[test]
fn places_that_were_dropped_give_out_no_uid_again() {
    let mut registry = Registry::with_generations(0, Config::default(), Total::new(10), 3);
    let mut seen = BTreeSet::new();
    // The first socket has three streams at once, those after it one, until the first place is worn.
    for streams in [3, 1, 1, 1, 3, 1] {
        let register = |_| registry.register(5, New::of(Kind::Http), Time::ZERO);
        let uids: Vec<_> = (0..streams).map(register).collect();
        for uid in uids {
            let uid = uid.expect("room");
            assert!(seen.insert(uid), "{uid:?} again");
            registry.unregister(uid, End::Closed);
        }
        registry.forget_socket(5);
    }
}

#[test]
fn without_room_for_events_none_is_kept() {
    for events_max in [0, 1] {
        let config = Config {
            events_max,
            ..Config::default()
        };
        let mut registry = Registry::new(0, config, Total::new(10));
        registry.observe(true);
        for socket in 0..3 {
            let new = New::of(Kind::Sse);
            assert!(registry.register(socket, new, Time::ZERO).is_ok());
        }
        assert_eq!(registry.stats().events_lost, 3 - events_max as u64);
        assert_eq!(registry.next_event().is_some(), events_max == 1);
        assert_eq!(registry.next_event(), None);
    }
}
