//! One HTTP/1.1 connection to a server: a request, its whole answer, and the next request.
//!
//! ```text
//!   Endpoint ─▶ Connection::call ─▶ (connect) ─▶ head, body ─▶ h1::Client ─▶ Answer
//!                     ▲                 ▲                          │
//!                     └─ kept alive ────┼──────────────────────────┤
//!                                       └─ closed before an answer ┘ once, on a connection used before
//! ```
//!
//! Blocks the thread. Must not know what is asked for. Limits: [`PATIENCE`] for each step, [`BODY_SIZE_MAX`]
//! of an answer, [`BUSY_RETRIES`] answers of a busy server.

use std::io::{self, Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::thread;
use std::time::Duration;

use hioload::client::{ClientError, Url};
use hioload_http::h1::{Client, ClientEvent, Limits, reason_of};

/// How long a server may take to accept, to take something, or to send something.
const PATIENCE: Duration = Duration::from_secs(60);

/// Bytes of an answer: more than a page of the largest list, and than any block.
const BODY_SIZE_MAX: usize = 16 << 20;

/// Bytes asked of the socket at a time.
const READ_SIZE: usize = 64 * 1024;

/// How often a server that says it is busy is asked again.
const BUSY_RETRIES: u32 = 10;

/// Longest pause before it is.
const BUSY_PAUSE_MAX: Duration = Duration::from_secs(5);

/// Longest pause worth waiting for where there is another way.
const BUSY_PAUSE_SHORT: Duration = Duration::from_secs(1);

/// A server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Endpoint {
    host: String,
    port: u16,
    /// The value of `Host`.
    authority: String,
}

impl Endpoint {
    /// Reads `http://HOST:PORT`, or `HOST:PORT`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let rest = match text.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => rest,
            Some((scheme, _)) if scheme.eq_ignore_ascii_case("https") => {
                return Err("TLS is not built in yet: use http://".to_owned());
            }
            Some(_) => return Err("write http://HOST:PORT".to_owned()),
            None => text,
        };
        // The parts are those of a WebSocket's URL.
        let url: Result<Url, ClientError> = format!("ws://{rest}").parse();
        match url {
            Ok(url) if url.path() == "/" => Ok(Self {
                host: url.host().to_owned(),
                port: url.port(),
                authority: url.authority(),
            }),
            Ok(_) => Err("the API is at the root: leave the path out".to_owned()),
            Err(_) => Err("write http://HOST:PORT".to_owned()),
        }
    }
}

/// An answer, whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// The length it states: of what a HEAD was about, too.
    pub(super) length: Option<u64>,
    /// The server knows the block to be damaged.
    pub(super) is_damaged: bool,
    retry_after: Option<Duration>,
    pub(super) body: Vec<u8>,
}

impl Answer {
    /// The server is busy, and when to ask again.
    pub(super) fn busy_for(&self) -> Option<Duration> {
        self.retry_after.filter(|_| self.status == 503)
    }

    /// What it says to a person: its first line.
    pub(super) fn line(&self) -> String {
        let body = String::from_utf8_lossy(&self.body);
        match body.lines().next() {
            Some(line) if !line.is_empty() => line.to_owned(),
            _ => reason_of(self.status).to_owned(),
        }
    }
}

/// There is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CallError {
    pub(super) text: String,
    /// A part of it came.
    pub(super) is_begun: bool,
}

/// A connection that is opened when it is needed.
#[derive(Debug)]
pub(super) struct Connection {
    endpoint: Endpoint,
    limits: Limits,
    wire: Option<Wire>,
}

