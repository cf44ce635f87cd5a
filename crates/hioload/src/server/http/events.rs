//! From what the store says to an answer.

use hioload_base::Key;
use hioload_blocks::api::write_hashes;
use hioload_blocks::{Damage, Event, GetHead, GetPoll, Hash, PutError, Referred, Released, Stored};
use hioload_http::{names, write_repr_digest};
use hioload_reactor::SocketId;
use hioload_ws::Kind;

use super::Next;
use super::answer::{Answer, push_validity};
use super::exchange::{Asked, Part, Work};
use super::own_names as own;
use crate::server::connection::Facts;
use crate::server::core::Cx;
use crate::server::hub::Hub;
use crate::server::table::is_stream;

/// A content of at most so many bytes is copied behind its head on a socket: cheaper than a second piece. On a stream its head
/// goes another way, and it is copied into its frame.
const COPY_MAX: usize = 4096;

impl Hub {
    /// Something happened to a request. Whoever sent it may be gone.
    pub(in crate::server) fn store_event(&mut self, cx: &mut Cx<'_>, event: Event) {
        let socket = |user: u64| SocketId::from_key(Key::from_bits(user));
        match event {
            Event::PutReady { user, .. } => self.resume_soon(socket(user)),
            Event::Added { hash } => self.announce(cx, &hash),
            Event::Stored {
                user,
                hash,
                outcome,
                ..
            } => self.stored(cx, socket(user), &hash, outcome),
            Event::PutFailed { user, error, .. } => self.put_failed(cx, socket(user), error),
            Event::GetFound { user, head, .. } => {
                let next = self.begin_content(cx, socket(user), head);
                self.go_on(cx, socket(user), &next);
            }
            Event::GetMissing { user, .. } => {
                let answer = Answer::text(404, "there is no such block");
                self.answer_later(cx, socket(user), &answer);
            }
            Event::GetFailed { user, fault, .. } | Event::CallFailed { user, fault } => {
                self.answer_later(cx, socket(user), &Answer::fault(fault));
            }
            Event::GetReady { user, .. } => self.send_content(cx, socket(user)),
            Event::Damaged { user, damage, .. } => self.damaged(cx, socket(user), damage),
            Event::Broken { user, damage, .. } => {
                tracing::error!("an answer was cut off, its block is damaged: {damage}");
                self.core.lost(cx, socket(user));
            }
            Event::Deleted { user, outcome } => {
                let is_done = outcome == Released::Released;
                let answer = Answer::deleted(outcome, cx.now());
                self.changed(cx, socket(user), answer, is_done);
            }
            Event::DeletedMany { user, outcomes } => {
                self.deleted_many(cx, socket(user), &outcomes);
            }
            Event::Missing { user, hashes, .. } => {
                let mut body = b"{".to_vec();
                write_hashes("missing", hashes.iter(), &mut body);
                body.push(b'}');
                self.answer_later(cx, socket(user), &Answer::json(body));
            }
            Event::Referred { user, outcome } => {
                let answer = match outcome {
                    Referred::New => Answer::empty(201),
                    Referred::Replaced => Answer::empty(204),
                    Referred::Exists => Answer::text(412, "there is a reference of that name"),
                    Referred::TooMany => {
                        Answer::text(409, "the block has as many references as it may: drop some")
                    }
                    Referred::Missing => Answer::text(404, "there is no such block"),
                };
                let is_done = matches!(outcome, Referred::New | Referred::Replaced);
                self.changed(cx, socket(user), answer, is_done);
            }
            Event::Unreferred { user, was_there } => {
                let answer = if was_there {
                    Answer::empty(204)
                } else {
                    Answer::text(404, "the block has no such reference")
                };
                self.changed(cx, socket(user), answer, was_there);
            }
        }
    }

    /// What came of a change; if it was made, with what is promised of it.
    fn changed(&mut self, cx: &mut Cx<'_>, socket: SocketId, answer: Answer, is_done: bool) {
        let answer = match &self.store {
            Some(store) if is_done => answer.promising(store.local.config().durability),
            _ => answer,
        };
        self.answer_later(cx, socket, &answer);
    }

    fn stored(&mut self, cx: &mut Cx<'_>, socket: SocketId, hash: &Hash, outcome: Stored) {
        let is_new = outcome != Stored::Present;
        let Some(exchange) = self.exchange(socket) else {
            return;
        };
        let Work::Asked(Asked::Put { only_new }) = exchange.work else {
            return;
        };
        let is_refused = only_new && !is_new;
        let answer = if is_refused {
            Answer::text(412, "the block is there already")
        } else {
            Answer::stored(hash, is_new)
        };
        self.changed(cx, socket, answer, !is_refused);
    }

