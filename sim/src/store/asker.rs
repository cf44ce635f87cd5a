//! A client of the store: one connection at a time, several requests on it before the first is answered.
//!
//! ```text
//!   draw asks ─▶ bytes ─ piece by piece, perhaps cut off ─▶ SimPeer ─▶ h1::Client ─▶ Answer ─▶ judge
//! ```
//!
//! What it must not do is take part in judging: it says what was asked, what was sent of it, and what came.

use std::collections::VecDeque;
use std::time::Duration;

use hioload_base::{Prng, Time};
use hioload_http::h1::{Client, ClientEvent, Limits, Response};
use hioload_reactor::sim::{SimNet, SimPeer};

use super::ask::{Ask, Wanted};
use super::content::Content;
use super::judge::{Asked, Judge};
use crate::event::{Event, Notes};
use crate::plan::pick;
use crate::reader::Reader;
use crate::world::World;

/// Bytes of one read.
const READ_SIZE: usize = 64 * 1024;
/// Bytes written a step by a client in a hurry.
const PACE_MAX: usize = 1 << 20;

/// A whole answer.
#[derive(Debug, Default)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) length: Option<u64>,
    pub(super) etag: Vec<u8>,
    pub(super) durability: Vec<u8>,
    pub(super) content_range: Vec<u8>,
    pub(super) body: Vec<u8>,
}

/// A request on its way.
struct Sent {
    asked: Asked,
    /// Where in the stream of the connection it ends.
    end: usize,
}

struct Connection {
    peer: SimPeer,
    machine: Client,
    out: Vec<u8>,
    written: usize,
    /// Bytes after which the client goes.
    cut: Option<usize>,
    input: Vec<u8>,
    answer: Option<Answer>,
    sent: VecDeque<Sent>,
    pace: usize,
    is_finished: bool,
}

/// The client.
pub(super) struct Asker {
    pub(super) number: usize,
    connection: Option<Connection>,
    reader: Reader,
    /// Requests to make.
    pub(super) left: u32,
    next_at: Time,
    habits: Habits,
    is_calm: bool,
    /// Connections that broke with requests unanswered, though this client did nothing wrong.
    pub(super) losses: u64,
    prng: Prng,
    notes: Notes,
}

/// What all clients of a run may do.
#[derive(Clone, Debug)]
pub(super) struct Habits {
    pub(super) pipeline_max: u64,
    pub(super) pause_max: Duration,
    pub(super) has_cuts: bool,
    pub(super) has_slow_writers: bool,
    /// Contents that all clients ask for half of the time; 0: none.
    pub(super) hot: usize,
    /// How many clients there are.
    pub(super) clients: usize,
}

impl Asker {
    pub(super) fn new(
        number: usize,
        left: u32,
        reader: Reader,
        habits: Habits,
        prng: Prng,
        notes: Notes,
    ) -> Self {
        Self {
            number,
            connection: None,
            reader,
            left,
            next_at: Time::ZERO,
            habits,
            is_calm: false,
            losses: 0,
            prng,
            notes,
        }
    }

    /// From now on it does everything right.
    pub(super) fn calm_down(&mut self) {
        self.is_calm = true;
        self.reader.calm_down();
        self.habits.has_cuts = false;
        self.habits.has_slow_writers = false;
        self.next_at = Time::ZERO;
        if let Some(connection) = &mut self.connection {
            connection.peer.set_window(READ_SIZE);
            connection.pace = PACE_MAX;
            connection.cut = None;
        }
    }

    /// Nothing it asked is unanswered.
    pub(super) fn is_idle(&self) -> bool {
        self.connection
            .as_ref()
            .is_none_or(|connection| connection.sent.is_empty())
    }

    pub(super) fn is_connected(&self) -> bool {
        self.connection.is_some()
    }

    /// Ends its connection, if nothing is under way on it.
    pub(super) fn leave(&mut self) {
        if self.is_idle() {
            self.connection = None;
        }
    }

    /// The server is gone: so are its answers.
    pub(super) fn lose(&mut self, judge: &mut Judge) {
        if let Some(connection) = self.connection.take() {
            connection.give_up(judge);
        }
    }

    /// What is unanswered, for a failure's message.
    pub(super) fn waits_for(&self) -> String {
        let Some(connection) = &self.connection else {
            return "no connection".to_owned();
        };
        let asks: Vec<_> = connection.sent.iter().map(|sent| &sent.asked.ask).collect();
        format!(
            "{} of {} bytes sent, asked {asks:?}",
            connection.written,
            connection.out.len()
        )
    }

