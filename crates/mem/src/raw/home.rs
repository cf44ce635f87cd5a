//! The way back: chunks return from any thread to the pool they came from.
//!
//! `Home` is a lock-free stack. Any thread pushes (one CAS); only the owner takes, and it takes the whole stack with one
//! swap. Since nothing is ever popped singly, a head that was seen, changed and came back (ABA) does no harm.
//!
//! Life time: the owner closes the stack when it is dropped and leaves slabs and home to the last chunk that is out.
//!
//! ```text
//!  open:    push = CAS on head                     Owner::take_returned = swap(head, null)
//!  closing: remaining = out + 1; head = CLOSED; give the pending ones and the owner's own 1
//!  closed:  push sees CLOSED, remaining -= 1; whoever brings it to zero frees slabs and home
//! ```
//!
//! Orderings: the CAS of `push` releases the bytes and `next` to the acquire of the owner's swap. Storing `remaining`
//! happens before the swap to CLOSED (release), which a pusher that sees CLOSED acquires. `remaining` is subtracted with
//! acquire and release, so the one who frees comes after all others.

use std::marker::PhantomData;
use std::mem;
use std::ptr::{self, NonNull};

use super::header::Header;
use super::slab::Slab;
use super::sync::{AtomicPtr, AtomicUsize, Ordering, UnsafeCell};

/// Head of a stack whose owner is gone. No header has this address: headers are aligned to at least 4.
const CLOSED: *mut Header = ptr::without_provenance_mut(1);

/// The shared end of a pool: reached from every chunk that is out.
pub(super) struct Home {
    head: AtomicPtr<Header>,
    /// Chunks out plus one for the owner; valid once `head` is CLOSED.
    remaining: AtomicUsize,
    /// What to free with the home; written by the owner before it closes, read by whoever frees.
    slabs: UnsafeCell<Vec<Option<Slab>>>,
}

impl Home {
    /// Puts a chunk nobody uses on the stack; frees everything if it was the last chunk of a closed home.
    ///
    /// # Safety
    ///
    /// `header` belongs to a slab of this home, is out, and the caller is the only one that refers to it. It is the
    /// owner's afterwards.
    pub(super) unsafe fn push(home: NonNull<Home>, header: NonNull<Header>) {
        // SAFETY: home is freed only when all chunks out have come back, and this one has not yet.
        let (head, next) = unsafe { (&home.as_ref().head, &header.as_ref().next) };
        // Acquire for the case CLOSED: partner of the swap in `Owner::drop`.
        let mut seen = head.load(Ordering::Acquire);
        while !ptr::eq(seen, CLOSED) {
            next.store(seen, Ordering::Relaxed);
            let pushed = head.compare_exchange_weak(
                seen,
                header.as_ptr(),
                Ordering::Release,
                Ordering::Acquire,
            );
            match pushed {
                // From here on the owner may have the chunk and may even have freed the home: touch nothing.
                Ok(_) => return,
                Err(now) => seen = now,
            }
        }
        // SAFETY: the home is closed, and this chunk is one that `remaining` counts and the owner did not find.
        unsafe { Home::leave(home, 1) };
    }

    /// Counts `n` off a closed home and frees it when nothing is left.
    ///
    /// # Safety
    ///
    /// `remaining` is set and counts `n` units that are the caller's and have not been counted off.
    unsafe fn leave(home: NonNull<Home>, n: usize) {
        // SAFETY: our own units are still counted, so the home is alive.
        let shared = unsafe { home.as_ref() };
        // Stands for the use of slabs by whoever counts off, which loom does not see.
        #[cfg(loom)]
        shared.slabs.with(|_| ());
        let before = shared.remaining.fetch_sub(n, Ordering::AcqRel);
        if before == n {
            // SAFETY: everything is counted off: no chunk is out, the owner has left, nobody can reach the home. It was
            // leaked from a box in `Owner::new`. `Slab` may be dropped on any thread: it holds a mapping and plain memory.
            let home = unsafe { Box::from_raw(home.as_ptr()) };
            home.slabs.with_mut(|slabs| {
                // SAFETY: the home is ours alone.
                for slab in unsafe { &mut *slabs }.iter_mut().flatten() {
                    slab.all_returned();
                }
            });
        }
    }
}

/// A chunk that came back and is in nobody's hands; dropped instead of given to its slab it is lost, not dangling.
pub(crate) struct Returned {
    pub(super) header: NonNull<Header>,
}

impl Returned {
    /// Index of the slab it belongs to.
    pub(crate) fn slab_index(&self) -> usize {
        // SAFETY: slabs and their headers live as long as a chunk of theirs has not been given back.
        unsafe { self.header.as_ref() }.slab_index() as usize
    }
}

/// The pool's end: slabs and the chunks that came back. One per home, tied to one thread.
pub(crate) struct Owner {
    home: NonNull<Home>,
    /// Chunks taken off the stack, not yet given to their slabs.
    pending: *mut Header,
    /// The slabs, by index.
    pub(crate) slabs: Vec<Option<Slab>>,
    not_send: PhantomData<*mut ()>,
}

impl Owner {
    pub(crate) fn new() -> Owner {
        let home = Home {
            head: AtomicPtr::new(ptr::null_mut()),
            remaining: AtomicUsize::new(0),
            slabs: UnsafeCell::new(Vec::new()),
        };
        Owner {
            home: NonNull::from(Box::leak(Box::new(home))),
            pending: ptr::null_mut(),
            slabs: Vec::new(),
            not_send: PhantomData,
        }
    }

    pub(super) fn home(&self) -> NonNull<Home> {
        self.home
    }

