//! Where streams lie: socket slot, then stream slot, both by index.
//!
//! ```text
//!  pages ─▶ [ 64 sockets ] ─▶ socket { first stream inline, base, floor, more ─▶ [ 16 streams ] ... }
//! ```
//!
//! Must not know limits, counters or kinds: it gives places, generations and walks.
//!
//! A place counts its generations from 1 to [`StreamUid::GENERATION_MAX`] and then is retired. What is kept
//! of a socket slot between its sockets is three numbers: `base`, its first stream slot that is not
//! retired, `reach`, how many places beyond that were ever used, and `floor`, a generation that none of
//! those had exceeded. When a socket ends with a retired place, all places that were used are given up and
//! `base` moves past them; when the last stream slot is used up, the slot begins again.
//!
//! Invariants: an entry never moves while it lives; a place is either occupied, free or retired; a page
//! counts the streams in it.

use std::ops::ControlFlow;

use crate::StreamUid;
use crate::filter::Cursor;

use super::stream::Stream;

const PAGE_LEN: usize = 64;
const MORE_LEN: usize = 16;

/// A stream slot: who lives there, and the generation of that or of the last one.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Slot {
    generation: u32,
    pub(super) stream: Option<Stream>,
}

impl Slot {
    const fn empty(generation: u32) -> Slot {
        Slot {
            stream: None,
            generation,
        }
    }
}

/// Stream slots of a socket beyond its first.
#[derive(Debug, Default)]
struct More {
    #[expect(
        clippy::vec_box,
        reason = "entries never move, and growing copies none"
    )]
    pages: Vec<Box<[Slot; MORE_LEN]>>,
    /// Places in use at one time or another.
    count: u32,
    free: Vec<u16>,
}

impl More {
    fn slot(&self, place: usize) -> Option<&Slot> {
        self.pages
            .get(place / MORE_LEN)
            .map(|page| &page[place % MORE_LEN])
    }

    fn slot_mut(&mut self, place: usize) -> Option<&mut Slot> {
        let page = self.pages.get_mut(place / MORE_LEN)?;
        Some(&mut page[place % MORE_LEN])
    }

    fn slots(&self) -> impl Iterator<Item = &Slot> {
        self.pages
            .iter()
            .flat_map(|page| page.iter())
            .take(self.count as usize)
    }
}

/// What a lookup reads is in the first 64 bytes, in this order: one line of the cache for most streams.
#[derive(Debug)]
#[repr(C, align(64))]
struct Socket {
    /// The stream slot of the first place.
    base: u16,
    /// Places beyond the first that were dropped, at most.
    reach: u16,
    live: u32,
    first: Slot,
    more: Option<Box<More>>,
    /// Generations up to here may have been given out in any place beyond the first.
    floor: u32,
}

impl Socket {
    const EMPTY: Socket = Socket {
        first: Slot::empty(0),
        more: None,
        floor: 0,
        live: 0,
        reach: 0,
        base: 0,
    };

    #[inline]
    fn slot(&self, stream: u16) -> Option<&Slot> {
        if stream == self.base {
            return Some(&self.first);
        }
        let place = usize::from(stream.checked_sub(self.base)?);
        self.more.as_ref()?.slot(place - 1)
    }

    #[inline]
    fn slot_mut(&mut self, stream: u16) -> Option<&mut Slot> {
        if stream == self.base {
            return Some(&mut self.first);
        }
        let place = usize::from(stream.checked_sub(self.base)?);
        self.more.as_mut()?.slot_mut(place - 1)
    }

    /// A place that is free, made if need be; `None` when all are occupied or retired.
    fn vacancy(&mut self, generation_max: u32) -> Option<u16> {
        if self.first.stream.is_none() && self.first.generation < generation_max {
            return Some(self.base);
        }
        let more = self.more.get_or_insert_default();
        if let Some(place) = more.free.pop() {
            return Some(self.base + 1 + place);
        }
        let place = u16::try_from(more.count).ok()?;
        let stream = self.base.checked_add(1)?.checked_add(place)?;
        if usize::from(place).is_multiple_of(MORE_LEN) {
            let floor = self.floor;
            more.pages
                .push(Box::new(std::array::from_fn(|_| Slot::empty(floor))));
        }
        more.count += 1;
        Some(stream)
    }

