//! Storing in a directory: a worker's part of the store and the controller, stepped by hand on this thread.
//!
//! ```text
//!   contents ─▶ LocalStore ─▶ file operations ─▶ data file        round after round, until every
//!                   ▲ │ requests                                  content is stored or refused
//!           replies │ ▼
//!                Controller ─▶ index: one sync and one commit for all that are under way
//! ```

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use hioload::StoreConfig;
use hioload::config::BlocksSection;
use hioload_base::Time;
use hioload_blocks::{
    Controller, ControllerConfig, Event, FileOp, Hash, IndexError, IndexReader, LocalConfig,
    LocalStore, Next, PutError, PutKey, Record, Replies, StoreLock, Stored,
};

use super::access::{Intake, Trouble};
use super::directory;
use super::stop::Stop;

/// How long to wait when nothing can be done at once.
const PAUSE: Duration = Duration::from_millis(1);

/// An open store that takes contents.
pub(super) struct Storing {
    began: Instant,
    controller: Controller,
    local: LocalStore,
    reader: Box<dyn IndexReader>,
    file: File,
    /// The last to go.
    _lock: StoreLock,
}

/// A content on its way in.
struct Under<'a> {
    key: PutKey,
    rest: &'a [u8],
    is_ended: bool,
}

impl Storing {
    /// Opens the store in a directory, or makes it.
    pub(super) fn open(path: &Path) -> Result<Self, Stop> {
        let store = directory::open(path, true)?;
        if store.is_new {
            eprintln!("made a store in {}", path.display());
        }
        let failed = |error: &dyn std::fmt::Display| {
            Stop::Failed(format!(
                "cannot open the store in {}: {error}",
                path.display()
            ))
        };
        let file = store.disk.handle().map_err(|error| failed(&error))?;
        let wall = SystemTime::now().duration_since(UNIX_EPOCH);
        // As a server does that was told nothing else.
        let defaults = BlocksSection::default();
        let config = ControllerConfig {
            durability: StoreConfig::new(path).durability,
            size_initial: defaults.size.bytes(),
            size_max: defaults.size_max.bytes(),
            grow_step: defaults.grow.bytes(),
            wall_zero_ms: wall.map_or(0, |wall| wall.as_millis() as u64),
            ..ControllerConfig::default()
        };
        let index = Box::new(store.index.writer());
        let controller = Controller::new(index, Box::new(store.disk), config, 1);
        let controller = controller.map_err(|error| failed(&error))?;
        let reader = || controller.reader().map_err(|error| failed(&error));
        let local = LocalStore::new(LocalConfig::default(), reader()?, directory::buffers()?);
        let local = local.map_err(|error| failed(&error))?;
        Ok(Self {
            began: Instant::now(),
            local,
            reader: reader()?,
            file,
            controller,
            _lock: store.lock,
        })
    }

    fn now(&self) -> Time {
        Time::ZERO + self.began.elapsed()
    }

    /// Carries requests, replies and file operations once around. False when there was nothing to carry.
    fn round(&mut self) -> bool {
        let mut had_work = false;
        self.local.hash();
        self.local.poll(self.now());
        while let Some(request) = self.local.next_request() {
            self.controller.push(0, request);
            had_work = true;
        }
        let began = self.began;
        let mut replies = Replies::new();
        let clock = &mut || Time::ZERO + began.elapsed();
        while self.controller.cycle(clock, &mut replies) == Next::Again {}
        for (_, reply) in replies {
            self.local.handle_reply(self.now(), reply);
            had_work = true;
        }
        while let Some(op) = self.local.next_file_op() {
            self.operate(op);
            had_work = true;
        }
        had_work
    }

    fn operate(&mut self, op: FileOp) {
        let code = |error: &io::Error| error.raw_os_error().unwrap_or(0);
        match op {
            FileOp::Write {
                token,
                offset,
                content,
            } => {
                let written = self
                    .file
                    .seek(SeekFrom::Start(offset))
                    .and_then(|_| self.file.write(&content));
                let result = written.map_err(|error| code(&error));
                self.local.handle_written(self.now(), token, result);
            }
            FileOp::Read {
                token,
                offset,
                len,
                mut buffer,
            } => {
                let read = self
                    .file
                    .seek(SeekFrom::Start(offset))
                    .and_then(|_| self.file.read(&mut buffer.spare_mut()[..len]));
                buffer.advance(*read.as_ref().unwrap_or(&0));
                let result = read.map_err(|error| code(&error));
                self.local.handle_read(self.now(), token, result, buffer);
            }
        }
    }

    /// Gives a content as much as there is room for.
    fn feed(&mut self, under: &mut Under<'_>) {
        let now = self.now();
        let taken = self.local.put_data(now, under.key, under.rest);
        under.rest = &under.rest[taken..];
        if under.rest.is_empty() && !under.is_ended {
            under.is_ended = true;
            self.local.put_end(now, under.key);
        }
    }
}

impl Intake for Storing {
    fn missing(&mut self, hashes: &[Hash]) -> Result<Vec<Hash>, Trouble> {
        let mut record = Record::blank();
        let mut missing = Vec::new();
        for hash in hashes {
            let is_there = match self.reader.block(hash, &mut record) {
                Ok(is_there) => is_there && !record.is_damaged(),
                // What is put replaces a row that cannot be read.
                Err(IndexError::Corrupt { .. }) => false,
                Err(error) => return Err(Trouble::Lost(format!("the index: {error}"))),
            };
            if !is_there {
                missing.push(*hash);
            }
        }
        Ok(missing)
    }

    fn put(&mut self, contents: &[(Hash, &[u8])]) -> Vec<Result<bool, Trouble>> {
        let mut results: Vec<Option<Result<bool, Trouble>>> = vec![None; contents.len()];
        let mut under: HashMap<u64, Under<'_>> = HashMap::new();
        let mut waiting = contents.iter().enumerate();
        let most = self.local.config().puts_max.min(64);
        loop {
            while under.len() < most
                && let Some((place, (hash, content))) = waiting.next()
            {
                let (now, length) = (self.now(), content.len() as u32);
                match self
                    .local
                    .put_begin(now, place as u64, Some(*hash), Some(length))
                {
                    Ok(key) => {
                        let (rest, is_ended) = (*content, false);
                        under.insert(
                            place as u64,
                            Under {
                                key,
                                rest,
                                is_ended,
                            },
                        );
                    }
                    Err(error) => results[place] = Some(Err(trouble(error))),
                }
            }
            if under.is_empty() {
                break;
            }
            under.values_mut().for_each(|under| self.feed(under));
            let had_work = self.round();
            while let Some(event) = self.local.next_event() {
                let (user, result) = match event {
                    Event::Stored { user, outcome, .. } => (user, Ok(outcome != Stored::Present)),
                    Event::PutFailed { user, error, .. } => (user, Err(trouble(error))),
                    _ => continue,
                };
                under.remove(&user);
                results[user as usize] = Some(result);
            }
            if !had_work {
                thread::sleep(PAUSE);
            }
        }
        let ended = "invariant: what was begun has ended";
        results
            .into_iter()
            .map(|result| result.expect(ended))
            .collect()
    }
}

impl Drop for Storing {
    fn drop(&mut self) {
        let began = self.began;
        // Every content was durable when it was told: there is nothing left that could be lost.
        let _ = self.controller.finish(&mut || Time::ZERO + began.elapsed());
    }
}

fn trouble(error: PutError) -> Trouble {
    match error {
        PutError::Fault(fault) => Trouble::Lost(fault.to_string()),
        error => Trouble::Refused(error.to_string()),
    }
}
