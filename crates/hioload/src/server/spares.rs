//! Boxes of streams that ended, for those that begin: one connection opens and ends hundreds in a turn.

use super::connection::Cold;
use super::http::Exchange;

/// Boxes of each kind that are kept; more are freed.
const KEPT_MAX: usize = 256;

/// The boxes of one worker. What is in them is of streams that are gone.
#[derive(Default)]
#[expect(clippy::vec_box, reason = "the boxes are what is kept")]
pub(super) struct Spares {
    colds: Vec<Box<Cold>>,
    exchanges: Vec<Box<Exchange>>,
}

impl Spares {
    /// What a stream that speaks HTTP has.
    pub(super) fn give(&mut self, exchange: Exchange) -> Box<Cold> {
        let exchange = match self.exchanges.pop() {
            Some(mut spare) => {
                *spare = exchange;
                spare
            }
            None => Box::new(exchange),
        };
        let mut cold = self.colds.pop().unwrap_or_default();
        cold.http = Some(exchange);
        cold
    }

    /// Keeps the exchange of a stream that ends; its work is done or given up.
    pub(super) fn keep_exchange(&mut self, exchange: Box<Exchange>) {
        if self.exchanges.len() < KEPT_MAX {
            self.exchanges.push(exchange);
        }
    }

    /// Keeps all else of a stream that is gone, empty.
    pub(super) fn keep_cold(&mut self, mut cold: Box<Cold>) {
        if self.colds.len() < KEPT_MAX {
            *cold = Cold::default();
            self.colds.push(cold);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::http::{Asked, Work};
    use hioload_base::Time;

    #[test]
    fn boxes_serve_again_and_hold_nothing() {
        let mut spares = Spares::default();
        for round in 0..3 {
            let mut cold = spares.give(Exchange::on_stream(Time::ZERO, false));
            assert!(spares.colds.is_empty() && spares.exchanges.is_empty());
            assert!(cold.path.is_none(), "round {round}");
            cold.path = Some("/a".into());
            let mut exchange = cold.http.take().expect("given");
            assert!(matches!(exchange.work, Work::Idle));
            exchange.work = Work::Asked(Asked::Other);
            spares.keep_exchange(exchange);
            spares.keep_cold(cold);
        }
        assert_eq!((spares.colds.len(), spares.exchanges.len()), (1, 1));
    }

    #[test]
    fn no_more_are_kept_than_the_limit() {
        let mut spares = Spares::default();
        let made: Vec<_> = (0..KEPT_MAX + 10)
            .map(|_| spares.give(Exchange::on_stream(Time::ZERO, true)))
            .collect();
        for mut cold in made {
            spares.keep_exchange(cold.http.take().expect("given"));
            spares.keep_cold(cold);
        }
        assert_eq!(
            (spares.colds.len(), spares.exchanges.len()),
            (KEPT_MAX, KEPT_MAX)
        );
    }
}
