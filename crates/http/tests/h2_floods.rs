//! What a peer can do to hurt, each attack against the limit that is there for it: as much as the limit allows is taken
//! and somebody else's request is answered; one more ends the attack with the reason counted; and without the limit there
//! is no end, so that it is this limit that holds, not another one.

mod h2_kit;

use std::time::Duration;

use h2_kit::wire::*;
use h2_kit::{Pair, Seen, Side, get};
use hioload_base::Time;
use hioload_http::h2::{ErrorCode, HeadKind, Limits, Offence, Reason};

/// More than any attack here brings.
const NO_LIMIT: u32 = u32::MAX;

/// A server, and a peer that writes its frames by hand.
struct Target {
    side: Side,
    /// The number of the next stream.
    next: u32,
    /// A request that has nothing to do with the attack, and waits for its answer.
    healthy: u32,
}

impl Target {
    fn new(limits: &Limits) -> Self {
        let mut side = Side::server(limits);
        side.feed(&hello()).expect("sound");
        let mut target = Self {
            side,
            next: 1,
            healthy: 1,
        };
        target.healthy = target.open(GET, END_STREAM).expect("sound");
        target.side.take_wire();
        target.side.take_seen();
        target
    }

    /// Input; what is said to it is read.
    fn feed(&mut self, bytes: &[u8]) -> Result<(), Offence> {
        let outcome = self.side.feed(bytes);
        if outcome.is_ok() {
            self.side.take_wire();
        }
        outcome
    }

    fn number(&mut self) -> u32 {
        let id = self.next;
        self.next += 2;
        id
    }

    /// Another stream.
    fn open(&mut self, fields: &[(&str, &str)], flags: u8) -> Result<u32, Offence> {
        let id = self.number();
        self.feed(&head(id, fields, flags)).map(|()| id)
    }

    /// What was answered to these frames.
    fn answer(&mut self, bytes: &[u8]) -> Vec<Frame> {
        self.side.take_wire();
        self.side.feed(bytes).expect("taken");
        frames(&self.side.take_wire())
    }

    fn count(&self, reason: Reason) -> u32 {
        self.side.connection.abuse().count(reason)
    }

    /// How many heads of requests the owner was given.
    fn heads(&self) -> usize {
        let is_head = |seen: &&Seen| matches!(seen, Seen::Head(_, HeadKind::Request, ..));
        self.side.seen.iter().filter(is_head).count()
    }

    fn sleep(&mut self, duration: Duration) {
        self.side.now += duration;
    }

    fn timeout(&mut self) -> Result<(), Offence> {
        let now = self.side.now;
        self.side.connection.handle_timeout(now)?;
        self.feed(b"")
    }

    /// The request of before is answered, whatever went on beside it.
    fn assert_serves(&mut self) {
        let id = self.healthy;
        assert!(
            !self
                .side
                .seen
                .iter()
                .any(|seen| matches!(seen, Seen::Reset(reset, ..) if *reset == id))
        );
        self.side.respond(id, 200, false);
        self.side.send(id, &[b'a'; 4096], true);
        let answer = frames(&self.side.take_wire());
        let [.., head, data] = &answer[..] else {
            panic!("{answer:?}");
        };
        assert_eq!((head.kind, head.stream), (HEADERS, id));
        assert_eq!((data.kind, data.flags, data.stream), (DATA, END_STREAM, id));
        assert_eq!(data.payload.len(), 4096);
        self.side.release(id);
    }

    /// The connection ended by this offence, in one word and for good.
    fn assert_ended(&mut self, offence: Offence) {
        let last = frames(&self.side.take_wire()).pop().expect("a last word");
        assert_eq!((last.kind, last.code()), (GOAWAY, offence.code()));
        assert!(self.side.connection.is_closed());
        assert_eq!(self.side.feed(&frame(PING, 0, 0, &[0; 8])), Err(offence));
        assert_eq!(self.side.take_wire(), []);
    }
}

type Outcome = Result<(), Offence>;

/// `limits` take the attack `count` times and no more; `raised`, which differ by one limit, take it three times as often.
fn holds(
    limits: &Limits,
    raised: &Limits,
    (count, reason, offence): (u32, Reason, Offence),
    attack: impl Fn(&mut Target) -> Outcome,
) {
    let mut target = Target::new(limits);
    let before = target.count(reason);
    for number in 0..count {
        assert_eq!(attack(&mut target), Ok(()), "{number} of {count}");
    }
    assert_eq!(target.count(reason) - before, count);
    target.assert_serves();
    assert_eq!(attack(&mut target), Err(offence));
    target.assert_ended(offence);

    let mut target = Target::new(raised);
    for number in 0..3 * count {
        assert_eq!(attack(&mut target), Ok(()), "{number} without a limit");
    }
    target.assert_serves();
}

fn with(change: impl FnOnce(&mut Limits)) -> Limits {
    let mut limits = Limits::default();
    change(&mut limits);
    limits
}

const SECOND: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

// Streams.

#[test]
fn streams_above_the_limit_are_refused() {
    let mut target = Target::new(&Limits::default());
    for _ in 1..128 {
        target.open(GET, END_STREAM).expect("taken");
    }
    assert_eq!(
        (target.heads(), target.count(Reason::StreamRefused)),
        (127, 0)
    );
    let id = target.number();
    let answer = target.answer(&head(id, GET, END_STREAM));
    assert_eq!(
        (answer.len(), answer[0].kind, answer[0].stream),
        (1, RST_STREAM, id)
    );
    assert_eq!(answer[0].code(), ErrorCode::REFUSED_STREAM);
    assert_eq!(
        (target.heads(), target.count(Reason::StreamRefused)),
        (127, 1)
    );
    // One is answered, and there is room for one.
    target.assert_serves();
    target.open(GET, END_STREAM).expect("taken");
    assert_eq!(
        (target.heads(), target.count(Reason::StreamRefused)),
        (128, 1)
    );

    let mut target = Target::new(&with(|limits| limits.streams_max = 10_000));
    for _ in 0..400 {
        target.open(GET, END_STREAM).expect("taken");
    }
    assert_eq!(
        (target.heads(), target.count(Reason::StreamRefused)),
        (400, 0)
    );
    target.assert_serves();
}

