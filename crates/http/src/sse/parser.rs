//! The reader of a stream: bytes in any pieces, events out.
//!
//! ```text
//!   input ─▶ line ─┬─ data ──▶ lies in the input (one line, come whole), or joined in `data`
//!                  ├─ event, id, retry
//!                  ├─ blank ─▶ Event
//!                  └─ comment, any other field: nothing
//! ```
//!
//! Lines are told apart before text is decoded: no byte that ends a line is part of anything else in UTF-8, and
//! what is not UTF-8 is replaced line by line as it would be in the whole.
//!
//! Spec: WHATWG HTML 9.2.5 (parsing), 9.2.6 (interpreting).

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use super::find_line_end;
use super::limits::Limits;

const BOM: &[u8] = b"\xEF\xBB\xBF";

/// One event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event<'a> {
    /// The last id the stream has named, with this event or before; empty if there was none.
    pub id: &'a str,
    /// Its type: `message` unless it was named.
    pub name: &'a str,
    /// Its lines of data, joined by LF.
    pub data: &'a str,
    /// How long the stream has asked to wait before coming back, if it has.
    pub retry: Option<Duration>,
}

/// What of a stream is longer than it may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// A line.
    Line,
    /// The data of an event.
    Data,
    /// An id.
    Id,
}

/// A part of the stream is longer than [`Limits`] allow. The stream cannot be read any further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overlong {
    /// Which part.
    pub part: Part,
    /// Bytes it may have.
    pub max: usize,
}

impl fmt::Display for Overlong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = match self.part {
            Part::Line => "a line",
            Part::Data => "an event",
            Part::Id => "an id",
        };
        write!(f, "{part} of the stream has more than {} bytes", self.max)
    }
}

impl std::error::Error for Overlong {}

/// The reader of one stream after another: what it is to come back with stays.
///
/// ```
/// use hioload_http::sse::{Limits, Parser};
///
/// let mut parser = Parser::new(Limits::default());
/// let mut input = &b"id: 7\ndata: one\ndata: two\n\ndata: cut"[..];
/// let event = parser.handle_input(&mut input)?.expect("it is complete");
/// assert_eq!((event.id, event.name, event.data), ("7", "message", "one\ntwo"));
/// assert_eq!(parser.handle_input(&mut input)?, None);
/// parser.restart();
/// assert_eq!(parser.last_id(), "7");
/// # Ok::<(), hioload_http::sse::Overlong>(())
/// ```
#[derive(Debug)]
pub struct Parser {
    limits: Limits,
    /// The start of a line whose end has not come.
    line: Vec<u8>,
    /// Nothing of the stream has been taken.
    is_at_start: bool,
    /// The last line ended in CR: an LF that comes next belongs to it.
    is_after_cr: bool,
    /// The data of the event that is coming in, as far as it does not lie in the input.
    data: Vec<u8>,
    /// Its lines of data, wherever they lie.
    data_lines: usize,
    name: String,
    /// The data as text, when it is not UTF-8 and had to be repaired.
    repaired: String,
    /// An event was handed out: what it took is let go with the next call.
    is_handed_out: bool,
    /// The id that comes into force with the next blank line.
    id_next: String,
    id: String,
    retry: Option<Duration>,
    failed: Option<Overlong>,
}

