//! The streams of a connection: slots that are used again, found by number, and the numbers of those that are gone.
//!
//! Knows no frame. Steady state allocates nothing: slots, the table of numbers and the list of the gone grow to what was
//! needed at once and stay.
//!
//! Spec: RFC 9113 5.1, 5.1.1.

use super::event::StreamRef;
use super::stream::{Cause, State, Stream};

#[derive(Debug)]
pub(super) struct Streams {
    slots: Vec<Stream>,
    /// Slots that are free, the one freed last at the end.
    free: Vec<u16>,
    ids: IdTable,
    /// Numbers of streams that are gone, in a ring; the highest bit: what comes for them is dropped.
    gone: Vec<u32>,
    gone_next: usize,
    gone_max: usize,
}

/// What is known of a stream that has no entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gone {
    /// The peer could not know yet that we reset it.
    ResetByUs,
    /// The peer has ended it, and knows.
    Ended,
    /// It was passed over, or is gone for long.
    Unknown,
}

const RESET_BY_US: u32 = 1 << 31;

impl Streams {
    /// No streams. What a peer still sends for one that is gone is in flight for a round trip, in which no more than
    /// twice the streams that may be open at once can have gone: so many are remembered.
    pub(super) fn new(streams_max: u16) -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            ids: IdTable::default(),
            gone: Vec::new(),
            gone_next: 0,
            gone_max: 2 * usize::from(streams_max),
        }
    }

    /// Streams that are not released.
    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Whether there is a slot for one more.
    pub(super) fn has_room(&self) -> bool {
        self.len() < usize::from(u16::MAX)
    }

    /// Puts a stream into a slot.
    pub(super) fn insert(&mut self, stream: Stream) -> StreamRef {
        let id = stream.id;
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[usize::from(slot)] = stream;
                slot
            }
            None => {
                self.slots.push(stream);
                (self.slots.len() - 1) as u16
            }
        };
        self.ids.insert(id, slot);
        StreamRef { id, slot }
    }

    /// Takes a stream out of its slot, and remembers how it ended.
    pub(super) fn remove(&mut self, stream: StreamRef) {
        let Some(entry) = self.get_mut(stream) else {
            return;
        };
        let mark = match entry.state {
            State::Closed(Cause::ResetByUs) => RESET_BY_US,
            _ => 0,
        };
        entry.id = 0;
        self.ids.remove(stream.id);
        self.free.push(stream.slot);
        self.bury(stream.id | mark);
    }

    /// Remembers a stream that was reset before it got a slot.
    pub(super) fn bury_refused(&mut self, id: u32) {
        self.bury(id | RESET_BY_US);
    }

    fn bury(&mut self, entry: u32) {
        if self.gone.len() < self.gone_max {
            self.gone.push(entry);
        } else if let Some(oldest) = self.gone.get_mut(self.gone_next) {
            *oldest = entry;
            self.gone_next = (self.gone_next + 1) % self.gone_max;
        }
    }

    /// What is known of a stream that was used and has no entry.
    pub(super) fn gone(&self, id: u32) -> Gone {
        match self.gone.iter().find(|&&entry| entry & !RESET_BY_US == id) {
            Some(entry) if entry & RESET_BY_US != 0 => Gone::ResetByUs,
            Some(_) => Gone::Ended,
            None => Gone::Unknown,
        }
    }

    pub(super) fn get(&self, stream: StreamRef) -> Option<&Stream> {
        let entry = self.slots.get(usize::from(stream.slot))?;
        (entry.id == stream.id).then_some(entry)
    }

    pub(super) fn get_mut(&mut self, stream: StreamRef) -> Option<&mut Stream> {
        let entry = self.slots.get_mut(usize::from(stream.slot))?;
        (entry.id == stream.id).then_some(entry)
    }

    /// The stream of a slot that is in use.
    pub(super) fn at(&mut self, slot: u16) -> &mut Stream {
        &mut self.slots[usize::from(slot)]
    }

    pub(super) fn find(&self, id: u32) -> Option<StreamRef> {
        self.ids.find(id).map(|slot| StreamRef { id, slot })
    }

    /// All of them, in no order.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (StreamRef, &mut Stream)> {
        self.slots
            .iter_mut()
            .enumerate()
            .filter(|(_, stream)| stream.id != 0)
            .map(|(slot, stream)| {
                let reference = StreamRef {
                    id: stream.id,
                    slot: slot as u16,
                };
                (reference, stream)
            })
    }
}

