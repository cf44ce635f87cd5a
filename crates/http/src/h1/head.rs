//! Heads as bytes: where they end, and their fields one by one.

/// What can be said of the front of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HeadEnd {
    /// Empty lines before the head, which may be skipped (RFC 9112 2.2), and bytes up to the end of the
    /// head, these included.
    Complete { skip: usize, end: usize },
    /// More has to come.
    Partial,
    /// The head is longer than it may be.
    TooLong,
}

/// Looks for the end of a head.
pub(super) fn head_end(input: &[u8], size_max: usize) -> HeadEnd {
    let mut skip = 0;
    while input[skip..].starts_with(b"\r\n") {
        skip += 2;
        if skip > size_max {
            return HeadEnd::TooLong;
        }
    }
    let head = &input[skip..];
    let size_max = size_max - skip;
    let seen = &head[..head.len().min(size_max)];
    let mut from = 0;
    while let Some(place) = find_newline(&seen[from..]) {
        let line_end = from + place + 1;
        // The end is an empty line. A bare LF counts here so that it is found and refused, not waited on.
        let rest = &seen[line_end..];
        if rest.starts_with(b"\r\n") {
            return HeadEnd::Complete {
                skip,
                end: skip + line_end + 2,
            };
        }
        if rest.starts_with(b"\n") {
            return HeadEnd::Complete {
                skip,
                end: skip + line_end + 1,
            };
        }
        from = line_end;
    }
    if head.len() >= size_max {
        HeadEnd::TooLong
    } else {
        HeadEnd::Partial
    }
}

fn find_newline(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|&byte| byte == b'\n')
}

/// Every line ends with CRLF and holds no other CR, LF or NUL: what one party takes for a line, every
/// other one does (RFC 9112 2.2, 11.2).
pub(super) fn lines_are_sound(head: &[u8]) -> bool {
    let mut previous = 0;
    for &byte in head {
        if byte == 0 || (byte == b'\n') != (previous == b'\r') {
            return false;
        }
        previous = byte;
    }
    previous != b'\r'
}

/// The fields of a head that is known to be sound: names and values without the space around them.
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    /// `head` without its first line.
    pub(super) fn new(rest: &'a [u8]) -> Self {
        Self { rest }
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let end = find_newline(self.rest)?;
        let (line, rest) = self.rest.split_at(end + 1);
        self.rest = rest;
        let line = line.trim_ascii_end();
        let colon = line.iter().position(|&byte| byte == b':')?;
        Some((&line[..colon], line[colon + 1..].trim_ascii()))
    }
}

/// The part of a head after its first line.
pub(super) fn after_first_line(head: &[u8]) -> &[u8] {
    find_newline(head).map_or(&[], |end| &head[end + 1..])
}

/// The elements of a list such as `a, b` (RFC 9110 5.6.1), empty ones left out.
pub(super) fn elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value
        .split(|&byte| byte == b',')
        .map(<[u8]>::trim_ascii)
        .filter(|element| !element.is_empty())
}

/// A length of `Content-Length`: digits and nothing else. `None` for anything else, lists included:
/// RFC 9112 6.3 lets a server refuse even those of one value.
pub(super) fn content_length(value: &[u8]) -> Option<u64> {
    if value.is_empty() || value.len() > 19 || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(
        value
            .iter()
            .fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0')),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_head() {
        for (input, size_max, expected) in [
            (&b""[..], 10, HeadEnd::Partial),
            (b"a\r\n", 10, HeadEnd::Partial),
            (b"a\r\n\r\n", 10, HeadEnd::Complete { skip: 0, end: 5 }),
            (
                b"\r\n\r\na\r\n\r\nb",
                10,
                HeadEnd::Complete { skip: 4, end: 9 },
            ),
            (b"a\n\nb", 10, HeadEnd::Complete { skip: 0, end: 3 }),
            (
                b"abcdef\r\n\r\n",
                10,
                HeadEnd::Complete { skip: 0, end: 10 },
            ),
            (b"abcdef\r\n\r\n", 9, HeadEnd::TooLong),
            (b"abcdefghi", 10, HeadEnd::Partial),
            (b"abcdefghij", 10, HeadEnd::TooLong),
            (b"\r\n\r\n\r\n", 4, HeadEnd::TooLong),
        ] {
            assert_eq!(
                head_end(input, size_max),
                expected,
                "{}",
                input.escape_ascii()
            );
        }
    }

    #[test]
    fn sound_lines_end_with_both() {
        for (head, is_sound) in [
            (&b"a\r\nb\r\n\r\n"[..], true),
            (b"a\nb\r\n\r\n", false),
            (b"a\rb\r\n\r\n", false),
            (b"a\0\r\n\r\n", false),
            (b"a\r\n\r", false),
            (b"a\r\r\n\r\n", false),
        ] {
            assert_eq!(lines_are_sound(head), is_sound, "{}", head.escape_ascii());
        }
    }

    #[test]
    fn lengths_are_digits() {
        for (value, length) in [
            (&b"0"[..], Some(0)),
            (b"9223372036854775807", Some(9_223_372_036_854_775_807)),
            (b"99999999999999999999", None),
            (b"", None),
            (b"+1", None),
            (b"1 ", None),
            (b"1,1", None),
            (b"0x1", None),
        ] {
            assert_eq!(content_length(value), length, "{}", value.escape_ascii());
        }
    }
}
