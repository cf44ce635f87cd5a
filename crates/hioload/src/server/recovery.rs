//! Subscriptions that begin in a channel's history, and what sessions are told of their place in it.
//!
//! ```text
//!   subscribe_since ─▶ owner here ───────────────────────────────▶ place ─▶ news ─▶ Handler
//!         └──────────▶ owner elsewhere: waiting ─Attach─▶ ─Attached─▶ ┘
//! ```
//!
//! # Invariants
//!
//! - Nothing of a subscription goes out before its session was told where it begins:
//!   [`Facts::UNTOLD`] keeps its sends back until the end of the turn.
//! - The owner answers in the order of the questions, and each answer comes before any later append.
//! - A session that waits for an answer counts as a subscription. It may be gone when the answer
//!   comes: a ticket tells whether it still wants it.
//!
//! # Limits
//!
//! At most [`ASKS_MAX`] questions of a worker are under way to one channel: an answer carries the
//! history as a list of pieces, and many sessions may come back at once. The others wait for their turn.

use std::sync::Arc;

use hioload_live::{Attached, ChannelKey, Class, Gap, Since, Start, SubscriberKey, owner_of};
use hioload_reactor::SocketId;
use hioload_ws::CloseCode;

use super::connection::{Facts, Recovering, Subscription};
use super::core::{Core, Cx};
use super::message::{Attach, Message};
use crate::handler::CloseReason;
use crate::recovery::Recovery;
use crate::session::SubscribeError;

/// Questions for history under way to one channel.
const ASKS_MAX: usize = 64;

/// Stands for a session in a question to the owner.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ticket(u64);

impl Ticket {
    /// For a feed that asks for itself.
    pub(super) const NONE: Self = Self(0);

    pub(super) fn next(&mut self) -> Self {
        self.0 += 1;
        *self
    }
}

/// A session that waits for history of a channel owned elsewhere.
pub(super) struct Waiting {
    ticket: Ticket,
    socket: SocketId,
    class: Class,
}

impl Waiting {
    pub(super) fn class(&self) -> Class {
        self.class
    }
}

/// What a session is to be told, and about which of its subscriptions.
#[derive(Clone, Copy)]
pub(super) struct News {
    socket: SocketId,
    subscription: Subscription,
    /// Of the feed.
    life: u64,
    what: What,
}

/// What is told.
#[derive(Clone, Copy)]
pub(super) enum What {
    Recovered(Recovery),
    Skipped(Gap),
}

impl Core {
    /// Lets a session receive what was published to `name` since a place in its history.
    pub(crate) fn subscribe_since(
        &mut self,
        cx: &mut Cx<'_>,
        socket: SocketId,
        name: &str,
        since: Since,
    ) -> Result<(), SubscribeError> {
        match self.may_subscribe(cx, socket, name, Some(since))? {
            Some((key, _)) => self.recover(cx, socket, key, since),
            None => Ok(()),
        }
    }

    /// Finds history: at once where the owner is here.
    fn recover(
        &mut self,
        cx: &mut Cx<'_>,
        socket: SocketId,
        key: ChannelKey,
        since: Since,
    ) -> Result<(), SubscribeError> {
        let Some(class) = self.table.get(socket).map(|connection| connection.class) else {
            return Err(SubscribeError::Closed);
        };
        self.channels.mark_busy(key);
        self.ensure_feed(cx, key, class);
        let Some(channel) = self.channels.get_mut(key) else {
            return Err(SubscribeError::Closed);
        };
        if let Some(owned) = &mut channel.owned {
            let slot = channel.feeds.iter().find(|slot| slot.class == class);
            let slot = slot.expect("invariant: the feed was made above");
            let attached = owned
                .owner
                .attach(cx.index(), slot.feed.ask(Some(since)), cx.now());
            return self.place(socket, key, attached);
        }
        let ticket = self.ticket.next();
        channel.waiting.push_back(Waiting {
            ticket,
            socket,
            class,
        });
        self.await_place(
            socket,
            Recovering {
                channel: key,
                ticket,
                since: Some(since),
            },
        );
        self.ask_more(cx, key);
        Ok(())
    }

