//! A connection and the request under way on it.

use hioload_base::Time;
use hioload_http::h1::{Client, Response};
use hioload_mem::Segment;
use hioload_reactor::Payload;

use super::contents::Contents;
use super::figures::Method;
use super::known::{Known, Name};

/// A request that waits for the end of its answer.
pub(super) struct Asked {
    pub(super) method: Method,
    /// The block it is about; a PUT learns its name from the answer.
    pub(super) number: u64,
    pub(super) length: u32,
    pub(super) started: Time,
    /// The block is being deleted meanwhile: that it is not there is no fault.
    pub(super) may_be_gone: bool,
    /// The content is compared byte by byte.
    is_thorough: bool,
    status: u16,
    /// Content that came so far.
    received: usize,
    is_damaged: bool,
    name: Option<Name>,
}

/// What an answer was.
pub(super) enum Verdict {
    /// What it should be.
    Right,
    /// The block is gone, and that is no fault.
    Gone,
    /// Another status, told here.
    Unexpected(u16),
    /// The content is another.
    Damaged,
}

impl Asked {
    pub(super) fn new(
        method: Method,
        number: u64,
        length: u32,
        started: Time,
        is_thorough: bool,
    ) -> Self {
        Self {
            method,
            number,
            length,
            started,
            may_be_gone: false,
            is_thorough,
            status: 0,
            received: 0,
            is_damaged: false,
            name: None,
        }
    }

    fn head(&mut self, response: &Response<'_>) {
        self.status = response.status();
        if self.method == Method::Put {
            let tag = response.header("ETag").unwrap_or_default();
            let tag = tag.trim_ascii();
            self.name = tag
                .strip_prefix(b"\"")
                .and_then(|tag| tag.strip_suffix(b"\"")?.try_into().ok());
        }
    }

    fn body(&mut self, contents: &Contents, part: &[u8]) {
        if self.method == Method::Get && self.status == 200 {
            let agrees = contents.agrees(self.number, self.received, part, self.is_thorough);
            self.is_damaged |= !agrees;
        }
        self.received += part.len();
    }

    /// The answer is complete.
    pub(super) fn verdict(&self) -> Verdict {
        let expected = match self.method {
            Method::Get => 200,
            Method::Put => 201,
            Method::Delete => 204,
        };
        if self.status == 404 && self.may_be_gone {
            return Verdict::Gone;
        }
        if self.status != expected {
            return Verdict::Unexpected(self.status);
        }
        let is_whole = self.method != Method::Get || self.received == self.length as usize;
        let is_named = self.method != Method::Put || self.known().is_some();
        if is_whole && is_named && !self.is_damaged {
            Verdict::Right
        } else {
            Verdict::Damaged
        }
    }

    pub(super) fn status(&self) -> u16 {
        self.status
    }

    /// The block that a PUT has made.
    pub(super) fn known(&self) -> Option<Known> {
        Known::new(self.name.as_ref()?, self.number, self.length)
    }
}

/// A connection.
#[derive(Default)]
pub(super) struct Lane {
    pub(super) client: Client,
    /// The beginning of something that was not whole when it came.
    pub(super) spill: Vec<u8>,
    pub(super) asked: Option<Asked>,
}

impl Lane {
    /// A part of the answer came; `true` at its end.
    pub(super) fn take(
        &mut self,
        contents: &Contents,
        event: &hioload_http::h1::ClientEvent<'_>,
    ) -> bool {
        use hioload_http::h1::ClientEvent;
        let Some(asked) = &mut self.asked else {
            return false;
        };
        match event {
            ClientEvent::Head(response) => asked.head(response),
            ClientEvent::Body(part) => asked.body(contents, part),
            ClientEvent::End => return true,
        }
        false
    }
}

/// The bytes of requests to one server.
pub(super) struct Requests {
    /// Everything between the first line and the end of the head.
    host: String,
}

impl Requests {
    pub(super) fn new(host: &str) -> Self {
        Self {
            host: format!(" HTTP/1.1\r\nHost: {host}\r\n"),
        }
    }

