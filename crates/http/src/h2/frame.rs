//! Frames as bytes: the header all of them have, and what is in each kind.
//!
//! Knows no stream and no connection: what a frame means, and whether it may come, is theirs. A frame is looked at where
//! it lies; frames are written to the end of whatever is sent next.
//!
//! ```text
//!   +-----------------------------------------------+
//!   | length (24) | type (8) | flags (8) | R | stream id (31) |
//!   +-----------------------------------------------+
//! ```
//!
//! Spec: RFC 9113 4.1, 6; RFC 9218 7.1.

use super::error_code::ErrorCode;
use super::offence::Offence;

/// Bytes of the header of a frame.
pub(super) const FRAME_HEADER_SIZE: usize = 9;

/// What the client's side of every connection begins with (RFC 9113 3.4).
pub(super) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Types of frames.
pub(super) mod kind {
    pub(in crate::h2) const DATA: u8 = 0x0;
    pub(in crate::h2) const HEADERS: u8 = 0x1;
    pub(in crate::h2) const PRIORITY: u8 = 0x2;
    pub(in crate::h2) const RST_STREAM: u8 = 0x3;
    pub(in crate::h2) const SETTINGS: u8 = 0x4;
    pub(in crate::h2) const PUSH_PROMISE: u8 = 0x5;
    pub(in crate::h2) const PING: u8 = 0x6;
    pub(in crate::h2) const GOAWAY: u8 = 0x7;
    pub(in crate::h2) const WINDOW_UPDATE: u8 = 0x8;
    pub(in crate::h2) const CONTINUATION: u8 = 0x9;
    pub(in crate::h2) const PRIORITY_UPDATE: u8 = 0x10;
}

/// Flags of frames.
pub(super) mod flag {
    pub(in crate::h2) const END_STREAM: u8 = 0x1;
    pub(in crate::h2) const ACK: u8 = 0x1;
    pub(in crate::h2) const END_HEADERS: u8 = 0x4;
    pub(in crate::h2) const PADDED: u8 = 0x8;
    pub(in crate::h2) const PRIORITY: u8 = 0x20;
}

/// The header of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameHeader {
    /// Bytes of its payload.
    pub(super) length: u32,
    pub(super) kind: u8,
    pub(super) flags: u8,
    /// 0: the connection.
    pub(super) stream: u32,
}

impl FrameHeader {
    pub(super) fn parse(bytes: &[u8; FRAME_HEADER_SIZE]) -> Self {
        let [a, b, c, kind, flags, stream @ ..] = *bytes;
        Self {
            length: u32::from_be_bytes([0, a, b, c]),
            kind,
            flags,
            // RFC 9113 4.1: the reserved bit MUST be ignored.
            stream: u32::from_be_bytes(stream) & STREAM_ID_MAX,
        }
    }

    pub(super) fn to_bytes(self) -> [u8; FRAME_HEADER_SIZE] {
        let [_, a, b, c] = self.length.to_be_bytes();
        let [d, e, f, g] = self.stream.to_be_bytes();
        [a, b, c, self.kind, self.flags, d, e, f, g]
    }

    pub(super) fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// The largest stream id.
pub(super) const STREAM_ID_MAX: u32 = 0x7fff_ffff;

/// A payload without its padding (RFC 9113 6.1, 6.2).
pub(super) fn without_padding(header: FrameHeader, payload: &[u8]) -> Result<&[u8], Offence> {
    if !header.has(flag::PADDED) {
        return Ok(payload);
    }
    let (&padding, rest) = payload.split_first().ok_or(Offence::FrameSize)?;
    // RFC 9113 6.1: padding of the length of the payload or more.
    let len = rest
        .len()
        .checked_sub(usize::from(padding))
        .ok_or(Offence::Padding)?;
    Ok(&rest[..len])
}

/// The part of a header block in HEADERS, and the stream that this one depends on by the scheme of old.
pub(super) fn headers(
    header: FrameHeader,
    payload: &[u8],
) -> Result<(&[u8], Option<u32>), Offence> {
    let fragment = without_padding(header, payload)?;
    if !header.has(flag::PRIORITY) {
        return Ok((fragment, None));
    }
    let (priority, fragment) = fragment
        .split_first_chunk::<5>()
        .ok_or(Offence::FrameSize)?;
    Ok((fragment, Some(dependency(priority))))
}

/// The stream that another one depends on, of the five bytes of RFC 9113 6.3.
pub(super) fn dependency(priority: &[u8; 5]) -> u32 {
    let [a, b, c, d, _weight] = *priority;
    u32::from_be_bytes([a, b, c, d]) & STREAM_ID_MAX
}

/// The entries of SETTINGS, whose length is a multiple of six.
pub(super) fn settings(payload: &[u8]) -> impl Iterator<Item = (u16, u32)> + '_ {
    payload
        .as_chunks::<6>()
        .0
        .iter()
        .map(|&[a, b, c, d, e, f]| (u16::from_be_bytes([a, b]), u32::from_be_bytes([c, d, e, f])))
}

