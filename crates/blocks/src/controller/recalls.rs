//! Who may have blocks at hand that a PUT of another worker waits for.
//!
//! ```text
//!   no space for a PUT ─▶ Recall to each who may have some ─▶ ReturnMany …, Recalled ─▶ tried again ─▶ nobody has any: refused
//! ```
//!
//! A worker that has answered keeps nothing at hand until it is given more than its PUTs need. Messages of one worker keep their
//! order, so the controller knows who that may be, and who has nothing is not asked: in a store that stays full nobody is, in one
//! with space neither. Must not know blocks nor who waits.
//!
//! Limit: one question a worker is unanswered. A worker answers it at once, whatever it waits for itself.

#[derive(Clone, Copy, Debug)]
struct Worker {
    is_asked: bool,
    /// It was given more than its PUTs needed since it was asked last.
    has_more: bool,
}

#[derive(Debug)]
pub(super) struct Recalls(Vec<Worker>);

impl Recalls {
    pub(super) fn new(workers: usize) -> Recalls {
        let worker = Worker {
            is_asked: false,
            // Blocks come back that PUTs did not use: it is asked once.
            has_more: true,
        };
        Recalls(vec![worker; workers])
    }

    /// A worker is given more blocks than its PUTs need.
    pub(super) fn given_more(&mut self, worker: usize) {
        self.0[worker].has_more = true;
    }

    /// A worker has returned what it had at hand. Nobody is believed who was not asked.
    pub(super) fn answered(&mut self, worker: usize) {
        self.0[worker].is_asked = false;
    }

    /// Whether blocks may come back from somebody who `holds` some.
    pub(super) fn may_bring(&self, holds: impl Fn(usize) -> bool) -> bool {
        let mut workers = self.0.iter().enumerate();
        workers.any(|(index, worker)| (worker.is_asked || worker.has_more) && holds(index))
    }

    /// Calls `ask` for each worker that is to be asked now.
    pub(super) fn ask(&mut self, holds: impl Fn(usize) -> bool, mut ask: impl FnMut(usize)) {
        for (index, worker) in self.0.iter_mut().enumerate() {
            if worker.has_more && !worker.is_asked && holds(index) {
                *worker = Worker {
                    is_asked: true,
                    has_more: false,
                };
                ask(index);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOBODY: [usize; 0] = [];

    fn asked(recalls: &mut Recalls, holders: &[usize]) -> Vec<usize> {
        let mut asked = Vec::new();
        recalls.ask(
            |worker| holders.contains(&worker),
            |worker| asked.push(worker),
        );
        asked
    }

    #[test]
    fn who_holds_nothing_or_was_asked_is_not_asked() {
        let mut recalls = Recalls::new(3);
        assert!(!recalls.may_bring(|_| false));
        assert_eq!(asked(&mut recalls, &[1, 2]), [1, 2]);
        assert_eq!(asked(&mut recalls, &[0, 1, 2]), [0]);
        assert_eq!(asked(&mut recalls, &[0, 1, 2]), NOBODY);
        for worker in 0..3 {
            assert!(recalls.may_bring(|_| true), "{worker} has not answered");
            recalls.answered(worker);
        }
        assert!(!recalls.may_bring(|_| true));
    }

    #[test]
    fn who_is_given_more_before_it_has_answered_is_asked_again_afterwards() {
        let mut recalls = Recalls::new(1);
        assert_eq!(asked(&mut recalls, &[0]), [0]);
        recalls.given_more(0);
        assert_eq!(asked(&mut recalls, &[0]), NOBODY);
        recalls.answered(0);
        assert!(recalls.may_bring(|_| true));
        assert_eq!(asked(&mut recalls, &[0]), [0]);
        recalls.answered(0);
        assert_eq!(asked(&mut recalls, &[0]), NOBODY);
    }

    #[test]
    fn an_answer_to_no_question_changes_nothing() {
        let mut recalls = Recalls::new(1);
        recalls.answered(0);
        assert!(recalls.may_bring(|_| true));
        assert_eq!(asked(&mut recalls, &[0]), [0]);
    }
}
