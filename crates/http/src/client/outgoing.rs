//! The body of a request on its way out.
//!
//! Knows no framing: whoever sends it says how much it takes. Bytes that were given whole can be sent again; those that
//! were handed over bit by bit are gone once one of them was taken. What waits never exceeds the buffer's size.

use std::sync::Arc;

use super::request::RequestBody;

/// A body, and how far it has come.
#[derive(Debug)]
pub(super) struct Outgoing {
    source: Source,
    /// Bytes that were taken.
    taken: u64,
}

#[derive(Debug)]
enum Source {
    None,
    Bytes(Arc<[u8]>),
    Stream {
        buffer: Vec<u8>,
        /// Bytes of `buffer` that were taken.
        start: usize,
        /// Bytes in all, if known.
        length: Option<u64>,
        /// Bytes that were handed over.
        accepted: u64,
        is_ended: bool,
    },
}

/// A body was handed over that is not the one that was announced. Nothing was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UploadMisuse {
    /// The request is over, or has no body that is handed over.
    NoUpload,
    /// More than was announced, or something after the end.
    TooLong,
    /// The end, before all that was announced has come.
    TooShort,
}

impl std::fmt::Display for UploadMisuse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::NoUpload => "the request is over, or takes no body",
            Self::TooLong => "the body is longer than was announced",
            Self::TooShort => "the body is shorter than was announced",
        })
    }
}

impl std::error::Error for UploadMisuse {}

impl Outgoing {
    pub(super) fn new(body: RequestBody) -> Self {
        let stream = |length| Source::Stream {
            buffer: Vec::new(),
            start: 0,
            length,
            accepted: 0,
            is_ended: length == Some(0),
        };
        let source = match body {
            RequestBody::None => Source::None,
            RequestBody::Bytes(bytes) => Source::Bytes(bytes),
            RequestBody::Stream(length) => stream(Some(length)),
            RequestBody::Chunked => stream(None),
        };
        Self { source, taken: 0 }
    }

    /// How the message is framed; `None`: by chunks, or the end of a stream.
    pub(super) fn length(&self) -> Option<u64> {
        match &self.source {
            Source::None => Some(0),
            Source::Bytes(bytes) => Some(bytes.len() as u64),
            Source::Stream { length, .. } => *length,
        }
    }

    /// Bytes taken so far.
    pub(super) fn taken(&self) -> u64 {
        self.taken
    }

    /// Bytes that can be taken now.
    pub(super) fn available(&self) -> usize {
        self.waiting().len()
    }

    /// Everything was taken, and nothing more comes.
    pub(super) fn is_done(&self) -> bool {
        self.is_last() && self.available() == 0
    }

    /// Nothing comes after what is available.
    pub(super) fn is_last(&self) -> bool {
        match &self.source {
            Source::None | Source::Bytes(_) => true,
            Source::Stream { is_ended, .. } => *is_ended,
        }
    }

    /// It can be sent from its beginning, once more.
    pub(super) fn is_replayable(&self) -> bool {
        self.taken == 0 || matches!(self.source, Source::None | Source::Bytes(_))
    }

    /// From its beginning; only where that can be.
    pub(super) fn rewind(&mut self) {
        debug_assert!(self.is_replayable(), "a body that is gone");
        self.taken = 0;
    }

