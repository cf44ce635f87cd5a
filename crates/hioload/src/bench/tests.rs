//! The proof, proven: a hub that misbehaves in known ways, and what the load says about it.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::thread;

use clap::Parser;
use hioload_ws::handshake::{AcceptPolicy, HandshakeLimits, Request, accept};
use hioload_ws::{CloseCode, Event, Kind, Limits, Outgoing, Role, Session, encode_header};

use super::{Options, Report, run};

/// What the hub does to the deliveries of its first subscriber.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    /// Deliveries 10, 20 and 30 do not happen.
    Drop,
    /// Deliveries 10, 20 and 30 happen twice.
    Repeat,
    /// Deliveries 10, 20 and 30 come after the one behind each.
    Swap,
    /// One byte of deliveries 10, 20 and 30 is another.
    Damage,
    /// Deliveries come in three frames each.
    Fragment,
    /// The connection is closed with 1013 after delivery 30.
    Close,
}

impl Fault {
    fn hits(self, delivery: usize) -> bool {
        matches!(delivery, 10 | 20 | 30) && self != Self::None
    }
}

/// One client as the hub sees it.
struct Client {
    stream: TcpStream,
    delivery_count: usize,
    held: Option<Vec<u8>>,
    is_closed: bool,
}

struct Hub {
    fault: Fault,
    clients: Mutex<Vec<Client>>,
}

impl Hub {
    /// Serves connections until the test ends.
    fn start(fault: Fault) -> SocketAddr {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a port");
        let addr = listener.local_addr().expect("bound");
        let hub = Arc::new(Self {
            fault,
            clients: Mutex::default(),
        });
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let hub = Arc::clone(&hub);
                thread::spawn(move || hub.serve(stream));
            }
        });
        addr
    }

    fn serve(&self, mut stream: TcpStream) {
        stream.set_nodelay(true).expect("a socket");
        let mut head = Vec::new();
        let mut bytes = [0; 16 * 1024];
        let index = loop {
            let size = stream.read(&mut bytes).unwrap_or(0);
            if size == 0 {
                return;
            }
            head.extend_from_slice(&bytes[..size]);
            let parsed = Request::parse(&head, &HandshakeLimits::default()).expect("a request");
            if let Some((request, _)) = parsed {
                let mut response = Vec::new();
                accept(&request, &AcceptPolicy::default(), &mut response).expect("accepted");
                let mut clients = self.clients.lock().expect("no panic");
                stream.write_all(&response).expect("the load is there");
                let stream = stream.try_clone().expect("a socket");
                clients.push(Client {
                    stream,
                    delivery_count: 0,
                    held: None,
                    is_closed: false,
                });
                break clients.len() - 1;
            }
        };
        let mut session = Session::new(Role::Server, false);
        loop {
            let size = stream.read(&mut bytes).unwrap_or(0);
            if size == 0 {
                return;
            }
            let mut input = &mut bytes[..size];
            while let Some(event) = session
                .handle_input(&Limits::default(), &mut input)
                .expect("legal")
            {
                match event {
                    Event::Data {
                        payload,
                        first: true,
                        last: true,
                        ..
                    } => self.publish(index, payload),
                    // Torn apart by the read: the load sends less than this at a time.
                    Event::Data { .. } => panic!("a publication larger than the hub takes"),
                    Event::Close(_) => {
                        // The hub's own handle of the socket is still open.
                        let _ = stream.shutdown(Shutdown::Both);
                        return;
                    }
                    _ => {}
                }
            }
        }
    }

    fn publish(&self, publisher: usize, payload: &[u8]) {
        let mut clients = self.clients.lock().expect("no panic");
        let first = usize::from(publisher == 0);
        for (index, client) in clients.iter_mut().enumerate() {
            if index != publisher && !client.is_closed {
                let fault = if index == first {
                    self.fault
                } else {
                    Fault::None
                };
                let bytes = client.deliver(fault, payload);
                // Nobody is told: the load may be gone already.
                let _ = client.stream.write_all(&bytes);
            }
        }
    }
}

