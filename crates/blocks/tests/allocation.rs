//! In steady state a small PUT and a hot GET allocate nothing on the worker.
//!
//! A file of its own: the counting allocator is the process's.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use hioload_base::Time;
use hioload_blocks::{
    Block, Class, EachBlock, FileOp, GetBegin, GetPoll, Hash, IndexError, IndexReader, Leased,
    LocalConfig, LocalStore, Record, Reply, Request, Stored, Sums,
};
use hioload_mem::{BufferPool, PoolConfig};

struct Counting;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system's allocator as it came; counting touches a cell of this thread only.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on; what it frees came from the system's allocator.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations(work: impl FnOnce()) -> u64 {
    let before = COUNT.with(Cell::get);
    work();
    COUNT.with(Cell::get) - before
}

/// An index with one block in it.
struct One(Hash, Record);

impl IndexReader for One {
    fn block(&mut self, hash: &Hash, into: &mut Record) -> Result<bool, IndexError> {
        let is_there = *hash == self.0;
        if is_there {
            into.clone_from(&self.1);
        }
        Ok(is_there)
    }

    fn reference(&mut self, _: &Hash, _: &[u8], _: &mut Vec<u8>) -> Result<bool, IndexError> {
        Ok(false)
    }

    fn references(&mut self, _: &Hash, _: &mut dyn FnMut(&[u8], &[u8])) -> Result<u64, IndexError> {
        Ok(0)
    }

    fn scan_from(
        &mut self,
        _: &Hash,
        _: u64,
        _: EachBlock<'_>,
    ) -> Result<Option<Hash>, IndexError> {
        Ok(None)
    }
}

const LENGTH: u32 = 4000;

fn store(content: &[u8]) -> LocalStore {
    let record = Record {
        length: LENGTH,
        sums: Sums::of(content),
        ..Record::blank()
    };
    let reader = One(Hash::of(content), record);
    let buffers = BufferPool::new(PoolConfig::default()).expect("64 MiB of addresses");
    LocalStore::new(LocalConfig::default(), Box::new(reader), buffers).expect("legal")
}

/// Answers requests as a controller would that always has space.
fn answer(store: &mut LocalStore, next_unit: &mut u32) {
    let now = Time::ZERO;
    store.poll(now);
    while let Some(request) = store.next_request() {
        let reply = match request {
            Request::Lease {
                id, class, count, ..
            } => {
                let mut blocks = Leased::new(class);
                for _ in 0..count {
                    *next_unit += Class::MAX.units();
                    blocks.push(Block::new(*next_unit, class).expect("aligned"));
                }
                Reply::Leased { id, blocks }
            }
            Request::Occupy { id, .. } => Reply::Stored {
                id,
                outcome: Stored::New,
                is_durable: true,
            },
            _ => continue,
        };
        store.handle_reply(now, reply);
    }
}

fn end_file_ops(store: &mut LocalStore, content: &[u8]) {
    store.hash();
    while let Some(op) = store.next_file_op() {
        match op {
            FileOp::Write { token, content, .. } => {
                store.handle_written(Time::ZERO, token, Ok(content.len()));
            }
            FileOp::Read {
                token,
                len,
                mut buffer,
                ..
            } => {
                buffer.spare_mut()[..content.len()].copy_from_slice(content);
                buffer.advance(len);
                store.handle_read(Time::ZERO, token, Ok(len), buffer);
            }
        }
    }
}

#[test]
fn a_small_put_allocates_nothing() {
    let mut content = vec![7; LENGTH as usize];
    let mut store = store(b"another");
    let mut next_unit = 0;
    answer(&mut store, &mut next_unit);
    let mut put = |n: u32| {
        content[..4].copy_from_slice(&n.to_le_bytes());
        let key = store.put_begin(Time::ZERO, 1, None, Some(LENGTH));
        let key = key.expect("room for a PUT");
        assert_eq!(store.put_data(Time::ZERO, key, &content), content.len());
        store.put_end(Time::ZERO, key);
        end_file_ops(&mut store, &content);
        answer(&mut store, &mut next_unit);
        for _ in ["Added", "Stored"] {
            assert!(store.next_event().is_some());
        }
    };
    (0..200).for_each(&mut put);
    assert_eq!(allocations(|| (200..300).for_each(&mut put)), 0);
}

#[test]
fn a_get_of_a_hot_block_allocates_nothing() {
    let content = vec![7; LENGTH as usize];
    let (hash, mut out) = (Hash::of(&content), Vec::with_capacity(4));
    let mut store = store(&content);
    let mut get = || {
        let begun = store.get_begin(Time::ZERO, 1, &hash);
        let Ok(GetBegin::Found(key, head)) = begun else {
            panic!("{begun:?}");
        };
        store.get_start(key, 0..head.length);
        while store.get_poll(Time::ZERO, key, 1 << 20, &mut out) != GetPoll::Done {
            end_file_ops(&mut store, &content);
        }
        while store.next_event().is_some() {}
        assert_eq!(out[0], &content[..]);
        out.clear();
    };
    (0..10).for_each(|_| get());
    assert_eq!(allocations(|| (0..100).for_each(|_| get())), 0);
}
