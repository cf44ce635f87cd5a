//! One HTTP/2 connection as a client: frames in, events and frames out. No sockets.
//!
//! Windows of both directions are kept for the connection and for each stream; what arrives is given back when half a
//! window is used up, so a server never waits for us.

use std::collections::HashMap;
use std::io;

use crate::wire::{
    self, HEAD_SIZE, Head, PAYLOAD_SIZE_MAX, PREFACE, WINDOW_INITIAL, WINDOW_MAX, broken, flag,
    kind, setting,
};

/// What the server said.
#[derive(Clone, Copy)]
pub(crate) enum Event<'a> {
    /// The server's settings: whether it takes extended CONNECT (RFC 8441 3).
    Settings { has_tunnels: bool },
    /// Head of an answer.
    Answer { stream: u32, status: Option<u16> },
    /// Bytes of a stream.
    Data { stream: u32, bytes: &'a [u8] },
    /// The server is done with a stream.
    End { stream: u32, is_reset: bool },
}

#[derive(Default)]
struct Windows {
    send: i64,
    /// Received and not given back.
    received: u32,
}

pub(crate) struct Connection {
    out: Vec<u8>,
    /// A frame that is not whole yet.
    partial: Vec<u8>,
    own: Windows,
    streams: HashMap<u32, Windows>,
    stream_window: i64,
    stream_next: u32,
}

impl Connection {
    pub(crate) fn new() -> Self {
        let mut out = PREFACE.to_vec();
        wire::settings(
            &mut out,
            &[
                (setting::HEADER_TABLE_SIZE, 0),
                (setting::INITIAL_WINDOW_SIZE, WINDOW_MAX),
            ],
        );
        let more = WINDOW_MAX - WINDOW_INITIAL as u32;
        wire::frame(&mut out, kind::WINDOW_UPDATE, 0, 0, &more.to_be_bytes());
        Self {
            out,
            partial: Vec::new(),
            own: Windows {
                send: WINDOW_INITIAL,
                received: 0,
            },
            streams: HashMap::new(),
            stream_window: WINDOW_INITIAL,
            stream_next: 1,
        }
    }

    /// Opens a stream with a request.
    pub(crate) fn request(&mut self, fields: &[(&str, &str)]) -> u32 {
        let stream = self.stream_next;
        self.stream_next += 2;
        wire::headers(&mut self.out, stream, false, fields);
        let windows = Windows {
            send: self.stream_window,
            received: 0,
        };
        self.streams.insert(stream, windows);
        stream
    }

    /// Bytes that both windows let through in one frame.
    pub(crate) fn room(&self, stream: u32) -> usize {
        let stream = self.streams.get(&stream).map_or(0, |windows| windows.send);
        let room = usize::try_from(stream.min(self.own.send)).unwrap_or(0);
        room.min(PAYLOAD_SIZE_MAX)
    }

    /// Sends bytes for which there is room.
    pub(crate) fn data(&mut self, stream: u32, bytes: &[u8], is_end: bool) {
        let end = if is_end { flag::END_STREAM } else { 0 };
        wire::frame(&mut self.out, kind::DATA, end, stream, bytes);
        self.own.send -= bytes.len() as i64;
        if let Some(windows) = self.streams.get_mut(&stream) {
            windows.send -= bytes.len() as i64;
        }
    }

    pub(crate) fn forget(&mut self, stream: u32) {
        self.streams.remove(&stream);
    }

