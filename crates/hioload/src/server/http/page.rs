//! `GET /blocks`: a page of names, walked a few at a time.
//!
//! ```text
//!   head ─▶ Work::Page, in line ─▶ the end of each turn: names of the first in line ─▶ all there ─▶ answer
//! ```
//!
//! The index is looked at anew in each turn: what is stored or deleted meanwhile is in the page or not, as between two pages.
//!
//! Limits: [`WALK_MAX`] names a turn, for all connections of the worker; only the first in line has begun.

use hioload_blocks::api::{ListQuery, Listing};
use hioload_http::Request;
use hioload_reactor::SocketId;

use super::Next;
use super::answer::Answer;
use super::exchange::Work;
use crate::server::core::Cx;
use crate::server::hub::Hub;

/// Names walked in one turn: some tenths of a millisecond.
const WALK_MAX: u64 = 512;

impl Hub {
    /// Some of the names there are.
    pub(super) fn page(
        &mut self,
        cx: &mut Cx<'_>,
        socket: SocketId,
        request: &Request<'_>,
    ) -> Next {
        let query = match ListQuery::parse(request.query()) {
            Ok(query) => query,
            Err(refused) => {
                let answer = Answer::text(refused.status, refused.reason);
                return self.answer(cx, socket, &answer);
            }
        };
        let Some(exchange) = self.exchange(socket) else {
            return Next::Stop;
        };
        exchange.work = Work::Page(Box::new(Listing::new(&query)));
        self.core.pages.push_back(socket);
        Next::Go
    }

    /// Walks on with the pages that are asked for. True when some are left for the next turn.
    pub(in crate::server) fn serve_pages(&mut self, cx: &mut Cx<'_>) -> bool {
        let mut left = WALK_MAX;
        while left > 0
            && let Some(socket) = self.core.pages.front().copied()
        {
            let Some(answer) = self.walk_page(socket, &mut left) else {
                return true;
            };
            self.core.pages.pop_front();
            if let Some(answer) = answer {
                self.answer_later(cx, socket, &answer);
            }
        }
        !self.core.pages.is_empty()
    }

    /// Walks at most `left` names of a page. `None` when it is not at its end; then its answer, unless nobody waits for
    /// it any more.
    fn walk_page(&mut self, socket: SocketId, left: &mut u64) -> Option<Option<Answer>> {
        let connection = self.core.table.get_mut(socket);
        let exchange =
            connection.and_then(|connection| connection.cold.as_mut()?.http.as_deref_mut());
        let (Some(exchange), Some(store)) = (exchange, &mut self.store) else {
            return Some(None);
        };
        let Work::Page(listing) = &mut exchange.work else {
            return Some(None);
        };
        let walked = listing.walk(*left, |from, count, each| {
            store.local.list(from, count, each)
        });
        match walked {
            Err(fault) => Some(Some(Answer::fault(fault))),
            Ok(count) => {
                // Looking for none costs something as well.
                *left = left.saturating_sub(count.max(1));
                let body = listing.take_page()?;
                Some(Some(Answer::json(body)))
            }
        }
    }
}