#[test]
fn tunnels_leave_room_for_requests() {
    let mut target = Target::new(&Limits::default());
    let tunnels: Vec<u32> = (0..64)
        .map(|_| target.open(TUNNEL, 0).expect("taken"))
        .collect();
    assert_eq!(target.heads(), 64);
    let id = target.number();
    let answer = target.answer(&head(id, TUNNEL, 0));
    assert_eq!(
        (answer[0].kind, answer[0].code()),
        (RST_STREAM, ErrorCode::REFUSED_STREAM)
    );
    assert_eq!(
        (target.heads(), target.count(Reason::TunnelRefused)),
        (64, 1)
    );
    // Requests go on.
    target.open(GET, END_STREAM).expect("taken");
    target.assert_serves();
    assert_eq!(
        (target.heads(), target.count(Reason::StreamRefused)),
        (65, 0)
    );
    // Where one ends, another one may begin.
    target.side.release(tunnels[0]);
    target.open(TUNNEL, 0).expect("taken");
    assert_eq!(
        (target.heads(), target.count(Reason::TunnelRefused)),
        (66, 1)
    );

    let mut target = Target::new(&with(|limits| limits.tunnels_max = 128));
    for _ in 0..127 {
        target.open(TUNNEL, 0).expect("taken");
    }
    assert_eq!(
        (target.heads(), target.count(Reason::TunnelRefused)),
        (127, 0)
    );
}

#[test]
fn being_refused_over_and_over() {
    let limits = with(|limits| limits.streams_max = 2);
    let raised = Limits {
        glitch_burst: NO_LIMIT,
        ..limits
    };
    for reason in [Reason::StreamRefused, Reason::Glitch] {
        holds(
            &limits,
            &raised,
            (10_000, reason, Offence::GlitchFlood),
            |target| {
                // Slots that are free are taken, and never released.
                loop {
                    let heads = target.heads();
                    target.open(GET, END_STREAM)?;
                    if target.heads() == heads {
                        return Ok(());
                    }
                }
            },
        );
    }
}

// Rapid reset: CVE-2023-44487, CVE-2023-26964.

/// Asks and takes it back at once. Who works for it ends as soon as it is told.
fn reset_at_once(target: &mut Target) -> Outcome {
    let id = target.number();
    target.feed(&[head(id, GET, END_STREAM), reset(id, ErrorCode::CANCEL)].concat())?;
    target.side.release(id);
    Ok(())
}

#[test]
fn half_of_all_streams_reset_at_once() {
    // The healthy one is the first of a hundred.
    let raised = with(|limits| limits.reset_half_streams = NO_LIMIT);
    let raised = Limits {
        reset_burst: NO_LIMIT,
        ..raised
    };
    for reason in [Reason::ResetEarly, Reason::ResetByPeer] {
        holds(
            &Limits::default(),
            &raised,
            (98, reason, Offence::ResetFlood),
            reset_at_once,
        );
    }
    // This limit alone: below the other one, it makes the difference.
    let raised = with(|limits| limits.reset_half_streams = NO_LIMIT);
    let mut target = Target::new(&raised);
    for _ in 0..200 {
        assert_eq!(reset_at_once(&mut target), Ok(()));
    }
    assert_eq!(reset_at_once(&mut target), Err(Offence::ResetFlood));
}

#[test]
fn half_of_the_streams_may_be_left() {
    let limits = with(|limits| limits.reset_burst = NO_LIMIT);
    let mut target = Target::new(&limits);
    for _ in 0..1000 {
        let id = target.open(GET, END_STREAM).expect("taken");
        target.side.release(id);
        reset_at_once(&mut target).expect("as many are kept");
    }
    target.assert_serves();
}

/// A hundred streams, all of them reset after a second: none is early.
fn reset_later(target: &mut Target) -> Outcome {
    let opened: Vec<u32> = (0..100)
        .map(|_| target.open(GET, END_STREAM))
        .collect::<Result<_, _>>()?;
    target.sleep(SECOND);
    for id in opened {
        target.feed(&reset(id, ErrorCode::CANCEL))?;
        target.side.release(id);
    }
    Ok(())
}

#[test]
fn resets_that_are_not_early_have_a_rate() {
    let mut target = Target::new(&Limits::default());
    // 200 at once, and 33 more every second: gone within the third second.
    for _ in 0..2 {
        assert_eq!(reset_later(&mut target), Ok(()));
    }
    target.assert_serves();
    assert_eq!(reset_later(&mut target), Err(Offence::ResetFlood));
    assert_eq!(target.count(Reason::ResetByPeer), 200 + 3 * 33 + 1);
    assert_eq!(target.count(Reason::ResetEarly), 0);
    target.assert_ended(Offence::ResetFlood);

    let mut target = Target::new(&with(|limits| limits.reset_burst = NO_LIMIT));
    for _ in 0..9 {
        assert_eq!(reset_later(&mut target), Ok(()));
    }
    target.assert_serves();
}

/// Whoever works for a stream works on after its reset: only its end makes room for another one.
#[test]
fn resets_make_no_room_for_more_work() {
    let unbounded = with(|limits| {
        limits.reset_burst = NO_LIMIT;
        limits.reset_half_streams = NO_LIMIT;
    });
    let flood = |limits: &Limits| {
        let mut target = Target::new(limits);
        for _ in 0..1000 {
            let id = target.number();
            let both = [head(id, GET, END_STREAM), reset(id, ErrorCode::CANCEL)].concat();
            target.feed(&both).expect("no rate is too high here");
        }
        target
    };
    let mut target = flood(&unbounded);
    assert_eq!(target.heads(), 127);
    assert_eq!(target.side.connection.stream_count(), 128);
    assert_eq!(target.count(Reason::ResetByPeer), 127);
    assert_eq!(target.count(Reason::StreamRefused), 1000 - 127);
    target.assert_serves();

    let mut target = flood(&Limits {
        streams_max: 10_000,
        ..unbounded
    });
    assert_eq!(
        (target.heads(), target.count(Reason::StreamRefused)),
        (1000, 0)
    );
    target.assert_serves();
}

