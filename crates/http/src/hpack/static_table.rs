//! The static table (RFC 7541 Appendix A), and which name is where in it.
//!
//! Looking up a name takes one hash, made once for all tables (`lookup`), and a comparison: the places
//! are computed when this is compiled.

use super::lookup::Hash;

/// How values of a field behave, as far as its name tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Habit {
    /// The same value comes again.
    Repeats,
    /// Each message has its own.
    Changes,
    /// Repeats, but a short one could be guessed by trying (RFC 7541 7.1).
    Guessable,
    /// Must not be guessed.
    Secret,
}

/// Entries: the first one has index 1.
pub(super) const LEN: u32 = ENTRIES.len() as u32;

use Habit::{Changes, Guessable, Repeats, Secret};

const ENTRIES: [(&str, &str, Habit); 61] = [
    (":authority", "", Repeats),
    (":method", "GET", Repeats),
    (":method", "POST", Repeats),
    (":path", "/", Changes),
    (":path", "/index.html", Changes),
    (":scheme", "http", Repeats),
    (":scheme", "https", Repeats),
    (":status", "200", Repeats),
    (":status", "204", Repeats),
    (":status", "206", Repeats),
    (":status", "304", Repeats),
    (":status", "400", Repeats),
    (":status", "404", Repeats),
    (":status", "500", Repeats),
    ("accept-charset", "", Repeats),
    ("accept-encoding", "gzip, deflate", Repeats),
    ("accept-language", "", Repeats),
    ("accept-ranges", "", Repeats),
    ("accept", "", Repeats),
    ("access-control-allow-origin", "", Repeats),
    ("age", "", Changes),
    ("allow", "", Repeats),
    ("authorization", "", Secret),
    ("cache-control", "", Repeats),
    ("content-disposition", "", Changes),
    ("content-encoding", "", Repeats),
    ("content-language", "", Repeats),
    ("content-length", "", Changes),
    ("content-location", "", Changes),
    ("content-range", "", Changes),
    ("content-type", "", Repeats),
    ("cookie", "", Guessable),
    ("date", "", Repeats),
    ("etag", "", Changes),
    ("expect", "", Repeats),
    ("expires", "", Changes),
    ("from", "", Repeats),
    ("host", "", Repeats),
    ("if-match", "", Changes),
    ("if-modified-since", "", Changes),
    ("if-none-match", "", Changes),
    ("if-range", "", Changes),
    ("if-unmodified-since", "", Changes),
    ("last-modified", "", Changes),
    ("link", "", Repeats),
    ("location", "", Changes),
    ("max-forwards", "", Repeats),
    ("proxy-authenticate", "", Repeats),
    ("proxy-authorization", "", Secret),
    ("range", "", Changes),
    ("referer", "", Changes),
    ("refresh", "", Repeats),
    ("retry-after", "", Repeats),
    ("server", "", Repeats),
    ("set-cookie", "", Secret),
    ("strict-transport-security", "", Repeats),
    ("transfer-encoding", "", Repeats),
    ("user-agent", "", Repeats),
    ("vary", "", Repeats),
    ("via", "", Repeats),
    ("www-authenticate", "", Repeats),
];

const SLOTS_LEN: usize = 128;

/// By hash of the name, the first index with that name; 0 where there is none. A name whose slot is
/// taken is in the next free one.
static SLOTS: [u8; SLOTS_LEN] = {
    let mut slots = [0; SLOTS_LEN];
    let mut place = 0;
    while place < ENTRIES.len() {
        // Entries of the same name follow each other.
        if place == 0 || !same(ENTRIES[place].0, ENTRIES[place - 1].0) {
            let mut slot = Hash::of_name(ENTRIES[place].0.as_bytes()).slot(SLOTS_LEN);
            while slots[slot] != 0 {
                slot = (slot + 1) % SLOTS_LEN;
            }
            slots[slot] = place as u8 + 1;
        }
        place += 1;
    }
    slots
};

const fn same(left: &str, right: &str) -> bool {
    let (left, right) = (left.as_bytes(), right.as_bytes());
    let mut index = 0;
    while index < left.len() && index < right.len() && left[index] == right[index] {
        index += 1;
    }
    index == left.len() && index == right.len()
}

/// The entry at `index`, which counts from 1.
pub(super) fn entry(index: u32) -> Option<(&'static [u8], &'static [u8])> {
    let place = (index as usize).checked_sub(1)?;
    let (name, value, _) = ENTRIES.get(place)?;
    Some((name.as_bytes(), value.as_bytes()))
}

/// The first index with this name, for names that are known when this is compiled.
pub(super) const fn find(name: &str) -> Option<u32> {
    let mut place = 0;
    while place < ENTRIES.len() {
        if same(ENTRIES[place].0, name) {
            return Some(place as u32 + 1);
        }
        place += 1;
    }
    None
}

/// The first index with this name, whose hash is `hash`.
pub(super) fn find_name(hash: Hash, name: &[u8]) -> Option<u32> {
    let mut slot = hash.slot(SLOTS_LEN);
    loop {
        let index = u32::from(SLOTS[slot]);
        let (found, _) = entry(index)?;
        if found == name {
            return Some(index);
        }
        slot = (slot + 1) % SLOTS_LEN;
    }
}

/// The index with this value and the name that `first`, its first index, has.
pub(super) fn find_value(first: u32, value: &[u8]) -> Option<u32> {
    let place = first as usize - 1;
    let name = ENTRIES[place].0;
    ENTRIES[place..]
        .iter()
        .zip(first..)
        .take_while(|((found, ..), _)| *found == name)
        .find(|((_, found, _), _)| found.as_bytes() == value)
        .map(|(_, index)| index)
}

/// How values of the name at `index` behave.
pub(super) const fn habit(index: u32) -> Habit {
    ENTRIES[index as usize - 1].2
}

/// The index of `:status` with this value, if there is one.
pub(super) const fn status(status: u16) -> Option<u32> {
    Some(match status {
        200 => 8,
        204 => 9,
        206 => 10,
        304 => 11,
        400 => 12,
        404 => 13,
        500 => 14,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_is_found_by_name_and_by_value() {
        for index in 1..=LEN {
            let (name, value) = entry(index).expect("within");
            let first = find_name(Hash::of_name(name), name).expect("there is one");
            assert_eq!(entry(first).map(|(found, _)| found), Some(name));
            assert!(first <= index);
            assert_eq!(find_value(first, value), Some(index));
        }
    }

    #[test]
    fn what_is_not_there_is_not_found() {
        assert_eq!(entry(0), None);
        assert!(entry(LEN).is_some());
        assert_eq!(entry(LEN + 1), None);
        assert_eq!(entry(u32::MAX), None);
        for name in ["", "x", ":statu", ":statuss", "Accept"] {
            // Whatever the hash says: the names are compared.
            for index in 1..=LEN {
                let (other, _) = entry(index).expect("within");
                assert_eq!(find_name(Hash::of_name(other), name.as_bytes()), None);
            }
        }
        assert_eq!(find_value(8, b"201"), None);
        assert_eq!(find_value(2, b"/"), None);
    }

    #[test]
    fn statuses() {
        for code in 0..=999 {
            let found = find_value(8, code.to_string().as_bytes());
            assert_eq!(status(code), found);
        }
    }
}
