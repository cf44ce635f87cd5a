//! What every answer has to agree with: the contents, what is known of each, and the faults there were.

use std::time::Duration;

use hioload_base::Time;
use hioload_blocks::Hash;

use super::ask::{Ask, value};
use super::asker::Answer;
use super::content::{Content, State};
use super::stage::STEP;
use crate::event::{Event, Notes};

/// A request whose answer is to come, and what was known when it began.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) ask: Ask,
    at: Time,
    /// By content.
    known: Vec<Known>,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    content: usize,
    version: u64,
    is_there: Option<bool>,
    reference: State,
}

/// Which errors of the environment have an excuse.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Excuses {
    /// Space or index may be full.
    pub(super) is_full: bool,
    /// Reads may have found damage.
    pub(super) is_damaged: bool,
    /// Writes failed, or the store is poisoned.
    pub(super) has_failed: bool,
    /// Memory or tables may be short, or the server is on its way out.
    pub(super) is_busy: bool,
    /// The store is poisoned: what is seen may not be what the next start finds.
    pub(super) is_poisoned: bool,
    /// Bodies may come too slowly.
    pub(super) is_slow: bool,
    /// The server is on its way out: connections end.
    pub(super) is_draining: bool,
}

/// The judge.
pub(super) struct Judge {
    contents: Vec<Content>,
    pub(super) excuses: Excuses,
    grace: Duration,
    durability: &'static str,
    /// Requests for missing blocks were begun since all was at rest: deletes may be refused.
    has_promises: bool,
    /// A digest of all answers.
    pub(super) digest: u64,
    notes: Notes,
}

impl Judge {
    pub(super) fn new(
        contents: Vec<Content>,
        grace: Duration,
        durability: &'static str,
        notes: Notes,
    ) -> Self {
        Self {
            contents,
            excuses: Excuses::default(),
            grace,
            durability,
            has_promises: false,
            digest: 0,
            notes,
        }
    }

    pub(super) fn contents(&self) -> &[Content] {
        &self.contents
    }

    pub(super) fn contents_mut(&mut self) -> &mut [Content] {
        &mut self.contents
    }

    /// The server was started anew, or is at rest: nothing is under way.
    pub(super) fn settle(&mut self, is_new: bool) {
        for content in &mut self.contents {
            content.settles();
            if is_new {
                content.promised = Time::ZERO;
            }
        }
        self.has_promises &= !is_new;
    }

    /// A request begins.
    pub(super) fn begins(&mut self, ask: Ask, at: Time) -> Asked {
        let snapshot = |(content, it): (usize, &Content)| Known {
            content,
            version: it.version,
            is_there: it.is_there(),
            reference: if it.reference_moves > 0 {
                State::Unknown
            } else {
                it.reference
            },
        };
        let concerned = ask.contents();
        let mut known: Vec<Known> = concerned
            .iter()
            .map(|content| snapshot((*content, &self.contents[*content])))
            .collect();
        for content in &concerned {
            let it = &mut self.contents[*content];
            match &ask {
                Ask::Put { .. } => it.put_begins(),
                Ask::Delete { .. } | Ask::DeleteMany { .. } => it.delete_begins(),
                Ask::Refer { .. } | Ask::Unrefer { .. } => {
                    it.version += 1;
                    it.reference_moves += 1;
                }
                _ => {}
            }
        }
        self.has_promises |= matches!(ask, Ask::Missing { .. });
        for known in &mut known {
            known.version = self.contents[known.content].version;
        }
        Asked { ask, at, known }
    }

    /// A request will not be answered; `is_whole`: the server may have all of it.
    pub(super) fn lost(&mut self, asked: &Asked, is_whole: bool) {
        for content in asked.ask.contents() {
            let it = &mut self.contents[content];
            match (&asked.ask, is_whole) {
                (Ask::Put { .. }, true) => it.put_is_lost(),
                // Nothing is stored of a body that never came.
                (Ask::Put { .. }, false) => it.put_ends(false),
                (Ask::Delete { .. } | Ask::DeleteMany { .. }, true) => it.delete_is_lost(),
                (Ask::Delete { .. } | Ask::DeleteMany { .. }, false) => it.delete_ends(false),
                (Ask::Refer { .. } | Ask::Unrefer { .. }, true) => {
                    it.version += 1;
                    it.reference = State::Unknown;
                }
                (Ask::Refer { .. } | Ask::Unrefer { .. }, false) => {
                    it.version += 1;
                    it.reference_moves -= 1;
                }
                _ => {}
            }
        }
    }

