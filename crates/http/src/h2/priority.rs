//! How urgent a stream is: the `priority` field and the PRIORITY_UPDATE frame carry the same text.
//!
//! Knows no stream and no schedule.
//!
//! Spec: RFC 9218 4, 5, 7; RFC 9651 3.2 (dictionaries).

/// The priority of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Priority {
    /// 0 is the most urgent, 7 is background (RFC 9218 4.1).
    pub urgency: u8,
    /// Parts are of use as they come: it shares with its equals (RFC 9218 4.2).
    pub is_incremental: bool,
}

impl Default for Priority {
    fn default() -> Self {
        Self {
            urgency: 3,
            is_incremental: false,
        }
    }
}

impl Priority {
    /// A tunnel that nobody said anything of: short messages, ahead of pages and bodies.
    pub const TUNNEL: Priority = Priority {
        urgency: 1,
        is_incremental: true,
    };

    /// Reads the value of a `priority` field. What is malformed, unknown or out of range counts as absent
    /// (RFC 9218 4).
    ///
    /// ```
    /// use hioload_http::h2::Priority;
    ///
    /// let priority = Priority::parse(b"u=1, i");
    /// assert_eq!((priority.urgency, priority.is_incremental), (1, true));
    /// assert_eq!(Priority::parse(b"u=9"), Priority::default());
    /// ```
    #[must_use]
    pub fn parse(value: &[u8]) -> Self {
        let mut priority = Self::default();
        for member in value.split(|&byte| byte == b',') {
            // Parameters of a member mean nothing here.
            let member = member
                .split(|&byte| byte == b';')
                .next()
                .unwrap_or_default();
            match member.trim_ascii() {
                [b'u', b'=', digit @ b'0'..=b'7'] => priority.urgency = digit - b'0',
                b"i" | b"i=?1" => priority.is_incremental = true,
                b"i=?0" => priority.is_incremental = false,
                _ => {}
            }
        }
        priority
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_field_of_a_priority() {
        for (value, urgency, is_incremental) in [
            (&b""[..], 3, false),
            (b"u=0", 0, false),
            (b"u=7,i", 7, true),
            (b"i, u=5", 5, true),
            (b"i=?1", 3, true),
            (b"i=?0", 3, false),
            (b"i,i=?0", 3, false),
            (b"u=1;a=b, i;c", 1, true),
            (b"u=1, u=2", 2, false),
            (b"u=8", 3, false),
            (b"u=-1", 3, false),
            (b"u=10", 3, false),
            (b"u=1.0", 3, false),
            (b"u", 3, false),
            (b"U=1, I", 3, false),
            (b"other=1, x", 3, false),
        ] {
            let expected = Priority {
                urgency,
                is_incremental,
            };
            assert_eq!(Priority::parse(value), expected, "{}", value.escape_ascii());
        }
    }
}
