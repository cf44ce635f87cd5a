//! From bytes to a name: bodies are hashed, and a body that is whole gets its name.
//!
//! ```text
//!   what came ─▶ hashed        the end ─▶ named ─▶ as expected? ─▶ stored already? confirmed, or written
//! ```
//!
//! Must not know in which company a body is hashed: see [`hashing`](super::super::hashing).

use hioload_base::Key;

use super::Puts;
use crate::fault::PutError;
use crate::hash::Hasher;
use crate::index::IndexReader;
use crate::local::body::Body;
use crate::local::desk::Desk;
use crate::local::put::{Hold, Put, Stage};

impl Puts {
    pub(in crate::local) fn hasher(&self, key: Key) -> Option<&Hasher> {
        let put = self.slots.get(key)?;
        let comes = matches!(put.stage, Stage::Body | Stage::Hashing);
        put.body.as_ref().filter(|_| comes).map(Body::hasher)
    }

    pub(in crate::local) fn bytes(&self, key: Key, at: u64) -> &[u8] {
        self.slots.get(key).map_or(&[], |put| put.bytes(at))
    }

    /// So far the body is hashed: all that came, or a part.
    pub(in crate::local) fn hashed(
        &mut self,
        desk: &mut Desk,
        reader: &mut dyn IndexReader,
        key: Key,
        hasher: Hasher,
        is_all: bool,
    ) {
        let Some(put) = self.slots.get_mut(key) else {
            return;
        };
        put.is_in_line = !is_all;
        if let Some(body) = &mut put.body {
            body.set_hasher(hasher);
        }
        if put.stage == Stage::Hashing && is_all {
            self.name(desk, reader, key);
        } else {
            self.settle(desk, key);
            self.advance(desk, key);
            self.wake(desk, key);
        }
    }

    pub(in crate::local) fn may_wait(&self, key: Key) -> bool {
        self.slots.get(key).is_none_or(Put::may_wait)
    }

    /// The body is whole and hashed.
    fn name(&mut self, desk: &mut Desk, reader: &mut dyn IndexReader, key: Key) {
        let Some(put) = self.slots.get_mut(key) else {
            return;
        };
        let body = put
            .body
            .take()
            .expect("invariant: a body that comes has its hasher");
        let (hash, sums) = body.finish();
        put.named = Some((hash, sums));
        put.stage = Stage::Flushing;
        if put.expected.is_some_and(|expected| expected != hash) {
            return self.fail(desk, key, PutError::Mismatch { found: hash });
        }
        let is_present = match put.hold {
            Hold::Gather {
                is_present: true, ..
            } => true,
            // Nobody looked yet: its name was not known, and nothing is written so far.
            _ => put.expected.is_none() && !put.is_written_first() && self.is_stored(reader, &hash),
        };
        if is_present {
            self.confirm(desk, key, hash);
        } else {
            self.settle(desk, key);
            self.advance(desk, key);
        }
    }
}
