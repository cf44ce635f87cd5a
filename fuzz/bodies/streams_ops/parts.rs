//! What lies beside the registries, each against its plainest form: backlog, channels, tickets, proxy.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use hioload_streams::{
    Action, Backlog, BacklogConfig, BacklogFull, ChannelError, ChannelTable, Dispatch, Foreign,
    Proxy, Side, StreamUid, Ticket, Tickets,
};

/// Reads bytes as numbers; zeros when they are used up.
pub(super) struct Bytes<'a>(pub(super) &'a [u8]);

impl Bytes<'_> {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn next(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *first
    }

    /// At most 256 to choose from.
    pub(super) fn below(&mut self, count: usize) -> usize {
        usize::from(self.next()) % count.max(1)
    }
}

/// Channels in use: control, and both sides of each word of a bitmap.
const CHANNELS: [u8; 10] = [0, 1, 2, 63, 64, 127, 128, 191, 192, 255];

/// The channels of one stream, as a map.
#[derive(Default)]
pub(super) struct Channels(BTreeMap<u8, (u32, bool)>);

impl Channels {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn refusal(&self, channel: u8, is_to_be_there: bool) -> Option<ChannelError> {
        match self.0.contains_key(&channel) {
            _ if channel == 0 => Some(ChannelError::Reserved),
            true if !is_to_be_there => Some(ChannelError::Exists),
            false if is_to_be_there => Some(ChannelError::Missing),
            _ => None,
        }
    }

    pub(super) fn step(&mut self, table: &mut ChannelTable<u32>, bytes: &mut Bytes<'_>) {
        let (what, channel) = (bytes.next(), CHANNELS[bytes.below(CHANNELS.len())]);
        let value = u32::from(bytes.next());
        match what {
            0..100 => {
                let refusal = self.refusal(channel, false);
                assert_eq!(table.add(channel, value).err(), refusal);
                if refusal.is_none() {
                    self.0.insert(channel, (value, true));
                }
            }
            100..130 => self.add_all(table, bytes),
            130..180 => {
                assert_eq!(table.remove(channel).err(), self.refusal(channel, true));
                self.0.remove(&channel);
            }
            180..250 => {
                let (refusal, is_enabled) = (self.refusal(channel, true), value < 128);
                assert_eq!(table.set_enabled(channel, is_enabled).err(), refusal);
                if let Some(entry) = self.0.get_mut(&channel) {
                    entry.1 = is_enabled;
                }
            }
            _ => {
                table.clear();
                self.0.clear();
            }
        }
        self.check(table);
    }

    fn add_all(&mut self, table: &mut ChannelTable<u32>, bytes: &mut Bytes<'_>) {
        let some: Vec<(u8, u32)> = (0..bytes.next() % 4)
            .map(|number| (bytes.next(), number.into()))
            .collect();
        let different: BTreeSet<u8> = some.iter().map(|(channel, _)| *channel).collect();
        let is_fit = different.len() == some.len()
            && some
                .iter()
                .all(|(channel, _)| self.refusal(*channel, false).is_none());
        assert_eq!(table.add_all(&some).is_ok(), is_fit);
        if is_fit {
            let some = some.into_iter();
            self.0
                .extend(some.map(|(channel, value)| (channel, (value, true))));
        }
    }

    fn check(&self, table: &ChannelTable<u32>) {
        let rows = self
            .0
            .iter()
            .map(|(channel, (value, is))| (*channel, *value, *is));
        assert!(table.iter().eq(rows));
        assert_eq!(
            (table.len(), table.is_empty()),
            (self.0.len(), self.0.is_empty())
        );
        for channel in 0..=u8::MAX {
            let expected = match self.0.get(&channel) {
                _ if channel == 0 => Dispatch::Control,
                None => Dispatch::Missing,
                Some((_, false)) => Dispatch::Disabled,
                Some((value, true)) => Dispatch::To(*value),
            };
            assert_eq!(table.dispatch(channel), expected);
            let is_through = matches!(expected, Dispatch::Control | Dispatch::To(_));
            assert_eq!(table.is_enabled(channel), is_through);
        }
    }
}

/// One direction of the proxy: what each side is owed.
#[derive(Clone, Copy, Default)]
struct Flow {
    waiting: u64,
    total: u64,
    is_paused: bool,
    has_ended: bool,
    is_end_told: bool,
    is_reset: bool,
    is_reset_told: bool,
}