    /// GET or DELETE.
    pub(super) fn plain(&self, method: &str, name: &Name) -> Payload {
        let mut head = Vec::with_capacity(160);
        head.extend_from_slice(method.as_bytes());
        head.extend_from_slice(b" /blocks/");
        head.extend_from_slice(name);
        head.extend_from_slice(self.host.as_bytes());
        head.extend_from_slice(b"\r\n");
        Payload::One(Segment::from_vec(head))
    }

    /// A content to be stored; the server finds out its name.
    pub(super) fn put(&self, contents: &Contents, number: u64, length: usize) -> Payload {
        let mut head = Vec::with_capacity(160);
        head.extend_from_slice(b"POST /blocks");
        head.extend_from_slice(self.host.as_bytes());
        head.extend_from_slice(format!("Content-Length: {length}\r\n\r\n").as_bytes());
        head.extend_from_slice(&contents.stamp(number));
        let head = Segment::from_vec(head);
        let rest = contents.rest(length);
        if rest.is_empty() {
            Payload::One(head)
        } else {
            Payload::Many(vec![head, rest])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hioload_base::Prng;
    use hioload_http::h1::Limits;

    fn contents() -> Contents {
        Contents::new(64, &mut Prng::new(1))
    }

    /// What comes of an answer to a request.
    fn verdict(method: Method, length: u32, answer: &[u8]) -> Verdict {
        let contents = contents();
        let mut lane = Lane {
            asked: Some(Asked::new(method, 3, length, Time::ZERO, true)),
            ..Lane::default()
        };
        lane.client.sent(false);
        let mut bytes = answer.to_vec();
        let mut input = &mut bytes[..];
        while let Some(event) = lane
            .client
            .handle_input(&Limits::default(), &mut input)
            .expect("a response")
        {
            if lane.take(&contents, &event) {
                return lane.asked.expect("asked").verdict();
            }
        }
        panic!("the answer has no end");
    }

    fn get_answer(length: usize) -> Vec<u8> {
        let contents = contents();
        let mut answer =
            format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n").into_bytes();
        answer.extend_from_slice(&contents.stamp(3));
        answer.extend_from_slice(contents.rest(length).as_slice());
        answer
    }

    #[test]
    fn a_content_that_is_short_or_changed_is_damaged() {
        let right = get_answer(64);
        assert!(matches!(verdict(Method::Get, 64, &right), Verdict::Right));
        assert!(matches!(verdict(Method::Get, 63, &right), Verdict::Damaged));
        let mut changed = right;
        *changed.last_mut().expect("bytes") ^= 1;
        assert!(matches!(
            verdict(Method::Get, 64, &changed),
            Verdict::Damaged
        ));
    }

    #[test]
    fn a_put_has_to_be_new_and_named() {
        let name = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
        let answer = |status: &str, tag: &str| {
            format!("HTTP/1.1 {status}\r\nETag: {tag}\r\nContent-Length: 1\r\n\r\nx").into_bytes()
        };
        let put = |status: &str, tag: &str| verdict(Method::Put, 64, &answer(status, tag));
        let tag = format!("\"{name}\"");
        assert!(matches!(put("201 Created", &tag), Verdict::Right));
        assert!(matches!(put("200 OK", &tag), Verdict::Unexpected(200)));
        assert!(matches!(put("201 Created", name), Verdict::Damaged));
    }

    #[test]
    fn requests_say_what_is_wanted() {
        let requests = Requests::new("h:1");
        let known = Known::numbered(5, 64);
        let payload = requests.plain("GET", &known.name());
        let text = String::from_utf8(payload.pieces()[0].as_slice().to_vec()).expect("text");
        let expected = format!("GET /blocks/{:064x} HTTP/1.1\r\nHost: h:1\r\n\r\n", 5);
        assert_eq!(text, expected);
        let contents = contents();
        for length in [16, 17, 64] {
            let payload = requests.put(&contents, 3, length);
            let bytes: Vec<u8> = payload
                .pieces()
                .iter()
                .flat_map(|piece| piece.as_slice().to_vec())
                .collect();
            let end = bytes.len() - length;
            assert!(contents.agrees(3, 0, &bytes[end..], true), "{length}");
            assert!(bytes[..end].ends_with(format!("Content-Length: {length}\r\n\r\n").as_bytes()));
        }
    }
}
