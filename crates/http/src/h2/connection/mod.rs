//! One connection: its parts, how it begins, how it fails, and what can be asked of it.
//!
//! Knows no socket and no clock. What it does is in the rooms beside this one:
//!
//! | file | what |
//! |---|---|
//! | `input` | bytes to frames, DATA to events |
//! | `heads` | header blocks to events |
//! | `control` | all other frames |
//! | `output` | heads, trailers and grants |
//! | `ending` | content that is done with; streams that are reset and released |
//! | `pacing` | the windows of content beside tunnels |
//! | `timers` | what time brings; how a connection ends in order |
//!
//! Invariants:
//! - the first offence of the connection is the only one: nothing is taken after it;
//! - header blocks are decoded and encoded in the order they have on the wire, those of streams that are gone, too;
//! - every byte of DATA that comes is given back to the connection's window as it comes, whatever becomes of its stream:
//!   it is the streams' windows that hold a peer back;
//! - no entry of the table of streams is freed before [`Connection::release`].

mod control;
mod ending;
mod heads;
mod input;
mod output;
mod pacing;
mod timers;

use std::collections::VecDeque;

use hioload_base::Time;

use self::input::Reading;
use self::pacing::Pacing;
use self::timers::Timers;
use super::abuse::{Bucket, Ledger, Reason};
use super::error_code::ErrorCode;
use super::event::{Event, StreamRef};
use super::flow::{ReceiveWindow, SendWindow};
use super::frame::{self, PREFACE};
use super::limits::{FRAME_SIZE_MAX, Limits};
use super::offence::Offence;
use super::priority::Priority;
use super::scheduler::Scheduler;
use super::settings::{PeerSettings, id};
use super::streams::Streams;
use crate::hpack::{Decoder, Encoder, TABLE_SIZE_INITIAL};

/// Which end of the connection this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Client,
    Server,
}

/// Windows of streams before our SETTINGS are in force (RFC 9113 6.5.2).
const WINDOW_INITIAL: u32 = 65_535;

/// One connection, from its preface to its last frame. It owns no content.
#[derive(Debug)]
pub struct Connection {
    role: Role,
    limits: Limits,
    /// The time of the last call that told it.
    now: Time,
    end: End,

    reading: Reading,
    /// What came of a frame's header, or of a frame that is not DATA, when not all of it did.
    spill: Vec<u8>,
    /// What came of a header block in more than one frame.
    block: Vec<u8>,
    decoder: Decoder,
    /// Resets that the owner was not told yet.
    resets: VecDeque<Reset>,

    encoder: Encoder,
    out: Vec<u8>,
    /// Replies in `out`.
    replies: u16,

    streams: Streams,
    scheduler: Scheduler,
    send: SendWindow,
    receive: ReceiveWindow,
    peer: PeerSettings,
    pacing: Pacing,
    /// The highest number of a stream that the peer opened.
    peer_last: u32,
    /// The number of the next stream that we open.
    own_next: u32,
    /// Streams of the peer, and tunnels among all streams, that are not released.
    peer_streams: u16,
    tunnels: u16,
    /// Priorities of streams that are not open yet, the oldest first.
    early_priorities: Vec<(u32, Priority)>,
    going: Going,

    ledger: Ledger,
    buckets: Buckets,
    timers: Timers,
}

/// A reset that the owner of the stream was not told yet.
#[derive(Clone, Copy, Debug)]
struct Reset {
    stream: StreamRef,
    code: ErrorCode,
    by_peer: bool,
}

/// Whether anything goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Not,
    /// We ended it.
    Closed,
    /// The peer broke it.
    Failed(Offence),
}

/// GOAWAY, both ways (RFC 9113 6.8).
#[derive(Clone, Copy, Debug, Default)]
struct Going {
    /// The last stream of the peer that is served, once it was told.
    last: Option<u32>,
    /// The peer was told that there will be such a last one.
    is_warned: bool,
    /// The last of our streams that the peer serves.
    peer_last: Option<u32>,
}

/// What came of each kind, against its rate.
#[derive(Clone, Copy, Debug)]
struct Buckets {
    resets: Bucket,
    pings: Bucket,
    settings: Bucket,
    tiny: Bucket,
    glitches: Bucket,
    /// Streams of the peer, and of these such that were reset early, both halved now and then.
    opened: u32,
    reset_early: u32,
    /// Streams and DATA frames that WINDOW_UPDATE and PRIORITY are held against.
    streams_seen: u64,
    data_sent: u64,
}

