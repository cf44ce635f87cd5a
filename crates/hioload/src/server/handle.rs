//! Steering a server from any thread: orders and questions to its workers, and what they publish.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use hioload_reactor::{Address, Waker};
use hioload_ring::Remote;

use super::inspect::Inspection;
use super::message::Message;
use super::orders::Order;
use super::shared::Shared;
use super::streams::Streams;
use super::{ChannelStats, Settings, Stats};

/// Steers a server from any thread.
#[derive(Clone)]
pub struct ServerHandle {
    remote: Remote<Message>,
    wakers: Arc<[Waker]>,
    shared: Arc<Shared>,
    /// Timeout and pace of the shutdown to come.
    shutdown: Arc<Mutex<(Duration, u32)>>,
}

impl fmt::Debug for ServerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServerHandle({} workers)", self.wakers.len())
    }
}

impl ServerHandle {
    pub(crate) fn of(
        remote: Remote<Message>,
        addresses: &[Address],
        shared: Arc<Shared>,
        shutdown: (Duration, u32),
    ) -> Self {
        let wakers = addresses.iter().map(Address::waker).collect();
        Self {
            remote,
            wakers,
            shared,
            shutdown: Arc::new(Mutex::new(shutdown)),
        }
    }

    /// Streams by their UID, from any thread.
    #[must_use]
    pub fn streams(&self) -> Streams {
        Streams::new(self.remote.clone(), Arc::clone(&self.wakers))
    }

    /// Stops accepting, closes every session with 1001 at the configured pace, lets out what is
    /// under way, and stops the workers within the configured time. Returns at once.
    pub fn shutdown(&self) {
        let shutdown = *self.shutdown.lock().unwrap_or_else(PoisonError::into_inner);
        self.shared.set_draining();
        self.order(|order| order.shutdown = Some(shutdown));
    }

    /// A shutdown has begun.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.shared.is_draining()
    }

    /// How a shutdown that has not begun will go; see [`crate::ServerBuilder::shutdown`].
    pub fn set_shutdown(&self, timeout: Duration, pace: u32) {
        *self.shutdown.lock().unwrap_or_else(PoisonError::into_inner) = (timeout, pace);
    }

    /// New settings for all workers. Channels and HTTP/2 connections that exist keep the bounds they
    /// were made with. Listeners for reloads are told by [`crate::Control::set_settings`] only, which also knows then what is in
    /// effect.
    pub fn set_settings(&self, settings: Settings) {
        self.tell_settings(&Arc::new(settings));
    }

    pub(crate) fn tell_settings(&self, settings: &Arc<Settings>) {
        self.order(|order| order.settings = Some(Arc::clone(settings)));
    }

    /// A worker has ended, and all its connections with it.
    pub(super) fn forget_worker(&self, index: usize) {
        self.shared.set_connections(index, 0);
    }

    /// Asks each worker for its notable channels and sums those of one name; the most subscribers
    /// first.
    pub(crate) fn channels(&self, timeout: Duration) -> Vec<ChannelStats> {
        let (answer, answers) = mpsc::sync_channel(self.wakers.len());
        self.ask(|| Message::Inspect(answer.clone()));
        drop(answer);
        let deadline = Instant::now() + timeout;
        let mut sums: BTreeMap<String, ChannelStats> = BTreeMap::new();
        for _ in 0..self.wakers.len() {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(Inspection { channels }) = answers.recv_timeout(left) else {
                break;
            };
            for channel in channels {
                match sums.get_mut(&channel.name) {
                    Some(sum) => sum.add(&channel),
                    None => drop(sums.insert(channel.name.clone(), channel)),
                }
            }
        }
        let mut sums: Vec<ChannelStats> = sums.into_values().collect();
        sums.sort_by_key(|channel| Reverse((channel.subscribers, channel.lag_size_max)));
        sums
    }

    /// The counters of each worker, as of its last quarter of a second.
    #[must_use]
    pub fn worker_stats(&self) -> Vec<Stats> {
        self.shared.stats()
    }

    /// The counters of all workers together.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let mut sum = Stats::default();
        for stats in self.worker_stats() {
            sum += stats;
        }
        sum
    }

    fn order(&self, add: impl Fn(&mut Order)) {
        for (index, waker) in self.wakers.iter().enumerate() {
            self.shared.orders(index).give(&add);
            waker.wake();
        }
    }

    /// Asks every worker. One whose inbox stays full is left out.
    fn ask(&self, message: impl Fn() -> Message) {
        for (index, waker) in self.wakers.iter().enumerate() {
            // The inbox for outside threads is full while a worker stands still, or others fill it.
            for _ in 0..1000 {
                if self.remote.try_send(index, message()).is_ok() {
                    break;
                }
                waker.wake();
                std::thread::yield_now();
            }
            waker.wake();
        }
    }
}