    /// The first part of an answer, of which the rest will not come.
    pub(super) fn check_part(&self, asked: &Asked, answer: &Answer) {
        let Ask::Get { content, range, .. } = &asked.ask else {
            return;
        };
        let bytes = &self.contents[*content].bytes;
        let expected = match (
            answer.status,
            range.and_then(|range| range.within(bytes.len())),
        ) {
            (200, _) => &bytes[..],
            (206, Some((first, last))) => &bytes[first..=last],
            _ => return,
        };
        assert!(
            expected.starts_with(&answer.body),
            "wrong bytes in the first {} of {:?}",
            answer.body.len(),
            asked.ask
        );
        self.notes.add(Event::AnswerCut);
    }

    /// A request was answered.
    pub(super) fn answered(&mut self, asked: &Asked, answer: &Answer, now: Time) {
        let words = [u64::from(answer.status), answer.body.len() as u64];
        for word in words {
            self.digest = (self.digest ^ word).wrapping_mul(0x0100_0000_01b3);
        }
        if !asked.ask.is_head() && answer.status != 304 && answer.status != 204 {
            let length = answer.length.expect("every answer says how long it is");
            assert_eq!(answer.body.len() as u64, length, "{:?}", asked.ask);
        }
        if answer.status >= 500 || matches!(answer.status, 408 | 400) {
            self.check_error(asked, answer);
            // Want of space is certain: nothing was done.
            return self.lost(asked, answer.status != 507);
        }
        match asked.ask.clone() {
            Ask::Put { content, only_new } => self.put(asked, answer, content, only_new),
            Ask::PutWrong => assert_eq!(answer.status, 422, "a body under a wrong name"),
            Ask::Get { content, .. } => self.get(asked, answer, content),
            Ask::Delete { content } => {
                self.deleted(asked, answer.status, content, now);
            }
            Ask::DeleteMany { .. } => self.deleted_many(asked, answer, now),
            Ask::Missing { .. } => self.missing(asked, answer, now),
            Ask::Refer { content } => self.referred(asked, answer.status, content),
            Ask::Unrefer { content } => self.unreferred(asked, answer.status, content),
            Ask::Reference { content } => self.reference(asked, answer, content),
            Ask::Stats => assert_eq!(answer.status, 200),
        }
    }

    /// An error of the environment needs a reason.
    fn check_error(&mut self, asked: &Asked, answer: &Answer) {
        let Excuses {
            is_full,
            is_damaged,
            has_failed,
            is_busy,
            is_slow,
            ..
        } = self.excuses;
        let (event, is_excused) = match answer.status {
            507 => (Event::Full, is_full),
            503 => (Event::Unavailable, is_busy || has_failed),
            408 => (Event::TooSlow, is_slow),
            500 => (Event::Damaged, is_damaged || has_failed),
            _ => (Event::Damaged, false),
        };
        assert!(
            is_excused,
            "{} without a reason: {:?} to {asked:?}",
            answer.status,
            String::from_utf8_lossy(&answer.body)
        );
        self.notes.add(event);
    }

    /// Nothing changed since the request began.
    fn is_same(&self, known: &Known) -> bool {
        self.contents[known.content].version == known.version
    }

    fn put(&mut self, asked: &Asked, answer: &Answer, content: usize, only_new: bool) {
        let known = asked.known[0];
        let is_same = self.is_same(&known);
        let it = &mut self.contents[content];
        match answer.status {
            201 => {
                let was_there = is_same && known.is_there == Some(true);
                assert!(
                    !was_there || self.excuses.is_damaged,
                    "{} was new, though it was there",
                    it.hash
                );
                self.notes.add(Event::Stored);
            }
            200 | 412 => {
                let was_missing = is_same && known.is_there == Some(false);
                assert!(!was_missing, "{} was there, though it was not", it.hash);
                assert!(answer.status == 200 || only_new, "412 unasked");
                self.notes.add(Event::Present);
            }
            status => panic!("{status} to {asked:?}"),
        }
        if answer.status != 412 {
            let hash = it.hash.to_string();
            assert_eq!(answer.etag, format!("\"{hash}\"").as_bytes());
            assert_eq!(answer.body, hash.as_bytes());
            assert_eq!(answer.durability, self.durability.as_bytes());
        }
        it.put_ends(answer.status != 412);
    }

