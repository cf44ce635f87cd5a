//! Sizes of what is sent: one, or any of a range.

use std::fmt;
use std::str::FromStr;

use hioload_base::{ByteSize, Prng};

/// `--size`: a size, or `LEAST..MOST` of which each doubling is as likely as any other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sizes {
    pub(super) min: usize,
    pub(super) max: usize,
}

impl Sizes {
    pub(super) const fn one(size: usize) -> Self {
        Self {
            min: size,
            max: size,
        }
    }

    pub(super) fn is_range(self) -> bool {
        self.min != self.max
    }

    /// The next one.
    pub(super) fn draw(self, random: &mut Prng) -> usize {
        if !self.is_range() {
            return self.max;
        }
        // 53 bits: what the fraction of a float has.
        let part = (random.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
        let ratio = (self.max + 1) as f64 / self.min as f64;
        let size = self.min as f64 * ratio.powf(part);
        (size as usize).clamp(self.min, self.max)
    }
}

impl fmt::Display for Sizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_range() {
            write!(f, "{}..{}", self.min, self.max)
        } else {
            self.max.fmt(f)
        }
    }
}

impl FromStr for Sizes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let size = |text: &str| {
            let size: ByteSize = text
                .parse()
                .map_err(|error| format!("{error}; write 4096, 4KiB or 1KiB..512KiB"))?;
            usize::try_from(size.bytes()).map_err(|_| "there is no room for that".to_owned())
        };
        let sizes = match text.split_once("..") {
            None => Self::one(size(text)?),
            Some((min, max)) => Self {
                min: size(min)?,
                max: size(max)?,
            },
        };
        if sizes.min > sizes.max || (sizes.is_range() && sizes.min == 0) {
            return Err("a range goes from 1 or more to something larger".to_owned());
        }
        Ok(sizes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_as_people_write_them() {
        assert_eq!("64".parse(), Ok(Sizes::one(64)));
        assert_eq!("4KiB".parse(), Ok(Sizes::one(4096)));
        let range = Sizes {
            min: 1024,
            max: 1 << 19,
        };
        assert_eq!("1KiB..512KiB".parse(), Ok(range));
        assert_eq!(range.to_string().parse(), Ok(range));
        for wrong in ["", "x", "..", "2..1", "0..1", "1..", "1...2"] {
            assert!(wrong.parse::<Sizes>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn each_doubling_is_as_likely_as_any_other() {
        let sizes = Sizes {
            min: 1024,
            max: 1 << 19,
        };
        let mut random = Prng::new(1);
        let mut by_doubling = [0; 20];
        for _ in 0..90_000 {
            let size = sizes.draw(&mut random);
            assert!((sizes.min..=sizes.max).contains(&size));
            by_doubling[size.ilog2() as usize] += 1;
        }
        for (doubling, count) in by_doubling.iter().enumerate().take(19).skip(10) {
            assert!((9_500..10_500).contains(count), "2^{doubling}: {count}");
        }
        assert!((0..1000).all(|_| Sizes::one(7).draw(&mut random) == 7));
        let few = Sizes { min: 1, max: 2 };
        assert!((0..100).any(|_| few.draw(&mut random) == 2));
    }
}
