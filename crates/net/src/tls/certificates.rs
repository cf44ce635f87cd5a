//! Chains and keys from PEM, self-signed ones for trying out, and the choice among them by the name a client
//! asks for.
//!
//! Must not know sessions. A chain serves the names that its first certificate says, `*.` in front standing for
//! one label; among several for one name the first that the client can verify is taken. Whoever asks for no
//! name, or for a strange one, gets the first chain of all: that is for the client to refuse (RFC 6066 3).

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, SignatureScheme};

use super::failure::SetupError;
use super::limits::{CHAINS, FILE_SIZE};

/// A certificate chain and its key, as PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct PemPair {
    /// The chain: the end's own certificate first.
    pub certificate: Vec<u8>,
    /// The private key: PKCS#8, SEC1 or PKCS#1.
    pub key: Vec<u8>,
}

impl fmt::Debug for PemPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The key is nobody's business.
        f.debug_struct("PemPair").finish_non_exhaustive()
    }
}

/// Where a chain and its key come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// Files, read at start and at each reload; both may be one file.
    Files {
        /// The chain.
        certificate: PathBuf,
        /// The private key.
        key: PathBuf,
    },
    /// Given as they are.
    Pem(PemPair),
}

/// Makes a certificate that nobody vouches for, with its key (ECDSA P-256), for these names and addresses.
///
/// # Errors
/// A name that is none.
pub fn self_signed(names: &[String]) -> Result<PemPair, SetupError> {
    let made = rcgen::generate_simple_self_signed(names).map_err(|error| SetupError {
        what: format!("no self-signed certificate for {}", names.join(", ")),
        cause: error.to_string(),
        remedy: "Names are those of hosts, or addresses",
    })?;
    Ok(PemPair {
        certificate: made.cert.pem().into_bytes(),
        key: made.signing_key.serialize_pem().into_bytes(),
    })
}

impl Identity {
    /// The chain and the key, which belong together.
    pub(super) fn load(&self, provider: &CryptoProvider) -> Result<CertifiedKey, SetupError> {
        let (chain, key) = self.parts()?;
        CertifiedKey::from_der(chain, key, provider).map_err(|error| SetupError {
            what: format!("the key of {} cannot be used", self.name()),
            cause: error.to_string(),
            remedy: "Give the key that the certificate was made for: RSA, ECDSA P-256 or P-384, or Ed25519",
        })
    }

    pub(super) fn parts(
        &self,
    ) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), SetupError> {
        let (chain_pem, key_pem) = match self {
            Identity::Pem(pair) => (pair.certificate.clone(), pair.key.clone()),
            Identity::Files { certificate, key } => (read(certificate)?, read(key)?),
        };
        let chain = certificates(&chain_pem, &self.name())?;
        let key = PrivateKeyDer::from_pem_slice(&key_pem).map_err(|error| SetupError {
            what: format!("no private key for {}", self.name()),
            cause: error.to_string(),
            remedy: "Give a PEM file with one unencrypted private key",
        })?;
        Ok((chain, key))
    }

    fn name(&self) -> String {
        match self {
            Identity::Files { certificate, .. } => certificate.display().to_string(),
            Identity::Pem(_) => "the given certificate".to_owned(),
        }
    }
}

/// The certificates in a PEM text, at least one.
pub(super) fn certificates(
    pem: &[u8],
    name: &str,
) -> Result<Vec<CertificateDer<'static>>, SetupError> {
    let refused = |cause: String| SetupError {
        what: format!("no certificate in {name}"),
        cause,
        remedy: "Give a PEM file: -----BEGIN CERTIFICATE-----",
    };
    let found: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|error| refused(error.to_string()))?;
    if found.is_empty() {
        return Err(refused("it has none".to_owned()));
    }
    Ok(found)
}

/// A store of roots from a PEM text.
pub(super) fn roots(pem: &[u8], name: &str) -> Result<RootCertStore, SetupError> {
    let mut store = RootCertStore::empty();
    for certificate in certificates(pem, name)? {
        store.add(certificate).map_err(|error| SetupError {
            what: format!("{name} has a certificate that cannot be a root"),
            cause: error.to_string(),
            remedy: "Give the certificate of the authority, as PEM",
        })?;
    }
    Ok(store)
}

/// A file with PEM, within its bound.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, SetupError> {
    let refused = |cause: String| SetupError {
        what: format!("cannot read {}", path.display()),
        cause,
        remedy: "Give a PEM file that this user may read",
    };
    let size = std::fs::metadata(path)
        .map_err(|error| refused(error.to_string()))?
        .len();
    if size > FILE_SIZE.max {
        return Err(refused(format!(
            "it has {size} bytes, more than {}",
            FILE_SIZE.max
        )));
    }
    std::fs::read(path).map_err(|error| refused(error.to_string()))
}

/// The chains of a server, found by name.
#[derive(Debug)]
pub(super) struct Certificates {
    chains: Vec<Arc<CertifiedKey>>,
    /// Places of the chains for a name, in the order they were given.
    exact: HashMap<String, Vec<usize>>,
    /// The same for `*.` and this name.
    wildcard: HashMap<String, Vec<usize>>,
}