    fn get(&mut self, asked: &Asked, answer: &Answer, content: usize) {
        let Ask::Get {
            range,
            is_head,
            is_known,
            ..
        } = asked.ask
        else {
            return;
        };
        let known = asked.known[0];
        let is_same = self.is_same(&known);
        let it = &mut self.contents[content];
        let is_there = answer.status != 404;
        let contradicts = is_same && known.is_there == Some(!is_there);
        assert!(
            !contradicts,
            "{} ({} bytes): {} to {asked:?}",
            it.hash,
            it.bytes.len(),
            answer.status
        );
        if is_same && !self.excuses.is_poisoned {
            it.is_seen(is_there);
        }
        // RFC 9110 14.2: a range is for GET alone.
        let range = range.filter(|_| !is_head);
        let within = range.map(|range| range.within(it.bytes.len()));
        let (status, expected) = match within {
            _ if !is_there => return self.notes.add(Event::NotFound),
            _ if is_known => (304, None),
            None => (200, Some(&it.bytes[..])),
            Some(Some((first, last))) => (206, Some(&it.bytes[first..=last])),
            Some(None) => (416, None),
        };
        assert_eq!(answer.status, status, "to {asked:?}");
        if let Some(expected) = expected {
            assert_eq!(answer.length, Some(expected.len() as u64), "to {asked:?}");
            assert!(
                is_head || answer.body == expected,
                "wrong bytes: to {asked:?}"
            );
            assert_eq!(answer.etag, format!("\"{}\"", it.hash).as_bytes());
        }
        if let (206, Some(Some((first, last)))) = (status, within) {
            let expected = format!("bytes {first}-{last}/{}", it.bytes.len());
            assert_eq!(answer.content_range, expected.as_bytes());
        }
        self.notes.add(match status {
            304 => Event::NotModified,
            206 | 416 => Event::ServedRange,
            _ => Event::Served,
        });
    }

    /// One content of a request to delete: by its status.
    fn deleted(&mut self, asked: &Asked, status: u16, content: usize, now: Time) {
        let known = asked.known.iter().find(|known| known.content == content);
        let known = *known.expect("it was asked for");
        let is_same = self.is_same(&known);
        let has_promises = self.has_promises;
        let it = &mut self.contents[content];
        match status {
            204 => {
                assert!(
                    !(is_same && known.is_there == Some(false)),
                    "{} was deleted, though it was not there",
                    it.hash
                );
                assert!(
                    !(is_same && known.reference == State::Present),
                    "{} was deleted, though a reference held it",
                    it.hash
                );
                assert!(
                    asked.at < it.promised_from || now >= it.promised,
                    "{} was deleted, though it was promised until {:?}",
                    it.hash,
                    it.promised
                );
                self.notes.add(Event::Deleted);
            }
            404 => assert!(
                !(is_same && known.is_there == Some(true)),
                "{} was lost: not there to delete",
                it.hash
            ),
            409 => {
                let is_free = is_same && known.reference == State::Absent && !has_promises;
                assert!(!is_free, "nothing holds {}: {asked:?}", it.hash);
                assert!(
                    !(is_same && known.is_there == Some(false)),
                    "409 for {}, which is not there",
                    it.hash
                );
                self.notes.add(Event::Kept);
            }
            // One of many that could not be looked at.
            503 => {
                let is_excused = self.excuses.is_busy || self.excuses.has_failed;
                assert!(is_excused, "no reason: {asked:?}");
                self.notes.add(Event::Unavailable);
            }
            status => panic!("{status} to {asked:?}"),
        }
        it.delete_ends(matches!(status, 204 | 404));
    }

