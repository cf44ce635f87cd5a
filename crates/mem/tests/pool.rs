//! Limits of the pool, the way memory moves between classes, and the life of memory beyond its pool.
#![cfg(not(loom))]

use bytes::Bytes;
use hioload_mem::{Buffer, BufferPool, CLASS_SIZES, PoolConfig, PoolStats, Segment};

const KIB: usize = 1 << 10;

/// Slabs of 64 KiB: one chunk of the largest class there is, or 256 of the smallest.
fn pool(slabs: usize) -> BufferPool {
    pool_with(slabs, [0; CLASS_SIZES.len()])
}

fn pool_with(slabs: usize, slabs_reserved: [u16; CLASS_SIZES.len()]) -> BufferPool {
    let config = PoolConfig {
        slab_size: Some(64 * KIB),
        slabs_reserved,
        ..PoolConfig::with_budget(slabs * 64 * KIB)
    };
    BufferPool::new(config).expect("pool")
}

fn take_all(pool: &BufferPool, size: usize) -> Vec<Buffer> {
    std::iter::from_fn(|| pool.take(size)).collect()
}

fn sealed(pool: &BufferPool, bytes: &[u8]) -> Segment {
    let mut buffer = pool.take(bytes.len()).expect("budget");
    buffer.extend_from_slice(bytes).expect("room");
    buffer.seal()
}

#[test]
fn handles_are_small() {
    assert_eq!(size_of::<Segment>(), 16);
    assert_eq!(size_of::<Option<Segment>>(), 16);
    assert_eq!(size_of::<Buffer>(), 24);
    assert_eq!(size_of::<Option<Buffer>>(), 24);
}

#[test]
fn handles_travel() {
    fn travels<T: Send + Sync + 'static>() {}
    travels::<Segment>();
    travels::<Buffer>();
}

#[test]
fn buffers_start_where_direct_io_can_reach() {
    let pool = pool(8);
    // Twice: the second time slabs come from other classes.
    for size in CLASS_SIZES
        .into_iter()
        .chain(CLASS_SIZES)
        .filter(|size| *size <= pool.size_max())
    {
        let mut buffers = take_all(&pool, size);
        assert!(!buffers.is_empty());
        for buffer in &mut buffers {
            let start = buffer.spare_mut().as_ptr().addr();
            assert!(
                start.is_multiple_of(size.min(4 * KIB)),
                "{start:x} of {size}"
            );
        }
    }
    assert!(pool.stats().slabs_moved > 0);
}

#[test]
fn sizes_at_the_borders() {
    let pool = BufferPool::new(PoolConfig::with_budget(16 << 20)).expect("pool");
    assert_eq!(pool.size_max(), 1 << 20);
    assert_eq!(pool.take(0).map(|buffer| buffer.capacity()), Some(256));
    for size in CLASS_SIZES {
        assert_eq!(pool.take(size).map(|buffer| buffer.capacity()), Some(size));
        let above = pool.take(size + 1).map(|buffer| buffer.capacity());
        assert_eq!(above, (size < 1 << 20).then_some(size * 4));
    }
    assert!(pool.take(usize::MAX).is_none());
    assert_eq!(pool.stats().refusals_too_large, 2);
    assert_eq!(pool.stats().refusals, 0);
}

#[test]
fn sizes_above_the_slab_are_refused() {
    let pool = pool(4);
    assert_eq!(pool.size_max(), 64 * KIB);
    assert!(pool.take(64 * KIB).is_some());
    assert!(pool.take(64 * KIB + 1).is_none());
    assert_eq!(pool.stats().refusals_too_large, 1);
}

#[test]
fn data_is_aligned() {
    let pool = BufferPool::new(PoolConfig::with_budget(32 << 20)).expect("pool");
    for size in CLASS_SIZES {
        let mut buffers = [
            pool.take(size).expect("budget"),
            pool.take(size).expect("budget"),
        ];
        for buffer in &mut buffers {
            let address = buffer.spare_mut().as_ptr().addr();
            assert_eq!(address % size.min(4096), 0, "{size}");
        }
    }
}

