//! Reads and writes of simulated files: begun when submissions take effect, done when their completion is
//! reaped.

use hioload_base::Key;

use super::disk::Ticket;
use super::driver::{Entry, Posted, SimDriver};
use super::fault::Fault;
use crate::completion::Completion;
use crate::driver::StartError;
use crate::file::{FileHandle, FileOp, next_id, unfit};
use crate::id::{FileId, OpId};
use crate::op::Reject;

/// One operation in flight.
#[derive(Debug)]
pub(super) struct Slot {
    op: FileOp,
    /// Present once the disk has it.
    ticket: Option<Ticket>,
    is_cancelled: bool,
}

impl SimDriver {
    pub(super) fn take_file(&mut self, handle: FileHandle) -> Result<FileId, StartError> {
        let FileHandle::Sim(file) = handle else {
            return Err(unfit("simulation", "simulated files"));
        };
        let id = next_id(self.files.len())?;
        self.files.push(file);
        Ok(id)
    }

    pub(super) fn start_file_op(&mut self, op: FileOp) -> Result<OpId, Reject> {
        if usize::from(op.file.0) >= self.files.len() {
            return Err(Reject::Stale);
        }
        let slot = Slot {
            op,
            ticket: None,
            is_cancelled: false,
        };
        let Ok(key) = self.file_ops.insert(slot) else {
            self.stats.files.refused += 1;
            return Err(Reject::Full);
        };
        self.stats.in_flight += 1;
        self.stats.files.start();
        self.submissions.push_back(Entry::File(key));
        let slot = self.file_ops.get(key).expect("invariant: inserted above");
        Ok(slot.op.id(key))
    }

    /// The disk gets to know of it.
    pub(super) fn begin_file_op(&mut self, key: Key) {
        let Some(slot) = self.file_ops.get_mut(key) else {
            return;
        };
        let file = &self.files[usize::from(slot.op.file.0)];
        let (ticket, latency) = file.start(&slot.op);
        slot.ticket = Some(ticket);
        let mut net = self.net.borrow_mut();
        let (due, seq) = (net.now + latency, net.next_seq());
        self.completions.insert((due, seq), Posted::File(key));
    }

    pub(super) fn cancel_file_op(&mut self, key: Key) {
        let Some(slot) = self.file_ops.get_mut(key) else {
            self.stats.cancel_late += 1;
            return;
        };
        slot.is_cancelled |= !self.net.borrow_mut().fires(Fault::CancelLost);
    }

    /// Its time has come.
    pub(super) fn end_file_op(&mut self, key: Key) -> Option<Completion> {
        let mut slot = self.file_ops.remove(key)?;
        let ticket = slot.ticket?;
        let file = &self.files[usize::from(slot.op.file.0)];
        let result = if slot.is_cancelled {
            file.abandon(ticket, &slot.op);
            Err(libc::ECANCELED)
        } else {
            file.finish(ticket, &mut slot.op)
        };
        self.stats.in_flight -= 1;
        self.stats.files.finish(&slot.op, result);
        Some(slot.op.finish(result))
    }

    /// The process is gone: what the disk has begun, it may or may not do.
    pub(super) fn abandon_file_ops(&mut self) {
        for (_, slot) in &self.file_ops {
            if let Some(ticket) = slot.ticket {
                self.files[usize::from(slot.op.file.0)].abandon(ticket, &slot.op);
            }
        }
    }
}
