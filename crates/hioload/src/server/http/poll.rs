//! From a request to a session that is polled, and from what it says to the answer.
//!
//! ```text
//!   GET /poll/PATH?last_event_id=ID ─▶ a session with this path ─▶ waits ─▶ 200, events, Hioload-Next
//!   GET /poll?stream=UID&token=T&seen=N ─▶ that session ─▶ waits ─▶ 200, or 204 when the time is over
//! ```
//!
//! `Hioload-Next` is what to ask for next; the request that asks for it says that the answer before was seen.

use hioload_http::{Body, FieldList, Request, names};
use hioload_reactor::SocketId;
use hioload_streams::{Kind, StreamUid};
use hioload_ws::{Keepalive, Role, Session as Protocol};

use super::Next;
use super::answer::Answer;
use super::exchange::{Waiting, Work};
use super::own_names as own;
use super::stream::{last_event, origin_field};
use crate::server::connection::{Connection, Facts, Phase};
use crate::server::core::Cx;
use crate::server::hub::Hub;
use crate::server::poll::{PollAnswer, PollAsk, Said, Waiter};
use crate::server::sse::CLASS;

/// Where sessions are polled.
pub(super) const POLL_PATH: &str = "/poll";

/// What is behind `/poll` in a path: that of the session.
pub(super) fn poll_path(path: &str) -> Option<&str> {
    let rest = path.strip_prefix(POLL_PATH)?;
    match rest {
        "" => Some("/"),
        rest if rest.starts_with('/') => Some(rest),
        _ => None,
    }
}

/// A session that is there, as the query names it. `None`: it names none, or is none.
struct Known {
    uid: StreamUid,
    token: u128,
    seen: u32,
}

impl Known {
    fn of(query: &str) -> Option<Self> {
        let value = |name: &str| {
            let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs
                .find(|(this, _)| *this == name)
                .map(|(_, value)| value)
        };
        // A slash is often escaped.
        let uid = value("stream")?.replace("%2F", "/").replace("%2f", "/");
        let token = value("token").filter(|token| token.len() == 32)?;
        Some(Self {
            uid: uid.parse().ok()?,
            token: u128::from_str_radix(token, 16).ok()?,
            seen: value("seen")?.parse().ok()?,
        })
    }
}

fn names_a_stream(query: Option<&str>) -> bool {
    query.is_some_and(|query| query.split('&').any(|pair| pair.starts_with("stream=")))
}

impl Waiting {
    /// What to ask for next, as a field.
    fn next(&self, seen: u32) -> String {
        let (uid, token) = (self.uid, self.token);
        format!("{POLL_PATH}?stream={uid}&token={token:032x}&seen={seen}")
    }

    fn finish(&self, answer: Answer) -> Answer {
        let mut answer = answer.field(&names::CACHE_CONTROL, "no-store");
        answer.fields.append(&self.fields);
        answer
    }
}

impl Hub {
    /// Somebody polls: a session that there is, or a new one.
    pub(super) fn begin_poll(
        &mut self,
        cx: &mut Cx<'_>,
        socket: SocketId,
        request: &Request<'_>,
        path: &str,
    ) -> Next {
        let refusal = if request.body() != Body::None {
            Some((400, "a poll has no body"))
        } else if self.core.is_draining {
            Some((503, "the server is shutting down"))
        } else {
            None
        };
        if let Some((status, line)) = refusal {
            return self.answer(cx, socket, &Answer::text(status, line).last());
        }
        let Ok(mut fields) = origin_field(request, &self.core.settings.accept.origins) else {
            let answer = Answer::text(403, "this origin may not connect here");
            return self.answer(cx, socket, &answer);
        };
        if !fields.is_empty() {
            fields.push(&names::EXPOSE_HEADERS, own::NEXT.title());
        }
        let waiter = Waiter {
            worker: cx.index(),
            socket,
            number: self.core.polls.next_number(),
        };
        if !names_a_stream(request.query()) {
            return self.open_poll(cx, waiter, request, path, fields);
        }
        let Some(Known { uid, token, seen }) = request.query().and_then(Known::of) else {
            let line = "a poll is continued by what Hioload-Next said";
            return self.answer(cx, socket, &Answer::text(400, line));
        };
        self.wait_for(waiter, (uid, token, seen), fields);
        let ask = PollAsk {
            uid,
            token,
            seen,
            waiter,
        };
        if let Err(said) = self.core.ask_poll(cx, ask) {
            let answer = match said {
                Said::Gone => gone(),
                _ => Answer::text(503, "the session's worker is busy")
                    .field(&names::RETRY_AFTER, "1"),
            };
            return self.answer(cx, socket, &answer);
        }
        Next::Go
    }

    fn wait_for(&mut self, waiter: Waiter, of: (StreamUid, u128, u32), fields: FieldList) {
        let (uid, token, seen) = of;
        if let Some(exchange) = self.exchange(waiter.socket) {
            exchange.work = Work::Poll(Box::new(Waiting {
                uid,
                token,
                seen,
                waiter,
                fields,
            }));
        }
    }