    /// Tells subscribers of a new block.
    fn announce(&mut self, cx: &mut Cx<'_>, hash: &Hash) {
        let channel = self.store.as_ref().and_then(|store| store.announce.clone());
        let Some(channel) = channel else { return };
        let text = hash.to_string();
        let core = &mut self.core;
        if !core.publish_for_server(cx, &channel, Kind::Text, text.as_bytes()) {
            core.stats.announcements_dropped += 1;
        }
    }

    /// Nothing was stored. What still comes of the body is not read.
    fn put_failed(&mut self, cx: &mut Cx<'_>, socket: SocketId, error: PutError) {
        let Some(exchange) = self.exchange(socket) else {
            return;
        };
        let answer = match exchange.work {
            Work::Asked(_) => Answer::put_error(error),
            _ => Answer::put_error(error).last(),
        };
        exchange.work = Work::Asked(Asked::Other);
        self.answer_later(cx, socket, &answer);
    }

    fn damaged(&mut self, cx: &mut Cx<'_>, socket: SocketId, damage: Damage) {
        let line = format!("the block is damaged: {damage}; a PUT of the same content repairs it");
        tracing::error!("{line}");
        let answer = Answer::text(500, &line).field(&own::DAMAGED, "true");
        self.answer_later(cx, socket, &answer);
    }

    fn deleted_many(&mut self, cx: &mut Cx<'_>, socket: SocketId, outcomes: &[Released]) {
        let Some(exchange) = self.exchange(socket) else {
            return;
        };
        let Work::Asked(Asked::DeleteMany(hashes)) = std::mem::take(&mut exchange.work) else {
            return;
        };
        let body = deleted_body(&hashes, outcomes);
        self.changed(cx, socket, Answer::json(body), true);
    }

    /// The block is there: what is wanted of it goes out, as far as there is room.
    pub(super) fn begin_content(
        &mut self,
        cx: &mut Cx<'_>,
        socket: SocketId,
        head: GetHead,
    ) -> Next {
        let now = cx.now();
        let Some(exchange) = self.exchange(socket) else {
            return Next::Stop;
        };
        let is_head = exchange.is_head;
        let Work::Get { key, wish } = &mut exchange.work else {
            return Next::Stop;
        };
        let key = *key;
        let hash = wish.hash;
        let part = wish.part_of(head.length);
        if let Ok(part) = &part
            && !is_head
        {
            wish.part = part.clone();
            if is_stream(socket) && !self.core.may_fetch(socket, part.len() as usize) {
                return Next::Go;
            }
            return self.start_content(cx, socket);
        }
        if let Some(store) = &mut self.store {
            store.local.get_abort(now, key);
        }
        match part {
            Ok(part) => {
                let part = Part {
                    is_damaged: head.is_damaged,
                    ..part
                };
                if !self.write_content_head(cx, socket, &hash, &part, &[]) {
                    return Next::Stop;
                }
                self.answered(cx, socket)
            }
            Err(answer) => self.answer(cx, socket, &answer),
        }
    }

    /// What is wanted of a block is read.
    pub(in crate::server) fn start_content(&mut self, cx: &mut Cx<'_>, socket: SocketId) -> Next {
        let Some(exchange) = self.exchange(socket) else {
            return Next::Stop;
        };
        let Work::Get { key, wish } = &exchange.work else {
            return Next::Stop;
        };
        let (key, bytes) = (*key, wish.part.bytes.clone());
        if let Some(store) = &mut self.store {
            store.local.get_start(key, bytes);
        }
        self.send_part(cx, socket)
    }

    /// More of the content is at hand, or there is room for more: the connection goes on.
    pub(super) fn send_content(&mut self, cx: &mut Cx<'_>, socket: SocketId) {
        let is_getting = |hub: &mut Self| {
            let exchange = hub.exchange(socket);
            exchange.is_some_and(|exchange| matches!(exchange.work, Work::Get { .. }))
        };
        if !is_getting(self) {
            return;
        }
        let next = self.send_part(cx, socket);
        if is_getting(self) {
            // It is not over; what comes meanwhile waits.
            self.core.flush(cx, socket);
        } else {
            self.go_on(cx, socket, &next);
        }
    }

