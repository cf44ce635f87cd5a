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

/// RFC 9113 8.2.1: no NUL, CR or LF, and no space around it; RFC 9110 5.5: no other control character, either.
pub(crate) fn is_value(value: &[u8]) -> bool {
    let is_space = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    !is_space(value.first()) && !is_space(value.last()) && has_no_control(value)
}

/// Visible ASCII and nothing else.
pub(crate) fn is_graphic(value: &[u8]) -> bool {
    is_free_of(value, b' ' + 1) && value.is_ascii()
}

fn has_no_control(value: &[u8]) -> bool {
    let is_control = |&byte: &u8| (byte < b' ' && byte != b'\t') || byte == DEL;
    // Tabs are rare: who has one is looked at again.
    is_free_of(value, b' ') || !value.iter().any(is_control)
}

const DEL: u8 = 0x7f;

/// No byte is below `least`, which is at most 0x80, and none is DEL: eight at a time.
fn is_free_of(bytes: &[u8], least: u8) -> bool {
    const EACH: u64 = u64::MAX / 255;
    // A subtraction borrows into the highest bit of the first byte that is smaller.
    let has_less = |word: u64, least: u8| word.wrapping_sub(EACH * u64::from(least)) & !word;
    let found = |bytes: &[u8; 8]| {
        let word = u64::from_ne_bytes(*bytes);
        has_less(word, least) | has_less(word ^ (EACH * u64::from(DEL)), 1)
    };
    // The last eight may have been looked at in part.
    let Some(last) = bytes.last_chunk() else {
        return bytes.iter().all(|&byte| byte >= least && byte != DEL);
    };
    let (words, _) = bytes.as_chunks();
    let found = words
        .iter()
        .fold(found(last), |all, word| all | found(word));
    found & (EACH * 0x80) == 0
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

    /// Every byte at every place of values of every length up to three words.
    #[test]
    fn bytes_are_looked_at_wherever_they_are() {
        for length in 0..24 {
            for (place, byte) in
                (0..length).flat_map(|place| (0..=255).map(move |byte| (place, byte)))
            {
                for around in [b'!', b'~', b'a', 0x80, 0xff] {
                    let mut value = vec![around; length];
                    value[place] = byte;
                    let is_ascii = around.is_ascii() || length == 1;
                    assert_eq!(
                        is_graphic(&value),
                        byte.is_ascii_graphic() && is_ascii,
                        "{value:?}"
                    );
                    let is_control = (byte < b' ' && byte != b'\t') || byte == 0x7f;
                    assert_eq!(has_no_control(&value), !is_control, "{value:?}");
                }
            }
            assert!(has_no_control(&vec![0xff; length]));
            assert!(has_no_control(&vec![b'\t'; length]));
            assert_eq!(is_graphic(&vec![0x80; length]), length == 0);
        }
    }
}