    /// Nobody lives here: forgets all places but the first, and keeps what their generations have come to.
    /// True when all stream slots were used up and the slot begins again.
    fn fold(&mut self, generation_max: u32) -> bool {
        let more = self.more.take();
        let highest = more
            .iter()
            .flat_map(|more| more.slots())
            .map(|slot| slot.generation)
            .max();
        let highest = highest.unwrap_or(0);
        let count = more.map_or(0, |more| more.count);
        let reach = count.max(u32::from(self.reach));
        if self.first.generation < generation_max && highest < generation_max {
            self.floor = self.floor.max(highest);
            self.reach = u16::try_from(reach).expect("invariant: places are stream slots");
            return false;
        }
        let base = u16::try_from(u32::from(self.base) + 1 + reach).ok();
        self.base = base.unwrap_or(0);
        self.reach = 0;
        self.first.generation = 0;
        self.floor = 0;
        base.is_none()
    }
}

#[derive(Debug)]
struct Page {
    sockets: [Socket; PAGE_LEN],
    live: u32,
}

/// All places of a worker.
#[derive(Debug)]
pub(super) struct Places {
    pages: Vec<Option<Box<Page>>>,
    generation_max: u32,
}

impl Places {
    pub(super) fn new(generation_max: u32) -> Places {
        assert!((1..=StreamUid::GENERATION_MAX).contains(&generation_max));
        Places {
            pages: Vec::new(),
            generation_max,
        }
    }

    #[inline]
    fn socket(&self, socket: u32) -> Option<&Socket> {
        let page = self.pages.get(socket as usize / PAGE_LEN)?.as_ref()?;
        Some(&page.sockets[socket as usize % PAGE_LEN])
    }

    #[inline]
    fn page_mut(&mut self, socket: u32) -> Option<&mut Page> {
        self.pages
            .get_mut(socket as usize / PAGE_LEN)?
            .as_deref_mut()
    }

    /// The stream of this name.
    #[inline]
    pub(super) fn get(&self, uid: StreamUid) -> Option<&Stream> {
        let slot = self.socket(uid.socket())?.slot(uid.stream())?;
        if slot.generation == uid.generation() {
            slot.stream.as_ref()
        } else {
            None
        }
    }

    /// The stream of this name, to be changed.
    #[inline]
    pub(super) fn get_mut(&mut self, uid: StreamUid) -> Option<&mut Stream> {
        let page = self.page_mut(uid.socket())?;
        let socket = &mut page.sockets[uid.socket() as usize % PAGE_LEN];
        let slot = socket.slot_mut(uid.stream())?;
        if slot.generation == uid.generation() {
            slot.stream.as_mut()
        } else {
            None
        }
    }

    /// The socket's first stream, with its stream slot and generation.
    #[inline]
    pub(super) fn first(&self, socket: u32) -> Option<(u16, u32, &Stream)> {
        let socket = self.socket(socket)?;
        let stream = socket.first.stream.as_ref()?;
        Some((socket.base, socket.first.generation, stream))
    }

    #[inline]
    pub(super) fn first_mut(&mut self, socket: u32) -> Option<&mut Stream> {
        let page = self.page_mut(socket)?;
        page.sockets[socket as usize % PAGE_LEN]
            .first
            .stream
            .as_mut()
    }

    /// Streams of the socket.
    #[inline]
    pub(super) fn live(&self, socket: u32) -> u32 {
        self.socket(socket).map_or(0, |socket| socket.live)
    }

    /// Puts a stream into the first free place of a socket: its stream slot, its generation, and whether the
    /// socket slot had used up all its UIDs and begins again. `None` when no place is left.
    pub(super) fn insert(&mut self, socket: u32, stream: Stream) -> Option<(u16, u32, bool)> {
        let generation_max = self.generation_max;
        let page = socket as usize / PAGE_LEN;
        if page >= self.pages.len() {
            self.pages.resize_with(page + 1, || None);
        }
        let page = self.pages[page].get_or_insert_with(|| {
            let sockets = [const { Socket::EMPTY }; PAGE_LEN];
            Box::new(Page { sockets, live: 0 })
        });
        let socket = &mut page.sockets[socket as usize % PAGE_LEN];
        // A socket's only stream is its first, also when the first place is retired: by that it is known.
        let is_worn = socket.live == 0 && socket.first.generation == generation_max;
        let begins_again = is_worn && socket.fold(generation_max);
        let number = socket.vacancy(generation_max)?;
        let slot = socket
            .slot_mut(number)
            .expect("invariant: a vacancy is a place");
        slot.generation += 1;
        slot.stream = Some(stream);
        let generation = slot.generation;
        socket.live += 1;
        page.live += 1;
        Some((number, generation, begins_again))
    }

