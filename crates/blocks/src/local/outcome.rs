//! What came of a read or a write of the data file.
//!
//! Must not know who asked for it. Limit: how often in a row an operation may bring nothing or too little.

use std::io::{Error, ErrorKind};

use hioload_mem::Buffer;

use super::desk::Pending;
use crate::class::UNIT;
use crate::fault::{Damage, Fault};
use crate::limits;
use crate::sums::Sums;

/// Told when the system said nothing wrong and did nothing right.
const EIO: i32 = 5;

pub(super) enum Written {
    Whole,
    /// So many whole units; the rest is to be written again.
    Part(usize),
    Failed(Fault),
}

/// Of a write of `wanted` bytes.
pub(super) fn of_write(result: Result<usize, i32>, wanted: usize, repeats: u8) -> Written {
    let size = match result {
        Ok(size) if size >= wanted => return Written::Whole,
        // Whole units only: the next write has to be aligned too.
        Ok(size) => size - size % UNIT as usize,
        Err(code) => match Error::from_raw_os_error(code).kind() {
            ErrorKind::Interrupted | ErrorKind::WouldBlock => 0,
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
                return Written::Failed(Fault::NoSpace);
            }
            _ => return Written::Failed(Fault::Io(code)),
        },
    };
    if size == 0 && !may_repeat(repeats) {
        return Written::Failed(Fault::Io(EIO));
    }
    Written::Part(size)
}

pub(super) enum Read {
    /// What was stored; the buffer holds it and nothing behind it.
    Whole,
    /// Less than was asked for, or nothing yet.
    Repeat,
    /// Something else than was stored.
    Wrong(Damage),
}

/// Of a read into `buffer`, of a content of `length` bytes; its sums, if they are to be checked.
pub(super) fn of_read(
    length: u32,
    sums: Option<&Sums>,
    pending: &Pending,
    result: Result<usize, i32>,
    buffer: &mut Buffer,
) -> Read {
    let chunk = pending.start / UNIT as u32;
    let unreadable = |code| Read::Wrong(Damage::Unreadable { chunk, code });
    let code = match result {
        Ok(size) if size.min(buffer.len()) >= pending.len as usize => None,
        Ok(_) => Some(EIO),
        Err(code) => Some(code),
    };
    if let Some(code) = code {
        let kind = Error::from_raw_os_error(code).kind();
        let is_passing =
            result.is_ok() || matches!(kind, ErrorKind::Interrupted | ErrorKind::WouldBlock);
        return if is_passing && may_repeat(pending.repeats) {
            Read::Repeat
        } else {
            unreadable(code)
        };
    }
    buffer.truncate((length - pending.start).min(pending.len) as usize);
    match sums.map(|sums| sums.check(chunk, buffer.as_slice())) {
        None | Some(Ok(())) => Read::Whole,
        Some(Err(mismatch)) => Read::Wrong(Damage::Sum {
            chunk: mismatch.chunk_index,
        }),
    }
}

fn may_repeat(repeats: u8) -> bool {
    u64::from(repeats) < limits::RETRIES.default
}
