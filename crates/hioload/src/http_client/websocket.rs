//! WebSocket over the connections of an HTTP client: by upgrade on HTTP/1.1, as a stream of HTTP/2 where the server
//! takes that (RFC 8441).
//!
//! ```text
//!   ClientRequest ─ fields ─▶ a tunnel of the agent ─ head ─▶ checked ─▶ ClientSession over the tunnel's bytes
//! ```
//!
//! Knows no connection: which version it is to be, the agent finds out. The handshake is checked here, frames are the
//! session's.
//!
//! Spec: RFC 6455 4.1; RFC 8441 4, 5.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use hioload_ws::CloseCode;
use hioload_ws::handshake::{ClientRequest, Established};

use super::client::{AnswerStream, Canceller, HttpClient};
use super::error::HttpError;
use crate::client::{ClientError, ClientEvent, ClientOptions, ClientSession, Closing, Incoming};
use crate::handler::Message;
use hioload_http::client::{Protocol, Request, Url};

/// Bytes read from a tunnel at a time.
const INPUT_SIZE: usize = 64 << 10;

impl HttpClient {
    /// A WebSocket connection to a `ws://` or `wss://` URL, beside the requests of this client.
    ///
    /// # Errors
    /// [`HttpError::Refused`] when the server answers anything else; as [`HttpClient::get`] otherwise.
    pub fn websocket(&self, url: &str, options: ClientOptions) -> Result<WebSocket, HttpError> {
        let parsed: Url = url.parse().map_err(|fault| HttpError::Url {
            url: url.to_owned(),
            fault,
        })?;
        let mut key = [0; 16];
        getrandom::fill(&mut key)
            .map_err(|error| HttpError::WebSocket(ClientError::Entropy(error)))?;
        let authority = parsed.authority();
        let target = parsed.target().to_owned();
        let protocols: Vec<&str> = options.protocols.iter().map(String::as_str).collect();
        let headers = options.headers.iter();
        let headers: Vec<(&str, &str)> = headers.map(|(name, value)| (&**name, &**value)).collect();
        let asked = ClientRequest {
            host: &authority,
            path: &target,
            key,
            protocols: &protocols,
            origin: options.origin.as_deref(),
            headers: &headers,
            deflate: options.deflate,
        };
        let call = self.start(tunnel(parsed, &asked)?)?;
        let stream = call.wait_head()?;
        let established = check(&asked, &stream, &options)?;
        Ok(WebSocket {
            session: ClientSession::established(options, established),
            stream,
            input: vec![0; INPUT_SIZE].into_boxed_slice(),
            incoming: VecDeque::new(),
            closing: None,
        })
    }
}

/// The request for a tunnel with the fields of the handshake.
fn tunnel(url: Url, asked: &ClientRequest<'_>) -> Result<Request, HttpError> {
    let misuse = |misuse| HttpError::WebSocket(ClientError::Misuse(misuse));
    // The key is of HTTP/1.1 alone; all else is the same in both versions.
    let (mut upgrade, mut extended) = (Vec::new(), Vec::new());
    asked.encode(&mut upgrade).map_err(misuse)?;
    asked.encode_extended(&mut extended).map_err(misuse)?;
    let fields = |text: Vec<u8>| {
        let text = String::from_utf8(text).expect("invariant: the parts were checked to be ASCII");
        let lines = text.split("\r\n").filter_map(|line| line.split_once(": "));
        let own = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        lines.map(own).collect::<Vec<_>>()
    };
    let is_key = |(name, _): &&(String, String)| name == "Sec-WebSocket-Key";
    let upgrade = fields(upgrade);
    let key: Vec<(&str, &str)> = upgrade
        .iter()
        .filter(is_key)
        .map(|(name, value)| (&**name, &**value))
        .collect();
    let mut request = Request::tunnel(url, "websocket", &key)?;
    for (name, value) in fields(extended) {
        request = request.field(&name, &value)?;
    }
    Ok(request)
}

fn check(
    asked: &ClientRequest<'_>,
    stream: &AnswerStream,
    options: &ClientOptions,
) -> Result<Established, HttpError> {
    let (head, status) = (stream.head(), stream.status());
    let failed = |error| HttpError::WebSocket(ClientError::Handshake(error));
    match head.protocol() {
        Protocol::Http2 if (200..300).contains(&status) => {
            asked.check_extended(status, head.fields()).map_err(failed)
        }
        Protocol::Http1 if status == 101 => {
            let mut text = b"HTTP/1.1 101 Switching Protocols\r\n".to_vec();
            for (name, value) in head.fields() {
                for part in [name, b": ", value, b"\r\n"] {
                    text.extend_from_slice(part);
                }
            }
            text.extend_from_slice(b"\r\n");
            let established = asked.check_response(&text, &options.handshake);
            let (established, _) = established
                .map_err(failed)?
                .ok_or(HttpError::Refused(status))?;
            Ok(established)
        }
        _ => Err(HttpError::Refused(status)),
    }
}

