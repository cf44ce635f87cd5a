//! Writing: a shared cork that the session at hand writes into, sealed once per batch of input.
//!
//! ```text
//!   send ─▶ cork (one buffer per worker) ──seal──▶ Segment ─▶ outbox or straight to the driver
//! ```
//!
//! All replies to one batch of input lie in one piece of memory and leave in one send. Segments of
//! many connections share a small buffer, so an idle connection owns none.

use hioload_mem::{Buffer, BufferPool, Segment};
use hioload_ws::Header;

use super::input::Input;

/// Bytes of a cork buffer: small, so that a connection which does not take its output pins little.
const CORK_SIZE: usize = 4096;
/// For output above a cork: several large frames share one buffer.
const LARGE_SIZE: usize = 64 * 1024;
/// So much of a session's output moves on to the next cork rather than to lie in two.
const MOVE_MAX: usize = 1024;
/// The largest buffer of the pool.
const PIECE_MAX: usize = 1024 * 1024;

/// A close frame without a code (RFC 6455 5.5.1).
const CLOSE_EMPTY: &[u8] = &[0x88, 0];
/// Codes that such frames are kept of: those of the RFC, and some of the application.
const CLOSES_MAX: usize = 32;

/// The worker has no memory for output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoMemory;

/// Gathers the output of the session at hand.
#[derive(Default)]
pub(super) struct Cork {
    small: Option<Buffer>,
    large: Option<Buffer>,
    /// Bytes gathered for the session at hand, in pieces, open or to be forwarded.
    size: usize,
    /// Pieces of this session's output that are complete, in order.
    pieces: Vec<Segment>,
    /// Which buffer has unsealed bytes of this session.
    open: Open,
    /// The frame at hand is sent on: where among the pieces it belongs, its header, and the length
    /// of its payload.
    forward: Option<(usize, Header, usize)>,
    /// Close frames that go out when there is no memory for others, at most [`CLOSES_MAX`].
    closes: Vec<Segment>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Open {
    #[default]
    None,
    Small,
    Large,
}

impl Cork {
    /// Bytes gathered for the session at hand.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.size
    }

    /// Pieces complete so far; one more may be open.
    pub(super) fn piece_count(&self) -> usize {
        self.pieces.len()
    }

    /// Leaves a place for a frame whose payload of `len` bytes is shared instead of copied.
    pub(super) fn forward(&mut self, header: Header, len: usize) {
        self.seal_open();
        self.size += header.len() + len;
        self.forward = Some((self.pieces.len(), header, len));
    }

    /// Fills the place that was left with the first `taken` bytes of the input: they end with the
    /// payload, and before it the peer's longer header has room for ours. False when none was left.
    #[inline]
    pub(super) fn take_forward(&mut self, input: &mut Input<'_>, taken: usize) -> bool {
        let Some((place, header, len)) = self.forward.take() else {
            return false;
        };
        let start = taken - len - header.len();
        input.rest()[start..start + header.len()].copy_from_slice(&header);
        input.advance(start);
        self.pieces.insert(place, input.share(taken - start));
        true
    }

    /// Appends bytes that are shared instead of copied.
    pub(super) fn append(&mut self, piece: Segment) {
        self.seal_open();
        self.size += piece.len();
        self.pieces.push(piece);
    }

    /// Appends a close frame of a server. If the pool has no memory for it, its code alone goes out, of which there is
    /// one for all sessions; without a place for one more code, none.
    pub(super) fn write_last(&mut self, pool: &BufferPool, frame: &[u8]) {
        if self.write(pool, frame, &[]).is_ok() {
            return;
        }
        let bare: &[u8] = match frame {
            [first, _, high, low, ..] => &[*first, 2, *high, *low],
            _ => CLOSE_EMPTY,
        };
        if self.closes.is_empty() {
            self.closes.push(Segment::copy_from(CLOSE_EMPTY));
        }
        let known = self.closes.iter().position(|close| **close == *bare);
        let place = known.unwrap_or(self.closes.len());
        if place == self.closes.len() && place < CLOSES_MAX {
            self.closes.push(Segment::copy_from(bare));
        }
        let close = self.closes.get(place).unwrap_or(&self.closes[0]).clone();
        self.append(close);
    }

