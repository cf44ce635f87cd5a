//! A WebSocket in a tunnel: one message on its way at a time, numbered, and looked at when it arrives.

use std::io;
use std::time::Instant;

use crate::wire::broken;

/// Any key shows that a server unmasks; a constant one lets messages be masked in advance.
const MASK: [u8; 4] = [0x5a, 0xc3, 0x17, 0x88];
/// Sizes up to which the length of a message is in the second byte of its frame.
pub(crate) const SIZE_MIN: usize = 8;
pub(crate) const SIZE_MAX: usize = 125;

const BINARY: u8 = 0x82;
const PING: u8 = 0x89;

pub(crate) struct Tunnel {
    /// The next message as a frame from a client.
    frame: Vec<u8>,
    number: u64,
    /// When the message on its way was sent.
    pub(crate) sent: Option<Instant>,
    /// A frame that is not whole yet.
    partial: Vec<u8>,
}

impl Tunnel {
    pub(crate) fn new(size: usize) -> Self {
        assert!((SIZE_MIN..=SIZE_MAX).contains(&size), "checked before");
        let mut frame = vec![BINARY, 0x80 | size as u8];
        frame.extend_from_slice(&MASK);
        frame.extend(std::iter::repeat_n(0, size));
        mask(&mut frame[6..]);
        Self {
            frame,
            number: 0,
            sent: None,
            partial: Vec::new(),
        }
    }

    /// The next message, on its way from now on.
    pub(crate) fn next(&mut self, now: Instant) {
        self.number += 1;
        self.sent = Some(now);
        let mut number = self.number.to_be_bytes();
        mask(&mut number);
        self.frame[6..14].copy_from_slice(&number);
    }

    /// The message as a frame.
    pub(crate) fn frame(&self) -> &[u8] {
        &self.frame
    }

    /// Takes what arrives in a tunnel, in any pieces, and says whether the message `number` is whole now.
    pub(crate) fn receive(&mut self, bytes: &[u8], number: u64) -> io::Result<bool> {
        let size = self.frame.len() - 4;
        if self.partial.is_empty() && bytes.len() == size && bytes[0] == BINARY {
            return check(bytes, number);
        }
        self.partial.extend_from_slice(bytes);
        // Servers may ask whether we are there; that they get no answer in time is nothing to measure here.
        while self.partial.first() == Some(&PING) && self.partial.len() >= 2 {
            let end = 2 + usize::from(self.partial[1]);
            if self.partial.len() < end {
                return Ok(false);
            }
            self.partial.drain(..end);
        }
        match self.partial.len() {
            length if length < size => Ok(false),
            length if length == size => {
                let frame = std::mem::take(&mut self.partial);
                check(&frame, number)
            }
            _ => Err(broken("more than one message")),
        }
    }

    /// The message on its way.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }
}

fn mask(bytes: &mut [u8]) {
    for (byte, key) in bytes.iter_mut().zip(MASK.iter().cycle()) {
        *byte ^= key;
    }
}

/// Whether a whole frame is the message that was sent.
fn check(frame: &[u8], number: u64) -> io::Result<bool> {
    let (head, payload) = frame.split_at(2);
    let (first, zeros) = payload.split_at(SIZE_MIN);
    let is_same = head == [BINARY, payload.len() as u8]
        && first == number.to_be_bytes()
        && zeros.iter().all(|byte| *byte == 0);
    if is_same {
        Ok(true)
    } else {
        Err(broken("a message that was never sent"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a server makes of a client's frame.
    fn echo(frame: &[u8]) -> Vec<u8> {
        let mut payload = frame[6..].to_vec();
        mask(&mut payload);
        [&[frame[0], frame[1] & 0x7f][..], &payload].concat()
    }

    #[test]
    fn a_message_is_known_again_in_any_pieces() {
        for step in 1..=66 {
            let mut tunnel = Tunnel::new(64);
            for turn in 1..=3 {
                let mut answer = vec![PING, 2, 0, 0];
                tunnel.next(Instant::now());
                answer.extend(echo(tunnel.frame()));
                let mut whole = 0;
                for piece in answer.chunks(step) {
                    whole += usize::from(tunnel.receive(piece, turn).expect("as sent"));
                }
                assert_eq!(whole, 1);
            }
        }
    }

    #[test]
    fn another_message_is_an_error() {
        let mut tunnel = Tunnel::new(8);
        tunnel.next(Instant::now());
        let answer = echo(tunnel.frame());
        assert!(tunnel.receive(&answer, 2).is_err());
        tunnel.next(Instant::now());
        let mut altered = echo(tunnel.frame());
        altered[1] = 7;
        assert!(tunnel.receive(&altered, 2).is_err());
    }
}
