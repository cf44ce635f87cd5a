//! One HTTP/1.1 connection: one request at a time.
//!
//! Only a head that comes in parts is kept, up to its limit; everything else is handed out where it lies. A byte that
//! comes while nothing was asked ends the connection: whose answer it would be taken for is the next request's risk.
//!
//! Spec: RFC 9112 9.3, 9.5; RFC 9110 7.8, 10.1.1.

use std::num::NonZeroU64;

use hioload_base::{Slab, Time};

use super::event::{Head, Protocol, RequestKey};
use super::exchange::Exchange;
use super::wire::{StartError, Terms, WireEvent, WireFault};
use crate::h1::{self, Client, ClientEvent};
use crate::request::Body;

/// Space a chunk's size takes.
const CHUNK_HEADER_SIZE: usize = 18;

#[derive(Debug, Default)]
pub(super) struct H1 {
    client: Client,
    request: Option<RequestKey>,
    /// A head that is not complete.
    partial: Vec<u8>,
    /// The head of the request, until it is sent.
    head: String,
    interim_seen: u32,
    /// The body goes in chunks.
    is_chunked: bool,
    /// What flows is not HTTP any more.
    is_tunnel: bool,
    wants_tunnel: bool,
}

impl H1 {
    pub(super) fn is_idle(&self) -> bool {
        self.request.is_none()
    }

    pub(super) fn request(&self) -> Option<RequestKey> {
        self.request
    }

    pub(super) fn start(
        &mut self,
        terms: &Terms<'_>,
        key: RequestKey,
        exchange: &mut Exchange,
    ) -> Result<(), StartError> {
        if !self.is_idle() {
            return Err(StartError::Busy);
        }
        let request = &exchange.request;
        let mut own = String::new();
        if !request.has_field("user-agent") && !terms.user_agent.is_empty() {
            own.extend(["User-Agent: ", terms.user_agent, "\r\n"]);
        }
        let body = match (&request.tunnel, exchange.outgoing.length()) {
            (Some(tunnel), _) => {
                own.extend(["Connection: Upgrade\r\nUpgrade: ", &tunnel.protocol, "\r\n"]);
                own.push_str(&tunnel.http1_lines);
                Body::None
            }
            (None, Some(0)) if !request.method.states_length() => Body::None,
            (None, Some(length)) => Body::Length(length),
            (None, None) => Body::Chunked,
        };
        if exchange.attempt.held_until.is_some() {
            own.push_str("Expect: 100-continue\r\n");
        }
        let (method, target) = (request.method.as_str(), request.url.target());
        let authority = request.url.authority();
        h1::write_request_head(
            &mut self.head,
            method,
            target,
            &authority,
            &[&own, &request.lines],
            body,
        );
        self.client.sent(method == "HEAD");
        self.request = Some(key);
        self.is_chunked = body == Body::Chunked;
        self.wants_tunnel = request.tunnel.is_some();
        self.interim_seen = 0;
        Ok(())
    }

