//! TLS between a socket and everything above: input is opened before it is taken, output is sealed when it is sent.
//!
//! ```text
//!   Received ─▶ opened ─▶ Event::Data ─▶ received (as if it had come in clear)
//!   submit ─▶ waiting ─ sealed, at most 64 KiB ─▶ wire ─▶ Send ─▶ Sent ─▶ sent (plain bytes)
//!   nothing to send ─▶ finish ─▶ close_notify ─▶ FIN
//! ```
//!
//! Must not know what the plain bytes mean. The sessions lie in a table of their own: a connection in clear
//! knows nothing of them, and a connection knows by one fact, [`Facts::SECURE`], that it has one.
//!
//! What is sealed is the kernel's as far as the rest is concerned: it is told as sent with the first
//! completion, whether the kernel took all of it or not, and what it did not take goes first. A cancelled send
//! so loses nothing, and at most 64 KiB of each connection are out of reach of what is above.
//!
//! Invariants: one send at a time; records go out in the order in which they were sealed; after a failure nothing is
//! opened or sealed, the alert still goes out, then the FIN.

use std::mem;

use hioload_mem::{Buffer, BufferPool, Segment};
use hioload_net::tls::{Event, Failure, Handshake, Inbox, RECORD_OVERHEAD, Reason, Session};
use hioload_reactor::{Op, Payload, RecvBuf, RecvEnd, SocketId};

use super::connection::{Facts, Phase};
use super::core::{Core, Cx};
use super::hub::Hub;
use super::input::Input;
use super::stats::Stats;
use super::table::Table;
use crate::handler::CloseReason;

/// Bytes of one buffer of records, at most.
const SEAL_SIZE: usize = 64 << 10;
/// Records up to this size share a buffer with those of other connections.
const SHARED_MAX: usize = 4 << 10;
const SHARED_SIZE: usize = 16 << 10;
/// Plain bytes of one record.
const RECORD_SIZE: usize = 16 << 10;

/// The sessions of a worker.
#[derive(Default)]
pub(super) struct Secure {
    links: Option<Table<Box<Link>>>,
    inbox: Inbox,
    gather: Vec<u8>,
    shared: Option<Buffer>,
    /// Connections that found no memory for their records.
    starved: Vec<SocketId>,
}

/// What a secure connection has beside the others.
struct Link {
    session: Session,
    /// What is to be sealed next.
    waiting: Option<Payload>,
    /// What was sealed, and how many of its bytes; not told yet.
    sealed: Option<(Payload, usize)>,
    is_sending: bool,
    has_failed: bool,
    end: Option<End>,
    /// Bytes of records that are not complete, as counted in [`Core::assembly_size`].
    spilled: u32,
}

/// What a link has beside its session.
pub(super) const LINK_SIZE: usize = size_of::<Link>() - size_of::<Session>();

/// What follows the last record.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Fin,
    Close,
}

impl Secure {
    fn link(&mut self, socket: SocketId) -> Option<&mut Link> {
        Some(&mut **self.links.as_mut()?.get_mut(socket)?)
    }

    /// Sessions, handshakes included.
    pub(super) fn len(&self) -> usize {
        self.links.as_ref().map_or(0, Table::len)
    }

    /// Room for records of so many plain bytes, or for some of them.
    fn room<'a>(
        shared: &'a mut Option<Buffer>,
        own: &'a mut Option<Buffer>,
        pool: &BufferPool,
        plain: usize,
    ) -> Option<&'a mut Buffer> {
        let records = plain.div_ceil(RECORD_SIZE) + 1;
        let size = (plain + records * RECORD_OVERHEAD).min(SEAL_SIZE);
        if size > SHARED_MAX {
            let smaller = SHARED_MAX.min(size);
            *own = pool.take(size).or_else(|| pool.take(smaller));
            return own.as_mut();
        }
        if shared.as_ref().is_none_or(|buffer| buffer.room() < size) {
            *shared = pool.take(SHARED_SIZE).or_else(|| pool.take(size));
        }
        shared.as_mut()
    }
}

impl Core {
    #[inline]
    pub(super) fn is_secure(&self, socket: SocketId) -> bool {
        self.secure.links.is_some()
            && self
                .table
                .get(socket)
                .is_some_and(|connection| connection.facts.has(Facts::SECURE))
    }

    /// The connection speaks TLS from its first byte on.
    pub(super) fn secure(&mut self, socket: SocketId, session: Session) {
        if let Some(connection) = self.table.get_mut(socket) {
            connection.facts.set(Facts::SECURE);
            let link = Link {
                session,
                waiting: None,
                sealed: None,
                is_sending: false,
                has_failed: false,
                end: None,
                spilled: 0,
            };
            let links = self.secure.links.get_or_insert_with(Table::new);
            links.insert(socket, Box::new(link));
        }
    }

    /// The session ends with its connection.
    pub(super) fn forget_secure(&mut self, socket: SocketId) {
        let links = self.secure.links.as_mut();
        if let Some(link) = links.and_then(|links| links.remove(socket)) {
            self.assembly_size -= link.spilled as usize;
        }
    }

