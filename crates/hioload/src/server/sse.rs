//! Sessions that read events: the channel class they take, and what is said to them besides.
//!
//! ```text
//!   publish ─▶ Owner ─┬─ class 0 ─▶ WebSocket sessions
//!                     └─ class 1 ─▶ sessions that read events: `id: epoch:offset`, `data: …`
//! ```
//!
//! Such a session is one like any other: the handler's `open` is called, it subscribes, it is a cursor in a log, and
//! it is stalled, drained and counted as they are. It differs in four things: nothing comes from it, pings are
//! comments, the close frame is an event, and it knows its place in the channel without counting.
//!
//! | event | data | when |
//! |---|---|---|
//! | (`message`) | the text | a text, published or sent |
//! | `binary` | the bytes as Base64 | a binary message, published or sent |
//! | `gap` | `{"from":ID,"to":ID}`, both included; `from` is null when it cannot be known | publications are missing |
//! | `close` | the WebSocket close code, a space, the reason | the server ends the session |
//!
//! Only publications bear an id, so that what a client comes back with is always a place in the channel; where it
//! begins is told as an id alone.
//!
//! # Limits
//!
//! One channel a session: an id is a place in one. An event of more than [`event_size_max`] is replaced by a gap:
//! a reader of events never makes a publication too large for the others.

use std::io::Write as _;

use hioload_http::sse::{Data, Outgoing};
use hioload_live::{Class, Classes, Recovered, Since, Unencoded};
use hioload_reactor::SocketId;
use hioload_ws::{CloseCode, KeepaliveConfig, Kind};

use super::connection::{Connection, Facts};
use super::core::Core;
use super::encoder::kind_of;
use super::recovery::What;
use super::settings::{ChannelSettings, EventSettings, Settings};
use super::table::is_poll;
use crate::session::SendError;

/// The class of channels that readers of events take.
pub(super) const CLASS: Class = match Class::new(1) {
    Some(class) => class,
    None => Class::PLAIN,
};

/// The largest buffer of the pool.
const EVENT_SIZE_MAX: usize = 1024 * 1024;

const TOKEN: &str = "invariant: it has no line break in it";

/// Classes in which history is kept from the first publication on.
pub(super) fn kept(settings: &EventSettings) -> Classes {
    if settings.history {
        Classes::PLAIN.with(CLASS)
    } else {
        Classes::PLAIN
    }
}

/// Bytes of an event at most: what leaves the budget of a channel to the other classes, too.
pub(super) fn event_size_max(settings: &ChannelSettings) -> usize {
    EVENT_SIZE_MAX.min(settings.budget / 4)
}

/// How many subscriptions a session may have of `limit`.
pub(super) fn subscriptions_max(connection: &Connection, limit: usize) -> usize {
    if connection.facts.has(Facts::CUSTOM) {
        0
    } else if connection.facts.has(Facts::EVENTS) {
        limit.min(1)
    } else {
        limit
    }
}

/// When a session hears of the server, and how long it may take nothing.
pub(super) fn keepalive_of(
    socket: SocketId,
    connection: &Connection,
    settings: &Settings,
) -> KeepaliveConfig {
    if is_poll(socket) {
        return KeepaliveConfig {
            ping_interval: None,
            idle_timeout: Some(settings.streams.poll_linger),
            ..settings.keepalive
        };
    }
    if connection.facts.has(Facts::CUSTOM) {
        let idle = settings.streams.idle_timeout;
        return KeepaliveConfig {
            ping_interval: None,
            idle_timeout: (!idle.is_zero()).then_some(idle),
            ..settings.keepalive
        };
    }
    if !connection.facts.has(Facts::EVENTS) {
        return settings.keepalive;
    }
    KeepaliveConfig {
        ping_interval: settings.events.keepalive,
        // It has nothing to send. That it takes a comment is what counts as an answer.
        idle_timeout: None,
        ..settings.keepalive
    }
}

/// A place as an id, without memory of its own.
struct Id {
    text: [u8; Since::TEXT_SIZE_MAX],
    size: usize,
}

