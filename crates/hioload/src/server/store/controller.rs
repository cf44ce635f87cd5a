//! The controller's turns, and the thread that makes them.
//!
//! ```text
//!   mesh ─ Ask ─▶ push … ─▶ cycle ─▶ replies ─ Answer ─▶ mesh ─▶ workers, woken if they sleep
//!                              └▶ Pauser: work, spin, yield, park until woken
//! ```
//!
//! A reply that finds a worker's queue full waits here, in order, and requests are left in their queues
//! meanwhile: nothing is lost, and nothing grows. A worker that takes from its queue wakes nobody, so the
//! controller looks again by itself until all is sent.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::{JoinHandle, Thread};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hioload_base::Time;
use hioload_blocks::{
    Controller, ControllerStats, Fault, Inconsistency, IndexError, IndexReader, Next, Pause,
    PauseConfig, Pauser, Replayed, Replies, Reply, StoreLock,
};
use hioload_reactor::{Address, Clock, Reach, StartError, Waker};
use hioload_ring::Port;

use super::board::Board;
use super::open::{Opened, refused};
use crate::server::message::Message;
use crate::server::seat::TellEnd;

/// How often figures are shown.
const SHOW_INTERVAL: Duration = Duration::from_millis(200);

/// How soon replies that found no room are tried again.
const UNSENT_PAUSE: Duration = Duration::from_micros(100);

/// A controller and its place in the mesh.
pub(crate) struct Turns {
    controller: Controller,
    port: Port<Message>,
    workers: Vec<Waker>,
    replies: Replies,
    /// Replies that found no room, by worker.
    unsent: Vec<VecDeque<Reply>>,
    board: Arc<Board>,
    shown: Time,
}

impl Turns {
    pub(crate) fn new(
        controller: Controller,
        port: Port<Message>,
        workers: Vec<Waker>,
        board: Arc<Board>,
    ) -> Self {
        board.set_controller(|| controller.stats());
        Self {
            controller,
            port,
            unsent: workers.iter().map(|_| VecDeque::new()).collect(),
            workers,
            replies: Vec::new(),
            board,
            shown: Time::ZERO,
        }
    }

    /// Takes what has come, does what is due, and answers. Whether there was anything, and when to come
    /// again.
    pub(crate) fn turn(&mut self, clock: &mut dyn FnMut() -> Time) -> (bool, Next) {
        let mut had_work = self.send_unsent();
        if !self.has_unsent() {
            had_work |= self.take_requests();
        }
        let next = self.controller.cycle(clock, &mut self.replies);
        had_work |= !self.replies.is_empty();
        for (worker, reply) in std::mem::take(&mut self.replies) {
            self.unsent[worker].push_back(reply);
        }
        self.send_unsent();
        let now = clock();
        if now - self.shown >= SHOW_INTERVAL {
            self.show(now);
        }
        let again = now + UNSENT_PAUSE;
        let next = match next {
            Next::At(due) if self.has_unsent() => Next::At(due.min(again)),
            Next::Idle if self.has_unsent() => Next::At(again),
            next => next,
        };
        (had_work, next)
    }

    fn has_unsent(&self) -> bool {
        self.unsent.iter().any(|replies| !replies.is_empty())
    }

    fn take_requests(&mut self) -> bool {
        let mut had_work = false;
        while !self.controller.is_full()
            && let Some((from, message)) = self.port.pop()
        {
            had_work = true;
            match (from, message) {
                (Some(worker), Message::Ask(request)) => self.controller.push(worker, request),
                _ => debug_assert!(false, "invariant: nobody else writes to the controller"),
            }
        }
        had_work
    }

    fn send_unsent(&mut self) -> bool {
        let mut had_work = false;
        for (worker, replies) in self.unsent.iter_mut().enumerate() {
            let mut wake = false;
            while let Some(reply) = replies.pop_front() {
                match self.port.try_send(worker, Message::Answer(reply)) {
                    Ok(sent) => {
                        had_work = true;
                        wake |= sent.wake;
                    }
                    Err(full) => {
                        let Message::Answer(reply) = full.0 else {
                            unreachable!("invariant: what was refused comes back");
                        };
                        replies.push_front(reply);
                        break;
                    }
                }
            }
            if wake {
                self.workers[worker].wake();
            }
        }
        had_work
    }