    /// Notes that a session waits for its place in a channel.
    pub(super) fn await_place(&mut self, socket: SocketId, recovering: Recovering) {
        if let Some(connection) = self.table.get_mut(socket) {
            connection.cold().recovering.push(recovering);
            self.stats.subscriptions += 1;
        }
    }

    /// Asks the owner for those whose turn it is.
    fn ask_more(&mut self, cx: &mut Cx<'_>, key: ChannelKey) {
        while let Some(channel) = self.channels.get_mut(key)
            && channel.asked < ASKS_MAX
            && let Some(next) = channel.waiting.get(channel.asked)
        {
            let (class, ticket) = (next.class, next.ticket);
            let wanted = self
                .table
                .get(next.socket)
                .and_then(|c| c.recovering_by(ticket));
            let Some(Recovering {
                since: Some(since), ..
            }) = wanted
            else {
                channel.waiting.remove(channel.asked);
                self.drop_empty_feed(cx, key, class);
                continue;
            };
            channel.asked += 1;
            self.ask(cx, key, class, Some(since), ticket);
        }
    }

    /// Sends a question of a feed to the owner on another worker.
    pub(super) fn ask(
        &mut self,
        cx: &mut Cx<'_>,
        key: ChannelKey,
        class: Class,
        since: Option<Since>,
        ticket: Ticket,
    ) {
        let Some(channel) = self.channels.get_mut(key) else {
            return;
        };
        let name = Arc::clone(&channel.name);
        let Some(slot) = channel.feed(class) else {
            return;
        };
        let ask = slot.feed.ask(since);
        let owner = owner_of(&name, self.workers);
        let attach = Attach {
            name,
            ask,
            key: key.to_bits(),
            ticket,
        };
        self.outlet
            .send(cx, owner, Message::Attach(Box::new(attach)));
    }

    /// A worker has subscribers, or one more who wants history.
    pub(super) fn on_attach(&mut self, cx: &mut Cx<'_>, from: usize, attach: &Attach) {
        let Attach {
            name,
            ask,
            key: remote_key,
            ticket,
        } = attach;
        let (class, remote_key, ticket) = (ask.class(), *remote_key, *ticket);
        let Ok(key) = self.open_channel(cx, name) else {
            let refused = Message::Refused {
                key: remote_key,
                class,
                ticket,
            };
            return self.outlet.send(cx, from, refused);
        };
        self.channels.mark_busy(key);
        let Some(owned) = self.channels.get_mut(key).and_then(|c| c.owned.as_mut()) else {
            return;
        };
        // What was made for this worker already comes before the answer.
        if let Some(append) = owned.attach_remote(from, class, remote_key) {
            self.outlet.send(
                cx,
                from,
                Message::Append {
                    key: remote_key,
                    append,
                },
            );
        }
        let attached = Box::new(owned.owner.attach(from, *ask, cx.now()));
        self.outlet.send(
            cx,
            from,
            Message::Attached {
                key: remote_key,
                ticket,
                attached,
            },
        );
    }

    /// The owner's answer: to the feed, and to the session whose ticket it bears.
    pub(super) fn on_attached(
        &mut self,
        cx: &mut Cx<'_>,
        key: ChannelKey,
        ticket: Ticket,
        attached: Attached,
    ) {
        let class = attached.class();
        let asker = self.answered(key, ticket);
        let Some(slot) = self.channels.get_mut(key).and_then(|c| c.feed(class)) else {
            return;
        };
        let (epoch, offset) = (attached.epoch, attached.offset);
        let is_answer = slot.feed.is_answer(&attached);
        match asker {
            Some(socket) => {
                self.forget_recovering(socket, key);
                if self.place(socket, key, attached).is_err() {
                    self.turn_away(cx, socket);
                }
            }
            None => slot.feed.attach(&attached),
        }
        if is_answer && let Some(slot) = self.channels.get_mut(key).and_then(|c| c.feed(class)) {
            // It may bring what others wait for, too.
            slot.is_dirty = true;
            for (socket, subscriber) in std::mem::take(&mut slot.untold) {
                let subscription = Subscription {
                    channel: key,
                    subscriber,
                };
                self.tell(
                    socket,
                    subscription,
                    What::Recovered(Recovery::tail(epoch, offset)),
                );
            }
        }
        self.list(key);
        self.ask_more(cx, key);
        self.drop_empty_feed(cx, key, class);
    }

