//! `[tls]`: what the server shows to clients, and whom it lets in.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use hioload_control::Invalid;
use hioload_net::tls::Identity;
use serde::{Deserialize, Serialize};

use super::values::switch;
use crate::server::TlsConfig;

/// `[tls]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "each key is described in KEYS")]
pub struct TlsSection {
    pub pair: TlsPair,
    pub certificates: Words,
    pub keys: Words,
    pub names: Words,
    pub client_ca: PemFile,
    #[serde(with = "switch")]
    pub resumption: bool,
}

impl Default for TlsSection {
    fn default() -> Self {
        Self {
            pair: TlsPair::Off,
            certificates: Words::default(),
            keys: Words::default(),
            names: Words(
                ["localhost", "127.0.0.1", "::1"]
                    .map(str::to_owned)
                    .to_vec(),
            ),
            client_ca: PemFile(None),
            resumption: true,
        }
    }
}

/// A certificate and its key in one word: `off`, `self-signed`, or a file with both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TlsPair {
    /// In clear, unless files are given by themselves.
    Off,
    /// Made at start.
    SelfSigned,
    /// A PEM file with a chain and its key.
    File(PathBuf),
}

impl fmt::Display for TlsPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::SelfSigned => f.write_str("self-signed"),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

impl FromStr for TlsPair {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "" => Err("this is neither `off`, `self-signed` nor a file"),
            "off" => Ok(Self::Off),
            "self-signed" => Ok(Self::SelfSigned),
            path => Ok(Self::File(PathBuf::from(path))),
        }
    }
}

/// A PEM file, or `off`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PemFile(pub Option<PathBuf>);

impl fmt::Display for PemFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(path) => path.display().fmt(f),
            None => f.write_str("off"),
        }
    }
}

impl FromStr for PemFile {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "" => Err("this is neither `off` nor a file; write ./off for one of that name"),
            "off" => Ok(Self(None)),
            path => Ok(Self(Some(PathBuf::from(path)))),
        }
    }
}

/// Names or files in one text, with commas between them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Words(pub Vec<String>);

impl fmt::Display for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(","))
    }
}

impl FromStr for Words {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        let words: Vec<_> = text.split(',').map(|word| word.trim().to_owned()).collect();
        if words.iter().any(String::is_empty) {
            return Err("there is nothing between two commas, or beside one");
        }
        Ok(Self(words))
    }
}

impl TlsSection {
    /// How the server speaks TLS, if it is to.
    pub(super) fn to_config(&self) -> Option<TlsConfig> {
        let file = match &self.pair {
            TlsPair::File(path) => Some((path.clone(), path.clone())),
            TlsPair::Off | TlsPair::SelfSigned => None,
        };
        let pairs = self.certificates.0.iter().zip(&self.keys.0);
        let pairs = pairs.map(|(certificate, key)| (certificate.into(), key.into()));
        let identities = file
            .into_iter()
            .chain(pairs)
            .map(|(certificate, key)| Identity::Files { certificate, key });
        let mut config = TlsConfig::new(identities.collect());
        if self.pair == TlsPair::SelfSigned {
            config.self_signed.clone_from(&self.names.0);
        }
        config.client_ca.clone_from(&self.client_ca.0);
        config.resumption = self.resumption;
        (self.pair != TlsPair::Off || !config.identities.is_empty()).then_some(config)
    }
}

pub(super) fn check(tls: &TlsSection) -> Result<(), Invalid> {
    if tls.certificates.0.len() != tls.keys.0.len() {
        let why = "each certificate has its key, in the same order";
        return Err(Invalid::new(
            "tls.keys",
            why,
            "give --tls-cert and --tls-key in pairs",
        ));
    }
    if tls.pair == TlsPair::SelfSigned && tls.names.0.is_empty() {
        let why = "a certificate is for somebody";
        return Err(Invalid::new("tls.names", why, "use localhost"));
    }
    if tls.client_ca.0.is_some() && tls.to_config().is_none() {
        let why = "clients show certificates only where the server shows one";
        return Err(Invalid::new(
            "tls.client_ca",
            why,
            "use off, or give the server a certificate",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_written_as_they_are_read() {
        for text in ["", "a", "a,b", "/x y/z.pem,b"] {
            let words: Words = text.parse().expect(text);
            assert_eq!(words.to_string(), text);
        }
        assert_eq!("a , b".parse(), Ok(Words(vec!["a".into(), "b".into()])));
        assert!("a,,b".parse::<Words>().is_err() && ",".parse::<Words>().is_err());
    }

    #[test]
    fn certificates_and_keys_go_in_pairs() {
        let with = |pair: &str, certificates: &str, keys: &str| TlsSection {
            pair: pair.parse().expect("a pair"),
            certificates: certificates.parse().expect("words"),
            keys: keys.parse().expect("words"),
            ..TlsSection::default()
        };
        let count = |section: &TlsSection| {
            check(section).ok()?;
            Some(
                section
                    .to_config()
                    .map_or(0, |config| config.identities.len()),
            )
        };
        assert_eq!(count(&with("off", "", "")), Some(0));
        assert_eq!(count(&with("off", "a,b", "c,d")), Some(2));
        assert_eq!(count(&with("x.pem", "a", "b")), Some(2));
        assert_eq!(count(&with("off", "a,b", "c")), None);
        assert_eq!(count(&with("off", "", "c")), None);
        let made = with("self-signed", "", "").to_config().expect("TLS");
        assert_eq!(made.self_signed.len(), 3);
        let mut alone = with("off", "", "");
        alone.client_ca = PemFile(Some("ca".into()));
        assert!(check(&alone).is_err());
    }
}