    /// Takes `count` bytes, which are available, to the end of `out`.
    pub(super) fn take(&mut self, count: usize, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.waiting()[..count]);
        self.taken += count as u64;
        if let Source::Stream { buffer, start, .. } = &mut self.source {
            *start += count;
            if *start == buffer.len() {
                buffer.clear();
                *start = 0;
            }
        }
    }

    /// Bytes that can be handed over now, in a buffer of this size.
    pub(super) fn room(&self, size_max: usize) -> usize {
        match &self.source {
            Source::Stream {
                is_ended: false,
                length,
                accepted,
                ..
            } => {
                let room = size_max.saturating_sub(self.available());
                let left = length.map_or(u64::MAX, |length| length - accepted);
                room.min(usize::try_from(left).unwrap_or(usize::MAX))
            }
            _ => 0,
        }
    }

    /// Takes over as many bytes as there is room for.
    pub(super) fn write(&mut self, bytes: &[u8], size_max: usize) -> Result<usize, UploadMisuse> {
        let room = self.room(size_max);
        let Source::Stream {
            buffer,
            start,
            length,
            accepted,
            is_ended,
        } = &mut self.source
        else {
            return Err(UploadMisuse::NoUpload);
        };
        let left = length.map_or(u64::MAX, |length| length - *accepted);
        if !bytes.is_empty() && (*is_ended || bytes.len() as u64 > left) {
            return Err(UploadMisuse::TooLong);
        }
        let count = room.min(bytes.len());
        // At most once for each buffer that was taken.
        if *start > 0 && buffer.len() + count > buffer.capacity() {
            buffer.drain(..std::mem::take(start));
        }
        buffer.extend_from_slice(&bytes[..count]);
        *accepted += count as u64;
        *is_ended |= *length == Some(*accepted);
        Ok(count)
    }

    /// Nothing more is handed over.
    pub(super) fn finish(&mut self) -> Result<(), UploadMisuse> {
        let Source::Stream {
            length,
            accepted,
            is_ended,
            ..
        } = &mut self.source
        else {
            return Err(UploadMisuse::NoUpload);
        };
        if length.is_some_and(|length| length != *accepted) {
            return Err(UploadMisuse::TooShort);
        }
        *is_ended = true;
        Ok(())
    }

    fn waiting(&self) -> &[u8] {
        match &self.source {
            Source::None => &[],
            Source::Bytes(bytes) => &bytes[self.taken as usize..],
            Source::Stream { buffer, start, .. } => &buffer[*start..],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_handed_over_is_bounded_and_comes_out_in_order() {
        let mut body = Outgoing::new(RequestBody::Chunked);
        let mut out = Vec::new();
        assert_eq!((body.room(4), body.length()), (4, None));
        assert_eq!(body.write(b"abcdef", 4), Ok(4));
        assert_eq!((body.room(4), body.available()), (0, 4));
        body.take(3, &mut out);
        assert_eq!(body.write(b"ef", 4), Ok(2));
        assert_eq!(body.write(b"", 4), Ok(0));
        assert!(!body.is_replayable() && !body.is_last());
        assert_eq!(body.finish(), Ok(()));
        assert!(body.is_last() && !body.is_done());
        assert_eq!(body.write(b"g", 4), Err(UploadMisuse::TooLong));
        body.take(3, &mut out);
        assert!(body.is_done());
        assert_eq!((&out[..], body.taken()), (&b"abcdef"[..], 6));
    }

    #[test]
    fn a_length_that_was_announced_is_kept() {
        let mut body = Outgoing::new(RequestBody::Stream(3));
        assert_eq!(body.finish(), Err(UploadMisuse::TooShort));
        assert_eq!(body.write(b"abcd", 9), Err(UploadMisuse::TooLong));
        assert_eq!(body.write(b"ab", 9), Ok(2));
        assert_eq!((body.room(9), body.is_last()), (1, false));
        assert_eq!(body.write(b"c", 9), Ok(1));
        assert!(body.is_last());
        assert_eq!(body.finish(), Ok(()));
        assert!(Outgoing::new(RequestBody::Stream(0)).is_done());
    }

    #[test]
    fn bytes_can_be_sent_again() {
        let mut body = Outgoing::new(RequestBody::Bytes(b"abc".as_slice().into()));
        let mut out = Vec::new();
        body.take(2, &mut out);
        assert!(body.is_replayable());
        body.rewind();
        body.take(3, &mut out);
        assert_eq!(out, b"ababc");
        assert_eq!(body.write(b"x", 9), Err(UploadMisuse::NoUpload));
        assert_eq!(body.finish(), Err(UploadMisuse::NoUpload));
    }
}