    /// The owner cannot take the channel: whoever relied on it is told to try again.
    pub(super) fn on_refused(
        &mut self,
        cx: &mut Cx<'_>,
        key: ChannelKey,
        class: Class,
        ticket: Ticket,
    ) {
        if let Some(socket) = self.answered(key, ticket) {
            self.turn_away(cx, socket);
        }
        let slot = self
            .channels
            .get_mut(key)
            .and_then(|channel| channel.feed(class));
        let untold = slot.map_or(Vec::new(), |slot| std::mem::take(&mut slot.untold));
        for (socket, subscriber) in untold {
            let subscription = Subscription {
                channel: key,
                subscriber,
            };
            let connection = self.table.get(socket);
            if connection.and_then(|c| c.subscription_in(key)) == Some(subscription) {
                self.turn_away(cx, socket);
            }
        }
        self.ask_more(cx, key);
        self.drop_empty_feed(cx, key, class);
    }

    /// Takes the one who asked out of those that wait; its socket if it still wants the answer.
    fn answered(&mut self, key: ChannelKey, ticket: Ticket) -> Option<SocketId> {
        let channel = self.channels.get_mut(key)?;
        let asked = channel.waiting.iter().take(channel.asked);
        let place = asked
            .into_iter()
            .position(|waiting| waiting.ticket == ticket)?;
        let waiting = channel.waiting.remove(place)?;
        channel.asked -= 1;
        let connection = self.table.get(waiting.socket)?;
        connection.recovering_by(ticket).map(|_| waiting.socket)
    }

    fn turn_away(&mut self, cx: &mut Cx<'_>, socket: SocketId) {
        let (code, text) = (CloseCode::TRY_AGAIN, "no room in the channel");
        self.close(cx, socket, code, text, CloseReason::Local(code));
        self.flush(cx, socket);
    }

    /// Places a session's cursor where the owner found it.
    fn place(
        &mut self,
        socket: SocketId,
        key: ChannelKey,
        attached: Attached,
    ) -> Result<(), SubscribeError> {
        let recovery = Recovery::of(&attached);
        let slot = self
            .channels
            .get_mut(key)
            .and_then(|c| c.feed(attached.class()));
        let Some(slot) = slot else {
            return Err(SubscribeError::Closed);
        };
        // The answer may bring what others wait for, too.
        slot.is_dirty = true;
        let placed = slot
            .feed
            .subscribe(socket.key().to_bits(), Start::History(attached));
        self.list(key);
        let subscriber = placed.map_err(|_| SubscribeError::Full)?;
        let subscription = Subscription {
            channel: key,
            subscriber,
        };
        self.add_subscription(socket, subscription);
        self.tell(socket, subscription, What::Recovered(recovery));
        Ok(())
    }

    /// Gives a session a place in a channel.
    pub(super) fn add_subscription(&mut self, socket: SocketId, subscription: Subscription) {
        let Some(connection) = self.table.get_mut(socket) else {
            return;
        };
        self.stats.subscriptions += 1;
        connection.facts.set(Facts::SUBSCRIBED);
        if connection.subscription.is_none() {
            connection.subscription = Some(subscription);
        } else {
            connection.cold().subscriptions.push(subscription);
        }
    }

    // Leaving.

    /// The frame is complete behind which a session was to leave. It may have come back meanwhile.
    pub(super) fn left(&mut self, cx: &mut Cx<'_>, socket: SocketId, key: ChannelKey) {
        let again = self.forget_recovering(socket, key);
        let Some(connection) = self.table.get_mut(socket) else {
            return;
        };
        if let Some(Recovering { since: None, .. }) = again {
            connection.facts.clear(Facts::LEAVING);
            return self.tell_next(socket, key);
        }
        self.leave(cx, socket, key);
        if let Some(Recovering {
            since: Some(since), ..
        }) = again
            && self.recover(cx, socket, key, since).is_err()
        {
            self.turn_away(cx, socket);
        }
    }

