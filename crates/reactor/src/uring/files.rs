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
use crate::file::{FileHandle, FileOp, Memory, next_id, unfit};
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
        let (entry, kind) = match &mut op.memory {
            Memory::From(content) => {
                let entry = opcode::Write::new(fd, content.as_ptr(), len).offset(op.offset);
                (entry.build(), Kind::FileWrite)
            }
            Memory::Into(buffer) => {
                let start = buffer.spare_mut().as_mut_ptr();
                let entry = opcode::Read::new(fd, start, len).offset(op.offset);
                (entry.build(), Kind::FileRead)
            }
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
        let kind = if op.is_write() {
            Kind::FileWrite
        } else {
            Kind::FileRead
        };
        Some(tag(kind, key))
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use hioload_mem::{BufferPool, PoolConfig};

    use super::*;
    use crate::completion::Completion;
    use crate::driver::{Driver, DriverConfig, Wait};
    use crate::file::RETRIES_MAX;

    #[test]
    fn an_operation_told_to_wait_is_started_again_and_not_for_ever() {
        let Ok(mut driver) = UringDriver::new(DriverConfig::default()) else {
            println!("skipped: no io_uring");
            return;
        };
        let pool = BufferPool::new(PoolConfig::with_budget(1 << 20)).expect("a pool");
        let zero = File::open("/dev/zero").expect("a device");
        let file = driver.take_file(FileHandle::System(zero)).expect("room");
        // As if the kernel had taken it: all that is read comes from the second start.
        let place = |driver: &mut UringDriver| {
            let buffer = pool.take(512).expect("budget");
            let op = FileOp::read(file, 1, 0, 512, buffer).expect("legal");
            driver.stats.files.start();
            driver.file_ops.insert(op).expect("room")
        };
        let mut events = Vec::new();
        for errno in [libc::EAGAIN, libc::EINTR] {
            let key = place(&mut driver);
            driver.file_op_over(key.index(), key.generation(), -errno, &mut events);
            assert!(events.is_empty());
            while events.is_empty() {
                driver.turn(Wait::Forever, &mut events).expect("a turn");
            }
            let event = events.pop().expect("not empty");
            assert!(matches!(
                event,
                Completion::Read {
                    result: Ok(512),
                    ..
                }
            ));
        }
        assert_eq!(driver.stats.files.retried, 2);

        let key = place(&mut driver);
        driver.file_ops.get_mut(key).expect("placed").retries = RETRIES_MAX;
        driver.file_op_over(key.index(), key.generation(), -libc::EAGAIN, &mut events);
        let event = events.pop().expect("an end");
        assert!(matches!(
            event,
            Completion::Read {
                result: Err(libc::EAGAIN),
                ..
            }
        ));

        // Late, for a slot that has no owner, and for one that has another.
        driver.file_op_over(key.index(), key.generation(), 512, &mut events);
        assert!(events.is_empty());
        assert_eq!(driver.stats.stale, 1);
        assert_eq!(place(&mut driver).index(), key.index());
        driver.file_op_over(key.index(), key.generation(), 512, &mut events);
        assert!(events.is_empty());
        assert_eq!(driver.stats.stale, 2);
        assert_eq!(driver.stats.files.in_flight, 1);
    }
}
