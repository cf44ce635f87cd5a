//! HTTP as bytes and events: no sockets, no clocks, no threads, no pools.
//!
//! | module | noun | source |
//! |---|---|---|
//! | [`h1`] | one HTTP/1.1 connection, server and client side | RFC 9112 |
//! | `etag` | `ETag`, `If-None-Match` | RFC 9110 8.8.3, 13.1.2 |
//! | `range` | `Range`, `Content-Range` | RFC 9110 14 |
//! | `date` | `Date` | RFC 9110 5.6.7 |
//! | `digest` | `Repr-Digest` | RFC 9530 |

#![forbid(unsafe_code)]

mod date;
mod digest;
mod etag;
pub mod h1;
mod range;

pub use date::{DATE_SIZE, http_date};
pub use digest::write_repr_digest;
pub use etag::{is_any, lists_tag};
pub use range::{RangeSpec, Unsatisfiable, write_content_range};
