//! HTTP as bytes and events: no sockets, no clocks, no threads, no pools.
//!
//! | module | noun | source |
//! |---|---|---|
//! | [`client`] | all requests of a client: pool, redirects, retries, time-outs | RFC 9110 |
//! | [`h1`] | one HTTP/1.1 connection, server and client side | RFC 9112 |
//! | [`hpack`] | field lists as the bytes of HTTP/2's header blocks | RFC 7541 |
//! | [`h2`] | one HTTP/2 connection, server and client side | RFC 9113, 8441, 9218 |
//! | [`sse`] | server-sent events, both ways | WHATWG HTML 9.2 |
//! | `request`, `fields` | a request, and the fields of a message, of either version | RFC 9110 5 |
//! | `field_list`, `field_name` | fields to be sent, for either version | RFC 9110 5 |
//! | `etag` | `ETag`, `If-None-Match` | RFC 9110 8.8.3, 13.1.2 |
//! | `range` | `Range`, `Content-Range` | RFC 9110 14 |
//! | `date` | `Date` | RFC 9110 5.6.7 |
//! | `digest` | `Repr-Digest` | RFC 9530 |

#![forbid(unsafe_code)]

pub mod client;
mod date;
mod digest;
mod etag;
mod field_list;
mod field_name;
mod fields;
pub mod h1;
pub mod h2;
pub mod hpack;
mod range;
mod request;
pub mod sse;

pub use date::{DATE_SIZE, http_date};
pub use digest::write_repr_digest;
pub use etag::{is_any, lists_tag};
pub use field_list::FieldList;
pub use field_name::{FieldName, KnownName, names};
pub use fields::Fields;
pub use range::{RangeSpec, Unsatisfiable, write_content_range};
pub use request::{Body, Request};