/// Backlog, tickets and a proxy, each with its model.
pub(super) struct Parts {
    backlog: Backlog<u32>,
    limits: BacklogConfig,
    waiting: BTreeMap<u64, VecDeque<(u32, usize)>>,
    writes: u32,
    tickets: Tickets<u32>,
    tickets_max: usize,
    open: BTreeMap<u64, u32>,
    issued: BTreeSet<u64>,
    proxy: Proxy,
    window: u64,
    /// By where the bytes come from.
    flows: [Flow; 2],
    is_done: bool,
}

impl Parts {
    pub(super) fn new(bytes: &mut Bytes<'_>) -> Parts {
        let limits = backlog_limits(bytes);
        let (tickets_max, window) = (bytes.below(5), u64::from(bytes.next()));
        Parts {
            backlog: Backlog::new(limits),
            limits,
            waiting: BTreeMap::new(),
            writes: 0,
            tickets: Tickets::with_limit(tickets_max),
            tickets_max,
            open: BTreeMap::new(),
            issued: BTreeSet::new(),
            proxy: Proxy::with_window(window),
            window: window.max(1),
            flows: [Flow::default(); 2],
            is_done: false,
        }
    }

    fn size_of(&self, uid: StreamUid) -> usize {
        let queue = self.waiting.get(&uid.to_u64()).into_iter().flatten();
        queue.map(|(_, size)| size).sum()
    }

    fn size(&self) -> usize {
        self.waiting.values().flatten().map(|(_, size)| size).sum()
    }

    pub(super) fn backlog(&mut self, uid: StreamUid, bytes: &mut Bytes<'_>) {
        match bytes.next() {
            0..150 => self.push(uid, usize::from(bytes.next()) * 2),
            150..240 => self.pop(uid),
            _ => {
                self.limits = backlog_limits(bytes);
                self.backlog.set_config(self.limits);
            }
        }
        assert_eq!(self.backlog.size(), self.size());
        assert_eq!(self.backlog.size_of(uid), self.size_of(uid));
        let is_waiting = self.waiting.contains_key(&uid.to_u64());
        assert_eq!(self.backlog.is_waiting(uid), is_waiting);
    }

    fn push(&mut self, uid: StreamUid, size: usize) {
        let write = Foreign {
            from: None,
            ticket: Ticket::NONE,
            payload: self.writes,
            size,
        };
        let cost = size + size_of::<Foreign<u32>>();
        let is_room = self.size_of(uid) < self.limits.stream_size_max
            && self.size() + cost <= self.limits.size_max;
        match self.backlog.push(uid, write) {
            Ok(()) => {
                assert!(is_room, "a write beyond the bounds is taken");
                let queue = self.waiting.entry(uid.to_u64()).or_default();
                queue.push_back((self.writes, cost));
            }
            Err(BacklogFull(write)) => {
                assert!(!is_room, "a write within the bounds is refused");
                assert_eq!(write.payload, self.writes);
            }
        }
        self.writes += 1;
    }

    fn pop(&mut self, uid: StreamUid) {
        let front = self.backlog.front(uid).map(|write| write.payload);
        let popped = self.backlog.pop(uid);
        let queue = self.waiting.get_mut(&uid.to_u64());
        let expected = queue.and_then(VecDeque::pop_front);
        assert_eq!(popped.map(|write| (write.payload, write.size)), expected);
        assert_eq!(front, expected.map(|(payload, _)| payload));
        self.waiting.retain(|_, queue| !queue.is_empty());
    }

    pub(super) fn tickets(&mut self, bytes: &mut Bytes<'_>) {
        let what = bytes.next();
        if what < 120 {
            let issued = self.tickets.issue(what.into());
            assert_eq!(issued.is_ok(), self.open.len() < self.tickets_max);
            if let Ok(ticket) = issued {
                assert!(ticket.wants_answer());
                assert!(self.issued.insert(ticket.to_bits()), "{ticket:?} again");
                self.open.insert(ticket.to_bits(), what.into());
            }
        } else {
            let bits = if what < 220 && !self.issued.is_empty() {
                let place = bytes.below(self.issued.len());
                *self.issued.iter().nth(place).expect("below their number")
            } else {
                u64::from(bytes.next()) << (8 * (bytes.next() % 8)) | u64::from(bytes.next())
            };
            let redeemed = self.tickets.redeem(Ticket::from_bits(bits));
            assert_eq!(redeemed, self.open.remove(&bits));
        }
        let is_empty = self.open.is_empty();
        assert_eq!(
            (self.tickets.len(), self.tickets.is_empty()),
            (self.open.len(), is_empty)
        );
    }

