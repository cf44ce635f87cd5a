//! Opening the store: its files, then what each worker needs of them.

use std::fs::File;
use std::io;
use std::sync::Arc;

use hioload_blocks::{IndexReader, MdbxOptions, Store as StoreFiles, StoreOptions};
use hioload_reactor::StartError;

use super::config::StoreConfig;

/// An open store, before its controller starts.
pub(crate) struct Opened {
    pub(super) files: StoreFiles,
    pub(super) config: StoreConfig,
}

/// What one worker needs of a store.
pub(crate) struct Share {
    pub(crate) file: File,
    pub(crate) reader: Box<dyn IndexReader>,
    pub(crate) config: Arc<StoreConfig>,
}

impl Opened {
    /// Opens the store, or makes it.
    pub(crate) fn open(config: StoreConfig) -> Result<Self, StartError> {
        let options = StoreOptions {
            creates: true,
            index: MdbxOptions {
                map_size_max: config.index_size_max,
                ..MdbxOptions::default()
            },
            ..StoreOptions::default()
        };
        let files = StoreFiles::open(&config.dir, options)
            .map_err(|error| refused(&config, &error.to_string()))?;
        for line in files.disk.fallbacks() {
            tracing::warn!("{}: {line}", config.dir.display());
        }
        if files.is_new {
            tracing::info!("made a store in {}", config.dir.display());
        }
        Ok(Self { files, config })
    }

    /// A share for each worker.
    pub(crate) fn shares(&self, workers: usize) -> Result<Vec<Share>, StartError> {
        let config = Arc::new(self.config.clone());
        let share = |_| {
            let file = self.files.disk.handle();
            let file =
                file.map_err(|error: io::Error| refused(&self.config, &error.to_string()))?;
            let reader = self.files.index.reader();
            let reader = reader.map_err(|error| refused(&self.config, &error.to_string()))?;
            Ok(Share {
                file,
                reader,
                config: Arc::clone(&config),
            })
        };
        (0..workers).map(share).collect()
    }
}

pub(crate) fn refused(config: &StoreConfig, cause: &str) -> StartError {
    StartError {
        what: format!("cannot open the store in {}", config.dir.display()),
        cause: cause.to_owned(),
        remedy: "Choose another directory (--data DIR), or do without a store (--data off)"
            .to_owned(),
        errno: None,
    }
}
