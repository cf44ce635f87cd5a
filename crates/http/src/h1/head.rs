//! Heads as bytes: where they end, and their fields one by one.
//!
//! Knows no field by its meaning. A head that comes in many small parts is looked through once: the search
//! goes on where it stopped.
//!
//! Spec: RFC 9112 2.1, 2.2, 5; RFC 9110 5.6.1.

use crate::fields::{elements, find_newline};

/// What can be said of the front of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HeadEnd {
    /// Empty lines before the head, which may be skipped (RFC 9112 2.2), and bytes up to the end of the
    /// head, these included.
    Complete { skip: usize, end: usize },
    /// More has to come.
    Partial,
    /// The head is longer than it may be; what it is too long in.
    TooLong(TooLong),
}

/// Where a head passed its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TooLong {
    /// In the first word of its first line.
    FirstWord,
    /// Later in its first line.
    FirstLine,
    /// In its fields, or in the empty lines before it.
    Fields,
}

impl TooLong {
    /// Of the part of a head that is within the limit.
    fn of(head: &[u8]) -> Self {
        if matches!(head, b"" | b"\r") || head.contains(&b'\n') {
            Self::Fields
        } else if head.contains(&b' ') {
            Self::FirstLine
        } else {
            Self::FirstWord
        }
    }
}

/// The search for the end of a head. It is of use for one head, whose bytes stay where they are until it is
/// whole.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct HeadSearch {
    /// Bytes of the empty lines at the front.
    skip: usize,
    /// Bytes in which there is no end, the empty lines included.
    seen: usize,
}

impl HeadSearch {
    /// Looks for the end of the head at the front of `input`, which is what it was and maybe more.
    pub(super) fn find(&mut self, input: &[u8], size_max: usize) -> HeadEnd {
        if input.len() < self.seen {
            *self = Self::default();
        }
        if self.seen == self.skip {
            while self.skip < size_max && input[self.skip..].starts_with(b"\r\n") {
                self.skip += 2;
            }
            self.seen = self.skip;
        }
        let part = &input[..input.len().min(size_max)];
        // What may yet become an empty line is looked at again.
        if part.get(self.skip..) == Some(b"\r") && input.len() < size_max {
            return HeadEnd::Partial;
        }
        while let Some(place) = part.get(self.seen..).and_then(find_newline) {
            self.seen += place + 1;
            // The end is an empty line. A bare LF counts here so that it is found and refused, not waited on.
            let line = &part[self.skip..self.seen - 1];
            if line.ends_with(b"\n") || line.ends_with(b"\n\r") {
                return HeadEnd::Complete {
                    skip: self.skip,
                    end: self.seen,
                };
            }
        }
        self.seen = self.seen.max(part.len());
        if input.len() < size_max {
            return HeadEnd::Partial;
        }
        HeadEnd::TooLong(TooLong::of(part.get(self.skip..).unwrap_or_default()))
    }
}

/// Whether every line ends with CRLF and holds no other CR, LF or NUL: what one party takes for a line, every
/// other one does (RFC 9112 2.2, 11.2).
pub(super) fn lines_are_sound(head: &[u8]) -> bool {
    let is_bad = |previous, byte| (byte == 0) | ((byte == b'\n') != (previous == b'\r'));
    let [first, rest @ ..] = head else {
        return true;
    };
    // All bytes, whatever the first ones are: several at a time.
    let bad = rest
        .iter()
        .zip(head)
        .fold(is_bad(0, *first), |so_far, (&byte, &previous)| {
            so_far | is_bad(previous, byte)
        });
    !bad && !head.ends_with(b"\r")
}

/// The part of a head after its first line.
pub(super) fn after_first_line(head: &[u8]) -> &[u8] {
    find_newline(head).map_or(&[], |end| &head[end + 1..])
}

/// What the codings of `Transfer-Encoding` say of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    /// Chunks, and nothing else.
    Chunked,
    /// Chunks around another coding.
    Other,
    /// Where the message ends cannot be known: chunks are not the last coding, or not only there.
    Endless,
}

