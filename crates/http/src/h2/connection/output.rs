//! What is sent: heads, trailers, and leave to send content.
//!
//! A head is encoded when it is asked for, so that the order of the calls is that of the blocks on the wire. Content waits
//! at the caller for its turn.
//!
//! Spec: RFC 9113 6.1, 6.9, 8.1, 8.2, 8.3, 8.8; RFC 8441 4, 5; RFC 9218 10.

use hioload_base::Time;

use super::{Connection, Role};
use crate::field_name::FieldName;
use crate::fields::is_value;
use crate::h2::event::{Grant, RequestHead, StreamRef};
use crate::h2::frame::{self, FRAME_HEADER_SIZE, FrameHeader, STREAM_ID_MAX, flag, kind};
use crate::h2::header_list::{is_name, is_of_connection};
use crate::h2::limits::FRAME_SIZE_MAX;
use crate::h2::offence::{Misuse, OpenError};
use crate::h2::priority::Priority;
use crate::h2::stream::Stream;
use crate::hpack::{Block, Indexing};

/// The longest field name that is put into lower case without memory of its own.
const NAME_SIZE: usize = 64;

impl Connection {
    /// Sends the head of the response. Names may be in any case; fields of the connection (RFC 9113 8.2.2) are left out.
    /// `end_stream`: there is no content.
    ///
    /// # Errors
    /// Nothing was sent.
    pub fn respond<'f>(
        &mut self,
        stream: StreamRef,
        status: u16,
        fields: impl Iterator<Item = (FieldName<'f>, &'f [u8])> + Clone,
        end_stream: bool,
    ) -> Result<(), Misuse> {
        if !(200..=599).contains(&status) {
            return Err(Misuse::Status);
        }
        let entry = self.head_due(stream)?;
        check_fields(fields.clone())?;
        entry.is_head_sent = true;
        if end_stream {
            entry.state.end_local();
        }
        self.write_head(stream.id, end_stream, |block| {
            block.status(status);
            write_fields(block, fields);
        });
        Ok(())
    }

    /// Sends an interim response: a status of 1xx, but not 101.
    ///
    /// # Errors
    /// Nothing was sent.
    pub fn inform<'f>(
        &mut self,
        stream: StreamRef,
        status: u16,
        fields: impl Iterator<Item = (FieldName<'f>, &'f [u8])> + Clone,
    ) -> Result<(), Misuse> {
        // RFC 9113 8.6: there is nothing to switch to.
        if !(100..=199).contains(&status) || status == 101 {
            return Err(Misuse::Status);
        }
        self.head_due(stream)?;
        check_fields(fields.clone())?;
        self.write_head(stream.id, false, |block| {
            block.status(status);
            write_fields(block, fields);
        });
        Ok(())
    }

    /// The stream, whose response has to come next.
    fn head_due(&mut self, stream: StreamRef) -> Result<&mut Stream, Misuse> {
        if !self.is_open() {
            return Err(Misuse::Closed);
        }
        let entry = self.streams.get_mut(stream).ok_or(Misuse::Closed)?;
        if self.role == Role::Client || entry.is_head_sent {
            return Err(Misuse::Order);
        }
        if entry.state.can_send() {
            Ok(entry)
        } else {
            Err(Misuse::Closed)
        }
    }

    /// Opens a stream and sends the head of a request. Names may be in any case; fields of the connection
    /// (RFC 9113 8.2.2) are left out.
    ///
    /// # Errors
    /// No stream was opened.
    pub fn open<'f>(
        &mut self,
        now: Time,
        head: &RequestHead<'_>,
        fields: impl Iterator<Item = (FieldName<'f>, &'f [u8])> + Clone,
        end_stream: bool,
    ) -> Result<StreamRef, OpenError> {
        self.now = now;
        self.check_open(head)?;
        check_fields(fields.clone()).map_err(|_| OpenError::FieldText)?;
        let id = self.own_next;
        self.own_next += 2;
        self.buckets.streams_seen += 1;
        let mut stream = Stream::new(id, self.peer.initial_window_size, self.pacing.window(), now);
        stream.is_head_sent = true;
        stream.is_tunnel = head.method == "CONNECT";
        stream.is_head_request = head.method == "HEAD";
        if end_stream {
            stream.state.end_local();
        }
        let stream = self.streams.insert(stream);
        self.write_head(id, end_stream, |block| {
            for (name, value) in pseudo_fields(head) {
                block.field(name, value.as_bytes(), Indexing::Auto);
            }
            write_fields(block, fields);
        });
        Ok(stream)
    }

    fn check_open(&self, head: &RequestHead<'_>) -> Result<(), OpenError> {
        if self.role == Role::Server {
            return Err(OpenError::NotClient);
        }
        if !self.is_open() {
            return Err(OpenError::Closed);
        }
        if self.going.peer_last.is_some()
            || self.going.last.is_some()
            || self.own_next > STREAM_ID_MAX
        {
            return Err(OpenError::Draining);
        }
        let streams_max = self
            .peer
            .max_concurrent_streams
            .min(u32::from(self.limits.streams_open_max));
        if self.streams.len() >= streams_max as usize {
            return Err(OpenError::TooMany);
        }
        // RFC 8441 3.
        if head.protocol.is_some() && !self.peer.enable_connect {
            return Err(OpenError::NoExtendedConnect);
        }
        let is_text =
            |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        if pseudo_fields(head).all(|(_, value)| is_text(value)) {
            Ok(())
        } else {
            Err(OpenError::FieldText)
        }
    }

    /// Sends trailers, which end the stream. All content has to be granted before.
    ///
    /// # Errors
    /// Nothing was sent.
    pub fn trailers<'f>(
        &mut self,
        stream: StreamRef,
        fields: impl Iterator<Item = (FieldName<'f>, &'f [u8])> + Clone,
    ) -> Result<(), Misuse> {
        let is_open = self.is_open();
        let entry = self.streams.get_mut(stream).ok_or(Misuse::Closed)?;
        if !is_open || !entry.state.can_send() {
            return Err(Misuse::Closed);
        }
        if !entry.is_head_sent || entry.ends {
            return Err(Misuse::Order);
        }
        if entry.queued > 0 {
            return Err(Misuse::DataQueued);
        }
        check_fields(fields.clone())?;
        entry.state.end_local();
        self.write_head(stream.id, true, |block| write_fields(block, fields));
        Ok(())
    }

    /// A response of nothing but a status.
    pub(super) fn write_status(&mut self, id: u32, status: u16) {
        self.write_head(id, true, |block| block.status(status));
    }

    fn write_head(&mut self, id: u32, end_stream: bool, fill: impl FnOnce(&mut Block<'_>)) {
        let start = self.out.len();
        self.out.extend_from_slice(&[0; FRAME_HEADER_SIZE]);
        fill(&mut self.encoder.block(&mut self.out));
        // What everybody takes is enough.
        frame::finish_block(
            &mut self.out,
            start,
            id,
            end_stream,
            FRAME_SIZE_MAX as usize,
        );
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
        let is_open = self.is_open();
        let entry = self.streams.get_mut(stream).ok_or(Misuse::Closed)?;
        if !is_open || !entry.state.can_send() {
            return Err(Misuse::Closed);
        }
        if !entry.is_head_sent || entry.ends {
            return Err(Misuse::Order);
        }
        if entry.queued == 0 {
            entry.stalled_since = self.now;
            entry.progress = 0;
        }
        entry.queued = entry.queued.saturating_add(bytes);
        entry.ends = end_stream;
        if entry.queued > 0 {
            self.timers.watch_stalls(&self.limits, self.now);
        }
        self.schedule(stream);
        Ok(())
    }

    /// Forgets the content that was queued and not granted yet, and its end; says how many bytes. The stream stays open.
    pub fn unqueue(&mut self, stream: StreamRef) -> usize {
        let Some(entry) = self.streams.get_mut(stream) else {
            return 0;
        };
        entry.ends = false;
        self.scheduler.remove(stream.slot);
        std::mem::take(&mut entry.queued)
    }

    /// Puts a stream where it belongs now.
    fn schedule(&mut self, stream: StreamRef) {
        let Some(entry) = self.streams.get(stream) else {
            return;
        };
        if entry.is_ready() {
            let Priority {
                urgency,
                is_incremental,
            } = entry.priority;
            self.scheduler.insert(stream.slot, urgency, is_incremental);
        } else if entry.queued == 0 && entry.ends {
            self.scheduler.insert_end(stream.slot);
        }
    }

    /// The DATA frame to send next, by priorities and within both windows. It counts as sent.
    pub fn poll_send(&mut self) -> Option<Grant> {
        if !self.is_open() {
            return None;
        }
        if let Some(slot) = self.scheduler.first_end() {
            self.scheduler.remove(slot);
            return Some(self.grant(slot, 0));
        }
        let room = self.send.room().min(usize::from(self.limits.data_size_max));
        if room == 0 {
            return None;
        }
        let slot = self.scheduler.first_content()?;
        let stream = self.streams.at(slot);
        let len = room.min(stream.queued).min(stream.send.room());
        stream.send.take(len);
        stream.queued -= len;
        stream.progress = stream.progress.saturating_add(len as u32);
        if stream.progress >= self.limits.stall_progress_min {
            stream.progress = 0;
            stream.stalled_since = self.now;
        }
        let goes_on = stream.is_ready();
        self.send.take(len);
        self.timers.sent(len, &self.limits, self.now);
        self.scheduler.rotate(slot);
        if !goes_on {
            self.scheduler.remove(slot);
        }
        Some(self.grant(slot, len))
    }

    fn grant(&mut self, slot: u16, len: usize) -> Grant {
        self.buckets.data_sent += 1;
        let stream = self.streams.at(slot);
        let end_stream = stream.ends && stream.queued == 0;
        if end_stream {
            stream.ends = false;
            stream.state.end_local();
        }
        Grant {
            stream: StreamRef {
                id: stream.id,
                slot,
            },
            len,
            end_stream,
        }
    }

    /// What stands before the content of a grant.
    #[must_use]
    pub fn data_header(grant: &Grant) -> [u8; 9] {
        let header = FrameHeader {
            length: grant.len as u32,
            kind: kind::DATA,
            flags: if grant.end_stream {
                flag::END_STREAM
            } else {
                0
            },
            stream: grant.stream.id,
        };
        header.to_bytes()
    }

    /// How urgent what is sent on the stream is. The request's own wish is in force already.
    pub fn set_priority(&mut self, stream: StreamRef, priority: Priority) {
        let Some(entry) = self.streams.get_mut(stream) else {
            return;
        };
        if entry.priority == priority {
            return;
        }
        entry.priority = priority;
        if self.scheduler.contains(stream.slot) {
            self.scheduler.remove(stream.slot);
            self.schedule(stream);
        }
    }
}

