//! Bytes to frames, and DATA to events.
//!
//! ```text
//!   Preface ─▶ Header ─▶ Payload ─▶ (heads, control) ─▶ Header …
//!                 ├────▶ Data ────▶ Padding ──────────▶ Header …
//!                 └────▶ Skip ────────────────────────▶ Header …
//! ```
//!
//! A frame that is whole in the input is looked at where it lies. Of one that is not, the part that came is kept, DATA
//! apart, which is handed out as it comes. A frame is held against its limits by its header, before anything of it is kept.
//!
//! Spec: RFC 9113 3.4, 4.1, 4.2, 6.1, 6.9.

use super::{Connection, End, Role};
use crate::h2::abuse::Reason;
use crate::h2::error_code::ErrorCode;
use crate::h2::event::{Event, StreamRef};
use crate::h2::frame::{FRAME_HEADER_SIZE, FrameHeader, PREFACE, flag, kind};
use crate::h2::header_list::HeaderList;
use crate::h2::limits::{DATA_TINY_SIZE, FRAME_SIZE_MAX};
use crate::h2::offence::{Offence, Scope};
use crate::h2::stream::{Cause, State};
use crate::h2::streams::Gone;

/// Bytes of a buffer that a connection keeps for frames that come in parts.
const KEPT_SIZE_MAX: usize = 4096;

/// What the next bytes are.
#[derive(Clone, Copy, Debug)]
pub(super) enum Reading {
    /// The client's preface, of which so much came.
    Preface(u8),
    /// The header of a frame.
    Header {
        /// The first frame of all.
        is_first: bool,
        /// Only this stream's next part of a header block may come.
        block: Option<BlockPart>,
    },
    /// The payload of a frame that is looked at as a whole.
    Payload(FrameHeader, Option<BlockPart>),
    /// The payload of DATA that is padded: how much padding there is.
    PadLength(FrameHeader),
    /// Content of DATA, padding behind it, and maybe the end of its stream.
    Data {
        stream: StreamRef,
        content: u32,
        padding: u32,
        is_end: bool,
    },
    /// What nobody looks at.
    Skip(u32),
}

/// A header block that has begun.
#[derive(Clone, Copy, Debug)]
pub(super) struct BlockPart {
    pub(super) stream: u32,
    pub(super) end_stream: bool,
    /// CONTINUATION frames that came.
    pub(super) continuations: u16,
    /// The dependency by the scheme of old is on the stream itself.
    pub(super) is_self_dependent: bool,
}

impl Reading {
    pub(super) const FIRST: Reading = Reading::Header {
        is_first: true,
        block: None,
    };
    const NEXT: Reading = Reading::Header {
        is_first: false,
        block: None,
    };
}

/// What a part of the input came to.
enum Step<'a> {
    Event(Event<'a>),
    /// Nothing for the owner.
    Silent,
    /// All of the input was taken.
    NeedMore,
}