impl Certificates {
    pub(super) fn load(
        identities: &[Identity],
        provider: &CryptoProvider,
    ) -> Result<Certificates, SetupError> {
        if identities.is_empty() || identities.len() as u64 > CHAINS.max {
            return Err(SetupError {
                what: format!("{} certificates", identities.len()),
                cause: format!("a server has from 1 to {}", CHAINS.max),
                remedy: "Give a certificate and its key",
            });
        }
        let mut all = Certificates {
            chains: Vec::with_capacity(identities.len()),
            exact: HashMap::new(),
            wildcard: HashMap::new(),
        };
        for identity in identities {
            all.add(identity.load(provider)?, &identity.name())?;
        }
        Ok(all)
    }

    fn add(&mut self, chain: CertifiedKey, name: &str) -> Result<(), SetupError> {
        let place = self.chains.len();
        let end = chain.end_entity_cert().ok();
        let end = end.map(|der| webpki::EndEntityCert::try_from(der).map_err(|error| (der, error)));
        let end = end.and_then(Result::ok).ok_or_else(|| SetupError {
            what: format!("the first certificate in {name} cannot be a server's"),
            cause: "it is not an X.509 version 3 certificate".to_owned(),
            remedy: "Put the server's own certificate first, then those that vouch for it",
        })?;
        for name in end.valid_dns_names() {
            let name = name.to_ascii_lowercase();
            match name.strip_prefix("*.") {
                Some(parent) => self
                    .wildcard
                    .entry(parent.to_owned())
                    .or_default()
                    .push(place),
                None => self.exact.entry(name).or_default().push(place),
            }
        }
        self.chains.push(Arc::new(chain));
        Ok(())
    }

    /// The chain for a name, of those whose key can sign in a way the client understands.
    fn pick(&self, name: Option<&str>, schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let name = name.map(str::to_ascii_lowercase);
        let exact = name.as_ref().and_then(|name| self.exact.get(name));
        let parent = name.as_ref().and_then(|name| name.split_once('.'));
        let wildcard = parent.and_then(|(_, parent)| self.wildcard.get(parent));
        let signs = |chain: &&Arc<CertifiedKey>| chain.key.choose_scheme(schemes).is_some();
        exact
            .into_iter()
            .chain(wildcard)
            .flatten()
            .map(|&place| &self.chains[place])
            .find(signs)
            .or_else(|| self.chains.iter().find(signs))
            .cloned()
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.pick(hello.server_name(), hello.signature_schemes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ECDSA: &[SignatureScheme] = &[SignatureScheme::ECDSA_NISTP256_SHA256];

    fn loaded(names: &[&[&str]]) -> Certificates {
        let identities: Vec<_> = names
            .iter()
            .map(|names| {
                let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
                Identity::Pem(self_signed(&names).expect("names"))
            })
            .collect();
        let provider = rustls::crypto::ring::default_provider();
        Certificates::load(&identities, &provider).expect("certificates")
    }

    fn place(all: &Certificates, name: Option<&str>) -> usize {
        let picked = all.pick(name, ECDSA).expect("one signs");
        let same = |chain: &Arc<CertifiedKey>| Arc::ptr_eq(chain, &picked);
        all.chains.iter().position(same).expect("one of them")
    }

    #[test]
    fn names_pick_their_chain_and_strangers_get_the_first() {
        let all = loaded(&[
            &["first.example"],
            &["*.wild.example"],
            &["a.example", "B.Example"],
        ]);
        for (name, expected) in [
            (Some("a.example"), 2),
            (Some("A.EXAMPLE"), 2),
            (Some("b.example"), 2),
            (Some("c.wild.example"), 1),
            (Some("first.example"), 0),
            // A star is one label (RFC 6125 6.4.3).
            (Some("c.d.wild.example"), 0),
            (Some("wild.example"), 0),
            (Some(""), 0),
            (None, 0),
        ] {
            assert_eq!(place(&all, name), expected, "{name:?}");
        }
        assert!(
            all.pick(Some("a.example"), &[]).is_none(),
            "nothing to sign with"
        );
    }

    #[test]
    fn what_is_no_pair_is_refused_with_its_name() {
        let provider = rustls::crypto::ring::default_provider();
        let one = self_signed(&["a".to_owned()]).expect("a name");
        let other = self_signed(&["a".to_owned()]).expect("a name");
        let mixed = Identity::Pem(PemPair {
            key: other.key,
            ..one.clone()
        });
        let error = mixed.load(&provider).expect_err("another's key");
        assert!(error.what.contains("key"), "{error}");
        let swapped = Identity::Pem(PemPair {
            certificate: one.key.clone(),
            key: one.certificate,
        });
        let error = swapped
            .load(&provider)
            .expect_err("a key is no certificate");
        assert!(error.what.contains("no certificate"), "{error}");
        let missing = Identity::Files {
            certificate: "/nowhere/at/all".into(),
            key: "/x".into(),
        };
        let error = missing.load(&provider).expect_err("no file");
        assert!(error.what.contains("/nowhere/at/all"), "{error}");
        assert!(Certificates::load(&[], &provider).is_err());
        assert!(self_signed(&["\u{e4}".to_owned()]).is_err());
    }

    #[test]
    fn a_file_has_its_bound() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("big.pem");
        let file = std::fs::File::create(&path).expect("a file");
        for (size, is_ok) in [
            (0, true),
            (1, true),
            (FILE_SIZE.max, true),
            (FILE_SIZE.max + 1, false),
        ] {
            file.set_len(size).expect("sparse");
            assert_eq!(read(&path).is_ok(), is_ok, "{size}");
        }
    }
}
