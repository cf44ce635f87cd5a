//! Who asked: a number that goes out with a question and comes back with its answer.
//!
//! Limits: so many questions may be open at once; one more is refused.

use hioload_base::{Full, Key, Slab};

/// Names a question until it is answered. [`Ticket::NONE`] wants no answer.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Ticket(u64);

impl Ticket {
    /// Nobody waits for the answer.
    pub const NONE: Ticket = Ticket(0);

    /// As one number.
    #[must_use]
    pub const fn to_bits(self) -> u64 {
        self.0
    }

    /// Back from the number.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Ticket {
        Ticket(bits)
    }

    /// Somebody waits for the answer.
    #[inline]
    #[must_use]
    pub const fn wants_answer(self) -> bool {
        self.0 != 0
    }
}

/// Open questions, each with what is to be done with its answer.
///
/// ```
/// use hioload_streams::Tickets;
///
/// let mut tickets = Tickets::with_limit(1);
/// let ticket = tickets.issue("who asked").expect("room for one");
/// assert!(tickets.issue("another").is_err());
/// assert_eq!(tickets.redeem(ticket), Some("who asked"));
/// assert_eq!(tickets.redeem(ticket), None, "once");
/// ```
#[derive(Debug)]
pub struct Tickets<T> {
    open: Slab<T>,
}

impl<T> Tickets<T> {
    /// Room for `max` open questions.
    #[must_use]
    pub fn with_limit(max: usize) -> Tickets<T> {
        let open = Slab::with_limit(max);
        Tickets { open }
    }

    /// A ticket for a question.
    ///
    /// # Errors
    /// [`Full`] when too many are open.
    pub fn issue(&mut self, asker: T) -> Result<Ticket, Full<T>> {
        self.open.insert(asker).map(|key| Ticket(key.to_bits()))
    }

    /// The asker of a question that is answered; `None` when it was answered before, or never asked.
    pub fn redeem(&mut self, ticket: Ticket) -> Option<T> {
        self.open.remove(Key::from_bits(ticket.0))
    }

    /// Open questions.
    #[must_use]
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// All is answered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }
}

impl<T> Default for Tickets<T> {
    fn default() -> Tickets<T> {
        Tickets::with_limit(crate::limits::TICKETS.default as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_real_ticket_wants_an_answer() {
        let mut tickets = Tickets::default();
        assert!(tickets.issue(()).expect("room").wants_answer());
        assert!(!Ticket::NONE.wants_answer());
        assert_eq!(tickets.redeem(Ticket::NONE), None);
        assert_eq!((tickets.len(), tickets.is_empty()), (1, false));
    }
}
