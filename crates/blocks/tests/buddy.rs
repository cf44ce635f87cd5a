//! The allocator: random work against a bitmap, and its limits.

use hioload_base::Prng;
use hioload_blocks::{Block, Buddy, BuddyError, Class, FILE_SIZE_MAX, MACRO};

#[path = "../../../fuzz/bodies/buddy_ops.rs"]
mod buddy_ops;

#[test]
fn random_traces_are_those_of_a_bitmap() {
    for seed in 0..2000 {
        let mut bytes = vec![0; 900];
        Prng::new(seed).fill(&mut bytes);
        println!("seed {seed}");
        buddy_ops::run(&bytes);
    }
}

#[test]
fn a_file_without_a_whole_macroblock_has_no_room() {
    for size in [0, 1, MACRO - 1] {
        let mut buddy = Buddy::new(size);
        assert_eq!(buddy.alloc(Class::MIN), None);
        assert_eq!(buddy.size(), 0);
        assert_eq!(buddy.space().fragmentation(), 0.0);
        assert_eq!(buddy.space().largest_free(), 0);
        let block = Block::new(0, Class::MIN).expect("aligned");
        assert_eq!(
            buddy.reserve(block),
            Err(BuddyError::Outside { block, size: 0 })
        );
        assert!(!buddy.is_allocated(block));
    }
    assert_eq!(Buddy::new(2 * MACRO - 1).size(), MACRO);
}

#[test]
fn each_class_fills_the_file_exactly() {
    for class in Class::ALL {
        let mut buddy = Buddy::new(2 * MACRO);
        let count = 2 * MACRO / u64::from(class.size());
        let blocks: Vec<Block> = (0..count)
            .map(|_| buddy.alloc(class).expect("room"))
            .collect();
        assert_eq!(buddy.alloc(class), None);
        // The lowest address first, without a gap.
        assert!(
            blocks
                .iter()
                .enumerate()
                .all(|(n, block)| block.offset() == n as u64 * u64::from(class.size()))
        );
        assert_eq!(buddy.space().used_bytes(), 2 * MACRO);
        assert_eq!(buddy.check(), Ok(()));
        for block in blocks {
            buddy.free(block).expect("allocated");
            assert_eq!(buddy.free(block), Err(BuddyError::NotAllocated { block }));
        }
        assert_eq!(buddy, Buddy::new(2 * MACRO));
    }
}

#[test]
fn the_largest_file_ends_where_the_last_block_does() {
    let last = Block::new(u32::MAX - 127, Class::MAX).expect("aligned");
    assert_eq!(last.end(), FILE_SIZE_MAX);
}

#[test]
fn growing_adds_free_macroblocks_and_shrinking_is_none() {
    let mut buddy = Buddy::new(MACRO);
    while buddy.alloc(Class::MAX).is_some() {}
    buddy.grow(2 * MACRO + 5);
    assert_eq!(buddy.size(), 2 * MACRO);
    assert_eq!(buddy.alloc(Class::MIN).map(Block::offset), Some(MACRO));
    buddy.grow(MACRO);
    buddy.grow(0);
    assert_eq!(buddy.size(), 2 * MACRO);
    assert_eq!(buddy.check(), Ok(()));
}

#[test]
fn a_block_is_freed_as_what_it_was_allocated() {
    let mut buddy = Buddy::new(MACRO);
    let block = buddy.alloc(Class::ALL[3]).expect("room");
    for class in Class::ALL {
        for unit in (0..256).step_by(class.units() as usize) {
            let other = Block::new(unit, class).expect("aligned");
            if other != block {
                assert_eq!(
                    buddy.free(other),
                    Err(BuddyError::NotAllocated { block: other })
                );
            }
        }
    }
    assert_eq!(buddy.free(block), Ok(()));
}

#[test]
fn fragmentation_is_the_share_of_pieces_that_are_too_small() {
    let mut buddy = Buddy::new(MACRO);
    assert_eq!(buddy.space().fragmentation(), 0.0);
    let first = buddy.alloc(Class::MIN).expect("room");
    // 512 KiB are whole, 508 KiB in smaller pieces.
    let expected = 508.0 / 1020.0;
    assert!((buddy.space().fragmentation() - expected).abs() < 1e-9);
    assert_eq!(buddy.space().largest_free(), 512 << 10);
    assert_eq!(buddy.space().free_bytes(), 1020 << 10);
    buddy.free(first).expect("allocated");
    assert_eq!(buddy.space().fragmentation(), 0.0);
    assert_eq!(buddy.space().largest_free(), MACRO);
}
