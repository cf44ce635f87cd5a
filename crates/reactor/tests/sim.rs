//! The simulation itself: production workers in virtual time, reproducible, with every fault.

#[path = "sim/echo.rs"]
mod echo;

use std::net::SocketAddr;
use std::time::Duration;

use hioload_base::Time;
use hioload_reactor::sim::{CHANCE_OF, Fault, FaultCounts, SimConfig, SimDriver, SimNet, SimPeer};
use hioload_reactor::{
    Completion, Driver, DriverConfig, ListenSpec, Op, RecvEnd, SocketId, Wait, Worker, WorkerConfig,
};
use hioload_ring::mesh;

use crate::echo::{Clients, Echo};

fn addr() -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], 9002))
}

fn config() -> DriverConfig {
    DriverConfig {
        batch: 64,
        sockets_max: 64,
        recv_buffer_size: 1024,
        recv_buffer_count: 16,
        ..DriverConfig::default()
    }
}

/// What a run comes to.
#[derive(Debug, PartialEq, Eq)]
struct Run {
    trace: u64,
    now: Time,
    echoed: u64,
    ended: u64,
    accepted: u64,
    faults: FaultCounts,
}

/// Ten clients and an echo server for two virtual seconds of faults and one of calm.
fn run(seed: u64, network: SimConfig) -> Run {
    let net = SimNet::new(seed, network);
    let drivers = [net.driver(config()), net.driver(config())];
    let peers: Vec<_> = drivers.iter().map(Driver::address).collect();
    let [server, client] = drivers.map(Box::new);
    let mut ports = mesh::<()>(2, 8).into_iter();
    let mut port = || ports.next().expect("two ports");
    let worker_config = WorkerConfig::default;
    let mut server = Worker::new(
        server,
        port(),
        peers.clone(),
        worker_config(),
        Echo::new(addr()),
    );
    let clients = Clients::new(addr(), 10, seed);
    let mut client = Worker::new(client, port(), peers, worker_config(), clients);
    let mut turn = || {
        server
            .turn(Wait::Forever)
            .expect("a simulated driver works");
        client
            .turn(Wait::Forever)
            .expect("a simulated driver works");
    };
    while net.now() < Time::from_millis(2000) {
        turn();
    }
    net.heal();
    let healed = net.now();
    while net.now() < healed + Duration::from_secs(1) {
        turn();
    }
    let (echoed, ended) = (client.service().echoed, client.service().ended);
    assert!(
        server.service().connections() > 0,
        "after the storm there are connections"
    );
    Run {
        trace: net.trace(),
        now: net.now(),
        echoed,
        ended,
        accepted: server.service().accepted,
        faults: net.faults(),
    }
}

#[test]
fn the_same_seed_is_the_same_run() {
    let first = run(7, SimConfig::stormy());
    assert_eq!(run(7, SimConfig::stormy()), first);
    assert_ne!(run(8, SimConfig::stormy()).trace, first.trace);
}

#[test]
fn every_byte_comes_back_and_every_fault_fires() {
    let mut faults = FaultCounts::default();
    for seed in 0..40 {
        let run = run(seed, SimConfig::stormy());
        assert!(run.echoed > 100_000, "seed {seed}: {run:?}");
        faults += run.faults;
    }
    println!("{faults}");
    let never: Vec<&str> = faults.never_fired().map(Fault::name).collect();
    assert!(never.is_empty(), "never fired: {never:?}");
}

#[test]
fn a_calm_network_has_no_faults() {
    let run = run(3, SimConfig::calm());
    let quiet = |fault: &Fault| run.faults.of(*fault) == 0;
    // Cancelling may come too late on its own.
    let fired: Vec<Fault> = Fault::ALL
        .into_iter()
        .filter(|fault| !quiet(fault))
        .collect();
    assert!(
        fired.iter().all(|fault| *fault == Fault::CancelLost),
        "{fired:?}"
    );
    assert!(run.echoed > 1_000_000, "{run:?}");
}

/// A driver with a listener, for peers at the byte level.
struct Host {
    net: SimNet,
    driver: SimDriver,
    received: Vec<u8>,
    ended: Option<RecvEnd>,
    sent: Vec<Result<usize, i32>>,
    socket: Option<SocketId>,
    refusals: usize,
}

impl Host {
    fn new(network: SimConfig) -> Self {
        let net = SimNet::new(1, network);
        let mut driver = net.driver(config());
        let listener = driver
            .listen(&ListenSpec::new(addr()))
            .expect("a free port");
        driver.submit(Op::Accept { listener }).expect("taken");
        Self {
            net,
            driver,
            received: Vec::new(),
            ended: None,
            sent: Vec::new(),
            socket: None,
            refusals: 0,
        }
    }

    fn connect(&mut self) -> SimPeer {
        let peer = self.net.connect(addr());
        self.until(|host| host.socket.is_some());
        peer
    }

    fn until(&mut self, done: impl Fn(&Self) -> bool) {
        for _ in 0..10_000 {
            if done(self) {
                return;
            }
            self.turn(Wait::For(Duration::from_secs(1)));
        }
        panic!("nothing more happens");
    }

    fn turn(&mut self, wait: Wait) {
        let mut events = Vec::new();
        self.driver
            .turn(wait, &mut events)
            .expect("a simulated driver works");
        for event in events {
            match event {
                Completion::Accepted { socket, .. } => {
                    self.driver.submit(Op::Recv { socket }).expect("fresh");
                    self.socket = Some(socket);
                }
                Completion::AcceptEnded { listener, .. } => {
                    self.refusals += 1;
                    self.driver
                        .submit(Op::Accept { listener })
                        .expect("it had ended");
                }
                Completion::Received { buffer, .. } => self.received.extend_from_slice(&buffer),
                Completion::RecvEnded { end, .. } => self.ended = Some(end),
                Completion::Sent { result, .. } => self.sent.push(result),
                other => panic!("unexpected {other:?}"),
            }
        }
    }

