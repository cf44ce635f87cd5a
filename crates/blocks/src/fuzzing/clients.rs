//! Those who put, get and delete, as one worker's carrier sees them.

use std::ops::Range;

use crate::local::{GetKey, PutKey};

/// A body on its way.
#[derive(Debug)]
pub(super) struct PutClient {
    pub(super) worker: usize,
    pub(super) content: usize,
    pub(super) key: PutKey,
    /// Bytes sent.
    pub(super) sent: usize,
    pub(super) is_ended: bool,
    /// It says another name than the content has.
    pub(super) is_lying: bool,
}

/// A content on its way back.
#[derive(Debug)]
pub(super) struct GetClient {
    pub(super) worker: usize,
    pub(super) content: usize,
    /// `None` while the controller is asked.
    pub(super) range: Option<Range<u32>>,
    pub(super) wish: (usize, usize),
    pub(super) key: GetKey,
    pub(super) received: usize,
    pub(super) version: u64,
    /// When it began the content was known to be harmed: it may be mended meanwhile, and read where it was.
    pub(super) was_rotten: bool,
}

/// A delete that is not answered.
#[derive(Debug)]
pub(super) struct DeleteClient {
    pub(super) contents: Vec<usize>,
}

/// A question for many that is not answered.
#[derive(Debug)]
pub(super) struct MissingClient {
    pub(super) contents: Vec<usize>,
    /// Version of each when it was asked.
    pub(super) versions: Vec<u64>,
    pub(super) there: Vec<Option<bool>>,
}

#[derive(Debug)]
pub(super) enum Client {
    Put(PutClient),
    Get(GetClient),
    Delete(DeleteClient),
    Missing(MissingClient),
    /// A reference; its outcome is looked at where it was asked for.
    Other,
}
