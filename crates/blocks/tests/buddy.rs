//! The allocator against a bitmap: random work, every answer compared with the plainest way to get it.

use hioload_base::Prng;
use hioload_blocks::{Block, Buddy, BuddyError, Class, FILE_SIZE_MAX, MACRO, Space, UNIT};

/// Which unit belongs to which block, and nothing else.
struct Model {
    /// For each unit: the block it is part of.
    owners: Vec<Option<Block>>,
}

impl Model {
    fn new(size: u64) -> Model {
        let owners = vec![None; (size / UNIT) as usize];
        Model { owners }
    }

    fn units(block: Block) -> std::ops::Range<usize> {
        block.unit() as usize..(block.unit() + block.class().units()) as usize
    }

    fn is_free(&self, first: usize, count: usize) -> bool {
        let units = self.owners.get(first..first + count);
        units.is_some_and(|units| units.iter().all(Option::is_none))
    }

    /// Free pieces, merged as far as buddies can be: first unit and order.
    fn free_pieces(&self) -> Vec<(usize, usize)> {
        let (mut pieces, mut unit) = (Vec::new(), 0);
        while unit < self.owners.len() {
            let is_piece =
                |order: &usize| unit % (1 << order) == 0 && self.is_free(unit, 1 << order);
            match (0..=8).rev().find(is_piece) {
                Some(order) => {
                    pieces.push((unit, order));
                    unit += 1 << order;
                }
                None => unit += 1,
            }
        }
        pieces
    }

    /// The lowest address in the smallest order that fits.
    fn choice(&self, class: Class) -> Option<Block> {
        let pieces = self.free_pieces().into_iter();
        let fitting = pieces.filter(|(_, order)| *order >= class.index());
        let (unit, _) = fitting.min_by_key(|(unit, order)| (*order, *unit))?;
        Block::new(unit as u32, class)
    }

    fn set(&mut self, block: Block, owner: Option<Block>) {
        self.owners[Model::units(block)].fill(owner);
    }

    fn is_allocated(&self, block: Block) -> bool {
        let units = self.owners.get(Model::units(block));
        units.is_some_and(|units| units[0] == Some(block))
    }

    fn blocks(&self) -> Vec<Block> {
        let mut blocks: Vec<Block> = self.owners.iter().copied().flatten().collect();
        blocks.dedup();
        blocks
    }

    fn space(&self) -> Space {
        let mut space = Space {
            size: self.owners.len() as u64 * UNIT,
            used: [0; 8],
            free: [0; 9],
        };
        self.blocks()
            .iter()
            .for_each(|block| space.used[block.class().index()] += 1);
        self.free_pieces()
            .iter()
            .for_each(|(_, order)| space.free[*order] += 1);
        space
    }
}

fn any_block(prng: &mut Prng, size: u64) -> Block {
    let class = any_class(prng);
    // A little beyond the end as well.
    let unit = prng.below(size / UNIT + 300) as u32;
    Block::new(unit / class.units() * class.units(), class).expect("aligned")
}

fn any_class(prng: &mut Prng) -> Class {
    Class::ALL[prng.below(8) as usize]
}

/// One trace: fills and empties by turns, so that full and empty files are reached.
fn run(seed: u64) {
    let mut prng = Prng::new(seed);
    let mut size = (1 + prng.below(3)) * MACRO;
    let (mut buddy, mut model) = (Buddy::new(size), Model::new(size));
    let mut fills = true;
    for step in 0..300 {
        if prng.chance(1, 40) {
            fills = !fills;
        }
        match prng.below(10) {
            0..7 if fills => {
                let class = any_class(&mut prng);
                let block = buddy.alloc(class);
                assert_eq!(block, model.choice(class), "seed {seed}, step {step}");
                if let Some(block) = block {
                    model.set(block, Some(block));
                }
            }
            0..7 => {
                let blocks = model.blocks();
                if !blocks.is_empty() {
                    let block = blocks[prng.below(blocks.len() as u64) as usize];
                    assert_eq!(buddy.free(block), Ok(()), "seed {seed}, step {step}");
                    model.set(block, None);
                }
            }
            7 => {
                let block = any_block(&mut prng, size);
                let expected = if block.end() > size {
                    Err(BuddyError::Outside { block, size })
                } else if model.is_free(block.unit() as usize, block.class().units() as usize) {
                    model.set(block, Some(block));
                    Ok(())
                } else {
                    Err(BuddyError::Overlaps { block })
                };
                assert_eq!(buddy.reserve(block), expected, "seed {seed}, step {step}");
            }
            8 => {
                let block = any_block(&mut prng, size);
                assert_eq!(buddy.is_allocated(block), model.is_allocated(block));
                if !model.is_allocated(block) {
                    let error = buddy.free(block).expect_err("not allocated");
                    assert_eq!(
                        matches!(error, BuddyError::Outside { .. }),
                        block.end() > size
                    );
                }
            }
            _ if prng.chance(1, 50) => {
                size += MACRO;
                buddy.grow(size);
                model.owners.resize((size / UNIT) as usize, None);
            }
            _ => assert_eq!(buddy.check(), Ok(()), "seed {seed}, step {step}"),
        }
        assert_eq!(buddy.space(), model.space(), "seed {seed}, step {step}");
    }
    rebuild(&mut prng, &buddy, &model);
    for block in model.blocks() {
        buddy.free(block).expect("allocated");
    }
    assert_eq!(buddy, Buddy::new(size), "everything merges back");
}

/// From its blocks alone, in any order, comes the same free map.
fn rebuild(prng: &mut Prng, buddy: &Buddy, model: &Model) {
    let mut blocks = model.blocks();
    for last in (1..blocks.len()).rev() {
        blocks.swap(last, prng.below(last as u64 + 1) as usize);
    }
    let mut rebuilt = Buddy::new(buddy.size());
    for block in blocks {
        assert_eq!(rebuilt.reserve(block), Ok(()));
    }
    assert_eq!(&rebuilt, buddy);
}

#[test]
fn random_traces_are_those_of_a_bitmap() {
    for seed in 0..2000 {
        run(seed);
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
