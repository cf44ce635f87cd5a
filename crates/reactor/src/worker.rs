//! The loop of one core: reap, act, flush; every step bounded.
//!
//! ```text
//!   port.pop() ───────────────────┐
//!   driver.turn() ─▶ completions ─┼─▶ Service ─▶ ops, timers, messages ─▶ next driver.turn()
//!   timers.expire(now) ───────────┘
//! ```
//!
//! A worker is stepped by [`Worker::turn`]; [`Worker::run`] is that in a loop on the real clock,
//! the simulation calls it in virtual time. State is `!Send`: it lives on its thread. What is left
//! over when a bound is reached waits one turn.

use std::time::Duration;

use hioload_base::{Time, TimerKey, TimerWheel};
use hioload_ring::Port;

use crate::completion::{Completion, Completions};
use crate::driver::{Address, Driver, TurnError, Wait, Waker};
use crate::id::OpId;
use crate::op::{Op, Reject};

/// What runs on a worker. Called from [`Worker::turn`] only, never while completions are reaped.
pub trait Service {
    /// What workers tell each other: by value, small.
    type Message: Send + 'static;

    /// Once, before the first turn.
    fn start(&mut self, cx: &mut Context<'_, Self::Message>);

    /// One event of the driver.
    fn completion(&mut self, cx: &mut Context<'_, Self::Message>, event: Completion);

    /// A timer fired.
    fn timer(&mut self, cx: &mut Context<'_, Self::Message>, token: u64);

    /// A message arrived; `from` is a worker's index, or `None` for another thread.
    fn message(
        &mut self,
        cx: &mut Context<'_, Self::Message>,
        from: Option<usize>,
        message: Self::Message,
    );

    /// The end of every turn: flush what this turn gathered. True when work is left, so that the
    /// next turn shall not wait.
    fn turn_end(&mut self, cx: &mut Context<'_, Self::Message>) -> bool;
}

/// How workers wake each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WakeBy {
    /// A message from ring to ring, submitted with the turn's other entries.
    #[default]
    Ring,
    /// A write to the sleeper's eventfd, at once.
    Event,
}

/// A worker's settings.
#[derive(Clone, Debug)]
pub struct WorkerConfig {
    /// Timers and messages handled per turn, each.
    pub batch: usize,
    /// Timers at most.
    pub timers_max: usize,
    /// Poll without blocking for so long after the last event before sleeping. Costs CPU, saves
    /// the wake-up; zero by default.
    pub spin: Duration,
    /// How other workers are woken.
    pub wake_by: WakeBy,
}

impl Default for WorkerConfig {
    fn default() -> Self {
        Self {
            batch: 512,
            timers_max: 1 << 22,
            spin: Duration::ZERO,
            wake_by: WakeBy::Ring,
        }
    }
}

/// What a service can do during a call.
pub struct Context<'a, M: Send + 'static> {
    driver: &'a mut dyn Driver,
    timers: &'a mut TimerWheel<u64>,
    port: &'a mut Port<M>,
    peers: &'a [Address],
    wake_by: WakeBy,
    now: Time,
    stop: &'a mut bool,
}

impl<M: Send + 'static> Context<'_, M> {
    /// The time, read once per turn after the wait.
    #[must_use]
    pub fn now(&self) -> Time {
        self.now
    }

    /// This worker's index.
    #[must_use]
    pub fn index(&self) -> usize {
        self.port.index()
    }

    /// Workers in all.
    #[must_use]
    pub fn workers(&self) -> usize {
        self.peers.len()
    }

    /// The driver.
    pub fn driver(&mut self) -> &mut dyn Driver {
        self.driver
    }

    /// Starts an operation.
    ///
    /// # Errors
    /// See [`Driver::submit`].
    pub fn submit(&mut self, op: Op) -> Result<OpId, Reject> {
        self.driver.submit(op)
    }

    /// Asks for an operation to end.
    pub fn cancel(&mut self, op: OpId) {
        self.driver.cancel(op);
    }

    /// Fires `token` at or shortly after `deadline`. `None` when the table of timers is full.
    pub fn timer(&mut self, deadline: Time, token: u64) -> Option<TimerKey> {
        self.timers.insert(deadline, token).ok()
    }

    /// Takes a timer back.
    pub fn cancel_timer(&mut self, timer: TimerKey) -> Option<u64> {
        self.timers.cancel(timer)
    }

    /// Sends to another worker (or to this one) and wakes it when it sleeps.
    ///
    /// # Errors
    /// The message, when the queue to that worker is full: try again in a later turn.
    pub fn send(&mut self, to: usize, message: M) -> Result<(), M> {
        let sent = self.port.try_send(to, message).map_err(|full| full.0)?;
        if sent.wake {
            let peer = &self.peers[to];
            match self.wake_by {
                WakeBy::Event => peer.waker().wake(),
                WakeBy::Ring => {
                    let to = peer.clone();
                    if self.driver.submit(Op::Wake { to }).is_err() {
                        peer.waker().wake();
                    }
                }
            }
        }
        Ok(())
    }

    /// Where worker `index` can be reached, to hand sockets over.
    #[must_use]
    pub fn peer(&self, index: usize) -> Address {
        self.peers[index].clone()
    }

    /// The same context for a shorter while.
    pub fn reborrow(&mut self) -> Context<'_, M> {
        Context {
            driver: &mut *self.driver,
            timers: &mut *self.timers,
            port: &mut *self.port,
            peers: self.peers,
            wake_by: self.wake_by,
            now: self.now,
            stop: &mut *self.stop,
        }
    }

    /// Ends the worker after this turn.
    pub fn stop(&mut self) {
        *self.stop = true;
    }
}

/// One worker: a driver, timers, a mailbox and the service they serve.
pub struct Worker<S: Service> {
    driver: Box<dyn Driver>,
    timers: TimerWheel<u64>,
    port: Port<S::Message>,
    peers: Vec<Address>,
    config: WorkerConfig,
    service: S,
    events: Completions,
    busy: bool,
    started: bool,
    stopped: bool,
    active_last: Time,
}

impl<S: Service> Worker<S> {
    /// A worker of a group: `peers` are the addresses of all workers' drivers, in order.
    #[must_use]
    pub fn new(
        driver: Box<dyn Driver>,
        port: Port<S::Message>,
        peers: Vec<Address>,
        config: WorkerConfig,
        service: S,
    ) -> Self {
        let now = driver.now();
        Self {
            timers: TimerWheel::new(Duration::from_millis(1), now, config.timers_max),
            driver,
            port,
            peers,
            config,
            service,
            events: Completions::with_capacity(1024),
            busy: false,
            started: false,
            stopped: false,
            active_last: now,
        }
    }

    /// The service.
    pub fn service(&mut self) -> &mut S {
        &mut self.service
    }

    /// The driver.
    #[must_use]
    pub fn driver(&self) -> &dyn Driver {
        &*self.driver
    }

    /// A waker for other threads.
    #[must_use]
    pub fn waker(&self) -> Waker {
        self.driver.address().waker()
    }

    /// True once the service asked to stop.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// When the next timer is due; simulation advances its clock to it.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Time> {
        self.timers.next_deadline()
    }

    /// One turn; waits no longer than `wait_max` and than the next timer. Returns the number of
    /// things handled.
    ///
    /// # Errors
    /// When the driver broke: the worker cannot go on.
    pub fn turn(&mut self, wait_max: Wait) -> Result<usize, TurnError> {
        if !self.started {
            self.started = true;
            self.with_service(|service, cx| service.start(cx));
        }
        let wait = self.wait(wait_max);
        let mut events = std::mem::take(&mut self.events);
        let result = self.driver.turn(wait, &mut events);
        self.port.awake();
        let mut handled = events.len();
        let now = self.driver.now();
        // What other workers said comes first: a peer may have acted on its effects already, and
        // then that act is among the events.
        handled += self.take_messages(now);
        self.with_service_at(now, |service, cx| {
            for event in events.drain(..) {
                service.completion(cx, event);
            }
        });
        self.events = events;
        result?;
        handled += self.fire_timers(now);
        self.busy = self.with_service_at(now, |service, cx| service.turn_end(cx));
        if handled > 0 {
            self.active_last = now;
        }
        Ok(handled)
    }

    /// Turns until the service stops.
    ///
    /// # Errors
    /// When the driver broke.
    pub fn run(mut self) -> Result<S, TurnError> {
        while !self.stopped {
            self.turn(Wait::Forever)?;
        }
        Ok(self.service)
    }

    /// How long this turn may wait, and the promise to be woken while it does.
    fn wait(&mut self, wait_max: Wait) -> Wait {
        if self.busy || wait_max == Wait::None {
            return Wait::None;
        }
        let now = self.driver.now();
        if !self.config.spin.is_zero() && now - self.active_last < self.config.spin {
            return Wait::None;
        }
        let due = self.timers.next_deadline().map(|deadline| deadline - now);
        if due.is_some_and(|left| left.is_zero()) || !self.port.prepare_sleep() {
            return Wait::None;
        }
        match (due, wait_max) {
            (Some(left), Wait::For(max)) => Wait::For(left.min(max)),
            (Some(left), _) => Wait::For(left),
            (None, wait) => wait,
        }
    }

    fn fire_timers(&mut self, now: Time) -> usize {
        let mut count = 0;
        while count < self.config.batch
            && let Some(token) = self.timers.expire(now)
        {
            count += 1;
            self.with_service_at(now, |service, cx| service.timer(cx, token));
        }
        count
    }

    fn take_messages(&mut self, now: Time) -> usize {
        let mut count = 0;
        while count < self.config.batch
            && let Some((from, message)) = self.port.pop()
        {
            count += 1;
            self.with_service_at(now, |service, cx| service.message(cx, from, message));
        }
        count
    }

    fn with_service<T>(
        &mut self,
        call: impl FnOnce(&mut S, &mut Context<'_, S::Message>) -> T,
    ) -> T {
        let now = self.driver.now();
        self.with_service_at(now, call)
    }

    fn with_service_at<T>(
        &mut self,
        now: Time,
        call: impl FnOnce(&mut S, &mut Context<'_, S::Message>) -> T,
    ) -> T {
        let mut cx = Context {
            driver: &mut *self.driver,
            timers: &mut self.timers,
            port: &mut self.port,
            peers: &self.peers,
            wake_by: self.config.wake_by,
            now,
            stop: &mut self.stopped,
        };
        call(&mut self.service, &mut cx)
    }
}

impl<S: Service> std::fmt::Debug for Worker<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Worker")
            .field("index", &self.port.index())
            .finish_non_exhaustive()
    }
}
