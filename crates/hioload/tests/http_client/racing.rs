//! Addresses of one name, tried beside each other, on a driver that does nothing by itself and a clock that stands.

use std::net::SocketAddr;
use std::time::Duration;

use hioload::http_client::{Config, Engine, Method, Request, Trust};
use hioload_base::{Key, Time};
use hioload_reactor::{
    Address, Caps, Completion, Completions, Driver, DriverStats, FileHandle, FileId, ListenSpec,
    ListenerId, Op, OpId, OpKind, Reject, SocketId, StartError, TurnError, Wait,
};

/// What was asked of it, in order.
#[derive(Default)]
struct Paper {
    now: Time,
    connects: Vec<SocketAddr>,
    closed: Vec<SocketId>,
    sends: Vec<SocketId>,
}

/// The socket of the connect with this number.
fn socket(number: usize) -> SocketId {
    SocketId::from_key(Key::from_bits(1 << 32 | number as u64))
}

impl Driver for Paper {
    fn caps(&self) -> &Caps {
        unreachable!()
    }

    fn stats(&self) -> DriverStats {
        unreachable!()
    }

    fn now(&self) -> Time {
        self.now
    }

    fn listen(&mut self, _: &ListenSpec) -> Result<ListenerId, StartError> {
        unreachable!()
    }

    fn local_addr(&self, _: ListenerId) -> Option<SocketAddr> {
        None
    }

    fn open_file(&mut self, _: FileHandle) -> Result<FileId, StartError> {
        unreachable!()
    }

    fn submit(&mut self, op: Op) -> Result<OpId, Reject> {
        let key = match op {
            Op::Connect(connect) => {
                self.connects.push(connect.to);
                socket(self.connects.len() - 1).key()
            }
            Op::Close { socket } => {
                self.closed.push(socket);
                socket.key()
            }
            Op::Send { socket, .. } => {
                self.sends.push(socket);
                socket.key()
            }
            Op::Recv { socket } => socket.key(),
            op => unreachable!("{op:?}"),
        };
        let kind = OpKind::Recv;
        Ok(OpId { kind, key })
    }

    fn cancel(&mut self, _: OpId) {}

    fn turn(&mut self, _: Wait, _: &mut Completions) -> Result<(), TurnError> {
        unreachable!()
    }

    fn address(&self) -> Address {
        unreachable!()
    }
}

struct Race {
    driver: Paper,
    engine: Engine,
    failures: usize,
}

impl Race {
    /// A request to a name that has these addresses.
    fn start(addresses: &[&str]) -> Race {
        let mut driver = Paper::default();
        let mut engine = Engine::new(Config::default(), Trust::default(), driver.now);
        let url = "http://name.example/".parse().expect("legal");
        let request = Request::new(Method::GET, url);
        engine.submit(driver.now, request).expect("room");
        engine.settle(&mut driver, &mut |_| {});
        let lookup = engine.poll_resolve().expect("a name");
        let parsed = addresses
            .iter()
            .map(|address| address.parse().expect("one"));
        engine.resolved(&mut driver, lookup.conn, Ok(parsed.collect()));
        let failures = 0;
        Race {
            driver,
            engine,
            failures,
        }
    }

    /// Lets time pass until there is something to do, or until then.
    fn pass(&mut self, time: Duration) {
        let end = self.driver.now + time;
        while self.driver.now < end {
            let due = self.engine.poll_timeout().unwrap_or(end);
            self.driver.now = due.clamp(self.driver.now, end);
            self.settle();
        }
    }

    fn settle(&mut self) {
        let failures = &mut self.failures;
        let mut sink = |event: hioload::http_client::Event<'_>| {
            let is_failure = matches!(event, hioload::http_client::Event::Failed { .. });
            *failures += usize::from(is_failure);
        };
        self.engine.settle(&mut self.driver, &mut sink);
    }

    fn complete(&mut self, completion: Completion) {
        let mut sink = |_: hioload::http_client::Event<'_>| {};
        let other = self.engine.handle(&mut self.driver, completion, &mut sink);
        assert!(other.is_none());
        self.settle();
    }

    fn refused(&mut self, number: usize) {
        let (socket, errno) = (socket(number), 111);
        self.complete(Completion::ConnectFailed { socket, errno });
        self.complete(Completion::Closed { socket });
    }

    fn tried(&self) -> Vec<String> {
        let tried = self.driver.connects.iter();
        tried.map(ToString::to_string).collect()
    }
}

const ALL: [&str; 6] = [
    "[2001:db8::1]:80",
    "[2001:db8::2]:80",
    "[2001:db8::3]:80",
    "[2001:db8::4]:80",
    "192.0.2.1:80",
    "192.0.2.2:80",
];

#[test]
fn who_does_not_answer_soon_gets_company_and_the_first_to_answer_is_taken() {
    let mut race = Race::start(&ALL);
    assert_eq!(race.tried(), [ALL[0]]);
    race.pass(Duration::from_millis(249));
    assert_eq!(race.tried(), [ALL[0]], "it has some time alone");
    race.pass(Duration::from_millis(1));
    assert_eq!(race.tried(), [ALL[0], ALL[4]], "the other family is next");
    race.pass(Duration::from_millis(250));
    assert_eq!(race.tried().len(), 3);
    race.complete(Completion::Connected { socket: socket(1) });
    assert_eq!(race.driver.closed, [socket(0), socket(2)]);
    assert_eq!(race.driver.sends, [socket(1)], "the request goes out");
    // Those that were given up may still answer.
    race.complete(Completion::Connected { socket: socket(0) });
    for loser in [0, 2] {
        let socket = socket(loser);
        race.complete(Completion::Closed { socket });
    }
    assert_eq!((race.tried().len(), race.failures), (3, 0));
}

#[test]
fn a_refusal_brings_on_the_next_at_once_and_the_last_one_the_failure() {
    let mut race = Race::start(&ALL[3..]);
    race.refused(0);
    assert_eq!(race.tried(), [ALL[3], ALL[4]]);
    race.pass(Duration::from_millis(250));
    assert_eq!(race.tried(), [ALL[3], ALL[4], ALL[5]]);
    race.refused(1);
    assert_eq!(race.failures, 0, "one is left");
    race.refused(2);
    assert_eq!(race.failures, 1);
}

#[test]
fn so_many_are_tried_at_a_time_and_the_oldest_gives_way() {
    let mut race = Race::start(&ALL);
    race.pass(Duration::from_secs(1));
    assert_eq!((race.tried().len(), race.driver.closed.len()), (4, 0));
    race.pass(Duration::from_secs(3));
    assert_eq!(
        (race.tried().len(), &*race.driver.closed),
        (5, &[socket(0)][..])
    );
    race.pass(Duration::from_secs(60));
    assert_eq!(race.failures, 1, "the time to connect is for all of them");
    assert_eq!(race.driver.closed.len(), 6, "nobody is forgotten");
}