    pub(super) fn handle_input<'a>(
        &mut self,
        terms: &Terms<'_>,
        input: &mut &'a mut [u8],
    ) -> Result<Option<WireEvent<'a>>, WireFault> {
        let Some(key) = self.request else {
            return if input.is_empty() {
                Ok(None)
            } else {
                Err(WireFault::Unasked)
            };
        };
        if self.is_tunnel {
            let bytes = std::mem::take(input);
            return Ok((!bytes.is_empty()).then_some(WireEvent::Body(key, bytes)));
        }
        let event = if self.partial.is_empty() {
            let event = self
                .client
                .handle_input(terms.http1, input)
                .map_err(WireFault::Response)?;
            if event.is_none() {
                self.partial.extend_from_slice(input);
                *input = &mut [];
            }
            event.map(|event| own(key, event))
        } else {
            self.join_head(terms, key, input)?
        };
        let interim_count = self.client.interim_count();
        if interim_count > terms.interim_max {
            return Err(WireFault::Interim);
        }
        match event {
            Some(WireEvent::Head(_, ref head)) if head.status == 101 => {
                self.is_tunnel = self.wants_tunnel;
                Ok(event)
            }
            // RFC 9110 7.8: a tunnel has no end but that of the connection.
            Some(WireEvent::End(_)) if self.is_tunnel => Ok(None),
            Some(event) => Ok(Some(event)),
            None if interim_count > self.interim_seen => {
                self.interim_seen = interim_count;
                let status = if self.client.is_continued() { 100 } else { 102 };
                Ok(Some(WireEvent::Interim(key, status)))
            }
            None => Ok(None),
        }
    }

    /// Goes on with a head whose beginning was kept.
    fn join_head<'a>(
        &mut self,
        terms: &Terms<'_>,
        key: RequestKey,
        input: &mut &'a mut [u8],
    ) -> Result<Option<WireEvent<'a>>, WireFault> {
        loop {
            // More than the limit is not even looked at.
            let room = (terms.http1.head_size_max + 1).saturating_sub(self.partial.len());
            let taken = room.min(input.len());
            self.partial.extend_from_slice(&input[..taken]);
            let size = self.partial.len();
            let mut rest = &mut self.partial[..];
            let event = self
                .client
                .handle_input(terms.http1, &mut rest)
                .map_err(WireFault::Response)?;
            let left = rest.len();
            if let Some(event) = event {
                let event = match event {
                    ClientEvent::Head(response) => WireEvent::Head(key, head_of(&response)),
                    // A head is due: nothing else can come.
                    ClientEvent::Body(_) | ClientEvent::End => return Err(WireFault::Unasked),
                };
                // What is left came with this input: without it there was no head.
                *input = &mut std::mem::take(input)[taken - left.min(taken)..];
                self.partial.clear();
                return Ok(Some(event));
            }
            self.partial.drain(..size - left);
            *input = &mut std::mem::take(input)[taken..];
            if input.is_empty() || taken == 0 {
                return Ok(None);
            }
        }
    }

    pub(super) fn handle_eof(&mut self) -> Result<Option<WireEvent<'static>>, WireFault> {
        let Some(key) = self.request else {
            return Err(WireFault::Closed);
        };
        if self.is_tunnel {
            return Ok(Some(WireEvent::End(key)));
        }
        match self.client.handle_eof() {
            Ok(Some(_)) => Ok(Some(WireEvent::End(key))),
            Ok(None) => Err(WireFault::Closed),
            Err(error) => Err(WireFault::Response(error)),
        }
    }

    /// Of further use is a connection whose request and answer are both complete (RFC 9112 9.3).
    pub(super) fn release(&mut self, exchange: &Exchange, is_ended: bool) -> bool {
        self.request = None;
        is_ended
            && exchange.attempt.is_sent
            && !self.is_tunnel
            && self.client.is_reusable()
            && self.partial.is_empty()
    }

    pub(super) fn poll_output(
        &mut self,
        now: Time,
        exchanges: &mut Slab<Exchange>,
        out: &mut Vec<u8>,
        size_max: usize,
    ) {
        let Some(exchange) = self.request.and_then(|key| exchanges.get_mut(key.0)) else {
            return;
        };
        let start = out.len();
        out.extend_from_slice(self.head.as_bytes());
        self.head.clear();
        if exchange.may_send_body() {
            self.poll_body(exchange, out, size_max);
        }
        if out.len() > start {
            exchange.progress_at = now;
        }
    }

    fn poll_body(&self, exchange: &mut Exchange, out: &mut Vec<u8>, size_max: usize) {
        let outgoing = &mut exchange.outgoing;
        let room = size_max.saturating_sub(out.len() + CHUNK_HEADER_SIZE);
        let count = outgoing.available().min(room);
        match NonZeroU64::new(count as u64) {
            Some(size) if self.is_chunked => {
                let mut header = String::new();
                h1::write_chunk_size(&mut header, size);
                out.extend_from_slice(header.as_bytes());
                outgoing.take(count, out);
                out.extend_from_slice(h1::CHUNK_END.as_bytes());
            }
            _ => outgoing.take(count, out),
        }
        if outgoing.is_done() && !exchange.attempt.is_sent {
            exchange.attempt.is_sent = true;
            if self.is_chunked {
                out.extend_from_slice(h1::LAST_CHUNK.as_bytes());
            }
        }
    }
}

fn own<'a>(key: RequestKey, event: ClientEvent<'a>) -> WireEvent<'a> {
    match event {
        ClientEvent::Head(response) => WireEvent::Head(key, head_of(&response)),
        ClientEvent::Body(bytes) => WireEvent::Body(key, bytes),
        ClientEvent::End => WireEvent::End(key),
    }
}

fn head_of(response: &h1::Response<'_>) -> Head {
    Head::new(
        response.status(),
        Protocol::Http1,
        response.fields(),
        response.content_length(),
    )
}
