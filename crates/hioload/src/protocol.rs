//! Protocols of the application: bytes both ways on a connection, or a stream of one, that asked for them.
//!
//! ```text
//!   GET with Upgrade: lines ─▶ 101 ─┐                                  Handler knows nothing of it
//!   CONNECT, :protocol lines ─▶ 200 ┴─▶ Protocol::open ─▶ received … ─▶ closed
//! ```
//!
//! The request is offered to each protocol in the order they were added ([`Upgrade::detect`]); the first that takes it
//! answers it ([`Upgrade::handshake`]). From then on it has a session like any other: a UID of kind
//! [`Custom`](crate::streams::Kind::Custom) to be written to, listed, proxied and closed by, bounded output, a place in
//! the shutdown. What is sent on it are bytes as they are, whatever the kind of the message. `websocket` is the server's
//! own, and never offered.
//!
//! ```no_run
//! use hioload::protocol::{Protocol, Upgrade, UpgradeRefusal, UpgradeRequest};
//! use hioload::streams::StreamUid;
//! use hioload::{Message, Server, Session};
//!
//! /// Sends back what comes.
//! struct Mirror;
//!
//! impl Upgrade for Mirror {
//!     fn detect(&self, request: &UpgradeRequest<'_>) -> bool {
//!         request.token == "mirror"
//!     }
//!
//!     fn handshake(
//!         &mut self,
//!         request: &UpgradeRequest<'_>,
//!         fields: &mut Vec<(String, String)>,
//!     ) -> Result<(), UpgradeRefusal> {
//!         if (request.field)("mirror-key").is_none() {
//!             return Err(UpgradeRefusal { status: 401 });
//!         }
//!         fields.push(("mirror-version".to_owned(), "1".to_owned()));
//!         Ok(())
//!     }
//!
//!     fn ready(&mut self, uid: StreamUid) {
//!         println!("{uid}");
//!     }
//! }
//!
//! impl Protocol for Mirror {
//!     fn received(&mut self, session: &mut Session<'_>, bytes: &[u8]) {
//!         let _ = session.send(Message::binary(bytes));
//!     }
//! }
//!
//! Server::builder().protocol(|_worker| Mirror).build()?.run()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use crate::handler::CloseReason;
use crate::session::Session;

pub use hioload_streams::{Upgrade, UpgradeRefusal, UpgradeRequest};

/// A protocol of the application on one worker; lives on its thread, as a [`Handler`](crate::Handler) does.
pub trait Protocol: Upgrade + 'static {
    /// The answer is on its way, and bytes may be sent: right after [`Upgrade::ready`].
    fn open(&mut self, session: &mut Session<'_>) {
        let _ = session;
    }

    /// Bytes came, in order, cut anywhere.
    fn received(&mut self, session: &mut Session<'_>, bytes: &[u8]);

    /// There is room again for what [`Session::send`] had to refuse.
    fn drained(&mut self, session: &mut Session<'_>) {
        let _ = session;
    }

    /// It is over; nothing can be sent any more. A peer that ended its side is
    /// [`CloseReason::Peer`], with the code for "none given": what was sent before still goes out.
    fn closed(&mut self, session: &mut Session<'_>, reason: CloseReason) {
        let _ = (session, reason);
    }
}
