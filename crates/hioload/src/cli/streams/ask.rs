//! One request to an admin listener.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// How long a server may take to answer.
const TIMEOUT: Duration = Duration::from_secs(15);

/// What it says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Response {
    pub(super) status: u16,
    pub(super) body: String,
}

impl Response {
    pub(super) fn is_good(&self) -> bool {
        self.status == 200
    }

    pub(super) fn json(&self) -> Result<Value, String> {
        if !self.is_good() {
            return Err(self.body.trim().to_owned());
        }
        serde_json::from_str(&self.body).map_err(|error| format!("the answer is no JSON: {error}"))
    }
}

/// Asks, and waits for the answer.
pub(super) fn ask(admin: SocketAddr, method: &str, target: &str) -> Result<Response, String> {
    let unreachable = |error: &std::io::Error| {
        format!(
            "cannot reach the admin listener at {admin}: {error}; \
             is the server running, with --admin {admin}?"
        )
    };
    let mut stream =
        TcpStream::connect_timeout(&admin, TIMEOUT).map_err(|error| unreachable(&error))?;
    let request =
        format!("{method} {target} HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n");
    let mut response = Vec::new();
    let asked = stream
        .set_read_timeout(Some(TIMEOUT))
        .and_then(|()| stream.write_all(request.as_bytes()))
        .and_then(|()| stream.read_to_end(&mut response));
    asked.map_err(|error| unreachable(&error))?;
    parse(&response).ok_or_else(|| format!("{admin} does not answer like an admin listener"))
}

fn parse(response: &[u8]) -> Option<Response> {
    let text = std::str::from_utf8(response).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    // The admin listener says how long its answers are, and never sends them in chunks.
    let is_whole = head
        .to_ascii_lowercase()
        .contains(&format!("content-length: {}", body.len()));
    let body = body.to_owned();
    is_whole.then_some(Response { status, body })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_or_none() {
        let whole = parse(b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno");
        let expected = Response {
            status: 404,
            body: "no".to_owned(),
        };
        assert_eq!(whole, Some(expected));
        for broken in [
            &b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nno"[..],
            b"HTTP/1.1 200 OK\r\n",
            b"nonsense\r\n\r\n",
            b"",
        ] {
            assert_eq!(parse(broken), None);
        }
    }
}