    /// Appends a frame given as head and body. All of it or nothing.
    #[inline(always)]
    pub(super) fn write(
        &mut self,
        pool: &BufferPool,
        head: &[u8],
        body: &[u8],
    ) -> Result<(), NoMemory> {
        let size = head.len() + body.len();
        let buffer = match self.open {
            Open::Small => self.small.as_mut(),
            Open::Large => self.large.as_mut(),
            Open::None => None,
        };
        let buffer = match buffer {
            Some(buffer) if buffer.room() >= size => buffer,
            _ if size > PIECE_MAX => return self.write_pieces(pool, head, body),
            _ => self.buffer_for(pool, size)?,
        };
        let (place, rest) = buffer.spare_mut().split_at_mut(head.len());
        match (place, head) {
            // Nearly every frame, and a length known to the compiler.
            ([first, second], &[fin, len]) => (*first, *second) = (fin, len),
            (place, head) => place.copy_from_slice(head),
        }
        rest[..body.len()].copy_from_slice(body);
        buffer.advance(size);
        self.size += size;
        Ok(())
    }

    /// Opens a buffer with room for `size` bytes; what the session has so far is sealed.
    #[inline(never)]
    fn buffer_for(&mut self, pool: &BufferPool, size: usize) -> Result<&mut Buffer, NoMemory> {
        let use_large = size > CORK_SIZE / 2;
        let place = if use_large {
            &mut self.large
        } else {
            &mut self.small
        };
        let fits = place.as_ref().is_some_and(|buffer| buffer.room() >= size);
        let fresh = if fits {
            None
        } else {
            let wanted = size.max(if use_large { LARGE_SIZE } else { CORK_SIZE });
            // A smaller one will do when memory is short.
            Some(
                pool.take(wanted)
                    .or_else(|| pool.take(size))
                    .ok_or(NoMemory)?,
            )
        };
        let fresh = fresh.map(|fresh| self.move_on(fresh, size));
        self.seal_open();
        self.open = if use_large { Open::Large } else { Open::Small };
        let place = if use_large {
            &mut self.large
        } else {
            &mut self.small
        };
        if fresh.is_some() {
            *place = fresh;
        }
        place.as_mut().ok_or(NoMemory)
    }

    /// Takes a little unsealed output along into a fresh buffer that has room for `size` bytes more:
    /// one piece of memory is a plain send.
    fn move_on(&mut self, mut fresh: Buffer, size: usize) -> Buffer {
        if self.open == Open::Small
            && let Some(old) = &mut self.small
            && old.len() <= MOVE_MAX
            && fresh.room() >= old.len() + size
            && fresh.extend_from_slice(old.as_slice()).is_ok()
        {
            old.clear();
        }
        fresh
    }

    /// A frame larger than any buffer: several full pieces, taken before anything is written.
    fn write_pieces(
        &mut self,
        pool: &BufferPool,
        head: &[u8],
        body: &[u8],
    ) -> Result<(), NoMemory> {
        let count = (head.len() + body.len()).div_ceil(PIECE_MAX);
        let mut buffers = Vec::with_capacity(count);
        for _ in 0..count {
            buffers.push(pool.take(PIECE_MAX).ok_or(NoMemory)?);
        }
        self.seal_open();
        let mut rest = [head, body]
            .into_iter()
            .flat_map(|part| part.chunks(PIECE_MAX));
        let mut part: &[u8] = &[];
        for mut buffer in buffers {
            while buffer.room() > 0 {
                if part.is_empty() {
                    let Some(next) = rest.next() else { break };
                    part = next;
                    continue;
                }
                let (now, later) = part.split_at(part.len().min(buffer.room()));
                buffer.extend_from_slice(now).map_err(|_| NoMemory)?;
                part = later;
            }
            self.pieces.push(buffer.seal());
        }
        self.size += head.len() + body.len();
        Ok(())
    }

    fn seal_open(&mut self) {
        let buffer = match self.open {
            Open::None => return,
            Open::Small => self.small.as_mut(),
            Open::Large => self.large.as_mut(),
        };
        if let Some(buffer) = buffer
            && !buffer.is_empty()
        {
            self.pieces.push(buffer.split_seal());
        }
        self.open = Open::None;
    }

    /// Takes what was gathered, when it is one piece.
    #[inline]
    pub(super) fn take_one(&mut self) -> Option<Segment> {
        if !self.pieces.is_empty() {
            let is_all = self.pieces.len() == 1 && self.open == Open::None;
            if !is_all {
                return None;
            }
            self.size = 0;
            return self.pieces.pop();
        }
        let buffer = match self.open {
            Open::None => return None,
            Open::Small => self.small.as_mut(),
            Open::Large => self.large.as_mut(),
        };
        self.open = Open::None;
        self.size = 0;
        buffer
            .filter(|buffer| !buffer.is_empty())
            .map(Buffer::split_seal)
    }

