//! Streams: too many, taken back at once, and such that we are made to reset.

use hioload_http::h2::{ErrorCode, Limits, Offence, Reason};

use crate::h2_kit::Seen;
use crate::h2_kit::wire::*;
use crate::target::*;

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
pub(crate) fn reset_at_once(target: &mut Target) -> Outcome {
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
fn offences() -> Vec<Named<Frames>> {
    let with_length: Frames = |id| {
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

/// Requests that are answered at once, and never come to their end: each keeps its slot for a while, and no longer.
#[test]
fn requests_that_go_on_after_their_answer() {
    let refuse = |target: &mut Target| {
        let id = target.open(POST, 0).expect("taken");
        target.side.respond(id, 404, true);
        target.side.release(id);
        id
    };
    let mut target = Target::new(&Limits::default());
    let first = refuse(&mut target);
    (2..128).for_each(|_| assert!(refuse(&mut target) > first));
    assert_eq!(target.side.connection.stream_count(), 128);
    target.open(GET, END_STREAM).expect("taken");
    assert_eq!(target.count(Reason::StreamRefused), 1);
    // What comes of them is dropped, up to a size: then there is room for another one.
    for _ in 0..5 {
        target
            .feed(&frame(DATA, 0, first, &[0; 16_000]))
            .expect("dropped");
    }
    assert_eq!(target.side.connection.stream_count(), 127);
    // A second after the last one there is room for all.
    target.sleep(SECOND);
    assert_eq!(target.timeout(), Ok(()));
    assert_eq!(target.side.connection.stream_count(), 1);
    assert!(
        target
            .side
            .seen
            .iter()
            .all(|seen| matches!(seen, Seen::Head(..)))
    );
    target.assert_serves();
    assert_eq!(target.side.connection.stream_count(), 0);
}