// Streams that we are made to reset: CVE-2025-8671.

/// Ways to make us reset a stream that was opened as it has to be.
fn offences() -> Vec<(&'static str, fn(u32) -> Vec<u8>)> {
    let with_length: fn(u32) -> Vec<u8> = |id| {
        let fields = [POST, &[("content-length", "1")]].concat();
        [head(id, &fields, 0), frame(DATA, END_STREAM, id, b"ab")].concat()
    };
    vec![
        ("a window opened by nothing", |id| {
            [head(id, GET, END_STREAM), window_update(id, 0)].concat()
        }),
        ("a window beyond 2^31-1", |id| {
            [head(id, GET, END_STREAM), window_update(id, 0x7fff_ffff)].concat()
        }),
        ("PRIORITY of four bytes", |id| {
            [head(id, GET, END_STREAM), frame(PRIORITY, 0, id, &[0; 4])].concat()
        }),
        ("dependent on itself", |id| {
            let payload = [&id.to_be_bytes()[..], &[1]].concat();
            [head(id, GET, END_STREAM), frame(PRIORITY, 0, id, &payload)].concat()
        }),
        ("DATA after the end", |id| {
            [head(id, GET, END_STREAM), frame(DATA, 0, id, &[0; 300])].concat()
        }),
        ("a head after the end", |id| {
            [head(id, GET, END_STREAM), head(id, GET, END_STREAM)].concat()
        }),
        ("a second head that is no end", |id| {
            [head(id, POST, 0), head(id, &[("sum", "0")], 0)].concat()
        }),
        ("more DATA than the window", |id| {
            [head(id, POST, 0), frame(DATA, 0, id, &[0; 1001])].concat()
        }),
        ("more content than was said", with_length),
    ]
}

const SMALL_WINDOW: u32 = 1000;

#[test]
fn offences_of_streams_are_counted() {
    for (name, offence) in offences() {
        println!("{name}");
        let limits = with(|limits| limits.stream_window = SMALL_WINDOW);
        let raised = Limits {
            error_resets_max: NO_LIMIT,
            ..limits
        };
        holds(
            &limits,
            &raised,
            (1024, Reason::ResetByUs, Offence::ErrorFlood),
            |target| {
                let id = target.number();
                target.side.seen.clear();
                target.feed(&offence(id))?;
                // Its owner was told after the head, and ends.
                assert!(
                    matches!(target.side.seen[..], [Seen::Head(..), .., Seen::Reset(reset, _, false)] if reset == id)
                );
                target.side.release(id);
                Ok(())
            },
        );
    }
}

#[test]
fn offences_make_no_room_for_more_work() {
    for (name, offence) in offences() {
        let flood = |streams_max| {
            let mut target = Target::new(&with(|limits| {
                limits.stream_window = SMALL_WINDOW;
                limits.streams_max = streams_max;
            }));
            for _ in 0..400 {
                let id = target.number();
                // A frame too many for a stream that was refused may be the end of it all: no more is asked here.
                if target.feed(&offence(id)).is_err() {
                    break;
                }
            }
            target
        };
        let target = flood(128);
        assert_eq!(target.heads(), 127, "{name}");
        assert_eq!(target.side.connection.stream_count(), 128, "{name}");
        let mut target = flood(10_000);
        assert_eq!(target.heads(), 400, "{name}");
        target.assert_serves();
    }
}

#[test]
fn heads_that_are_malformed_are_counted() {
    let raised = with(|limits| limits.error_resets_max = NO_LIMIT);
    let expected = (1024, Reason::ResetByUs, Offence::ErrorFlood);
    holds(&Limits::default(), &raised, expected, |target| {
        let heads = target.heads();
        target.open(&[GET, &[("Upper", "case")]].concat(), END_STREAM)?;
        assert_eq!(target.heads(), heads, "nobody works for it");
        Ok(())
    });
}

// Header blocks: CVE-2024-27316, CVE-2024-24549.

/// A head in so many frames.
fn head_in_parts(id: u32, fields: &[(&str, &str)], continuations: usize) -> Vec<u8> {
    let block = block(fields);
    let cut = |number: usize| block.len() * number / (continuations + 1);
    let parts: Vec<&[u8]> = (0..=continuations)
        .map(|number| &block[cut(number)..cut(number + 1)])
        .collect();
    let mut bytes = Vec::new();
    for (number, part) in parts.iter().enumerate() {
        let kind = if number == 0 { HEADERS } else { CONTINUATION };
        let end = if number == continuations {
            END_HEADERS
        } else {
            0
        };
        let end_stream = if number == 0 { END_STREAM } else { 0 };
        bytes.extend(frame(kind, end | end_stream, id, part));
    }
    bytes
}

#[test]
fn header_blocks_in_many_parts() {
    let long = "x".repeat(200);
    let fields = [GET, &[("x-long", &long)]].concat();
    let mut target = Target::new(&Limits::default());
    let id = target.number();
    target.feed(&head_in_parts(id, &fields, 8)).expect("taken");
    assert_eq!((target.heads(), target.count(Reason::Continuation)), (1, 8));
    target.assert_serves();
    let id = target.number();
    assert_eq!(
        target.feed(&head_in_parts(id, &fields, 9)),
        Err(Offence::ContinuationFlood)
    );
    assert_eq!(
        (target.heads(), target.count(Reason::Continuation)),
        (1, 17)
    );
    target.assert_ended(Offence::ContinuationFlood);

    let mut target = Target::new(&with(|limits| limits.continuations_max = 255));
    let id = target.number();
    target.feed(&head_in_parts(id, &fields, 99)).expect("taken");
    assert_eq!(target.heads(), 1);
    target.assert_serves();
}

