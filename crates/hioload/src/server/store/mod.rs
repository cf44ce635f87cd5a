//! The block store of a server: one controller thread, and a local part on every worker.
//!
//! ```text
//!   worker: Exchange ─▶ LocalStore ─▶ FileOp ─▶ Driver            events ─▶ Exchange
//!                          │ Request                                  ▲
//!                          ▼ (the workers' mesh, one port more)       │ Reply
//!                       controller thread: Controller ────────────────┘
//! ```
//!
//! The rules of storing are in `hioload_blocks`; here its requests find their queue, its file
//! operations their driver, and its events their connection.

mod board;
mod config;
mod controller;
mod figures;
mod meters;
mod open;

pub(crate) use self::board::Board;
pub use self::config::StoreConfig;
pub(crate) use self::controller::{ControllerThread, Turns};
pub(crate) use self::figures::to_json;
pub(super) use self::meters::{StoreCatalogue, StoreMeters};
pub(crate) use self::open::{Opened, Share, refused};

use std::sync::Arc;
use std::time::Duration;

use hioload_base::Time;
use hioload_blocks::{FileOp, LocalStats, LocalStore, Reply};
use hioload_mem::{Buffer, BufferPool, PoolConfig};
use hioload_reactor::{Driver, FileHandle, FileId, Op, StartError};

use super::core::Cx;
use super::http::WINDOW;
use super::hub::{Hub, TIMER_STORE};
use super::message::Message;
use super::meters::Meters;

/// Events dealt with in one turn at most.
const EVENTS_MAX: usize = 4096;
/// [`Store::window`] when memory is short: one read.
const WINDOW_SHORT: usize = 64 * 1024;

/// A worker's part of the store.
pub(crate) struct Store {
    pub(super) local: LocalStore,
    /// Contents under way, from the socket to the file or back.
    pool: BufferPool,
    file: FileId,
    /// The controller's place in the mesh.
    controller: usize,
    config: Arc<StoreConfig>,
    /// The channel on which new blocks are announced.
    pub(super) announce: Option<Arc<str>>,
    board: Arc<Board>,
    /// When the local part wants to be called again, if a timer runs for it.
    due: Option<Time>,
}

impl Store {
    /// A worker's part, reading and writing through its driver, with buffers like `memory`, as many as the
    /// store's settings say: whatever happens to blocks takes none from sessions.
    pub(crate) fn open(
        share: Share,
        driver: &mut dyn Driver,
        memory: PoolConfig,
        controller: usize,
        board: Arc<Board>,
    ) -> Result<Self, StartError> {
        let Share {
            file,
            reader,
            config,
        } = share;
        Self::on(
            FileHandle::System(file),
            reader,
            config,
            driver,
            memory,
            controller,
            board,
        )
    }

    /// The same on any file, for simulation.
    pub(crate) fn on(
        file: FileHandle,
        reader: Box<dyn hioload_blocks::IndexReader>,
        config: Arc<StoreConfig>,
        driver: &mut dyn Driver,
        memory: PoolConfig,
        controller: usize,
        board: Arc<Board>,
    ) -> Result<Self, StartError> {
        let file = driver.open_file(file)?;
        let mut local = config.local();
        local.file_ops_max = local.file_ops_max.min(driver.caps().file_ops_max);
        let memory = PoolConfig {
            budget: config.memory,
            slab_size: None,
            ..memory
        };
        let pool = BufferPool::new(memory);
        let pool = pool.map_err(|error| open::refused(&config, &error.to_string()))?;
        let local = LocalStore::new(local, reader, pool.clone())
            .map_err(|error| open::refused(&config, &error.to_string()))?;
        let announce = config.announce.as_deref().map(Arc::from);
        Ok(Self {
            local,
            pool,
            file,
            controller,
            config,
            announce,
            board,
            due: None,
        })
    }

    pub(super) fn board(&self) -> &Board {
        &self.board
    }

    /// Bytes of a content that one connection may have ahead of its socket: less when memory is short, so
    /// that those who take little do not keep it from the others.
    pub(super) fn window(&self) -> usize {
        if self.pool.bytes_in_use() < self.config.memory / 2 {
            WINDOW
        } else {
            WINDOW_SHORT
        }
    }

    pub(super) fn grace(&self) -> Duration {
        self.config.grace
    }

