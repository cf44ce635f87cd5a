//! Whole conversations with the crate `h2` on the other end: whatever is asked for arrives as it was sent, and neither end
//! finds fault with the other.
//!
//! The first three bytes set windows and cuts; each of the others is a request.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use bytes::Bytes;
use h2::{RecvStream, SendStream};
use hioload_base::Time;
use hioload_http::h2::{Connection, Event, HeadKind, HeaderList, Limits, RequestHead, StreamRef};
use http::{Method, Request, Response};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

/// Requests of one conversation at most.
const REQUESTS_MAX: usize = 24;

/// What the crate lets tiny DATA frames cost, bytes: windows of one byte make many of them, and what is cut off is not given back.
const TINY_BUDGET: usize = 1 << 30;

const SIZES: [usize; 10] = [
    0, 1, 100, 999, 5000, 16_384, 16_385, 40_000, 70_000, 140_000,
];
const WINDOWS: [u32; 7] = [1, 100, 1000, 16_384, 65_535, 65_536, 1 << 20];

/// What is asked for: so many bytes, or that they come back.
#[derive(Clone, Copy, Debug)]
struct Ask {
    is_echo: bool,
    /// The asker has had enough after the first piece.
    is_cut_off: bool,
    size: usize,
}

fn content(size: usize) -> Vec<u8> {
    (0..size).map(content_at).collect()
}

fn content_at(place: usize) -> u8 {
    (place * 7 % 251) as u8
}