/// Parts that are as long as a frame can be.
#[test]
fn header_blocks_in_long_parts() {
    let long = vec!["x".repeat(16_000); 5];
    let fields: Vec<_> = long.iter().map(|value| ("x-long", &value[..])).collect();
    let fields = [GET, &fields].concat();
    let mut target = Target::new(&Limits::default());
    let id = target.number();
    assert_eq!(
        target.feed(&head_in_parts(id, &fields, 5)),
        Err(Offence::ContinuationFlood)
    );
    assert_eq!(target.heads(), 0);
    target.assert_ended(Offence::ContinuationFlood);

    let mut target = Target::new(&with(|limits| limits.header_list_size_max = 1 << 20));
    let id = target.number();
    target.feed(&head_in_parts(id, &fields, 5)).expect("taken");
    assert_eq!(target.heads(), 1);
    target.assert_serves();
}

#[test]
fn header_blocks_that_do_not_end() {
    let whole = head(3, GET, END_STREAM);
    let fragment = block(GET);
    // A block that is left open, a frame of which a byte is missing, and bytes that come one by one.
    let beginnings = [
        frame(HEADERS, END_STREAM, 3, &fragment),
        whole[..whole.len() - 1].to_vec(),
        whole[..10].to_vec(),
    ];
    for beginning in beginnings {
        let mut target = Target::new(&Limits::default());
        target.feed(&beginning).expect("taken");
        target.sleep(Duration::from_secs(10) - MS);
        assert_eq!(target.timeout(), Ok(()));
        target.assert_serves();
        target.sleep(MS);
        assert_eq!(target.side.connection.poll_timeout(), Some(target.side.now));
        assert_eq!(target.timeout(), Err(Offence::HeaderBlockTimeout));
        target.assert_ended(Offence::HeaderBlockTimeout);

        let mut target = Target::new(&with(|limits| {
            limits.header_block_timeout = DAY;
            limits.ping_interval = Duration::ZERO;
        }));
        target.feed(&beginning).expect("taken");
        target.sleep(DAY - MS);
        assert_eq!(target.timeout(), Ok(()));
        target.assert_serves();
    }
}

/// A list above its limit is that stream's end alone, and the compression stays in step.
#[test]
fn header_lists_above_the_limit() {
    let sized = |size: usize| {
        // Names, values, and 32 for each of five fields.
        let base: usize = GET
            .iter()
            .map(|(name, value)| name.len() + value.len() + 32)
            .sum();
        "x".repeat(size - base - 32 - "x-long".len())
    };
    let open = |target: &mut Target, size| {
        let (long, id) = (sized(size), target.number());
        target.answer(&head(id, &[GET, &[("x-long", &long)]].concat(), END_STREAM))
    };
    let mut target = Target::new(&Limits::default());
    assert_eq!(open(&mut target, 16_384 - 100), []);
    assert_eq!(target.heads(), 1);
    // Blocks are sent in one frame: more than that is in fields that an index stands for.
    let limits = with(|limits| limits.header_list_size_max = 4096);
    let mut target = Target::new(&limits);
    assert_eq!(open(&mut target, 4096), []);
    assert_eq!(
        (target.heads(), target.count(Reason::HeaderListTooBig)),
        (1, 0)
    );
    let answer = open(&mut target, 4097);
    assert_eq!(
        (answer.len(), answer[0].kind, answer[0].flags),
        (1, HEADERS, END_HEADERS | END_STREAM)
    );
    assert_eq!(
        (target.heads(), target.count(Reason::HeaderListTooBig)),
        (1, 1)
    );
    // An entry that came in a list too big is there for the next one.
    let id = target.number();
    let mut fragment = block(GET);
    fragment.extend_from_slice(&[0x40, 1, b'a', 1, b'b']);
    fragment.extend_from_slice(&block(&[("x-long", &sized(4097))]));
    target
        .feed(&frame(HEADERS, END_HEADERS | END_STREAM, id, &fragment))
        .expect("taken");
    assert_eq!(
        (target.heads(), target.count(Reason::HeaderListTooBig)),
        (1, 2)
    );
    let id = target.number();
    let fragment = [&block(GET)[..], &[0xbe]].concat();
    target
        .feed(&frame(HEADERS, END_HEADERS | END_STREAM, id, &fragment))
        .expect("taken");
    assert_eq!(target.side.list.field("a"), Some(&b"b"[..]));
    target.assert_serves();
    // Four times as much is decoded, and no more.
    let mut target = Target::new(&limits);
    let answer = open(&mut target, 4 * 4096 - 100);
    assert_eq!(answer[0].kind, HEADERS);
    target.assert_serves();
    let id = target.number();
    let long = "x".repeat(8100);
    let fields = [GET, &[("x-long", &long), ("x-long", &long)]].concat();
    assert!(block(&fields).len() < 16_384);
    assert_eq!(
        target.feed(&head(id, &fields, END_STREAM)),
        Err(Offence::HeaderListFlood)
    );
    target.assert_ended(Offence::HeaderListFlood);

    let mut target = Target::new(&with(|limits| limits.header_list_size_max = 1 << 20));
    let id = target.number();
    target.feed(&head(id, &fields, END_STREAM)).expect("taken");
    assert_eq!(
        (target.heads(), target.count(Reason::HeaderListTooBig)),
        (1, 0)
    );
}

#[test]
fn fields_above_the_limit() {
    let list = |count: usize| [GET, &vec![("x", ""); count - GET.len()]].concat();
    let mut target = Target::new(&Limits::default());
    target.open(&list(100), END_STREAM).expect("taken");
    assert_eq!(
        (target.heads(), target.count(Reason::HeaderListTooBig)),
        (1, 0)
    );
    let id = target.number();
    let answer = target.answer(&head(id, &list(101), END_STREAM));
    assert_eq!((answer.len(), answer[0].kind), (1, HEADERS));
    assert_eq!(
        (target.heads(), target.count(Reason::HeaderListTooBig)),
        (1, 1)
    );
    target.assert_serves();
    assert_eq!(
        target.open(&list(401), END_STREAM),
        Err(Offence::HeaderListFlood)
    );

    let mut target = Target::new(&with(|limits| limits.headers_max = 10_000));
    target.open(&list(401), END_STREAM).expect("taken");
    assert_eq!(
        (target.heads(), target.count(Reason::HeaderListTooBig)),
        (1, 0)
    );
}

