//! Publishing for a session: into the log of a channel owned here, or to its owner within this
//! worker's credit. A publisher that finds no room keeps its place and is not read from.

use std::sync::Arc;

use hioload_live::{ChannelKey, Origin, Owner, owner_of};
use hioload_reactor::SocketId;
use hioload_ws::{CloseCode, HEADER_SIZE_MAX, Kind};

use super::channel::CREDIT;
use super::connection::{BLOCKED_MAX, Blocked, Phase};
use super::core::{Core, Cx};
use super::encoder::kind_number;
use super::message::{Message, NOBODY, Publication};
use crate::handler::CloseReason;
use crate::session::PublishError;

/// What became of a publication.
enum Published {
    Taken,
    /// Taken, and the publisher is to be held back.
    Held,
    /// Not taken: to be repeated.
    Blocked,
}

impl Core {
    /// Publishes for a session. A session that is held back keeps its place: nothing is lost.
    pub(crate) fn publish(
        &mut self,
        cx: &mut Cx<'_>,
        socket: SocketId,
        name: &str,
        kind: Kind,
        payload: &[u8],
    ) -> Result<(), PublishError> {
        let outcome = self.publish_or_wait(cx, socket, name, kind, payload);
        let is_refused = matches!(outcome, Err(PublishError::TooLarge | PublishError::Busy));
        self.stats.publications_refused += u64::from(is_refused);
        outcome
    }

    fn publish_or_wait(
        &mut self,
        cx: &mut Cx<'_>,
        socket: SocketId,
        name: &str,
        kind: Kind,
        payload: &[u8],
    ) -> Result<(), PublishError> {
        let key = self.open_channel(cx, name).map_err(PublishError::Channel)?;
        let blocked = self
            .table
            .get(socket)
            .and_then(|c| c.cold.as_ref())
            .map_or(0, |c| c.blocked.len());
        let outcome = if blocked > 0 {
            Published::Blocked
        } else {
            self.publish_once(cx, Some(socket), key, kind, payload)?
        };
        let is_open = self
            .table
            .get(socket)
            .is_some_and(|connection| connection.phase == Phase::Open);
        match outcome {
            Published::Taken => return Ok(()),
            // One that has ended publishes no more, and has no place to wait in.
            Published::Held if !is_open => return Ok(()),
            Published::Held => {}
            Published::Blocked if !self.may_fit(payload.len()) => {
                return Err(PublishError::TooLarge);
            }
            Published::Blocked if !is_open || blocked >= BLOCKED_MAX => {
                return Err(PublishError::Busy);
            }
            Published::Blocked => {
                if !self.keep(payload.len()) {
                    return Err(PublishError::Busy);
                }
                let Some(connection) = self.table.get_mut(socket) else {
                    self.assembly_size -= payload.len();
                    return Err(PublishError::Closed);
                };
                let again = Blocked {
                    channel: Arc::from(name),
                    kind,
                    payload: payload.to_vec(),
                };
                connection.cold().blocked.push_back(again);
            }
        }
        self.hold_publisher(cx, socket, key);
        Ok(())
    }

    /// Whether some log can hold a frame of a payload so long, wherever the channel is owned.
    fn may_fit(&self, size: usize) -> bool {
        let channel = &self.settings.channel;
        let max = channel.budget.min(channel.budget_worker);
        let frame_size = size.saturating_add(HEADER_SIZE_MAX);
        // The owner's pool is as this one.
        frame_size <= self.pool.size_max()
            && Owner::memory_min(frame_size).is_some_and(|least| least <= max)
    }

    /// Publishes for the server itself. False when there was no room: nobody is held back for it.
    pub(super) fn publish_for_server(
        &mut self,
        cx: &mut Cx<'_>,
        name: &str,
        kind: Kind,
        payload: &[u8],
    ) -> bool {
        let Ok(key) = self.open_channel(cx, name) else {
            return false;
        };
        let outcome = self.publish_once(cx, None, key, kind, payload);
        matches!(outcome, Ok(Published::Taken | Published::Held))
    }

    fn hold_publisher(&mut self, cx: &mut Cx<'_>, socket: SocketId, key: ChannelKey) {
        self.hold(cx, socket);
        let connection = self.table.get(socket);
        if connection.is_some_and(|connection| connection.is_recovering(key)) {
            // It goes on when it has its place.
            return;
        }
        if let Some(channel) = self.channels.get_mut(key)
            && channel.held.last() != Some(&socket)
        {
            channel.held.push(socket);
        }
    }

