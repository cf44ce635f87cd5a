//! What a client is asked for: `http`, `https`, `ws` or `wss`, a host, a port, a path.
//!
//! Knows no socket and no name service. The grammar is that of the crate `url`, which is the one of browsers: dot
//! segments are resolved, names are brought into the form that the name service knows (UTS 46), paths are escaped.
//! Stricter than that: no user before the host, no port 0, no control characters, and a length.
//!
//! Spec: RFC 3986 5 (relative references), RFC 9110 4.2, RFC 6455 3; WHATWG URL.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Bytes of a URL, as it is given and as it is resolved. RFC 9110 4.1 asks for 8,000 at least.
pub const URL_SIZE_MAX: usize = 8192;

/// How the host is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// In clear.
    Http,
    /// Over TLS.
    Https,
    /// WebSocket in clear.
    Ws,
    /// WebSocket over TLS.
    Wss,
}

impl Scheme {
    /// As it stands before the colon.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Ws => "ws",
            Self::Wss => "wss",
        }
    }

    /// Everything goes through TLS.
    #[must_use]
    pub fn is_tls(self) -> bool {
        matches!(self, Self::Https | Self::Wss)
    }

    /// For WebSocket connections.
    #[must_use]
    pub fn is_websocket(self) -> bool {
        matches!(self, Self::Ws | Self::Wss)
    }

    fn of(name: &str) -> Option<Self> {
        [Self::Http, Self::Https, Self::Ws, Self::Wss]
            .into_iter()
            .find(|scheme| scheme.name() == name)
    }
}

/// What is wrong with a URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UrlFault {
    /// It is none: a part is malformed.
    Syntax,
    /// Its scheme is another one.
    Scheme,
    /// No host, or none that a name service could know.
    Host,
    /// Not a port from 1 to 65535.
    Port,
    /// A user or password stands before the host (RFC 9110 4.2.4).
    Credentials,
    /// Control characters.
    Characters,
    /// Longer than [`URL_SIZE_MAX`].
    TooLong,
}

impl fmt::Display for UrlFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Syntax => "it is no URL. Write http://HOST:PORT/PATH",
            Self::Scheme => "its scheme is none of http, https, ws and wss",
            Self::Host => "there is no host in it, or one that cannot be",
            Self::Port => "the port is not a number from 1 to 65535",
            Self::Credentials => {
                "a user stands before the host. Send an Authorization field instead"
            }
            Self::Characters => "it has control characters",
            Self::TooLong => "it is longer than 8192 bytes",
        })
    }
}

impl std::error::Error for UrlFault {}

/// Whom a connection leads to: what a pool goes by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    /// A name in ASCII, or an address; without brackets.
    pub host: Arc<str>,
    /// The port.
    pub port: u16,
    /// TLS lies between.
    pub is_tls: bool,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_v6 = self.host.contains(':');
        let (open, close) = if is_v6 { ("[", "]") } else { ("", "") };
        write!(f, "{open}{}{close}:{}", self.host, self.port)
    }
}

/// A URL that a client can be sent to.
///
/// ```
/// use hioload_http::client::Url;
///
/// let url: Url = "https://bücher.example/a/../b?q#top".parse()?;
/// assert_eq!(url.to_string(), "https://xn--bcher-kva.example/b?q#top");
/// assert_eq!((url.authority(), url.target()), ("xn--bcher-kva.example".to_owned(), "/b?q"));
/// assert_eq!((url.origin().port, url.origin().is_tls), (443, true));
/// assert_eq!(url.join("//other/c")?.to_string(), "https://other/c");
/// # Ok::<(), hioload_http::client::UrlFault>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Url {
    inner: url::Url,
    scheme: Scheme,
    origin: Origin,
}

