//! The naive model: every subscriber has a queue of what it is still to get.

use crate::append::Offset;
use crate::{Class, Encode, Gap, Origin, Unencoded};
use std::collections::VecDeque;

/// Frames as simple as can be: class, kind, payload size, payload; class 1 has the payload backwards and
/// a trailer, so that positions differ between classes.
#[derive(Debug)]
pub(super) struct FakeFrames;

const HEADER_SIZE: usize = 4;

impl Encode for FakeFrames {
    fn room(&self, class: Class, publication: &Unencoded<'_>) -> usize {
        // Class 1 asks for more than it needs, as a compressor does.
        HEADER_SIZE + publication.payload.len() + usize::from(class.number()) * 16
    }

    fn encode(&mut self, class: Class, publication: &Unencoded<'_>, out: &mut [u8]) -> usize {
        let frame = encoded(class, publication.kind, publication.payload);
        out[..frame.len()].copy_from_slice(&frame);
        frame.len()
    }
}

pub(super) fn encoded(class: Class, kind: u8, payload: &[u8]) -> Vec<u8> {
    let [high, low] = (payload.len() as u16).to_be_bytes();
    let mut frame = vec![class.number(), kind, high, low];
    if class == Class::PLAIN {
        frame.extend_from_slice(payload);
    } else {
        frame.extend(payload.iter().rev());
        frame.push(b'.');
    }
    frame
}

/// What was published.
#[derive(Debug)]
pub(super) struct Publication {
    pub(super) payload: Vec<u8>,
    pub(super) origin: Origin,
}

/// What one subscriber is still to get.
#[derive(Debug)]
pub(super) struct Queue {
    pending: VecDeque<Offset>,
    /// Bytes of the first one it has.
    partial: usize,
    /// Bytes it took, and when: the judge of its progress.
    drained: VecDeque<(u64, usize)>,
    pub(super) dropped: u64,
}

impl Queue {
    pub(super) fn new() -> Queue {
        Queue {
            pending: VecDeque::new(),
            partial: 0,
            drained: VecDeque::new(),
            dropped: 0,
        }
    }

    pub(super) fn push(&mut self, offset: Offset) {
        self.pending.push_back(offset);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.pending.len()
    }

    pub(super) fn partial(&self) -> usize {
        self.partial
    }

    pub(super) fn first(&self) -> Option<Offset> {
        self.pending.front().copied()
    }

    /// The bytes it gets next.
    pub(super) fn stream(&self, frame: impl Fn(Offset) -> Vec<u8>, size: usize) -> Vec<u8> {
        let mut stream = Vec::new();
        for offset in &self.pending {
            stream.extend(frame(*offset));
            if stream.len() >= self.partial + size {
                break;
            }
        }
        stream.drain(..self.partial);
        stream
    }

    pub(super) fn take(&mut self, frame: impl Fn(Offset) -> Vec<u8>, size: usize, now_ms: u64) {
        if size > 0 {
            self.drained.push_back((now_ms, size));
        }
        self.partial += size;
        while let Some(first) = self.first() {
            let frame_size = frame(first).len();
            if self.partial < frame_size {
                return;
            }
            self.partial -= frame_size;
            self.pending.pop_front();
        }
        assert_eq!(self.partial, 0, "it got more than there was");
    }

    /// The room says that it dropped these.
    pub(super) fn drop_gap(&mut self, gap: Gap) {
        let before = self.pending.len();
        let is_partial = self.partial > 0;
        let first = self.first();
        self.pending
            .retain(|offset| *offset < gap.from || *offset > gap.to);
        assert!(
            !is_partial || first == self.first(),
            "a frame in progress is finished"
        );
        assert_eq!(
            (before - self.pending.len()) as u64,
            gap.publications,
            "a gap is told exactly"
        );
        self.dropped += gap.publications;
    }

    /// Bytes drained since `since_ms`, that moment excluded.
    pub(super) fn drained_since(&self, since_ms: u64) -> usize {
        self.drained
            .iter()
            .filter(|(at, _)| *at > since_ms)
            .map(|(_, size)| size)
            .sum()
    }
}
