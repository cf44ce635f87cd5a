//! What is neither PUT nor GET: deletes, references, and the question which of many blocks are missing.
//!
//! Each is one request to the controller and one event. Must not know HTTP. Limits: calls at a time, hashes of one call.

use std::time::Duration;

use super::LocalStore;
use super::desk::Asked;
use super::event::Event;
use super::lookups::Question;
use crate::fault::Fault;
use crate::hash::Hash;
use crate::index::{EachBlock, IndexError, REFERENCE_NAME_SIZE_MAX, REFERENCE_VALUE_SIZE_MAX};
use crate::message::{Refer, Reply, Request, Unrefer};

impl LocalStore {
    /// Forgets a block. [`Event::Deleted`] or [`Event::CallFailed`] follows.
    ///
    /// # Errors
    /// [`Fault::Busy`] at the limit of calls, [`Fault::Poisoned`].
    pub fn delete(&mut self, user: u64, hash: &Hash) -> Result<(), Fault> {
        self.admit_change()?;
        let hash = *hash;
        self.desk
            .ask(Asked::Delete { user, hash }, |id| Request::Release {
                id,
                hash,
            });
        Ok(())
    }

    /// Forgets many blocks. [`Event::DeletedMany`] or [`Event::CallFailed`] follows.
    ///
    /// # Errors
    /// [`Fault::Busy`] at the limit of calls, [`Fault::Misuse`] for more hashes than a call may name, [`Fault::Poisoned`].
    pub fn delete_many(&mut self, user: u64, hashes: Box<[Hash]>) -> Result<(), Fault> {
        self.admit_hashes(&hashes)?;
        self.admit_change()?;
        let asked = Asked::DeleteMany { user };
        self.desk
            .ask(asked, |id| Request::ReleaseMany { id, hashes });
        Ok(())
    }

    /// Asks which of these are not there, or damaged, content or row. The others are promised to stay for `grace`. [`Event::Missing`] or
    /// [`Event::CallFailed`] follows, for many of them after some turns.
    ///
    /// # Errors
    /// [`Fault::Busy`] at the limit of calls, [`Fault::Misuse`] for more hashes than a call may name.
    pub fn missing(&mut self, user: u64, hashes: Vec<Hash>, grace: Duration) -> Result<(), Fault> {
        self.admit_hashes(&hashes)?;
        self.admit()?;
        self.lookups.push(user, hashes, grace);
        self.look_up();
        Ok(())
    }

    /// Goes on with the questions for what is missing, as far as this turn may.
    pub(super) fn look_up(&mut self) {
        loop {
            let (reader, scratch) = (self.reader.as_mut(), &mut self.scratch);
            let next = self.lookups.next(|hash| match reader.block(hash, scratch) {
                Ok(is_there) => Ok(is_there && !scratch.is_damaged()),
                // A PUT replaces a row that cannot be read.
                Err(IndexError::Corrupt { .. }) => Ok(false),
                Err(error) => Err(Fault::from(&error)),
            });
            let Some((question, outcome)) = next else {
                return;
            };
            match outcome {
                Ok(()) => self.looked_up(question),
                Err(fault) => self.desk.events.push_back(Event::CallFailed {
                    user: question.user,
                    fault,
                }),
            }
        }
    }

    /// What was found is to stay for a while.
    fn looked_up(&mut self, question: Question) {
        let Question {
            user,
            grace,
            found,
            missing,
            ..
        } = question;
        let until = self.desk.now + grace;
        if found.is_empty() {
            return self.desk.events.push_back(Event::Missing {
                user,
                hashes: missing.into_boxed_slice(),
                until,
            });
        }
        let asked = Asked::Missing {
            user,
            missing,
            until,
        };
        let hashes = found.into_boxed_slice();
        self.desk
            .ask(asked, |id| Request::Promise { id, hashes, until });
    }

    /// Keeps a named reference. [`Event::Referred`] or [`Event::CallFailed`] follows.
    ///
    /// # Errors
    /// [`Fault::Busy`] at the limit of calls, [`Fault::Misuse`] for a name or value out of bounds, [`Fault::Poisoned`].
    pub fn refer(&mut self, user: u64, call: Refer) -> Result<(), Fault> {
        let is_legal = is_name(&call.name) && call.value.len() <= REFERENCE_VALUE_SIZE_MAX;
        if !is_legal {
            return Err(Fault::Misuse);
        }
        self.admit_change()?;
        let call = Box::new(call);
        self.desk
            .ask(Asked::Refer { user }, |id| Request::Refer { id, call });
        Ok(())
    }

