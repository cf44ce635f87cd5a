//! What one delivery costs here: `cargo bench -p hioload-live`.
//!
//! One publication of 64 bytes to 1,000 subscribers at the same position, one send each; sends are
//! pretended, so this is the price of the log and the cursors alone.

#[path = "../tests/common/mod.rs"]
mod common;

use common::Rig;
use hioload_live::{FeedConfig, OwnerConfig, Scan};
use std::time::Instant;

const SUBSCRIBERS: usize = 1000;
const ROUNDS: usize = 5000;

fn main() {
    for (what, exclude_sender, batch) in [
        ("1 publication a send", false, 1),
        ("1 publication a send, sender excluded", true, 1),
        ("32 publications a send", false, 32),
        (
            "32 publications a send, 1 in 8 by the subscriber itself",
            true,
            32,
        ),
    ] {
        let config = FeedConfig {
            exclude_sender,
            ..FeedConfig::default()
        };
        let mut rig = Rig::new(OwnerConfig::default(), config);
        let keys: Vec<_> = (0..SUBSCRIBERS as u64)
            .map(|user| rig.subscribe(user))
            .collect();
        let mut out = Vec::with_capacity(16);
        let (mut publish_ns, mut fan_out_ns, mut deliveries) = (0, 0, 0);
        for round in 0..ROUNDS / batch {
            let start = Instant::now();
            for publication in 0..batch {
                let is_own = exclude_sender && publication % 8 == 7;
                let key = keys[if is_own { 0 } else { round % SUBSCRIBERS }];
                let origin = rig.feed.origin(key);
                assert!(rig.publish_from(origin, &[7; 64]).is_ok());
            }
            rig.exchange();
            publish_ns += start.elapsed().as_nanos();
            let start = Instant::now();
            let mut scan = Scan::default();
            while let Some((key, _)) = rig.feed.next_ready(&mut scan) {
                out.clear();
                let size = rig.feed.next(key, 1 << 20, &mut out);
                if size > 0 {
                    rig.feed.sent(key, size, rig.now);
                    deliveries += 1;
                }
            }
            rig.exchange();
            fan_out_ns += start.elapsed().as_nanos();
        }
        let publications = (ROUNDS / batch * batch) as u128;
        println!(
            "{what}: {} ns a publication (encode, append, report), {} ns a send (scan, next, sent)",
            publish_ns / publications,
            fan_out_ns / deliveries,
        );
    }
}