    fn show(&mut self, now: Time) {
        self.shown = now;
        self.board.set_controller(|| self.controller.stats());
    }

    /// Whoever writes to it wakes it from now on; false when there is something already.
    pub(crate) fn prepare_sleep(&mut self) -> bool {
        self.port.prepare_sleep()
    }

    /// It sleeps no more.
    pub(crate) fn awake(&mut self) {
        self.port.awake();
    }

    /// A view of the index for one worker.
    pub(crate) fn reader(&self) -> Result<Box<dyn IndexReader>, IndexError> {
        self.controller.reader()
    }

    pub(crate) fn stats(&self) -> ControllerStats {
        self.controller.stats()
    }

    /// Free map, leases and counts agree; takes time in proportion to the file.
    pub(crate) fn check(&self) -> Result<(), Inconsistency> {
        self.controller.check()
    }

    /// The end: what was committed is made durable.
    pub(crate) fn finish(&mut self, clock: &mut dyn FnMut() -> Time) -> Result<(), Fault> {
        self.controller.finish(clock)
    }
}

/// Wakes the controller's thread.
struct Unpark(Thread);

impl Reach for Unpark {
    fn wake(&self) {
        self.0.unpark();
    }
}

/// The controller's thread, from outside.
pub(crate) struct ControllerThread {
    pub(crate) address: Address,
    pub(crate) board: Arc<Board>,
    /// Where the workers can be woken; sent once they are bound.
    go: mpsc::Sender<Vec<Waker>>,
    /// It is to end.
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<(), Fault>>,
}

impl ControllerThread {
    /// Starts the thread; returns when the index is read and the controller ready.
    pub(in crate::server) fn start(
        opened: Opened,
        port: Port<Message>,
        workers: usize,
        clock: Clock,
        ended: TellEnd,
    ) -> Result<Self, StartError> {
        let board = Arc::new(Board::new(workers));
        let shown = Arc::clone(&board);
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let (ready_tx, ready) = mpsc::channel();
        let (go, gone) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("hioload-blocks".to_owned())
            .spawn(move || {
                let _ended = ended;
                let turns = |controller| Turns::new(controller, port, Vec::new(), shown);
                run(opened, workers, clock, turns, &stopped, &ready_tx, &gone)
            })
            .map_err(|error| StartError {
                what: "cannot start the thread of the block store".to_owned(),
                cause: error.to_string(),
                remedy: "Raise the limit of threads (`ulimit -u`)".to_owned(),
                errno: error.raw_os_error(),
            })?;
        let ended = || StartError {
            what: "the thread of the block store ended while it started".to_owned(),
            cause: "it panicked".to_owned(),
            remedy: "See the panic's message above".to_owned(),
            errno: None,
        };
        let thread_ref = ready.recv().map_err(|_| ended())??;
        Ok(Self {
            address: Address::new(Arc::new(Unpark(thread_ref))),
            board,
            go,
            stop,
            thread,
        })
    }

    /// Begins to serve.
    pub(crate) fn go(&self, workers: Vec<Waker>) {
        let _ = self.go.send(workers);
    }

    /// Ends it when the workers have ended, and waits for that.
    pub(crate) fn end(self) -> Result<(), String> {
        self.stop.store(true, Ordering::Release);
        self.address.waker().wake();
        match self.thread.join() {
            Ok(Ok(())) => Ok(()),
            Ok(Err(fault)) => Err(fault.to_string()),
            Err(_) => Err("panicked".to_owned()),
        }
    }
}