    fn send_part(&mut self, cx: &mut Cx<'_>, socket: SocketId) -> Next {
        let now = cx.now();
        let cork = self.core.cork.len();
        let Some(connection) = self.core.table.get_mut(socket) else {
            return Next::Stop;
        };
        let Some(store) = &mut self.store else {
            return Next::Stop;
        };
        let room = store
            .window()
            .saturating_sub(cork + connection.output_size());
        let Some(exchange) = connection.cold.as_mut().and_then(|cold| cold.http.as_mut()) else {
            return Next::Stop;
        };
        let Work::Get { key, wish } = &mut exchange.work else {
            return Next::Stop;
        };
        let key = *key;
        let mut pieces = std::mem::take(&mut self.http.pieces);
        let polled = store.local.get_poll(now, key, room, &mut pieces);
        let is_first = !wish.is_begun && !pieces.is_empty();
        if !pieces.is_empty() {
            wish.is_begun = true;
        }
        let mut rest = pieces.drain(..);
        if is_first && let Some(first) = rest.next() {
            // Nothing of a block is sent before it is known that there is something to send.
            let (hash, part) = (wish.hash, wish.part.clone());
            let is_small = first.len() <= COPY_MAX && !is_stream(socket);
            let body: &[u8] = if is_small { &first } else { &[] };
            if !self.write_content_head(cx, socket, &hash, &part, body) {
                return Next::Stop;
            }
            if !is_small {
                self.core.cork.append(first);
            }
        }
        for piece in rest {
            self.core.cork.append(piece);
        }
        self.http.pieces = pieces;
        match polled {
            GetPoll::Done => self.answered(cx, socket),
            GetPoll::Gone => Next::Stop,
            GetPoll::Waiting => Next::Go,
            GetPoll::More => {
                if let Some(connection) = self.core.table.get_mut(socket) {
                    // Told when there is room again.
                    connection.facts.set(Facts::FULL);
                }
                Next::Go
            }
        }
    }

    fn write_content_head(
        &mut self,
        cx: &mut Cx<'_>,
        socket: SocketId,
        hash: &Hash,
        part: &Part,
        body: &[u8],
    ) -> bool {
        let mut fields = std::mem::take(&mut self.http.fields);
        fields.clear();
        fields.push(&names::CONTENT_TYPE, "application/octet-stream");
        push_validity(&mut fields, hash);
        fields.push(&names::ACCEPT_RANGES, "bytes");
        fields.write(&names::REPR_DIGEST, |value| {
            write_repr_digest(hash.as_bytes(), value);
        });
        if part.status == 206 {
            let (first, last) = (part.bytes.start, part.bytes.end - 1);
            let range = format_args!("bytes {first}-{last}/{}", part.length);
            fields.print(&names::CONTENT_RANGE, range);
        }
        if part.is_damaged {
            fields.push(&own::DAMAGED, "true");
        }
        let length = Some(u64::from(part.len()));
        let is_written = self.write_head(cx, socket, part.status, &fields, length, body);
        self.http.fields = fields;
        is_written
    }
}

/// What became of many that were to be deleted.
fn deleted_body(hashes: &[Hash], outcomes: &[Released]) -> Vec<u8> {
    let list_of = |outcome: &Released| match outcome {
        Released::Released => "deleted",
        Released::Missing => "missing",
        Released::Referenced | Released::Promised { .. } => "kept",
        Released::Failed(_) => "failed",
    };
    let mut body = Vec::new();
    for name in ["deleted", "missing", "kept", "failed"] {
        body.push(if body.is_empty() { b'{' } else { b',' });
        let pairs = hashes.iter().zip(outcomes);
        let those = pairs.filter(|(_, outcome)| list_of(outcome) == name);
        write_hashes(name, those.map(|(hash, _)| hash), &mut body);
    }
    body.push(b'}');
    body
}

#[cfg(test)]
mod tests {
    use hioload_base::Time;
    use hioload_blocks::Fault;
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn what_was_to_be_deleted_is_in_one_list_each() {
        let until = Time::ZERO;
        let outcomes = [
            Released::Released,
            Released::Missing,
            Released::Referenced,
            Released::Promised { until },
            Released::Failed(Fault::Busy),
        ];
        let hashes: Vec<Hash> = (0..5).map(|n| Hash::of(&[n])).collect();
        let names: Vec<String> = hashes.iter().map(ToString::to_string).collect();
        let body: Value = serde_json::from_slice(&deleted_body(&hashes, &outcomes)).expect("JSON");
        let expected = json!({
            "deleted": names[..1],
            "missing": names[1..2],
            "kept": names[2..4],
            "failed": names[4..],
        });
        assert_eq!(body, expected);
    }
}
