//! `user_data`: which operation a completion belongs to.
//!
//! ```text
//!   63      56 55            32 31             0
//!   ┌─────────┬────────────────┬────────────────┐
//!   │ kind    │ generation (24)│ slot           │
//!   └─────────┴────────────────┴────────────────┘
//! ```
//! A completion whose generation is not the slot's is counted and dropped, never trusted. 24 bits
//! come round after 16.7 million reuses of one slot: more than can be in flight.

use hioload_base::Key;

/// What completed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    Accept = 1,
    Connect = 2,
    Recv = 3,
    Send = 4,
    /// Cancel: nobody waits for it.
    Quiet = 5,
    Close = 6,
    HandOver = 7,
    /// A read of the wake descriptor.
    WakeRead = 8,
    /// Another ring's wake message.
    WakeMessage = 9,
    /// A socket that another ring handed over.
    Arrived = 10,
    /// A zero-copy send: result, then notification.
    ZeroCopy = 11,
    /// Close of a direct descriptor that got no slot.
    CloseStray = 12,
    /// A half-close.
    Shutdown = 13,
    /// A read of a file.
    FileRead = 14,
    /// A write to a file.
    FileWrite = 15,
    /// An ordinary descriptor for a direct one.
    Install = 16,
    /// A wake message that this ring sends.
    Wake = 17,
}

const GENERATION: u64 = (1 << 24) - 1;

/// Packs a tag.
pub(super) fn tag(kind: Kind, key: Key) -> u64 {
    (kind as u64) << 56 | (u64::from(key.generation()) & GENERATION) << 32 | u64::from(key.index())
}

/// A tag without a slot; `value` comes back as the index.
pub(super) fn plain(kind: Kind, value: u32) -> u64 {
    (kind as u64) << 56 | u64::from(value)
}

/// Unpacked: kind, slot, low bits of the generation.
pub(super) fn untag(user_data: u64) -> Option<(Kind, u32, u32)> {
    let kind = match user_data >> 56 {
        1 => Kind::Accept,
        2 => Kind::Connect,
        3 => Kind::Recv,
        4 => Kind::Send,
        5 => Kind::Quiet,
        6 => Kind::Close,
        7 => Kind::HandOver,
        8 => Kind::WakeRead,
        9 => Kind::WakeMessage,
        10 => Kind::Arrived,
        11 => Kind::ZeroCopy,
        12 => Kind::CloseStray,
        13 => Kind::Shutdown,
        14 => Kind::FileRead,
        15 => Kind::FileWrite,
        16 => Kind::Install,
        17 => Kind::Wake,
        _ => return None,
    };
    let generation = (user_data >> 32 & GENERATION) as u32;
    Some((kind, user_data as u32, generation))
}

/// The generation matches as far as a tag can tell.
pub(super) fn matches(key: Key, generation: u32) -> bool {
    u64::from(key.generation()) & GENERATION == u64::from(generation)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_comes_back_as_it_was() {
        let key = Key::from_bits(0x00ab_cdef_0000_0007);
        let (kind, index, generation) = untag(tag(Kind::Send, key)).expect("known kind");
        assert_eq!((kind, index), (Kind::Send, key.index()));
        assert!(matches(key, generation));
        assert!(untag(0).is_none() && untag(u64::MAX).is_none());
    }
}
