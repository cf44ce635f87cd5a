//! What the load writes into a payload so that a delivery proves itself: who, which, when.
//!
//! ```text
//!  0          8          16        20
//!  | sequence | time ns  | publisher | filler …
//! ```
//!
//! Every byte carries seven bits, so a stamped payload is UTF-8 and may go as text as well.

/// Bytes of a stamp, the least a broadcast payload can have.
pub(super) const STAMP_SIZE: usize = 20;

/// Largest publisher number: 28 bits.
pub(super) const PUBLISHER_MAX: u32 = (1 << 28) - 1;

const SEVEN_BITS: u64 = 0x7F7F_7F7F_7F7F_7F7F;

/// Who published, which publication it is, and when it was to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    /// Counted from 0 by the publisher; 56 bits.
    pub(super) sequence: u64,
    /// Intended send time, nanoseconds of the load's clock; 56 bits (two years).
    pub(super) time_ns: u64,
    /// Number of the publisher, 28 bits, drawn for each run.
    pub(super) publisher: u32,
}

impl Stamp {
    pub(super) fn encode(self) -> [u8; STAMP_SIZE] {
        let mut bytes = [0; STAMP_SIZE];
        bytes[..8].copy_from_slice(&spread(self.sequence).to_le_bytes());
        bytes[8..16].copy_from_slice(&spread(self.time_ns).to_le_bytes());
        let publisher = spread(u64::from(self.publisher)).to_le_bytes();
        bytes[16..].copy_from_slice(&publisher[..4]);
        bytes
    }

    pub(super) fn decode(bytes: &[u8; STAMP_SIZE]) -> Self {
        let word = |at: usize| {
            u64::from_le_bytes(bytes[at..at + 8].try_into().expect("invariant: 8 bytes"))
        };
        Self {
            sequence: gather(word(0)),
            time_ns: gather(word(8)),
            publisher: (gather(word(12)) >> 28) as u32,
        }
    }
}

/// The low 56 bits over eight bytes, seven each.
fn spread(value: u64) -> u64 {
    let value = value & ((1 << 56) - 1);
    let value = (value & 0x0000_0000_0FFF_FFFF) | (value & 0x00FF_FFFF_F000_0000) << 4;
    let value = (value & 0x0000_3FFF_0000_3FFF) | (value & 0x0FFF_C000_0FFF_C000) << 2;
    (value & 0x007F_007F_007F_007F) | (value & 0x3F80_3F80_3F80_3F80) << 1
}

/// The inverse of [`spread`]; the high bit of each byte is ignored.
fn gather(value: u64) -> u64 {
    let value = value & SEVEN_BITS;
    let value = (value & 0x007F_007F_007F_007F) | (value & 0x7F00_7F00_7F00_7F00) >> 1;
    let value = (value & 0x0000_3FFF_0000_3FFF) | (value & 0x3FFF_0000_3FFF_0000) >> 2;
    (value & 0x0000_0000_0FFF_FFFF) | (value & 0x0FFF_FFFF_0000_0000) >> 4
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_comes_back_as_it_was() {
        for sequence in [0, 1, 127, 128, 0x00AB_CDEF_0123_4567, (1 << 56) - 1] {
            for publisher in [0, 1, 0x0ABC_DEF1, PUBLISHER_MAX] {
                let stamp = Stamp {
                    sequence,
                    time_ns: sequence.rotate_left(9) >> 8,
                    publisher,
                };
                let bytes = stamp.encode();
                assert!(bytes.is_ascii());
                assert_eq!(Stamp::decode(&bytes), stamp);
            }
        }
    }

    #[test]
    fn every_bit_has_its_own_place() {
        for bit in 0..56 {
            assert_eq!(spread(1 << bit).count_ones(), 1);
            assert_eq!(gather(spread(1 << bit)), 1 << bit);
        }
        assert_eq!(spread(u64::MAX), SEVEN_BITS);
    }
}
