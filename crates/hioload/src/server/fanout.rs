//! Channels on a worker: subscribing, publishing, and the walk that sends what was published.
//!
//! ```text
//!   publish ─▶ Owner (one worker) ─ append ─▶ Feed (each worker) ─ walk ─▶ pump ─▶ one send each
//!      ▲ held back                                  │ progress
//!      └────────────────────────────────────────────┘
//! ```
//!
//! Publications of a turn are gathered in the log and leave at its end, at most one send for each
//! subscriber. Publishers on other workers spend credit, which the owner gives back as it takes
//! their publications; a session without credit, or at a held channel, is not read from.

use std::sync::Arc;

use hioload_live::{Action, Append, ChannelKey, Class, Progress, Stalled, owner_of};
use hioload_mem::Segment;
use hioload_reactor::SocketId;
use hioload_ws::CloseCode;

use super::channel::{CREDIT, FeedSlot};
use super::connection::{Facts, Phase, Subscription};
use super::core::{Core, Cx};
use super::message::{Message, Publication};
use super::recovery::What;
use crate::handler::CloseReason;

/// Subscribers served per turn; the walk goes on in the next.
pub(super) const WALK_MAX: usize = 4096;
/// Subscribers judged per channel and sweep.
const SWEEP_MAX: usize = 65_536;

/// What there is of the rest of a channel's frame that is partly sent.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Rest {
    /// No frame is partly sent.
    None,
    /// It goes first.
    Given,
    /// Its subscriber is being judged: nothing at all may be sent until the sweep after that.
    Withheld,
}

impl Core {
    /// A message of another worker about a channel.
    pub(super) fn channel_message(&mut self, cx: &mut Cx<'_>, from: usize, message: Message) {
        match message {
            Message::Attach(attach) => self.on_attach(cx, from, &attach),
            Message::Attached {
                key,
                ticket,
                attached,
            } => {
                self.on_attached(cx, ChannelKey::from_bits(key), ticket, *attached);
            }
            Message::Refused { key, class, ticket } => {
                self.on_refused(cx, ChannelKey::from_bits(key), class, ticket);
            }
            Message::Detach { name, class } => self.on_detach(cx, from, &name, class),
            Message::Append { key, append } => self.on_append(key, append),
            Message::Progress { name, progress } => self.on_progress(cx, from, &name, progress),
            Message::Publish(publication) => self.on_publish(cx, from, publication),
            Message::Unpublished { publisher, code } => {
                self.unpublished(cx, socket_of(publisher), code);
            }
            Message::Taken { key, count } => {
                let key = ChannelKey::from_bits(key);
                if let Some(channel) = self.channels.get_mut(key) {
                    channel.outstanding -= count.min(channel.outstanding);
                }
                self.list(key);
            }
            Message::Ask(_)
            | Message::Answer(_)
            | Message::Stream(_)
            | Message::StreamReply(_)
            | Message::StreamAsk(_)
            | Message::PollAsk(_)
            | Message::PollAnswer(_)
            | Message::PollLeft(_)
            | Message::Inspect(_) => {}
        }
    }

    fn on_detach(&mut self, cx: &mut Cx<'_>, from: usize, name: &str, class: Class) {
        let Some(key) = self.channels.find(name) else {
            return;
        };
        if let Some(owned) = self.channels.get_mut(key).and_then(|c| c.owned.as_mut()) {
            owned
                .remotes
                .retain(|remote| (remote.worker, remote.class) != (from, class));
            owned.owner.detach(from, class, cx.now());
        }
        self.list(key);
        self.mark(cx, key);
    }

    fn on_append(&mut self, key: u64, append: Append) {
        let key = ChannelKey::from_bits(key);
        let channel = self.channels.get_mut(key);
        if let Some(slot) = channel.and_then(|channel| channel.feed(append.class())) {
            slot.feed.append(append);
            slot.is_dirty = true;
            self.list(key);
        }
    }

    fn on_progress(&mut self, cx: &mut Cx<'_>, from: usize, name: &str, progress: Progress) {
        let Some(key) = self.channels.find(name) else {
            return;
        };
        if let Some(owned) = self.channels.get_mut(key).and_then(|c| c.owned.as_mut()) {
            owned.owner.on_progress(from, progress, cx.now());
            self.list(key);
        }
    }

