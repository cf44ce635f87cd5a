//! The chunked coding (RFC 9112 7.1), taken off where it lies.
//!
//! ```text
//!   Size ─▶ Extension ─▶ SizeLf ─▶ Data ─▶ DataCr ─▶ DataLf ─▶ Size …
//!                           └ 0 ─▶ Trailer… ─▶ EndLf ─▶ Done
//! ```

use super::limits::Limits;

/// Digits of a chunk's size at most: 2^60 bytes.
const DIGITS_MAX: u8 = 15;

/// Where in the coding the input stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Chunked {
    state: State,
    /// Bytes of the chunk that are still to come, or its size as far as it has been read.
    left: u64,
    /// Bytes of the line, or of all trailers.
    line: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Size {
        digits: u8,
    },
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    /// The start of a line after the last chunk.
    LineStart,
    Trailer,
    TrailerLf,
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
        let line = |chunked: &mut Self, max: u16, error: ChunkError| {
            chunked.line = chunked.line.saturating_add(1);
            if chunked.line > max {
                Err(error)
            } else {
                Ok(())
            }
        };
        match self.state {
            State::Size { digits } => {
                line(self, limits.chunk_line_max, ChunkError::LineTooLong)?;
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
                    b';' | b' ' | b'\t' => Ok(State::Extension),
                    _ => Err(ChunkError::Syntax),
                }
            }
            State::Extension => {
                line(self, limits.chunk_line_max, ChunkError::LineTooLong)?;
                match byte {
                    b'\r' => Ok(State::SizeLf),
                    b'\n' | 0 => Err(ChunkError::Syntax),
                    _ => Ok(State::Extension),
                }
            }
            State::SizeLf => {
                self.line = 0;
                let next = if self.left == 0 {
                    State::LineStart
                } else {
                    State::Data
                };
                only(byte, b'\n', next)
            }
            State::DataCr => only(byte, b'\r', State::DataLf),
            State::DataLf => only(byte, b'\n', State::Size { digits: 0 }),
            State::LineStart if byte == b'\r' => Ok(State::EndLf),
            State::LineStart | State::Trailer => {
                line(self, limits.trailer_size_max, ChunkError::TrailersTooLong)?;
                match byte {
                    b'\r' => Ok(State::TrailerLf),
                    b'\n' | 0 => Err(ChunkError::Syntax),
                    _ => Ok(State::Trailer),
                }
            }
            State::TrailerLf => only(byte, b'\n', State::LineStart),
            State::EndLf => only(byte, b'\n', State::Done),
            State::Data | State::Done => Ok(self.state),
        }
    }
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
        assert_eq!(is_fine(b"0\r\nA:bc\r\n\r\n"), Ok(true));
        assert_eq!(
            is_fine(b"0\r\nA:bcd\r\n\r\n"),
            Err(ChunkError::TrailersTooLong)
        );
        assert_eq!(
            is_fine(b"0\r\nA:\r\nB:\r\n\r\n"),
            Err(ChunkError::TrailersTooLong)
        );
    }
}
