//! The storage half of the block store without sockets: the allocator, lookups in the index, and what a start costs.
//!
//! `cargo run --release -p hioload-bench --bin blocks-store -- [allocator|index] [DIRECTORY]`
//!
//! DIRECTORY is where the index is made, on the medium to be measured; a temporary one unless given.

#![forbid(unsafe_code)]

use std::error::Error;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use hioload_base::Prng;
use hioload_blocks::{
    BLOCK_SIZE_MAX, Block, Buddy, Class, Flags, Hash, Index, Mdbx, MdbxOptions, Record, Sums,
};

/// Bytes of the data file that the allocator divides.
const FILE_SIZE: u64 = 64 << 30;
/// Operations of the long trace: a day at more than a thousand a second.
const TRACE_OPS: u64 = 100_000_000;
/// Rows of the index.
const BLOCK_COUNT: u64 = 1_000_000;
/// Rows of one commit while it is filled.
const BATCH: u64 = 1000;
/// Lookups that are timed one by one.
const LOOKUPS: usize = 200_000;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let what = args.next().unwrap_or_else(|| "all".to_owned());
    let directory = args.next().map_or_else(std::env::temp_dir, PathBuf::from);
    if what == "all" || what == "allocator" {
        pairs();
        trace();
    }
    if what == "all" || what == "index" {
        let path = directory.join(format!("blocks-store-bench-{}.mdbx", std::process::id()));
        let outcome = index(&path);
        for suffix in ["", "-lck"] {
            let mut name = path.clone().into_os_string();
            name.push(suffix);
            std::fs::remove_file(name)?;
        }
        outcome?;
    }
    Ok(())
}

/// A length from 1 byte to 512 KiB, each doubling as likely as any other.
fn any_length(prng: &mut Prng) -> u32 {
    let top = 1u64 << (1 + prng.below(19));
    (top - prng.below(top.div_ceil(2))) as u32
}

fn any_class(prng: &mut Prng) -> Class {
    Class::for_length(any_length(prng)).expect("invariant: such a length fits")
}

fn rate(count: u64, took: Duration) -> String {
    let per_second = count as f64 / took.as_secs_f64();
    format!(
        "{:6.1} M/s, {:5.1} ns each",
        per_second / 1e6,
        1e9 / per_second
    )
}

/// A file of which three quarters are in use: every free block is somewhere among used ones.
fn filled(prng: &mut Prng) -> (Buddy, Vec<Block>) {
    let mut buddy = Buddy::new(FILE_SIZE);
    let mut live = Vec::new();
    while buddy.space().used_bytes() < FILE_SIZE / 4 * 3 {
        live.extend(buddy.alloc(any_class(prng)));
    }
    (buddy, live)
}

/// An allocation and a free, over and over, in a file in use; the blocks that are freed are chosen beforehand.
fn pairs() {
    let mut prng = Prng::new(1);
    let (mut buddy, mut live) = filled(&mut prng);
    println!(
        "allocator: {} GiB, {} blocks, three quarters in use",
        FILE_SIZE >> 30,
        live.len()
    );
    const PAIRS: u64 = 10_000_000;
    let choices: Vec<(u32, Class)> = (0..PAIRS)
        .map(|_| (prng.below(live.len() as u64) as u32, any_class(&mut prng)))
        .collect();
    for round in 0..3 {
        let start = Instant::now();
        for (which, class) in &choices {
            let place = &mut live[*which as usize];
            buddy
                .free(*place)
                .expect("invariant: what is live is allocated");
            *place = buddy
                .alloc(*class)
                .expect("invariant: a quarter of the file is free");
        }
        println!(
            "  free a random block, alloc another   {} (round {round})",
            rate(PAIRS, start.elapsed())
        );
    }
    let start = Instant::now();
    for (_, class) in &choices {
        let block =
            black_box(buddy.alloc(*class)).expect("invariant: a quarter of the file is free");
        buddy.free(block).expect("invariant: just allocated");
    }
    println!(
        "  alloc, free the same                 {}",
        rate(PAIRS, start.elapsed())
    );
    buddy.check().expect("invariant: consistent");
}

/// The long trace: blocks of all lengths come and go, and the use of the file wanders between half and nine tenths.
fn trace() {
    let mut prng = Prng::new(2);
    let (mut buddy, mut live) = filled(&mut prng);
    let (mut used, mut fills, mut refused, mut worst) =
        (buddy.space().used_bytes(), true, 0u64, 0.0f64);
    let start = Instant::now();
    for op in 0..TRACE_OPS {
        // Mostly one for one, with a drift.
        if prng.chance(if fills { 11 } else { 9 }, 20) || live.is_empty() {
            match buddy.alloc(any_class(&mut prng)) {
                Some(block) => {
                    used += u64::from(block.size());
                    live.push(block);
                }
                None => refused += 1,
            }
        } else {
            let which = prng.below(live.len() as u64) as usize;
            let block = live.swap_remove(which);
            used -= u64::from(block.size());
            buddy
                .free(block)
                .expect("invariant: what is live is allocated");
        }
        if used > FILE_SIZE / 10 * 9 {
            fills = false;
        } else if used < FILE_SIZE / 2 {
            fills = true;
        }
        if op % 1_000_000 == 0 {
            worst = worst.max(buddy.space().fragmentation());
        }
    }
    let took = start.elapsed();
    let space = buddy.space();
    println!(
        "trace: {} M operations with their random numbers, {}",
        TRACE_OPS / 1_000_000,
        rate(TRACE_OPS, took)
    );
    println!(
        "  {} blocks, {:.1} % in use, refused {refused}",
        live.len(),
        100.0 * used as f64 / FILE_SIZE as f64
    );
    println!(
        "  fragmentation {:.4} at the end, {worst:.4} at worst; free blocks of each order {:?}",
        space.fragmentation(),
        space.free
    );
    buddy.check().expect("invariant: consistent");
}

