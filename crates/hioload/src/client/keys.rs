//! Mask keys that nobody can foresee (RFC 6455 5.3, 10.3).

use std::fmt;

/// Bytes drawn at a time: 64 keys for one call of the system.
const BATCH_SIZE: usize = 256;

/// Where randomness comes from.
pub type Entropy = Box<dyn FnMut(&mut [u8]) -> Result<(), getrandom::Error> + Send>;

/// A supply of mask keys.
pub(super) struct Keys {
    entropy: Entropy,
    bytes: [u8; BATCH_SIZE],
    used: usize,
}

impl Keys {
    pub(super) fn new(entropy: Entropy) -> Self {
        Self {
            entropy,
            bytes: [0; BATCH_SIZE],
            used: BATCH_SIZE,
        }
    }

    /// The system's own.
    pub(super) fn system() -> Entropy {
        Box::new(getrandom::fill)
    }

    /// The next `N` bytes, each used once.
    pub(super) fn take<const N: usize>(&mut self) -> Result<[u8; N], getrandom::Error> {
        const { assert!(N <= BATCH_SIZE) }
        if self.used + N > BATCH_SIZE {
            (self.entropy)(&mut self.bytes)?;
            self.used = 0;
        }
        let start = self.used;
        self.used += N;
        Ok(self.bytes[start..self.used]
            .try_into()
            .expect("invariant: N bytes"))
    }
}

impl fmt::Debug for Keys {
    /// Without the keys to come.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_byte_is_used_twice() {
        let mut count = 0;
        let mut keys = Keys::new(Box::new(move |bytes| {
            count += 1;
            bytes.fill(count);
            Ok(())
        }));
        assert_eq!(keys.take::<16>(), Ok([1; 16]));
        for _ in 0..(BATCH_SIZE - 16) / 4 {
            assert_eq!(keys.take::<4>(), Ok([1; 4]));
        }
        assert_eq!(keys.take::<4>(), Ok([2; 4]));
        assert_eq!(
            keys.take::<BATCH_SIZE>(),
            Ok([3; BATCH_SIZE]),
            "what does not fit is skipped"
        );
    }

    #[test]
    fn the_system_gives_different_keys() {
        let mut keys = Keys::new(Keys::system());
        assert_ne!(keys.take::<16>(), keys.take::<16>());
    }
}
