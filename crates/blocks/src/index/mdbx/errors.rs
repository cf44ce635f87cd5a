//! What libmdbx and the system say, in the words of the index.

use signet_libmdbx::{MdbxError, ReadError};

use crate::index::IndexError;
use crate::medium;

pub(super) fn read_error(error: ReadError, action: &'static str) -> IndexError {
    match error {
        ReadError::Mdbx(error) => mdbx_error(error, action),
        // Rows are read as bytes, which any bytes are.
        ReadError::Decoding(error) => {
            IndexError::corrupt("index", action, "bytes", error.to_string())
        }
    }
}

pub(super) fn mdbx_error(error: MdbxError, action: &'static str) -> IndexError {
    match error {
        MdbxError::ReadersFull => IndexError::ReadersFull,
        MdbxError::Corrupted
        | MdbxError::PageNotFound
        | MdbxError::Invalid
        | MdbxError::VersionMismatch => IndexError::corrupt(
            "index",
            action,
            "an undamaged file of libmdbx",
            error.to_string(),
        ),
        other => IndexError::System {
            code: other.to_err_code(),
            action,
        },
    }
}

pub(super) fn write_error(error: MdbxError, action: &'static str) -> IndexError {
    if error == MdbxError::MapFull || medium::is_out_of_room(error.to_err_code()) {
        IndexError::Full
    } else {
        mdbx_error(error, action)
    }
}

pub(super) fn io_error(error: &std::io::Error, action: &'static str) -> IndexError {
    IndexError::System {
        code: error.raw_os_error().unwrap_or(0),
        action,
    }
}