impl Parser {
    /// A reader at the start of a stream.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            line: Vec::new(),
            is_at_start: true,
            is_after_cr: false,
            data: Vec::new(),
            data_lines: 0,
            name: String::new(),
            repaired: String::new(),
            is_handed_out: false,
            id_next: String::new(),
            id: String::new(),
            retry: None,
            failed: None,
        }
    }

    /// Begins with an id remembered from before.
    ///
    /// # Errors
    /// [`Overlong`].
    pub fn set_last_id(&mut self, id: &str) -> Result<(), Overlong> {
        self.check(Part::Id, id.len(), self.limits.id_size_max)?;
        id.clone_into(&mut self.id);
        id.clone_into(&mut self.id_next);
        Ok(())
    }

    /// The id to come back with; empty: none.
    #[must_use]
    pub fn last_id(&self) -> &str {
        &self.id
    }

    /// How long the server has asked to wait before coming back, if it has.
    #[must_use]
    pub fn retry(&self) -> Option<Duration> {
        self.retry
    }

    /// The stream has ended, another one begins. What was incomplete is dropped, as it will come again; the last
    /// id and the time to wait stay.
    pub fn restart(&mut self) {
        self.line.clear();
        (self.is_at_start, self.is_after_cr) = (true, false);
        self.forget_event();
        self.is_handed_out = false;
        self.id_next.clone_from(&self.id);
        self.failed = None;
    }

    /// Takes bytes off the front of `input`, up to the end of one event. `None`: all of it is taken.
    ///
    /// # Errors
    /// [`Overlong`]; it stays so until [`restart`](Parser::restart).
    pub fn handle_input<'e, 'i: 'e>(
        &'e mut self,
        input: &mut &'i [u8],
    ) -> Result<Option<Event<'e>>, Overlong> {
        if let Some(failed) = self.failed {
            return Err(failed);
        }
        if std::mem::take(&mut self.is_handed_out) {
            self.forget_event();
        }
        let mut here = None;
        match self.take_lines(input, &mut here) {
            Ok(true) => Ok(Some(self.event(here))),
            Ok(false) => {
                // The event goes on in the next piece.
                self.data.extend_from_slice(here.unwrap_or_default());
                Ok(None)
            }
            Err(failed) => {
                self.failed = Some(failed);
                Err(failed)
            }
        }
    }

    fn forget_event(&mut self) {
        self.data.clear();
        self.name.clear();
        self.data_lines = 0;
    }

    /// Takes lines up to the end of an event: true; or all there are. The only line of data, if it lies in the
    /// input, is left there.
    fn take_lines<'i>(
        &mut self,
        input: &mut &'i [u8],
        here: &mut Option<&'i [u8]>,
    ) -> Result<bool, Overlong> {
        loop {
            if self.is_after_cr && !input.is_empty() {
                self.is_after_cr = false;
                *input = input.strip_prefix(b"\n").unwrap_or(input);
            }
            let max = self.limits.line_size_max;
            let Some(end) = find_line_end(input) else {
                self.check(Part::Line, self.line.len() + input.len(), max)?;
                self.line.extend_from_slice(input);
                *input = &[];
                return Ok(false);
            };
            self.check(Part::Line, self.line.len() + end, max)?;
            self.is_after_cr = input[end] == b'\r';
            let part = &input[..end];
            *input = &input[end + 1..];
            let is_end = if self.line.is_empty() {
                self.take_line(self.without_bom(part), Some(here))?
            } else {
                let mut line = std::mem::take(&mut self.line);
                line.extend_from_slice(part);
                // What lies in the input comes before this line.
                if let Some(before) = here.take() {
                    self.data.extend_from_slice(before);
                }
                let is_end = self.take_line(self.without_bom(&line), None);
                line.clear();
                self.line = line;
                is_end?
            };
            self.is_at_start = false;
            if is_end {
                return Ok(true);
            }
        }
    }

    /// One byte order mark may stand at the start of a stream.
    fn without_bom<'l>(&self, line: &'l [u8]) -> &'l [u8] {
        if self.is_at_start {
            line.strip_prefix(BOM).unwrap_or(line)
        } else {
            line
        }
    }

    /// One line. Whether it ends an event. `here` takes data that lies in the input.
    fn take_line<'l>(
        &mut self,
        line: &'l [u8],
        here: Option<&mut Option<&'l [u8]>>,
    ) -> Result<bool, Overlong> {
        if line.is_empty() {
            if self.id != self.id_next {
                self.id.clone_from(&self.id_next);
            }
            if self.data_lines == 0 {
                self.name.clear();
            }
            return Ok(self.data_lines > 0);
        }
        let (name, value) = match line.iter().position(|&byte| byte == b':') {
            Some(colon) => (&line[..colon], &line[colon + 1..]),
            None => (line, &line[line.len()..]),
        };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match name {
            b"data" => self.take_data(value, here)?,
            b"event" => set_lossy(&mut self.name, value),
            b"id" if !value.contains(&0) => {
                self.check(Part::Id, value.len(), self.limits.id_size_max)?;
                set_lossy(&mut self.id_next, value);
            }
            b"retry" => self.retry = self.retry_of(value).or(self.retry),
            // A comment, or a field of later days.
            _ => {}
        }
        Ok(false)
    }

    fn take_data<'l>(
        &mut self,
        value: &'l [u8],
        here: Option<&mut Option<&'l [u8]>>,
    ) -> Result<(), Overlong> {
        let before = here.as_deref().copied().flatten().map_or(0, <[u8]>::len);
        let joint = usize::from(self.data_lines > 0);
        let size = self.data.len() + before + joint + value.len();
        self.check(Part::Data, size, self.limits.event_size_max)?;
        self.data_lines += 1;
        match here {
            Some(here) if self.data_lines == 1 => {
                *here = Some(value);
                return Ok(());
            }
            Some(here) => self.data.extend_from_slice(here.take().unwrap_or_default()),
            None => {}
        }
        if self.data_lines > 1 {
            self.data.push(b'\n');
        }
        self.data.extend_from_slice(value);
        Ok(())
    }

    /// Digits alone are a time, in milliseconds.
    fn retry_of(&self, value: &[u8]) -> Option<Duration> {
        let is_number = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
        let digit = |number: u64, &byte: &u8| {
            number
                .saturating_mul(10)
                .saturating_add(u64::from(byte - b'0'))
        };
        is_number
            .then(|| Duration::from_millis(value.iter().fold(0, digit)).min(self.limits.retry_max))
    }

    fn check(&self, part: Part, size: usize, max: usize) -> Result<(), Overlong> {
        if size > max {
            return Err(Overlong { part, max });
        }
        Ok(())
    }

    fn event<'e, 'i: 'e>(&'e mut self, here: Option<&'i [u8]>) -> Event<'e> {
        self.is_handed_out = true;
        let bytes: &'e [u8] = here.unwrap_or(&self.data);
        let data = match String::from_utf8_lossy(bytes) {
            Cow::Borrowed(text) => text,
            Cow::Owned(text) => {
                self.repaired = text;
                &self.repaired
            }
        };
        let name = if self.name.is_empty() {
            "message"
        } else {
            &self.name
        };
        Event {
            id: &self.id,
            name,
            data,
            retry: self.retry,
        }
    }
}

fn set_lossy(text: &mut String, bytes: &[u8]) {
    text.clear();
    text.push_str(&String::from_utf8_lossy(bytes));
}
