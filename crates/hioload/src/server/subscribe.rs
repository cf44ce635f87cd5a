//! Joining and leaving channels: feeds are made with the first subscriber of a class on this worker
//! and dropped with the last.

use std::sync::Arc;

use hioload_live::{ChannelKey, Class, Since, Start, owner_of};
use hioload_reactor::SocketId;

use super::channel::{Channel, FeedSlot, Owned};
use super::connection::{Facts, Phase, Recovering, Subscription};
use super::core::{Core, Cx};
use super::message::Message;
use super::recovery::Ticket;
use super::sse;
use crate::session::SubscribeError;

impl Core {
    /// The channel of this name on this worker.
    pub(super) fn open_channel(
        &mut self,
        cx: &Cx<'_>,
        name: &str,
    ) -> Result<ChannelKey, hioload_live::ChannelError> {
        if let Some(key) = self.channels.find(name) {
            return Ok(key);
        }
        let is_owner = owner_of(name, self.workers) == cx.index();
        let (settings, shared) = (&self.settings.channel, &self.budget);
        let kept = sse::kept(&self.settings.events);
        let owned = |epoch| {
            let options = settings.options_of(name);
            Owned::new(&options, settings.budget, kept, epoch, shared)
        };
        self.channels.open(name, |epoch| {
            Channel::new(name, is_owner.then(|| owned(epoch)))
        })
    }

    /// Puts a channel on the list for the end of the turn.
    pub(super) fn list(&mut self, key: ChannelKey) {
        if let Some(channel) = self.channels.get_mut(key)
            && !channel.is_listed
        {
            channel.is_listed = true;
            self.listed.push(key);
        }
    }

    /// The channel, and the class to take it in, if the session may subscribe. `None`: it does already, or
    /// will as soon as it has left.
    pub(super) fn may_subscribe(
        &mut self,
        cx: &Cx<'_>,
        socket: SocketId,
        name: &str,
        since: Option<Since>,
    ) -> Result<Option<(ChannelKey, Class)>, SubscribeError> {
        let limit = self.settings.subscriptions_max;
        let is_open = self
            .table
            .get(socket)
            .is_some_and(|c| c.phase == Phase::Open && c.reason.is_none());
        if !is_open {
            return Err(SubscribeError::Closed);
        }
        let key = self
            .open_channel(cx, name)
            .map_err(SubscribeError::Channel)?;
        let Some(connection) = self.table.get(socket) else {
            return Err(SubscribeError::Closed);
        };
        if connection.is_recovering(key) {
            return Ok(None);
        }
        if connection.is_leaving(key) {
            // The frame that is going out is completed first.
            self.await_place(
                socket,
                Recovering {
                    channel: key,
                    ticket: Ticket::NONE,
                    since,
                },
            );
            return Ok(None);
        }
        if connection.subscription_in(key).is_some() {
            return Ok(None);
        }
        let limit = sse::subscriptions_max(connection, limit);
        if connection.subscriptions().count() + connection.recovering().len() >= limit {
            return Err(SubscribeError::TooMany { max: limit });
        }
        if self.stats.subscriptions >= self.settings.subscriptions_worker_max as u64 {
            return Err(SubscribeError::Full);
        }
        Ok(Some((key, connection.class)))
    }

    /// Lets a session receive what is published to `name` from now on. Twice is once.
    pub(crate) fn subscribe(
        &mut self,
        cx: &mut Cx<'_>,
        socket: SocketId,
        name: &str,
    ) -> Result<(), SubscribeError> {
        if let Some(since) = self.take_last_event(socket) {
            return self.subscribe_since(cx, socket, name, since);
        }
        let Some((key, class)) = self.may_subscribe(cx, socket, name, None)? else {
            return Ok(());
        };
        self.ensure_feed(cx, key, class);
        let slot = self
            .channels
            .get_mut(key)
            .and_then(|channel| channel.feed(class));
        let slot = slot.expect("invariant: the feed was made above");
        let subscriber = slot
            .feed
            .subscribe(socket.key().to_bits(), Start::Tail)
            .map_err(|_| SubscribeError::Full)?;
        self.channels.mark_busy(key);
        self.add_subscription(
            socket,
            Subscription {
                channel: key,
                subscriber,
            },
        );
        self.tell_tail(socket, key, subscriber);
        Ok(())
    }