    fn deleted_many(&mut self, asked: &Asked, answer: &Answer, now: Time) {
        assert_eq!(answer.status, 200, "to {asked:?}");
        let body = String::from_utf8_lossy(&answer.body).into_owned();
        let part = |name: &str| {
            let start = body.find(&format!("\"{name}\"")).expect("a list");
            let rest = &body[start..];
            rest[..rest.find(']').expect("its end")].to_owned()
        };
        let lists = ["deleted", "missing", "kept", "failed"].map(part);
        for known in asked.known.clone() {
            let hash = self.contents[known.content].hash.to_string();
            let place = lists.iter().position(|list| list.contains(&hash));
            let status = [204, 404, 409, 503][place.expect("each is answered")];
            self.deleted(asked, status, known.content, now);
        }
    }

    fn missing(&mut self, asked: &Asked, answer: &Answer, now: Time) {
        assert_eq!(answer.status, 200, "to {asked:?}");
        let body = String::from_utf8_lossy(&answer.body).into_owned();
        for known in &asked.known {
            let is_same = self.is_same(known);
            let it = &mut self.contents[known.content];
            let is_missing = body.contains(&it.hash.to_string());
            let contradicts = is_same && known.is_there == Some(is_missing);
            // Who is asked for a damaged one wants it again.
            let is_excused = is_missing && self.excuses.is_damaged;
            assert!(
                !contradicts || is_excused,
                "{} is missing: {is_missing}, to {asked:?}",
                it.hash
            );
            if !is_missing {
                // The server's own clock started between the two, and a worker's is behind by a step at most.
                let grace = self.grace.saturating_sub(STEP);
                it.promised = it.promised.max(asked.at + grace);
                it.promised_from = now;
            }
        }
        self.notes.add(Event::AskedMissing);
    }

    fn referred(&mut self, asked: &Asked, status: u16, content: usize) {
        let known = asked.known[0];
        let is_same = self.is_same(&known);
        let it = &mut self.contents[content];
        it.version += 1;
        it.reference_moves -= 1;
        match status {
            201 | 204 => {
                it.reference = State::Present;
                self.notes.add(Event::Referred);
            }
            404 => {
                let was_there = is_same && known.is_there == Some(true);
                assert!(!was_there, "{} was lost: nothing to refer to", it.hash);
                it.reference = State::Absent;
            }
            status => panic!("{status} to {asked:?}"),
        }
        let is_new = status == 201;
        assert!(
            status == 404
                || known.reference == State::Unknown
                || is_new == (known.reference == State::Absent),
            "a reference to {} was new: {is_new}, it was {:?}",
            it.hash,
            known.reference
        );
    }

    fn unreferred(&mut self, asked: &Asked, status: u16, content: usize) {
        let known = asked.known[0];
        let it = &mut self.contents[content];
        it.version += 1;
        it.reference_moves -= 1;
        it.reference = State::Absent;
        let was_there = match status {
            204 => true,
            404 => false,
            status => panic!("{status} to {asked:?}"),
        };
        assert!(
            known.reference == State::Unknown || was_there == (known.reference == State::Present),
            "the reference to {} was there: {was_there}, it was {:?}",
            it.hash,
            known.reference
        );
    }

    fn reference(&mut self, asked: &Asked, answer: &Answer, content: usize) {
        let known = asked.known[0];
        let is_same = self.is_same(&known);
        let is_there = answer.status == 200;
        assert!(is_there || answer.status == 404, "to {asked:?}");
        let expected = known.reference != State::Absent;
        assert!(
            !is_same || known.reference == State::Unknown || is_there == expected,
            "{}: {} to {asked:?}",
            self.contents[content].hash,
            answer.status
        );
        if is_there {
            assert_eq!(answer.body, value(content).as_bytes());
        }
    }

    /// Which content has this name.
    pub(super) fn find(&self, hash: &Hash) -> Option<usize> {
        self.contents.iter().position(|it| it.hash == *hash)
    }
}

impl Ask {
    /// What it is about.
    pub(super) fn contents(&self) -> Vec<usize> {
        match self {
            Self::Put { content, .. }
            | Self::Get { content, .. }
            | Self::Delete { content }
            | Self::Refer { content }
            | Self::Unrefer { content }
            | Self::Reference { content } => vec![*content],
            Self::DeleteMany { contents } | Self::Missing { contents } => contents.clone(),
            Self::PutWrong | Self::Stats => Vec::new(),
        }
    }
}
