//! Header blocks to events: requests, responses, trailers.
//!
//! A block is decoded whatever becomes of its stream, so that the compression stays in step (RFC 9113 4.3). One that is
//! whole in its first frame, as nearly all are, is decoded where it lies.
//!
//! Spec: RFC 9113 4.3, 5.1, 6.2, 6.10, 8.1, 8.3, 8.5; RFC 8441 4.

use super::input::{BlockPart, emptied};
use super::{Connection, Role};
use crate::h2::abuse::Reason;
use crate::h2::error_code::ErrorCode;
use crate::h2::event::{Event, StreamRef};
use crate::h2::frame::{self, FrameHeader, flag, kind};
use crate::h2::header_list::{HeadKind, HeaderList};
use crate::h2::limits::HEADER_LIST_FACTOR;
use crate::h2::offence::{Offence, Scope};
use crate::h2::priority::Priority;
use crate::h2::stream::{Cause, State, Stream};
use crate::h2::streams::Gone;
use crate::hpack::DecodeError;

impl Connection {
    /// A part of a header block begins.
    pub(super) fn begin_block_part(
        &mut self,
        header: FrameHeader,
        block: Option<BlockPart>,
    ) -> Result<(), Offence> {
        if header.stream == 0 {
            return Err(Offence::StreamExpected);
        }
        let Some(block) = block else {
            self.timers.begin_block(&self.limits, self.now);
            return Ok(());
        };
        self.ledger.add(Reason::Continuation);
        let size = self.block.len() + header.length as usize;
        let size_max = self
            .limits
            .header_list_size_max
            .saturating_mul(HEADER_LIST_FACTOR);
        if block.continuations >= u16::from(self.limits.continuations_max)
            || size > size_max as usize
        {
            return Err(Offence::ContinuationFlood);
        }
        Ok(())
    }

