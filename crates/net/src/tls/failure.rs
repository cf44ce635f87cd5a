//! Every way a session fails, by who is at fault, and why a set-up is refused.
//!
//! Must not know connections: a failure says what happened to the records, the caller says to whom.

use std::error::Error;
use std::fmt;

use rustls::{CertificateError, InvalidMessage, PeerIncompatible};

/// Who is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The peer, or whoever is between.
    Peer,
    /// This end: its certificate was refused, its keys are used up.
    Local,
}

/// Why a session failed. One counter each; the text is [`Failure`]'s.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Reason {
    /// What came is not TLS.
    NotTls,
    /// No version, cipher or group in common.
    Incompatible,
    /// No application protocol in common (RFC 7301 3.2).
    Protocol,
    /// The peer's certificate is missing or not trusted.
    Certificate,
    /// The peer ended the session with a fatal alert: as a rule it does not trust our certificate.
    Alert,
    /// A record was not what its sender sealed (bad tag).
    Damaged,
    /// The peer broke the protocol in another way (RFC 8446, RFC 5246).
    Offence,
    /// The peer sent its FIN without saying that this is the end (RFC 8446 6.1): data may be missing.
    Truncated,
    /// The handshake took too long.
    TimedOut,
    /// Something of this end: no randomness, keys used up.
    Local,
}

impl Reason {
    /// All of them, in the order of their numbers.
    pub const ALL: [Reason; 10] = [
        Reason::NotTls,
        Reason::Incompatible,
        Reason::Protocol,
        Reason::Certificate,
        Reason::Alert,
        Reason::Damaged,
        Reason::Offence,
        Reason::Truncated,
        Reason::TimedOut,
        Reason::Local,
    ];

    /// The name in figures and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Reason::NotTls => "not_tls",
            Reason::Incompatible => "incompatible",
            Reason::Protocol => "protocol",
            Reason::Certificate => "certificate",
            Reason::Alert => "alert",
            Reason::Damaged => "damaged",
            Reason::Offence => "offence",
            Reason::Truncated => "truncated",
            Reason::TimedOut => "timed_out",
            Reason::Local => "local",
        }
    }

    fn of(error: &rustls::Error) -> Reason {
        use rustls::Error as E;
        match error {
            E::InvalidMessage(
                InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion,
            ) => Reason::NotTls,
            E::PeerIncompatible(PeerIncompatible::NoCertificateRequestSignatureSchemesInCommon) => {
                Reason::Certificate
            }
            E::PeerIncompatible(_) => Reason::Incompatible,
            E::NoApplicationProtocol => Reason::Protocol,
            E::InvalidCertificate(_) | E::NoCertificatesPresented => Reason::Certificate,
            E::AlertReceived(_) => Reason::Alert,
            E::DecryptError => Reason::Damaged,
            E::InvalidMessage(_)
            | E::InappropriateMessage { .. }
            | E::InappropriateHandshakeMessage { .. }
            | E::PeerMisbehaved(_)
            | E::PeerSentOversizedRecord => Reason::Offence,
            _ => Reason::Local,
        }
    }
}

/// Why a session is over before its time. The alert that says so to the peer, where there is one, is in the output.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    reason: Reason,
    cause: Option<rustls::Error>,
}

impl Failure {
    pub(super) fn new(reason: Reason) -> Failure {
        Failure {
            reason,
            cause: None,
        }
    }

    /// Which kind.
    #[must_use]
    pub fn reason(&self) -> Reason {
        self.reason
    }

    /// Who is at fault.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self.reason {
            Reason::Local => Fault::Local,
            _ => Fault::Peer,
        }
    }

    /// The peer's certificate is good, but not for the name that was asked for.
    #[must_use]
    pub fn is_wrong_name(&self) -> bool {
        matches!(
            self.cause,
            Some(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }
            ))
        )
    }
}

impl From<rustls::Error> for Failure {
    fn from(error: rustls::Error) -> Failure {
        Failure {
            reason: Reason::of(&error),
            cause: Some(error),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.reason {
            Reason::NotTls => "what came is not TLS",
            Reason::Incompatible => "no version or cipher in common",
            Reason::Protocol => "no application protocol in common",
            Reason::Certificate => "the peer's certificate is not accepted",
            Reason::Alert => "the peer ended the session",
            Reason::Damaged => "a record was damaged on its way",
            Reason::Offence => "the peer broke the protocol",
            Reason::Truncated => "the connection ended in the middle of the session",
            Reason::TimedOut => "the handshake took too long",
            Reason::Local => "this end cannot go on",
        };
        match &self.cause {
            Some(cause) => write!(f, "{what}: {cause}"),
            None => f.write_str(what),
        }
    }
}

impl Error for Failure {}

/// Why certificates, keys or roots were refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetupError {
    /// What was refused.
    pub what: String,
    /// The likely cause.
    pub cause: String,
    /// What to do.
    pub remedy: &'static str,
}

impl fmt::Display for SetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}. {}", self.what, self.cause, self.remedy)
    }
}

impl Error for SetupError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_numbered_as_listed_and_named_apart() {
        for (place, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, place);
            let same = Reason::ALL
                .iter()
                .filter(|other| other.name() == reason.name());
            assert_eq!(same.count(), 1, "{reason:?}");
        }
    }

    #[test]
    fn a_failure_says_whose_it_is() {
        let failure = Failure::from(rustls::Error::FailedToGetRandomBytes);
        assert_eq!(
            (failure.reason(), failure.fault()),
            (Reason::Local, Fault::Local)
        );
        let failure = Failure::from(rustls::Error::DecryptError);
        assert_eq!(
            (failure.reason(), failure.fault()),
            (Reason::Damaged, Fault::Peer)
        );
        assert_eq!(
            Failure::new(Reason::Truncated).to_string(),
            "the connection ended in the middle of the session"
        );
    }
}
