//! What the clients and the server of a run did besides the network's faults. Each must happen
//! somewhere in a whole set of seeds: what never happened was not tested.

use std::cell::RefCell;
use std::fmt;
use std::ops::AddAssign;
use std::rc::Rc;

use crate::Suite;

/// One kind of event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Event {
    /// A message between workers found its queue full.
    MailboxFull,
    /// A buffer was refused: the pool's budget was spent.
    PoolEmpty,
    /// A worker stood still while the others went on.
    WorkerStalled,
    /// A session was not read from, because its output or a channel was backed up.
    Held,
    /// A message was echoed.
    Echoed,
    /// A publication reached a subscriber.
    Delivered,
    /// A message went in several fragments.
    Fragmented,
    /// A message came or went compressed.
    Deflated,
    /// A ping was sent between the fragments of a message.
    PingInside,
    /// A client read little by little.
    ReadSlowly,
    /// A client stopped reading for a while.
    ReadPaused,
    /// A client stopped reading until the end of the storm.
    NeverRead,
    /// A client left with a close frame.
    Left,
    /// A client left with a reset.
    ClientReset,
    /// A client came back after its connection was lost.
    CameBack,
    /// A client joined or left a channel in mid-stream.
    Moved,
    /// A subscriber was disconnected because it was stalled (1013).
    Stalled,
    /// A stalled subscriber missed publications and went on.
    Skipped,
    /// A hostile client cut its connection after some byte of a legal conversation.
    Cut,
    /// A hostile client sent bytes of chance, before or after its handshake.
    Garbage,
    /// A hostile client broke the framing in a chosen way.
    BadFrame,
    /// A hostile client sent its request head byte by byte, or never all of it.
    SlowHead,
    /// A hostile client sent pings or empty fragments without end, and read nothing.
    Flood,
    /// The server shut down with sessions open.
    ShutdownBusy,
    /// The server shut down at a pace.
    ShutdownPaced,
    /// A block was served whole.
    Served,
    /// A part of a block was served, or refused as outside of it.
    ServedRange,
    /// A client was told that it has the block already (304).
    NotModified,
    /// A block was not there (404).
    NotFound,
    /// A block was stored (201).
    Stored,
    /// A block to be stored was there already (200, 412).
    Present,
    /// A block was deleted.
    Deleted,
    /// A delete was refused because of a reference or a promise (409).
    Kept,
    /// Clients were told which blocks are missing.
    AskedMissing,
    /// A reference was kept.
    Referred,
    /// Several requests went out before the first answer.
    Pipelined,
    /// A client went away after a byte of its requests.
    Aborted,
    /// An answer ended before its end.
    AnswerCut,
    /// There was no space (507).
    Full,
    /// The store was busy or poisoned (503).
    Unavailable,
    /// A body came too slowly (408).
    TooSlow,
    /// A block was found damaged, or could not be written (500).
    Damaged,
    /// A damaged block was put again.
    Mended,
    /// A block under way waited for memory or a place in the disk's queue.
    MemoryWait,
    /// A read failed or brought something else, and was repeated.
    ReadAgain,
    /// A content was read by one GET for others.
    ReadShared,
    /// The controller replaced a damaged block.
    Repaired,
    /// The controller stood still while the workers went on.
    ControllerStalled,
    /// A commit of the index failed.
    CommitFailed,
    /// A commit of the index found no room.
    CommitRefused,
    /// A server could not start for want of space.
    StartRefused,
    /// A round ended with the server going on.
    Rested,
    /// A round ended with a shutdown in order.
    ShutDown,
    /// A round ended with the process killed.
    Killed,
    /// The power went between two turns.
    CutBetween,
    /// The power went before the file grew.
    CutBeforeGrow,
    /// The power went after the file grew.
    CutAfterGrow,
    /// The power went before a batch was written to the journal.
    CutBeforeJournal,
    /// The power went after that.
    CutAfterJournal,
    /// The power went before a sync of the data.
    CutBeforeSync,
    /// The power went between the sync of the data and the commit.
    CutAfterSync,
    /// The power went before a commit of the index.
    CutBeforeCommit,
    /// The power went after a commit, before the replies.
    CutAfterCommit,
    /// The power went before a late sync of the index.
    CutBeforeIndexSync,
    /// The power went after a late sync of the index.
    CutAfterIndexSync,
    /// A batch of the journal was applied that the index had lost.
    Replayed,
    /// A worker returned a block that it had at hand to one that had none.
    Recalled,
    /// Space was refused when none was free and nobody had any at hand.
    RefusedForGood,
    /// A handler wrote to a stream by its UID.
    Written,
    /// What was asked of a stream was refused: it was gone, or too much waited for it.
    WriteRefused,
    /// A write found the mailbox of its stream's worker full.
    WriteBusy,
    /// One way of a proxy was joined.
    Joined,
    /// A stream was not joined, as it is joined already.
    JoinRefused,
    /// Half of a proxy ended, as the other would not be joined.
    HalfRefused,
    /// An autonomous stream was adopted.
    Adopted,
    /// A stream was not adopted, as it is somebody's.
    AdoptRefused,
    /// A stream ended with whoever had adopted it.
    OwnerEnded,
    /// A message was dropped, as its channel was shut.
    ChannelShut,
}

