//! The fields of a message, as lines `name: value` one after the other.
//!
//! Knows no field by its meaning, and no version of HTTP: a head that came as text is such lines, and a header list that
//! was decoded is kept as such lines.
//!
//! Spec: RFC 9110 5, 5.6.1, 8.6.

/// The fields of a message whose lines are known to be sound: names and values without the space around them.
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    /// `lines` are `name: value`, each ended by CRLF; what is no such line ends them.
    ///
    /// ```
    /// use hioload_http::Fields;
    ///
    /// let fields: Vec<_> = Fields::new(b"a: b\r\nc: \r\n").collect();
    /// assert_eq!(fields, [(&b"a"[..], &b"b"[..]), (b"c", b"")]);
    /// ```
    #[must_use]
    pub fn new(lines: &'a [u8]) -> Self {
        Self { rest: lines }
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

pub(crate) fn find_newline(bytes: &[u8]) -> Option<usize> {
    memchr::memchr(b'\n', bytes)
}

/// The elements of a list such as `a, b` (RFC 9110 5.6.1), empty ones left out.
pub(crate) fn elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value
        .split(|&byte| byte == b',')
        .map(<[u8]>::trim_ascii)
        .filter(|element| !element.is_empty())
}

/// The values of the fields of this name, in whatever case it was sent. Lines of other names are passed over
/// by the place of their colon.
pub(crate) fn values<'a, 'n>(
    fields: &Fields<'a>,
    name: &'n str,
) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
    let name = name.as_bytes();
    let mut rest = fields.rest;
    std::iter::from_fn(move || {
        while let Some(end) = find_newline(rest) {
            let line = &rest[..end];
            rest = &rest[end + 1..];
            if line.get(name.len()) == Some(&b':') && line[..name.len()].eq_ignore_ascii_case(name)
            {
                return Some(line[name.len() + 1..].trim_ascii());
            }
        }
        None
    })
}

/// A length of `Content-Length`: digits and nothing else. `None` for anything else, lists included:
/// RFC 9112 6.3 lets a server refuse even those of one value.
pub(crate) fn content_length(value: &[u8]) -> Option<u64> {
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