    /// What has to be written.
    pub(crate) fn out(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    /// Takes bytes in, in any pieces.
    pub(crate) fn input(
        &mut self,
        mut bytes: &[u8],
        take: &mut impl FnMut(&mut Self, Event<'_>) -> io::Result<()>,
    ) -> io::Result<()> {
        while !self.partial.is_empty() && !bytes.is_empty() {
            let wanted = match Head::parse(&self.partial) {
                None => HEAD_SIZE - self.partial.len(),
                Some(head) => HEAD_SIZE + head.length - self.partial.len(),
            };
            let (first, rest) = bytes.split_at(wanted.min(bytes.len()));
            self.partial.extend_from_slice(first);
            bytes = rest;
            if let Some(head) = Head::parse(&self.partial)
                && self.partial.len() == HEAD_SIZE + head.length
            {
                let frame = std::mem::take(&mut self.partial);
                self.frame(head, &frame[HEAD_SIZE..], take)?;
            }
        }
        while let Some(head) = Head::parse(bytes)
            && bytes.len() >= HEAD_SIZE + head.length
        {
            let (frame, rest) = bytes.split_at(HEAD_SIZE + head.length);
            bytes = rest;
            self.frame(head, &frame[HEAD_SIZE..], take)?;
        }
        self.partial.extend_from_slice(bytes);
        Ok(())
    }

    fn frame(
        &mut self,
        head: Head,
        payload: &[u8],
        take: &mut impl FnMut(&mut Self, Event<'_>) -> io::Result<()>,
    ) -> io::Result<()> {
        let stream = head.stream;
        match head.kind {
            kind::DATA => {
                let bytes = wire::content(head, payload)?;
                take(self, Event::Data { stream, bytes })?;
                self.received(stream, payload.len() as u32);
            }
            kind::HEADERS => {
                if !head.has(flag::END_HEADERS) {
                    return Err(broken("a header list in several frames"));
                }
                let status = wire::status(wire::content(head, payload)?);
                take(self, Event::Answer { stream, status })?;
            }
            kind::RST_STREAM => {
                let is_reset = true;
                return take(self, Event::End { stream, is_reset });
            }
            kind::SETTINGS if !head.has(flag::ACK) => return self.settings(payload, take),
            kind::PING if !head.has(flag::ACK) => {
                wire::frame(&mut self.out, kind::PING, flag::ACK, 0, payload);
            }
            kind::GOAWAY => return Err(broken("the server says GOAWAY")),
            kind::WINDOW_UPDATE => {
                let bytes = payload.first_chunk().ok_or_else(|| broken("an update"))?;
                let more = i64::from(u32::from_be_bytes(*bytes));
                if stream == 0 {
                    self.own.send += more;
                } else if let Some(windows) = self.streams.get_mut(&stream) {
                    windows.send += more;
                }
            }
            _ => {}
        }
        let ends = matches!(head.kind, kind::DATA | kind::HEADERS);
        if ends && head.has(flag::END_STREAM) {
            let is_reset = false;
            take(self, Event::End { stream, is_reset })?;
        }
        Ok(())
    }

    fn settings(
        &mut self,
        payload: &[u8],
        take: &mut impl FnMut(&mut Self, Event<'_>) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut has_tunnels = false;
        let (settings, _) = payload.as_chunks::<6>();
        for &[n, m, a, b, c, d] in settings {
            let value = u32::from_be_bytes([a, b, c, d]);
            match u16::from_be_bytes([n, m]) {
                setting::INITIAL_WINDOW_SIZE => {
                    let change = i64::from(value) - self.stream_window;
                    self.stream_window += change;
                    for windows in self.streams.values_mut() {
                        windows.send += change;
                    }
                }
                setting::ENABLE_CONNECT_PROTOCOL => has_tunnels = value == 1,
                _ => {}
            }
        }
        wire::frame(&mut self.out, kind::SETTINGS, flag::ACK, 0, &[]);
        take(self, Event::Settings { has_tunnels })
    }

    fn received(&mut self, stream: u32, size: u32) {
        let streams = self.streams.get_mut(&stream);
        let both = std::iter::once((0, &mut self.own)).chain(streams.map(|own| (stream, own)));
        for (stream, windows) in both {
            windows.received += size;
            if windows.received > WINDOW_MAX / 2 {
                let more = std::mem::take(&mut windows.received).to_be_bytes();
                wire::frame(&mut self.out, kind::WINDOW_UPDATE, 0, stream, &more);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(connection: &mut Connection, bytes: &[u8], step: usize) -> Vec<String> {
        let mut seen = Vec::new();
        for piece in bytes.chunks(step) {
            let taken = connection.input(piece, &mut |_, event| {
                seen.push(match event {
                    Event::Settings { has_tunnels } => format!("settings {has_tunnels}"),
                    Event::Answer { stream, status } => format!("{stream}: {status:?}"),
                    Event::Data { stream, bytes } => format!("{stream}: {bytes:?}"),
                    Event::End { stream, is_reset } => format!("{stream}: end {is_reset}"),
                });
                Ok(())
            });
            taken.expect("well formed");
        }
        seen
    }

    #[test]
    fn frames_are_taken_in_any_pieces() {
        let mut bytes = Vec::new();
        wire::settings(&mut bytes, &[(setting::ENABLE_CONNECT_PROTOCOL, 1)]);
        wire::frame(&mut bytes, kind::HEADERS, flag::END_HEADERS, 1, &[0x88]);
        wire::frame(&mut bytes, kind::DATA, flag::END_STREAM, 1, b"ab");
        wire::frame(&mut bytes, kind::RST_STREAM, 0, 3, &[0, 0, 0, 8]);
        for step in 1..=bytes.len() {
            let seen = events(&mut Connection::new(), &bytes, step);
            let expected = [
                "settings true",
                "1: Some(200)",
                "1: [97, 98]",
                "1: end false",
                "3: end true",
            ];
            assert_eq!(seen, expected, "in pieces of {step}");
        }
    }

    #[test]
    fn windows_bound_what_is_sent() {
        let mut connection = Connection::new();
        let stream = connection.request(&[(":method", "PUT")]);
        assert_eq!(connection.room(stream), PAYLOAD_SIZE_MAX);
        for _ in 0..3 {
            connection.data(stream, &[0; PAYLOAD_SIZE_MAX], false);
        }
        assert_eq!(connection.room(stream), 65_535 - 3 * PAYLOAD_SIZE_MAX);
        let mut bytes = Vec::new();
        wire::settings(&mut bytes, &[(setting::INITIAL_WINDOW_SIZE, 10)]);
        events(&mut connection, &bytes, 100);
        assert_eq!(connection.room(stream), 0);
        bytes.clear();
        let more = (3 * PAYLOAD_SIZE_MAX as u32).to_be_bytes();
        wire::frame(&mut bytes, kind::WINDOW_UPDATE, 0, stream, &more);
        events(&mut connection, &bytes, 100);
        assert_eq!(connection.room(stream), 10);
    }
}
