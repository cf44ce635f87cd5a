//! One request between the thread that asks and the thread that has the connections.
//!
//! ```text
//!   asking thread: wait, read ──▶ Call (mutex, condition) ◀── events ── the client's thread
//!                  cancel, consumed, write ─── commands ──▶
//! ```
//!
//! Knows no connection. What waits in a call is bounded: answers by the window of the agent, uploads by
//! [`UPLOAD_AHEAD`].

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hioload_http::client::{Event, Failure, Head, Progress, UploadMisuse, Url};

/// Bytes of a body that wait for the client's thread.
pub(super) const UPLOAD_AHEAD: usize = 128 << 10;

/// What is known of a request.
#[derive(Debug)]
pub(super) struct CallState {
    /// What it is for by now.
    pub(super) url: Url,
    pub(super) redirect_count: usize,
    pub(super) head: Option<Head>,
    /// The body: whole at the end when it is gathered, else what was not read yet.
    pub(super) body: VecDeque<u8>,
    pub(super) progress: Progress,
    pub(super) has_ended: bool,
    pub(super) failure: Option<Failure>,
    /// The client took it, or could not.
    pub(super) is_refused: bool,
    /// Bytes of the upload that were not taken yet.
    pub(super) upload_waiting: usize,
    pub(super) upload_misuse: Option<UploadMisuse>,
}

impl CallState {
    /// Nothing more comes.
    pub(super) fn is_over(&self) -> bool {
        self.has_ended || self.failure.is_some() || self.is_refused
    }
}

/// A request, shared by both sides.
#[derive(Debug)]
pub(super) struct CallCell {
    state: Mutex<CallState>,
    changed: Condvar,
}

impl CallCell {
    pub(super) fn new(url: Url) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(CallState {
                url,
                redirect_count: 0,
                head: None,
                body: VecDeque::new(),
                progress: Progress::default(),
                has_ended: false,
                failure: None,
                is_refused: false,
                upload_waiting: 0,
                upload_misuse: None,
            }),
            changed: Condvar::new(),
        })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, CallState> {
        // Nothing panics with the lock held; if it did, the state would still be one.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until something changes.
    pub(super) fn wait<'a>(&self, state: MutexGuard<'a, CallState>) -> MutexGuard<'a, CallState> {
        self.changed
            .wait(state)
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until something changes, for at most so long.
    pub(super) fn wait_for<'a>(
        &self,
        state: MutexGuard<'a, CallState>,
        timeout: Duration,
    ) -> MutexGuard<'a, CallState> {
        let waited = self.changed.wait_timeout(state, timeout);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// Changes the state, and tells who waits.
    pub(super) fn change(&self, change: impl FnOnce(&mut CallState)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }

    /// Writes an event down. True when the request is over.
    pub(super) fn record(&self, event: Event<'_>) -> bool {
        let mut is_over = false;
        self.change(|state| match event {
            Event::Redirected { to, .. } => {
                state.url = to;
                state.redirect_count += 1;
            }
            Event::Head { head, .. } => {
                state.progress.total = head.content_length();
                state.head = Some(head);
            }
            Event::Body { bytes, .. } => {
                state.body.extend(&*bytes);
                state.progress.received += bytes.len() as u64;
            }
            Event::Progress { progress, .. } => state.progress = progress,
            Event::BodyWanted { .. } => {}
            Event::End { body, .. } => {
                if !body.is_empty() {
                    state.body = body.into();
                }
                state.has_ended = true;
                is_over = true;
            }
            Event::Failed { failure, .. } => {
                state.failure = Some(failure);
                is_over = true;
            }
        });
        is_over
    }
}
