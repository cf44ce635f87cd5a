//! Commits go to the medium beside the writer: a thread that syncs the file, so that the sync of the database, which waits, finds
//! little left to write.
//!
//! The database itself is touched by its writer alone. What the thread is told of failures is dropped: the system tells
//! every descriptor of them, and so the database with its own sync.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

/// The thread, and whether it is at it.
#[derive(Debug)]
pub(super) struct Flusher {
    is_busy: Arc<AtomicBool>,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Flusher {
    /// # Errors
    /// The system has no thread left.
    pub(super) fn start(file: Arc<File>) -> io::Result<Flusher> {
        let is_busy = Arc::new(AtomicBool::new(false));
        let is_over = Arc::new(AtomicBool::new(false));
        let (busy, over) = (Arc::clone(&is_busy), Arc::clone(&is_over));
        let body = move || {
            while !over.load(Ordering::Acquire) {
                if busy.load(Ordering::Acquire) {
                    let _ = file.sync_data();
                    busy.store(false, Ordering::Release);
                } else {
                    thread::park();
                }
            }
        };
        let thread = thread::Builder::new().name("index flush".to_owned());
        Ok(Flusher {
            is_busy,
            is_over,
            thread: Some(thread.spawn(body)?),
        })
    }

    /// Begins a flush unless one is under way.
    pub(super) fn begin(&self) {
        if !self.is_busy.swap(true, Ordering::AcqRel) {
            self.wake();
        }
    }

    fn wake(&self) {
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }
}

impl Drop for Flusher {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Release);
        self.wake();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
