//! What subscribers received, and whether it could have come from one log.
//!
//! Nobody sees the whole log: everybody joins late, leaves, or misses its own. So runs of
//! publications are compared pairwise: where two subscribers saw the same publications, they saw
//! them in the same order, with nothing between that one of them has no reason to miss.

use std::collections::HashMap;

use crate::plan::size;
use hioload_base::Prng;

/// Names a publication: who, and the how-manieth of it in its channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Publication {
    pub(crate) publisher: u32,
    pub(crate) seq: u32,
}

/// Bytes of a payload before its filler: letter, channel, publisher, number.
const HEAD_SIZE: usize = 2 + 8 + 8;

impl Publication {
    /// The payload of a publication in `channel`: text, all of it given by its name but the size.
    pub(crate) fn payload(self, channel: usize, prng: &mut Prng, size_max: usize) -> Vec<u8> {
        let mut payload = format!("p{channel}{:08x}{:08x}", self.publisher, self.seq).into_bytes();
        let filler = size(prng, size_max.saturating_sub(HEAD_SIZE));
        payload.extend((0..filler).map(|place| self.filler(place)));
        payload
    }

    fn filler(self, place: usize) -> u8 {
        b'a' + ((self.publisher as usize * 31 + self.seq as usize * 7 + place) % 26) as u8
    }

    /// Reads a payload back.
    ///
    /// # Panics
    /// When a byte of it is not what was sent.
    pub(crate) fn parse(payload: &[u8]) -> (usize, Self) {
        let head = payload
            .get(..HEAD_SIZE)
            .and_then(|head| std::str::from_utf8(head).ok());
        let head = head
            .filter(|head| head.starts_with('p'))
            .expect("a publication");
        let number = |range| u32::from_str_radix(&head[range], 16).expect("a number");
        let publication = Self {
            publisher: number(2..10),
            seq: number(10..18),
        };
        let filler = &payload[HEAD_SIZE..];
        let is_whole = filler
            .iter()
            .enumerate()
            .all(|(place, byte)| *byte == publication.filler(place));
        assert!(is_whole, "the payload of {publication:?} is damaged");
        (number(1..2) as usize, publication)
    }
}

/// What one subscriber received of one channel without a break.
#[derive(Clone, Debug)]
pub(crate) struct Stretch {
    pub(crate) subscriber: u32,
    pub(crate) seen: Vec<Publication>,
}

/// Checks all stretches of one channel. Returns how many publications are missing in them; with
/// `may_miss` false, a missing one is a failure.
pub(crate) fn check(channel: usize, stretches: &[Stretch], may_miss: bool) -> u64 {
    let missing = stretches
        .iter()
        .map(|stretch| check_numbers(channel, stretch, may_miss))
        .sum();
    let mut names: HashMap<Publication, usize> = HashMap::new();
    for publication in stretches.iter().flat_map(|stretch| &stretch.seen) {
        let next = names.len();
        names.entry(*publication).or_insert(next);
    }
    let dense = |stretch: &Stretch| stretch.seen.iter().map(|p| names[p]).collect::<Vec<_>>();
    let dense: Vec<Vec<usize>> = stretches.iter().map(dense).collect();
    let mut places = vec![usize::MAX; names.len()];
    for (theirs, log) in stretches.iter().zip(&dense) {
        for (place, name) in log.iter().enumerate() {
            places[*name] = place;
        }
        for (mine, seen) in stretches.iter().zip(&dense) {
            compare(channel, mine, seen, theirs, &places, may_miss);
        }
        for name in log {
            places[*name] = usize::MAX;
        }
    }
    missing
}

