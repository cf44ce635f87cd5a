//! The virtual network's state: time, events, listeners, and who waits for what.
//!
//! Time moves only when every driver is idle, and then to the next event. Knows drivers by number
//! and sockets by key; what a driver does with a note is its own affair.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hioload_base::{Key, Prng, Slab, Time};

use super::config::{CHANCE_OF, SimConfig};
use super::fault::{Fault, FaultCounts};
use super::reach::SimReach;
use super::stream::{Connection, End, Owner};
use super::trace::Trace;
use crate::net::ListenSpec;

/// Connections of one network at most.
const CONNECTIONS_MAX: usize = 1 << 20;

/// An empty turn that does not wait takes so long: a worker that spins gets through time.
const SPIN: Duration = Duration::from_micros(1);

/// Why a driver should look at a socket or listener.
#[derive(Debug)]
pub(super) enum Note {
    /// Bytes, room, an end or an error.
    Ready(Key),
    /// A connect is over.
    Connected(Key, Result<(), i32>),
    /// A connection waits at a listener.
    Knock(u16),
    /// A socket handed over.
    Adopted(u16, End),
}

/// What happens at a point in time.
#[derive(Debug)]
enum Event {
    Syn(Key, SocketAddr),
    SynAnswer(Key, Result<(), i32>),
    /// Bytes reach the other end of the pipe that starts at `End`.
    Segment(End, Vec<u8>),
    Fin(End),
    /// A reset reaches this end.
    Reset(End),
    /// The reader of the pipe that starts at `End` reads again.
    Resume(End),
}

/// One listening socket.
#[derive(Debug)]
struct Port {
    driver: usize,
    number: u16,
    backlog: VecDeque<Key>,
    backlog_max: usize,
    send_buffer: usize,
    recv_buffer: usize,
    shared: bool,
}

pub(super) struct DriverState {
    pub(super) reach: Arc<SimReach>,
    pub(super) notes: VecDeque<Note>,
    alive: bool,
    /// `None`: has work. Otherwise waits until then.
    idle_until: Option<Time>,
    /// Its next completion.
    next_due: Time,
}

pub(super) struct Net {
    pub(super) now: Time,
    pub(super) prng: Prng,
    pub(super) config: SimConfig,
    pub(super) counts: FaultCounts,
    pub(super) trace: Trace,
    pub(super) connections: Slab<Connection>,
    pub(super) drivers: Vec<DriverState>,
    events: BTreeMap<(Time, u64), Event>,
    ports: BTreeMap<SocketAddr, Vec<Port>>,
    seq: u64,
    next_port: u16,
    /// Empty turns since time moved.
    empty_turns: usize,
}

impl Net {
    pub(super) fn new(seed: u64, config: SimConfig) -> Self {
        Self {
            now: Time::ZERO,
            prng: Prng::new(seed),
            config,
            counts: FaultCounts::default(),
            trace: Trace::new(),
            connections: Slab::with_limit(CONNECTIONS_MAX),
            drivers: Vec::new(),
            events: BTreeMap::new(),
            ports: BTreeMap::new(),
            seq: 0,
            next_port: 40_000,
            empty_turns: 0,
        }
    }

    /// Draws whether a fault fires, and counts it when it does.
    pub(super) fn fires(&mut self, fault: Fault) -> bool {
        let fires = self.draws(fault);
        if fires {
            self.counts.add(fault);
        }
        fires
    }

    /// Draws without counting, for faults that are counted by their effect.
    pub(super) fn draws(&mut self, fault: Fault) -> bool {
        self.prng
            .chance(u64::from(self.config.chance(fault)), u64::from(CHANCE_OF))
    }

    /// Uniform between zero and `max`.
    pub(super) fn up_to(&mut self, max: Duration) -> Duration {
        let nanos = u64::try_from(max.as_nanos()).unwrap_or(u64::MAX - 1);
        Duration::from_nanos(self.prng.below(nanos + 1))
    }

    pub(super) fn latency(&mut self) -> Duration {
        let spread = self
            .config
            .latency_max
            .saturating_sub(self.config.latency_min);
        self.config.latency_min + self.up_to(spread)
    }

    pub(super) fn next_seq(&mut self) -> u64 {
        self.seq += 1;
        self.seq
    }

