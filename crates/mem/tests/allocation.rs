//! In steady state nothing is allocated. A program of its own: the counting allocator sees every thread.
#![cfg_attr(
    loom,
    expect(
        dead_code,
        unused_imports,
        reason = "loom's atomics work inside of its models only"
    )
)]

use std::alloc::System;

use hioload_mem::{BufferPool, PoolConfig, Segment};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static COUNTING: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Echo: a buffer of each size, sealed and dropped. Fan-out: one buffer, many segments, many clones.
fn work(pool: &BufferPool, held: &mut Vec<Segment>) {
    for size in [1, 300, 1_000, 5_000, 60_000, 200_000] {
        let mut buffer = pool.take(size).expect("within the budget");
        buffer.extend_from_slice(b"echo").expect("room");
        held.push(buffer.seal());
    }
    held.clear();
    let mut log = pool.take(64 << 10).expect("within the budget");
    for _ in 0..20 {
        log.extend_from_slice(b"publication").expect("room");
        let publication = log.split_seal();
        for subscriber in 0..10 {
            held.push(publication.clone().slice(subscriber % 3..));
        }
    }
    held.clear();
}

#[cfg(loom)]
fn main() {}

#[cfg(not(loom))]
fn main() {
    let pool = BufferPool::new(PoolConfig::with_budget(16 << 20)).expect("pool");
    let mut held = Vec::with_capacity(1_000);
    work(&pool, &mut held);
    let region = Region::new(COUNTING);
    for _ in 0..1_000 {
        work(&pool, &mut held);
    }
    let change = region.change();
    assert_eq!(
        (change.allocations, change.reallocations),
        (0, 0),
        "{change:?}"
    );

    // The count counts: memory from outside of the pool is seen.
    let region = Region::new(COUNTING);
    drop(Segment::copy_from(b"outside"));
    assert!(region.change().allocations > 0);
    println!("steady state: no allocation in 1000 rounds");
}
