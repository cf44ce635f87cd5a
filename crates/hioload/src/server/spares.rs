//! Boxes of streams that ended, for those that begin: one connection opens and ends hundreds in a turn.

use hioload_base::Time;
use hioload_mem::ObjectPool;

use super::connection::Cold;
use super::http::Exchange;

/// Boxes of each kind that are kept.
const KEPT_MAX: usize = 256;

/// The boxes of one worker.
pub(super) struct Spares {
    colds: ObjectPool<Box<Cold>>,
    exchanges: ObjectPool<Box<Exchange>>,
}

impl Spares {
    pub(super) fn new() -> Self {
        let nobodys = || Box::new(Exchange::on_stream(Time::ZERO, true));
        Self {
            colds: ObjectPool::new(KEPT_MAX, Box::default, |cold: &mut Box<Cold>| {
                **cold = Cold::default();
            }),
            exchanges: ObjectPool::new(KEPT_MAX, nobodys, |_| {}),
        }
    }

    /// What a stream that speaks HTTP has.
    pub(super) fn exchange(&mut self, exchange: Exchange) -> Box<Cold> {
        let mut spare = self.exchanges.get();
        *spare = exchange;
        let mut cold = self.colds.get();
        cold.http = Some(spare);
        cold
    }

    /// Keeps what a stream had.
    pub(super) fn keep(&mut self, mut cold: Box<Cold>) {
        if let Some(exchange) = cold.http.take() {
            self.exchanges.put(exchange);
        }
        self.colds.put(cold);
    }
}
