//! A store in its directory, on this thread, while nobody else has it open.
//!
//! Reads are of the data file, past the page cache where the system can; a whole content is verified by its
//! checksums and its hash. What is found is put on record, as a server would: a damaged block is stored anew
//! when its content comes again.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use hioload::StoreConfig;
use hioload_blocks::{
    CheckEvent, CheckReport, Damage, Disk as _, FileDisk, Flags, Hash, Index as _, IndexError,
    MdbxIndex, MdbxOptions, Record, Store, StoreError, StoreLock, StoreOptions, Superblock, UNIT,
    check,
};
use hioload_mem::{BufferPool, PoolConfig};
use serde_json::{Value, json};

use super::access::{Access, Entry, Head, Page, Source, Trouble};
use super::stop::Stop;

/// Memory for one content at a time, and then some.
const MEMORY: usize = 32 << 20;

/// Damaged rows deleted in one commit.
const DROP_STEP: usize = 10_000;

/// Opens the files of a store.
pub(super) fn open(path: &Path, creates: bool) -> Result<Store, Stop> {
    open_with(
        path,
        StoreOptions {
            creates,
            ..StoreOptions::default()
        },
    )
}

fn open_with(path: &Path, options: StoreOptions) -> Result<Store, Stop> {
    let options = StoreOptions {
        index: MdbxOptions {
            map_size_max: StoreConfig::new(path).index_size_max,
            ..MdbxOptions::default()
        },
        ..options
    };
    Store::open(path, options).map_err(|error| match error {
        StoreError::InUse { .. } | StoreError::Absent { .. } => Stop::Usage(error.to_string()),
        error => Stop::Failed(error.to_string()),
    })
}

/// Buffers that contents are read into and written from.
pub(super) fn buffers() -> Result<BufferPool, Stop> {
    let pool = BufferPool::new(PoolConfig::with_budget(MEMORY));
    pool.map_err(|error| Stop::Failed(format!("no memory for buffers: {error}")))
}

/// An open store.
pub(super) struct Directory {
    path: PathBuf,
    superblock: Superblock,
    index: MdbxIndex,
    disk: FileDisk,
    file: File,
    buffers: BufferPool,
    /// The last to go.
    _lock: StoreLock,
}

impl Directory {
    /// Opens the store in a directory.
    pub(super) fn open(path: &Path) -> Result<Self, Stop> {
        Self::open_with(path, StoreOptions::default())
    }

    /// The same, also when its journal is damaged.
    pub(super) fn open_giving_up_journal(path: &Path) -> Result<Self, Stop> {
        let options = StoreOptions {
            gives_up_journal: true,
            ..StoreOptions::default()
        };
        Self::open_with(path, options)
    }

    fn open_with(path: &Path, options: StoreOptions) -> Result<Self, Stop> {
        let store = open_with(path, options)?;
        let file = store.disk.handle().map_err(|error| {
            Stop::Failed(format!("the data file in {}: {error}", path.display()))
        })?;
        Ok(Self {
            path: path.to_owned(),
            superblock: store.superblock,
            index: store.index.writer(),
            disk: store.disk,
            file,
            buffers: buffers()?,
            _lock: store.lock,
        })
    }

