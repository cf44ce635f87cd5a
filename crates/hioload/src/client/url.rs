//! Where a client connects to: `ws://host:port/path?query`, or `wss://` for TLS.
//!
//! Spec: RFC 6455 3; RFC 3986 3.2 (authority).

use std::fmt;
use std::str::FromStr;

use super::error::{ClientError, UrlFault};

/// The ports of `ws://` and `wss://` when none is named (RFC 6455 3).
const PORT_CLEAR: u16 = 80;
const PORT_TLS: u16 = 443;

/// A parsed `ws://` or `wss://` URL.
///
/// ```
/// use hioload::client::Url;
///
/// let url: Url = "ws://example.org/live?room=7".parse()?;
/// assert_eq!((url.host(), url.port(), url.path()), ("example.org", 80, "/live?room=7"));
/// # Ok::<(), hioload::client::ClientError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    is_secure: bool,
    /// Without the brackets of an IPv6 address.
    host: String,
    port: u16,
    path: String,
}

impl Url {
    /// The host: a name or an address, without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// It is `wss://`: TLS comes first.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        self.is_secure
    }

    fn scheme(&self) -> &'static str {
        if self.is_secure { "wss" } else { "ws" }
    }

    /// The port, 80 or 443 when none was named.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Path and query, at least `/`.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The value of the `Host` header: the port only when it is not the scheme's own.
    #[must_use]
    pub fn authority(&self) -> String {
        let is_v6 = self.host.contains(':');
        let host = if is_v6 {
            format!("[{}]", self.host)
        } else {
            self.host.clone()
        };
        if self.port == port_of(self.is_secure) {
            host
        } else {
            format!("{host}:{}", self.port)
        }
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.scheme(), self.authority(), self.path)
    }
}

impl FromStr for Url {
    type Err = ClientError;

    fn from_str(text: &str) -> Result<Self, ClientError> {
        let refuse = |fault| ClientError::Url {
            url: text.to_owned(),
            fault,
        };
        let (scheme, rest) = text
            .split_once("://")
            .ok_or_else(|| refuse(UrlFault::Scheme))?;
        let is_secure = scheme.eq_ignore_ascii_case("wss");
        if !is_secure && !scheme.eq_ignore_ascii_case("ws") {
            return Err(refuse(UrlFault::Scheme));
        }
        if !rest.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(refuse(UrlFault::Characters));
        }
        // RFC 6455 3: fragment identifiers MUST NOT be used.
        if rest.contains('#') {
            return Err(refuse(UrlFault::Fragment));
        }
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        if authority.contains('@') {
            return Err(refuse(UrlFault::Credentials));
        }
        let (host, port) = split_authority(authority).map_err(refuse)?;
        let port = port.unwrap_or(port_of(is_secure));
        let path = if path.starts_with('/') {
            path.to_owned()
        } else {
            format!("/{path}")
        };
        Ok(Self {
            is_secure,
            host: host.to_owned(),
            port,
            path,
        })
    }
}

fn port_of(is_secure: bool) -> u16 {
    if is_secure { PORT_TLS } else { PORT_CLEAR }
}

/// Host and port of `host`, `host:port`, `[v6]` or `[v6]:port`.
fn split_authority(authority: &str) -> Result<(&str, Option<u16>), UrlFault> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']').ok_or(UrlFault::Host)?;
            let port = match rest {
                "" => None,
                rest => Some(rest.strip_prefix(':').ok_or(UrlFault::Host)?),
            };
            host.parse::<std::net::Ipv6Addr>()
                .map_err(|_| UrlFault::Host)?;
            (host, port)
        }
        None => match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    if host.is_empty() {
        return Err(UrlFault::Host);
    }
    match port {
        None => Ok((host, None)),
        // A number may have a sign for `parse`, a port may not.
        Some(port) if port.starts_with('+') => Err(UrlFault::Port),
        Some(port) => match port.parse::<u16>() {
            Ok(0) | Err(_) => Err(UrlFault::Port),
            Ok(port) => Ok((host, Some(port))),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<(String, u16, String), UrlFault> {
        match text.parse::<Url>() {
            Ok(url) => Ok((url.authority(), url.port, url.path)),
            Err(ClientError::Url { fault, .. }) => Err(fault),
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn the_parts_of_a_url() {
        for (text, authority, port, path) in [
            ("ws://h", "h", 80, "/"),
            ("WS://h/", "h", 80, "/"),
            ("ws://h:80/a", "h", 80, "/a"),
            ("ws://127.0.0.1:9002", "127.0.0.1:9002", 9002, "/"),
            ("ws://h?q=1", "h", 80, "/?q=1"),
            ("ws://h:1/a/b?q=://", "h:1", 1, "/a/b?q=://"),
            ("ws://h:65535/", "h:65535", 65_535, "/"),
            ("ws://[::1]", "[::1]", 80, "/"),
            ("ws://[::1]:9002/x", "[::1]:9002", 9002, "/x"),
            ("wss://h", "h", 443, "/"),
            ("WSS://h:80", "h:80", 80, "/"),
            ("ws://h:443", "h:443", 443, "/"),
        ] {
            assert_eq!(
                parse(text),
                Ok((authority.into(), port, path.into())),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_url_is_refused_with_its_reason() {
        for (text, fault) in [
            ("", UrlFault::Scheme),
            ("127.0.0.1:9002", UrlFault::Scheme),
            ("http://h", UrlFault::Scheme),
            ("ws://", UrlFault::Host),
            ("ws:///path", UrlFault::Host),
            ("ws://:80", UrlFault::Host),
            ("ws://[::1", UrlFault::Host),
            ("ws://[::1]80", UrlFault::Host),
            ("ws://[h]", UrlFault::Host),
            ("ws://h:", UrlFault::Port),
            ("ws://h:0", UrlFault::Port),
            ("ws://h:65536", UrlFault::Port),
            ("ws://h:+80", UrlFault::Port),
            ("ws://::1:80", UrlFault::Host),
            ("ws://h/#top", UrlFault::Fragment),
            ("ws://me:pw@h/", UrlFault::Credentials),
            ("ws://h/a b", UrlFault::Characters),
            ("ws://h/é", UrlFault::Characters),
        ] {
            assert_eq!(parse(text), Err(fault), "{text}");
        }
    }

    #[test]
    fn a_url_is_written_as_it_is_read() {
        for text in [
            "ws://h/",
            "ws://h:1/a?b",
            "ws://[::1]:9002/x",
            "wss://h/",
            "wss://h:80/",
        ] {
            assert_eq!(text.parse::<Url>().expect("legal").to_string(), text);
        }
    }
}
