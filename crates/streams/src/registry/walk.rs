//! Walks over a worker's streams, in bounded steps.
//!
//! A walk is in order of places, so that it can stop anywhere and go on later whatever happened
//! meanwhile: a stream that lives all the while is met exactly once, one that comes or goes, once or not at all.

use std::ops::ControlFlow;

use hioload_base::Time;

use super::{Registry, Removed};
use crate::filter::{Cursor, Filter};
use crate::{End, StreamInfo, StreamUid};

/// Whether a walk is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// There is more: go on from the cursor.
    More,
    /// All was seen.
    Done,
}

impl Registry {
    /// Meets the streams that match, from `cursor` on, until `meet` breaks off or `visit_max` places were looked
    /// at; the cursor is where to go on. A place costs a few nanoseconds.
    ///
    /// ```
    /// use std::ops::ControlFlow;
    /// use hioload_base::Time;
    /// use hioload_streams::{Config, Cursor, Filter, Kind, New, Registry, Step, Total};
    ///
    /// let mut registry = Registry::new(0, Config::default(), Total::new(100));
    /// for socket in 0..10 {
    ///     registry.register(socket, New::of(Kind::Sse), Time::ZERO)?;
    /// }
    /// let (mut cursor, mut seen) = (Cursor::START, 0);
    /// while registry.list(Time::ZERO, &Filter::default(), &mut cursor, 4, |_| {
    ///     seen += 1;
    ///     ControlFlow::Continue(())
    /// }) == Step::More
    /// {
    ///     // Something else gets its turn here.
    /// }
    /// assert_eq!(seen, 10);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn list(
        &self,
        now: Time,
        filter: &Filter,
        cursor: &mut Cursor,
        visit_max: usize,
        mut meet: impl FnMut(StreamInfo) -> ControlFlow<()>,
    ) -> Step {
        let worker = self.worker;
        let next = self.places.walk(
            *cursor,
            visit_max,
            &mut |socket, stream, generation, found| {
                if !filter.matches(found, now) {
                    return ControlFlow::Continue(());
                }
                let uid = StreamUid::new(worker, socket, stream, generation);
                meet(found.info(uid.expect("invariant: whoever lives has a UID")))
            },
        );
        match next {
            Some(place) => {
                *cursor = place;
                Step::More
            }
            None => Step::Done,
        }
    }

    /// Finds autonomous streams that were silent for longer than they may be, and puts their names into `found`;
    /// the caller ends them. Each call goes on where the last one stopped, and begins again
    /// after the end: a stream is found within one round of its time.
    pub fn sweep(&mut self, now: Time, visit_max: usize, found: &mut Vec<StreamUid>) -> Step {
        if self.config.idle_timeout.is_zero() || self.stats.autonomous == 0 {
            return Step::Done;
        }
        let filter = Filter {
            autonomous_only: true,
            ..Filter::inactive(self.config.idle_timeout)
        };
        let mut cursor = self.sweep;
        let step = self.list(now, &filter, &mut cursor, visit_max, |info| {
            found.push(info.uid);
            ControlFlow::Continue(())
        });
        self.sweep = match step {
            Step::More => cursor,
            Step::Done => Cursor::START,
        };
        step
    }

    /// Ends streams one and all, so many places a call; `removed` gets each. Call until it is done.
    pub fn cleanup_all(
        &mut self,
        visit_max: usize,
        end: End,
        mut removed: impl FnMut(Removed),
    ) -> Step {
        if self.is_empty() {
            return Step::Done;
        }
        let (mut cursor, mut uids) = (self.sweep, Vec::new());
        let step = self.list(
            Time::MAX,
            &Filter::default(),
            &mut cursor,
            visit_max,
            |info| {
                uids.push(info.uid);
                ControlFlow::Continue(())
            },
        );
        self.sweep = match step {
            Step::More => cursor,
            Step::Done => Cursor::START,
        };
        for uid in uids {
            removed(
                self.unregister(uid, end)
                    .expect("invariant: it was just seen"),
            );
        }
        if self.is_empty() {
            Step::Done
        } else {
            Step::More
        }
    }
}
