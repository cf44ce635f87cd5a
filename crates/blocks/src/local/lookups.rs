//! Which of many blocks are missing: looked up some in a turn, so that a long question holds nobody else up.
//!
//! ```text
//!   missing ─▶ in line ─▶ ROWS_MAX rows a turn, the first in line first ─▶ all looked up ─▶ the controller promises what was found
//! ```
//!
//! The index is looked at anew in each turn; what was found is asked for again by the controller, so what was deleted meanwhile
//! is missing. Limits: [`ROWS_MAX`] rows in a turn, for all questions of the worker; those in line count among its calls.

use std::collections::VecDeque;
use std::time::Duration;
use std::vec::IntoIter;

use crate::fault::Fault;
use crate::hash::Hash;

/// Rows looked up in one turn: less than a millisecond.
pub(super) const ROWS_MAX: usize = 512;

/// A question, and what is known of its answer.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) user: u64,
    pub(super) grace: Duration,
    pub(super) found: Vec<Hash>,
    pub(super) missing: Vec<Hash>,
    rest: IntoIter<Hash>,
}

/// The questions of a worker.
#[derive(Debug)]
pub(super) struct Lookups {
    line: VecDeque<Question>,
    /// Rows that may still be looked up in this turn.
    left: usize,
}

impl Lookups {
    pub(super) fn new() -> Lookups {
        Lookups {
            line: VecDeque::new(),
            left: ROWS_MAX,
        }
    }

    /// Questions that have no answer yet.
    pub(super) fn len(&self) -> usize {
        self.line.len()
    }

    pub(super) fn push(&mut self, user: u64, hashes: Vec<Hash>, grace: Duration) {
        self.line.push_back(Question {
            user,
            grace,
            found: Vec::new(),
            missing: Vec::new(),
            rest: hashes.into_iter(),
        });
    }

    /// A turn begins.
    pub(super) fn renew(&mut self) {
        self.left = ROWS_MAX;
    }

    /// Looks up what this turn has rows for, with `is_there`. Returns the next question that is through, and the fault that ended
    /// it early; `None` when there is none in this turn.
    pub(super) fn next(
        &mut self,
        mut is_there: impl FnMut(&Hash) -> Result<bool, Fault>,
    ) -> Option<(Question, Result<(), Fault>)> {
        let question = self.line.front_mut()?;
        let mut outcome = Ok(());
        while let Some(hash) = question.rest.as_slice().first().copied() {
            if self.left == 0 {
                return None;
            }
            self.left -= 1;
            question.rest.next();
            match is_there(&hash) {
                Ok(true) => question.found.push(hash),
                Ok(false) => question.missing.push(hash),
                Err(fault) => {
                    outcome = Err(fault);
                    break;
                }
            }
        }
        let question = self.line.pop_front()?;
        Some((question, outcome))
    }
}