fn run(
    opened: Opened,
    workers: usize,
    clock: Clock,
    turns: impl FnOnce(Controller) -> Turns,
    stop: &AtomicBool,
    ready: &mpsc::Sender<Result<Thread, StartError>>,
    go: &mpsc::Receiver<Vec<Waker>>,
) -> Result<(), Fault> {
    let (controller, _lock) = match make(opened, workers, clock) {
        Ok(made) => made,
        Err(error) => {
            let _ = ready.send(Err(error));
            return Ok(());
        }
    };
    let mut turns = turns(controller);
    let _ = ready.send(Ok(std::thread::current()));
    // A server that is built and never run ends here.
    let Ok(wakers) = go.recv() else { return Ok(()) };
    turns.unsent = wakers.iter().map(|_| VecDeque::new()).collect();
    turns.workers = wakers;
    let mut pauser = Pauser::new(PauseConfig::default());
    let now = &mut || clock.now();
    loop {
        let is_stopping = stop.load(Ordering::Acquire);
        let (had_work, next) = turns.turn(now);
        if is_stopping && !had_work {
            return turns.finish(now);
        }
        match pauser.decide(clock.now(), had_work, next) {
            Pause::Work => {}
            Pause::Spin => std::hint::spin_loop(),
            Pause::Yield => std::thread::yield_now(),
            Pause::Park(left) => {
                turns.controller.note_pause(pauser.stats());
                turns.show(clock.now());
                if turns.prepare_sleep() {
                    match left {
                        Some(left) => std::thread::park_timeout(left),
                        None => std::thread::park(),
                    }
                    turns.awake();
                }
            }
        }
    }
}

fn make(
    opened: Opened,
    workers: usize,
    clock: Clock,
) -> Result<(Controller, StoreLock), StartError> {
    let Opened { files, config } = opened;
    let began = clock.now();
    let index = Box::new(files.index.writer());
    let wall = SystemTime::now().duration_since(UNIX_EPOCH);
    let wall_ms = wall.map_or(0, |wall| wall.as_millis() as u64);
    let wall_zero_ms = wall_ms.saturating_sub(clock.now().as_millis());
    let controller = Controller::new(
        index,
        Box::new(files.disk),
        config.controller(wall_zero_ms),
        workers,
    )
    .map_err(|error| refused(&config, &error.to_string()))?;
    let Replayed { entries, unwritten } = files.replayed;
    if entries > 0 {
        tracing::info!(
            "the store did not end in order: {entries} batches taken from its journal, {unwritten} blocks of the last one were never written"
        );
    }
    let stats = controller.stats();
    tracing::info!(
        "store {} with {} blocks in {}, {} ({} ms)",
        files.superblock.id,
        stats.blocks,
        config.dir.display(),
        stats.durability,
        (clock.now() - began).as_millis(),
    );
    Ok((controller, files.lock))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hioload_blocks::{ControllerConfig, Disk, Hash, MemoryIndex, Request, RequestId};
    use hioload_ring::mesh;

    /// Nothing is stored.
    #[derive(Debug)]
    struct NoDisk;

    impl Disk for NoDisk {
        fn size(&self) -> u64 {
            0
        }

        fn grow(&mut self, _: u64) -> std::io::Result<()> {
            Err(std::io::ErrorKind::StorageFull.into())
        }

        fn sync(&mut self) -> std::io::Result<()> {
            Ok(())
        }

        fn read(&mut self, _: u64, _: &mut [u8]) -> std::io::Result<()> {
            Err(std::io::ErrorKind::UnexpectedEof.into())
        }

        fn write(&mut self, _: u64, _: &[u8]) -> std::io::Result<()> {
            Err(std::io::ErrorKind::StorageFull.into())
        }
    }

    #[test]
    fn replies_that_find_no_room_are_sent_without_being_asked_for() {
        const CAPACITY: usize = 4;
        let mut ports = mesh::<Message>(2, CAPACITY);
        let (port, mut worker) = (ports.pop().expect("two"), ports.pop().expect("two"));
        let mut controller = Controller::new(
            Box::new(MemoryIndex::new()),
            Box::new(NoDisk),
            ControllerConfig {
                size_initial: 0,
                ..ControllerConfig::default()
            },
            1,
        )
        .expect("an empty store");
        let count = 3 * CAPACITY;
        let hash = Hash::of(b"nobody has it");
        for id in (0..).map(RequestId).take(count) {
            controller.push(0, Request::Lookup { id, hash });
        }
        let address = Address::new(Arc::new(Unpark(std::thread::current())));
        let board = Arc::new(Board::new(1));
        let mut turns = Turns::new(controller, port, vec![address.waker()], board);
        let now = Time::from_millis(1);
        let mut answered = 0;
        while answered < count {
            let (_, next) = turns.turn(&mut || now);
            let left = count - answered - CAPACITY.min(count - answered);
            let soon = Next::At(now + UNSENT_PAUSE);
            assert_eq!(next, if left > 0 { soon } else { Next::Idle });
            while let Some((_, Message::Answer(_))) = worker.pop() {
                answered += 1;
            }
        }
    }
}