impl Url {
    /// The scheme.
    #[must_use]
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Host, port, and whether TLS lies between.
    #[must_use]
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The value of `Host` and `:authority`: the port only when it is not the scheme's own.
    #[must_use]
    pub fn authority(&self) -> String {
        let host = self.inner.host_str().unwrap_or_default();
        match self.inner.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        }
    }

    /// Path and query as they are sent, without the fragment (RFC 9112 3.2.1).
    #[must_use]
    pub fn target(&self) -> &str {
        &self.inner[url::Position::BeforePath..url::Position::AfterQuery]
    }

    /// What stands behind the `#`. It is never sent.
    #[must_use]
    pub fn fragment(&self) -> Option<&str> {
        self.inner.fragment()
    }

    /// All of it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.inner.as_str()
    }

    /// What `reference` means where this URL is the base (RFC 3986 5.2).
    ///
    /// # Errors
    /// The outcome is no URL that a client can be sent to.
    pub fn join(&self, reference: &str) -> Result<Self, UrlFault> {
        check_text(reference)?;
        Self::checked(self.inner.join(reference).map_err(fault)?)
    }

    /// The same without what stands behind the `#`: two that are equal lead to the same resource.
    pub(super) fn resource(&self) -> &str {
        &self.inner[..url::Position::AfterQuery]
    }

    /// With this fragment, if it has none of its own (RFC 9110 10.2.2).
    pub(super) fn inherit_fragment(&mut self, from: &Self) {
        if self.inner.fragment().is_none() {
            self.inner.set_fragment(from.inner.fragment());
        }
    }

    fn checked(inner: url::Url) -> Result<Self, UrlFault> {
        let scheme = Scheme::of(inner.scheme()).ok_or(UrlFault::Scheme)?;
        // RFC 9110 4.2.4: likely there to obscure the authority.
        if !inner.username().is_empty() || inner.password().is_some() {
            return Err(UrlFault::Credentials);
        }
        let host = inner.host_str().ok_or(UrlFault::Host)?;
        let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
        let port = inner.port_or_known_default().ok_or(UrlFault::Port)?;
        if port == 0 {
            return Err(UrlFault::Port);
        }
        if inner.as_str().len() > URL_SIZE_MAX {
            return Err(UrlFault::TooLong);
        }
        let origin = Origin {
            host: bare.unwrap_or(host).into(),
            port,
            is_tls: scheme.is_tls(),
        };
        Ok(Self {
            inner,
            scheme,
            origin,
        })
    }
}

impl FromStr for Url {
    type Err = UrlFault;