    /// One chunk that came back, if there is one.
    pub(crate) fn take_returned(&mut self) -> Option<Returned> {
        if self.pending.is_null() {
            // SAFETY: the home is alive: only `leave` frees it, and the owner has not left.
            let head = unsafe { &self.home.as_ref().head };
            // A plain load first: an empty stack is the usual case and costs no write to a shared line.
            if head.load(Ordering::Relaxed).is_null() {
                return None;
            }
            self.pending = head.swap(ptr::null_mut(), Ordering::Acquire);
        }
        self.pop_pending()
    }

    fn pop_pending(&mut self) -> Option<Returned> {
        let header = NonNull::new(self.pending)?;
        // SAFETY: `pending` is a chain of chunks that are ours alone since the swap; their slabs cannot go before they are
        // given back.
        self.pending = unsafe { header.as_ref() }.next.load(Ordering::Relaxed);
        Some(Returned { header })
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        let slabs = mem::take(&mut self.slabs);
        // A slab that was swapped in from another owner is not counted; it leaks on its own when it is dropped.
        let ours = slabs
            .iter()
            .flatten()
            .filter(|slab| slab.home() == self.home);
        let out: usize = ours.map(Slab::out).sum();
        // SAFETY: alive, see `take_returned`.
        let home = unsafe { self.home.as_ref() };
        home.remaining.store(out + 1, Ordering::Relaxed);
        // SAFETY: only the owner touches the cell before it closes, only who frees afterwards.
        home.slabs.with_mut(|cell| unsafe { *cell = slabs });
        let mut found = 0;
        while self.pop_pending().is_some() {
            found += 1;
        }
        // Acquire: partner of `push`, for `next`. Release: publishes `remaining` and `slabs` to late pushers.
        self.pending = home.head.swap(CLOSED, Ordering::AcqRel);
        while self.pop_pending().is_some() {
            found += 1;
        }
        // SAFETY: the chunks found are out and were on the stack before it closed, so nobody else counts them off; the one
        // more is the owner's.
        unsafe { Home::leave(self.home, found + 1) };
    }
}

/// Every interleaving of a pool that works, ends, and readers that drop on other threads.
/// `RUSTFLAGS="--cfg loom" cargo test -p hioload-mem --release --lib`.
#[cfg(all(test, loom))]
mod loom_tests {
    use loom::thread;

    use super::super::region::{Region, RegionConfig};
    use super::super::{View, Writer};
    use super::*;

    const CHUNK_SIZE: u32 = 64;

    /// An owner with one slab of `count` chunks.
    fn owner(count: usize) -> Owner {
        let size = count * CHUNK_SIZE as usize;
        let region = Region::map(RegionConfig {
            size,
            ..RegionConfig::default()
        });
        let mut owner = Owner::new();
        let mut slab = Slab::new(&owner, 0, region.expect("a few bytes"));
        slab.carve(CHUNK_SIZE);
        owner.slabs.push(Some(slab));
        owner
    }

    fn slab(owner: &mut Owner) -> &mut Slab {
        owner.slabs[0].as_mut().expect("made by `owner`")
    }

    fn take(owner: &mut Owner) -> Option<Writer> {
        while let Some(returned) = owner.take_returned() {
            slab(owner).give(returned);
        }
        slab(owner).take()
    }

    fn sealed(owner: &mut Owner, byte: u8) -> View {
        let mut writer = take(owner).expect("a free chunk");
        writer.spare_mut()[0] = byte;
        writer.advance(1);
        writer.seal()
    }

    #[test]
    fn two_threads_return_while_the_owner_takes() {
        loom::model(|| {
            let mut owner = owner(2);
            let (first, second) = (sealed(&mut owner, 1), sealed(&mut owner, 2));
            let threads = [first, second].map(|view| thread::spawn(move || drop(view)));
            let third = take(&mut owner); // only if one is back already
            drop(third);
            for thread in threads {
                thread.join().expect("dropped");
            }
            let both = [take(&mut owner), take(&mut owner)];
            assert!(both.iter().all(Option::is_some), "a chunk was lost");
            assert!(take(&mut owner).is_none(), "a chunk was doubled");
        });
    }

    #[test]
    fn a_chunk_is_taken_again_after_all_its_readers() {
        loom::model(|| {
            let mut owner = owner(1);
            let view = sealed(&mut owner, 1);
            let other = view.clone();
            // Loom does not see the bytes; a cell of its own stands for them: read by readers, written by the next writer.
            let bytes = loom::sync::Arc::new(loom::cell::UnsafeCell::new(()));
            let read = loom::sync::Arc::clone(&bytes);
            let reader = thread::spawn(move || {
                read.with(|_| assert_eq!(other.as_slice(), [1]));
                drop(other);
            });
            bytes.with(|_| assert_eq!(view.as_slice(), [1]));
            drop(view);
            // Nothing but the chunk itself orders the reader before this.
            let writer = loop {
                match take(&mut owner) {
                    Some(writer) => break writer,
                    None => thread::yield_now(),
                }
            };
            bytes.with_mut(|_| drop(writer));
            reader.join().expect("read");
        });
    }

    #[test]
    fn the_last_of_owner_and_readers_frees() {
        loom::model(|| {
            let mut owner = owner(2);
            let (first, second) = (sealed(&mut owner, 1), sealed(&mut owner, 2));
            let threads = [first, second].map(|view| {
                thread::spawn(move || {
                    assert!(view.as_slice()[0] > 0);
                    drop(view);
                })
            });
            drop(owner);
            for thread in threads {
                thread.join().expect("dropped");
            }
        });
    }
}