    pub(super) fn proxy(&mut self, bytes: &mut Bytes<'_>) {
        let (what, size) = (bytes.next(), u64::from(bytes.next()));
        let side = [Side::A, Side::B][usize::from(what % 2)];
        let is_broken = self.flows.iter().any(|flow| flow.is_reset);
        match what {
            0..120 => {
                let flow = &mut self.flows[side as usize];
                if !flow.is_paused && !flow.has_ended && !is_broken {
                    (flow.waiting, flow.total) = (flow.waiting + size, flow.total + size);
                    self.proxy.received(side, size);
                }
            }
            120..236 => {
                // More than there is, now and then: frames and payload are not counted alike everywhere.
                let flow = &mut self.flows[side.other() as usize];
                flow.waiting -= flow.waiting.min(size);
                self.proxy.written(side, size);
            }
            236..250 => {
                self.flows[side as usize].has_ended = true;
                self.proxy.ended(side);
            }
            _ => {
                // After the end of both nobody is told any more.
                self.flows[side as usize].is_reset |= !self.is_done;
                self.proxy.reset(side);
            }
        }
        while let Some(action) = self.proxy.poll() {
            self.obey(action);
        }
        self.check_proxy();
        if self.is_done && bytes.next() < 64 {
            self.proxy = Proxy::with_window(self.window);
            (self.flows, self.is_done) = ([Flow::default(); 2], false);
        }
    }

    fn obey(&mut self, action: Action) {
        assert!(
            !self.is_done,
            "done is the last word, not before {action:?}"
        );
        let window = self.window;
        match action {
            Action::Pause(side) => {
                let flow = &mut self.flows[side as usize];
                assert!(!flow.is_paused && flow.waiting >= window);
                flow.is_paused = true;
            }
            Action::Resume(side) => {
                let flow = &mut self.flows[side as usize];
                assert!(flow.is_paused && flow.waiting <= window / 2);
                flow.is_paused = false;
            }
            Action::End(side) => {
                let flow = &mut self.flows[side.other() as usize];
                assert!(flow.has_ended && flow.waiting == 0 && !flow.is_end_told);
                flow.is_end_told = true;
            }
            Action::Reset(side) => {
                assert!(self.flows[side.other() as usize].is_reset);
                let flow = &mut self.flows[side as usize];
                assert!(!flow.is_reset && !flow.is_reset_told);
                flow.is_reset_told = true;
            }
            Action::Done => self.is_done = true,
        }
    }

    /// Nothing that is due was left unsaid.
    fn check_proxy(&self) {
        let is_broken = self.flows.iter().any(|flow| flow.is_reset);
        let is_over = is_broken || self.flows.iter().all(|flow| flow.is_end_told);
        assert_eq!((self.proxy.is_done(), self.is_done), (is_over, is_over));
        for (side, flow) in [Side::A, Side::B].into_iter().zip(&self.flows) {
            assert_eq!(self.proxy.in_flight(side), flow.waiting);
            assert_eq!(self.proxy.total(side), flow.total);
            assert_eq!(self.proxy.is_paused(side), flow.is_paused);
            if is_broken {
                assert!(flow.is_reset || flow.is_reset_told);
                continue;
            }
            assert!(flow.is_paused || flow.has_ended || flow.waiting < self.window);
            assert!(!flow.is_paused || flow.waiting > self.window / 2);
            assert!(!flow.has_ended || flow.waiting > 0 || flow.is_end_told);
        }
    }

    /// What waits is there, stream by stream.
    pub(super) fn check(&self) {
        let streams: BTreeSet<u64> = self.backlog.streams().map(StreamUid::to_u64).collect();
        assert!(streams.iter().eq(self.waiting.keys()));
        assert_eq!(self.backlog.is_empty(), self.waiting.is_empty());
    }
}

/// Room for a few writes.
fn backlog_limits(bytes: &mut Bytes<'_>) -> BacklogConfig {
    BacklogConfig {
        stream_size_max: [600, 0, 1, 100_000][bytes.below(4)],
        size_max: [2000, 0, 100, 100_000][bytes.below(4)],
    }
}
