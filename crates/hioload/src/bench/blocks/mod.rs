//! Load on a block store over HTTP: contents in, contents out, and whether they are the same.
//!
//! ```text
//!  Run ─▶ Lane (one connection, one request at a time) ─▶ Io ─▶ server
//!   │      ▲ what to ask next: Contents, Blocks
//!   └▶ Counts
//! ```
//!
//! | module | noun |
//! |---|---|
//! | `run` | phases, and what comes back |
//! | `lane` | a connection with the request under way on it |
//! | `contents` | what is stored |
//! | `known` | which blocks are there |
//! | `figures` | what is counted |
//!
//! Closed loop: an answer starts the next request of its connection. Every answer is checked: status, length,
//! the stamp of a content; every sixteenth content byte by byte.

mod contents;
mod figures;
mod known;
mod lane;
mod run;

pub(super) use self::contents::STAMP_SIZE;
pub(super) use self::figures::Figures;
pub(super) use self::run::Run;