    /// Makes the feed of a class and attaches it to the owner.
    pub(super) fn ensure_feed(&mut self, cx: &mut Cx<'_>, key: ChannelKey, class: Class) {
        let me = cx.index();
        let Some(channel) = self.channels.get_mut(key) else {
            return;
        };
        if channel.feed(class).is_some() {
            return;
        }
        self.feeds_made += 1;
        let settings = &self.settings.channel;
        let mut slot = FeedSlot::new(
            &settings.options_of(&channel.name),
            settings.budget,
            me,
            class,
            self.feeds_made,
            &self.owed,
        );
        let is_elsewhere = channel.owned.is_none();
        if let Some(owned) = &mut channel.owned {
            let attached = owned.owner.attach(me, slot.feed.ask(None), cx.now());
            slot.feed.attach(&attached);
        }
        channel.feeds.push(slot);
        if is_elsewhere {
            self.ask(cx, key, class, None, Ticket::NONE);
        }
    }

    /// Ends a subscription. The frame that is going out is completed first.
    pub(crate) fn unsubscribe(&mut self, cx: &mut Cx<'_>, socket: SocketId, name: &str) -> bool {
        let Some(key) = self.channels.find(name) else {
            return false;
        };
        let was_recovering = self.forget_recovering(socket, key).is_some();
        let known = self
            .table
            .get(socket)
            .is_some_and(|c| c.subscription_in(key).is_some());
        if known {
            self.leave(cx, socket, key);
        }
        known || was_recovering
    }

    pub(super) fn leave_all(&mut self, cx: &mut Cx<'_>, socket: SocketId) {
        self.forget_all_recovering(socket);
        while let Some(key) = self.next_to_leave(socket) {
            self.leave(cx, socket, key);
        }
    }

    fn next_to_leave(&self, socket: SocketId) -> Option<ChannelKey> {
        let connection = self.table.get(socket)?;
        let waits = connection.facts.has(Facts::LEAVING) && !connection.facts.has(Facts::CLOSED);
        let leaving = waits.then_some(connection.active);
        connection
            .subscriptions()
            .map(|s| s.channel)
            .find(|key| Some(*key) != leaving)
    }

    pub(super) fn leave(&mut self, cx: &mut Cx<'_>, socket: SocketId, key: ChannelKey) {
        let Some(connection) = self.table.get_mut(socket) else {
            return;
        };
        let Some(subscription) = connection.subscription_in(key) else {
            return;
        };
        // A closed socket completes no frame, and its send reports nothing any more.
        let is_closed = connection.facts.has(Facts::CLOSED);
        let in_flight =
            connection.facts.has(Facts::SENDING) && connection.facts.has(Facts::CHANNEL);
        if in_flight && !is_closed && connection.active == key {
            connection.facts.set(Facts::LEAVING);
            return;
        }
        let class = connection.class;
        let Some(slot) = self
            .channels
            .get_mut(key)
            .and_then(|channel| channel.feed(class))
        else {
            connection.forget(key);
            return;
        };
        let mut pieces = Vec::new();
        if !is_closed && slot.feed.rest(subscription.subscriber, &mut pieces) > 0 {
            let cold = connection.cold();
            for piece in pieces.into_iter().rev() {
                cold.outbox_size += piece.len();
                cold.outbox.push_front(piece);
            }
        }
        connection.forget(key);
        if connection.active == key {
            connection.facts.clear(Facts::LEAVING);
        }
        slot.feed.unsubscribe(subscription.subscriber);
        self.stats.subscriptions -= 1;
        self.list(key);
        self.drop_empty_feed(cx, key, class);
    }

    pub(super) fn drop_empty_feed(&mut self, cx: &mut Cx<'_>, key: ChannelKey, class: Class) {
        let Some(channel) = self.channels.get_mut(key) else {
            return;
        };
        let is_empty = channel.feed(class).is_some_and(|slot| slot.feed.is_empty());
        let mut waiting = channel.waiting.iter();
        if !is_empty || waiting.any(|waiting| waiting.class() == class) {
            return;
        }
        channel.feeds.retain(|slot| slot.class != class);
        match &mut channel.owned {
            Some(owned) => owned.owner.detach(cx.index(), class, cx.now()),
            None => {
                let name = Arc::clone(&channel.name);
                let owner = owner_of(&name, self.workers);
                self.outlet.send(cx, owner, Message::Detach { name, class });
            }
        }
        self.mark(cx, key);
    }

    /// Notes whether anybody needs the channel: one that nobody needs is forgotten after a while.
    pub(super) fn mark(&mut self, cx: &Cx<'_>, key: ChannelKey) {
        if self.channels.get(key).is_some_and(Channel::is_idle) {
            self.channels.mark_idle(key, cx.now());
        } else {
            self.channels.mark_busy(key);
        }
    }
}