    pub(super) fn step(&mut self, net: &SimNet, judge: &mut Judge) {
        let now = net.now();
        if self.connection.is_none() {
            if self.left == 0 || now < self.next_at {
                return;
            }
            self.connect(net);
        }
        if self.left > 0 && self.is_idle() && now >= self.next_at {
            self.say(now, judge);
        }
        let read_max = self.reader.read_max(now, &mut self.prng, &self.notes);
        let Some(connection) = &mut self.connection else {
            return;
        };
        // The network decided that it never hears again: it does not wait for ever.
        let is_deaf = self.is_calm && connection.peer.is_deaf();
        match connection.step(now, read_max, judge) {
            Ok(()) if is_deaf => self.lose(judge),
            Ok(()) => {}
            Err(end) => {
                let connection = self.connection.take().expect("it is there");
                self.ended(connection, end, now, judge);
            }
        }
    }

    fn connect(&mut self, net: &SimNet) {
        let prng = &mut self.prng;
        let pace = if self.habits.has_slow_writers && prng.chance(1, 3) {
            pick(prng, &[17, 500, 5000])
        } else {
            PACE_MAX
        };
        self.connection = Some(Connection {
            peer: net.connect(World::addr()),
            machine: Client::new(),
            out: Vec::new(),
            written: 0,
            cut: None,
            input: Vec::new(),
            answer: None,
            sent: VecDeque::new(),
            pace,
            is_finished: false,
        });
        if self.is_calm
            && let Some(connection) = &mut self.connection
        {
            connection.peer.set_window(READ_SIZE);
        }
    }

    /// The next requests, one behind the other.
    fn say(&mut self, now: Time, judge: &mut Judge) {
        let Some(connection) = &mut self.connection else {
            return;
        };
        if connection.is_finished || !connection.machine.is_reusable() {
            return;
        }
        let prng = &mut self.prng;
        connection.out.clear();
        connection.written = 0;
        let count = 1 + prng
            .below(self.habits.pipeline_max)
            .min(u64::from(self.left - 1));
        if count > 1 {
            self.notes.add(Event::Pipelined);
        }
        for _ in 0..count {
            let ask = draw(prng, self.number, &self.habits, judge.contents());
            connection.send(ask, now, prng, judge);
        }
        self.left -= count as u32;
        if self.habits.has_cuts && prng.chance(1, 12) {
            let at = prng.below(connection.out.len() as u64) as usize;
            connection.cut = Some(at);
            self.notes.add(Event::Aborted);
        }
        let pause = prng.below(self.habits.pause_max.as_nanos() as u64 + 1);
        self.next_at = now + Duration::from_nanos(pause);
    }

    /// Asks one thing more.
    pub(super) fn ask(&mut self, net: &SimNet, ask: Ask, judge: &mut Judge) {
        if self
            .connection
            .as_ref()
            .is_some_and(|connection| connection.is_finished || !connection.machine.is_reusable())
        {
            self.connection = None;
        }
        if self.connection.is_none() {
            self.connect(net);
        }
        if let Some(connection) = &mut self.connection {
            connection.out.clear();
            connection.written = 0;
            connection.send(ask, net.now(), &mut self.prng, judge);
        }
    }

    fn ended(&mut self, connection: Connection, end: End, now: Time, judge: &mut Judge) {
        // Behind an answer that said so, nothing is answered (RFC 9112 9.6).
        let is_fair =
            self.reader.is_fair() && connection.machine.is_reusable() && !judge.excuses.is_draining;
        if end == End::Lost && !connection.sent.is_empty() && is_fair {
            self.losses += 1;
        }
        connection.give_up(judge);
        let pause = self.prng.below(20_000_000);
        self.next_at = self.next_at.max(now + Duration::from_nanos(pause));
    }
}

/// How a connection came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The client cut it.
    Cut,
    /// The server did, or the network.
    Lost,
}

impl Connection {
    fn send(&mut self, ask: Ask, now: Time, prng: &mut Prng, judge: &mut Judge) {
        ask.encode(judge.contents(), prng, &mut self.out);
        self.machine.sent(ask.is_head());
        let asked = judge.begins(ask, now);
        let end = self.out.len();
        self.sent.push_back(Sent { asked, end });
    }

