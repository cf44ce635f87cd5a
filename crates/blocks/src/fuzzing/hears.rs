//! What clients hear, held against the model.

use hioload_base::Time;

use super::clients::Client;
use super::world::{MIB, World};
use crate::fault::{Damage, Fault, PutError};
use crate::hash::Hash;
use crate::local::Event;
use crate::message::{Released, Stored};

const EIO: i32 = 5;

impl World {
    pub(super) fn may_be_full(&self) -> bool {
        // The contents, and what the pools hold, are more than the smaller files.
        self.controller_config.size_max < 64 * MIB || self.made.no_space || self.medium_is_small()
    }

    fn medium_is_small(&self) -> bool {
        self.controller.stats().space.grow_refusals > 0
    }

    pub(super) fn hear(&mut self, event: Event) {
        match event {
            Event::PutReady { key, user } => {
                self.seen.count("put ready");
                if let Some(Client::Put(put)) = self.clients.get(&user) {
                    assert_eq!(put.key, key);
                }
            }
            Event::Added { hash } => {
                let is_known = self.contents.iter().any(|content| content.hash == hash);
                assert!(is_known, "nobody sent {hash}");
                self.seen.count("added");
            }
            Event::Stored {
                user,
                hash,
                outcome,
                ..
            } => self.hear_stored(user, &hash, outcome),
            Event::PutFailed { user, error, .. } => self.hear_put_failed(user, error),
            Event::GetFound { user, .. } => {
                if let Some(Client::Get(get)) = self.clients.get(&user) {
                    let known = &mut self.contents[get.content];
                    if get.version == known.version {
                        assert_ne!(known.is_there(), Some(false), "{} was deleted", known.hash);
                        known.is_seen(true, self.made.poison);
                    }
                    self.start_get(user);
                }
            }
            Event::GetMissing { user, .. } => {
                if let Some(Client::Get(get)) = self.clients.remove(&user) {
                    self.seen.count("get missing");
                    let known = &mut self.contents[get.content];
                    if get.version == known.version {
                        assert_ne!(known.is_there(), Some(true), "{} is lost", known.hash);
                        known.is_seen(false, self.made.poison);
                    }
                }
            }
            Event::GetFailed { fault, .. } => panic!("{fault}"),
            Event::GetReady { .. } => {}
            Event::Damaged { user, damage, .. } => self.hear_damage(user, damage, "damaged"),
            Event::Broken { user, damage, .. } => self.hear_damage(user, damage, "broken"),
            Event::Deleted { user, outcome } => self.hear_deleted(user, &[outcome]),
            Event::DeletedMany { user, outcomes } => {
                self.seen.count("many deleted");
                self.hear_deleted(user, &outcomes);
            }
            Event::Missing {
                user,
                hashes,
                until,
            } => self.hear_missing(user, &hashes, until),
            Event::Referred { user, .. } | Event::Unreferred { user, .. } => {
                self.clients.remove(&user);
                self.referred.push(event);
            }
            Event::CallFailed { user, fault } => self.hear_call_failed(user, fault),
        }
    }

    fn hear_stored(&mut self, user: u64, hash: &Hash, outcome: Stored) {
        let Some(Client::Put(put)) = self.clients.remove(&user) else {
            // It was aborted when the event was on its way.
            return;
        };
        let content = &mut self.contents[put.content];
        assert!(
            !put.is_lying && put.is_ended && content.hash == *hash,
            "another content is stored"
        );
        content.put_ends(true);
        self.seen.count(match outcome {
            Stored::New => "stored new",
            Stored::Present => "stored present",
            Stored::Repaired => "stored repaired",
        });
        // Who came after it rotted wrote it anew.
        content.is_rotten &= outcome == Stored::Present || user < content.rotten_at;
    }

    fn hear_put_failed(&mut self, user: u64, error: PutError) {
        let Some(Client::Put(put)) = self.clients.remove(&user) else {
            return;
        };
        let content = &mut self.contents[put.content];
        match error {
            PutError::Mismatch { found } => {
                assert!(put.is_lying && found == content.hash);
                self.seen.count("mismatch");
                return content.put_ends(false);
            }
            PutError::Fault(Fault::NoSpace) => {
                self.seen.count("put failed: no space");
                content.put_ends(false);
                return assert!(self.may_be_full());
            }
            PutError::Fault(Fault::Io(code)) => {
                assert!(code == EIO && self.made.write_errors);
                self.seen.count("put failed: write error");
            }
            PutError::Fault(Fault::Poisoned) => {
                assert!(self.made.poison);
                self.seen.count("put failed: poisoned");
                return content.put_is_lost();
            }
            PutError::Fault(Fault::IndexFull) => {
                assert!(self.made.index_full);
                self.seen.count("put failed: index full");
            }
            error => panic!("{error}"),
        }
        content.put_ends(false);
    }

    fn hear_damage(&mut self, user: u64, damage: Damage, what: &str) {
        let Some(Client::Get(get)) = self.clients.remove(&user) else {
            return;
        };
        assert_eq!(
            what == "damaged",
            get.received == 0,
            "broken is what was begun"
        );
        self.seen.count(what);
        let content = &mut self.contents[get.content];
        let is_unreadable = !self.made.unreadable.is_empty();
        let is_excused = content.is_rotten || get.was_rotten || is_unreadable;
        assert!(is_excused, "{damage} in {}: {get:?}", content.hash);
        // It is on record now; only writing it again, or reading it right, takes that back.
        content.is_rotten |= is_unreadable;
    }

    fn hear_deleted(&mut self, user: u64, outcomes: &[Released]) {
        let Some(Client::Delete(delete)) = self.clients.remove(&user) else {
            return;
        };
        assert_eq!(outcomes.len(), delete.contents.len());
        for (content, outcome) in delete.contents.into_iter().zip(outcomes) {
            let content = &mut self.contents[content];
            let (what, is_absent) = match outcome {
                Released::Released => {
                    assert!(self.now >= content.promised, "it was promised to stay");
                    assert!(!content.cannot_be_deleted(), "it was not there");
                    ("deleted", true)
                }
                Released::Missing => ("delete of nothing", true),
                Released::Referenced => ("delete refused: referenced", false),
                Released::Promised { until } => {
                    assert!(*until > Time::ZERO);
                    ("delete refused: promised", false)
                }
                Released::Failed(fault) => panic!("{fault}"),
            };
            self.seen.count(what);
            content.delete_ends(is_absent);
        }
    }

    fn hear_missing(&mut self, user: u64, hashes: &[Hash], until: Time) {
        let Some(Client::Missing(client)) = self.clients.remove(&user) else {
            return;
        };
        self.seen.count("missing answered");
        for (at, content) in client.contents.iter().enumerate() {
            let content = &mut self.contents[*content];
            let is_missing = hashes.contains(&content.hash);
            // Of a content on record as damaged another copy is wanted, and who heard of that may have gone.
            let may_be_damaged = content.is_rotten || self.was_unreadable;
            if client.versions[at] == content.version && !may_be_damaged {
                assert_ne!(client.there[at], Some(is_missing), "{}", content.hash);
            }
            if !is_missing {
                content.promised = content.promised.max(until);
                self.seen.count("promised");
            }
        }
    }

    fn hear_call_failed(&mut self, user: u64, fault: Fault) {
        assert!(fault == Fault::Poisoned && self.made.poison, "{fault}");
        match self.clients.remove(&user) {
            Some(Client::Delete(delete)) => {
                self.seen.count("delete failed");
                for content in delete.contents {
                    self.contents[content].delete_is_lost();
                }
            }
            _ => panic!("only changes fail"),
        }
    }
}
