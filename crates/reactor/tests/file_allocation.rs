//! Reading and writing files allocates nothing in steady state. A program of its own: the counting allocator sees
//! every thread.

use std::alloc::System;
use std::fs::File;
use std::path::Path;

use hioload_mem::{BufferPool, PoolConfig};
use hioload_reactor::poll::PollDriver;
use hioload_reactor::{Completion, Driver, DriverConfig, FileHandle, FileId, Op, Wait};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static COUNTING: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const BLOCK: usize = 16 * 1024;
const AT_ONCE: u64 = 32;

/// Writes blocks and reads them back, all at once.
fn round(driver: &mut dyn Driver, file: FileId, pool: &BufferPool, events: &mut Vec<Completion>) {
    for token in 0..AT_ONCE {
        let mut buffer = pool.take(BLOCK).expect("budget");
        buffer.spare_mut()[0] = token as u8 + 1;
        buffer.advance(BLOCK);
        let write = Op::Write {
            file,
            token,
            offset: token * BLOCK as u64,
            content: buffer.seal(),
        };
        driver.submit(write).expect("taken");
    }
    finish(driver, events);
    for token in 0..AT_ONCE {
        let read = Op::Read {
            file,
            token,
            offset: token * BLOCK as u64,
            len: BLOCK,
            buffer: pool.take(BLOCK).expect("budget"),
        };
        driver.submit(read).expect("taken");
    }
    finish(driver, events);
}

fn finish(driver: &mut dyn Driver, events: &mut Vec<Completion>) {
    let mut count = 0;
    while count < AT_ONCE {
        driver.turn(Wait::Forever, events).expect("a turn");
        for event in events.drain(..) {
            count += 1;
            match event {
                Completion::Written { result, .. } => assert_eq!(result, Ok(BLOCK)),
                Completion::Read {
                    token,
                    result,
                    buffer,
                } => {
                    assert_eq!(result, Ok(BLOCK));
                    assert_eq!(buffer.as_slice()[0], token as u8 + 1);
                }
                other => panic!("unexpected {other:?}"),
            }
        }
    }
}

fn check(name: &str, driver: &mut dyn Driver) {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("allocation-{name}"));
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(true);
    let file = options.open(&path).expect("a temporary file");
    std::fs::remove_file(&path).expect("made above");
    let file = driver.open_file(FileHandle::System(file)).expect("room");
    let pool = BufferPool::new(PoolConfig::with_budget(16 << 20)).expect("a pool");
    let mut events = Vec::with_capacity(1024);
    for _ in 0..50 {
        round(driver, file, &pool, &mut events);
    }
    // Queues between threads may still grow to what the machine's load makes of them, a few times at most.
    let mut measure = || {
        let region = Region::new(COUNTING);
        for _ in 0..200 {
            round(driver, file, &pool, &mut events);
        }
        region.change()
    };
    let mut change = measure();
    for _ in 0..4 {
        if change.allocations + change.reallocations > 0 {
            change = measure();
        }
    }
    assert_eq!(
        (change.allocations, change.reallocations),
        (0, 0),
        "{name}: {change:?}"
    );
    println!("{name}: no allocation in 200 rounds of {AT_ONCE} writes and reads");
}

fn main() {
    let config = DriverConfig::default();
    #[cfg(target_os = "linux")]
    match hioload_reactor::uring::UringDriver::new(config.clone()) {
        Ok(mut driver) => check("uring", &mut driver),
        Err(refusal) => println!("skipped: {refusal}"),
    }
    let mut driver = PollDriver::new(config).expect("a selector");
    check("poll", &mut driver);
    // The count counts.
    let region = Region::new(COUNTING);
    drop(Vec::<u8>::with_capacity(100));
    assert!(region.change().allocations > 0);
}