impl Event {
    /// All of them.
    pub const ALL: [Self; 78] = [
        Self::MailboxFull,
        Self::PoolEmpty,
        Self::WorkerStalled,
        Self::Held,
        Self::Echoed,
        Self::Delivered,
        Self::Fragmented,
        Self::Deflated,
        Self::PingInside,
        Self::ReadSlowly,
        Self::ReadPaused,
        Self::NeverRead,
        Self::Left,
        Self::ClientReset,
        Self::CameBack,
        Self::Moved,
        Self::Stalled,
        Self::Skipped,
        Self::Cut,
        Self::Garbage,
        Self::BadFrame,
        Self::SlowHead,
        Self::Flood,
        Self::ShutdownBusy,
        Self::ShutdownPaced,
        Self::Served,
        Self::ServedRange,
        Self::NotModified,
        Self::NotFound,
        Self::Stored,
        Self::Present,
        Self::Deleted,
        Self::Kept,
        Self::AskedMissing,
        Self::Referred,
        Self::Pipelined,
        Self::Aborted,
        Self::AnswerCut,
        Self::Full,
        Self::Unavailable,
        Self::TooSlow,
        Self::Damaged,
        Self::Mended,
        Self::MemoryWait,
        Self::ReadAgain,
        Self::ReadShared,
        Self::Repaired,
        Self::ControllerStalled,
        Self::CommitFailed,
        Self::CommitRefused,
        Self::StartRefused,
        Self::Rested,
        Self::ShutDown,
        Self::Killed,
        Self::CutBetween,
        Self::CutBeforeGrow,
        Self::CutAfterGrow,
        Self::CutBeforeJournal,
        Self::CutAfterJournal,
        Self::CutBeforeSync,
        Self::CutAfterSync,
        Self::CutBeforeCommit,
        Self::CutAfterCommit,
        Self::CutBeforeIndexSync,
        Self::CutAfterIndexSync,
        Self::Replayed,
        Self::Recalled,
        Self::RefusedForGood,
        Self::Written,
        Self::WriteRefused,
        Self::WriteBusy,
        Self::Joined,
        Self::JoinRefused,
        Self::HalfRefused,
        Self::Adopted,
        Self::AdoptRefused,
        Self::OwnerEnded,
        Self::ChannelShut,
    ];

    /// Whether it is to happen in runs of that suite.
    #[must_use]
    pub fn is_of(self, suite: Suite) -> bool {
        let is_of_streams = self as usize >= Self::Written as usize;
        let is_of_store = self as usize >= Self::Served as usize && !is_of_streams;
        match (suite, self) {
            (Suite::Store, Self::MailboxFull | Self::WorkerStalled) => true,
            (Suite::Store, Self::Held | Self::ReadSlowly | Self::ReadPaused | Self::NeverRead) => {
                true
            }
            (Suite::Store, _) => is_of_store,
            (Suite::Sessions, _) => !is_of_store && !is_of_streams,
            (
                Suite::Streams,
                Self::MailboxFull
                | Self::WorkerStalled
                | Self::Delivered
                | Self::Left
                | Self::ClientReset
                | Self::CameBack,
            ) => true,
            (Suite::Streams, _) => is_of_streams,
        }
    }

