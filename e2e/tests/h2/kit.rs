//! A foreign HTTP/2 client on one thread, and what it says.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use hioload::{Broadcast, DriverChoice, ServerBuilder, Settings, StoreConfig};
use hioload_e2e::{Running, TIME_MAX};
use http::{Method, Request, Response};
use tempfile::TempDir;

/// A server with a store in a directory, which goes with it.
pub(crate) struct Scene {
    pub(crate) server: Running,
    _dir: TempDir,
}

impl Scene {
    pub(crate) fn new(driver: DriverChoice) -> Self {
        Self::of(driver, |builder| {
            builder.handler(|_| Broadcast::new("test"))
        })
    }

    pub(crate) fn of(
        driver: DriverChoice,
        with: impl FnOnce(ServerBuilder) -> ServerBuilder,
    ) -> Self {
        let dir = tempfile::tempdir().expect("a place for files");
        let store = StoreConfig {
            grace: Duration::ZERO,
            memory: 4 << 20,
            cache: 1 << 20,
            size: 0,
            grow: 1 << 20,
            index_size_max: 64 << 20,
            ..StoreConfig::new(dir.path())
        };
        let builder = Running::builder(driver, 1)
            .settings(Running::settings())
            .shutdown(Duration::from_secs(5), 0)
            .store(Some(store));
        Self {
            server: Running::start(with(builder)),
            _dir: dir,
        }
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.server.addr()
    }
}

/// Settings with this changed.
pub(crate) fn settings(tweak: impl FnOnce(&mut Settings)) -> Settings {
    let mut settings = Running::settings();
    tweak(&mut settings);
    settings
}

/// Runs a script with a deadline.
pub(crate) fn run<T>(script: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        tokio::time::timeout(TIME_MAX, script)
            .await
            .expect("waited too long")
    })
}

/// One connection.
#[derive(Clone)]
pub(crate) struct Peer {
    requests: SendRequest<Bytes>,
}

/// An answer, whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) head: Response<()>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn status(&self) -> u16 {
        self.head.status().as_u16()
    }

    pub(crate) fn field(&self, name: &str) -> &str {
        let value = self.head.headers().get(name);
        value.map_or("", |value| value.to_str().expect("text"))
    }
}

impl Peer {
    /// A connection, and what tells how it ended.
    pub(crate) async fn dial_with(
        addr: SocketAddr,
        builder: &mut h2::client::Builder,
    ) -> (Self, tokio::task::JoinHandle<Result<(), h2::Error>>) {
        let stream = tokio::net::TcpStream::connect(addr)
            .await
            .expect("the server listens");
        stream.set_nodelay(true).expect("an option");
        let (requests, connection) = builder.handshake(stream).await.expect("HTTP/2");
        let end = tokio::spawn(connection);
        let requests = requests.ready().await.expect("a connection");
        (Self { requests }, end)
    }

    pub(crate) async fn dial(addr: SocketAddr) -> Self {
        Self::dial_with(addr, &mut h2::client::Builder::new())
            .await
            .0
    }

    /// A request whose body is yet to be sent.
    pub(crate) async fn begin(
        &mut self,
        request: Request<()>,
        is_whole: bool,
    ) -> (ResponseFuture, SendStream<Bytes>) {
        let mut ready = self.requests.clone().ready().await.expect("a connection");
        ready.send_request(request, is_whole).expect("a request")
    }

    pub(crate) async fn ask_with(&mut self, request: Request<()>, body: &[u8]) -> Answer {
        let (answer, mut stream) = self.begin(request, body.is_empty()).await;
        if !body.is_empty() {
            send(&mut stream, body, true).await;
        }
        answer_of(answer).await
    }

    pub(crate) async fn ask(&mut self, method: &str, path: &str, body: &[u8]) -> Answer {
        self.ask_with(request(method, path), body).await
    }

    /// A tunnel for WebSocket (RFC 8441 5), and the head of the answer.
    pub(crate) async fn tunnel(
        &mut self,
        path: &str,
        fields: &[(&str, &str)],
    ) -> (u16, Tunnel, http::HeaderMap) {
        while !self.requests.is_extended_connect_protocol_enabled() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let mut request = Request::builder()
            .method(Method::CONNECT)
            .uri(format!("http://test{path}"))
            .extension(h2::ext::Protocol::from_static("websocket"))
            .header("sec-websocket-version", "13");
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let request = request.body(()).expect("a request");
        let (answer, send) = self.begin(request, false).await;
        let (head, recv) = answer.await.expect("an answer").into_parts();
        let rest = Vec::new();
        let tunnel = Tunnel {
            send,
            recv: Reading { recv, rest },
        };
        (head.status.as_u16(), tunnel, head.headers)
    }

