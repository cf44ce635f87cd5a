//! What all sessions of a client share: whom it trusts, who it is, its tickets.
//!
//! Must not know sessions beyond making one.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ClientSessionMemoryCache, Resumption};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::acceptor::protocols;
use super::certificates::{Identity, read, roots};
use super::failure::{Failure, SetupError};
use super::limits::CACHE;
use super::session::Session;

/// Whom a client trusts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Roots {
    /// Whom the machine trusts: its administrator decides, and its updates reach us.
    #[default]
    System,
    /// The authorities in this PEM file.
    File(PathBuf),
    /// The authorities in this PEM text.
    Pem(Vec<u8>),
    /// Anybody. Only against a self-signed server on a network one trusts: whoever is between can read and write.
    Insecure,
}

/// What a client's sessions are made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectorConfig {
    /// Whom it trusts.
    pub roots: Roots,
    /// Application protocols it offers, the preferred one first.
    pub alpn: Vec<String>,
    /// Who it is, when servers ask.
    pub identity: Option<Identity>,
    /// Whether it comes back with the tickets that servers gave it.
    pub resumption: bool,
}

impl Default for ConnectorConfig {
    fn default() -> ConnectorConfig {
        ConnectorConfig {
            roots: Roots::System,
            alpn: Vec::new(),
            identity: None,
            resumption: true,
        }
    }
}

/// Makes the client's end of sessions. A clone is the same connector, with the same tickets.
#[derive(Clone)]
pub struct Connector(Arc<ClientConfig>);

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").finish_non_exhaustive()
    }
}

impl Connector {
    /// Reads all files.
    ///
    /// # Errors
    /// Which file, why, and what to do.
    pub fn new(config: &ConnectorConfig) -> Result<Connector, SetupError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| SetupError {
                what: "TLS cannot be set up".to_owned(),
                cause: error.to_string(),
                remedy: "This is a defect: report it",
            })?;
        let builder = match &config.roots {
            Roots::System => builder.with_root_certificates(system_roots()?),
            Roots::File(path) => {
                builder.with_root_certificates(roots(&read(path)?, &path.display().to_string())?)
            }
            Roots::Pem(pem) => builder.with_root_certificates(roots(pem, "the given roots")?),
            Roots::Insecure => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(TrustAll(provider))),
        };
        let mut made = match &config.identity {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let (chain, key) = identity.parts()?;
                builder
                    .with_client_auth_cert(chain, key)
                    .map_err(|error| SetupError {
                        what: "the client's certificate cannot be used".to_owned(),
                        cause: error.to_string(),
                        remedy: "Give the certificate and the key that it was made for",
                    })?
            }
        };
        made.alpn_protocols = protocols(&config.alpn)?;
        made.resumption = if config.resumption {
            let cache = ClientSessionMemoryCache::new(CACHE.default as usize);
            Resumption::store(Arc::new(cache))
        } else {
            Resumption::disabled()
        };
        Ok(Connector(Arc::new(made)))
    }

    /// A session with a server of this name or address (no port); its first record is in the output.
    ///
    /// # Errors
    /// The name is none, or the system has no randomness.
    pub fn connect(&self, host: &str) -> Result<Session, SetupError> {
        let bare = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        let name = ServerName::try_from(bare.unwrap_or(host).to_owned());
        let name = name.map_err(|error| SetupError {
            what: format!("{host:?} cannot be the name of a server"),
            cause: error.to_string(),
            remedy: "Give a host's name or address",
        })?;
        Session::client(Arc::clone(&self.0), name).map_err(|failure: Failure| SetupError {
            what: "no session can be begun".to_owned(),
            cause: failure.to_string(),
            remedy: "The system has to have randomness",
        })
    }
}

/// What the machine trusts; one bad certificate among many is passed over.
fn system_roots() -> Result<RootCertStore, SetupError> {
    let found = rustls_native_certs::load_native_certs();
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(found.certs);
    if store.is_empty() {
        let cause = found.errors.first().map(ToString::to_string);
        return Err(SetupError {
            what: "the system trusts nobody".to_owned(),
            cause: cause.unwrap_or_else(|| "its store of certificates is empty".to_owned()),
            remedy: "Install the package ca-certificates, or name a file of authorities",
        });
    }
    Ok(store)
}

/// Takes any certificate for any name. Signatures are still checked: the peer has the key of what it shows.
#[derive(Debug)]
struct TrustAll(Arc<CryptoProvider>);

impl ServerCertVerifier for TrustAll {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
