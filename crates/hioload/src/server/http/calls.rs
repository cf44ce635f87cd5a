//! From a request to the store.

use hioload_blocks::api::{Call, OPEN_API, VALUE_SIZE_MAX, parse_hashes, route};
use hioload_blocks::{BLOCK_SIZE_MAX, Fault, GetBegin, Hash, LocalStore, PutError, Refer, Unrefer};
use hioload_http::{Body, Request, h1, is_any, lists_tag, names};
use hioload_reactor::SocketId;

use super::answer::Answer;
use super::exchange::{Asked, Conditions, List, Wish, Work};
use super::poll::poll_path;
use super::stream::{asks_for_events, page_of};
use super::{LIST_SIZE_MAX, Next};
use crate::server::core::Cx;
use crate::server::hub::Hub;
use crate::server::store::Store;
use crate::server::table::is_stream;

impl Hub {
    /// A request's head is complete.
    pub(super) fn http_head(
        &mut self,
        cx: &mut Cx<'_>,
        socket: SocketId,
        request: &Request<'_>,
    ) -> Next {
        let now = cx.now();
        self.core.stats.requests += 1;
        if let Some(exchange) = self.exchange(socket) {
            exchange.touch(now);
            exchange.is_head = request.method() == "HEAD";
        }
        let path = request.path();
        if request.method() == "GET"
            && let Some(path) = poll_path(path)
        {
            return self.begin_poll(cx, socket, request, path);
        }
        if asks_for_events(request, path) {
            return self.begin_events(cx, socket, request);
        }
        let route = match &self.store {
            Some(_) => route(request.method(), path),
            None => None,
        };
        let call = match route {
            Some(Ok(call)) => call,
            Some(Err(refused)) => {
                let answer = Answer::text(refused.status, refused.reason);
                let answer = match refused.allow {
                    Some(allow) => answer.field(&names::ALLOW, allow),
                    None => answer,
                };
                return self.turn_away(cx, socket, request, answer);
            }
            // Any other path is a WebSocket's.
            None if request.method() == "GET" => {
                let line = "a WebSocket is served here; /openapi.json says where blocks are";
                let answer = Answer::text(426, line).field(&names::UPGRADE, "websocket");
                return self.turn_away(cx, socket, request, answer);
            }
            None => {
                let line = "there is nothing here; /openapi.json says what is where";
                return self.turn_away(cx, socket, request, Answer::text(404, line));
            }
        };
        // A browser lets any page send a POST and only keeps the answer from it.
        if matches!(request.method(), "POST" | "PUT" | "DELETE")
            && page_of(request, &self.core.settings.blocks_origins).is_err()
        {
            let answer = Answer::text(403, "this origin may not change anything here");
            return self.turn_away(cx, socket, request, answer);
        }
        match call {
            Call::Put { expected } => self.put(cx, socket, request, expected),
            Call::PutReference { hash, name } => {
                let of = List::Reference {
                    hash,
                    name: name.into(),
                    // A reference has no tag: no list of tags names it.
                    only_new: request.values("If-None-Match").any(is_any),
                };
                self.list(cx, socket, request, of)
            }
            Call::Missing => self.list(cx, socket, request, List::Missing),
            Call::DeleteMany => self.list(cx, socket, request, List::Delete),
            _ if request.body() != Body::None => {
                let line = "a request of this method has no body";
                self.turn_away(cx, socket, request, Answer::text(400, line))
            }
            Call::List => self.page(cx, socket, request),
            Call::Get { hash } => self.get(cx, socket, request, hash),
            Call::Delete { hash } => {
                let user = socket.key().to_bits();
                self.ask(cx, socket, Asked::Other, |local| local.delete(user, &hash))
            }
            Call::DeleteReference { hash, name } => {
                let name = name.as_bytes().into();
                let user = socket.key().to_bits();
                self.ask(cx, socket, Asked::Other, |local| {
                    local.unrefer(user, Unrefer { hash, name })
                })
            }
            Call::GetReference { hash, name } => self.reference(cx, socket, &hash, name),
            Call::References { hash } => self.references(cx, socket, &hash),
            Call::Stats => {
                let body = self.store_stats();
                self.answer(cx, socket, &Answer::json(body))
            }
            Call::OpenApi => self.answer(cx, socket, &Answer::json(OPEN_API.into())),
        }
    }

