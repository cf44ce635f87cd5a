//! What one worker asks of another worker's stream, and what it is told: plain values, to be carried
//! in the order sent.
//!
//! Whoever carries them bounds them: a full mailbox is told to the sender at once, and nothing of the command
//! was done. Of what arrived, each refusal is told; that it was done is told when the ticket wants to know.

use std::fmt;

use crate::{StreamInfo, StreamUid, Ticket};

/// What is asked of a stream, from another worker or thread. `P` is a message for the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command<P> {
    /// Write this to it.
    Write {
        /// The stream.
        uid: StreamUid,
        /// For the answer.
        ticket: Ticket,
        /// The message.
        payload: P,
    },
    /// Close it, in order.
    Close {
        /// The stream.
        uid: StreamUid,
        /// For the answer.
        ticket: Ticket,
        /// Only while this one owns it: the owner has ended.
        owner: Option<StreamUid>,
    },
    /// Say whether it is there, and what it is.
    Find {
        /// The stream.
        uid: StreamUid,
        /// For the answer.
        ticket: Ticket,
    },
    /// From now on it lives by itself.
    Detach {
        /// The stream.
        uid: StreamUid,
        /// For the answer.
        ticket: Ticket,
    },
    /// From now on it is this one's, and ends with it.
    Attach {
        /// The stream.
        uid: StreamUid,
        /// For the answer.
        ticket: Ticket,
        /// Who adopts it.
        owner: StreamUid,
    },
    /// From now on what comes on it goes to that one, with backpressure: one half of a proxy.
    Join {
        /// The stream.
        uid: StreamUid,
        /// For the answer.
        ticket: Ticket,
        /// Where it goes.
        peer: StreamUid,
    },
    /// Close it unless it is joined to another: that one has ended, or would not be joined to it.
    Unjoin {
        /// The stream.
        uid: StreamUid,
        /// For the answer.
        ticket: Ticket,
        /// Who it was, or was to be, joined to.
        peer: StreamUid,
    },
    /// Lets messages of a channel through, or not.
    SetChannel {
        /// The stream.
        uid: StreamUid,
        /// For the answer.
        ticket: Ticket,
        /// The channel.
        channel: u8,
        /// Let them through.
        is_enabled: bool,
    },
}

impl<P> Command<P> {
    /// The stream it is about.
    #[inline]
    #[must_use]
    pub fn uid(&self) -> StreamUid {
        match *self {
            Command::Write { uid, .. }
            | Command::Close { uid, .. }
            | Command::Find { uid, .. }
            | Command::Detach { uid, .. }
            | Command::Attach { uid, .. }
            | Command::Join { uid, .. }
            | Command::Unjoin { uid, .. }
            | Command::SetChannel { uid, .. } => uid,
        }
    }

    /// For the answer.
    #[inline]
    #[must_use]
    pub fn ticket(&self) -> Ticket {
        match *self {
            Command::Write { ticket, .. }
            | Command::Close { ticket, .. }
            | Command::Find { ticket, .. }
            | Command::Detach { ticket, .. }
            | Command::Attach { ticket, .. }
            | Command::Join { ticket, .. }
            | Command::Unjoin { ticket, .. }
            | Command::SetChannel { ticket, .. } => ticket,
        }
    }
}

/// Why a command was not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// There is no such stream.
    Gone,
    /// As many bytes wait for it as may; or for all streams of its worker.
    Full,
    /// Somebody has it.
    Taken,
    /// It has no such channel, or the channel may not be changed.
    NoChannel,
    /// It is of a kind that cannot do this.
    Unfit,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Refusal::Gone => "there is no such stream",
            Refusal::Full => "too much waits for the stream already",
            Refusal::Taken => "the stream belongs to somebody",
            Refusal::NoChannel => "the stream has no such channel to change",
            Refusal::Unfit => "a stream of this kind cannot do that",
        })
    }
}

impl std::error::Error for Refusal {}

/// The answer to a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// It was done. A write is with the stream: it goes out unless the stream ends first.
    Done {
        /// Of the command.
        ticket: Ticket,
        /// The stream.
        uid: StreamUid,
    },
    /// It was not done. Also told of writes whose ticket wants no answer.
    Refused {
        /// Of the command.
        ticket: Ticket,
        /// The stream.
        uid: StreamUid,
        /// Why.
        why: Refusal,
    },
    /// The stream is there.
    Found {
        /// Of the command.
        ticket: Ticket,
        /// What it is.
        info: Box<StreamInfo>,
    },
}

impl Reply {
    /// Of the command.
    #[must_use]
    pub fn ticket(&self) -> Ticket {
        match *self {
            Reply::Done { ticket, .. }
            | Reply::Refused { ticket, .. }
            | Reply::Found { ticket, .. } => ticket,
        }
    }

    /// The stream.
    #[must_use]
    pub fn uid(&self) -> StreamUid {
        match self {
            Reply::Done { uid, .. } | Reply::Refused { uid, .. } => *uid,
            Reply::Found { info, .. } => info.uid,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_adds_little_to_what_it_carries() {
        assert!(size_of::<Command<[u64; 3]>>() <= 24 + 24);
        assert!(size_of::<Command<()>>() <= 32);
        assert!(size_of::<Reply>() <= 24);
    }
}