    fn send(&mut self, bytes: &[u8]) {
        let socket = self.socket.expect("connected");
        let payload = hioload_mem::Segment::copy_from(bytes).into();
        self.driver
            .submit(Op::Send { socket, payload })
            .expect("taken");
    }
}

#[test]
fn a_peer_speaks_bytes() {
    let mut host = Host::new(SimConfig::calm());
    let mut peer = host.connect();
    assert_eq!(peer.write(b"hello"), Ok(5));
    host.until(|host| host.received == b"hello");
    assert_eq!(peer.connected(), Some(Ok(())));
    host.send(b"welcome");
    host.until(|host| !host.sent.is_empty());
    host.turn(Wait::For(Duration::from_millis(1)));
    assert_eq!(peer.read(3), Ok(b"wel".to_vec()));
    assert_eq!(peer.read(100), Ok(b"come".to_vec()));
    assert_eq!(peer.read(100), Ok(Vec::new()), "nothing now");
    peer.shutdown();
    assert_eq!(peer.write(b"more"), Err(libc::EPIPE));
    host.until(|host| host.ended == Some(RecvEnd::Eof));
}

#[test]
fn a_peer_that_does_not_read_holds_the_sender_back() {
    let mut host = Host::new(SimConfig::calm());
    let mut peer = host.connect();
    peer.set_window(10);
    let size = SimConfig::calm().send_buffer;
    host.send(&vec![7; size]);
    host.until(|host| host.sent.len() == 1);
    host.send(&[8; 100]);
    for _ in 0..10 {
        host.turn(Wait::For(Duration::from_secs(1)));
    }
    // Ten bytes have left for the peer: so many fit in again.
    assert_eq!(host.sent, [Ok(size), Ok(10)]);
    assert_eq!(peer.read(1000), Ok(vec![7; 10]));
    host.turn(Wait::For(Duration::from_secs(1)));
    assert_eq!(peer.read(1000), Ok(vec![7; 10]));
}

#[test]
fn a_reset_comes_through_at_once() {
    let mut host = Host::new(SimConfig::calm());
    let peer = host.connect();
    peer.reset();
    host.until(|host| host.ended == Some(RecvEnd::Failed(libc::ECONNRESET)));
    host.send(b"x");
    host.until(|host| host.sent == [Err(libc::EPIPE)]);
}

#[test]
fn a_peer_is_refused_where_nobody_listens() {
    let mut host = Host::new(SimConfig::calm());
    let peer = host.net.connect(SocketAddr::from(([10, 0, 0, 2], 1)));
    assert_eq!(peer.connected(), None);
    host.turn(Wait::For(Duration::from_secs(1)));
    assert_eq!(peer.connected(), Some(Err(libc::ECONNREFUSED)));
}

#[test]
fn time_moves_only_when_everybody_is_idle() {
    let mut host = Host::new(SimConfig::calm());
    let start = host.net.now();
    host.turn(Wait::For(Duration::from_secs(3600)));
    assert_eq!(
        host.net.now() - start,
        Duration::from_secs(3600),
        "an hour costs nothing"
    );
    let now = host.net.now();
    let mut other = host.net.driver(config());
    other.address().waker().wake();
    host.turn(Wait::For(Duration::from_secs(1)));
    assert_eq!(host.net.now(), now, "the other one has a wake to see first");
    let mut events = Vec::new();
    other
        .turn(Wait::Forever, &mut events)
        .expect("a simulated driver works");
    assert!(matches!(events[..], [Completion::Woken]));
    // And a driver that nobody turns any more does not stop the clock for ever.
    other.address().waker().wake();
    for _ in 0..100 {
        host.turn(Wait::For(Duration::from_secs(1)));
    }
    assert!(host.net.now() > now);
}

#[test]
fn certain_faults_fire_every_time() {
    let always = |fault| SimConfig::calm().with(fault, CHANCE_OF);
    let mut host = Host::new(always(Fault::ShortRead));
    let mut peer = host.connect();
    assert_eq!(peer.write(&[1; 100]), Ok(100));
    host.until(|host| host.received.len() == 100);
    assert!(host.net.faults().of(Fault::ShortRead) > 1);

    let mut host = Host::new(always(Fault::ShortWrite));
    let _peer = host.connect();
    host.send(&[1; 100]);
    host.until(|host| host.sent.len() == 1);
    assert!(matches!(host.sent[..], [Ok(1..100)]));

    let mut host = Host::new(always(Fault::Pause));
    let start = host.net.now();
    host.turn(Wait::For(Duration::from_millis(1)));
    assert!(host.net.now() - start > Duration::from_millis(1));
    assert!(host.net.faults().of(Fault::Pause) > 0);

    let host = Host::new(always(Fault::Refused));
    let peer = host.net.connect(addr());
    let mut host = host;
    host.turn(Wait::For(Duration::from_secs(5)));
    assert_eq!(peer.connected(), Some(Err(libc::ECONNREFUSED)));
}

#[test]
fn faults_end_when_the_network_heals() {
    let mut host = Host::new(SimConfig::calm().with(Fault::NoDescriptors, CHANCE_OF));
    let _peer = host.net.connect(addr());
    host.until(|host| host.refusals > 3);
    assert!(host.socket.is_none());
    host.net.heal();
    host.until(|host| host.socket.is_some());
}
