//! The allocator against a bitmap: bytes are operations, and every answer is compared with the plainest way to get it.
//!
//! Input: one byte for the size, then for each operation a byte, and bytes for what it chooses among.

use hioload_blocks::{Block, Buddy, BuddyError, Class, MACRO, Space, UNIT};

/// Operations of one input.
const STEPS_MAX: usize = 400;

/// Macroblocks of the largest file: the model looks at every unit.
const MACROBLOCKS_MAX: u64 = 6;

/// Checks one input; panics when something is wrong.
pub(crate) fn run(data: &[u8]) {
    let mut bytes = Bytes(data);
    let mut world = World::new((1 + bytes.below(3)) * MACRO);
    for _ in 0..STEPS_MAX {
        if bytes.0.is_empty() {
            break;
        }
        world.step(&mut bytes);
    }
    world.finish(&mut bytes);
}

/// Reads bytes as numbers; zeros when they are used up.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn next(&mut self) -> u64 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        u64::from(*first)
    }

    fn below(&mut self, count: u64) -> u64 {
        (self.next() << 8 | self.next()) % count
    }

    fn class(&mut self) -> Class {
        Class::ALL[self.below(8) as usize]
    }
}

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

/// The allocator and its model.
struct World {
    buddy: Buddy,
    model: Model,
    /// Whether it mostly allocates, or mostly frees: full and empty files have to be reached.
    fills: bool,
}

impl World {
    fn new(size: u64) -> World {
        World {
            buddy: Buddy::new(size),
            model: Model::new(size),
            fills: true,
        }
    }

    fn size(&self) -> u64 {
        self.model.owners.len() as u64 * UNIT
    }

    fn step(&mut self, bytes: &mut Bytes<'_>) {
        match bytes.next() {
            0..6 => self.fills = !self.fills,
            6..180 if self.fills => self.alloc(bytes),
            6..180 => self.free_one(bytes),
            180..205 => self.reserve(bytes),
            205..230 => self.free_any(bytes),
            230..232 => self.grow(),
            _ => assert_eq!(self.buddy.check(), Ok(())),
        }
        assert_eq!(self.buddy.space(), self.model.space());
    }

    fn alloc(&mut self, bytes: &mut Bytes<'_>) {
        let class = bytes.class();
        let block = self.buddy.alloc(class);
        assert_eq!(block, self.model.choice(class));
        if let Some(block) = block {
            self.model.set(block, Some(block));
        }
    }

    fn free_one(&mut self, bytes: &mut Bytes<'_>) {
        let blocks = self.model.blocks();
        if !blocks.is_empty() {
            let block = blocks[bytes.below(blocks.len() as u64) as usize];
            assert_eq!(self.buddy.free(block), Ok(()));
            self.model.set(block, None);
        }
    }

    /// Any block, also a little beyond the end.
    fn any_block(&self, bytes: &mut Bytes<'_>) -> Block {
        let class = bytes.class();
        let unit = bytes.below(self.size() / UNIT + 300) as u32;
        Block::new(unit / class.units() * class.units(), class).expect("aligned")
    }

    fn reserve(&mut self, bytes: &mut Bytes<'_>) {
        let (block, size) = (self.any_block(bytes), self.size());
        let expected = if block.end() > size {
            Err(BuddyError::Outside { block, size })
        } else if self
            .model
            .is_free(block.unit() as usize, block.class().units() as usize)
        {
            self.model.set(block, Some(block));
            Ok(())
        } else {
            Err(BuddyError::Overlaps { block })
        };
        assert_eq!(self.buddy.reserve(block), expected);
    }

    fn free_any(&mut self, bytes: &mut Bytes<'_>) {
        let (block, size) = (self.any_block(bytes), self.size());
        let is_allocated = self.model.is_allocated(block);
        assert_eq!(self.buddy.is_allocated(block), is_allocated);
        let expected = if block.end() > size {
            Err(BuddyError::Outside { block, size })
        } else if is_allocated {
            self.model.set(block, None);
            Ok(())
        } else {
            Err(BuddyError::NotAllocated { block })
        };
        assert_eq!(self.buddy.free(block), expected);
    }

    fn grow(&mut self) {
        let size = (self.size() + MACRO).min(MACROBLOCKS_MAX * MACRO);
        self.buddy.grow(size);
        self.model.owners.resize((size / UNIT) as usize, None);
    }

    /// The same free map comes from the blocks alone, in any order; and everything merges back.
    fn finish(mut self, bytes: &mut Bytes<'_>) {
        let mut blocks = self.model.blocks();
        let count = blocks.len();
        blocks.rotate_left(bytes.below(count as u64 + 1) as usize);
        if bytes.next() % 2 == 1 {
            blocks.reverse();
        }
        let mut rebuilt = Buddy::new(self.size());
        for block in &blocks {
            assert_eq!(rebuilt.reserve(*block), Ok(()));
        }
        assert_eq!(rebuilt, self.buddy);
        for block in blocks {
            assert_eq!(self.buddy.free(block), Ok(()));
        }
        assert_eq!(self.buddy, Buddy::new(self.size()));
    }
}
