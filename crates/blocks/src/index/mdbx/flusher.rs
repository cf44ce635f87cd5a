//! Commits go to the medium beside the writer: a thread that syncs the file, so that the sync of the database, which waits, finds
//! little left to write.
//!
//! The database itself is touched by its writer alone. A failure is kept for the writer: who syncs later need not be told of it
//! again.

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
    has_failed: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Flusher {
    /// # Errors
    /// The system has no thread left.
    pub(super) fn start(file: Arc<File>) -> io::Result<Flusher> {
        let is_busy = Arc::new(AtomicBool::new(false));
        let is_over = Arc::new(AtomicBool::new(false));
        let has_failed = Arc::new(AtomicBool::new(false));
        let (busy, over) = (Arc::clone(&is_busy), Arc::clone(&is_over));
        let failed = Arc::clone(&has_failed);
        let body = move || {
            while !over.load(Ordering::Acquire) {
                if busy.load(Ordering::Acquire) {
                    if file.sync_data().is_err() {
                        failed.store(true, Ordering::Release);
                    }
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
            has_failed,
            thread: Some(thread.spawn(body)?),
        })
    }

    /// Begins a flush unless one is under way.
    pub(super) fn begin(&self) {
        if !self.is_busy.swap(true, Ordering::AcqRel) {
            self.wake();
        }
    }

    /// Something could not be written, some time.
    pub(super) fn has_failed(&self) -> bool {
        self.has_failed.load(Ordering::Acquire)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn flushed(file: File) -> Flusher {
        let flusher = Flusher::start(Arc::new(file)).expect("a thread");
        flusher.begin();
        while flusher.is_busy.load(Ordering::Acquire) {
            thread::yield_now();
        }
        flusher
    }

    #[test]
    fn a_failure_is_kept_for_the_writer() {
        let file = std::env::current_exe().and_then(File::open);
        assert!(!flushed(file.expect("this test")).has_failed());
        // What has no medium cannot be synced: EINVAL, fsync(2).
        let device = flushed(File::open("/dev/null").expect("a device"));
        assert!(device.has_failed());
        device.begin();
        assert!(device.has_failed(), "for good");
    }
}
