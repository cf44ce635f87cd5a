//! A proxy against a naive model that holds the bytes: whatever the two sides do, nothing is lost,
//! doubled or reordered, what is in flight is bounded, and everything ends.

use std::collections::VecDeque;

use hioload_streams::{Action, Proxy, Side};
use proptest::prelude::*;

const READ_MAX: u64 = 1500;

/// What the world does to the pair.
#[derive(Clone, Copy, Debug)]
enum Move {
    /// The side sends so many bytes, if it is read from.
    Send(Side, u64),
    /// The side takes up to so many of the bytes that wait for it.
    Take(Side, u64),
    /// The side says all it wanted.
    End(Side),
    /// The side goes.
    Reset(Side),
}

/// One direction: bytes as numbers, so that loss and order show.
#[derive(Default)]
struct Pipe {
    sent: u64,
    waiting: VecDeque<u64>,
    taken: u64,
    is_paused: bool,
    has_ended: bool,
    is_end_told: bool,
}

struct World {
    proxy: Proxy,
    window: u64,
    /// By where the bytes come from.
    pipes: [Pipe; 2],
    reset: [bool; 2],
    reset_told: [bool; 2],
    is_done: bool,
}

impl World {
    fn new(window: u64) -> World {
        World {
            proxy: Proxy::with_window(window),
            window,
            pipes: [Pipe::default(), Pipe::default()],
            reset: [false; 2],
            reset_told: [false; 2],
            is_done: false,
        }
    }

    fn is_broken(&self) -> bool {
        self.reset[0] || self.reset[1]
    }

    fn act(&mut self, step: Move) {
        match step {
            Move::Send(side, size) => {
                let pipe = &mut self.pipes[side as usize];
                if pipe.is_paused || pipe.has_ended || self.reset[0] || self.reset[1] {
                    return;
                }
                pipe.waiting.extend(pipe.sent..pipe.sent + size);
                pipe.sent += size;
                self.proxy.received(side, size);
            }
            Move::Take(side, size) => {
                let from = side.other();
                let pipe = &mut self.pipes[from as usize];
                let size = size.min(pipe.waiting.len() as u64);
                for byte in pipe.waiting.drain(..size as usize) {
                    assert_eq!(byte, pipe.taken, "in order, once");
                    pipe.taken += 1;
                }
                self.proxy.written(side, size);
            }
            Move::End(side) => {
                self.pipes[side as usize].has_ended = true;
                self.proxy.ended(side);
            }
            Move::Reset(side) => {
                self.reset[side as usize] = true;
                self.proxy.reset(side);
            }
        }
        self.obey();
    }

    fn obey(&mut self) {
        while let Some(action) = self.proxy.poll() {
            assert!(
                !self.is_done,
                "done is the last word, not before {action:?}"
            );
            match action {
                Action::Pause(side) => {
                    let pipe = &mut self.pipes[side as usize];
                    assert!(!pipe.is_paused && pipe.waiting.len() as u64 >= self.window);
                    pipe.is_paused = true;
                }
                Action::Resume(side) => {
                    let pipe = &mut self.pipes[side as usize];
                    assert!(pipe.is_paused && pipe.waiting.len() as u64 <= self.window / 2);
                    pipe.is_paused = false;
                }
                Action::End(side) => {
                    let pipe = &mut self.pipes[side.other() as usize];
                    assert!(pipe.has_ended && pipe.waiting.is_empty() && !pipe.is_end_told);
                    pipe.is_end_told = true;
                }
                Action::Reset(side) => {
                    assert!(self.reset[side.other() as usize] && !self.reset[side as usize]);
                    assert!(!std::mem::replace(
                        &mut self.reset_told[side as usize],
                        true
                    ));
                }
                Action::Done => self.is_done = true,
            }
        }
        self.check();
    }

