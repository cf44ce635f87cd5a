//! Freed blocks that readers may still hold.
//!
//! ```text
//!   commit of a release ─▶ epoch 7 ─▶ Retire(7) to each worker ─▶ all have answered Retired(≥ 7) ─▶ free again
//! ```
//!
//! A worker whose GET looked the block up before the commit answers only when that GET has read what it needs; one that looks
//! later does not find the block. So a block is never written under a reader. Must not know who reads.
//!
//! Limits: one question a worker is unanswered, later epochs are asked for together; 16 bytes for each waiting block.

use std::collections::VecDeque;

use crate::block::Block;

#[derive(Clone, Copy, Debug, Default)]
struct Worker {
    asked: u64,
    answered: u64,
}

#[derive(Debug)]
pub(super) struct Retirement {
    epoch: u64,
    /// In the order of epochs.
    waiting: VecDeque<(u64, Block)>,
    workers: Vec<Worker>,
}

impl Retirement {
    pub(super) fn new(workers: usize) -> Retirement {
        Retirement {
            epoch: 0,
            waiting: VecDeque::new(),
            workers: vec![Worker::default(); workers],
        }
    }

    /// These blocks are in no committed state any more.
    pub(super) fn retire(&mut self, blocks: impl Iterator<Item = Block>) {
        let epoch = self.epoch + 1;
        let before = self.waiting.len();
        self.waiting.extend(blocks.map(|block| (epoch, block)));
        if self.waiting.len() > before {
            self.epoch = epoch;
        }
    }

    /// Calls `ask` for each worker that is to be asked now, with the epoch.
    pub(super) fn ask(&mut self, mut ask: impl FnMut(usize, u64)) {
        if self.waiting.is_empty() {
            return;
        }
        for (index, worker) in self.workers.iter_mut().enumerate() {
            if worker.answered == worker.asked && worker.asked < self.epoch {
                worker.asked = self.epoch;
                ask(index, self.epoch);
            }
        }
    }

    /// A worker's answer. Nobody is believed who answers what was not asked.
    pub(super) fn answered(&mut self, worker: usize, epoch: u64) {
        let worker = &mut self.workers[worker];
        worker.answered = worker.answered.max(epoch.min(worker.asked));
    }

    /// A block that no reader holds any more.
    pub(super) fn next_free(&mut self) -> Option<Block> {
        let answered = self.workers.iter().map(|worker| worker.answered);
        let epoch = answered.min().unwrap_or(self.epoch);
        let (waits_for, _) = self.waiting.front()?;
        if *waits_for > epoch {
            return None;
        }
        self.waiting.pop_front().map(|(_, block)| block)
    }

    /// Blocks that wait.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::class::Class;

    fn block(unit: u32) -> Block {
        Block::new(unit, Class::MIN).expect("aligned")
    }

    fn asked(retirement: &mut Retirement) -> Vec<(usize, u64)> {
        let mut asked = Vec::new();
        retirement.ask(|worker, epoch| asked.push((worker, epoch)));
        asked
    }

    #[test]
    fn a_block_is_free_when_every_worker_has_answered() {
        let mut retirement = Retirement::new(2);
        assert_eq!(asked(&mut retirement), []);
        retirement.retire([block(1), block(2)].into_iter());
        assert_eq!(asked(&mut retirement), [(0, 1), (1, 1)]);
        retirement.answered(0, 1);
        assert_eq!(retirement.next_free(), None);
        retirement.answered(1, 1);
        assert_eq!(retirement.next_free(), Some(block(1)));
        assert_eq!(retirement.next_free(), Some(block(2)));
        assert_eq!((retirement.next_free(), retirement.len()), (None, 0));
    }

    #[test]
    fn one_question_is_unanswered_and_the_next_is_for_all_epochs_since() {
        let mut retirement = Retirement::new(1);
        for unit in 1..4 {
            retirement.retire([block(unit)].into_iter());
            let expected: &[(usize, u64)] = if unit == 1 { &[(0, 1)] } else { &[] };
            assert_eq!(asked(&mut retirement), expected);
        }
        retirement.answered(0, 1);
        assert_eq!(
            (retirement.next_free(), retirement.next_free()),
            (Some(block(1)), None)
        );
        assert_eq!(asked(&mut retirement), [(0, 3)]);
        retirement.answered(0, 3);
        assert_eq!(retirement.len(), 2);
        assert_eq!(retirement.next_free(), Some(block(2)));
    }

    #[test]
    fn an_answer_to_no_question_frees_nothing() {
        let mut retirement = Retirement::new(1);
        retirement.retire([block(1)].into_iter());
        retirement.answered(0, u64::MAX);
        assert_eq!(retirement.next_free(), None);
        assert_eq!(asked(&mut retirement), [(0, 1)]);
    }

    #[test]
    fn nothing_freed_is_no_epoch_and_nobody_to_ask_frees_at_once() {
        let mut retirement = Retirement::new(1);
        retirement.retire([].into_iter());
        assert_eq!(retirement.epoch(), 0);
        let mut alone = Retirement::new(0);
        alone.retire([block(1)].into_iter());
        assert_eq!(alone.next_free(), Some(block(1)));
    }
}
