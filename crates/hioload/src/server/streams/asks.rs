//! What other threads ask of a worker's streams: a page of a list, figures, a command with an answer.

use std::ops::ControlFlow;
use std::sync::mpsc::SyncSender;

use hioload_base::Time;
use hioload_streams::{Cursor, Filter, Reply, Stats, Step, StreamInfo, Ticket};

use super::ops::StreamOps;
use super::remote::{Asker, StreamCommand};
use super::{Core, Cx};

/// Places looked at, and streams told of, for one answer: some 100 µs of the worker's time.
const VISITS_MAX: usize = 4096;
const ROWS_MAX: usize = 1024;
/// Sessions that get a UID in one step.
const NAMES_MAX: usize = 512;

/// A question of another thread.
#[derive(Debug)]
pub(crate) enum Ask {
    /// The next streams that match.
    Page {
        filter: Filter,
        cursor: Cursor,
        answer: SyncSender<Page>,
    },
    /// Give UIDs to the next sessions that have none; where to go on, if there are more.
    Name {
        from: u32,
        answer: SyncSender<Option<u32>>,
    },
    /// The counters.
    Stats(SyncSender<Stats>),
    /// Carry this out; its ticket is given here.
    Command {
        command: Unticketed,
        answer: SyncSender<Reply>,
    },
}

/// A command but for its ticket.
pub(crate) struct Unticketed(pub(super) Box<dyn FnOnce(Ticket) -> StreamCommand + Send>);

impl std::fmt::Debug for Unticketed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Unticketed")
    }
}

/// Some of the streams of a worker.
#[derive(Debug)]
pub(crate) struct Page {
    pub(super) streams: Vec<StreamInfo>,
    /// As of then.
    pub(super) now: Time,
    /// Where to go on, if there is more.
    pub(super) next: Option<Cursor>,
}

impl Core {
    /// Answers another thread. Whoever asked may have gone meanwhile.
    pub(in crate::server) fn stream_ask(&mut self, cx: &mut Cx<'_>, ask: Ask) {
        match ask {
            Ask::Page {
                filter,
                cursor,
                answer,
            } => drop(answer.try_send(self.page(cx, &filter, cursor))),
            Ask::Name { from, answer } => {
                let next = StreamOps::new(self, cx.reborrow()).name_from(from, NAMES_MAX);
                let _ = answer.try_send(next);
            }
            Ask::Stats(answer) => drop(answer.try_send(*self.manager.registry.stats())),
            Ask::Command { command, answer } => {
                // Too many questions: the thread sees that its answer never comes, at once.
                if let Ok(ticket) = self.issue_ticket(Asker::Thread(answer)) {
                    self.execute(cx, None, (command.0)(ticket));
                }
            }
        }
    }

    fn page(&self, cx: &Cx<'_>, filter: &Filter, cursor: Cursor) -> Page {
        let (mut streams, mut next) = (Vec::new(), cursor);
        let registry = &self.manager.registry;
        let step = registry.list(cx.now(), filter, &mut next, VISITS_MAX, |info| {
            streams.push(info);
            if streams.len() < ROWS_MAX {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        });
        Page {
            streams,
            now: cx.now(),
            next: (step == Step::More).then_some(next),
        }
    }
}
