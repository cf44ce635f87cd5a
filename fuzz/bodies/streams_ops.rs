//! The stream manager against maps: bytes are operations on the registries of two workers and on what lies beside
//! them, and every answer is compared with the plainest way to get it.
//!
//! Input: bytes for the limits, then for each operation a byte, and bytes for what it chooses among.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::ControlFlow;
use std::time::Duration;

use hioload_base::Time;
use hioload_streams::{
    AttachError, Config, Cursor, End, Event, Filter, Kind, New, PeerFilter, Registry, Rejected,
    Route, Router, Stats, Step, StreamInfo, StreamUid, Total,
};

#[path = "streams_ops/parts.rs"]
mod parts;

use parts::{Bytes, Channels, Parts};

/// Operations of one input.
const STEPS_MAX: usize = 600;
/// Workers with a registry each.
const WORKERS: usize = 2;
/// Walks under way at one time.
const WALKS_MAX: usize = 4;
/// Names of the dead that are kept to be asked for.
const DEAD_MAX: usize = 64;
/// Streams that only come and go, in one input: two whole lives of a socket slot.
const CHURN_MAX: u32 = 140_000;
/// Socket slots in use: neighbours, both sides of a page, far apart.
const SOCKETS: [u32; 8] = [0, 1, 2, 63, 64, 130, 700, StreamUid::SOCKETS];

/// Checks one input; panics when something is wrong.
pub(crate) fn run(data: &[u8]) {
    let mut bytes = Bytes(data);
    let mut world = World::new(&mut bytes);
    for step in 0..STEPS_MAX {
        if bytes.is_empty() {
            break;
        }
        world.step(&mut bytes);
        world.check_counters();
        if step % 32 == 0 {
            world.check_streams();
        }
    }
    world.finish(&mut bytes);
}

/// A stream that lives.
struct Life {
    info: StreamInfo,
    channels: Channels,
    adopted: Vec<StreamUid>,
}

/// A walk under way.
struct Walk {
    worker: usize,
    filter: Filter,
    cursor: Cursor,
    /// Those that match, and have lived since it began.
    due: BTreeSet<u64>,
    met: BTreeSet<u64>,
}

/// What is known of one worker.
struct Side {
    registry: Registry,
    config: Config,
    stats: Stats,
    events: Option<VecDeque<Event>>,
    /// Of each socket slot: names given out since it last began again.
    given: BTreeMap<u32, BTreeSet<u64>>,
}

impl Side {
    fn new(worker: usize, config: Config, total: &Total, generation_max: u32) -> Side {
        let (worker, total) = (worker as u8, total.clone());
        Side {
            registry: Registry::with_generations(worker, config, total, generation_max),
            config,
            stats: Stats::default(),
            events: None,
            given: BTreeMap::new(),
        }
    }

    fn told(&mut self, event: Event) {
        let Some(events) = &mut self.events else {
            return;
        };
        events.push_back(event);
        if events.len() > self.config.events_max {
            events.pop_front();
            self.stats.events_lost += 1;
        }
    }

    /// A socket slot begins again only without a living stream, and when each of its places gave out a name.
    fn check_reuse(&mut self, socket: u32, live: usize) {
        let reused = self.registry.stats().slots_reused - self.stats.slots_reused;
        if reused > 0 {
            let given = self.given.remove(&socket).unwrap_or_default();
            assert!(reused == 1 && live == 0 && given.len() >= StreamUid::STREAMS as usize);
            self.stats.slots_reused += 1;
        }
    }
}

/// Two registries, everything that lives, and what lies beside them.
struct World {
    sides: Vec<Side>,
    total: Total,
    total_max: u64,
    generation_max: u32,
    model: BTreeMap<u64, Life>,
    dead: VecDeque<StreamUid>,
    walks: Vec<Walk>,
    now: Time,
    churn_left: u32,
    parts: Parts,
}

impl World {
    fn new(bytes: &mut Bytes<'_>) -> World {
        let generation_max = [1, 2, 3, StreamUid::GENERATION_MAX][bytes.below(4)];
        let total_max = [40, 5, 1, 0, 1000][bytes.below(5)];
        let total = Total::new(total_max);
        let side = |worker| Side::new(worker, config(bytes), &total, generation_max);
        World {
            sides: (0..WORKERS).map(side).collect(),
            total,
            total_max,
            generation_max,
            model: BTreeMap::new(),
            dead: VecDeque::new(),
            walks: Vec::new(),
            now: Time::ZERO,
            churn_left: CHURN_MAX,
            parts: Parts::new(bytes),
        }
    }

