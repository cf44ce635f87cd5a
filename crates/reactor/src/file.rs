//! Files and what is read from and written to them, the same for every driver.
//!
//! ```text
//!  Op::Read, Op::Write ─▶ FileOp (checked) ─▶ a driver's slot or thread ─▶ Completion::Read, Written
//! ```
//!
//! Must not know how a driver reads. Invariant: the memory is part of the operation from its submit to its
//! final completion. Between, nobody else sees what is read into; what is written is sealed, and others may read it.
//!
//! Limits: [`DriverConfig::file_ops_max`](crate::DriverConfig::file_ops_max) operations in flight,
//! [`FILES_MAX`] files of one driver.

use hioload_mem::{Buffer, Segment};

use crate::completion::Completion;
use crate::driver::StartError;
use crate::id::{FileId, OpId, OpKind};
use crate::op::Reject;
use crate::sim::SimFile;

/// Files of one driver.
pub const FILES_MAX: usize = 64;

/// How often one operation is started again after `EINTR` or `EAGAIN`; then it fails with that number.
pub(crate) const RETRIES_MAX: u8 = 16;

/// A file for [`Driver::open_file`](crate::Driver::open_file). Closed with the driver, once nothing is in
/// flight on it.
#[derive(Debug)]
pub enum FileHandle {
    /// A file of the system, with the flags it was opened with: `O_DIRECT` asks that offset, length and
    /// memory be multiples of the block size (open(2)). A [`Buffer`] of 4,096 bytes or more is aligned.
    System(std::fs::File),
    /// A file of a simulated disk, for the simulation driver only.
    Sim(SimFile),
}

/// Where bytes of a file come from or go.
#[derive(Debug)]
pub(crate) enum Memory {
    /// What is read goes here: empty, with room for it.
    Into(Buffer),
    /// What is written.
    From(Segment),
}

/// One read or write: what its slot owns until the final completion.
#[derive(Debug)]
pub(crate) struct FileOp {
    pub(crate) file: FileId,
    /// Times it was started again.
    pub(crate) retries: u8,
    pub(crate) token: u64,
    pub(crate) offset: u64,
    /// Bytes to read or write.
    pub(crate) len: usize,
    pub(crate) memory: Memory,
}

impl FileOp {
    /// A read of `len` bytes into an empty buffer.
    pub(crate) fn read(
        file: FileId,
        token: u64,
        offset: u64,
        len: usize,
        buffer: Buffer,
    ) -> Result<Self, Reject> {
        if len == 0 || !buffer.is_empty() || len > buffer.room() {
            return Err(Reject::Payload);
        }
        Self {
            file,
            retries: 0,
            token,
            offset,
            len,
            memory: Memory::Into(buffer),
        }
        .checked()
    }

    /// A write of all of the content.
    pub(crate) fn write(
        file: FileId,
        token: u64,
        offset: u64,
        content: Segment,
    ) -> Result<Self, Reject> {
        let len = content.len();
        if len == 0 {
            return Err(Reject::Payload);
        }
        Self {
            file,
            retries: 0,
            token,
            offset,
            len,
            memory: Memory::From(content),
        }
        .checked()
    }

    /// pread(2) and pwrite(2) take signed offsets; to io_uring, all ones mean the file's own position.
    fn checked(self) -> Result<Self, Reject> {
        let end = self.offset.checked_add(self.len as u64);
        if end.is_some_and(|end| i64::try_from(end).is_ok()) {
            Ok(self)
        } else {
            Err(Reject::System(libc::EINVAL))
        }
    }

    pub(crate) fn is_write(&self) -> bool {
        matches!(self.memory, Memory::From(_))
    }

    pub(crate) fn id(&self, key: hioload_base::Key) -> OpId {
        let kind = if self.is_write() {
            OpKind::Write
        } else {
            OpKind::Read
        };
        OpId { kind, key }
    }