#[test]
fn lists_too_big_over_and_over() {
    let limits = with(|limits| limits.header_list_size_max = 300);
    let raised = Limits {
        glitch_burst: NO_LIMIT,
        ..limits
    };
    let long = "x".repeat(300);
    for reason in [Reason::HeaderListTooBig, Reason::Glitch] {
        holds(
            &limits,
            &raised,
            (10_000, reason, Offence::GlitchFlood),
            |target| {
                target
                    .open(&[GET, &[("x", &long)]].concat(), END_STREAM)
                    .map(|_| ())
            },
        );
    }
}

/// Few bytes that stand for many.
#[test]
fn a_bomb_of_indexes() {
    let bomb = |references: usize| {
        let mut fragment = block(GET);
        // An entry of 4,000 bytes, and references to it.
        fragment.extend_from_slice(&[0x40, 1, b'x', 0x7f, 0xa1, 0x1e]);
        fragment.extend_from_slice(&[b'y'; 4000]);
        fragment.resize(fragment.len() + references, 0xbe);
        fragment
    };
    let mut target = Target::new(&Limits::default());
    target.assert_serves();
    let id = target.number();
    let bytes = frame(HEADERS, END_HEADERS | END_STREAM, id, &bomb(10_000));
    assert_eq!(target.feed(&bytes), Err(Offence::HeaderListFlood));
    assert_eq!(target.heads(), 0);
    assert!(
        target.side.list.size() <= 4 * 16_384 + 4033,
        "decoding stopped"
    );
    assert!(target.side.list.lines().len() <= 16_384);
    target.assert_ended(Offence::HeaderListFlood);

    let mut target = Target::new(&with(|limits| {
        limits.header_list_size_max = 1 << 20;
        limits.headers_max = 10_000;
    }));
    let id = target.number();
    let bytes = frame(HEADERS, END_HEADERS | END_STREAM, id, &bomb(200));
    target.feed(&bytes).expect("taken");
    assert_eq!(target.heads(), 1);
    assert_eq!(
        target
            .side
            .list
            .fields()
            .filter(|(name, _)| *name == b"x")
            .count(),
        201
    );
}

/// A peer that offers a large table makes us keep no more than we want.
#[test]
fn a_table_offered_is_not_filled() {
    let sizes = |limits: &Limits| {
        let mut target = Target::new(limits);
        target.feed(&settings(&[(1, u32::MAX)])).expect("taken");
        // Entries of 40 bytes: the first one is seen again when so many others came between.
        [20, 200].map(|count| {
            let mut respond = |value: String| {
                let id = target.open(GET, END_STREAM).expect("taken");
                let stream = target.side.streams[&id];
                let fields = [(&b"x"[..], value.as_bytes())];
                let sent = target
                    .side
                    .connection
                    .respond(stream, 200, fields.into_iter(), true);
                assert_eq!(sent, Ok(()));
                let answer = frames(&target.side.take_wire());
                target.side.release(id);
                answer.last().expect("a head").payload.len()
            };
            respond("0000000".to_owned());
            for number in 1..=count {
                respond(format!("{number:07}"));
            }
            respond("0000000".to_owned())
        })
    };
    // An index, of two bytes with the status, and a literal.
    let [near, far] = sizes(&Limits::default());
    assert!(near == 2 && far > 2, "{near} {far}");
    let [near, far] = sizes(&with(|limits| limits.encoder_table_size_max = 0));
    assert!(near > 2 && far > 2, "{near} {far}");
}

// Frames that have to be answered: CVE-2019-9512, -9514, -9515.

#[test]
fn pings() {
    let ping = |target: &mut Target| target.feed(&frame(PING, 0, 0, &[7; 8]));
    let raised = with(|limits| limits.ping_burst = NO_LIMIT);
    holds(
        &Limits::default(),
        &raised,
        (1000, Reason::Ping, Offence::PingFlood),
        ping,
    );
    // So many more every second.
    let mut target = Target::new(&Limits::default());
    for _ in 0..1000 {
        ping(&mut target).expect("taken");
    }
    target.sleep(SECOND);
    for _ in 0..100 {
        ping(&mut target).expect("taken");
    }
    assert_eq!(ping(&mut target), Err(Offence::PingFlood));
}

#[test]
fn settings_frames() {
    // Each changes all windows.
    let change = |target: &mut Target| {
        let size = 65_535 + target.count(Reason::Settings) % 2;
        target.feed(&settings(&[(4, size), (1, size % 4000)]))
    };
    let raised = with(|limits| limits.settings_burst = NO_LIMIT);
    // One came with the preface.
    holds(
        &Limits::default(),
        &raised,
        (99, Reason::Settings, Offence::SettingsFlood),
        change,
    );
}

#[test]
fn settings_of_many_entries() {
    let entries = |count| settings(&vec![(0x4242, 1); count]);
    let mut target = Target::new(&Limits::default());
    target.feed(&entries(32)).expect("taken");
    target.assert_serves();
    assert_eq!(target.feed(&entries(33)), Err(Offence::SettingsFlood));
    target.assert_ended(Offence::SettingsFlood);
    let mut target = Target::new(&with(|limits| limits.settings_max = 255));
    target.feed(&entries(255)).expect("taken");
    target.assert_serves();
}

/// Ways to make us say something, whoever listens.
fn replies() -> Vec<(&'static str, fn(u32) -> Vec<u8>)> {
    vec![
        ("ping", |_| frame(PING, 0, 0, &[7; 8])),
        ("settings", |_| settings(&[])),
        ("a malformed head", |id| head(id, &[("x", "y")], END_STREAM)),
        ("a head above the limit", |id| {
            head(id, &[GET, &[("x", &"y".repeat(300))]].concat(), END_STREAM)
        }),
    ]
}

