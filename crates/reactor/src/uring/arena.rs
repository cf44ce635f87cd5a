//! Vectors and addresses that the kernel reads while it takes an entry off the queue
//! (`IORING_FEAT_SUBMIT_STABLE`): they must stay put until the next `enter`, and no longer.

use std::net::SocketAddr;

use hioload_mem::Segment;
use socket2::SockAddr;

/// Fixed blocks that never move; cleared when everything queued has been submitted.
pub(super) struct Arena {
    blocks: Vec<Block>,
    block_index: usize,
    #[expect(
        clippy::vec_box,
        reason = "the kernel reads them in place: they must not move"
    )]
    addresses: Vec<Box<SockAddr>>,
}

/// Room for a number of vectored sends. Its two vectors never grow past their capacity.
struct Block {
    vectors: Vec<libc::iovec>,
    messages: Vec<libc::msghdr>,
}

/// Vectors in one block; more than one message can need (`Payload::PIECES_MAX`).
const VECTORS: usize = 4096;
/// Messages in one block.
const MESSAGES: usize = 1024;

impl Arena {
    pub(super) fn new() -> Self {
        Self {
            blocks: Vec::new(),
            block_index: 0,
            addresses: Vec::new(),
        }
    }

    /// A message header over the segments' bytes. The segments outlive the operation (its slot
    /// holds them); header and vector live until [`Arena::clear`].
    pub(super) fn message(&mut self, segments: &[Segment]) -> *const libc::msghdr {
        let block = self.block_with_room(segments.len());
        let first = block.vectors.len();
        block
            .vectors
            .extend(segments.iter().map(|segment| libc::iovec {
                iov_base: segment.as_ptr().cast_mut().cast(),
                iov_len: segment.len(),
            }));
        // SAFETY: msghdr is plain data for which all zeroes is a valid value.
        let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
        message.msg_iov = block.vectors[first..].as_mut_ptr();
        message.msg_iovlen = segments.len() as _;
        block.messages.push(message);
        &raw const block.messages[block.messages.len() - 1]
    }

    /// The address in the system's form, and its length.
    pub(super) fn address(&mut self, addr: SocketAddr) -> (*const libc::sockaddr, u32) {
        let boxed = Box::new(SockAddr::from(addr));
        let parts = (boxed.as_ptr().cast::<libc::sockaddr>(), boxed.len());
        self.addresses.push(boxed);
        parts
    }

    /// Everything queued has been submitted.
    pub(super) fn clear(&mut self) {
        for block in &mut self.blocks[..] {
            block.vectors.clear();
            block.messages.clear();
        }
        self.block_index = 0;
        self.addresses.clear();
    }

    fn block_with_room(&mut self, vectors: usize) -> &mut Block {
        while let Some(block) = self.blocks.get(self.block_index) {
            let fits = block.vectors.len() + vectors <= VECTORS && block.messages.len() < MESSAGES;
            if fits {
                break;
            }
            self.block_index += 1;
        }
        if self.block_index == self.blocks.len() {
            self.blocks.push(Block {
                vectors: Vec::with_capacity(VECTORS),
                messages: Vec::with_capacity(MESSAGES),
            });
        }
        &mut self.blocks[self.block_index]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_stay_put_while_more_are_added() {
        let mut arena = Arena::new();
        let segments = [Segment::copy_from(b"ab"), Segment::copy_from(b"cde")];
        let first = arena.message(&segments);
        let all: Vec<_> = (0..5000).map(|_| arena.message(&segments)).collect();
        // SAFETY: the arena was not cleared, so headers and vectors are where they were.
        let (len, vector) = unsafe { ((*first).msg_iovlen, *(*first).msg_iov.add(1)) };
        assert_eq!((len, vector.iov_len), (2, 3));
        assert_eq!(all.len(), 5000);
        arena.clear();
        assert_eq!(arena.message(&segments), first, "blocks are used again");
    }
}
