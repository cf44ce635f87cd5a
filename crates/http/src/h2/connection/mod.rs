//! One connection.

use hioload_base::Time;

use super::abuse::Ledger;
use super::error_code::ErrorCode;
use super::event::{Event, Grant, RequestHead, StreamRef};
use super::header_list::HeaderList;
use super::limits::Limits;
use super::offence::{Misuse, Offence, OpenError};
use super::priority::Priority;
use super::settings::PeerSettings;

/// One connection, from its preface to its last frame. It owns no content.
#[derive(Debug)]
pub struct Connection {
    limits: Limits,
    output: Vec<u8>,
    peer: PeerSettings,
    ledger: Ledger,
}

impl Connection {
    /// The server's side: the client's preface has to come. Our SETTINGS are in [`Connection::output`].
    #[must_use]
    pub fn server(limits: &Limits, now: Time) -> Self {
        let _ = now;
        Self {
            limits: *limits,
            output: Vec::new(),
            peer: PeerSettings::default(),
            ledger: Ledger::default(),
        }
    }

    /// The client's side: preface and SETTINGS are in [`Connection::output`].
    #[must_use]
    pub fn client(limits: &Limits, now: Time) -> Self {
        Self::server(limits, now)
    }

    /// Takes at most one event off the front of `input`. `None`: all of it was taken, and more has to come. To be called
    /// until then, and after [`Connection::handle_timeout`], too.
    ///
    /// # Errors
    /// The peer broke the protocol or a limit that ends the connection: GOAWAY is in the output; write it and close.
    /// Every later call says the same.
    pub fn handle_input<'a>(
        &mut self,
        now: Time,
        input: &mut &'a mut [u8],
        headers: &mut HeaderList,
    ) -> Result<Option<Event<'a>>, Offence> {
        let _ = (now, input, headers, &self.limits);
        Err(Offence::Preface)
    }

    /// Sends the head of the response. Names may be in any case; fields of the connection (RFC 9113 8.2.2) are left out.
    /// `end_stream`: there is no content.
    ///
    /// # Errors
    /// Nothing was sent.
    pub fn respond<'f>(
        &mut self,
        stream: StreamRef,
        status: u16,
        fields: impl Iterator<Item = (&'f [u8], &'f [u8])> + Clone,
        end_stream: bool,
    ) -> Result<(), Misuse> {
        let _ = (stream, status, fields, end_stream);
        Err(Misuse::Closed)
    }

    /// Sends an interim response: a status of 1xx, but not 101.
    ///
    /// # Errors
    /// Nothing was sent.
    pub fn inform<'f>(
        &mut self,
        stream: StreamRef,
        status: u16,
        fields: impl Iterator<Item = (&'f [u8], &'f [u8])> + Clone,
    ) -> Result<(), Misuse> {
        let _ = (stream, status, fields);
        Err(Misuse::Closed)
    }

    /// Opens a stream and sends the head of a request.
    ///
    /// # Errors
    /// No stream was opened.
    pub fn open<'f>(
        &mut self,
        now: Time,
        head: &RequestHead<'_>,
        fields: impl Iterator<Item = (&'f [u8], &'f [u8])> + Clone,
        end_stream: bool,
    ) -> Result<StreamRef, OpenError> {
        let _ = (now, head, fields, end_stream);
        Err(OpenError::Closed)
    }

    /// Sends trailers, which end the stream. All content has to be granted before.
    ///
    /// # Errors
    /// Nothing was sent.
    pub fn trailers<'f>(
        &mut self,
        stream: StreamRef,
        fields: impl Iterator<Item = (&'f [u8], &'f [u8])> + Clone,
    ) -> Result<(), Misuse> {
        let _ = (stream, fields);
        Err(Misuse::Closed)
    }

    /// So many more bytes of content are ready at the caller; `end_stream`: and they are the last.
    ///
    /// # Errors
    /// Nothing was queued.
    pub fn queue(
        &mut self,
        stream: StreamRef,
        bytes: usize,
        end_stream: bool,
    ) -> Result<(), Misuse> {
        let _ = (stream, bytes, end_stream);
        Err(Misuse::Closed)
    }

    /// Forgets the content that was queued and not granted yet, and its end; says how many bytes. The stream stays open.
    pub fn unqueue(&mut self, stream: StreamRef) -> usize {
        let _ = stream;
        0
    }

    /// The DATA frame to send next, by priorities and within both windows.
    pub fn poll_send(&mut self) -> Option<Grant> {
        None
    }

    /// What stands before the content of a grant.
    #[must_use]
    pub fn data_header(grant: &Grant) -> [u8; 9] {
        let length = (grant.len as u32).to_be_bytes();
        let id = grant.stream.id.to_be_bytes();
        [
            length[1],
            length[2],
            length[3],
            0,
            u8::from(grant.end_stream),
            id[0],
            id[1],
            id[2],
            id[3],
        ]
    }

    /// Control frames and header blocks, in their order.
    #[must_use]
    pub fn output(&self) -> &[u8] {
        &self.output
    }

    /// The output was written.
    pub fn clear_output(&mut self) {
        self.output.clear();
    }

    /// Moves the output to the end of `out`.
    pub fn poll_output(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.output);
        self.clear_output();
    }

    /// Content of [`Event::Data`] is done with: the peer may send so much more.
    pub fn consumed(&mut self, stream: StreamRef, flow: u32) {
        let _ = (stream, flow);
    }

    /// Ends the stream at once, in both directions. It still has to be released.
    pub fn reset(&mut self, stream: StreamRef, code: ErrorCode) {
        let _ = (stream, code);
    }

    /// Nobody works for the stream any more: its slot is free. One that has not ended is reset: by NO_ERROR when it was
    /// answered, by CANCEL otherwise.
    pub fn release(&mut self, stream: StreamRef) {
        let _ = stream;
    }

    /// How urgent what is sent on the stream is. The request's own wish is in force already.
    pub fn set_priority(&mut self, stream: StreamRef, priority: Priority) {
        let _ = (stream, priority);
    }

    /// How many bytes of the stream the peer may send ahead.
    pub fn set_receive_window(&mut self, stream: StreamRef, bytes: u32) {
        let _ = (stream, bytes);
    }

    /// Ends the connection in order: no more streams, those that are there go on for a while (RFC 9113 6.8).
    pub fn shutdown(&mut self, now: Time) {
        let _ = now;
    }

    /// Ends the connection at once: GOAWAY is in the output; nothing more is taken.
    pub fn goaway(&mut self, code: ErrorCode) {
        let _ = code;
    }

    /// No stream is left after [`Connection::shutdown`] or the peer's GOAWAY: the connection may be closed.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        false
    }

    /// The connection has failed, or was ended by [`Connection::goaway`].
    #[must_use]
    pub fn is_closed(&self) -> bool {
        true
    }

    /// Streams that are not released.
    #[must_use]
    pub fn stream_count(&self) -> usize {
        0
    }

    /// Sends a PING, unless one is under way; the answer is [`Event::Pong`].
    pub fn ping(&mut self, now: Time) {
        let _ = now;
    }

    /// When [`Connection::handle_timeout`] has something to do.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        None
    }

    /// Does what is due. Resets of streams are events of the next [`Connection::handle_input`].
    ///
    /// # Errors
    /// As [`Connection::handle_input`].
    pub fn handle_timeout(&mut self, now: Time) -> Result<(), Offence> {
        let _ = now;
        Ok(())
    }

    /// What the peer allows.
    #[must_use]
    pub fn peer_settings(&self) -> &PeerSettings {
        &self.peer
    }

    /// What the peer did that costs us and brings it nothing.
    #[must_use]
    pub fn abuse(&self) -> &Ledger {
        &self.ledger
    }
}
