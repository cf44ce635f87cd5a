//! Connections by their driver's socket: paged, so that entries never move and an idle connection
//! costs its own size and nothing else.

use hioload_base::Key;
use hioload_reactor::SocketId;

const PAGE_SIZE: usize = 64;

/// Values and the generations of the sockets they belong to, apart: together they would be padded.
struct Page<T> {
    generations: [u32; PAGE_SIZE],
    values: [Option<T>; PAGE_SIZE],
}

/// Values of type `T`, one per socket.
pub(super) struct Table<T> {
    pages: Vec<Option<Box<Page<T>>>>,
    len: usize,
}

impl<T> Table<T> {
    pub(super) fn new() -> Self {
        Self {
            pages: Vec::new(),
            len: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Puts a value in; the driver never has two sockets in one slot.
    pub(super) fn insert(&mut self, socket: SocketId, value: T) {
        let (page, place) = split(socket.key());
        if page >= self.pages.len() {
            self.pages.resize_with(page + 1, || None);
        }
        let page = self.pages[page].get_or_insert_with(|| {
            let (generations, values) = ([0; PAGE_SIZE], [const { None }; PAGE_SIZE]);
            Box::new(Page {
                generations,
                values,
            })
        });
        self.len += usize::from(page.values[place].is_none());
        page.generations[place] = socket.key().generation();
        page.values[place] = Some(value);
    }

    #[inline]
    pub(super) fn get(&self, socket: SocketId) -> Option<&T> {
        let (page, place) = split(socket.key());
        let page = self.pages.get(page)?.as_ref()?;
        let is_current = page.generations[place] == socket.key().generation();
        if is_current {
            page.values[place].as_ref()
        } else {
            None
        }
    }

    #[inline]
    pub(super) fn get_mut(&mut self, socket: SocketId) -> Option<&mut T> {
        let (page, place) = split(socket.key());
        let page = self.pages.get_mut(page)?.as_mut()?;
        let is_current = page.generations[place] == socket.key().generation();
        if is_current {
            page.values[place].as_mut()
        } else {
            None
        }
    }

    pub(super) fn remove(&mut self, socket: SocketId) -> Option<T> {
        self.get(socket)?;
        let (page, place) = split(socket.key());
        let value = self.pages[page].as_mut()?.values[place].take()?;
        self.len -= 1;
        Some(value)
    }

    /// The first occupied socket at or after slot `from`, for bounded walks.
    pub(super) fn next_from(&self, from: u32) -> Option<SocketId> {
        let first = from as usize / PAGE_SIZE;
        for (number, page) in self.pages.iter().enumerate().skip(first) {
            let Some(page) = page else { continue };
            let start = if number == first {
                from as usize % PAGE_SIZE
            } else {
                0
            };
            let place = (start..PAGE_SIZE).find(|&place| page.values[place].is_some());
            if let Some(place) = place {
                let index = (number * PAGE_SIZE + place) as u32;
                return Some(SocketId::from_key(Key::from_bits(
                    u64::from(page.generations[place]) << 32 | u64::from(index),
                )));
            }
        }
        None
    }
}

fn split(key: Key) -> (usize, usize) {
    let index = key.index() as usize;
    (index / PAGE_SIZE, index % PAGE_SIZE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn socket(index: u64, generation: u64) -> SocketId {
        SocketId::from_key(Key::from_bits(generation << 32 | index))
    }

    #[test]
    fn a_stale_socket_finds_nothing() {
        let mut table = Table::new();
        table.insert(socket(70, 1), "one");
        assert_eq!(table.get(socket(70, 1)), Some(&"one"));
        assert_eq!(table.get(socket(70, 2)), None);
        assert_eq!(table.get(socket(5, 1)), None);
        assert_eq!(table.next_from(0), Some(socket(70, 1)));
        assert_eq!(table.next_from(71), None);
        assert_eq!(table.remove(socket(70, 2)), None);
        assert_eq!(table.remove(socket(70, 1)), Some("one"));
        assert_eq!(table.len(), 0);
    }
}