    /// Tells a session that stays what comes next.
    fn tell_next(&mut self, socket: SocketId, key: ChannelKey) {
        let Some(connection) = self.table.get(socket) else {
            return;
        };
        let Some(subscription) = connection.subscription_in(key) else {
            return;
        };
        let class = connection.class;
        let slot = self
            .channels
            .get_mut(key)
            .and_then(|channel| channel.feed(class));
        let Some(slot) = slot else { return };
        let Some((epoch, offset)) = slot.feed.position() else {
            return;
        };
        let first = slot.feed.next_offset(subscription.subscriber);
        let recovery = Recovery {
            first,
            ..Recovery::tail(epoch, offset)
        };
        self.tell(socket, subscription, What::Recovered(recovery));
    }

    /// A session waits no more for its place in a channel; what it had waited with goes on.
    pub(super) fn forget_recovering(
        &mut self,
        socket: SocketId,
        key: ChannelKey,
    ) -> Option<Recovering> {
        let connection = self.table.get_mut(socket)?;
        let all = &mut connection.cold.as_mut()?.recovering;
        let place = all
            .iter()
            .position(|recovering| recovering.channel == key)?;
        let recovering = all.swap_remove(place);
        self.stats.subscriptions -= 1;
        if connection.facts.has(Facts::HELD) {
            self.resume_later(socket);
        }
        Some(recovering)
    }

    /// A session waits for no place any more.
    pub(super) fn forget_all_recovering(&mut self, socket: SocketId) {
        let cold = self
            .table
            .get_mut(socket)
            .and_then(|connection| connection.cold.as_mut());
        if let Some(cold) = cold {
            self.stats.subscriptions -= cold.recovering.len() as u64;
            cold.recovering.clear();
        }
    }

    // Telling.

    /// Notes what a session is to be told. Until then nothing more is sent to it.
    pub(super) fn tell(&mut self, socket: SocketId, subscription: Subscription, what: What) {
        let Some(connection) = self.table.get_mut(socket) else {
            return;
        };
        let channel = self.channels.get_mut(subscription.channel);
        if let Some(slot) = channel.and_then(|channel| channel.feed(connection.class)) {
            let life = slot.life;
            connection.facts.set(Facts::UNTOLD);
            self.news.push(News {
                socket,
                subscription,
                life,
                what,
            });
        }
    }

    /// Notes where the feed stands for one who starts at its end; the owner may have to say first.
    pub(super) fn tell_tail(
        &mut self,
        socket: SocketId,
        key: ChannelKey,
        subscriber: SubscriberKey,
    ) {
        let class = self
            .table
            .get(socket)
            .map_or(Class::PLAIN, |connection| connection.class);
        let slot = self
            .channels
            .get_mut(key)
            .and_then(|channel| channel.feed(class));
        let Some(slot) = slot else { return };
        match slot.feed.position() {
            Some((epoch, offset)) => {
                let what = What::Recovered(Recovery::tail(epoch, offset));
                self.tell(
                    socket,
                    Subscription {
                        channel: key,
                        subscriber,
                    },
                    what,
                );
            }
            None => slot.untold.push((socket, subscriber)),
        }
    }

    /// One of the news, unless its subscription is over.
    pub(super) fn news_at(&mut self, place: usize) -> Option<(SocketId, Arc<str>, What)> {
        let News {
            socket,
            subscription,
            life,
            what,
        } = *self.news.get(place)?;
        let connection = self.table.get(socket)?;
        let key = subscription.channel;
        if connection.subscription_in(key) != Some(subscription) || connection.is_leaving(key) {
            return None;
        }
        let channel = self.channels.get_mut(key)?;
        let is_of_life = channel
            .feed(connection.class)
            .is_some_and(|slot| slot.life == life);
        is_of_life.then(|| (socket, Arc::clone(&channel.name), what))
    }

    /// The first `count` of the news were told: those sessions are sent to again.
    pub(super) fn end_news(&mut self, cx: &mut Cx<'_>, count: usize) {
        for (place, News { socket, .. }) in self.news.iter().enumerate() {
            if let Some(connection) = self.table.get_mut(*socket) {
                if place < count {
                    connection.facts.clear(Facts::UNTOLD);
                } else {
                    connection.facts.set(Facts::UNTOLD);
                }
            }
        }
        for place in 0..count {
            self.pump(cx, self.news[place].socket);
        }
        self.news.drain(..count);
    }
}