    /// Answers without having read the body: if there is one, the connection ends.
    fn turn_away(
        &mut self,
        cx: &mut Cx<'_>,
        socket: SocketId,
        request: &Request<'_>,
        answer: Answer,
    ) -> Next {
        self.core.stats.requests_refused += 1;
        let answer = if request.body() == Body::None {
            answer
        } else {
            answer.last()
        };
        self.answer(cx, socket, &answer)
    }

    fn put(
        &mut self,
        cx: &mut Cx<'_>,
        socket: SocketId,
        request: &Request<'_>,
        expected: Option<Hash>,
    ) -> Next {
        let length = match request.body() {
            Body::None if says_length(socket, request) => {
                let answer = Answer::put_error(PutError::Empty);
                return self.turn_away(cx, socket, request, answer);
            }
            Body::None => {
                let line = "a block needs Content-Length or Transfer-Encoding: chunked";
                return self.turn_away(cx, socket, request, Answer::text(411, line));
            }
            Body::Length(length) if length > u64::from(BLOCK_SIZE_MAX) => {
                let answer = Answer::put_error(PutError::TooLong);
                return self.turn_away(cx, socket, request, answer);
            }
            Body::Length(length) => Some(length as u32),
            Body::Chunked => None,
        };
        // A content that the server names has no tag the client could know.
        let only_new = request
            .values("If-None-Match")
            .any(|field| match &expected {
                Some(hash) => lists_tag(field, &hash.to_hex()),
                None => is_any(field),
            });
        let (now, user) = (cx.now(), socket.key().to_bits());
        let Some(store) = &mut self.store else {
            return Next::Stop;
        };
        if only_new
            && let Some(hash) = expected
            && store.local.has(&hash) == Ok(true)
        {
            let answer = Answer::text(412, "the block is there already");
            return self.turn_away(cx, socket, request, answer);
        }
        if request.expects_continue() {
            // RFC 9110 10.1.1: what would refuse the body is said before it is sent.
            match store.local.put_begin(now, user, expected, length) {
                Ok(key) => store.local.put_abort(now, key),
                Err(error) => {
                    return self.turn_away(cx, socket, request, Answer::put_error(error));
                }
            }
        }
        let work = Work::Offered {
            expected,
            length,
            only_new,
        };
        self.take_body(cx, socket, request, work)
    }

    /// Something came. If it is the first of a body, the store takes it from here on: a head alone holds nothing.
    pub(super) fn begin_put(&mut self, cx: &mut Cx<'_>, socket: SocketId) -> Next {
        let (now, user) = (cx.now(), socket.key().to_bits());
        let Some(exchange) = self.exchange(socket) else {
            return Next::Stop;
        };
        let Work::Offered {
            expected,
            length,
            only_new,
        } = exchange.work
        else {
            return Next::Go;
        };
        let Some(store) = &mut self.store else {
            return Next::Stop;
        };
        match store.local.put_begin(now, user, expected, length) {
            Ok(key) => {
                if let Some(exchange) = self.exchange(socket) {
                    exchange.work = Work::Put { key, only_new };
                }
                Next::Go
            }
            Err(error) => {
                self.core.stats.requests_refused += 1;
                self.answer(cx, socket, &Answer::put_error(error).last())
            }
        }
    }

    fn list(&mut self, cx: &mut Cx<'_>, socket: SocketId, request: &Request<'_>, of: List) -> Next {
        let size_max = match of {
            List::Reference { .. } => VALUE_SIZE_MAX,
            List::Missing | List::Delete => LIST_SIZE_MAX,
        };
        match request.body() {
            Body::Length(length) if length > size_max as u64 => {
                let answer = Answer::text(413, &format!("the body has more than {size_max} bytes"));
                self.turn_away(cx, socket, request, answer)
            }
            Body::None
                if !matches!(of, List::Reference { .. }) && !says_length(socket, request) =>
            {
                let line = "a list of hashes needs Content-Length or Transfer-Encoding: chunked";
                self.turn_away(cx, socket, request, Answer::text(411, line))
            }
            _ => {
                let body = Vec::new();
                self.take_body(cx, socket, request, Work::List { of, body })
            }
        }
    }

