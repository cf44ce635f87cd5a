//! One HTTP/2 connection: many requests at a time, each a stream.
//!
//! Knows which stream is whose. A stream that is done with is released at once: what still comes for it is dropped by
//! the connection itself, which gives its window back.
//!
//! Spec: RFC 9113 5, 6.8, 8.1, 8.3.1; RFC 8441.

use std::fmt::Write as _;

use hioload_base::{Slab, Time};

use super::event::{Head, Protocol, RequestKey};
use super::exchange::Exchange;
use super::wire::{StartError, Terms, WireEvent, WireFault};
use crate::field_name::FieldName;
use crate::fields::Fields;
use crate::h2::{
    Connection, ErrorCode, Event, HeadKind, HeaderList, Limits, OpenError, RequestHead, StreamRef,
};

#[derive(Debug)]
pub(super) struct H2 {
    connection: Connection,
    headers: HeaderList,
    by_slot: Vec<Option<(StreamRef, RequestKey)>>,
    count: usize,
    /// A request whose end came together with what was told last.
    ended: Option<RequestKey>,
    has_settings: bool,
    is_draining: bool,
    /// Fields of the request being sent.
    lines: String,
}

impl H2 {
    pub(super) fn new(limits: &Limits, now: Time) -> Self {
        Self {
            connection: Connection::client(limits, now),
            headers: HeaderList::new(),
            by_slot: Vec::new(),
            count: 0,
            ended: None,
            has_settings: false,
            is_draining: false,
            lines: String::new(),
        }
    }

    pub(super) fn has_room(&self, streams_max: usize) -> bool {
        let peer_max = self.connection.peer_settings().max_concurrent_streams as usize;
        !self.is_draining && self.count < streams_max.min(peer_max)
    }

    pub(super) fn is_idle(&self) -> bool {
        self.count == 0
    }

    pub(super) fn is_draining(&self) -> bool {
        self.is_draining
    }

    pub(super) fn requests(&self) -> Vec<RequestKey> {
        self.by_slot.iter().flatten().map(|&(_, key)| key).collect()
    }

    pub(super) fn start(
        &mut self,
        now: Time,
        terms: &Terms<'_>,
        key: RequestKey,
        exchange: &mut Exchange,
    ) -> Result<StreamRef, StartError> {
        if !self.has_room(terms.streams_max) {
            return Err(StartError::Busy);
        }
        let request = &exchange.request;
        let protocol = request.tunnel.as_ref().map(|tunnel| &*tunnel.protocol);
        if protocol.is_some() && !self.connection.peer_settings().enable_connect {
            // RFC 8441 3: the setting comes with the first frame of the server.
            return Err(if self.has_settings {
                StartError::NoTunnel
            } else {
                StartError::Busy
            });
        }
        self.lines.clear();
        if !request.has_field("user-agent") && !terms.user_agent.is_empty() {
            self.lines
                .extend(["user-agent: ", terms.user_agent, "\r\n"]);
        }
        self.lines.push_str(&request.lines);
        let length = exchange.outgoing.length().filter(|_| protocol.is_none());
        if let Some(length) = length.filter(|&length| length > 0 || request.method.states_length())
        {
            // Writing to a text does not fail.
            let _ = write!(self.lines, "content-length: {length}\r\n");
        }
        if exchange.attempt.held_until.is_some() {
            self.lines.push_str("expect: 100-continue\r\n");
        }
        let authority = request.url.authority();
        let head = RequestHead {
            method: if protocol.is_some() {
                "CONNECT"
            } else {
                request.method.as_str()
            },
            scheme: if request.url.scheme().is_tls() {
                "https"
            } else {
                "http"
            },
            authority: &authority,
            path: request.url.target(),
            protocol,
        };
        let has_body = protocol.is_some() || !exchange.outgoing.is_done();
        let fields = Fields::new(self.lines.as_bytes());
        let fields = fields.map(|(name, value)| (FieldName::Text(name), value));
        let stream = self
            .connection
            .open(now, &head, fields, !has_body)
            .map_err(|error| {
                self.is_draining |= matches!(error, OpenError::Draining | OpenError::Closed);
                match error {
                    OpenError::TooMany | OpenError::Draining | OpenError::Closed => {
                        StartError::Busy
                    }
                    OpenError::NoExtendedConnect => StartError::NoTunnel,
                    _ => StartError::Unspeakable,
                }
            })?;
        let slot = usize::from(stream.slot);
        if slot >= self.by_slot.len() {
            self.by_slot.resize(slot + 1, None);
        }
        self.by_slot[slot] = Some((stream, key));
        self.count += 1;
        exchange.attempt.is_sent = !has_body;
        exchange.attempt.is_end_queued = !has_body;
        self.queue_body(stream, exchange);
        Ok(stream)
    }

