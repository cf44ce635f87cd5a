//! Reproducible pseudo-random numbers: xoshiro256++ seeded through SplitMix64.
//!
//! Must not know where the seed comes from. Same seed, same numbers, on every machine and in every
//! release: simulation traces depend on it. Not for secrets.
//!
//! Source: Blackman and Vigna, "Scrambled linear pseudorandom number generators",
//! <https://prng.di.unimi.it/>.

/// A stream of pseudo-random numbers, determined by its seed.
///
/// ```
/// use hioload_base::Prng;
///
/// let mut a = Prng::new(42);
/// let mut b = Prng::new(42);
/// assert_eq!(a.next_u64(), b.next_u64());
/// assert!(a.below(6) < 6);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prng {
    state: [u64; 4],
}

impl Prng {
    /// The stream of this seed. Every seed is as good as any other, zero included.
    pub fn new(seed: u64) -> Prng {
        // SplitMix64 never gives four zeros in a row, the one state xoshiro cannot leave.
        let mut mix = seed;
        Prng {
            state: std::array::from_fn(|_| split_mix(&mut mix)),
        }
    }

    /// The next 64 bits.
    #[inline]
    pub fn next_u64(&mut self) -> u64 {
        let s = &mut self.state;
        let result = s[0].wrapping_add(s[3]).rotate_left(23).wrapping_add(s[0]);
        let t = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= t;
        s[3] = s[3].rotate_left(45);
        result
    }

    /// The next 32 bits, for mask keys.
    #[inline]
    pub fn next_u32(&mut self) -> u32 {
        (self.next_u64() >> 32) as u32
    }

    /// A number below `n`, each equally likely.
    ///
    /// # Panics
    /// When `n` is zero: there is no such number.
    #[inline]
    pub fn below(&mut self, n: u64) -> u64 {
        assert!(n > 0, "there is no number below zero");
        // Lemire, "Fast random integer generation in an interval": the low half of the product
        // tells the few draws that would favour small results.
        let unfair = n.wrapping_neg() % n;
        loop {
            let product = u128::from(self.next_u64()) * u128::from(n);
            if product as u64 >= unfair {
                return (product >> 64) as u64;
            }
        }
    }

    /// True in `numerator` of `denominator` cases: never for 0 of n, always for n of n.
    ///
    /// # Panics
    /// When `denominator` is zero.
    #[inline]
    pub fn chance(&mut self, numerator: u64, denominator: u64) -> bool {
        self.below(denominator) < numerator
    }

    /// Fills `bytes`.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let word = self.next_u64().to_le_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
    }

    /// A stream of its own, determined by this one: what the fork draws does not shift what the
    /// parent draws afterwards.
    #[must_use]
    pub fn fork(&mut self) -> Prng {
        Prng::new(self.next_u64())
    }
}

fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = *state;
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_the_reference_numbers() {
        // Output of the authors' C implementation for the state 1, 2, 3, 4.
        let mut prng = Prng {
            state: [1, 2, 3, 4],
        };
        let expected = [
            41_943_041,
            58_720_359,
            3_588_806_011_781_223,
            3_591_011_842_654_386,
            9_228_616_714_210_784_205,
            9_973_669_472_204_895_162,
        ];
        assert_eq!(expected.map(|_| prng.next_u64()), expected);
    }

    #[test]
    fn seeding_gives_the_reference_numbers() {
        // SplitMix64 of seed 1234567, from the authors' C implementation.
        let mut state = 1_234_567;
        assert_eq!(split_mix(&mut state), 6_457_827_717_110_365_317);
        assert_eq!(split_mix(&mut state), 3_203_168_211_198_807_973);
    }

    #[test]
    fn below_stays_below_and_reaches_everything() {
        let mut prng = Prng::new(1);
        for n in [1, 2, 3, 7, u64::MAX] {
            assert!((0..100).all(|_| prng.below(n) < n));
        }
        let mut seen = [0u32; 6];
        for _ in 0..6000 {
            seen[prng.below(6) as usize] += 1;
        }
        assert!(
            seen.iter().all(|count| (850..1150).contains(count)),
            "{seen:?}"
        );
    }

    #[test]
    #[should_panic(expected = "no number below zero")]
    fn below_zero_is_refused() {
        Prng::new(1).below(0);
    }

    #[test]
    fn chance_is_exact_at_its_ends() {
        let mut prng = Prng::new(2);
        assert!((0..1000).all(|_| !prng.chance(0, 3)));
        assert!((0..1000).all(|_| prng.chance(3, 3)));
        let hits = (0..3000).filter(|_| prng.chance(1, 3)).count();
        assert!((900..1100).contains(&hits), "{hits}");
    }

    #[test]
    fn fill_reaches_every_byte_of_every_length() {
        for len in 0..33 {
            let mut sum = vec![0u8; len];
            let mut prng = Prng::new(3);
            for _ in 0..8 {
                let mut bytes = vec![0u8; len];
                prng.fill(&mut bytes);
                sum.iter_mut().zip(&bytes).for_each(|(s, b)| *s |= b);
            }
            assert!(sum.iter().all(|&byte| byte != 0), "length {len}");
        }
    }

    #[test]
    fn a_fork_is_reproducible_and_does_not_shift_its_parent() {
        let (mut a, mut b) = (Prng::new(4), Prng::new(4));
        let (mut fork_a, mut fork_b) = (a.fork(), b.fork());
        assert_ne!(fork_a, a);
        for _ in 0..10 {
            assert_eq!(fork_a.next_u64(), fork_b.next_u64());
        }
        fork_a.next_u64();
        assert_eq!(a.next_u64(), b.next_u64());
    }
}