    /// A part of a header block is whole.
    pub(super) fn take_block_part<'a>(
        &mut self,
        header: FrameHeader,
        payload: &[u8],
        block: Option<BlockPart>,
        headers: &mut HeaderList,
    ) -> Result<Option<Event<'a>>, Offence> {
        let is_whole = header.has(flag::END_HEADERS);
        let (fragment, part) = match block {
            Some(part) => {
                let continuations = part.continuations + 1;
                (
                    payload,
                    BlockPart {
                        continuations,
                        ..part
                    },
                )
            }
            None => {
                let (fragment, dependency) = frame::headers(header, payload)?;
                let part = BlockPart {
                    stream: header.stream,
                    end_stream: header.has(flag::END_STREAM),
                    continuations: 0,
                    is_self_dependent: dependency == Some(header.stream),
                };
                (fragment, part)
            }
        };
        if fragment.is_empty() && !is_whole {
            self.count_empty()?;
        }
        if is_whole && header.kind == kind::HEADERS {
            self.timers.end_block();
            return self.take_block(part, fragment, headers);
        }
        self.block.extend_from_slice(fragment);
        if !is_whole {
            self.expect_continuation(part);
            return Ok(None);
        }
        self.timers.end_block();
        let block = std::mem::take(&mut self.block);
        let outcome = self.take_block(part, &block, headers);
        self.block = emptied(block);
        outcome
    }

    fn take_block<'a>(
        &mut self,
        part: BlockPart,
        block: &[u8],
        headers: &mut HeaderList,
    ) -> Result<Option<Event<'a>>, Offence> {
        headers.clear();
        let limits = &self.limits;
        self.decoder
            .decode(block, |field| headers.push(field.name, field.value, limits))
            .map_err(|error| match error {
                DecodeError::Malformed(_) => Offence::Compression,
                DecodeError::Sink(offence) => offence,
            })?;
        let id = part.stream;
        let outcome = match (self.streams.find(id), self.role) {
            (Some(stream), Role::Server) => self.take_trailers(stream, part, headers),
            (Some(stream), Role::Client) => self.take_response(stream, part, headers),
            (None, Role::Server) if id % 2 == 1 && id > self.peer_last => {
                return self.take_request(part, headers);
            }
            (None, _) => self.take_stray(id),
        };
        outcome.or_else(|offence| {
            if offence.scope() == Scope::Connection {
                return Err(offence);
            }
            self.stream_offence(id, offence)?;
            Ok(None)
        })
    }

    /// A head that nobody is waiting for. It was decoded all the same.
    fn drop_head<'a>(&mut self) -> Result<Option<Event<'a>>, Offence> {
        self.count_glitch(1).map(|()| None)
    }

    /// A head for a stream that is not there.
    fn take_stray<'a>(&mut self, id: u32) -> Result<Option<Event<'a>>, Offence> {
        if self.is_beyond_last(id) {
            return self.drop_head();
        }
        if self.is_idle(id) {
            // RFC 9113 5.1.1: streams of the server are reserved by what we do not allow; of ours it can open none.
            return Err(if self.role == Role::Server {
                Offence::StreamId
            } else {
                Offence::StreamIdle
            });
        }
        match self.streams.gone(id) {
            Gone::ResetByUs => self.drop_head(),
            Gone::Ended => Err(Offence::HeadersAfterEnd),
            Gone::Unknown => Err(Offence::StreamId),
        }
    }

    fn take_request<'a>(
        &mut self,
        part: BlockPart,
        headers: &mut HeaderList,
    ) -> Result<Option<Event<'a>>, Offence> {
        let id = part.stream;
        // RFC 9113 6.8: streams above the last one are ignored.
        if self.is_beyond_last(id) {
            return self.drop_head();
        }
        self.peer_last = id;
        self.buckets.streams_seen += 1;
        self.buckets.opened += 1;
        let length = headers.content_length().filter(|_| !headers.is_tunnel());
        let outcome = headers.finish(HeadKind::Request).and_then(|()| {
            if part.is_self_dependent {
                return Err(Offence::PrioritySelf);
            }
            // RFC 8441 3: only once we have said so.
            if headers.is_tunnel() && self.limits.tunnels_max == 0 {
                return Err(Offence::ExtendedConnect);
            }
            // RFC 9113 8.1.1.
            let is_short = part.end_stream && length.is_some_and(|length| length > 0);
            if is_short {
                Err(Offence::ContentLength)
            } else {
                Ok(())
            }
        });
        match outcome {
            Ok(()) => {}
            Err(Offence::HeaderListTooBig) => return self.refuse_too_big(part).map(|()| None),
            Err(offence) => {
                self.count_error_reset()?;
                return self.refuse(id, offence.code()).map(|()| None);
            }
        }
        if let Some(reason) = self.lacks_room(headers.is_tunnel()) {
            self.ledger.add(reason);
            self.count_glitch(1)?;
            // RFC 9113 5.1.2, 8.7: it may be sent again.
            return self.refuse(id, ErrorCode::REFUSED_STREAM).map(|()| None);
        }
        let stream = self.open_request(part, length, headers);
        Ok(Some(Event::Head {
            stream,
            kind: HeadKind::Request,
            end_stream: part.end_stream,
        }))
    }

    /// Puts a request into the table.
    fn open_request(
        &mut self,
        part: BlockPart,
        length: Option<u64>,
        headers: &HeaderList,
    ) -> StreamRef {
        let mut stream = Stream::new(
            part.stream,
            self.peer.initial_window_size,
            self.pacing.window(),
            self.now,
        );
        stream.is_head_received = true;
        stream.is_tunnel = headers.is_tunnel();
        stream.content_left = length;
        let default = if stream.is_tunnel {
            Priority::TUNNEL
        } else {
            Priority::default()
        };
        // RFC 9218 7.1: a PRIORITY_UPDATE overrides the field.
        stream.priority = self
            .take_early_priority(part.stream)
            .or(headers.priority())
            .unwrap_or(default);
        if part.end_stream {
            stream.state.end_remote();
        }
        self.peer_streams += 1;
        self.tunnels += u16::from(stream.is_tunnel);
        if part.end_stream {
            return self.streams.insert(stream);
        }
        if stream.is_tunnel {
            self.widen(&mut stream);
        }
        let reference = self.streams.insert(stream);
        self.pace();
        reference
    }

    /// Why the peer can have no more streams now.
    fn lacks_room(&self, is_tunnel: bool) -> Option<Reason> {
        if self.peer_streams >= self.limits.streams_max || !self.streams.has_room() {
            return Some(Reason::StreamRefused);
        }
        (is_tunnel && self.tunnels >= self.limits.tunnels_max).then_some(Reason::TunnelRefused)
    }

    /// Ends a stream that got no slot.
    fn refuse(&mut self, id: u32, code: ErrorCode) -> Result<(), Offence> {
        frame::write_reset(&mut self.out, id, code);
        self.streams.bury_refused(id);
        self.count_reply()
    }

    /// RFC 6585 5: nobody else sees the request.
    fn refuse_too_big(&mut self, part: BlockPart) -> Result<(), Offence> {
        self.ledger.add(Reason::HeaderListTooBig);
        self.count_glitch(1)?;
        self.write_status(part.stream, 431);
        if part.end_stream {
            return self.count_reply();
        }
        // RFC 9113 8.1: what comes of the request is not needed.
        self.refuse(part.stream, ErrorCode::NO_ERROR)
    }

    /// A second head of a request: its trailers.
    fn take_trailers<'a>(
        &mut self,
        reference: StreamRef,
        part: BlockPart,
        headers: &mut HeaderList,
    ) -> Result<Option<Event<'a>>, Offence> {
        let stream = self.streams.at(reference.slot);
        match stream.state {
            State::Open | State::HalfClosedLocal => {}
            State::HalfClosedRemote => return Err(Offence::StreamEnded),
            State::Closed(Cause::ResetByUs) => return self.drop_head(),
            State::Closed(_) => return Err(Offence::HeadersAfterEnd),
        }
        // RFC 9113 8.1: trailers are the end.
        if !part.end_stream {
            return Err(Offence::MessageOrder);
        }
        headers.finish(HeadKind::Trailers)?;
        if !stream.take_content(0, true) {
            return Err(Offence::ContentLength);
        }
        if stream.is_abandoned {
            self.drop_content(reference, 0, true);
            return Ok(None);
        }
        stream.state.end_remote();
        Ok(Some(Event::Head {
            stream: reference,
            kind: HeadKind::Trailers,
            end_stream: true,
        }))
    }

    /// A head from the server: interim responses, the response, trailers.
    fn take_response<'a>(
        &mut self,
        reference: StreamRef,
        part: BlockPart,
        headers: &mut HeaderList,
    ) -> Result<Option<Event<'a>>, Offence> {
        let stream = self.streams.at(reference.slot);
        if stream.is_head_received || !stream.state.can_receive() {
            return self.take_trailers(reference, part, headers);
        }
        headers.finish(HeadKind::Response)?;
        let status = headers.status().unwrap_or_default();
        let is_interim = status < 200;
        // RFC 9113 8.1, 8.6: interim responses end nothing, and there is nothing to switch to.
        if is_interim && (part.end_stream || status == 101) {
            return Err(Offence::MessageOrder);
        }
        if !is_interim {
            stream.is_head_received = true;
            let is_tunnel = stream.is_tunnel && status < 300;
            // RFC 9113 8.1.1: these have no content, whatever their length says.
            let is_bare = stream.is_head_request || matches!(status, 204 | 304);
            stream.content_left = match headers.content_length() {
                _ if is_bare => Some(0),
                length => length.filter(|_| !is_tunnel),
            };
            if part.end_stream && !is_bare && !stream.take_content(0, true) {
                return Err(Offence::ContentLength);
            }
        }
        if part.end_stream {
            stream.state.end_remote();
        }
        Ok(Some(Event::Head {
            stream: reference,
            kind: if is_interim {
                HeadKind::Interim
            } else {
                HeadKind::Response
            },
            end_stream: part.end_stream,
        }))
    }
}