/// Checks one input; panics when something is wrong.
pub(crate) fn run(data: &[u8]) {
    let Some((&[ours, theirs, cut], asks)) = data.split_first_chunk::<3>() else {
        return;
    };
    if asks.is_empty() {
        return;
    }
    let window = |byte: u8| WINDOWS[usize::from(byte) % WINDOWS.len()];
    // Content that goes byte by byte takes its time.
    let size_max = if window(ours).min(window(theirs)) < 1000 {
        999
    } else if cut == 0 {
        16_385
    } else {
        140_000
    };
    let ask = |&byte: &u8| Ask {
        is_echo: byte & 1 == 1,
        is_cut_off: byte & 0xe0 == 0xe0,
        size: SIZES[usize::from(byte >> 1 & 0xf) % SIZES.len()].min(size_max),
    };
    let asks: Vec<Ask> = asks.iter().take(REQUESTS_MAX).map(ask).collect();
    let limits = Limits {
        stream_window: window(ours),
        tiny_data_burst: u32::MAX,
        ..Limits::default()
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.expect("a runtime").block_on(async {
        let (near, far) = duplex(1 << 14);
        let server = Side::new(Connection::server(&limits, Time::ZERO), &[], cut);
        let ((), ()) = join(server.drive(near), their_client(far, window(theirs), &asks)).await;

        let (near, far) = duplex(1 << 14);
        let client = Side::new(Connection::client(&limits, Time::ZERO), &asks, cut);
        let ((), ()) = join(client.drive(near), their_server(far, window(theirs))).await;
    });
}

/// Both at once, on one thread.
async fn join<A, B>(a: impl Future<Output = A>, b: impl Future<Output = B>) -> (A, B) {
    let (mut a, mut b) = (pin!(a), pin!(b));
    let (mut first, mut second) = (None, None);
    poll_fn(|cx| {
        if first.is_none()
            && let Poll::Ready(value) = a.as_mut().poll(cx)
        {
            first = Some(value);
        }
        if second.is_none()
            && let Poll::Ready(value) = b.as_mut().poll(cx)
        {
            second = Some(value);
        }
        if first.is_some() && second.is_some() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
    (first.expect("ready"), second.expect("ready"))
}

/// An event that borrows nothing.
enum Saw {
    Request {
        stream: StreamRef,
        is_echo: bool,
        size: usize,
    },
    Response,
    Data {
        stream: StreamRef,
        bytes: Vec<u8>,
        end: bool,
    },
    Reset(StreamRef),
    Settings,
    Other,
}

/// Our end: a client that asks, or a server that answers.
struct Side {
    connection: Connection,
    list: HeaderList,
    asks: Vec<Ask>,
    next: usize,
    is_client: bool,
    /// Their limits are known: nothing that is opened is refused.
    is_ready: bool,
    /// What was asked on a stream, and what came.
    open: BTreeMap<u32, (Ask, Vec<u8>)>,
    /// Content to send.
    content: BTreeMap<u32, Vec<u8>>,
    cut: usize,
}

impl Side {
    fn new(connection: Connection, asks: &[Ask], cut: u8) -> Self {
        Self {
            is_client: connection.output().starts_with(b"PRI"),
            connection,
            list: HeaderList::new(),
            asks: asks.to_vec(),
            next: 0,
            is_ready: false,
            open: BTreeMap::new(),
            content: BTreeMap::new(),
            cut: usize::from(cut) * 67 + 1,
        }
    }

    async fn drive(mut self, mut pipe: DuplexStream) {
        let mut buffer = vec![0; self.cut];
        loop {
            if self.is_client && self.is_ready {
                self.ask();
            }
            let wire = self.wire();
            if pipe.write_all(&wire).await.is_err() || self.connection.is_drained() {
                // They may still have to say something: reading on keeps that from failing.
                let _ = pipe.shutdown().await;
                while !matches!(pipe.read(&mut buffer).await, Ok(0) | Err(_)) {}
                break;
            }
            let len = match pipe.read(&mut buffer).await {
                Ok(0) | Err(_) => break,
                Ok(len) => len,
            };
            let mut input = &mut buffer[..len];
            while let Some(saw) = self.next(&mut input) {
                if self.is_client {
                    self.client_sees(saw);
                } else {
                    self.server_sees(saw);
                }
            }
        }
        assert_eq!(self.next, self.asks.len());
        assert!(self.open.is_empty());
    }

    fn wire(&mut self) -> Vec<u8> {
        let mut wire = Vec::new();
        loop {
            self.connection.poll_output(&mut wire);
            let Some(grant) = self.connection.poll_send() else {
                return wire;
            };
            wire.extend_from_slice(&Connection::data_header(&grant));
            let content = self.content.entry(grant.stream.id).or_default();
            wire.extend(content.drain(..grant.len));
            if grant.end_stream && !self.is_client {
                self.content.remove(&grant.stream.id);
                self.connection.release(grant.stream);
            }
        }
    }

    fn next(&mut self, input: &mut &mut [u8]) -> Option<Saw> {
        let event = self
            .connection
            .handle_input(Time::ZERO, input, &mut self.list);
        Some(match event.expect("h2 is sound")? {
            Event::Head {
                stream,
                kind: HeadKind::Request,
                end_stream,
            } => Saw::Request {
                stream,
                is_echo: !end_stream,
                size: self.list.path().expect("checked")[1..]
                    .parse()
                    .expect("a number"),
            },
            Event::Head { .. } => Saw::Response,
            Event::Data {
                stream,
                bytes,
                flow,
                end_stream,
            } => {
                self.connection.consumed(stream, flow);
                Saw::Data {
                    stream,
                    bytes: bytes.to_vec(),
                    end: end_stream,
                }
            }
            Event::Reset { stream, .. } => Saw::Reset(stream),
            Event::Settings => Saw::Settings,
            _ => Saw::Other,
        })
    }

    /// Opens what may be opened; ends when all is done.
    fn ask(&mut self) {
        while let Some(&ask) = self.asks.get(self.next) {
            let path = format!("/{}", ask.size);
            let head = RequestHead {
                method: if ask.is_echo { "POST" } else { "GET" },
                scheme: "https",
                authority: "example.com",
                path: &path,
                protocol: None,
            };
            let opened = self
                .connection
                .open(Time::ZERO, &head, [].into_iter(), !ask.is_echo);
            let Ok(stream) = opened else { return };
            if ask.is_echo {
                self.content.insert(stream.id, content(ask.size));
                self.connection
                    .queue(stream, ask.size, true)
                    .expect("it is open");
            }
            self.open.insert(stream.id, (ask, Vec::new()));
            self.next += 1;
        }
        if self.open.is_empty() {
            self.connection.shutdown(Time::ZERO);
        }
    }

    fn client_sees(&mut self, saw: Saw) {
        match saw {
            Saw::Data { stream, bytes, end } => {
                let (ask, came) = self.open.get_mut(&stream.id).expect("it is open");
                let place = came.len();
                came.extend_from_slice(&bytes);
                assert!(came.len() <= ask.size, "{ask:?}: {} came", came.len());
                assert!(
                    (place..)
                        .zip(&bytes)
                        .all(|(place, &byte)| byte == content_at(place))
                );
                if end || ask.is_cut_off {
                    assert!(
                        !end || came.len() == ask.size,
                        "{ask:?}: {} came",
                        came.len()
                    );
                    self.open.remove(&stream.id);
                    self.content.remove(&stream.id);
                    self.connection.release(stream);
                }
            }
            Saw::Reset(stream) => panic!("{stream:?} was reset"),
            Saw::Settings => self.is_ready = true,
            _ => {}
        }
    }

    fn server_sees(&mut self, saw: Saw) {
        match saw {
            Saw::Request {
                stream,
                is_echo,
                size,
            } => {
                self.connection
                    .respond(stream, 200, [].into_iter(), false)
                    .expect("due");
                if !is_echo {
                    self.content.insert(stream.id, content(size));
                    self.connection.queue(stream, size, true).expect("due");
                }
            }
            Saw::Data { stream, bytes, end } => {
                self.content
                    .entry(stream.id)
                    .or_default()
                    .extend_from_slice(&bytes);
                self.connection
                    .queue(stream, bytes.len(), end)
                    .expect("due");
            }
            Saw::Reset(stream) => {
                self.content.remove(&stream.id);
                self.connection.release(stream);
            }
            _ => {}
        }
    }
}

async fn write(stream: &mut SendStream<Bytes>, bytes: &[u8]) -> Result<(), h2::Error> {
    let mut rest = bytes;
    while !rest.is_empty() {
        stream.reserve_capacity(rest.len());
        let Some(size) = poll_fn(|cx| stream.poll_capacity(cx)).await else {
            return Ok(());
        };
        let (now, later) = rest.split_at(size?.min(rest.len()));
        rest = later;
        stream.send_data(Bytes::copy_from_slice(now), false)?;
    }
    Ok(())
}

/// All of it, or what comes first.
async fn read(body: &mut RecvStream, is_cut_off: bool) -> Vec<u8> {
    let mut all = Vec::new();
    while let Some(piece) = body.data().await {
        let piece = piece.expect("our server is sound");
        all.extend_from_slice(&piece);
        body.flow_control()
            .release_capacity(piece.len())
            .expect("it was taken");
        if is_cut_off {
            break;
        }
    }
    all
}

async fn their_client(pipe: DuplexStream, window: u32, asks: &[Ask]) {
    let mut builder = h2::client::Builder::new();
    builder
        .initial_window_size(window)
        .data_frame_budget(TINY_BUDGET);
    let (client, connection) = builder
        .handshake::<_, Bytes>(pipe)
        .await
        .expect("a handshake");
    let connection = tokio::spawn(connection);
    let mut tasks = Vec::new();
    for &ask in asks {
        let mut client = client.clone().ready().await.expect("our server takes it");
        tasks.push(tokio::spawn(async move {
            let method = if ask.is_echo {
                Method::POST
            } else {
                Method::GET
            };
            let request = Request::builder()
                .method(method)
                .uri(format!("https://example.com/{}", ask.size));
            let request = request.body(()).expect("sound");
            let (answer, mut out) = client.send_request(request, !ask.is_echo).expect("room");
            let sending = async {
                if ask.is_echo {
                    let sent = write(&mut out, &content(ask.size)).await;
                    let ended = out.send_data(Bytes::new(), true);
                    assert!(ask.is_cut_off || (sent.is_ok() && ended.is_ok()));
                }
            };
            let reading = async {
                let mut body = answer.await.expect("our server answers").into_body();
                read(&mut body, ask.is_cut_off).await
            };
            let ((), all) = join(sending, reading).await;
            let expected = content(ask.size);
            assert!(expected.starts_with(&all) && (ask.is_cut_off || all.len() == ask.size));
        }));
    }
    for task in tasks {
        task.await.expect("no panic");
    }
    drop(client);
    connection
        .await
        .expect("no panic")
        .expect("our server is sound");
}

async fn their_server(pipe: DuplexStream, window: u32) {
    let mut builder = h2::server::Builder::new();
    builder
        .initial_window_size(window)
        .data_frame_budget(TINY_BUDGET)
        .max_concurrent_streams(10);
    let mut connection = builder
        .handshake::<_, Bytes>(pipe)
        .await
        .expect("a handshake");
    while let Some(accepted) = connection.accept().await {
        let (request, mut respond) = accepted.expect("our client is sound");
        tokio::spawn(async move {
            let size = request.uri().path()[1..].parse().expect("a number");
            let is_echo = request.method() == Method::POST;
            let Ok(mut out) = respond.send_response(Response::new(()), false) else {
                return;
            };
            // Whatever fails was cut off by our client, which says so if it was not.
            if !is_echo {
                let _ = write(&mut out, &content(size)).await;
            }
            let mut body = request.into_body();
            while let Some(Ok(piece)) = body.data().await {
                let _ = body.flow_control().release_capacity(piece.len());
                let _ = write(&mut out, &piece).await;
            }
            let _ = out.send_data(Bytes::new(), true);
        });
    }
}