impl Id {
    fn of(place: Since) -> Self {
        let mut text = [0; Since::TEXT_SIZE_MAX];
        let mut rest = &mut text[..];
        write!(rest, "{place}").expect("invariant: places fit");
        let size = Since::TEXT_SIZE_MAX - rest.len();
        Self { text, size }
    }

    fn as_str(&self) -> &str {
        std::str::from_utf8(&self.text[..self.size]).expect("invariant: digits and a colon")
    }
}

fn event_with<'a>(id: &'a Id, kind: Kind, payload: &'a [u8]) -> Outgoing<'a> {
    carrying(kind, payload).id(id.as_str()).expect(TOKEN)
}

/// A message as an event, without an id.
fn carrying(kind: Kind, payload: &[u8]) -> Outgoing<'_> {
    match kind {
        Kind::Text => Outgoing::text(payload),
        Kind::Binary => Outgoing::new(Data::Base64(payload))
            .name("binary")
            .expect(TOKEN),
    }
}

/// The data of an event that says what is missing.
struct Gap {
    text: [u8; 2 * Since::TEXT_SIZE_MAX + 24],
    size: usize,
}

impl Gap {
    fn of(from: Option<Since>, to: Since) -> Self {
        let mut text = [0; 2 * Since::TEXT_SIZE_MAX + 24];
        let room = text.len();
        let mut rest = &mut text[..];
        match from {
            Some(from) => write!(rest, "{{\"from\":\"{from}\",\"to\":\"{to}\"}}"),
            None => write!(rest, "{{\"from\":null,\"to\":\"{to}\"}}"),
        }
        .expect("invariant: two places fit");
        let size = room - rest.len();
        Self { text, size }
    }

    fn event(&self) -> Outgoing<'_> {
        Outgoing::text(&self.text[..self.size])
            .name("gap")
            .expect(TOKEN)
    }
}

/// Bytes of a publication as an event.
pub(super) fn event_room(publication: &Unencoded<'_>, max: usize) -> usize {
    with_event(publication, max, |event| event.size())
}

/// Writes a publication as an event; one that is too large as a gap.
pub(super) fn encode_event(publication: &Unencoded<'_>, max: usize, out: &mut [u8]) -> usize {
    with_event(publication, max, |event| event.write_to(out))
}

