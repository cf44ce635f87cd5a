//! What clients do: put, get, delete, ask.
//!
//! What is answered at once is judged at once; the others wait in `World::clients`.

use std::time::Duration;

use hioload_mem::Segment;

use super::Bytes;
use super::clients::{Client, DeleteClient, GetClient, MissingClient, PutClient};
use super::model::State;
use super::world::World;
use crate::fault::{Fault, PutError};
use crate::hash::Hash;
use crate::local::{Event, GetBegin, GetPoll};
use crate::message::{Refer, Referred, Unrefer};

impl World {
    pub(super) fn user(&mut self, client: Client) -> u64 {
        let user = self.next_user;
        self.next_user += 1;
        self.clients.insert(user, client);
        user
    }

    pub(super) fn put(&mut self, worker: usize, bytes: &mut Bytes<'_>) {
        let content = bytes.below(self.contents.len());
        let wish = bytes.next();
        let length = (!wish.is_multiple_of(4)).then_some(self.contents[content].bytes.len() as u32);
        let is_lying = wish % 16 == 15;
        let expected = match wish / 16 % 2 {
            _ if is_lying => Some(Hash::of(b"something else")),
            0 => Some(self.contents[content].hash),
            _ => None,
        };
        let user = self.next_user;
        let store = &mut self.workers[worker].store;
        let key = match store.put_begin(self.now, user, expected, length) {
            Ok(key) => key,
            Err(PutError::Fault(Fault::NoSpace)) => {
                assert!(self.may_be_full());
                return self.seen.count("put refused: no space");
            }
            Err(PutError::Fault(Fault::Poisoned)) => return assert!(self.made.poison),
            Err(PutError::Fault(Fault::Busy)) => return,
            Err(error) => panic!("{error}"),
        };
        self.contents[content].put_begins();
        let put = PutClient {
            worker,
            content,
            key,
            sent: 0,
            is_ended: false,
            is_lying,
        };
        assert_eq!(self.user(Client::Put(put)), user);
    }

    pub(super) fn nth_client(&self, n: usize, wanted: fn(&Client) -> bool) -> Option<u64> {
        let users: Vec<u64> = self
            .clients
            .iter()
            .filter(|(_, client)| wanted(client))
            .map(|(user, _)| *user)
            .collect();
        (!users.is_empty()).then(|| users[n % users.len()])
    }

    pub(super) fn feed_some(&mut self, bytes: &mut Bytes<'_>) {
        let Some(user) = self.nth_client(bytes.next(), |client| matches!(client, Client::Put(_)))
        else {
            return;
        };
        let size = [1, 100, 4096, 5000, 70_000, usize::MAX][bytes.below(6)];
        self.feed(user, size);
    }

    pub(super) fn feed_all(&mut self) {
        let users: Vec<u64> = self.clients.keys().copied().collect();
        users.into_iter().for_each(|user| {
            self.feed(user, usize::MAX);
        });
    }

    /// Sends up to `size` bytes of a body, and its end. True when anything went.
    pub(super) fn feed(&mut self, user: u64, size: usize) -> bool {
        let Some(Client::Put(put)) = self.clients.get_mut(&user) else {
            return false;
        };
        if put.is_ended {
            return false;
        }
        let content = &self.contents[put.content].bytes;
        let end = put.sent.saturating_add(size).min(content.len());
        let store = &mut self.workers[put.worker].store;
        let taken = store.put_data(self.now, put.key, &content[put.sent..end]);
        if taken < end - put.sent {
            self.seen.count("body held back");
        }
        put.sent += taken;
        // The end may come later than the last byte.
        let is_whole = put.sent == content.len() && (taken == 0 || size == usize::MAX);
        if is_whole {
            put.is_ended = true;
            store.put_end(self.now, put.key);
        }
        taken > 0 || is_whole
    }

