//! Frames built before they are needed: masked, with a key of the connection's own.
//!
//! A key of zero would spare the server its work and the figures their meaning; none is ever used.

use hioload_base::Prng;
use hioload_mem::{Buffer, Segment};
use hioload_ws::{Kind, Outgoing, encode_header, header_size, mask};

use super::stamp::{STAMP_SIZE, Stamp};

/// A mask key that changes every byte: none of its four is zero.
pub(super) fn mask_key(random: &mut Prng) -> [u8; 4] {
    std::array::from_fn(|_| random.below(255) as u8 + 1)
}

/// Filler of a payload: printable, and different from place to place.
pub(super) fn filler(size: usize, salt: usize) -> Vec<u8> {
    (0..size)
        .map(|n| b' ' + ((n * 31 + n / 95 + salt * 7) % 95) as u8)
        .collect()
}

/// One masked message in one frame.
fn frame(kind: Kind, payload: &[u8], key: [u8; 4]) -> Vec<u8> {
    let outgoing = Outgoing {
        mask: Some(key),
        ..Outgoing::message(kind, payload.len())
    };
    let mut frame = encode_header(outgoing).to_vec();
    let start = frame.len();
    frame.extend_from_slice(payload);
    mask(&mut frame[start..], key, 0);
    frame
}

/// The same frame `count` times in a row, so that any number up to that leaves in one send.
pub(super) fn run(kind: Kind, payload: &[u8], key: [u8; 4], count: usize) -> Segment {
    Segment::from_vec(frame(kind, payload, key).repeat(count))
}

/// Makes publications: a frame whose stamp is set each time, the rest masked once for all.
pub(super) struct Publications {
    template: Vec<u8>,
    stamp_offset: usize,
    key: [u8; 4],
    filler: Vec<u8>,
}

impl Publications {
    /// Publications of `size` bytes, at least [`STAMP_SIZE`].
    pub(super) fn new(kind: Kind, size: usize, key: [u8; 4]) -> Self {
        let filler = filler(size, 0);
        Self {
            template: frame(kind, &filler, key),
            stamp_offset: header_size(size, true),
            key,
            filler: filler[STAMP_SIZE..].to_vec(),
        }
    }

    /// Bytes of one frame.
    pub(super) fn frame_size(&self) -> usize {
        self.template.len()
    }

    /// What follows the stamp in every payload.
    pub(super) fn filler(&self) -> &[u8] {
        &self.filler
    }

    /// Writes the next frame; false when the buffer has no room for it.
    pub(super) fn write(&self, buffer: &mut Buffer, stamp: Stamp) -> bool {
        let Some(frame) = buffer.spare_mut().get_mut(..self.template.len()) else {
            return false;
        };
        frame.copy_from_slice(&self.template);
        let mut stamp = stamp.encode();
        mask(&mut stamp, self.key, 0);
        frame[self.stamp_offset..][..STAMP_SIZE].copy_from_slice(&stamp);
        buffer.advance(self.template.len());
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hioload_mem::{BufferPool, PoolConfig};
    use hioload_ws::{Event, Limits, Role, Session};

    fn payloads(bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut bytes = bytes.to_vec();
        let mut session = Session::new(Role::Server, false);
        let mut input = &mut bytes[..];
        let mut payloads = Vec::new();
        while let Some(event) = session
            .handle_input(&Limits::default(), &mut input)
            .expect("legal")
        {
            let Event::Data {
                payload,
                first: true,
                last: true,
                ..
            } = event
            else {
                panic!("a message in one frame");
            };
            payloads.push(payload.to_vec());
        }
        payloads
    }

    #[test]
    fn keys_leave_no_byte_as_it_was() {
        let mut random = Prng::new(3);
        for _ in 0..10_000 {
            assert!(!mask_key(&mut random).contains(&0));
        }
    }

    #[test]
    fn a_run_is_the_same_message_again_and_again() {
        for size in [0, 1, 125, 126, 70_000] {
            let payload = filler(size, 9);
            let run = run(Kind::Text, &payload, [1, 2, 3, 4], 3);
            assert_eq!(payloads(&run), vec![payload; 3]);
        }
    }

    #[test]
    fn publications_carry_their_stamp_and_the_filler() {
        let pool = BufferPool::new(PoolConfig::with_budget(1 << 20)).expect("a pool");
        let mut buffer = pool.take(1024).expect("a buffer");
        let publications = Publications::new(Kind::Binary, 64, [9, 8, 7, 6]);
        let stamp = |sequence| Stamp {
            sequence,
            time_ns: 1 << 40,
            publisher: 77,
        };
        let mut count = 0;
        while publications.write(&mut buffer, stamp(count)) {
            count += 1;
        }
        assert_eq!(count, 1024 / publications.frame_size() as u64);
        for (sequence, payload) in payloads(&buffer.seal()).into_iter().enumerate() {
            let (head, rest) = payload.split_first_chunk().expect("20 bytes");
            assert_eq!(Stamp::decode(head), stamp(sequence as u64));
            assert_eq!(rest, publications.filler());
        }
    }
}
