//! The streams of all HTTP/2 connections of a worker, each with what is being sent on it.

use std::collections::VecDeque;

use hioload_base::{Key, Slab};
use hioload_http::h2::StreamRef;
use hioload_mem::Segment;
use hioload_reactor::{Completion, Payload, SocketId};

use crate::server::table::{is_stream, name_of_stream, stream_of_name};

/// One stream.
pub(in crate::server) struct Stream {
    /// The socket its connection runs on.
    pub(super) parent: SocketId,
    pub(super) stream: StreamRef,
    /// What is being sent.
    payload: Option<Payload>,
    /// Bytes of it that are framed.
    framed: usize,
    /// The piece of it that is next, and bytes of that piece that are framed.
    piece: (usize, usize),
    /// Bytes of the peer's window that are to be given back when the stream is read again.
    pub(super) owed: u32,
    /// Bytes of a block that are read for it, or are to be, and not framed.
    pub(super) fetched: usize,
    /// They are to be, when there is room.
    pub(super) is_waiting: bool,
    /// It is not read.
    pub(super) is_paused: bool,
    /// The peer has sent END_STREAM.
    pub(super) has_ended: bool,
    /// END_STREAM is sent, or queued behind everything.
    pub(super) is_shut: bool,
    /// END_STREAM is framed.
    pub(super) is_sent: bool,
    /// Reset by either side, or its connection is gone: nothing can be sent.
    pub(super) is_reset: bool,
    /// Its end is told as soon as END_STREAM is framed.
    pub(super) is_closing: bool,
}

impl Stream {
    fn new(parent: SocketId, stream: StreamRef) -> Self {
        Self {
            parent,
            stream,
            payload: None,
            framed: 0,
            piece: (0, 0),
            owed: 0,
            fetched: 0,
            is_waiting: false,
            is_paused: false,
            has_ended: false,
            is_shut: false,
            is_sent: false,
            is_reset: false,
            is_closing: false,
        }
    }

    pub(super) fn begin_send(&mut self, payload: Payload) {
        self.payload = Some(payload);
        self.framed = 0;
        self.piece = (0, 0);
    }

    /// Takes the next `len` bytes of what is being sent, piece by piece. True when that was the last of it.
    pub(super) fn take(
        &mut self,
        mut len: usize,
        mut each: impl FnMut(&Segment, std::ops::Range<usize>),
    ) -> bool {
        let Some(payload) = &self.payload else {
            return false;
        };
        let pieces = payload.pieces();
        self.framed += len;
        let (mut index, mut from) = self.piece;
        while len > 0
            && let Some(piece) = pieces.get(index)
        {
            let to = piece.len().min(from + len);
            each(piece, from..to);
            len -= to - from;
            from = to;
            if from == piece.len() {
                (index, from) = (index + 1, 0);
            }
        }
        self.piece = (index, from);
        self.framed == payload.len()
    }

    /// Ends the send: what was to be sent, and how much of it was framed.
    pub(super) fn end_send(&mut self) -> Option<(Payload, usize)> {
        self.payload.take().map(|payload| (payload, self.framed))
    }
}

/// All streams of a worker, and what is to be told of them.
pub(in crate::server) struct Streams {
    slab: Slab<Stream>,
    /// What sockets would have completed.
    events: VecDeque<Completion>,
    /// Connections with output to be framed or sent.
    pub(super) listed: Vec<SocketId>,
}

impl Streams {
    /// At most `max` at a time.
    pub(in crate::server) fn new(max: usize) -> Self {
        Self {
            slab: Slab::with_limit(max),
            events: VecDeque::new(),
            listed: Vec::new(),
        }
    }

    pub(super) fn insert(&mut self, parent: SocketId, stream: StreamRef) -> Option<SocketId> {
        let key: Key = self.slab.insert(Stream::new(parent, stream)).ok()?;
        Some(name_of_stream(key))
    }

    #[inline]
    pub(super) fn get_mut(&mut self, socket: SocketId) -> Option<&mut Stream> {
        self.slab.get_mut(stream_of_name(socket))
    }

    /// The socket that the connection of this stream runs on.
    pub(in crate::server) fn parent_of(&self, socket: SocketId) -> Option<SocketId> {
        if !is_stream(socket) {
            return None;
        }
        let stream = self.slab.get(stream_of_name(socket));
        stream.map(|stream| stream.parent)
    }

    pub(super) fn remove(&mut self, socket: SocketId) -> Option<Stream> {
        self.slab.remove(stream_of_name(socket))
    }

    /// To be told when whoever is at work now is done.
    pub(in crate::server) fn tell(&mut self, event: Completion) {
        self.events.push_back(event);
    }

    pub(super) fn next_event(&mut self) -> Option<Completion> {
        self.events.pop_front()
    }

    /// Streams there are.
    pub(in crate::server) fn len(&self) -> usize {
        self.slab.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_is_taken_across_its_pieces() {
        let pieces = [&b"abc"[..], b"d", b"efgh"].map(Segment::copy_from);
        for step in 1..=8 {
            let mut stream = Stream::new(
                SocketId::from_key(Key::new(0, 1)),
                StreamRef { id: 1, slot: 0 },
            );
            stream.begin_send(Payload::Many(pieces.to_vec()));
            let mut taken = Vec::new();
            while taken.len() < 8 {
                let len = step.min(8 - taken.len());
                let is_last =
                    stream.take(len, |piece, range| taken.extend_from_slice(&piece[range]));
                assert_eq!(is_last, taken.len() == 8, "by {step}");
            }
            assert_eq!(taken, b"abcdefgh", "by {step}");
            let (_, framed) = stream.end_send().expect("it was being sent");
            assert_eq!(framed, 8);
            assert!(stream.end_send().is_none(), "told once");
        }
    }
}
