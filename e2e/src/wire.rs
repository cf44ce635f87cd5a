//! A client that sends exactly the bytes a test wants, and takes what comes apart by the letter of
//! RFC 6455 5.2: written here once more, so that it shares no mistake with the server.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

use crate::foreign;

/// The sample key of RFC 6455 1.3; its answer is known.
pub const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// Opcodes (RFC 6455 11.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[expect(missing_docs, reason = "the words of the RFC")]
pub enum Opcode {
    Continuation = 0,
    Text = 1,
    Binary = 2,
    Close = 8,
    Ping = 9,
    Pong = 10,
}

/// A frame that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// FIN, RSV1 to 3, opcode.
    pub first: u8,
    /// The payload as it was on the wire.
    pub payload: Vec<u8>,
}

impl Frame {
    /// The opcode.
    #[must_use]
    pub fn opcode(&self) -> u8 {
        self.first & 15
    }

    /// The code of a close frame; 1005 when it has none.
    #[must_use]
    pub fn close_code(&self) -> Option<u16> {
        if self.opcode() != Opcode::Close as u8 {
            return None;
        }
        Some(match *self.payload {
            [high, low, ..] => u16::from_be_bytes([high, low]),
            _ => 1005,
        })
    }
}

/// What is heard next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// A frame.
    Frame(Frame),
    /// The end in order (FIN), behind a whole frame.
    End,
    /// FIN within a frame.
    Cut,
    /// The end by a reset.
    Reset,
}

/// The request head that every part of a test's own can be put into.
#[must_use]
pub fn request(path: &str, more: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n{more}\r\n"
    )
}

/// The payload of a close frame.
#[must_use]
pub fn close_body(code: u16, text: &str) -> Vec<u8> {
    [&code.to_be_bytes()[..], text.as_bytes()].concat()
}

/// A masked frame with its first byte given; the length in its shortest form.
#[must_use]
pub fn frame_bytes(first: u8, payload: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [0x1D, 0xC5, 0x00, 0xF2];
    let mut bytes = vec![first];
    match payload.len() {
        size @ ..126 => bytes.push(0x80 | size as u8),
        size @ ..65_536 => {
            bytes.push(0x80 | 126);
            bytes.extend_from_slice(&(size as u16).to_be_bytes());
        }
        size => {
            bytes.push(0x80 | 127);
            bytes.extend_from_slice(&(size as u64).to_be_bytes());
        }
    }
    bytes.extend_from_slice(&MASK);
    bytes.extend(
        payload
            .iter()
            .zip(MASK.iter().cycle())
            .map(|(byte, mask)| byte ^ mask),
    );
    bytes
}

/// The client.
#[derive(Debug)]
pub struct Wire {
    stream: TcpStream,
    input: Vec<u8>,
    /// Where what was not taken yet begins.
    taken: usize,
}

impl Wire {
    /// Connects, and says nothing.
    #[must_use]
    pub fn dial(addr: SocketAddr) -> Self {
        Self::on(foreign::open(addr, None))
    }

    /// Connects with a small receive buffer, and says nothing.
    #[must_use]
    pub fn dial_small(addr: SocketAddr) -> Self {
        Self::on(foreign::open(addr, Some(8192)))
    }

    fn on(stream: TcpStream) -> Self {
        Self {
            stream,
            input: Vec::new(),
            taken: 0,
        }
    }

    /// Connects and opens a session.
    #[must_use]
    pub fn open(addr: SocketAddr, path: &str) -> Self {
        let mut wire = Self::dial(addr);
        wire.upgrade(path, "");
        wire
    }

    /// Sends a request head with `more` header lines and takes the 101; returns the response head.
    ///
    /// # Panics
    /// When the answer is another one.
    #[track_caller]
    pub fn upgrade(&mut self, path: &str, more: &str) -> String {
        self.send(request(path, more).as_bytes());
        let head = self.head();
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        assert!(head.contains(ACCEPT), "{head}");
        head
    }

