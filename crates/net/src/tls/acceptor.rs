//! What all sessions of a server share: certificates, tickets, protocols.
//!
//! Must not know sessions beyond making one. A reload builds everything anew and swaps it in whole, or changes nothing;
//! the keys of tickets and the cache outlive it, so clients resume across it. Live sessions keep what they began with.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::server::{
    NoServerSessionStorage, ProducesTickets, ServerSessionMemoryCache, StoresServerSessions,
    WebPkiClientVerifier,
};

use super::certificates::{Certificates, Identity, PemPair, read, roots};
use super::failure::{Failure, SetupError};
use super::limits::{ALPN_COUNT, CACHE, TICKETS};
use super::session::Session;

/// What a server's sessions are made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcceptorConfig {
    /// Chains and keys; the first is for whoever asks for no name, or a strange one.
    pub identities: Vec<Identity>,
    /// Application protocols, the preferred one first; a client that offers others alone is refused. None: any.
    pub alpn: Vec<String>,
    /// Authorities of clients: whoever has no certificate from one of these is refused.
    pub client_ca: Option<PathBuf>,
    /// Whether clients may resume.
    pub resumption: bool,
}

impl AcceptorConfig {
    /// One chain, HTTP/1.1 alone, resumption.
    #[must_use]
    pub fn with_pem(pair: &PemPair) -> AcceptorConfig {
        AcceptorConfig {
            identities: vec![Identity::Pem(pair.clone())],
            ..AcceptorConfig::default()
        }
    }
}

impl Default for AcceptorConfig {
    fn default() -> AcceptorConfig {
        AcceptorConfig {
            identities: Vec::new(),
            alpn: vec!["http/1.1".to_owned()],
            client_ca: None,
            resumption: true,
        }
    }
}

/// Makes the server's end of sessions. A clone is the same acceptor.
#[derive(Clone)]
pub struct Acceptor(Arc<Shared>);

struct Shared {
    provider: Arc<CryptoProvider>,
    tickets: Arc<dyn ProducesTickets>,
    cache: Arc<dyn StoresServerSessions>,
    current: ArcSwap<ServerConfig>,
}

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acceptor").finish_non_exhaustive()
    }
}

impl Acceptor {
    /// Reads all files.
    ///
    /// # Errors
    /// Which file, why, and what to do.
    pub fn new(config: &AcceptorConfig) -> Result<Acceptor, SetupError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tickets = rustls::crypto::ring::Ticketer::new().map_err(|error| SetupError {
            what: "no keys for tickets".to_owned(),
            cause: error.to_string(),
            remedy: "The system has to have randomness",
        })?;
        let cache: Arc<dyn StoresServerSessions> =
            ServerSessionMemoryCache::new(CACHE.default as usize);
        let made = make(config, &provider, &tickets, &cache)?;
        Ok(Acceptor(Arc::new(Shared {
            provider,
            tickets,
            cache,
            current: ArcSwap::from_pointee(made),
        })))
    }

    /// Takes new files, or the old ones read anew, for sessions from now on.
    ///
    /// # Errors
    /// As [`new`](Self::new); everything stays as it was then.
    pub fn reload(&self, config: &AcceptorConfig) -> Result<(), SetupError> {
        let shared = &*self.0;
        let made = make(config, &shared.provider, &shared.tickets, &shared.cache)?;
        shared.current.store(Arc::new(made));
        Ok(())
    }

    /// A session that waits for a client's first record.
    ///
    /// # Errors
    /// The system has no randomness.
    pub fn accept(&self) -> Result<Session, Failure> {
        Session::server(self.0.current.load_full())
    }
}

fn make(
    config: &AcceptorConfig,
    provider: &Arc<CryptoProvider>,
    tickets: &Arc<dyn ProducesTickets>,
    cache: &Arc<dyn StoresServerSessions>,
) -> Result<ServerConfig, SetupError> {
    let certificates = Certificates::load(&config.identities, provider)?;
    let refused = |cause: String| SetupError {
        what: "TLS cannot be set up".to_owned(),
        cause,
        remedy: "Check the certificates of clients' authorities",
    };
    let builder = ServerConfig::builder_with_provider(Arc::clone(provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| refused(error.to_string()))?;
    let builder = match &config.client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let roots = roots(&read(path)?, &path.display().to_string())?;
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
            builder.with_client_cert_verifier(
                verifier
                    .build()
                    .map_err(|error| refused(error.to_string()))?,
            )
        }
    };
    let mut made = builder.with_cert_resolver(Arc::new(certificates));
    made.alpn_protocols = protocols(&config.alpn)?;
    if config.resumption {
        made.ticketer = Arc::clone(tickets);
        made.session_storage = Arc::clone(cache);
        made.send_tls13_tickets = TICKETS.default as usize;
    } else {
        made.session_storage = Arc::new(NoServerSessionStorage {});
        made.send_tls13_tickets = 0;
    }
    Ok(made)
}

/// Application protocols as they are on the wire.
pub(super) fn protocols(names: &[String]) -> Result<Vec<Vec<u8>>, SetupError> {
    let is_good = |name: &String| (1..=255).contains(&name.len());
    if names.len() as u64 > ALPN_COUNT.max || !names.iter().all(is_good) {
        return Err(SetupError {
            what: format!("{} application protocols", names.len()),
            cause: format!("at most {} of 1 to 255 bytes each", ALPN_COUNT.max),
            remedy: "Name h2, http/1.1, or both",
        });
    }
    Ok(names.iter().map(|name| name.clone().into_bytes()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protocols_have_their_bounds() {
        let some = |count: usize, len: usize| vec!["x".repeat(len); count];
        for (names, is_ok) in [
            (some(0, 0), true),
            (some(1, 1), true),
            (some(16, 255), true),
            (some(17, 1), false),
            (some(1, 0), false),
            (some(1, 256), false),
        ] {
            assert_eq!(protocols(&names).is_ok(), is_ok, "{}", names.len());
        }
    }
}
