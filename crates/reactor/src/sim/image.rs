//! The bytes of one virtual file, kept page by page: what was never written is zero and costs nothing.

use std::collections::BTreeMap;

/// Bytes of a page.
const PAGE_SIZE: usize = 4096;

/// A sparse file.
#[derive(Clone, Debug, Default)]
pub(super) struct Image {
    pages: BTreeMap<u64, Box<[u8]>>,
}

impl Image {
    /// Fills `into` from `offset` on.
    pub(super) fn read(&self, offset: u64, into: &mut [u8]) {
        for (page, at, piece) in pieces(offset, into.len()) {
            let target = &mut into[piece];
            match self.pages.get(&page) {
                Some(bytes) => target.copy_from_slice(&bytes[at..at + target.len()]),
                None => target.fill(0),
            }
        }
    }

    /// Puts `bytes` at `offset`.
    pub(super) fn write(&mut self, offset: u64, bytes: &[u8]) {
        for (page, at, piece) in pieces(offset, bytes.len()) {
            let source = &bytes[piece];
            let page = self
                .pages
                .entry(page)
                .or_insert_with(|| vec![0; PAGE_SIZE].into_boxed_slice());
            page[at..at + source.len()].copy_from_slice(source);
        }
    }

    /// Forgets everything from `size` on.
    pub(super) fn truncate(&mut self, size: u64) {
        let first = size.div_ceil(PAGE_SIZE as u64);
        self.pages.split_off(&first);
        let at = (size % PAGE_SIZE as u64) as usize;
        if at > 0
            && let Some(page) = self.pages.get_mut(&(first - 1))
        {
            page[at..].fill(0);
        }
    }
}

/// The range cut at page borders: page, place in the page, place in the range.
fn pieces(offset: u64, len: usize) -> impl Iterator<Item = (u64, usize, std::ops::Range<usize>)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        if done == len {
            return None;
        }
        let place = offset + done as u64;
        let at = (place % PAGE_SIZE as u64) as usize;
        let end = len.min(done + PAGE_SIZE - at);
        let piece = (place / PAGE_SIZE as u64, at, done..end);
        done = end;
        Some(piece)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back_across_pages() {
        for offset in [0, 1, 4095, 4096, 10_000] {
            for len in [0, 1, 4095, 4096, 4097, 9000] {
                let mut image = Image::default();
                let bytes: Vec<u8> = (0..len).map(|at| (at % 251) as u8 + 1).collect();
                image.write(offset, &bytes);
                let mut around = vec![9; len + 2];
                image.read(offset, &mut around);
                assert_eq!(around[..len], bytes);
                assert_eq!(around[len..], [0, 0], "nothing was written behind");
            }
        }
    }

    #[test]
    fn what_is_cut_off_is_zero_when_it_comes_back() {
        for size in [0, 1, 4095, 4096, 4097, 8191, 8192] {
            let mut image = Image::default();
            image.write(0, &[7; 8192]);
            image.truncate(size);
            let mut bytes = [1; 8192];
            image.read(0, &mut bytes);
            let kept = bytes.iter().take_while(|byte| **byte == 7).count();
            assert_eq!(kept as u64, size);
            assert!(bytes[kept..].iter().all(|byte| *byte == 0));
        }
    }
}
