//! Which store a command is about: `--url`, or `--data`.

use std::path::PathBuf;

use clap::Args;

use super::access::{Access, Intake};
use super::directory::Directory;
use super::remote::Remote;
use super::server::{Endpoint, Server};
use super::stop::Stop;
use super::storing::Storing;
use crate::cli::trust::Trust;

/// Where the store is.
#[derive(Args, Clone, Debug)]
pub(super) struct Place {
    /// The server that has it open
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:9002", value_parser = Endpoint::parse)]
    url: Endpoint,

    /// Its directory, when no server has it open
    #[arg(long, value_name = "DIR", conflicts_with = "url")]
    data: Option<PathBuf>,

    /// Connections to the server at a time
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=256))]
    connections: u16,

    #[command(flatten)]
    trust: Trust,
}

impl Place {
    /// To read and delete.
    pub(super) fn open(&self) -> Result<Box<dyn Access>, Stop> {
        Ok(match &self.data {
            Some(path) => Box::new(Directory::open(path)?),
            None => Box::new(self.remote()?),
        })
    }

    /// To store.
    pub(super) fn open_to_put(&self) -> Result<Box<dyn Intake>, Stop> {
        Ok(match &self.data {
            Some(path) => Box::new(Storing::open(path)?),
            None => Box::new(self.remote()?),
        })
    }

    fn remote(&self) -> Result<Remote, Stop> {
        let count = usize::from(self.connections);
        let server = Server::new(&self.url, self.trust.roots(), count);
        let server = server.map_err(|error| Stop::Failed(error.to_string()))?;
        Ok(Remote::new(server, count))
    }
}
