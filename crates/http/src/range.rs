//! Ranges of bytes: what is asked for (RFC 9110 14.1.2, 14.2), and what is given (14.4).

use std::fmt::{self, Write as _};
use std::ops::Range;

/// One range as it was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RangeSpec {
    /// `a-b`, or `a-` with no last byte.
    From {
        /// The first byte.
        first: u64,
        /// The last one, itself included.
        last: Option<u64>,
    },
    /// `-n`: the last `n` bytes.
    Suffix(u64),
}

/// Nothing of the range is there: 416.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unsatisfiable;

impl fmt::Display for Unsatisfiable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the range is outside the content")
    }
}

impl std::error::Error for Unsatisfiable {}

/// Appends the value of `Content-Range`: the part of a content of `length` bytes that a 206 has, which is
/// never empty, or with a 416 none.
///
/// ```
/// use hioload_http::write_content_range;
///
/// let mut value = String::new();
/// write_content_range(&mut value, Some(&(2..6)), 10);
/// assert_eq!(value, "bytes 2-5/10");
/// value.clear();
/// write_content_range(&mut value, None, 10);
/// assert_eq!(value, "bytes */10");
/// ```
pub fn write_content_range(out: &mut String, part: Option<&Range<u64>>, length: u64) {
    // Writing to a text does not fail.
    let _ = match part.filter(|part| !part.is_empty()) {
        Some(part) => write!(out, "bytes {}-{}/{length}", part.start, part.end - 1),
        None => write!(out, "bytes */{length}"),
    };
}

impl RangeSpec {
    /// The range of a `Range` field. `None`: another unit, several ranges, or malformed; all of which a
    /// server may ignore (RFC 9110 14.2).
    ///
    /// ```
    /// use hioload_http::RangeSpec;
    ///
    /// let spec = RangeSpec::parse(b"bytes=2-5").expect("one range");
    /// assert_eq!(spec.within(10), Ok(2..6));
    /// assert_eq!(spec.within(4), Ok(2..4));
    /// assert!(spec.within(2).is_err());
    /// ```
    #[must_use]
    pub fn parse(field: &[u8]) -> Option<Self> {
        let field = field.trim_ascii();
        let unit = field.get(..6)?;
        if !unit.eq_ignore_ascii_case(b"bytes=") {
            return None;
        }
        let range = field[6..].trim_ascii();
        let dash = range.iter().position(|&byte| byte == b'-')?;
        let (first, last) = (&range[..dash], &range[dash + 1..]);
        if first.is_empty() {
            return Some(Self::Suffix(number(last)?));
        }
        let first = number(first)?;
        let last = if last.is_empty() {
            None
        } else {
            Some(number(last)?)
        };
        if last.is_some_and(|last| last < first) {
            return None;
        }
        Some(Self::From { first, last })
    }

    /// The bytes of a content of `length` bytes that it means.
    ///
    /// # Errors
    /// None of them is there.
    pub fn within(self, length: u64) -> Result<Range<u64>, Unsatisfiable> {
        let range = match self {
            Self::From { first, last } => {
                let end = last.map_or(length, |last| last.saturating_add(1).min(length));
                first..end
            }
            Self::Suffix(count) => length.saturating_sub(count)..length,
        };
        if range.is_empty() {
            Err(Unsatisfiable)
        } else {
            Ok(range)
        }
    }
}

/// Digits alone; what is beyond 64 bits is as far as they go.
fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(digits.iter().fold(0u64, |sum, digit| {
        sum.saturating_mul(10)
            .saturating_add(u64::from(digit - b'0'))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_ten_bytes() {
        for (field, expected) in [
            ("bytes=0-0", Some(Ok(0..1))),
            ("bytes=0-9", Some(Ok(0..10))),
            ("bytes=0-10", Some(Ok(0..10))),
            ("Bytes= 3-", Some(Ok(3..10))),
            ("bytes=9-9", Some(Ok(9..10))),
            ("bytes=10-", Some(Err(Unsatisfiable))),
            ("bytes=-3", Some(Ok(7..10))),
            ("bytes=-10", Some(Ok(0..10))),
            ("bytes=-11", Some(Ok(0..10))),
            ("bytes=-0", Some(Err(Unsatisfiable))),
            ("bytes=0-99999999999999999999999", Some(Ok(0..10))),
            ("bytes=99999999999999999999999-", Some(Err(Unsatisfiable))),
            ("bytes=5-4", None),
            ("bytes=0-1,3-4", None),
            ("bytes=-", None),
            ("bytes=a-b", None),
            ("bytes=1", None),
            ("items=0-1", None),
            ("bytes=+1-2", None),
            ("", None),
        ] {
            let spec = RangeSpec::parse(field.as_bytes());
            assert_eq!(spec.map(|spec| spec.within(10)), expected, "{field}");
        }
        assert_eq!(RangeSpec::Suffix(1).within(0), Err(Unsatisfiable));
    }
}