    /// Forgets a named reference. [`Event::Unreferred`] or [`Event::CallFailed`] follows.
    ///
    /// # Errors
    /// [`Fault::Busy`] at the limit of calls, [`Fault::Misuse`] for a name out of bounds, [`Fault::Poisoned`].
    pub fn unrefer(&mut self, user: u64, call: Unrefer) -> Result<(), Fault> {
        if !is_name(&call.name) {
            return Err(Fault::Misuse);
        }
        self.admit_change()?;
        let call = Box::new(call);
        self.desk
            .ask(Asked::Unrefer { user }, |id| Request::Unrefer { id, call });
        Ok(())
    }

    /// Whether a block is there and not known to be damaged.
    ///
    /// # Errors
    /// [`Fault::Index`] when the index cannot be read.
    pub fn has(&mut self, hash: &Hash) -> Result<bool, Fault> {
        let found = self.reader.block(hash, &mut self.scratch);
        let is_there = found.map_err(|error| Fault::from(&error))?;
        Ok(is_there && !self.scratch.is_damaged())
    }

    /// Reads the value of a reference in place of what is in `into`; false when there is none.
    ///
    /// # Errors
    /// [`Fault::Misuse`] for a name out of bounds, [`Fault::Index`].
    pub fn reference(
        &mut self,
        hash: &Hash,
        name: &[u8],
        into: &mut Vec<u8>,
    ) -> Result<bool, Fault> {
        let found = self.reader.reference(hash, name, into);
        found.map_err(|error| Fault::from(&error))
    }

    /// Calls `each` with name and value of each reference of a block. Returns their number.
    ///
    /// # Errors
    /// [`Fault::Index`].
    pub fn references(
        &mut self,
        hash: &Hash,
        each: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<u64, Fault> {
        let found = self.reader.references(hash, each);
        found.map_err(|error| Fault::from(&error))
    }

    /// Walks at most `count_max` rows of blocks from `from` on, in the order of hashes; each is a block, or cannot be read.
    /// Returns where to go on; `None` at the end. The worker does nothing else meanwhile: some tenths of a microsecond for each row.
    ///
    /// # Errors
    /// What `each` returned; [`Fault::Index`] when the index cannot be read.
    pub fn list(
        &mut self,
        from: &Hash,
        count_max: u64,
        each: EachBlock<'_>,
    ) -> Result<Option<Hash>, Fault> {
        let walked = self.reader.scan_from(from, count_max, each);
        walked.map_err(|error| Fault::from(&error))
    }

    /// The controller's word on a call.
    pub(super) fn finish_call(&mut self, asked: Asked, reply: Reply) {
        let event = match (asked, reply) {
            (Asked::Delete { user, hash }, Reply::Released { outcome, .. }) => {
                // Lookups come first, so it would not be served; but it need not take the place of others.
                self.gets.cache().remove(&hash);
                Event::Deleted { user, outcome }
            }
            (Asked::DeleteMany { user }, Reply::ReleasedMany { outcomes, .. }) => {
                Event::DeletedMany { user, outcomes }
            }
            (
                Asked::Missing {
                    user,
                    mut missing,
                    until,
                },
                Reply::Promised { gone, .. },
            ) => {
                missing.extend_from_slice(&gone);
                Event::Missing {
                    user,
                    hashes: missing.into_boxed_slice(),
                    until,
                }
            }
            (Asked::Refer { user }, Reply::Referred { outcome, .. }) => {
                Event::Referred { user, outcome }
            }
            (Asked::Unrefer { user }, Reply::Unreferred { was_there, .. }) => {
                Event::Unreferred { user, was_there }
            }
            (
                Asked::Delete { user, .. }
                | Asked::DeleteMany { user }
                | Asked::Missing { user, .. }
                | Asked::Refer { user }
                | Asked::Unrefer { user },
                reply,
            ) => {
                let fault = match reply {
                    Reply::Failed { fault, .. } => fault,
                    _ => Fault::Misuse,
                };
                Event::CallFailed { user, fault }
            }
            (Asked::Lease { .. } | Asked::Put(_) | Asked::Lookup(_), _) => return,
        };
        self.desk.events.push_back(event);
    }

    fn admit(&self) -> Result<(), Fault> {
        if self.desk.call_count + self.lookups.len() >= self.desk.config.calls_max {
            return Err(Fault::Busy);
        }
        Ok(())
    }

    fn admit_change(&self) -> Result<(), Fault> {
        if self.desk.is_poisoned {
            return Err(Fault::Poisoned);
        }
        self.admit()
    }

    fn admit_hashes(&self, hashes: &[Hash]) -> Result<(), Fault> {
        if hashes.len() > self.desk.config.hashes_max {
            return Err(Fault::Misuse);
        }
        Ok(())
    }
}

fn is_name(name: &[u8]) -> bool {
    (1..=REFERENCE_NAME_SIZE_MAX).contains(&name.len())
}
