//! An echo service and its clients, written as production services are: every event has its
//! branch. The clients check every byte.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use hioload_base::Prng;
use hioload_mem::Segment;
use hioload_reactor::{
    Completion, Connect, Context, ListenSpec, ListenerId, Op, OpId, RecvEnd, Service, SocketId,
};

const RETRY: u64 = u64::MAX;

/// What is to be sent on a socket, one send at a time.
#[derive(Default)]
struct Output {
    waiting: Vec<u8>,
    sending: bool,
}

impl Output {
    fn push(&mut self, cx: &mut Context<'_, ()>, socket: SocketId, bytes: &[u8]) {
        self.waiting.extend_from_slice(bytes);
        self.flush(cx, socket);
    }

    fn flush(&mut self, cx: &mut Context<'_, ()>, socket: SocketId) {
        if self.sending || self.waiting.is_empty() {
            return;
        }
        let payload = Segment::copy_from(&self.waiting).into();
        self.sending = cx.submit(Op::Send { socket, payload }).is_ok();
    }

    fn sent(&mut self, cx: &mut Context<'_, ()>, socket: SocketId, size: usize) {
        self.sending = false;
        self.waiting.drain(..size);
        self.flush(cx, socket);
    }
}

/// Sends back what it receives.
pub(crate) struct Echo {
    addr: SocketAddr,
    outputs: BTreeMap<SocketId, Output>,
    pub(crate) accepted: u64,
}

impl Echo {
    pub(crate) fn new(addr: SocketAddr) -> Self {
        Self {
            addr,
            outputs: BTreeMap::new(),
            accepted: 0,
        }
    }

    pub(crate) fn connections(&self) -> usize {
        self.outputs.len()
    }
}

impl Service for Echo {
    type Message = ();

    fn start(&mut self, cx: &mut Context<'_, ()>) {
        let mut spec = ListenSpec::new(self.addr);
        spec.send_buffer = Some(2048);
        let listener = cx.driver().listen(&spec).expect("a free port");
        cx.submit(Op::Accept { listener }).expect("taken");
    }

    fn completion(&mut self, cx: &mut Context<'_, ()>, event: Completion) {
        match event {
            Completion::Accepted { socket, .. } => {
                self.accepted += 1;
                self.outputs.insert(socket, Output::default());
                cx.submit(Op::Recv { socket }).expect("fresh");
            }
            Completion::AcceptEnded { .. } => {
                // Out of descriptors: later again.
                cx.timer(cx.now() + Duration::from_millis(10), RETRY)
                    .expect("room for a timer");
            }
            Completion::Received { socket, buffer } => {
                if let Some(output) = self.outputs.get_mut(&socket) {
                    output.push(cx, socket, &buffer);
                }
            }
            Completion::Sent {
                socket,
                result: Ok(size),
                ..
            } => {
                if let Some(output) = self.outputs.get_mut(&socket) {
                    output.sent(cx, socket, size);
                }
            }
            Completion::Sent {
                socket,
                result: Err(_),
                ..
            }
            | Completion::RecvEnded {
                socket,
                end: RecvEnd::Eof | RecvEnd::Failed(_),
            } => {
                let _ = cx.submit(Op::Close { socket });
            }
            Completion::Closed { socket } => {
                self.outputs
                    .remove(&socket)
                    .expect("closed once, and not before");
            }
            other => panic!("unexpected {other:?}"),
        }
    }

    fn timer(&mut self, cx: &mut Context<'_, ()>, _: u64) {
        cx.submit(Op::Accept {
            listener: ListenerId(0),
        })
        .expect("it had ended");
    }

    fn message(&mut self, _: &mut Context<'_, ()>, _: Option<usize>, (): ()) {}

    fn turn_end(&mut self, _: &mut Context<'_, ()>) -> bool {
        false
    }
}

/// One conversation: what was sent and how much of it came back.
struct Talk {
    output: Output,
    sent: Vec<u8>,
    echoed: usize,
    /// A send or receive cancel was asked for.
    cancelled: bool,
}

/// Opens connections, says recognisable bytes, and checks what comes back.
pub(crate) struct Clients {
    to: SocketAddr,
    prng: Prng,
    talks: BTreeMap<SocketId, Talk>,
    wanted: usize,
    /// Bytes that came back as they were.
    pub(crate) echoed: u64,
    pub(crate) ended: u64,
}

impl Clients {
    pub(crate) fn new(to: SocketAddr, wanted: usize, seed: u64) -> Self {
        let prng = Prng::new(seed);
        Self {
            to,
            prng,
            talks: BTreeMap::new(),
            wanted,
            echoed: 0,
            ended: 0,
        }
    }

