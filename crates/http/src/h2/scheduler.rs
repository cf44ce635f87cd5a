//! Whose turn it is to send.
//!
//! Knows slots, no streams: whoever keeps the streams puts a slot in while it could send, and takes it out when it could
//! not. Lists are linked through one entry per slot: nothing is searched, and nothing allocated but for a slot never
//! seen before.
//!
//! ```text
//!   ends ──▶ urgency 0: in order | in turns ──▶ 1 ──▶ … ──▶ 7
//! ```
//!
//! - What is more urgent goes first (RFC 9218 4.1).
//! - Of the same urgency, streams that are not incremental go one after the other, those that are share, frame by frame
//!   (RFC 9218 4.2, 10); where there are both kinds, they take turns.
//! - Ends of streams that need no window go before all.

/// A list of no entries, or the end of one.
const NIL: u16 = u16::MAX;

/// List of the streams that send nothing but their end.
const ENDS: u8 = 16;
const LISTS: usize = ENDS as usize + 1;

/// Where in the lists a slot is.
#[derive(Clone, Copy, Debug)]
struct Link {
    next: u16,
    previous: u16,
    list: u8,
}

/// In no list.
const NOWHERE: u8 = u8::MAX;

#[derive(Debug)]
pub(super) struct Scheduler {
    links: Vec<Link>,
    first: [u16; LISTS],
    last: [u16; LISTS],
    /// A bit for each list that is not empty.
    occupied: u32,
    /// A bit for each urgency at which the next turn is of those that share.
    turn_is_shared: u8,
}

impl Scheduler {
    pub(super) fn new() -> Self {
        Self {
            links: Vec::new(),
            first: [NIL; LISTS],
            last: [NIL; LISTS],
            occupied: 0,
            turn_is_shared: 0,
        }
    }

    /// Nobody could send.
    pub(super) fn is_empty(&self) -> bool {
        self.occupied == 0
    }

    /// Puts a slot at the end of its list, if it is in none.
    pub(super) fn insert(&mut self, slot: u16, urgency: u8, is_incremental: bool) {
        self.push(slot, urgency.min(7) * 2 + u8::from(is_incremental));
    }

    /// Puts a slot among those that only end.
    pub(super) fn insert_end(&mut self, slot: u16) {
        self.push(slot, ENDS);
    }

    pub(super) fn contains(&self, slot: u16) -> bool {
        self.links
            .get(usize::from(slot))
            .is_some_and(|link| link.list != NOWHERE)
    }

    fn push(&mut self, slot: u16, list: u8) {
        let index = usize::from(slot);
        if index >= self.links.len() {
            let nowhere = Link {
                next: NIL,
                previous: NIL,
                list: NOWHERE,
            };
            self.links.resize(index + 1, nowhere);
        }
        if self.links[index].list != NOWHERE {
            return;
        }
        let previous = self.last[usize::from(list)];
        self.links[index] = Link {
            next: NIL,
            previous,
            list,
        };
        match previous {
            NIL => self.first[usize::from(list)] = slot,
            previous => self.links[usize::from(previous)].next = slot,
        }
        self.last[usize::from(list)] = slot;
        self.occupied |= 1 << list;
    }

    /// Takes a slot out of its list, if it is in one.
    pub(super) fn remove(&mut self, slot: u16) {
        let Some(link) = self.links.get_mut(usize::from(slot)) else {
            return;
        };
        let Link {
            next,
            previous,
            list,
        } = *link;
        if list == NOWHERE {
            return;
        }
        link.list = NOWHERE;
        match previous {
            NIL => self.first[usize::from(list)] = next,
            previous => self.links[usize::from(previous)].next = next,
        }
        match next {
            NIL => self.last[usize::from(list)] = previous,
            next => self.links[usize::from(next)].previous = previous,
        }
        if self.first[usize::from(list)] == NIL {
            self.occupied &= !(1 << list);
        }
    }

    /// The first of those that only end.
    pub(super) fn first_end(&self) -> Option<u16> {
        let slot = self.first[usize::from(ENDS)];
        (slot != NIL).then_some(slot)
    }

    /// Whose turn it is among those that have content.
    pub(super) fn first_content(&self) -> Option<u16> {
        let content = self.occupied & ((1 << ENDS) - 1);
        if content == 0 {
            return None;
        }
        let urgency = content.trailing_zeros() / 2;
        let (in_order, in_turns) = (urgency * 2, urgency * 2 + 1);
        let is_shared = match (content >> in_order) & 0b11 {
            0b01 => false,
            0b10 => true,
            _ => self.turn_is_shared >> urgency & 1 == 1,
        };
        let list = if is_shared { in_turns } else { in_order };
        Some(self.first[list as usize])
    }

