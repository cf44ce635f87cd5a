//! Writing: a shared cork that the session at hand writes into, sealed once per batch of input.
//!
//! ```text
//!   send ─▶ cork (one buffer per worker) ──seal──▶ Segment ─▶ outbox or straight to the driver
//! ```
//!
//! All replies to one batch of input lie in one piece of memory and leave in one send. Segments of
//! many connections share a small buffer, so an idle connection owns none.

use hioload_mem::{Buffer, BufferPool, Segment};

/// Bytes of a cork buffer: small, so that a connection which does not take its output pins little.
const CORK_SIZE: usize = 4096;
/// For output above a cork: several large frames share one buffer.
const LARGE_SIZE: usize = 64 * 1024;
/// The largest buffer of the pool.
const PIECE_MAX: usize = 1024 * 1024;

/// The worker has no memory for output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoMemory;

/// Gathers the output of the session at hand.
#[derive(Default)]
pub(super) struct Cork {
    small: Option<Buffer>,
    large: Option<Buffer>,
    /// Pieces of this session's output that are complete, in order.
    pieces: Vec<Segment>,
    /// Which buffer has unsealed bytes of this session.
    open: Open,
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
    pub(super) fn len(&self) -> usize {
        let open = match self.open {
            Open::None => 0,
            Open::Small => self.small.as_ref().map_or(0, Buffer::len),
            Open::Large => self.large.as_ref().map_or(0, Buffer::len),
        };
        open + self.pieces.iter().map(|piece| piece.len()).sum::<usize>()
    }

    /// Appends a frame given as head and body. All of it or nothing.
    #[inline]
    pub(super) fn write(&mut self, pool: &BufferPool, head: &[u8], body: &[u8]) -> Result<(), NoMemory> {
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
        let spare = buffer.spare_mut();
        spare[..head.len()].copy_from_slice(head);
        spare[head.len()..size].copy_from_slice(body);
        buffer.advance(size);
        Ok(())
    }

    /// Opens a buffer with room for `size` bytes; what the session has so far is sealed.
    #[inline(never)]
    fn buffer_for(&mut self, pool: &BufferPool, size: usize) -> Result<&mut Buffer, NoMemory> {
        let use_large = size > CORK_SIZE / 2;
        let place = if use_large { &mut self.large } else { &mut self.small };
        let fits = place.as_ref().is_some_and(|buffer| buffer.room() >= size);
        let fresh = if fits {
            None
        } else {
            let wanted = size.max(if use_large { LARGE_SIZE } else { CORK_SIZE });
            // A smaller one will do when memory is short.
            Some(pool.take(wanted).or_else(|| pool.take(size)).ok_or(NoMemory)?)
        };
        self.seal_open();
        self.open = if use_large { Open::Large } else { Open::Small };
        let place = if use_large { &mut self.large } else { &mut self.small };
        if fresh.is_some() {
            *place = fresh;
        }
        place.as_mut().ok_or(NoMemory)
    }

    /// A frame larger than any buffer: several full pieces, taken before anything is written.
    fn write_pieces(&mut self, pool: &BufferPool, head: &[u8], body: &[u8]) -> Result<(), NoMemory> {
        let count = (head.len() + body.len()).div_ceil(PIECE_MAX);
        let mut buffers = Vec::with_capacity(count);
        for _ in 0..count {
            buffers.push(pool.take(PIECE_MAX).ok_or(NoMemory)?);
        }
        self.seal_open();
        let mut rest = [head, body].into_iter().flat_map(|part| part.chunks(PIECE_MAX));
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
            return None;
        }
        let buffer = match self.open {
            Open::None => return None,
            Open::Small => self.small.as_mut(),
            Open::Large => self.large.as_mut(),
        };
        self.open = Open::None;
        buffer.filter(|buffer| !buffer.is_empty()).map(Buffer::split_seal)
    }

    /// Takes everything that was gathered, in order.
    pub(super) fn take_all(&mut self) -> std::vec::Drain<'_, Segment> {
        self.seal_open();
        self.pieces.drain(..)
    }
}

#[cfg(test)]
mod tests {
    use hioload_mem::PoolConfig;

    use super::*;

    fn pool(budget: usize) -> BufferPool {
        BufferPool::new(PoolConfig::with_budget(budget)).expect("memory")
    }

    fn gathered(cork: &mut Cork) -> Vec<u8> {
        cork.take_all().flat_map(|piece| piece.to_vec()).collect()
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
    fn order_holds_over_all_sizes() {
        let pool = pool(64 << 20);
        let mut cork = Cork::default();
        let mut expected = Vec::new();
        for (step, size) in [10, 3000, 70_000, 5, 2 << 20, 1, 4096, 0].into_iter().enumerate() {
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
    fn a_refusal_writes_nothing() {
        let pool = pool(64 * 1024);
        let mut cork = Cork::default();
        cork.write(&pool, b"a", b"b").expect("budget");
        assert_eq!(cork.write(&pool, b"a", &[0; 100_000]), Err(NoMemory));
        assert_eq!(cork.write(&pool, b"a", &[0; 3 << 20]), Err(NoMemory));
        assert_eq!(gathered(&mut cork), b"ab");
    }
}
