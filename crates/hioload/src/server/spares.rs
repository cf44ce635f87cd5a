//! Boxes of streams that ended, for those that begin: one connection opens and ends hundreds in a turn.

use hioload_base::Time;
use hioload_mem::ObjectPool;

use super::connection::Cold;
use super::http::{Exchange, Work};

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
            exchanges: ObjectPool::new(KEPT_MAX, nobodys, |exchange: &mut Box<Exchange>| {
                exchange.work = Work::Idle;
            }),
        }
    }

    /// What a stream that speaks HTTP has.
    pub(super) fn give(&mut self, exchange: Exchange) -> Box<Cold> {
        let mut spare = self.exchanges.get();
        *spare = exchange;
        let mut cold = self.colds.get();
        cold.http = Some(spare);
        cold
    }

    /// Keeps the exchange of a stream that ends.
    pub(super) fn keep_exchange(&mut self, exchange: Box<Exchange>) {
        self.exchanges.put(exchange);
    }

    /// Keeps all else of a stream that is gone.
    pub(super) fn keep_cold(&mut self, cold: Box<Cold>) {
        self.colds.put(cold);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::http::Asked;

    #[test]
    fn boxes_serve_again_and_hold_nothing() {
        let mut spares = Spares::new();
        for round in 0..3 {
            let mut cold = spares.give(Exchange::on_stream(Time::ZERO, false));
            assert!(cold.path.is_none(), "round {round}");
            cold.path = Some("/a".into());
            let mut exchange = cold.http.take().expect("given");
            assert!(matches!(exchange.work, Work::Idle));
            exchange.work = Work::Asked(Asked::Other);
            spares.keep_exchange(exchange);
            spares.keep_cold(cold);
        }
        let made = [spares.colds.stats().made, spares.exchanges.stats().made];
        assert_eq!(made, [1, 1]);
    }
}