#[test]
fn the_budget_is_kept_and_refusals_counted() {
    for slabs in [1, 2, 7] {
        let pool = pool(slabs);
        for size in [64 * KIB, 256] {
            let buffers = take_all(&pool, size);
            assert_eq!(buffers.len(), slabs * 64 * KIB / size);
            assert_eq!(pool.stats().bytes_mapped, slabs * 64 * KIB);
            drop(buffers);
        }
        assert_eq!(pool.stats().refusals, 2);
        assert_eq!(pool.stats().bytes_in_use, 0);
    }
}

#[test]
fn a_refusal_ends_when_one_comes_back() {
    let pool = pool(1);
    let mut buffers = take_all(&pool, 16 * KIB);
    assert!(pool.take(16 * KIB).is_none());
    buffers.pop();
    assert!(pool.take(16 * KIB).is_some());
}

#[test]
fn a_slab_goes_to_another_class_only_when_fully_free() {
    let pool = pool(2);
    let mut small = take_all(&pool, 256);
    assert!(pool.take(64 * KIB).is_none());
    // One chunk of each slab stays: nothing can move.
    let kept = (small.swap_remove(0), small.pop().expect("many"));
    small.clear();
    assert!(pool.take(64 * KIB).is_none());
    drop(kept);
    let large = take_all(&pool, 64 * KIB);
    assert_eq!(large.len(), 2);
    assert_eq!(pool.stats().slabs_moved, 2);
    assert!(pool.take(256).is_none());
    drop(large);
    assert!(pool.take(256).is_some());
}

#[test]
fn a_larger_class_helps_out() {
    let pool = pool(1);
    let first = pool.take(16 * KIB).expect("budget");
    let second = pool.take(100).expect("three chunks of 16 KiB are free");
    assert_eq!(second.capacity(), 16 * KIB);
    assert_eq!(pool.stats().upsized, 1);
    drop((first, second));
    assert_eq!(
        pool.take(100).map(|buffer| buffer.capacity()),
        Some(256),
        "the slab has moved"
    );
}

#[test]
fn a_reserve_is_for_its_class_alone() {
    let mut reserved = [0; CLASS_SIZES.len()];
    reserved[4] = 1; // 64 KiB
    let pool = pool_with(3, reserved);
    let small = take_all(&pool, 256);
    assert_eq!(small.len(), 2 * 256);
    let large = take_all(&pool, 64 * KIB);
    assert_eq!(large.len(), 1);
    // The reserve stays with its class once it is there, used or not.
    drop(large);
    assert_eq!(
        take_all(&pool, 16 * KIB).len(),
        1,
        "helped out by the larger class, not given its slab"
    );
    assert_eq!(pool.stats().classes[4].slabs, 1);
    pool.trim();
    assert_eq!(pool.stats().classes[4].slabs, 1);
}

#[test]
fn trim_unmaps_what_is_not_in_use() {
    let pool = pool(4);
    let mut buffers = take_all(&pool, 64 * KIB);
    assert_eq!(pool.trim(), 0);
    buffers.truncate(1);
    assert_eq!(pool.trim(), 3 * 64 * KIB);
    assert_eq!(pool.stats().bytes_mapped, 64 * KIB);
    assert_eq!(take_all(&pool, 64 * KIB).len(), 3, "and maps again");
}

#[test]
fn memory_outlives_its_pool() {
    let pool = pool(2);
    let mut buffer = pool.take(1024).expect("budget");
    buffer.extend_from_slice(b"still ").expect("room");
    let still = buffer.split_seal();
    let returned_before = sealed(&pool, b"x");
    drop(returned_before);
    drop(pool);
    buffer.extend_from_slice(b"here").expect("room");
    let here = buffer.seal();
    let reader = std::thread::spawn(move || assert_eq!(still, *b"still "));
    assert_eq!(here, *b"here");
    drop(here);
    reader.join().expect("reader");
}