#[test]
fn replies_that_nobody_reads() {
    for (name, request) in replies() {
        let unbounded = with(|limits| {
            limits.ping_burst = NO_LIMIT;
            limits.settings_burst = NO_LIMIT;
            limits.error_resets_max = NO_LIMIT;
            limits.header_list_size_max = 300;
        });
        let flood = |target: &mut Target, count: u32| -> Outcome {
            (0..count).try_for_each(|_| {
                let id = target.number();
                target.side.feed(&request(id))
            })
        };
        let mut target = Target::new(&unbounded);
        assert_eq!(flood(&mut target, 1000), Ok(()), "{name}");
        let size = target.side.connection.output().len();
        assert!(size <= 1000 * 17, "{name}: {size}");
        target.assert_serves();
        // What was read is not counted any more.
        assert_eq!(flood(&mut target, 1000), Ok(()), "{name}");
        assert_eq!(flood(&mut target, 1), Err(Offence::ReplyFlood), "{name}");
        target.assert_ended(Offence::ReplyFlood);

        let mut target = Target::new(&Limits {
            replies_max: u16::MAX,
            ..unbounded
        });
        assert_eq!(flood(&mut target, 3000), Ok(()), "{name}");
        target.assert_serves();
    }
}

#[test]
fn settings_of_ours_that_are_not_acknowledged() {
    let flood = |limits: &Limits| {
        let mut side = Side::server(limits);
        side.feed(&[PREFACE, &settings(&[])].concat())
            .expect("sound");
        let mut target = Target {
            side,
            next: 1,
            healthy: 1,
        };
        target.open(GET, END_STREAM).expect("taken");
        target
    };
    let mut target = flood(&Limits::default());
    target.sleep(Duration::from_secs(10) - MS);
    assert_eq!(target.timeout(), Ok(()));
    target.assert_serves();
    target.sleep(MS);
    assert_eq!(target.timeout(), Err(Offence::SettingsTimeout));
    target.assert_ended(Offence::SettingsTimeout);
    let mut target = flood(&with(|limits| {
        limits.settings_timeout = DAY;
        limits.ping_interval = Duration::ZERO;
    }));
    target.sleep(DAY - MS);
    assert_eq!(target.timeout(), Ok(()));
    target.assert_serves();
}

// Frames with nothing in them: CVE-2019-9518.

/// A stream whose request goes on, besides that of the healthy one.
fn upload(target: &mut Target, fields: &[(&str, &str)]) -> Result<u32, Offence> {
    if target.next == 3 {
        target.open(fields, 0)?;
    }
    Ok(3)
}

#[test]
fn empty_frames() {
    let raised = with(|limits| limits.empty_frames_max = NO_LIMIT);
    let expected = (100, Reason::EmptyFrame, Offence::EmptyDataFlood);
    // DATA of nothing, and of nothing but padding; of a request and of a tunnel.
    for fields in [POST, TUNNEL] {
        for (flags, payload) in [(0, &[][..]), (PADDED, &[0]), (PADDED, &[255; 256])] {
            holds(&Limits::default(), &raised, expected, |target| {
                let id = upload(target, fields)?;
                let zeros = [payload.first().copied().unwrap_or(0)];
                let payload = [
                    &zeros[..payload.len().min(1)],
                    &vec![0; payload.len().saturating_sub(1)],
                ]
                .concat();
                target.feed(&frame(DATA, flags, id, &payload))
            });
        }
    }
    // A part of a header block that has nothing in it.
    holds(&Limits::default(), &raised, expected, |target| {
        let id = target.number();
        let head = frame(HEADERS, END_STREAM, id, &[]);
        target.feed(&[head, frame(CONTINUATION, END_HEADERS, id, &block(GET))].concat())?;
        target.side.release(id);
        Ok(())
    });
}

#[test]
fn empty_ends_are_no_flood() {
    let mut target = Target::new(&Limits::default());
    for _ in 0..1000 {
        let id = target.open(POST, 0).expect("taken");
        target
            .feed(&frame(DATA, END_STREAM, id, &[]))
            .expect("an end");
        target.side.release(id);
    }
    assert_eq!(target.count(Reason::EmptyFrame), 0);
    target.assert_serves();
}

#[test]
fn tiny_frames() {
    let raised = with(|limits| limits.tiny_data_burst = NO_LIMIT);
    let expected = (10_000, Reason::TinyData, Offence::TinyDataFlood);
    // One byte, the most that is tiny, and one byte in much padding.
    for (flags, payload) in [
        (0, vec![0; 1]),
        (0, vec![0; 255]),
        (PADDED, [&[255][..], &[0; 256]].concat()),
    ] {
        holds(&Limits::default(), &raised, expected, |target| {
            let id = upload(target, POST)?;
            target.feed(&frame(DATA, flags, id, &payload))
        });
    }
    // What is not tiny, and what a tunnel carries, is not counted.
    let mut target = Target::new(&Limits::default());
    let (post, tunnel) = (
        target.open(POST, 0).expect("taken"),
        target.open(TUNNEL, 0).expect("taken"),
    );
    for _ in 0..11_000 {
        target
            .feed(&frame(DATA, 0, post, &[0; 256]))
            .expect("taken");
        target.feed(&frame(DATA, 0, tunnel, &[0])).expect("taken");
    }
    assert_eq!(target.count(Reason::TinyData), 0);
    target.assert_serves();
}

// Churn.

/// These limits are no settings: what was seen of streams and DATA raises them.
fn churns(
    count: u32,
    (reason, offence): (Reason, Offence),
    attack: impl Fn(&mut Target) -> Outcome,
) {
    let mut target = Target::new(&Limits::default());
    for _ in 0..count {
        assert_eq!(attack(&mut target), Ok(()));
    }
    assert_eq!(target.count(reason), count);
    target.assert_serves();
    let mut target = Target::new(&Limits::default());
    for _ in 0..count {
        assert_eq!(attack(&mut target), Ok(()));
    }
    assert_eq!(attack(&mut target), Err(offence));
    target.assert_ended(offence);
    // With as many streams as a peer that has use for it, there is no end.
    let mut target = Target::new(&Limits::default());
    for _ in 0..3 * count {
        let id = target.open(GET, END_STREAM).expect("taken");
        target.side.release(id);
        assert_eq!(attack(&mut target), Ok(()));
    }
    target.assert_serves();
}

