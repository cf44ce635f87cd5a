//! A client that remembers what was acknowledged, over all lives of the server.
//!
//! Each has contents of its own, so that nobody else changes what it remembers. The server names them: a PUT that
//! was not answered is done again after the restart, which tells its name.

use std::fmt;
use std::io::{Error, ErrorKind, Result};

use super::web::Web;
use crate::stop::{Outcome, Stop};

/// Contents a client keeps.
const KEPT_MAX: usize = 40;
/// Bytes of the largest.
const SIZE_MAX: u64 = 512 * 1024;

/// What is known of a content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Present,
    Absent,
    /// Asked for, and not answered.
    Open,
}

struct Entry {
    /// Says what the content is.
    seed: u64,
    /// Unknown until a PUT was answered.
    name: Option<String>,
    state: State,
}

/// What was done.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    /// PUTs acknowledged.
    pub(super) puts: u64,
    /// GETs that were right.
    pub(super) gets: u64,
    /// DELETEs acknowledged.
    pub(super) deletes: u64,
    /// Requests the kill came before.
    pub(super) open: u64,
    /// Looks after a restart.
    pub(super) verified: u64,
}

impl Counts {
    pub(super) fn add(&mut self, other: &Self) {
        self.puts += other.puts;
        self.gets += other.gets;
        self.deletes += other.deletes;
        self.open += other.open;
        self.verified += other.verified;
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} puts, {} gets, {} deletes answered, {} requests cut off, {} blocks looked at after a start",
            self.puts, self.gets, self.deletes, self.open, self.verified
        )
    }
}

/// The client.
pub(super) struct Clerk {
    number: u64,
    dice: u64,
    entries: Vec<Entry>,
    failure: Option<String>,
    pub(super) counts: Counts,
}

impl Clerk {
    pub(super) fn new(number: u64, seed: u64) -> Self {
        Self {
            number,
            dice: mix(seed ^ (number << 32)),
            entries: Vec::new(),
            failure: None,
            counts: Counts::default(),
        }
    }

    /// Blocks that are known to be there.
    pub(super) fn present(&self) -> u64 {
        let there = self
            .entries
            .iter()
            .filter(|entry| entry.state == State::Present);
        there.count() as u64
    }

    /// What did not hold, once.
    pub(super) fn failure(&mut self) -> Outcome {
        match self.failure.take() {
            Some(why) => Err(Stop::Failed(why)),
            None => Ok(()),
        }
    }

    fn below(&mut self, count: u64) -> u64 {
        self.dice = mix(self.dice);
        self.dice % count
    }