/// Slots by number: open addressing at half load. Numbers of one side follow each other, so that the number itself, its
/// lowest bit apart, is as good as a hash; a peer that chooses its numbers badly makes chains of no more than there are
/// streams.
#[derive(Debug, Default)]
struct IdTable {
    /// A power of two of entries, or none; number 0 is an empty one.
    entries: Vec<(u32, u16)>,
    count: usize,
}

impl IdTable {
    fn home(&self, id: u32) -> usize {
        (id >> 1) as usize & (self.entries.len() - 1)
    }

    fn find(&self, id: u32) -> Option<u16> {
        if self.entries.is_empty() || id == 0 {
            return None;
        }
        let mask = self.entries.len() - 1;
        let mut place = self.home(id);
        loop {
            match self.entries[place] {
                (0, _) => return None,
                (found, slot) if found == id => return Some(slot),
                _ => place = (place + 1) & mask,
            }
        }
    }

    fn insert(&mut self, id: u32, slot: u16) {
        if (self.count + 1) * 2 > self.entries.len() {
            let size = (self.entries.len() * 2).max(8);
            let old = std::mem::replace(&mut self.entries, vec![(0, 0); size]);
            for (id, slot) in old.into_iter().filter(|(id, _)| *id != 0) {
                self.put(id, slot);
            }
        }
        self.put(id, slot);
        self.count += 1;
    }

    fn put(&mut self, id: u32, slot: u16) {
        let mask = self.entries.len() - 1;
        let mut place = self.home(id);
        while self.entries[place].0 != 0 {
            place = (place + 1) & mask;
        }
        self.entries[place] = (id, slot);
    }

    fn remove(&mut self, id: u32) {
        if self.find(id).is_none() {
            return;
        }
        let mask = self.entries.len() - 1;
        let mut hole = self.home(id);
        while self.entries[hole].0 != id {
            hole = (hole + 1) & mask;
        }
        // What follows moves up, unless it is at its home: no chain has a hole.
        let mut place = hole;
        loop {
            place = (place + 1) & mask;
            let (other, slot) = self.entries[place];
            if other == 0 {
                break;
            }
            let home = self.home(other);
            let is_between = place.wrapping_sub(home) & mask < place.wrapping_sub(hole) & mask;
            if !is_between {
                self.entries[hole] = (other, slot);
                hole = place;
            }
        }
        self.entries[hole] = (0, 0);
        self.count -= 1;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::collections::btree_map::Entry;

    use hioload_base::{Prng, Time};

    use super::*;

    fn stream(id: u32) -> Stream {
        Stream::new(id, 0, 0, Time::ZERO)
    }

    #[test]
    fn slots_are_dense_and_used_again() {
        let mut streams = Streams::new(2);
        let first = streams.insert(stream(1));
        let second = streams.insert(stream(3));
        assert_eq!((first.slot, second.slot, streams.len()), (0, 1, 2));
        streams.remove(first);
        let third = streams.insert(stream(5));
        assert_eq!((third.slot, streams.len()), (0, 2));
        assert!(streams.get(first).is_none() && streams.get(third).is_some());
        streams.remove(first);
        assert_eq!(streams.len(), 2);
        assert_eq!(streams.find(3), Some(second));
        assert_eq!((streams.find(1), streams.find(0)), (None, None));
    }

    #[test]
    fn streams_that_are_gone_are_remembered_for_a_while() {
        let mut streams = Streams::new(8);
        for id in 1..=16 {
            let reference = streams.insert(stream(id));
            if id % 2 == 0 {
                streams.at(reference.slot).state = State::Closed(Cause::ResetByUs);
            }
            streams.remove(reference);
        }
        assert_eq!(
            (streams.gone(1), streams.gone(2)),
            (Gone::Ended, Gone::ResetByUs)
        );
        streams.bury_refused(70_001);
        assert_eq!(streams.gone(70_001), Gone::ResetByUs);
        assert_eq!(
            (streams.gone(1), streams.gone(2)),
            (Gone::Unknown, Gone::ResetByUs)
        );
    }

    #[test]
    fn the_table_of_numbers_is_a_map() {
        let mut random = Prng::new(7);
        let mut table = IdTable::default();
        let mut model = BTreeMap::new();
        for step in 0..50_000 {
            // Few homes, so that chains form and wrap around.
            let id = (random.below(40) as u32 * 64 + random.below(3) as u32) * 2 + 1;
            if random.below(2) == 0 {
                table.remove(id);
                model.remove(&id);
            } else if let Entry::Vacant(entry) = model.entry(id) {
                table.insert(id, step as u16);
                entry.insert(step as u16);
            }
            assert_eq!(table.find(id), model.get(&id).copied());
            assert_eq!(table.count, model.len());
        }
        for (id, slot) in &model {
            assert_eq!(table.find(*id), Some(*slot));
        }
    }
}
