//! A handshake in both shapes: RFC 6455 4.1 and RFC 8441 5.

use bytes::{Bytes, BytesMut};
use h2::ext::Protocol;
use http::header::{HeaderName, HeaderValue};
use http::{Method, Response, StatusCode, Version};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tungstenite::handshake::derive_accept_key;

use crate::Outcome;

/// More than any client of a suite says.
const HEAD_SIZE_MAX: usize = 64 * 1024;

/// Fields of a handshake that HTTP/2 does without (RFC 8441 5, RFC 9113 8.2.2).
const DROPPED: &[&str] = &["host", "connection", "upgrade", "sec-websocket-key"];

/// A request to upgrade, as it came.
pub(crate) struct Request {
    target: String,
    fields: Vec<(String, String)>,
}

impl Request {
    /// The request, and what came after it.
    pub(crate) async fn read(stream: &mut TcpStream) -> Outcome<(Self, Bytes)> {
        let mut bytes = BytesMut::new();
        let end = loop {
            if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
                break end;
            }
            if bytes.len() > HEAD_SIZE_MAX || stream.read_buf(&mut bytes).await? == 0 {
                return Err("no whole request".into());
            }
        };
        let head = bytes.split_to(end + 4);
        let request = Self::parse(std::str::from_utf8(&head)?).ok_or("not a request")?;
        Ok((request, bytes.freeze()))
    }

    fn parse(head: &str) -> Option<Self> {
        let mut lines = head.trim_end().split("\r\n");
        let target = lines.next()?.split(' ').nth(1)?.to_owned();
        let fields = lines.map(|line| {
            let (name, value) = line.split_once(':')?;
            Some((name.trim().to_lowercase(), value.trim().to_owned()))
        });
        Some(Self {
            target,
            fields: fields.collect::<Option<_>>()?,
        })
    }

    fn field(&self, name: &str) -> Option<&str> {
        let mut fields = self.fields.iter();
        Some(fields.find(|(known, _)| known == name)?.1.as_str())
    }

    /// The same as an extended CONNECT.
    pub(crate) fn connect(&self, server: &str) -> Outcome<http::Request<()>> {
        let authority = self.field("host").unwrap_or(server);
        let mut request = http::Request::builder()
            .method(Method::CONNECT)
            .version(Version::HTTP_2)
            .uri(format!("http://{authority}{}", self.target))
            .extension(Protocol::from_static("websocket"));
        for (name, value) in &self.fields {
            if !DROPPED.contains(&name.as_str()) {
                let name = HeaderName::from_bytes(name.as_bytes())?;
                request = request.header(name, HeaderValue::from_str(value)?);
            }
        }
        Ok(request.body(())?)
    }

    /// Answers as the server did.
    pub(crate) async fn answer<B>(
        &self,
        client: &mut TcpStream,
        head: &Response<B>,
    ) -> Outcome<()> {
        let mut text = if head.status() == StatusCode::OK {
            let key = self.field("sec-websocket-key").ok_or("no key")?;
            format!(
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                 Sec-WebSocket-Accept: {}\r\n",
                derive_accept_key(key.as_bytes())
            )
        } else {
            format!("HTTP/1.1 {}\r\nConnection: close\r\n", head.status())
        };
        for (name, value) in head.headers() {
            if name.as_str().starts_with("sec-websocket-") {
                text += &format!("{name}: {}\r\n", value.to_str()?);
            }
        }
        client.write_all((text + "\r\n").as_bytes()).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "GET /a?b HTTP/1.1\r\nHost: h:1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                        Sec-WebSocket-Key: k\r\nSec-WebSocket-Version: 13\r\n\r\n";

    #[test]
    fn a_handshake_becomes_a_connect_without_what_http_2_does_without() {
        let request = Request::parse(HEAD).expect("a request");
        let connect = request.connect("nowhere").expect("a request");
        assert_eq!(connect.uri(), "http://h:1/a?b");
        assert_eq!(connect.method(), Method::CONNECT);
        let names: Vec<_> = connect.headers().keys().map(HeaderName::as_str).collect();
        assert_eq!(names, ["sec-websocket-version"]);
    }

    #[test]
    fn what_is_no_request_is_refused() {
        assert!(Request::parse("").is_none());
        assert!(Request::parse("GET / HTTP/1.1\r\nno colon\r\n\r\n").is_none());
    }
}
