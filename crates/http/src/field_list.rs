//! The fields of a message to be sent, of whichever version of HTTP: lines for HTTP/1, and where each of them is for HTTP/2.

use std::fmt;
use std::ops::Range;

use crate::field_name::{FieldName, KnownName};
use crate::fields::is_value;

/// Fields whose names are known, in order. It keeps its memory when it is cleared.
///
/// ```
/// use hioload_http::{FieldList, names};
///
/// let mut list = FieldList::new();
/// list.push(&names::ALLOW, "GET");
/// list.write(&names::ETAG, |value| value.push_str("\"a\""));
/// assert_eq!(list.lines(), "Allow: GET\r\nETag: \"a\"\r\n");
/// assert_eq!(list.iter().last().map(|(_, value)| value), Some(&b"\"a\""[..]));
/// ```
#[derive(Clone, Debug, Default)]
pub struct FieldList {
    text: String,
    fields: Vec<(&'static KnownName, Range<u32>)>,
}

impl FieldList {
    /// An empty list, without memory yet.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            text: String::new(),
            fields: Vec::new(),
        }
    }

    /// One more field. Its value is for the caller to vouch for (RFC 9110 5.5): no control characters, no space around it. HTTP/1
    /// would send whatever it is, HTTP/2 refuses the whole list.
    pub fn push(&mut self, name: &'static KnownName, value: &str) {
        self.write(name, |text| text.push_str(value));
    }

    /// One more field, its value formatted.
    pub fn print(&mut self, name: &'static KnownName, value: fmt::Arguments<'_>) {
        self.write(name, |text| {
            // A text takes whatever is written to it.
            let _ = fmt::write(text, value);
        });
    }

    /// One more field, whose value `write` appends to what it is given.
    pub fn write(&mut self, name: &'static KnownName, write: impl FnOnce(&mut String)) {
        self.text.push_str(name.title());
        self.text.push_str(": ");
        let start = self.text.len() as u32;
        write(&mut self.text);
        let end = self.text.len() as u32;
        debug_assert!(
            is_value(&self.text.as_bytes()[start as usize..]),
            "{}: {:?} is no value",
            name.title(),
            &self.text[start as usize..]
        );
        self.text.push_str("\r\n");
        self.fields.push((name, start..end));
    }

    /// All fields of another list, behind those there are.
    pub fn append(&mut self, other: &FieldList) {
        let shift = self.text.len() as u32;
        self.text.push_str(&other.text);
        let fields = other.fields.iter();
        self.fields
            .extend(fields.map(|(name, at)| (*name, at.start + shift..at.end + shift)));
    }

    /// Forgets all; the memory stays.
    pub fn clear(&mut self) {
        self.text.clear();
        self.fields.clear();
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// As HTTP/1 has them: lines, each ended by CRLF.
    #[must_use]
    pub fn lines(&self) -> &str {
        &self.text
    }

    /// As HTTP/2 takes them.
    pub fn iter(&self) -> impl Iterator<Item = (FieldName<'_>, &[u8])> + Clone {
        let text = self.text.as_bytes();
        self.fields.iter().map(|(name, at)| {
            let value = &text[at.start as usize..at.end as usize];
            (FieldName::Known(name), value)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names;

    #[test]
    fn lists_are_joined() {
        let (mut first, mut second) = (FieldList::new(), FieldList::new());
        assert!(first.is_empty());
        first.push(&names::ALLOW, "GET");
        second.push(&names::VARY, "Origin");
        second.push(&names::ETAG, "\"b\"");
        first.append(&second);
        assert_eq!(
            first.lines(),
            "Allow: GET\r\nVary: Origin\r\nETag: \"b\"\r\n"
        );
        let values: Vec<_> = first.iter().map(|(_, value)| value).collect();
        assert_eq!(values, [&b"GET"[..], b"Origin", b"\"b\""]);
        first.clear();
        assert!(first.is_empty() && first.lines().is_empty());
    }
}
