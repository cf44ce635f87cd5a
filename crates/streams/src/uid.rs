//! The name of a stream: 64 bits that say where it lives, and a generation that makes reuse visible.
//!
//! ```text
//!   63     56 55              36 35            20 19                  0
//!  ┌─────────┬──────────────────┬────────────────┬─────────────────────┐
//!  │ worker 8│ socket slot 20   │ stream slot 16 │ generation 20, >= 1 │
//!  └─────────┴──────────────────┴────────────────┴─────────────────────┘
//! ```
//!
//! Invariant: the generation is never zero, so that no UID is zero, and zero means "none".

use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;

const GENERATION_BITS: u32 = 20;
const STREAM_BITS: u32 = 16;
const SOCKET_BITS: u32 = 20;

const STREAM_SHIFT: u32 = GENERATION_BITS;
const SOCKET_SHIFT: u32 = STREAM_SHIFT + STREAM_BITS;
const WORKER_SHIFT: u32 = SOCKET_SHIFT + SOCKET_BITS;

/// Names one stream, on whatever worker it lives, and only while it lives.
///
/// ```
/// use hioload_streams::StreamUid;
///
/// let uid = StreamUid::new(1, 7, 0, 1).expect("all parts are in range");
/// assert_eq!(uid.to_string(), "0100007000000001");
/// assert_eq!(uid.to_string().parse(), Ok(uid));
/// assert_eq!((uid.worker(), uid.socket(), uid.stream(), uid.generation()), (1, 7, 0, 1));
/// assert_eq!(StreamUid::from_u64(0), None);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamUid(NonZeroU64);

impl StreamUid {
    /// Socket slots there are on a worker.
    pub const SOCKETS: u32 = 1 << SOCKET_BITS;
    /// Workers there may be.
    pub const WORKERS: usize = 1 << (64 - WORKER_SHIFT);
    /// Stream slots of a socket.
    pub const STREAMS: u32 = 1 << STREAM_BITS;
    /// The last generation; the first is 1.
    pub const GENERATION_MAX: u32 = (1 << GENERATION_BITS) - 1;

    /// A UID of these parts; `None` when the socket slot or the generation is out of range. Nothing says
    /// that such a stream exists.
    #[inline]
    #[must_use]
    pub const fn new(worker: u8, socket: u32, stream: u16, generation: u32) -> Option<StreamUid> {
        if socket >= Self::SOCKETS || generation == 0 || generation > Self::GENERATION_MAX {
            return None;
        }
        let bits = (worker as u64) << WORKER_SHIFT
            | (socket as u64) << SOCKET_SHIFT
            | (stream as u64) << STREAM_SHIFT
            | generation as u64;
        match NonZeroU64::new(bits) {
            Some(bits) => Some(StreamUid(bits)),
            None => None,
        }
    }

    /// Back from the number; `None` for 0 and whatever else has no generation.
    #[inline]
    #[must_use]
    pub const fn from_u64(bits: u64) -> Option<StreamUid> {
        if bits & Self::GENERATION_MAX as u64 == 0 {
            return None;
        }
        match NonZeroU64::new(bits) {
            Some(bits) => Some(StreamUid(bits)),
            None => None,
        }
    }

    /// As one number, never 0.
    #[inline]
    #[must_use]
    pub const fn to_u64(self) -> u64 {
        self.0.get()
    }

    /// The worker it lives on.
    #[inline]
    #[must_use]
    pub const fn worker(self) -> u8 {
        (self.0.get() >> WORKER_SHIFT) as u8
    }

    /// The slot of its socket there.
    #[inline]
    #[must_use]
    pub const fn socket(self) -> u32 {
        (self.0.get() >> SOCKET_SHIFT) as u32 & (Self::SOCKETS - 1)
    }

    /// Its slot within the socket.
    #[inline]
    #[must_use]
    pub const fn stream(self) -> u16 {
        (self.0.get() >> STREAM_SHIFT) as u16
    }

    /// Which of those that lived in this slot it is, from 1.
    #[inline]
    #[must_use]
    pub const fn generation(self) -> u32 {
        self.0.get() as u32 & Self::GENERATION_MAX
    }
}

impl fmt::Display for StreamUid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for StreamUid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (worker, socket) = (self.worker(), self.socket());
        write!(
            f,
            "{worker}/{socket}.{}v{}",
            self.stream(),
            self.generation()
        )
    }
}

/// The text is no UID: 1 to 16 hexadecimal digits, of which the last five are not all zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseUidError;

impl fmt::Display for ParseUidError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "a stream UID is 1 to 16 hexadecimal digits, and never all zero in the last five",
        )
    }
}

impl std::error::Error for ParseUidError {}

impl FromStr for StreamUid {
    type Err = ParseUidError;

    fn from_str(text: &str) -> Result<StreamUid, ParseUidError> {
        // from_str_radix would take a sign, too.
        if text.len() > 16 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(ParseUidError);
        }
        let bits = u64::from_str_radix(text, 16).map_err(|_| ParseUidError)?;
        StreamUid::from_u64(bits).ok_or(ParseUidError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_survive_at_their_extremes() {
        for worker in [0, 1, u8::MAX] {
            for socket in [0, 1, StreamUid::SOCKETS - 1] {
                for stream in [0, 1, u16::MAX] {
                    for generation in [1, 2, StreamUid::GENERATION_MAX] {
                        let uid =
                            StreamUid::new(worker, socket, stream, generation).expect("in range");
                        let parts = (uid.worker(), uid.socket(), uid.stream(), uid.generation());
                        assert_eq!(parts, (worker, socket, stream, generation));
                        assert_eq!(StreamUid::from_u64(uid.to_u64()), Some(uid));
                        assert_eq!(uid.to_string().parse(), Ok(uid));
                    }
                }
            }
        }
        assert_eq!(size_of::<Option<StreamUid>>(), 8);
    }

    #[test]
    fn parts_out_of_range_are_refused() {
        assert_eq!(StreamUid::new(0, StreamUid::SOCKETS, 0, 1), None);
        assert_eq!(StreamUid::new(0, 0, 0, 0), None);
        assert_eq!(StreamUid::new(0, 0, 0, StreamUid::GENERATION_MAX + 1), None);
        assert_eq!(StreamUid::from_u64(0), None);
        assert_eq!(
            StreamUid::from_u64(1 << GENERATION_BITS),
            None,
            "no generation"
        );
        assert!(StreamUid::from_u64(u64::MAX).is_some());
    }

    #[test]
    fn only_hexadecimal_digits_are_read() {
        for text in [
            "",
            "0",
            "+1",
            "-1",
            "0x1",
            " 1",
            "g",
            "00000000000000001",
            "100000",
        ] {
            assert_eq!(text.parse::<StreamUid>(), Err(ParseUidError), "{text:?}");
        }
        for text in ["1", "0000000000000001", "FFFFFFFFFFFFFFFF", "ab"] {
            assert!(text.parse::<StreamUid>().is_ok(), "{text:?}");
        }
    }
}
