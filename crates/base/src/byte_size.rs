//! Sizes in bytes, as people write and read them.
//!
//! Must not know which setting it is: errors say what was wrong with the text, the caller adds the key.
//!
//! Grammar: decimal digits, optional blanks, one of `B`, `KiB`, `MiB`, `GiB`, `TiB` (powers of 1024,
//! IEC 80000-13; any case) or nothing (bytes). Decimal units (`kB`, `MB`) are refused rather than
//! guessed at.

use std::error::Error;
use std::fmt;
use std::str::FromStr;

const UNITS: [(&str, u64); 5] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
];

/// A number of bytes.
///
/// ```
/// use hioload_base::ByteSize;
///
/// let size: ByteSize = "64KiB".parse()?;
/// assert_eq!(size.bytes(), 65536);
/// assert_eq!(size.to_string(), "64KiB");
/// assert_eq!("4096".parse::<ByteSize>()?.to_string(), "4KiB");
/// assert_eq!(ByteSize::new(1500).to_string(), "1500B");
/// # Ok::<(), hioload_base::ByteSizeError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ByteSize(u64);

impl ByteSize {
    /// `bytes` bytes.
    pub const fn new(bytes: u64) -> ByteSize {
        ByteSize(bytes)
    }

    /// `count` times 1024 bytes, saturating.
    pub const fn kib(count: u64) -> ByteSize {
        ByteSize(count.saturating_mul(1 << 10))
    }

    /// `count` times 1024² bytes, saturating.
    pub const fn mib(count: u64) -> ByteSize {
        ByteSize(count.saturating_mul(1 << 20))
    }

    /// The number of bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }

    /// The number of bytes for the address space of this machine, saturating on 32-bit ones.
    pub fn bytes_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl fmt::Display for ByteSize {
    /// The largest unit that divides the size, so that the text parses back to the same value.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = |&&(_, scale): &&(&str, u64)| self.0 != 0 && self.0.is_multiple_of(scale);
        let (unit, scale) = UNITS.iter().find(whole).unwrap_or(&UNITS[4]);
        write!(f, "{}{unit}", self.0 / scale)
    }
}

impl fmt::Debug for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a text is no [`ByteSize`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByteSizeError {
    /// It does not start with a digit.
    NoNumber,
    /// What follows the number is no unit of ours.
    UnknownUnit,
    /// More than 2⁶⁴ − 1 bytes.
    TooLarge,
}

impl fmt::Display for ByteSizeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ByteSizeError::NoNumber => "a size starts with a whole number, as in 64KiB or 4096",
            ByteSizeError::UnknownUnit => "the unit is one of B, KiB, MiB, GiB, TiB, or left out",
            ByteSizeError::TooLarge => "the size does not fit 64 bits",
        })
    }
}

impl Error for ByteSizeError {}

impl FromStr for ByteSize {
    type Err = ByteSizeError;

    fn from_str(text: &str) -> Result<ByteSize, ByteSizeError> {
        let text = text.trim();
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        if number.is_empty() {
            return Err(ByteSizeError::NoNumber);
        }
        let unit = unit.trim_start();
        let scale = match UNITS
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(unit))
        {
            Some((_, scale)) => *scale,
            None if unit.is_empty() => 1,
            None => return Err(ByteSizeError::UnknownUnit),
        };
        // Only overflow is left to go wrong: the text is digits.
        let number: u64 = number.parse().map_err(|_| ByteSizeError::TooLarge)?;
        number
            .checked_mul(scale)
            .map(ByteSize)
            .ok_or(ByteSizeError::TooLarge)
    }
}

#[cfg(feature = "serde")]
mod serde_support {
    use super::ByteSize;
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
    use std::fmt;

    impl Serialize for ByteSize {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_str(self)
        }
    }

    struct Visitor;

    impl de::Visitor<'_> for Visitor {
        type Value = ByteSize;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a size such as 64KiB, or a number of bytes")
        }

        fn visit_u64<E: de::Error>(self, bytes: u64) -> Result<ByteSize, E> {
            Ok(ByteSize::new(bytes))
        }

        fn visit_i64<E: de::Error>(self, bytes: i64) -> Result<ByteSize, E> {
            let bytes = u64::try_from(bytes).map_err(|_| E::custom("a size is not negative"))?;
            Ok(ByteSize::new(bytes))
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<ByteSize, E> {
            text.parse().map_err(E::custom)
        }
    }

    impl<'de> Deserialize<'de> for ByteSize {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<ByteSize, D::Error> {
            deserializer.deserialize_any(Visitor)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_what_people_write() {
        for (text, bytes) in [
            ("0", 0),
            ("1", 1),
            ("4096", 4096),
            ("1B", 1),
            ("64KiB", 65_536),
            ("64 kib", 65_536),
            (" 1MIB ", 1 << 20),
            ("3GiB", 3 << 30),
            ("16777215TiB", 16_777_215 << 40),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(text.parse(), Ok(ByteSize::new(bytes)), "{text}");
        }
    }

    #[test]
    fn refuses_the_rest_and_says_why() {
        for (text, why) in [
            ("", ByteSizeError::NoNumber),
            ("KiB", ByteSizeError::NoNumber),
            ("-1", ByteSizeError::NoNumber),
            ("1.5MiB", ByteSizeError::UnknownUnit),
            ("1MB", ByteSizeError::UnknownUnit),
            ("1KiBs", ByteSizeError::UnknownUnit),
            ("16777216TiB", ByteSizeError::TooLarge),
            ("18446744073709551616", ByteSizeError::TooLarge),
        ] {
            assert_eq!(text.parse::<ByteSize>(), Err(why), "{text}");
        }
    }

    #[test]
    fn what_it_shows_parses_back() {
        for bytes in [
            0,
            1,
            1023,
            1024,
            1025,
            1 << 20,
            (1 << 20) + 1024,
            1 << 40,
            u64::MAX,
        ] {
            let size = ByteSize::new(bytes);
            assert_eq!(size.to_string().parse(), Ok(size));
        }
        assert_eq!(ByteSize::new(0).to_string(), "0B");
        assert_eq!(ByteSize::mib(3).to_string(), "3MiB");
        assert_eq!(ByteSize::kib(u64::MAX).bytes(), u64::MAX);
    }
}