    fn on_publish(&mut self, cx: &mut Cx<'_>, from: usize, publication: Publication) {
        let Ok(key) = self.open_channel(cx, &publication.name) else {
            // No room for the channel, and none to be waited for: the credit goes back.
            self.stats.no_memory += 1;
            let (key, count) = (publication.key, 1);
            self.outlet.send(cx, from, Message::Taken { key, count });
            self.stats.publications_refused += 1;
            let (publisher, code) = (publication.publisher, CloseCode::TRY_AGAIN);
            return self
                .outlet
                .send(cx, from, Message::Unpublished { publisher, code });
        };
        if let Some(owned) = self.channels.get_mut(key).and_then(|c| c.owned.as_mut()) {
            owned.inbox.push_back((from, publication));
            self.list(key);
        }
    }

    /// The end of a turn: everything that channels have to do. True when some is left.
    pub(super) fn serve_channels(&mut self, cx: &mut Cx<'_>) -> bool {
        let mut is_left = self.outlet.flush(cx);
        let mut walk_left = self.walk_max;
        let mut spender = None;
        let count = self.listed.len();
        for place in 0..count {
            let key = self.listed[place];
            if let Some(channel) = self.channels.get_mut(key) {
                channel.is_listed = false;
            }
            if self.serve(cx, key, &mut walk_left) {
                self.list(key);
                is_left = true;
            }
            if walk_left == 0 {
                spender.get_or_insert(key);
            }
        }
        self.listed.drain(..count);
        // Who used up the turn comes after those who waited for it.
        if let Some(place) = self.listed.iter().position(|key| Some(*key) == spender) {
            self.listed[place..].rotate_left(1);
        }
        is_left
    }

    fn serve(&mut self, cx: &mut Cx<'_>, key: ChannelKey, walk_left: &mut usize) -> bool {
        let mut is_left = self.take_inbox(cx, key);
        is_left |= self.deliver(cx, key);
        is_left |= self.walk(cx, key, walk_left);
        self.report(cx, key);
        self.release(key, false);
        is_left
    }

    /// Takes what other workers published, in order, while there is room.
    fn take_inbox(&mut self, cx: &mut Cx<'_>, key: ChannelKey) -> bool {
        let Some(owned) = self.channels.get_mut(key).and_then(|c| c.owned.as_mut()) else {
            return false;
        };
        let mut acknowledge: Option<(usize, u64, u32)> = None;
        while !owned.owner.is_held()
            && let Some((from, publication)) = owned.inbox.pop_front()
        {
            let taken = owned.owner.publish(
                &self.pool,
                &mut self.encoder,
                cx.now(),
                publication.kind,
                &publication.payload,
                publication.origin,
            );
            match taken {
                Ok(_) => self.stats.publications += 1,
                Err(error) if error.is_busy() => {
                    owned.inbox.push_front((from, publication));
                    break;
                }
                Err(_) => {
                    self.stats.publications_refused += 1;
                    let (publisher, code) = (publication.publisher, CloseCode::TOO_BIG);
                    self.outlet
                        .send(cx, from, Message::Unpublished { publisher, code });
                }
            }
            match &mut acknowledge {
                Some((worker, of, count)) if (*worker, *of) == (from, publication.key) => {
                    *count += 1;
                }
                _ => {
                    if let Some((worker, key, count)) =
                        acknowledge.replace((from, publication.key, 1))
                    {
                        self.outlet.send(cx, worker, Message::Taken { key, count });
                    }
                }
            }
        }
        if let Some((worker, key, count)) = acknowledge {
            self.outlet.send(cx, worker, Message::Taken { key, count });
        }
        false
    }

    /// Moves the log on to every feed; what a full queue refuses waits.
    fn deliver(&mut self, cx: &mut Cx<'_>, key: ChannelKey) -> bool {
        let Some(channel) = self.channels.get_mut(key) else {
            return false;
        };
        let Some(owned) = &mut channel.owned else {
            return false;
        };
        for slot in &mut channel.feeds {
            while let Some(append) = owned.owner.append_for(cx.index(), slot.class) {
                slot.feed.append(append);
                slot.is_dirty = true;
            }
        }
        let mut is_left = false;
        for remote in &mut owned.remotes {
            while let Some(append) = remote
                .unsent
                .take()
                .or_else(|| owned.owner.append_for(remote.worker, remote.class))
            {
                let message = Message::Append {
                    key: remote.key,
                    append,
                };
                if let Err(Message::Append { append, .. }) =
                    self.outlet.try_send(cx, remote.worker, message)
                {
                    remote.unsent = Some(append);
                    is_left = true;
                    break;
                }
            }
        }
        is_left
    }

