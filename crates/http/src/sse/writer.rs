//! Events as they are sent.
//!
//! Sizes are known before anything is written, so that an event goes straight to where it is kept.

use std::fmt;
use std::time::Duration;

use super::base64::{base64_size, encode_base64};
use super::find_line_end;

/// A comment without text, and a blank line: keeps proxies and time-outs quiet, and is no event to anybody.
pub const KEEP_ALIVE: &[u8] = b":\n\n";

const ID: &[u8] = b"id: ";
const NAME: &[u8] = b"event: ";
const DATA: &[u8] = b"data: ";
const RETRY: &[u8] = b"retry: ";

/// What an event carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Data<'a> {
    /// A text. Its lines may end in LF, CR or CRLF; readers get LF. Bytes that are not UTF-8 are replaced by
    /// readers.
    Text(&'a [u8]),
    /// Bytes, sent as Base64 in one line.
    Base64(&'a [u8]),
}

/// One event, or fields alone.
///
/// ```
/// use hioload_http::sse::Outgoing;
///
/// let event = Outgoing::text(b"two\nlines").id("7")?.name("note")?;
/// let mut out = Vec::new();
/// event.append_to(&mut out);
/// assert_eq!(out, b"id: 7\nevent: note\ndata: two\ndata: lines\n\n");
/// # Ok::<(), hioload_http::sse::Unwritable>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outgoing<'a> {
    id: Option<&'a str>,
    name: Option<&'a str>,
    retry_ms: Option<u64>,
    data: Option<Data<'a>>,
}

/// A text that no line can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unwritable {
    /// Where in it the first such byte is.
    pub place: usize,
}

impl fmt::Display for Unwritable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "a line break, or NUL, at byte {} of an id or a name",
            self.place
        )
    }
}

impl std::error::Error for Unwritable {}

/// What stands in one line. A reader ignores ids with NUL.
fn line(text: &str) -> Result<Option<&str>, Unwritable> {
    let is_unfit = |byte: &u8| matches!(byte, b'\r' | b'\n' | 0);
    match text.as_bytes().iter().position(is_unfit) {
        Some(place) => Err(Unwritable { place }),
        None => Ok(Some(text)),
    }
}

impl<'a> Outgoing<'a> {
    /// Fields alone: readers take the id and the time to wait, and get no event.
    #[must_use]
    pub fn fields() -> Self {
        Self::default()
    }

    /// An event that carries this.
    #[must_use]
    pub fn new(data: Data<'a>) -> Self {
        Self {
            data: Some(data),
            ..Self::default()
        }
    }

    /// An event that carries a text.
    #[must_use]
    pub fn text(text: &'a [u8]) -> Self {
        Self::new(Data::Text(text))
    }

    /// What a reader remembers and sends when it comes back. An empty one makes it forget the last.
    ///
    /// # Errors
    /// [`Unwritable`].
    pub fn id(self, id: &'a str) -> Result<Self, Unwritable> {
        Ok(Self {
            id: line(id)?,
            ..self
        })
    }

    /// Its type; without one, or with an empty one, it is a `message`.
    ///
    /// # Errors
    /// [`Unwritable`].
    pub fn name(self, name: &'a str) -> Result<Self, Unwritable> {
        Ok(Self {
            name: line(name)?,
            ..self
        })
    }

    /// How long readers are to wait before they come back, to the millisecond.
    #[must_use]
    pub fn retry(self, retry: Duration) -> Self {
        Self {
            retry_ms: Some(u64::try_from(retry.as_millis()).unwrap_or(u64::MAX)),
            ..self
        }
    }

    /// Bytes it takes.
    #[must_use]
    pub fn size(&self) -> usize {
        let field = |name: &[u8], value: Option<&str>| {
            value.map_or(0, |value| name.len() + value.len() + 1)
        };
        let data = match self.data {
            None => 0,
            Some(Data::Base64(bytes)) => DATA.len() + base64_size(bytes.len()) + 1,
            Some(Data::Text(text)) => Lines(Some(text))
                .map(|line| DATA.len() + line.len() + 1)
                .sum(),
        };
        let retry = self
            .retry_ms
            .map_or(0, |retry| RETRY.len() + digits_of(retry) + 1);
        field(ID, self.id) + field(NAME, self.name) + retry + data + 1
    }

