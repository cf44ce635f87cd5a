//! A server's API: a request, and its whole answer.
//!
//! Waits for it. Must not know what is asked for. Limits: [`PATIENCE`] for each step, [`BODY_SIZE_MAX`]
//! of an answer, [`BUSY_RETRIES`] answers of a busy server.

use std::thread;
use std::time::Duration;

use hioload::HttpClient;
use hioload::http_client::{
    Failure, Head, HttpError, Limits, Method, RedirectPolicy, Request, Roots, Url,
};
use hioload_http::h1::reason_of;

/// How long a server may take to accept, to take something, or to send something.
const PATIENCE: Duration = Duration::from_secs(60);

/// Bytes of an answer: more than a page of the largest list, and than any block.
const BODY_SIZE_MAX: usize = 16 << 20;

/// Bytes of an answer taken at a time.
const READ_SIZE: usize = 64 * 1024;

/// How often a server that says it is busy is asked again.
const BUSY_RETRIES: u32 = 10;

/// Longest pause before it is.
const BUSY_PAUSE_MAX: Duration = Duration::from_secs(5);

/// Longest pause worth waiting for where there is another way.
const BUSY_PAUSE_SHORT: Duration = Duration::from_secs(1);

/// Where a server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Endpoint(Url);

impl Endpoint {
    /// Reads `http://HOST:PORT`, `https://HOST:PORT`, or `HOST:PORT`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        const FORM: &str = "write http://HOST:PORT or https://HOST:PORT";
        let text = match text.contains("://") {
            true => text.to_owned(),
            false => format!("http://{text}"),
        };
        let url: Url = text.parse().map_err(|_| FORM)?;
        if url.scheme().is_websocket() {
            return Err(FORM.to_owned());
        }
        if url.target() != "/" {
            return Err("the API is at the root: leave the path out".to_owned());
        }
        Ok(Self(url))
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
    fn of(head: &Head) -> Self {
        let seconds = head.text("Retry-After").and_then(|text| text.parse().ok());
        Self {
            status: head.status(),
            length: head.content_length(),
            is_damaged: head.field("Hioload-Damaged") == Some(b"true"),
            retry_after: seconds.map(Duration::from_secs),
            body: Vec::new(),
        }
    }

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

/// A server that can be asked from any thread.
#[derive(Debug)]
pub(super) struct Server {
    root: Url,
    client: HttpClient,
}

impl Server {
    /// Nothing is opened before it is needed, and then at most so many connections.
    pub(super) fn new(
        endpoint: &Endpoint,
        roots: Roots,
        connections: usize,
    ) -> Result<Self, HttpError> {
        let limits = Limits {
            connections_per_origin_max: connections,
            connect_timeout: PATIENCE,
            read_timeout: PATIENCE,
            ..Limits::default()
        };
        let client = HttpClient::builder()
            .limits(limits)
            .redirects(RedirectPolicy::NONE)
            .roots(roots)
            .build()?;
        Ok(Self {
            root: endpoint.0.clone(),
            client,
        })
    }

    /// A request for this path and query.
    pub(super) fn request(&self, method: Method, target: &str) -> Request {
        let url = self.root.join(target);
        Request::new(method, url.expect("invariant: a path of the API"))
    }

