//! In steady state nothing is allocated: publish, append, fan out, send, report.

mod common;

use common::Rig;
use hioload_live::{FeedConfig, OwnerConfig, Scan};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

struct Counting;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call is passed on to the system allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        COUNT.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller keeps the contract of `realloc`.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn steady_state_allocates_nothing() {
    let config = FeedConfig {
        exclude_sender: true,
        ..FeedConfig::default()
    };
    let mut rig = Rig::new(OwnerConfig::default(), config);
    let keys: Vec<_> = (0..100).map(|user| rig.subscribe(user)).collect();
    let origin = rig.feed.origin(keys[3]);
    let mut out = Vec::with_capacity(16);
    let mut turn = |rig: &mut Rig, round: usize| {
        for publication in 0..10 {
            let origin = if publication == 5 {
                origin
            } else {
                hioload_live::Origin::NONE
            };
            assert!(rig.publish_from(origin, &[7; 64]).is_ok());
        }
        rig.exchange();
        let mut scan = Scan::default();
        while let Some((key, user)) = rig.feed.next_ready(&mut scan) {
            // Some lag a while, some send in parts.
            if user % 10 == 0 && !round.is_multiple_of(16) {
                continue;
            }
            let bytes_max = if user % 7 == 0 { 100 } else { 1 << 20 };
            loop {
                out.clear();
                let size = rig.feed.next(key, bytes_max, &mut out);
                if size == 0 {
                    break;
                }
                rig.feed.sent(key, size, rig.now);
            }
        }
        rig.exchange();
    };
    // Long enough for every queue to have grown to its size.
    for round in 0..2000 {
        turn(&mut rig, round);
    }
    let before = COUNT.get();
    for round in 0..2000 {
        turn(&mut rig, round);
    }
    assert_eq!(
        COUNT.get() - before,
        0,
        "allocations in 20,000 publications to 100 subscribers"
    );
    assert!(rig.owner.stats().publications == 40_000);
}