    /// Counts what a session keeps of records that are not complete. Where that is more than may be kept, the
    /// connection that asks for it has to go.
    fn count_spilled(&mut self, cx: &mut Cx<'_>, socket: SocketId) {
        let Some(link) = self.secure.link(socket) else {
            return;
        };
        let now = link.session.spilled_size() as u32;
        let before = mem::replace(&mut link.spilled, now);
        self.assembly_size = self.assembly_size - before as usize + now as usize;
        if now > before && self.assembly_size > self.settings.assembly_max {
            self.stats.no_memory += 1;
            self.lost(cx, socket);
        }
    }

    /// Seals a payload and sends it, as soon as nothing is in flight.
    pub(super) fn submit_secure(&mut self, cx: &mut Cx<'_>, socket: SocketId, payload: Payload) {
        if let Some(link) = self.secure.link(socket) {
            link.waiting = Some(payload);
            self.advance(cx, socket);
        }
    }

    /// A send has ended.
    pub(super) fn delivered(
        &mut self,
        cx: &mut Cx<'_>,
        socket: SocketId,
        result: Result<usize, i32>,
        payload: Payload,
    ) {
        if !self.is_secure(socket) {
            return self.sent(cx, socket, result, payload);
        }
        let Some(link) = self.secure.link(socket) else {
            return;
        };
        link.is_sending = false;
        let count = match result {
            Ok(count) => count,
            Err(libc::ECANCELED) => 0,
            Err(errno) => {
                let plain = link.waiting.take();
                let plain = plain.or_else(|| Some(link.sealed.take()?.0));
                return match plain {
                    Some(plain) => self.sent(cx, socket, Err(errno), plain),
                    None => self.lost(cx, socket),
                };
            }
        };
        let told = match link.sealed.take() {
            Some((plain, taken)) => Some((plain, Ok(taken))),
            // Whoever cancelled wants to hear of it. Nothing of this was sealed.
            None if result.is_err() => link
                .waiting
                .take()
                .map(|plain| (plain, Err(libc::ECANCELED))),
            None => None,
        };
        let Payload::One(records) = payload else {
            unreachable!("invariant: records lie in one piece");
        };
        if count < records.len() {
            self.transmit(cx, socket, records.slice(count..));
        }
        if let Some((plain, result)) = told {
            self.sent(cx, socket, result, plain);
        }
        self.advance(cx, socket);
    }

    /// Everything was sent: a close_notify, then our FIN; after the peer's own FIN the end.
    pub(super) fn finish(&mut self, cx: &mut Cx<'_>, socket: SocketId, is_over: bool) {
        if !self.is_secure(socket) {
            return self.finish_socket(cx, socket, is_over);
        }
        let Some(link) = self.secure.link(socket) else {
            return;
        };
        link.session.close_notify();
        link.end = Some(if is_over { End::Close } else { End::Fin });
        self.advance(cx, socket);
    }

    fn finish_socket(&mut self, cx: &mut Cx<'_>, socket: SocketId, is_over: bool) {
        if is_over {
            self.close_socket(cx, socket);
        } else {
            self.carrier_shutdown(cx, socket);
        }
    }

    /// Sends what is next, if nothing is in flight: what waits, behind whatever the session has to say; then the end.
    fn advance(&mut self, cx: &mut Cx<'_>, socket: SocketId) {
        let Some(link) = self.secure.link(socket) else {
            return;
        };
        if link.is_sending {
            return;
        }
        if let Some(plain) = link.waiting.take() {
            if link.session.is_handshaking() || link.has_failed {
                // A refusal that nobody can read: it counts as sent.
                let len = plain.len();
                return self.sent(cx, socket, Ok(len), plain);
            }
            return self.seal(cx, socket, plain);
        }
        if link.session.has_output() {
            let records = said(&mut link.session);
            return self.transmit(cx, socket, records);
        }
        if let Some(end) = link.end.take() {
            self.finish_socket(cx, socket, end == End::Close);
        }
    }

    fn seal(&mut self, cx: &mut Cx<'_>, socket: SocketId, plain: Payload) {
        let secure = &mut self.secure;
        let Some(link) = secure
            .links
            .as_mut()
            .and_then(|links| links.get_mut(socket))
        else {
            return;
        };
        let mut own = None;
        let size = plain.len().min(SEAL_SIZE);
        let Some(buffer) = Secure::room(&mut secure.shared, &mut own, &self.pool, size) else {
            self.stats.no_memory += 1;
            link.waiting = Some(plain);
            return secure.starved.push(socket);
        };
        let pieces = plain.pieces().iter().map(|piece| &piece[..]);
        let outcome = link
            .session
            .encrypt(pieces, &mut secure.gather, buffer.spare_mut());
        match outcome {
            Ok(done) if done.cipher > 0 => {
                buffer.advance(done.cipher);
                let records = buffer.split_seal();
                link.sealed = Some((plain, done.plain));
                self.transmit(cx, socket, records);
            }
            // No room for what the session has to say before it: that goes alone.
            Ok(_) => {
                link.sealed = Some((plain, 0));
                let records = said(&mut link.session);
                self.transmit(cx, socket, records);
            }
            Err(failure) => {
                link.waiting = Some(plain);
                self.fail(cx, socket, &failure);
            }
        }
    }

