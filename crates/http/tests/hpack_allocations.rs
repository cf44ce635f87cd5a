//! Blocks take no memory, either way, once tables and texts are as long as they get.
//!
//! A file of its own: the counting allocator is the process's.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use hioload_http::hpack::{Decoder, Encoder, Indexing, TABLE_SIZE_INITIAL};

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

#[test]
fn blocks_take_no_memory() {
    let (mut encoder, mut decoder) = (
        Encoder::new(TABLE_SIZE_INITIAL),
        Decoder::new(TABLE_SIZE_INITIAL),
    );
    let mut block = Vec::with_capacity(8192);
    let long = [b'a'; 2000];
    let mut count = 0;
    for round in 0..3000_u32 {
        // The first rounds fill both tables and make room for the longest strings.
        if round == 1000 {
            COUNT.with(|count| count.set(0));
        }
        block.clear();
        let mut writer = encoder.block(&mut block);
        writer.status(200);
        writer.field(b"server", b"hioload", Indexing::Auto);
        // Each round inserts, and so evicts.
        writer.field(b"x-round", &round.to_be_bytes(), Indexing::Incremental);
        writer.field(
            b"x-long",
            &long[..round as usize * 7 % 2000],
            Indexing::Auto,
        );
        writer.field(b"etag", &long[..100], Indexing::Auto);
        let result = decoder.decode(&block, |field| -> Result<(), ()> {
            count += field.name.len();
            Ok(())
        });
        assert_eq!(result, Ok(()));
    }
    assert_eq!(COUNT.with(Cell::get), 0);
    assert_eq!(count, 3000 * (7 + 6 + 7 + 6 + 4));
}

/// What an idle connection keeps of it.
#[test]
fn nothing_is_taken_before_it_is_needed() {
    let before = COUNT.with(Cell::get);
    let (mut encoder, mut decoder) = (
        Encoder::new(TABLE_SIZE_INITIAL),
        Decoder::new(TABLE_SIZE_INITIAL),
    );
    let mut block = Vec::with_capacity(64);
    let in_block = COUNT.with(Cell::get);
    encoder
        .block(&mut block)
        .field(b":method", b"GET", Indexing::Auto);
    assert_eq!(
        decoder.decode(&block, |_| -> Result<(), ()> { Ok(()) }),
        Ok(())
    );
    assert_eq!((in_block, COUNT.with(Cell::get)), (before + 1, before + 1));
}
