//! Why an HTTP client could not do what it was asked to. Each reads as: what, why, what to do.

use std::fmt;
use std::io;

use hioload_http::client::{
    ConnectStage, Failure, Phase, RequestError, SubmitError, UploadMisuse, UrlFault,
};

use crate::client::ClientError;

/// Why a request failed, or could not be made. The client stands.
#[derive(Debug)]
#[non_exhaustive]
pub enum HttpError {
    /// The URL cannot be gone to.
    Url {
        /// As it was given.
        url: String,
        /// What is wrong.
        fault: UrlFault,
    },
    /// The request cannot be made like this.
    Request(RequestError),
    /// The request failed.
    Failed {
        /// What it was for in the end.
        url: String,
        /// Why.
        failure: Failure,
    },
    /// As many requests are under way as may be.
    Busy(SubmitError),
    /// The body that was handed over is not the one that was announced.
    Upload(UploadMisuse),
    /// The body to be sent could not be read.
    Source(io::Error),
    /// The server did not agree to speak WebSocket: its status.
    Refused(u16),
    /// What was spoken once the server had agreed.
    WebSocket(ClientError),
    /// The client could not start.
    Start(String),
    /// The client has ended.
    Over,
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url { url, fault } => write!(f, "cannot go to {url}: {fault}"),
            Self::Request(error) => write!(f, "the request cannot be made: {error}"),
            Self::Failed { url, failure } => {
                write!(f, "{url}: {failure}")?;
                match remedy(failure) {
                    "" => Ok(()),
                    remedy => write!(f, ". {remedy}"),
                }
            }
            Self::Busy(error) => error.fmt(f),
            Self::Upload(misuse) => misuse.fmt(f),
            Self::Source(error) => write!(f, "the body to be sent cannot be read: {error}"),
            Self::Refused(status) => write!(
                f,
                "the server answered {status} and speaks no WebSocket there. Check the path, and what it asks of \
                 its clients"
            ),
            Self::WebSocket(error) => error.fmt(f),
            Self::Start(why) => write!(f, "the client cannot start: {why}"),
            Self::Over => f.write_str("the client has ended. Make another one"),
        }
    }
}

fn remedy(failure: &Failure) -> &'static str {
    match failure {
        Failure::Connect { stage, .. } => match stage {
            ConnectStage::Resolve => "Check the spelling of the name",
            ConnectStage::Tcp => "Check that something listens there",
            ConnectStage::Tls => "Check the certificate, or name the authority that signed it",
        },
        Failure::Timeout(Phase::Connect) => "Check the address, and firewalls on the way",
        Failure::Timeout(_) => "Wait longer, or ask for less",
        Failure::BodyTooLong { .. } => "Stream it, or raise the limit",
        _ => "",
    }
}

impl std::error::Error for HttpError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Url { fault, .. } => Some(fault),
            Self::Request(error) => Some(error),
            Self::Failed { failure, .. } => Some(failure),
            Self::Busy(error) => Some(error),
            Self::Upload(error) => Some(error),
            Self::Source(error) => Some(error),
            Self::WebSocket(error) => Some(error),
            Self::Refused(_) | Self::Start(_) | Self::Over => None,
        }
    }
}

impl From<RequestError> for HttpError {
    fn from(error: RequestError) -> Self {
        Self::Request(error)
    }
}
