//! Why a client could not do what it was asked to. Each reads as: what, why, what to do.

use std::fmt;
use std::io;
use std::time::Duration;

use hioload_net::tls::{Failure, Reason, SetupError};
use hioload_ws::handshake::HandshakeError;
use hioload_ws::{CloseCode, Misuse, Offence};

/// How a connection ended in good order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closing {
    /// The peer's close code; 1005 when it gave none.
    pub code: CloseCode,
    /// The peer's reason, often empty.
    pub reason: String,
}

impl fmt::Display for Closing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.reason.as_str() {
            "" => write!(f, "{}", self.code),
            reason => write!(f, "{} {reason}", self.code),
        }
    }
}

/// What is wrong with a URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UrlFault {
    /// It starts neither with `ws://` nor with `wss://`.
    Scheme,
    /// No host, or not one.
    Host,
    /// Not a port from 1 to 65535.
    Port,
    /// A fragment (`#…`).
    Fragment,
    /// A user name or password.
    Credentials,
    /// Spaces, line breaks, or what is not ASCII.
    Characters,
}

/// Why a client failed. After anything but [`Timeout`](ClientError::Timeout),
/// [`Misuse`](ClientError::Misuse), [`NotOpen`](ClientError::NotOpen) and
/// [`Full`](ClientError::Full) the connection is over.
#[derive(Debug)]
#[non_exhaustive]
pub enum ClientError {
    /// The URL cannot be connected to.
    Url {
        /// As it was given.
        url: String,
        /// What is wrong.
        fault: UrlFault,
    },
    /// No connection to the server.
    Connect {
        /// Host and port.
        to: String,
        /// The system's error.
        error: io::Error,
    },
    /// No TLS with the server.
    Tls(Failure),
    /// Roots or certificates of this client cannot be used.
    Setup(SetupError),
    /// The server did not agree to speak WebSocket.
    Handshake(HandshakeError),
    /// The server broke the protocol. It was told, and the connection is over.
    Offence(Offence),
    /// The call does not fit the state of the connection. Nothing changed.
    Misuse(Misuse),
    /// Output waits to be sent, and with this message it would be more than the limit. Nothing
    /// changed.
    Full {
        /// Bytes that wait.
        waiting: usize,
        /// Bytes that may wait.
        limit: usize,
    },
    /// The handshake is not done yet. Nothing changed.
    NotOpen,
    /// The connection broke without a close frame.
    Lost(Option<io::Error>),
    /// Nothing came in time. The connection stands.
    Timeout {
        /// What was waited for.
        what: &'static str,
        /// How long.
        after: Duration,
    },
    /// The system has no random numbers for mask keys.
    Entropy(getrandom::Error),
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url { url, fault } => write!(f, "cannot connect to {url}: {fault}"),
            Self::Connect { to, error } => {
                write!(
                    f,
                    "cannot connect to {to}: {error}. {}",
                    connect_remedy(error)
                )
            }
            Self::Tls(failure) => {
                write!(
                    f,
                    "no TLS with the server: {failure}. {}",
                    tls_remedy(failure)
                )
            }
            Self::Setup(error) => error.fmt(f),
            Self::Handshake(error) => write!(
                f,
                "no WebSocket connection: {error}. Check the URL's host, port and path, and what \
                 the server asks of its clients"
            ),
            Self::Offence(offence) => write!(
                f,
                "the server broke the protocol: {offence}. The connection was closed; if a message \
                 was too big, raise the limit"
            ),
            Self::Misuse(misuse) => write!(f, "not possible now: {misuse}"),
            Self::Full { waiting, limit } => write!(
                f,
                "{waiting} bytes wait to be sent, {limit} may. Write the output to the socket \
                 first, or raise the limit"
            ),
            Self::NotOpen => f.write_str(
                "the handshake is not done yet: nothing can be sent. Wait for `Open` first",
            ),
            Self::Lost(None) => {
                f.write_str("the server ended the connection without a close frame. Connect again")
            }
            Self::Lost(Some(error)) => write!(f, "connection lost: {error}. Connect again"),
            Self::Timeout { what, after } => {
                write!(
                    f,
                    "no {what} within {after:?}. Wait longer, or connect again"
                )
            }
            Self::Entropy(error) => {
                write!(
                    f,
                    "no random numbers for mask keys: {error}. See getrandom(2)"
                )
            }
        }
    }
}

fn connect_remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "Nothing listens there: check the port",
        io::ErrorKind::TimedOut => "No answer: check the address, and firewalls on the way",
        io::ErrorKind::NotFound => "The name has no address: check its spelling",
        _ => "Check the host and the network",
    }
}

fn tls_remedy(failure: &Failure) -> &'static str {
    match failure.reason() {
        Reason::Certificate if failure.is_wrong_name() => {
            "Connect by a name that the certificate is for"
        }
        Reason::Certificate => {
            "Give the certificate of the server's authority, or trust anybody on a network of your own"
        }
        Reason::NotTls => "The server speaks no TLS there: use ws://, or another port",
        Reason::Alert => {
            "The server refuses this client: see its log, and whether it asks for a certificate"
        }
        _ => "See what the server says about it",
    }
}

impl fmt::Display for UrlFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scheme => "it does not start with ws:// or wss://. Write ws://HOST:PORT/PATH",
            Self::Host => "there is no host in it. Write ws://HOST:PORT/PATH",
            Self::Port => "the port is not a number from 1 to 65535",
            Self::Fragment => "a fragment never reaches the server. Leave out what follows the #",
            Self::Credentials => "credentials do not belong there. Send an Authorization header",
            Self::Characters => "it has spaces or other special characters. Percent-encode them",
        })
    }
}

impl std::error::Error for ClientError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Connect { error, .. } | Self::Lost(Some(error)) => Some(error),
            Self::Tls(error) => Some(error),
            Self::Setup(error) => Some(error),
            Self::Handshake(error) => Some(error),
            Self::Offence(error) => Some(error),
            Self::Misuse(error) => Some(error),
            Self::Entropy(error) => Some(error),
            _ => None,
        }
    }
}

impl From<SetupError> for ClientError {
    fn from(error: SetupError) -> Self {
        Self::Setup(error)
    }
}

impl From<HandshakeError> for ClientError {
    fn from(error: HandshakeError) -> Self {
        Self::Handshake(error)
    }
}

impl From<Misuse> for ClientError {
    fn from(misuse: Misuse) -> Self {
        Self::Misuse(misuse)
    }
}