    /// Sends a request and waits for its answer. A server that is busy is asked again.
    pub(super) fn call(&self, request: &Request) -> Result<Answer, CallError> {
        let mut retries = 0;
        loop {
            let answer = self.call_once(request)?;
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
    pub(super) fn call_briefly(&self, request: &Request) -> Result<Answer, CallError> {
        let answer = self.call_once(request)?;
        match answer.busy_for() {
            Some(pause) if pause <= BUSY_PAUSE_SHORT => {
                thread::sleep(pause);
                self.call_once(request)
            }
            _ => Ok(answer),
        }
    }

    fn call_once(&self, request: &Request) -> Result<Answer, CallError> {
        let opened = self.client.open(request.clone());
        let mut stream = opened.map_err(|error| self.failed(&error, false))?;
        let mut answer = Answer::of(stream.head());
        let mut piece = vec![0; READ_SIZE];
        loop {
            let read = stream.read_some(&mut piece);
            let size = read.map_err(|error| self.failed(&error, true))?;
            if size == 0 {
                return Ok(answer);
            }
            if answer.body.len() + size > BODY_SIZE_MAX {
                return Err(CallError {
                    text: format!("the answer has more than {BODY_SIZE_MAX} bytes"),
                    is_begun: true,
                });
            }
            answer.body.extend_from_slice(&piece[..size]);
        }
    }

    fn failed(&self, error: &HttpError, is_begun: bool) -> CallError {
        let authority = self.root.authority();
        let text = match error {
            HttpError::Failed {
                failure: failure @ Failure::Connect { .. },
                ..
            } => format!(
                "{failure}. Start `hioload serve` there, name another server (--url), or the directory of the \
                 store (--data)"
            ),
            HttpError::Failed { failure, .. } => {
                format!("the connection to {authority} is lost: {failure}")
            }
            error => error.to_string(),
        };
        CallError { text, is_begun }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn servers_as_people_write_them() {
        for (text, authority) in [
            ("http://127.0.0.1:9002", "127.0.0.1:9002"),
            ("https://h:9002", "h:9002"),
            ("HTTP://h:1/", "h:1"),
            ("h:1", "h:1"),
            ("http://h", "h"),
            ("[::1]:9002", "[::1]:9002"),
        ] {
            let endpoint = Endpoint::parse(text).expect(text);
            assert_eq!(endpoint.0.authority(), authority);
        }
        for (text, part) in [
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
    pub(in super::super) fn serve(groups: &[&[&str]]) -> (Server, thread::JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let addr = listener.local_addr().expect("bound").to_string();
        let groups: Vec<Vec<String>> = groups
            .iter()
            .map(|group| group.iter().map(|&answer| answer.to_owned()).collect())
            .collect();
        let thread = thread::spawn(move || {
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
        let server = Server::new(&endpoint, Roots::System, 1).expect("a thread");
        (server, thread)
    }

    #[test]
    fn a_connection_is_kept_and_replaced_when_it_was_closed() {
        let ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
        let (server, thread) = serve(&[&[ok, ok], &[ok]]);
        for target in ["/1", "/2", "/3"] {
            let answer = server
                .call(&server.request(Method::GET, target))
                .expect("an answer");
            assert_eq!((answer.status, &*answer.body), (200, &b"ok"[..]));
        }
        let requests = thread.join().expect("no panic");
        assert_eq!(
            requests,
            ["GET /1 HTTP/1.1", "GET /2 HTTP/1.1", "GET /3 HTTP/1.1"]
        );
    }

    #[test]
    fn an_answer_that_is_cut_is_an_error_and_not_asked_for_again() {
        let cut = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf";
        let (server, thread) = serve(&[&[cut]]);
        let error = server
            .call(&server.request(Method::GET, "/"))
            .expect_err("half of it");
        assert!(
            error.is_begun && error.text.contains("within a response"),
            "{error:?}"
        );
        assert_eq!(thread.join().expect("no panic").len(), 1);
    }

    #[test]
    fn a_busy_server_is_asked_again() {
        let busy = "HTTP/1.1 503 Busy\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n";
        let ok = "HTTP/1.1 204 No Content\r\n\r\n";
        let (server, thread) = serve(&[&[busy, busy, ok]]);
        let answer = server
            .call(&server.request(Method::DELETE, "/"))
            .expect("an answer");
        assert_eq!(answer.status, 204);
        assert_eq!(thread.join().expect("no panic").len(), 3);
    }

    #[test]
    fn nobody_there_is_told_with_what_to_do() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let addr = listener.local_addr().expect("bound").to_string();
        drop(listener);
        let endpoint = Endpoint::parse(&addr).expect("an address");
        let server = Server::new(&endpoint, Roots::System, 1).expect("a thread");
        let error = server
            .call(&server.request(Method::GET, "/"))
            .expect_err("nobody");
        assert!(
            error.text.contains("hioload serve") && !error.is_begun,
            "{error:?}"
        );
    }
}
