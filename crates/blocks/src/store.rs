//! A store as a directory: its files, its lock, and whether they belong together.
//!
//! ```text
//!   DIR/lock             held by the one process that has the store open; says which
//!   DIR/blocks.dat       contents, in blocks
//!   DIR/index.mdbx       what is in them          DIR/index.mdbx-lck   locks of libmdbx, no data
//! ```
//!
//! Opening and making only: what happens in a store is the controller's. Must not know HTTP.
//!
//! Invariant: a store has a superblock exactly when both files are complete; it is the last thing that making a store writes.

use std::error::Error;
use std::fmt;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::controller::Disk;
use crate::file::{FileDisk, FileOptions};
use crate::format::{FormatError, StoreId, Superblock};
use crate::hash::Hash;
use crate::index::{Index, IndexError, Mdbx, MdbxOptions, MetaKey};
use crate::journal::{self, JournalError, Missing, Replayed};
use crate::medium;

/// The name of the data file.
pub const DATA_FILE: &str = "blocks.dat";
/// The name of the index.
pub const INDEX_FILE: &str = "index.mdbx";
/// The name of the lock.
pub const LOCK_FILE: &str = "lock";

/// How to open a store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreOptions {
    /// Whether to make it when there is none.
    pub creates: bool,
    /// The index.
    pub index: MdbxOptions,
    /// The data file.
    pub file: FileOptions,
    /// Whether to open it also when a batch is missing in the journal, or cannot be read, or nobody knows where the journal is:
    /// what it and later ones changed is lost.
    pub gives_up_journal: bool,
}

/// An open store. Nobody else has it open.
///
/// ```
/// use hioload_blocks::{Store, StoreOptions};
///
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("data");
/// let options = StoreOptions { creates: true, ..StoreOptions::default() };
/// let store = Store::open(&path, options)?;
/// assert!(Store::open(&path, options).is_err(), "it is open already");
/// println!("store {}", store.superblock.id);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Store {
    /// What it says of itself.
    pub superblock: Superblock,
    /// Whether it was made just now.
    pub is_new: bool,
    /// What was durable in the journal alone, because a process or a machine came to a sudden end; it is in the index now.
    pub replayed: Replayed,
    /// Its index.
    pub index: Mdbx,
    /// Its data file.
    pub disk: FileDisk,
    /// Held until nobody uses the files any more: to be dropped last.
    pub lock: StoreLock,
}

impl Store {
    /// Opens the store in the directory `path`.
    ///
    /// # Errors
    /// [`StoreError`], whose text says what is wrong and what to do.
    pub fn open(path: &Path, options: StoreOptions) -> Result<Store, StoreError> {
        if options.creates {
            create_directory(path)?;
        }
        let lock = StoreLock::take(path, options.creates)?;
        let (data_path, index_path) = (path.join(DATA_FILE), path.join(INDEX_FILE));
        let has_data = data_path
            .try_exists()
            .map_err(at(&data_path, "looking for"))?;
        let has_index = index_path
            .try_exists()
            .map_err(at(&index_path, "looking for"))?;
        if !(options.creates || has_data && has_index) {
            let absent = if has_index { data_path } else { index_path };
            return Err(StoreError::Absent { path: absent });
        }
        let mut index = Mdbx::open(&index_path, options.index)
            .map_err(StoreError::Index)?
            .writer();
        let superblock = read_superblock(&mut index)?;
        if superblock.is_some() && !has_data {
            return Err(StoreError::Absent { path: data_path });
        }
        let mut disk =
            FileDisk::open(&data_path, options.file).map_err(at(&data_path, "opening"))?;
        let is_new = superblock.is_none();
        let superblock = match superblock {
            Some(superblock) => superblock,
            None => make(path, &mut index, &disk, options)?,
        };
        let missing = if options.gives_up_journal {
            Missing::GivenUp
        } else {
            Missing::Refused
        };
        let (_, replayed) =
            journal::open(&mut index, &mut disk, missing).map_err(StoreError::Journal)?;
        Ok(Store {
            superblock,
            is_new,
            replayed,
            index: index.close(),
            disk,
            lock,
        })
    }
}

fn read_superblock(index: &mut dyn Index) -> Result<Option<Superblock>, StoreError> {
    let row = index.meta(MetaKey::Superblock).map_err(StoreError::Index)?;
    let superblock = row.map(|row| Superblock::decode(&row));
    superblock.transpose().map_err(StoreError::Format)
}