    /// Interrupted or asked to wait, and not too often: it is started again. Counts.
    pub(crate) fn goes_on(&mut self, errno: i32) -> bool {
        let again = matches!(errno, libc::EINTR | libc::EAGAIN) && self.retries < RETRIES_MAX;
        self.retries += u8::from(again);
        again
    }

    /// The final completion: what was read counts as written to the buffer.
    pub(crate) fn finish(self, result: Result<usize, i32>) -> Completion {
        let token = self.token;
        let Memory::Into(mut buffer) = self.memory else {
            return Completion::Written { token, result };
        };
        if let Ok(size) = result {
            assert!(
                size <= self.len,
                "invariant: a read brings no more than was asked for"
            );
            buffer.advance(size);
        }
        Completion::Read {
            token,
            result,
            buffer,
        }
    }
}

/// Counters of file operations since start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileStats {
    /// Reads completed, failed ones too.
    pub reads: u64,
    /// Writes completed, failed ones too.
    pub writes: u64,
    /// Bytes read.
    pub bytes_read: u64,
    /// Bytes written.
    pub bytes_written: u64,
    /// Operations that did less than they were asked for.
    pub short: u64,
    /// Operations that failed.
    pub failed: u64,
    /// Times an operation was started again after `EINTR` or `EAGAIN`.
    pub retried: u64,
    /// Operations refused because `file_ops_max` were in flight.
    pub refused: u64,
    /// Operations in flight now.
    pub in_flight: u64,
}

impl FileStats {
    /// An operation was taken.
    pub(crate) fn start(&mut self) {
        self.in_flight += 1;
    }

    /// An operation is over.
    pub(crate) fn finish(&mut self, op: &FileOp, result: Result<usize, i32>) {
        self.in_flight -= 1;
        let (count, bytes) = if op.is_write() {
            (&mut self.writes, &mut self.bytes_written)
        } else {
            (&mut self.reads, &mut self.bytes_read)
        };
        *count += 1;
        self.retried += u64::from(op.retries);
        match result {
            Ok(size) => {
                *bytes += size as u64;
                self.short += u64::from(size < op.len);
            }
            Err(_) => self.failed += 1,
        }
    }
}

/// The name of the next file of a driver that has `count`.
pub(crate) fn next_id(count: usize) -> Result<FileId, StartError> {
    match u16::try_from(count) {
        Ok(id) if count < FILES_MAX => Ok(FileId(id)),
        _ => Err(StartError {
            what: "cannot take another file".to_owned(),
            cause: format!("the driver has {count} of at most {FILES_MAX}"),
            remedy: "Open each file once per driver".to_owned(),
            errno: None,
        }),
    }
}

/// The file is of the other world.
pub(crate) fn unfit(driver: &str, takes: &str) -> StartError {
    StartError {
        what: format!("the {driver} driver cannot take this file"),
        cause: format!("it reads and writes {takes} only"),
        remedy: "Give simulated files to the simulation driver, files of the system to the others"
            .to_owned(),
        errno: None,
    }
}

#[cfg(test)]
mod tests {
    use hioload_mem::{BufferPool, PoolConfig};

    use super::*;

    #[test]
    fn an_operation_is_started_again_so_often_and_no_more() {
        let pool = BufferPool::new(PoolConfig::with_budget(1 << 20)).expect("a pool");
        let buffer = pool.take(512).expect("budget");
        let mut op = FileOp::read(FileId(0), 1, 0, 512, buffer).expect("legal");
        assert!(!op.goes_on(libc::EIO) && !op.goes_on(libc::ECANCELED));
        let mut stats = FileStats::default();
        for round in 0..RETRIES_MAX {
            let errno = [libc::EINTR, libc::EAGAIN][usize::from(round % 2)];
            assert!(op.goes_on(errno));
        }
        assert!(!op.goes_on(libc::EINTR) && !op.goes_on(libc::EAGAIN));
        stats.start();
        stats.finish(&op, Err(libc::EINTR));
        assert_eq!(stats.retried, u64::from(RETRIES_MAX));
    }
}
