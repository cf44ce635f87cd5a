//! Virtual connections: two ends, a pipe each way, and TCP's ways of ending.
//!
//! What is modelled: send buffers and windows, half-close, reset on close with unread input
//! (RFC 2525 2.17), reset by data to a closed end, one error then end of stream, `EPIPE`.

use hioload_base::{Key, Time};

use super::fault::Fault;
use super::net::{Net, Note};
use super::pipe::{Fin, Pipe};

/// Bytes of one segment at most.
const SEGMENT_SIZE: usize = 16 * 1024;

/// One end of a connection: side 0 connected, side 1 accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End {
    pub(super) connection: Key,
    pub(super) side: usize,
}

impl End {
    pub(super) fn other(self) -> Self {
        Self {
            connection: self.connection,
            side: 1 - self.side,
        }
    }
}

/// Who hears of what happens at an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    Nobody,
    Peer,
    Socket { driver: usize, socket: Key },
}

#[derive(Debug)]
pub(super) struct Connection {
    owners: [Owner; 2],
    /// `pipes[side]` carries bytes away from `side`.
    pipes: [Pipe; 2],
    closed: [bool; 2],
    shut: [bool; 2],
    /// A reset arrived; the error is told once.
    reset: [bool; 2],
    errors: [Option<i32>; 2],
    /// The answer to the SYN, once it is there.
    pub(super) answer: Option<Result<(), i32>>,
}

/// What a read finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Readable {
    Bytes(usize),
    Nothing,
    Eof,
    Failed(i32),
}

impl Connection {
    pub(super) fn new(owner: Owner, send_buffer: usize, window: usize) -> Self {
        Self {
            owners: [owner, Owner::Nobody],
            pipes: [
                Pipe::new(send_buffer, window),
                Pipe::new(send_buffer, window),
            ],
            closed: [false; 2],
            shut: [false; 2],
            reset: [false; 2],
            errors: [None; 2],
            answer: None,
        }
    }

    /// The listener's buffer sizes apply to its end; nothing arrives before the answer.
    pub(super) fn accept_with(&mut self, send_buffer: usize, recv_buffer: usize, answer_at: Time) {
        self.pipes[1].outbox_max = send_buffer.max(1);
        self.pipes[1].last_arrival = answer_at;
        self.pipes[0].window = recv_buffer.max(1);
    }
}

impl Net {
    fn stream(&mut self, end: End) -> Option<&mut Connection> {
        self.connections.get_mut(end.connection)
    }

    pub(super) fn set_owner(&mut self, end: End, owner: Owner) {
        if let Some(stream) = self.stream(end) {
            stream.owners[end.side] = owner;
        }
    }

    /// Narrows what the other end may have under way towards this one.
    pub(super) fn set_window(&mut self, end: End, window: usize) {
        if let Some(stream) = self.stream(end) {
            stream.pipes[1 - end.side].window = window;
        }
        self.pump(end.other());
    }

    /// Nothing will reach this end any more.
    pub(super) fn is_deaf(&mut self, end: End) -> bool {
        self.stream(end)
            .is_some_and(|stream| stream.pipes[1 - end.side].stopped_until == Time::MAX)
    }

    pub(super) fn answered(&mut self, key: Key, result: Result<(), i32>) {
        let Some(stream) = self.connections.get_mut(key) else {
            return;
        };
        stream.answer = Some(result);
        if let Owner::Socket { driver, socket } = stream.owners[0] {
            self.note(driver, Note::Connected(socket, result));
        }
    }

    fn tell(&mut self, end: End) {
        let Some(stream) = self.stream(end) else {
            return;
        };
        if let Owner::Socket { driver, socket } = stream.owners[end.side] {
            self.note(driver, Note::Ready(socket));
        }
    }

    /// Bytes a write at this end could take now, or its error.
    pub(super) fn writable(&mut self, end: End) -> Result<usize, i32> {
        let stream = self.stream(end).ok_or(libc::ENOTCONN)?;
        if let Some(error) = stream.errors[end.side].take() {
            return Err(error);
        }
        if stream.reset[end.side] || stream.shut[end.side] {
            return Err(libc::EPIPE);
        }
        let pipe = &mut stream.pipes[end.side];
        pipe.blocked = pipe.room() == 0;
        Ok(pipe.room())
    }

    /// Takes bytes that [`Net::writable`] had room for.
    pub(super) fn write(&mut self, end: End, bytes: &[u8]) {
        if let Some(stream) = self.stream(end) {
            stream.pipes[end.side].write(bytes);
        }
        self.pump(end);
    }

    /// What a read at this end would find; an error is told once.
    pub(super) fn readable(&mut self, end: End) -> Readable {
        let Some(stream) = self.stream(end) else {
            return Readable::Eof;
        };
        let pipe = &stream.pipes[1 - end.side];
        if pipe.readable() > 0 {
            return Readable::Bytes(pipe.readable());
        }
        if let Some(error) = stream.errors[end.side].take() {
            return Readable::Failed(error);
        }
        if stream.reset[end.side] || pipe.fin == Fin::Arrived {
            return Readable::Eof;
        }
        Readable::Nothing
    }

    pub(super) fn read(&mut self, end: End, into: &mut [u8]) -> usize {
        let Some(stream) = self.stream(end) else {
            return 0;
        };
        let size = stream.pipes[1 - end.side].read(into);
        self.pump(end.other());
        size
    }

