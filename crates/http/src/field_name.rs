//! Names of fields that are sent, many of them known when this is compiled.
//!
//! Spec: RFC 9110 5.1; RFC 9113 8.2.

use crate::hpack::Name;

/// Of each byte, whether it may be in a field name: those of a token (RFC 9110 5.6.2), in lower case (RFC 9113 8.2).
pub(crate) const NAME_BYTES: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        let is_special = matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        );
        table[byte as usize] = is_special || byte.is_ascii_lowercase() || byte.is_ascii_digit();
        byte += 1;
    }
    table
};

/// A name that is known when this is compiled: HTTP/1 writes it as it stands, HTTP/2 by its place in the tables.
#[derive(Debug)]
pub struct KnownName {
    title: &'static str,
    code: Name<'static>,
}

impl KnownName {
    /// `title` is what HTTP/1 writes, `code` the same in lower case.
    ///
    /// ```
    /// use hioload_http::KnownName;
    /// use hioload_http::hpack::Name;
    ///
    /// static HIOLOAD_NEXT: KnownName = KnownName::new("Hioload-Next", Name::new("hioload-next"));
    /// assert_eq!(HIOLOAD_NEXT.title(), "Hioload-Next");
    /// ```
    ///
    /// # Panics
    /// They are not the same, or no name (RFC 9110 5.6.2): when this is compiled, for one in a `static`.
    #[must_use]
    pub const fn new(title: &'static str, code: Name<'static>) -> Self {
        assert!(
            title.as_bytes().eq_ignore_ascii_case(code.text()),
            "one name"
        );
        let mut place = 0;
        while place < code.text().len() {
            assert!(NAME_BYTES[code.text()[place] as usize], "a token");
            place += 1;
        }
        assert!(place > 0, "a token");
        Self { title, code }
    }

    /// As HTTP/1 writes it.
    #[must_use]
    pub const fn title(&self) -> &'static str {
        self.title
    }

    pub(crate) fn code(&self) -> &Name<'static> {
        &self.code
    }
}

/// The name of a field that is sent.
#[derive(Clone, Copy, Debug)]
pub enum FieldName<'a> {
    /// Nothing about it is left to find out.
    Known(&'static KnownName),
    /// Any other, in any case.
    Text(&'a [u8]),
}

impl<'a> From<&'a str> for FieldName<'a> {
    fn from(name: &'a str) -> Self {
        Self::Text(name.as_bytes())
    }
}

impl<'a> From<&'a [u8]> for FieldName<'a> {
    fn from(name: &'a [u8]) -> Self {
        Self::Text(name)
    }
}

/// Names of RFC 9110 and others that servers send.
pub mod names {
    use super::KnownName;
    use crate::hpack::Name;

    macro_rules! names {
        ($($name:ident $title:literal $code:expr;)*) => {
            $(
                #[doc = concat!("`", $title, "`.")]
                pub static $name: KnownName = KnownName::new($title, $code);
            )*
        };
    }

    names! {
        ACCEPT_RANGES "Accept-Ranges" Name::new("accept-ranges");
        ALLOW "Allow" Name::new("allow");
        ALLOW_ORIGIN "Access-Control-Allow-Origin" Name::new("access-control-allow-origin");
        CACHE_CONTROL "Cache-Control" Name::new("cache-control");
        CONTENT_LENGTH "Content-Length" Name::new("content-length");
        CONTENT_RANGE "Content-Range" Name::new("content-range");
        CONTENT_TYPE "Content-Type" Name::new("content-type");
        DATE "Date" Name::new("date");
        ETAG "ETag" Name::new("etag").of_digests();
        EXPOSE_HEADERS "Access-Control-Expose-Headers" Name::new("access-control-expose-headers");
        LOCATION "Location" Name::new("location");
        REPR_DIGEST "Repr-Digest" Name::new("repr-digest").of_digests();
        RETRY_AFTER "Retry-After" Name::new("retry-after");
        UPGRADE "Upgrade" Name::new("upgrade");
        VARY "Vary" Name::new("vary");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_name_cannot_be_known() {
        for (title, code) in [
            ("", ""),
            (":path", ":path"),
            ("A B", "a b"),
            ("X: y\r\nZ", "x: y\r\nz"),
            ("A", "b"),
        ] {
            let made = std::panic::catch_unwind(|| KnownName::new(title, Name::new(code)).title());
            assert!(made.is_err(), "{title:?}");
        }
        assert_eq!(KnownName::new("X-Y", Name::new("x-y")).title(), "X-Y");
    }
}
