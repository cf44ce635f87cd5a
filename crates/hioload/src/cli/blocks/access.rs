//! What commands ask of a store, wherever it is.

use std::fmt;

use hioload_blocks::Hash;
use serde_json::Value;

/// Contents read in one call: so many are in memory at a time.
pub(super) const CONTENTS_MAX: usize = 16;

/// Reads and deletes.
pub(super) trait Access {
    /// What is known of each of these.
    fn heads(&mut self, hashes: &[Hash]) -> Vec<Result<Head, Trouble>>;

    /// The contents of these, verified; at most [`CONTENTS_MAX`].
    fn contents(&mut self, hashes: &[Hash], source: Source) -> Vec<Result<Vec<u8>, Trouble>>;

    /// Deletes each of these; with their references if that is wanted, which servers refuse.
    fn delete(&mut self, hashes: &[Hash], with_references: bool) -> Vec<Result<(), Trouble>>;

    /// At most `limit` blocks behind `after`, in the order of their hashes.
    fn page(&mut self, after: Option<Hash>, limit: u64) -> Result<Page, Trouble>;

    /// Figures, shaped like those of `GET /stats`.
    fn figures(&mut self) -> Result<Value, Trouble>;
}

/// Stores.
pub(super) trait Intake {
    /// Which of these are to be put: they are not there, or damaged, or nobody can say. The others stay for now.
    fn missing(&mut self, hashes: &[Hash]) -> Result<Vec<Hash>, Trouble>;

    /// Stores each of these; true when it was not there.
    fn put(&mut self, contents: &[(Hash, &[u8])]) -> Vec<Result<bool, Trouble>>;
}

/// Where contents are read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// Wherever that is fastest.
    Any,
    /// The medium.
    Medium,
}

/// What is known of a block without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// Bytes.
    pub(super) length: u64,
    pub(super) is_damaged: bool,
}

/// A block in a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) hash: Hash,
    /// Bytes.
    pub(super) length: u64,
    pub(super) created_ms: u64,
    pub(super) is_damaged: bool,
}

/// A part of the list of all blocks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) entries: Vec<Entry>,
    /// Rows of the index that cannot be read.
    pub(super) unreadable: u64,
    /// After what the next page begins; none on the last.
    pub(super) next: Option<Hash>,
}

/// Why a store did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// There is no such block.
    Missing,
    /// The content is not what was stored; says how.
    Damaged(String),
    /// It will not, for this one; says why.
    Refused(String),
    /// It answers no more, and would not for others; says why.
    Lost(String),
}

impl Trouble {
    /// Asking for others makes no sense.
    pub(super) fn is_lost(&self) -> bool {
        matches!(self, Self::Lost(_))
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("there is no such block"),
            Self::Damaged(what) => write!(f, "damaged: {what}; put the same content to repair it"),
            Self::Refused(why) | Self::Lost(why) => f.write_str(why),
        }
    }
}