impl Connection {
    /// Not open yet.
    pub(super) fn new(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            limits: Limits::default(),
            wire: None,
        }
    }

    /// Sends a request and waits for its answer; `fields` are whole lines. A server that is busy is asked
    /// again.
    pub(super) fn call(
        &mut self,
        method: &str,
        target: &str,
        fields: &str,
        body: &[u8],
    ) -> Result<Answer, CallError> {
        let mut retries = 0;
        loop {
            let answer = self.call_once(method, target, fields, body)?;
            match answer.busy_for() {
                Some(pause) if retries < BUSY_RETRIES => {
                    thread::sleep(pause.min(BUSY_PAUSE_MAX));
                    retries += 1;
                }
                _ => return Ok(answer),
            }
        }
    }

    /// The same for what the caller can do without: a server that is busy is asked once more, and only if it says that it will
    /// not be for long.
    pub(super) fn call_briefly(
        &mut self,
        method: &str,
        target: &str,
        body: &[u8],
    ) -> Result<Answer, CallError> {
        let answer = self.call_once(method, target, "", body)?;
        match answer.busy_for() {
            Some(pause) if pause <= BUSY_PAUSE_SHORT => {
                thread::sleep(pause);
                self.call_once(method, target, "", body)
            }
            _ => Ok(answer),
        }
    }

    fn call_once(
        &mut self,
        method: &str,
        target: &str,
        fields: &str,
        body: &[u8],
    ) -> Result<Answer, CallError> {
        let authority = &self.endpoint.authority;
        let length = match method {
            "PUT" | "POST" => format!("Content-Length: {}\r\n", body.len()),
            _ => String::new(),
        };
        let head =
            format!("{method} {target} HTTP/1.1\r\nHost: {authority}\r\n{fields}{length}\r\n");
        let is_head = method == "HEAD";
        if let Some(wire) = self.wire.take() {
            match self.exchange(wire, &head, body, is_head) {
                // Closed by the server while nothing was asked. What is asked here may be asked twice.
                Err(error) if !error.is_begun => {}
                outcome => return outcome,
            }
        }
        let wire = self.connect()?;
        self.exchange(wire, &head, body, is_head)
    }

    fn connect(&self) -> Result<Wire, CallError> {
        let Endpoint {
            host,
            port,
            authority,
        } = &self.endpoint;
        let failed = |error: &io::Error| CallError {
            text: format!(
                "cannot connect to {authority}: {error}. Start `hioload serve` there, name another server (--url), or \
                 the directory of the store (--data)"
            ),
            is_begun: false,
        };
        let addrs = (host.as_str(), *port).to_socket_addrs();
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        for addr in addrs.map_err(|error| failed(&error))? {
            match TcpStream::connect_timeout(&addr, PATIENCE) {
                Ok(stream) => return Wire::new(stream).map_err(|error| failed(&error)),
                Err(error) => last = error,
            }
        }
        Err(failed(&last))
    }

    /// Keeps the connection if it is of further use.
    fn exchange(
        &mut self,
        mut wire: Wire,
        head: &str,
        body: &[u8],
        is_head: bool,
    ) -> Result<Answer, CallError> {
        wire.machine.sent(is_head);
        // A server that refuses a body may answer before it has read it, and close.
        let sent = wire.send(head.as_bytes(), body);
        let answer = wire.answer(&self.limits).map_err(|error| match &sent {
            Err(unsent) if !error.is_begun => CallError {
                text: unsent.to_string(),
                ..error
            },
            _ => error,
        });
        let answer = answer.map_err(|error| CallError {
            text: format!(
                "the connection to {} is lost: {}",
                self.endpoint.authority, error.text
            ),
            ..error
        })?;
        if sent.is_ok() && wire.machine.is_reusable() {
            self.wire = Some(wire);
        }
        Ok(answer)
    }
}

/// An open connection.
#[derive(Debug)]
struct Wire {
    stream: TcpStream,
    machine: Client,
    /// What came and was not taken yet is at its end.
    input: Vec<u8>,
    taken: usize,
}

impl Wire {
    fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self {
            stream,
            machine: Client::new(),
            input: Vec::new(),
            taken: 0,
        })
    }

    fn send(&mut self, head: &[u8], body: &[u8]) -> io::Result<()> {
        // One packet for what fits into one.
        if body.len() <= 4096 {
            return self.stream.write_all(&[head, body].concat());
        }
        self.stream.write_all(head)?;
        self.stream.write_all(body)
    }

    fn answer(&mut self, limits: &Limits) -> Result<Answer, CallError> {
        let mut answer = None;
        loop {
            let mut rest = &mut self.input[self.taken..];
            let before = rest.len();
            let event = self.machine.handle_input(limits, &mut rest);
            let used = before - rest.len();
            let is_begun = answer.is_some();
            let failed = |text: String| CallError { text, is_begun };
            match event.map_err(|error| failed(error.to_string()))? {
                Some(ClientEvent::Head(head)) => answer = Some(answer_of(&head)),
                Some(ClientEvent::Body(bytes)) => {
                    let answer: &mut Answer = answer.get_or_insert_default();
                    if answer.body.len() + bytes.len() > BODY_SIZE_MAX {
                        return Err(failed(format!(
                            "the answer has more than {BODY_SIZE_MAX} bytes"
                        )));
                    }
                    answer.body.extend_from_slice(bytes);
                }
                Some(ClientEvent::End) => {
                    self.taken += used;
                    return Ok(answer.unwrap_or_default());
                }
                None => {
                    self.taken += used;
                    if self.read().map_err(|error| failed(told(&error)))? == 0 {
                        let ended = self.machine.handle_eof();
                        ended.map_err(|error| failed(error.to_string()))?;
                        return answer.ok_or_else(|| failed("closed without an answer".to_owned()));
                    }
                    continue;
                }
            }
            self.taken += used;
        }
    }

    /// Reads what has come; 0 at the end.
    fn read(&mut self) -> io::Result<usize> {
        self.input.drain(..self.taken);
        self.taken = 0;
        let filled = self.input.len();
        self.input.resize(filled + READ_SIZE, 0);
        let read = loop {
            match self.stream.read(&mut self.input[filled..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        self.input.truncate(filled + *read.as_ref().unwrap_or(&0));
        read
    }
}

fn told(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
            format!("nothing came for {} s", PATIENCE.as_secs())
        }
        _ => error.to_string(),
    }
}