    /// Hands requests to the controller and operations to the driver. True when the controller's
    /// queue is full, so that the next turn must try again.
    fn push(&mut self, cx: &mut Cx<'_>) -> bool {
        while let Some(op) = self.local.next_file_op() {
            let file = self.file;
            let op = match op {
                FileOp::Read {
                    token,
                    offset,
                    len,
                    buffer,
                } => Op::Read {
                    file,
                    token,
                    offset,
                    len,
                    buffer,
                },
                FileOp::Write {
                    token,
                    offset,
                    content,
                } => Op::Write {
                    file,
                    token,
                    offset,
                    content,
                },
            };
            let submitted = cx.submit(op);
            debug_assert!(
                submitted.is_ok(),
                "invariant: the store keeps within the driver's limit"
            );
        }
        while let Some(request) = self.local.next_request() {
            if let Err(message) = cx.send(self.controller, Message::Ask(request)) {
                let Message::Ask(request) = message else {
                    unreachable!("invariant: what was refused comes back");
                };
                self.local.put_back(request);
                return true;
            }
        }
        false
    }
}

impl Hub {
    /// The controller answered.
    pub(super) fn store_reply(&mut self, cx: &mut Cx<'_>, reply: Reply) {
        if let Some(store) = &mut self.store {
            store.local.handle_reply(cx.now(), reply);
        }
    }

    /// A read is over.
    pub(super) fn store_read(
        &mut self,
        cx: &mut Cx<'_>,
        token: u64,
        result: Result<usize, i32>,
        buffer: Buffer,
    ) {
        if let Some(store) = &mut self.store {
            store.local.handle_read(cx.now(), token, result, buffer);
        }
    }

    /// A write is over.
    pub(super) fn store_written(
        &mut self,
        cx: &mut Cx<'_>,
        token: u64,
        result: Result<usize, i32>,
    ) {
        if let Some(store) = &mut self.store {
            store.local.handle_written(cx.now(), token, result);
        }
    }

    /// The end of a turn: events to their connections, then what those led to on its way. True when
    /// something is left for the next turn.
    pub(super) fn serve_store(&mut self, cx: &mut Cx<'_>) -> bool {
        let now = cx.now();
        self.tell_given_up(cx);
        let mut left = EVENTS_MAX;
        self.tell_store_events(cx, &mut left);
        let has_pages = self.serve_pages(cx);
        let Some(store) = &mut self.store else {
            return false;
        };
        if store.local.has_much_to_hash()
            && (store.local.has_file_ops() || store.local.has_requests())
        {
            // Medium, controller and clients go on while what came is hashed.
            store.push(cx);
            cx.driver().submit_pending();
        }
        let due = store.local.poll(now);
        let has_told = self.tell_store_events(cx, &mut left);
        let Some(store) = &mut self.store else {
            return false;
        };
        let is_behind = store.push(cx);
        // What came of it is told in the next turn, and what was told after the poll may have led to more.
        let has_more = has_told || store.local.has_events() || due.is_some_and(|due| due <= now);
        if let Some(due) = due
            && due > now
            && store.due.is_none_or(|set| due < set)
            && cx.timer(due, TIMER_STORE).is_some()
        {
            store.due = Some(due);
        }
        left == 0 || is_behind || has_pages || has_more
    }

    /// Tells connections what became of what they asked for, as many as are `left` in this turn. True when there was any.
    fn tell_store_events(&mut self, cx: &mut Cx<'_>, left: &mut usize) -> bool {
        let before = *left;
        while *left > 0
            && let Some(store) = &mut self.store
            && let Some(event) = store.local.next_event()
        {
            *left -= 1;
            self.store_event(cx, event);
        }
        *left < before
    }

    /// The local part's own time is up; the end of the turn calls it.
    pub(super) fn store_timer(&mut self) {
        if let Some(store) = &mut self.store {
            store.due = None;
        }
    }

    /// The figures of this worker's part, if there is one.
    pub(crate) fn local_stats(&mut self) -> Option<LocalStats> {
        self.store.as_mut().map(|store| store.local.stats())
    }

    /// Shows the store's figures, on the board and as metrics.
    pub(super) fn show_store(&mut self, index: usize) {
        let Some(store) = &mut self.store else { return };
        let stats = store.local.stats();
        if let Some(meters) = self.meters.as_ref().and_then(Meters::store) {
            meters.publish_local(&stats);
            if index == 0
                && let Some(stats) = store.board.try_controller()
            {
                meters.publish_controller(&stats);
            }
        }
        store.board.set_worker(index, || stats);
    }
}
