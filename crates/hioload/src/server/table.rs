//! Connections by what carries them, a socket of the driver or a stream of an HTTP/2 connection: paged,
//! so that entries never move and an idle connection costs its own size and nothing else.
//!
//! A stream has the name of a socket that no driver gives out: the upper half of all slot numbers is
//! theirs.

use hioload_base::Key;
use hioload_reactor::SocketId;

const PAGE_SIZE: usize = 64;
/// Slot numbers from here on are those of streams.
const STREAM: u32 = 1 << 31;
/// And from here on those of polls.
const POLL: u32 = STREAM | 1 << 30;

/// Whether this names a stream of an HTTP/2 connection, not a socket of the driver.
#[inline]
pub(super) fn is_stream(socket: SocketId) -> bool {
    socket.key().index() & POLL == STREAM
}

/// Whether this names a poll: a carrier without a connection of its own.
#[inline]
pub(super) fn is_poll(socket: SocketId) -> bool {
    socket.key().index() & POLL == POLL
}

/// The name under which the poll in a slot is carried.
pub(super) fn name_of_poll(key: Key) -> SocketId {
    SocketId::from_key(Key::new(key.index() | POLL, key.generation()))
}

/// The slot of a poll.
pub(super) fn poll_of_name(socket: SocketId) -> Key {
    let key = socket.key();
    Key::new(key.index() & !POLL, key.generation())
}

/// The name under which the stream in a slot is carried.
pub(super) fn name_of_stream(key: Key) -> SocketId {
    SocketId::from_key(Key::new(key.index() | STREAM, key.generation()))
}

/// The slot of a stream.
pub(super) fn stream_of_name(socket: SocketId) -> Key {
    let key = socket.key();
    Key::new(key.index() & !STREAM, key.generation())
}

/// Values and the generations of the sockets they belong to, apart: together they would be padded.
struct Page<T> {
    generations: [u32; PAGE_SIZE],
    values: [Option<T>; PAGE_SIZE],
}

/// Values of type `T`, one per socket, per stream and per poll.
pub(super) struct Table<T> {
    sockets: Pages<T>,
    streams: Pages<T>,
    polls: Pages<T>,
}

impl<T> Table<T> {
    pub(super) fn new() -> Self {
        Self {
            sockets: Pages::new(),
            streams: Pages::new(),
            polls: Pages::new(),
        }
    }

    /// Values of sockets.
    pub(super) fn len(&self) -> usize {
        self.sockets.len
    }

    #[inline]
    fn pages(&self, socket: SocketId) -> &Pages<T> {
        if socket.key().index() & STREAM == 0 {
            &self.sockets
        } else if is_poll(socket) {
            &self.polls
        } else {
            &self.streams
        }
    }

    #[inline]
    fn pages_mut(&mut self, socket: SocketId) -> &mut Pages<T> {
        if socket.key().index() & STREAM == 0 {
            &mut self.sockets
        } else if is_poll(socket) {
            &mut self.polls
        } else {
            &mut self.streams
        }
    }

    /// Puts a value in; the driver never has two sockets in one slot.
    pub(super) fn insert(&mut self, socket: SocketId, value: T) {
        self.pages_mut(socket).insert(split(socket), value);
    }

    #[inline]
    pub(super) fn get(&self, socket: SocketId) -> Option<&T> {
        self.pages(socket).get(split(socket))
    }

    #[inline]
    pub(super) fn get_mut(&mut self, socket: SocketId) -> Option<&mut T> {
        self.pages_mut(socket).get_mut(split(socket))
    }

    pub(super) fn remove(&mut self, socket: SocketId) -> Option<T> {
        self.pages_mut(socket).remove(split(socket))
    }

    /// The first occupied socket at or after slot `from`, then the first such stream, then the first such poll, for
    /// bounded walks.
    pub(super) fn next_from(&self, from: u32) -> Option<SocketId> {
        let poll = |from| self.polls.next_from(from).map(name_of_poll);
        let stream = |from| self.streams.next_from(from).map(name_of_stream);
        if from & POLL == POLL {
            return poll(from & !POLL);
        }
        if from & STREAM != 0 {
            return stream(from & !STREAM).or_else(|| poll(0));
        }
        let socket = self.sockets.next_from(from).map(SocketId::from_key);
        socket.or_else(|| stream(0)).or_else(|| poll(0))
    }
}

/// A place: page, place in it, generation.
type Place = (usize, usize, u32);

/// Values of one kind of carrier.
struct Pages<T> {
    pages: Vec<Option<Box<Page<T>>>>,
    len: usize,
}

impl<T> Pages<T> {
    fn new() -> Self {
        Self {
            pages: Vec::new(),
            len: 0,
        }
    }

    fn insert(&mut self, (page, place, generation): Place, value: T) {
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
        page.generations[place] = generation;
        page.values[place] = Some(value);
    }

    #[inline]
    fn get(&self, (page, place, generation): Place) -> Option<&T> {
        let page = self.pages.get(page)?.as_ref()?;
        if page.generations[place] == generation {
            page.values[place].as_ref()
        } else {
            None
        }
    }

    #[inline]
    fn get_mut(&mut self, (page, place, generation): Place) -> Option<&mut T> {
        let page = self.pages.get_mut(page)?.as_mut()?;
        if page.generations[place] == generation {
            page.values[place].as_mut()
        } else {
            None
        }
    }

    fn remove(&mut self, place: Place) -> Option<T> {
        self.get(place)?;
        let (page, place, _) = place;
        let value = self.pages[page].as_mut()?.values[place].take()?;
        self.len -= 1;
        Some(value)
    }

    /// The first occupied slot at or after `from`.
    fn next_from(&self, from: u32) -> Option<Key> {
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
                return Some(Key::new(index, page.generations[place]));
            }
        }
        None
    }
}

fn split(socket: SocketId) -> Place {
    let key = socket.key();
    let index = (key.index() & !POLL) as usize;
    (index / PAGE_SIZE, index % PAGE_SIZE, key.generation())
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

    #[test]
    fn streams_and_sockets_share_nothing() {
        let mut table = Table::new();
        let stream = name_of_stream(Key::new(3, 1));
        assert!(is_stream(stream) && !is_stream(socket(3, 1)));
        assert_eq!(stream_of_name(stream), Key::new(3, 1));
        table.insert(socket(3, 1), "socket");
        table.insert(stream, "stream");
        assert_eq!(table.len(), 1);
        assert_eq!(table.get(socket(3, 1)), Some(&"socket"));
        assert_eq!(table.get(stream), Some(&"stream"));
        assert_eq!(table.next_from(0), Some(socket(3, 1)));
        assert_eq!(
            table.next_from(4),
            Some(stream),
            "streams come after sockets"
        );
        assert_eq!(table.next_from(stream.key().index()), Some(stream));
        assert_eq!(table.next_from(stream.key().index() + 1), None);
        let poll = name_of_poll(Key::new(3, 1));
        assert!(is_poll(poll) && !is_stream(poll) && !is_poll(stream));
        assert_eq!(poll_of_name(poll), Key::new(3, 1));
        table.insert(poll, "poll");
        assert_eq!(table.get(stream), Some(&"stream"));
        assert_eq!(table.next_from(stream.key().index() + 1), Some(poll));
        assert_eq!(table.remove(stream), Some("stream"));
        assert_eq!(table.next_from(4), Some(poll), "polls come last");
        assert_eq!(table.next_from(poll.key().index() + 1), None);
        assert_eq!(table.remove(poll), Some("poll"));
        assert_eq!(table.next_from(4), None);
    }
}
