//! Where a UID lives. The UID says so itself: no table, nothing to look up, nothing to go stale.

use crate::StreamUid;

/// Where a UID lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// On this worker.
    Here,
    /// On that worker.
    There(usize),
    /// There is no such worker, so there is no such stream.
    Nowhere,
}

/// Tells a worker its own streams from those of others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Router {
    here: usize,
    workers: usize,
}

impl Router {
    /// The router of worker `here`, of so many.
    ///
    /// # Panics
    /// When there are more workers than a UID can name, or `here` is none of them.
    #[must_use]
    pub fn new(here: usize, workers: usize) -> Router {
        assert!(workers <= StreamUid::WORKERS, "a UID names 256 workers");
        assert!(here < workers, "a worker is one of all");
        Router { here, workers }
    }

    /// Where it lives.
    #[inline]
    #[must_use]
    pub fn route(&self, uid: StreamUid) -> Route {
        let worker = usize::from(uid.worker());
        if worker == self.here {
            Route::Here
        } else if worker < self.workers {
            Route::There(worker)
        } else {
            Route::Nowhere
        }
    }

    /// This worker.
    #[must_use]
    pub fn here(&self) -> usize {
        self.here
    }

    /// Workers in all.
    #[must_use]
    pub fn workers(&self) -> usize {
        self.workers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worker_in_the_uid_decides() {
        let router = Router::new(1, 3);
        let route = |worker| router.route(StreamUid::new(worker, 5, 0, 1).expect("in range"));
        assert_eq!(route(0), Route::There(0));
        assert_eq!(route(1), Route::Here);
        assert_eq!(route(2), Route::There(2));
        assert_eq!(route(3), Route::Nowhere);
        assert_eq!(route(255), Route::Nowhere);
        assert!(std::panic::catch_unwind(|| Router::new(0, 257)).is_err());
        assert_eq!(
            Router::new(255, 256).route(StreamUid::new(255, 0, 0, 1).expect("in range")),
            Route::Here
        );
    }
}