    /// Sends to every subscriber that has something to read and nothing in flight.
    fn walk(&mut self, cx: &mut Cx<'_>, key: ChannelKey, left: &mut usize) -> bool {
        let mut is_left = false;
        let count = self
            .channels
            .get(key)
            .map_or(0, |channel| channel.feeds.len());
        for place in 0..count {
            let slot = self.slot(key, place);
            if let Some(slot) = slot
                && !slot.is_walking
                && std::mem::take(&mut slot.is_dirty)
            {
                slot.is_walking = true;
                slot.scan = hioload_live::Scan::default();
            }
            while *left > 0 {
                let Some(slot) = self.slot(key, place) else {
                    break;
                };
                if !slot.is_walking {
                    break;
                }
                let Some((_, user)) = slot.feed.next_ready(&mut slot.scan) else {
                    slot.is_walking = false;
                    break;
                };
                *left -= 1;
                self.pump(cx, socket_of(user));
            }
            is_left |= self
                .slot(key, place)
                .is_some_and(|slot| slot.is_walking || slot.is_dirty);
        }
        is_left
    }

    fn slot(&mut self, key: ChannelKey, place: usize) -> Option<&mut FeedSlot> {
        self.channels.get_mut(key)?.feeds.get_mut(place)
    }

    /// Tells the owner how far the feeds here are.
    fn report(&mut self, cx: &mut Cx<'_>, key: ChannelKey) {
        let now = cx.now();
        let Some(channel) = self.channels.get_mut(key) else {
            return;
        };
        for slot in &mut channel.feeds {
            let Some(progress) = slot.feed.progress(now) else {
                continue;
            };
            match &mut channel.owned {
                Some(owned) => owned.owner.on_progress(cx.index(), progress, now),
                None => {
                    let name = Arc::clone(&channel.name);
                    let owner = owner_of(&name, self.workers);
                    self.outlet
                        .send(cx, owner, Message::Progress { name, progress });
                }
            }
        }
    }

    /// Lets held publishers go on when the channel has room again. Who waits for memory of others
    /// tries again when it `is_time`: asked every turn, the worker would never rest.
    fn release(&mut self, key: ChannelKey, is_time: bool) {
        let Some(channel) = self.channels.get_mut(key) else {
            return;
        };
        let is_held = match &channel.owned {
            Some(owned) => {
                let is_short = owned.owner.is_short() && !is_time;
                owned.owner.is_held() || is_short || !owned.inbox.is_empty()
            }
            None => channel.outstanding >= CREDIT,
        };
        if is_held || channel.held.is_empty() {
            return;
        }
        let mut held = std::mem::take(&mut channel.held);
        for socket in held.drain(..) {
            self.resume_later(socket);
        }
        // Its memory is for the next ones.
        if let Some(channel) = self.channels.get_mut(key) {
            channel.held = held;
        }
    }

    /// Goes on with a connection that is held, at the end of the turn.
    pub(super) fn resume_later(&mut self, socket: SocketId) {
        if let Some(connection) = self.table.get_mut(socket)
            && !connection.facts.has(Facts::RESUMING)
        {
            connection.facts.set(Facts::RESUMING);
            self.resume.push(socket);
        }
    }

    /// Whether a channel's frame is partly sent: nothing else may be sent before its rest.
    pub(super) fn is_inside_frame(&mut self, socket: SocketId) -> bool {
        let Some(connection) = self.table.get(socket) else {
            return false;
        };
        let class = connection.class;
        let channels = &mut self.channels;
        connection.subscriptions().any(|subscription| {
            let slot = channels
                .get_mut(subscription.channel)
                .and_then(|c| c.feed(class));
            slot.is_some_and(|slot| slot.feed.to_boundary(subscription.subscriber) > 0)
        })
    }

    /// The rest of a channel's frame that is partly sent.
    pub(super) fn gather_rest(&mut self, socket: SocketId, pieces: &mut Vec<Segment>) -> Rest {
        let Some(connection) = self.table.get_mut(socket) else {
            return Rest::None;
        };
        connection.facts.clear(Facts::CHANNEL);
        let class = connection.class;
        let mut given = None;
        for subscription in connection.subscriptions() {
            let slot = self
                .channels
                .get_mut(subscription.channel)
                .and_then(|c| c.feed(class));
            let Some(slot) = slot else { continue };
            let rest = slot.feed.to_boundary(subscription.subscriber);
            if rest == 0 {
                continue;
            }
            if slot.feed.next(subscription.subscriber, rest, pieces) == 0 {
                return Rest::Withheld;
            }
            given = Some(subscription.channel);
            break;
        }
        let Some(channel) = given else {
            return Rest::None;
        };
        self.activate(socket, channel);
        Rest::Given
    }