    fn check(&self) {
        for side in [Side::A, Side::B] {
            let pipe = &self.pipes[side as usize];
            let waiting = pipe.waiting.len() as u64;
            assert_eq!(self.proxy.in_flight(side), waiting);
            assert_eq!(self.proxy.total(side), pipe.sent);
            assert_eq!(self.proxy.is_paused(side), pipe.is_paused);
            assert!(waiting < self.window + READ_MAX, "{waiting} in flight");
            if !self.is_broken() {
                // A side that could send is never left paused, nor one that is full read from.
                let is_full = waiting >= self.window && !pipe.has_ended;
                assert!(!is_full || pipe.is_paused);
                assert!(waiting > self.window / 2 || !pipe.is_paused);
                assert_eq!(pipe.is_end_told, pipe.has_ended && waiting == 0);
            }
        }
        let ended = self.pipes.iter().all(|pipe| pipe.is_end_told);
        let gone = (0..2).all(|side| self.reset[side] || self.reset_told[side]);
        assert_eq!(self.is_done, ended || gone);
        assert_eq!(self.proxy.is_done(), self.is_done);
    }
}

fn side() -> impl Strategy<Value = Side> {
    prop_oneof![Just(Side::A), Just(Side::B)]
}

fn moves() -> impl Strategy<Value = Move> {
    prop_oneof![
        8 => (side(), 0..READ_MAX).prop_map(|(side, size)| Move::Send(side, size)),
        8 => (side(), 0..2 * READ_MAX).prop_map(|(side, size)| Move::Take(side, size)),
        1 => side().prop_map(Move::End),
        1 => side().prop_map(Move::Reset),
    ]
}

proptest! {
    #[test]
    fn a_proxy_is_two_bounded_pipes(
        window in prop_oneof![1_u64..10, 500_u64..5000],
        moves in prop::collection::vec(moves(), 0..120),
    ) {
        let mut world = World::new(window);
        for step in moves {
            world.act(step);
        }
        // Whatever happened: when both end and everything is taken, it is over.
        for side in [Side::A, Side::B] {
            world.act(Move::End(side));
        }
        for side in [Side::A, Side::B] {
            world.act(Move::Take(side, u64::MAX));
        }
        prop_assert!(world.is_done);
    }
}

#[test]
fn half_a_close_leaves_the_way_back_open() {
    let mut proxy = Proxy::with_window(100);
    proxy.ended(Side::A);
    assert_eq!(proxy.poll(), Some(Action::End(Side::B)));
    assert_eq!(proxy.poll(), None, "b still sends");
    proxy.received(Side::B, 50);
    proxy.ended(Side::B);
    assert_eq!(proxy.poll(), None);
    proxy.written(Side::A, 50);
    assert_eq!(proxy.poll(), Some(Action::End(Side::A)));
    assert_eq!(proxy.poll(), Some(Action::Done));
    assert_eq!(proxy.poll(), None);
}

#[test]
fn a_reset_does_not_wait_for_what_is_in_flight() {
    let mut proxy = Proxy::with_window(100);
    proxy.received(Side::A, 99);
    proxy.reset(Side::A);
    assert_eq!(proxy.poll(), Some(Action::Reset(Side::B)));
    assert_eq!(proxy.poll(), Some(Action::Done));
    let mut both = Proxy::default();
    both.reset(Side::A);
    both.reset(Side::B);
    assert_eq!(both.poll(), Some(Action::Done), "nobody is left to tell");
}

#[test]
fn the_window_is_a_mark_not_a_wall() {
    for (window, size, is_paused) in [
        (1, 0, false),
        (1, 1, true),
        (100, 99, false),
        (100, 100, true),
    ] {
        let mut proxy = Proxy::with_window(window);
        proxy.received(Side::B, size);
        assert_eq!(proxy.poll().is_some(), is_paused, "{window} {size}");
    }
    let mut none = Proxy::with_window(0);
    assert_eq!(none.poll(), None, "a window of nothing is one of a byte");
}