impl Client {
    /// The bytes of a delivery, as the fault has it.
    fn deliver(&mut self, fault: Fault, payload: &[u8]) -> Vec<u8> {
        self.delivery_count += 1;
        let count = if fault == Fault::Fragment { 3 } else { 1 };
        let mut bytes = frames(payload, count);
        let is_hit = fault.hits(self.delivery_count);
        match fault {
            Fault::Drop if is_hit => bytes.clear(),
            Fault::Repeat if is_hit => bytes = bytes.repeat(2),
            Fault::Damage if is_hit => *bytes.last_mut().expect("a payload") ^= 1,
            Fault::Swap if is_hit => self.held = Some(std::mem::take(&mut bytes)),
            Fault::Swap => bytes.extend(self.held.take().unwrap_or_default()),
            Fault::Close if self.delivery_count == 30 => {
                let mut session = Session::new(Role::Server, false);
                let close = session
                    .close(CloseCode::TRY_AGAIN, "", None)
                    .expect("legal");
                bytes.extend_from_slice(&close);
                self.is_closed = true;
            }
            _ => {}
        }
        bytes
    }
}

/// A message in this many frames.
fn frames(payload: &[u8], count: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (index, piece) in payload.chunks(payload.len().div_ceil(count)).enumerate() {
        let mut frame = Outgoing::message(Kind::Binary, piece.len());
        if index > 0 {
            frame.opcode = hioload_ws::Opcode::Continuation;
        }
        frame.fin = index + 1 == count;
        bytes.extend_from_slice(&encode_header(frame));
        bytes.extend_from_slice(piece);
    }
    bytes
}

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    options: Options,
}

/// A short paced run of three subscribers.
fn broadcast(fault: Fault) -> Report {
    let addr = Hub::start(fault).to_string();
    let words = [
        "bench",
        "broadcast",
        "-n",
        "3",
        "--rate",
        "400",
        "--warmup",
        "0.05",
        "-s",
        "1",
        "--driver",
        "poll",
        "--size",
        "70",
        "--connect",
        &addr,
    ];
    let line = Line::try_parse_from(words).expect("legal flags");
    run(&line.options, &AtomicBool::new(false)).expect("a run")
}

#[test]
fn a_hub_that_does_right_is_found_to() {
    let report = broadcast(Fault::None);
    assert!(report.messages > 0 && report.publications > 0, "{report}");
    let faults = [
        report.lost,
        report.duplicated,
        report.reordered,
        report.corrupted,
        report.unexpected,
    ];
    assert_eq!(faults, [0; 5], "{report}");
    assert!(report.drained && report.latency_ns.is_some());
}

#[test]
fn every_delivery_that_is_missing_is_found() {
    let report = broadcast(Fault::Drop);
    assert_eq!(
        (report.lost, report.duplicated, report.reordered),
        (3, 0, 0),
        "{report}"
    );
}

#[test]
fn every_delivery_that_comes_twice_is_found() {
    let report = broadcast(Fault::Repeat);
    assert_eq!(
        (report.lost, report.duplicated, report.reordered),
        (0, 3, 0),
        "{report}"
    );
}

#[test]
fn every_delivery_that_comes_late_is_found() {
    let report = broadcast(Fault::Swap);
    assert_eq!(
        (report.lost, report.duplicated, report.reordered),
        (0, 0, 3),
        "{report}"
    );
}

#[test]
fn every_delivery_that_is_damaged_is_found_and_not_counted_as_come() {
    let report = broadcast(Fault::Damage);
    assert_eq!((report.corrupted, report.lost), (3, 3), "{report}");
}

#[test]
fn deliveries_in_fragments_are_whole() {
    let report = broadcast(Fault::Fragment);
    assert_eq!(
        (report.corrupted, report.lost, report.unexpected),
        (0, 0, 0),
        "{report}"
    );
    assert!(report.messages > 0);
}

#[test]
fn a_subscriber_that_is_thrown_out_is_told_with_its_code_and_its_loss() {
    let report = broadcast(Fault::Close);
    assert_eq!(report.connections_lost, 1, "{report}");
    assert_eq!(report.close_codes.get(&1013), Some(&1), "{report}");
    assert!(report.lost > 0, "{report}");
}

#[test]
fn a_run_that_is_to_stop_stops() {
    let addr = Hub::start(Fault::None).to_string();
    let words = [
        "bench",
        "broadcast",
        "-s",
        "3600",
        "--driver",
        "poll",
        "--connect",
        &addr,
    ];
    let line = Line::try_parse_from(words).expect("legal flags");
    let error = run(&line.options, &AtomicBool::new(true)).expect_err("no report");
    assert!(error.to_string().contains("interrupted"), "{error}");
}
