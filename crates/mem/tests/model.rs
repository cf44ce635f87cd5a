//! Random work on buffers and segments against plain vectors, with every chunk accounted for.
#![cfg(not(loom))]

use std::rc::{Rc, Weak};

use hioload_mem::{Buffer, BufferPool, CLASS_SIZES, PoolConfig, Segment};
use proptest::collection::vec;
use proptest::prelude::*;

const BUDGET: usize = 512 << 10;
const SLAB_SIZE: usize = 64 << 10;

/// One step. Numbers choose among what exists, modulo its count.
#[derive(Clone, Debug)]
enum Step {
    Take {
        size: usize,
    },
    Write {
        buffer: usize,
        len: usize,
    },
    Change {
        buffer: usize,
    },
    Truncate {
        buffer: usize,
        len: usize,
    },
    Split {
        buffer: usize,
    },
    Seal {
        buffer: usize,
    },
    DropBuffer {
        buffer: usize,
    },
    Clone {
        segment: usize,
    },
    Slice {
        segment: usize,
        start: usize,
        len: usize,
    },
    SplitTo {
        segment: usize,
        at: usize,
    },
    Advance {
        segment: usize,
        by: usize,
    },
    Join {
        segment: usize,
        next: usize,
    },
    DropSegment {
        segment: usize,
    },
    Trim,
}

fn step() -> impl Strategy<Value = Step> {
    let n = 0..1_000_usize;
    let size = prop_oneof![0..300_usize, 0..5_000_usize, 0..70_000_usize];
    prop_oneof![
        4 => size.clone().prop_map(|size| Step::Take { size }),
        4 => (n.clone(), size).prop_map(|(buffer, len)| Step::Write { buffer, len }),
        1 => n.clone().prop_map(|buffer| Step::Change { buffer }),
        1 => (n.clone(), n.clone()).prop_map(|(buffer, len)| Step::Truncate { buffer, len }),
        4 => n.clone().prop_map(|buffer| Step::Split { buffer }),
        2 => n.clone().prop_map(|buffer| Step::Seal { buffer }),
        1 => n.clone().prop_map(|buffer| Step::DropBuffer { buffer }),
        2 => n.clone().prop_map(|segment| Step::Clone { segment }),
        2 => (n.clone(), n.clone(), n.clone())
            .prop_map(|(segment, start, len)| Step::Slice { segment, start, len }),
        2 => (n.clone(), n.clone()).prop_map(|(segment, at)| Step::SplitTo { segment, at }),
        1 => (n.clone(), n.clone()).prop_map(|(segment, by)| Step::Advance { segment, by }),
        2 => (n.clone(), n.clone()).prop_map(|(segment, next)| Step::Join { segment, next }),
        4 => n.prop_map(|segment| Step::DropSegment { segment }),
        1 => Just(Step::Trim),
    ]
}

/// Stands for a chunk: its capacity, alive as long as something of the model holds it.
type Chunk = Rc<usize>;

struct ModelBuffer {
    real: Buffer,
    chunk: Chunk,
    sealed: usize,
    written: Vec<u8>,
}

struct ModelSegment {
    real: Segment,
    /// `None` for an empty one: it holds no memory.
    place: Option<(Chunk, usize)>,
    bytes: Vec<u8>,
}

impl ModelSegment {
    fn new(real: Segment, chunk: &Chunk, offset: usize, bytes: Vec<u8>) -> ModelSegment {
        let place = (!bytes.is_empty()).then(|| (Rc::clone(chunk), offset));
        ModelSegment { real, place, bytes }
    }

    /// The part of the model that belongs to a part of the real segment.
    fn part(&self, real: Segment, start: usize, len: usize) -> ModelSegment {
        let bytes = self.bytes[start..start + len].to_vec();
        let place = self.place.as_ref().filter(|_| len > 0);
        ModelSegment {
            real,
            place: place.map(|(chunk, offset)| (Rc::clone(chunk), offset + start)),
            bytes,
        }
    }
}