    fn schedule(&mut self, at: Time, event: Event) {
        let seq = self.next_seq();
        self.events.insert((at, seq), event);
    }

    pub(super) fn schedule_segment(&mut self, from: End, bytes: Vec<u8>, at: Time) {
        self.schedule(at, Event::Segment(from, bytes));
    }

    pub(super) fn schedule_fin(&mut self, from: End, at: Time) {
        self.schedule(at, Event::Fin(from));
    }

    pub(super) fn schedule_reset(&mut self, to: End) {
        let at = self.now + self.latency();
        self.schedule(at, Event::Reset(to));
    }

    pub(super) fn schedule_resume(&mut self, from: End, at: Time) {
        self.schedule(at, Event::Resume(from));
    }

    pub(super) fn add_driver(&mut self, reach: Arc<SimReach>) -> usize {
        self.drivers.push(DriverState {
            reach,
            notes: VecDeque::new(),
            alive: true,
            // Nobody waits for a driver that has nothing to do yet.
            idle_until: Some(Time::MAX),
            next_due: Time::MAX,
        });
        self.drivers.len() - 1
    }

    /// The driver is gone: its listeners close, and what waited there is reset.
    pub(super) fn remove_driver(&mut self, driver: usize) {
        self.drivers[driver].alive = false;
        self.drivers[driver].notes.clear();
        let mut orphans = Vec::new();
        self.ports.retain(|_, ports| {
            for port in ports.iter_mut().filter(|port| port.driver == driver) {
                orphans.extend(port.backlog.drain(..));
            }
            ports.retain(|port| port.driver != driver);
            !ports.is_empty()
        });
        for connection in orphans {
            self.reset(End {
                connection,
                side: 1,
            });
        }
    }

    pub(super) fn note(&mut self, driver: usize, note: Note) {
        let state = &mut self.drivers[driver];
        if state.alive {
            state.notes.push_back(note);
        }
    }

    /// Binds a listener; `None` when the address is taken.
    pub(super) fn listen(
        &mut self,
        driver: usize,
        number: u16,
        spec: &ListenSpec,
    ) -> Option<SocketAddr> {
        let mut addr = spec.addr;
        if addr.port() == 0 {
            addr.set_port(self.next_port);
            self.next_port += 1;
        }
        let ports = self.ports.entry(addr).or_default();
        let is_shared = spec.share_port && ports.iter().all(|port| port.shared);
        if !ports.is_empty() && !is_shared {
            return None;
        }
        ports.push(Port {
            driver,
            number,
            backlog: VecDeque::new(),
            backlog_max: spec.backlog.max(1) as usize,
            send_buffer: spec.send_buffer.unwrap_or(self.config.send_buffer),
            recv_buffer: spec.recv_buffer.unwrap_or(self.config.recv_buffer),
            shared: spec.share_port,
        });
        Some(addr)
    }

    /// Starts a connection; its connecting end is side 0.
    pub(super) fn connect(&mut self, owner: Owner, to: SocketAddr) -> Option<End> {
        let (send_buffer, window) = (self.config.send_buffer, self.config.recv_buffer);
        let connection = Connection::new(owner, send_buffer, window);
        let key = self.connections.insert(connection).ok()?;
        let mut at = self.now + self.latency();
        if self.fires(Fault::SlowConnect) {
            at += self.up_to(Duration::from_secs(1));
        }
        self.schedule(at, Event::Syn(key, to));
        Some(End {
            connection: key,
            side: 0,
        })
    }

    /// The next connection waiting at a listener.
    pub(super) fn accept(&mut self, driver: usize, addr: SocketAddr) -> Option<End> {
        let port = self.port(driver, addr)?;
        let connection = port.backlog.pop_front()?;
        Some(End {
            connection,
            side: 1,
        })
    }

    pub(super) fn is_somebody_waiting(&mut self, driver: usize, addr: SocketAddr) -> bool {
        self.port(driver, addr)
            .is_some_and(|port| !port.backlog.is_empty())
    }

    fn port(&mut self, driver: usize, addr: SocketAddr) -> Option<&mut Port> {
        self.ports
            .get_mut(&addr)?
            .iter_mut()
            .find(|port| port.driver == driver)
    }

