//! Peers that leave no room, read nothing, or say nothing; and what they may send ahead.

use std::time::Duration;

use hioload_http::h2::{ErrorCode, Limits, Offence, Reason};

use crate::h2_kit::wire::*;
use crate::h2_kit::{Seen, Side};
use crate::target::*;

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
    let attacks: [Named<Step>; 2] = [
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
    let attacks: [Named<Step>; 2] = [
        ("nothing", |target, _| {
            target.feed(&frame(PING, 0, 0, &[0; 8]))
        }),
        ("byte by byte", |target, _| {
            target.feed(&window_update(0, 1))
        }),
    ];
    for (name, attack) in attacks {
        let run = |limits: &Limits| {
            // Windows of streams are open wide: 65,535 bytes are sent, and then no more.
            let (mut target, _) = stalled(limits, &[(4, 1 << 30)]);
            for _ in 0..200 {
                let id = target.open(GET, END_STREAM).expect("taken");
                target.side.release(id);
            }
            wait(&mut target, |target| attack(target, 0))
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

/// Bytes that the owner was given.
fn held(target: &Target) -> usize {
    let size = |seen: &Seen| match seen {
        Seen::Data(_, bytes, _) => bytes.len(),
        _ => 0,
    };
    target.side.seen.iter().map(size).sum()
}

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
        let held = held(&target);
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

/// What is held of all streams is no more than their windows, whatever that of the connection lets through.
#[test]
fn windows_of_all_streams_hold() {
    let flood = |stream_window| {
        let mut target = Target::new(&with(|limits| {
            limits.stream_window = stream_window;
            limits.connection_window = 1 << 30;
        }));
        target.side.consumes = false;
        for _ in 0..127 {
            let id = target.open(POST, 0).expect("taken");
            for _ in 0..6 {
                let data = frame(DATA, 0, id, &[0; 16_000]);
                target.feed(&data).expect("the connection is not at stake");
            }
        }
        target.assert_serves();
        held(&target)
    };
    assert_eq!(flood(65_536), 127 * 4 * 16_000);
    assert_eq!(flood(1 << 20), 127 * 6 * 16_000);
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