    /// Takes everything that was gathered, in order.
    pub(super) fn take_all(&mut self) -> std::vec::Drain<'_, Segment> {
        self.seal_open();
        self.size = 0;
        self.pieces.drain(..)
    }
}

#[cfg(test)]
mod tests {
    use hioload_mem::PoolConfig;
    use hioload_ws::{Kind, Outgoing, encode_header};

    use super::*;

    fn pool(budget: usize) -> BufferPool {
        BufferPool::new(PoolConfig::with_budget(budget)).expect("memory")
    }

    fn gathered(cork: &mut Cork) -> Vec<u8> {
        cork.take_all().flat_map(|piece| piece.to_vec()).collect()
    }

    #[test]
    fn close_frames_without_memory_are_a_bounded_number() {
        let pool = pool(1 << 20);
        let _spent: Vec<_> = std::iter::from_fn(|| pool.take(4096)).collect();
        let _rest: Vec<_> = std::iter::from_fn(|| pool.take(256)).collect();
        let mut cork = Cork::default();
        for round in 0..2 {
            for n in 0..100_u16 {
                let code = (4000 + n).to_be_bytes();
                cork.write_last(&pool, &[&[0x88, 5][..], &code, b"why"].concat());
                let sent = cork.pieces.pop().expect("one piece");
                let with_code = [&[0x88, 2][..], &code].concat();
                // The first place is that of the frame without a code.
                let expected = if n < 31 { &with_code[..] } else { CLOSE_EMPTY };
                assert_eq!(sent, *expected, "{round} {n}");
            }
        }
        assert_eq!(cork.closes.len(), CLOSES_MAX);
    }

    #[test]
    fn small_frames_leave_in_one_piece() {
        let pool = pool(1 << 20);
        let mut cork = Cork::default();
        for _ in 0..16 {
            cork.write(&pool, b"h", b"body").expect("budget");
        }
        assert_eq!(cork.len(), 80);
        let piece = cork.take_one().expect("one piece");
        assert_eq!(&piece[..10], b"hbodyhbody");
        assert!(cork.take_one().is_none() && cork.len() == 0);
    }

    #[test]
    fn a_little_output_never_lies_in_two_buffers() {
        let pool = pool(1 << 20);
        let mut cork = Cork::default();
        for round in 0..100u8 {
            for _ in 0..16 {
                cork.write(&pool, &[round; 2], &[round; 20])
                    .expect("budget");
            }
            let piece = cork.take_one().expect("one piece");
            assert_eq!(*piece, [round; 16 * 22]);
        }
    }

    #[test]
    fn order_holds_over_all_sizes() {
        let pool = pool(64 << 20);
        let mut cork = Cork::default();
        let mut expected = Vec::new();
        for (step, size) in [10, 3000, 70_000, 5, 2 << 20, 1, 4096, 0]
            .into_iter()
            .enumerate()
        {
            let body = vec![step as u8; size];
            cork.write(&pool, b"head", &body).expect("budget");
            expected.extend_from_slice(b"head");
            expected.extend_from_slice(&body);
        }
        assert_eq!(cork.len(), expected.len());
        assert!(cork.take_one().is_none(), "several pieces");
        assert!(gathered(&mut cork) == expected);
    }

    #[test]
    fn a_forwarded_frame_takes_its_place() {
        let pool = pool(1 << 20);
        let mut cork = Cork::default();
        let header = encode_header(Outgoing::message(Kind::Binary, 4));
        let mut bytes = *b"??keyybody, and more";
        let mut input = Input::Bytes(&mut bytes);
        cork.write(&pool, b"before", &[]).expect("budget");
        cork.forward(header, 4);
        cork.write(&pool, b"after", &[]).expect("budget");
        assert_eq!(cork.len(), 17);
        assert!(cork.take_forward(&mut input, 10) && !cork.take_forward(&mut input, 1));
        assert_eq!(input.rest(), b", and more");
        assert_eq!(gathered(&mut cork), b"before\x82\x04bodyafter");
    }

    #[test]
    fn a_refusal_writes_nothing() {
        let pool = pool(64 * 1024);
        let mut cork = Cork::default();
        cork.write(&pool, b"a", b"b").expect("budget");
        assert_eq!(cork.write(&pool, b"a", &[0; 100_000]), Err(NoMemory));
        assert_eq!(cork.write(&pool, b"a", &[0; 3 << 20]), Err(NoMemory));
        assert_eq!(gathered(&mut cork), b"ab");
    }
}
