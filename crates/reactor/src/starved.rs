//! Receives that found no buffer, in the order in which they are armed again.
//!
//! ```text
//!   found none ─▶ line ─▶ armed ─┬─ got its share ─▶ found none ─▶ end of the line
//!                  ▲             └─ got little ────▶ found none ─┐
//!                  └──────────────── in front, as before ◀───────┘
//! ```
//!
//! Who is armed first takes what it wants, so that those behind it find little or nothing: they keep their places. So the
//! first in line gets its share in each round, and nobody waits for more rounds than there are others.

use std::collections::VecDeque;

use hioload_base::Key;

/// Whether a receive of `size` bytes brought a share: all there was, unless the end of its buffer cut it off, or a whole
/// buffer. The rest of one may be next to nothing.
pub(crate) fn is_share(size: usize, is_cut: bool, buffer_size: usize) -> bool {
    !is_cut || size >= buffer_size
}

/// Receives that wait for buffers.
#[derive(Debug, Default)]
pub(crate) struct Starved {
    line: VecDeque<Key>,
    /// Those that come before all in line, in their order.
    again: Vec<Key>,
}

impl Starved {
    /// It found no buffer; `is_owed`: it was armed from the line, and its share has not come.
    pub(crate) fn push(&mut self, key: Key, is_owed: bool) {
        if is_owed {
            self.again.push(key);
        } else {
            self.line.push_back(key);
        }
    }

    /// The next round. How many wait.
    pub(crate) fn begin_round(&mut self) -> usize {
        while let Some(key) = self.again.pop() {
            self.line.push_front(key);
        }
        self.line.len()
    }

    /// The next that is to be armed in this round; from then on it is owed its share.
    pub(crate) fn pop(&mut self) -> Option<Key> {
        self.line.pop_front()
    }

    /// Nobody waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.line.is_empty() && self.again.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use hioload_base::Slab;

    use super::*;

    #[test]
    fn who_got_little_keeps_its_place() {
        let mut slab = Slab::with_limit(8);
        let keys: Vec<Key> = (0..5).map(|n| slab.insert(n).expect("room")).collect();
        let mut starved = Starved::default();
        assert!(starved.is_empty());
        keys[..4].iter().for_each(|key| starved.push(*key, false));
        assert_eq!(starved.begin_round(), 4);
        let round = |starved: &mut Starved| -> Vec<u32> {
            let popped = (0..3).filter_map(|_| starved.pop());
            popped.map(Key::index).collect()
        };
        assert_eq!(round(&mut starved), [0, 1, 2]);
        starved.push(keys[4], false);
        starved.push(keys[0], false);
        starved.push(keys[1], true);
        starved.push(keys[2], true);
        assert_eq!(starved.begin_round(), 5);
        assert_eq!(round(&mut starved), [1, 2, 3]);
        assert_eq!(round(&mut starved), [4, 0]);
        assert!(starved.is_empty());
        starved.push(keys[0], true);
        assert!(!starved.is_empty());
    }

    #[test]
    fn the_rest_of_a_buffer_is_no_share_unless_it_is_all_there_was() {
        assert!(is_share(1, false, 1024));
        assert!(!is_share(1, true, 1024) && !is_share(1023, true, 1024));
        assert!(is_share(1024, true, 1024));
    }
}