    fn step(&mut self, bytes: &mut Bytes<'_>) {
        match bytes.next() {
            0..56 => self.register(bytes),
            56..84 => self.unregister(bytes),
            84..100 => self.find(bytes),
            100..112 => self.detach(bytes),
            112..124 => self.attach(bytes),
            124..136 => self.adopt(bytes),
            136..148 => self.activity(bytes),
            148..168 => self.channels(bytes),
            168..188 => self.walk(bytes),
            188..192 => self.list_all(bytes),
            192..198 => self.sweep(bytes),
            198..204 => self.events(bytes),
            204..208 => self.configure(bytes),
            208..212 => self.forget(bytes),
            212..214 => self.churn(bytes),
            214..220 => self.now += Duration::from_millis(bytes.next().into()),
            220..236 => {
                let uid = self.choose(bytes);
                self.parts.backlog(uid, bytes);
            }
            236..242 => self.parts.tickets(bytes),
            242.. => self.parts.proxy(bytes),
        }
    }

    /// A name of one that lives, of one that is dead, or one of chance.
    fn choose(&self, bytes: &mut Bytes<'_>) -> StreamUid {
        let what = bytes.next();
        if what < 200 && !self.model.is_empty() {
            let place = bytes.below(self.model.len());
            let life = self.model.values().nth(place).expect("below their number");
            return life.info.uid;
        }
        if what < 230 && !self.dead.is_empty() {
            return self.dead[bytes.below(self.dead.len())];
        }
        let (worker, socket) = (bytes.next() % 3, SOCKETS[bytes.below(7)]);
        let (stream, generation) = (bytes.next() % 8, bytes.next() % 4 + 1);
        StreamUid::new(worker, socket, stream.into(), generation.into()).expect("in range")
    }

    fn live_of(&self, worker: usize, socket: u32) -> Vec<StreamUid> {
        let first = StreamUid::new(worker as u8, socket, 0, 1).map_or(u64::MAX, StreamUid::to_u64);
        let streams = self.model.range(first..).map(|(_, life)| life.info.uid);
        streams
            .take_while(|uid| usize::from(uid.worker()) == worker && uid.socket() == socket)
            .collect()
    }

    fn live_on(&self, worker: usize) -> impl Iterator<Item = &StreamInfo> {
        let streams = self.model.values().map(|life| &life.info);
        streams.filter(move |info| usize::from(info.uid.worker()) == worker)
    }

    /// By which limit a stream has to be rejected.
    fn rejection(&self, worker: usize, socket: u32, kind: Kind) -> Option<Rejected> {
        let config = &self.sides[worker].config;
        let of_kind = self.live_on(worker).filter(|info| info.kind == kind);
        if socket >= StreamUid::SOCKETS {
            Some(Rejected::Slot)
        } else if self.live_of(worker, socket).len() >= config.socket_max as usize {
            Some(Rejected::Socket)
        } else if self.live_on(worker).count() >= config.worker_max as usize {
            Some(Rejected::Worker)
        } else if of_kind.count() >= config.kind_max[kind.index()] as usize {
            Some(Rejected::Kind(kind))
        } else if self.model.len() as u64 >= self.total_max {
            Some(Rejected::Total)
        } else {
            None
        }
    }

    fn register(&mut self, bytes: &mut Bytes<'_>) {
        let (worker, socket) = (bytes.below(WORKERS), SOCKETS[bytes.below(8)]);
        let port = u16::from(bytes.next() % 4);
        let new = New {
            kind: Kind::ALL[bytes.below(Kind::COUNT)],
            peer: (port > 0).then(|| ([10, 0, 0, port as u8], 1000 + port).into()),
            handle: bytes.next().into(),
        };
        self.register_one(worker, socket, new);
    }