    fn from_str(text: &str) -> Result<Self, UrlFault> {
        check_text(text)?;
        Self::checked(url::Url::parse(text).map_err(fault)?)
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Tabs and line ends would be passed over in silence.
fn check_text(text: &str) -> Result<(), UrlFault> {
    if text.len() > URL_SIZE_MAX {
        return Err(UrlFault::TooLong);
    }
    if text.chars().any(char::is_control) {
        return Err(UrlFault::Characters);
    }
    Ok(())
}

fn fault(error: url::ParseError) -> UrlFault {
    match error {
        url::ParseError::EmptyHost
        | url::ParseError::IdnaError
        | url::ParseError::InvalidIpv4Address
        | url::ParseError::InvalidIpv6Address
        | url::ParseError::InvalidDomainCharacter => UrlFault::Host,
        url::ParseError::InvalidPort => UrlFault::Port,
        _ => UrlFault::Syntax,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_a_url() {
        for (text, authority, port, is_tls, target) in [
            ("http://h", "h", 80, false, "/"),
            ("HTTP://H/", "h", 80, false, "/"),
            ("https://h", "h", 443, true, "/"),
            ("https://h:443/a", "h", 443, true, "/a"),
            ("ws://h:9002/a", "h:9002", 9002, false, "/a"),
            ("wss://h/a?b#c", "h", 443, true, "/a?b"),
            ("http://h:65535?q=://", "h:65535", 65_535, false, "/?q=://"),
            ("http://[::1]:8080/x", "[::1]:8080", 8080, false, "/x"),
            ("http://127.0.0.1/", "127.0.0.1", 80, false, "/"),
            ("http://h/a b\u{e9}", "h", 80, false, "/a%20b%C3%A9"),
            ("http://h/a/./b/../c", "h", 80, false, "/a/c"),
            ("http://B\u{fc}cher.de/", "xn--bcher-kva.de", 80, false, "/"),
        ] {
            let url: Url = text.parse().expect(text);
            let origin = url.origin();
            assert_eq!(
                (&*url.authority(), origin.port, origin.is_tls, url.target()),
                (authority, port, is_tls, target),
                "{text}"
            );
        }
        let v6: Url = "http://[::1]:8080/".parse().expect("legal");
        assert_eq!(&*v6.origin().host, "::1");
        assert_eq!(v6.origin().to_string(), "[::1]:8080");
    }

    #[test]
    fn what_is_no_url_is_refused_with_its_reason() {
        for (text, fault) in [
            ("", UrlFault::Syntax),
            ("h/path", UrlFault::Syntax),
            ("ftp://h/", UrlFault::Scheme),
            ("file:///etc/passwd", UrlFault::Scheme),
            ("data:text/plain,x", UrlFault::Scheme),
            ("http://", UrlFault::Host),
            ("http://:80/", UrlFault::Host),
            ("http://[::1", UrlFault::Host),
            ("http://[h]/", UrlFault::Host),
            ("http://a b/", UrlFault::Host),
            ("http://h:0/", UrlFault::Port),
            ("http://h:65536/", UrlFault::Port),
            ("http://h:x/", UrlFault::Port),
            ("http://me@h/", UrlFault::Credentials),
            ("http://me:pw@h/", UrlFault::Credentials),
            ("http://:pw@h/", UrlFault::Credentials),
            ("http://h/\r\nX: y", UrlFault::Characters),
            ("http://h/\ta", UrlFault::Characters),
        ] {
            assert_eq!(text.parse::<Url>(), Err(fault), "{text:?}");
        }
    }

    #[test]
    fn a_url_may_be_so_long_and_no_longer() {
        let url = |size: usize| format!("http://h/{}", "a".repeat(size - 9)).parse::<Url>();
        assert!(url(URL_SIZE_MAX).is_ok());
        assert_eq!(url(URL_SIZE_MAX + 1), Err(UrlFault::TooLong));
        // Short as it is given, and too long when its characters are escaped.
        let escaped = format!("http://h/{}", "\u{e9}".repeat(URL_SIZE_MAX / 4));
        assert_eq!(escaped.parse::<Url>(), Err(UrlFault::TooLong));
    }

    #[test]
    fn references_are_resolved_as_rfc_3986_says() {
        let base: Url = "http://a/b/c/d;p?q".parse().expect("legal");
        for (reference, resolved) in [
            // RFC 3986 5.4.1
            ("g", "http://a/b/c/g"),
            ("./g", "http://a/b/c/g"),
            ("g/", "http://a/b/c/g/"),
            ("/g", "http://a/g"),
            ("//g", "http://g/"),
            ("?y", "http://a/b/c/d;p?y"),
            ("g?y", "http://a/b/c/g?y"),
            ("#s", "http://a/b/c/d;p?q#s"),
            ("g#s", "http://a/b/c/g#s"),
            ("g?y#s", "http://a/b/c/g?y#s"),
            (";x", "http://a/b/c/;x"),
            ("g;x", "http://a/b/c/g;x"),
            ("g;x?y#s", "http://a/b/c/g;x?y#s"),
            ("", "http://a/b/c/d;p?q"),
            (".", "http://a/b/c/"),
            ("./", "http://a/b/c/"),
            ("..", "http://a/b/"),
            ("../", "http://a/b/"),
            ("../g", "http://a/b/g"),
            ("../..", "http://a/"),
            ("../../", "http://a/"),
            ("../../g", "http://a/g"),
            // 5.4.2
            ("../../../g", "http://a/g"),
            ("../../../../g", "http://a/g"),
            ("/./g", "http://a/g"),
            ("/../g", "http://a/g"),
            ("g.", "http://a/b/c/g."),
            (".g", "http://a/b/c/.g"),
            ("g..", "http://a/b/c/g.."),
            ("..g", "http://a/b/c/..g"),
            ("./../g", "http://a/b/g"),
            ("./g/.", "http://a/b/c/g/"),
            ("g/./h", "http://a/b/c/g/h"),
            ("g/../h", "http://a/b/c/h"),
            ("g;x=1/./y", "http://a/b/c/g;x=1/y"),
            ("g;x=1/../y", "http://a/b/c/y"),
            ("g?y/./x", "http://a/b/c/g?y/./x"),
            ("g#s/../x", "http://a/b/c/g#s/../x"),
            ("http:g", "http://a/b/c/g"),
            ("https://x", "https://x/"),
        ] {
            let joined = base.join(reference);
            assert_eq!(
                joined.as_ref().map(Url::as_str),
                Ok(resolved),
                "{reference}"
            );
        }
        for (reference, fault) in [
            ("g:h", UrlFault::Scheme),
            ("mailto:a@b", UrlFault::Scheme),
            ("//me@b/", UrlFault::Credentials),
            ("//", UrlFault::Host),
            ("//h:99999", UrlFault::Port),
            ("/a\nb", UrlFault::Characters),
        ] {
            assert_eq!(base.join(reference), Err(fault), "{reference:?}");
        }
    }
}
