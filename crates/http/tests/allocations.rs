//! Taking requests and writing answers allocates nothing once the texts that are written to are long enough.
//!
//! A file of its own: the counting allocator is the process's.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::num::NonZeroU64;

use hioload_http::h1::{Event, Limits, Server, write_chunk_size, write_response_head};
use hioload_http::{RangeSpec, http_date, lists_tag, write_content_range, write_repr_digest};

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

#[test]
fn requests_and_answers_take_no_memory() {
    let mut input = b"GET /a?b HTTP/1.1\r\nHost: h\r\nRange: bytes=2-5\r\nIf-None-Match: \"x\", W/\"y\"\r\n\r\n\
        PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello\
        PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5;a\r\nhello\r\n0\r\nX: y\r\n\r\n\
        GET / HTTP/1.1\r\nHost h\r\n\r\n"
        .to_vec();
    let limits = Limits::default();
    let (mut head, mut value) = (String::with_capacity(512), String::with_capacity(128));
    let (mut requests, mut refusals, mut bytes) = (0, 0, 0);
    let count = allocations(|| {
        let (mut server, mut rest) = (Server::new(), &mut input[..]);
        loop {
            let is_whole = match server.handle_input(&limits, &mut rest) {
                Ok(Some(Event::Head(request))) => {
                    requests += 1;
                    let field = request.header("Range");
                    let range = field.and_then(RangeSpec::parse).map(|spec| spec.within(10));
                    value.clear();
                    let part = range.and_then(Result::ok);
                    write_content_range(&mut value, part.as_ref(), 10);
                    assert!(
                        !request
                            .values("If-None-Match")
                            .any(|list| lists_tag(list, b"z"))
                    );
                    field.is_some()
                }
                Ok(Some(Event::Body(piece))) => {
                    bytes += piece.len();
                    false
                }
                Ok(Some(Event::End)) => true,
                Ok(None) => break,
                Err(refusal) => {
                    refusals += 1;
                    write_response_head(&mut head, refusal.status, &[], Some(0));
                    break;
                }
            };
            if is_whole {
                let date = http_date(784_111_777);
                let date = std::str::from_utf8(&date).unwrap_or_default();
                value.clear();
                write_repr_digest(&[7; 32], &mut value);
                let fields = ["Date: ", date, "\r\nRepr-Digest: ", &value, "\r\n"];
                write_response_head(&mut head, 200, &fields, Some(4096));
                write_chunk_size(&mut head, NonZeroU64::MIN);
                assert!(server.response_done());
            }
        }
    });
    assert_eq!((requests, refusals, bytes), (3, 1, 10));
    assert_eq!(count, 0);
}
