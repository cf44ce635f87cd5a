//! All of it together, by somebody who means no harm.

use std::time::Duration;

use hioload_base::Time;
use hioload_http::h2::{ErrorCode, Reason};

use crate::h2_kit::{Pair, get};

/// An hour of a busy client under the limits as they are: pages that are left, and PINGs.
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