#[test]
fn window_updates() {
    let flood = (Reason::WindowUpdate, Offence::WindowUpdateFlood);
    // Of the connection, of a stream, and of one that is gone.
    churns(102, flood, |target| target.feed(&window_update(0, 1)));
    churns(102, flood, |target| target.feed(&window_update(1, 1)));
    churns(104, flood, |target| {
        if target.next == 3 {
            let id = target.open(GET, END_STREAM)?;
            target.side.release(id);
        }
        target.feed(&window_update(3, 1))
    });
    // Each DATA frame is good for some, of its stream and of the connection.
    let mut target = Target::new(&Limits::default());
    target.side.respond(1, 200, false);
    for _ in 0..5000 {
        target.side.send(1, &[0; 1000], false);
        target.side.take_wire();
        target
            .feed(&[window_update(0, 1000), window_update(1, 1000)].concat())
            .expect("taken");
    }
}

#[test]
fn changes_of_priority() {
    let flood = (Reason::Priority, Offence::PriorityFlood);
    churns(200, flood, |target| {
        target.feed(&frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 7]))
    });
    // For streams that are not there yet, too.
    churns(200, flood, |target| {
        target.feed(&frame(PRIORITY, 0, 99_999, &[0, 0, 0, 0, 7]))
    });
    churns(200, flood, |target| {
        target.feed(&frame(PRIORITY_UPDATE, 0, 0, b"\0\0\0\x01u=1"))
    });
    churns(200, flood, |target| {
        target.feed(&frame(PRIORITY_UPDATE, 0, 0, b"\0\x01\0\x01u=1"))
    });
}

/// Frames that are legal and of no use to anybody.
#[test]
fn glitches() {
    let useless: Vec<(&str, fn() -> Vec<u8>)> = vec![
        ("of a kind that nobody knows", || {
            frame(0x42, 0, 0, b"hello")
        }),
        ("an answer to no PING", || frame(PING, ACK, 0, &[0; 8])),
        ("an acknowledgement of nothing", || {
            frame(SETTINGS, ACK, 0, &[])
        }),
        ("a reset of what is reset", || reset(3, ErrorCode::CANCEL)),
    ];
    let raised = with(|limits| limits.glitch_burst = NO_LIMIT);
    for (name, bytes) in useless {
        println!("{name}");
        holds(
            &Limits::default(),
            &raised,
            (10_000, Reason::Glitch, Offence::GlitchFlood),
            |target| {
                if target.next == 3 {
                    reset_at_once(target)?;
                }
                target.feed(&bytes())
            },
        );
    }
}

// Peers that leave no room: CVE-2019-9511, CVE-2019-9517.

/// A stream whose response waits for a window.
fn stalled(limits: &Limits, peer: &[(u16, u32)]) -> (Target, u32) {
    let mut target = Target::new(limits);
    let before = settings(peer);
    target.feed(&before).expect("taken");
    let id = target.open(GET, END_STREAM).expect("taken");
    target.side.respond(id, 200, false);
    target.side.send(id, &[b'x'; 100_000], true);
    target.side.take_wire();
    (target, id)
}

/// Lets a minute and a half pass, a quarter of a second at a time.
fn wait(target: &mut Target, mut each: impl FnMut(&mut Target) -> Outcome) -> Outcome {
    (0..360).try_for_each(|_| {
        target.sleep(SECOND / 4);
        each(target)?;
        target.timeout()
    })
}

#[test]
fn windows_that_stay_shut() {
    let patient = with(|limits| limits.stall_timeout = DAY);
    let attacks: [(&str, fn(&mut Target, u32) -> Outcome); 2] = [
        // A PING now and then says that the peer is there.
        ("nothing", |target, _| {
            target.feed(&frame(PING, 0, 0, &[0; 8]))
        }),
        ("byte by byte", |target, id| {
            let before = target.side.content[&id].len();
            target.feed(&window_update(id, 1))?;
            assert!(target.side.content[&id].len() >= before.saturating_sub(1));
            Ok(())
        }),
    ];
    for (name, attack) in attacks {
        // Windows of streams are shut; that of the connection, and of the one that came before, are not.
        let run = |limits: &Limits| {
            let mut target = Target::new(limits);
            target.side.take_seen();
            target.feed(&settings(&[(4, 0)])).expect("taken");
            target.feed(&window_update(1, 65_535)).expect("taken");
            // As many WINDOW_UPDATEs as this needs are none too many.
            for _ in 0..200 {
                let id = target.open(GET, END_STREAM).expect("taken");
                target.side.release(id);
            }
            let id = target.open(GET, END_STREAM).expect("taken");
            target.side.respond(id, 200, false);
            target.side.send(id, &[b'x'; 100_000], true);
            target.side.take_seen();
            let outcome = wait(&mut target, |target| attack(target, id));
            assert_eq!(outcome, Ok(()), "{name}: the connection is not at stake");
            (target, id)
        };
        let (mut target, id) = run(&Limits::default());
        let told = target.side.take_seen();
        assert_eq!(
            told,
            [Seen::Reset(id, ErrorCode::ENHANCE_YOUR_CALM, false)],
            "{name}"
        );
        assert_eq!(target.count(Reason::Stalled), 1, "{name}");
        target.assert_serves();
        let (mut target, _) = run(&patient);
        assert_eq!(target.side.take_seen(), [], "{name}");
        target.assert_serves();
    }
}

#[test]
fn a_window_of_the_connection_that_stays_shut() {
    let attacks: [(&str, fn(&mut Target) -> Outcome); 2] = [
        ("nothing", |target| target.feed(&frame(PING, 0, 0, &[0; 8]))),
        ("byte by byte", |target| target.feed(&window_update(0, 1))),
    ];
    for (name, attack) in attacks {
        let run = |limits: &Limits| {
            // Windows of streams are open wide: 65,535 bytes are sent, and then no more.
            let (mut target, _) = stalled(limits, &[(4, 1 << 30)]);
            for _ in 0..200 {
                let id = target.open(GET, END_STREAM).expect("taken");
                target.side.release(id);
            }
            wait(&mut target, attack)
        };
        assert_eq!(run(&Limits::default()), Err(Offence::Stalled), "{name}");
        assert_eq!(
            run(&with(|limits| limits.stall_timeout = DAY)),
            Ok(()),
            "{name}"
        );
    }
}

