//! Request methods, and what may be done with each.
//!
//! Knows the methods of RFC 9110 by their meaning; another one is text, and taken for neither safe nor idempotent.
//!
//! Spec: RFC 9110 5.6.2, 9.1, 9.2, 9.3; RFC 5789.

use std::borrow::Cow;
use std::fmt;

/// A request method.
///
/// ```
/// use hioload_http::client::Method;
///
/// assert!(Method::PUT.is_idempotent() && !Method::POST.is_idempotent());
/// assert_eq!(Method::new("PROPFIND").map(|method| method.to_string()).as_deref(), Some("PROPFIND"));
/// assert_eq!(Method::new("NO SPACE"), None);
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Method(Cow<'static, str>);

impl Method {
    /// A representation is wanted.
    pub const GET: Self = Self(Cow::Borrowed("GET"));
    /// As GET, without the content.
    pub const HEAD: Self = Self(Cow::Borrowed("HEAD"));
    /// What the resource makes of it is its own affair.
    pub const POST: Self = Self(Cow::Borrowed("POST"));
    /// The content is what the resource shall be.
    pub const PUT: Self = Self(Cow::Borrowed("PUT"));
    /// The resource shall go.
    pub const DELETE: Self = Self(Cow::Borrowed("DELETE"));
    /// What can be asked.
    pub const OPTIONS: Self = Self(Cow::Borrowed("OPTIONS"));
    /// A part of the resource shall change.
    pub const PATCH: Self = Self(Cow::Borrowed("PATCH"));

    /// A method of this name; it is case-sensitive. `None`: no token, or CONNECT, which asks for no resource.
    #[must_use]
    pub fn new(name: &str) -> Option<Self> {
        let is_token = !name.is_empty() && name.bytes().all(is_token);
        let known = [
            Self::GET,
            Self::HEAD,
            Self::POST,
            Self::PUT,
            Self::DELETE,
            Self::OPTIONS,
            Self::PATCH,
        ];
        let method = known.into_iter().find(|method| method.as_str() == name);
        (is_token && name != "CONNECT")
            .then(|| method.unwrap_or_else(|| Self(Cow::Owned(name.to_owned()))))
    }

    /// Its name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Sent twice it does what it does sent once (RFC 9110 9.2.2).
    #[must_use]
    pub fn is_idempotent(&self) -> bool {
        matches!(
            self.as_str(),
            "GET" | "HEAD" | "PUT" | "DELETE" | "OPTIONS" | "TRACE"
        )
    }

    /// A request of this method usually has content: that there is none has to be said (RFC 9110 8.6).
    pub(super) fn states_length(&self) -> bool {
        matches!(self.as_str(), "POST" | "PUT" | "PATCH")
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// RFC 9110 5.6.2.
pub(super) fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