fn answer_of(head: &hioload_http::h1::Response<'_>) -> Answer {
    let seconds = head
        .header("Retry-After")
        .and_then(|value| std::str::from_utf8(value).ok()?.parse().ok());
    Answer {
        status: head.status(),
        length: head.content_length(),
        is_damaged: head.header("Hioload-Damaged") == Some(b"true"),
        retry_after: seconds.map(Duration::from_secs),
        body: Vec::new(),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn servers_as_people_write_them() {
        for (text, authority) in [
            ("http://127.0.0.1:9002", "127.0.0.1:9002"),
            ("HTTP://h:1/", "h:1"),
            ("h:1", "h:1"),
            ("http://h", "h"),
            ("[::1]:9002", "[::1]:9002"),
        ] {
            let endpoint = Endpoint::parse(text).expect(text);
            assert_eq!(endpoint.authority, authority);
        }
        for (text, part) in [
            ("https://h", "TLS"),
            ("ws://h", "http://HOST:PORT"),
            ("http://h/blocks", "root"),
            ("http://h:x", "http://HOST:PORT"),
            ("", "http://HOST:PORT"),
        ] {
            let told = Endpoint::parse(text).expect_err(text);
            assert!(told.contains(part), "{text}: {told}");
        }
    }

    /// A server that gives these answers, a connection each group; returns the requests' first lines.
    pub(in super::super) fn serve(
        groups: &[&[&str]],
    ) -> (Connection, thread::JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let addr = listener.local_addr().expect("bound").to_string();
        let groups: Vec<Vec<String>> = groups
            .iter()
            .map(|group| group.iter().map(|&answer| answer.to_owned()).collect())
            .collect();
        let server = thread::spawn(move || {
            let mut requests = Vec::new();
            for group in groups {
                let (mut stream, _) = listener.accept().expect("a connection");
                for answer in group {
                    let mut head = Vec::new();
                    let mut byte = [0];
                    while !head.ends_with(b"\r\n\r\n") {
                        stream.read_exact(&mut byte).expect("a request");
                        head.push(byte[0]);
                    }
                    let head = String::from_utf8(head).expect("text");
                    requests.push(head.lines().next().unwrap_or_default().to_owned());
                    stream.write_all(answer.as_bytes()).expect("it reads");
                }
            }
            requests
        });
        let endpoint = Endpoint::parse(&addr).expect("an address");
        (Connection::new(endpoint), server)
    }

    #[test]
    fn a_connection_is_kept_and_replaced_when_it_was_closed() {
        let ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
        let (mut connection, server) = serve(&[&[ok, ok], &[ok]]);
        for target in ["/1", "/2", "/3"] {
            let answer = connection.call("GET", target, "", &[]).expect("an answer");
            assert_eq!((answer.status, &*answer.body), (200, &b"ok"[..]));
        }
        let requests = server.join().expect("no panic");
        assert_eq!(
            requests,
            ["GET /1 HTTP/1.1", "GET /2 HTTP/1.1", "GET /3 HTTP/1.1"]
        );
    }

    #[test]
    fn an_answer_that_is_cut_is_an_error_and_not_asked_for_again() {
        let cut = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf";
        let (mut connection, server) = serve(&[&[cut]]);
        let error = connection
            .call("GET", "/", "", &[])
            .expect_err("half of it");
        assert!(
            error.is_begun && error.text.contains("within a response"),
            "{error:?}"
        );
        assert_eq!(server.join().expect("no panic").len(), 1);
    }

    #[test]
    fn a_busy_server_is_asked_again() {
        let busy = "HTTP/1.1 503 Busy\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n";
        let ok = "HTTP/1.1 204 No Content\r\n\r\n";
        let (mut connection, server) = serve(&[&[busy, busy, ok]]);
        let answer = connection.call("DELETE", "/", "", &[]).expect("an answer");
        assert_eq!(answer.status, 204);
        assert_eq!(server.join().expect("no panic").len(), 3);
    }

    #[test]
    fn nobody_there_is_told_with_what_to_do() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let addr = listener.local_addr().expect("bound").to_string();
        drop(listener);
        let mut connection = Connection::new(Endpoint::parse(&addr).expect("an address"));
        let error = connection.call("GET", "/", "", &[]).expect_err("nobody");
        assert!(
            error.text.contains("hioload serve") && !error.is_begun,
            "{error:?}"
        );
    }
}