    /// Asks until the server is gone.
    pub(super) fn work(&mut self, addr: &str) {
        let Ok(mut web) = Web::dial(addr) else {
            return;
        };
        loop {
            match self.step(&mut web, addr) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::InvalidData => {
                    self.failure = Some(error.to_string());
                    return;
                }
                Err(_) => {
                    self.counts.open += 1;
                    return;
                }
            }
        }
    }

    fn step(&mut self, web: &mut Web, addr: &str) -> Result<()> {
        match self.below(20) {
            0..10 => self.put(web),
            10..15 => self.get(web),
            15..19 => self.delete(web),
            _ => {
                // Nothing is stored of it, or the last count finds it.
                let body = content(self.dice);
                Web::dial(addr)?.break_off("POST", "/blocks", &body)
            }
        }
    }

    fn put(&mut self, web: &mut Web) -> Result<()> {
        if self.entries.len() >= KEPT_MAX {
            return self.delete(web);
        }
        let seed = self.below(u64::MAX) << 8 | self.number;
        self.entries.push(Entry {
            seed,
            name: None,
            state: State::Open,
        });
        let place = self.entries.len() - 1;
        self.put_again(web, place)?;
        self.counts.puts += 1;
        Ok(())
    }

    fn put_again(&mut self, web: &mut Web, place: usize) -> Result<()> {
        let entry = &mut self.entries[place];
        let answer = web.ask("POST", "/blocks", &content(entry.seed))?;
        if !matches!(answer.status, 200 | 201) {
            return Err(wrong(&format!("a PUT was answered with {}", answer.status)));
        }
        entry.name = Some(String::from_utf8_lossy(&answer.body).into_owned());
        entry.state = State::Present;
        Ok(())
    }

    fn get(&mut self, web: &mut Web) -> Result<()> {
        let Some(place) = self.one() else {
            return Ok(());
        };
        self.look(web, place)?;
        self.counts.gets += 1;
        Ok(())
    }

    fn delete(&mut self, web: &mut Web) -> Result<()> {
        let Some(place) = self.one() else {
            return Ok(());
        };
        let entry = &mut self.entries[place];
        let Some(name) = &entry.name else {
            return Ok(());
        };
        let was_there = entry.state == State::Present;
        let path = format!("/blocks/{name}");
        entry.state = State::Open;
        let answer = web.ask("DELETE", &path, b"")?;
        match answer.status {
            204 => {}
            404 if !was_there => {}
            status => {
                return Err(wrong(&format!(
                    "DELETE {path}: {status}, it was there: {was_there}"
                )));
            }
        }
        entry.state = State::Absent;
        self.counts.deletes += 1;
        Ok(())
    }

    /// One of the contents.
    fn one(&mut self) -> Option<usize> {
        let count = self.entries.len() as u64;
        (count > 0).then(|| self.below(count) as usize)
    }

    /// Whether a content is as it should be; what is open is known then.
    fn look(&mut self, web: &mut Web, place: usize) -> Result<()> {
        let entry = &mut self.entries[place];
        let Some(name) = &entry.name else {
            return self.put_again(web, place);
        };
        let path = format!("/blocks/{name}");
        let answer = web.ask("GET", &path, b"")?;
        let is_there = match answer.status {
            200 if answer.body == content(entry.seed) => true,
            404 => false,
            200 => return Err(wrong(&format!("GET {path}: wrong bytes"))),
            status => {
                let text = String::from_utf8_lossy(&answer.body).into_owned();
                return Err(wrong(&format!("GET {path}: {status}: {text}")));
            }
        };
        match entry.state {
            State::Present if !is_there => {
                return Err(wrong(&format!("{name} was acknowledged and is lost")));
            }
            State::Absent if is_there => {
                return Err(wrong(&format!("{name} was deleted and is back")));
            }
            State::Open if is_there => entry.state = State::Present,
            State::Open => entry.state = State::Absent,
            State::Present | State::Absent => {}
        }
        Ok(())
    }

    /// Looks at everything.
    pub(super) fn verify(&mut self, addr: &str) {
        if let Err(error) = self.verify_all(addr) {
            self.failure = Some(format!("after a restart: {error}"));
        }
    }

    fn verify_all(&mut self, addr: &str) -> Result<()> {
        let mut web = Web::dial(addr)?;
        for place in 0..self.entries.len() {
            self.look(&mut web, place)?;
            self.counts.verified += 1;
        }
        // Once seen to be gone is enough.
        self.entries.retain(|entry| entry.state != State::Absent);
        Ok(())
    }
}

fn wrong(what: &str) -> Error {
    Error::new(ErrorKind::InvalidData, what.to_owned())
}

/// The content of that seed: of any size, small ones likelier.
fn content(seed: u64) -> Vec<u8> {
    let bits = mix(seed) % 20;
    let size = 1 + mix(seed ^ 1) % (1 << bits).min(SIZE_MAX);
    let mut state = seed;
    let mut bytes = Vec::with_capacity(size as usize + 8);
    while (bytes.len() as u64) < size {
        state = mix(state);
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(size as usize);
    // Short ones could be alike by chance, and belong to two clients.
    bytes.extend_from_slice(&seed.to_le_bytes());
    bytes.truncate(SIZE_MAX as usize);
    bytes
}

/// splitmix64.
pub(super) fn mix(state: u64) -> u64 {
    let state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let state = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let state = (state ^ (state >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    state ^ (state >> 31)
}