    /// Opens a session, which outlives the exchange that waits for its first words.
    fn open_poll(
        &mut self,
        cx: &mut Cx<'_>,
        waiter: Waiter,
        request: &Request<'_>,
        path: &str,
        fields: FieldList,
    ) -> Next {
        let exchange = waiter.socket;
        let mut token = [0; 16];
        let token = getrandom::fill(&mut token).map(|()| u128::from_ne_bytes(token));
        let (Ok(token), now) = (token, cx.now()) else {
            let line = "the system has no random numbers";
            return self.answer(cx, exchange, &Answer::text(503, line));
        };
        let full = Answer::text(503, "there are as many streams as there may be");
        let full = full.field(&names::RETRY_AFTER, "1");
        let Some(socket) = self.core.polls.insert(token) else {
            return self.answer(cx, exchange, &full);
        };
        let mut connection = Connection::new(Protocol::new(Role::Server, false), now);
        connection.keepalive = Keepalive::new(now);
        connection.phase = Phase::Open;
        connection.facts.set(Facts::OPENED | Facts::EVENTS);
        connection.class = CLASS;
        let cold = connection.cold();
        cold.since = last_event(request);
        cold.path = (path != "/").then(|| path.into());
        connection.trim();
        self.core.table.insert(socket, connection);
        let peer = exchange;
        let uid = match self.core.register_polled(cx, socket, peer, Kind::LongPoll) {
            Ok(uid) => uid,
            Err(rejected) => {
                tracing::debug!("{rejected}");
                self.core.table.remove(socket);
                self.core.polls.remove(socket);
                return self.answer(cx, exchange, &full);
            }
        };
        self.wait_for(waiter, (uid, token, 0), fields);
        // What is in the cork is the exchange's; what follows is not.
        self.core.flush(cx, exchange);
        self.core.begin_poll(socket, uid, waiter);
        self.core.detach_stream(cx, uid);
        self.open_reader(cx, socket);
        Next::Go
    }

    /// What a session says to an exchange that may be gone, or be another one.
    pub(in crate::server) fn poll_answered(&mut self, cx: &mut Cx<'_>, answer: PollAnswer) {
        let PollAnswer {
            socket,
            number,
            said,
        } = answer;
        let Some(exchange) = self.exchange(socket) else {
            return;
        };
        let work = std::mem::take(&mut exchange.work);
        let waiting = match work {
            Work::Poll(waiting) if waiting.waiter.number == number => waiting,
            work => {
                exchange.work = work;
                return;
            }
        };
        let answer = match said {
            Said::Events { count, bytes } => {
                let answer = Answer {
                    body: bytes.to_vec(),
                    ..Answer::empty(200)
                };
                let answer = answer.field(&names::CONTENT_TYPE, "text/event-stream");
                answer.field(&own::NEXT, &waiting.next(count))
            }
            Said::Gone => gone(),
            Said::Replaced => Answer::text(409, "another request polls this session"),
            Said::OutOfStep => Answer::text(409, "this is not what Hioload-Next said last"),
        };
        self.answer_later(cx, socket, &waiting.finish(answer));
    }

    /// It has waited long enough.
    pub(super) fn end_poll(&mut self, cx: &mut Cx<'_>, socket: SocketId) {
        let Some(exchange) = self.exchange(socket) else {
            return;
        };
        let Work::Poll(waiting) = std::mem::take(&mut exchange.work) else {
            return;
        };
        self.core.leave_poll(cx, waiting.uid, waiting.waiter);
        let answer = Answer::empty(204).field(&own::NEXT, &waiting.next(waiting.seen));
        self.answer_later(cx, socket, &waiting.finish(answer));
    }
}

fn gone() -> Answer {
    Answer::text(404, "there is no such session; poll for a new one")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_polls() {
        for (path, session) in [
            ("/poll", Some("/")),
            ("/poll/", Some("/")),
            ("/poll/room/1", Some("/room/1")),
            ("/polls", None),
            ("/", None),
        ] {
            assert_eq!(poll_path(path), session, "{path}");
        }
    }

    #[test]
    fn a_session_is_named_by_all_three() {
        let uid = StreamUid::new(1, 2, 3, 4).expect("in range");
        let waiting = Waiting {
            uid,
            token: 0xAB,
            seen: 0,
            waiter: Waiter {
                worker: 0,
                socket: SocketId::from_key(hioload_base::Key::from_bits(1)),
                number: 0,
            },
            fields: FieldList::new(),
        };
        let next = waiting.next(7);
        let query = next.split_once('?').expect("a query").1;
        for query in [query.to_owned(), query.replace('/', "%2F")] {
            assert!(names_a_stream(Some(&query)));
            let known = Known::of(&query).expect("all three");
            assert_eq!((known.uid, known.token, known.seen), (uid, 0xAB, 7));
        }
        for name in ["stream=", "token=", "seen="] {
            assert!(Known::of(&query.replace(name, "x=")).is_none(), "{name}");
        }
        assert!(Known::of(&query.replace("00ab", "ab")).is_none());
    }
}
