//! What is told of a stream: a value, good after the stream is gone.

use core::net::SocketAddr;

use hioload_base::Time;

use crate::{Kind, StreamUid};

/// One stream as it was when somebody looked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamInfo {
    /// Its name.
    pub uid: StreamUid,
    /// What it carries.
    pub kind: Kind,
    /// Nobody's: it lives on by itself.
    pub is_autonomous: bool,
    /// Whoever adopted it.
    pub owner: Option<StreamUid>,
    /// The other end, if it is known.
    pub peer: Option<SocketAddr>,
    /// When it was registered.
    pub created: Time,
    /// When something last came or went.
    pub active: Time,
    /// Payload bytes that came.
    pub bytes_in: u64,
    /// Payload bytes that went.
    pub bytes_out: u64,
    /// What its worker knows it by.
    pub handle: u64,
}