    fn syn(&mut self, key: Key, to: SocketAddr) {
        let refused = self.fires(Fault::Refused);
        let count = self.ports.get(&to).map_or(0, Vec::len);
        let answer_at = self.now + self.latency();
        if refused || count == 0 {
            self.schedule(answer_at, Event::SynAnswer(key, Err(libc::ECONNREFUSED)));
            return;
        }
        // As the kernel's hash does for listeners that share a port.
        let pick = self.prng.below(count as u64) as usize;
        let ports = self.ports.get_mut(&to).expect("invariant: counted above");
        let port = &mut ports[pick];
        if port.backlog.len() >= port.backlog_max {
            // A full queue drops the SYN; the peer tries again (tcp_syn_retries).
            let again = self.now + Duration::from_secs(1);
            self.schedule(again, Event::Syn(key, to));
            return;
        }
        let Some(connection) = self.connections.get_mut(key) else {
            return;
        };
        connection.accept_with(port.send_buffer, port.recv_buffer, answer_at);
        port.backlog.push_back(key);
        let (driver, number) = (port.driver, port.number);
        self.note(driver, Note::Knock(number));
        self.schedule(answer_at, Event::SynAnswer(key, Ok(())));
    }

    /// Runs everything that is due.
    pub(super) fn run_due(&mut self) {
        while let Some(entry) = self.events.first_entry()
            && entry.key().0 <= self.now
        {
            let ((at, seq), event) = entry.remove_entry();
            self.trace.add(&[at.as_nanos(), seq]);
            match event {
                Event::Syn(key, to) => self.syn(key, to),
                Event::SynAnswer(key, result) => self.answered(key, result),
                Event::Segment(from, bytes) => self.segment_arrived(from, &bytes),
                Event::Fin(from) => self.fin_arrived(from),
                Event::Reset(to) => self.reset_arrived(to),
                Event::Resume(from) => self.pump(from),
            }
        }
    }

    /// A driver found nothing to do. Moves time while that is so for all of them, until one has
    /// work or this one's wait is over.
    pub(super) fn idle(&mut self, driver: usize, wait: Option<Duration>) {
        let until = match wait {
            None => Time::MAX,
            Some(wait) => self.now + wait.max(SPIN),
        };
        self.drivers[driver].idle_until = Some(until);
        self.empty_turns += 1;
        // A driver that nobody turns does not stop the clock for ever.
        let patience = 16 + 4 * self.drivers.len();
        if self.empty_turns > patience && self.drivers.iter().any(|state| !state.is_idle(self.now))
        {
            self.advance();
        }
        while self.drivers.iter().all(|state| state.is_idle(self.now)) && self.advance() {}
    }

    pub(super) fn busy(&mut self, driver: usize) {
        self.drivers[driver].idle_until = None;
        self.empty_turns = 0;
    }

    pub(super) fn set_next_due(&mut self, driver: usize, due: Option<Time>) {
        self.drivers[driver].next_due = due.unwrap_or(Time::MAX);
    }

    /// Moves time to the next event or deadline. False when there is none.
    fn advance(&mut self) -> bool {
        let event = self.events.keys().next().map_or(Time::MAX, |(at, _)| *at);
        let deadlines = self
            .drivers
            .iter()
            .filter(|state| state.alive)
            .map(DriverState::deadline);
        let next = deadlines.filter(|at| *at > self.now).fold(event, Time::min);
        if next == Time::MAX {
            return false;
        }
        self.now = self.now.max(next);
        if self.fires(Fault::Pause) {
            let pause = self.up_to(self.config.pause_max);
            self.now += pause;
        }
        self.empty_turns = 0;
        self.run_due();
        for state in &mut self.drivers {
            if state.deadline() <= self.now {
                state.idle_until = None;
            }
        }
        true
    }
}

impl DriverState {
    fn deadline(&self) -> Time {
        self.idle_until.unwrap_or(Time::MAX).min(self.next_due)
    }

    fn is_idle(&self, now: Time) -> bool {
        // Relaxed: the simulation has one thread; wakes come from it.
        let woken = self.reach.woken.load(Ordering::Relaxed);
        let has_work = !self.notes.is_empty() || woken || self.next_due <= now;
        !self.alive || (self.idle_until.is_some() && !has_work)
    }
}
