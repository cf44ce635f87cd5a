//! Flags of clients: whom to trust when the URL says `wss://` or `https://`.

use std::path::PathBuf;

use clap::Args;
use hioload::client::ClientBuilder;
use hioload::http_client::Roots;

/// Whom to trust.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Trust {
    /// Trust the authorities in this PEM file (wss://) instead of those that the machine trusts
    #[arg(long, value_name = "FILE", conflicts_with = "insecure")]
    pub(crate) ca: Option<PathBuf>,

    /// Trust anybody (wss://): against a self-signed server, on a network of your own
    #[arg(long)]
    pub(crate) insecure: bool,
}

impl Trust {
    pub(crate) fn apply(&self, builder: ClientBuilder) -> ClientBuilder {
        match &self.ca {
            _ if self.insecure => builder.insecure(),
            Some(path) => builder.ca(path),
            None => builder,
        }
    }

    pub(crate) fn roots(&self) -> Roots {
        match &self.ca {
            _ if self.insecure => Roots::Insecure,
            Some(path) => Roots::File(path.clone()),
            None => Roots::System,
        }
    }
}