    /// Writes it to the front of `out` and returns its size.
    ///
    /// # Panics
    /// If `out` is shorter than [`size`](Outgoing::size).
    pub fn write_to(&self, out: &mut [u8]) -> usize {
        let mut rest = Rest { out, size: 0 };
        if let Some(id) = self.id {
            rest.field(ID, id.as_bytes());
        }
        if let Some(name) = self.name {
            rest.field(NAME, name.as_bytes());
        }
        if let Some(retry) = self.retry_ms {
            let mut digits = [0; 20];
            rest.field(RETRY, decimal(retry, &mut digits));
        }
        match self.data {
            None => {}
            Some(Data::Text(text)) => Lines(Some(text)).for_each(|line| rest.field(DATA, line)),
            Some(Data::Base64(bytes)) => {
                rest.put(DATA);
                rest.size += encode_base64(bytes, &mut rest.out[rest.size..]);
                rest.put(b"\n");
            }
        }
        rest.put(b"\n");
        rest.size
    }

    /// Appends it to `out`.
    pub fn append_to(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.resize(start + self.size(), 0);
        self.write_to(&mut out[start..]);
    }
}

/// Appends a comment, and a blank line: no reader sees it.
///
/// ```
/// let mut out = Vec::new();
/// hioload_http::sse::write_comment("one\ntwo", &mut out);
/// assert_eq!(out, b": one\n: two\n\n");
/// ```
pub fn write_comment(text: &str, out: &mut Vec<u8>) {
    for line in Lines(Some(text.as_bytes())) {
        out.extend_from_slice(b": ");
        out.extend_from_slice(line);
        out.push(b'\n');
    }
    out.push(b'\n');
}

/// Where an event is being written.
struct Rest<'a> {
    out: &'a mut [u8],
    size: usize,
}

impl Rest<'_> {
    fn put(&mut self, bytes: &[u8]) {
        self.out[self.size..self.size + bytes.len()].copy_from_slice(bytes);
        self.size += bytes.len();
    }

    fn field(&mut self, name: &[u8], value: &[u8]) {
        self.put(name);
        self.put(value);
        self.put(b"\n");
    }
}

/// The lines of a text, at least one: whatever ends a line to a reader ends one here.
struct Lines<'a>(Option<&'a [u8]>);

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let text = self.0?;
        let Some(end) = find_line_end(text) else {
            return self.0.take();
        };
        let is_pair = text[end..].starts_with(b"\r\n");
        self.0 = Some(&text[end + 1 + usize::from(is_pair)..]);
        Some(&text[..end])
    }
}

fn digits_of(number: u64) -> usize {
    number.checked_ilog10().unwrap_or(0) as usize + 1
}

fn decimal(mut number: u64, out: &mut [u8; 20]) -> &[u8] {
    let size = digits_of(number);
    for place in (0..size).rev() {
        out[place] = b'0' + (number % 10) as u8;
        number /= 10;
    }
    &out[..size]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(event: Outgoing<'_>) -> String {
        let mut out = Vec::new();
        event.append_to(&mut out);
        assert_eq!(out.len(), event.size());
        String::from_utf8(out).expect("UTF-8")
    }

    #[test]
    fn every_break_begins_a_line_of_data() {
        for (text, lines) in [
            ("", "data: \n\n"),
            ("a", "data: a\n\n"),
            (" a", "data:  a\n\n"),
            ("\n", "data: \ndata: \n\n"),
            ("\r\n", "data: \ndata: \n\n"),
            ("\n\r", "data: \ndata: \ndata: \n\n"),
            ("a\rb\r\nc\nd", "data: a\ndata: b\ndata: c\ndata: d\n\n"),
            ("a\n\nid: 1\n", "data: a\ndata: \ndata: id: 1\ndata: \n\n"),
        ] {
            assert_eq!(written(Outgoing::text(text.as_bytes())), lines, "{text:?}");
        }
    }

    #[test]
    fn bytes_are_one_line() {
        let event = Outgoing::new(Data::Base64(b"\n\n\0"))
            .name("binary")
            .expect("a line");
        assert_eq!(written(event), "event: binary\ndata: CgoA\n\n");
        assert_eq!(written(Outgoing::new(Data::Base64(b""))), "data: \n\n");
    }

    #[test]
    fn fields_alone_are_no_event() {
        let fields = Outgoing::fields()
            .id("a:1")
            .expect("a line")
            .retry(Duration::from_millis(10));
        assert_eq!(written(fields), "id: a:1\nretry: 10\n\n");
        for retry in [0, 9, 10, 99, 100, u64::MAX] {
            let text = written(Outgoing::fields().retry(Duration::from_millis(retry)));
            assert_eq!(text, format!("retry: {retry}\n\n"));
        }
    }

    #[test]
    fn names_and_ids_stay_in_their_line() {
        for (text, place) in [("\n", 0), ("a\rdata: b", 1), ("ab\0", 2)] {
            assert_eq!(Outgoing::fields().id(text), Err(Unwritable { place }));
            assert_eq!(Outgoing::fields().name(text), Err(Unwritable { place }));
        }
    }
}