    /// Takes a stream out; its UID names nothing from here on.
    pub(super) fn remove(&mut self, uid: StreamUid) -> Option<Stream> {
        let generation_max = self.generation_max;
        self.get(uid)?;
        let page = self.page_mut(uid.socket())?;
        let socket = &mut page.sockets[uid.socket() as usize % PAGE_LEN];
        let stream = socket.slot_mut(uid.stream())?.stream.take()?;
        socket.live -= 1;
        page.live -= 1;
        if uid.stream() != socket.base && uid.generation() < generation_max {
            let place = uid.stream() - socket.base - 1;
            let more = socket
                .more
                .as_mut()
                .expect("invariant: the place is beyond the first");
            more.free.push(place);
        }
        Some(stream)
    }

    /// The socket is gone, and all its streams: only what keeps UIDs from coming back is kept. True
    /// when all its UIDs were used up and it begins again.
    pub(super) fn fold(&mut self, number: u32) -> bool {
        let generation_max = self.generation_max;
        let Some(page) = self.page_mut(number) else {
            return false;
        };
        let socket = &mut page.sockets[number as usize % PAGE_LEN];
        socket.live == 0 && socket.fold(generation_max)
    }

    /// Meets streams from `cursor` on, and looks at so many places at most. Where to go on; `None` at the end.
    pub(super) fn walk(
        &self,
        cursor: Cursor,
        visit_max: usize,
        meet: &mut dyn FnMut(u32, u16, u32, &Stream) -> ControlFlow<()>,
    ) -> Option<Cursor> {
        let mut visits = visit_max.max(1);
        let end = (self.pages.len() * PAGE_LEN) as u64;
        let (mut number, mut from) = (cursor.socket(), cursor.stream());
        while number < end {
            let at = number as usize;
            if visits == 0 {
                return Some(Cursor::at(number as u32, from));
            }
            let page = self.pages[at / PAGE_LEN]
                .as_ref()
                .filter(|page| page.live > 0);
            let Some(page) = page else {
                visits -= 1;
                (number, from) = (((at / PAGE_LEN + 1) * PAGE_LEN) as u64, 0);
                continue;
            };
            let socket = &page.sockets[at % PAGE_LEN];
            let mut next = from.max(u32::from(socket.base));
            let last = if socket.live == 0 { 0 } else { socket.end() };
            // An empty socket is looked at, too.
            visits -= usize::from(next >= last);
            while next < last {
                if visits == 0 {
                    return Some(Cursor::at(number as u32, next));
                }
                let slot = socket.slot(next as u16).expect("invariant: below the end");
                if let Some(stream) = &slot.stream {
                    let flow = meet(number as u32, next as u16, slot.generation, stream);
                    if flow.is_break() {
                        return Some(Cursor::at(number as u32, next + 1));
                    }
                }
                next += 1;
                visits -= 1;
            }
            (number, from) = (number + 1, 0);
        }
        None
    }

    /// Bytes in use, for tests and memory plans.
    pub(super) fn memory(&self) -> usize {
        let pages = self.pages.iter().flatten();
        let more = pages
            .clone()
            .flat_map(|page| &page.sockets)
            .filter_map(|socket| socket.more.as_ref());
        let more: usize = more
            .map(|more| {
                let pages =
                    more.pages.len() * size_of::<[Slot; MORE_LEN]>() + more.pages.capacity() * 8;
                size_of::<More>() + pages + more.free.capacity() * 2
            })
            .sum();
        self.pages.capacity() * 8 + pages.count() * size_of::<Page>() + more
    }
}

impl Socket {
    /// One past the last stream slot in use.
    fn end(&self) -> u32 {
        u32::from(self.base) + 1 + self.more.as_ref().map_or(0, |more| more.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_with_one_stream_is_two_lines_of_the_cache() {
        assert_eq!(size_of::<Socket>(), 128);
    }
}