impl Connection {
    /// The server's side: the client's preface has to come. Our SETTINGS are in [`Connection::output`].
    #[must_use]
    pub fn server(limits: &Limits, now: Time) -> Self {
        Self::new(Role::Server, limits, now)
    }

    /// The client's side: preface and SETTINGS are in [`Connection::output`].
    #[must_use]
    pub fn client(limits: &Limits, now: Time) -> Self {
        Self::new(Role::Client, limits, now)
    }

    fn new(role: Role, limits: &Limits, now: Time) -> Self {
        let streams_max = match role {
            Role::Client => limits.streams_open_max,
            Role::Server => limits.streams_max,
        };
        let mut connection = Self {
            role,
            limits: *limits,
            now,
            end: End::Not,
            reading: match role {
                Role::Client => Reading::FIRST,
                Role::Server => Reading::Preface(0),
            },
            spill: Vec::new(),
            block: Vec::new(),
            decoder: Decoder::new(TABLE_SIZE_INITIAL),
            resets: VecDeque::new(),
            encoder: Encoder::new(u32::from(limits.encoder_table_size_max)),
            out: Vec::new(),
            replies: 0,
            streams: Streams::new(streams_max),
            scheduler: Scheduler::new(),
            send: SendWindow::new(WINDOW_INITIAL),
            receive: ReceiveWindow::new(WINDOW_INITIAL),
            peer: PeerSettings::default(),
            pacing: Pacing::new(limits, now),
            peer_last: 0,
            own_next: 1,
            peer_streams: 0,
            tunnels: 0,
            early_priorities: Vec::new(),
            going: Going::default(),
            ledger: Ledger::default(),
            buckets: Buckets::full(limits, now),
            timers: Timers::new(limits, now),
        };
        connection.begin();
        connection
    }

    /// What is sent before anything comes (RFC 9113 3.4).
    fn begin(&mut self) {
        let limits = &self.limits;
        let mut entries = vec![
            (id::HEADER_TABLE_SIZE, u32::from(limits.decoder_table_size)),
            (id::INITIAL_WINDOW_SIZE, limits.stream_window),
            (id::MAX_FRAME_SIZE, FRAME_SIZE_MAX),
            (id::MAX_HEADER_LIST_SIZE, limits.header_list_size_max),
        ];
        match self.role {
            Role::Client => {
                self.out.extend_from_slice(PREFACE);
                entries.push((id::ENABLE_PUSH, 0));
            }
            Role::Server => {
                entries.push((id::MAX_CONCURRENT_STREAMS, u32::from(limits.streams_max)));
                entries.push((id::NO_RFC7540_PRIORITIES, 1));
                if limits.tunnels_max > 0 {
                    entries.push((id::ENABLE_CONNECT_PROTOCOL, 1));
                }
            }
        }
        frame::write_settings(&mut self.out, &entries);
        self.receive.set_target(limits.connection_window);
        self.announce_connection();
    }

