//! Frames that have to be answered, that have nothing in them, or that change things over and over.

use hioload_http::h2::{ErrorCode, Limits, Offence, Reason};

use crate::h2_kit::wire::*;
use crate::streams::reset_at_once;
use crate::target::*;

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
fn replies() -> Vec<Named<Frames>> {
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
    let useless: Vec<Named<Frames>> = vec![
        ("of a kind that nobody knows", |_| {
            frame(0x42, 0, 0, b"hello")
        }),
        ("an answer to no PING", |_| frame(PING, ACK, 0, &[0; 8])),
        ("an acknowledgement of nothing", |_| {
            frame(SETTINGS, ACK, 0, &[])
        }),
        ("a reset of what is reset", |_| reset(3, ErrorCode::CANCEL)),
        ("DATA for what we have reset", |_| frame(DATA, 0, 5, &[])),
        ("a head for what we have reset", |_| head(5, GET, 0)),
        ("GOAWAY again", |_| frame(GOAWAY, 0, 0, &[0; 8])),
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
                    target.open(&[("x", "y")], 0)?;
                    target.feed(&frame(GOAWAY, 0, 0, &[0; 8]))?;
                }
                target.feed(&bytes(3))
            },
        );
    }
}

/// Once we have said which stream is the last, others are passed over.
#[test]
fn streams_after_the_last() {
    let raised = with(|limits| limits.glitch_burst = NO_LIMIT);
    let expected = (10_000, Reason::Glitch, Offence::GlitchFlood);
    holds(&Limits::default(), &raised, expected, |target| {
        if target.next == 3 {
            let now = target.side.now;
            target.side.connection.shutdown(now);
            let said = frames(&target.side.take_wire());
            let ping = said
                .iter()
                .find(|frame| frame.kind == PING)
                .expect("it warns");
            target.feed(&frame(PING, ACK, 0, &ping.payload))?;
        }
        target.open(GET, END_STREAM).map(|_| ())
    });
}