/// The one number of RST_STREAM and WINDOW_UPDATE.
pub(super) fn number(payload: &[u8]) -> Result<u32, Offence> {
    let bytes = payload.try_into().map_err(|_| Offence::FrameSize)?;
    Ok(u32::from_be_bytes(bytes))
}

/// Last stream and code of GOAWAY; what else it says is for people.
pub(super) fn goaway(payload: &[u8]) -> Result<(u32, ErrorCode), Offence> {
    let (&[a, b, c, d, e, f, g, h], _text) =
        payload.split_first_chunk::<8>().ok_or(Offence::FrameSize)?;
    let last = u32::from_be_bytes([a, b, c, d]) & STREAM_ID_MAX;
    Ok((last, ErrorCode(u32::from_be_bytes([e, f, g, h]))))
}

/// Stream and text of PRIORITY_UPDATE.
pub(super) fn priority_update(payload: &[u8]) -> Result<(u32, &[u8]), Offence> {
    let (id, value) = payload.split_first_chunk::<4>().ok_or(Offence::FrameSize)?;
    Ok((u32::from_be_bytes(*id) & STREAM_ID_MAX, value))
}

fn write(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    let header = FrameHeader {
        length: payload.len() as u32,
        kind,
        flags,
        stream,
    };
    out.extend_from_slice(&header.to_bytes());
    out.extend_from_slice(payload);
}

pub(super) fn write_settings(out: &mut Vec<u8>, entries: &[(u16, u32)]) {
    let header = FrameHeader {
        length: 6 * entries.len() as u32,
        kind: kind::SETTINGS,
        flags: 0,
        stream: 0,
    };
    out.extend_from_slice(&header.to_bytes());
    for (id, value) in entries {
        out.extend_from_slice(&id.to_be_bytes());
        out.extend_from_slice(&value.to_be_bytes());
    }
}

pub(super) fn write_settings_ack(out: &mut Vec<u8>) {
    write(out, kind::SETTINGS, flag::ACK, 0, &[]);
}

pub(super) fn write_ping(out: &mut Vec<u8>, payload: [u8; 8], is_ack: bool) {
    let flags = if is_ack { flag::ACK } else { 0 };
    write(out, kind::PING, flags, 0, &payload);
}

pub(super) fn write_reset(out: &mut Vec<u8>, stream: u32, code: ErrorCode) {
    write(out, kind::RST_STREAM, 0, stream, &code.0.to_be_bytes());
}

pub(super) fn write_window_update(out: &mut Vec<u8>, stream: u32, increment: u32) {
    write(
        out,
        kind::WINDOW_UPDATE,
        0,
        stream,
        &increment.to_be_bytes(),
    );
}