/// A WebSocket connection of an [`HttpClient`]. Dropped, it is cut off.
#[derive(Debug)]
pub struct WebSocket {
    session: ClientSession,
    stream: AnswerStream,
    input: Box<[u8]>,
    /// What came with other things, and was not asked for yet.
    incoming: VecDeque<Incoming>,
    closing: Option<Closing>,
}

impl WebSocket {
    /// The version of HTTP below it.
    #[must_use]
    pub fn http(&self) -> Protocol {
        self.stream.head().protocol()
    }

    /// The subprotocol that the server chose.
    #[must_use]
    pub fn protocol(&self) -> Option<&str> {
        self.session.protocol()
    }

    /// How it was closed, once it was.
    #[must_use]
    pub fn closing(&self) -> Option<&Closing> {
        self.closing.as_ref()
    }

    /// Ends it from any thread, without a word.
    #[must_use]
    pub fn canceller(&self) -> Canceller {
        self.stream.canceller()
    }

    /// Sends a message. Returns when there is room for it.
    ///
    /// # Errors
    /// It cannot be sent now, or the connection is gone.
    pub fn send(&mut self, message: Message<'_>) -> Result<(), HttpError> {
        self.session.send(message).map_err(HttpError::WebSocket)?;
        self.flush()
    }

    /// Waits for the next message or pong; `None` once it was closed in good order. Pings are answered on the way.
    ///
    /// # Errors
    /// The server broke the protocol, or the connection is gone.
    pub fn recv(&mut self) -> Result<Option<Incoming>, HttpError> {
        self.recv_until(None)
    }

    /// The same, and waits for at most so long.
    ///
    /// # Errors
    /// [`ClientError::Timeout`] when nothing came; call again to wait on. As [`WebSocket::recv`] otherwise.
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<Option<Incoming>, HttpError> {
        // A deadline beyond the clock's end is none.
        let deadline = Instant::now().checked_add(timeout);
        self.recv_until(deadline.map(|deadline| (deadline, timeout)))
    }

    fn recv_until(
        &mut self,
        until: Option<(Instant, Duration)>,
    ) -> Result<Option<Incoming>, HttpError> {
        loop {
            if let Some(incoming) = self.incoming.pop_front() {
                return Ok(Some(incoming));
            }
            if self.closing.is_some() {
                return Ok(None);
            }
            let deadline = until.map(|(deadline, _)| deadline);
            let Some(size) = self.stream.read_until(&mut self.input, deadline)? else {
                let after = until.map(|(_, timeout)| timeout).unwrap_or_default();
                let what = "message";
                return Err(HttpError::WebSocket(ClientError::Timeout { what, after }));
            };
            if size == 0 {
                return Err(HttpError::WebSocket(ClientError::Lost(None)));
            }
            self.take(size)?;
            self.flush()?;
        }
    }

    /// Closes, and waits for the server's answer; messages that come before it are dropped.
    ///
    /// # Errors
    /// As [`WebSocket::recv`]; a code that must not be sent.
    pub fn close(&mut self, code: CloseCode, reason: &str) -> Result<Closing, HttpError> {
        if self.session.is_open() {
            self.session
                .close(code, reason)
                .map_err(HttpError::WebSocket)?;
            self.flush()?;
        }
        while self.recv()?.is_some() {}
        Ok(self
            .closing
            .clone()
            .expect("invariant: set before the end is told"))
    }

    /// Takes what was read.
    fn take(&mut self, size: usize) -> Result<(), HttpError> {
        let mut input = &mut self.input[..size];
        while let Some(event) = self
            .session
            .handle_input(&mut input)
            .map_err(HttpError::WebSocket)?
        {
            match event {
                ClientEvent::Open => {}
                ClientEvent::Message(kind, payload) => {
                    self.incoming
                        .push_back(Incoming::message(kind, payload.into_vec()));
                }
                ClientEvent::Pong(payload) => {
                    self.incoming.push_back(Incoming::Pong(payload.into_vec()));
                }
                ClientEvent::Closed(closing) => self.closing = Some(closing),
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), HttpError> {
        let output = self.session.take_output();
        if output.is_empty() {
            return Ok(());
        }
        // One that is over says so to whoever reads.
        self.stream.call().write(output)?;
        if self.closing.is_some() {
            self.stream.call().finish()?;
        }
        Ok(())
    }
}