#[test]
fn a_buffer_splits_more_often_than_it_has_credit() {
    let pool = BufferPool::new(PoolConfig::with_budget(16 << 20)).expect("pool");
    let mut buffer = pool.take(1 << 20).expect("budget");
    let mut segments = Vec::new();
    for index in 0..140_000_u32 {
        buffer.extend_from_slice(&[index as u8]).expect("room");
        segments.push(buffer.split_seal());
    }
    assert!(
        segments
            .iter()
            .enumerate()
            .all(|(index, segment)| *segment == [index as u8])
    );
    drop(buffer);
    assert_eq!(pool.stats().bytes_in_use, 1 << 20);
    segments.truncate(1);
    assert_eq!(pool.stats().bytes_in_use, 1 << 20);
    segments.clear();
    assert_eq!(pool.stats().bytes_in_use, 0);
}

#[test]
fn buffer_at_its_limits() {
    let pool = pool(1);
    let mut buffer = pool.take(256).expect("budget");
    assert!(buffer.split_seal().is_empty());
    buffer.extend_from_slice(&[]).expect("nothing fits");
    let full = buffer
        .extend_from_slice(&[1; 257])
        .expect_err("one too many");
    assert_eq!((full.wanted, full.room), (257, 256));
    assert!(buffer.is_empty(), "nothing was written");
    buffer.extend_from_slice(&[1; 256]).expect("exactly");
    assert_eq!(
        (buffer.len(), buffer.room(), buffer.capacity()),
        (256, 0, 256)
    );
    assert!(buffer.spare_mut().is_empty());
    buffer.advance(0);
    buffer.extend_from_slice(&[1]).expect_err("full");
    let all = buffer.split_seal();
    assert_eq!((all.len(), buffer.len(), buffer.room()), (256, 0, 0));
    assert!(buffer.seal().is_empty());
}

#[test]
#[should_panic(expected = "advance by 257 with room for 256")]
fn advance_beyond_the_room() {
    pool(1).take(256).expect("budget").advance(257);
}

#[test]
fn an_empty_segment_holds_no_memory() {
    let pool = pool(1);
    let in_use = || pool.stats().bytes_in_use;
    let mut segment = sealed(&pool, b"abc");
    let empty = segment.slice(1..1);
    assert_eq!(in_use(), 256);
    segment.advance(3);
    assert_eq!(in_use(), 0);
    assert!(segment.is_empty() && empty.is_empty());
    assert_eq!(segment, Segment::empty());
    let buffer = pool.take(256).expect("budget");
    assert!(buffer.seal().is_empty());
    assert_eq!(in_use(), 0);
}

#[test]
fn segment_ranges() {
    let mut segment = Segment::copy_from(b"abcdef");
    assert_eq!(segment.slice(..), *b"abcdef");
    assert_eq!(segment.slice(2..=3), *b"cd");
    assert_eq!(segment.slice(6..), *b"");
    assert_eq!(segment.split_to(0), *b"");
    assert_eq!(segment.split_to(1), *b"a");
    segment.truncate(9);
    assert_eq!(segment, *b"bcdef");
    segment.truncate(1);
    assert_eq!(segment.split_to(1), *b"b");
    assert!(segment.is_empty());
    assert_eq!(
        format!("{:?}", Segment::copy_from(b"a\n0123456789abcdefgh")),
        "Segment(20, \"a\\n0123456789abcd…\")"
    );
}

#[test]
fn ranges_outside_panic_and_change_nothing() {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    let mut segment = Segment::copy_from(b"abc");
    let fails = |work: &mut dyn FnMut()| catch_unwind(AssertUnwindSafe(work)).is_err();
    assert!(fails(&mut || drop(segment.slice(1..4))));
    assert!(fails(&mut || drop(segment.slice(4..))));
    assert!(fails(&mut || drop(segment.slice(2..=usize::MAX))));
    assert!(fails(&mut || segment.advance(4)));
    assert!(fails(&mut || drop(segment.split_to(4))));
    assert_eq!(segment, *b"abc");
}