    /// What comes next on the connection is the body of this.
    fn take_body(
        &mut self,
        cx: &mut Cx<'_>,
        socket: SocketId,
        request: &Request<'_>,
        work: Work,
    ) -> Next {
        if let Some(exchange) = self.exchange(socket) {
            exchange.work = work;
        }
        if request.body() == Body::None {
            return self.http_end(cx, socket);
        }
        if request.expects_continue() {
            // RFC 9110 10.1.1: the peer waits for this before it sends the body.
            if is_stream(socket) {
                self.core.stream_inform(socket, 100);
            } else {
                let line = h1::CONTINUE.as_bytes();
                let _ = self.core.cork.write(&self.core.pool, line, &[]);
            }
        }
        Next::Go
    }

    /// Part of a body; no longer than there was room for.
    pub(super) fn http_body(&mut self, cx: &mut Cx<'_>, socket: SocketId, bytes: &[u8]) -> Next {
        let now = cx.now();
        let Some(exchange) = self.exchange(socket) else {
            return Next::Stop;
        };
        exchange.took(now, bytes.len());
        let size_max = match &mut exchange.work {
            Work::Put { key, .. } => {
                let key = *key;
                if let Some(store) = &mut self.store {
                    let taken = store.local.put_data(now, key, bytes);
                    debug_assert_eq!(taken, bytes.len(), "there was room");
                }
                return Next::Go;
            }
            Work::List { of, body } => {
                let size_max = match of {
                    List::Reference { .. } => VALUE_SIZE_MAX,
                    List::Missing | List::Delete => LIST_SIZE_MAX,
                };
                if body.len() + bytes.len() <= size_max && self.core.keep(bytes.len()) {
                    let Some(Work::List { body, .. }) =
                        self.exchange(socket).map(|exchange| &mut exchange.work)
                    else {
                        return Next::Stop;
                    };
                    body.extend_from_slice(bytes);
                    return Next::Go;
                }
                size_max
            }
            Work::Idle
            | Work::Offered { .. }
            | Work::Asked(_)
            | Work::Get { .. }
            | Work::Page(_)
            | Work::Poll(_) => return Next::Go,
        };
        self.give_up(socket);
        let line = format!("the body has more than {size_max} bytes, or there is no memory for it");
        self.answer(cx, socket, &Answer::text(413, &line).last())
    }

    /// A body is complete.
    pub(super) fn http_end(&mut self, cx: &mut Cx<'_>, socket: SocketId) -> Next {
        let (now, user) = (cx.now(), socket.key().to_bits());
        let Some(exchange) = self.exchange(socket) else {
            return Next::Stop;
        };
        match std::mem::take(&mut exchange.work) {
            Work::Put { key, only_new } => {
                exchange.work = Work::Asked(Asked::Put { only_new });
                if let Some(store) = &mut self.store {
                    store.local.put_end(now, key);
                }
                Next::Go
            }
            Work::Offered { .. } => {
                let answer = Answer::put_error(PutError::Empty);
                self.answer(cx, socket, &answer)
            }
            Work::List { of, body } => {
                self.core.assembly_size -= body.len();
                self.end_list(cx, socket, user, of, &body)
            }
            work => {
                exchange.work = work;
                Next::Go
            }
        }
    }

    fn end_list(
        &mut self,
        cx: &mut Cx<'_>,
        socket: SocketId,
        user: u64,
        of: List,
        body: &[u8],
    ) -> Next {
        if let List::Reference {
            hash,
            name,
            only_new,
        } = of
        {
            let refer = Refer {
                hash,
                name: name.as_bytes().into(),
                value: body.into(),
                only_new,
            };
            return self.ask(cx, socket, Asked::Other, |local| local.refer(user, refer));
        }
        let hashes = match parse_hashes(body) {
            Ok(hashes) => hashes,
            Err(error) => {
                let status = match error {
                    hioload_blocks::api::HashesError::TooMany => 413,
                    hioload_blocks::api::HashesError::Syntax { .. } => 400,
                };
                return self.answer(cx, socket, &Answer::text(status, &error.to_string()));
            }
        };
        if matches!(of, List::Missing) {
            let grace = self.store.as_ref().map(Store::grace).unwrap_or_default();
            return self.ask(cx, socket, Asked::Other, |local| {
                local.missing(user, hashes, grace)
            });
        }
        let hashes: Box<[Hash]> = hashes.into();
        let asked = Asked::DeleteMany(hashes.clone());
        self.ask(cx, socket, asked, |local| local.delete_many(user, hashes))
    }