    /// What a channel has for the connection from its cursor on. With several channels, one per
    /// send, in turn, the one whose frame is partly sent first.
    pub(super) fn gather_channel(&mut self, socket: SocketId, pieces: &mut Vec<Segment>) {
        let send_max = self.settings.channel.send_max;
        let Some(connection) = self.table.get_mut(socket) else {
            return;
        };
        connection.facts.clear(Facts::CHANNEL);
        // RFC 6455 5.5.1: no data follows the close frame.
        if connection.phase != Phase::Open || connection.protocol.close_sent() {
            return;
        }
        let class = connection.class;
        let Some(first) = connection.subscription else {
            return;
        };
        let is_single = connection
            .cold
            .as_ref()
            .is_none_or(|cold| cold.subscriptions.is_empty());
        if is_single {
            let slot = self
                .channels
                .get_mut(first.channel)
                .and_then(|c| c.feed(class));
            if let Some(slot) = slot
                && slot.feed.next(first.subscriber, send_max, pieces) > 0
            {
                connection.facts.set(Facts::CHANNEL);
                connection.active = first.channel;
            }
            return;
        }
        let all: Vec<Subscription> = connection.subscriptions().collect();
        let started = all.iter().position(|s| {
            let slot = self.channels.get_mut(s.channel).and_then(|c| c.feed(class));
            slot.is_some_and(|slot| slot.feed.to_boundary(s.subscriber) > 0)
        });
        let after = all
            .iter()
            .position(|s| s.channel == connection.active)
            .map_or(0, |at| at + 1);
        // Nothing else may go into a frame that is partly sent, even while its rest is withheld.
        let (order, count) = started.map_or((after, all.len()), |at| (at, 1));
        for step in 0..count {
            let subscription = all[(order + step) % all.len()];
            let slot = self
                .channels
                .get_mut(subscription.channel)
                .and_then(|c| c.feed(class));
            let Some(slot) = slot else { continue };
            // No more than the frame's rest, or a busy channel would never let the others on.
            let rest = slot.feed.to_boundary(subscription.subscriber);
            let size_max = if rest > 0 { rest } else { send_max };
            if slot.feed.next(subscription.subscriber, size_max, pieces) > 0 {
                self.activate(socket, subscription.channel);
                return;
            }
        }
    }

    fn activate(&mut self, socket: SocketId, channel: ChannelKey) {
        if let Some(connection) = self.table.get_mut(socket) {
            connection.facts.set(Facts::CHANNEL);
            connection.active = channel;
        }
    }

    /// The kernel took `count` bytes of the active channel.
    pub(super) fn channel_sent(&mut self, cx: &mut Cx<'_>, socket: SocketId, count: usize) {
        let now = cx.now();
        let Some(connection) = self.table.get_mut(socket) else {
            return;
        };
        let (key, class) = (connection.active, connection.class);
        connection.facts.clear(Facts::CHANNEL);
        let leaving = connection.facts.has(Facts::LEAVING);
        let Some(subscription) = connection.subscription_in(key) else {
            return;
        };
        if let Some(slot) = self
            .channels
            .get_mut(key)
            .and_then(|channel| channel.feed(class))
        {
            slot.feed.sent(subscription.subscriber, count, now);
            self.list(key);
        }
        if leaving {
            self.left(cx, socket, key);
        }
    }

    /// Judges slow subscribers and forgets what nobody uses. Called a few times a window.
    pub(super) fn sweep_channels(&mut self, cx: &mut Cx<'_>) {
        let now = cx.now();
        // All are listed: what is found is served at the end of the turn.
        let unlisted = self
            .channels
            .iter()
            .filter(|(_, _, channel)| !channel.is_listed);
        self.listed.extend(unlisted.map(|(key, _, _)| key));
        let mut found = Vec::new();
        for place in 0..self.listed.len() {
            let key = self.listed[place];
            let Some(channel) = self.channels.get_mut(key) else {
                continue;
            };
            channel.is_listed = true;
            if let Some(owned) = &mut channel.owned {
                owned.owner.expire(now);
            }
            for slot in &mut channel.feeds {
                slot.feed.sweep(now, SWEEP_MAX, &mut found);
            }
            for stalled in found.drain(..) {
                self.stalled(cx, key, &stalled);
            }
            // Before those who are held are let go: they still need it.
            self.mark(cx, key);
            self.release(key, true);
        }
        while self.channels.expire(now).is_some() {}
    }

