//! Publishing for a session: into the log of a channel owned here, or to its owner within this
//! worker's credit. A publisher that finds no room keeps its place and is not read from.

use std::sync::Arc;

use hioload_live::{ChannelKey, Origin, owner_of};
use hioload_reactor::SocketId;
use hioload_ws::{HEADER_SIZE_MAX, Kind};

use super::channel::CREDIT;
use super::connection::{BLOCKED_MAX, Blocked};
use super::core::{Core, Cx};
use super::encoder::kind_number;
use super::message::{Message, Publication};
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
        match outcome {
            Published::Taken => return Ok(()),
            Published::Held => {}
            Published::Blocked if blocked >= BLOCKED_MAX => return Err(PublishError::Busy),
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
                self.stats.no_memory += 1;
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
                Err(_) => self.stats.no_memory += 1,
            }
        }
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
            return self.publish_away(cx, key, number, payload, origin);
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
        self.settings.channel.exclude_sender && connection.is_some_and(|c| c.is_recovering(key))
    }

    /// To the owner on another worker, within this worker's credit.
    fn publish_away(
        &mut self,
        cx: &mut Cx<'_>,
        key: ChannelKey,
        kind: u8,
        payload: &[u8],
        origin: Origin,
    ) -> Result<Published, PublishError> {
        let Some(channel) = self.channels.get_mut(key) else {
            return Err(PublishError::Closed);
        };
        if channel.outstanding >= CREDIT {
            return Ok(Published::Blocked);
        }
        // The owner's pool is as this one: it has to hold the frame.
        if payload.len() + HEADER_SIZE_MAX > self.pool.size_max() {
            return Err(PublishError::TooLarge);
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
