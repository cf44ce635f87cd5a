//! HTTP/2 and WebSocket as bytes: just what a load generator says and has to understand.
//!
//! Header lists go out as literals that touch no table (RFC 7541 6.2.2). Of an answer only `:status` is read: it comes
//! first, and 200 has an index of its own.

use std::io;

/// What a client says first: the preface, and settings that let a server send without waiting.
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(crate) const HEAD_SIZE: usize = 9;
/// Largest payload that needs nobody's consent.
pub(crate) const PAYLOAD_SIZE_MAX: usize = 16_384;
/// Largest window.
pub(crate) const WINDOW_MAX: u32 = (1 << 31) - 1;
/// Window of a connection and, until settings say otherwise, of a stream.
pub(crate) const WINDOW_INITIAL: i64 = 65_535;

pub(crate) mod kind {
    pub(crate) const DATA: u8 = 0;
    pub(crate) const HEADERS: u8 = 1;
    pub(crate) const RST_STREAM: u8 = 3;
    pub(crate) const SETTINGS: u8 = 4;
    pub(crate) const PING: u8 = 6;
    pub(crate) const GOAWAY: u8 = 7;
    pub(crate) const WINDOW_UPDATE: u8 = 8;
}

pub(crate) mod flag {
    pub(crate) const ACK: u8 = 1;
    pub(crate) const END_STREAM: u8 = 1;
    pub(crate) const END_HEADERS: u8 = 4;
    pub(crate) const PADDED: u8 = 8;
    pub(crate) const PRIORITY: u8 = 0x20;
}

pub(crate) mod setting {
    pub(crate) const HEADER_TABLE_SIZE: u16 = 1;
    pub(crate) const INITIAL_WINDOW_SIZE: u16 = 4;
    pub(crate) const ENABLE_CONNECT_PROTOCOL: u16 = 8;
}

/// The head of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) length: usize,
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
}

impl Head {
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let &[a, b, c, kind, flags, s, t, u, v] = bytes.first_chunk::<HEAD_SIZE>()?;
        Some(Self {
            length: u32::from_be_bytes([0, a, b, c]) as usize,
            kind,
            flags,
            stream: u32::from_be_bytes([s, t, u, v]) & WINDOW_MAX,
        })
    }

    pub(crate) fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// Appends a frame.
pub(crate) fn frame(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    let [_, length @ ..] = (payload.len() as u32).to_be_bytes();
    out.extend_from_slice(&length);
    out.extend_from_slice(&[kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
}

/// Appends our settings.
pub(crate) fn settings(out: &mut Vec<u8>, settings: &[(u16, u32)]) {
    let mut payload = Vec::new();
    for (name, value) in settings {
        payload.extend_from_slice(&name.to_be_bytes());
        payload.extend_from_slice(&value.to_be_bytes());
    }
    frame(out, kind::SETTINGS, 0, 0, &payload);
}

/// Appends a HEADERS frame with a header list.
pub(crate) fn headers(out: &mut Vec<u8>, stream: u32, is_end: bool, fields: &[(&str, &str)]) {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            assert!(text.len() < 127, "a length of one byte");
            block.push(text.len() as u8);
            block.extend_from_slice(text.as_bytes());
        }
    }
    let end = if is_end { flag::END_STREAM } else { 0 };
    frame(out, kind::HEADERS, flag::END_HEADERS | end, stream, &block);
}

/// Payload of DATA or HEADERS without padding and priority.
pub(crate) fn content(head: Head, payload: &[u8]) -> io::Result<&[u8]> {
    let mut rest = payload;
    let mut padding = 0;
    if head.has(flag::PADDED) {
        let (first, others) = rest.split_first().ok_or_else(|| broken("no padding"))?;
        (padding, rest) = (usize::from(*first), others);
    }
    if head.kind == kind::HEADERS && head.has(flag::PRIORITY) {
        rest = rest.get(5..).ok_or_else(|| broken("no priority"))?;
    }
    let size = rest.len().checked_sub(padding);
    Ok(&rest[..size.ok_or_else(|| broken("padding"))?])
}