/// Completes a store whose files were just made, or were left behind by a crash while they were.
fn make(
    path: &Path,
    index: &mut dyn Index,
    disk: &FileDisk,
    options: StoreOptions,
) -> Result<Superblock, StoreError> {
    let mut row_count = 0u64;
    let counted = index.scan_from(&Hash::MIN, 1, &mut |_| {
        row_count += 1;
        Ok(())
    });
    counted.map_err(StoreError::Index)?;
    // Whatever is there without a superblock is not ours to take for free space.
    if !options.creates || row_count > 0 || disk.size() > 0 {
        return Err(StoreError::Incomplete {
            path: path.to_owned(),
        });
    }
    let mut id = [0; 16];
    getrandom::fill(&mut id).map_err(|error| StoreError::Io {
        path: path.to_owned(),
        action: "drawing an id for",
        error: io::Error::other(error.to_string()),
    })?;
    let superblock = Superblock {
        id: StoreId(id),
        created: now_ms(),
    };
    // The names first: a superblock must not be found without them.
    medium::sync_directory(path).map_err(at(path, "syncing"))?;
    index
        .put_meta(MetaKey::Superblock, &superblock.encode())
        .and_then(|()| index.commit(true))
        .map_err(StoreError::Index)?;
    Ok(superblock)
}

/// Makes the directory, and its name durable.
fn create_directory(path: &Path) -> Result<(), StoreError> {
    if path.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(path).map_err(at(path, "making"))?;
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    medium::sync_directory(parent).map_err(at(parent, "syncing"))
}

/// Milliseconds since the epoch; zero on a machine whose clock is before it.
fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as u64)
}

/// The lock of a store, held until this is dropped or the process ends, however it ends.
#[derive(Debug)]
pub struct StoreLock {
    /// Closing it gives the lock back.
    _file: File,
}

impl StoreLock {
    /// # Errors
    /// [`StoreError::InUse`], or what the system refused.
    fn take(directory: &Path, creates: bool) -> Result<StoreLock, StoreError> {
        let path = directory.join(LOCK_FILE);
        let mut options = OpenOptions::new();
        options
            .read(true)
            .write(true)
            .create(creates)
            .truncate(false);
        let mut file = match options.open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(StoreError::Absent { path });
            }
            opened => opened.map_err(at(&path, "opening"))?,
        };
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                // Only a help: whoever holds the lock may not have written yet.
                let process = file
                    .read_to_string(&mut text)
                    .ok()
                    .and_then(|_| text.trim().parse().ok());
                return Err(StoreError::InUse {
                    path: directory.to_owned(),
                    process,
                });
            }
            Err(TryLockError::Error(error)) => return Err(at(&path, "locking")(error)),
        }
        let written = file
            .set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", std::process::id()));
        written.map_err(at(&path, "writing"))?;
        Ok(StoreLock { _file: file })
    }
}

/// Why a store cannot be opened: what, likely cause, what to do.
#[derive(Debug)]
pub enum StoreError {
    /// Another process has it open.
    InUse {
        /// The store.
        path: PathBuf,
        /// Which process, where it said so.
        process: Option<u32>,
    },
    /// A file of the store is missing.
    Absent {
        /// Which.
        path: PathBuf,
    },
    /// There are data, and no index that knows them.
    Incomplete {
        /// The store.
        path: PathBuf,
    },
    /// The superblock is of another format, or damaged.
    Format(FormatError),
    /// The index cannot be opened.
    Index(IndexError),
    /// The journal cannot be applied.
    Journal(JournalError),
    /// The system refused.
    Io {
        /// What was touched.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// What the system says.
        error: io::Error,
    },
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreError::InUse { path, process } => {
                write!(f, "the store {} is in use by ", path.display())?;
                match process {
                    Some(process) => write!(f, "process {process}")?,
                    None => f.write_str("another process")?,
                }
                f.write_str(": stop it, or ask it over HTTP")
            }
            StoreError::Absent { path } => write!(
                f,
                "{} is missing: there is no store here, or a part of it is lost; name its directory, or restore the file",
                path.display()
            ),
            StoreError::Incomplete { path } => write!(
                f,
                "{} has data but no index that knows them: restore {INDEX_FILE}, or move {DATA_FILE} away to begin anew",
                path.display()
            ),
            StoreError::Format(error @ FormatError::Other { .. }) => {
                write!(f, "{error}: open it with the program that made it")
            }
            StoreError::Format(error) => write!(f, "{error}: restore {INDEX_FILE} from a backup"),
            StoreError::Index(error) => write!(f, "the index of the store: {error}"),
            StoreError::Journal(JournalError::Index(IndexError::Full)) => f.write_str(
                "the index has no room for what the journal has: free some of the disk, or raise map_size_max",
            ),
            StoreError::Journal(error) => write!(
                f,
                "the journal of the store: {error}; restore {INDEX_FILE} and {DATA_FILE} from the same backup, or give up the last second of changes: `hioload blocks check --give-up-journal`"
            ),
            StoreError::Io {
                path,
                action,
                error,
            } => write!(f, "{action} {}: {error}", path.display()),
        }
    }
}

impl Error for StoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            StoreError::Format(error) => Some(error),
            StoreError::Index(error) => Some(error),
            StoreError::Journal(error) => Some(error),
            StoreError::Io { error, .. } => Some(error),
            _ => None,
        }
    }
}

fn at(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> StoreError {
    move |error| StoreError::Io {
        path: path.to_owned(),
        action,
        error,
    }
}