/// Reads a `Transfer-Encoding`.
pub(super) fn coding(value: &[u8]) -> Coding {
    let is_chunked = |coding: &[u8]| coding.eq_ignore_ascii_case(b"chunked");
    let (mut count, mut chunked, mut is_last) = (0, 0, false);
    for coding in elements(value) {
        count += 1;
        is_last = is_chunked(coding);
        chunked += u32::from(is_last);
    }
    // RFC 9112 7.1: chunked is applied once, and last.
    match (is_last && chunked == 1, count) {
        (true, 1) => Coding::Chunked,
        (true, _) => Coding::Other,
        (false, _) => Coding::Endless,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_head() {
        let complete = |skip, end| HeadEnd::Complete { skip, end };
        for (input, size_max, expected) in [
            (&b""[..], 10, HeadEnd::Partial),
            (b"\r", 10, HeadEnd::Partial),
            (b"a\r\n", 10, HeadEnd::Partial),
            (b"a\r\n\r\n", 10, complete(0, 5)),
            (b"\r\n\r\na\r\n\r\nb", 10, complete(4, 9)),
            (b"a\n\nb", 10, complete(0, 3)),
            (b"a\r\n\nb", 10, complete(0, 4)),
            (b"\n\nb", 10, complete(0, 2)),
            (b"abcdef\r\n\r\n", 10, complete(0, 10)),
            (b"abcdef\r\n\r\n", 9, HeadEnd::TooLong(TooLong::Fields)),
            (b"\r\nabcd\r\n\r\n", 10, complete(2, 10)),
            (b"\r\nabcd\r\n\r\n", 9, HeadEnd::TooLong(TooLong::Fields)),
            (b"abcdefghi", 10, HeadEnd::Partial),
            (b"abcdefghij", 10, HeadEnd::TooLong(TooLong::FirstWord)),
            (b"a bcdefghi", 10, HeadEnd::TooLong(TooLong::FirstLine)),
            (b"a b\r\nc: d", 9, HeadEnd::TooLong(TooLong::Fields)),
            (b"\r\n\r\n\r\n", 4, HeadEnd::TooLong(TooLong::Fields)),
            (b"\r\n\r\n\r", 5, HeadEnd::TooLong(TooLong::Fields)),
            (b"\r\n\r\n\r\n", 5, HeadEnd::TooLong(TooLong::Fields)),
        ] {
            let text = input.escape_ascii();
            let mut search = HeadSearch::default();
            assert_eq!(search.find(input, size_max), expected, "{text}");
            // Every cut in two, and byte by byte: the same end, and not before all of it is there.
            let needed = match expected {
                HeadEnd::Complete { end, .. } => end,
                _ => input.len(),
            };
            for cut in 0..needed.min(size_max) {
                let mut search = HeadSearch::default();
                let first = search.find(&input[..cut], size_max);
                assert_eq!(first, HeadEnd::Partial, "{text} at {cut}");
                assert_eq!(search.find(input, size_max), expected, "{text} at {cut}");
            }
            let mut search = HeadSearch::default();
            let end = (0..=input.len())
                .map(|len| search.find(&input[..len], size_max))
                .find(|end| *end != HeadEnd::Partial);
            assert_eq!(end.unwrap_or(HeadEnd::Partial), expected, "{text} in bytes");
        }
    }

    #[test]
    fn a_search_looks_at_a_byte_once() {
        let mut search = HeadSearch::default();
        assert_eq!(search.find(b"\r\nabc\r\nde", 100), HeadEnd::Partial);
        assert_eq!((search.skip, search.seen), (2, 9));
        // An input that is shorter than what was seen is another one.
        let end = HeadEnd::Complete { skip: 0, end: 5 };
        assert_eq!(search.find(b"a\r\n\r\n", 100), end);
    }

    #[test]
    fn sound_lines_end_with_both() {
        for (head, is_sound) in [
            (&b"a\r\nb\r\n\r\n"[..], true),
            (b"a\nb\r\n\r\n", false),
            (b"a\rb\r\n\r\n", false),
            (b"a\0\r\n\r\n", false),
            (b"\0", false),
            (b"\na\r\n", false),
            (b"", true),
            (b"a\r\n\r", false),
            (b"a\r\r\n\r\n", false),
        ] {
            // Also far from the beginning.
            for before in [0, 1, 15, 16, 40] {
                let head = [&b"x".repeat(before)[..], head].concat();
                assert_eq!(lines_are_sound(&head), is_sound, "{}", head.escape_ascii());
            }
        }
    }
}
