//! An HTTP/1.1 client that sends exactly the bytes a test wants, and takes answers apart by the letter of
//! RFC 9112: written here once more, so that it shares no mistake with the server.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::foreign;

/// The name of a content: its SHA-256 in hexadecimal digits.
#[must_use]
pub fn hash_of(content: &[u8]) -> String {
    let digest = Sha256::digest(content);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The head, up to its empty line.
    pub head: String,
    /// The content.
    pub body: Vec<u8>,
}

impl Answer {
    /// The value of a field.
    ///
    /// # Panics
    /// When the field came more than once.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        let mut values = self.head.lines().skip(1).filter_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        });
        let value = values.next();
        assert_eq!(values.next(), None, "one {name}: {}", self.head);
        value
    }

    /// The content as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The content as JSON.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }
}

/// A connection.
#[derive(Debug)]
pub struct Web {
    stream: TcpStream,
    input: Vec<u8>,
    /// Bytes of a read, and how long to wait before it.
    pace: Option<(usize, Duration)>,
}

impl Web {
    /// Connects, and says nothing.
    #[must_use]
    pub fn dial(addr: SocketAddr) -> Self {
        Self {
            stream: foreign::open(addr, None),
            input: Vec::new(),
            pace: None,
        }
    }

    /// Sends bytes.
    ///
    /// # Panics
    /// When the connection is gone.
    #[track_caller]
    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the connection stands");
    }

    /// Sends bytes to a server that may hang up meanwhile; false when it did.
    pub fn try_send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// Sends FIN.
    pub fn finish(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Ends with a reset.
    pub fn reset(self) {
        let socket = socket2::SockRef::from(&self.stream);
        socket.set_linger(Some(Duration::ZERO)).expect("an option");
    }

    /// A request with `more` header lines, each with its CRLF, and a body of known length unless it is empty.
    #[track_caller]
    pub fn ask(&mut self, line: &str, more: &str, body: &[u8]) -> Answer {
        self.send(&request(line, more, body));
        self.answer(line.starts_with("HEAD "))
    }

    /// Stores a content under its name.
    #[track_caller]
    pub fn put(&mut self, content: &[u8]) -> Answer {
        let line = format!("PUT /blocks/{}", hash_of(content));
        self.ask(&line, "", content)
    }

    /// Reads the content of that name.
    #[track_caller]
    pub fn get(&mut self, hash: &str) -> Answer {
        self.ask(&format!("GET /blocks/{hash}"), "", b"")
    }

    /// The next answer.
    ///
    /// # Panics
    /// When the connection ends before its end.
    #[track_caller]
    pub fn answer(&mut self, is_head: bool) -> Answer {
        let answer = self.try_answer(is_head);
        answer.unwrap_or_else(|rest| {
            let start = &rest[..rest.len().min(200)];
            panic!(
                "no answer, {} bytes: {:?}",
                rest.len(),
                String::from_utf8_lossy(start)
            )
        })
    }

    /// The next answer, or what came before the end.
    ///
    /// # Errors
    /// The connection ended.
    #[track_caller]
    pub fn try_answer(&mut self, is_head: bool) -> Result<Answer, Vec<u8>> {
        let end = loop {
            let end = self.input.windows(4).position(|four| four == b"\r\n\r\n");
            match end {
                Some(end) => break end + 4,
                None if !self.fill() => return Err(std::mem::take(&mut self.input)),
                None => {}
            }
        };
        let head: Vec<u8> = self.input.drain(..end).collect();
        let head = String::from_utf8(head).expect("a head in ASCII");
        let status = head
            .strip_prefix("HTTP/1.1 ")
            .and_then(|rest| rest.get(..3));
        let status = status.and_then(|digits| digits.parse().ok());
        let mut answer = Answer {
            status: status.unwrap_or_else(|| panic!("no status line: {head}")),
            head,
            body: Vec::new(),
        };
        assert_eq!(
            answer.field("Transfer-Encoding"),
            None,
            "lengths are known here"
        );
        // RFC 9112 6.3: those never have a content, whatever their fields say.
        if is_head || matches!(answer.status, 100..=199 | 204 | 304) {
            return Ok(answer);
        }
        let length = answer
            .field("Content-Length")
            .and_then(|length| length.parse().ok());
        let length: usize = length.unwrap_or_else(|| panic!("no length: {}", answer.head));
        while self.input.len() < length {
            if !self.fill() {
                return Err(std::mem::take(&mut self.input));
            }
        }
        answer.body = self.input.drain(..length).collect();
        Ok(answer)
    }

    /// The next answer, taken at most `piece` bytes at a time with a pause after each.
    ///
    /// # Panics
    /// When the connection ends before its end.
    #[track_caller]
    pub fn slow_answer(&mut self, piece: usize, pause: Duration) -> Answer {
        self.pace = Some((piece, pause));
        let answer = self.answer(false);
        self.pace = None;
        answer
    }

    /// The server has ended the connection, and said nothing more.
    #[track_caller]
    pub fn expect_end(&mut self) {
        assert_eq!(String::from_utf8_lossy(&self.input), "", "nothing more");
        assert!(!self.fill(), "{:?}", String::from_utf8_lossy(&self.input));
    }

    /// Reads once more; false at the end, in order or by a reset.
    #[track_caller]
    fn fill(&mut self) -> bool {
        let mut bytes = [0; 64 * 1024];
        let (piece, pause) = self.pace.unwrap_or((bytes.len(), Duration::ZERO));
        std::thread::sleep(pause);
        loop {
            match self.stream.read(&mut bytes[..piece]) {
                Ok(0) => return false,
                Ok(count) => {
                    self.input.extend_from_slice(&bytes[..count]);
                    return true;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return false,
                Err(error) => panic!("nothing came: {error}"),
            }
        }
    }
}

/// A request as bytes.
#[must_use]
pub fn request(line: &str, more: &str, body: &[u8]) -> Vec<u8> {
    let length = if body.is_empty() {
        String::new()
    } else {
        format!("Content-Length: {}\r\n", body.len())
    };
    let head = format!("{line} HTTP/1.1\r\nHost: test\r\n{length}{more}\r\n");
    [head.as_bytes(), body].concat()
}
