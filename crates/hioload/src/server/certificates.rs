//! How a server speaks TLS: what it shows, whom it lets in, and reading that anew while it runs.
//!
//! Must not know connections. What a self-signed server shows is made once and outlives every reload.

use std::path::PathBuf;

use hioload_net::tls::{self, Acceptor, AcceptorConfig, Identity, PemPair, SetupError};
use hioload_reactor::StartError;

/// Application protocols, the preferred one first.
const PROTOCOLS: &[&str] = &["h2", "http/1.1"];

/// How a server speaks TLS.
///
/// ```
/// use hioload::{Server, TlsConfig};
///
/// let server = Server::builder()
///     .addr("127.0.0.1:0".parse()?)
///     .workers(1)
///     .tls(Some(TlsConfig::self_signed(&["localhost"])))
///     .build()?;
/// # drop(server);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsConfig {
    /// Chains and keys. The name a client asks for picks one; whoever asks for none, or for a strange one, is shown the
    /// first.
    pub identities: Vec<Identity>,
    /// Names of a certificate that is made at start and comes first; none: none is made.
    pub self_signed: Vec<String>,
    /// Authorities of clients, PEM: whoever has no certificate from one of them is refused.
    pub client_ca: Option<PathBuf>,
    /// Whether clients may resume their sessions.
    pub resumption: bool,
}

impl TlsConfig {
    /// Chains and keys, anybody let in, sessions resumed.
    #[must_use]
    pub fn new(identities: Vec<Identity>) -> TlsConfig {
        TlsConfig {
            identities,
            self_signed: Vec::new(),
            client_ca: None,
            resumption: true,
        }
    }

    /// A certificate that nobody vouches for, for trying out.
    #[must_use]
    pub fn self_signed(names: &[&str]) -> TlsConfig {
        TlsConfig {
            self_signed: names.iter().map(|&name| name.to_owned()).collect(),
            ..TlsConfig::new(Vec::new())
        }
    }

    fn acceptor_config(&self, made: Option<&PemPair>) -> AcceptorConfig {
        let made = made.cloned().map(Identity::Pem);
        AcceptorConfig {
            identities: made.into_iter().chain(self.identities.clone()).collect(),
            alpn: PROTOCOLS.iter().map(|&name| name.to_owned()).collect(),
            client_ca: self.client_ca.clone(),
            resumption: self.resumption,
        }
    }
}

/// What a running server shows.
#[derive(Debug)]
pub(crate) struct Certificates {
    acceptor: Acceptor,
    /// The one that was made at start.
    made: Option<PemPair>,
}

impl Certificates {
    pub(super) fn open(config: &TlsConfig) -> Result<Certificates, StartError> {
        let names = &config.self_signed;
        let made = (!names.is_empty()).then(|| tls::self_signed(names));
        let made = made.transpose().map_err(start_error)?;
        let acceptor = Acceptor::new(&config.acceptor_config(made.as_ref()));
        Ok(Certificates {
            acceptor: acceptor.map_err(start_error)?,
            made,
        })
    }

    pub(super) fn acceptor(&self) -> Acceptor {
        self.acceptor.clone()
    }

    /// Reads all files anew. After an error everything is as it was.
    pub(crate) fn reload(&self, config: &TlsConfig) -> Result<(), SetupError> {
        self.acceptor
            .reload(&config.acceptor_config(self.made.as_ref()))
    }
}

fn start_error(error: SetupError) -> StartError {
    StartError {
        what: error.what,
        cause: error.cause,
        remedy: error.remedy.to_owned(),
        errno: None,
    }
}