    fn register_one(&mut self, worker: usize, socket: u32, new: New) -> Option<StreamUid> {
        let expected = self.rejection(worker, socket, new.kind);
        let live = self.live_of(worker, socket).len();
        let side = &mut self.sides[worker];
        let uid = match side.registry.register(socket, new, self.now) {
            Ok(uid) => uid,
            Err(rejected) => {
                if rejected == Rejected::Uids {
                    let given = side.given.get(&socket).map_or(0, BTreeSet::len);
                    assert!(expected.is_none() && live > 0);
                    assert!(given >= StreamUid::STREAMS as usize, "{given} are not all");
                } else {
                    assert_eq!(Some(rejected), expected);
                }
                side.stats.rejected[rejected.index()] += 1;
                return None;
            }
        };
        assert_eq!(expected, None, "{uid:?} is one too many");
        side.check_reuse(socket, live);
        let first = side.registry.first_of(socket);
        assert!(live > 0 || first == Some(uid), "the only one is the first");
        let is_new = side.given.entry(socket).or_default().insert(uid.to_u64());
        assert!(is_new, "{uid:?} comes back before its time");
        assert_eq!((usize::from(uid.worker()), uid.socket()), (worker, socket));
        assert!(uid.generation() <= self.generation_max);
        let info = StreamInfo {
            uid,
            kind: new.kind,
            is_autonomous: false,
            owner: None,
            peer: new.peer,
            created: self.now,
            active: self.now,
            bytes_in: 0,
            bytes_out: 0,
            handle: new.handle,
        };
        side.stats.created += 1;
        side.stats.active[new.kind.index()] += 1;
        side.told(Event::Created(info));
        let life = Life {
            info,
            channels: Channels::default(),
            adopted: Vec::new(),
        };
        let before = self.model.insert(uid.to_u64(), life);
        assert!(before.is_none(), "{uid:?} names two");
        Some(uid)
    }

    fn unregister(&mut self, bytes: &mut Bytes<'_>) {
        let (uid, end) = (self.choose(bytes), [End::Closed, End::Idle][bytes.below(2)]);
        self.unregister_one(uid, end);
    }

    fn unregister_one(&mut self, uid: StreamUid, end: End) {
        let expected = self.model.remove(&uid.to_u64());
        for (worker, side) in self.sides.iter_mut().enumerate() {
            let removed = side.registry.unregister(uid, end);
            let is_here = usize::from(uid.worker()) == worker;
            let Some(life) = expected.as_ref().filter(|_| is_here) else {
                assert_eq!(removed, None);
                continue;
            };
            let removed = removed.expect("it lives");
            assert_eq!((removed.info, &removed.adopted), (life.info, &life.adopted));
            side.ended(&life.info, end);
            assert_eq!(side.registry.unregister(uid, end), None, "once");
        }
        if expected.is_some() {
            self.buried(uid);
        }
    }

    fn buried(&mut self, uid: StreamUid) {
        for walk in &mut self.walks {
            walk.due.remove(&uid.to_u64());
        }
        if self.dead.len() == DEAD_MAX {
            self.dead.pop_front();
        }
        self.dead.push_back(uid);
    }

    fn find(&mut self, bytes: &mut Bytes<'_>) {
        let uid = self.choose(bytes);
        let life = self.model.get(&uid.to_u64());
        assert_eq!(uid.to_string().parse(), Ok(uid));
        for here in 0..WORKERS {
            let is_here = usize::from(uid.worker()) == here;
            let route = match usize::from(uid.worker()) {
                _ if is_here => Route::Here,
                worker if worker < WORKERS => Route::There(worker),
                _ => Route::Nowhere,
            };
            assert_eq!(Router::new(here, WORKERS).route(uid), route);
            let expected = life.filter(|_| is_here).map(|life| life.info);
            let side = &mut self.sides[here];
            let found = side.registry.find(uid).map(|stream| stream.info(uid));
            assert_eq!(found, expected);
            assert_eq!(side.registry.exists(uid), expected.is_some());
            match expected {
                Some(_) => side.stats.local_hits += 1,
                None => side.stats.misses += 1,
            }
        }
    }

    /// The registry where the name says it lives, if there is one.
    fn side_of(&mut self, uid: StreamUid) -> Option<&mut Side> {
        self.sides.get_mut(usize::from(uid.worker()))
    }

    fn detach(&mut self, bytes: &mut Bytes<'_>) {
        let (uid, now) = (self.choose(bytes), self.now);
        let life = self.model.get_mut(&uid.to_u64());
        let (is_there, mut event) = (life.is_some(), None);
        if let Some(Life { info, .. }) = life.filter(|life| !life.info.is_autonomous) {
            (info.is_autonomous, info.owner, info.active) = (true, None, now);
            event = Some(Event::Detached(*info));
        }
        let Some(side) = self.side_of(uid) else {
            return;
        };
        assert_eq!(side.registry.detach(uid, now), is_there);
        if let Some(event) = event {
            side.stats.autonomous += 1;
            side.stats.detached += 1;
            side.told(event);
        }
    }