    /// Repeats what was blocked; true when nothing is left of it.
    pub(super) fn publish_blocked(&mut self, cx: &mut Cx<'_>, socket: SocketId) -> bool {
        loop {
            let Some(connection) = self.table.get_mut(socket) else {
                return true;
            };
            let Some(cold) = &mut connection.cold else {
                return true;
            };
            let Some(again) = cold.blocked.pop_front() else {
                return true;
            };
            let size = again.payload.len();
            self.assembly_size -= size;
            let Ok(key) = self.open_channel(cx, &again.channel) else {
                self.stats.publications_refused += 1;
                self.unpublished(cx, socket, CloseCode::TRY_AGAIN);
                continue;
            };
            match self.publish_once(cx, Some(socket), key, again.kind, &again.payload) {
                Ok(Published::Taken) => {}
                Ok(Published::Held) => self.hold_publisher(cx, socket, key),
                Ok(Published::Blocked) => {
                    if let Some(connection) = self.table.get_mut(socket) {
                        connection.cold().blocked.push_front(again);
                        self.assembly_size += size;
                    }
                    self.hold_publisher(cx, socket, key);
                    return false;
                }
                Err(_) => {
                    self.stats.publications_refused += 1;
                    self.unpublished(cx, socket, CloseCode::TOO_BIG);
                }
            }
        }
    }

    /// What the session published was accepted here, and cannot be taken after all: it is told.
    pub(super) fn unpublished(&mut self, cx: &mut Cx<'_>, socket: SocketId, code: CloseCode) {
        let text = "the channel cannot take the message";
        self.close(cx, socket, code, text, CloseReason::Local(code));
        self.flush(cx, socket);
    }

    fn publish_once(
        &mut self,
        cx: &mut Cx<'_>,
        from: Option<SocketId>,
        key: ChannelKey,
        kind: Kind,
        payload: &[u8],
    ) -> Result<Published, PublishError> {
        let origin = self.origin(from, key);
        let Some(channel) = self.channels.get_mut(key) else {
            return Err(PublishError::Closed);
        };
        let number = kind_number(kind);
        let Some(owned) = &mut channel.owned else {
            if !channel.waiting.is_empty() && self.has_no_name_yet(from, key) {
                return Ok(Published::Blocked);
            }
            return self.publish_away(cx, from, key, number, payload, origin);
        };
        if !owned.inbox.is_empty() {
            // Others were here first.
            return Ok(Published::Blocked);
        }
        match owned.owner.publish(
            &self.pool,
            &mut self.encoder,
            cx.now(),
            number,
            payload,
            origin,
        ) {
            Ok(_) => {
                let is_held = owned.owner.is_held();
                self.stats.publications += 1;
                self.list(key);
                Ok(if is_held {
                    Published::Held
                } else {
                    Published::Taken
                })
            }
            Err(error) if error.is_busy() => {
                self.list(key);
                Ok(Published::Blocked)
            }
            Err(_) => Err(PublishError::TooLarge),
        }
    }

    fn origin(&mut self, from: Option<SocketId>, key: ChannelKey) -> Origin {
        let connection = from.and_then(|socket| self.table.get(socket));
        let Some(connection) = connection else {
            return Origin::NONE;
        };
        let Some(subscription) = connection.subscription_in(key) else {
            return Origin::NONE;
        };
        let class = connection.class;
        let slot = self
            .channels
            .get_mut(key)
            .and_then(|channel| channel.feed(class));
        slot.map_or(Origin::NONE, |slot| {
            slot.feed.origin(subscription.subscriber)
        })
    }

    /// Whether it waits for its place in the channel, by which it is told from others: published
    /// now, it would get its own publication.
    fn has_no_name_yet(&self, from: Option<SocketId>, key: ChannelKey) -> bool {
        let connection = from.and_then(|socket| self.table.get(socket));
        let Some(connection) = connection.filter(|c| c.is_recovering(key)) else {
            return false;
        };
        // Settings may have changed since the feed was made.
        let feeds = self.channels.get(key).map_or(&[][..], |c| &c.feeds);
        let slot = feeds.iter().find(|slot| slot.class == connection.class);
        slot.is_none_or(|slot| slot.feed.excludes_sender())
    }

    /// To the owner on another worker, within this worker's credit.
    fn publish_away(
        &mut self,
        cx: &mut Cx<'_>,
        from: Option<SocketId>,
        key: ChannelKey,
        kind: u8,
        payload: &[u8],
        origin: Origin,
    ) -> Result<Published, PublishError> {
        if !self.may_fit(payload.len()) {
            return Err(PublishError::TooLarge);
        }
        let Some(channel) = self.channels.get_mut(key) else {
            return Err(PublishError::Closed);
        };
        if channel.outstanding >= CREDIT {
            return Ok(Published::Blocked);
        }
        let Some(mut buffer) = self.pool.take(payload.len()) else {
            self.stats.no_memory += 1;
            return Ok(Published::Blocked);
        };
        buffer
            .extend_from_slice(payload)
            .expect("invariant: the buffer was asked for this size");
        let name = Arc::clone(&channel.name);
        let owner = owner_of(&name, self.workers);
        let publication = Publication {
            name,
            key: key.to_bits(),
            kind,
            payload: buffer.seal(),
            origin,
            publisher: from.map_or(NOBODY, |socket| socket.key().to_bits()),
        };
        let message = Message::Publish(publication);
        if self.outlet.try_send(cx, owner, message).is_err() {
            self.list(key);
            return Ok(Published::Blocked);
        }
        channel.outstanding += 1;
        Ok(Published::Taken)
    }
}