    /// Asks the store; an event will answer.
    fn ask(
        &mut self,
        cx: &mut Cx<'_>,
        socket: SocketId,
        of: Asked,
        call: impl FnOnce(&mut LocalStore) -> Result<(), Fault>,
    ) -> Next {
        let Some(store) = &mut self.store else {
            return Next::Stop;
        };
        match call(&mut store.local) {
            Ok(()) => {
                if let Some(exchange) = self.exchange(socket) {
                    exchange.work = Work::Asked(of);
                }
                Next::Go
            }
            Err(fault) => self.answer(cx, socket, &Answer::fault(fault)),
        }
    }

    fn get(
        &mut self,
        cx: &mut Cx<'_>,
        socket: SocketId,
        request: &Request<'_>,
        hash: Hash,
    ) -> Next {
        let (now, user) = (cx.now(), socket.key().to_bits());
        let Some(store) = &mut self.store else {
            return Next::Stop;
        };
        let conditions = Conditions::of(request, &hash);
        let begun = if conditions.no_cache {
            store.local.get_begin_from_medium(now, user, &hash)
        } else {
            store.local.get_begin(now, user, &hash)
        };
        let (key, head) = match begun {
            Ok(GetBegin::Found(key, head)) => (key, Some(head)),
            Ok(GetBegin::Asked(key)) => (key, None),
            Ok(GetBegin::Missing) => {
                let answer = Answer::text(404, "there is no such block");
                return self.answer(cx, socket, &answer);
            }
            Err(fault) => return self.answer(cx, socket, &Answer::fault(fault)),
        };
        let wish = Wish::of(request, &conditions, hash);
        if let Some(exchange) = self.exchange(socket) {
            exchange.work = Work::Get { key, wish };
        }
        match head {
            Some(head) => self.begin_content(cx, socket, head),
            None => Next::Go,
        }
    }

    fn reference(&mut self, cx: &mut Cx<'_>, socket: SocketId, hash: &Hash, name: &str) -> Next {
        let mut value = Vec::new();
        let Some(store) = &mut self.store else {
            return Next::Stop;
        };
        let answer = match store.local.reference(hash, name.as_bytes(), &mut value) {
            Ok(true) => Answer {
                body: value,
                ..Answer::empty(200).field(&names::CONTENT_TYPE, "application/octet-stream")
            },
            Ok(false) => Answer::text(404, "the block has no such reference"),
            Err(fault) => Answer::fault(fault),
        };
        self.answer(cx, socket, &answer)
    }

    fn references(&mut self, cx: &mut Cx<'_>, socket: SocketId, hash: &Hash) -> Next {
        let mut names = Vec::new();
        let Some(store) = &mut self.store else {
            return Next::Stop;
        };
        let mut note =
            |name: &[u8], _: &[u8]| names.push(String::from_utf8_lossy(name).into_owned());
        let answer = match store.local.has(hash) {
            Ok(true) => match store.local.references(hash, &mut note) {
                Ok(_) => Answer::json(
                    serde_json::json!({ "references": names })
                        .to_string()
                        .into(),
                ),
                Err(fault) => Answer::fault(fault),
            },
            Ok(false) => Answer::text(404, "there is no such block"),
            Err(fault) => Answer::fault(fault),
        };
        self.answer(cx, socket, &answer)
    }
}

/// Whether a request without a body says so. On a stream its end does (RFC 9113 8.1.1).
fn says_length(socket: SocketId, request: &Request<'_>) -> bool {
    is_stream(socket) || request.header("Content-Length").is_some()
}