    /// Tells the connection how much of the body there is by now.
    pub(super) fn queue_body(&mut self, stream: StreamRef, exchange: &mut Exchange) {
        if exchange.attempt.is_stopped && !exchange.attempt.is_end_queued {
            self.connection.unqueue(stream);
            return;
        }
        if exchange.attempt.is_end_queued || !exchange.may_send_body() {
            return;
        }
        let outgoing = &exchange.outgoing;
        let there = outgoing.taken() + outgoing.available() as u64;
        let more = there - exchange.attempt.queued;
        let is_last = outgoing.is_last();
        if more == 0 && !is_last {
            return;
        }
        // A stream that has ended meanwhile says so by its own event.
        if self
            .connection
            .queue(stream, more as usize, is_last)
            .is_ok()
        {
            exchange.attempt.queued = there;
            exchange.attempt.is_end_queued = is_last;
        }
    }

    pub(super) fn handle_input<'a>(
        &mut self,
        now: Time,
        input: &mut &'a mut [u8],
    ) -> Result<Option<WireEvent<'a>>, WireFault> {
        loop {
            if let Some(key) = self.ended.take() {
                return Ok(Some(WireEvent::End(key)));
            }
            let event = self.connection.handle_input(now, input, &mut self.headers);
            let Some(event) = event.map_err(WireFault::Offence)? else {
                return Ok(None);
            };
            if let Some(event) = self.translate(event) {
                return Ok(Some(event));
            }
        }
    }

    fn translate<'a>(&mut self, event: Event<'a>) -> Option<WireEvent<'a>> {
        match event {
            Event::Head {
                stream,
                kind,
                end_stream,
            } => {
                let key = self.key_of(stream)?;
                let status = self.headers.status().unwrap_or_default();
                match kind {
                    HeadKind::Interim => Some(WireEvent::Interim(key, status)),
                    HeadKind::Response => {
                        self.ended = end_stream.then_some(key);
                        let (fields, length) =
                            (self.headers.fields(), self.headers.content_length());
                        Some(WireEvent::Head(
                            key,
                            Head::new(status, Protocol::Http2, fields, length),
                        ))
                    }
                    HeadKind::Trailers => Some(WireEvent::End(key)),
                    HeadKind::Request => None,
                }
            }
            Event::Data {
                stream,
                bytes,
                flow,
                end_stream,
            } => {
                let Some(key) = self.key_of(stream) else {
                    self.connection.consumed(stream, flow);
                    return None;
                };
                debug_assert_eq!(bytes.len(), flow as usize, "padding was given back");
                self.ended = end_stream.then_some(key);
                (!bytes.is_empty()).then_some(WireEvent::Body(key, bytes))
            }
            Event::Reset { stream, code, .. } => match self.key_of(stream) {
                Some(key) => Some(WireEvent::Reset(key, code)),
                None => {
                    self.connection.release(stream);
                    None
                }
            },
            Event::Settings => {
                self.has_settings = true;
                Some(WireEvent::Changed)
            }
            Event::GoAway { .. } => {
                self.is_draining = true;
                Some(WireEvent::Changed)
            }
            Event::Pong { .. } => None,
        }
    }

    pub(super) fn consumed(&mut self, stream: StreamRef, size: usize) {
        // No frame, and no body that is handed out at once, is longer than 2^31.
        self.connection.consumed(stream, size as u32);
    }

    /// `is_ended`: the answer was read to its end.
    pub(super) fn release(&mut self, stream: StreamRef, is_ended: bool) {
        if !is_ended {
            // RFC 9113 8.1.1: the answer is not wanted any more. One that was reset already stays as it is.
            self.connection.reset(stream, ErrorCode::CANCEL);
        }
        if self.key_of(stream).is_some() {
            self.by_slot[usize::from(stream.slot)] = None;
            self.count -= 1;
        }
        self.connection.release(stream);
    }

    pub(super) fn poll_output(
        &mut self,
        now: Time,
        exchanges: &mut Slab<Exchange>,
        out: &mut Vec<u8>,
        size_max: usize,
    ) {
        self.connection.poll_output(out);
        while out.len() < size_max {
            let Some(grant) = self.connection.poll_send() else {
                return;
            };
            out.extend_from_slice(&Connection::data_header(&grant));
            let key = self.key_of(grant.stream);
            let exchange = key.and_then(|key| exchanges.get_mut(key.0));
            let exchange =
                exchange.expect("invariant: a stream is released before its request is gone");
            exchange.outgoing.take(grant.len, out);
            exchange.attempt.is_sent |= grant.end_stream;
            exchange.progress_at = now;
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Time> {
        self.connection.poll_timeout()
    }

    pub(super) fn handle_timeout(&mut self, now: Time) -> Result<(), WireFault> {
        self.connection
            .handle_timeout(now)
            .map_err(WireFault::Offence)
    }

    pub(super) fn goodbye(&mut self, out: &mut Vec<u8>) {
        if !self.connection.is_closed() {
            self.connection.goaway(ErrorCode::NO_ERROR);
        }
        self.connection.poll_output(out);
    }

    fn key_of(&self, stream: StreamRef) -> Option<RequestKey> {
        let entry = self.by_slot.get(usize::from(stream.slot))?;
        entry
            .filter(|(known, _)| *known == stream)
            .map(|(_, key)| key)
    }
}