pub(super) fn write_goaway(out: &mut Vec<u8>, last: u32, code: ErrorCode, text: &str) {
    let header = FrameHeader {
        length: 8 + text.len() as u32,
        kind: kind::GOAWAY,
        flags: 0,
        stream: 0,
    };
    out.extend_from_slice(&header.to_bytes());
    out.extend_from_slice(&last.to_be_bytes());
    out.extend_from_slice(&code.0.to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

/// Puts the header in front of the header block that stands in `out` from `start` on, after room for it; one that is
/// longer than a frame goes on in CONTINUATION.
pub(super) fn finish_block(
    out: &mut Vec<u8>,
    start: usize,
    stream: u32,
    end_stream: bool,
    size_max: usize,
) {
    let length = out.len() - start - FRAME_HEADER_SIZE;
    let end_stream = if end_stream { flag::END_STREAM } else { 0 };
    let mut header = FrameHeader {
        length: length.min(size_max) as u32,
        kind: kind::HEADERS,
        flags: end_stream
            | if length <= size_max {
                flag::END_HEADERS
            } else {
                0
            },
        stream,
    };
    out[start..start + FRAME_HEADER_SIZE].copy_from_slice(&header.to_bytes());
    if length <= size_max {
        return;
    }
    let rest = out.split_off(start + FRAME_HEADER_SIZE + size_max);
    let mut fragments = rest.chunks(size_max).peekable();
    header.kind = kind::CONTINUATION;
    while let Some(fragment) = fragments.next() {
        header.length = fragment.len() as u32;
        header.flags = if fragments.peek().is_none() {
            flag::END_HEADERS
        } else {
            0
        };
        out.extend_from_slice(&header.to_bytes());
        out.extend_from_slice(fragment);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(length: u32, kind: u8, flags: u8, stream: u32) -> FrameHeader {
        FrameHeader {
            length,
            kind,
            flags,
            stream,
        }
    }

    #[test]
    fn headers_of_frames_both_ways() {
        for (header, bytes) in [
            (header(0, 0, 0, 0), [0; 9]),
            (
                header(0x01_0203, 4, 5, 0x0607_0809),
                [1, 2, 3, 4, 5, 6, 7, 8, 9],
            ),
            (
                header(0xff_ffff, 0xff, 0xff, STREAM_ID_MAX),
                [0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff],
            ),
        ] {
            assert_eq!(header.to_bytes(), bytes);
            assert_eq!(FrameHeader::parse(&bytes), header);
        }
        // The reserved bit.
        let parsed = FrameHeader::parse(&[0, 0, 0, 0, 0, 0x80, 0, 0, 1]);
        assert_eq!(parsed.stream, 1);
    }

    #[test]
    fn padding_is_within_its_frame() {
        let padded = header(0, kind::DATA, flag::PADDED, 1);
        for (payload, outcome) in [
            (&[][..], Err(Offence::FrameSize)),
            (&[0], Ok(&[][..])),
            (&[1], Err(Offence::Padding)),
            (&[1, 0], Ok(&[])),
            (&[1, 7, 0], Ok(&[7])),
            (&[2, 7, 0], Ok(&[])),
            (&[3, 7, 0], Err(Offence::Padding)),
            (&[255, 7, 0], Err(Offence::Padding)),
        ] {
            assert_eq!(without_padding(padded, payload), outcome, "{payload:?}");
        }
        let plain = header(0, kind::DATA, 0, 1);
        assert_eq!(without_padding(plain, &[9, 9]), Ok(&[9, 9][..]));
    }

    #[test]
    fn headers_may_have_padding_and_a_dependency() {
        let both = header(0, kind::HEADERS, flag::PADDED | flag::PRIORITY, 1);
        let payload = [1, 0x80, 0, 0, 3, 255, 42, 0];
        assert_eq!(headers(both, &payload), Ok((&[42][..], Some(3))));
        assert_eq!(
            headers(both, &[3, 0, 0, 0, 3, 0, 0, 0]),
            Err(Offence::FrameSize)
        );
        let priority = header(0, kind::HEADERS, flag::PRIORITY, 1);
        assert_eq!(headers(priority, &[0, 0, 0, 3]), Err(Offence::FrameSize));
        assert_eq!(headers(priority, &[0, 0, 0, 3, 0]), Ok((&[][..], Some(3))));
    }

    #[test]
    fn frames_of_fixed_size_have_it() {
        assert_eq!(number(&[0, 0, 1, 0]), Ok(256));
        assert_eq!(number(&[0, 0, 1]), Err(Offence::FrameSize));
        assert_eq!(number(&[0, 0, 1, 0, 0]), Err(Offence::FrameSize));
        assert_eq!(
            goaway(&[0x80, 0, 0, 1, 0, 0, 0, 8, b'x']),
            Ok((1, ErrorCode::CANCEL))
        );
        assert_eq!(goaway(&[0; 7]), Err(Offence::FrameSize));
        assert_eq!(priority_update(&[0, 0, 0, 5, b'i']), Ok((5, &b"i"[..])));
        assert_eq!(priority_update(&[0, 0, 5]), Err(Offence::FrameSize));
        let entries: Vec<_> = settings(&[0, 4, 0, 1, 0, 0, 0xff, 0xff, 0, 0, 0, 1]).collect();
        assert_eq!(entries, [(4, 65_536), (0xffff, 1)]);
    }

    #[test]
    fn a_block_is_cut_into_frames() {
        for (length, frames) in [
            (0, &[(kind::HEADERS, 5, 0)][..]),
            (4, &[(kind::HEADERS, 5, 4)]),
            (5, &[(kind::HEADERS, 1, 4), (kind::CONTINUATION, 4, 1)]),
            (8, &[(kind::HEADERS, 1, 4), (kind::CONTINUATION, 4, 4)]),
            (
                9,
                &[
                    (kind::HEADERS, 1, 4),
                    (kind::CONTINUATION, 0, 4),
                    (kind::CONTINUATION, 4, 1),
                ],
            ),
        ] {
            let block: Vec<u8> = (0..length).collect();
            let mut out = b"before".to_vec();
            out.extend_from_slice(&[0; FRAME_HEADER_SIZE]);
            out.extend_from_slice(&block);
            finish_block(&mut out, 6, 3, true, 4);
            let (mut rest, mut seen, mut joined) = (&out[6..], Vec::new(), Vec::new());
            while let Some((bytes, after)) = rest.split_first_chunk() {
                let header = FrameHeader::parse(bytes);
                let (payload, after) = after.split_at(header.length as usize);
                assert_eq!(header.stream, 3);
                seen.push((header.kind, header.flags, header.length));
                joined.extend_from_slice(payload);
                rest = after;
            }
            assert_eq!((&seen[..], joined), (frames, block), "{length}");
        }
    }
}