    /// The slot has had its turn.
    pub(super) fn rotate(&mut self, slot: u16) {
        let Some(link) = self.links.get(usize::from(slot)) else {
            return;
        };
        let list = link.list;
        if list >= ENDS {
            return;
        }
        let urgency = list / 2;
        let is_shared = list % 2 == 1;
        if is_shared {
            self.turn_is_shared &= !(1 << urgency);
            if link.next != NIL {
                self.remove(slot);
                self.push(slot, list);
            }
        } else {
            self.turn_is_shared |= 1 << urgency;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The next turns, all slots having more to send.
    fn turns(scheduler: &mut Scheduler, count: usize) -> Vec<u16> {
        (0..count)
            .map_while(|_| {
                let slot = scheduler.first_content()?;
                scheduler.rotate(slot);
                Some(slot)
            })
            .collect()
    }

    #[test]
    fn urgent_first_then_in_order() {
        let mut scheduler = Scheduler::new();
        assert!(scheduler.is_empty());
        assert_eq!(scheduler.first_content(), None);
        scheduler.insert(5, 3, false);
        scheduler.insert(1, 3, false);
        scheduler.insert(9, 7, false);
        scheduler.insert(2, 0, false);
        assert_eq!(turns(&mut scheduler, 3), [2, 2, 2]);
        scheduler.remove(2);
        assert_eq!(turns(&mut scheduler, 3), [5, 5, 5]);
        scheduler.remove(5);
        assert_eq!(turns(&mut scheduler, 2), [1, 1]);
        scheduler.remove(1);
        assert_eq!(turns(&mut scheduler, 2), [9, 9]);
        scheduler.remove(9);
        scheduler.remove(9);
        scheduler.remove(1000);
        assert!(scheduler.is_empty());
    }

    #[test]
    fn incremental_ones_share() {
        let mut scheduler = Scheduler::new();
        for slot in [0, 1, 2] {
            scheduler.insert(slot, 4, true);
            scheduler.insert(slot, 0, true);
        }
        assert_eq!(turns(&mut scheduler, 7), [0, 1, 2, 0, 1, 2, 0]);
        scheduler.remove(2);
        assert_eq!(turns(&mut scheduler, 4), [1, 0, 1, 0]);
        assert!(scheduler.contains(0) && !scheduler.contains(2) && !scheduler.contains(77));
    }

    #[test]
    fn both_kinds_take_turns() {
        let mut scheduler = Scheduler::new();
        scheduler.insert(0, 3, false);
        scheduler.insert(1, 3, false);
        scheduler.insert(8, 3, true);
        scheduler.insert(9, 3, true);
        assert_eq!(turns(&mut scheduler, 6), [0, 8, 0, 9, 0, 8]);
        scheduler.remove(0);
        assert_eq!(turns(&mut scheduler, 4), [1, 9, 1, 8]);
    }

    #[test]
    fn ends_are_apart() {
        let mut scheduler = Scheduler::new();
        scheduler.insert_end(3);
        scheduler.insert_end(4);
        assert!(!scheduler.is_empty());
        assert_eq!(
            (scheduler.first_end(), scheduler.first_content()),
            (Some(3), None)
        );
        scheduler.remove(3);
        assert_eq!(scheduler.first_end(), Some(4));
        scheduler.remove(4);
        assert_eq!(scheduler.first_end(), None);
    }

    #[test]
    fn lists_are_lists() {
        let mut random = hioload_base::Prng::new(1);
        let mut scheduler = Scheduler::new();
        let mut model: Vec<u16> = Vec::new();
        for _ in 0..10_000 {
            let slot = random.below(16) as u16;
            if random.below(2) == 0 {
                scheduler.remove(slot);
                model.retain(|&one| one != slot);
            } else {
                scheduler.insert(slot, 2, true);
                if !model.contains(&slot) {
                    model.push(slot);
                }
            }
            assert_eq!(scheduler.first_content(), model.first().copied());
            assert_eq!(scheduler.is_empty(), model.is_empty());
            if let Some(slot) = scheduler.first_content() {
                scheduler.rotate(slot);
                model.rotate_left(1);
            }
        }
    }
}
