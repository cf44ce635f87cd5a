//! Questions for streams to be adopted: when the owner's note of one is struck out.
//!
//! The note is made before the first question, and says that the stream is to end with its owner. An owner may ask
//! again before it is answered, and for what it has already: a refusal says nothing of the other questions.
//!
//! Invariant: the note stays while a question is open, and for good once one of them was answered with `Done`, or when
//! it was there before all of them.
//!
//! Limits: each question has a ticket.

use std::collections::HashMap;

use hioload_streams::StreamUid;

/// The open questions of an owner for one stream.
#[derive(Clone, Copy, Debug)]
struct Asked {
    count: u32,
    /// The note stays whatever comes.
    is_kept: bool,
}

/// The open questions, by owner and stream.
#[derive(Debug, Default)]
pub(super) struct Adoptions {
    open: HashMap<(StreamUid, StreamUid), Asked>,
}

impl Adoptions {
    /// One more question; `is_new`: the note was made for it.
    pub(super) fn ask(&mut self, owner: StreamUid, uid: StreamUid, is_new: bool) {
        let asked = self.open.entry((owner, uid)).or_insert(Asked {
            count: 0,
            is_kept: !is_new,
        });
        asked.count += 1;
    }

    /// A question is answered, or could not be sent. True when the note is to be struck out.
    pub(super) fn answer(&mut self, owner: StreamUid, uid: StreamUid, is_done: bool) -> bool {
        let Some(asked) = self.open.get_mut(&(owner, uid)) else {
            return false;
        };
        asked.count -= 1;
        asked.is_kept |= is_done;
        let (is_last, is_kept) = (asked.count == 0, asked.is_kept);
        if is_last {
            self.open.remove(&(owner, uid));
        }
        is_last && !is_kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_goes_when_all_who_asked_were_refused() {
        let uid = |number| StreamUid::new(0, number, 0, 1).expect("in range");
        let (owner, other) = (uid(1), uid(2));
        // Was the note there before; the answers; is it struck out by the last of them?
        for (was_there, answers, goes) in [
            (false, &[false][..], true),
            (false, &[true], false),
            (true, &[false], false),
            (false, &[false, false], true),
            (false, &[true, false], false),
            (false, &[false, true], false),
        ] {
            let mut adoptions = Adoptions::default();
            for place in 0..answers.len() {
                adoptions.ask(owner, other, !was_there && place == 0);
            }
            let (last, before) = answers.split_last().expect("one at least");
            for is_done in before {
                assert!(!adoptions.answer(owner, other, *is_done), "{answers:?}");
            }
            assert_eq!(adoptions.answer(owner, other, *last), goes, "{answers:?}");
            assert!(adoptions.open.is_empty());
        }
    }
}
