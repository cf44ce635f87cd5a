//! The thread of a client: commands in, an [`Engine`] on a driver, events to the calls they belong to.
//!
//! ```text
//!   Handle::send(Command) ─▶ queue, wake ─▶ settle ─▶ turn ─▶ completions ─▶ settle …
//!                                             └ names ─▶ Resolver ─▶ Command::Resolved
//! ```
//!
//! Knows no caller beyond its call. One thread per client, and at most [`RESOLVERS_MAX`] that look up names.

use std::collections::{HashMap, VecDeque};
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, Sender, SyncSender};
use std::thread::{self, JoinHandle};

use hioload_base::Time;
use hioload_http::client::{Config, ConnKey, Event, Request, RequestKey, UploadMisuse};
use hioload_reactor::poll::PollDriver;
use hioload_reactor::{Driver, DriverConfig, Wait, Waker};

use super::call::CallCell;
use super::engine::{Engine, Lookup};
use super::error::HttpError;
use super::trust::Trust;

/// Names looked up at a time.
const RESOLVERS_MAX: usize = 8;

/// Sockets beside those of the agent: attempts that were given up, and are not closed yet.
const SOCKETS_SPARE: usize = 256;

/// Names a call.
pub(super) type CallId = u64;

/// Held for each call that is under way on a thread: how many there are is how many hold one.
pub(super) struct UnderWay(#[expect(dead_code, reason = "held, not looked at")] Arc<()>);

/// What the thread is asked to do.
pub(super) enum Command {
    Submit(CallId, Box<Request>, Arc<CallCell>, UnderWay),
    Write(CallId, Vec<u8>),
    Finish(CallId),
    Consumed(CallId, usize),
    Cancel(CallId),
    Resolved(ConnKey, Result<Vec<SocketAddr>, String>),
    Stop,
}

/// How the thread is reached, from any other one.
pub(super) struct Handle {
    commands: Sender<Command>,
    waker: Waker,
    next_id: AtomicU64,
    under_way: Arc<()>,
    thread: Option<JoinHandle<()>>,
}

impl Handle {
    /// Starts the thread.
    pub(super) fn start(config: Config, trust: Trust) -> Result<Self, HttpError> {
        let (commands, inbox) = mpsc::channel();
        let (ready, started) = mpsc::sync_channel(1);
        let own = commands.clone();
        let body = move || run(config, trust, &inbox, own, &ready);
        let thread = thread::Builder::new()
            .name("hioload-http".to_owned())
            .spawn(body)
            .map_err(|error| HttpError::Start(error.to_string()))?;
        let waker = started
            .recv()
            .map_err(|_| HttpError::Start("its thread ended".to_owned()))?
            .map_err(HttpError::Start)?;
        Ok(Self {
            commands,
            waker,
            next_id: AtomicU64::new(0),
            under_way: Arc::new(()),
            thread: Some(thread),
        })
    }

    /// A name for the next call.
    pub(super) fn next_id(&self) -> CallId {
        // Only uniqueness is needed.
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    /// For one more call of this thread.
    pub(super) fn under_way(&self) -> UnderWay {
        UnderWay(Arc::clone(&self.under_way))
    }

    /// Calls that are under way, or on their way to the thread.
    pub(super) fn call_count(&self) -> usize {
        Arc::strong_count(&self.under_way) - 1
    }

    pub(super) fn send(&self, command: Command) -> Result<(), HttpError> {
        self.commands.send(command).map_err(|_| HttpError::Over)?;
        self.waker.wake();
        Ok(())
    }
}

impl Drop for Handle {
    /// Cancels what is under way, and waits until the sockets are closed.
    fn drop(&mut self) {
        let _ = self.send(Command::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A request that is under way.
struct Active {
    key: RequestKey,
    cell: Arc<CallCell>,
    /// Of the upload, not taken by the agent yet.
    waiting: VecDeque<Vec<u8>>,
    is_finished: bool,
    /// It counts while it is here.
    _under_way: UnderWay,
}

struct Thread {
    engine: Engine,
    driver: PollDriver,
    calls: HashMap<CallId, Active>,
    by_key: HashMap<RequestKey, CallId>,
    /// Calls whose upload has room again.
    wanted: Vec<RequestKey>,
    lookups: VecDeque<Lookup>,
    resolver_count: usize,
    commands: Sender<Command>,
    is_stopping: bool,
}

fn run(
    config: Config,
    trust: Trust,
    inbox: &Receiver<Command>,
    commands: Sender<Command>,
    ready: &SyncSender<Result<Waker, String>>,
) {
    let driver = PollDriver::new(DriverConfig {
        batch: 256,
        sockets_max: config.limits.connections_max.saturating_add(SOCKETS_SPARE),
        recv_buffer_size: 64 << 10,
        recv_buffer_count: 4,
        file_ops_max: 0,
        ..DriverConfig::default()
    });
    let driver = match driver {
        Ok(driver) => driver,
        Err(error) => {
            // Whoever started the thread waits for this.
            let _ = ready.send(Err(error.to_string()));
            return;
        }
    };
    let _ = ready.send(Ok(driver.address().waker()));
    let mut thread = Thread {
        engine: Engine::new(config, trust, driver.now()),
        driver,
        calls: HashMap::new(),
        by_key: HashMap::new(),
        wanted: Vec::new(),
        lookups: VecDeque::new(),
        resolver_count: 0,
        commands,
        is_stopping: false,
    };
    let mut events = Vec::new();
    loop {
        while let Ok(command) = inbox.try_recv() {
            thread.obey(command);
        }
        thread.settle();
        if thread.is_stopping && thread.engine.is_idle() {
            return;
        }
        let wait = thread.wait();
        if let Err(error) = thread.driver.turn(wait, &mut events) {
            tracing::error!(%error, "the HTTP client's driver failed");
            thread.engine.shutdown(thread.driver.now());
            thread.settle();
            // What came too late is told so.
            thread.is_stopping = true;
            while let Ok(command) = inbox.try_recv() {
                thread.obey(command);
            }
            return;
        }
        for completion in events.drain(..) {
            let mut sink = sink(&mut thread.calls, &mut thread.by_key, &mut thread.wanted);
            // All sockets of this driver are the engine's; wake-ups need nothing.
            let _ = thread
                .engine
                .handle(&mut thread.driver, completion, &mut sink);
        }
    }
}

impl Thread {
    fn wait(&self) -> Wait {
        match self.engine.poll_timeout() {
            None => Wait::Forever,
            Some(due) => Wait::For(due - self.driver.now()),
        }
    }

    fn obey(&mut self, command: Command) {
        let now = self.driver.now();
        match command {
            Command::Submit(id, request, cell, under_way) => {
                let outcome = match self.is_stopping {
                    true => None,
                    false => self.engine.submit(now, *request).ok(),
                };
                let Some(key) = outcome else {
                    return cell.change(|state| state.is_refused = true);
                };
                let active = Active {
                    key,
                    cell,
                    waiting: VecDeque::new(),
                    is_finished: false,
                    _under_way: under_way,
                };
                self.calls.insert(id, active);
                self.by_key.insert(key, id);
            }
            Command::Write(id, bytes) => {
                if let Some(call) = self.calls.get_mut(&id) {
                    call.waiting.push_back(bytes);
                    upload(&mut self.engine, call, now);
                }
            }
            Command::Finish(id) => {
                if let Some(call) = self.calls.get_mut(&id) {
                    call.is_finished = true;
                    upload(&mut self.engine, call, now);
                }
            }
            Command::Consumed(id, size) => {
                if let Some(call) = self.calls.get(&id) {
                    self.engine.consumed(now, call.key, size);
                }
            }
            Command::Cancel(id) => {
                if let Some(call) = self.calls.get(&id) {
                    self.engine.cancel(now, call.key);
                }
            }
            Command::Resolved(conn, outcome) => {
                self.resolver_count -= 1;
                self.engine.resolved(&mut self.driver, conn, outcome);
            }
            Command::Stop => {
                self.is_stopping = true;
                self.engine.shutdown(now);
            }
        }
    }

    fn settle(&mut self) {
        loop {
            {
                let mut sink = sink(&mut self.calls, &mut self.by_key, &mut self.wanted);
                self.engine.settle(&mut self.driver, &mut sink);
            }
            while let Some(lookup) = self.engine.poll_resolve() {
                self.lookups.push_back(lookup);
            }
            self.resolve();
            let wanted = std::mem::take(&mut self.wanted);
            if wanted.is_empty() {
                return;
            }
            let now = self.driver.now();
            for key in wanted {
                let id = self.by_key.get(&key);
                if let Some(call) = id.and_then(|id| self.calls.get_mut(id)) {
                    upload(&mut self.engine, call, now);
                }
            }
        }
    }

    /// Has names looked up by threads of their own: no system does that without waiting.
    fn resolve(&mut self) {
        while self.resolver_count < RESOLVERS_MAX
            && let Some(Lookup { conn, origin }) = self.lookups.pop_front()
        {
            self.resolver_count += 1;
            let (commands, waker) = (self.commands.clone(), self.driver.address().waker());
            let body = move || {
                let addresses = (&*origin.host, origin.port).to_socket_addrs();
                let outcome = addresses
                    .map(Iterator::collect)
                    .map_err(|error| error.to_string());
                // The client may have ended meanwhile.
                let _ = commands.send(Command::Resolved(conn, outcome));
                waker.wake();
            };
            let spawned = thread::Builder::new()
                .name("hioload-names".to_owned())
                .spawn(body);
            if let Err(error) = spawned {
                self.resolver_count -= 1;
                self.engine
                    .resolved(&mut self.driver, conn, Err(error.to_string()));
            }
        }
    }
}

/// Where events go: to the calls they belong to.
fn sink<'a>(
    calls: &'a mut HashMap<CallId, Active>,
    by_key: &'a mut HashMap<RequestKey, CallId>,
    wanted: &'a mut Vec<RequestKey>,
) -> impl FnMut(Event<'_>) + 'a {
    |event| {
        let key = match &event {
            Event::Redirected { request, .. }
            | Event::Head { request, .. }
            | Event::Body { request, .. }
            | Event::Progress { request, .. }
            | Event::BodyWanted { request }
            | Event::End { request, .. }
            | Event::Failed { request, .. } => *request,
        };
        if matches!(event, Event::BodyWanted { .. }) {
            return wanted.push(key);
        }
        let Some(id) = by_key.get(&key).copied() else {
            return;
        };
        let is_over = calls.get(&id).is_some_and(|call| call.cell.record(event));
        if is_over {
            by_key.remove(&key);
            calls.remove(&id);
        }
    }
}

/// Hands over of an upload what the agent takes.
fn upload(engine: &mut Engine, call: &mut Active, now: Time) {
    while let Some(mut bytes) = call.waiting.pop_front() {
        match engine.write_body(now, call.key, &bytes) {
            Ok(taken) => {
                call.cell.change(|state| state.upload_waiting -= taken);
                if taken < bytes.len() {
                    bytes.drain(..taken);
                    call.waiting.push_front(bytes);
                    return;
                }
            }
            Err(misuse) => return end_upload(engine, call, now, misuse),
        }
    }
    if call.is_finished
        && let Err(misuse) = engine.finish_body(now, call.key)
    {
        end_upload(engine, call, now, misuse);
    }
}

/// The body is not the one that was announced: the request is not to be answered as if it were.
fn end_upload(engine: &mut Engine, call: &mut Active, now: Time, misuse: UploadMisuse) {
    call.waiting.clear();
    call.is_finished = false;
    // A request that is over has its own end to tell.
    if misuse != UploadMisuse::NoUpload {
        call.cell.change(|state| state.upload_misuse = Some(misuse));
        engine.cancel(now, call.key);
    }
}
