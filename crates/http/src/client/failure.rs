//! Why a request failed.

use std::fmt;
use std::sync::Arc;

use super::redirect::RedirectFault;
use super::url::Origin;
use crate::h1::ResponseError;
use crate::h2::{ErrorCode, Offence};

/// What a connection could not be made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConnectStage {
    /// The name has no address.
    Resolve,
    /// Nobody answers at any of its addresses.
    Tcp,
    /// TLS was not agreed upon: most often the certificate.
    Tls,
}

/// What took too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// The connection did not stand in time.
    Connect,
    /// Nothing came in time.
    Read,
    /// It was not over in time.
    Total,
}

/// Why a request failed. It is over; others on the same agent are not touched.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Failure {
    /// No connection.
    Connect {
        /// To whom.
        to: Origin,
        /// How far it came.
        stage: ConnectStage,
        /// What the system said.
        detail: Arc<str>,
    },
    /// It took too long.
    Timeout(Phase),
    /// A redirect cannot be followed.
    Redirect(RedirectFault),
    /// What came on HTTP/1.1 is no answer, or not all of one.
    Response(ResponseError),
    /// The peer broke HTTP/2.
    Offence(Offence),
    /// The stream was reset: by the peer, or by us for what the peer did there.
    Reset(ErrorCode),
    /// The connection ended before the answer came.
    Closed,
    /// More interim answers than allowed.
    TooManyInterim,
    /// The body is longer than is gathered.
    BodyTooLong {
        /// Bytes that are gathered.
        size_max: u64,
    },
    /// The peer took another protocol that nobody had asked for.
    Upgraded,
    /// It was cancelled.
    Cancelled,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect { to, stage, detail } => {
                let what = match stage {
                    ConnectStage::Resolve => "no address of",
                    ConnectStage::Tcp => "no connection to",
                    ConnectStage::Tls => "no TLS with",
                };
                write!(f, "{what} {to}: {detail}")
            }
            Self::Timeout(Phase::Connect) => f.write_str("the connection did not stand in time"),
            Self::Timeout(Phase::Read) => f.write_str("nothing came in time"),
            Self::Timeout(Phase::Total) => f.write_str("it was not over in time"),
            Self::Redirect(fault) => fault.fmt(f),
            Self::Response(error) => error.fmt(f),
            Self::Offence(offence) => write!(f, "the peer broke HTTP/2: {offence}"),
            Self::Reset(code) => write!(f, "the stream was reset: {code}"),
            Self::Closed => f.write_str("the connection ended before the answer came"),
            Self::TooManyInterim => f.write_str("too many interim answers came"),
            Self::BodyTooLong { size_max } => {
                write!(f, "the body is longer than {size_max} bytes")
            }
            Self::Upgraded => f.write_str("the peer changed the protocol, unasked"),
            Self::Cancelled => f.write_str("cancelled"),
        }
    }
}

impl std::error::Error for Failure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Redirect(fault) => Some(fault),
            Self::Response(error) => Some(error),
            Self::Offence(offence) => Some(offence),
            _ => None,
        }
    }
}