/// Numbers of each publisher go up, one by one unless some may be missed.
fn check_numbers(channel: usize, stretch: &Stretch, may_miss: bool) -> u64 {
    let mut last: HashMap<u32, u32> = HashMap::new();
    let mut missing = 0;
    for publication in &stretch.seen {
        if let Some(before) = last.insert(publication.publisher, publication.seq) {
            assert!(
                publication.seq > before,
                "channel {channel}: subscriber {} got {publication:?} after number {before}",
                stretch.subscriber
            );
            missing += u64::from(publication.seq - before - 1);
        }
    }
    assert!(
        missing == 0 || may_miss,
        "channel {channel}: subscriber {} lost {missing} publications in mid-stream",
        stretch.subscriber
    );
    missing
}

/// `mine` against `theirs`, whose places are given by name.
fn compare(
    channel: usize,
    mine: &Stretch,
    seen: &[usize],
    theirs: &Stretch,
    places: &[usize],
    may_miss: bool,
) {
    let mut before: Option<(usize, usize)> = None;
    for (index, name) in seen.iter().enumerate() {
        let place = places[*name];
        if place == usize::MAX {
            continue;
        }
        if let Some((index_before, place_before)) = before {
            assert!(
                place > place_before,
                "channel {channel}: subscribers {} and {} got {:?} and {:?} in different order",
                mine.subscriber,
                theirs.subscriber,
                mine.seen[index_before],
                mine.seen[index]
            );
            if index == index_before + 1 && !may_miss {
                let between = &theirs.seen[place_before + 1..place];
                let lost = between.iter().find(|p| p.publisher != mine.subscriber);
                assert!(
                    lost.is_none(),
                    "channel {channel}: subscriber {} lost {lost:?}, subscriber {} got it",
                    mine.subscriber,
                    theirs.subscriber
                );
            }
        }
        before = Some((index, place));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stretch(subscriber: u32, seen: &[(u32, u32)]) -> Stretch {
        let seen = seen.iter().map(|(publisher, seq)| Publication {
            publisher: *publisher,
            seq: *seq,
        });
        Stretch {
            subscriber,
            seen: seen.collect(),
        }
    }

    #[test]
    fn a_payload_reads_back() {
        let mut prng = Prng::new(1);
        let publication = Publication {
            publisher: 7,
            seq: 0xABC,
        };
        for size_max in [0, 18, 19, 500] {
            let payload = publication.payload(2, &mut prng, size_max);
            assert_eq!(Publication::parse(&payload), (2, publication));
        }
    }

    #[test]
    fn late_comers_and_own_publications_are_no_loss() {
        let all = [(1, 0), (2, 0), (1, 1), (2, 1)];
        let logs = [
            stretch(9, &all),
            stretch(8, &all[2..]),
            stretch(2, &[(1, 0), (1, 1)]),
        ];
        assert_eq!(check(0, &logs, false), 0);
    }

    #[test]
    #[should_panic(expected = "different order")]
    fn another_order_is_found() {
        check(
            0,
            &[stretch(8, &[(1, 0), (2, 0)]), stretch(9, &[(2, 0), (1, 0)])],
            true,
        );
    }

    #[test]
    #[should_panic(expected = "lost Some")]
    fn a_publication_that_only_others_saw_is_found() {
        let logs = [
            stretch(8, &[(1, 0), (2, 0), (1, 1)]),
            stretch(9, &[(1, 0), (1, 1)]),
        ];
        check(0, &logs, false);
    }

    #[test]
    #[should_panic(expected = "in mid-stream")]
    fn a_hole_in_the_numbers_is_found() {
        check(0, &[stretch(8, &[(1, 0), (1, 2)])], false);
    }

    #[test]
    fn holes_are_counted_where_they_may_be() {
        assert_eq!(check(0, &[stretch(8, &[(1, 0), (1, 3)])], true), 2);
    }

    #[test]
    #[should_panic(expected = "after number 1")]
    fn a_repetition_is_found() {
        check(
            0,
            &[
                stretch(8, &[(1, 0), (2, 0)]),
                stretch(9, &[(1, 1), (2, 5), (1, 1)]),
            ],
            true,
        );
    }
}