fn with_event<T>(
    publication: &Unencoded<'_>,
    max: usize,
    then: impl FnOnce(&Outgoing<'_>) -> T,
) -> T {
    let id = Id::of(publication.place);
    let event = event_with(&id, kind_of(publication.kind), publication.payload);
    // It is no shorter than what it carries.
    if publication.payload.len() <= max && event.size() <= max {
        return then(&event);
    }
    let gap = Gap::of(Some(publication.place), publication.place);
    then(&gap.event().id(id.as_str()).expect(TOKEN))
}

impl Core {
    /// Whether a session reads events.
    pub(crate) fn reads_events(&self, socket: SocketId) -> bool {
        let connection = self.table.get(socket);
        connection.is_some_and(|connection| connection.facts.has(Facts::EVENTS))
    }

    /// Where the first subscription of a session begins, as its client has asked: once.
    pub(super) fn take_last_event(&mut self, socket: SocketId) -> Option<Since> {
        let connection = self.table.get_mut(socket)?;
        if !connection.facts.has(Facts::EVENTS) {
            return None;
        }
        connection.cold.as_mut()?.since.take()
    }

    /// Writes a message as an event to the session at hand.
    pub(super) fn send_event(
        &mut self,
        socket: SocketId,
        kind: Kind,
        payload: &[u8],
    ) -> Result<(), SendError> {
        if !self.write_event(&carrying(kind, payload)) {
            return Err(self.no_memory(socket));
        }
        self.stats.messages_sent += 1;
        Ok(())
    }

    /// What a close frame is to a session that reads events; then the stream ends.
    pub(super) fn write_close_event(&mut self, code: CloseCode, text: &str) {
        let data = format!("{} {text}", code.number());
        let event = Outgoing::text(data.as_bytes()).name("close").expect(TOKEN);
        self.write_event(&event);
    }

    /// Tells a session that reads events where it stands, and what it misses.
    pub(super) fn tell_events(&mut self, socket: SocketId, channel: &str, what: &What) {
        if !self.reads_events(socket) {
            return;
        }
        match *what {
            What::Recovered(recovery) => {
                let place = recovery.position();
                let at = |offset| Since { offset, ..place };
                let id = Id::of(place);
                let gap = match recovery.outcome {
                    Recovered::Tail | Recovered::Complete => None,
                    Recovered::Gap { from, to } => Some(Gap::of(Some(at(from)), at(to))),
                    Recovered::OtherEpoch => Some(Gap::of(None, place)),
                };
                self.stats.event_gaps += u64::from(gap.is_some());
                // With the id, so that a client which is told is not told again.
                let event = gap.as_ref().map_or(Outgoing::fields(), Gap::event);
                self.write_event(&event.id(id.as_str()).expect(TOKEN));
            }
            What::Skipped(gap) => {
                let epoch = self.channels.find(channel).and_then(|key| {
                    let slot = self.channels.get_mut(key)?.feed(CLASS)?;
                    Some(slot.feed.position()?.0)
                });
                let Some(epoch) = epoch else { return };
                let at = |offset| Since { epoch, offset };
                self.stats.event_gaps += 1;
                // Without an id: a client that comes back may still find it in the history.
                self.write_event(&Gap::of(Some(at(gap.from)), at(gap.to)).event());
            }
        }
    }

    /// Whether there was memory for it.
    fn write_event(&mut self, event: &Outgoing<'_>) -> bool {
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        event.append_to(&mut scratch);
        let written = self.cork.write(&self.pool, &scratch, &[]);
        self.scratch = scratch;
        written.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::encoder::kind_number;

    fn encoded(kind: Kind, payload: &[u8], max: usize) -> String {
        let publication = Unencoded {
            place: Since {
                epoch: 0xAB,
                offset: 7,
            },
            kind: kind_number(kind),
            payload,
        };
        let mut out = vec![0; event_room(&publication, max)];
        assert_eq!(encode_event(&publication, max, &mut out), out.len());
        String::from_utf8(out).expect("UTF-8")
    }

    #[test]
    fn a_publication_bears_its_place() {
        assert_eq!(
            encoded(Kind::Text, b"hi\nid: 9", 1000),
            "id: 00000000000000ab:7\ndata: hi\ndata: id: 9\n\n"
        );
        assert_eq!(
            encoded(Kind::Binary, &[0, 255], 1000),
            "id: 00000000000000ab:7\nevent: binary\ndata: AP8=\n\n"
        );
    }

    #[test]
    fn what_is_too_large_is_a_gap_that_names_it() {
        let fits = encoded(Kind::Text, &[b'a'; 100], 1000);
        let same = encoded(Kind::Text, &[b'a'; 100], fits.len());
        assert_eq!(same, fits);
        let gap = "id: 00000000000000ab:7\nevent: gap\n\
                   data: {\"from\":\"00000000000000ab:7\",\"to\":\"00000000000000ab:7\"}\n\n";
        assert_eq!(encoded(Kind::Text, &[b'a'; 100], fits.len() - 1), gap);
        assert_eq!(
            encoded(Kind::Text, &[b'\n'; 100], 500),
            gap,
            "each break costs a field"
        );
    }

    #[test]
    fn the_longest_places_fit() {
        let place = Since {
            epoch: u64::MAX,
            offset: u64::MAX,
        };
        assert_eq!(
            Id::of(place).as_str(),
            "ffffffffffffffff:18446744073709551615"
        );
        let gap = Gap::of(Some(place), place);
        assert_eq!(gap.event().size(), 11 + 6 + gap.size + 2);
        let text = String::from_utf8_lossy(&gap.text[..gap.size]).into_owned();
        assert!(text.ends_with("551615\"}"), "{text}");
    }
}