struct World {
    pool: BufferPool,
    buffers: Vec<ModelBuffer>,
    segments: Vec<ModelSegment>,
    chunks: Vec<Weak<usize>>,
    refusals: u64,
    next_byte: u8,
}

impl World {
    fn new() -> World {
        let config = PoolConfig {
            slab_size: Some(SLAB_SIZE),
            ..PoolConfig::with_budget(BUDGET)
        };
        World {
            pool: BufferPool::new(config).expect("pool"),
            buffers: Vec::new(),
            segments: Vec::new(),
            chunks: Vec::new(),
            refusals: 0,
            next_byte: 0,
        }
    }

    fn buffer(&mut self, choice: usize) -> Option<&mut ModelBuffer> {
        let count = self.buffers.len();
        (count > 0).then(|| &mut self.buffers[choice % count])
    }

    fn segment_index(&self, choice: usize) -> Option<usize> {
        (!self.segments.is_empty()).then(|| choice % self.segments.len())
    }

    fn take(&mut self, size: usize) {
        match self.pool.take(size) {
            Some(real) => {
                assert!(real.capacity() >= size && real.is_empty());
                assert!(CLASS_SIZES.contains(&real.capacity()));
                let chunk = Rc::new(real.capacity());
                self.chunks.push(Rc::downgrade(&chunk));
                self.buffers.push(ModelBuffer {
                    real,
                    chunk,
                    sealed: 0,
                    written: Vec::new(),
                });
            }
            None if size > SLAB_SIZE => {}
            None => {
                self.refusals += 1;
                let stats = self.pool.stats();
                assert_eq!(stats.bytes_mapped, BUDGET, "refused with budget left");
                for class in stats.classes {
                    assert!(
                        class.size < size || class.free == 0,
                        "refused with {class:?} free"
                    );
                    assert!(
                        class.in_use > 0 || class.slabs == 0,
                        "refused with {class:?} unused"
                    );
                }
            }
        }
    }

    fn write(&mut self, choice: usize, len: usize) {
        let first = self.next_byte;
        self.next_byte = first.wrapping_add(31);
        let Some(buffer) = self.buffer(choice) else {
            return;
        };
        let bytes: Vec<u8> = (0..len)
            .map(|index| first.wrapping_add(index as u8))
            .collect();
        let room = buffer.real.room();
        match buffer.real.extend_from_slice(&bytes) {
            Ok(()) => {
                assert!(len <= room);
                buffer.written.extend(bytes);
            }
            Err(full) => assert_eq!((full.wanted, full.room), (len, room)),
        }
    }

    fn split(&mut self, choice: usize) {
        let Some(buffer) = self.buffer(choice) else {
            return;
        };
        let real = buffer.real.split_seal();
        let bytes = std::mem::take(&mut buffer.written);
        let len = bytes.len();
        let segment = ModelSegment::new(real, &buffer.chunk, buffer.sealed, bytes);
        buffer.sealed += len;
        self.segments.push(segment);
    }

    fn join(&mut self, choice: usize, next: usize) {
        let (Some(index), Some(next)) = (self.segment_index(choice), self.segment_index(next))
        else {
            return;
        };
        if index == next {
            return;
        }
        let next = self.segments[next].part(
            self.segments[next].real.clone(),
            0,
            self.segments[next].bytes.len(),
        );
        let segment = &mut self.segments[index];
        let expected = match (&segment.place, &next.place) {
            (Some((one, start)), Some((other, offset))) => {
                Rc::ptr_eq(one, other) && start + segment.bytes.len() == *offset
            }
            _ => true,
        };
        assert_eq!(segment.real.try_join(&next.real), expected);
        if expected {
            segment.place = segment.place.take().or(next.place);
            segment.bytes.extend(next.bytes);
        }
    }