#[test]
fn joins_only_what_is_adjacent_in_one_buffer() {
    let pool = pool(1);
    let mut buffer = pool.take(256).expect("budget");
    let mut pieces = [b"ab", b"cd", b"ef"].map(|bytes| {
        buffer.extend_from_slice(bytes).expect("room");
        buffer.split_seal()
    });
    let [first, second, third] = &mut pieces;
    assert!(!first.try_join(third), "a gap");
    assert!(!second.try_join(first), "the wrong way round");
    assert!(first.try_join(second) && first.try_join(third));
    assert_eq!(*first, *b"abcdef");
    let mut empty = Segment::empty();
    assert!(empty.try_join(first) && empty.try_join(&Segment::empty()));
    assert_eq!(empty, *b"abcdef");
    assert!(
        !empty.try_join(&sealed(&pool, b"gh")),
        "next chunk, not the same buffer"
    );
}

#[test]
fn bytes_both_ways_without_a_copy() {
    let pool = pool(1);
    let segment = sealed(&pool, b"payload");
    let address = segment.as_ptr();
    let bytes = Bytes::from(segment);
    assert_eq!((bytes.as_ptr(), &bytes[..]), (address, &b"payload"[..]));
    let back = Segment::try_from(bytes.slice(3..)).expect("short");
    assert_eq!(
        (back.as_ptr(), &back[..]),
        (address.wrapping_add(3), &b"load"[..])
    );
    drop(bytes);
    assert_eq!(pool.stats().bytes_in_use, 256);
    drop(back);
    assert_eq!(pool.stats().bytes_in_use, 0);
    assert!(Bytes::from(Segment::empty()).is_empty());

    let vec = vec![1_u8, 2, 3];
    let address = vec.as_ptr();
    assert_eq!(Segment::from_vec(vec).as_ptr(), address);
    assert_eq!(Segment::from_static(b"fixed"), *b"fixed");
}

/// Address space only: the pages are never touched.
#[test]
#[cfg(target_pointer_width = "64")]
fn longer_than_a_segment_is_refused() {
    let too_long = Segment::try_from(vec![0_u8; Segment::LEN_MAX + 1]).expect_err("one too many");
    assert_eq!(too_long.len, Segment::LEN_MAX + 1);
    let longest = Segment::try_from(vec![0_u8; Segment::LEN_MAX]).expect("the longest");
    assert_eq!(longest.slice(Segment::LEN_MAX - 1..), [0]);
}

#[test]
fn wishes_that_are_refused_are_told_at_the_start() {
    let config = PoolConfig {
        numa_node: Some(1023),
        hugepages: true,
        ..PoolConfig::with_budget(1 << 20)
    };
    let pool = BufferPool::new(config).expect("falls back");
    let told = pool.fallbacks();
    assert!(
        told.iter().any(|line| line.contains("node 1023")),
        "{told:?}"
    );
    assert!(
        told.iter().any(|line| line.contains("huge pages")),
        "64 KiB slabs have none: {told:?}"
    );
    let _all = take_all(&pool, 64 * KIB);
    assert_eq!(pool.fallbacks(), told, "each reason once");
}

#[test]
fn a_fresh_pool_has_one_slab_and_no_chunk() {
    let stats = pool(3).stats();
    assert_eq!((stats.bytes_mapped, stats.bytes_in_use), (64 * KIB, 0));
    assert_eq!(stats.budget, 3 * 64 * KIB);
    let PoolStats {
        refusals,
        upsized,
        slabs_moved,
        map_failures,
        ..
    } = stats;
    assert_eq!((refusals, upsized, slabs_moved, map_failures), (0, 0, 0, 0));
}

/// Otherwise a pool would touch all of a slab before it used anything twice.
#[test]
fn a_buffer_that_came_back_is_taken_before_a_fresh_one() {
    let pool = BufferPool::new(PoolConfig::with_budget(4 << 20)).expect("memory");
    let mut places = std::collections::HashSet::new();
    for _ in 0..1000 {
        let mut buffer = pool.take(4096).expect("budget");
        places.insert(buffer.spare_mut().as_ptr() as usize);
        buffer.spare_mut()[0] = 1;
        buffer.advance(1);
        drop(buffer.seal());
    }
    assert!(places.len() <= 2, "{} places", places.len());
}