    fn attach(&mut self, bytes: &mut Bytes<'_>) {
        let (uid, owner, now) = (self.choose(bytes), self.choose(bytes), self.now);
        let expected = match self.model.get_mut(&uid.to_u64()) {
            None => Err(AttachError::Gone),
            Some(Life { info, .. }) if info.is_autonomous => {
                (info.is_autonomous, info.owner, info.active) = (false, Some(owner), now);
                Ok(Event::Attached(*info))
            }
            Some(Life { info, .. }) => Err(AttachError::Taken { owner: info.owner }),
        };
        let Some(side) = self.side_of(uid) else {
            return;
        };
        let attached = side.registry.attach(uid, owner, now);
        assert_eq!(attached, expected.map(|_| ()));
        if let Ok(event) = expected {
            assert!(side.registry.is_owned_by(uid, owner));
            side.stats.autonomous -= 1;
            side.stats.attached += 1;
            side.told(event);
        }
    }

    fn adopt(&mut self, bytes: &mut Bytes<'_>) {
        let (owner, uid, what) = (self.choose(bytes), self.choose(bytes), bytes.next());
        let Some(side) = self.sides.get_mut(usize::from(owner.worker())) else {
            return;
        };
        let life = self.model.get_mut(&owner.to_u64());
        if what < 60 {
            side.registry.disown(owner, uid);
            if let Some(life) = life {
                life.adopted.retain(|adopted| *adopted != uid);
            }
            return;
        }
        let max = side.config.adopted_max;
        let expected = match life {
            None => Err(AttachError::Gone),
            Some(life) if life.adopted.contains(&uid) => Ok(false),
            Some(life) if life.adopted.len() >= max => Err(AttachError::TooMany),
            Some(life) => {
                life.adopted.push(uid);
                Ok(true)
            }
        };
        assert_eq!(side.registry.adopt(owner, uid), expected);
    }

    fn activity(&mut self, bytes: &mut Bytes<'_>) {
        let (chosen, now) = (self.choose(bytes), self.now);
        let (bytes_in, bytes_out) = (bytes.next().into(), bytes.next().into());
        let is_first = bytes.next() < 100;
        let Some(side) = self.side_of(chosen) else {
            return;
        };
        let uid = if is_first {
            let first = side.registry.first_of(chosen.socket());
            side.registry
                .activity_of(chosen.socket(), bytes_in, bytes_out, now);
            first
        } else {
            side.registry.activity(chosen, bytes_in, bytes_out, now);
            Some(chosen).filter(|uid| self.model.contains_key(&uid.to_u64()))
        };
        let Some(uid) = uid else { return };
        let lowest = self.live_of(usize::from(uid.worker()), uid.socket());
        assert!(
            !is_first || lowest.first() == Some(&uid),
            "{uid:?} is first"
        );
        let life = self.model.get_mut(&uid.to_u64()).expect("it lives");
        life.info.active = now;
        life.info.bytes_in += bytes_in;
        life.info.bytes_out += bytes_out;
    }

    fn channels(&mut self, bytes: &mut Bytes<'_>) {
        let uid = self.choose(bytes);
        let life = self.model.get_mut(&uid.to_u64());
        let Some(side) = self.sides.get_mut(usize::from(uid.worker())) else {
            return;
        };
        let stream = side.registry.stream_mut(uid);
        assert_eq!(stream.is_some(), life.is_some());
        if let (Some(stream), Some(life)) = (stream, life) {
            let made = stream.channels().is_some();
            assert!(made || life.channels.is_empty(), "nothing is inherited");
            life.channels.step(stream.channels_mut(), bytes);
        }
    }

