//! A connected socket that waits, with TLS on it or without.
//!
//! Must not know what the bytes mean. A record that the socket did not take whole goes first with the next write.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;

use hioload_net::tls::{Event, Failure, Inbox, RECORD_OVERHEAD, Session};

/// Bytes read at a time, and records of at most so many made at a time.
const RECORDS_SIZE: usize = 64 << 10;
/// Records of 16 KiB in that, and one more.
const RECORDS_MAX: usize = 5;

/// Bytes in and out.
pub(super) struct Stream {
    pub(super) socket: TcpStream,
    tls: Option<Box<Tls>>,
}

struct Tls {
    session: Session,
    inbox: Inbox,
    /// What was opened and not read yet.
    plain: Vec<u8>,
    plain_start: usize,
    /// What was sealed and not written yet.
    records: Vec<u8>,
    records_start: usize,
    gather: Vec<u8>,
    buffer: Box<[u8]>,
    is_ended: bool,
}

impl Stream {
    pub(super) fn clear(socket: TcpStream) -> Stream {
        Stream { socket, tls: None }
    }

    pub(super) fn secure(socket: TcpStream, session: Session) -> Stream {
        let tls = Tls {
            session,
            inbox: Inbox::default(),
            plain: Vec::new(),
            plain_start: 0,
            records: Vec::new(),
            records_start: 0,
            gather: Vec::new(),
            buffer: vec![0; RECORDS_SIZE].into_boxed_slice(),
            is_ended: false,
        };
        Stream {
            socket,
            tls: Some(Box::new(tls)),
        }
    }

    /// The handshake is not over. One of [`shake`](Self::shake) takes it further.
    pub(super) fn is_handshaking(&self) -> bool {
        let tls = self.tls.as_ref();
        tls.is_some_and(|tls| tls.session.is_handshaking())
    }

    /// Says what is to be said, and reads once.
    pub(super) fn shake(&mut self) -> Result<(), ShakeError> {
        let Some(tls) = &mut self.tls else {
            return Ok(());
        };
        tls.flush(&mut self.socket).map_err(ShakeError::Socket)?;
        let outcome = tls.fill(&mut self.socket);
        if outcome.is_err() {
            // The server is told what is wrong with it.
            let _ = tls.flush(&mut self.socket);
        }
        match outcome {
            Ok(()) if tls.is_ended => {
                tls.session.handle_eof().map_err(ShakeError::Tls)?;
                Err(ShakeError::Socket(io::ErrorKind::UnexpectedEof.into()))
            }
            other => other,
        }
    }

    /// Reads some bytes; none at the end.
    pub(super) fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let Some(tls) = &mut self.tls else {
            return self.socket.read(into);
        };
        while tls.plain_start == tls.plain.len() {
            if tls.is_ended {
                return Ok(0);
            }
            tls.fill(&mut self.socket).map_err(ShakeError::into_io)?;
            // Such as the answer to a key update.
            tls.flush(&mut self.socket)?;
        }
        let rest = &tls.plain[tls.plain_start..];
        let count = rest.len().min(into.len());
        into[..count].copy_from_slice(&rest[..count]);
        tls.plain_start += count;
        Ok(count)
    }

    /// Writes some bytes. With TLS they may wait here until [`flush`](Self::flush).
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(tls) = &mut self.tls else {
            return self.socket.write(bytes);
        };
        tls.flush(&mut self.socket)?;
        let room = bytes.len() + RECORDS_MAX * RECORD_OVERHEAD;
        tls.records.resize(room.min(RECORDS_SIZE), 0);
        let sealed = tls
            .session
            .encrypt([bytes], &mut tls.gather, &mut tls.records);
        let sealed = sealed.map_err(io::Error::other)?;
        tls.records.truncate(sealed.cipher);
        if sealed.plain == 0 && !bytes.is_empty() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        Ok(sealed.plain)
    }

    /// Gives the system what was written.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        match &mut self.tls {
            Some(tls) => tls.flush(&mut self.socket),
            None => Ok(()),
        }
    }

    /// Says that nothing more comes, if that can be done without waiting.
    pub(super) fn end(&mut self) {
        if let Some(tls) = &mut self.tls
            && self.socket.set_nonblocking(true).is_ok()
        {
            tls.session.close_notify();
            let _ = tls.flush(&mut self.socket);
        }
    }
}

impl Tls {
    /// Reads once, and opens what came.
    fn fill(&mut self, socket: &mut TcpStream) -> Result<(), ShakeError> {
        self.plain.clear();
        self.plain_start = 0;
        let size = socket.read(&mut self.buffer).map_err(ShakeError::Socket)?;
        // WebSocket says by itself when it is over: an end without notice takes nothing away (RFC 6455 7.1.5).
        self.is_ended = size == 0;
        let mut input = &mut self.buffer[..size];
        loop {
            match self.session.handle_input(&mut input, &mut self.inbox) {
                Ok(None) => return Ok(()),
                Ok(Some(Event::Handshake(_))) => {}
                Ok(Some(Event::Data(bytes))) => self.plain.extend_from_slice(bytes),
                Ok(Some(Event::Closed)) => self.is_ended = true,
                Err(failure) => return Err(ShakeError::Tls(failure)),
            }
        }
    }

    fn flush(&mut self, socket: &mut TcpStream) -> io::Result<()> {
        loop {
            if self.records_start == self.records.len() {
                self.records.clear();
                self.records_start = 0;
                self.session.poll_output(&mut self.records);
                if self.records.is_empty() {
                    return Ok(());
                }
            }
            self.records_start += socket.write(&self.records[self.records_start..])?;
        }
    }
}

/// Why the handshake went no further.
#[derive(Debug)]
pub(super) enum ShakeError {
    Socket(io::Error),
    Tls(Failure),
}

impl ShakeError {
    fn into_io(self) -> io::Error {
        match self {
            ShakeError::Socket(error) => error,
            ShakeError::Tls(failure) => io::Error::new(io::ErrorKind::InvalidData, failure),
        }
    }
}
