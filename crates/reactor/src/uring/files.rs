//! Reads and writes of files: a slot each, so that several are in flight on one file.
//!
//! ```text
//!  Op::Read ─▶ slot (owns the buffer) ─▶ IORING_OP_READ ─┬─▶ Completion::Read, slot free
//!                 ▲                                      │
//!                 └─── EAGAIN, EINTR: started again ◀────┘
//! ```
//!
//! Invariants: a slot's buffer is not touched between submit and completion; files are closed after the
//! ring has let go of everything. Descriptors are ordinary ones: a fixed file saves one atomic increment
//! per operation.
//!
//! Source: io_uring_enter(2), `IORING_OP_READ` and `IORING_OP_WRITE` (Linux 5.6).

use std::os::fd::AsRawFd;

use hioload_base::Key;
use io_uring::opcode;
use io_uring::types::Fd;

use super::UringDriver;
use super::tag::{Kind, matches, tag};
use crate::completion::Completions;
use crate::driver::StartError;
use crate::file::{FileHandle, FileOp, next_id, unfit};
use crate::id::{FileId, OpId};
use crate::op::Reject;

impl UringDriver {
    pub(super) fn take_file(&mut self, handle: FileHandle) -> Result<FileId, StartError> {
        let FileHandle::System(file) = handle else {
            return Err(unfit("io_uring", "files of the system"));
        };
        let id = next_id(self.files.len())?;
        self.files.push(file);
        Ok(id)
    }

    pub(super) fn start_file_op(&mut self, op: FileOp) -> Result<OpId, Reject> {
        if usize::from(op.file.0) >= self.files.len() {
            return Err(Reject::Stale);
        }
        let key = match self.file_ops.insert(op) {
            Ok(key) => key,
            Err(_) => {
                self.stats.files.refused += 1;
                return Err(Reject::Full);
            }
        };
        self.stats.files.start();
        self.push_file_op(key);
        Ok(self
            .file_ops
            .get(key)
            .expect("invariant: inserted above")
            .id(key))
    }

    /// Puts the operation of a slot on the queue.
    fn push_file_op(&mut self, key: Key) {
        let op = self
            .file_ops
            .get_mut(key)
            .expect("invariant: only a slot in use is pushed");
        let fd = Fd(self.files[usize::from(op.file.0)].as_raw_fd());
        let len = u32::try_from(op.len).expect("invariant: a buffer is below 4 GiB");
        // The buffer's memory does not move with its slot, and the slot stays until the completion.
        let (entry, kind) = if op.is_write {
            let start = op.buffer.as_slice().as_ptr();
            let entry = opcode::Write::new(fd, start, len).offset(op.offset);
            (entry.build(), Kind::FileWrite)
        } else {
            let start = op.buffer.spare_mut().as_mut_ptr();
            let entry = opcode::Read::new(fd, start, len).offset(op.offset);
            (entry.build(), Kind::FileRead)
        };
        self.push(entry.user_data(tag(kind, key)));
    }

    pub(super) fn file_op_over(
        &mut self,
        index: u32,
        generation: u32,
        result: i32,
        out: &mut Completions,
    ) {
        let key = self
            .file_ops
            .key_at(index)
            .filter(|key| matches(*key, generation));
        let Some((key, op)) = key.and_then(|key| Some((key, self.file_ops.get_mut(key)?))) else {
            self.stats.stale += 1;
            return;
        };
        if !self.draining && op.goes_on(-result) {
            return self.push_file_op(key);
        }
        let op = self.file_ops.remove(key).expect("invariant: found above");
        let result = usize::try_from(result).map_err(|_| -result);
        self.stats.files.finish(&op, result);
        out.push(op.finish(result));
    }

    /// What a cancel must name, when the operation is in flight.
    pub(super) fn file_op_tag(&self, key: Key) -> Option<u64> {
        let op = self.file_ops.get(key)?;
        let kind = if op.is_write {
            Kind::FileWrite
        } else {
            Kind::FileRead
        };
        Some(tag(kind, key))
    }
}