    pub(super) fn abort_some(&mut self, bytes: &mut Bytes<'_>) {
        let Some(user) = self.nth_client(bytes.next(), |client| {
            matches!(client, Client::Put(_) | Client::Get(_))
        }) else {
            return;
        };
        match self.clients.get(&user) {
            Some(Client::Put(put)) => {
                self.workers[put.worker].store.put_abort(self.now, put.key);
                // Its event may be on the way already.
                self.contents[put.content].put_is_lost();
                self.seen.count("put aborted");
            }
            Some(Client::Get(get)) => {
                self.workers[get.worker].store.get_abort(self.now, get.key);
                self.seen.count("get aborted");
            }
            _ => {}
        }
        self.clients.remove(&user);
    }

    pub(super) fn get(&mut self, worker: usize, bytes: &mut Bytes<'_>) {
        let content = bytes.below(self.contents.len());
        let length = self.contents[content].bytes.len();
        let wish = match bytes.below(3) {
            0 => (bytes.next() * length / 256, 1 + bytes.next() * length / 256),
            _ => (0, usize::MAX),
        };
        self.begin_get(worker, content, wish);
    }

    pub(super) fn look(&mut self, worker: usize, content: usize) {
        self.begin_get(worker, content, (0, usize::MAX));
    }

    pub(super) fn begin_get(&mut self, worker: usize, content: usize, wish: (usize, usize)) {
        let user = self.next_user;
        let known = &mut self.contents[content];
        let store = &mut self.workers[worker].store;
        let (key, head) = match store.get_begin(self.now, user, &known.hash) {
            Ok(GetBegin::Missing) => {
                self.seen.count("get missing");
                assert_ne!(known.is_there(), Some(true), "{} is lost", known.hash);
                return known.is_seen(false, self.made.poison);
            }
            Ok(GetBegin::Found(key, head)) => (key, Some(head)),
            Ok(GetBegin::Asked(key)) => (key, None),
            Err(Fault::Busy) => return,
            Err(fault) => panic!("{fault}"),
        };
        let get = GetClient {
            worker,
            content,
            range: None,
            wish,
            key,
            received: 0,
            version: known.version,
            was_rotten: known.is_rotten,
        };
        if head.is_some() {
            assert_ne!(known.is_there(), Some(false), "{} was deleted", known.hash);
            known.is_seen(true, self.made.poison);
        }
        assert_eq!(self.user(Client::Get(get)), user);
        if head.is_some() {
            self.start_get(user);
        }
    }

    pub(super) fn start_get(&mut self, user: u64) {
        let Some(Client::Get(get)) = self.clients.get_mut(&user) else {
            return;
        };
        let length = self.contents[get.content].bytes.len();
        let start = get.wish.0.min(length - 1);
        let end = start.saturating_add(get.wish.1).min(length);
        get.range = Some(start as u32..end as u32);
        self.workers[get.worker]
            .store
            .get_start(get.key, start as u32..end as u32);
    }

    pub(super) fn poll_some(&mut self, bytes: &mut Bytes<'_>) {
        let room = [0, 1, 1000, 65_536, 200_000, 1 << 20][bytes.below(6)];
        if let Some(user) = self.nth_client(bytes.next(), |client| matches!(client, Client::Get(_)))
        {
            self.poll_get(user, room);
        }
    }

    /// Takes what there is of a content. True when anything came.
    pub(super) fn poll_get(&mut self, user: u64, room: usize) -> bool {
        let Some(Client::Get(get)) = self.clients.get_mut(&user) else {
            return false;
        };
        let Some(range) = get.range.clone() else {
            return false;
        };
        let mut out: Vec<Segment> = Vec::new();
        let result = self.workers[get.worker]
            .store
            .get_poll(self.now, get.key, room, &mut out);
        let content = &self.contents[get.content].bytes[range.start as usize..range.end as usize];
        let before = get.received;
        for segment in &out {
            let expected = content.get(get.received..get.received + segment.len());
            assert!(expected == Some(&segment[..]), "a wrong byte");
            get.received += segment.len();
        }
        assert!(
            get.received - before <= room,
            "more than there was room for"
        );
        match result {
            GetPoll::Done => {
                assert_eq!(get.received, content.len(), "a part for the whole");
                let is_whole = content.len() == self.contents[get.content].bytes.len();
                self.seen
                    .count(if is_whole { "get whole" } else { "get range" });
                self.clients.remove(&user);
                return true;
            }
            GetPoll::Gone => assert!(out.is_empty()),
            GetPoll::Waiting => assert!(get.received - before < room),
            GetPoll::More => assert_eq!(get.received - before, room),
        }
        get.received > before
    }