impl Connection {
    pub(super) fn take_input<'a>(
        &mut self,
        input: &mut &'a mut [u8],
        headers: &mut HeaderList,
    ) -> Result<Option<Event<'a>>, Offence> {
        loop {
            let step = match self.reading {
                Reading::Preface(matched) => self.take_preface(input, matched)?,
                Reading::Header { is_first, block } => self.take_header(input, is_first, block)?,
                Reading::Payload(header, block) => {
                    self.take_payload(input, header, block, headers)?
                }
                Reading::PadLength(header) => self.take_pad_length(input, header)?,
                Reading::Data { .. } => self.take_data(input),
                Reading::Skip(left) => self.take_skipped(input, left),
            };
            match step {
                Step::Event(event) => return Ok(Some(event)),
                Step::NeedMore => return Ok(None),
                // What the frame made us do may be for the owner to know.
                Step::Silent => {
                    if let Some(event) = self.next_reset() {
                        return Ok(Some(event));
                    }
                }
            }
        }
    }

    fn take_preface<'a>(
        &mut self,
        input: &mut &mut [u8],
        matched: u8,
    ) -> Result<Step<'a>, Offence> {
        let expected = &PREFACE[usize::from(matched)..];
        let len = expected.len().min(input.len());
        if input[..len] != expected[..len] {
            return Err(Offence::Preface);
        }
        skip(input, len);
        self.reading = if len == expected.len() {
            Reading::FIRST
        } else {
            Reading::Preface(matched + len as u8)
        };
        Ok(if input.is_empty() {
            Step::NeedMore
        } else {
            Step::Silent
        })
    }

    fn take_header<'a>(
        &mut self,
        input: &mut &mut [u8],
        is_first: bool,
        block: Option<BlockPart>,
    ) -> Result<Step<'a>, Offence> {
        let header = match input.first_chunk() {
            Some(bytes) if self.spill.is_empty() => {
                let header = FrameHeader::parse(bytes);
                skip(input, FRAME_HEADER_SIZE);
                header
            }
            _ => {
                self.keep(input, FRAME_HEADER_SIZE);
                let Some(bytes) = self.spill.first_chunk() else {
                    return Ok(Step::NeedMore);
                };
                let header = FrameHeader::parse(bytes);
                self.spill.clear();
                header
            }
        };
        self.begin_frame(header, is_first, block)
    }

    /// Keeps what is missing of `size` bytes, as far as it came.
    fn keep(&mut self, input: &mut &mut [u8], size: usize) {
        let len = (size - self.spill.len()).min(input.len());
        self.spill.extend_from_slice(&input[..len]);
        skip(input, len);
    }

    fn begin_frame<'a>(
        &mut self,
        header: FrameHeader,
        is_first: bool,
        block: Option<BlockPart>,
    ) -> Result<Step<'a>, Offence> {
        // RFC 9113 3.4: SETTINGS first, and not those that acknowledge ours.
        if is_first && (header.kind != kind::SETTINGS || header.has(flag::ACK)) {
            return Err(Offence::SettingsFirst);
        }
        // RFC 9113 4.2.
        if header.length > FRAME_SIZE_MAX {
            return Err(Offence::FrameTooBig);
        }
        // RFC 9113 6.10: nothing comes within a header block, nor a part of one without it.
        let is_continued = block.is_some_and(|block| block.stream == header.stream);
        if (header.kind == kind::CONTINUATION) != block.is_some()
            || (block.is_some() && !is_continued)
        {
            return Err(Offence::HeaderBlockBroken);
        }
        self.reading = match header.kind {
            kind::DATA => return self.begin_data(header),
            kind::HEADERS | kind::CONTINUATION => {
                self.begin_block_part(header, block)?;
                Reading::Payload(header, block)
            }
            kind::SETTINGS | kind::PING | kind::GOAWAY | kind::PRIORITY_UPDATE => {
                // RFC 9113 6.5, 6.7, 6.8; RFC 9218 7.1.
                if header.stream != 0 {
                    return Err(Offence::ConnectionExpected);
                }
                self.check_length(header)?;
                Reading::Payload(header, None)
            }
            kind::PRIORITY | kind::RST_STREAM => {
                if header.stream == 0 {
                    return Err(Offence::StreamExpected);
                }
                self.check_length(header)?;
                Reading::Payload(header, None)
            }
            kind::WINDOW_UPDATE => {
                self.check_length(header)?;
                Reading::Payload(header, None)
            }
            // RFC 9113 8.4: a client cannot push, and a server was told not to.
            kind::PUSH_PROMISE => return Err(Offence::Push),
            // RFC 9113 4.1: frames of a kind that nobody knows MUST be ignored.
            _ => {
                self.count_glitch(1)?;
                Reading::Skip(header.length)
            }
        };
        Ok(Step::Silent)
    }

    /// The length of a frame that is kept whole.
    fn check_length(&self, header: FrameHeader) -> Result<(), Offence> {
        let length = header.length;
        let is_good = match header.kind {
            kind::SETTINGS if header.has(flag::ACK) => {
                return if length == 0 {
                    Ok(())
                } else {
                    Err(Offence::SettingsAck)
                };
            }
            kind::SETTINGS if length > 6 * u32::from(self.limits.settings_max) => {
                return Err(Offence::SettingsFlood);
            }
            kind::SETTINGS => length.is_multiple_of(6),
            kind::PING => length == 8,
            kind::RST_STREAM | kind::WINDOW_UPDATE => length == 4,
            // Of another length it ends its stream alone (RFC 9113 6.3).
            kind::PRIORITY => true,
            kind::GOAWAY => length >= 8,
            _ => length >= 4,
        };
        if is_good {
            Ok(())
        } else {
            Err(Offence::FrameSize)
        }
    }

    fn take_payload<'a>(
        &mut self,
        input: &mut &'a mut [u8],
        header: FrameHeader,
        block: Option<BlockPart>,
        headers: &mut HeaderList,
    ) -> Result<Step<'a>, Offence> {
        let size = header.length as usize;
        if self.spill.is_empty() && input.len() >= size {
            let (payload, rest) = std::mem::take(input).split_at_mut(size);
            *input = rest;
            return self.take_frame(header, payload, block, headers);
        }
        self.keep(input, size);
        if self.spill.len() < size {
            return Ok(Step::NeedMore);
        }
        let payload = std::mem::take(&mut self.spill);
        let step = self.take_frame(header, &payload, block, headers);
        self.spill = emptied(payload);
        step
    }

    /// A frame that is whole.
    fn take_frame<'a>(
        &mut self,
        header: FrameHeader,
        payload: &[u8],
        block: Option<BlockPart>,
        headers: &mut HeaderList,
    ) -> Result<Step<'a>, Offence> {
        self.reading = Reading::NEXT;
        let outcome = match header.kind {
            kind::HEADERS | kind::CONTINUATION => {
                self.take_block_part(header, payload, block, headers)
            }
            kind::SETTINGS => self.take_settings(header, payload),
            kind::PING => self.take_ping(header, payload),
            kind::GOAWAY => self.take_goaway(payload).map(Some),
            kind::RST_STREAM => self.take_reset(header.stream, payload),
            kind::WINDOW_UPDATE => self
                .take_window_update(header.stream, payload)
                .map(|()| None),
            kind::PRIORITY => self.take_priority(header.stream, payload).map(|()| None),
            _ => self.take_priority_update(payload).map(|()| None),
        };
        match outcome {
            Ok(Some(event)) => Ok(Step::Event(event)),
            Ok(None) => Ok(Step::Silent),
            Err(offence) => self.take_offence(header.stream, offence),
        }
    }

    /// An offence ends the connection, or the stream that it is of.
    fn take_offence<'a>(&mut self, id: u32, offence: Offence) -> Result<Step<'a>, Offence> {
        // RFC 9113 5.4.2: a stream that nobody opened cannot be reset.
        if offence.scope() == Scope::Connection || self.is_idle(id) {
            return Err(offence);
        }
        self.stream_offence(id, offence)?;
        Ok(Step::Silent)
    }

    /// Waits for the next part of a header block.
    pub(super) fn expect_continuation(&mut self, block: BlockPart) {
        self.reading = Reading::Header {
            is_first: false,
            block: Some(block),
        };
    }

    /// The whole frame counts against both windows, padding included (RFC 9113 6.1, 6.9.1). The connection's is given back
    /// as it comes: one stream whose content nobody takes yet must not stop the others.
    fn begin_data<'a>(&mut self, header: FrameHeader) -> Result<Step<'a>, Offence> {
        let (id, length) = (header.stream, header.length);
        if id == 0 {
            return Err(Offence::StreamExpected);
        }
        if self.is_idle(id) {
            return Err(Offence::StreamIdle);
        }
        self.receive
            .receive(length)
            .map_err(|_| Offence::ConnectionWindowExceeded)?;
        self.receive.consume(length);
        self.announce_connection();
        let outcome = self.accept_data(header);
        if header.has(flag::PADDED) {
            self.reading = Reading::PadLength(header);
        } else {
            self.reading = Reading::Skip(length);
            if outcome.is_ok() {
                return self.begin_content(header, length, 0);
            }
        }
        match outcome {
            Ok(()) => {}
            Err(Refusal::Late) => self.count_glitch(1)?,
            Err(Refusal::Closed) => {
                self.count_glitch(1)?;
                self.reset_gone(id, ErrorCode::STREAM_CLOSED)?;
            }
            Err(Refusal::Offence(offence)) => return self.take_offence(id, offence),
        }
        Ok(Step::Silent)
    }

    /// Whether the stream takes DATA of this length; it is then taken from its window.
    fn accept_data(&mut self, header: FrameHeader) -> Result<(), Refusal> {
        let Some(reference) = self.streams.find(header.stream) else {
            let is_late = self.is_beyond_last(header.stream)
                || self.streams.gone(header.stream) == Gone::ResetByUs;
            return Err(if is_late {
                Refusal::Late
            } else {
                Refusal::Closed
            });
        };
        let stream = self.streams.at(reference.slot);
        match stream.state {
            State::Open | State::HalfClosedLocal => {}
            State::Closed(Cause::ResetByUs) => return Err(Refusal::Late),
            State::Closed(_) => return Err(Refusal::Closed),
            State::HalfClosedRemote => return Err(Refusal::Offence(Offence::StreamEnded)),
        }
        // RFC 9113 8.1: content comes after the head.
        if !stream.is_head_received {
            return Err(Refusal::Offence(Offence::MessageOrder));
        }
        stream
            .receive
            .receive(header.length)
            .map_err(|_| Refusal::Offence(Offence::StreamWindowExceeded))
    }

    fn take_pad_length<'a>(
        &mut self,
        input: &mut &mut [u8],
        header: FrameHeader,
    ) -> Result<Step<'a>, Offence> {
        // RFC 9113 6.1: the length of the padding is one byte, and has to be there.
        let Some(rest) = header.length.checked_sub(1) else {
            return Err(Offence::FrameSize);
        };
        let Some(&padding) = input.first() else {
            return Ok(Step::NeedMore);
        };
        skip(input, 1);
        let padding = u32::from(padding);
        let content = rest.checked_sub(padding).ok_or(Offence::Padding)?;
        if let Some(reference) = self.streams.find(header.stream) {
            self.consumed(reference, 1 + padding);
        }
        self.begin_content(header, content, padding)
    }

    fn begin_content<'a>(
        &mut self,
        header: FrameHeader,
        content: u32,
        padding: u32,
    ) -> Result<Step<'a>, Offence> {
        let is_end = header.has(flag::END_STREAM);
        self.reading = Reading::Skip(content + padding);
        // Released since the frame began.
        let Some(stream) = self.streams.find(header.stream) else {
            return Ok(Step::Silent);
        };
        let entry = self.streams.at(stream.slot);
        // Small pieces are a tunnel's own matter, and ours where we leave no room for others.
        let is_exempt = entry.is_tunnel || entry.receive.target() < i64::from(4 * DATA_TINY_SIZE);
        if entry.state.can_receive() && !entry.take_content(content, is_end) {
            return self.take_offence(header.stream, Offence::ContentLength);
        }
        if !is_end {
            self.count_small(content, is_exempt)?;
        }
        self.reading = Reading::Data {
            stream,
            content,
            padding,
            is_end,
        };
        Ok(Step::Silent)
    }

    /// DATA that costs more than it brings.
    fn count_small(&mut self, content: u32, is_exempt: bool) -> Result<(), Offence> {
        if content == 0 {
            return self.count_empty();
        }
        if content >= DATA_TINY_SIZE || is_exempt {
            return Ok(());
        }
        self.ledger.add(Reason::TinyData);
        let (burst, per_s) = (self.limits.tiny_data_burst, self.limits.tiny_data_per_s);
        if self.buckets.tiny.take(1, burst, per_s, self.now) {
            Ok(())
        } else {
            Err(Offence::TinyDataFlood)
        }
    }

    /// A frame without anything in it, not even an end.
    pub(super) fn count_empty(&mut self) -> Result<(), Offence> {
        if self.ledger.add(Reason::EmptyFrame) > self.limits.empty_frames_max {
            return Err(Offence::EmptyDataFlood);
        }
        Ok(())
    }

    fn take_data<'a>(&mut self, input: &mut &'a mut [u8]) -> Step<'a> {
        let Reading::Data {
            stream,
            content,
            padding,
            is_end,
        } = self.reading
        else {
            return Step::Silent;
        };
        let entry = self.streams.get_mut(stream);
        let Some(entry) = entry.filter(|entry| entry.state.can_receive()) else {
            // Reset since the frame began.
            self.reading = Reading::Skip(content + padding);
            return Step::Silent;
        };
        let len = input.len().min(content as usize);
        let left = content - len as u32;
        let (bytes, rest) = std::mem::take(input).split_at_mut(len);
        *input = rest;
        let is_padded = padding as usize > input.len();
        let end_stream = is_end && left == 0 && !is_padded;
        if end_stream {
            entry.state.end_remote();
        }
        if left == 0 && !is_padded {
            skip(input, padding as usize);
            self.reading = Reading::NEXT;
        } else {
            let padding_here = if left == 0 { input.len() } else { 0 };
            skip(input, padding_here);
            self.reading = Reading::Data {
                stream,
                content: left,
                padding: padding - padding_here as u32,
                is_end,
            };
        }
        if entry.is_abandoned {
            self.drop_content(stream, len as u32, end_stream);
        } else if len > 0 || end_stream {
            return Step::Event(Event::Data {
                stream,
                bytes,
                flow: len as u32,
                end_stream,
            });
        }
        // Nothing to tell: the end of the input, or of a frame that was empty.
        if matches!(self.reading, Reading::Data { .. }) {
            Step::NeedMore
        } else {
            Step::Silent
        }
    }

    fn take_skipped<'a>(&mut self, input: &mut &mut [u8], left: u32) -> Step<'a> {
        let len = input.len().min(left as usize);
        skip(input, len);
        let left = left - len as u32;
        if left == 0 {
            self.reading = Reading::NEXT;
            return Step::Silent;
        }
        self.reading = Reading::Skip(left);
        Step::NeedMore
    }

    /// A stream that nobody opened yet (RFC 9113 5.1.1).
    pub(super) fn is_idle(&self, id: u32) -> bool {
        let is_own = (id % 2 == 1) == (self.role == Role::Client);
        if is_own {
            id >= self.own_next
        } else {
            id > self.peer_last && !self.is_beyond_last(id)
        }
    }

    /// A stream of the peer that it opened after we said which is the last (RFC 9113 6.8).
    pub(super) fn is_beyond_last(&self, id: u32) -> bool {
        let is_peers = (id % 2 == 1) == (self.role == Role::Server);
        is_peers && self.going.last.is_some_and(|last| id > last)
    }

    /// Whether anything is still taken.
    pub(super) fn is_open(&self) -> bool {
        self.end == End::Not
    }
}

/// Why DATA is dropped.
enum Refusal {
    /// It was sent before the peer could know that nobody wants it.
    Late,
    /// The peer has closed the stream itself.
    Closed,
    Offence(Offence),
}

/// A buffer that is kept for the next time, unless it is one that a connection at rest should not hold.
pub(super) fn emptied(mut buffer: Vec<u8>) -> Vec<u8> {
    if buffer.capacity() > KEPT_SIZE_MAX {
        return Vec::new();
    }
    buffer.clear();
    buffer
}

/// The front of the input is done with.
fn skip(input: &mut &mut [u8], len: usize) {
    *input = &mut std::mem::take(input)[len..];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_buffers_are_not_kept() {
        let kept = emptied([&[0; 100][..], &[0; KEPT_SIZE_MAX - 100]].concat());
        assert_eq!((kept.len(), kept.capacity()), (0, KEPT_SIZE_MAX));
        assert_eq!(emptied(vec![0; KEPT_SIZE_MAX + 1]).capacity(), 0);
    }
}