    /// Whether index, data file and free map agree.
    pub(super) fn check(
        &mut self,
        each: &mut dyn FnMut(CheckEvent<'_>),
    ) -> Result<CheckReport, IndexError> {
        check(&mut self.index, self.disk.size(), each)
    }

    fn record(&self, hash: &Hash) -> Result<Record, Trouble> {
        match self.index_block(hash) {
            Ok(Some(record)) => Ok(record),
            Ok(None) => Err(Trouble::Missing),
            Err(error @ IndexError::Corrupt { .. }) => Err(Trouble::Refused(format!(
                "{error}; delete it, and put the content again"
            ))),
            Err(error) => Err(self.lost(&error)),
        }
    }

    fn index_block(&self, hash: &Hash) -> Result<Option<Record>, IndexError> {
        let mut record = Record::blank();
        let mut reader = hioload_blocks::Index::reader(&self.index)?;
        Ok(reader.block(hash, &mut record)?.then_some(record))
    }

    fn lost(&self, error: &IndexError) -> Trouble {
        Trouble::Lost(format!("the index in {}: {error}", self.path.display()))
    }

    fn content(&mut self, hash: &Hash) -> Result<Vec<u8>, Trouble> {
        let record = self.record(hash)?;
        if record.block.end() > self.disk.size() {
            let what = format!("{} is beyond the end of the data file", record.block);
            return Err(Trouble::Damaged(what));
        }
        // What is wrong once is read again: it may have been the way, not the place.
        let read = self
            .read(hash, &record)
            .or_else(|_| self.read(hash, &record));
        let flags = match &read {
            Ok(_) => record.flags.without(Flags::DAMAGED),
            Err(_) => record.flags.with(Flags::DAMAGED),
        };
        if flags != record.flags {
            let changed = self.index.put_block(hash, &Record { flags, ..record });
            let changed = changed.and_then(|()| self.index.commit(true));
            changed.map_err(|error| self.lost(&error))?;
        }
        read.map_err(|damage| Trouble::Damaged(damage.to_string()))
    }

    fn read(&mut self, hash: &Hash, record: &Record) -> Result<Vec<u8>, Damage> {
        let unreadable = |error: &io::Error| Damage::Unreadable {
            chunk: 0,
            code: error.raw_os_error().unwrap_or(0),
        };
        let size = u64::from(record.length).next_multiple_of(UNIT) as usize;
        let mut buffer = self
            .buffers
            .take(size)
            .expect("invariant: there is room for one content");
        let place = SeekFrom::Start(record.block.offset());
        let read = self.file.seek(place).and_then(|_| {
            // Aligned, whole units: what unbuffered reading asks for.
            self.file.read_exact(&mut buffer.spare_mut()[..size])
        });
        read.map_err(|error| unreadable(&error))?;
        buffer.advance(size);
        let content = &buffer.as_slice()[..record.length as usize];
        let sums = record.sums.check(0, content);
        sums.map_err(|wrong| Damage::Sum {
            chunk: wrong.chunk_index,
        })?;
        if Hash::of(content) != *hash {
            return Err(Damage::Hash);
        }
        Ok(content.to_vec())
    }

    fn remove(&mut self, hash: &Hash, with_references: bool) -> Result<(), Trouble> {
        let outcome = self.index.reference_count(hash, 1).and_then(|count| {
            if count > 0 && !with_references {
                return Ok(Err(Trouble::Refused(
                    "references hold the block; drop them first, or use --force".to_owned(),
                )));
            }
            let dropped = self.index.delete_references(hash)?;
            // Damaged rows go, too. What is free follows from the index when it is opened.
            let was_there = self.index.delete_block(hash)?;
            Ok(if was_there || dropped > 0 {
                Ok(())
            } else {
                Err(Trouble::Missing)
            })
        });
        outcome.map_err(|error| self.lost(&error))?
    }

    /// Deletes rows that cannot be read. Returns how many there were.
    pub(super) fn drop_damaged_rows(&mut self) -> Result<usize, IndexError> {
        let mut count = 0;
        loop {
            let dropped = self.index.delete_damaged(DROP_STEP)?;
            self.index.commit(true)?;
            count += dropped;
            if dropped < DROP_STEP {
                return Ok(count);
            }
        }
    }
}

impl Access for Directory {
    fn heads(&mut self, hashes: &[Hash]) -> Vec<Result<Head, Trouble>> {
        let head = |hash| {
            let record = self.record(hash)?;
            Ok(Head {
                length: record.length.into(),
                is_damaged: record.is_damaged(),
            })
        };
        hashes.iter().map(head).collect()
    }

    fn contents(&mut self, hashes: &[Hash], _: Source) -> Vec<Result<Vec<u8>, Trouble>> {
        hashes.iter().map(|hash| self.content(hash)).collect()
    }

    fn delete(&mut self, hashes: &[Hash], with_references: bool) -> Vec<Result<(), Trouble>> {
        let remove = |hash| self.remove(hash, with_references);
        let outcomes = hashes.iter().map(remove).collect();
        match self.index.commit(true) {
            Ok(()) => outcomes,
            Err(error) => hashes.iter().map(|_| Err(self.lost(&error))).collect(),
        }
    }

    fn page(&mut self, after: Option<Hash>, limit: u64) -> Result<Page, Trouble> {
        let mut page = Page::default();
        let Some(from) = after.map_or(Some(Hash::MIN), |after| after.next()) else {
            return Ok(page);
        };
        let walked = self.index.scan_from(&from, limit, &mut |row| {
            match row {
                Ok((hash, record)) => page.entries.push(Entry {
                    hash: *hash,
                    length: record.length.into(),
                    created_ms: record.created,
                    is_damaged: record.is_damaged(),
                }),
                Err(_) => page.unreadable += 1,
            }
            Ok(())
        });
        let next = walked.map_err(|error| self.lost(&error))?;
        page.next = next.map(|next| next.previous().unwrap_or(Hash::MIN));
        Ok(page)
    }

    fn figures(&mut self) -> Result<Value, Trouble> {
        let report = self.check(&mut |_| {}).map_err(|error| self.lost(&error))?;
        let mut damaged = Vec::new();
        let walked = self.index.scan_from(&Hash::MIN, u64::MAX, &mut |row| {
            if let Ok((hash, record)) = row
                && record.is_damaged()
            {
                damaged.push(json!({
                    "hash": hash.to_string(),
                    "offset": record.block.offset(),
                }));
            }
            Ok(())
        });
        walked.map_err(|error| self.lost(&error))?;
        let space = &report.space;
        Ok(json!({
            "store": self.superblock.id.to_string(),
            "controller": {
                "blocks": report.blocks,
                "references": report.references,
                "space": {
                    "size": space.size,
                    "used_bytes": space.used_bytes(),
                    "free_bytes": space.free_bytes(),
                    "content_bytes": report.content_bytes,
                    "largest_free": space.largest_free(),
                    "fragmentation": space.fragmentation(),
                },
                "damaged": report.damaged,
                "damaged_list": damaged,
            },
        }))
    }
}
