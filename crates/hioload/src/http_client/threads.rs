//! The threads of a client, and which of them takes a call.
//!
//! Each thread has connections of its own, so that one takes them as one alone would; where there are several, a call
//! goes to the one of two, taken at random, that has fewer under way ([`Placement`]).

use std::sync::{Mutex, PoisonError};

use hioload_http::client::Config;
use hioload_streams::Placement;

use super::error::HttpError;
use super::thread::{CallId, Command, Handle};
use super::trust::Trust;

/// All of them.
pub(super) struct Threads {
    handles: Vec<Handle>,
    placement: Mutex<Placement>,
}

impl Threads {
    /// Starts so many, but at least one.
    pub(super) fn start(
        count: usize,
        config: &Config,
        trust: impl Fn() -> Trust,
    ) -> Result<Self, HttpError> {
        let handles = (0..count.max(1)).map(|_| Handle::start(config.clone(), trust()));
        let mut seed = [0; 8];
        // Any number will do: nobody gains by knowing it.
        let _ = getrandom::fill(&mut seed);
        Ok(Self {
            handles: handles.collect::<Result<_, _>>()?,
            placement: Mutex::new(Placement::new(u64::from_ne_bytes(seed))),
        })
    }

    /// The thread for the next call.
    pub(super) fn place(&self) -> usize {
        if self.handles.len() == 1 {
            return 0;
        }
        let placement = self.placement.lock();
        let mut placement = placement.unwrap_or_else(PoisonError::into_inner);
        // The caller is on none of them.
        let nowhere = self.handles.len();
        placement.choose(self.handles.len(), nowhere, |thread| {
            self.handles[thread].call_count() as u64
        })
    }

    pub(super) fn handle(&self, thread: usize) -> &Handle {
        &self.handles[thread]
    }

    pub(super) fn next_id(&self, thread: usize) -> CallId {
        self.handles[thread].next_id()
    }

    pub(super) fn send(&self, thread: usize, command: Command) -> Result<(), HttpError> {
        self.handles[thread].send(command)
    }

    /// Calls under way, by thread.
    pub(super) fn call_counts(&self) -> Vec<usize> {
        self.handles.iter().map(Handle::call_count).collect()
    }
}