    /// Begins a walk, or goes on with one.
    fn walk(&mut self, bytes: &mut Bytes<'_>) {
        if self.walks.len() < WALKS_MAX && bytes.next() < 100 {
            let (worker, filter) = (bytes.below(WORKERS), filter(bytes.next() % 3));
            let due = self.matching(worker, &filter).map(|info| info.uid.to_u64());
            self.walks.push(Walk {
                worker,
                filter,
                cursor: Cursor::START,
                due: due.collect(),
                met: BTreeSet::new(),
            });
        }
        if self.walks.is_empty() {
            return;
        }
        let place = bytes.below(self.walks.len());
        let (visit_max, row_max) = (bytes.below(20), 1 + bytes.below(5));
        let Walk {
            worker,
            filter,
            cursor,
            due,
            met,
        } = &mut self.walks[place];
        // Every number is a place, also after a detour through one.
        *cursor = Cursor::from_bits(cursor.to_bits());
        let (mut rows, model) = (0, &self.model);
        let registry = &self.sides[*worker].registry;
        let step = registry.list(self.now, filter, cursor, visit_max, |info| {
            let life = &model[&info.uid.to_u64()];
            assert_eq!(info, life.info);
            assert!(met.insert(info.uid.to_u64()), "{:?} twice", info.uid);
            rows += 1;
            if rows == row_max {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        assert!(rows <= row_max.min(visit_max.max(1)));
        if step == Step::Done {
            assert!(due.is_subset(met), "{due:?} lived all the while: {met:?}");
            self.walks.swap_remove(place);
        }
    }

    fn matching(&self, worker: usize, filter: &Filter) -> impl Iterator<Item = &StreamInfo> {
        let (filter, now) = (*filter, self.now);
        self.live_on(worker).filter(move |info| {
            filter.kind.is_none_or(|kind| kind == info.kind)
                && (!filter.autonomous_only || info.is_autonomous)
                && filter.idle_min.is_none_or(|idle| now - info.active >= idle)
                && match filter.peer {
                    PeerFilter::Any => true,
                    PeerFilter::Ip(ip) => info.peer.is_some_and(|peer| peer.ip() == ip),
                    PeerFilter::Exact(peer) => info.peer == Some(peer),
                }
        })
    }

    /// All that match, in order, whatever the size of the steps.
    fn list_all(&self, bytes: &mut Bytes<'_>) {
        let (worker, filter) = (bytes.below(WORKERS), filter(bytes.next() % 6));
        let (visit_max, mut cursor, mut rows) = (1 + bytes.below(40), Cursor::START, Vec::new());
        let registry = &self.sides[worker].registry;
        while registry.list(self.now, &filter, &mut cursor, visit_max, |info| {
            rows.push(info);
            ControlFlow::Continue(())
        }) == Step::More
        {}
        let expected: Vec<StreamInfo> = self.matching(worker, &filter).copied().collect();
        assert_eq!(rows, expected);
    }

    /// One round from wherever the last sweep stopped, and a whole one: that finds exactly the silent.
    fn sweep(&mut self, bytes: &mut Bytes<'_>) {
        let (worker, visit_max, now) = (bytes.below(WORKERS), bytes.below(30), self.now);
        let side = &mut self.sides[worker];
        let mut found = Vec::new();
        if side.registry.sweep(now, visit_max, &mut found) == Step::More {
            while side.registry.sweep(now, 1000, &mut found) == Step::More {}
        }
        found.clear();
        while side.registry.sweep(now, 1 + visit_max, &mut found) == Step::More {}
        let timeout = side.config.idle_timeout;
        let filter = Filter {
            autonomous_only: true,
            ..Filter::inactive(timeout)
        };
        let silent = self.matching(worker, &filter).map(|info| info.uid);
        let expected: Vec<StreamUid> = silent.filter(|_| !timeout.is_zero()).collect();
        assert_eq!(found, expected);
        if bytes.next() < 128 {
            for uid in found {
                self.unregister_one(uid, End::Idle);
            }
        }
    }

    fn events(&mut self, bytes: &mut Bytes<'_>) {
        let (side, what) = (&mut self.sides[bytes.below(WORKERS)], bytes.next());
        match what {
            0..40 => {
                let is_observed = what < 30;
                side.registry.observe(is_observed);
                side.events = is_observed.then(|| side.events.take().unwrap_or_default());
            }
            _ => {
                for _ in 0..what % 8 {
                    let expected = side.events.as_mut().and_then(VecDeque::pop_front);
                    assert_eq!(side.registry.next_event(), expected);
                }
            }
        }
    }

    fn configure(&mut self, bytes: &mut Bytes<'_>) {
        if bytes.next() < 128 {
            self.total_max = bytes.next().into();
            self.total.set_max(self.total_max);
        } else {
            let side = &mut self.sides[bytes.below(WORKERS)];
            side.config = config(bytes);
            side.registry.set_config(side.config);
            assert_eq!(*side.registry.config(), side.config);
        }
    }

    fn forget(&mut self, bytes: &mut Bytes<'_>) {
        let (worker, socket) = (bytes.below(WORKERS), SOCKETS[bytes.below(8)]);
        let live = self.live_of(worker, socket).len();
        let side = &mut self.sides[worker];
        side.registry.forget_socket(socket);
        side.check_reuse(socket, live);
    }

    /// Streams come and go in one socket slot, many after each other.
    fn churn(&mut self, bytes: &mut Bytes<'_>) {
        let (worker, socket) = (bytes.below(WORKERS), SOCKETS[bytes.below(7)]);
        let wanted = [10, 300, 70_000][bytes.below(3)];
        let (count, forgets) = (self.churn_left.min(wanted), bytes.next() < 128);
        self.churn_left -= count;
        for _ in 0..count {
            let Some(uid) = self.register_one(worker, socket, New::of(Kind::Http)) else {
                return;
            };
            self.unregister_one(uid, End::Closed);
            if forgets {
                let live = self.live_of(worker, socket).len();
                let side = &mut self.sides[worker];
                side.registry.forget_socket(socket);
                side.check_reuse(socket, live);
            }
        }
    }

    fn check_counters(&self) {
        assert_eq!(self.total.used(), self.model.len() as u64);
        for (worker, side) in self.sides.iter().enumerate() {
            let live = self.live_on(worker).count();
            assert_eq!(*side.registry.stats(), side.stats);
            assert_eq!(side.stats.active_count(), live as u64);
            assert_eq!(side.stats.created - side.stats.destroyed, live as u64);
            assert_eq!(side.registry.len(), live);
            assert_eq!(side.registry.is_empty(), live == 0);
        }
    }

    fn check_streams(&self) {
        for life in self.model.values() {
            let uid = life.info.uid;
            let registry = &self.sides[usize::from(uid.worker())].registry;
            let stream = registry.peek(uid).expect("it lives");
            assert_eq!(stream.info(uid), life.info);
            let live = self.live_of(usize::from(uid.worker()), uid.socket());
            assert_eq!(registry.count_of(uid.socket()) as usize, live.len());
        }
        for uid in &self.dead {
            let is_back = self.model.contains_key(&uid.to_u64());
            let mut sides = self.sides.iter();
            assert!(is_back || sides.all(|side| !side.registry.exists(*uid)));
        }
        self.parts.check();
    }

    /// Everything ends: one worker's streams one by one, the other's with their registry.
    fn finish(mut self, bytes: &mut Bytes<'_>) {
        self.check_streams();
        let visit_max = bytes.below(50);
        let mut removed = Vec::new();
        let first = &mut self.sides[0];
        let end = End::Shutdown;
        while first
            .registry
            .cleanup_all(visit_max, end, |gone| removed.push(gone))
            == Step::More
        {}
        for gone in removed {
            let life = self.model.remove(&gone.info.uid.to_u64());
            let life = life.expect("once");
            assert_eq!((gone.info, gone.adopted), (life.info, life.adopted));
            self.sides[0].ended(&gone.info, end);
        }
        assert_eq!(self.live_on(0).count(), 0);
        self.check_counters();
        self.sides.clear();
        assert_eq!(self.total.used(), 0, "a registry gives back its room");
    }
}

impl Side {
    fn ended(&mut self, info: &StreamInfo, end: End) {
        self.stats.destroyed += 1;
        self.stats.active[info.kind.index()] -= 1;
        self.stats.autonomous -= u64::from(info.is_autonomous);
        self.stats.idle_closed += u64::from(end == End::Idle);
        self.told(Event::Destroyed(*info, end));
    }
}

/// Limits of a worker, small enough to be reached.
fn config(bytes: &mut Bytes<'_>) -> Config {
    let mut config = Config {
        socket_max: [20, 1, 3, 0, 70_000][bytes.below(5)],
        worker_max: [60, 2, 10, 0, 70_000][bytes.below(5)],
        kind_max: [u32::MAX; Kind::COUNT],
        idle_timeout: Duration::from_millis([100, 0, 1][bytes.below(3)]),
        adopted_max: bytes.below(4),
        events_max: [8, 0, 1, 1000][bytes.below(4)],
    };
    config.kind_max[bytes.below(Kind::COUNT)] = [u32::MAX, 0, 1, 4][bytes.below(4)];
    config
}

/// The first three ask for what never changes while a stream lives.
fn filter(number: u8) -> Filter {
    let all = Filter::default();
    let ip = [10, 0, 0, 2].into();
    let (kind, peer) = (Some(Kind::Sse), PeerFilter::Ip(ip));
    match number {
        0 => all,
        1 => Filter { kind, ..all },
        2 => Filter { peer, ..all },
        3 => Filter {
            autonomous_only: true,
            ..all
        },
        4 => Filter::inactive(Duration::from_millis(50)),
        _ => Filter {
            peer: PeerFilter::Exact((ip, 1002).into()),
            ..all
        },
    }
}