    /// Takes at most one event off the front of `input`. `None`: all of it was taken, and more has to come. To be called
    /// until then, and after [`Connection::handle_timeout`], too.
    ///
    /// ```
    /// use hioload_base::Time;
    /// use hioload_http::h2::{Connection, Event, HeaderList, Limits, RequestHead};
    ///
    /// let limits = Limits::default();
    /// let (mut client, mut server) = (Connection::client(&limits, Time::ZERO), Connection::server(&limits, Time::ZERO));
    /// let head = RequestHead { method: "GET", scheme: "http", authority: "h", path: "/a", protocol: None };
    /// client.open(Time::ZERO, &head, [].into_iter(), true)?;
    ///
    /// let mut bytes = client.output().to_vec();
    /// client.clear_output();
    /// let (mut input, mut list) = (&mut bytes[..], HeaderList::new());
    /// assert!(matches!(server.handle_input(Time::ZERO, &mut input, &mut list)?, Some(Event::Settings)));
    /// let event = server.handle_input(Time::ZERO, &mut input, &mut list)?;
    /// let Some(Event::Head { stream, end_stream: true, .. }) = event else { panic!("{event:?}") };
    /// assert_eq!(list.request(true).path(), "/a");
    /// server.respond(stream, 204, [].into_iter(), true)?;
    /// server.release(stream);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// The peer broke the protocol or a limit that ends the connection: GOAWAY is in the output; write it and close.
    /// Every later call says the same.
    pub fn handle_input<'a>(
        &mut self,
        now: Time,
        input: &mut &'a mut [u8],
        headers: &mut super::HeaderList,
    ) -> Result<Option<Event<'a>>, Offence> {
        self.now = now;
        if let Some(event) = self.next_reset() {
            return Ok(Some(event));
        }
        match self.end {
            End::Not => {}
            End::Closed => {
                *input = &mut [];
                return Ok(None);
            }
            End::Failed(offence) => return Err(offence),
        }
        if !input.is_empty() {
            self.timers.heard = now;
        }
        self.take_input(input, headers)
            .inspect_err(|&offence| self.fail(offence))
    }

    /// A reset that the owner was not told yet.
    fn next_reset<'a>(&mut self) -> Option<Event<'a>> {
        let Reset {
            stream,
            code,
            by_peer,
        } = self.resets.pop_front()?;
        Some(Event::Reset {
            stream,
            code,
            by_peer,
        })
    }

    /// The connection is over: RFC 9113 5.4.1.
    fn fail(&mut self, offence: Offence) {
        if self.end == End::Not {
            let last = self.last_served();
            frame::write_goaway(&mut self.out, last, offence.code(), offence.reason());
            self.end = End::Failed(offence);
        }
    }

    /// Ends the connection at once: GOAWAY is in the output; nothing more is taken.
    pub fn goaway(&mut self, code: ErrorCode) {
        if self.end == End::Not {
            let last = self.last_served();
            frame::write_goaway(&mut self.out, last, code, "");
            self.end = End::Closed;
        }
    }

    /// The last stream of the peer that anything was done for; never above what was said before (RFC 9113 6.8).
    fn last_served(&self) -> u32 {
        self.going
            .last
            .map_or(self.peer_last, |last| last.min(self.peer_last))
    }

    /// Control frames and header blocks, in their order.
    #[must_use]
    pub fn output(&self) -> &[u8] {
        &self.out
    }

    /// The output was written.
    pub fn clear_output(&mut self) {
        self.out.clear();
        self.replies = 0;
    }

    /// Moves the output to the end of `out`.
    pub fn poll_output(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.out);
        self.clear_output();
    }

    /// One more reply in the output, which the peer made us send.
    fn count_reply(&mut self) -> Result<(), Offence> {
        self.replies = self.replies.saturating_add(1);
        if self.replies > self.limits.replies_max {
            return Err(Offence::ReplyFlood);
        }
        Ok(())
    }

    /// A frame that brings nothing, worth several when it cost us more than to skip it.
    fn count_glitch(&mut self, weight: u32) -> Result<(), Offence> {
        self.ledger.add(Reason::Glitch);
        let limits = &self.limits;
        let is_use =
            self.buckets
                .glitches
                .take(weight, limits.glitch_burst, limits.glitch_per_s, self.now);
        if is_use {
            Ok(())
        } else {
            Err(Offence::GlitchFlood)
        }
    }

    /// The connection has failed, or was ended by [`Connection::goaway`].
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.end != End::Not
    }

    /// Streams whose slot is not free.
    #[must_use]
    pub fn stream_count(&self) -> usize {
        self.streams.len()
    }

    /// What the peer allows.
    #[must_use]
    pub fn peer_settings(&self) -> &PeerSettings {
        &self.peer
    }

    /// What the peer did that costs us and brings it nothing.
    #[must_use]
    pub fn abuse(&self) -> &Ledger {
        &self.ledger
    }
}

impl Buckets {
    fn full(limits: &Limits, now: Time) -> Self {
        Self {
            resets: Bucket::full(limits.reset_burst, now),
            pings: Bucket::full(limits.ping_burst, now),
            settings: Bucket::full(limits.settings_burst, now),
            tiny: Bucket::full(limits.tiny_data_burst, now),
            glitches: Bucket::full(limits.glitch_burst, now),
            opened: 0,
            reset_early: 0,
            streams_seen: 0,
            data_sent: 0,
        }
    }
}