    pub(crate) async fn open_tunnel(&mut self, path: &str) -> Tunnel {
        let (status, tunnel, _) = self.tunnel(path, &[]).await;
        assert_eq!(status, 200);
        tunnel
    }
}

pub(crate) fn request(method: &str, path: &str) -> Request<()> {
    let uri = format!("http://test{path}");
    let request = Request::builder().method(method).uri(uri);
    request.body(()).expect("a request")
}

/// Sends as the peer's window allows.
pub(crate) async fn send(stream: &mut SendStream<Bytes>, bytes: &[u8], is_end: bool) {
    if try_send(stream, bytes, is_end).await.is_err() {
        panic!("the stream does not take it");
    }
}

pub(crate) async fn try_send(
    stream: &mut SendStream<Bytes>,
    mut bytes: &[u8],
    is_end: bool,
) -> Result<(), h2::Error> {
    while !bytes.is_empty() {
        stream.reserve_capacity(bytes.len());
        let room = match std::future::poll_fn(|cx| stream.poll_capacity(cx)).await {
            Some(room) => room?,
            None => return Err(h2::Reason::STREAM_CLOSED.into()),
        };
        let (now, later) = bytes.split_at(room.min(bytes.len()));
        bytes = later;
        stream.send_data(Bytes::copy_from_slice(now), is_end && bytes.is_empty())?;
    }
    Ok(())
}

pub(crate) async fn answer_of(answer: ResponseFuture) -> Answer {
    let (head, mut recv) = answer.await.expect("an answer").into_parts();
    let mut body = Vec::new();
    while let Some(piece) = recv.data().await {
        let piece = piece.expect("a body");
        let _ = recv.flow_control().release_capacity(piece.len());
        body.extend_from_slice(&piece);
    }
    Answer {
        head: Response::from_parts(head, ()),
        body,
    }
}

/// A WebSocket in a stream: frames as bytes, as the test wants them.
pub(crate) struct Tunnel {
    pub(crate) send: SendStream<Bytes>,
    pub(crate) recv: Reading,
}

/// The half that is read.
pub(crate) struct Reading {
    recv: RecvStream,
    rest: Vec<u8>,
}

impl Tunnel {
    /// Sends one masked frame; the mask is zero.
    pub(crate) async fn frame(&mut self, first: u8, payload: &[u8]) {
        send(
            &mut self.send,
            &hioload_e2e::frame_bytes(first, payload),
            false,
        )
        .await;
    }

    /// The next frame; see [`Reading::next`].
    pub(crate) async fn next(&mut self) -> Option<(u8, Vec<u8>)> {
        self.recv.next().await
    }
}

impl Reading {
    /// It ended in order.
    pub(crate) fn is_end(&self) -> bool {
        self.recv.is_end_stream()
    }

    /// The next frame: its first byte and its payload; `None` at the end of the stream.
    pub(crate) async fn next(&mut self) -> Option<(u8, Vec<u8>)> {
        loop {
            if let Some((first, from, to)) = frame_of(&self.rest) {
                let payload = self.rest[from..to].to_vec();
                self.rest.drain(..to);
                return Some((first, payload));
            }
            let piece = self.recv.data().await?.ok()?;
            let _ = self.recv.flow_control().release_capacity(piece.len());
            self.rest.extend_from_slice(&piece);
        }
    }
}

/// First byte of an unmasked frame that is complete, and where its payload lies.
fn frame_of(bytes: &[u8]) -> Option<(u8, usize, usize)> {
    let (&first, &second) = (bytes.first()?, bytes.get(1)?);
    assert!(second & 0x80 == 0, "a server does not mask");
    let (from, len) = match second {
        126 => (
            4,
            usize::from(u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?)),
        ),
        127 => (
            10,
            u64::from_be_bytes(*bytes.get(2..)?.first_chunk()?) as usize,
        ),
        len => (2, usize::from(len)),
    };
    (bytes.len() >= from + len).then_some((first, from, from + len))
}

/// A content that is like no other.
pub(crate) fn content(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..length).map(next).collect()
}