    pub(super) fn delete(&mut self, worker: usize, bytes: &mut Bytes<'_>) {
        let content = bytes.below(self.contents.len());
        let is_many = bytes.below(4) == 0;
        let contents = if is_many {
            vec![content, (content + 1) % self.contents.len()]
        } else {
            vec![content]
        };
        let hashes: Vec<Hash> = contents
            .iter()
            .map(|content| self.contents[*content].hash)
            .collect();
        let user = self.next_user;
        let store = &mut self.workers[worker].store;
        let result = if is_many {
            store.delete_many(user, hashes.into())
        } else {
            store.delete(user, &hashes[0])
        };
        match result {
            Ok(()) => {
                contents
                    .iter()
                    .for_each(|content| self.contents[*content].delete_begins());
                self.user(Client::Delete(DeleteClient { contents }));
            }
            Err(Fault::Busy) => {}
            Err(fault) => assert!(fault == Fault::Poisoned && self.made.poison),
        }
    }

    pub(super) fn missing(&mut self, worker: usize, bytes: &mut Bytes<'_>) {
        let first = bytes.below(self.contents.len());
        let contents: Vec<usize> = (first..first + 4)
            .map(|n| n % self.contents.len())
            .collect();
        let of = |n: &usize| &self.contents[*n];
        let hashes: Vec<Hash> = contents.iter().map(|n| of(n).hash).collect();
        let client = MissingClient {
            versions: contents.iter().map(|n| of(n).version).collect(),
            there: contents.iter().map(|n| of(n).is_there()).collect(),
            contents,
        };
        let user = self.next_user;
        let store = &mut self.workers[worker].store;
        match store.missing(user, hashes, Duration::from_millis(500)) {
            Ok(()) => {
                self.user(Client::Missing(client));
            }
            Err(fault) => assert_eq!(fault, Fault::Busy),
        }
    }

    /// A reference is kept, holds its block, and is forgotten: a story of its own, at rest.
    pub(super) fn refer(&mut self, worker: usize, bytes: &mut Bytes<'_>) {
        self.rest();
        let content = bytes.below(self.contents.len());
        if !self.controller_config.durability.is_durable() {
            // A crash may have brought an old reference back.
            return;
        }
        if self.made.poison
            || self.made.index_full
            || self.contents[content].is_there() != Some(true)
        {
            return;
        }
        let hash = self.contents[content].hash;
        let call = Refer {
            hash,
            name: b"lock".as_slice().into(),
            value: b"mine".as_slice().into(),
            only_new: true,
        };
        let expected = [Referred::New, Referred::Exists];
        for outcome in expected {
            let user = self.user(Client::Other);
            self.workers[worker]
                .store
                .refer(user, call.clone())
                .expect("room");
            self.rest();
            let event = self.referred.pop();
            assert_eq!(event, Some(Event::Referred { user, outcome }));
        }
        self.contents[content].delete_begins();
        let contents = vec![content];
        let user = self.user(Client::Delete(DeleteClient { contents }));
        self.workers[worker]
            .store
            .delete(user, &hash)
            .expect("room");
        self.rest();
        self.contents[content].state = State::Present;
        let user = self.user(Client::Other);
        let call = Unrefer {
            hash,
            name: b"lock".as_slice().into(),
        };
        self.workers[worker]
            .store
            .unrefer(user, call)
            .expect("room");
        self.rest();
        let was_there = true;
        assert_eq!(
            self.referred.pop(),
            Some(Event::Unreferred { user, was_there })
        );
        self.look(worker, content);
    }
}