fn hash(n: u64) -> Hash {
    Hash::of(&n.to_le_bytes())
}

fn index(path: &Path) -> Result<(), Box<dyn Error>> {
    fill(path)?;
    start_up(path)?;
    lookups(path)?;
    commits(path)
}

fn fill(path: &Path) -> Result<(), Box<dyn Error>> {
    let mut prng = Prng::new(3);
    let mut buddy = Buddy::new(2 * FILE_SIZE);
    let mut index = Mdbx::open(path, MdbxOptions::default())?.writer();
    let content = vec![7; BLOCK_SIZE_MAX as usize];
    let start = Instant::now();
    for n in 0..BLOCK_COUNT {
        let length = any_length(&mut prng);
        let class = Class::for_length(length).ok_or("a length that fits")?;
        let record = Record {
            block: buddy.alloc(class).ok_or("the file is full")?,
            length,
            created: n,
            flags: Flags::NONE,
            sums: Sums::of(&content[..length as usize]),
        };
        index.put_block(&hash(n), &record)?;
        if n % BATCH == BATCH - 1 {
            index.commit(false)?;
        }
    }
    index.sync()?;
    println!(
        "index: {BLOCK_COUNT} records, {BATCH} a commit, not synced: {}",
        rate(BLOCK_COUNT, start.elapsed())
    );
    let space = index.space()?;
    println!(
        "  {} MiB in use, {} bytes a record; data {} GiB",
        space.used_to >> 20,
        space.used_to / BLOCK_COUNT,
        buddy.space().used_bytes() >> 30
    );
    Ok(())
}

/// What a start does: opens the index, reads every record, rebuilds the free map.
fn start_up(path: &Path) -> Result<(), Box<dyn Error>> {
    for round in 0..3 {
        let start = Instant::now();
        let mut index = Mdbx::open(path, MdbxOptions::default())?.writer();
        let opened = start.elapsed();
        let mut buddy = Buddy::new(2 * FILE_SIZE);
        let mut overlaps = 0;
        let count = index.scan(&mut |_, record| {
            overlaps += u64::from(buddy.reserve(record.block).is_err());
            Ok(())
        })?;
        println!(
            "start: {count} records in {:.3} s (opened in {:.4} s; {overlaps} overlaps; round {round})",
            start.elapsed().as_secs_f64(),
            opened.as_secs_f64()
        );
    }
    Ok(())
}

fn lookups(path: &Path) -> Result<(), Box<dyn Error>> {
    let mdbx = Mdbx::open(path, MdbxOptions::default())?;
    let mut reader = mdbx.reader()?;
    let mut prng = Prng::new(4);
    let hashes: Vec<Hash> = (0..LOOKUPS)
        .map(|_| hash(prng.below(BLOCK_COUNT)))
        .collect();
    let absent: Vec<Hash> = (0..LOOKUPS as u64).map(|n| hash(BLOCK_COUNT + n)).collect();
    let one = vec![hashes[0]; LOOKUPS];
    let mut record = Record::blank();
    for (what, hashes, expected) in [
        ("any block", &hashes, true),
        ("the same block", &one, true),
        ("no such block", &absent, false),
    ] {
        let mut latencies = Vec::with_capacity(hashes.len());
        for hash in hashes {
            let start = Instant::now();
            let found = reader.block(hash, &mut record)?;
            latencies.push(start.elapsed());
            assert_eq!(found, expected);
        }
        latencies.sort();
        let at = |percent: usize| latencies[latencies.len() * percent / 100].as_nanos();
        let mean: u128 = latencies.iter().map(Duration::as_nanos).sum::<u128>() / LOOKUPS as u128;
        println!(
            "lookup, {what:15} mean {mean} ns, p50 {}, p90 {}, p99 {}",
            at(50),
            at(90),
            at(99)
        );
    }
    Ok(())
}

/// What a batch costs, and how much of that is the medium.
fn commits(path: &Path) -> Result<(), Box<dyn Error>> {
    let mut record = Record::blank();
    let mut n = 2 * BLOCK_COUNT;
    for sync in [false, true] {
        let mut index = Mdbx::open(path, MdbxOptions::default())?.writer();
        for size in [1, 64] {
            let rounds = if sync { 500 } else { 2000 };
            let start = Instant::now();
            for _ in 0..rounds {
                for _ in 0..size {
                    n += 1;
                    record.created = n;
                    index.put_block(&hash(n), &record)?;
                }
                index.commit(sync)?;
            }
            let took = start.elapsed();
            println!(
                "commit of {size:2} records, synced {sync:5}  {:8.1} us, {:9.0} records/s",
                took.as_secs_f64() * 1e6 / f64::from(rounds),
                f64::from(rounds * size) / took.as_secs_f64()
            );
        }
    }
    Ok(())
}
