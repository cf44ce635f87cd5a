//! From what streams have to send to the socket of their connection, and the connection's timer.

use hioload_base::Time;
use hioload_http::h2::Connection as Machine;
use hioload_mem::{BufferPool, Segment};
use hioload_reactor::{Completion, SocketId};

use super::OUTPUT_HIGH;
use crate::handler::CloseReason;
use crate::server::connection::{Facts, Phase};
use crate::server::core::{Core, Cx};
use crate::server::hub::Hub;
use crate::server::input::Input;
use crate::server::output::Cork;

/// So many bytes of DATA are copied behind their header: cheaper than pieces of their own.
const COPY_MAX: usize = 8 * 1024;

/// Copies bytes into the cork; from the heap when the pool has no memory: what was granted has to go.
fn put(cork: &mut Cork, pool: &BufferPool, head: &[u8], body: &[u8]) {
    if cork.write(pool, head, body).is_err() {
        for part in [head, body] {
            if !part.is_empty() {
                cork.append(Segment::copy_from(part));
            }
        }
    }
}

impl Hub {
    /// Sees to the output of all connections that have some, and tells streams what came of theirs.
    pub(in crate::server) fn serve_h2(&mut self, cx: &mut Cx<'_>) {
        // Ends: a connection takes no more than it may have ahead of its socket.
        loop {
            while let Some(event) = self.core.h2.next_event() {
                self.stream_event(cx, event);
            }
            let Some(parent) = self.core.h2.listed.pop() else {
                return;
            };
            if let Some(multiplex) = self.core.multiplex(parent) {
                multiplex.is_listed = false;
            }
            self.write_h2(cx, parent);
            self.core.flush(cx, parent);
            self.fetch(cx, parent);
            self.after_h2(cx, parent);
        }
    }

    /// Frames what may be sent.
    pub(super) fn write_h2(&mut self, cx: &mut Cx<'_>, parent: SocketId) {
        self.uncork(cx);
        let Core {
            table,
            h2: streams,
            cork,
            pool,
            ..
        } = &mut self.core;
        let Some(connection) = table.get_mut(parent) else {
            return;
        };
        if connection.phase != Phase::H2 {
            return;
        }
        let waiting = connection.output_size();
        let Some(multiplex) = connection.cold.as_mut().and_then(|cold| cold.h2.as_mut()) else {
            return;
        };
        loop {
            // Heads are in the order in which they were compressed, and before what follows them.
            let output = multiplex.machine.output();
            if !output.is_empty() {
                put(cork, pool, output, &[]);
                multiplex.machine.clear_output();
            }
            if waiting + cork.len() >= OUTPUT_HIGH {
                return;
            }
            let Some(grant) = multiplex.machine.poll_send() else {
                return;
            };
            let header = Machine::data_header(&grant);
            let name = multiplex.name(grant.stream);
            let Some((socket, stream)) =
                name.and_then(|socket| Some((socket, streams.get_mut(socket)?)))
            else {
                debug_assert!(false, "nobody queued this");
                continue;
            };
            let is_small = grant.len <= COPY_MAX;
            let mut head = &header[..];
            if !is_small || grant.len == 0 {
                put(cork, pool, head, &[]);
                head = &[];
            }
            let is_all = grant.len > 0
                && stream.take(grant.len, |piece, range| {
                    if is_small {
                        put(cork, pool, std::mem::take(&mut head), &piece[range]);
                    } else {
                        cork.append(piece.slice(range));
                    }
                });
            let fetched = stream.fetched.min(grant.len);
            stream.fetched -= fetched;
            multiplex.fetched -= fetched;
            let sent = if is_all { stream.end_send() } else { None };
            if grant.end_stream {
                stream.is_sent = true;
            }
            let is_over = stream.is_sent && stream.is_closing;
            if let Some((payload, framed)) = sent {
                streams.tell(Completion::Sent {
                    socket,
                    result: Ok(framed),
                    payload,
                });
            }
            if is_over {
                streams.tell(Completion::Closed { socket });
            }
        }
    }

    /// A socket would have completed this.
    fn stream_event(&mut self, cx: &mut Cx<'_>, event: Completion) {
        self.uncork(cx);
        match event {
            Completion::Sent {
                socket,
                result,
                payload,
            } => self.core.sent(cx, socket, result, payload),
            Completion::Closed { socket } => self.closed(cx, socket),
            Completion::RecvEnded { socket, end } => self.recv_ended(cx, socket, end),
            _ => debug_assert!(false, "streams complete nothing else"),
        }
    }

    /// What is left to do when all that could be framed was.
    fn after_h2(&mut self, cx: &mut Cx<'_>, parent: SocketId) {
        let Some(connection) = self.core.table.get(parent) else {
            return;
        };
        let has_eof = connection.facts.has(Facts::EOF) && !connection.facts.has(Facts::HELD);
        let is_open = connection.phase == Phase::H2;
        let Some(multiplex) = self.core.multiplex(parent) else {
            return;
        };
        let is_unused = multiplex.streams().next().is_none();
        let is_over = multiplex.machine.is_drained() || (has_eof && is_unused);
        if is_open && is_over {
            return self.end_h2(cx, parent, CloseReason::Lost);
        }
        if is_open {
            self.rearm_h2(cx, parent);
        }
    }

    fn h2_deadline(&mut self, parent: SocketId) -> Option<Time> {
        let patience = self.core.settings.http_idle_timeout;
        let multiplex = self.core.multiplex(parent)?;
        let is_unused = multiplex.streams().next().is_none();
        let idle = is_unused.then_some(multiplex.idle_since + patience);
        let due = multiplex.machine.poll_timeout();
        idle.into_iter().chain(due).min()
    }

    /// A timer that fires too early is set again then: cheaper than moving it with every frame.
    fn rearm_h2(&mut self, cx: &mut Cx<'_>, parent: SocketId) {
        let deadline = self.h2_deadline(parent);
        let Some((deadline, multiplex)) = deadline.zip(self.core.multiplex(parent)) else {
            return;
        };
        if multiplex.due.is_none_or(|due| deadline < due) {
            multiplex.due = Some(deadline);
            self.core.set_timer(cx, parent, deadline);
        }
    }

    /// The timer of an HTTP/2 connection fired.
    pub(in crate::server) fn h2_due(&mut self, cx: &mut Cx<'_>, parent: SocketId) {
        let now = cx.now();
        let patience = self.core.settings.http_idle_timeout;
        let Some(multiplex) = self.core.multiplex(parent) else {
            return;
        };
        multiplex.due = None;
        if multiplex
            .machine
            .poll_timeout()
            .is_some_and(|due| due <= now)
            && let Err(offence) = multiplex.machine.handle_timeout(now)
        {
            return self.h2_offence(cx, parent, offence);
        }
        let is_unused = multiplex.streams().next().is_none();
        if is_unused && now >= multiplex.idle_since + patience {
            multiplex.machine.shutdown(now);
            multiplex.idle_since = now;
        }
        // What was reset for want of progress is told as an event.
        self.h2_input(cx, parent, Input::Bytes(&mut []));
        self.rearm_h2(cx, parent);
    }

    /// The server shuts down: no new streams; those there are end as sessions and exchanges do.
    pub(in crate::server) fn drain_h2(&mut self, cx: &mut Cx<'_>, parent: SocketId) {
        let now = cx.now();
        if let Some(multiplex) = self.core.multiplex(parent) {
            multiplex.machine.shutdown(now);
        }
        self.core.list_multiplex(parent);
    }
}