/// Who takes little, but takes it, is left in peace.
#[test]
fn slow_is_not_stalled() {
    let (mut target, id) = stalled(&Limits::default(), &[(4, 1000)]);
    for _ in 0..60 {
        target.sleep(Duration::from_secs(30));
        target
            .feed(&[window_update(0, 600), window_update(id, 600)].concat())
            .expect("taken");
        target.timeout().expect("there is progress");
    }
    assert_eq!(target.count(Reason::Stalled), 0);
}

// What the peer may send ahead.

#[test]
fn windows_hold() {
    // Nothing is consumed: as much as the window of a stream came, and no more does.
    let flood = |limits: &Limits| {
        let mut target = Target::new(limits);
        target.side.consumes = false;
        let id = target.open(POST, 0).expect("taken");
        for _ in 0..6 {
            target
                .feed(&frame(DATA, 0, id, &[0; 16_000]))
                .expect("the connection is not at stake");
        }
        let held: usize = target
            .side
            .seen
            .iter()
            .map(|seen| {
                if let Seen::Data(_, bytes, _) = seen {
                    bytes.len()
                } else {
                    0
                }
            })
            .sum();
        (target, id, held)
    };
    let (mut target, id, held) = flood(&Limits::default());
    assert_eq!(held, 4 * 16_000);
    assert_eq!(
        target.side.seen.last(),
        Some(&Seen::Reset(id, ErrorCode::FLOW_CONTROL_ERROR, false))
    );
    target.assert_serves();
    let (mut target, _, held) = flood(&with(|limits| limits.stream_window = 1 << 20));
    assert_eq!(held, 6 * 16_000);
    target.assert_serves();
}

#[test]
fn the_window_of_the_connection_holds() {
    // Many streams, each within its window.
    let flood = |limits: &Limits| {
        let mut target = Target::new(limits);
        target.side.consumes = false;
        for _ in 0..30 {
            let id = target.open(POST, 0).expect("taken");
            for _ in 0..4 {
                target.feed(&frame(DATA, 0, id, &[0; 16_000]))?;
            }
        }
        target.assert_serves();
        Ok(())
    };
    assert_eq!(
        flood(&Limits::default()),
        Err(Offence::ConnectionWindowExceeded)
    );
    assert_eq!(
        flood(&with(|limits| limits.connection_window = 1 << 30)),
        Ok(())
    );
}

// Peers that are gone, and connections that are to end.

#[test]
fn peers_that_say_nothing() {
    let mut target = Target::new(&Limits::default());
    target.sleep(Duration::from_secs(30));
    assert_eq!(
        target.side.connection.handle_timeout(target.side.now),
        Ok(())
    );
    let asked = frames(&target.side.take_wire());
    assert_eq!((asked.len(), asked[0].kind, asked[0].flags), (1, PING, 0));
    // One that answers stays.
    target
        .feed(&frame(PING, ACK, 0, &asked[0].payload))
        .expect("taken");
    target.sleep(Duration::from_secs(30));
    target.timeout().expect("asked again");
    target.assert_serves();
    target.sleep(Duration::from_secs(15));
    assert_eq!(target.timeout(), Err(Offence::PingTimeout));
    target.assert_ended(Offence::PingTimeout);

    let mut target = Target::new(&with(|limits| limits.ping_interval = Duration::ZERO));
    target.sleep(DAY);
    assert_eq!(target.timeout(), Ok(()));
    target.assert_serves();
}

#[test]
fn streams_that_outstay_a_shutdown() {
    let run = |limits: &Limits| {
        let mut target = Target::new(limits);
        let tunnel = target.open(TUNNEL, 0).expect("taken");
        target.side.connection.shutdown(target.side.now);
        for _ in 0..29 {
            target.sleep(SECOND);
            target.feed(&frame(DATA, 0, tunnel, b"x")).expect("taken");
            target.timeout().expect("there is time");
        }
        target.assert_serves();
        target.side.take_seen();
        target.sleep(SECOND);
        target.timeout().expect("in order");
        let told = target.side.take_seen();
        (target, told, tunnel)
    };
    let (mut target, told, tunnel) = run(&Limits::default());
    assert_eq!(told, [Seen::Reset(tunnel, ErrorCode::CANCEL, false)]);
    assert!(
        !target.side.connection.is_drained(),
        "its owner has not ended"
    );
    target.side.release(tunnel);
    assert!(target.side.connection.is_drained());
    let (_, told, _) = run(&with(|limits| limits.drain_timeout = DAY));
    assert_eq!(told, []);
}

// All of it together, by somebody who means no harm.

/// An hour of a busy client under the limits as they are: pages that are left, uploads, PINGs, settings that change.
#[test]
fn use_is_no_flood() {
    let mut pair = Pair::new();
    for round in 0..6000_u32 {
        pair.sleep(Duration::from_millis(600));
        let ids: Vec<u32> = (0..8).map(|_| pair.client.open(&get("/a"), true)).collect();
        pair.run();
        for &id in &ids {
            pair.server.respond(id, 200, false);
            pair.server.send(id, &[b'a'; 20_000], true);
        }
        // One of forty is not waited for.
        if round % 5 == 0 {
            let stream = pair.client.streams[&ids[0]];
            pair.client.connection.reset(stream, ErrorCode::CANCEL);
        }
        if round % 10 == 0 {
            pair.client.connection.ping(pair.client.now);
        }
        pair.run();
        for id in ids {
            pair.client.release(id);
            pair.server.release(id);
        }
        for side in [&mut pair.client, &mut pair.server] {
            let now = side.now;
            assert_eq!(side.connection.handle_timeout(now), Ok(()), "round {round}");
            assert!(!side.connection.is_closed());
            side.seen.clear();
        }
    }
    assert_eq!(pair.client.now, Time::ZERO + Duration::from_secs(3600));
    let counted = |reason| pair.server.connection.abuse().count(reason);
    assert_eq!(counted(Reason::ResetByPeer), 1200);
    assert_eq!(counted(Reason::Ping), 600);
    assert_eq!(
        counted(Reason::ResetByUs) + counted(Reason::StreamRefused) + counted(Reason::Stalled),
        0
    );
}
