//! The chunked coding (RFC 9112 7.1), taken off where it lies.
//!
//! ```text
//!   Size ─▶ Blank ─▶ Extension ─▶ SizeLf ─▶ Data ─▶ DataCr ─▶ DataLf ─▶ Size …
//!                                    └ 0 ─▶ Line ─▶ Name ─▶ Value ─▶ ValueLf ─▶ Line …
//!                                             └─▶ EndLf ─▶ Done
//! ```
//!
//! Extensions and trailers are held against their grammar and dropped (RFC 9112 7.1.1, 7.1.2). Limits: of a
//! size line, of all extensions of a body, of all its trailers.

use super::limits::Limits;

/// Digits of a chunk's size at most: 2^60 bytes.
const DIGITS_MAX: u8 = 15;

/// Where in the coding the input stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Chunked {
    state: State,
    /// Bytes of the chunk that are still to come, or its size as far as it has been read.
    left: u64,
    /// Bytes of extensions, in all chunks.
    extensions: u32,
    /// Bytes of the line, or of all trailers.
    line: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Size {
        digits: u8,
    },
    /// Space between the size and what ends it.
    Blank,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    /// The start of a line after the last chunk.
    Line,
    Name,
    Value,
    ValueLf,
    EndLf,
    Done,
}

/// What is wrong with the coding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ChunkError {
    /// Not a size, or not the end of a line where one must be.
    Syntax,
    /// The size line is longer than it may be, or the size than any body.
    LineTooLong,
    /// The extensions of all chunks are longer than they may be.
    ExtensionsTooLong,
    /// Trailers are longer than they may be.
    TrailersTooLong,
}

/// One step.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step<'a> {
    Data(&'a mut [u8]),
    End,
    NeedMore,
}

impl Chunked {
    pub(super) fn new() -> Self {
        Self {
            state: State::Size { digits: 0 },
            left: 0,
            extensions: 0,
            line: 0,
        }
    }

    /// Takes framing off the input up to the next content, or the end; and of content at most `data_max`
    /// bytes.
    pub(super) fn step<'a>(
        &mut self,
        limits: &Limits,
        input: &mut &'a mut [u8],
        data_max: usize,
    ) -> Result<Step<'a>, ChunkError> {
        loop {
            if self.state == State::Done {
                return Ok(Step::End);
            }
            if input.is_empty() {
                return Ok(Step::NeedMore);
            }
            if self.state == State::Data {
                if data_max == 0 {
                    return Ok(Step::NeedMore);
                }
                let here = usize::try_from(self.left)
                    .unwrap_or(usize::MAX)
                    .min(input.len())
                    .min(data_max);
                let (data, rest) = std::mem::take(input).split_at_mut(here);
                *input = rest;
                self.left -= here as u64;
                if self.left == 0 {
                    self.state = State::DataCr;
                }
                return Ok(Step::Data(data));
            }
            let (byte, rest) = std::mem::take(input).split_at_mut(1);
            *input = rest;
            self.state = self.next(limits, byte[0])?;
        }
    }

    fn next(&mut self, limits: &Limits, byte: u8) -> Result<State, ChunkError> {
        match self.state {
            State::Size { digits } => {
                self.line_byte(limits)?;
                if let Some(digit) = char::from(byte).to_digit(16) {
                    if digits == DIGITS_MAX {
                        return Err(ChunkError::LineTooLong);
                    }
                    self.left = self.left << 4 | u64::from(digit);
                    return Ok(State::Size { digits: digits + 1 });
                }
                match byte {
                    _ if digits == 0 => Err(ChunkError::Syntax),
                    b'\r' => Ok(State::SizeLf),
                    _ => self.blank(limits, byte),
                }
            }
            State::Blank => {
                self.line_byte(limits)?;
                match byte {
                    b'\r' => Ok(State::SizeLf),
                    _ => self.blank(limits, byte),
                }
            }
            State::Extension => {
                self.line_byte(limits)?;
                match byte {
                    b'\r' => Ok(State::SizeLf),
                    _ if is_text(byte) => {
                        self.extension_byte(limits)?;
                        Ok(State::Extension)
                    }
                    _ => Err(ChunkError::Syntax),
                }
            }
            State::SizeLf => {
                self.line = 0;
                let next = if self.left == 0 {
                    State::Line
                } else {
                    State::Data
                };
                only(byte, b'\n', next)
            }
            State::DataCr => only(byte, b'\r', State::DataLf),
            State::DataLf => only(byte, b'\n', State::Size { digits: 0 }),
            State::Line if byte == b'\r' => Ok(State::EndLf),
            State::Line | State::Name | State::Value => self.trailer(limits, byte),
            State::ValueLf => only(byte, b'\n', State::Line),
            State::EndLf => only(byte, b'\n', State::Done),
            State::Data | State::Done => Ok(self.state),
        }
    }

    /// What may come between a size and its extensions. Space that ends the line is let pass: some pad
    /// their sizes, and it can be read in no other way.
    fn blank(&mut self, limits: &Limits, byte: u8) -> Result<State, ChunkError> {
        let next = match byte {
            b' ' | b'\t' => State::Blank,
            b';' => State::Extension,
            _ => return Err(ChunkError::Syntax),
        };
        self.extension_byte(limits)?;
        Ok(next)
    }

    /// RFC 9112 5.1, 5.2: no space before the colon, and no line that continues the one before.
    fn trailer(&mut self, limits: &Limits, byte: u8) -> Result<State, ChunkError> {
        if self.line == limits.trailer_size_max {
            return Err(ChunkError::TrailersTooLong);
        }
        self.line += 1;
        match (self.state, byte) {
            (State::Name, b':') => Ok(State::Value),
            (State::Line | State::Name, _) if is_token(byte) => Ok(State::Name),
            (State::Value, b'\r') => Ok(State::ValueLf),
            (State::Value, _) if is_text(byte) => Ok(State::Value),
            _ => Err(ChunkError::Syntax),
        }
    }

    fn line_byte(&mut self, limits: &Limits) -> Result<(), ChunkError> {
        if self.line == limits.chunk_line_max {
            return Err(ChunkError::LineTooLong);
        }
        self.line += 1;
        Ok(())
    }

    fn extension_byte(&mut self, limits: &Limits) -> Result<(), ChunkError> {
        if self.extensions == limits.chunk_extensions_max {
            return Err(ChunkError::ExtensionsTooLong);
        }
        self.extensions += 1;
        Ok(())
    }
}