    /// Its name in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::MailboxFull => "mailbox full",
            Self::PoolEmpty => "pool empty",
            Self::WorkerStalled => "worker stands still",
            Self::Held => "session held back",
            Self::Echoed => "message echoed",
            Self::Delivered => "publication delivered",
            Self::Fragmented => "message in fragments",
            Self::Deflated => "message deflated",
            Self::PingInside => "ping between fragments",
            Self::ReadSlowly => "client reads slowly",
            Self::ReadPaused => "client stops reading for a while",
            Self::NeverRead => "client stops reading for good",
            Self::Left => "client leaves in order",
            Self::ClientReset => "client resets",
            Self::CameBack => "client comes back",
            Self::Moved => "subscription changes in mid-stream",
            Self::Stalled => "stalled subscriber disconnected",
            Self::Skipped => "stalled subscriber misses publications",
            Self::Cut => "hostile: cut at a byte",
            Self::Garbage => "hostile: garbage",
            Self::BadFrame => "hostile: illegal frame",
            Self::SlowHead => "hostile: slow head",
            Self::Flood => "hostile: flood",
            Self::ShutdownBusy => "shutdown with sessions open",
            Self::ShutdownPaced => "shutdown at a pace",
            Self::Served => "block served",
            Self::ServedRange => "part of a block served",
            Self::NotModified => "block known to its client",
            Self::NotFound => "block not found",
            Self::Stored => "block stored",
            Self::Present => "block present",
            Self::Deleted => "block deleted",
            Self::Kept => "delete refused",
            Self::AskedMissing => "missing blocks asked for",
            Self::Referred => "reference kept",
            Self::Pipelined => "requests pipelined",
            Self::Aborted => "request cut at a byte",
            Self::AnswerCut => "answer cut",
            Self::Full => "no space (507)",
            Self::Unavailable => "busy or poisoned (503)",
            Self::TooSlow => "body too slow (408)",
            Self::Damaged => "damaged or not written (500)",
            Self::Mended => "damaged block mended",
            Self::MemoryWait => "block waits for memory",
            Self::ReadAgain => "read repeated",
            Self::ReadShared => "read shared",
            Self::Repaired => "damaged block replaced",
            Self::ControllerStalled => "controller stands still",
            Self::CommitFailed => "commit of the index failed",
            Self::CommitRefused => "commit of the index refused",
            Self::StartRefused => "start refused",
            Self::Rested => "round ends at rest",
            Self::ShutDown => "round ends with a shutdown",
            Self::Killed => "process killed",
            Self::CutBetween => "power cut between turns",
            Self::CutBeforeGrow => "power cut before a growth",
            Self::CutAfterGrow => "power cut after a growth",
            Self::CutBeforeJournal => "power cut before an entry of the journal",
            Self::CutAfterJournal => "power cut after an entry of the journal",
            Self::CutBeforeSync => "power cut before a sync",
            Self::CutAfterSync => "power cut after a sync",
            Self::CutBeforeCommit => "power cut before a commit",
            Self::CutAfterCommit => "power cut after a commit",
            Self::CutBeforeIndexSync => "power cut before a sync of the index",
            Self::CutAfterIndexSync => "power cut after a sync of the index",
            Self::Replayed => "entry of the journal applied",
            Self::Recalled => "block recalled",
            Self::RefusedForGood => "space refused, none at hand",
            Self::Written => "write by UID",
            Self::WriteRefused => "command by UID refused",
            Self::WriteBusy => "write finds the mailbox full",
            Self::Joined => "one way of a proxy joined",
            Self::JoinRefused => "joined already",
            Self::HalfRefused => "half of a proxy ends alone",
            Self::Adopted => "stream adopted",
            Self::AdoptRefused => "adopted already",
            Self::OwnerEnded => "stream ends with its owner",
            Self::ChannelShut => "message on a channel that is shut",
        }
    }
}

/// How often each event happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventCounts([u64; Event::ALL.len()]);

impl Default for EventCounts {
    fn default() -> Self {
        Self([0; Event::ALL.len()])
    }
}

impl EventCounts {
    /// Times this happened.
    #[must_use]
    pub fn of(&self, event: Event) -> u64 {
        self.0[event as usize]
    }

    /// What never happened, of those that are to happen in runs of that suite.
    pub fn never_happened(&self, suite: Suite) -> impl Iterator<Item = Event> + '_ {
        let wanted = Event::ALL
            .into_iter()
            .filter(move |event| event.is_of(suite));
        wanted.filter(|event| self.of(*event) == 0)
    }
}

impl AddAssign for EventCounts {
    fn add_assign(&mut self, other: Self) {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            *mine += theirs;
        }
    }
}

impl fmt::Display for EventCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seen = |event: &Event| self.of(*event) > 0;
        for event in Event::ALL.into_iter().filter(seen) {
            writeln!(f, "{:>10}  {}", self.of(event), event.name())?;
        }
        Ok(())
    }
}

/// Where all parts of one run note what happens. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Notes(Rc<RefCell<EventCounts>>);

impl Notes {
    pub(crate) fn add(&self, event: Event) {
        self.add_many(event, 1);
    }

    pub(crate) fn add_many(&self, event: Event, count: u64) {
        self.0.borrow_mut().0[event as usize] += count;
    }

    pub(crate) fn counts(&self) -> EventCounts {
        *self.0.borrow()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_event_has_its_own_place() {
        for (at, event) in Event::ALL.into_iter().enumerate() {
            assert_eq!(event as usize, at);
            let notes = Notes::default();
            notes.add(event);
            assert_eq!(notes.counts().of(event), 1);
            let counts = notes.counts();
            let never = |suite| counts.never_happened(suite);
            assert!(
                Suite::ALL
                    .into_iter()
                    .all(|suite| never(suite).all(|it| it != event))
            );
            assert!(
                Suite::ALL.into_iter().any(|suite| event.is_of(suite)),
                "{event:?}"
            );
        }
    }
}
