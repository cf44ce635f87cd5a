//! What the block store is measured against, where no other program does it.
//!
//! - `blocks-peer sha256 SECONDS`: SHA-256 of contents of 512 KiB on one core, as one line of JSON;
//! - `blocks-peer fill DIRECTORY COUNT`: a store whose index names COUNT blocks of 4 KiB, without their contents.

#![forbid(unsafe_code)]

use std::error::Error;
use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use hioload_base::Prng;
use hioload_blocks::{
    BLOCK_SIZE_MAX, Buddy, Class, Disk, Flags, Hash, Index, MACRO, Record, Store, StoreOptions,
    Sums,
};

/// Contents that are hashed in turn: more than the caches of a core, as a server meets them.
const CONTENTS: usize = 16;
/// Rows of one commit.
const BATCH: u64 = 1000;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words[..] {
        ["sha256", seconds] => sha256(Duration::from_secs_f64(seconds.parse()?)),
        ["fill", directory, count] => return fill(Path::new(directory), count.parse()?),
        _ => return Err("usage: blocks-peer sha256 SECONDS | fill DIRECTORY COUNT".into()),
    }
    Ok(())
}

fn sha256(time: Duration) {
    let size = BLOCK_SIZE_MAX as usize;
    let mut contents = vec![0; CONTENTS * size];
    Prng::new(1).fill(&mut contents);
    let (start, mut bytes) = (Instant::now(), 0);
    while start.elapsed() < time {
        for content in contents.chunks_exact(size) {
            black_box(Hash::of(content));
            bytes += size;
        }
    }
    let per_second = bytes as f64 / start.elapsed().as_secs_f64();
    println!("{{\"bytes_per_second\":{per_second}}}");
}

fn fill(directory: &Path, count: u64) -> Result<(), Box<dyn Error>> {
    let options = StoreOptions {
        creates: true,
        ..StoreOptions::default()
    };
    let mut store = Store::open(directory, options)?;
    let class = Class::for_length(4096).ok_or("a length that fits")?;
    let size = (count * u64::from(class.size())).next_multiple_of(MACRO);
    store.disk.grow(size)?;
    let mut buddy = Buddy::new(size);
    let mut index = store.index.writer();
    let sums = Sums::of(&[0; 4096]);
    for n in 0..count {
        let record = Record {
            block: buddy.alloc(class).ok_or("the file is full")?,
            length: 4096,
            created: n,
            flags: Flags::NONE,
            sums: sums.clone(),
        };
        index.put_block(&Hash::of(&n.to_le_bytes()), &record)?;
        if n % BATCH == BATCH - 1 {
            index.commit(false)?;
        }
    }
    index.commit(true)?;
    index.sync()?;
    Ok(())
}