    fn stalled(&mut self, cx: &mut Cx<'_>, key: ChannelKey, stalled: &Stalled) {
        let socket = socket_of(stalled.user);
        match stalled.action {
            Action::Cancel => self.carrier_cancel_send(cx, socket),
            Action::Disconnect {
                publications,
                is_cut,
            } => {
                self.stats.dropped_publications += publications;
                if is_cut {
                    // A close frame would be a part of the frame that is cut.
                    self.close_socket(cx, socket);
                    return self.end(cx, socket, CloseReason::Stalled);
                }
                self.carrier_cancel_send(cx, socket);
                let text = "you read too slowly";
                self.close(cx, socket, CloseCode::TRY_AGAIN, text, CloseReason::Stalled);
                // The close frame belongs in front of the FIN.
                self.flush(cx, socket);
                self.end(cx, socket, CloseReason::Stalled);
            }
            Action::Skipped(gap) | Action::Latest(gap) | Action::Resumed(gap) => {
                self.stats.dropped_publications += gap.publications;
                if gap.publications > 0 {
                    let subscription = Subscription {
                        channel: key,
                        subscriber: stalled.key,
                    };
                    self.tell(socket, subscription, What::Skipped(gap));
                }
                self.pump(cx, socket);
            }
        }
    }
}

/// Subscribers and publications carry their connection's socket.
fn socket_of(user: u64) -> SocketId {
    SocketId::from_key(hioload_base::Key::from_bits(user))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::handler::{Handler, Message};
    use crate::server::rig::{Rig, frame};
    use crate::server::settings::{ChannelSettings, Settings};
    use crate::{Broadcast, Session};

    #[test]
    fn a_frame_that_is_cut_has_no_close_frame_in_it() {
        const SIZE: usize = 1_000_000;
        let settings = Settings {
            channel: ChannelSettings {
                window: Duration::from_millis(100),
                ..ChannelSettings::default()
            },
            ..Settings::default()
        };
        let mut rig = Rig::new(1, 96 << 20, settings, &|_| Box::new(Broadcast::default()));
        // Their rests are more than may be copied.
        let mut stalled: Vec<_> = (0..16).map(|_| rig.websocket("")).collect();
        let mut publisher = rig.websocket("");
        let message = frame(0x82, &[7; SIZE]);
        let mut rest = &message[..];
        while !rest.is_empty() {
            let taken = publisher.socket.write(rest).expect("open");
            rest = &rest[taken..];
            rig.turn();
        }
        rig.until("they stall", |rig| {
            rig.hub(0).core.stats.closed_stalled == 16
        });
        let mut whole = [&[0x82, 127][..], &(SIZE as u64).to_be_bytes()].concat();
        whole.resize(whole.len() + SIZE, 7);
        let mut cut_count = 0;
        for peer in &mut stalled {
            rig.until("it ends", |_| !peer.read());
            match peer.bytes().strip_prefix(&whole[..]) {
                Some(close) => assert_eq!(close[..1], [0x88]),
                None => {
                    assert!(whole.starts_with(peer.bytes()));
                    cut_count += 1;
                }
            }
        }
        assert!((1..16).contains(&cut_count), "{cut_count}");
    }

    /// `sNAME` subscribes, `pNAME` publishes.
    struct Rooms;

    impl Handler for Rooms {
        fn message(&mut self, session: &mut Session<'_>, message: Message<'_>) {
            let (verb, name) = message.payload.split_at(1);
            let name = str::from_utf8(name).expect("a name");
            match verb {
                b"s" => session.subscribe(name).expect("room"),
                _ => session.publish(name, message).expect("room"),
            }
        }
    }

    #[test]
    fn a_large_channel_does_not_keep_a_small_one_waiting() {
        const WALK_MAX: usize = 64;
        let mut rig = Rig::new(1, 96 << 20, Settings::default(), &|_| Box::new(Rooms));
        rig.hub(0).core.walk_max = WALK_MAX;
        let join = |rig: &mut Rig, name: &[u8]| {
            let mut peer = rig.websocket("");
            peer.send(name);
            peer
        };
        let mut many: Vec<_> = (0..16 * WALK_MAX)
            .map(|_| join(&mut rig, b"slarge"))
            .collect();
        let mut one = join(&mut rig, b"ssmall");
        let [mut busy, mut other] = [rig.websocket(""), rig.websocket("")];
        let all = many.len() as u64 + 1;
        rig.until("all subscribe", |rig| {
            rig.hub(0).core.stats.subscriptions == all
        });
        // A walk over the large channel takes sixteen turns.
        for turn in 0..30 {
            busy.send(b"plarge");
            if turn == 20 {
                other.send(b"psmall");
            }
            rig.turn();
            many.iter_mut().for_each(|peer| assert!(peer.read()));
            one.read();
            if let Some(frame) = one.take_frame() {
                assert_eq!(frame, (0x82, b"psmall".to_vec()));
                assert!(turn < 25, "{turn}");
                return;
            }
        }
        panic!("it waits");
    }
}
