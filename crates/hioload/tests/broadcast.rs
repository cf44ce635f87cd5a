//! `Broadcast`: a message comes to everybody else, or its publisher is told that it does not.

mod kit;

use hioload::client::Incoming;
use hioload::{Broadcast, CloseCode, DriverChoice, Server};
use kit::{Running, on_each_driver};

/// No buffer is larger, and a frame has up to ten bytes of header; room is asked for four more.
const PAYLOAD_MAX: usize = (1 << 20) - 14;

fn at_the_limit(driver: DriverChoice, workers: usize) {
    let builder = Server::builder().driver(driver).workers(workers);
    let running = Running::start(builder.handler(|_| Broadcast::default()));
    // Some of them are on either worker.
    let mut sessions: Vec<_> = (0..4).map(|_| running.websocket()).collect();
    running.wait("all subscribe", |stats| stats.subscriptions == 4);
    for place in 0..sessions.len() {
        let payload = vec![place as u8; PAYLOAD_MAX];
        sessions[place].send_binary(&payload).expect("open");
        for (other, session) in sessions.iter_mut().enumerate() {
            if other != place {
                let received = session.recv().expect("in time");
                assert!(received == Some(Incoming::Binary(payload.clone())));
            }
        }
    }
    for session in &mut sessions {
        session.send_binary(&[1; PAYLOAD_MAX + 1]).expect("open");
        assert_eq!(session.recv().expect("in time"), None);
        let closing = session.closing().expect("it was closed");
        assert_eq!(closing.code, CloseCode::TOO_BIG);
    }
    running.wait("both are counted", |stats| {
        (stats.publications, stats.publications_refused) == (4, 4)
    });
}

#[test]
fn a_message_too_large_for_the_channel_closes_with_1009() {
    on_each_driver(|driver| {
        at_the_limit(driver, 1);
        at_the_limit(driver, 2);
    });
}
