//! An HTTP client without I/O: requests in, connections to be made and bytes to be sent out, answers as events.
//!
//! ```text
//!                      ┌──────────────────── Agent ─────────────────────┐
//!  submit(Request) ───▶│ waiting, by origin ─▶ Pool ─▶ Wire (h1 │ h2)   │──▶ poll_connect, poll_output, poll_close
//!  connected, input ──▶│      ▲                          │              │──▶ Event: Head, Body, End, Failed, …
//!  handle_timeout ────▶│      └─ Redirects, retries ◀────┘              │
//!                      └────────────────────────────────────────────────┘
//! ```
//!
//! | module | noun |
//! |---|---|
//! | `url` | [`Url`], and the [`Origin`] that connections are pooled by |
//! | `request`, `method` | what is asked, and how the answer is wanted |
//! | `redirect` | where an answer leads: a state machine of its own |
//! | `outgoing` | a request's body on its way |
//! | `exchange` | one request, through redirects and retries |
//! | `wire`, `wire_h1`, `wire_h2` | one connection that stands |
//! | `pool` | connections, and who waits for them |
//! | `agent` | [`Agent`]: all of it together |
//!
//! Must not know sockets, clocks, name services or TLS: whoever owns an agent makes the connections.

mod agent;
mod event;
mod exchange;
mod failure;
mod limits;
mod method;
mod outgoing;
mod pool;
mod redirect;
mod request;
mod url;
mod wire;
mod wire_h1;
mod wire_h2;

pub use agent::{Agent, Config, Connect, SubmitError};
pub use event::{ConnKey, Event, Head, Progress, Protocol, RequestKey};
pub use failure::{ConnectStage, Failure, Phase};
pub use limits::{LIMITS, Limits};
pub use method::Method;
pub use outgoing::UploadMisuse;
pub use pool::Offer;
pub use redirect::{Hop, LOCATION_SIZE_MAX, RedirectFault, RedirectPolicy, Redirects};
pub use request::{BodyMode, Request, RequestBody, RequestError};
pub use url::{Origin, Scheme, URL_SIZE_MAX, Url, UrlFault};