#[cfg(test)]
mod tests {
    use hioload_ws::deflate::DeflatePolicy;
    use hioload_ws::handshake::AcceptPolicy;

    use super::PublishError;
    use crate::handler::{CloseReason, Handler, Message};
    use crate::server::rig::{Notes, Peer, Rig, frame, noise};
    use crate::server::settings::{ChannelSettings, Settings};
    use crate::{Broadcast, Session};

    fn rig(workers: usize, budget: usize, assembly_max: usize) -> Rig {
        let settings = Settings {
            accept: AcceptPolicy {
                deflate: Some(DeflatePolicy::default()),
                ..AcceptPolicy::default()
            },
            channel: ChannelSettings {
                budget,
                ..ChannelSettings::default()
            },
            assembly_max,
            ..Settings::default()
        };
        Rig::new(workers, 96 << 20, settings, &|_| {
            Box::new(Broadcast::default())
        })
    }

    /// A session on the worker that owns the channel, or on the other one.
    fn session(rig: &mut Rig, is_owner: bool, fields: &str) -> Peer {
        let owner = hioload_live::owner_of("default", 2);
        let worker = if is_owner { owner } else { 1 - owner };
        loop {
            let before = rig.hub(worker).core.stats.sessions;
            let peer = rig.websocket(fields);
            if rig.hub(worker).core.stats.sessions > before {
                return peer;
            }
        }
    }

    fn refused(rig: &mut Rig, workers: usize) -> u64 {
        (0..workers)
            .map(|worker| rig.hub(worker).core.stats.publications_refused)
            .sum()
    }

    #[test]
    fn who_publishes_what_only_some_encodings_hold_is_told_wherever_the_owner_is() {
        for is_owner in [true, false] {
            let mut rig = rig(2, 512 << 10, 1 << 20);
            let mut publisher = session(&mut rig, is_owner, "");
            let mut other = rig.websocket("");
            publisher.send(&noise(60_000, 1));
            assert_eq!(rig.frame(&mut other).1.len(), 60_000);
            // The same for two logs is more than the budget.
            let _deflated = rig.websocket("Sec-WebSocket-Extensions: permessage-deflate\r\n");
            let message = frame(0x82, &noise(70_000, 2));
            let (first, second) = message.split_at(40_000);
            publisher.write(first);
            rig.turn();
            publisher.write(second);
            let (first, body) = rig.frame(&mut publisher);
            assert_eq!((first, &body[..2]), (0x88, &1009_u16.to_be_bytes()[..]));
            assert_eq!(refused(&mut rig, 2), 1);
        }
    }

    #[test]
    fn who_finds_no_room_to_wait_is_told() {
        // The log holds one message, and nothing may be kept.
        let mut rig = rig(1, 8 << 10, 1000);
        let mut publisher = rig.websocket("");
        let mut other = rig.websocket("");
        publisher.write(&[frame(0x82, &[1; 3000]), frame(0x82, &[2; 3000])].concat());
        assert_eq!(rig.frame(&mut other), (0x82, vec![1; 3000]));
        let (first, body) = rig.frame(&mut publisher);
        assert_eq!((first, &body[..2]), (0x88, &1013_u16.to_be_bytes()[..]));
        assert_eq!(refused(&mut rig, 1), 1);
    }

    /// Publishes twice what the log holds once, when a session is over.
    struct Heirs(Notes<Result<(), PublishError>>);

    impl Handler for Heirs {
        fn open(&mut self, session: &mut Session<'_>) {
            session.subscribe("default").expect("room");
        }

        fn close(&mut self, session: &mut Session<'_>, _: CloseReason) {
            for _ in 0..2 {
                let published = session.publish("default", Message::binary(&[1; 3000]));
                self.0.lock().expect("whole").push(published);
            }
        }
    }

    #[test]
    fn a_session_that_has_ended_is_told_what_cannot_wait() {
        let settings = Settings {
            channel: ChannelSettings {
                budget: 8 << 10,
                ..ChannelSettings::default()
            },
            ..Settings::default()
        };
        let notes = Notes::default();
        let mut rig = Rig::new(1, 96 << 20, settings, &|_| Box::new(Heirs(notes.clone())));
        let mut other = rig.websocket("");
        let mut publisher = rig.websocket("");
        publisher.write(&frame(0x88, &[]));
        assert_eq!(rig.frame(&mut other), (0x82, vec![1; 3000]));
        let expected = [Ok(()), Err(PublishError::Busy)];
        assert_eq!(notes.lock().expect("whole")[..2], expected);
    }
}