    fn apply(&mut self, step: &Step) {
        match *step {
            Step::Take { size } => self.take(size),
            Step::Write { buffer, len } => self.write(buffer, len),
            Step::Change { buffer } => {
                if let Some(buffer) = self.buffer(buffer) {
                    buffer
                        .real
                        .as_mut_slice()
                        .iter_mut()
                        .for_each(|byte| *byte ^= 0xa5);
                    buffer.written.iter_mut().for_each(|byte| *byte ^= 0xa5);
                }
            }
            Step::Truncate { buffer, len } => {
                if let Some(buffer) = self.buffer(buffer) {
                    buffer.real.truncate(len);
                    buffer.written.truncate(len);
                }
            }
            Step::Split { buffer } => self.split(buffer),
            Step::Seal { buffer } if !self.buffers.is_empty() => {
                let buffer = self.buffers.swap_remove(buffer % self.buffers.len());
                let real = buffer.real.seal();
                self.segments.push(ModelSegment::new(
                    real,
                    &buffer.chunk,
                    buffer.sealed,
                    buffer.written,
                ));
            }
            Step::DropBuffer { buffer } if !self.buffers.is_empty() => {
                self.buffers.swap_remove(buffer % self.buffers.len());
            }
            Step::Join { segment, next } => self.join(segment, next),
            Step::Trim => {
                self.pool.trim();
            }
            Step::Clone { segment }
            | Step::Slice { segment, .. }
            | Step::SplitTo { segment, .. }
            | Step::Advance { segment, .. }
            | Step::DropSegment { segment } => {
                if let Some(index) = self.segment_index(segment) {
                    self.apply_to_segment(index, step);
                }
            }
            Step::Seal { .. } | Step::DropBuffer { .. } => {}
        }
    }

    fn apply_to_segment(&mut self, index: usize, step: &Step) {
        let segment = &mut self.segments[index];
        let len = segment.bytes.len();
        match *step {
            Step::Clone { .. } => {
                let clone = segment.part(segment.real.clone(), 0, len);
                self.segments.push(clone);
            }
            Step::Slice {
                start, len: wanted, ..
            } => {
                let start = start.min(len);
                let wanted = wanted.min(len - start);
                let piece = segment.part(segment.real.slice(start..start + wanted), start, wanted);
                self.segments.push(piece);
            }
            Step::SplitTo { at, .. } => {
                let at = at.min(len);
                let front = segment.real.split_to(at);
                let front = segment.part(front, 0, at);
                let rest = std::mem::take(&mut segment.real);
                *segment = segment.part(rest, at, len - at);
                self.segments.push(front);
            }
            Step::Advance { by, .. } => {
                let by = by.min(len);
                segment.real.advance(by);
                let rest = std::mem::take(&mut segment.real);
                *segment = segment.part(rest, by, len - by);
            }
            _ => {
                self.segments.swap_remove(index);
            }
        }
    }

    fn check(&self) {
        for buffer in &self.buffers {
            assert_eq!(buffer.real.as_slice(), buffer.written);
            assert_eq!(
                buffer.real.room(),
                *buffer.chunk - buffer.sealed - buffer.written.len()
            );
        }
        for segment in &self.segments {
            assert_eq!(segment.real.as_slice(), segment.bytes);
        }
        let stats = self.pool.stats();
        assert!(stats.bytes_mapped <= BUDGET);
        let expected: usize = self
            .chunks
            .iter()
            .filter_map(Weak::upgrade)
            .map(|chunk| *chunk)
            .sum();
        assert_eq!(stats.bytes_in_use, expected);
        assert_eq!(stats.refusals, self.refusals);
        let cut: usize = stats
            .classes
            .iter()
            .map(|class| class.slabs * SLAB_SIZE)
            .sum();
        let chunks: usize = stats
            .classes
            .iter()
            .map(|class| (class.in_use + class.free) * class.size)
            .sum();
        assert_eq!(cut, chunks, "a slab is cut without waste");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn behaves_like_vectors_and_loses_nothing(steps in vec(step(), 1..400)) {
        let mut world = World::new();
        for step in &steps {
            world.apply(step);
            world.check();
        }
        world.buffers.clear();
        world.segments.clear();
        world.check();
        prop_assert_eq!(world.pool.stats().bytes_in_use, 0);
        world.pool.trim();
        prop_assert_eq!(world.pool.stats().bytes_mapped, 0);
    }
}
