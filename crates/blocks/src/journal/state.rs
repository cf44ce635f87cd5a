//! What the index knows of the journal: where it is, and how far it has been applied. A row of the index, so that it is
//! committed with what was applied.
//!
//! ```text
//!   0      4      5         8        16     20        24
//!   │ unit │class │ zeros   │ number │ next │ zeros   │
//! ```
//!
//! Must not know what is in the journal.

use crate::block::Block;
use crate::class::Class;
use crate::index::IndexError;

/// How far the index is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct State {
    /// Where the journal is in the data file.
    pub(super) place: Block,
    /// The last entry that is in the index.
    pub(super) number: u64,
    /// The unit of the journal behind it.
    pub(super) next: u32,
}

impl State {
    /// Bytes of the row's value.
    pub(super) const SIZE: usize = 24;

    pub(super) fn encode(&self) -> [u8; State::SIZE] {
        let mut bytes = [0; State::SIZE];
        bytes[..4].copy_from_slice(&self.place.unit().to_le_bytes());
        bytes[4] = self.place.class().index() as u8;
        bytes[8..16].copy_from_slice(&self.number.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.next.to_le_bytes());
        bytes
    }

    /// # Errors
    /// [`IndexError::Corrupt`]: it cannot be that.
    pub(super) fn decode(bytes: &[u8]) -> Result<State, IndexError> {
        let read = |bytes: &[u8; State::SIZE]| {
            let [u0, u1, u2, u3, class, _, _, _, n @ ..] = *bytes;
            let [n0, n1, n2, n3, n4, n5, n6, n7, x0, x1, x2, x3, ..] = n;
            let place = Block::new(u32::from_le_bytes([u0, u1, u2, u3]), Class::new(class)?)?;
            let state = State {
                place,
                number: u64::from_le_bytes([n0, n1, n2, n3, n4, n5, n6, n7]),
                next: u32::from_le_bytes([x0, x1, x2, x3]),
            };
            let is_legal = state.next < place.class().units() && state.encode() == *bytes;
            is_legal.then_some(state)
        };
        let state = bytes.try_into().ok().and_then(read);
        state.ok_or_else(|| {
            let found = format!("{bytes:02x?}");
            IndexError::corrupt("journal", "place", "a block and a unit in it", found)
        })
    }
}