    /// The socket.
    #[must_use]
    pub fn stream(&self) -> &TcpStream {
        &self.stream
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

    /// Sends a whole, final frame.
    #[track_caller]
    pub fn frame(&mut self, opcode: Opcode, payload: &[u8]) {
        self.send(&frame_bytes(0x80 | opcode as u8, payload));
    }

    /// Sends FIN.
    pub fn finish(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Ends with a reset.
    pub fn reset(self) {
        let socket = socket2::SockRef::from(&self.stream);
        socket
            .set_linger(Some(std::time::Duration::ZERO))
            .expect("an option");
    }

    /// A response head, up to its empty line.
    ///
    /// # Panics
    /// When the connection ends before.
    #[track_caller]
    pub fn head(&mut self) -> String {
        loop {
            let rest = &self.input[self.taken..];
            if let Some(end) = rest.windows(4).position(|four| four == b"\r\n\r\n") {
                let head = String::from_utf8_lossy(&rest[..end + 4]).into_owned();
                self.taken += end + 4;
                return head;
            }
            assert_eq!(self.fill(), None, "no complete head");
        }
    }

    /// Everything up to the end.
    pub fn rest(&mut self) -> (Vec<u8>, Heard) {
        let end = loop {
            if let Some(end) = self.fill() {
                break end;
            }
        };
        (self.input.split_off(self.taken), end)
    }

    /// The next frame, or the end.
    ///
    /// # Panics
    /// When nothing comes in time, or a masked frame.
    #[track_caller]
    pub fn hear(&mut self) -> Heard {
        loop {
            if let Some(frame) = self.take_frame() {
                return Heard::Frame(frame);
            }
            if let Some(end) = self.fill() {
                if end == Heard::End && self.taken < self.input.len() {
                    return Heard::Cut;
                }
                return end;
            }
        }
    }

    /// The next frame.
    ///
    /// # Panics
    /// When the connection ends instead.
    #[track_caller]
    #[expect(
        clippy::should_implement_trait,
        reason = "frames that do not come fail the test"
    )]
    pub fn next(&mut self) -> Frame {
        match self.hear() {
            Heard::Frame(frame) => frame,
            end => panic!("{end:?} instead of a frame"),
        }
    }

    /// The code of the close frame that comes before the end; other frames are skipped.
    #[track_caller]
    pub fn closed(&mut self) -> Option<u16> {
        let mut code = None;
        loop {
            match self.hear() {
                Heard::Frame(frame) => {
                    assert_eq!(code, None, "{frame:?} after a close frame (RFC 6455 5.5.1)");
                    code = frame.close_code();
                }
                Heard::Cut => panic!("a frame is cut off"),
                Heard::End | Heard::Reset => return code,
            }
        }
    }

    fn take_frame(&mut self) -> Option<Frame> {
        let rest = &self.input[self.taken..];
        let [first, second, more @ ..] = rest else {
            return None;
        };
        assert_eq!(second & 0x80, 0, "a server masks nothing (RFC 6455 5.1)");
        let (size, head) = match (second & 127, more) {
            (126, [a, b, ..]) => (usize::from(u16::from_be_bytes([*a, *b])), 4),
            (127, more) => (
                u64::from_be_bytes(more.get(..8)?.try_into().ok()?) as usize,
                10,
            ),
            (126, _) => return None,
            (size, _) => (usize::from(size), 2),
        };
        let payload = rest.get(head..head + size)?.to_vec();
        let frame = Frame {
            first: *first,
            payload,
        };
        self.taken += head + size;
        Some(frame)
    }

    /// Reads once more.
    #[track_caller]
    fn fill(&mut self) -> Option<Heard> {
        if self.taken == self.input.len() {
            self.input.clear();
            self.taken = 0;
        }
        let mut bytes = [0; 16 * 1024];
        loop {
            match self.stream.read(&mut bytes) {
                Ok(0) => {
                    // FIN is answered with FIN, or the server waits for it (RFC 6455 7.1.1).
                    self.finish();
                    return Some(Heard::End);
                }
                Ok(count) => {
                    self.input.extend_from_slice(&bytes[..count]);
                    return None;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => {
                    return Some(Heard::Reset);
                }
                Err(error) => panic!("nothing came: {error}"),
            }
        }
    }
}
