//! Windows: how much may still be sent, each way, of a stream and of the whole connection.
//!
//! Knows no stream and writes no frame. Sums are made in 64 bits, of numbers of at most 31: nothing overflows.
//!
//! ```text
//!   SendWindow      the peer's WINDOW_UPDATE, SETTINGS ─▶ room ─▶ our DATA
//!
//!   ReceiveWindow   target = room (the peer may send)
//!                          + held (came, and is not consumed)
//!                          + gap  (consumed, and not told the peer yet)
//! ```
//!
//! Invariants: the gap is told as soon as it is half the target, so that a peer never waits for a window that nobody
//! holds.
//!
//! Spec: RFC 9113 5.2, 6.9.

/// Windows are given back in whole pieces of so many bytes: a frame ends where the window does, and a peer whose windows
/// end anywhere sends crumbs. Those of less than four pieces are given back to the byte.
const PIECE: i64 = 1024;

/// The largest window (RFC 9113 6.9.1).
const WINDOW_MAX: i64 = (1 << 31) - 1;

/// A window would be larger than any can be, or more came than it had room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OutOfWindow;

/// What we may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SendWindow {
    /// Below zero after a change of settings (RFC 9113 6.9.2).
    room: i64,
}

impl SendWindow {
    pub(super) fn new(size: u32) -> Self {
        Self {
            room: i64::from(size),
        }
    }

    pub(super) fn room(self) -> usize {
        usize::try_from(self.room).unwrap_or(0)
    }

    /// The caller was told that there is so much room.
    pub(super) fn take(&mut self, size: usize) {
        self.room -= size as i64;
    }

    /// WINDOW_UPDATE, or the difference that a change of settings makes.
    pub(super) fn grow(&mut self, difference: i64) -> Result<(), OutOfWindow> {
        let room = self.room + difference;
        if room > WINDOW_MAX {
            return Err(OutOfWindow);
        }
        self.room = room;
        Ok(())
    }
}

/// What the peer may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ReceiveWindow {
    room: i64,
    held: i64,
    target: i64,
}

impl ReceiveWindow {
    pub(super) fn new(target: u32) -> Self {
        let target = i64::from(target).min(WINDOW_MAX);
        Self {
            room: target,
            held: 0,
            target,
        }
    }

    /// So much came.
    pub(super) fn receive(&mut self, size: u32) -> Result<(), OutOfWindow> {
        let size = i64::from(size);
        if size > self.room {
            return Err(OutOfWindow);
        }
        self.room -= size;
        self.held += size;
        Ok(())
    }

    /// Of what came, so much is done with; at most what is held.
    pub(super) fn consume(&mut self, size: u32) {
        self.held -= i64::from(size).min(self.held);
    }

    /// What to tell the peer, once it is worth a frame. It counts as told.
    pub(super) fn announce(&mut self) -> Option<u32> {
        let gap = self.target - self.room - self.held;
        if gap <= 0 || gap * 2 < self.target {
            return None;
        }
        let told = if self.target < 4 * PIECE {
            gap
        } else {
            gap - gap % PIECE
        };
        self.room += told;
        Some(told as u32)
    }

    /// Settings will take so much: what to tell the peer so that it may be as far ahead as before, though no further than
    /// `most`. It counts as told.
    pub(super) fn keep(&mut self, difference: u32, most: u32) -> Option<u32> {
        let difference = i64::from(difference);
        let gap = i64::from(most) - self.held - (self.room - difference);
        let told = gap.clamp(0, difference);
        self.room += told;
        (told > 0).then_some(told as u32)
    }

    /// What to tell the peer so that its window is not below zero. It counts as told.
    pub(super) fn lift(&mut self) -> Option<u32> {
        let missing = -self.room;
        if missing <= 0 {
            return None;
        }
        self.room = 0;
        Some(missing as u32)
    }

    /// How far ahead the peer may be.
    pub(super) fn target(self) -> i64 {
        self.target
    }

    /// How far ahead the peer may be from now on.
    pub(super) fn set_target(&mut self, target: u32) {
        self.target = i64::from(target).min(WINDOW_MAX);
    }

    /// Our settings are in force: the peer has changed all its windows by the difference.
    pub(super) fn shift(&mut self, difference: i64) {
        self.room += difference;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_to_send_into_ends_at_its_maximum() {
        let mut window = SendWindow::new(10);
        window.take(4);
        assert_eq!(window.room(), 6);
        // Settings can leave less than nothing.
        assert_eq!(window.grow(-10), Ok(()));
        assert_eq!(window.room(), 0);
        assert_eq!(window.grow(4), Ok(()));
        assert_eq!(window.room(), 0);
        assert_eq!(window.grow(1), Ok(()));
        assert_eq!(window.room(), 1);
        assert_eq!(window.grow(WINDOW_MAX - 1), Ok(()));
        assert_eq!(window.grow(1), Err(OutOfWindow));
        assert_eq!(window.room(), WINDOW_MAX as usize);
    }

    #[test]
    fn a_window_to_receive_into_is_told_by_halves() {
        let mut window = ReceiveWindow::new(10);
        assert_eq!(window.receive(11), Err(OutOfWindow));
        assert_eq!(window.receive(10), Ok(()));
        assert_eq!(window.receive(0), Ok(()));
        assert_eq!(window.receive(1), Err(OutOfWindow));
        window.consume(4);
        assert_eq!(window.announce(), None);
        window.consume(1);
        assert_eq!(window.announce(), Some(5));
        assert_eq!(window.announce(), None);
        // No more is consumed than came.
        window.consume(9);
        assert_eq!(window.announce(), Some(5));
        assert_eq!(window.receive(10), Ok(()));
    }

    #[test]
    fn a_target_moves_up_at_once_and_down_as_bytes_come() {
        let mut window = ReceiveWindow::new(10);
        window.set_target(30);
        assert_eq!(window.announce(), Some(20));
        window.set_target(10);
        assert_eq!(window.announce(), None);
        assert_eq!(window.receive(24), Ok(()));
        window.consume(24);
        assert_eq!(window.announce(), None);
        assert_eq!(window.receive(1), Ok(()));
        window.consume(1);
        assert_eq!(window.announce(), Some(5));
    }

    #[test]
    fn a_window_is_told_in_whole_pieces() {
        let mut window = ReceiveWindow::new(4096);
        assert_eq!(window.receive(4096), Ok(()));
        window.consume(3000);
        assert_eq!(window.announce(), Some(2048));
        window.consume(1000);
        assert_eq!(window.announce(), None);
        window.consume(96);
        assert_eq!(window.announce(), Some(2048));
        assert_eq!(window.receive(4096), Ok(()));
    }

    #[test]
    fn settings_shift_what_may_come() {
        let mut window = ReceiveWindow::new(65_535);
        assert_eq!(window.receive(65_000), Ok(()));
        window.set_target(1000);
        window.shift(1000 - 65_535);
        assert_eq!(window.receive(1), Err(OutOfWindow));
        window.consume(65_000);
        assert_eq!(window.announce(), Some(65_000));
        assert_eq!(window.receive(1000), Ok(()));
    }
}
