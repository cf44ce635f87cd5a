//! What the heads of requests and responses have in common: headers by name.

use httparse::Header;

use crate::list;

/// The headers of a parsed head.
#[derive(Clone, Copy)]
pub(super) struct Headers<'h, 'a>(pub(super) &'h [Header<'a>]);

/// A header that may be there once is there twice, or is not text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BadHeader;

impl<'h, 'a: 'h> Headers<'h, 'a> {
    /// The values of all headers of this name, in order, as bytes.
    pub(super) fn values(self, name: &str) -> impl Iterator<Item = &'a [u8]> + use<'h, 'a, '_> {
        self.0
            .iter()
            .filter(move |header| header.name.eq_ignore_ascii_case(name))
            .map(|header| header.value)
    }

    /// The value of a header that may be there once.
    pub(super) fn single(self, name: &str) -> Result<Option<&'a str>, BadHeader> {
        let mut values = self.values(name);
        let Some(value) = values.next() else {
            return Ok(None);
        };
        if values.next().is_some() {
            return Err(BadHeader);
        }
        text(value).map(Some)
    }

    /// Whether one of the lists of this name has the token, letter case aside.
    pub(super) fn has_token(self, name: &str, token: &str) -> bool {
        self.values(name)
            .any(|value| text(value).is_ok_and(|value| list::has_token(value, token)))
    }
}

/// The value as text. None of the headers of the handshake may have bytes beyond ASCII.
pub(super) fn text(value: &[u8]) -> Result<&str, BadHeader> {
    match std::str::from_utf8(value) {
        Ok(value) if value.is_ascii() => Ok(list::trim(value)),
        _ => Err(BadHeader),
    }
}
