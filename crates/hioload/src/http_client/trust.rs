//! Whom a client believes over TLS, and what it offers to speak there.
//!
//! Must not know connections beyond beginning their sessions. The system's authorities are read once, and only when a
//! connection needs them.

use hioload_http::client::{Offer, Protocol};
use hioload_net::tls::{Connector, ConnectorConfig, Identity, Roots, Session, SetupError};

/// How sessions are begun.
#[derive(Debug, Default)]
pub struct Trust {
    roots: Roots,
    identity: Option<Identity>,
    /// One for each offer, once it was needed.
    connectors: [Option<Connector>; 3],
}

impl Trust {
    /// Believes these, and shows this to servers that ask.
    #[must_use]
    pub fn new(roots: Roots, identity: Option<Identity>) -> Self {
        Self {
            roots,
            identity,
            connectors: [None, None, None],
        }
    }

    /// Begins a session with a host.
    pub(super) fn connect(&mut self, host: &str, offer: Offer) -> Result<Session, SetupError> {
        let (place, protocols) = match offer {
            Offer::Any => (0, &[Protocol::Http2, Protocol::Http1][..]),
            Offer::Http1 => (1, &[Protocol::Http1][..]),
            Offer::Http2 => (2, &[Protocol::Http2][..]),
        };
        if self.connectors[place].is_none() {
            let alpn = protocols.iter().map(|protocol| protocol.alpn().to_owned());
            self.connectors[place] = Some(Connector::new(&ConnectorConfig {
                roots: self.roots.clone(),
                alpn: alpn.collect(),
                identity: self.identity.clone(),
                ..ConnectorConfig::default()
            })?);
        }
        let connector = self.connectors[place].as_ref();
        connector.expect("invariant: made above").connect(host)
    }
}