/// The pseudo fields of a request that it has (RFC 9113 8.3.1, 8.5; RFC 8441 4).
fn pseudo_fields<'a>(
    head: &RequestHead<'a>,
) -> impl Iterator<Item = (&'static [u8], &'a str)> + use<'a> {
    let is_plain_connect = head.method == "CONNECT" && head.protocol.is_none();
    let rest = |value| (!is_plain_connect).then_some(value);
    [
        (&b":method"[..], Some(head.method)),
        (b":scheme", rest(head.scheme)),
        (b":authority", Some(head.authority)),
        (b":path", rest(head.path)),
        (b":protocol", head.protocol),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name, value?)))
}

fn check_fields<'f>(
    mut fields: impl Iterator<Item = (FieldName<'f>, &'f [u8])>,
) -> Result<(), Misuse> {
    let is_good = fields.all(|(name, value)| {
        let is_name = match name {
            FieldName::Known(_) => true,
            FieldName::Text(name) => is_name(name, true),
        };
        is_name && is_value(value)
    });
    if is_good {
        Ok(())
    } else {
        Err(Misuse::FieldText)
    }
}

/// Writes fields that were checked, their names in lower case (RFC 9113 8.2), without those of the connection.
fn write_fields<'f>(
    block: &mut Block<'_>,
    fields: impl Iterator<Item = (FieldName<'f>, &'f [u8])>,
) {
    for (name, value) in fields {
        match name {
            FieldName::Known(name) if is_of_connection(name.code().text()) => {}
            FieldName::Known(name) => block.known(name.code(), value),
            FieldName::Text(name) => write_text(block, name, value),
        }
    }
}

fn write_text(block: &mut Block<'_>, name: &[u8], value: &[u8]) {
    let mut small = [0; NAME_SIZE];
    let large;
    let name = if !name.iter().any(u8::is_ascii_uppercase) {
        name
    } else if let Some(copy) = small.get_mut(..name.len()) {
        copy.copy_from_slice(name);
        copy.make_ascii_lowercase();
        &*copy
    } else {
        large = name.to_ascii_lowercase();
        &large
    };
    if !is_of_connection(name) {
        block.field(name, value, Indexing::Auto);
    }
}
