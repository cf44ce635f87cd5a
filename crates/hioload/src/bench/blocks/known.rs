//! The blocks that are there: what GETs choose from.

use hioload_base::Prng;

/// A hash in hexadecimal digits, as requests and answers have it.
pub(super) type Name = [u8; 64];

/// A block that the server has.
#[derive(Clone, Copy)]
pub(super) struct Known {
    hash: [u8; 32],
    /// Which of the contents it is.
    pub(super) number: u64,
    pub(super) length: u32,
}

impl Known {
    /// `None`: that is not the name of a block.
    pub(super) fn new(name: &[u8], number: u64, length: u32) -> Option<Self> {
        let mut hash = [0; 32];
        if name.len() != 2 * hash.len() {
            return None;
        }
        for (byte, digits) in hash.iter_mut().zip(name.chunks_exact(2)) {
            *byte = digit(digits[0])? << 4 | digit(digits[1])?;
        }
        Some(Self {
            hash,
            number,
            length,
        })
    }

    /// A block on a server that does not know hashes: its number is its name.
    pub(super) fn numbered(number: u64, length: u32) -> Self {
        let mut hash = [0; 32];
        hash[24..].copy_from_slice(&number.to_be_bytes());
        Self {
            hash,
            number,
            length,
        }
    }

    pub(super) fn name(&self) -> Name {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut name = [0; 64];
        for (digits, byte) in name.chunks_exact_mut(2).zip(self.hash) {
            digits[0] = DIGITS[usize::from(byte >> 4)];
            digits[1] = DIGITS[usize::from(byte & 15)];
        }
        name
    }
}

fn digit(character: u8) -> Option<u8> {
    char::from(character).to_digit(16).map(|digit| digit as u8)
}

/// All of them.
#[derive(Default)]
pub(super) struct Blocks {
    known: Vec<Known>,
}

impl Blocks {
    pub(super) fn extend(&mut self, known: impl IntoIterator<Item = Known>) {
        self.known.extend(known);
    }

    pub(super) fn count(&self) -> usize {
        self.known.len()
    }

    /// Any of them, each as likely as the others.
    pub(super) fn any(&self, random: &mut Prng) -> Option<Known> {
        let count = self.known.len() as u64;
        (count > 0).then(|| self.known[random.below(count) as usize])
    }

    /// Takes one out.
    pub(super) fn take_any(&mut self, random: &mut Prng) -> Option<Known> {
        let count = self.known.len() as u64;
        (count > 0).then(|| self.known.swap_remove(random.below(count) as usize))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_kept_and_nothing_else_is_one() {
        let name = b"00112233445566778899aabbccddeeff0f1e2d3c4b5a69788796a5b4c3d2e1f0";
        assert_eq!(&Known::new(name, 1, 2).expect("a name").name(), name);
        assert!(Known::new(&name[1..], 1, 2).is_none());
        assert!(Known::new(&name.map(|_| b'g'), 1, 2).is_none());
        assert_eq!(&Known::numbered(0x1f, 2).name()[60..], b"001f");
    }

    #[test]
    fn what_is_taken_is_not_chosen_again() {
        let mut random = Prng::new(1);
        let mut blocks = Blocks::default();
        blocks.extend((0..10).map(|number| Known::numbered(number, 1)));
        let taken = blocks.take_any(&mut random).expect("there are ten").number;
        assert_eq!(blocks.count(), 9);
        let chosen = |blocks: &Blocks, random: &mut Prng| blocks.any(random).expect("nine").number;
        assert!((0..1000).all(|_| chosen(&blocks, &mut random) != taken));
        while blocks.take_any(&mut random).is_some() {}
        assert!(blocks.any(&mut random).is_none());
    }
}