    fn connect(&mut self, cx: &mut Context<'_, ()>) {
        let _ = cx.submit(Op::Connect(Connect::new(self.to)));
    }

    /// Says something, and calls something off now and then.
    fn talk(&mut self, cx: &mut Context<'_, ()>, socket: SocketId) {
        let Some(talk) = self.talks.get_mut(&socket) else {
            return;
        };
        let mut bytes = vec![0; 1 + self.prng.below(3000) as usize];
        self.prng.fill(&mut bytes);
        talk.sent.extend_from_slice(&bytes);
        talk.output.push(cx, socket, &bytes);
        if self.prng.chance(1, 8) {
            talk.cancelled = true;
            let op = if self.prng.chance(1, 2) {
                OpId::recv(socket)
            } else {
                OpId::send(socket)
            };
            cx.cancel(op);
        }
    }
}

impl Service for Clients {
    type Message = ();

    fn start(&mut self, cx: &mut Context<'_, ()>) {
        for _ in 0..self.wanted {
            self.connect(cx);
        }
        cx.timer(cx.now() + Duration::from_millis(5), 0)
            .expect("room for a timer");
    }

    fn completion(&mut self, cx: &mut Context<'_, ()>, event: Completion) {
        match event {
            Completion::Connected { socket } => {
                let output = Output::default();
                let talk = Talk {
                    output,
                    sent: Vec::new(),
                    echoed: 0,
                    cancelled: false,
                };
                self.talks.insert(socket, talk);
                cx.submit(Op::Recv { socket }).expect("fresh");
                self.talk(cx, socket);
            }
            Completion::ConnectFailed { .. } => {}
            Completion::Received { socket, buffer } => {
                let talk = self
                    .talks
                    .get_mut(&socket)
                    .expect("a connection that stands");
                let end = talk.echoed + buffer.len();
                assert!(end <= talk.sent.len(), "more came back than was sent");
                assert_eq!(
                    talk.sent[talk.echoed..end],
                    *buffer,
                    "other bytes came back"
                );
                talk.echoed = end;
                self.echoed += buffer.len() as u64;
            }
            Completion::Sent { socket, result, .. } => {
                let talk = self
                    .talks
                    .get_mut(&socket)
                    .expect("a connection that stands");
                match result {
                    Ok(size) => talk.output.sent(cx, socket, size),
                    Err(libc::ECANCELED) => {
                        assert!(talk.cancelled, "nobody cancelled");
                        talk.output.sent(cx, socket, 0);
                    }
                    Err(_) => drop(cx.submit(Op::Close { socket })),
                }
            }
            Completion::RecvEnded {
                socket,
                end: RecvEnd::Cancelled,
            } => {
                assert!(self.talks[&socket].cancelled, "nobody cancelled");
                cx.submit(Op::Recv { socket }).expect("it had ended");
            }
            Completion::RecvEnded { socket, .. } => drop(cx.submit(Op::Close { socket })),
            Completion::Closed { socket } => {
                self.talks.remove(&socket);
                self.ended += 1;
                self.connect(cx);
            }
            other => panic!("unexpected {other:?}"),
        }
    }

    fn timer(&mut self, cx: &mut Context<'_, ()>, _: u64) {
        let sockets: Vec<SocketId> = self.talks.keys().copied().collect();
        for socket in sockets {
            match self.prng.below(20) {
                0 => drop(cx.submit(Op::Close { socket })),
                1..6 => self.talk(cx, socket),
                _ => {}
            }
        }
        cx.timer(cx.now() + Duration::from_millis(5), 0)
            .expect("room for a timer");
    }

    fn message(&mut self, _: &mut Context<'_, ()>, _: Option<usize>, (): ()) {}

    fn turn_end(&mut self, _: &mut Context<'_, ()>) -> bool {
        false
    }
}