    fn transmit(&mut self, cx: &mut Cx<'_>, socket: SocketId, records: Segment) {
        let Some(link) = self.secure.link(socket) else {
            return;
        };
        let payload = Payload::One(records);
        link.is_sending = cx.submit(Op::Send { socket, payload }).is_ok();
        if !link.is_sending {
            // The driver has closed the socket meanwhile; its last event is on the way.
            (link.waiting, link.sealed, link.end) = (None, None, None);
            self.forget_send(socket);
        }
    }

    /// The session is over. Its alert goes out, and nothing else but the FIN.
    fn fail(&mut self, cx: &mut Cx<'_>, socket: SocketId, failure: &Failure) {
        let Some(link) = self.secure.link(socket) else {
            return;
        };
        if mem::replace(&mut link.has_failed, true) {
            return;
        }
        tracing::debug!("TLS: {failure}");
        self.stats.count_tls(failure.reason());
        if let Some(cold) = self.table.get_mut(socket).and_then(|at| at.cold.as_mut()) {
            cold.outbox.clear();
            cold.outbox_size = 0;
        }
        self.end(cx, socket, CloseReason::Lost);
        self.advance(cx, socket);
    }

    /// Those that found no memory try again; called a few times a second.
    pub(super) fn feed_starved(&mut self, cx: &mut Cx<'_>) {
        for socket in mem::take(&mut self.secure.starved) {
            self.advance(cx, socket);
        }
    }

    /// The handshake did not come to its end in time, or the peer has gone before.
    pub(super) fn count_unfinished(&mut self, socket: SocketId, reason: Reason) {
        if let Some(link) = self.secure.link(socket)
            && link.session.is_handshaking()
            && !mem::replace(&mut link.has_failed, true)
        {
            self.stats.count_tls(reason);
        }
    }
}

/// Handshake messages and alerts.
fn said(session: &mut Session) -> Segment {
    let mut records = Vec::new();
    session.poll_output(&mut records);
    Segment::copy_from(&records)
}

impl Hub {
    /// Opens what came, and hands on what was in it.
    pub(super) fn received_secure(
        &mut self,
        cx: &mut Cx<'_>,
        socket: SocketId,
        buffer: &mut RecvBuf,
    ) {
        let mut inbox = mem::take(&mut self.core.secure.inbox);
        let mut input: &mut [u8] = buffer;
        while self.wants_input(socket)
            && let Some(link) = self.core.secure.link(socket)
        {
            match link.session.handle_input(&mut input, &mut inbox) {
                Ok(None) => break,
                Ok(Some(Event::Data(bytes))) => self.received(cx, socket, Input::Bytes(bytes)),
                Ok(Some(Event::Handshake(handshake))) => self.secured(cx, socket, handshake),
                Ok(Some(Event::Closed)) => self.recv_ended(cx, socket, RecvEnd::Eof),
                Err(failure) => self.core.fail(cx, socket, &failure),
            }
        }
        self.core.secure.inbox = inbox;
        self.core.count_spilled(cx, socket);
        self.core.advance(cx, socket);
    }

    fn wants_input(&mut self, socket: SocketId) -> bool {
        let connection = self.core.table.get(socket);
        let is_live =
            connection.is_some_and(|at| !matches!(at.phase, Phase::Closing | Phase::Lingering));
        is_live
            && self
                .core
                .secure
                .link(socket)
                .is_some_and(|link| !link.has_failed)
    }

    fn secured(&mut self, cx: &mut Cx<'_>, socket: SocketId, handshake: Handshake) {
        self.core.stats.tls_handshakes += 1;
        self.core.stats.tls_resumed += u64::from(handshake.is_resumed);
        let link = self.core.secure.link(socket);
        let is_h2 = link.is_some_and(|link| link.session.alpn() == Some(b"h2"));
        if is_h2 {
            self.begin_h2(cx, socket);
        }
    }
}

impl Stats {
    fn count_tls(&mut self, reason: Reason) {
        let counter = match reason {
            Reason::NotTls => &mut self.tls_failed_not_tls,
            Reason::Incompatible => &mut self.tls_failed_incompatible,
            Reason::Protocol => &mut self.tls_failed_protocol,
            Reason::Certificate => &mut self.tls_failed_certificate,
            Reason::Alert => &mut self.tls_failed_alert,
            Reason::Damaged => &mut self.tls_failed_damaged,
            Reason::Offence => &mut self.tls_failed_offence,
            Reason::Truncated => &mut self.tls_failed_truncated,
            Reason::TimedOut => &mut self.tls_failed_timed_out,
            Reason::Local => &mut self.tls_failed_local,
        };
        *counter += 1;
    }
}