/// RFC 9110 5.5: what the value of a field, or an extension, is made of.
fn is_text(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7F)
}

/// RFC 9110 5.6.2: what a name is made of.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn only(byte: u8, wanted: u8, next: State) -> Result<State, ChunkError> {
    if byte == wanted {
        Ok(next)
    } else {
        Err(ChunkError::Syntax)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(
        input: &[u8],
        step: usize,
        limits: &Limits,
    ) -> Result<(Vec<u8>, bool, usize), ChunkError> {
        let mut chunked = Chunked::new();
        let (mut content, mut used) = (Vec::new(), 0);
        for piece in input.chunks(step) {
            let mut piece = piece.to_vec();
            let mut rest = &mut piece[..];
            loop {
                let before = rest.len();
                let step = chunked.step(limits, &mut rest, 3)?;
                used += before - rest.len();
                match step {
                    Step::Data(data) => content.extend_from_slice(data),
                    Step::End => return Ok((content, true, used)),
                    Step::NeedMore => break,
                }
            }
        }
        Ok((content, false, used))
    }

    #[test]
    fn every_split_gives_the_same_content() {
        let input = b"5\r\nhello\r\n6;a=\"b\"\r\n world\r\n00 \r\nX: y\r\nZ:\r\n\r\nGET";
        for step in 1..=input.len() {
            let decoded = decode(input, step, &Limits::default());
            let expected = (b"hello world".to_vec(), true, input.len() - 3);
            assert_eq!(decoded, Ok(expected), "{step}");
        }
    }

    #[test]
    fn what_is_no_chunk_is_refused() {
        for (input, error) in [
            (&b"\r\n"[..], ChunkError::Syntax),
            (b"g\r\n", ChunkError::Syntax),
            (b"5\n", ChunkError::Syntax),
            (b"5\r\nhelloX", ChunkError::Syntax),
            (b"5\r\nhello\rX", ChunkError::Syntax),
            (b"0\r\nX: y\n", ChunkError::Syntax),
            (b"0\r\n\rX", ChunkError::Syntax),
            (b"-1\r\n", ChunkError::Syntax),
            (b"0x1\r\n", ChunkError::Syntax),
            (b"5 5\r\nhello", ChunkError::Syntax),
            (b"5 x\r\nhello", ChunkError::Syntax),
            (b"5\t;a\x01\r\nhello", ChunkError::Syntax),
            (b"5;\n", ChunkError::Syntax),
            (b"5;a\rX", ChunkError::Syntax),
            (b"5,\r\n", ChunkError::Syntax),
            (b"0\r\nno colon\r\n\r\n", ChunkError::Syntax),
            (b"0\r\nX : y\r\n\r\n", ChunkError::Syntax),
            (b"0\r\n: y\r\n\r\n", ChunkError::Syntax),
            (b"0\r\nX: y\r\n z\r\n\r\n", ChunkError::Syntax),
            (b"0\r\nX: \0\r\n\r\n", ChunkError::Syntax),
            (b"0\r\nX: y\rZ: a\r\n\r\n", ChunkError::Syntax),
            (b"0\r\n\n", ChunkError::Syntax),
            (b"1000000000000000\r\n", ChunkError::LineTooLong),
        ] {
            let decoded = decode(input, 1, &Limits::default());
            assert_eq!(decoded, Err(error), "{}", input.escape_ascii());
        }
    }

    #[test]
    fn lines_and_trailers_are_bounded() {
        let limits = Limits {
            chunk_line_max: 4,
            trailer_size_max: 5,
            ..Limits::default()
        };
        let is_fine = |input: &[u8]| decode(input, 1, &limits).map(|(_, is_end, _)| is_end);
        assert_eq!(is_fine(b"0;a\r\n\r\n"), Ok(true));
        assert_eq!(is_fine(b"0;ab\r\n\r\n"), Err(ChunkError::LineTooLong));
        assert_eq!(is_fine(b"0   \r\n\r\n"), Err(ChunkError::LineTooLong));
        assert_eq!(is_fine(b"0\r\nA:bc\r\n\r\n"), Ok(true));
        let too_long = Err(ChunkError::TrailersTooLong);
        assert_eq!(is_fine(b"0\r\nA:bcd\r\n\r\n"), too_long);
        assert_eq!(is_fine(b"0\r\nA:\r\nB:\r\n\r\n"), too_long);
        let none = Limits {
            trailer_size_max: 0,
            ..limits
        };
        assert!(decode(b"0\r\n\r\n", 1, &none).is_ok());
        let outcome = decode(b"0\r\nA:\r\n\r\n", 1, &none);
        assert_eq!(outcome, Err(ChunkError::TrailersTooLong));
    }

    #[test]
    fn the_highest_limits_are_limits() {
        let max = usize::from(u16::MAX);
        let limits = Limits {
            chunk_line_max: u16::MAX,
            chunk_extensions_max: u32::MAX,
            trailer_size_max: u16::MAX,
            ..Limits::default()
        };
        let outcome = |input: String| {
            let outcome = decode(input.as_bytes(), 4096, &limits);
            outcome.map(|(_, is_end, _)| is_end)
        };
        // `0;` and the CR belong to the line, `A:` and the CR to the trailers.
        let line = |len: usize| format!("0;{}\r\n\r\n", "x".repeat(len - 3));
        let trailer = |len: usize| format!("0\r\nA:{}\r\n\r\n", "x".repeat(len - 3));
        assert_eq!(outcome(line(max)), Ok(true));
        assert_eq!(outcome(line(max + 1)), Err(ChunkError::LineTooLong));
        assert_eq!(outcome(trailer(max)), Ok(true));
        assert_eq!(outcome(trailer(max + 1)), Err(ChunkError::TrailersTooLong));
    }

    #[test]
    fn extensions_are_bounded_over_all_chunks() {
        let limits = |chunk_extensions_max| Limits {
            chunk_extensions_max,
            ..Limits::default()
        };
        // Four bytes in each of three chunks.
        let input = b"1;a=b\r\nx\r\n1 ;c \r\ny\r\n0\t;d;\r\n\r\n";
        let outcome = |max| decode(input, 1, &limits(max)).map(|(content, ..)| content);
        assert_eq!(outcome(12), Ok(b"xy".to_vec()));
        assert_eq!(outcome(11), Err(ChunkError::ExtensionsTooLong));
        assert_eq!(outcome(0), Err(ChunkError::ExtensionsTooLong));
        let plain = decode(b"1\r\nx\r\n0\r\n\r\n", 1, &limits(0));
        assert_eq!(plain.map(|(content, ..)| content), Ok(b"x".to_vec()));
    }
}