/// Statuses with an index of their own, from the eighth on (RFC 7541, appendix A).
const STATUSES: [u16; 7] = [200, 204, 206, 304, 400, 404, 500];

/// The status that a header block begins with. It is read without a table, which the settings have forbidden.
pub(crate) fn status(block: &[u8]) -> Option<u16> {
    // Changes of the table's size come before the first field (RFC 7541 4.2).
    let start = block.iter().position(|byte| byte & 0xe0 != 0x20)?;
    let block = &block[start..];
    let first = *block.first()?;
    if first & 0x80 != 0 {
        let index = usize::from(first & 0x7f).checked_sub(8)?;
        return STATUSES.get(index).copied();
    }
    // A literal whose name has an index, in any of three ways to say so.
    let name = if first & 0x40 != 0 {
        first & 0x3f
    } else {
        first & 0x0f
    };
    if !(8..15).contains(&name) {
        return None;
    }
    let length = usize::from(*block.get(1)?);
    let value = block.get(2..2 + (length & 0x7f))?;
    let digits = if length & 0x80 == 0 {
        value.iter().map(|byte| byte.checked_sub(b'0')).collect()
    } else {
        huffman_digits(value)
    };
    let digits: Vec<u8> = digits?;
    let status = digits
        .iter()
        .fold(0, |sum, digit| sum * 10 + u16::from(*digit));
    (digits.len() == 3 && status <= 999).then_some(status)
}

/// Digits as RFC 7541 encodes them: 0, 1 and 2 in five bits, the others in six.
fn huffman_digits(bytes: &[u8]) -> Option<Vec<u8>> {
    let bits: Vec<u8> = bytes
        .iter()
        .flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1))
        .collect();
    let value = |bits: &[u8]| bits.iter().fold(0, |sum, bit| sum * 2 + bit);
    let (mut digits, mut rest) = (Vec::new(), &bits[..]);
    // What is left at the end is padding of ones.
    while rest.len() >= 5 && !rest.iter().all(|bit| *bit == 1) {
        let short = value(&rest[..5]);
        if short <= 2 {
            digits.push(short);
            rest = &rest[5..];
        } else {
            let long = value(rest.get(..6)?);
            digits.push(
                long.checked_sub(22)
                    .filter(|digit| (3..10).contains(digit))?,
            );
            rest = &rest[6..];
        }
    }
    Some(digits)
}

pub(crate) fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_read_in_every_form() {
        assert_eq!(status(&[0x88, 0x5f]), Some(200));
        assert_eq!(
            status(&[0x20, 0x3f, 0xe1, 0x1f, 0x8d]),
            None,
            "an integer of several bytes"
        );
        assert_eq!(status(&[0x20, 0x8d]), Some(404));
        for first in [0x48, 0x08, 0x18] {
            assert_eq!(status(&[first, 3, b'2', b'0', b'1']), Some(201));
            assert_eq!(status(&[first, 0x82, 0x10, 0x03]), Some(201));
        }
        // RFC 7541 C.6.1: 302.
        assert_eq!(status(&[0x48, 0x82, 0x64, 0x02]), Some(302));
        assert_eq!(status(&[0x0f, 0x10, 1, b'a']), None);
        assert_eq!(status(&[]), None);
        assert_eq!(status(&[0x48, 3, b'2', b'0']), None);
    }

    #[test]
    fn frames_are_read_as_they_are_written() {
        let mut out = Vec::new();
        frame(&mut out, kind::DATA, flag::END_STREAM, 5, b"abc");
        let head = Head::parse(&out).expect("a whole head");
        assert_eq!((head.length, head.stream), (3, 5));
        assert!(head.has(flag::END_STREAM) && !head.has(flag::PADDED));
        assert_eq!(content(head, b"abc").ok(), Some(&b"abc"[..]));
        let padded = Head {
            flags: flag::PADDED,
            ..head
        };
        assert_eq!(content(padded, &[1, 9, 0]).ok(), Some(&[9][..]));
        assert!(content(padded, &[3, 9, 0]).is_err());
    }
}