    fn step(&mut self, now: Time, read_max: usize, judge: &mut Judge) -> Result<(), End> {
        match self.peer.connected() {
            None => return Ok(()),
            Some(Ok(())) => {}
            Some(Err(_)) => return Err(End::Lost),
        }
        self.write()?;
        let mut left = read_max;
        while left > 0 {
            match self.peer.read(left.min(READ_SIZE)) {
                Ok(bytes) if bytes.is_empty() => return Ok(()),
                Ok(bytes) => {
                    left -= bytes.len();
                    self.take(bytes, now, judge);
                }
                Err(_) => {
                    // The start of an answer has to be right, too.
                    if let (Some(answer), Some(sent)) = (&self.answer, self.sent.front()) {
                        judge.check_part(&sent.asked, answer);
                    }
                    return Err(End::Lost);
                }
            }
        }
        Ok(())
    }

    fn write(&mut self) -> Result<(), End> {
        let until = self.cut.unwrap_or(self.out.len());
        let end = until.min(self.written + self.pace);
        if self.written < end && !self.is_finished {
            match self.peer.write(&self.out[self.written..end]) {
                Ok(size) => self.written += size,
                // Its answers may still come.
                Err(_) => self.is_finished = true,
            }
        }
        if self.cut.is_some_and(|cut| self.written == cut) {
            return Err(End::Cut);
        }
        Ok(())
    }

    fn take(&mut self, bytes: Vec<u8>, now: Time, judge: &mut Judge) {
        self.input.extend(bytes);
        let mut input = std::mem::take(&mut self.input);
        let mut rest = &mut input[..];
        loop {
            let event = self.machine.handle_input(&Limits::default(), &mut rest);
            match event.unwrap_or_else(|error| panic!("not an answer: {error:?}")) {
                None => break,
                Some(ClientEvent::Head(head)) => self.answer = Some(Answer::of(&head)),
                Some(ClientEvent::Body(bytes)) => {
                    let answer = self.answer.as_mut().expect("a head comes first");
                    answer.body.extend_from_slice(bytes);
                }
                Some(ClientEvent::End) => {
                    let answer = self.answer.take().expect("a head comes first");
                    let sent = self.sent.pop_front().expect("answers are to requests");
                    assert!(
                        self.written >= sent.end || answer.status >= 400,
                        "{} to a request of which {} of {} bytes were sent: {:?}",
                        answer.status,
                        self.written,
                        sent.end,
                        sent.asked.ask
                    );
                    judge.answered(&sent.asked, &answer, now);
                }
            }
        }
        self.input = rest.to_vec();
    }

    /// What was not answered was done or not, if the server has all of it.
    fn give_up(mut self, judge: &mut Judge) {
        for sent in std::mem::take(&mut self.sent) {
            judge.lost(&sent.asked, self.written >= sent.end);
        }
        if self.cut.is_some() && self.written.is_multiple_of(2) {
            self.peer.reset();
        }
    }
}

impl Answer {
    fn of(head: &Response<'_>) -> Self {
        let field = |name| head.header(name).unwrap_or_default().to_vec();
        Self {
            status: head.status(),
            length: head.content_length(),
            etag: field("ETag"),
            durability: field("Hioload-Durability"),
            content_range: field("Content-Range"),
            body: Vec::new(),
        }
    }
}

fn draw(prng: &mut Prng, client: usize, habits: &Habits, contents: &[Content]) -> Ask {
    let count = contents.len();
    let one = |prng: &mut Prng| {
        let is_hot = habits.hot > 0 && prng.chance(1, 2);
        prng.below(if is_hot { habits.hot } else { count } as u64) as usize
    };
    let some = |prng: &mut Prng| -> Vec<usize> {
        let first = one(prng);
        let many = 1 + prng.below(6) as usize;
        (first..first + many.min(count))
            .map(|n| n % count)
            .collect()
    };
    // References to a content are one client's business.
    let own = |prng: &mut Prng| {
        let keepers = habits.clients;
        client + keepers * prng.below((count - client).div_ceil(keepers) as u64) as usize
    };
    let content = one(prng);
    match prng.below(40) {
        0..14 => Ask::Put {
            content,
            only_new: prng.chance(1, 8),
        },
        14 => Ask::PutWrong,
        15..27 => Ask::Get {
            content,
            range: prng
                .chance(1, 3)
                .then(|| Wanted::draw(prng, contents[content].bytes.len())),
            is_head: prng.chance(1, 8),
            is_known: prng.chance(1, 10),
        },
        27..32 => Ask::Delete { content },
        32 => Ask::DeleteMany {
            contents: some(prng),
        },
        33 | 34 => Ask::Missing {
            contents: some(prng),
        },
        35 => Ask::Refer { content: own(prng) },
        36 | 37 => Ask::Unrefer { content: own(prng) },
        38 => Ask::Reference { content: own(prng) },
        _ => Ask::Stats,
    }
}
