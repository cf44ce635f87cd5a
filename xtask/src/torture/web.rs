//! As much of HTTP/1.1 as the torture needs: one request, one answer of known length.

use std::io::{Error, ErrorKind, Read as _, Result, Write as _};
use std::net::TcpStream;
use std::time::Duration;

/// What is not answered by then hangs.
const ANSWER_MAX: Duration = Duration::from_secs(20);

/// An answer.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
}

/// A connection.
pub(super) struct Web {
    stream: TcpStream,
}

impl Web {
    pub(super) fn dial(addr: &str) -> Result<Self> {
        let stream = TcpStream::connect(addr)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_MAX))?;
        stream.set_write_timeout(Some(ANSWER_MAX))?;
        Ok(Self { stream })
    }

    /// The bytes of a request.
    fn request(method: &str, path: &str, body: &[u8]) -> Vec<u8> {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: torture\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        [head.as_bytes(), body].concat()
    }

    pub(super) fn ask(&mut self, method: &str, path: &str, body: &[u8]) -> Result<Answer> {
        self.stream.write_all(&Self::request(method, path, body))?;
        self.answer()
    }

    /// Sends a part of a request and goes away.
    pub(super) fn break_off(mut self, method: &str, path: &str, body: &[u8]) -> Result<()> {
        let bytes = Self::request(method, path, body);
        self.stream.write_all(&bytes[..bytes.len() - 1])
    }

    fn answer(&mut self) -> Result<Answer> {
        let broken = |what: &str| Error::new(ErrorKind::InvalidData, what.to_owned());
        let mut input = Vec::new();
        let end = loop {
            if let Some(end) = input.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            self.fill(&mut input)?;
        };
        let head = String::from_utf8_lossy(&input[..end]).into_owned();
        let status = head.get(9..12).and_then(|digits| digits.parse().ok());
        let status = status.ok_or_else(|| broken("no status"))?;
        let mut lengths = head.lines().filter_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length")
                .then(|| value.trim().parse())
        });
        let length: usize = match lengths.next() {
            Some(length) => length.map_err(|_| broken("no length"))?,
            None => 0,
        };
        let mut body = input.split_off(end);
        while body.len() < length {
            self.fill(&mut body)?;
        }
        Ok(Answer { status, body })
    }

    fn fill(&mut self, input: &mut Vec<u8>) -> Result<()> {
        let mut bytes = [0; 64 * 1024];
        match self.stream.read(&mut bytes)? {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            count => {
                input.extend_from_slice(&bytes[..count]);
                Ok(())
            }
        }
    }
}