    /// No more will be written at this end.
    pub(super) fn shutdown(&mut self, end: End) {
        let Some(stream) = self.stream(end) else {
            return;
        };
        if !std::mem::replace(&mut stream.shut[end.side], true) {
            stream.pipes[end.side].fin = Fin::Wanted;
            self.pump(end);
        }
    }

    /// Closes an end: what was written still goes out, unless input was left unread.
    pub(super) fn close(&mut self, end: End) {
        let Some(stream) = self.stream(end) else {
            return;
        };
        if std::mem::replace(&mut stream.closed[end.side], true) {
            return;
        }
        stream.owners[end.side] = Owner::Nobody;
        if stream.pipes[1 - end.side].readable() > 0 {
            self.reset(end);
        } else {
            self.shutdown(end);
        }
        self.let_flow(end.other());
        self.release(end);
    }

    /// Ends the connection at once: the other end hears of a reset.
    pub(super) fn reset(&mut self, end: End) {
        let Some(stream) = self.stream(end) else {
            return;
        };
        stream.closed[end.side] = true;
        stream.shut[end.side] = true;
        stream.owners[end.side] = Owner::Nobody;
        stream.pipes[end.side].drop_outbox();
        self.schedule_reset(end.other());
    }

    /// The reader is gone: what is sent to it meets a closed end instead of a closed window.
    fn let_flow(&mut self, from: End) {
        let Some(stream) = self.stream(from) else {
            return;
        };
        let pipe = &mut stream.pipes[from.side];
        pipe.stopped_until = Time::ZERO;
        pipe.window = usize::MAX;
        self.pump(from);
    }

    /// Moves bytes from the outbox to the wire as the window allows, then the end of stream.
    pub(super) fn pump(&mut self, from: End) {
        loop {
            let (now, latency) = (self.now, self.latency());
            let Some(stream) = self.stream(from) else {
                return;
            };
            let pipe = &mut stream.pipes[from.side];
            let at = pipe.last_arrival.max(now + latency);
            if let Some(bytes) = pipe.next_segment(now, SEGMENT_SIZE) {
                pipe.last_arrival = at;
                let told = pipe.blocked && pipe.room() > 0;
                pipe.blocked &= !told;
                self.schedule_segment(from, bytes, at);
                if told {
                    self.tell(from);
                }
                continue;
            }
            if pipe.fin == Fin::Wanted && pipe.is_flushed() && now >= pipe.stopped_until {
                pipe.fin = Fin::OnWire;
                pipe.last_arrival = at;
                self.schedule_fin(from, at);
            }
            return;
        }
    }

    pub(super) fn segment_arrived(&mut self, from: End, bytes: &[u8]) {
        let cut = self
            .fires(Fault::Reset)
            .then(|| self.prng.below(bytes.len() as u64 + 1) as usize);
        let Some(stream) = self.stream(from) else {
            return;
        };
        let to = from.other();
        let pipe = &mut stream.pipes[from.side];
        if stream.closed[to.side] || stream.reset[to.side] {
            pipe.lose(bytes.len());
            self.schedule_reset(from);
            return;
        }
        if let Some(cut) = cut {
            pipe.arrive(&bytes[..cut]);
            pipe.lose(bytes.len() - cut);
            self.reset_arrived(to);
            self.reset_arrived(from);
            return;
        }
        pipe.arrive(bytes);
        self.tell(to);
        if to.side == 0 {
            self.misbehave(to);
        }
    }

    /// The connecting peer turns slow, deaf or half-closed, if the dice say so.
    fn misbehave(&mut self, peer: End) {
        let until = if self.fires(Fault::DeadReader) {
            Time::MAX
        } else if self.fires(Fault::SlowReader) {
            self.now + self.up_to(self.config.stop_max)
        } else {
            if self.fires(Fault::HalfClose) {
                self.shutdown(peer);
            }
            return;
        };
        let window = 1 + self.prng.below(512) as usize;
        let from = peer.other();
        let Some(stream) = self.stream(from) else {
            return;
        };
        let pipe = &mut stream.pipes[from.side];
        pipe.window = pipe.window.min(window);
        pipe.stopped_until = pipe.stopped_until.max(until);
        let resume_at = pipe.stopped_until;
        if resume_at != Time::MAX {
            self.schedule_resume(from, resume_at);
        }
    }

    pub(super) fn fin_arrived(&mut self, from: End) {
        let Some(stream) = self.stream(from) else {
            return;
        };
        stream.pipes[from.side].fin = Fin::Arrived;
        self.tell(from.other());
        self.release(from);
    }

    pub(super) fn reset_arrived(&mut self, to: End) {
        let Some(stream) = self.stream(to) else {
            return;
        };
        if !stream.closed[to.side] && !stream.reset[to.side] {
            stream.reset[to.side] = true;
            stream.errors[to.side] = Some(libc::ECONNRESET);
            stream.pipes[to.side].drop_outbox();
            self.tell(to);
        }
        self.release(to);
    }

    /// Forgets a connection that nobody has any more and that carries nothing.
    fn release(&mut self, end: End) {
        let Some(stream) = self.stream(end) else {
            return;
        };
        let over = |side: usize| {
            stream.closed[side]
                && (stream.reset[side]
                    || stream.reset[1 - side]
                    || stream.pipes[side].fin == Fin::Arrived)
        };
        if over(0) && over(1) {
            self.connections.remove(end.connection);
        }
    }
}
