//! HTTP for those who ask: HTTP/1.1 and HTTP/2, in clear and over TLS.
//!
//! ```text
//!   HttpClient (any thread) ─ commands ─▶ its own thread ─┐
//!   reactor worker ───────────────────────────────────────┴─▶ Engine (sockets, TLS) ─▶ Agent (no I/O)
//! ```
//!
//! [`HttpClient`] waits for its answers; an [`Engine`] is the same on a driver of one's own, for those who must not
//! wait; and [`Agent`] is all of it without sockets.
//!
//! A request with everything:
//!
//! ```no_run
//! use std::io::Read as _;
//! use std::time::Duration;
//!
//! use hioload::http_client::{HttpClient, Method, Request};
//!
//! let client = HttpClient::builder().connect_timeout(Duration::from_secs(3)).build()?;
//! let request = Request::new(Method::GET, "https://example.org/big".parse()?)
//!     .field("Accept", "application/octet-stream")?
//!     .total_timeout(Duration::from_secs(600));
//! let mut answer = client.open(request)?;
//! let mut buffer = vec![0; 64 * 1024];
//! loop {
//!     let size = answer.read(&mut buffer)?;
//!     if size == 0 {
//!         break;
//!     }
//!     println!("{:?}", answer.progress());
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod call;
mod client;
mod engine;
mod error;
mod events;
mod link;
mod race;
mod thread;
mod threads;
mod trust;
mod websocket;

pub use client::{Answer, AnswerStream, Call, Canceller, HttpClient, HttpClientBuilder};
pub use engine::{Engine, Lookup};
pub use error::HttpError;
pub use events::{Events, EventsError, ServerEvent};
pub use hioload_http::client::{
    Agent, Config, ConnKey, ConnectStage, Event, Failure, Head, Limits, Method, Offer, Origin,
    Phase, Progress, Protocol, RedirectFault, RedirectPolicy, Request, RequestBody, RequestError,
    RequestKey, Scheme, SubmitError, UploadMisuse, Url, UrlFault,
};
pub use hioload_http::sse::Overlong;
pub use hioload_net::tls::{Identity, Roots};
pub use hioload_reactor::{Completion, Driver};
pub use trust::Trust;
pub use websocket::WebSocket;
