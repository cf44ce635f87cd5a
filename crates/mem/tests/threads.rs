//! Segments dropped on other threads while their pool works, and after it is gone.
#![cfg(not(loom))]

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use hioload_base::Prng;
use hioload_mem::{BufferPool, PoolConfig, Segment};

const READERS: usize = 3;
const QUEUE: usize = 64;

/// A message: first byte says what all others must be.
fn check(segment: &Segment) {
    let first = segment[0];
    assert!(
        segment.iter().all(|byte| *byte == first),
        "bytes changed while shared"
    );
}

/// Keeps some segments for a while, drops others at once, slices and clones.
fn read(messages: &Receiver<Segment>, seed: u64) -> u64 {
    let mut prng = Prng::new(seed);
    let mut kept: Vec<Segment> = Vec::new();
    let mut count = 0;
    while let Ok(segment) = messages.recv() {
        check(&segment);
        count += 1;
        match prng.below(4) {
            0 => kept.push(segment.slice(segment.len() / 2..)),
            1 => kept.push(segment.clone()),
            2 if !kept.is_empty() => drop(kept.swap_remove(0)),
            _ => {}
        }
        if kept.len() > 16 {
            kept.iter().for_each(check);
            kept.clear();
        }
    }
    kept.iter().for_each(check);
    count
}

fn readers() -> (Vec<SyncSender<Segment>>, Vec<JoinHandle<u64>>) {
    let reader = |seed| {
        let (sender, receiver) = sync_channel(QUEUE);
        (sender, thread::spawn(move || read(&receiver, seed)))
    };
    (0..READERS as u64).map(reader).unzip()
}

/// Publishes to every reader; returns how many messages were sent.
fn publish(pool: &BufferPool, senders: &[SyncSender<Segment>], messages: usize) -> u64 {
    let mut prng = Prng::new(7);
    let mut sent = 0;
    let mut open = None;
    for index in 0..messages {
        let len = 1 + prng.below(700) as usize;
        let mut buffer = match open.take() {
            Some(buffer) => buffer,
            None => match pool.take(4096) {
                Some(buffer) => buffer,
                None => {
                    thread::yield_now(); // the readers have it all
                    continue;
                }
            },
        };
        if buffer.extend_from_slice(&vec![index as u8; len]).is_err() {
            continue; // full: dropped, the next round takes another
        }
        let segment = buffer.split_seal();
        open = Some(buffer);
        for sender in senders {
            sender.send(segment.clone()).expect("reader lives");
            sent += 1;
        }
    }
    sent
}

#[test]
fn everything_returns_from_other_threads() {
    let pool = BufferPool::new(PoolConfig::with_budget(256 << 10)).expect("pool");
    let (senders, threads) = readers();
    let sent = publish(&pool, &senders, 20_000);
    drop(senders);
    let received: u64 = threads
        .into_iter()
        .map(|thread| thread.join().expect("reader"))
        .sum();
    assert_eq!(received, sent);
    assert!(sent > 0);
    let stats = pool.stats();
    assert_eq!(stats.bytes_in_use, 0);
    assert!(stats.bytes_mapped <= 256 << 10);
}

#[test]
fn pools_end_while_their_segments_are_read() {
    let (senders, threads) = readers();
    let mut sent = 0;
    for _ in 0..100 {
        let pool = BufferPool::new(PoolConfig::with_budget(128 << 10)).expect("pool");
        sent += publish(&pool, &senders, 40);
    }
    drop(senders);
    let received: u64 = threads
        .into_iter()
        .map(|thread| thread.join().expect("reader"))
        .sum();
    assert_eq!(received, sent);
}

#[test]
fn buffers_are_written_and_dropped_elsewhere() {
    let pool = BufferPool::new(PoolConfig::with_budget(1 << 20)).expect("pool");
    for round in 0..100_u8 {
        let mut buffer = pool.take(1024).expect("all came back");
        let work = move || {
            buffer.extend_from_slice(&[round; 100]).expect("room");
            buffer.split_seal()
        };
        let segment = thread::spawn(work).join().expect("writer");
        assert_eq!(segment, [round; 100]);
        assert_eq!(pool.stats().bytes_in_use, 1024);
        drop(segment);
        assert_eq!(pool.stats().bytes_in_use, 0);
    }
}
