//! Messages to other workers that must not be lost: what finds a queue full waits here, in order.
//!
//! Limit: appends and publications are never put here (they are made again when there is room);
//! what is left are a few messages per channel and class.

use std::collections::VecDeque;

use super::core::Cx;
use super::message::Message;

/// One queue per worker; empty as a rule.
pub(super) struct Outlet {
    waiting: Vec<VecDeque<Message>>,
    count: usize,
    full_count: u64,
}

impl Outlet {
    pub(super) fn new(workers: usize) -> Self {
        Self {
            waiting: (0..workers).map(|_| VecDeque::new()).collect(),
            count: 0,
            full_count: 0,
        }
    }

    /// Sends now or later, after all that already waits.
    pub(super) fn send(&mut self, cx: &mut Cx<'_>, to: usize, message: Message) {
        let unsent = if self.waiting[to].is_empty() {
            cx.send(to, message).err()
        } else {
            Some(message)
        };
        if let Some(message) = unsent {
            self.full_count += 1;
            self.waiting[to].push_back(message);
            self.count += 1;
        }
    }

    /// Sends now, or gives the message back: for what can be made again.
    pub(super) fn try_send(
        &mut self,
        cx: &mut Cx<'_>,
        to: usize,
        message: Message,
    ) -> Result<(), Message> {
        let sent = if self.waiting[to].is_empty() {
            cx.send(to, message)
        } else {
            Err(message)
        };
        self.full_count += u64::from(sent.is_err());
        sent
    }

    /// Times a message found its queue full.
    pub(super) fn full_count(&self) -> u64 {
        self.full_count
    }

    /// Sends what waits; true when something still does.
    pub(super) fn flush(&mut self, cx: &mut Cx<'_>) -> bool {
        if self.count == 0 {
            return false;
        }
        for to in 0..self.waiting.len() {
            while let Some(message) = self.waiting[to].pop_front() {
                if let Err(message) = cx.send(to, message) {
                    self.waiting[to].push_front(message);
                    break;
                }
                self.count -= 1;
            }
        }
        self.count > 0
    }
}
